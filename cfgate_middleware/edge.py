"""A stand-in for CloudFront on your own machine: checks signed requests as CloudFront does, then serves.

For development and tests; production is served by CloudFront itself. It is nevertheless written to be safe when
someone deploys it: one raw target is both verified and served, a directory is served without listings and without
ways out of it, viewers learn no more than from CloudFront, and the log holds reasons but no signatures.

Not imitated: caching, behaviours, restrictions other than signatures, and ``response-*`` parameters of S3.
"""

from __future__ import annotations

import logging
import mimetypes
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import IO, cast
from urllib.parse import unquote, unquote_to_bytes, urlsplit
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from webob import Response
from webob.static import FileIter

from cfgate_middleware._core.checks import to_base_url
from cfgate_middleware._core.encoding import is_clean, spell_path
from cfgate_middleware._core.problems import Problems, Secret, kind_of, shown
from cfgate_middleware.verify import KeyGroup, VerificationError, verify

# One line without a newline, text/xml without a charset: https://github.com/vrtdev/aws-cloudfront-authorizer
_XML = '<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code><Message>{message}</Message></Error>'
# What is refused before signatures are looked at comes as a page, not as XML:
# https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/http-403-invalid-method.html
_PAGE = (
    "<!DOCTYPE html><html><head><title>ERROR: The request could not be satisfied</title></head>"
    "<body><h1>403 ERROR</h1><h2>The request could not be satisfied.</h2>"
    "<p>This distribution is not configured to allow the HTTP request method that was used.</p></body></html>"
)
_NOT_FOUND = (404, "text/plain", "Not found")
Origin = Callable[[WSGIEnvironment, str], WSGIApplication]  # what serves a target, after the request was checked


class LocalEdge:
    """A WSGI application that answers as a CloudFront distribution with one behaviour and one key group would.

    Args:
        origin: a directory, or a WSGI application, which sees requests without CloudFront's own query parameters.
        key_group: the public keys that may have signed.
        public_url: ``scheme://host[:port]`` under which viewers reach it; what was signed must begin with it.

    Raises:
        ConfigError: naming every argument that is wrong.

    Attributes:
        clock: returns epoch seconds; may be replaced in tests.
    """

    def __init__(
        self, origin: str | os.PathLike[str] | WSGIApplication, key_group: KeyGroup, *, public_url: str
    ) -> None:
        problems = Problems()
        if callable(origin):
            self._serve: Origin = partial(_forward, origin)
        elif isinstance(origin, str | os.PathLike) and os.path.isdir(origin):
            self._serve = partial(_file, Path(os.path.realpath(origin)))
        else:
            problems.add(f"origin={shown(origin)}: expected an existing directory or a WSGI application")
        base_url = problems.check("public_url", to_base_url, public_url) or ""
        if urlsplit(base_url).path:
            problems.add(f"public_url={shown(public_url)}: expected no path; an edge is at the root of its host")
        if not isinstance(cast(object, key_group), KeyGroup):
            problems.add(f"key_group is {kind_of(key_group)}: expected a KeyGroup")
        problems.raise_any()
        self._verify = partial(verify, base_url=base_url, key_group=key_group)
        self.clock: Callable[[], float] = time.time

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        target = Secret(_raw_target(environ))
        path = target.value.partition("?")[0]
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            return _refuse(path, "only GET and HEAD are allowed", 403, "text/html", _PAGE)(environ, start_response)
        # As pairs: a mapping would hide cookies sent twice.
        cookies = Secret([cookie.strip().partition("=")[::2] for cookie in environ.get("HTTP_COOKIE", "").split(";")])
        viewer = environ.get("REMOTE_ADDR")
        try:
            verified = self._verify(target.value, cookies.value, now=self.clock(), viewer_address=viewer)
        except VerificationError as error:
            return _deny(path, f"{type(error).__name__}, {error}", error)(environ, start_response)
        return self._serve(environ, verified.origin_target)(environ, start_response)


def _raw_target(environ: WSGIEnvironment) -> str:
    """Return the request target as it was sent, or the spelling of it that servers without one leave possible."""
    target: str | None = environ.get("RAW_URI") or environ.get("REQUEST_URI")
    if target:
        return re.sub(r"\A[A-Za-z][A-Za-z0-9+.-]*://[^/?]*", "", target)
    # WSGI carries the path decoded, as latin-1; the query is already as it was sent (PEP 3333).
    path = f"{environ.get('SCRIPT_NAME', '')}{environ.get('PATH_INFO', '')}" or "/"
    query = environ.get("QUERY_STRING", "")
    return spell_path(path.encode("latin-1", "replace")) + (f"?{query}" if query else "")


def _forward(application: WSGIApplication, environ: WSGIEnvironment, target: str) -> WSGIApplication:
    path, _, query = target.partition("?")
    forwarded = dict(environ, SCRIPT_NAME="", PATH_INFO=unquote_to_bytes(path).decode("latin-1"), QUERY_STRING=query)
    forwarded.update((name, target) for name in ("RAW_URI", "REQUEST_URI") if name in environ)
    return lambda _, start_response: application(forwarded, start_response)


def _file(root: Path, _: WSGIEnvironment, target: str) -> Response:
    path = target.partition("?")[0]
    try:
        decoded = unquote(path, errors="strict")
    except UnicodeDecodeError:
        return _refuse(path, "the path is not UTF-8", *_NOT_FOUND)
    if not is_clean(decoded):
        return _deny(path, "the path has dot segments, empty segments, a backslash or controls")
    name = os.path.realpath(root / decoded[1:])
    if not Path(name).is_relative_to(root):
        return _deny(path, "the path leads out of the directory")
    if decoded.endswith("/") or not os.path.isfile(name):
        return _refuse(path, "there is no such file", *_NOT_FOUND)
    try:
        file = open(name, "rb")  # noqa: SIM115 (the response body closes it)
    except OSError:
        return _refuse(path, "the file cannot be opened", *_NOT_FOUND)
    kind, encoding = mimetypes.guess_type(name)
    status = os.fstat(file.fileno())
    return Response(
        app_iter=_FileBody(file, 0, status.st_size),
        # A .tar.gz is a file of its own, not a .tar that a browser should unpack.
        content_type="application/octet-stream" if encoding or not kind else kind,
        content_length=status.st_size,
        last_modified=status.st_mtime,
        etag=f"{status.st_mtime_ns:x}-{status.st_size:x}",
        accept_ranges="bytes",
        conditional_response=True,
    )


class _FileBody:
    """A part of an open file as a response body, closed whether or not it was read."""

    def __init__(self, file: IO[bytes], start: int, stop: int) -> None:
        self._file, self._start, self._stop = file, start, stop

    def app_iter_range(self, start: int, stop: int) -> _FileBody:
        return _FileBody(self._file, start, stop)  # for WebOb, when it answers a Range

    def __iter__(self) -> Iterator[bytes]:
        return iter(FileIter(self._file).app_iter_range(self._start, self._stop))

    def close(self) -> None:
        self._file.close()


def _deny(path: str, reason: str, error: VerificationError | type[VerificationError] = VerificationError) -> Response:
    return _refuse(path, reason, 403, "text/xml", _XML.format(code=error.code, message=error.message))


def _refuse(path: str, reason: str, status: int, content_type: str, text: str) -> Response:
    """Log the path and the true reason, and answer with what CloudFront would say."""
    logging.getLogger(__name__).warning("%d for %s: %s", status, shown(path), reason)
    headers = [("Content-Type", content_type), ("Content-Length", str(len(text)))]
    headers += [("Server", "CloudFront"), ("X-Cache", "Error from cloudfront")]
    return Response(status=status, headerlist=headers, app_iter=[text.encode("ascii")])
