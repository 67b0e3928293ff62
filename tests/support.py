"""A gate at a fixed time, a client that holds it to WSGI on both sides, and CloudFront's opinion of its answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from enum import Enum
from typing import Any, NamedTuple, cast
from urllib.parse import urlsplit
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import pytest

from cfgate_middleware import CloudFrontGate, Signer
from cfgate_middleware.verify import KeyGroup, Verified, verify_url
from tests.conftest import KEY_PAIR_ID, KEYS, NOW

BASE_URL = "https://cdn.example.com"
SIGNER = Signer(KEY_PAIR_ID, (KEYS / "p256-pkcs8.pem").read_text())
KEY_GROUP = KeyGroup({KEY_PAIR_ID: (KEYS / "p256-public.pem").read_text()})
Headers = list[tuple[str, str]]
Log = pytest.LogCaptureFixture
Patch = pytest.MonkeyPatch
Pem = Callable[[str], str]
PublicPem = Callable[[Signer], str]


class Answer(NamedTuple):
    """What a client got."""

    status: str
    headers: Headers
    body: bytes

    @property
    def code(self) -> int:
        """The status as a number."""
        return int(self.status.split()[0])

    def values(self, name: str) -> list[str]:
        """Return the values of every header field of this name."""
        return [value for key, value in self.headers if key.lower() == name.lower()]

    @property
    def location(self) -> str:
        """The one Location."""
        (location,) = self.values("Location")
        return location


class Judge:
    """An authorizer with one verdict for all, which remembers the paths it was asked about."""

    def __init__(self, verdict: Any = True) -> None:
        self._verdict = verdict
        self.asked: list[str] = []

    def __call__(self, environ: WSGIEnvironment) -> Any:
        self.asked.append(environ["cfgate.path"])
        if isinstance(self._verdict, Exception):
            raise self._verdict
        return self._verdict


class Choice(str, Enum):  # noqa: UP042  # this kind of enum, older than StrEnum, has another str()
    """Scopes, kinds of answers and attributes of cookies, as a user may name them."""

    DIRECTORY = "directory"
    COOKIES = "cookies"
    STRICT = "strict"


class Fake:
    """A signer that remembers what it signed, and returns, raises or calls its outcome."""

    def __init__(self, key_pair_id: Any = "K1", hash_algorithm: Any = "SHA256", outcome: Any = b"signature") -> None:
        self.key_pair_id, self.hash_algorithm, self.outcome = key_pair_id, hash_algorithm, outcome
        self.messages: list[bytes] = []

    def sign(self, message: bytes) -> Any:
        """Keep the message, and return the outcome."""
        self.messages.append(message)
        if isinstance(self.outcome, BaseException):
            raise self.outcome
        return self.outcome(message) if callable(self.outcome) else self.outcome

    @property
    def signed(self) -> Counter[bytes]:
        """How often it signed what."""
        return Counter(self.messages)


class Wrapped:
    """The application behind a gate, which remembers every environ it got and checks each, unless told not to."""

    def __init__(self, strict: bool = True) -> None:
        self._app = validator(_wrapped_answer) if strict else _wrapped_answer
        self.calls: list[WSGIEnvironment] = []

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Any:
        self.calls.append(environ)
        return self._app(environ, start_response)


def _wrapped_answer(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [b"wrapped\n"]


def gate(authorize: Any, app: WSGIApplication | None = None, **options: Any) -> CloudFrontGate:
    """Return a gate whose clock stands still; ``options`` replace the tests' own."""
    made = CloudFrontGate(app, authorize, **{"prefix": "/private", "domain": BASE_URL, "signer": SIGNER, **options})
    made.clock = lambda: NOW
    return made


def by(table: Mapping[Any, Iterable[Any]]) -> list[tuple[Any, Any]]:
    """Return one test case for each value of a table that holds, by what is expected, of which values that is so."""
    return [(value, expected) for expected, values in table.items() for value in values]


def environ_for(
    path: str | bytes, *, method: str = "GET", query: str = "", mount: str = "/mount", **extra: Any
) -> WSGIEnvironment:
    """Return the environ a server makes of a request for a decoded path below ``mount``."""
    raw = path.encode("utf-8") if isinstance(path, str) else path
    environ: WSGIEnvironment = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": mount,
        "PATH_INFO": raw.decode("latin-1"),
        "QUERY_STRING": query,
        **extra,
    }
    setup_testing_defaults(environ)
    return environ


def fetch(app: WSGIApplication, path: str | bytes, *, method: str = "GET", strict: bool = True, **extra: Any) -> Answer:
    """Ask ``app`` for a decoded path below ``mount`` and read the whole answer.

    Args:
        strict: whether the request itself must be one that WSGI allows; the answer always must.
        extra: query, mount, and more of environ.
    """
    environ = environ_for(path, method=method, **extra)
    checked = validator(app if strict else lambda _, start_response: app(environ, start_response))
    started: list[tuple[str, Headers]] = []
    written: list[bytes] = []

    def start_response(status: str, headers: Headers, exc_info: Any = None, /) -> Any:
        assert exc_info or not started, "a response is started anew only with exc_info"
        started.append((status, headers))
        return written.append

    plain = environ if strict else environ_for("/")
    with closing(cast(Any, checked(plain, start_response))) as body:
        content = b"".join(body)
    assert method != "HEAD" or not content
    return Answer(*started[-1], b"".join(written) + content)


def verified(location: str, *, now: float = NOW, viewer_address: str | None = None) -> Verified:
    """Return what CloudFront takes from a signed URL of the tests' key, or raise why it refuses."""
    parts = urlsplit(location)
    base_url = f"{parts.scheme}://{parts.netloc}"
    return verify_url(
        location.removeprefix(base_url), base_url=base_url, key_group=KEY_GROUP, now=now, viewer_address=viewer_address
    )
