"""Answers of other WSGI applications: held back until they are known, and started with other header fields.

https://peps.python.org/pep-3333/
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Any, cast
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from cfgate_middleware._core.checks import is_deferred
from cfgate_middleware._core.problems import Secret
from cfgate_middleware.errors import AuthorizerError


class CapturedAnswer:
    """What a WSGI application answers, held back until its status and header fields are known (PEP 3333).

    Raises:
        AuthorizerError: if the application never calls start_response, or calls it twice.
    """

    def __init__(self, app: WSGIApplication, environ: WSGIEnvironment, start_response: StartResponse) -> None:
        self._start_response = start_response
        self._started: tuple[str, list[tuple[str, str]]] | None = None
        self._write: Callable[[bytes], object] | None = None  # the server's, once this is sent
        self._chunks: list[bytes] = []  # what was written or iterated before
        self._body = app(environ, self._start)
        self._rest: Iterator[bytes] | None = None
        try:
            if self._started is None:  # such as a generator, which starts while it is iterated
                self._rest = iter(self._body)
                while self._started is None and not any(self._chunks):
                    self._chunks.append(next(self._rest))
        except StopIteration:
            pass
        except BaseException:
            self.close()
            raise
        if self._started is None:
            self.close()
            raise AuthorizerError("the application answered without calling start_response; nothing was sent")

    @property
    def code(self) -> int:
        """The status as a number."""
        return int(self._now()[0].split(" ", 1)[0])

    def values(self, name: str) -> list[str]:
        """Return the values of all header fields of this name."""
        folded = name.lower()
        return [value for field, value in self._now()[1] if field.lower() == folded]

    def send(self, without: str | None = None) -> Iterable[bytes]:
        """Send the answer as it is, but for a field; what is not there yet is not waited for."""
        status, headers = self._now()
        if without is not None:
            headers = [field for field in headers if field[0].lower() != without.lower()]
        self._write = self._start_response(status, headers)
        if not self._chunks and self._rest is None:
            return self._body  # the server may know a better way to send it than chunk by chunk
        return _Closing(chain(self._chunks, self._rest or self._body), self.close)

    def close(self) -> None:
        """Close the application's body, which it waits for."""
        getattr(self._body, "close", lambda: None)()

    def _now(self) -> tuple[str, list[tuple[str, str]]]:
        return cast("tuple[str, list[tuple[str, str]]]", self._started)

    def _start(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], object]:
        if self._write is not None:
            return self._start_response(status, headers, exc_info)
        if self._started is not None and exc_info is None:
            raise AuthorizerError("the application called start_response twice; nothing was sent")
        self._started = (status, list(headers))
        return self._write_chunk

    def _write_chunk(self, data: bytes) -> None:
        (self._chunks.append if self._write is None else self._write)(data)


class _Closing:
    """Chunks of a body, with what closes it."""

    def __init__(self, chunks: Iterator[bytes], close: Callable[[], None]) -> None:
        self.close = close
        self._chunks = chunks

    def __iter__(self) -> Iterator[bytes]:
        return self._chunks


def with_fields(start_response: StartResponse, fields: list[tuple[str, str]]) -> StartResponse:
    """Return what starts a response with fields that allow an origin, unless it has its own."""

    def start(status: str, headers: list[tuple[str, str]], *exc_info: Any) -> Callable[[bytes], object]:
        own = any(name.lower() == "access-control-allow-origin" for name, _ in headers)
        sent = Secret(headers if own else [*headers, *fields])
        del headers  # which may hold a signed URL
        return start_response(status, sent.value, *exc_info)

    return start


def no_store(start_response: StartResponse) -> StartResponse:
    """Return what starts a response that is not ours, so that no cache keeps it unless it says how."""

    def start(status: str, headers: list[tuple[str, str]], *exc_info: Any) -> Callable[[bytes], object]:
        if not any(name.lower() == "cache-control" for name, _ in headers):
            headers = [*headers, ("Cache-Control", "no-store")]
        return start_response(status, headers, *exc_info)

    return start


def is_wsgi_response(verdict: object) -> bool:
    """Return whether a verdict is a WSGI application that answers: an instance, not a class, and not asynchronous."""
    return callable(verdict) and not isinstance(verdict, type) and not is_deferred(verdict)
