"""A stand-in for CloudFront on your own machine: checks signed requests as CloudFront does, then serves.

For development and tests; production is served by CloudFront itself. It is nevertheless written to be safe when
someone deploys it: one raw target is both verified and served, a directory is served without listings and without
ways out of it, viewers learn no more than from CloudFront, and the log holds reasons but no signatures.

Not imitated: caching, behaviours, restrictions other than signatures, and ``response-*`` parameters of S3.
"""

from __future__ import annotations

import errno
import logging
import mimetypes
import os
import re
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import IO, Any, cast
from urllib.parse import unquote, unquote_to_bytes, urlsplit
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from webob import Request, Response
from webob.static import FileIter

from cfgate_middleware._core.checks import to_base_url
from cfgate_middleware._core.encoding import is_clean, spell_path
from cfgate_middleware._core.problems import Problems, Secret, kind_of, shown
from cfgate_middleware._core.urls import MAX_URL, without_signature
from cfgate_middleware.verify import KeyGroup, VerificationError, verify

Origin = Callable[[WSGIEnvironment, str], WSGIApplication]  # what serves a target, after the request was checked

_log = logging.getLogger(__name__)

# One line without a newline, text/xml without a charset: https://github.com/vrtdev/aws-cloudfront-authorizer
_XML = '<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code><Message>{message}</Message></Error>'
# What is refused before signatures are looked at comes as a page, not as XML:
# https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/http-403-invalid-method.html
_PAGE = (
    "<!DOCTYPE html><html><head><title>ERROR: The request could not be satisfied</title></head>"
    "<body><h1>403 ERROR</h1><h2>The request could not be satisfied.</h2></body></html>"
)
# RFC 6454 section 6.2, or "null", which scripts send after a redirect to another origin.
_ORIGIN = re.compile(r"\*|null|https?://[a-z0-9.:\[\]-]+")
_NOT_FOUND = (404, "text/plain", "Not found")


class LocalEdge:
    """A WSGI application that answers as a CloudFront distribution with one behaviour and one key group would.

    Args:
        origin: what lies behind it: a directory, or a WSGI application, which sees the request without CloudFront's
            own query parameters.
        key_group: the public keys that may have signed.
        public_url: ``scheme://host[:port]`` under which viewers reach it; what was signed must begin with it.
        allow_origin: the origins whose scripts may read what is served, as a response headers policy of the
            distribution would say: ``"*"``, or one or more such as ``"https://app.example.com"``, which may then send
            cookies. OPTIONS is allowed with it, and checked as every request is.

    Raises:
        ConfigError: naming every argument that is wrong.

    Attributes:
        public_url: as given, in lower case.
        clock: returns epoch seconds; may be replaced in tests.
    """

    def __init__(
        self,
        origin: str | os.PathLike[str] | WSGIApplication,
        key_group: KeyGroup,
        *,
        public_url: str,
        allow_origin: str | Iterable[str] | None = None,
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
        self._origins = problems.check("allow_origin", _to_origins, allow_origin)
        problems.raise_any()
        self.public_url = base_url
        self._verify = partial(verify, base_url=base_url, key_group=key_group)
        self.clock: Callable[[], float] = time.time

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        return self._answer(environ)(environ, start_response)

    def _answer(self, environ: WSGIEnvironment) -> WSGIApplication:
        base_url, target = _raw_target(environ)
        path, viewer = without_signature(target.value.partition("?")[0]), environ.get("REMOTE_ADDR")
        method = environ.get("REQUEST_METHOD", "")
        if refused := self._refused(base_url, method, environ):
            return _refuse(path, refused, 403, "text/html", _PAGE)
        if len(self.public_url) + len(target.value) > MAX_URL:
            return _refuse(path, "the URL is too long", 414, "text/html", _PAGE.replace("403", "414"))
        # As pairs: a mapping would hide cookies sent twice.
        cookies = Secret([cookie.strip().partition("=")[::2] for cookie in environ.get("HTTP_COOKIE", "").split(";")])
        try:
            verified = self._verify(target.value, cookies.value, now=self.clock(), viewer_address=viewer)
        except VerificationError as error:
            return _deny(path, f"{type(error).__name__}, {error}", error)
        answer: WSGIApplication = Response(status=200)
        if method != "OPTIONS":
            answer = self._serve(environ, verified.origin_target)
        return partial(_with_fields, answer, self._cors(environ))

    def _refused(self, base_url: str, method: str, environ: WSGIEnvironment) -> str | None:
        """Return why CloudFront would refuse a request before it looks at signatures, or None.

        https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/RequestAndResponseBehaviorS3Origin.html
        """
        methods = ("GET", "HEAD") if self._origins is None else ("GET", "HEAD", "OPTIONS")
        if method not in methods:
            return f"only {' and '.join(methods)} are allowed"
        if base_url and base_url.lower() != self.public_url:
            return "the request is for another host"
        if environ.get("CONTENT_LENGTH", "") not in ("", "0") or environ.get("HTTP_TRANSFER_ENCODING"):
            return "the request has a body"
        return None

    def _cors(self, environ: WSGIEnvironment) -> list[tuple[str, str]]:
        """Return what allows a script of the request's origin to read the answer."""
        if self._origins is None:
            return []
        origin = environ.get("HTTP_ORIGIN", "")
        fields = [("Access-Control-Allow-Origin", "*")]
        if "*" not in self._origins:
            if origin not in self._origins:
                return [("Vary", "Origin")]
            fields = [("Access-Control-Allow-Origin", origin), ("Access-Control-Allow-Credentials", "true")]
            fields += [("Vary", "Origin")]
        fields += [("Access-Control-Expose-Headers", "Accept-Ranges, Content-Range, Content-Length")]
        if asked := environ.get("HTTP_ACCESS_CONTROL_REQUEST_HEADERS"):
            fields += [("Access-Control-Allow-Headers", asked)]
        return [*fields, ("Access-Control-Allow-Methods", "GET, HEAD, OPTIONS")]


def _with_fields(
    answer: WSGIApplication,
    fields: list[tuple[str, str]],
    environ: WSGIEnvironment,
    start_response: StartResponse,
) -> Iterable[bytes]:
    def start(status: str, headers: list[tuple[str, str]], *exc_info: Any) -> Callable[[bytes], object]:
        return start_response(status, [*headers, *fields], *exc_info)

    return answer(environ, start)


def _to_origins(value: object) -> tuple[str, ...] | None:
    if value is None:
        return None
    origins = (value,) if isinstance(value, str) else tuple(value) if isinstance(value, Iterable) else ()
    if not origins or not all(isinstance(origin, str) and _ORIGIN.fullmatch(origin) for origin in origins):
        raise ValueError("expected '*', or one or more origins such as 'https://app.example.com'")
    return origins


def _raw_target(environ: WSGIEnvironment) -> tuple[str, Secret[str]]:
    """Return the request target as it was sent, or the spelling of it that servers without one leave possible.

    It is cut in two: scheme and host of a target in absolute form, or "", and the rest.
    """
    if given := environ.get("RAW_URI") or environ.get("REQUEST_URI"):
        match = re.match(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?]*", given)
        base_url = match[0] if match else ""
        return base_url, Secret(given[len(base_url) :])
    # WSGI carries the path decoded, as latin-1; the query is already as it was sent (PEP 3333).
    path = f"{environ.get('SCRIPT_NAME', '')}{environ.get('PATH_INFO', '')}" or "/"
    query = environ.get("QUERY_STRING", "")
    return "", Secret(spell_path(path.encode("latin-1", "replace")) + (f"?{query}" if query else ""))


def _forward(application: WSGIApplication, environ: WSGIEnvironment, target: str) -> WSGIApplication:
    path, _, query = target.partition("?")
    forwarded = dict(environ, SCRIPT_NAME="", PATH_INFO=unquote_to_bytes(path).decode("latin-1"), QUERY_STRING=query)
    forwarded.update((name, target) for name in ("RAW_URI", "REQUEST_URI") if name in environ)
    return lambda _, start_response: application(forwarded, start_response)


def _file(root: Path, _: WSGIEnvironment, target: str) -> WSGIApplication:
    path = target.partition("?")[0]
    try:
        decoded = unquote(path, errors="strict")
    except UnicodeDecodeError:
        return _refuse(path, "the path is not UTF-8", *_NOT_FOUND)
    if not is_clean(decoded):
        return _deny(path, "the path has dot segments, empty segments, a backslash or controls")
    name = Path(os.path.realpath(root / decoded[1:]))
    if not name.is_relative_to(root):
        return _deny(path, "the path leads out of the directory")
    try:
        file = open(_open_below(root, name), "rb")  # noqa: SIM115 (the body closes it, or the refusal)
    except OSError as error:
        if error.errno == errno.ELOOP:
            return _deny(path, "the path was changed while it was opened, or its links form a circle")
        return _refuse(path, "there is no such file, or it cannot be opened", *_NOT_FOUND)
    status = os.fstat(file.fileno())
    if decoded.endswith("/") or not stat.S_ISREG(status.st_mode):
        file.close()
        return _refuse(path, "there is no such file", *_NOT_FOUND)
    kind, encoding = mimetypes.guess_type(name)
    response = Response(
        app_iter=_FileBody(file, 0, status.st_size),
        # A .tar.gz is a file of its own, not a .tar that a browser should unpack.
        content_type="application/octet-stream" if encoding or not kind else kind,
        content_length=status.st_size,
        last_modified=status.st_mtime,
        etag=f"{status.st_mtime_ns:x}-{status.st_size:x}",
        accept_ranges="bytes",
        conditional_response=True,
    )
    return lambda environ, start_response: response(_readable(environ), start_response)


def _open_below(root: Path, name: Path) -> int:
    """Open a file whose real path is known, so that no link that was put there since can lead out of ``root``.

    Where the system can, each directory on the way is opened in the one before, without following links. Elsewhere the
    path is looked at again once the file is open, which is weaker.
    """
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)  # a FIFO must not hang a request
    if os.open not in os.supports_dir_fd or not hasattr(os, "O_NOFOLLOW"):
        descriptor = os.open(name, flags | getattr(os, "O_BINARY", 0))
        if os.path.realpath(name) == str(name) and os.path.samestat(os.fstat(descriptor), os.stat(name)):
            return descriptor
        os.close(descriptor)
        raise OSError(errno.ELOOP, "the path was changed while it was opened")
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    for part in name.relative_to(root).parts or (".",):
        try:
            inner = os.open(part, flags | os.O_NOFOLLOW, dir_fd=descriptor)
        finally:
            os.close(descriptor)
        descriptor = inner
    return descriptor


def _readable(environ: WSGIEnvironment) -> WSGIEnvironment:
    """Return environ without conditions that WebOb cannot read, so that they are ignored as RFC 9110 demands."""
    readable = dict(environ)
    if "HTTP_RANGE" in readable:  # of any number so long it is enough to know that it is large
        readable["HTTP_RANGE"] = re.sub(r"[0-9]{19,}", "9" * 18, readable["HTTP_RANGE"])
    for name in ("range", "if_range", "if_match", "if_none_match", "if_modified_since", "if_unmodified_since"):
        try:
            if getattr(getattr(Request(readable), name), "date", "") is None:  # of If-Range
                raise ValueError("not a date")
        except (ValueError, OverflowError):
            del readable[f"HTTP_{name.upper()}"]
            if name == "if_range":  # what is not known to be the same is sent whole
                readable.pop("HTTP_RANGE", None)
    return readable


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
    _log.warning("%d for %s: %s", status, shown(path), reason)
    headers = [("Content-Type", content_type), ("Content-Length", str(len(text)))]
    headers += [("Server", "CloudFront"), ("X-Cache", "Error from cloudfront")]
    return Response(status=status, headerlist=headers, app_iter=[text.encode("ascii")])
