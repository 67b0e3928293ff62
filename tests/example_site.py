"""Runs an example that serves a site and a local edge, as its README says: as a process, with a key from there."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

EXAMPLES = Path(__file__).parent.parent / "examples"
TIMEOUT = 60


@contextmanager
def running(example: str) -> Iterator[str]:
    """Run the command in an example's README on free ports, end it as Ctrl-C does, and yield the site's address."""
    readme = (EXAMPLES / example / "README.rst").read_text()
    (command,) = re.findall(r'CFGATE_PRIVATE_KEY="\$\((openssl .*)\)" \\\n +\.venv/bin/python (\S+)\n', readme)
    made = subprocess.run(command[0].split(), check=True, capture_output=True, text=True, timeout=TIMEOUT)
    environment = {**os.environ, "CFGATE_PRIVATE_KEY": made.stdout, "PORT": "0", "EDGE_PORT": "0"}
    with subprocess.Popen(
        [sys.executable, command[1]],
        cwd=EXAMPLES.parent,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=_listen_to_ctrl_c,
    ) as process:
        try:
            assert process.stdout
            address = re.search(r"http://127\.0\.0\.1:\d+", process.stdout.readline())
            assert address, "it ended instead of printing its address"
            yield address[0]
            process.send_signal(signal.SIGINT)
            assert process.wait(TIMEOUT) == 0
        finally:
            process.kill()


def _listen_to_ctrl_c() -> None:
    """React to SIGINT even if the tests are a background job, for which a shell ignores it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
