"""Attacks known from other proxies, middlewares and signers, replayed under the ids of their family.

P: which path is it? S: what exactly is signed? D: whose yes was it? R: where does the redirect go?
C: who else gets it? F: configuration that fails open.
"""

from __future__ import annotations

import functools
import io
import json
import logging
import re
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, unquote, unquote_to_bytes, urlsplit
from wsgiref.types import WSGIEnvironment

import pytest
import webob.exc
from hypothesis import example, given
from hypothesis import strategies as st

from cfgate_middleware import PASS, AuthorizerError, ConfigError, Grant, SigningError
from cfgate_middleware._core.encoding import to_base64
from cfgate_middleware._core.policy import canned_policy
from cfgate_middleware._core.urls import RESERVED
from cfgate_middleware.verify import WrongResource, verify_url
from tests.conftest import KEY_PAIR_ID, NOW
from tests.support import BASE_URL, KEY_GROUP, SIGNER, Answer, Judge, Wrapped, environ_for, fetch, gate, verified

END = NOW + 60


class Outcome(NamedTuple):
    """What came of a request: the status, what the authorizer saw, what was signed, and whether the app was called."""

    code: int
    saw: str | None = None
    signed: str | None = None
    passed: bool = False


APP = Outcome(200, passed=True)
UNCLEAN = Outcome(400)


def granted(saw: str, signed: str | None = None) -> Outcome:
    """The outcome of a grant; most paths are signed as the authorizer saw them."""
    return Outcome(303, saw, signed or saw)


def ask(target: str, judge: Judge, wrapped: Wrapped, *, extra: dict[str, Any], **options: Any) -> Answer:
    """Send a request target through a gate, decoded as servers decode it."""
    path, _, query = target.partition("?")
    app = gate(judge, wrapped, **options)
    return fetch(app, unquote_to_bytes(path), query=query, strict=False, **extra)


def replay(target: str, *, verdict: Any = True, extra: dict[str, Any] | None = None, **options: Any) -> Outcome:
    """Send a request target through a gate and return what came of it, after holding Location to what was signed."""
    judge, wrapped = Judge(verdict), Wrapped(strict=False)
    answer = ask(target, judge, wrapped, extra=extra or {}, **options)
    saw = judge.asked[0] if judge.asked else None
    assert len(judge.asked) <= 1
    signed = None
    if answer.values("Location"):
        resource = verified(answer.location).policy.resource
        assert urlsplit(answer.location)[:2] == ("https", "cdn.example.com")
        assert answer.location.startswith(f"{resource}?Expires={END}&")
        signed = resource.removeprefix(BASE_URL)
    return Outcome(answer.code, saw, signed, bool(wrapped.calls))


def case(name: str, target: str, outcome: Outcome, **how: Any) -> Any:
    """One row: an id, a request target as sent, and what must come of it."""
    return pytest.param(target, outcome, how, id=name)


@pytest.mark.parametrize(
    ("target", "outcome", "how"),
    [
        case("P1-longer-name", "/privatefoo/x", APP),
        case("P1-dots-after-name", "/private../x", APP),
        case("P1-extension", "/private.bak", APP),
        case("P2-dotdot-out", "/private/../x", UNCLEAN),
        case("P2-dotdot-in", "/public/../private/x", UNCLEAN),
        case("P2-dotdot-inside", "/private/a/../b", UNCLEAN),
        case("P2-dotdot-at-end", "/private/x/..", UNCLEAN),
        case("P2-dotdot-over-the-root", "/../../private/x", UNCLEAN),
        case("P2-dotdot-elsewhere", "/public/../other/x", APP),
        case("P3-encoded-dot-after-name", "/private%2e/x", APP),
        case("P3-encoded-letter", "/%70rivate/x", granted("/x")),
        case("P3-encoded-dotdot", "/private/%2e%2E/x", UNCLEAN),
        case("P4-dot-before", "/./private/x", UNCLEAN),
        case("P4-encoded-dot-before", "/%2e/private/x", UNCLEAN),
        case("P4-dot-inside", "/private/./x", UNCLEAN),
        case("P4-dot-at-end", "/private/.", UNCLEAN),
        case("P5-double-slash-before", "//private/x", UNCLEAN),
        case("P5-triple-slash-before", "///private", UNCLEAN),
        case("P5-double-slash-inside", "/private//x", UNCLEAN),
        case("P5-double-slash-at-end", "/private/x//", UNCLEAN),
        case("P5-double-slash-and-dotdot", "/public//../private/x", UNCLEAN),
        case("P6-encoded-slash", "/private%2Fx", granted("/x")),
        case("P6-encoded-slash-dotdot", "/private/alice%2F..%2Fbob/x", UNCLEAN),
        case("P6-encoded-slash-before", "%2Fprivate/x", granted("/x")),
        case("P7-parameter-after-prefix", "/private;x=1/a", APP),
        case("P7-parameter-dotdot", "/private/a;/../b", UNCLEAN),
        case("P7-parameter-inside", "/private/a;x=1", granted("/a;x=1", "/a%3Bx%3D1")),
        case("P7-dotdot-parameter", "/private/..;/x", granted("/..;/x", "/..%3B/x")),
        case("P8-case-of-prefix", "/PRIVATE/x", APP),
        case("P8-case-of-object", "/private/X", granted("/X")),
        case("P9-plus", "/private/a+b", granted("/a+b", "/a%2Bb")),
        case("P10-encoded-hash", "/private/a%23b", granted("/a#b", "/a%23b")),
        case("P10-raw-hash", "/private/a#b", granted("/a#b", "/a%23b")),
        case("P11-encoded-backslash", "/private/..%5C..%5Cx", UNCLEAN),
        case("P11-backslash-inside", "/private/..\\x", UNCLEAN),
        case("P11-backslash-out-of-prefix", "/private\\..\\x", APP),
        case("P11-backslash-for-slash", "/private%5Cx", UNCLEAN),
        case("P11-backslash-first", "\\private\\x", UNCLEAN),
        case("P11-backslash-into-prefix", "/public\\..\\private/x", UNCLEAN),
        case("P12-double-encoding", "/private/%252e%252e/x", granted("/%2e%2e/x", "/%252e%252e/x")),
        case("P12-double-encoded-slash", "/private%252Fx", APP),
        case("P13-nul", "/private/a%00.pdf", UNCLEAN),
        case("P13-newline", "/private/%0a", UNCLEAN),
        case("P13-unit-separator", "/private/%1f", UNCLEAN),
        case("P13-delete", "/private/%7f", UNCLEAN),
        case("P13-next-line", "/private/%C2%85", UNCLEAN),
        case("P14-no-utf-8", "/private/%ff%c0%af", UNCLEAN),
        case("P14-overlong-slash", "/private/..%c0%afx", UNCLEAN),
        case("P14-overlong-dot", "/private/%c0%ae%c0%ae/x", UNCLEAN),
        case("P14-surrogate", "/private/%ed%a0%80", UNCLEAN),
        case("P14-latin-1", "/private/%e9", UNCLEAN),
        case("P15-absolute-form", "http://evil.com/private/x", UNCLEAN),
        case("P15-absolute-form-elsewhere", "http://evil.com/public/x", APP),
        case("P15-no-slash", "private/x", UNCLEAN),
        case("P15-asterisk", "*", APP, extra={"REQUEST_METHOD": "OPTIONS"}),
        case("P16-mounted-at-the-prefix", "/a", APP, extra={"SCRIPT_NAME": "/private"}),
        case("P16-mounted-elsewhere", "/private/a", granted("/a"), extra={"SCRIPT_NAME": "/x/.."}),
        case("P17-POST", "/private/x", Outcome(405), extra={"REQUEST_METHOD": "POST"}),
        case("P17-invented", "/private/x", Outcome(405), extra={"REQUEST_METHOD": "FOO"}),
        case("P17-lower-case", "/private/x", Outcome(405), extra={"REQUEST_METHOD": "get"}),
        case("P17-TRACE", "/private/x", Outcome(405), extra={"REQUEST_METHOD": "TRACE"}),
        case("P17-HEAD", "/private/x", granted("/x"), extra={"REQUEST_METHOD": "HEAD"}),
        case("P17-override", "/private/x", Outcome(405), extra={"REQUEST_METHOD": "PUT", "HTTP_X_HTTP_METHOD": "GET"}),
        case("P18-lone-percent", "/private/%", granted("/%", "/%25")),
        case("P18-no-hex", "/private/%zz", granted("/%zz", "/%25zz")),
        case("P18-no-latin-1", "/", UNCLEAN, extra={"PATH_INFO": "/private/\u20ac"}),
        case("P18-lone-surrogate", "/", UNCLEAN, extra={"PATH_INFO": "/private/\ud800"}),
        case("P18-empty", "", APP),
        case("P19-public-in-query", "/private/x?/public/", granted("/x")),
        case("P19-private-in-query", "/public/x?/private/x", APP),
        case("P19-dotdot-in-query", "/private/x?/../..//", granted("/x")),
    ],
)
def test_which_path_is_it(target: str, outcome: Outcome, how: dict[str, Any]) -> None:
    """A path has one meaning for prefix, authorizer and signer; what could have another is refused."""
    assert replay(target, **how) == outcome


SEGMENTS = st.sampled_from(["private", "..", ".", "", "%2e%2E", "%5C", "\\", "x", "*", "%3F", "%25", "é", "%2F", "a;b"])


@given(st.lists(SEGMENTS, max_size=6).map("/".join))
@example("/private/x")
@example("/x/private")
def test_a_path_is_passed_on_refused_or_signed_as_it_is(target: str) -> None:
    """Whatever the target: if anything is signed, it is what PATH_INFO says below the prefix, and what was judged."""
    code, saw, signed, passed = replay(target)
    path = unquote(target)
    assert passed == (code == 200)
    assert (signed is None) == (saw is None) == (code != 303)
    if signed is not None:
        assert f"/private{unquote(signed)}" == f"/private{saw}" == path
        assert not {"..", ".", ""}.intersection(path.split("/")[1:])
    elif passed:
        assert not path.startswith("/private/")


@pytest.mark.parametrize(
    ("target", "outcome", "how"),
    [
        case("S2-json", "/private/x%22}]}", granted('/x"}]}', "/x%22%7D%5D%7D")),
        case("S2-backslash", "/private/x%5Cu002a", UNCLEAN),
        case("S3-question-mark", "/private/a%3FExpires=9&x", granted("/a?Expires=9&x", "/a%3FExpires%3D9%26x")),
        case("S5-dropped", "/private/x?a&a=&b=1&b=2", granted("/x")),
        case("S5-duplicate", "/private/x?b=1&b=2", Outcome(400), forward_query=["b"]),
        case("S6-content-type", "/private/x?response-content-type=text/html", granted("/x")),
        case("S6-disposition", "/private/x?response-content-disposition=a%0d%0ab", granted("/x")),
        case("S7-prefix", "/private", Outcome(404)),
        case("S7-prefix-slash", "/private/", Outcome(404)),
        case("S7-directory", "/private/d/", Outcome(404)),
        case("S7-root", "/", Outcome(404), prefix="/"),
        case("S7-empty", "", Outcome(404), prefix="/"),
        case("S8-apostrophe", "/private/it's.pdf", granted("/it's.pdf", "/it%27s.pdf")),
        case(
            "S8-sub-delims",
            "/private/!$&'()*+,;=:@",
            granted("/!$&'()*+,;=:@", "/%21%24%26%27%28%29%2A%2B%2C%3B%3D%3A%40"),
        ),
        case("S8-gen-delims", "/private/[]|^`{}", granted("/[]|^`{}", "/%5B%5D%7C%5E%60%7B%7D")),
        case("S8-space", "/private/a%20b", granted("/a b", "/a%20b")),
        case("S8-tab", "/private/a%09b", UNCLEAN),
        case("S8-unicode", "/private/%E2%80%A8", granted("/\u2028", "/%E2%80%A8")),
        case("S8-unreserved", "/private/%61-._~", granted("/a-._~")),
    ],
)
def test_what_exactly_is_signed(target: str, outcome: Outcome, how: dict[str, Any]) -> None:
    """What is signed is the one object that was judged, spelled so that neither JSON nor a browser changes it."""
    assert replay(target, **how) == outcome


def wildcard_replay(signed_url: str, resource: str, target: str) -> str:
    """Return ``target`` with the signature of a canned policy, its policy now sent along as if it were a custom one."""
    own = dict(parse_qsl(urlsplit(signed_url).query))
    policy = canned_policy(resource, int(own["Expires"]))
    return f"{target}?Policy={to_base64(policy)}&" + "&".join(
        f"{name}={own[name]}" for name in ("Signature", "Key-Pair-Id", "Hash-Algorithm")
    )


def test_S1_a_canned_signature_is_no_wildcard_grant() -> None:
    """The bytes of a canned policy are a valid custom policy; none that the gate signs covers another object."""
    location = fetch(gate(Judge()), "/private/me/*").location
    resource = verified(location).policy.resource
    assert resource == f"{BASE_URL}/me/%2A"
    for target in ("/me/tax.pdf", "/other/tax.pdf"):
        with pytest.raises(WrongResource, match="the policy does not cover the URL's path"):
            verify_url(wildcard_replay(location, resource, target), base_url=BASE_URL, key_group=KEY_GROUP, now=NOW)


def test_S1_the_attack_works_on_whoever_leaves_the_asterisk() -> None:
    """With a raw ``*`` signed, the same replay opens the whole directory: the attack above is a real one."""
    resource = f"{BASE_URL}/me/*"
    signature = to_base64(SIGNER.sign(canned_policy(resource, END)))
    naive = f"{resource}?Expires={END}&Signature={signature}&Key-Pair-Id={KEY_PAIR_ID}&Hash-Algorithm=SHA256"
    target = wildcard_replay(naive, resource, "/me/tax.pdf")
    proven = verify_url(target, base_url=BASE_URL, key_group=KEY_GROUP, now=NOW)
    assert proven.origin_target == "/me/tax.pdf"


def test_S2_a_quote_injects_nothing() -> None:
    """A path written to close the JSON string stays one string, in one statement, with our end."""
    injected = '/x","Condition":{"DateLessThan":{"AWS:EpochTime":9999999999}}},{"Resource":"*'
    answer = ask(f"/private{injected}", Judge(Grant(ip_address="203.0.113.7")), Wrapped(), extra={})
    policy = verified(answer.location, viewer_address="203.0.113.7").policy
    (statement,) = json.loads(policy.to_bytes())["Statement"]
    assert unquote(statement["Resource"]) == BASE_URL + injected
    assert statement["Condition"]["DateLessThan"] == {"AWS:EpochTime": END}


@pytest.mark.parametrize("forward_query", [None, ["v", "xPolicy", "Policy2"]])
@pytest.mark.parametrize(
    "query",
    [
        "Policy=x&Signature=y&Key-Pair-Id=z&Expires=9999999999&Hash-Algorithm=SHA1",
        "%50olicy=x&%45xpires=9",
        "policy=x&EXPIRES=9&key-pair-id=z",
        "Expires=1&Expires=2",
        "&&=&Signature&",
    ],
)
def test_S4_the_clients_own_parameters_are_dropped(query: str, forward_query: list[str] | None) -> None:
    """CloudFront's own names stand in a signed URL once, with the gate's values, whatever the client sent."""
    answer = ask(f"/private/x?{query}", Judge(), Wrapped(), extra={}, forward_query=forward_query)
    pairs = parse_qsl(urlsplit(answer.location).query, keep_blank_values=True)
    assert [name for name, _ in pairs] == ["Expires", "Signature", "Key-Pair-Id", "Hash-Algorithm"]
    assert dict(pairs)["Expires"] == str(END)
    verified(answer.location)


@pytest.mark.parametrize("name", [*RESERVED, "policy", "KEY-PAIR-ID"])
def test_S4_reserved_names_cannot_be_configured(name: str) -> None:
    """Neither forward_query nor a Grant takes one of CloudFront's own names."""
    with pytest.raises(ConfigError, match=f"{name} is reserved: CloudFront reads"):
        gate(Judge(), forward_query=[name])
    with pytest.raises(ConfigError, match=f"{name} is reserved: CloudFront reads"):
        Grant(query={name: "1"})


@pytest.mark.parametrize("name", ["response-content-type", "Response-Content-Disposition", "response-"])
def test_S6_response_headers_are_not_the_viewers_to_choose(name: str) -> None:
    """S3's response overrides can be forwarded by no configuration."""
    with pytest.raises(ConfigError, match=f"{name} overrides S3's response headers, which no viewer may choose"):
        gate(Judge(), forward_query=[name])


@pytest.mark.parametrize("result", [b"", None, "text", OSError("sha1 is disabled")], ids=repr)
def test_S9_no_signature_is_no_redirect(result: Any) -> None:
    """A signer that fails, or returns nothing that could be a signature, is an exception: no response is started."""

    class Broken:
        key_pair_id, hash_algorithm = KEY_PAIR_ID, "SHA256"

        def sign(self, message: bytes) -> Any:
            if isinstance(result, Exception):
                raise result
            return result

    with pytest.raises(SigningError, match=f"signer {KEY_PAIR_ID} (failed with OSError|returned )"):
        fetch(gate(Judge(), signer=Broken()), "/private/x")


@pytest.mark.parametrize("verdict", [True, Grant(scope="directory"), Grant(scope="/other/"), None], ids=repr)
def test_S10_nothing_is_left_in_the_logs(verdict: Any, caplog: pytest.LogCaptureFixture) -> None:
    """At no level, and for no outcome, does a log line hold a policy or a signature."""
    caplog.set_level(logging.DEBUG)
    try:
        location = fetch(gate(Judge(verdict)), "/private/d/x").location
    except AuthorizerError as error:
        assert "Signature" not in str(error)
    else:
        query = dict(parse_qsl(urlsplit(location).query))
        assert query["Signature"] not in caplog.text
        assert "Policy" not in caplog.text and query.get("Policy", "Policy") not in caplog.text
        assert caplog.text


@pytest.mark.parametrize("expires", [60_000_000_000, 604_801, 0, -1, 60.0, "60", True], ids=repr)
def test_S11_a_duration_is_whole_seconds_within_reason(expires: Any) -> None:
    """Milliseconds, moments in time and other mistakes are refused at configuration time, and in a Grant."""
    with pytest.raises(ConfigError, match=re.escape(f"expires={expires!r}: expected whole seconds from 1 to 604800")):
        gate(Judge(), expires=expires)
    with pytest.raises(ConfigError, match=re.escape(f"expires={expires!r}: expected whole seconds from 1 to 604800")):
        Grant(expires=expires)


class Asynchronous:
    """Deferred authorizers in the forms in which they come."""

    async def method(self, environ: WSGIEnvironment, *args: object) -> bool:
        """Refuse, or so it seems."""
        return False

    __call__ = method


@pytest.mark.parametrize(
    "authorize",
    [
        pytest.param(Asynchronous().method, id="D1-bound-method"),
        pytest.param(Asynchronous.method, id="D1-function"),
        pytest.param(Asynchronous(), id="D1-instance"),
        pytest.param(functools.partial(functools.partial(Asynchronous().method), 1), id="D1-partial"),
        pytest.param(functools.partial(Asynchronous()), id="D1-partial-of-instance"),
    ],
)
def test_a_coroutine_is_not_a_yes(authorize: Any) -> None:
    """Asynchronous authorizers are refused at construction; one that hides behind a lambda is no yes either."""
    with pytest.raises(ConfigError, match="is a coroutine or generator function, whose result is always true"):
        gate(authorize)
    with pytest.raises(AuthorizerError, match="returned an object of type coroutine"):
        fetch(gate(lambda environ: Asynchronous().method(environ)), "/private/x")


@pytest.mark.parametrize("verdict", ["401", "false", [], None, NotImplemented, {}, 1, 302], ids=repr)
def test_D2_a_truthy_value_is_not_a_yes(verdict: Any) -> None:
    """What is no verdict is an error."""
    with pytest.raises(AuthorizerError, match="nothing was signed"):
        replay("/private/x", verdict=verdict)


@pytest.mark.parametrize("verdict", [401, 404, 503])
def test_D2_a_refusing_status_is_a_refusal(verdict: int) -> None:
    """An int that says no is true in Python, and a no here."""
    assert replay("/private/x", verdict=verdict) == Outcome(verdict, "/x")


def test_D3_an_authorizer_that_fails_has_not_said_yes() -> None:
    """Its exception is the server's, or where it is a response, the viewer's; nothing is signed."""
    with pytest.raises(ConnectionError, match="backend is down"):
        replay("/private/x", verdict=ConnectionError("backend is down"))
    assert replay("/private/x", verdict=webob.exc.HTTPServiceUnavailable()) == Outcome(503, "/x")


def test_D4_the_gate_sets_no_identity() -> None:
    """Behind the gate there is one new key in environ, and it is none that a header could have set."""
    wrapped = Wrapped()
    fetch(gate(Judge(PASS), wrapped), "/private/x", HTTP_X_AUTH_USER="admin")
    assert wrapped.calls[0].keys() - environ_for("/private/x").keys() == {"cfgate.path", "HTTP_X_AUTH_USER"}


@pytest.mark.parametrize(
    "extra",
    [
        pytest.param({"HTTP_CFGATE_PATH": "/public"}, id="D5-header-like-our-key"),
        pytest.param({"HTTP_X_MIDDLEWARE_SUBREQUEST": "gate:gate:gate"}, id="D5-subrequest"),
        pytest.param({"HTTP_X_CFGATE_AUTHORIZED": "1", "HTTP_X_ACCEL_REDIRECT": "/x"}, id="D5-invented"),
        pytest.param({"cfgate.path": "/public"}, id="D5-our-key-is-there-already"),
    ],
)
def test_no_request_was_already_checked(extra: dict[str, Any]) -> None:
    """No marker makes the gate skip the authorizer, or tells it another path."""
    assert replay("/private/x", extra=extra) == granted("/x")
    assert replay("/private/x", verdict=False, extra=extra) == Outcome(403, "/x")


def test_D6_the_signed_path_is_the_judged_one() -> None:
    """An authorizer may rewrite environ and read the body; what is signed was read before."""

    def authorize(environ: WSGIEnvironment) -> bool:
        environ["wsgi.input"].read(-1)
        for name in [*environ]:
            environ[name] = "/private/other"
        return True

    extra: dict[str, Any] = {"wsgi.input": io.BytesIO(b"body"), "CONTENT_LENGTH": "4"}
    location = fetch(gate(authorize, forward_query=["v"]), "/private/x", query="v=1", **extra).location
    assert verified(location).policy.resource == f"{BASE_URL}/x?v=1"


def test_D7_one_users_yes_is_not_anothers() -> None:
    """The same URL asked for by two users is judged twice."""
    app = gate(lambda environ: environ["REMOTE_USER"] == "alice")
    codes = [fetch(app, "/private/x", REMOTE_USER=user).code for user in ("alice", "bob", "alice", "bob")]
    assert codes == [303, 403, 303, 403]


def test_D8_options_are_read_once() -> None:
    """What the gate was given can change afterwards; the gate does not."""
    headers, forward_query = [("X-Own", "1")], ["v"]
    app = gate(Judge(), headers=headers, forward_query=forward_query)
    headers[0] = ("X-Own", "2")
    forward_query[0] = "Policy"
    answer = fetch(app, "/private/x", query="v=1&Policy=2")
    assert answer.values("X-Own") == ["1"]
    assert verified(answer.location).policy.resource == f"{BASE_URL}/x?v=1"


@pytest.mark.parametrize(
    ("target", "outcome", "how"),
    [
        case("R1-host-extended", "/private.evil.com/x", APP),
        case("R1-user-information", "/private@evil.com/x", APP),
        case("R1-port", "/private:8443/x", APP),
        case("R1-at-inside", "/private/@evil.com/x", granted("/@evil.com/x", "/%40evil.com/x")),
        case("R2-double-slash-host", "//evil.com/private/x", APP),
        case("R2-double-slash-prefix", "/private//evil.com/x", UNCLEAN),
        case("R2-tab", "/private/%09//evil.com", UNCLEAN),
        case("R3-double-slash-dotdot", "//evil.com/%2e%2e", APP),
        case("R3-double-slash-dotdot-into-prefix", "//evil.com/%2e%2e/private/x", UNCLEAN),
        case("R3-inside", "/private//evil.com/%2e%2e", UNCLEAN),
        case("R4-newline", "/private/%0aevil.com", UNCLEAN),
        case("R4-vertical-tab", "/private/%0b/evil.com", UNCLEAN),
        case("R4-tab", "/private/%09/evil.com", UNCLEAN),
        case("R4-backslash", "/private/\\evil.com", UNCLEAN),
        case("R4-leading-backslash", "/\\evil.com/x", APP),
        case("R4-space", "/private/%20//evil.com", UNCLEAN),
        case("R5-crlf", "/private/a%0d%0aSet-Cookie:x=1", UNCLEAN),
        case("R5-encoded-crlf", "/private/a%250d%250a", granted("/a%0d%0a", "/a%250d%250a")),
        case("R6-host-with-path", "/private/x", granted("/x"), extra={"HTTP_HOST": "evil.com/public?x="}),
        case("R7-x-forwarded-uri", "/private/x", granted("/x"), extra={"HTTP_X_FORWARDED_URI": "/public"}),
        case("R7-x-original-url", "/private/x", granted("/x"), extra={"HTTP_X_ORIGINAL_URL": "/private/y"}),
        case("R7-x-forwarded-prefix", "/private/x", granted("/x"), extra={"HTTP_X_FORWARDED_PREFIX": "/public"}),
        case("R7-outside", "/public", APP, extra={"HTTP_X_FORWARDED_URI": "/private/x"}),
        case("R8-proto", "/private/x", granted("/x"), extra={"HTTP_X_FORWARDED_PROTO": "javascript"}),
        case("R9-host-case", "/private/x", granted("/x"), extra={"HTTP_HOST": "CDN.EXAMPLE.COM.EVIL.COM"}),
    ],
)
def test_where_the_redirect_goes(target: str, outcome: Outcome, how: dict[str, Any]) -> None:
    """Location leads to the configured distribution and nowhere else, whatever stands in path and headers."""
    assert replay(target, **how) == outcome


def test_R10_the_viewers_address_is_the_peers() -> None:
    """A grant to the address of the peer is not moved to another one by a forwarded header."""
    app = gate(lambda environ: Grant(ip_address=environ["REMOTE_ADDR"]))
    location = fetch(app, "/private/x", REMOTE_ADDR="203.0.113.7", HTTP_X_FORWARDED_FOR="198.51.100.1").location
    assert verified(location, viewer_address="203.0.113.7").policy.ip_address == "203.0.113.7/32"


@pytest.mark.parametrize("code", [200, 201, 300, 304, 305, 306, 309, 404, "303", 303.0, True], ids=repr)
def test_R11_only_redirect_codes_redirect(code: Any) -> None:
    """A code that browsers do not follow with a GET or a replay is refused at construction."""
    with pytest.raises(ConfigError, match=re.escape(f"code={code!r}: expected a redirect code")):
        gate(Judge(), code=code)


@pytest.mark.parametrize("path", ["/private/x", "/private/x/a.css", "/private/x.js", "/private//", "/private/"])
@pytest.mark.parametrize("verdict", [True, False, 401, webob.exc.HTTPForbidden()], ids=repr)
def test_C1_C2_no_answer_is_for_a_cache(path: str, verdict: Any) -> None:
    """Grants and refusals of every kind are kept out of caches, whatever the path looks like."""
    (cache_control,) = fetch(gate(Judge(verdict)), path).values("Cache-Control")
    assert "no-store" in cache_control


@pytest.mark.parametrize("headers", [{"Cache-Control": "max-age=60"}, [("cache-control", "private")]])
def test_C1_no_configuration_caches_a_grant(headers: Any) -> None:
    """A Cache-Control that would let a signed URL be kept is refused as an option and in a Grant."""
    with pytest.raises(ConfigError, match="must contain no-store"):
        gate(Judge(), headers=headers)
    with pytest.raises(ConfigError, match="must contain no-store"):
        Grant(headers=headers)


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_C5_the_body_does_not_repeat_the_signed_url(code: int) -> None:
    """A redirect has no body for proxies to keep."""
    assert fetch(gate(Judge(), code=code), "/private/x").body == b""


def test_F7_of_two_gates_the_outer_one_decides() -> None:
    """Of nested prefixes the outer gate answers first; the inner one is asked only after its PASS."""
    inner = Judge(False)
    inner_gate = gate(inner, prefix="/private/secret")
    assert fetch(gate(Judge(True), inner_gate), "/private/secret/x").code == 303
    assert inner.asked == []
    assert fetch(gate(Judge(PASS), inner_gate), "/private/secret/x").code == 403
    assert inner.asked == ["/x"]


def test_F7_the_stricter_gate_belongs_outside() -> None:
    """With the narrow prefix outside, each gate answers for its own."""
    app = gate(Judge(False), gate(Judge(True)), prefix="/private/secret")
    codes = [fetch(app, path).code for path in ("/private/secret/x", "/private/x", "/private/secretx")]
    assert codes == [403, 303, 303]
