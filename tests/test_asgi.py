"""The gate for ASGI: the same answers as the gate for WSGI, and what only ASGI has."""

from __future__ import annotations

import asyncio
import contextvars
import functools
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote_to_bytes

import pytest

from cfgate_middleware import (
    ASK,
    PASS,
    AuthorizerError,
    ConfigError,
    DecisionRecord,
    Grant,
    SigningError,
    allow,
    ask_app,
)
from cfgate_middleware._core.answers import KINDS
from cfgate_middleware.asgi import CloudFrontGate
from cfgate_middleware.authorizers import FIELD
from tests.conftest import KEY_PAIR_ID, NOW
from tests.support import BASE_URL, SIGNER, Answer, Judge, fetch, verified
from tests.support import gate as wsgi_gate

Scope = dict[str, Any]
App = Callable[..., Awaitable[None]]


class Server:
    """One request to an ASGI application: what it is given, and what it sends."""

    def __init__(
        self, raw: bytes, method: str = "GET", query: bytes = b"", mount: str = "", kind: str = "http", **fields: str
    ):
        headers = [(name.lower().replace("_", "-").encode(), value.encode("latin-1")) for name, value in fields.items()]
        path = mount + raw_to_path(raw)
        self.scope: Scope = {"type": kind, "method": method, "path": path, "raw_path": mount.encode() + raw}
        self.scope |= {"query_string": query, "root_path": mount, "headers": headers, "asgi": {"version": "3.0"}}
        self.sent: list[Any] = []
        self.received = 0

    async def receive(self) -> Scope:
        """Give a request without a body."""
        self.received += 1
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(self, message: Any) -> None:
        """Keep a message, and hold it to the protocol."""
        kinds = [earlier["type"] for earlier in self.sent]
        assert message["type"] != "http.response.start" or not kinds
        assert message["type"] != "http.response.body" or kinds
        if message["type"] == "http.response.start":
            assert all(
                type(part) is bytes and (number or part == part.lower())
                for field in message["headers"]
                for number, part in enumerate(field)
            )
        self.sent.append(message)

    def run(self, app: Any) -> Answer:
        """Ask an application, and return the whole answer in the form of the other tests."""
        asyncio.run(app(self.scope, self.receive, self.send))
        start, *bodies = self.sent
        assert not any(body.get("more_body") for body in bodies[-1:])
        headers = [(name.decode(), value.decode("latin-1")) for name, value in start["headers"]]
        phrase = HTTPStatus(start["status"]).phrase if start["status"] in list(HTTPStatus) else "Refused"
        return Answer(f"{start['status']} {phrase}", headers, b"".join(body.get("body", b"") for body in bodies))


def raw_to_path(raw: bytes) -> str:
    """Return the path as servers decode it."""
    return unquote_to_bytes(raw).decode("utf-8", "replace")


async def wrapped(scope: Scope, receive: Any, send: Any) -> None:
    """Answer as the application of the other tests does."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else b"wrapped\n"})


def gate(authorize: Any, app: Any = wrapped, **options: Any) -> CloudFrontGate:
    """Return a gate for ASGI like that of the other tests."""
    made = CloudFrontGate(app, authorize, **{"prefix": "/private", "domain": BASE_URL, "signer": SIGNER, **options})
    made.clock = lambda: NOW
    return made


def wsgi_wrapped(environ: Any, start_response: Any) -> list[bytes]:
    """The same application for WSGI."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [b"wrapped\n"]


VERDICTS: list[Any] = [True, False, 204, 404, 451, PASS, Grant(), Grant(scope="/"), Grant(answer="cookies", expires=5)]
VERDICTS += [Grant(headers=[("X-A", "1"), ("Set-Cookie", "a=b")], filename="é.pdf", ip_address="203.0.113.7")]
REQUESTS: list[tuple[bytes, str, bytes]] = [
    *(
        (path, "GET", b"")
        for path in (b"/private/a.pdf", b"/private/%C3%A9%20(1)", b"/private", b"/private/", b"/private/d/")
    ),
    *(
        (path, "GET", b"")
        for path in (b"/private/..", b"/private//a", b"/private/%ff", b"/private/%00", b"//private/a")
    ),
    *((path, "GET", b"") for path in (b"/%2570rivate/a", b"/private/..%252fa", b"/other", b"/", b"/privatefoo")),
    *((b"/private/a.pdf", method, b"") for method in ("HEAD", "POST", "DELETE", "OPTIONS", "get")),
    (b"/private/a.pdf", "GET", b"v=1&w=2"),
    (b"/private/a.pdf", "GET", b"v=1&v=2"),
    (b"/private/" + b"x" * 9000, "GET", b""),
]


@pytest.mark.parametrize("mount", ["", "/mnt"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("verdict", VERDICTS, ids=repr)
def test_both_shells_answer_alike(kind: str, verdict: Any, mount: str) -> None:
    """Status, header fields, body and record are equal for every kind of answer, verdict and request."""
    for raw, method, query in REQUESTS:
        for accept, origin in (("application/json", "https://app.example.com"), ("text/html", "")):
            records: tuple[list[DecisionRecord], list[DecisionRecord]] = ([], [])
            judges = (Judge(verdict), Judge(verdict))
            common: dict[str, Any] = {"answer": kind, "forward_query": ["v"], "allow_origin": "https://app.example.com"}
            ours = gate(judges[0], on_decision=records[0].append, **common)
            theirs = wsgi_gate(judges[1], wsgi_wrapped, on_decision=records[1].append, **common)
            answer = Server(raw, method, query, mount, accept=accept, origin=origin).run(ours)
            extra: dict[str, Any] = {"HTTP_ACCEPT": accept, "HTTP_ORIGIN": origin}
            other = fetch(
                theirs, unquote_to_bytes(raw), method=method, query=query.decode(), mount=mount, strict=False, **extra
            )
            assert answer.code == other.code
            assert sorted(answer.headers) == sorted((name.lower(), value) for name, value in other.headers)
            assert (answer.body, records[0], judges[0].asked) == (other.body, records[1], judges[1].asked)


async def coroutine(scope: Scope) -> Any:
    """An authorizer that waits."""
    await asyncio.sleep(0)
    return Grant(expires=7)


class Instance:
    """The same as an object."""

    async def __call__(self, scope: Scope) -> Any:
        return await coroutine(scope)


@pytest.mark.parametrize(
    "authorize", [coroutine, Instance(), functools.partial(coroutine), lambda scope: coroutine(scope)]
)
def test_an_authorizer_may_wait(authorize: Any) -> None:
    """A coroutine function, an object with one, and a plain function that returns an awaitable are awaited."""
    answer = Server(b"/private/a").run(gate(authorize))
    assert verified(answer.location).policy.end == NOW + 7


USER: contextvars.ContextVar[str] = contextvars.ContextVar("USER")


def test_a_plain_authorizer_runs_in_a_thread_with_the_same_context() -> None:
    """A plain function does not hold up the loop, and sees the context variables of its request."""
    import threading

    seen: list[Any] = []

    def authorize(scope: Scope) -> bool:
        seen.append((USER.get(), threading.current_thread() is threading.main_thread(), scope["cfgate.path"]))
        return True

    USER.set("ada")
    server = Server(b"/private/a")
    assert server.run(gate(authorize)).code == 303
    assert seen == [("ada", False, "/a")]
    assert "cfgate.path" not in server.scope
    assert server.received == 0


def test_a_signer_that_blocks_signs_in_a_thread() -> None:
    """A foreign signer may ask a service, unless it says that it does not block; a local key signs at once."""
    import threading

    signed_in: list[bool] = []

    class Remote:
        key_pair_id, hash_algorithm = KEY_PAIR_ID, "SHA256"

        def __init__(self, **more: Any) -> None:
            self.__dict__.update(more)

        def sign(self, message: bytes) -> bytes:
            signed_in.append(threading.current_thread() is threading.main_thread())
            return SIGNER.sign(message)

    for signer in (Remote(), Remote(blocks=False)):
        assert verified(Server(b"/private/a").run(gate(coroutine, signer=signer)).location)
    assert signed_in[-2:] == [False, True]
    assert SIGNER.blocks is False


@pytest.mark.parametrize(
    ("raw", "path", "root", "signed"),
    [
        (b"/private/a%2Fb", "/private/a/b", "", "/a/b"),
        (b"/private/a%3Fb?x=1", "/private/a?b", "", "/a%3Fb"),
        (b"/mnt/private/a", "/mnt/private/a", "/mnt", "/a"),
        (b"/private/a", "/mnt/private/a", "/mnt", "/a"),
        (b"/private/a", "/private/a", "/mnt", "/a"),
        (None, "/mnt/private/\xe9", "/mnt", "/%C3%A9"),
        (b"/de/private/a", "/private/a", "", "/a"),
        (b"/private/%ff", "/private/\ufffd", "", None),
        (None, "/private/\ufffd", "", None),
        (b"", "/private/a", "", "/a"),
        (b"/a/a/private/b", "/a/private/b", "/a", "/b"),
        (b"/%ff/private/a", "/\ufffd/private/a", "/\ufffd", "/a"),
        (b"/%EF%BF%BD/private/a", "/\ufffd/private/a", "/\ufffd", "/a"),
        (b"/aprivate/b", "/aprivate/b", "/a", None),
        (b"/a/private/b", "/a/private/b", "/a/", "/b"),
    ],
)
def test_the_path_is_that_of_the_bytes_where_they_are_its(
    raw: bytes | None, path: str, root: str, signed: str | None
) -> None:
    """``raw_path`` counts where it is the same path; where another middleware rewrote ``path``, that counts."""
    server = Server(b"/")
    server.scope |= {"raw_path": raw, "path": path, "root_path": root}
    answer = server.run(gate(Judge()))
    assert answer.code == (303 if signed else 400)
    if signed:
        assert verified(answer.location).policy.resource == f"{BASE_URL}{signed}"


def says(
    status: int = 204, *, field: bool = True, body: bytes = b"", **conditions: Any
) -> Callable[..., Awaitable[None]]:
    """Return an application that says yes, or only answers."""

    async def app(scope: Scope, receive: Any, send: Any) -> None:
        said = allow(scope, **conditions).items() if field else ()
        headers = [
            (b"set-cookie", b"a=1"),
            (b"set-cookie", b"b=2"),
            *((n.lower().encode(), v.encode()) for n, v in said),
        ]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body, "more_body": True})
        await send({"type": "http.response.body", "body": b"end"})

    return app


def test_the_application_decides() -> None:
    """A yes becomes the gate's answer with the application's cookies; every other answer is passed on as it is sent."""
    records: list[DecisionRecord] = []
    answer = Server(b"/private/a").run(gate(ask_app, says(expires=9), on_decision=records.append))
    assert verified(answer.location).policy.end == NOW + 9
    assert (answer.values("set-cookie"), answer.values(FIELD), answer.body) == (["a=1", "b=2"], [], b"")
    own = Server(b"/private/a", "DELETE").run(gate(ask_app, says(204, field=False), on_decision=records.append))
    assert (own.code, own.body, own.values("set-cookie")) == (204, b"end", ["a=1", "b=2"])
    assert [record.reason for record in records] == ["granted", "passed"]


@pytest.mark.parametrize(
    ("app", "telling"),
    [(says(403), "403"), (None, "ASK"), (lambda: None, "no answer")],
)
def test_a_yes_that_is_none_is_an_error(app: Any, telling: str) -> None:
    """A yes on a refusal, a question to nobody, and an application that sends nothing sign nothing."""
    made = gate(Judge(ASK), app) if app is None else gate(ask_app, silent if telling == "no answer" else app)
    server = Server(b"/private/a")
    with pytest.raises(AuthorizerError, match=telling):
        server.run(made)
    assert server.sent == []


async def silent(scope: Scope, receive: Any, send: Any) -> None:
    """Send nothing."""


def test_an_application_that_hides_the_error_goes_nowhere() -> None:
    """An application that catches what its own answer raised cannot send another instead."""

    async def stubborn(scope: Scope, receive: Any, send: Any) -> None:
        for status in (403, 200):
            try:
                headers = [(FIELD.lower().encode(), b"forged")]
                await send({"type": "http.response.start", "status": status, "headers": headers})
            except AuthorizerError:
                continue

    server = Server(b"/private/a")
    with pytest.raises(AuthorizerError):
        server.run(gate(ask_app, stubborn))
    assert server.sent == []


def test_the_applications_redirects_are_followed() -> None:
    """``app_redirect_header`` works as in the gate for WSGI."""

    async def app(scope: Scope, receive: Any, send: Any) -> None:
        name = b"/private/x%20y" if scope["path"] == "/download" else b"/elsewhere"
        headers = [(b"x-accel-redirect", name), (b"set-cookie", b"a=1"), (b"etag", b"x")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"own"})

    made = gate(None, app, app_redirect_header="X-Accel-Redirect")
    answer = Server(b"/download").run(made)
    assert verified(answer.location).policy.resource == f"{BASE_URL}/x%20y"
    assert (answer.values("set-cookie"), answer.values("etag")) == (["a=1"], [])
    assert Server(b"/wrong").run(made).code == 500
    assert Server(b"/private/a").run(made).code == 404


def test_responses_of_others_are_sent_and_not_kept() -> None:
    """A verdict that is an ASGI application answers; nothing else that can be called does."""
    from starlette.responses import PlainTextResponse, RedirectResponse

    answer = Server(b"/private/a").run(gate(Judge(RedirectResponse("/login", 302))))
    assert (answer.code, answer.location, answer.values("cache-control")) == (302, "/login", ["no-store"])
    for verdict in (PlainTextResponse, wsgi_wrapped, silent, print):
        with pytest.raises(AuthorizerError):
            Server(b"/private/a").run(gate(lambda scope, verdict=verdict: verdict))


def test_other_protocols_pass_or_are_refused() -> None:
    """Websockets below the prefix are refused before they are accepted; outside, and lifespan, nothing is touched."""
    seen: list[str] = []

    async def app(scope: Scope, receive: Any, send: Any) -> None:
        seen.append(scope["type"] + scope.get("path", ""))

    made = gate(Judge(), app)
    server = Server(b"/private/ws", kind="websocket")
    asyncio.run(made(server.scope, server.receive, server.send))
    assert [message["type"] for message in server.sent] == ["websocket.close"]
    outside = Server(b"/ws", kind="websocket")
    asyncio.run(made(outside.scope, outside.receive, outside.send))
    asyncio.run(made({"type": "lifespan"}, outside.receive, outside.send))
    assert seen == ["websocket/ws", "lifespan"]
    assert outside.sent == []


def test_a_gate_without_an_application_lives_alone() -> None:
    """It answers 404, refuses websockets and takes part in the server's lifespan."""
    made = gate(Judge(), None)
    assert Server(b"/other").run(made).body == b"404 Not Found\n"
    for kind, sent in (
        ("websocket", ["websocket.close"]),
        ("lifespan", ["lifespan.startup.complete", "lifespan.shutdown.complete"]),
    ):
        server = Server(b"/other", kind=kind)
        asyncio.run(made(server.scope, server.receive, server.send))
        assert [message["type"] for message in server.sent] == sent


class AsgiClass:
    """An application that is not made yet."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None: ...


@pytest.mark.parametrize(
    ("app", "telling"), [(wsgi_wrapped, "cfgate_middleware.CloudFrontGate"), (7, "ASGI"), (AsgiClass, "class")]
)
def test_what_is_not_an_asgi_application_is_refused(app: Any, telling: str) -> None:
    """A WSGI application, a class and no application are named when the gate is built."""
    with pytest.raises(ConfigError, match=telling):
        gate(Judge(), app)


def test_what_an_authorizer_raises_propagates() -> None:
    """An exception is the server's business, and a cancelled request signs nothing."""
    from starlette.exceptions import HTTPException

    with pytest.raises(HTTPException):
        Server(b"/private/a").run(gate(Judge(HTTPException(403))))

    async def slow(scope: Scope) -> bool:
        await asyncio.sleep(3600)
        return True

    server, records = Server(b"/private/a"), list[DecisionRecord]()
    made = gate(slow, on_decision=records.append)

    async def main() -> None:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(made(server.scope, server.receive, server.send), 0.01)

    asyncio.run(main())
    assert (server.sent, records) == ([], [])
    failing = gate(coroutine)
    failing.clock = lambda: float("nan")
    with pytest.raises(SigningError):
        Server(b"/private/a").run(failing)


def test_header_values_that_are_not_text_are_read() -> None:
    """Any bytes in a header field are answered."""
    server = Server(b"/private/a")
    server.scope["headers"] = [(b"accept", b"\xff\xfe"), (b"origin", b"\x80"), (b"accept", b"text/html")]
    assert server.run(gate(Judge(), answer="json", allow_origin="https://app.example.com")).code == 303
