"""The fixtures of ``cfgate_middleware.testing``: a test that uses them sees what a browser would see."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment

import flask
import pytest
from starlette.applications import Starlette
from starlette.requests import Request as StarletteRequest
from starlette.responses import RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from cfgate_middleware import CloudFrontGate, Distribution, Grant, allow, asgi, ask_app
from cfgate_middleware.testing import Client, Keys, MakeClient, MakeEdge
from cfgate_middleware.verify import verify_url

pytest_plugins = ["pytester", "cfgate_middleware.testing"]

Gate = Callable[..., Client]
GATES = {"WSGI": CloudFrontGate, "ASGI": asgi.CloudFrontGate}
FILE = b"%PDF-1.7"


@pytest.fixture(params=GATES)
def gated(
    request: pytest.FixtureRequest,
    cfgate_keys: Keys,
    cfgate_edge: MakeEdge,
    cfgate_client: MakeClient,
    tmp_path: Path,
) -> Gate:
    """Make a client of a gate of each kind, before an edge over a directory with a file."""
    (tmp_path / "films").mkdir()
    (tmp_path / "films" / "a b.pdf").write_bytes(FILE)
    edge = cfgate_edge(tmp_path, allow_origin="*")

    def make(authorize: Any, **options: Any) -> Client:
        distribution = Distribution(edge.public_url, signer=cfgate_keys.signer)
        clock = options.pop("clock", time.time)
        gate = GATES[request.param](None, authorize, prefix="/private", distribution=distribution, **options)
        distribution.clock = clock
        return cfgate_client(gate, edge)

    return make


@pytest.mark.parametrize("spelled", ["/private/films/a b.pdf", "/private/films/a%20b.pdf#page=2"])
def test_a_redirect_is_followed_to_the_file(gated: Gate, spelled: str) -> None:
    """The answer is the edge's, its history the gate's redirect."""
    answer = gated(lambda _: True).get(spelled)
    assert (answer.status_code, answer.body) == (200, FILE)
    assert answer.url.startswith("https://cdn.example.com/films/a%20b.pdf?Expires=")
    (redirect,) = answer.history
    assert (redirect.status_code, redirect.url) == (303, "https://app.example.com/private/films/a%20b.pdf")


def test_cookies_reach_the_edge_as_in_a_browser(gated: Gate) -> None:
    """With a shared domain they open the directory; without one the browser keeps them to itself."""
    grant = Grant(scope="directory", answer="cookies")
    client = gated(lambda _: grant, cookie_domain="example.com")
    assert client.get("https://cdn.example.com/films/a%20b.pdf").status_code == 403
    answer = client.get("/private/films/a%20b.pdf")
    assert (answer.body, answer.url) == (FILE, "https://cdn.example.com/films/a%20b.pdf")
    assert client.get("https://cdn.example.com/films/a%20b.pdf").body == FILE
    assert {cookie.name for cookie in client.cookies} >= {"CloudFront-Policy", "CloudFront-Signature"}
    assert gated(lambda _: grant).get("/private/films/a%20b.pdf").status_code == 403


def test_json_holds_a_url_that_the_edge_takes(gated: Gate) -> None:
    """A script gets the URL, and can fetch it."""
    client = gated(lambda _: True, answer="json")
    answer = client.get("/private/films/a%20b.pdf", headers={"Accept": "application/json"})
    assert client.get(answer.json["url"]).body == FILE


def test_what_was_asked_for_is_sent_on(gated: Gate) -> None:
    """A HEAD stays one, a Range is answered by the edge, and a refusal is the last answer."""
    client = gated(lambda _: True)
    part = client.get("/private/films/a%20b.pdf", headers={"Range": "bytes=1-3"})
    assert (part.status_code, part.body, part.headers["Content-Range"]) == (206, b"PDF", "bytes 1-3/8")
    head = client.request("HEAD", "/private/films/a%20b.pdf")
    assert (head.status_code, head.content_length, head.body) == (200, len(FILE), b"")
    redirect = client.get("/private/films/a%20b.pdf", follow=False)
    assert (redirect.status_code, redirect.history) == (303, ())
    assert gated(lambda _: False).get("/private/films/a%20b.pdf").status_code == 403
    assert client.get("/private/films/none.pdf").status_code == 404


def test_an_expired_url_is_refused_as_by_cloudfront(gated: Gate) -> None:
    """A gate whose clock is an hour slow redirects to CloudFront's 403."""
    answer = gated(lambda _: True, clock=lambda: time.time() - 3600).get("/private/films/a%20b.pdf")
    assert (answer.status_code, "<Code>AccessDenied</Code>" in answer.text) == (403, True)


def test_members_of_environ_are_set(gated: Gate) -> None:
    """An authorizer that relies on the server's authentication can be tested, and so can an address."""
    client = gated(lambda environ: Grant(ip_address="203.0.113.7") if environ.get("REMOTE_USER") == "ada" else 401)
    path = "/private/films/a%20b.pdf"
    assert client.get(path).status_code == 401
    address = {"REMOTE_ADDR": "203.0.113.7", "client": ("203.0.113.7", 50000)}
    assert client.get(path, environ={"REMOTE_USER": "ada"}).status_code == 403
    assert client.get(path, environ={"REMOTE_USER": "ada", **address}).body == FILE


def flask_application(distribution: Distribution) -> Any:
    """Return an application with a log-in, whose view decides."""
    app = flask.Flask("testing")
    app.secret_key = "throwaway"
    app.wsgi_app = CloudFrontGate(app.wsgi_app, ask_app, prefix="/private", distribution=distribution)  # type: ignore[method-assign]

    @app.post("/login")
    def login() -> Any:
        flask.session["user"] = flask.request.form["user"]
        return flask.redirect("/private/films/a%20b.pdf")

    @app.get("/private/<path:name>")
    def private(name: str) -> Any:
        return ("", 204, allow(flask.request.environ)) if "user" in flask.session else flask.redirect("/log-in-first")

    return app


def starlette_application(distribution: Distribution) -> Any:
    """Return the same for ASGI, which answers in pieces."""

    async def login(request: StarletteRequest) -> Response:
        response = RedirectResponse("/private/films/a%20b.pdf", 303)
        response.set_cookie("user", (await request.body()).decode())
        return response

    async def private(request: StarletteRequest) -> Response:
        if "user" not in request.cookies:
            return RedirectResponse("/log-in-first")
        return Response(status_code=204, headers=allow(request.scope))

    async def pieces(request: StarletteRequest) -> Response:
        return StreamingResponse(iter([b"log ", b"in"]), 404)

    routes = [Route("/login", login, methods=["POST"]), Route("/private/{name:path}", private)]
    app = Starlette(routes=[*routes, Route("/log-in-first", pieces)])
    return asgi.CloudFrontGate(app, ask_app, prefix="/private", distribution=distribution)


@pytest.mark.parametrize("application", [flask_application, starlette_application])
def test_a_user_logs_in_and_gets_the_file(
    application: Callable[[Distribution], Any],
    cfgate_keys: Keys,
    cfgate_edge: MakeEdge,
    cfgate_client: MakeClient,
    tmp_path: Path,
) -> None:
    """Before, the log-in page; the form's redirect then leads on to the edge, in an asynchronous test too."""
    (tmp_path / "films").mkdir()
    (tmp_path / "films" / "a b.pdf").write_bytes(FILE)
    edge = cfgate_edge(tmp_path, public_url="http://127.0.0.1:8001")
    distribution = Distribution(edge.public_url, signer=cfgate_keys.signer)
    client = cfgate_client(application(distribution), edge, url="http://localhost:8000")
    stranger = client.get("/private/films/a%20b.pdf")
    assert (stranger.status_code, stranger.url) == (404, "http://localhost:8000/log-in-first")
    assert client.post("/login", {"user": "ada"}).body == FILE

    async def later() -> bytes:
        return client.get("/private/films/a%20b.pdf").body

    assert asyncio.run(later()) == FILE


class Echo:
    """An application that redirects as its query says, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, bytes, str | None]] = []

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        self.asked.append((environ["REQUEST_METHOD"], environ["RAW_URI"], body, environ.get("HTTP_AUTHORIZATION")))
        status, _, location = environ["QUERY_STRING"].partition("=")
        start_response(f"{status or 200} Whatever", [("Location", location)] if location else [])
        return [b""]


@pytest.mark.parametrize(
    ("status", "method", "expected"),
    [
        *((301, method, "GET") for method in ("GET", "POST")),
        *((302, method, "GET") for method in ("GET", "POST")),
        *((303, method, "GET") for method in ("GET", "POST", "PUT")),
        *((status, method, method) for status in (307, 308) for method in ("GET", "POST", "PUT")),
        *((status, "HEAD", "HEAD") for status in (301, 302, 303, 307, 308)),
    ],
)
def test_methods_change_as_in_a_browser(cfgate_client: MakeClient, status: int, method: str, expected: str) -> None:
    """The body goes along exactly where the method does."""
    body = b"" if method in ("GET", "HEAD") else b"body"
    echo = Echo()
    cfgate_client(echo).request(method, f"/a?{status}=/b", headers={"Authorization": "x"}, body=body)
    assert echo.asked[1:] == [(expected, "/b", body if expected == method else b"", "x")]


def test_authorization_does_not_leave_the_application(
    cfgate_keys: Keys, cfgate_edge: MakeEdge, cfgate_client: MakeClient
) -> None:
    """As in a browser, it is for one host; the edge passes on the path as it was sent."""
    echo = Echo()
    edge = cfgate_edge(echo)
    distribution = Distribution(edge.public_url, signer=cfgate_keys.signer)
    gate = CloudFrontGate(None, lambda env: "HTTP_AUTHORIZATION" in env, prefix="/private", distribution=distribution)
    cfgate_client(gate, edge).get("/private/a%20b", headers={"Authorization": "Basic YTpi"})
    assert echo.asked == [("GET", "/a%20b", b"", None)]


def test_other_hosts_and_circles_end_the_journey(cfgate_client: MakeClient) -> None:
    """A redirect elsewhere or to nowhere is the answer, an address elsewhere and a circle are errors."""
    client = cfgate_client(Echo())
    elsewhere = client.get("/a?302=https://login.example.org/")
    assert (elsewhere.status_code, elsewhere.location) == (302, "https://login.example.org/")
    assert client.get("/a?302").status_code == 302
    with pytest.raises(ValueError, match=r"https://login.example.org is not one of https://app.example.com"):
        client.get("https://login.example.org/")
    with pytest.raises(AssertionError, match="more than 10 redirects, to https://app.example.com/a"):
        client.get("/a?302=?302=?")


def test_an_application_without_an_answer_is_an_error(cfgate_client: MakeClient) -> None:
    """An ASGI application that returns without a response is named as the reason."""

    async def silent(scope: object, receive: object, send: object) -> None:
        pass

    with pytest.raises(AssertionError, match="the ASGI application sent no answer"):
        cfgate_client(silent).get("/")


def test_the_keys_are_a_pair(cfgate_keys: Keys) -> None:
    """Signed with the private key's text, accepted by the key group; and no repr shows the key."""
    distribution = Distribution(
        "https://cdn.example.com", key_pair_id=cfgate_keys.key_pair_id, private_key=cfgate_keys.private_key
    )
    target = distribution.sign("/a").removeprefix("https://cdn.example.com")
    verify_url(target, base_url="https://cdn.example.com", key_group=cfgate_keys.key_group, now=time.time())
    assert cfgate_keys.public_key == cfgate_keys.signer.public_key_pem()
    assert "BEGIN" not in repr(vars(cfgate_keys))


def test_one_line_switches_the_fixtures_on(pytester: pytest.Pytester) -> None:
    """In a project of its own, with asserts and warnings as errors; the keys are made once."""
    pytester.makeconftest('pytest_plugins = ["cfgate_middleware.testing"]')
    pytester.makepyfile(
        """
        seen = []

        def test_first(cfgate_keys):
            seen.append(cfgate_keys)

        def test_second(cfgate_keys, cfgate_edge, cfgate_client, tmp_path):
            (tmp_path / "a").write_text("a")
            assert seen == [cfgate_keys]
            assert cfgate_client(None, cfgate_edge(tmp_path)).get("https://cdn.example.com/a").status_code == 403
        """
    )
    options = ["-Werror", "-Wignore:'cgi' is deprecated:DeprecationWarning"]  # WebOb's own, before Python 3.13
    pytester.runpytest_subprocess(*options, "-p", "no:randomly").assert_outcomes(passed=2)


def test_nothing_is_imported_that_is_not_used() -> None:
    """The package imports neither pytest nor the modules for development, and the command no pytest."""
    program = """
import sys, cfgate_middleware, cfgate_middleware.asgi
print([name for name in ("pytest", "cfgate_middleware.edge", "cfgate_middleware._cli") if name in sys.modules])
import cfgate_middleware._cli.main
print("pytest" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\nFalse\n"
