"""The authorizer that ``site.ini`` names."""

from __future__ import annotations

import hashlib
from pathlib import Path
from wsgiref.types import WSGIEnvironment


class Tokens:
    """Allows requests with a known token: ``Authorization: Bearer TOKEN`` (RFC 6750).

    Args:
        file: the tokens' SHA-256 digests, one per line, each followed by what it is for.
    """

    def __init__(self, file: str) -> None:
        lines = Path(file).read_text(encoding="utf-8").splitlines()
        self._digests = {line.split()[0] for line in lines}

    def __call__(self, environ: WSGIEnvironment) -> bool:
        scheme, _, token = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
        digest = hashlib.sha256(token.encode("latin-1")).hexdigest()
        return scheme.lower() == "bearer" and digest in self._digests
