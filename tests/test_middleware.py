"""The gate as WSGI middleware: its invariants, every verdict end to end, what it logs, and how it is configured."""

from __future__ import annotations

import gc
import json
import logging
import re
import socket
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
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

from cfgate_middleware import (
    PASS,
    AuthorizerError,
    CFGateError,
    CloudFrontGate,
    ConfigError,
    Grant,
    Signer,
    SigningError,
)
from cfgate_middleware import DecisionRecord as Record
from cfgate_middleware.verify import VerificationError, verify_cookies
from cfgate_middleware._core.encoding import is_clean
from tests.conftest import KEY_PAIR_ID, KEYS, NOW
from tests.support import BASE_URL, KEY_GROUP, SIGNER, Answer, Judge, Wrapped, environ_for, fetch, gate, verified

PEM = KEYS / "rsa-2048-pkcs8.pem"
END = NOW + 60
SPELLED = re.compile(rf"{re.escape(BASE_URL)}((?:/(?:[A-Za-z0-9._~-]|%[0-9A-F]{{2}})+)+)\?Expires={END}&.*")


class BrokenSigner:
    """A signer whose hardware is on fire."""

    key_pair_id = KEY_PAIR_ID
    hash_algorithm = "SHA256"

    def __init__(self, error: Exception | None = None, signature: Any = b"") -> None:
        self._error, self._signature = error, signature

    def sign(self, message: bytes) -> Any:
        """Fail, or return what is no signature."""
        if self._error is not None:
            raise self._error
        return self._signature


class CountingSigner:
    """A signer that counts how often it is asked."""

    key_pair_id = KEY_PAIR_ID
    hash_algorithm = "SHA256"

    def __init__(self) -> None:
        self.count = 0

    def sign(self, message: bytes) -> bytes:
        """Sign as the tests' own signer does."""
        self.count += 1
        return SIGNER.sign(message)


class Secretive:
    """An authorizer whose repr tells what nobody should read."""

    def __call__(self, environ: WSGIEnvironment) -> Any:
        return None

    def __repr__(self) -> str:
        return "<Secretive password=hunter2>"


async def deferred(environ: WSGIEnvironment) -> bool:
    """Refuse, or so it seems: a coroutine is true."""
    return False


def lazy(environ: WSGIEnvironment) -> Iterator[bool]:
    """Refuse, or so it seems: a generator is true."""
    yield False


def explode(*args: object, **kwargs: object) -> Any:
    """Fail the test that gets here."""
    raise AssertionError("never to be called")


# The invariants


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_invariant_1_every_request_is_authorized(method: str) -> None:
    """One and the same request is judged anew each time: a yes is no yes for the next one."""
    verdicts = iter([True, False, Grant(scope="directory"), 404, 200])
    app = gate(lambda environ: next(verdicts))
    codes = [fetch(app, "/private/a/b.pdf", method=method).code for _ in range(5)]
    assert codes == [303, 403, 303, 404, 303]


@pytest.mark.parametrize("answer", ["redirect", "cookies", "json"])
def test_invariant_1_a_signature_may_be_reused_but_a_verdict_never(answer: str) -> None:
    """With ``reuse_for`` the authorizer is asked as often as without, and each no is a no."""
    asked: list[str] = []
    verdicts = iter([True, False, True, 404, True])

    def authorize(environ: WSGIEnvironment) -> Any:
        asked.append(environ["cfgate.path"])
        return next(verdicts)

    app = gate(authorize, reuse_for=60, answer=answer)
    answers = [fetch(app, "/private/a") for _ in range(5)]
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


@pytest.mark.parametrize(
    ("verdict", "named"),
    [
        (None, "None"),
        ("yes", "a str of 3 characters"),
        ("", "a str of 0 characters"),
        (b"200", "bytes of length 3"),
        (["200 OK"], "an object of type list"),
        ([], "an object of type list"),
        ({"allow": True}, "an object of type dict"),
        (1, "the int 1"),
        (0, "the int 0"),
        (201, "the int 201"),
        (302, "the int 302"),
        (-200, "the int -200"),
        (600, "the int 600"),
        pytest.param(10**5000, "an int out of range", id="an int of 5,000 digits"),
        (HTTPStatus.FOUND, "the int 302"),
        (200.0, "an object of type float"),
        (NotImplemented, "an object of type NotImplementedType"),
        (object(), "an object of type object"),
        (webob.exc.HTTPForbidden, "the class webob.exc.HTTPForbidden"),
        (Grant, "the class cfgate_middleware.verdicts.Grant"),
        (lazy({}), "an object of type generator"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_invariant_3_yes_is_explicit(verdict: Any, named: str) -> None:
    """Whatever is no verdict opens nothing, however true it is: it is an error that names kind and authorizer."""
    wrapped = Wrapped()
    with pytest.raises(AuthorizerError, match=f"returned {re.escape(named)}; expected True, False, PASS") as caught:
        fetch(gate(Judge(verdict), wrapped), "/private/a")
    assert "authorizer tests.support.Judge " in str(caught.value)
    assert "nothing was signed" in str(caught.value)
    assert not wrapped.calls


def test_invariant_3_a_coroutine_is_closed() -> None:
    """A coroutine that slipped through is no yes, and is closed: Python does not warn that it was never awaited."""
    with pytest.raises(AuthorizerError, match="returned an object of type coroutine"):
        fetch(gate(lambda environ: deferred(environ)), "/private/a")


@given(st.text(min_size=1))
def test_invariant_4_one_spelling(name: str) -> None:
    """Any clean path is spelled in unreserved characters and %XX, reads back as asked, and is signed as it is sent."""
    path = f"/{name}"
    assume(is_clean(path) and path[-1] != "/")
    judge = Judge()
    location = fetch(gate(judge), f"/private{path}").location
    match = SPELLED.fullmatch(location)
    assert match
    assert unquote(match[1], errors="strict") == path
    assert judge.asked == [path]
    assert verified(location).policy.resource == BASE_URL + match[1]


@pytest.mark.parametrize(
    ("path", "verdict", "resource"),
    [
        ("/private/*", True, "/%2A?v=%2A%3F"),
        ("/private/a?b", True, "/a%3Fb?v=%2A%3F"),
        ("/private/x", Grant(path="/*?"), "/%2A%3F?v=%2A%3F"),
        ("/private/x", Grant(query={"v": "*", "*": "?"}), "/x?v=%2A&%2A=%3F"),
        ("/private/*/x?", Grant(scope="directory"), "/%2A/*"),
        ("/private/?*/x", Grant(scope="/?*/"), "/%3F%2A/*"),
        ("/private/*", Grant(scope="/"), "/*"),
        ("/private/*", Grant(ip_address="203.0.113.7"), "/%2A?v=%2A%3F"),
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
        {"SCRIPT_NAME": "/evil.com"},
    ],
)
def test_invariant_6_the_target_host_comes_from_configuration_alone(extra: dict[str, Any]) -> None:
    """Neither Host nor any forwarded header nor the mount point has a say in what is signed."""
    location = fetch(gate(Judge()), "/private/a", **extra).location
    assert verified(location).policy.resource == f"{BASE_URL}/a"


def test_invariant_7_secrets_stay_inside(caplog: pytest.LogCaptureFixture) -> None:
    """No log, record or repr holds a signature, a signed URL or a cookie value, whatever the answer."""
    caplog.set_level(logging.DEBUG)
    records: list[Record] = []
    options: dict[str, Any] = {"on_decision": records.append, "reuse_for": 60}
    app = gate(Judge(Grant(scope="directory")), **options)
    query = parse_qs(urlsplit(fetch(app, "/private/d/a").location).query)
    others = [gate(Judge(Grant(scope="directory")), **options, answer=answer) for answer in ("cookies", "json")]
    for other in others:
        fetch(other, "/private/d/a", HTTP_ACCEPT="application/json")
    told = caplog.text + repr(records) + "".join(repr(made) + repr(vars(made)) for made in (app, *others))
    assert (told.count("/private/d/a"), len(records)) == (6, 3)
    assert not [name for name in ("Policy", "Signature") if query[name][0] in told]


@pytest.mark.parametrize(
    ("signer", "text"),
    [
        (BrokenSigner(RuntimeError(PEM.read_text())), f"signer {KEY_PAIR_ID} failed with RuntimeError"),
        (BrokenSigner(SigningError("busy")), "busy"),
        (BrokenSigner(signature=b""), f"signer {KEY_PAIR_ID} returned bytes of length 0 instead of a signature"),
        (BrokenSigner(signature="secret"), f"signer {KEY_PAIR_ID} returned a str of 6 characters instead of a signat"),
    ],
)
def test_invariant_7_and_8_a_failure_to_sign_is_an_exception(signer: BrokenSigner, text: str) -> None:
    """What cannot be signed is never redirected to, and the error tells nothing of keys and signatures."""
    with pytest.raises(SigningError) as caught:
        gate(Judge(), signer=signer)(environ_for("/private/a"), explode)
    assert str(caught.value).startswith(text)


def test_invariant_7_an_authorizer_is_named_not_shown() -> None:
    """Errors name an authorizer by module and qualified name; its repr could tell a secret."""
    with pytest.raises(AuthorizerError, match="authorizer tests.test_middleware.Secretive returned None") as caught:
        fetch(gate(Secretive()), "/private/a")
    assert "hunter2" not in str(caught.value)


def test_invariant_8_wrong_configuration_fails_at_once_and_whole() -> None:
    """Every problem is told at construction, in one error, with the option, its value and what was expected."""
    with pytest.raises(ConfigError) as caught:
        gate(
            deferred,
            "no app",  # type: ignore[arg-type]  # the mistake under test
            prefix="private",
            domain="https://bucket.s3.amazonaws.com",
            signer=None,
            key_pair_id="AKIA1",
            private_key=b"-----BEGIN nonsense",
            expires=0,
            code=304,
            headers={"Location": "/"},
            forward_query=["Policy"],
            index="a/b",
            reuse_for=-1,
            answer="cookie",
            cookie_domain="localhost",
            cookie_path="films",
            cookie_samesite="lenient",
            on_decision="no callable",
        )
    found = caught.value.problems
    expected = [
        "app is a str of 6 characters; expected a WSGI application, or None",
        "authorize=tests.test_middleware.deferred is a coroutine or generator function",
        "prefix='private': expected whole path segments",
        "domain='https://bucket.s3.amazonaws.com': an S3 or AWS host cannot check CloudFront signatures",
        "expires=0: expected whole seconds from 1 to 604800",
        "code=304: expected a redirect code",
        "headers={'Location': '/'}: Location is set by the gate",
        "forward_query=['Policy']: Policy is reserved",
        "index='a/b': expected one file name",
        "reuse_for=-1: expected whole seconds from 1 to 604800",
        "answer='cookie': expected one of redirect, cookies, json",
        "cookie_domain='localhost': expected a domain of at least two labels",
        "cookie_path='films': expected a path on the distribution with a leading slash",
        "cookie_samesite='lenient': expected 'Lax', 'Strict' or 'None'",
        "on_decision='no callable': expected a plain callable",
        "key_pair_id",
    ]
    assert len(found) == len(expected)
    assert all(problem.startswith(start) for problem, start in zip(found, expected, strict=True)), found
    assert "nonsense" not in str(caught.value)


def test_invariant_8_options_that_contradict_each_other_fail_at_construction() -> None:
    """What would fail for every request is told before the first one."""
    with pytest.raises(ConfigError) as caught:
        gate(Judge(), expires=60, reuse_for=61, answer="cookies", cookie_domain="example.org", on_decision=deferred)
    assert caught.value.problems == (
        f"on_decision={deferred!r}: expected a plain callable that takes the decision record",
        "reuse_for=61: expected at most expires, which is 60",
        "cookie_domain='example.org': browsers would not send the cookies to cdn.example.com; "
        "expected a domain that covers it",
    )


def test_invariant_9_outside_the_prefix_the_gate_is_invisible() -> None:
    """The wrapped application gets the same, unchanged environ and start_response; its answer is passed on."""
    seen: list[object] = []
    body = [b"body"]

    def app(*args: object) -> list[bytes]:
        seen.extend(args)
        return body

    environ = environ_for("/public/a", query="x=1")
    before = dict(environ)

    assert gate(Judge(), app)(environ, explode) is body
    assert seen[0] is environ
    assert seen[1] is explode
    assert environ == before


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


# Verdicts, end to end


@pytest.mark.parametrize(
    "verdict", [True, 200, 204, HTTPStatus.OK, HTTPStatus.NO_CONTENT, Grant()], ids=lambda verdict: repr(verdict)
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_yes_redirects_to_the_signed_object(verdict: Any, method: str) -> None:
    """True, 200, 204 and a Grant answer 303, uncached and empty, with a URL that CloudFront takes until its end."""
    wrapped = Wrapped()
    answer = fetch(gate(Judge(verdict), wrapped), "/private/reports/1.pdf", method=method)
    assert (answer.status, answer.body, wrapped.calls) == ("303 See Other", b"", [])
    assert answer.headers == [
        ("Location", answer.location),
        ("Content-Type", "text/plain; charset=utf-8"),
        ("Cache-Control", "private, no-store"),
        ("Referrer-Policy", "no-referrer"),
        ("Content-Length", "0"),
    ]
    policy = verified(answer.location, now=END - 1).policy
    assert (policy.resource, policy.end) == (f"{BASE_URL}/reports/1.pdf", END)
    assert (policy.start, policy.ip_address) == (None, None)


@pytest.mark.parametrize(
    ("verdict", "status"),
    [
        (False, "403 Forbidden"),
        (400, "400 Bad Request"),
        (401, "401 Unauthorized"),
        (HTTPStatus.UNAUTHORIZED, "401 Unauthorized"),
        (403, "403 Forbidden"),
        (404, "404 Not Found"),
        (499, "499 Refused"),
        (503, "503 Service Unavailable"),
        (599, "599 Refused"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_no_is_answered_with_its_status(verdict: Any, status: str, method: str) -> None:
    """False is 403 and 400 to 599 are themselves: a short text that no cache keeps, and no Location."""
    wrapped = Wrapped()
    answer = fetch(gate(Judge(verdict), wrapped), "/private/a", method=method)
    text = f"{status}\n".encode()
    assert answer.status == status
    assert answer.body == (b"" if method == "HEAD" else text)
    assert answer.headers == [
        ("Content-Type", "text/plain; charset=utf-8"),
        ("Content-Length", str(len(text))),
        ("Cache-Control", "no-store"),
    ]
    assert not wrapped.calls


def test_pass_lets_the_wrapped_application_answer() -> None:
    """After PASS the wrapped application gets the request as it came, with nothing added to its answer."""
    wrapped = Wrapped()
    answer = fetch(gate(Judge(PASS), wrapped), "/private/a", query="x=1")
    assert answer == ("200 OK", [("Content-Type", "text/plain")], b"wrapped\n")
    (environ,) = wrapped.calls
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"], environ["QUERY_STRING"]) == ("/mount", "/private/a", "x=1")


def test_pass_without_an_application_is_not_found() -> None:
    """A gate that stands alone has nobody to pass to."""
    assert fetch(gate(Judge(PASS)), "/private/a").status == "404 Not Found"


RESPONSES: list[Any] = [
    pytest.param(lambda: webob.Response("no", status=401), 401, id="WebOb response"),
    pytest.param(lambda: webob.exc.HTTPFound(location="/login"), 302, id="WebOb exception"),
    pytest.param(lambda: werkzeug.wrappers.Response("no", status=429), 429, id="Werkzeug response"),
    pytest.param(lambda: werkzeug.exceptions.Forbidden("no"), 403, id="Werkzeug exception"),
    pytest.param(lambda: pyramid.response.Response("no", status=409), 409, id="Pyramid response"),
    pytest.param(lambda: pyramid.httpexceptions.HTTPForbidden("no"), 403, id="Pyramid exception"),
]


@pytest.mark.parametrize(("make", "code"), RESPONSES)
def test_a_returned_response_is_the_answer(make: Callable[[], Any], code: int) -> None:
    """A response of any WSGI framework is sent as it is, kept out of caches; nothing is signed."""
    wrapped = Wrapped()
    answer = fetch(gate(Judge(make()), wrapped, signer=BrokenSigner(AssertionError())), "/private/a")
    assert answer.code == code
    assert answer.values("Cache-Control") == ["no-store"]
    assert not wrapped.calls


@pytest.mark.parametrize(("make", "code"), [row for row in RESPONSES if "exception" in str(row.id)])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_raised_http_exception_is_the_answer(make: Callable[[], Any], code: int, method: str) -> None:
    """The HTTP exceptions of WebOb, Werkzeug and Pyramid may be raised as well as returned."""
    answer = fetch(gate(Judge(make())), "/private/a", method=method)
    assert answer.code == code
    assert answer.values("Cache-Control") == ["no-store"]


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


@pytest.mark.parametrize("name", ["Cache-Control", "cache-control"])
def test_no_store_is_added_only_where_missing(name: str) -> None:
    """A response that says itself how it is cached keeps its word."""
    response = webob.Response(b"login page", headerlist=[("Content-Type", "text/plain"), (name, "max-age=5")])
    answer = fetch(gate(Judge(response)), "/private/a")
    assert answer.values("Cache-Control") == ["max-age=5"]


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

    answer = fetch(gate(Judge(app)), "/private/a")
    fields = [("Content-Type", "text/plain"), ("Cache-Control", "no-store")]
    assert answer == ("500 Oops", fields, b"written and returned")


@pytest.mark.parametrize("error", [ValueError("no user"), KeyError("REMOTE_USER"), SigningError("mine")])
def test_any_other_exception_propagates(error: Exception) -> None:
    """An authorizer that fails has not said yes: its error is the server's to answer."""
    wrapped = Wrapped()
    with pytest.raises(type(error)) as caught:
        gate(Judge(error), wrapped)(environ_for("/private/a"), explode)
    assert caught.value is error
    assert not wrapped.calls


@pytest.mark.parametrize(
    ("grant", "text"),
    [
        (Grant(not_before=END), f"the grant starts at {END} but ends at {END}"),
        (Grant(scope="/b/"), "the object lies outside the scope of its grant"),
        (Grant(path=f"/{'x' * 8190}"), "CloudFront takes 8192"),
        (Grant(path=f"/{'x' * 2000}", answer="cookies"), "the cookie path is 2001 bytes long; browsers keep 1024"),
    ],
)
def test_a_grant_that_fits_no_object_is_the_authorizers_error(grant: Grant, text: str) -> None:
    """A grant that cannot be signed for this request raises, naming the authorizer; nothing is sent."""
    with pytest.raises(AuthorizerError, match=f"authorizer tests.support.Judge: .*{re.escape(text)}.*nothing was sent"):
        gate(Judge(grant))(environ_for("/private/d/a"), explode)


def test_a_grant_decides_all_it_can() -> None:
    """Every field of a Grant reaches the signed policy or the answer."""
    grant = Grant(
        expires=timedelta(minutes=5),
        not_before=datetime.fromtimestamp(NOW - 10, UTC),
        path="/other/b c.pdf",
        scope="directory",
        ip_address="203.0.113.7",
        query={"v": "2"},
        filename="b c.pdf",
        headers=[("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), ("cache-control", "no-store, max-age=0")],
    )
    answer = fetch(gate(Judge(grant), headers={"X-Own": "1", "Set-Cookie": "c=3"}), "/private/a")
    disposition = "response-content-disposition=attachment%3B%20filename%3D%22b%20c.pdf%22"
    assert answer.location.startswith(f"{BASE_URL}/other/b%20c.pdf?v=2&{disposition}&Policy=")
    policy = verified(answer.location, viewer_address="203.0.113.7").policy
    assert (policy.resource, policy.end, policy.start) == (f"{BASE_URL}/other/*", NOW + 300, NOW - 10)
    assert policy.ip_address == "203.0.113.7/32"
    assert answer.values("Set-Cookie") == ["c=3", "a=1", "b=2"]
    assert answer.values("Cache-Control") == ["no-store, max-age=0"]
    assert answer.values("X-Own") == ["1"]


# Answers before anyone is asked


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("GET", "/private//x", 400),
        ("POST", "/private//x", 400),
        ("OPTIONS", "/private/../x", 400),
        ("OPTIONS", "/private/x", 204),
        ("OPTIONS", "/private", 204),
        ("POST", "/private/x", 405),
        ("DELETE", "/private/", 405),
        ("GET", "/private", 404),
        ("HEAD", "/private/d/", 404),
    ],
)
def test_a_request_without_an_object_is_answered_at_once(method: str, path: str, code: int) -> None:
    """Unclean paths, other methods and directories are answered in this order, without asking anyone."""
    answer = fetch(gate(explode, Wrapped()), path, method=method)
    assert answer.code == code
    assert answer.values("Allow") == (["GET, HEAD, OPTIONS"] if code in (204, 405) else [])
    assert answer.values("Cache-Control") == ["no-store"]
    assert answer.values("Content-Type") == ([] if code == 204 else ["text/plain; charset=utf-8"])


@pytest.mark.parametrize(
    ("path", "resource"), [("/private", "/ä.html"), ("/private/", "/ä.html"), ("/private/d/", "/d/ä.html")]
)
def test_the_index_is_appended_before_authorizing(path: str, resource: str) -> None:
    """With ``index`` the authorizer is asked for the file that will be signed."""
    judge = Judge()
    location = fetch(gate(judge, index="ä.html"), path).location
    assert judge.asked == [resource]
    assert location.startswith(BASE_URL + resource.replace("ä", "%C3%A4") + "?")
    verified(location)


def test_text_that_is_no_latin_1_is_refused() -> None:
    """A server that breaks the rules for PATH_INFO gets a 400, not a guess."""
    records: list[Record] = []
    assert fetch(gate(explode, on_decision=records.append), "/", PATH_INFO="/private/\u20ac").code == 400
    assert records == [("/private/%5Cu20ac", "GET", 400, "unclean path", None, None)]


@pytest.mark.parametrize(
    ("query", "code", "kept"),
    [
        ("", 303, ""),
        ("other=1", 303, ""),
        ("v=a+b%2Bc&other=1&w=%C3%A9", 303, "v=a%20b%2Bc&w=%C3%A9&"),
        ("w&v=", 303, "w=&v=&"),
        ("%76=1", 303, "v=1&"),
        ("%ff=1&v=1", 303, "v=1&"),
        ("v=1&%76=2", 400, ""),
        ("v=%ff", 400, ""),
        ("v=\u20ac", 400, ""),
    ],
)
def test_only_named_parameters_are_forwarded(query: str, code: int, kept: str) -> None:
    """``forward_query`` keeps what it names, spelled anew; twice the same, or no text, is a bad request."""
    judge = Judge()
    answer = fetch(gate(judge, forward_query=["v", "w"]), "/private/a", query=query)
    assert (answer.code, bool(judge.asked)) == (code, code == 303)
    if code == 303:
        assert answer.location.startswith(f"{BASE_URL}/a?{kept}Expires=")
        verified(answer.location)


def test_an_url_too_long_for_cloudfront_is_414() -> None:
    """CloudFront would refuse more than 8,192 bytes; the gate says so before the viewer travels."""
    app = gate(Judge())
    longest = 8192 - (len(fetch(app, "/private/x").location) - 1)
    assert len(fetch(app, f"/private/{'x' * longest}").location) == 8192
    assert fetch(app, f"/private/{'x' * (longest + 1)}").code == 414


# Around the prefix


@pytest.mark.parametrize(
    ("prefix", "path", "asked"),
    [
        ("/private", "/private/x", "/x"),
        ("/private/", "/private/x", "/x"),
        ("/a/b.c", "/a/b.c/x", "/x"),
        ("/", "/x", "/x"),
        ("/private", "/privatex", None),
        ("/private", "/private.bak/x", None),
        ("/private", "/PRIVATE/x", None),
        ("/private", "/a/private/x", None),
        ("/private", "/", None),
        ("/private", "", None),
        ("/private", "/a//b", None),
    ],
)
def test_the_prefix_is_whole_segments(prefix: str, path: str, asked: str | None) -> None:
    """The gate takes the prefix and what lies below it, and nothing that merely begins like it."""
    judge, wrapped = Judge(), Wrapped()
    answer = fetch(gate(judge, wrapped, prefix=prefix), path)
    assert judge.asked == ([] if asked is None else [asked])
    assert len(wrapped.calls) == (asked is None)
    assert answer.code == (200 if asked is None else 303)


@pytest.mark.parametrize("mount", ["", "/private", "/a/b"])
def test_the_prefix_is_relative_to_the_mount_point(mount: str) -> None:
    """Where the gate is mounted neither matches the prefix nor reaches the signed URL."""
    judge, wrapped = Judge(), Wrapped()
    app = gate(judge, wrapped)
    assert verified(fetch(app, "/private/x", mount=mount).location).policy.resource == f"{BASE_URL}/x"
    assert fetch(app, "/x", mount=mount).code == 200
    assert (judge.asked, len(wrapped.calls)) == (["/x"], 1)


def test_the_base_path_of_the_domain_stands_before_every_resource() -> None:
    """The authorizer is told the path below the base path; what is signed includes it."""
    judge = Judge()
    location = fetch(gate(judge, domain=f"{BASE_URL}/private/"), "/private/x").location
    assert judge.asked == ["/x"]
    assert verified(location).policy.resource == f"{BASE_URL}/private/x"


@pytest.mark.parametrize(("prefix", "code"), [("/private", 200), ("/", 404)])
def test_an_absent_path_is_an_empty_one(prefix: str, code: int) -> None:
    """WSGI lets a server leave out PATH_INFO and QUERY_STRING where they are empty."""
    environ = environ_for("/")
    del environ["PATH_INFO"], environ["QUERY_STRING"]
    started: list[str] = []

    def start_response(status: str, headers: object, exc_info: object = None) -> Any:
        started.append(status)

    gate(explode, Wrapped(strict=False), prefix=prefix)(environ, start_response)
    assert started[0].startswith(str(code))


@pytest.mark.parametrize(("method", "body"), [("GET", b"404 Not Found\n"), ("HEAD", b""), ("POST", b"404 Not Found\n")])
def test_a_gate_alone_has_nothing_outside_its_prefix(method: str, body: bytes) -> None:
    """Without a wrapped application everything else is 404."""
    answer = fetch(gate(explode), "/elsewhere", method=method)
    assert (answer.status, answer.body) == ("404 Not Found", body)
    assert answer.values("Content-Length") == ["14"]


# The log and the record


@pytest.mark.parametrize(
    ("path", "method", "verdict", "record"),
    [
        ("/private/a b.pdf", "GET", True, ("/private/a%20b.pdf", "GET", 303, "granted", KEY_PAIR_ID, END)),
        ("/private/a", "HEAD", Grant(expires=5), ("/private/a", "HEAD", 303, "granted", KEY_PAIR_ID, NOW + 5)),
        ("/private/a", "GET", 401, ("/private/a", "GET", 401, "refused", None, None)),
        ("/private/a", "GET", PASS, ("/private/a", "GET", None, "passed", None, None)),
        ("/private/a", "GET", webob.Response(), ("/private/a", "GET", None, "answered", None, None)),
        ("/private/\n", "GET", True, ("/private/%0A", "GET", 400, "unclean path", None, None)),
        (b"/private/\xff", "GET", True, ("/private/%FF", "GET", 400, "unclean path", None, None)),
        ("/private/a", "POST", True, ("/private/a", "POST", 405, "method", None, None)),
        ("/private/a", "A\n|B", True, ("/private/a", "A%0A%7CB", 405, "method", None, None)),
        ("/private/a", "OPTIONS", True, ("/private/a", "OPTIONS", 204, "options", None, None)),
        ("/private/", "GET", True, ("/private/", "GET", 404, "no object", None, None)),
        (f"/private/{'x' * 8192}", "GET", True, (f"/private/{'x' * 8192}", "GET", 414, "too long", None, None)),
    ],
)
def test_every_decision_is_logged_and_recorded(
    path: str | bytes, method: str, verdict: Any, record: tuple[Any, ...], caplog: pytest.LogCaptureFixture
) -> None:
    """Below the prefix every request leaves one INFO line and one record, whoever answers it."""
    caplog.set_level(logging.INFO, "cfgate_middleware")
    records: list[Record] = []
    fetch(gate(Judge(verdict), Wrapped(), on_decision=records.append), path, method=method, strict=method != "A\n|B")
    assert records == [record]
    path_told, method_told, status, reason, key, end = record
    lines = [(entry.name, entry.levelname, entry.getMessage()) for entry in caplog.records]
    line = f"{method_told} {path_told} -> {status} {reason} key={key} end={end}"
    assert lines == [("cfgate_middleware", "INFO", line)]


def test_a_bad_query_is_recorded() -> None:
    """A parameter given twice is a decision too."""
    records: list[Record] = []
    fetch(gate(Judge(), forward_query=["v"], on_decision=records.append), "/private/a", query="v=1&v=2")
    assert records == [("/private/a", "GET", 400, "unclean query", None, None)]


def test_outside_the_prefix_nothing_is_recorded(caplog: pytest.LogCaptureFixture) -> None:
    """What is not the gate's business is not in its log."""
    caplog.set_level(logging.INFO, "cfgate_middleware")
    fetch(gate(Judge(), on_decision=explode), "/public/a")
    assert not caplog.records


def test_a_record_cannot_be_changed() -> None:
    """One listener cannot rewrite what the next one is told."""
    records: list[Record] = []
    fetch(gate(Judge(), on_decision=records.append), "/private/a")
    with pytest.raises(AttributeError):
        records[0].reason = "refused"  # type: ignore[misc]  # the mistake under test


def test_on_decision_runs_after_signing_and_before_the_response() -> None:
    """The listener is told of a grant that is signed but not yet sent."""
    order = []

    class Listening(BrokenSigner):
        def sign(self, message: bytes) -> bytes:
            order.append("sign")
            return b"signature"

    def start_response(status: str, headers: object, exc_info: object = None) -> Any:
        order.append(status)

    app = gate(Judge(), signer=Listening(), on_decision=lambda record: order.append(record.reason))
    app(environ_for("/private/a"), start_response)
    assert order == ["sign", "granted", "303 See Other"]


@pytest.mark.parametrize("verdict", [True, False, PASS, webob.Response()], ids=lambda verdict: type(verdict).__name__)
def test_what_on_decision_raises_propagates(verdict: Any) -> None:
    """A listener that must not be missed stops the answer by raising."""

    def refuse(record: Record) -> None:
        raise OSError("audit log is full")

    wrapped = Wrapped()
    with pytest.raises(OSError, match="audit log is full"):
        gate(Judge(verdict), wrapped, on_decision=refuse)(environ_for("/private/a"), explode)
    assert not wrapped.calls


# Signing for views


def test_sign_gives_views_the_url_that_the_gate_would_send() -> None:
    """The gate's own sign() needs no request and asks nobody."""
    assert gate(explode).sign("/a b.pdf") == fetch(gate(Judge()), "/private/a b.pdf").location


def test_sign_takes_what_a_grant_takes() -> None:
    """Conditions and scope work as in a Grant."""
    url = gate(explode, domain=f"{BASE_URL}/base").sign(
        "/d/*.pdf", expires=30, scope="/d/", not_before=NOW - 5, ip_address="203.0.113.0/24", query=[("v", "*")]
    )
    assert url.startswith(f"{BASE_URL}/base/d/%2A.pdf?v=%2A&Policy=")
    policy = verified(url, viewer_address="203.0.113.9").policy
    assert (policy.resource, policy.end, policy.start) == (f"{BASE_URL}/base/d/*", NOW + 30, NOW - 5)


@pytest.mark.parametrize(
    ("path", "options", "text"),
    [
        ("a.pdf", {}, "Grant: path='a.pdf': expected the decoded path of one object"),
        ("/a/../b", {}, "expected the decoded path of one object"),
        ("/", {}, "expected the decoded path of one object"),
        (None, {}, "path is None; expected the decoded path of one object"),
        ("/a", {"expires": 0}, "Grant: expires=0: expected whole seconds"),
        ("/a", {"ip_address": "::1"}, "CloudFront policies have no IPv6"),
        ("/a", {"scope": "/b/"}, "Grant: path='/a' lies outside scope='/b/'"),
        ("/a", {"scope": "directory"}, "Grant: scope='directory' of path='/a' is the root of the distribution"),
        ("/a", {"not_before": END}, f"the grant starts at {END} but ends at {END}"),
        ("/a", {"filename": "a\nb"}, "Grant: filename='a\\nb': expected a file name"),
        (f"/{'x' * 8192}", {}, "Grant: path and query are 8193 bytes long when spelled; a whole URL may be 8192"),
        (f"/{'x' * 8191}", {}, "CloudFront takes 8192"),
    ],
)
def test_sign_refuses_what_it_cannot_sign(path: Any, options: dict[str, Any], text: str) -> None:
    """Wrong arguments are a ConfigError that says what is wrong."""
    with pytest.raises(ConfigError, match=re.escape(text)):
        gate(explode).sign(path, **options)


def test_sign_gives_views_the_name_of_a_download() -> None:
    """A template may name what is saved."""
    assert (
        gate(explode)
        .sign("/1", filename="é.pdf")
        .startswith(
            f"{BASE_URL}/1?response-content-disposition="
            "attachment%3B%20filename%3D%22_.pdf%22%3B%20filename%2A%3DUTF-8%27%27%25C3%25A9.pdf&Expires="
        )
    )


@pytest.mark.parametrize("answer", ["cookies", "json"])
def test_sign_gives_a_url_whatever_the_gate_answers(answer: str) -> None:
    """A view that asks for a signed URL gets one."""
    assert gate(explode, answer=answer).sign("/a") == gate(explode).sign("/a")


def test_sign_reuses_what_the_gate_has_signed() -> None:
    """With ``reuse_for`` a page shows the very URL that the gate redirects to, signed once."""
    signer = CountingSigner()
    app = gate(Judge(), signer=signer, reuse_for=60)
    assert {app.sign("/a"), fetch(app, "/private/a").location, app.sign("/a")} == {app.sign("/a")}
    assert signer.count == 1


def test_sign_raises_where_the_signer_fails() -> None:
    """No URL is better than one that CloudFront refuses."""
    with pytest.raises(SigningError, match="failed with OSError"):
        gate(explode, signer=BrokenSigner(OSError())).sign("/a")


# Cookies and JSON, end to end


def set_cookies(answer: Answer) -> dict[str, tuple[str, list[str]]]:
    """Return value and attributes of every cookie of an answer, by name; no name stands there twice."""
    fields = [field.split("; ") for field in answer.values("Set-Cookie")]
    cookies = {pair.partition("=")[0]: (pair.partition("=")[2], sorted(attributes)) for pair, *attributes in fields}
    assert len(cookies) == len(fields)
    return cookies


CLEARED = ["Max-Age=0", "expires=Wed, 31-Dec-97 23:59:59 GMT"]


@pytest.mark.parametrize(
    ("options", "grant", "attributes"),
    [
        ({}, Grant(), ["HttpOnly", "Path=/films/42/1.ts", "SameSite=Lax", "secure"]),
        ({}, Grant(scope="directory"), ["HttpOnly", "Path=/films/42/", "SameSite=Lax", "secure"]),
        ({}, Grant(path="/é;b/1.ts"), ["HttpOnly", "Path=/%C3%A9%3Bb/1.ts", "SameSite=Lax", "secure"]),
        (
            {"cookie_domain": ".example.com", "cookie_path": "/", "cookie_samesite": "none"},
            Grant(scope="/films/"),
            ["Domain=example.com", "HttpOnly", "Path=/", "SameSite=None", "secure"],
        ),
        (
            {"domain": f"{BASE_URL}/base", "cookie_samesite": "Strict"},
            Grant(scope="/"),
            ["HttpOnly", "Path=/base/", "SameSite=Strict", "secure"],
        ),
        ({"domain": "http://localhost:8001"}, Grant(), ["HttpOnly", "Path=/films/42/1.ts", "SameSite=Lax"]),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_cookies_are_session_cookies_that_scripts_cannot_read(
    options: dict[str, Any], grant: Grant, attributes: list[str], method: str
) -> None:
    """Those of the signed form are set, the others cleared, all with the same attributes and no lifetime."""
    answer = fetch(gate(Judge(grant), answer="cookies", **options), "/private/films/42/1.ts", method=method)
    assert (answer.code, answer.body) == (303, b"")
    cookies = set_cookies(answer)
    form, other = ("Expires", "Policy") if grant.is_canned else ("Policy", "Expires")
    assert list(cookies) == [
        f"CloudFront-{name}" for name in ("Expires", "Policy", "Signature", "Key-Pair-Id", "Hash-Algorithm")
    ]
    for name in (form, "Signature", "Key-Pair-Id", "Hash-Algorithm"):
        value, found = cookies[f"CloudFront-{name}"]
        assert re.fullmatch("[A-Za-z0-9_~-]+", value)
        assert found == attributes
    assert cookies[f"CloudFront-{other}"] == ("", sorted(attributes + CLEARED))


@pytest.mark.parametrize(
    ("grant", "opened", "closed"),
    [
        (Grant(), ["/films/42/1.ts"], ["/films/42/2.ts", "/films/42/1.ts?v=1"]),
        (Grant(scope="directory"), ["/films/42/1.ts", "/films/42/sub/2.ts?v=1"], ["/films/43/1.ts", "/films/42"]),
        (Grant(scope="/", ip_address="203.0.113.7"), ["/", "/any"], []),
    ],
)
def test_cookies_open_what_was_granted_and_nothing_else(grant: Grant, opened: list[str], closed: list[str]) -> None:
    """CloudFront takes the cookies for the clean URL of the Location and for its scope."""
    answer = fetch(gate(Judge(grant), answer="cookies"), "/private/films/42/1.ts")
    assert answer.location == f"{BASE_URL}/films/42/1.ts"
    sent = {name: value for name, (value, _) in set_cookies(answer).items() if value}
    options: dict[str, Any] = {"base_url": BASE_URL, "key_group": KEY_GROUP, "now": END - 1}
    for target in ["/films/42/1.ts", *opened]:
        verify_cookies(target, sent, **options, viewer_address="203.0.113.7")
    for target in closed:
        with pytest.raises(VerificationError):
            verify_cookies(target, sent, **options, viewer_address="203.0.113.7")
    with pytest.raises(VerificationError):
        verify_cookies("/films/42/1.ts", sent, **{**options, "now": END}, viewer_address="203.0.113.7")


def test_only_what_is_granted_sets_cookies() -> None:
    """Refusals, PASS and answers of others leave a browser's cookies as they are."""
    for verdict in (False, 404, PASS, webob.Response("no", status=401)):
        answer = fetch(gate(Judge(verdict), Wrapped(), answer="cookies"), "/private/a")
        assert not answer.values("Set-Cookie")


def test_cookies_of_the_application_go_along() -> None:
    """Set-Cookie of the option and of the grant stand beside CloudFront's."""
    grant = Grant(headers=[("Set-Cookie", "b=2")])
    answer = fetch(gate(Judge(grant), answer="cookies", headers={"Set-Cookie": "a=1"}), "/private/a")
    assert [field[:3] for field in answer.values("Set-Cookie") if not field.startswith("CloudFront-")] == ["a=1", "b=2"]
    assert len(answer.values("Set-Cookie")) == 7


@pytest.mark.parametrize(
    ("options", "paths", "cleared"),
    [
        ({}, ["/films/é/", "/a b.pdf"], ["/films/%C3%A9/", "/a%20b.pdf"]),
        ({}, ["/"], ["/"]),
        ({"domain": f"{BASE_URL}/base"}, ["/", "/a"], ["/base/", "/base/a"]),
        ({"cookie_path": "/films/", "cookie_domain": "example.com"}, [], ["/films/"]),
        ({"cookie_path": "/films/"}, ["/films/42/"], ["/films/"]),
    ],
)
def test_a_log_out_view_clears_the_cookies(options: dict[str, Any], paths: list[str], cleared: list[str]) -> None:
    """Every cookie of CloudFront is cleared, with the attributes that it was set with."""
    fields = gate(explode, answer="cookies", **options).clear_cookies(*paths)
    domain = "Domain=example.com; " if "cookie_domain" in options else ""
    assert fields == [
        (
            "Set-Cookie",
            f"CloudFront-{name}=; {domain}Max-Age=0; Path={path}; "
            "expires=Wed, 31-Dec-97 23:59:59 GMT; secure; HttpOnly; SameSite=Lax",
        )
        for path in cleared
        for name in ("Expires", "Policy", "Signature", "Key-Pair-Id", "Hash-Algorithm")
    ]


@pytest.mark.parametrize(
    ("paths", "text"),
    [
        ([], "clear_cookies: expected the paths that cookies were set for, such as '/films/42/'"),
        *(
            (["/a", bad], f"clear_cookies: {bad!r}: expected a clean decoded path, such as '/films/42/'")
            for bad in ("", "a", "films/", "//", "/a//", "/../", "/a/./b", "/a\\b", "/a\n", "/\ud800", None, b"/a", 5)
        ),
    ],
)
def test_clear_cookies_refuses_what_no_cookie_was_set_for(paths: list[Any], text: str) -> None:
    """A path that could be no scope or object is an error, not a cookie that stays."""
    with pytest.raises(ConfigError) as caught:
        gate(explode).clear_cookies(*paths)
    assert str(caught.value) == text


def test_a_script_gets_json() -> None:
    """The URL that a script is told is the one that a browser is redirected to."""
    app = gate(Judge(), answer="json")
    answer = fetch(app, "/private/a", HTTP_ACCEPT="application/json, */*;q=0.1")
    assert (answer.status, answer.values("Content-Type")) == ("200 OK", ["application/json"])
    told = json.loads(answer.body)
    assert told.keys() == {"url", "expires"}
    assert verified(told["url"]).policy.end == told["expires"] == END
    redirect = fetch(app, "/private/a", HTTP_ACCEPT="text/html,*/*;q=0.8")
    assert (redirect.code, redirect.location) == (303, told["url"])
    assert answer.values("Vary") == redirect.values("Vary") == ["Accept"]
    assert fetch(app, "/private/a").headers == redirect.headers


@pytest.mark.parametrize("verdict", [True, False], ids=["yes", "no"])
def test_json_without_a_body_for_head(verdict: bool) -> None:
    """HEAD has the headers of GET."""
    app = gate(Judge(verdict), answer="json")
    get, head = (fetch(app, "/private/a", method=method, HTTP_ACCEPT="application/json") for method in ("GET", "HEAD"))
    assert (head.status, head.headers, head.body) == (get.status, get.headers, b"")
    assert get.values("Content-Length") == [str(len(get.body))]


def test_a_script_reads_its_refusal_as_json() -> None:
    """A refusal by False or by an int is JSON for those who asked for it."""
    answer = fetch(gate(Judge(401), answer="json"), "/private/a", HTTP_ACCEPT="application/json")
    assert (answer.status, answer.body) == ("401 Unauthorized", b'{"status": 401, "error": "Unauthorized"}')
    assert answer.values("Content-Type") == ["application/json"]
    assert answer.values("Cache-Control") == ["no-store"]


# Configuration


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_any_redirect_code_may_be_chosen(code: int) -> None:
    """The code of every grant is the configured one."""
    answer = fetch(gate(Judge(), code=code), "/private/a")
    assert answer.status == f"{code} {HTTPStatus(code).phrase}"
    verified(answer.location)


@pytest.mark.parametrize(
    "signer_options", [{"private_key": PEM}, {"priv_key_string": str(PEM), "hash_algorithm": "SHA1"}]
)
def test_keys_may_be_given_as_options(signer_options: dict[str, Any], pem: Callable[[str], str]) -> None:
    """A gate builds its own signer from an id and a key."""
    query = urlsplit(fetch(gate(Judge(), signer=None, key_pair_id="K1", **signer_options), "/private/a").location).query
    own = Signer("K1", pem("rsa-2048-pkcs8"), signer_options.get("hash_algorithm", "SHA256"))
    assert query == urlsplit(gate(explode, signer=own).sign("/a")).query


def test_flask_cloudfronts_dictionary_is_taken_unchanged() -> None:
    """The configuration that Flask-CloudFront was given still works."""
    cloudfront_domain = "http://dc1097jtk.cloudfront.net"
    cloudfront_config: dict[str, Any] = {
        "priv_key_string": str(PEM),
        "key_pair_id": "APKAIO3Z4DOEXAMPLE",
        "expires": 60,
    }
    app = CloudFrontGate(None, Judge(200), prefix="/private", domain=cloudfront_domain, **cloudfront_config)
    app.clock = lambda: NOW + 0.25
    location = fetch(app, "/private/a").location
    assert location.startswith(f"{cloudfront_domain}/a?Expires={NOW + 61}&Signature=")
    assert "&Key-Pair-Id=APKAIO3Z4DOEXAMPLE" in location


@pytest.mark.parametrize(
    ("domain", "warnings"),
    [
        ("http://cdn.example.com", ["domain http://cdn.example.com: signed URLs will cross the network in clear"]),
        ("http://localhost:8001", []),
        ("http://127.0.0.1:8001", []),
        ("https://cdn.example.com", []),
        ("cdn.example.com", []),
    ],
)
def test_http_is_accepted_with_a_warning(domain: str, warnings: list[str], caplog: pytest.LogCaptureFixture) -> None:
    """A plain http domain is warned about once, at construction, unless it stays on this machine."""
    app = gate(Judge(), domain=domain)
    fetch(app, "/private/a")
    told = [entry.getMessage() for entry in caplog.records if entry.levelno >= logging.WARNING]
    assert [line.partition("; use https")[0] for line in told] == warnings


def test_the_clock_is_the_real_one() -> None:
    """Unless a test replaces it, a grant begins now."""
    app = CloudFrontGate(None, Judge(), prefix="/private", domain=BASE_URL, signer=SIGNER)
    before = datetime.now(UTC).timestamp()
    (expires,) = parse_qs(urlsplit(fetch(app, "/private/a").location).query)["Expires"]
    assert before + 60 <= int(expires) <= datetime.now(UTC).timestamp() + 61


def test_importing_the_package_loads_nothing_it_does_not_need() -> None:
    """Verification, the local edge and PasteDeploy are loaded by those who use them."""
    code = "import sys, cfgate_middleware; print(*sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    unwanted = {f"cfgate_middleware.{name}" for name in ("verifying", "edge", "pastedeploy")} | {
        "paste.deploy",
        "boto3",
    }
    assert "cfgate_middleware.middleware" in loaded
    assert not unwanted.intersection(loaded)


def test_all_errors_of_the_gate_have_one_root() -> None:
    """One except clause around a gate catches what the package raises, and not what the authorizer does."""
    assert all(issubclass(error, CFGateError) for error in (AuthorizerError, ConfigError, SigningError))
