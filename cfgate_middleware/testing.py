"""Fixtures for pytest: keys, CloudFront's side, and a client that follows redirects from a gate to it, in process.

Switch them on in ``conftest.py`` with ``pytest_plugins = ["cfgate_middleware.testing"]``. Nothing else imports pytest.
PYTEST_DONT_REWRITE: there is no assert here, and a module may import types from here before its plugins are loaded.
"""

from __future__ import annotations

import asyncio
import contextvars
import http.cookiejar
import re
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from email.message import Message
from functools import partial
from typing import Any, NamedTuple, cast
from urllib.parse import quote, unquote_to_bytes, urlencode, urljoin, urlsplit
from wsgiref.types import WSGIApplication

import pytest
from webob import Request, Response

from cfgate_middleware._core.checks import is_async
from cfgate_middleware._keys.pem import generate
from cfgate_middleware._keys.signer import Signer
from cfgate_middleware.edge import LocalEdge
from cfgate_middleware.verify import KeyGroup

APP_URL = "https://app.example.com"
EDGE_URL = "https://cdn.example.com"  # cookies for example.com reach both
_REDIRECTS = (301, 302, 303, 307, 308)
_MAX_REDIRECTS = 10


class Keys:
    """A throwaway ECDSA key pair.

    Attributes:
        key_pair_id: ``"KTEST"``.
        signer: signs with it: ``Distribution(…, signer=cfgate_keys.signer)``.
        key_group: trusts it: for ``verify_url`` and ``LocalEdge``.
    """

    def __init__(self) -> None:
        self._private_key = generate("ECDSA")
        self.key_pair_id = "KTEST"
        self.signer = Signer(self.key_pair_id, self._private_key.value)
        self.key_group = KeyGroup({self.key_pair_id: self.signer.public_key_pem()})

    @property
    def private_key(self) -> str:
        """The private key in PEM, for an application that is configured with options or environment variables."""
        return self._private_key.value.decode("ascii")

    @property
    def public_key(self) -> str:
        """The public key in PEM."""
        return self.signer.public_key_pem()


class Answer(Response):
    """A ``webob.Response`` that also knows where it is from.

    Attributes:
        url: of the request it answers, after all redirects.
        history: the redirects on the way, first to last.
    """

    url: str
    history: tuple[Answer, ...]


class _Sent(NamedTuple):
    """A request of a client."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes
    environ: Mapping[str, Any]


class Client:
    """A browser without a network: it keeps cookies, and follows redirects between an application and edges.

    A redirect to a host that is neither is returned as it is. SameSite is not imitated, and ASGI applications run
    without their lifespan.

    Args:
        application: WSGI or ASGI.
        edges: each serves the URLs below its ``public_url``.
        url: where the application is, as ``scheme://host[:port]``.
    """

    def __init__(self, application: Any, *edges: LocalEdge, url: str = APP_URL) -> None:
        self._url = url.rstrip("/")
        self._sites: dict[str, Any] = {self._url: application, **{edge.public_url: edge for edge in edges}}
        self._loop = _Loop()
        self.cookies = http.cookiejar.CookieJar()

    def get(self, url: str, *, headers: Mapping[str, str] | None = None, **options: Any) -> Answer:
        """Send a GET; arguments as for :meth:`request`."""
        return self.request("GET", url, headers=headers, **options)

    def post(self, url: str, fields: Mapping[str, str], **options: Any) -> Answer:
        """Send a form; arguments as for :meth:`request`."""
        headers = {"Content-Type": "application/x-www-form-urlencoded", **(options.pop("headers", None) or {})}
        return self.request("POST", url, headers=headers, body=urlencode(fields).encode("ascii"), **options)

    def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        environ: Mapping[str, Any] | None = None,
        follow: bool = True,
    ) -> Answer:
        """Send a request and return the last answer.

        Args:
            url: a path of the application, or a whole URL of it or of an edge.
            environ: members of environ that a server sets, such as ``REMOTE_USER``; of scope, for ASGI.
            follow: whether to follow redirects.
        """
        if url.startswith("/"):
            url = self._url + url
        sent = _Sent(method, _escaped(url), headers or {}, body, environ or {})
        history: list[Answer] = []
        while True:
            answer = self._send(sent)
            answer.url, answer.history = sent.url, tuple(history)
            location = urljoin(sent.url, _escaped(answer.headers.get("Location", "about:nowhere")))
            if not follow or answer.status_code not in _REDIRECTS or _site(location) not in self._sites:
                return answer
            history.append(answer)
            if len(history) > _MAX_REDIRECTS:
                raise AssertionError(f"more than {_MAX_REDIRECTS} redirects, to {location.partition('?')[0]}")
            sent = _redirected(sent, answer.status_code, location)

    def close(self) -> None:
        """End what runs ASGI applications."""
        self._loop.close()

    def _send(self, sent: _Sent) -> Answer:
        if (application := self._sites.get(_site(sent.url))) is None:
            raise ValueError(f"{_site(sent.url)} is not one of {', '.join(self._sites)}")
        asked = urllib.request.Request(sent.url)  # noqa: S310 (never opened: it is what a cookie jar understands)
        if "Cookie" not in sent.headers:
            self.cookies.add_cookie_header(asked)
            if cookie := asked.get_header("Cookie"):
                sent = sent._replace(headers={**sent.headers, "Cookie": cookie})
        if is_async(application):
            answer = self._loop.run(_call_asgi(application, sent))
        else:
            answer = _call_wsgi(application, sent)
        self.cookies.extract_cookies(cast(Any, _CookieFields(answer)), asked)
        return answer


MakeEdge = Callable[..., LocalEdge]
"""What ``cfgate_edge`` is: takes an origin, and ``public_url`` and ``allow_origin`` as keywords."""

MakeClient = Callable[..., Client]
"""What ``cfgate_client`` is: takes what :class:`Client` takes."""


@pytest.fixture(scope="session")
def cfgate_keys() -> Keys:
    """A key pair, its id, a signer and a key group, made once."""
    return Keys()


@pytest.fixture
def cfgate_edge(cfgate_keys: Keys) -> MakeEdge:
    """Make a ``LocalEdge`` over a directory or a WSGI application, which trusts ``cfgate_keys``."""
    return partial(LocalEdge, key_group=cfgate_keys.key_group, public_url=EDGE_URL)


@pytest.fixture
def cfgate_client() -> Iterator[MakeClient]:
    """Make a ``Client`` of a WSGI or ASGI application and of edges."""
    with ExitStack() as stack:

        def make(application: Any, *edges: LocalEdge, url: str = APP_URL) -> Client:
            client = Client(application, *edges, url=url)
            stack.callback(client.close)
            return client

        yield make


def _site(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _escaped(url: str) -> str:
    """Return a URL as browsers send it: without fragment, and with the least of percent-encoding."""
    return re.sub(r"[^!-~]+", lambda match: quote(match[0]), url.partition("#")[0])


def _redirected(sent: _Sent, status: int, location: str) -> _Sent:
    """Return the next request, as browsers and the Fetch standard make it."""
    kept = dict(sent.headers)
    kept.pop("Cookie", None)  # of the next host, the jar knows
    if _site(location) != _site(sent.url):
        kept = {name: value for name, value in kept.items() if name.lower() != "authorization"}
    if sent.method == "HEAD" or status in (307, 308) or (sent.method != "POST" and status != 303):
        return sent._replace(url=location, headers=kept)
    kept = {name: value for name, value in kept.items() if name.lower() != "content-type"}
    return sent._replace(method="GET", url=location, headers=kept, body=b"")


def _call_wsgi(application: WSGIApplication, sent: _Sent) -> Answer:
    target = sent.url.removeprefix(_site(sent.url)) or "/"
    request = Request.blank(sent.url, method=sent.method, body=sent.body)
    request.headers.update(sent.headers)
    request.environ.update({"REMOTE_ADDR": "127.0.0.1", "RAW_URI": target, **sent.environ})
    status, headers, app_iter = request.call_application(application)
    try:
        body = b"".join(app_iter)
    finally:
        getattr(app_iter, "close", lambda: None)()
    return Answer(status=status, headerlist=headers, app_iter=[body])


async def _call_asgi(application: Any, sent: _Sent) -> Answer:
    parts = urlsplit(sent.url)
    raw_path, query = (text.encode("ascii") for text in (parts.path or "/", parts.query))
    headers = {"Host": parts.netloc, **sent.headers}
    if sent.body:
        headers["Content-Length"] = str(len(sent.body))
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": sent.method,
        "scheme": parts.scheme,
        "path": unquote_to_bytes(raw_path).decode("utf-8", "replace"),
        "raw_path": raw_path,
        "query_string": query,
        "root_path": "",
        "headers": [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()],
        "client": ("127.0.0.1", 50000),
        "server": (parts.hostname, parts.port or {"http": 80, "https": 443}[parts.scheme]),
        **sent.environ,
    }
    started: dict[str, Any] = {}
    chunks: list[bytes] = []
    finished = asyncio.Event()
    messages = [{"type": "http.request", "body": sent.body, "more_body": False}]

    async def receive() -> dict[str, Any]:
        if messages:
            return messages.pop()
        await finished.wait()
        return {"type": "http.disconnect"}

    async def send(message: Mapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            started.update(message)
        elif message["type"] == "http.response.body":
            chunks.append(message.get("body", b""))
            if not message.get("more_body"):
                finished.set()

    await application(scope, receive, send)
    if not started:
        raise AssertionError("the ASGI application sent no answer")
    fields = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in started.get("headers", ())]
    body = b"" if sent.method == "HEAD" else b"".join(chunks)
    return Answer(status=started["status"], headerlist=fields, app_iter=[body])


class _Loop:
    """One event loop for all requests of a client, in a thread, so that asynchronous tests can use it too."""

    def __init__(self) -> None:
        self._thread: ThreadPoolExecutor | None = None
        self._runner = asyncio.Runner()

    def run(self, coroutine: Any) -> Answer:
        self._thread = self._thread or ThreadPoolExecutor(1)
        context = contextvars.copy_context()
        return cast(Answer, self._thread.submit(self._runner.run, coroutine, context=context).result())

    def close(self) -> None:
        if self._thread is not None:
            self._thread.submit(self._runner.close).result()
            self._thread.shutdown()


class _CookieFields:
    """An answer as a cookie jar reads it."""

    def __init__(self, answer: Answer) -> None:
        self._message = Message()
        for value in answer.headers.getall("Set-Cookie"):
            self._message["Set-Cookie"] = value

    def info(self) -> Message:
        return self._message
