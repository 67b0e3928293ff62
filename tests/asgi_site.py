"""What ``tests/test_asgi_servers.py`` starts: the gate for ASGI in three frameworks, and one that tells what it did.

A request says in header fields which of them it is for.
"""

from __future__ import annotations

import asyncio
import functools
import json
import os
import sys
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote, unquote_to_bytes

import fastapi
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpRequest, HttpResponse
from django.urls import path
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route, Router, WebSocketRoute
from starlette.websockets import WebSocket

from cfgate_middleware import Distribution, allow, ask_app
from cfgate_middleware.asgi import ASGIApplication, CloudFrontGate, Receive, Scope, Send
from tests.conftest import NOW
from tests.support import BASE_URL, SIGNER
from tests.test_advisory import MOUNTS
from tests.test_asgi import gate
from tests.test_servers import VERDICTS

DISTRIBUTION = Distribution(BASE_URL, signer=SIGNER)
DISTRIBUTION.clock = lambda: NOW
GATE: dict[str, Any] = {"prefix": "/private", "distribution": DISTRIBUTION}
COOKIES = [("set-cookie", "a=1"), ("set-cookie", "b=2")]


def field(scope: Scope, name: bytes) -> str:
    """Return a header field of a request, or nothing."""
    return str(dict(scope["headers"]).get(name, b"").decode("latin-1"))


async def users(scope: dict[str, Any]) -> Any:
    """Ask nobody else: an authorizer that waits."""
    await asyncio.sleep(0)
    return bool(field(scope, b"x-user"))


AUTHORIZERS: dict[str, Any] = {"ask_app": ask_app, "users": users}


@asynccontextmanager
async def lifespan(app: object) -> AsyncIterator[None]:
    """Tell the log that the server started and stopped what is behind the gate."""
    print("lifespan: startup", file=sys.stderr, flush=True)
    yield
    print("lifespan: shutdown", file=sys.stderr, flush=True)


async def read(request: Request) -> Response:
    """Let users read, and refuse strangers."""
    if request.method == "POST":
        return PlainTextResponse(await request.body())
    if "x-user" not in request.headers:
        return PlainTextResponse("own refusal", 403)
    response = Response(status_code=204, headers=allow(request.scope))
    for cookie in COOKIES:
        response.headers.append(*cookie)
    return response


async def echo(socket: WebSocket) -> None:
    """Send back the first text."""
    await socket.accept()
    await socket.send_text(await socket.receive_text())
    await socket.close()


async def home(request: Request) -> Response:
    """Answer outside the prefix."""
    return PlainTextResponse("home")


gone: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)


class Stream:
    """Sends the beginning of an answer, and then waits until the client goes away."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"begun", "more_body": True})
        while (await receive())["type"] != "http.disconnect":
            pass
        gone[scope["query_string"].decode()].set()


async def wait_for_disconnect(request: Request) -> Response:
    """Answer when the client of a stream has gone away."""
    await asyncio.wait_for(gone[request.url.query].wait(), 20)
    return PlainTextResponse("gone")


def starlette(authorize: Any) -> Any:
    """A Starlette application with the gate as its middleware."""
    return Starlette(
        routes=[
            Route("/", home),
            Route("/private/stream", Stream()),
            Route("/private/{name:path}", read, methods=["GET", "POST"]),
            Route("/gone", wait_for_disconnect),
            WebSocketRoute("/ws", echo),
            WebSocketRoute("/private/ws", echo),
        ],
        middleware=[Middleware(CloudFrontGate, authorize=authorize, **GATE)],
        lifespan=lifespan,
    )


def with_fastapi(authorize: Any) -> Any:
    """The same with FastAPI, where a dependency decides."""
    app = fastapi.FastAPI()
    app.add_middleware(CloudFrontGate, authorize=authorize, **GATE)
    app.add_route("/", home)

    def logged_in(request: fastapi.Request) -> None:
        if "x-user" not in request.headers:
            raise fastapi.HTTPException(403, "own refusal")

    @app.api_route("/private/{name:path}", methods=["GET", "HEAD"], dependencies=[fastapi.Depends(logged_in)])
    async def private(request: fastapi.Request, name: str) -> Response:
        return await read(request)

    @app.post("/private/{name:path}")
    async def post(request: fastapi.Request, name: str) -> Response:
        return await read(request)

    app.websocket("/ws")(echo)
    app.websocket("/private/ws")(echo)
    return app


urlpatterns: list[Any] = []


def django(authorize: Any) -> Any:
    """The same with Django."""

    async def private(request: HttpRequest, name: str) -> HttpResponse:
        if request.method == "POST":
            return HttpResponse(request.body)
        if "x-user" not in request.headers:
            return HttpResponse("own refusal", status=403)
        response = HttpResponse(status=204, headers=allow(request.scope))
        response.set_cookie("a", "1")
        response.set_cookie("b", "2")
        return response

    async def index(request: HttpRequest) -> HttpResponse:
        return HttpResponse("home")

    if not settings.configured:
        settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], SECRET_KEY="throwaway")
        urlpatterns.extend([path("", index), path("private/<path:name>", private)])
    return CloudFrontGate(get_asgi_application(), authorize, **GATE)


async def watched(scope: Scope, receive: Receive, send: Send) -> None:
    """Call the gate the client asked for, and add to its answer what went in, who was asked, and who was called."""
    raw = unquote_to_bytes(scope["raw_path"].partition(b"?")[0]).decode("latin-1")
    given = [scope["root_path"], raw.removeprefix(scope["root_path"])]
    fields = [("X-Test-Given", "|".join(quote(text[:1000], encoding="latin-1") for text in given))]
    fields.append(("X-Test-Path", quote(scope["path"][:1000])))
    fields.append(("X-Test-Process", str(os.getpid())))
    state = {"tests.fields": fields, "tests.names": {*scope, "tests.fields", "tests.names"}}

    async def send_with_fields(message: Any) -> None:
        if message["type"] == "http.response.start":
            more = [(name.lower().encode(), value.encode()) for name, value in fields]
            message = {**message, "headers": [*message["headers"], *more]}
        await send(message)

    await gate_with(field(scope, b"x-test-options") or "{}")({**scope, **state}, receive, send_with_fields)


@functools.cache
def gate_with(options: str) -> CloudFrontGate:
    """Build a gate with more options, written as JSON."""

    async def authorize(scope: dict[str, Any]) -> Any:
        scope["tests.fields"].append(("X-Test-Saw", quote(scope["cfgate.path"])))
        return VERDICTS[field(scope, b"x-test-verdict") or "True"]

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        scope["tests.fields"].append(("X-Test-Called", " ".join(sorted(scope.keys() - scope["tests.names"]))))
        await PlainTextResponse(quote(scope["path"]))(scope, receive, send)

    return gate(authorize, wrapped, **json.loads(options))


mounted = Router([Mount(MOUNTS[1], watched)], redirect_slashes=False, default=watched)
FRAMEWORKS = {"starlette": starlette, "fastapi": with_fastapi, "django": django}
SITES: dict[tuple[str, str], ASGIApplication] = {
    (name, who): build(AUTHORIZERS[who]) for name, build in FRAMEWORKS.items() for who in AUTHORIZERS
}


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """What the servers serve."""
    if scope["type"] == "lifespan":
        return await SITES["starlette", "ask_app"](scope, receive, send)
    name, _, who = field(scope, b"x-test-site").partition("/")
    if name:
        return await SITES[name, who](scope, receive, send)
    at = mounted if scope["path"].startswith(MOUNTS[1]) else watched
    await at(scope, receive, send)
