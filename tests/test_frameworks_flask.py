"""A Flask application that decides, behind the gate: its own ways work, and nothing but allow opens the gate.

A real client (requests), a threaded Werkzeug server, and the edge behind the redirect.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

import flask
import pytest
import requests
from flask.sessions import SecureCookieSessionInterface
from itsdangerous import TimestampSigner, URLSafeTimedSerializer
from werkzeug.exceptions import NotFound
from werkzeug.serving import BaseWSGIServer, make_server

from cfgate_middleware import AuthorizerError, CloudFrontGate, allow, ask_app
from cfgate_middleware.authorizers import FIELD
from cfgate_middleware.edge import LocalEdge
from tests.support import KEY_GROUP, SIGNER

TIMEOUT = 60
FILE = "/private/ann/report.txt"
REPORT = b"A report for Ann\n"
LATER = 4_000_000_000  # the test clock's start, in a future in which no cookie has expired for the client
Environ = dict[str, Any]
Start = Callable[..., Any]


class Visitor:
    """Somebody with a client that keeps cookies and follows redirects, and what happened on the servers' side."""

    def __init__(self, session: requests.Session, url: str) -> None:
        self._session, self._url = session, url
        self.at_the_edge: list[str] = []  # paths
        self.errors: list[type[Exception]] = []  # what the gate raised to the server

    def send(self, method: str, path: str, **headers: str) -> requests.Response:
        """Send a request and return the last answer."""
        return self._session.request(method, self._url + path, headers=headers, timeout=TIMEOUT)

    def get(self, path: str = FILE, **headers: str) -> requests.Response:
        """Send a GET."""
        return self.send("GET", path, **headers)

    def reads(self) -> bool:
        """Return whether the private file is open to the visitor: through the gate, from the edge."""
        answer = self.get()
        return answer.content == REPORT and [passed.status_code for passed in answer.history] == [303]

    def got_nothing_signed(self, answer: requests.Response) -> bool:
        """Return whether an answer is the application's or the server's own, and shows nothing of the gate's."""
        shown = answer.text + str(answer.headers)
        return not (answer.history or self.at_the_edge or FIELD.lower() in shown.lower() or "Signature" in shown)


@pytest.fixture
def visit(tmp_path: Path) -> Iterator[Callable[[flask.Flask], Visitor]]:
    """Serve an application behind the gate, with an edge, and return a visitor to it."""
    (tmp_path / "ann").mkdir()
    (tmp_path / "ann" / "report.txt").write_bytes(REPORT)
    with ExitStack() as stack:

        def visit(app: flask.Flask) -> Visitor:
            site, edge = stack.enter_context(serving(app)), stack.enter_context(serving(NotFound()))
            session = stack.enter_context(requests.Session())
            session.trust_env = False
            visitor = Visitor(session, address(site))
            gate = CloudFrontGate(app.wsgi_app, ask_app, prefix="/private", domain=address(edge), signer=SIGNER)
            local_edge = LocalEdge(tmp_path, KEY_GROUP, public_url=address(edge))

            def watched_gate(environ: Environ, start_response: Start) -> Iterable[bytes]:
                try:
                    return gate(environ, start_response)
                except Exception as error:
                    visitor.errors.append(type(error))
                    raise

            def watched_edge(environ: Environ, start_response: Start) -> Iterable[bytes]:
                visitor.at_the_edge.append(environ["PATH_INFO"])
                return local_edge(environ, start_response)

            app.wsgi_app = watched_gate  # type: ignore[method-assign]  # the way to add middleware to Flask
            edge.app = watched_edge
            return visitor

        yield visit


@contextmanager
def serving(application: Any) -> Iterator[BaseWSGIServer]:
    """Serve on a free port, a thread for each request, until the block ends."""
    server = make_server("127.0.0.1", 0, application, threaded=True)
    thread = Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()


def address(server: BaseWSGIServer) -> str:
    """Return where a server is."""
    return f"http://127.0.0.1:{server.port}"


@pytest.fixture
def app() -> flask.Flask:
    """An application with a log-in for everybody, and no view below the prefix yet."""
    app = flask.Flask(__name__)
    app.secret_key = "throwaway"

    @app.post("/login")
    def log_in() -> str:
        flask.session["member"] = flask.session.permanent = True
        return "Welcome"

    return app


def private() -> Any:
    """Say yes to those who have logged in, and redirect others."""
    if "member" not in flask.session:
        return flask.redirect("/login")
    return "", 204, allow(flask.request.environ)


def with_private(app: flask.Flask, view: Callable[[], Any] = private, **options: Any) -> list[str]:
    """Give an application a view below the prefix, and return the methods of the requests that reach it."""
    called: list[str] = []

    def counted(name: str) -> Any:
        called.append(flask.request.method)
        return view()

    app.add_url_rule("/private/<path:name>", view_func=counted, **options)
    return called


Visit = Callable[[flask.Flask], Visitor]


def test_a_view_that_says_yes_opens_the_gate(app: flask.Flask, visit: Visit) -> None:
    """A member reads the file, all and a part of it, and its size; somebody who has not logged in does not."""
    called = with_private(app)
    visitor = visit(app)
    assert not visitor.reads()
    assert visitor.at_the_edge == []
    visitor.send("POST", "/login")
    assert visitor.reads()
    part = visitor.get(Range="bytes=2-7")
    assert (part.status_code, part.content) == (206, b"report")
    assert visitor.send("HEAD", FILE).headers["Content-Length"] == str(len(REPORT))
    assert called == ["GET", "GET", "GET", "HEAD"]


def test_whom_before_request_bans_is_refused(app: flask.Flask, visit: Visit) -> None:
    """A function that Flask runs before every view runs before this one too, from the next request on."""
    banned: set[str] = set()

    @app.before_request
    def refuse_the_banned() -> None:
        if flask.request.remote_addr in banned:
            flask.abort(403, "You are banned")

    called = with_private(app)
    visitor = visit(app)
    visitor.send("POST", "/login")
    assert visitor.reads()
    banned.add("127.0.0.1")
    answer = visitor.get()
    assert (answer.status_code, "You are banned" in answer.text) == (403, True)
    assert (called, visitor.at_the_edge) == (["GET"], ["/ann/report.txt"])


class SessionsByAClock(SecureCookieSessionInterface):
    """Flask's own sessions, by a clock that the test sets."""

    now = LATER

    def get_signing_serializer(self, app: flask.Flask) -> URLSafeTimedSerializer | None:
        """Return Flask's own serializer, which dates what it signs by the test's clock."""

        class Signer(TimestampSigner):
            get_timestamp = staticmethod(lambda: self.now)

        serializer = super().get_signing_serializer(app)
        assert serializer
        serializer.signer = Signer
        return serializer

    def get_expiration_time(self, app: flask.Flask, session: Any) -> datetime.datetime | None:
        """Return when the client is to forget the cookie."""
        return datetime.datetime.fromtimestamp(self.now, datetime.UTC) + app.permanent_session_lifetime


def test_a_rolling_session_lives_as_long_as_somebody_watches(app: flask.Flask, visit: Visit) -> None:
    """A session of 3 seconds survives 5 seconds of requests for private files, and then ends after 4 without any."""
    sessions = app.session_interface = SessionsByAClock()
    app.permanent_session_lifetime = datetime.timedelta(seconds=3)
    with_private(app)
    visitor = visit(app)
    visitor.send("POST", "/login")
    for _ in range(5):
        sessions.now += 1
        assert visitor.reads()
    sessions.now += 4
    assert not visitor.reads()


def test_flashed_messages_are_not_lost(app: flask.Flask, visit: Visit) -> None:
    """What was flashed before a private file, and by the view that says yes, is on the next page, once."""

    def flashing() -> Any:
        flask.flash("You have read a report")
        return private()

    @app.get("/")
    def page() -> str:
        return " / ".join(str(message) for message in flask.get_flashed_messages())

    @app.post("/before")
    def before() -> str:
        flask.flash("Saved")
        return ""

    with_private(app, flashing)
    visitor = visit(app)
    visitor.send("POST", "/login")
    visitor.send("POST", "/before")
    assert visitor.reads()
    assert visitor.get("/").text == "Saved / You have read a report"
    assert visitor.get("/").text == ""


def test_a_typo_in_the_route_does_not_open_the_gate(app: flask.Flask, visit: Visit) -> None:
    """Flask's 404 goes to the viewer."""
    app.add_url_rule("/privat/<path:name>", view_func=lambda name: private())
    visitor = visit(app)
    visitor.send("POST", "/login")
    answer = visitor.get()
    assert answer.status_code == 404
    assert visitor.got_nothing_signed(answer)


def test_a_page_that_answers_everything_does_not_open_the_gate(app: flask.Flask, visit: Visit) -> None:
    """The page of a single-page application, which answers 200 to every path, goes to the viewer."""
    app.add_url_rule("/<path:anything>", view_func=lambda anything: '<div id="root"></div>')
    visitor = visit(app)
    answer = visitor.get()
    assert (answer.status_code, answer.text) == (200, '<div id="root"></div>')
    assert visitor.got_nothing_signed(answer)


def test_a_form_to_log_in_does_not_open_the_gate(app: flask.Flask, visit: Visit) -> None:
    """A view that answers strangers with a form and 200, instead of a redirect, shows them the form."""
    called = with_private(app, lambda: private() if "member" in flask.session else '<form action="/login">')
    visitor = visit(app)
    answer = visitor.get()
    assert (answer.status_code, answer.text) == (200, '<form action="/login">')
    assert visitor.got_nothing_signed(answer)
    assert called == ["GET"]


def test_a_redirect_made_204_does_not_open_the_gate(app: flask.Flask, visit: Visit) -> None:
    """For htmx a redirect becomes a 204 with a field of its own; that one goes to the viewer."""

    @app.after_request
    def redirect_for_htmx(response: flask.Response) -> flask.Response:
        if "HX-Request" in flask.request.headers and response.status_code == 302:
            return flask.Response(status=204, headers={"HX-Redirect": response.headers["Location"]})
        return response

    with_private(app)
    visitor = visit(app)
    answer = visitor.get(**{"HX-Request": "true"})
    assert (answer.status_code, answer.headers["HX-Redirect"]) == (204, "/login")
    assert visitor.got_nothing_signed(answer)


def test_a_middleware_that_answers_204_does_not_open_the_gate(app: flask.Flask, visit: Visit) -> None:
    """One for CORS answers preflights and, by mistake, every request with an Origin: both go to the viewer."""
    inner = app.wsgi_app

    def cors(environ: Environ, start_response: Start) -> Iterable[bytes]:
        if "HTTP_ORIGIN" in environ:
            start_response("204 No Content", [("Access-Control-Allow-Origin", environ["HTTP_ORIGIN"])])
            return []
        return inner(environ, start_response)

    app.wsgi_app = cors  # type: ignore[method-assign]  # the way to add middleware to Flask
    called = with_private(app)
    visitor = visit(app)
    visitor.send("POST", "/login")
    for method in ("OPTIONS", "GET", "HEAD"):
        answer = visitor.send(method, FILE, Origin="https://app.example.com")
        assert (answer.status_code, answer.headers["Access-Control-Allow-Origin"]) == (204, "https://app.example.com")
        assert visitor.got_nothing_signed(answer)
    assert called == []


def test_an_overridden_method_does_not_open_the_gate(app: flask.Flask, visit: Visit) -> None:
    """What Flask takes for a GET is no GET of the viewer's: allow refuses, and a GET made DELETE is answered as one."""
    inner = app.wsgi_app

    def override(environ: Environ, start_response: Start) -> Iterable[bytes]:
        method = environ.get("HTTP_X_HTTP_METHOD_OVERRIDE", environ["REQUEST_METHOD"])
        return inner(dict(environ, REQUEST_METHOD=method), start_response)

    app.wsgi_app = override  # type: ignore[method-assign]  # the way to add middleware to Flask
    deleting = "", 204
    called = with_private(
        app, lambda: deleting if flask.request.method == "DELETE" else private(), methods=["GET", "DELETE"]
    )
    visitor = visit(app)
    visitor.send("POST", "/login")
    for method, taken_for, status in [("POST", "GET", 500), ("GET", "DELETE", 204)]:
        answer = visitor.send(method, FILE, **{"X-HTTP-Method-Override": taken_for})
        assert answer.status_code == status
        assert visitor.got_nothing_signed(answer)
    assert called == ["GET", "DELETE"]
    assert visitor.reads()


def test_a_cached_yes_does_not_open_the_gate(app: flask.Flask, visit: Visit) -> None:
    """A cache that keeps the view's answer keeps a yes to another request: a server error, and it is not sent."""
    cache: dict[str, flask.Response] = {}

    def cached() -> flask.Response:
        if flask.request.path not in cache:
            cache[flask.request.path] = flask.make_response(private())
        return cache[flask.request.path]

    with_private(app, cached)
    visitor = visit(app)
    visitor.send("POST", "/login")
    assert visitor.reads()
    assert FIELD in cache[FILE].headers
    visitor.at_the_edge.clear()
    answer = visitor.get()
    assert answer.status_code == 500
    assert visitor.got_nothing_signed(answer)
    assert cache[FILE].headers[FIELD] not in answer.text + str(answer.headers)
    assert visitor.errors == [AuthorizerError]


def test_a_deletion_is_answered_by_the_application_once(app: flask.Flask, visit: Visit) -> None:
    """Its 204 reaches the client as 204, and the view was called once."""
    called = with_private(app, lambda: ("", 204), methods=["DELETE"])
    visitor = visit(app)
    answer = visitor.send("DELETE", FILE)
    assert (answer.status_code, answer.content) == (204, b"")
    assert visitor.got_nothing_signed(answer)
    assert called == ["DELETE"]
