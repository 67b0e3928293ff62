"""The authorizer of ``site.ini`` for people: a password opens a whole folder, with cookies."""

from __future__ import annotations

import base64
import secrets
from pathlib import Path
from wsgiref.types import WSGIEnvironment

from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError
from webob import Response

from cfgate_middleware import Grant


class Passwords:
    """Opens folders to people who have a password (HTTP Basic authentication, RFC 7617; over https only).

    Args:
        file: a line ``NAME FOLDER HASH`` for each person, with the hash that ``python -m argon2``'s library makes.
    """

    def __init__(self, file: str) -> None:
        self._hasher = PasswordHasher()
        lines = map(str.split, Path(file).read_text(encoding="utf-8").splitlines())
        self._people = {name: (folder, digest) for name, folder, digest in lines}
        # Checked for names that nobody has, so that they take as long as those that somebody has.
        self._nobody = ("/", self._hasher.hash(secrets.token_hex()))

    def __call__(self, environ: WSGIEnvironment) -> Grant | Response | bool:
        name, password = credentials(environ)
        folder, digest = self._people.get(name, self._nobody)
        try:
            self._hasher.verify(digest, password)
        except VerifyMismatchError:
            return Response(status=401, www_authenticate='Basic realm="documents", charset="UTF-8"')
        if not environ["cfgate.path"].startswith(folder):
            return False
        return Grant(scope=folder, answer="cookies")


def credentials(environ: WSGIEnvironment) -> tuple[str, str]:
    """Return the name and the password of a request, or two empty ones."""
    scheme, _, given = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
    try:
        name, _, password = base64.b64decode(given, validate=True).decode().partition(":")
    except ValueError:
        return "", ""
    return (name, password) if scheme.lower() == "basic" else ("", "")
