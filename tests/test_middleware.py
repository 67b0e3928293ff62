"""The gate as WSGI middleware: its invariants (the 7th is in test_leaks.py), what WSGI asks, and what it reports."""

from __future__ import annotations

import gc
import logging
import re
import socket
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import unquote
from wsgiref.types import WSGIEnvironment

import pyramid.httpexceptions
import pyramid.response
import pytest
import webob
import webob.exc
import werkzeug.exceptions
import werkzeug.wrappers
from hypothesis import assume, given
from hypothesis import strategies as st

from cfgate_middleware import PASS, AuthorizerError, ConfigError, DecisionRecord, Grant, SigningError
from cfgate_middleware._core.answers import KINDS
from cfgate_middleware._core.encoding import is_clean
from tests.conftest import KEY_PAIR_ID, KEYS, NOW
from tests.leaks import leaks_in
from tests.support import BASE_URL, SIGNER, Fake, Judge, Wrapped, environ_for, fetch, gate, verified

PEM = KEYS / "rsa-2048-pkcs8.pem"
END = NOW + 60
# What no client rewrites in a path, and everything else as %XX.
SPELLED = re.compile(rf"{re.escape(BASE_URL)}((?:[A-Za-z0-9._~/!&(),=:@-]|%[0-9A-F]{{2}})+)\?Expires={END}&.*")


def explode(*args: object, **kwargs: object) -> Any:
    """Fail the test that gets here."""
    raise AssertionError("never to be called")


@pytest.mark.parametrize(("answer", "reuse_for"), [("redirect", 0), *((answer, 60) for answer in KINDS)])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_invariant_1_every_request_is_authorized(method: str, answer: str, reuse_for: int) -> None:
    """The same request is judged each time: a signature may be reused, a yes never."""
    asked: list[str] = []
    verdicts = iter([True, False, Grant(), 404, 200])

    def authorize(environ: WSGIEnvironment) -> Any:
        asked.append(environ["cfgate.path"])
        return next(verdicts)

    app = gate(authorize, reuse_for=reuse_for, answer=answer)
    answers = [fetch(app, "/private/a", method=method) for _ in range(5)]
    assert [given.code for given in answers] == [303, 403, 303, 404, 303]
    assert answers[0].headers == answers[2].headers == answers[4].headers
    assert asked == ["/a"] * 5


def test_invariant_2_what_the_authorizer_saw_is_what_gets_signed() -> None:
    """An authorizer that rewrites environ changes nothing: the facts were read before it was asked."""
    seen = []

    def rewrite(environ: WSGIEnvironment) -> bool:
        seen.append(environ["cfgate.path"])
        environ.update(
            {"PATH_INFO": "/private/other", "QUERY_STRING": "v=2", "SCRIPT_NAME": "/x", "cfgate.path": "/other"},
            REQUEST_METHOD="POST",
            HTTP_ACCEPT="application/json",
        )
        return True

    answer = fetch(gate(rewrite, forward_query=["v"], answer="json"), "/private/né.pdf", query="v=1")
    assert seen == ["/né.pdf"]
    assert verified(answer.location).policy.resource == f"{BASE_URL}/n%C3%A9.pdf?v=1"


@pytest.mark.parametrize("verdict", [None, 1, 0, 201, 302, "yes", b"200", ["200 OK"], {"allow": True}, object()])
def test_invariant_3_yes_is_explicit(verdict: Any) -> None:
    """Whatever is not a verdict opens nothing, however true it is."""
    with pytest.raises(AuthorizerError):
        gate(Judge(verdict), signer=Fake(outcome=AssertionError()))(environ_for("/private/a"), explode)


@given(st.text(min_size=1))
def test_invariant_4_one_spelling(name: str) -> None:
    """Any clean path is spelled as no client rewrites it, reads back as asked, and is signed as it is sent."""
    path = f"/{name}"
    assume(is_clean(path) and path[-1] != "/")
    judge = Judge()
    location = fetch(gate(judge), f"/private{path}").location
    match = SPELLED.fullmatch(location)
    assert match
    assert (unquote(match[1], errors="strict"), judge.asked) == (path, [path])
    assert verified(location).policy.resource == BASE_URL + match[1]


@pytest.mark.parametrize(
    ("path", "verdict", "resource"),
    [
        *(("/private/*", True, "/%2A?v=%2A%3F"), ("/private/a?b", True, "/a%3Fb?v=%2A%3F")),
        ("/private/x", Grant(path="/*?"), "/%2A%3F?v=%2A%3F"),
        ("/private/x", Grant(query={"v": "*", "*": "?"}), "/x?v=%2A&%2A=%3F"),
        ("/private/x", Grant(path="/other/*.pdf", scope="directory"), "/other/*"),
        *(("/private/*/x?", Grant(scope="directory"), "/%2A/*"), ("/private/?*/x", Grant(scope="/?*/"), "/%3F%2A/*")),
        *(("/private/*", Grant(scope="/"), "/*"), ("/private/*", Grant(ip_address="203.0.113.7"), "/%2A?v=%2A%3F")),
    ],
)
def test_invariant_5_no_wildcard_from_a_request(path: str, verdict: Any, resource: str) -> None:
    """The only wildcard in a policy is the one ``*`` that a scope appends; all others are percent-encoded."""
    location = fetch(gate(Judge(verdict), forward_query=["v"]), path, query="v=*%3F").location
    assert verified(location, viewer_address="203.0.113.7").policy.resource == BASE_URL + resource


@pytest.mark.parametrize(
    "extra",
    [
        {"HTTP_HOST": "evil.com/public?x="},
        {"HTTP_HOST": "cdn.example.com.evil.com", "SERVER_NAME": "evil.com", "SERVER_PORT": "8443"},
        {"HTTP_X_FORWARDED_HOST": "evil.com", "HTTP_X_FORWARDED_PROTO": "http", "HTTP_X_FORWARDED_PORT": "81"},
        {"HTTP_FORWARDED": "host=evil.com;proto=http", "wsgi.url_scheme": "http"},
        {"HTTP_X_FORWARDED_URI": "/public", "HTTP_X_ORIGINAL_URL": "/b", "HTTP_X_FORWARDED_PREFIX": "/evil"},
        {"HTTP_X_REWRITE_URL": "/b", "HTTP_X_HTTP_METHOD_OVERRIDE": "POST", "RAW_URI": "/b", "REQUEST_URI": "/b"},
        *({"SCRIPT_NAME": mount} for mount in ("", "/evil.com", "/private", "/a/b")),
    ],
)
def test_invariant_6_the_target_host_comes_from_configuration_alone(extra: dict[str, Any]) -> None:
    """Neither Host nor any forwarded header nor the mount point has a say in what is signed."""
    location = fetch(gate(Judge()), "/private/a", **extra).location
    assert verified(location).policy.resource == f"{BASE_URL}/a"


@pytest.mark.parametrize("result", [OSError(PEM.read_text()), SigningError("busy"), b"", "secret"])
def test_invariant_8_a_failure_to_sign_is_an_exception(result: Any, caplog: pytest.LogCaptureFixture) -> None:
    """What cannot be signed is never redirected to, and is one ERROR line that shows nothing of keys."""
    with pytest.raises(SigningError):
        gate(Judge(), signer=Fake(outcome=result), on_decision=explode)(environ_for("/private/a"), explode)
    (entry,) = caplog.records
    assert (entry.name, entry.levelname) == ("cfgate_middleware", "ERROR")
    assert entry.getMessage().startswith("GET /private/a -> not signed: ")
    assert not leaks_in(caplog.text)


def test_invariant_8_wrong_configuration_fails_at_once_and_whole() -> None:
    """Every problem is reported at construction, in one error that names application, authorizer and options."""
    wrong: Any = "no app"
    with pytest.raises(ConfigError) as caught:
        gate(None, wrong, prefix="private", signer=None, key_pair_id="K1", private_key=b"-----BEGIN nonsense", code=304)
    *named, _ = [re.split(r"\W", problem)[0] for problem in caught.value.problems]
    assert named == ["app", "authorize", "prefix", "code"]
    assert "nonsense" not in str(caught.value)


def test_invariant_9_outside_the_prefix_the_gate_is_invisible(caplog: pytest.LogCaptureFixture) -> None:
    """The wrapped application gets the same, unchanged environ and start_response; nothing is reported."""
    caplog.set_level(logging.DEBUG)
    seen: list[object] = []
    body = [b"body"]

    def app(*args: object) -> list[bytes]:
        seen.extend(args)
        return body

    environ = environ_for("/public/a", query="x=1")
    before = dict(environ)
    assert gate(explode, app, on_decision=explode)(environ, explode) is body
    assert seen[0] is environ and seen[1] is explode
    assert environ == before and not caplog.records


def test_invariant_10_construction_starts_no_thread_and_opens_no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is made at construction that a fork would break."""
    monkeypatch.setattr(threading.Thread, "start", explode)
    monkeypatch.setattr(socket, "socket", explode)
    assert fetch(gate(Judge(), signer=None, key_pair_id=KEY_PAIR_ID, private_key=PEM), "/private/a").code == 303


def test_invariant_10_one_gate_serves_all_threads() -> None:
    """Concurrent requests each get their own URL."""
    app = gate(Judge())
    with ThreadPoolExecutor(8) as pool:
        locations = list(pool.map(lambda number: fetch(app, f"/private/{number}").location, range(200)))
    resources = [verified(location).policy.resource for location in locations]
    assert resources == [f"{BASE_URL}/{number}" for number in range(200)]


FORK = """
import os
from tests.support import Judge, fetch, gate, verified
app = gate(Judge(), reuse_for=60)
fetch(app, "/private/before")
child = os.fork()
verified(fetch(app, "/private/a").location)
if not child:
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
"""


@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="the system has no fork")
def test_invariant_10_a_gate_works_on_both_sides_of_a_fork() -> None:
    """A gate that was built, and has signed, before a fork signs in parent and child."""
    subprocess.run([sys.executable, "-c", FORK], check=True, cwd=KEYS.parent.parent)


RESPONSES: list[Any] = [
    pytest.param(lambda: webob.Response("no", status=401), 401, id="WebOb response"),
    pytest.param(lambda: webob.exc.HTTPFound(location="/login"), 302, id="WebOb exception"),
    pytest.param(lambda: werkzeug.wrappers.Response("no", status=429), 429, id="Werkzeug response"),
    pytest.param(lambda: werkzeug.exceptions.Forbidden("no"), 403, id="Werkzeug exception"),
    pytest.param(lambda: pyramid.response.Response("no", status=409), 409, id="Pyramid response"),
    pytest.param(lambda: pyramid.httpexceptions.HTTPForbidden("no"), 403, id="Pyramid exception"),
]


@pytest.mark.parametrize(("make", "code"), RESPONSES)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_response_is_the_answer(make: Callable[[], Any], code: int, method: str) -> None:
    """Of any WSGI framework, returned or raised, unless it says how it is cached, it is not; nothing is signed."""
    wrapped = Wrapped()
    for authorize in (lambda environ: make(), Judge(make())):  # a Judge raises exceptions
        answer = fetch(gate(authorize, wrapped, signer=Fake(outcome=AssertionError())), "/private/a", method=method)
        assert (answer.code, answer.values("Cache-Control")) == (code, ["no-store"])
    assert not wrapped.calls
    cached = webob.Response(b"log in", headerlist=[("Content-Type", "text/plain"), ("cache-control", "max-age=5")])
    assert fetch(gate(Judge(cached)), "/private/a").values("Cache-Control") == ["max-age=5"]


@pytest.mark.parametrize(("make", "code"), [row for row in RESPONSES if "exception" in str(row.id)])
def test_a_raised_http_exception_leaves_no_cycle(make: Callable[[], Any], code: int) -> None:
    """Whatever the exception held, a file or a database session, goes with the answer and not with the collector."""
    raised: list[weakref.ref[Any]] = []

    def authorize(environ: WSGIEnvironment) -> Any:
        error = make()
        raised.append(weakref.ref(error))
        raise error

    app = gate(authorize)
    gc.disable()
    try:
        assert fetch(app, "/private/a").code == code
        assert [reference() for reference in raised] == [None]
    finally:
        gc.enable()


def test_an_answering_application_has_all_of_wsgi() -> None:
    """An answer may be any WSGI application: it may use write(), and start again with exc_info."""

    def app(environ: WSGIEnvironment, start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        try:
            raise OSError("disk")
        except OSError:
            write = start_response("500 Oops", [("Content-Type", "text/plain")], sys.exc_info())
        write(b"written ")
        return [b"and returned"]

    fields = [("Content-Type", "text/plain"), ("Cache-Control", "no-store")]
    assert fetch(gate(Judge(app)), "/private/a") == ("500 Oops", fields, b"written and returned")


@pytest.mark.parametrize("error", [ValueError("no user"), KeyError("REMOTE_USER"), SigningError("mine")])
def test_any_other_exception_propagates(error: Exception) -> None:
    """An authorizer that fails has not said yes: its error is the server's to answer."""
    with pytest.raises(type(error)) as caught:
        gate(Judge(error), explode)(environ_for("/private/a"), explode)
    assert caught.value is error


def test_pass_lets_the_wrapped_application_answer() -> None:
    """After PASS the wrapped application gets the request as it came, with nothing added to its answer."""
    wrapped = Wrapped()
    answer = fetch(gate(Judge(PASS), wrapped), "/private/a", query="x=1")
    assert answer == ("200 OK", [("Content-Type", "text/plain")], b"wrapped\n")
    (environ,) = wrapped.calls
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"], environ["QUERY_STRING"]) == ("/mount", "/private/a", "x=1")


@pytest.mark.parametrize("path", ["/elsewhere", "/private/a"])
@pytest.mark.parametrize(("method", "body"), [("GET", b"404 Not Found\n"), ("HEAD", b"")])
def test_a_gate_alone_has_nothing_to_pass_to(path: str, method: str, body: bytes) -> None:
    """Without a wrapped application PASS, and everything outside the prefix, is 404."""
    answer = fetch(gate(Judge(PASS)), path, method=method)
    assert (answer.status, answer.body, answer.values("Content-Length")) == ("404 Not Found", body, ["14"])


@pytest.mark.parametrize(("prefix", "code"), [("/private", "200"), ("/", "404")])
def test_an_absent_path_is_an_empty_one(prefix: str, code: str) -> None:
    """WSGI lets a server leave out PATH_INFO and QUERY_STRING where they are empty."""
    environ = environ_for("/")
    del environ["PATH_INFO"], environ["QUERY_STRING"]
    started: list[Any] = []

    def start_response(*given: Any) -> Any:
        started.extend(given)

    gate(Judge(), Wrapped(strict=False), prefix=prefix)(environ, start_response)
    assert started[0].startswith(code)


@pytest.mark.parametrize(
    ("path", "method", "verdict", "line"),
    [
        ("/private/a b", "GET", True, f"GET /private/a%20b -> 303 granted key={KEY_PAIR_ID} end={END}"),
        ("/private/a", "HEAD", Grant(expires=5), f"HEAD /private/a -> 303 granted key={KEY_PAIR_ID} end={NOW + 5}"),
        ("/private/a", "GET", 401, "GET /private/a -> 401 refused key=None end=None"),
        ("/private/a", "GET", PASS, "GET /private/a -> None passed key=None end=None"),
        ("/private/a", "GET", webob.Response(), "GET /private/a -> None answered key=None end=None"),
        ("/private/\n", "GET", True, "GET /private/%0A -> 400 unclean path key=None end=None"),
        (b"/private/\xff", "GET", True, "GET /private/%FF -> 400 unclean path key=None end=None"),
        ("/private/a", "A\n|B", 403, "A%0A%7CB /private/a -> 403 refused key=None end=None"),
    ],
)
def test_every_decision_is_one_line_and_one_record(
    path: str | bytes, method: str, verdict: Any, line: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Below the prefix every request leaves one INFO line that says what the record says, whoever answers it."""
    caplog.set_level(logging.INFO, "cfgate_middleware")
    records: list[DecisionRecord] = []
    fetch(gate(Judge(verdict), Wrapped(), on_decision=records.append), path, method=method, strict=method != "A\n|B")
    (entry,), (record,) = caplog.records, records
    assert (entry.name, entry.levelname) == ("cfgate_middleware", "INFO")
    assert re.fullmatch(line, entry.getMessage())
    assert entry.getMessage() == "{1} {0} -> {2} {3} key={4} end={5}".format(*record)
    with pytest.raises(AttributeError):
        record.reason = "refused"  # type: ignore[misc]  # the mistake under test


def test_on_decision_runs_after_signing_and_before_the_response() -> None:
    """The listener gets the record of a grant that is signed but not yet sent."""
    order: list[object] = []
    signer = Fake(KEY_PAIR_ID, outcome=SIGNER.sign)
    app = gate(Judge(), signer=signer, on_decision=lambda record: order.extend([len(signer.messages), record.reason]))

    def start_response(*given: Any) -> Any:
        order.append(given[0])

    app(environ_for("/private/a"), start_response)
    assert order == [1, "granted", "303 See Other"]


@pytest.mark.parametrize("verdict", [True, False, PASS, webob.Response()], ids=lambda verdict: type(verdict).__name__)
def test_what_on_decision_raises_propagates(verdict: Any) -> None:
    """A listener that must not be missed stops the answer by raising."""

    def refuse(record: DecisionRecord) -> None:
        raise OSError("audit log is full")

    with pytest.raises(OSError, match="audit log is full"):
        gate(Judge(verdict), explode, on_decision=refuse)(environ_for("/private/a"), explode)


@pytest.mark.parametrize("answer", KINDS)
def test_sign_gives_views_the_url_that_a_redirecting_gate_sends(answer: str) -> None:
    """A view gets the very URL, base path included, whatever the gate answers; with ``reuse_for`` it is signed once."""
    signer = Fake(KEY_PAIR_ID, outcome=SIGNER.sign)
    app = gate(Judge(Grant(answer="redirect")), domain=f"{BASE_URL}/base", signer=signer, answer=answer, reuse_for=60)
    assert app.sign("/a b") == fetch(app, "/private/a b").location == app.distribution.sign("/a b")
    assert len(signer.messages) == 1


@pytest.mark.parametrize(
    ("options", "paths", "cleared"),
    [
        *(({}, ["/films/é/", "/a b.pdf"], ["/films/%C3%A9/", "/a%20b.pdf"]), ({}, ["/"], ["/"])),
        ({"domain": f"{BASE_URL}/base"}, ["/", "/a"], ["/base/", "/base/a"]),
        ({"cookie_path": "/films/", "cookie_domain": "example.com"}, [], ["/films/"]),
        ({"cookie_path": "/films/"}, ["/films/42/"], ["/films/"]),
    ],
)
def test_a_log_out_view_clears_the_cookies(options: dict[str, Any], paths: list[str], cleared: list[str]) -> None:
    """Every cookie of CloudFront is cleared in both ways that browsers and players read, where it was set."""
    fields = gate(explode, answer="cookies", **options).clear_cookies(*paths)
    own = {"Domain=example.com"} if "cookie_domain" in options else set()
    past = {"Max-Age=0", "Expires=Thu, 01 Jan 1970 00:00:00 GMT"}
    assert [(name, value.split("; ")[0], set(value.split("; ")[1:])) for name, value in fields] == [
        ("Set-Cookie", f"CloudFront-{name}=", {f"Path={path}", "Secure", "HttpOnly", "SameSite=Lax"} | past | own)
        for path in cleared
        for name in ("Expires", "Policy", "Signature", "Key-Pair-Id", "Hash-Algorithm")
    ]


UNCLEAN = ("", "a", "films/", "//", "/a//", "/../", "/a/./b", "/a\\b", "/a\n", "/\ud800", None, b"/a", 5)


@pytest.mark.parametrize("paths", [[], *(["/a", bad] for bad in UNCLEAN)])
def test_clear_cookies_refuses_what_no_cookie_was_set_for(paths: list[Any]) -> None:
    """A path that could not be a scope or object is an error, not a cookie that stays."""
    with pytest.raises(ConfigError, match="^clear_cookies: ") as caught:
        gate(explode).clear_cookies(*paths)
    assert "'/films/42/'" in str(caught.value)
    assert not paths or repr(paths[-1]) in str(caught.value)


def test_the_repr_shows_prefix_domain_and_key_id() -> None:
    """Nothing else of a gate is in its repr."""
    assert repr(gate(Judge())) == f"<CloudFrontGate /private <Distribution {BASE_URL} <KeyRing {KEY_PAIR_ID}>>>"


def test_the_clock_is_the_distributions() -> None:
    """Setting that of a gate sets that of its distribution."""
    app = gate(Judge())
    app.clock = lambda: NOW + 5
    assert (app.distribution.clock(), verified(fetch(app, "/private/a").location).policy.end) == (NOW + 5, END + 5)


def test_importing_the_package_loads_nothing_it_does_not_need() -> None:
    """Verification, the local edge, PasteDeploy and boto3 are loaded by those who use them."""
    code = "import sys, cfgate_middleware; print(*sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    unwanted = {f"cfgate_middleware.{name}" for name in ("verify", "edge", "pastedeploy")} | {"paste.deploy", "boto3"}
    assert "cfgate_middleware.middleware" in loaded
    assert not unwanted.intersection(loaded)
