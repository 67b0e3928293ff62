"""Attacks known from other proxies, middlewares and signers, replayed under the ids of their family.

P: which path is it? S: what exactly is signed? D: whose yes was it? R: where does the redirect go?
C: who else gets it? F: configuration that fails open.
"""

from __future__ import annotations

import functools
import io
import json
import logging
import posixpath
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

MOUNTS = ["", "/mount/app"]
END = NOW + 60
OWN_PARAMETERS = ["Expires", "Signature", "Key-Pair-Id", "Hash-Algorithm"]


class Outcome(NamedTuple):
    """What came of a request: the status, what the authorizer saw, what was signed, and whether the app was called."""

    code: int
    saw: str | None = None
    signed: str | None = None
    passed: bool = False


APP = Outcome(200, passed=True)
UNCLEAN = Outcome(400)


def asked(saw: str, code: int) -> Outcome:
    """The outcome where the authorizer is asked, and neither signature nor application is what follows."""
    return Outcome(code, saw)


def passed(saw: str) -> Outcome:
    """The outcome where the authorizer says PASS."""
    return Outcome(200, saw, passed=True)


def granted(saw: str, signed: str | None = None) -> Outcome:
    """The outcome of a grant; most paths are signed as the authorizer saw them."""
    return Outcome(303, saw, signed or saw)


class Case(NamedTuple):
    """A request and what must come of it. ``tests/test_servers.py`` sends the same ones to real servers."""

    name: str
    target: str  # as sent, below the mount point
    outcome: Outcome
    at_the_root: Outcome  # of a gate that is not mounted
    method: str
    verdict: Any
    options: dict[str, Any]
    extra: dict[str, Any]  # more of environ


def case(
    name: str,
    target: str,
    outcome: Outcome,
    *,
    at_the_root: Outcome | None = None,
    method: str = "GET",
    verdict: Any = True,
    options: dict[str, Any] | None = None,
    **extra: Any,
) -> Case:
    """One row; it begins with the id of its attack."""
    return Case(name, target, outcome, at_the_root or outcome, method, verdict, options or {}, extra)


def signed_path(answer: Answer) -> str | None:
    """Return the path that was signed, after holding Location to it, or None where nothing was."""
    if not answer.values("Location"):
        return None
    resource = verified(answer.location).policy.resource
    assert urlsplit(answer.location)[:2] == ("https", "cdn.example.com")
    own = answer.location.removeprefix(f"{resource}{'&' if '?' in resource else '?'}")
    assert [name for name, _ in parse_qsl(own, keep_blank_values=True, strict_parsing=True)] == OWN_PARAMETERS
    assert own.startswith(f"Expires={END}&")
    return resource.removeprefix(BASE_URL)


def could_mean_private(path: str, mount: str) -> bool:
    """Return whether a decoded path below ``mount`` leads into the prefix for somebody who decodes or folds it again.

    It says the same as the gate, in other words and with other means.
    """
    for _ in range(4):
        for text in (path, path.replace("\\", "/")):
            for rest in (text, re.sub(r"\A([a-zA-Z][\w+.-]*:)?//[^/]*", "", text)):
                for base in ("/", f"{mount}/"):
                    folded = posixpath.normpath(f"{base}{rest.lstrip('/')}")
                    if re.match(rf"({re.escape(mount)})?/private(/|\Z)", folded):
                        return True
        path = unquote(path, "latin-1")
    return False


def has_one_meaning(path: str) -> bool:
    """Return whether a decoded path keeps its segments for somebody who decodes it again."""
    again = [unquote(path, "latin-1")]
    for _ in range(2):
        again.append(unquote(again[-1], "latin-1"))
    return all(
        level.count("/") == path.count("/")
        and not {".", ".."}.intersection(level.split("/"))
        and not re.search(r"[\\\x00-\x1f\x7f]", level)
        for level in again
    )


def ask(
    target: str, judge: Judge, wrapped: Wrapped, *, mount: str = MOUNTS[1], extra: dict[str, Any], **options: Any
) -> Answer:
    """Send a request target through a gate, decoded as servers decode it."""
    path, _, query = target.encode("utf-8", "surrogateescape").partition(b"?")
    app = gate(judge, wrapped, **options)
    environ = {"SCRIPT_NAME": mount, "QUERY_STRING": query.decode("latin-1"), **extra}
    return fetch(app, unquote_to_bytes(path), strict=False, **environ)


def replay(case: Case, mount: str = MOUNTS[1]) -> Outcome:
    """Send a request through a gate and return what came of it."""
    judge, wrapped = Judge(case.verdict), Wrapped(strict=False)
    extra = {"REQUEST_METHOD": case.method, **case.extra}
    answer = ask(case.target, judge, wrapped, mount=mount, extra=extra, **case.options)
    assert len(judge.asked) <= 1
    assert not answer.values("Location") or not answer.body
    assert wrapped.calls or "no-store" in "".join(answer.values("Cache-Control"))
    saw = judge.asked[0] if judge.asked else None
    if wrapped.calls:
        path = wrapped.calls[0]["PATH_INFO"]
        assert has_one_meaning(path) if saw is not None else not could_mean_private(path, mount)
    return Outcome(answer.code, saw, signed_path(answer), bool(wrapped.calls))


WHICH_PATH = [
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
    case("P6-encoded-slash-and-letter", "/%70rivate%2Fx", granted("/x")),
    case("P6-encoded-slash-before", "%2Fprivate/x", granted("/x")),
    case("P7-parameter-after-prefix", "/private;x=1/a", APP),
    case("P7-parameter-dotdot", "/private/a;/../b", UNCLEAN),
    case("P7-parameter-inside", "/private/a;x=1", granted("/a;x=1", "/a%3Bx=1")),
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
    case("P11-raw-backslash-for-slash", "/private\\x", UNCLEAN),
    case("P11-backslash-first", "\\private\\x", UNCLEAN),
    case("P11-backslash-into-prefix", "/public\\..\\private/x", UNCLEAN),
    case("P12-double-encoding", "/private/%252e%252e/x", granted("/%2e%2e/x", "/%252e%252e/x")),
    case("P12-double-encoded-slash", "/private%252Fx", UNCLEAN),
    case("P13-nul", "/private/a%00.pdf", UNCLEAN),
    case("P13-newline", "/private/%0a", UNCLEAN),
    case("P13-unit-separator", "/private/%1f", UNCLEAN),
    case("P13-delete", "/private/%7f", UNCLEAN),
    case("P13-raw-nul", "/private/\x00x", UNCLEAN),
    case("P13-raw-vertical-tab", "/private/\x0bx", UNCLEAN),
    case("P13-raw-escape", "/private/\x1bx", UNCLEAN),
    case("P13-raw-delete", "/private/\x7fx", UNCLEAN),
    case("P13-next-line", "/private/%C2%85", UNCLEAN),
    case("P14-no-utf-8", "/private/%ff%c0%af", UNCLEAN),
    case("P14-overlong-slash", "/private/..%c0%afx", UNCLEAN),
    case("P14-overlong-dot", "/private/%c0%ae%c0%ae/x", UNCLEAN),
    case("P14-surrogate", "/private/%ed%a0%80", UNCLEAN),
    case("P14-latin-1", "/private/%e9", UNCLEAN),
    case("P14-raw-latin-1", "/private/\udce9", UNCLEAN),
    case("P14-raw-utf-8", "/private/é", granted("/é", "/%C3%A9")),
    case("P15-absolute-form", "http://evil.com/private/x", UNCLEAN),
    case("P15-absolute-form-double-slash", "http://evil.com//private/x", UNCLEAN),
    case("P15-absolute-form-without-path", "http://evil.com", APP),
    case("P15-absolute-form-elsewhere", "http://evil.com/public/x", APP),
    case("P15-no-slash", "private/x", UNCLEAN),
    case("P15-asterisk", "*", APP, method="OPTIONS"),
    case("P15-asterisk-GET", "*", APP),
    case("P16-mounted-at-the-prefix", "/a", APP, SCRIPT_NAME="/private"),
    case("P16-mounted-elsewhere", "/private/a", granted("/a"), SCRIPT_NAME="/x/.."),
    case("P17-POST", "/private/x", asked("/x", 405), method="POST"),
    case("P17-invented", "/private/x", asked("/x", 405), method="FOO"),
    case("P17-lower-case", "/private/x", asked("/x", 405), method="get"),
    case("P17-TRACE", "/private/x", asked("/x", 405), method="TRACE"),
    case("P17-OPTIONS", "/private/x", asked("/x", 204), method="OPTIONS"),
    case("P17-POST-without-object", "/private/d/", asked("/d/", 405), method="POST"),
    case("P17-POST-refused", "/private/x", asked("/x", 403), method="POST", verdict=False),
    case("P17-POST-passed", "/private/x", passed("/x"), method="POST", verdict=PASS),
    case("P17-POST-unclean", "/private//x", UNCLEAN, method="POST"),
    case("P17-HEAD", "/private/x", granted("/x"), method="HEAD"),
    case("P17-override", "/private/x", asked("/x", 405), method="PUT", HTTP_X_HTTP_METHOD="GET"),
    case("P18-lone-percent", "/private/%", granted("/%", "/%25")),
    case("P18-no-hex", "/private/%zz", granted("/%zz", "/%25zz")),
    case("P18-no-latin-1", "/", UNCLEAN, PATH_INFO="/private/\u20ac"),
    case("P18-lone-surrogate", "/", UNCLEAN, PATH_INFO="/private/\ud800"),
    case("P18-empty", "", APP),
    case("P19-public-in-query", "/private/x?/public/", granted("/x")),
    case("P19-private-in-query", "/public/x?/private/x", APP),
    case("P19-dotdot-in-query", "/private/x?/../..//", granted("/x")),
]


@pytest.mark.parametrize("mount", MOUNTS)
@pytest.mark.parametrize("case", WHICH_PATH, ids=lambda case: case.name)
def test_which_path_is_it(case: Case, mount: str) -> None:
    """A path has one meaning for prefix, authorizer and signer; what could have another is refused."""
    assert replay(case, mount) == (case.outcome if mount else case.at_the_root)


SEGMENTS = st.sampled_from(
    ["private", "mount", "app", "..", ".", "", "%2e%2E", "%252e%252e", "%25252e.", "%2F", "%252F", "%5C", "\\", "%255c"]
    + ["x", "*", "%3F", "%25", "%2570rivate", "%25257Private", "é", "a;b", "http:", "evil.com"]
)


@pytest.mark.parametrize("mount", MOUNTS)
@given(target=st.lists(SEGMENTS, max_size=6).map("/".join), verdict=st.sampled_from([True, PASS]))
@example(target="/private/x", verdict=True)
@example(target="/private", verdict=True)
@example(target="/x/private", verdict=True)
@example(target="/private/..%252fx", verdict=PASS)
def test_a_path_is_passed_on_refused_or_signed_as_it_is(mount: str, target: str, verdict: Any) -> None:
    """Whatever the target: if anything is signed, it is what PATH_INFO says below the prefix, and what was judged."""
    code, saw, signed, passed_on = replay(case("any", target, APP, verdict=verdict), mount)
    path = unquote(target)
    assert passed_on == (code == 200)
    assert (signed is not None) == (code == 303)
    if saw is None:  # replay holds what is passed on unasked to what it could mean
        assert code in (200, 400)
        return
    assert f"/private{saw}" == path or (path, saw) == ("/private", "/")
    assert not {"..", ".", ""}.intersection(path.removesuffix("/").split("/")[1:])
    if verdict is True:
        assert code == (404 if saw.endswith("/") else 303)
        assert signed is None or unquote(signed) == saw
    else:
        assert passed_on or code == 400


WHAT_IS_SIGNED = [
    case("S1-asterisk", "/private/me/*", granted("/me/*", "/me/%2A")),
    case("S1-encoded-asterisk", "/private/me/%2a", granted("/me/*", "/me/%2A")),
    case("S1-asterisk-in-query", "/private/x?b=*", granted("/x", "/x?b=%2A"), options={"forward_query": ["b"]}),
    case("S2-json", "/private/x%22}]}", granted('/x"}]}', "/x%22%7D%5D%7D")),
    case(
        "S2-statement",
        "/private/x%22,%22Condition%22:{}},{%22Resource%22:%22*",
        granted('/x","Condition":{}},{"Resource":"*', "/x%22,%22Condition%22:%7B%7D%7D,%7B%22Resource%22:%22%2A"),
    ),
    case("S2-backslash", "/private/x%5Cu002a", UNCLEAN),
    case("S3-question-mark", "/private/a%3FExpires=9&x", granted("/a?Expires=9&x", "/a%3FExpires=9&x")),
    *(
        case(f"S4-own-names-{number}{forwarding}", f"/private/x?{query}", granted("/x"), options=options)
        for forwarding, options in {"": {}, "-beside-forwarded": {"forward_query": ["v", "xPolicy", "Policy2"]}}.items()
        for number, query in enumerate(
            [
                "Policy=x&Signature=y&Key-Pair-Id=z&Expires=9999999999&Hash-Algorithm=SHA1",
                "%50olicy=x&%45xpires=9",
                "policy=x&EXPIRES=9&key-pair-id=z",
                "Expires=1&Expires=2",
                "&&=&Signature&",
            ]
        )
    ),
    case("S5-dropped", "/private/x?a&a=&b=1&b=2", granted("/x")),
    case("S5-kept", "/private/x?a=2&b=1%262", granted("/x", "/x?b=1%262"), options={"forward_query": ["b"]}),
    case("S5-duplicate", "/private/x?b=1&b=2", asked("/x", 400), options={"forward_query": ["b"]}),
    case("S6-content-type", "/private/x?response-content-type=text/html", granted("/x")),
    case("S6-disposition", "/private/x?response-content-disposition=a%0d%0ab", granted("/x")),
    case("S7-prefix", "/private", asked("/", 404)),
    case("S7-prefix-slash", "/private/", asked("/", 404)),
    case("S7-directory", "/private/d/", asked("/d/", 404)),
    case("S7-root", "/", asked("/", 404), options={"prefix": "/"}),
    case("S7-empty", "", asked("/", 404), options={"prefix": "/"}),
    case("S8-apostrophe", "/private/it's.pdf", granted("/it's.pdf", "/it%27s.pdf")),
    case("S8-sub-delims", "/private/!$&'()*+,;=:@", granted("/!$&'()*+,;=:@", "/!%24&%27()%2A%2B,%3B=:@")),
    case("S8-encoded-bare", "/private/%21%26%28%29%2C%3D%3A%40", granted("/!&(),=:@")),
    case("S8-gen-delims", "/private/[]|^`{}", granted("/[]|^`{}", "/%5B%5D%7C%5E%60%7B%7D")),
    case("S8-space", "/private/a%20b", granted("/a b", "/a%20b")),
    case("S8-tab", "/private/a%09b", UNCLEAN),
    case("S8-unicode", "/private/%E2%80%A8", granted("/\u2028", "/%E2%80%A8")),
    case("S8-unreserved", "/private/%61-._~", granted("/a-._~")),
]


@pytest.mark.parametrize("mount", MOUNTS)
@pytest.mark.parametrize("case", WHAT_IS_SIGNED, ids=lambda case: case.name)
def test_what_exactly_is_signed(case: Case, mount: str) -> None:
    """What is signed is the one object that was judged, spelled so that neither JSON nor a browser changes it."""
    assert replay(case, mount) == (case.outcome if mount else case.at_the_root)


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
        replay(case("D2", "/private/x", APP, verdict=verdict))


@pytest.mark.parametrize("verdict", [401, 404, 503])
def test_D2_a_refusing_status_is_a_refusal(verdict: int) -> None:
    """An int that says no is true in Python, and a no here."""
    assert replay(case("D2", "/private/x", APP, verdict=verdict)) == asked("/x", verdict)


def test_D3_an_authorizer_that_fails_has_not_said_yes() -> None:
    """Its exception is the server's, or where it is a response, the viewer's; nothing is signed."""
    with pytest.raises(ConnectionError, match="backend is down"):
        replay(case("D3", "/private/x", APP, verdict=ConnectionError("backend is down")))
    unavailable = case("D3", "/private/x", asked("/x", 503), verdict=webob.exc.HTTPServiceUnavailable())
    assert replay(unavailable) == unavailable.outcome


def test_D4_the_gate_sets_no_identity() -> None:
    """Behind the gate there is one new key in environ, and it is none that a header could have set."""
    wrapped = Wrapped()
    fetch(gate(Judge(PASS), wrapped), "/private/x", HTTP_X_AUTH_USER="admin")
    assert wrapped.calls[0].keys() - environ_for("/private/x").keys() == {"cfgate.path", "HTTP_X_AUTH_USER"}


MARKERS: dict[str, dict[str, Any]] = {
    "header-like-our-key": {"HTTP_CFGATE_PATH": "/public"},
    "subrequest": {"HTTP_X_MIDDLEWARE_SUBREQUEST": "gate:gate:gate"},
    "invented": {"HTTP_X_CFGATE_AUTHORIZED": "1", "HTTP_X_ACCEL_REDIRECT": "/x"},
    "our-key-is-there-already": {"cfgate.path": "/public"},
}
WHOSE_YES = [
    case("D4-identity", "/private/x", passed("/x"), verdict=PASS, HTTP_X_AUTH_USER="admin"),
    *(case(f"D5-{name}-yes", "/private/x", granted("/x"), **extra) for name, extra in MARKERS.items()),
    *(case(f"D5-{name}-no", "/private/x", asked("/x", 403), verdict=False, **extra) for name, extra in MARKERS.items()),
]


@pytest.mark.parametrize("mount", MOUNTS)
@pytest.mark.parametrize("case", WHOSE_YES, ids=lambda case: case.name)
def test_no_request_was_already_checked(case: Case, mount: str) -> None:
    """No marker makes the gate skip the authorizer, or gives it another path."""
    assert replay(case, mount) == (case.outcome if mount else case.at_the_root)


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


WHERE_TO = [
    case("R1-host-extended", "/private.evil.com/x", APP),
    case("R1-user-information", "/private@evil.com/x", APP),
    case("R1-port", "/private:8443/x", APP),
    case("R1-at-inside", "/private/@evil.com/x", granted("/@evil.com/x")),
    case("R2-double-slash-host", "//evil.com/private/x", UNCLEAN),
    case("R2-double-slash-prefix", "/private//evil.com/x", UNCLEAN),
    case("R2-tab", "/private/%09//evil.com", UNCLEAN),
    case("R3-double-slash-dotdot", "//evil.com/%2e%2e", APP),
    case("R3-double-slash-dotdot-into-prefix", "//evil.com/%2e%2e/private/x", UNCLEAN),
    case("R3-triple-slash-dotdot", "///evil.com/%2e%2e", APP),
    case("R3-inside", "/private//evil.com/%2e%2e", UNCLEAN),
    case("R4-newline", "/private/%0aevil.com", UNCLEAN),
    case("R4-vertical-tab", "/private/%0b/evil.com", UNCLEAN),
    case("R4-tab", "/private/%09/evil.com", UNCLEAN),
    case("R4-raw-tab", "/private/\t/evil.com", UNCLEAN),
    case("R4-raw-space", "/private/ /evil.com", granted("/ /evil.com", "/%20/evil.com")),
    case("R4-raw-carriage-return", "/private/\rx", UNCLEAN),
    case("R4-backslash", "/private/\\evil.com", UNCLEAN),
    case("R4-leading-backslash", "/\\evil.com/x", APP),
    case("R4-space", "/private/%20//evil.com", UNCLEAN),
    case("R5-crlf", "/private/a%0d%0aSet-Cookie:x=1", UNCLEAN),
    case("R5-encoded-crlf", "/private/a%250d%250a", granted("/a%0d%0a", "/a%250d%250a")),
    case("R6-host-with-path", "/private/x", granted("/x"), HTTP_HOST="evil.com/public?x="),
    case("R7-x-forwarded-uri", "/private/x", granted("/x"), HTTP_X_FORWARDED_URI="/public"),
    case("R7-x-original-url", "/private/x", granted("/x"), HTTP_X_ORIGINAL_URL="/private/y"),
    case("R7-x-forwarded-prefix", "/private/x", granted("/x"), HTTP_X_FORWARDED_PREFIX="/public"),
    case("R7-outside", "/public", APP, HTTP_X_FORWARDED_URI="/private/x"),
    case("R8-proto", "/private/x", granted("/x"), HTTP_X_FORWARDED_PROTO="javascript"),
    case("R9-host-case", "/private/x", granted("/x"), HTTP_HOST="CDN.EXAMPLE.COM.EVIL.COM"),
]


@pytest.mark.parametrize("mount", MOUNTS)
@pytest.mark.parametrize("case", WHERE_TO, ids=lambda case: case.name)
def test_where_the_redirect_goes(case: Case, mount: str) -> None:
    """Location leads to the configured distribution and nowhere else, whatever stands in path and headers."""
    assert replay(case, mount) == (case.outcome if mount else case.at_the_root)


# Paths that mean something else to whoever decodes them again, or folds them together with the mount point.
READ_AGAIN = [
    case("K6-encoded-letter", "/%2570rivate/x.txt", UNCLEAN),
    case("K6-encoded-slash", "/private%252Fx.txt", UNCLEAN),
    case("K6-encoded-slash-after-dot", "/.%252Fprivate/x.txt", UNCLEAN),
    case("K6-encoded-dot", "/%252e/private/x", UNCLEAN),
    case("K6-encoded-backslashes", "/a%255c..%255cprivate/x", UNCLEAN),
    case("K6-encoded-twice", "/%252570rivate/x.txt", UNCLEAN),
    case("K6-encoded-three-times", "/private%2525252Fx.txt", UNCLEAN),
    case("K6-dotdot-at-another-level", "/public%2F%252e%252e%2Fprivate/x", UNCLEAN),
    case("K6-encoded-host", "/%252Fevil.com%252Fprivate%252Fx", UNCLEAN),
    case("K6-elsewhere", "/public/100%25.pdf", APP),
    case("K6-elsewhere-encoded", "/%2570ub/x", APP),
    case("K6-longer-name", "/privat%2565r/x", APP),
    case("K7-encoded-dotdot", "/private/thumbnails/..%252fx.txt", asked("/thumbnails/..%2fx.txt", 400), verdict=PASS),
    case("K7-encoded-slash", "/private/thumbnails%252fx.txt", asked("/thumbnails%2fx.txt", 400), verdict=PASS),
    case("K7-encoded-backslash", "/private/a%255cb", asked("/a%5cb", 400), verdict=PASS),
    case("K7-encoded-nul", "/private/a%2500", asked("/a%00", 400), verdict=PASS),
    case("K7-encoded-twice", "/private/%25252e%25252e/x", asked("/%252e%252e/x", 400), verdict=PASS),
    case("K7-encoded-slash-signed", "/private/a%252fb", granted("/a%2fb", "/a%252fb")),
    case("K7-percent-sign", "/private/100%25.pdf", passed("/100%.pdf"), verdict=PASS),
    case("K7-encoded-letters", "/private/%25E2%2582%25AC", passed("/%E2%82%AC"), verdict=PASS),
    case("K7-directory", "/private/thumbnails/", passed("/thumbnails/"), verdict=PASS),
    case("K7-dotdot", "/private/thumbnails/../x.txt", UNCLEAN, verdict=PASS),
    # At the root nothing is mounted, and these are other paths.
    case("K8-out-and-back", "/../app/private/x", UNCLEAN, at_the_root=APP),
    case("K8-out-of-all-and-back", "/../../mount/app/private/x", UNCLEAN, at_the_root=APP),
    case("K8-encoded-dotdot", "/%2e%2e/app/private/x", UNCLEAN, at_the_root=APP),
    case("K8-encoded-twice", "/%252e%252e/app/private", UNCLEAN, at_the_root=APP),
    case("K8-double-slash", "//mount/app/private/x", UNCLEAN, at_the_root=APP),
    case("K8-elsewhere", "/../app/public/x", APP),
]


@pytest.mark.parametrize("mount", MOUNTS)
@pytest.mark.parametrize("case", READ_AGAIN, ids=lambda case: case.name)
def test_what_a_path_means_when_it_is_read_again(case: Case, mount: str) -> None:
    """A path that means the prefix to whoever reads it once more is refused, and PASS is for paths with one meaning."""
    assert replay(case, mount) == (case.outcome if mount else case.at_the_root)


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


# replay holds every answer of the gate to no-store, and every redirect to an empty body.
WHO_ELSE = [
    case("C1-refusal", "/private/x", asked("/x", 403), verdict=False),
    case("C2-suffix", "/private/x/a.css", granted("/x/a.css")),
    case("C2-suffix-refused", "/private/x/a.css", asked("/x/a.css", 403), verdict=False),
    case("C2-suffix-unclean", "/private/x//a.css", UNCLEAN),
    case("C2-suffix-in-query", "/private/x?/a.css", granted("/x")),
    case("C3-authorization", "/private/x", granted("/x"), HTTP_AUTHORIZATION="Basic YTpi"),
    case("C7-cookies", "/private/x", granted("/x"), HTTP_COOKIE="CloudFront-Policy=x; CloudFront-Signature=y"),
]


@pytest.mark.parametrize("mount", MOUNTS)
@pytest.mark.parametrize("case", WHO_ELSE, ids=lambda case: case.name)
def test_who_else_gets_it(case: Case, mount: str) -> None:
    """What makes some caches keep an answer changes nothing."""
    assert replay(case, mount) == (case.outcome if mount else case.at_the_root)


@pytest.mark.parametrize("path", ["/private/x", "/private/x/a.css", "/private/x.js", "/private//", "/private/"])
@pytest.mark.parametrize("verdict", [True, False, 401, webob.exc.HTTPForbidden()], ids=repr)
def test_C1_C2_no_answer_is_for_a_cache(path: str, verdict: Any) -> None:
    """Grants and refusals of every kind are kept out of caches, whatever the path looks like."""
    (cache_control,) = fetch(gate(Judge(verdict)), path).values("Cache-Control")
    assert "no-store" in cache_control


@pytest.mark.parametrize("headers", [{"Cache-Control": "max-age=60"}, [("cache-control", "private")]])
def test_C1_no_configuration_caches_a_grant(headers: Any) -> None:
    """A Cache-Control that would let a signed URL be kept is refused as an option and in a Grant."""
    with pytest.raises(ConfigError, match="would let a cache hand a signed URL to other viewers; it must be no-store"):
        gate(Judge(), headers=headers)
    with pytest.raises(ConfigError, match="would let a cache hand a signed URL to other viewers; it must be no-store"):
        Grant(headers=headers)


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_C5_the_body_does_not_repeat_the_signed_url(code: int) -> None:
    """A redirect has no body for proxies to keep."""
    assert fetch(gate(Judge(), code=code), "/private/x").body == b""


# What a request can carry of this is sent to real servers, too.
CASES = [*WHICH_PATH, *WHAT_IS_SIGNED, *WHOSE_YES, *WHERE_TO, *WHO_ELSE, *READ_AGAIN]


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
