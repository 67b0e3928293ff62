"""The gate for ASGI: scope in, messages out. For asyncio.

https://asgi.readthedocs.io/en/latest/specs/www.html
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import os
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, cast
from urllib.parse import unquote_to_bytes

from cfgate_middleware._core.answers import Decision, Facts
from cfgate_middleware._core.checks import is_async
from cfgate_middleware._core.problems import Problems, Secret, kind_of
from cfgate_middleware._core.verdicts import ASK, PASS, Verdict, name_authorizer
from cfgate_middleware._shell import GateShell
from cfgate_middleware.authorizers import FIELD, Question
from cfgate_middleware.errors import AuthorizerError, SigningError

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApplication = Callable[[Scope, Receive, Send], Awaitable[None]]
Authorizer = Callable[[dict[str, Any]], Verdict | Awaitable[Verdict]]
"""A callable, plain or asynchronous, that takes the scope of a request and returns a verdict."""

_THREADS = 32
_executors: dict[int, ThreadPoolExecutor] = {}  # by process, made at the first use, so that a fork is safe


class CloudFrontGate(GateShell[ASGIApplication, Authorizer]):
    """ASGI middleware that replies to every authorized request below ``prefix`` with a redirect to a signed URL.

    The arguments, errors and attributes are those of :class:`cfgate_middleware.CloudFrontGate`, with two differences.

    Args:
        app: the ASGI application to wrap, or None for a gate without one.
        authorize: called with the scope; awaited if it is asynchronous, else it runs in a thread. A response that it
            returns is an ASGI application, such as Starlette's responses; return it, since raised ones propagate.
    """

    def _to_app(self, app: ASGIApplication | None, problems: Problems) -> ASGIApplication:
        if app is None:
            return _not_found
        if isinstance(app, type):
            problems.add(f"app is the class {app.__qualname__}: pass an instance")
        elif not is_async(app):
            problems.add(
                f"app is {kind_of(app)}: expected an ASGI application, or None for a gate without one; for a WSGI "
                "application use cfgate_middleware.CloudFrontGate, or wrap it with a2wsgi.WSGIMiddleware first"
            )
        return app

    def _is_response(self, verdict: object) -> bool:
        return is_async(verdict) and not isinstance(verdict, type) and not inspect.isroutine(verdict)

    _name_authorizer = staticmethod(partial(name_authorizer, may_wait=True))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            return await self._app(scope, receive, send)
        path_info, script_name = _path_info(scope)
        glued = scope["path"].removeprefix(scope.get("root_path", "").rstrip("/"))
        if glued[:1] != "/" and self._gate.covers(glued, ""):
            path_info = glued  # Quart cuts a root path off within a segment, too; without a slash it is refused
        if not self._gate.covers(path_info, script_name):
            if script_name:
                self._look_at_mount(script_name, path_info)
            return await self._pass(scope, receive, send)
        if scope["type"] == "websocket":
            return await send({"type": "websocket.close", "code": 1008})
        await self._answer(path_info, scope, receive, self._with_cors(scope, send))

    def _with_cors(self, scope: Scope, send: Send) -> Send:
        cors = self._gate.cors
        return send if cors is None else partial(_send_with, send, cors.fields(_header(scope, "origin")), ALLOW_ORIGIN)

    async def _answer(self, path_info: str, scope: Scope, receive: Receive, send: Send) -> None:
        method, query_string = scope["method"], scope.get("query_string", b"").decode("latin-1")
        preflight = None
        if self._gate.cors is not None and method == "OPTIONS":
            names = "origin", "access-control-request-method", "access-control-request-headers"
            preflight = self._gate.cors.preflight(*(_header(scope, name) for name in names))
        facts = self._gate.admit(method, path_info, query_string, _header(scope, "accept"), preflight)
        if not isinstance(facts, Facts):
            return await self._send(facts, send)
        asked = {**scope, "cfgate.path": facts.path}
        decision = await self._soon(self._decide, facts, await self._verdict(asked))
        if decision.app is ASK:
            if self._wraps_nothing:
                raise AuthorizerError("the verdict is ASK, but the gate wraps no application that could be asked")
            question = Question(asked, facts.method)
            return await _Relay(self, asked, send, facts, decision, question).run(receive)
        if decision.app is None:
            return await self._send(decision, send)
        self._report(decision)
        if decision.app is PASS:
            return await self._pass(asked, receive, send)
        await decision.app(asked, receive, partial(_send_with, send, [("Cache-Control", "no-store")], b"cache-control"))

    async def _verdict(self, asked: dict[str, Any]) -> object:
        if is_async(self._authorize):
            return await self._authorize(asked)
        verdict = await in_thread(self._authorize, asked)
        return await verdict if inspect.isawaitable(verdict) else verdict

    async def _soon(self, decide: Callable[..., Decision], *arguments: object) -> Decision:
        """Return a decision; a signer that blocks signs in a thread."""
        try:
            blocks = self.distribution.ring.current(self.distribution.clock()).blocks
        except SigningError:  # which matters only if something is signed
            blocks = False
        return cast(Decision, await in_thread(decide, *arguments)) if blocks else decide(*arguments)

    async def _pass(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send what the application answers; an answer that names an object becomes the redirect to it."""
        if self._gate.app_redirect_header is None or scope["type"] != "http":
            return await self._app(scope, receive, send)
        await _Relay(self, scope, send).run(receive)

    async def _send(self, decision: Decision, send: Send, more: Iterable[tuple[bytes, bytes]] = ()) -> None:
        self._report(decision)
        code = int(decision.status.split(" ", 1)[0])
        headers = Secret(
            [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in decision.headers]
        )
        await send({"type": "http.response.start", "status": code, "headers": [*headers.value, *more]})
        await send({"type": "http.response.body", "body": decision.body})


class _Relay:
    """One answer of the wrapped application, which may be a yes or name an object: then ours is sent instead."""

    def __init__(
        self,
        gate: CloudFrontGate,
        scope: Scope,
        send: Send,
        facts: Facts | None = None,
        passed: Decision | None = None,
        question: Question | None = None,
    ) -> None:
        self._gate, self._scope, self._send = gate, scope, send
        self._facts, self._passed, self._question = facts, passed, question
        self._state = "waiting"  # then "passing", "replaced" or "failed"

    async def run(self, receive: Receive) -> None:
        await self._gate._app(self._scope, receive, self._take)
        if self._state in ("waiting", "failed"):
            raise AuthorizerError("the application sent no answer that could be passed on; nothing was signed")

    async def _take(self, message: Message) -> None:
        if self._state == "waiting" and message["type"] == "http.response.start":
            self._state = "failed"  # until it is known what becomes of it
            await self._start(message)
        elif self._state == "passing":
            await self._send(message)
        elif self._state == "failed":
            raise AuthorizerError("the application goes on with an answer that could not be passed on")

    async def _start(self, message: Message) -> None:
        headers = [(bytes(name).lower(), bytes(value)) for name, value in message.get("headers", ())]
        status: int = message["status"]
        grant = None if self._question is None else self._question.verdict(status, _values(headers, FIELD))
        cookies = [field for field in headers if field[0] == b"set-cookie"]
        field = self._gate._gate.app_redirect_header
        named = [] if field is None else _values(headers, field)
        if grant is not None:
            decision = await self._gate._soon(self._gate._decide, self._facts, grant)
        elif field is not None and named and status == 200:
            dispositions = _values(headers, "Content-Disposition")
            mount = {"SCRIPT_NAME": _path_info(self._scope)[1]}
            request = self._scope["method"], _header(self._scope, "accept")
            decision = await self._gate._soon(self._gate._follow, field, named, dispositions, mount, request)
        else:
            if self._passed is not None:
                self._gate._report(self._passed)
            self._state = "passing"
            if field is not None:
                message = {**message, "headers": [pair for pair in headers if pair[0] != field.lower().encode()]}
            return await self._send(message)
        self._state = "replaced"
        await self._gate._send(decision, self._send, cookies)


ALLOW_ORIGIN = b"access-control-allow-origin"


async def _send_with(send: Send, fields: list[tuple[str, str]], unless: bytes, message: Message) -> None:
    """Send a message; header fields are added to the start of an answer that has none of a name."""
    sent = Secret(message)
    if message["type"] == "http.response.start":
        headers = Secret(list(message.get("headers", ())))
        if all(name.lower() != unless for name, _ in headers.value):
            headers.value.extend((name.lower().encode(), value.encode("latin-1")) for name, value in fields)
        sent = Secret({**message, "headers": headers.value})
    del message  # which may hold a signed URL
    await send(sent.value)


def _values(headers: Iterable[tuple[bytes, bytes]], name: str) -> list[str]:
    return [value.decode("latin-1") for key, value in headers if key.lower() == name.lower().encode()]


async def in_thread(function: Callable[..., object], *arguments: object) -> object:
    """Return what a function that blocks returns, from one of a bounded number of threads of ours.

    asyncio's own executor has few threads and looks up host names: what hangs here must not starve the application.
    """
    executor = _executors.get(os.getpid())
    if executor is None:
        executor = _executors.setdefault(os.getpid(), ThreadPoolExecutor(_THREADS, "cfgate"))
    call = partial(contextvars.copy_context().run, function, *arguments)
    return await asyncio.get_running_loop().run_in_executor(executor, call)


def _path_info(scope: Scope) -> tuple[str, str]:
    """Return the decoded path below the mount point, and that point, in the form of PATH_INFO and SCRIPT_NAME.

    It is what frameworks see there: ``root_path`` is cut off where it ends a segment. The bytes of ``raw_path`` count
    where they are that path; where another middleware rewrote ``path`` alone, that counts. A character that stands for
    bytes that were no UTF-8 becomes such a byte, and is refused later.
    """
    path, root = scope["path"], scope.get("root_path", "").rstrip("/")
    below = path.removeprefix(root)
    if path != root + below or below[:1] not in ("", "/"):
        below = path
    mount = root.encode("utf-8", "surrogateescape")
    raw = unquote_to_bytes((scope.get("raw_path") or b"").partition(b"?")[0])
    if raw.decode("utf-8", "replace") != below:
        raw = raw.removeprefix(mount)
    if raw.decode("utf-8", "replace") != below:
        raw = below.encode("utf-8", "surrogateescape").replace(b"\xef\xbf\xbd", b"\xff")
    return raw.decode("latin-1"), mount.decode("latin-1")


def _header(scope: Scope, name: str) -> str:
    """Return the values of a header field of the request, joined as RFC 9110 section 5.3 says."""
    return ", ".join(_values(scope["headers"], name))


async def _not_found(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer 404, refuse websockets, and take part in the server's lifespan."""
    if scope["type"] == "lifespan":
        for stage in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{stage}.complete"})
    elif scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})
    else:
        body = b"" if scope["method"] == "HEAD" else b"404 Not Found\n"
        fields = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"14")]
        await send({"type": "http.response.start", "status": 404, "headers": fields})
        await send({"type": "http.response.body", "body": body})
