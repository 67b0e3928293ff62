"""Signing inside a view: the redirect in real Flask and Pyramid applications, and without either."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from http import HTTPStatus
from typing import Any

import flask
import pyramid.config
import pyramid.httpexceptions
import pyramid.request
import pytest
import webob
import webob.exc
import werkzeug.exceptions
import werkzeug.wrappers

import cfgate_middleware
from cfgate_middleware import PASS, AuthorizerError, CloudFrontRedirect, ConfigError, Grant, Signer, SigningError
from cfgate_middleware.verify import verify_cookies
from tests.conftest import KEYS, NOW
from tests.support import BASE_URL, KEY_GROUP, SIGNER, Fake, fetch, verified
from tests.test_verdicts import coroutine, generator

LOCATION = f"{BASE_URL}/reports/1.pdf"
END = NOW + 60
NO_STORE = ["no-store"]
RSA = str(KEYS / "rsa-2048-pkcs8.pem")


class ForAlice(CloudFrontRedirect):
    """A redirect that is Alice's alone, written as Flask-CloudFront's users write it."""

    def authorize(self, user: str, *, greet: bool = False) -> object:
        """Let Alice in, turn Eve away, greet whoever wants to be, and forget everybody else."""
        if greet:
            return webob.Response(f"hello {user}")
        return {"alice": 200, "eve": 401}.get(user)


class Polite(CloudFrontRedirect):
    """A redirect that asks the class above, which knows nothing."""

    def authorize(self) -> object:
        """Return what the class above says."""
        return super().authorize()


def still(made: CloudFrontRedirect) -> CloudFrontRedirect:
    """Stop the redirect's clock."""
    made.clock = lambda: NOW
    return made


def redirect(verdict: Any = True, location: str = LOCATION, *, raised: bool = False, **options: Any) -> Any:
    """Return a redirect with one verdict for all, returned or raised."""

    def authorize() -> Any:
        if raised:
            raise verdict
        return verdict

    return still(CloudFrontRedirect(location, **{"authorize": authorize, "signer": SIGNER, **options}))


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


@pytest.mark.parametrize("make_app", [flask_app, pyramid_app])
def test_a_view_returns_what_go_returns(make_app: Callable[[Any], Any]) -> None:
    """A subclass redirects, refuses and responds for a Flask and a Pyramid view, and no cache keeps any of it."""
    ask = lambda user: still(ForAlice(LOCATION, headers={"X-Own": "1"}, signer=SIGNER)).go(user, greet=user == "bob")  # noqa: E731
    granted, refused, answered = (fetch(make_app(ask), f"/download/{user}") for user in ("alice", "eve", "bob"))
    assert (granted.code, granted.body, granted.values("X-Own")) == (303, b"", ["1"])
    assert granted.values("Cache-Control") == ["private, no-store"]
    assert granted.values("Referrer-Policy") == ["no-referrer"]
    policy = verified(granted.location).policy
    assert (policy.resource, policy.end) == (LOCATION, END)
    assert (refused.code, refused.body, refused.values("Location")) == (401, b"401 Unauthorized\n", [])
    assert (answered.code, answered.body) == (200, b"hello bob")
    assert refused.values("Cache-Control") == answered.values("Cache-Control") == NO_STORE


def test_flasks_own_client_sees_the_redirect() -> None:
    """Flask's test client, abort() in the authorizer and Flask's own responses work together."""

    def authorize(user: str) -> object:
        if user == "eve":
            flask.abort(410)
        return flask.make_response("log in first", 401) if user == "bob" else True

    app = flask_app(lambda user: still(CloudFrontRedirect(LOCATION, 307, authorize=authorize, signer=SIGNER)).go(user))
    granted, asked, gone = (app.test_client().get(f"/download/{user}") for user in ("alice", "bob", "eve"))
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


YES = "303 See Other"


@pytest.mark.parametrize(
    ("verdict", "status"),
    [*((yes, YES) for yes in (True, 200, 204, HTTPStatus.OK, Grant())), (False, "403 Forbidden"), (599, "599 Refused")],
)
def test_a_verdict_is_a_webob_response(verdict: Any, status: str) -> None:
    """A yes redirects to the signed location; for a no, nothing is signed."""
    answer = redirect(verdict).go()
    assert isinstance(answer, webob.Response)
    assert (answer.status, answer.text) == (status, "" if status == YES else f"{status}\n")
    if status == YES:
        assert verified(fetch(answer, "/").location).policy.resource == LOCATION
    else:
        assert answer.location is None


KEPT = {"cache-control": "max-age=5"}


@pytest.mark.parametrize(
    ("response", "raised", "code", "cache"),
    [
        *((webob.Response(status=402), False, 402, NO_STORE), (webob.exc.HTTPForbidden(), True, 403, NO_STORE)),
        (webob.exc.HTTPFound(location="/login"), False, 302, NO_STORE),
        (webob.Response(headerlist=[("Content-Type", "text/plain"), *KEPT.items()]), False, 200, ["max-age=5"]),
        (werkzeug.wrappers.Response(status=429), False, 429, NO_STORE),
        *((werkzeug.exceptions.Unauthorized(), raised, 401, NO_STORE) for raised in (False, True)),
        (werkzeug.wrappers.Response(headers=KEPT), False, 200, ["max-age=5"]),
        (pyramid.httpexceptions.HTTPForbidden(), False, 403, NO_STORE),
        (pyramid.httpexceptions.HTTPFound(location="/login"), True, 302, NO_STORE),
    ],
)
def test_a_response_is_the_answer(response: Any, raised: bool, code: int, cache: list[str]) -> None:
    """Responses of WebOb, Werkzeug and Pyramid are sent, returned or raised; unless they say how, uncached."""
    answer = fetch(redirect(response, raised=raised).go(), "/")
    assert (answer.code, answer.values("Cache-Control")) == (code, cache)


def test_a_grant_has_its_say() -> None:
    """Conditions, scope, path, query, file name and headers of a Grant are signed and sent."""
    conditions: Any = {"expires": 5, "not_before": NOW - 1, "query": {"v": "*"}, "filename": "a.pdf"}
    grant = Grant(path="/other", scope="/", headers={"X-Own": "2"}, **conditions)
    answer = fetch(redirect(grant, headers=[("X-Own", "1")]).go(), "/")
    disposition = "response-content-disposition=attachment%3B%20filename%3D%22a.pdf%22"
    assert answer.location.startswith(f"{BASE_URL}/other?v=%2A&{disposition}&Policy=")
    policy = verified(answer.location).policy
    assert (policy.resource, policy.end, policy.start) == (f"{BASE_URL}/*", NOW + 5, NOW - 1)
    assert answer.values("X-Own") == ["2"]


def test_a_grant_may_set_cookies() -> None:
    """A view that opens a directory redirects to the clean URL, with cookies as a gate without options sets them."""
    answer = fetch(redirect(Grant(scope="directory", answer="cookies"), f"{BASE_URL}/films/1.m3u8?v=1").go(), "/")
    assert (answer.code, answer.location) == (303, f"{BASE_URL}/films/1.m3u8?v=1")
    fields = [re.split("; |=", field, maxsplit=2) for field in answer.values("Set-Cookie")]
    cookies = {name: value for name, value, _ in fields}
    assert cookies.pop("CloudFront-Expires") == ""
    assert {rest for _, value, rest in fields if value} == {"Path=/films/; Secure; HttpOnly; SameSite=Lax"}
    proven = verify_cookies("/films/1.ts", cookies, base_url=BASE_URL, key_group=KEY_GROUP, now=NOW)
    assert (proven.policy.resource, proven.policy.end) == (f"{BASE_URL}/films/*", END)


def test_a_grant_for_json_redirects_a_view() -> None:
    """A redirect does not see the request, so no script has asked it for JSON."""
    answer = fetch(redirect(Grant(answer="json")).go(), "/", HTTP_ACCEPT="application/json")
    assert (answer.code, answer.values("Vary")) == (303, ["Accept"])
    assert verified(answer.location).policy.resource == LOCATION


@pytest.mark.parametrize(
    ("make", "error", "telling"),
    [
        (lambda: redirect(PASS), AuthorizerError, "PASS.*no application"),
        (lambda: redirect(None), AuthorizerError, "returned None"),
        (lambda: redirect("yes"), AuthorizerError, "returned a str of 3 characters"),
        (lambda: redirect(1), AuthorizerError, "test_views.redirect.*authorize returned the int 1"),
        (lambda: redirect(webob.Response), AuthorizerError, "returned the class webob.response.Response"),
        (lambda: ForAlice(LOCATION, signer=SIGNER), AuthorizerError, "ForAlice.authorize returned None"),
        (lambda: Polite(LOCATION, signer=SIGNER), AuthorizerError, r"without super\(\)"),
        (lambda: redirect(Grant(scope="/other/")), AuthorizerError, "outside the scope"),
        (lambda: redirect(LookupError("no such user"), raised=True), LookupError, "no such user"),
        (lambda: redirect(signer=Fake(outcome=OSError("hardware"))), SigningError, "K1 failed with OSError"),
    ],
)
def test_an_exception_is_the_only_other_answer(make: Callable[[], Any], error: type[Exception], telling: str) -> None:
    """Nothing is granted by truthiness or by failing, and the error names the authorizer or the signer."""
    made = make()
    with pytest.raises(error, match=telling):
        made.go(*["nobody"] * isinstance(made, ForAlice))


@pytest.mark.parametrize(
    ("kind", "authorize", "telling"),
    [
        (CloudFrontRedirect, None, r"authorize is missing: override authorize\(\)"),
        (ForAlice, lambda: True, "ForAlice.authorize and authorize= are both given"),
        (type("Asynchronous", (CloudFrontRedirect,), {"authorize": coroutine}), None, "authorize .*coroutine"),
        (CloudFrontRedirect, generator, "authorize .*generator"),
        (CloudFrontRedirect, ForAlice, "authorize .*class.*pass an instance"),
        (CloudFrontRedirect, 200, "authorize .*type int.*expected a callable"),
    ],
)
def test_exactly_one_authorizer_is_needed(kind: type[CloudFrontRedirect], authorize: Any, telling: str) -> None:
    """An authorizer is overridden or passed, never neither and never both, and must be one that can say no."""
    with pytest.raises(ConfigError, match=telling):
        kind(LOCATION, authorize=authorize, signer=SIGNER)


def test_all_problems_are_reported_together() -> None:
    """One error names everything that is wrong with a redirect."""
    with pytest.raises(ConfigError) as caught:
        redirect(location="https://", authorize=200, code=304, headers={"Location": "/"}, expires=0, key_pair_id="K1")
    starts = [re.split("[:= ]", problem)[0] for problem in caught.value.problems]
    assert sorted(starts) == ["authorize", "code", "expires", "headers", "location", "signer"]


def test_code_and_headers_may_be_positional() -> None:
    """The first three arguments are Flask-CloudFront's."""
    answer = fetch(CloudFrontRedirect(LOCATION, 302, {"X-Own": "1"}, authorize=lambda: True, signer=SIGNER).go(), "/")
    assert (answer.status, answer.values("X-Own")) == ("302 Found", ["1"])


@pytest.mark.parametrize(
    ("location", "options", "hash_algorithm", "expires"),
    [
        ("dc1097jtk.cloudfront.net", {"priv_key_string": RSA, "expires": 60}, None, 60),  # Flask-CloudFront's own
        (LOCATION, {"private_key": RSA, "hash_algorithm": "SHA1"}, "SHA1", 60),
        (LOCATION, {"private_key": RSA, "expires": timedelta(seconds=5)}, None, 5),
    ],
)
def test_keys_may_be_given_as_options(location: str, options: Any, hash_algorithm: str | None, expires: int) -> None:
    """Id, key, hash algorithm and duration are the gate's options of the same names, or Flask-CloudFront's."""
    answer = fetch(redirect(location=location, signer=None, key_pair_id="K1", **options).go(), "/")
    url = location if location == LOCATION else f"https://{location}/"
    signer = Signer("K1", RSA, hash_algorithm)
    assert answer.location == cfgate_middleware.signed_url(url, signer, expires=expires, now=NOW)
