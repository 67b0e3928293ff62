"""hls.js, which plays HLS in browsers that cannot do it themselves.

This repository contains no third-party code, and no small package on PyPI contains hls.js. So npm fetches it when a
page first needs it. npm verifies what it fetches and keeps it in its own cache.
"""

from __future__ import annotations

import functools
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

PACKAGE = "hls.js@1.6.19"
MODULE = "package/dist/hls.light.mjs"  # without subtitles, other audio tracks and DRM
TIMEOUT = 30  # seconds


class NotFetchedError(Exception):
    """hls.js could not be fetched; the message says why, and the next page tries again."""


@functools.cache
def hls_js() -> bytes:
    """Return hls.js as a JavaScript module.

    Raises:
        NotFetchedError: if npm is missing or fails.
    """
    npm = shutil.which("npm")
    if npm is None:
        raise NotFetchedError("npm is not installed")
    with tempfile.TemporaryDirectory() as directory:
        command = [npm, "pack", PACKAGE, "--silent", "--prefer-offline", "--fetch-retries=0"]
        try:
            subprocess.run(command, cwd=directory, check=True, capture_output=True, timeout=TIMEOUT)  # noqa: S603 (a fixed command)
        except (OSError, subprocess.SubprocessError) as error:
            raise NotFetchedError(f"npm pack {PACKAGE} failed") from error
        (archive,) = Path(directory).glob("*.tgz")
        with tarfile.open(archive) as tar:
            module = tar.extractfile(MODULE)
            if module is None:
                raise NotFetchedError(f"{PACKAGE} has no file {MODULE}")
            return module.read()
