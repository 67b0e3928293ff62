"""Signing inside a view: the redirect in real Flask and Pyramid applications, and signed URLs and cookies by hand."""

from __future__ import annotations

import gc
import math
import re
import time
import weakref
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, urlsplit

import flask
import pyramid.config
import pyramid.httpexceptions
import pyramid.request
import pytest
import webob
import webob.exc
import werkzeug.exceptions
import werkzeug.wrappers

from cfgate_middleware import (
    PASS,
    AuthorizerError,
    CloudFrontRedirect,
    ConfigError,
    Grant,
    Signer,
    SigningError,
    signed_cookies,
    signed_url,
)
from cfgate_middleware._core.policy import MAX_EPOCH
from cfgate_middleware.verify import verify_cookies
from tests.conftest import KEY_PAIR_ID, KEYS, NOW
from tests.support import BASE_URL, KEY_GROUP, SIGNER, fetch, verified

LOCATION = f"{BASE_URL}/reports/1.pdf"
END = NOW + 60


class ForAlice(CloudFrontRedirect):
    """A redirect that is Alice's alone, written as Flask-CloudFront's users write it."""

    def authorize(self, user: str, *, greet: bool = False) -> object:
        """Let Alice in, greet whoever wants to be, and turn everybody else away."""
        if greet:
            return webob.Response(f"hello {user}")
        return 200 if user == "alice" else 401


class Asynchronous(CloudFrontRedirect):
    """A redirect that would let everybody in, for a coroutine is true."""

    async def authorize(self, *args: object) -> bool:
        """Refuse, or so it seems."""
        return False


def lazy() -> Iterator[bool]:
    """Refuse, or so it seems: a generator is true."""
    yield False


def raising(error: Exception) -> Any:
    """Raise where only an expression can stand."""
    raise error


def explode(*args: object) -> Any:
    """Fail the test that gets here."""
    raise AssertionError("never to be called")


def still(redirect: CloudFrontRedirect) -> CloudFrontRedirect:
    """Stop the redirect's clock."""
    redirect.clock = lambda: NOW
    return redirect


def redirect(verdict: Any = True, location: str = LOCATION, **options: Any) -> CloudFrontRedirect:
    """Return a redirect with one verdict for all."""
    return still(CloudFrontRedirect(location, **{"authorize": lambda: verdict, "signer": SIGNER, **options}))


def flask_app(view: Callable[[str], Any]) -> Any:
    """Return a Flask application with one view."""
    app = flask.Flask("tests")
    app.add_url_rule("/download/<user>", "download", view)
    return app


def pyramid_app(view: Callable[[str], Any]) -> Any:
    """Return a Pyramid application with one view."""

    def adapted(request: pyramid.request.Request) -> Any:
        return view(request.matchdict["user"])

    with pyramid.config.Configurator() as config:
        config.add_route("download", "/download/{user}")
        config.add_view(adapted, route_name="download")
        return config.make_wsgi_app()


APPS = pytest.mark.parametrize("make_app", [flask_app, pyramid_app])


# In views


@APPS
def test_a_view_returns_the_redirect(make_app: Callable[[Any], Any]) -> None:
    """A subclass with its own authorize() answers for a Flask and a Pyramid view, uncached and empty."""
    app = make_app(lambda user: still(ForAlice(LOCATION, headers={"X-Own": "1"}, signer=SIGNER)).go(user))
    answer = fetch(app, "/download/alice")
    assert (answer.code, answer.body) == (303, b"")
    assert answer.values("Cache-Control") == ["private, no-store"]
    assert answer.values("Referrer-Policy") == ["no-referrer"]
    assert answer.values("X-Own") == ["1"]
    policy = verified(answer.location).policy
    assert (policy.resource, policy.end) == (LOCATION, END)


@APPS
def test_a_view_returns_the_refusal(make_app: Callable[[Any], Any]) -> None:
    """A no reaches the viewer of a Flask and a Pyramid view with its status and no Location."""
    app = make_app(lambda user: ForAlice(LOCATION, signer=SIGNER).go(user))
    answer = fetch(app, "/download/mallory")
    assert (answer.code, answer.body) == (401, b"401 Unauthorized\n")
    assert answer.values("Cache-Control") == ["no-store"]
    assert not answer.values("Location")


@APPS
def test_a_view_returns_the_authorizers_own_response(make_app: Callable[[Any], Any]) -> None:
    """A response of the authorizer is the view's, kept out of caches."""
    app = make_app(lambda user: ForAlice(LOCATION, signer=SIGNER).go(user, greet=True))
    answer = fetch(app, "/download/bob")
    assert (answer.code, answer.body) == (200, b"hello bob")
    assert answer.values("Cache-Control") == ["no-store"]


def test_flasks_own_client_sees_the_redirect() -> None:
    """Flask's test client, abort() in the authorizer and Flask's own responses work together."""

    def authorize(user: str) -> object:
        if user == "eve":
            flask.abort(410)
        return flask.make_response("log in first", 401) if user == "bob" else True

    app = flask_app(lambda user: still(CloudFrontRedirect(LOCATION, 307, authorize=authorize, signer=SIGNER)).go(user))
    client = app.test_client()
    granted, asked, gone = (client.get(f"/download/{user}") for user in ("alice", "bob", "eve"))
    assert granted.status == "307 Temporary Redirect"
    assert verified(granted.location).policy.resource == LOCATION
    assert (asked.status_code, asked.text, asked.headers["Cache-Control"]) == (401, "log in first", "no-store")
    assert (gone.status_code, gone.headers["Cache-Control"]) == (410, "no-store")


def test_the_authorizer_gets_what_go_gets() -> None:
    """``authorize=`` is called with the arguments of go(), and with nothing else."""
    seen: list[object] = []

    def authorize(*args: object, **kwargs: object) -> bool:
        seen.append((args, kwargs))
        return False

    CloudFrontRedirect(LOCATION, authorize=authorize, signer=SIGNER).go("alice", 7, greet=True)
    assert seen == [(("alice", 7), {"greet": True})]


# Verdicts


@pytest.mark.parametrize("verdict", [True, 200, 204, HTTPStatus.OK, Grant()], ids=lambda verdict: repr(verdict))
def test_a_yes_is_a_webob_response_with_the_signed_url(verdict: Any) -> None:
    """True, 200, 204 and a Grant redirect to the signed location."""
    answer = redirect(verdict).go()
    assert isinstance(answer, webob.Response)
    assert (answer.status, answer.body) == ("303 See Other", b"")
    assert verified(fetch(answer, "/").location).policy.resource == LOCATION


def test_a_grant_has_its_say() -> None:
    """Conditions, scope, path, query and headers of a Grant are signed and sent."""
    grant = Grant(expires=5, scope="/", path="/other", query={"v": "*"}, headers={"X-Own": "2"}, not_before=NOW - 1)
    answer = fetch(redirect(grant, headers=[("X-Own", "1")]).go(), "/")
    assert answer.location.startswith(f"{BASE_URL}/other?v=%2A&Policy=")
    policy = verified(answer.location).policy
    assert (policy.resource, policy.end, policy.start) == (f"{BASE_URL}/*", NOW + 5, NOW - 1)
    assert answer.values("X-Own") == ["2"]


@pytest.mark.parametrize(
    ("verdict", "status"), [(False, "403 Forbidden"), (404, "404 Not Found"), (599, "599 Refused")]
)
def test_a_no_is_a_webob_response_with_its_status(verdict: Any, status: str) -> None:
    """False and 400 to 599 are refusals; nothing is signed."""
    answer = redirect(verdict).go()
    assert isinstance(answer, webob.Response)
    assert (answer.status, answer.location, answer.text) == (status, None, f"{status}\n")


@pytest.mark.parametrize(
    ("make", "code"),
    [
        pytest.param(lambda: webob.Response(status=402), 402, id="WebOb response"),
        pytest.param(lambda: webob.exc.HTTPFound(location="/login"), 302, id="WebOb exception"),
        pytest.param(lambda: werkzeug.wrappers.Response(status=429), 429, id="Werkzeug response"),
        pytest.param(lambda: werkzeug.exceptions.Unauthorized(), 401, id="Werkzeug exception"),
        pytest.param(lambda: pyramid.httpexceptions.HTTPForbidden(), 403, id="Pyramid exception"),
    ],
)
def test_a_returned_response_is_the_answer(make: Callable[[], Any], code: int) -> None:
    """Responses of WebOb, Werkzeug and Pyramid are sent as they are, kept out of caches."""
    answer = fetch(redirect(make()).go(), "/")
    assert (answer.code, answer.values("Cache-Control")) == (code, ["no-store"])


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (webob.exc.HTTPForbidden(), 403),
        (werkzeug.exceptions.Unauthorized(), 401),
        (pyramid.httpexceptions.HTTPFound(location="/login"), 302),
    ],
)
def test_a_raised_http_exception_is_the_answer(error: Exception, code: int) -> None:
    """The HTTP exceptions of WebOb, Werkzeug and Pyramid may be raised as well as returned."""
    answer = fetch(redirect(authorize=lambda: raising(error)).go(), "/")
    assert (answer.code, answer.values("Cache-Control")) == (code, ["no-store"])


@pytest.mark.parametrize(
    "make",
    [
        lambda: webob.Response(headerlist=[("Content-Type", "text/plain"), ("cache-control", "max-age=5")]),
        lambda: werkzeug.wrappers.Response(headers={"cache-control": "max-age=5"}),
    ],
)
def test_no_store_is_added_only_where_missing(make: Callable[[], Any]) -> None:
    """A response that says itself how it is cached keeps its word."""
    assert fetch(redirect(make()).go(), "/").values("Cache-Control") == ["max-age=5"]


@pytest.mark.parametrize("make", [webob.exc.HTTPForbidden, werkzeug.exceptions.Forbidden])
def test_a_raised_http_exception_leaves_no_cycle(make: Callable[[], Exception]) -> None:
    """Whatever the exception held goes with the answer and not with the collector."""
    raised: list[weakref.ref[Exception]] = []

    def authorize() -> Any:
        error = make()
        raised.append(weakref.ref(error))
        raise error

    gc.disable()
    try:
        assert fetch(redirect(authorize=authorize).go(), "/").code == 403
        assert [reference() for reference in raised] == [None]
    finally:
        gc.enable()


def test_any_other_exception_propagates() -> None:
    """An authorizer that fails has not said yes."""
    with pytest.raises(LookupError, match="no such user"):
        redirect(authorize=lambda: raising(LookupError("no such user"))).go()


def test_a_grant_may_set_cookies() -> None:
    """A view that opens a directory redirects to the clean URL, with cookies as a gate of default options sets them."""
    answer = fetch(redirect(Grant(scope="directory", answer="cookies"), f"{BASE_URL}/films/1.m3u8?v=1").go(), "/")
    assert (answer.code, answer.location) == (303, f"{BASE_URL}/films/1.m3u8?v=1")
    fields = [field.partition("; ") for field in answer.values("Set-Cookie")]
    cookies = {pair.partition("=")[0]: pair.partition("=")[2] for pair, _, _ in fields}
    assert cookies.pop("CloudFront-Expires") == ""
    assert {attributes for pair, _, attributes in fields if pair[-1:] != "="} == {
        "Path=/films/; secure; HttpOnly; SameSite=Lax"
    }
    proven = verify_cookies("/films/1.ts", cookies, base_url=BASE_URL, key_group=KEY_GROUP, now=NOW)
    assert (proven.policy.resource, proven.policy.end) == (f"{BASE_URL}/films/*", END)


def test_a_grant_for_json_redirects_a_view() -> None:
    """A redirect does not see the request, so nobody asked it for JSON."""
    answer = fetch(redirect(Grant(answer="json")).go(), "/", HTTP_ACCEPT="application/json")
    assert (answer.code, answer.values("Vary")) == (303, ["Accept"])
    assert verified(answer.location).policy.resource == LOCATION


def test_a_grant_may_name_the_download() -> None:
    """The name is one more parameter of the location."""
    answer = fetch(redirect(Grant(filename="a.pdf"), f"{LOCATION}?v=1").go(), "/")
    disposition = "response-content-disposition=attachment%3B%20filename%3D%22a.pdf%22"
    assert answer.location.startswith(f"{LOCATION}?v=1&{disposition}&Expires=")


def test_pass_has_nobody_to_pass_to() -> None:
    """PASS is the one verdict that a view cannot have."""
    with pytest.raises(AuthorizerError, match="returned PASS, but no application stands behind a CloudFrontRedirect"):
        redirect(PASS).go()


@pytest.mark.parametrize(
    ("verdict", "named"),
    [
        (None, "None"),
        ("yes", "a str of 3 characters"),
        (1, "the int 1"),
        (webob.Response, "the class webob.response.Response"),
    ],
    ids=["None", "str", "int", "class"],
)
def test_whatever_is_no_verdict_is_an_error(verdict: Any, named: str) -> None:
    """Nothing is granted by truthiness, and the error names the authorizer."""
    name = re.escape(f"authorizer {__name__}.redirect.<locals>.<lambda> returned {named}; expected")
    with pytest.raises(AuthorizerError, match=name):
        redirect(verdict).go()


def test_an_overridden_authorizer_is_named_by_its_class() -> None:
    """The error of a subclass names the method that is wrong."""

    class Forgetful(CloudFrontRedirect):
        def authorize(self) -> None:
            """Forget to return a verdict."""

    name = re.escape("test_an_overridden_authorizer_is_named_by_its_class.<locals>.Forgetful.authorize returned None")
    with pytest.raises(AuthorizerError, match=name):
        Forgetful(LOCATION, signer=SIGNER).go()


def test_an_overridden_authorizer_has_no_super() -> None:
    """Calling the method that was overridden is a mistake that says so, and no verdict."""

    class Polite(CloudFrontRedirect):
        def authorize(self) -> object:
            """Ask the class above, which knows nothing."""
            return super().authorize()

    with pytest.raises(AuthorizerError) as caught:
        Polite(LOCATION, signer=SIGNER).go()
    assert str(caught.value) == "CloudFrontRedirect.authorize has no verdict of its own; override it without super()"


def test_a_grant_that_does_not_fit_is_an_error() -> None:
    """A grant for another directory than the location's is told, not sent."""
    with pytest.raises(AuthorizerError, match="the object lies outside the scope of its grant; nothing was sent"):
        redirect(Grant(scope="/other/")).go()


def test_a_signer_that_fails_sends_nothing() -> None:
    """An exception is the only answer where nothing could be signed."""

    class Broken:
        key_pair_id, hash_algorithm = KEY_PAIR_ID, "SHA256"

        def sign(self, message: bytes) -> bytes:
            raise OSError("hardware")

    with pytest.raises(SigningError, match=f"signer {KEY_PAIR_ID} failed with OSError"):
        redirect(signer=Broken()).go()


# Construction


@pytest.mark.parametrize(
    ("location", "resource"),
    [
        (LOCATION, LOCATION),
        ("d111111abcdef8.cloudfront.net", "https://d111111abcdef8.cloudfront.net/"),
        ("http://dc1097jtk.cloudfront.net", "http://dc1097jtk.cloudfront.net/"),
        ("HTTPS://CDN.example.com:443/A", f"{BASE_URL}/A"),
        ("http://127.0.0.1:8001/a", "http://127.0.0.1:8001/a"),
        (f"{BASE_URL}/d/", f"{BASE_URL}/d/"),
        (f"{BASE_URL}/n%C3%A9%2A.pdf?v=1&w=%2A%20&x=", f"{BASE_URL}/n%C3%A9%2A.pdf?v=1&w=%2A%20&x="),
    ],
)
def test_a_spelled_location_is_signed_as_it_is(location: str, resource: str) -> None:
    """The location is sent byte for byte, after its scheme and host; a bare domain signs the root."""
    answer = fetch(redirect(location=location).go(), "/")
    assert answer.location.startswith(resource + ("&" if "?" in resource else "?") + f"Expires={END}&")
    assert verified(answer.location).policy.resource == resource


BAD_LOCATIONS = pytest.mark.parametrize(
    ("location", "text"),
    [
        ("", "'': expected a whole viewer URL, such as 'https://d111111abcdef8.cloudfront.net/reports/1.pdf'"),
        (None, "None: expected a whole viewer URL"),
        (b"https://cdn.example.com/a", "expected a whole viewer URL"),
        (f"{BASE_URL}/a b.pdf", "/a b.pdf': the path must be spelled as it is signed"),
        (f"{BASE_URL}/é.pdf", "the path must be spelled as it is signed"),
        (f"{BASE_URL}/*", "the path must be spelled as it is signed"),
        (f"{BASE_URL}/%2a", "the path must be spelled as it is signed"),
        (f"{BASE_URL}/%61", "the path must be spelled as it is signed"),
        (f"{BASE_URL}/%FF", "the path must be spelled as it is signed"),
        (f"{BASE_URL}/a//b", "the path must be spelled as it is signed"),
        (f"{BASE_URL}/a/../b", "the path must be spelled as it is signed"),
        (f"{BASE_URL}/a#b", "the path must be spelled as it is signed"),
        (f"{BASE_URL}/a?v=a b", "the query must be name=value pairs in unreserved characters"),
        (f"{BASE_URL}/a?v=a+b", "the query must be name=value pairs in unreserved characters"),
        (f"{BASE_URL}/a?v=*", "the query must be name=value pairs in unreserved characters"),
        (f"{BASE_URL}/a?v", "the query must be name=value pairs in unreserved characters"),
        (f"{BASE_URL}/a?v=1&", "the query must be name=value pairs in unreserved characters"),
        (f"{BASE_URL}/a?Expires=1", "Expires is reserved: CloudFront reads"),
        (f"{BASE_URL}/a?%70olicy=1", "policy is reserved: CloudFront reads"),
        (f"{BASE_URL}/a?=1", "a query parameter needs a name"),
        ("/reports/1.pdf", "expected a host name such as d111111abcdef8.cloudfront.net"),
        ("//cdn.example.com/a", "expected a host name such as d111111abcdef8.cloudfront.net"),
        ("ftp://cdn.example.com/a", "scheme 'ftp' is refused"),
        ("https://me@cdn.example.com/a", "'@' is refused"),
        ("https://bucket.s3.amazonaws.com/a", "an S3 or AWS host cannot check CloudFront signatures"),
    ],
)


@BAD_LOCATIONS
def test_any_other_location_is_refused(location: Any, text: str) -> None:
    """A location that browsers, CloudFront or an attacker could read in another way is an error."""
    with pytest.raises(ConfigError, match=f"^location=.*{re.escape(text)}"):
        redirect(location=location)


def test_a_signed_location_is_not_echoed() -> None:
    """A location that is signed already is refused without showing its signature."""
    with pytest.raises(ConfigError, match=f"^location='{BASE_URL}/a': Expires is reserved") as caught:
        redirect(location=signed_url(f"{BASE_URL}/a", SIGNER))
    assert "Signature=" not in str(caught.value)


def test_all_problems_are_told_at_once() -> None:
    """One error names everything that is wrong with a redirect."""
    with pytest.raises(ConfigError) as caught:
        redirect(location="https://", authorize=lazy, code=304, headers={"Location": "/"}, expires=0, key_pair_id="K1")
    starts = ["location='https://': ", "authorize=tests.test_redirect.lazy is a coroutine or generator function"]
    starts += ["expires=0: ", "code=304: ", "headers={'Location': '/'}: ", "signer and key_pair_id are both given"]
    problems = caught.value.problems
    assert len(problems) == len(starts)
    assert all(problem.startswith(start) for problem, start in zip(problems, starts, strict=True)), problems


@pytest.mark.parametrize(
    ("kind", "authorize", "text"),
    [
        (CloudFrontRedirect, None, "authorize is missing: override authorize() in a subclass, or pass authorize="),
        (ForAlice, explode, "ForAlice.authorize and authorize= are both given; leave one out"),
        (Asynchronous, None, "Asynchronous.authorize is a coroutine or generator function"),
        (CloudFrontRedirect, ForAlice, "authorize is the class tests.test_redirect.ForAlice: pass an instance"),
        (CloudFrontRedirect, 200, "authorize is an object of type int; expected a callable"),
    ],
)
def test_exactly_one_authorizer_is_needed(kind: type[CloudFrontRedirect], authorize: Any, text: str) -> None:
    """An authorizer is overridden or passed, never neither and never both, and must be one that can say no."""
    with pytest.raises(ConfigError, match=re.escape(text)):
        kind(LOCATION, authorize=authorize, signer=SIGNER)


def test_code_and_headers_may_be_positional() -> None:
    """The first three arguments are Flask-CloudFront's."""
    answer = still(CloudFrontRedirect(LOCATION, 302, {"X-Own": "1"}, authorize=lambda: True, signer=SIGNER)).go()
    assert isinstance(answer, webob.Response)
    assert (answer.status, answer.headers["X-Own"]) == ("302 Found", "1")


def test_flask_cloudfronts_dictionary_is_taken_unchanged(pem: Callable[[str], str]) -> None:
    """The key options of Flask-CloudFront still work, spread over the redirect's keywords."""
    key_file = str(KEYS / "rsa-2048-pkcs8.pem")
    config: dict[str, Any] = {"priv_key_string": key_file, "key_pair_id": "K1", "expires": 60}
    answer = fetch(still(CloudFrontRedirect("dc1097jtk.cloudfront.net", authorize=lambda: 200, **config)).go(), "/")
    own = Signer("K1", pem("rsa-2048-pkcs8"))
    assert answer.location == signed_url("https://dc1097jtk.cloudfront.net/", own, now=NOW)


def test_keys_may_be_given_as_options(pem: Callable[[str], str]) -> None:
    """Id, key, hash algorithm and duration are the gate's options of the same names."""
    options: dict[str, Any] = {"private_key": pem("rsa-2048-pkcs8"), "key_pair_id": "K1", "hash_algorithm": "SHA1"}
    answer = fetch(redirect(signer=None, expires=timedelta(seconds=5), **options).go(), "/")
    own = Signer("K1", pem("rsa-2048-pkcs8"), "SHA1")
    assert answer.location == signed_url(LOCATION, own, expires=5, now=NOW)


def test_the_clock_is_the_real_one() -> None:
    """Unless a test replaces it, a redirect is signed from now on, each time it is sent."""
    made = CloudFrontRedirect(LOCATION, authorize=lambda: True, signer=SIGNER)
    before = time.time()
    (expires,) = parse_qs(urlsplit(fetch(made.go(), "/").location).query)["Expires"]
    assert before + 60 <= int(expires) <= time.time() + 61


# Signed by hand

SCOPES = pytest.mark.parametrize(
    ("scope", "resource"),
    [
        ("object", f"{BASE_URL}/a%20b/1.pdf?v=1"),
        ("directory", f"{BASE_URL}/a%20b/*"),
        ("/a b/", f"{BASE_URL}/a%20b/*"),
        ("/", f"{BASE_URL}/*"),
    ],
)
BAD_ARGUMENTS = pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"expires": 0}, "Grant: expires=0: expected whole seconds from 1 to 604800"),
        ({"expires": NOW}, "(a duration, not a moment in time)"),
        ({"scope": "a"}, "Grant: scope='a': expected 'object', 'directory', or a clean decoded path"),
        ({"scope": "/b/"}, "the object lies outside the scope of its grant"),
        ({"scope": "directory"}, "the object lies at the root of the distribution; write scope='/'"),
        ({"not_before": datetime(2027, 1, 1)}, "a naive datetime could mean any zone"),
        ({"not_before": END}, f"the grant starts at {END} but ends at {END}"),
        ({"ip_address": "::1"}, "CloudFront policies have no IPv6"),
        ({"signer": None}, "signer is None; expected a Signer, a KeyRing, or an object with key_pair_id"),
        ({"signer": Signer}, "signer is an object of type ABCMeta; expected a Signer"),
        ({"now": -1}, "now=-1: expected epoch seconds from 0 to 9223372036"),
        ({"now": "noon"}, "now='noon': expected epoch seconds from 0 to 9223372036"),
        ({"now": NOW * 1000}, f"now={NOW * 1000}: expected epoch seconds from 0 to 9223372036"),
        ({"now": math.nan}, "now=nan: expected epoch seconds from 0 to 9223372036"),
        ({"now": math.inf}, "now=inf: expected epoch seconds from 0 to 9223372036"),
    ],
)
WRITERS = pytest.mark.parametrize("write", [signed_url, signed_cookies])


@SCOPES
def test_signed_url_signs_every_scope(scope: str, resource: str) -> None:
    """The URL stays the object's own, whatever its policy covers."""
    url = f"{BASE_URL}/a%20b/1.pdf?v=1"
    signed = signed_url(url, SIGNER, scope=scope, now=NOW)
    assert signed.startswith(f"{url}&")
    policy = verified(signed).policy
    assert (policy.resource, policy.end) == (resource, END)


@SCOPES
def test_signed_cookies_sign_every_scope(scope: str, resource: str) -> None:
    """The cookies open what their policy covers."""
    cookies = signed_cookies(f"{BASE_URL}/a%20b/1.pdf?v=1", SIGNER, scope=scope, now=NOW)
    statement = "CloudFront-Expires" if scope == "object" else "CloudFront-Policy"
    own = {statement, "CloudFront-Signature", "CloudFront-Key-Pair-Id", "CloudFront-Hash-Algorithm"}
    assert cookies.keys() == own
    proven = verify_cookies("/a%20b/1.pdf?v=1", cookies, base_url=BASE_URL, key_group=KEY_GROUP, now=NOW)
    assert proven.policy.resource == resource


def test_sha_1_needs_no_cookie_of_its_own(signers: dict[str, Signer]) -> None:
    """CloudFront assumes SHA-1 where nothing else is said."""
    cookies = signed_cookies(LOCATION, signers["RSA-SHA1"], now=NOW)
    assert cookies.keys() == {"CloudFront-Expires", "CloudFront-Signature", "CloudFront-Key-Pair-Id"}


def test_conditions_are_signed() -> None:
    """A start and a viewer's network stand in the policy."""
    start = datetime.fromtimestamp(NOW - 10, UTC)
    url = signed_url(LOCATION, SIGNER, not_before=start, ip_address="203.0.113.7", expires=5, now=NOW)
    policy = verified(url, viewer_address="203.0.113.7").policy
    assert (policy.start, policy.ip_address, policy.end) == (NOW - 10, "203.0.113.7/32", NOW + 5)
    assert policy.resource == LOCATION


def test_now_is_the_time_of_the_call_by_default() -> None:
    """Without ``now`` the clock is read."""
    (expires,) = parse_qs(urlsplit(signed_url(LOCATION, SIGNER)).query)["Expires"]
    assert time.time() + 58 <= int(expires) <= time.time() + 61


@WRITERS
@BAD_ARGUMENTS
def test_wrong_arguments_are_told(write: Callable[..., object], options: dict[str, Any], text: str) -> None:
    """What cannot be signed is a ConfigError that says why."""
    with pytest.raises(ConfigError, match=re.escape(text)):
        write(f"{BASE_URL}/a", **{"signer": SIGNER, "now": NOW, **options})


@WRITERS
@BAD_LOCATIONS
def test_a_url_that_is_not_spelled_is_told(write: Callable[..., object], location: Any, text: str) -> None:
    """Signed by hand, a URL must be spelled as it is sent."""
    with pytest.raises(ConfigError, match=f"^url=.*{re.escape(text)}"):
        write(location, SIGNER)


@WRITERS
@pytest.mark.parametrize("now", [0, 0.5, NOW, MAX_EPOCH - 60])
def test_any_moment_may_be_now(write: Callable[..., object], now: float) -> None:
    """The beginning of the epoch is a moment, and not the same as none at all."""
    end = str(math.ceil(now) + 60)
    written = write(LOCATION, SIGNER, now=now)
    assert end in (written["CloudFront-Expires"] if isinstance(written, dict) else str(written))


@WRITERS
def test_a_url_too_long_for_cloudfront_is_refused(write: Callable[..., object]) -> None:
    """More than 8,192 bytes would be answered with 414, signed in the URL or in cookies."""
    with pytest.raises(ConfigError, match="CloudFront takes 8192$"):
        write(f"{BASE_URL}/{'x' * 8192}", SIGNER)


def test_a_cookie_too_long_for_browsers_is_refused() -> None:
    """A policy of more than a cookie can hold is told, not cut."""
    with pytest.raises(ConfigError, match=r"^a signed cookie is 4\d{3} bytes long; browsers keep 4096$"):
        signed_cookies(f"{BASE_URL}/{'x' * 3000}/1", SIGNER, scope="directory")
