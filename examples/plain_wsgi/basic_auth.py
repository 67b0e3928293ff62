"""Private folders behind HTTP Basic authentication, in plain WSGI: ``python examples/plain_wsgi/basic_auth.py``."""

from __future__ import annotations

import base64
import hmac
import logging
import os
from collections.abc import Iterable
from wsgiref.types import StartResponse, WSGIEnvironment

from waitress import serve
from webob import Response

from cfgate_middleware import CloudFrontGate

USERS = {"ann": "correct horse", "bob": "battery staple"}  # a real site stores hashes


def authorize(environ: WSGIEnvironment) -> bool | Response:
    """Let users read the folder named after them, and ask everybody else for a password."""
    user = user_of(environ)
    if user is None:
        return Response(status=401, www_authenticate='Basic realm="private folders", charset="UTF-8"')
    path: str = environ["cfgate.path"]  # what will be signed: decoded, without the prefix
    return path.startswith(f"/{user}/")


def user_of(environ: WSGIEnvironment) -> str | None:
    """Return the user whose name and password the request contains (RFC 7617)."""
    scheme, _, given = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
    if scheme.lower() == "basic":
        for user, password in USERS.items():
            expected = base64.b64encode(f"{user}:{password}".encode())
            if hmac.compare_digest(given.encode("latin-1"), expected):
                return user
    return None


def website(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Reply to everything that is not private."""
    return Response('<a href="/private/ann/report.pdf">A report for Ann</a>')(environ, start_response)


application = CloudFrontGate(
    website,
    authorize,
    prefix="/private",
    domain="https://d111111abcdef8.cloudfront.net",
    key_pair_id="K2JCJMDEHXQW5F",
    private_key="env:CFGATE_PRIVATE_KEY",
)

if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    serve(application, host="127.0.0.1", port=os.environ.get("PORT", "8080"))
