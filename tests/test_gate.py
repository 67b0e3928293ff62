"""The gate without a server: which requests are its business, what it refuses, what it signs and what it answers."""

from __future__ import annotations

import json
import re
from http import HTTPStatus
from typing import Any, NamedTuple
from urllib.parse import quote, unquote, unquote_to_bytes, urlsplit

import pytest
import webob
from hypothesis import example, given
from hypothesis import strategies as st

from cfgate_middleware.errors import AuthorizerError, SigningError
from cfgate_middleware.gate import ANSWERS, Cookie, Decision, Facts, Gate, Record
from cfgate_middleware.options import ANSWERS as KINDS
from cfgate_middleware.options import Settings, check_options
from cfgate_middleware.signers import BaseSigner
from cfgate_middleware.signing import Unsignable
from cfgate_middleware._core.verdicts import PASS, Grant
from cfgate_middleware._core.encoding import MAX_COOKIE, MAX_COOKIE_ATTRIBUTE, MAX_URL
from tests.conftest import NOW

BASE_URL = "https://cdn.example.com"
JSON = "application/json"
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
Headers = list[tuple[str, str]]


class RecordingSigner(BaseSigner):
    """A signer that remembers what it signed."""

    def __init__(self, hash_algorithm: str = "SHA256") -> None:
        super().__init__("KFAKE", hash_algorithm)
        self.messages: list[bytes] = []

    def sign(self, message: bytes) -> bytes:
        """Keep the message."""
        self.messages.append(message)
        return b"\xfb\xff\xfe"


class Made(NamedTuple):
    """A gate and the signer that tells what it signed."""

    gate: Gate
    signer: RecordingSigner

    def facts(self, path: str | bytes, query: str = "", method: str = "GET", accept: str = "") -> Facts:
        """Admit a request that must be admitted."""
        admitted = self.gate.admit(method, wsgi(path), query, accept)
        assert isinstance(admitted, Facts)
        return admitted

    def refusal(self, path: str | bytes, query: str = "", method: str = "GET") -> Decision:
        """Admit a request that must be refused before anybody is asked."""
        refused = self.gate.admit(method, wsgi(path), query, JSON)
        assert isinstance(refused, Decision)
        assert refused.app is None
        assert self.signer.messages == []
        return refused

    def grant(
        self, path: str | bytes, verdict: object = True, query: str = "", method: str = "GET", accept: str = ""
    ) -> Decision:
        """Admit and decide."""
        return self.gate.decide(self.facts(path, query, method, accept), verdict, NOW)

    def resource(self) -> str:
        """Return the Resource of the one policy that was signed."""
        (message,) = self.signer.messages
        resource: str = json.loads(message)["Statement"][0]["Resource"]
        return resource


def make(hash_algorithm: str = "SHA256", **options: Any) -> Made:
    """Compile a gate from options, by the same checks as in production."""
    settings = check_options({"prefix": "/private", "domain": BASE_URL, **options})
    signer = RecordingSigner(hash_algorithm)
    return Made(
        Gate(Settings(base_url=settings.pop("domain"), **settings), lambda now: signer, "app.authorize"), signer
    )


def wsgi(path: str | bytes) -> str:
    """Return PATH_INFO for a path: its bytes as latin-1 text."""
    return (path.encode("utf-8") if isinstance(path, str) else path).decode("latin-1")


def location_of(decision: Decision) -> str:
    """Return the one Location of a redirect."""
    (location,) = values(decision, "Location")
    return location


def values(decision: Decision, name: str) -> list[str]:
    """Return the values of all header fields of this name."""
    return [value for field, value in decision.headers or [] if field.lower() == name.lower()]


# Which requests are the gate's business

BELOW = ("/private", "/private/", "/private/x", "/private/é", "/private/.x", "/private/x/", "/private//x", "/private/*")
FOLDING = (
    *("/private/../x", "/private/./x", "/private/..", "/public/../private/x", "/./private/x", "//private/x"),
    *("///private", "/x/..//private/x", "/x/./../private/x", "//x/../private/x", "/../private", "/x//../private/x"),
    *("\\private\\x", "/\\private/x", "/x\\..\\private/x", "/private\\x", "/x/..\\private"),
    *("http://evil.com/private/x", "http://evil.com//private/x", "private/x", "private", "./private", "x/../private/x"),
)
OUTSIDE = (
    *("", "/", "/x", "/private.bak", "/privatefoo/x", "/private../x", "/private.evil.com/x", "/private@evil.com/x"),
    *("/private;x=1/a", "/private%2e/x", "/private%2fx", "/PRIVATE/x", "/Private", "/x/private", "/privat"),
    *("/private\0/x", "/private?x", "/private#x", "//x", "/./x", "/../x", "/x//y", "\\x", "*", "http://evil.com/"),
    *("/privat\u0435/x", "/x/private/../y", "http://private/x", "/.private/x", "/...private", "/private\\..\\x"),
    *("/private ", "/private\n", "/x?/private/x", "/x#/private/x", "/x;/private/x"),
)


@pytest.mark.parametrize("path", BELOW + FOLDING)
def test_a_path_that_is_or_folds_below_the_prefix_is_the_gates(path: str) -> None:
    """Whatever any server or browser could take for a path below the prefix never reaches the application."""
    assert make().gate.covers(wsgi(path))


@pytest.mark.parametrize("path", OUTSIDE)
def test_a_path_that_only_resembles_the_prefix_is_not_the_gates(path: str) -> None:
    """The prefix is compared by whole segments, letter for letter, after one decoding."""
    assert not make().gate.covers(wsgi(path))


@pytest.mark.parametrize("path", BELOW + FOLDING + OUTSIDE)
def test_the_prefix_of_everything_covers_everything(path: str) -> None:
    """A gate on / has no outside."""
    assert make(prefix="/").gate.covers(wsgi(path))


# Pieces of which hostile paths are made.
pieces = st.sampled_from(
    ["/", "//", "/.", "/..", "/...", "\\", "private", "/private", "/private/", "/x", "*", "?", "#", ";", "%2e", "%2f"]
    + ["é", "\0", "\n", "\t", "\x7f", "\x85", '"', "'", "+", " ", "@evil.com", "http://evil.com", "\udcff", "€", "."]
)
raw_paths = st.lists(pieces, max_size=6).map(lambda parts: "".join(parts).encode("utf-8", "surrogateescape"))


@given(raw_paths | raw_paths.map(lambda path: b"/private/" + path), st.sampled_from(["/private", "/"]))
@example(b"", "/")
@example(b"/private/\xff\xc0\xaf", "/private")
def test_what_is_admitted_lies_below_the_prefix_in_every_reading(raw: bytes, prefix: str) -> None:
    """No admitted path has a second reading, and what the authorizer is told is what is signed and sent."""
    made = make(prefix=prefix)
    path_info = raw.decode("latin-1")
    if not made.gate.covers(path_info):
        assert not path_info.startswith("/private/")
        return
    admitted = made.gate.admit("GET", path_info, "", "")
    if isinstance(admitted, Decision):
        assert admitted.code in (400, 404)
        assert made.signer.messages == []
        return
    assert raw.startswith(prefix.encode().rstrip(b"/") + b"/")
    assert not re.search(rb"[\x00-\x1f\x7f\\]|//|/\.{1,2}(/|\Z)", raw)
    decision = made.gate.decide(admitted, True, NOW)
    url = urlsplit(location_of(decision))
    assert f"{url.scheme}://{url.netloc}" == BASE_URL
    below = raw[len(prefix.rstrip("/")) :]
    assert unquote_to_bytes(url.path) == below == admitted.path.encode("utf-8")
    assert re.fullmatch(r"(?:/(?:[A-Za-z0-9._~-]|%[0-9A-F]{2})+)+", url.path)
    assert made.resource() == f"{BASE_URL}{url.path}"


@given(raw_paths)
def test_nothing_is_signed_for_a_path_the_gate_does_not_cover(raw: bytes) -> None:
    """A path that would be admitted is always covered: there is no way around the gate to a signature."""
    gate = make().gate
    path_info = raw.decode("latin-1")
    starts_below = path_info == "/private" or path_info.startswith("/private/")
    assert gate.covers(path_info) or not starts_below


# What is admitted, and what the authorizer, the policy and the browser each get

NAMES = {
    "/1.pdf": "/1.pdf",
    "/reports/2024/q1.pdf": "/reports/2024/q1.pdf",
    "/a%b": "/a%25b",
    "/%2e%2e/x": "/%252e%252e/x",
    "/alice%2F..%2Fbob/x": "/alice%252F..%252Fbob/x",
    "/a;/b;x=1": "/a%3B/b%3Bx%3D1",
    "/a+b": "/a%2Bb",
    "/a b": "/a%20b",
    "/a#b": "/a%23b",
    "/a?Expires=9999999999&x": "/a%3FExpires%3D9999999999%26x",
    "/*": "/%2A",
    "/a*?b": "/a%2A%3Fb",
    '/x","Condition":{}}]}': "/x%22%2C%22Condition%22%3A%7B%7D%7D%5D%7D",
    "/it's.pdf": "/it%27s.pdf",
    "/<script>": "/%3Cscript%3E",
    "/@evil.com": "/%40evil.com",
    "/.evil.com": "/.evil.com",
    "/évil": "/%C3%A9vil",
    "/e\u0301": "/e%CC%81",
    "/\u2028\u202e": "/%E2%80%A8%E2%80%AE",
    "/\U0001f600": "/%F0%9F%98%80",
    "/...": "/...",
    "/a..": "/a..",
    "/..a": "/..a",
    "/.hidden": "/.hidden",
    "/http:": "/http%3A",
    "/private/x": "/private/x",
}


@pytest.mark.parametrize("domain", [BASE_URL, f"{BASE_URL}/base/path"])
@pytest.mark.parametrize(("name", "spelled"), NAMES.items(), ids=map(ascii, NAMES))
@pytest.mark.parametrize("verdict", [True, Grant(not_before=1)], ids=["canned", "custom"])
def test_authorizer_policy_and_browser_get_the_same_path(verdict: object, name: str, spelled: str, domain: str) -> None:
    """The path that was judged is the path that is signed is the path that is sent, spelled in one way."""
    made = make(domain=domain)
    assert made.facts(f"/private{name}").path == name
    location = location_of(made.grant(f"/private{name}", verdict))
    assert location.partition("?")[0] == made.resource() == f"{domain}{spelled}"
    assert unquote(spelled) == name
    assert set(made.resource()) & set("*?#\"'\\<> +;@") == set()


UNCLEAN = (
    *(path.encode() for path in FOLDING if "/private" in path),
    *(b"/private/" + name for name in (b"/", b"//evil.com", b"a//b", b"a//")),
    *(b"/private/" + name for name in (b"..", b".", b"../x", b"a/../b", b"a/./b", b"..\\..\\x", b"\\evil", b"a\\b")),
    *(b"/private/a" + bytes([code]) + b"b" for code in (*range(32), 127)),
    *(b"/private/a" + chr(code).encode() + b"b" for code in (0x80, 0x85, 0x9F)),
    *(b"/private/" + name for name in (b"\xff", b"\xc0\xaf", b"\xe0\x80\xaf", b"\xed\xa0\x80", b"\xc3", b"a\r\nX: 1")),
    *(b"/private/" + name for name in (b"\t//evil.com", b"a\n", b"\xf4\x90\x80\x80", b"\xc0\xae\xc0\xae/x")),
)


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "OPTIONS"])
@pytest.mark.parametrize("path", UNCLEAN, ids=ascii)
def test_an_unclean_path_is_refused_whatever_the_method(path: bytes, method: str) -> None:
    """A path that someone might read differently is a 400, and is recorded percent-encoded."""
    made = make(index="index.html")
    assert made.gate.covers(wsgi(path))
    refused = made.refusal(path, method=method)
    assert refused.record() == Record(quote(path, safe="/"), method, 400, "unclean path")
    assert refused.body == (b"" if method == "HEAD" else b"400 Bad Request\n")


@pytest.mark.parametrize("path_info", ["/private/€", "/private/\ud800", "/private/\udcff", "/private/a\u0100/../b"])
def test_a_path_that_is_no_latin_1_is_refused(path_info: str) -> None:
    """A server that hands over other text than WSGI allows gets a 400, not a crash and not a guess."""
    refused = make().gate.admit("GET", path_info, "", "")
    assert isinstance(refused, Decision)
    assert (refused.code, refused.reason) == (400, "unclean path")
    assert refused.path.isascii()
    assert refused.path.isprintable()


# Methods


@pytest.mark.parametrize("path", ["/private/1.pdf", "/private/", "/private"])
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "TRACE", "CONNECT", "FOO", "get", "Head", ""])
def test_every_other_method_is_refused(path: str, method: str) -> None:
    """Below the prefix only GET and HEAD ask the authorizer, and the answer says so."""
    refused = make().refusal(path, method=method)
    assert (refused.status, refused.reason, refused.method) == ("405 Method Not Allowed", "method", method)
    assert values(refused, "Allow") == ["GET, HEAD, OPTIONS"]


def test_a_method_is_recorded_without_what_no_log_should_hold() -> None:
    """A method is the viewer's text."""
    assert make().refusal("/private/x", method="A\r\nB é").method == "A%0D%0AB%20%C3%A9"


@pytest.mark.parametrize("path", ["/private/1.pdf", "/private/", "/private"])
def test_options_is_answered_without_asking(path: str) -> None:
    """OPTIONS tells the methods, has no body and hence no Content-Type."""
    answer = make().refusal(path, method="OPTIONS")
    assert answer.status == "204 No Content"
    assert answer.headers == [("Allow", "GET, HEAD, OPTIONS"), ("Cache-Control", "no-store")]
    assert answer.body == b""
    assert answer.record() == Record(path, "OPTIONS", 204, "options")


# The empty path and the index


@pytest.mark.parametrize("prefix", ["/private", "/a/b", "/"])
@pytest.mark.parametrize("rest", ["", "/", "/x/", "/é/"])
def test_a_path_that_names_no_object_is_not_found(prefix: str, rest: str) -> None:
    """Without an index, a directory is a 404 and nobody is asked; so is the bare prefix."""
    made = make(prefix=prefix)
    path = prefix.rstrip("/") + rest
    assert made.gate.covers(wsgi(path))
    assert made.refusal(path).record() == Record(quote(path), "GET", 404, "no object")


@pytest.mark.parametrize("prefix", ["/private", "/a/b", "/"])
@pytest.mark.parametrize("index", ["index.html", "a*é"])
@pytest.mark.parametrize(
    ("rest", "directory"), [("", "/"), ("/", "/"), ("/x/", "/x/"), ("/é*/", "/é*/"), ("/x", None), ("/x/y", None)]
)
def test_an_index_is_appended_before_anyone_is_asked(prefix: str, index: str, rest: str, directory: str | None) -> None:
    """The authorizer judges the file that will be signed, and only paths that end in a slash change."""
    made = make(prefix=prefix, index=index)
    path = prefix.rstrip("/") + rest
    facts = made.facts(path)
    assert facts.path == (rest if directory is None else directory + index)
    assert facts.spelled == quote(facts.path)
    assert facts.request == quote(path)
    assert location_of(made.grant(path)).partition("?")[0] == made.resource() == BASE_URL + quote(facts.path)


# The query

KEEP = ("v", "w", "a b", "é")


def test_the_query_is_dropped_unless_names_are_kept() -> None:
    """By default not one byte of the query reaches the signed URL."""
    assert location_of(make().grant("/private/1.pdf", query="v=1&Policy=x&Expires=9")) == (
        f"{BASE_URL}/1.pdf?Expires={NOW + 60}&Signature=-~~-&Key-Pair-Id=KFAKE&Hash-Algorithm=SHA256"
    )


@pytest.mark.parametrize(
    ("query", "kept", "spelled"),
    [
        ("", (), ""),
        ("v=1", (("v", "1"),), "v=1"),
        ("w=2&v=1", (("w", "2"), ("v", "1")), "w=2&v=1"),
        ("v", (("v", ""),), "v="),
        ("v=", (("v", ""),), "v="),
        ("v=a=b", (("v", "a=b"),), "v=a%3Db"),
        ("v=a+b%2Bc%20d", (("v", "a b+c d"),), "v=a%20b%2Bc%20d"),
        ("v=%2a*%252a", (("v", "**%2a"),), "v=%2A%2A%252a"),
        ("%76=1", (("v", "1"),), "v=1"),
        ("a+b=1", (("a b", "1"),), "a%20b=1"),
        ("%C3%A9=%c3%a9", (("é", "é"),), "%C3%A9=%C3%A9"),
        ("v=%22%7D%5C%0d%0a%00", (("v", '"}\\\r\n\0'),), "v=%22%7D%5C%0D%0A%00"),
        ("v=1;w=2", (("v", "1;w=2"),), "v=1%3Bw%3D2"),
        ("v=1%26Expires=9", (("v", "1&Expires=9"),), "v=1%26Expires%3D9"),
        ("v=1?x#y", (("v", "1?x#y"),), "v=1%3Fx%23y"),
        ("V=1&vv=2&x=3&x=4&=5&&&=", (), ""),
        ("Policy=x&Signature=x&Key-Pair-Id=x&Expires=9&Hash-Algorithm=SHA1", (), ""),
        ("%50olicy=x&%45xpires=9&policy=x&EXPIRES=9&Policy=y", (), ""),
        ("response-content-type=text/html&v=1", (("v", "1"),), "v=1"),
        ("%ff=1&v=1&%ff=2", (("v", "1"),), "v=1"),
        ("v%00=1&v%20=2&%20v=3&+v=4", (), ""),
        ("%2576=1", (), ""),
    ],
)
def test_kept_parameters_are_decoded_once_and_spelled_once(
    query: str, kept: tuple[tuple[str, str], ...], spelled: str
) -> None:
    """Only kept names pass, in the viewer's order, and none of them can become another parameter."""
    made = make(forward_query=KEEP)
    assert made.facts("/private/1.pdf", query).query == kept
    resource = f"{BASE_URL}/1.pdf" + (f"?{spelled}" if spelled else "")
    location = location_of(made.grant("/private/1.pdf", query=query))
    assert made.resource() == resource
    assert location == (
        f"{resource}{'&' if spelled else '?'}Expires={NOW + 60}&Signature=-~~-&Key-Pair-Id=KFAKE&Hash-Algorithm=SHA256"
    )


@pytest.mark.parametrize(
    "query",
    [
        *("v=1&v=1", "v=1&v=2", "v&v", "v=1&%76=2", "v=1&w=2&v=3", "a+b=1&a%20b=2"),
        *("v=%ff", "v=%C0%AF", "v=%ed%a0%80", "v=€"),
    ],
)
def test_a_kept_parameter_that_reads_two_ways_is_refused(query: str) -> None:
    """A name given twice, or a value that is no text, is a 400: whoever picks one picks for somebody else."""
    refused = make(forward_query=KEEP).refusal("/private/1.pdf", query)
    assert refused.record() == Record("/private/1.pdf", "GET", 400, "unclean query")


def test_the_query_takes_no_part_in_the_path() -> None:
    """Neither the match nor the resource depends on what stands in the query."""
    made = make(forward_query=KEEP)
    assert made.facts("/private/1.pdf", "/../../public&v=1").path == "/1.pdf"


@given(st.text(st.characters(max_codepoint=255)))
def test_no_query_adds_a_parameter_that_was_not_kept(query: str) -> None:
    """Whatever a viewer sends, the signed URL holds kept names at most once, and CloudFront's own."""
    made = make(forward_query=KEEP)
    admitted = made.gate.admit("GET", "/private/1.pdf", query, "")
    if isinstance(admitted, Decision):
        assert admitted.reason == "unclean query"
        return
    location = location_of(made.gate.decide(admitted, True, NOW))
    own = [unquote(pair.partition("=")[0]) for pair in location.partition("?")[2].split("&")]
    assert len(own) == len(set(own))
    assert set(own) <= {*KEEP, "Expires", "Signature", "Key-Pair-Id", "Hash-Algorithm"}
    assert re.fullmatch(r"[A-Za-z0-9._~%=&-]*", location.partition("?")[2])


# The order of the checks


def test_checks_come_in_one_order() -> None:
    """Unclean path, method, no object, unclean query: the first that applies is the answer."""
    made = make(forward_query=["v"])
    bad = "v=1&v=2"
    assert made.refusal("/private/../x/", bad, "POST").code == 400
    assert made.refusal("/private/x/", bad, "POST").code == 405
    assert made.refusal("/private/x/", bad, "OPTIONS").code == 204
    assert made.refusal("/private/x/", bad).code == 404
    assert made.refusal("/private/x", bad).reason == "unclean query"
    assert isinstance(made.gate.admit("GET", "/private/x", "v=1", ""), Facts)


# Grants


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    ("code", "status"),
    [
        (301, "301 Moved Permanently"),
        (302, "302 Found"),
        (303, "303 See Other"),
        (307, "307 Temporary Redirect"),
        (308, "308 Permanent Redirect"),
    ],
)
def test_a_grant_is_an_empty_redirect_that_nobody_may_keep(code: int, status: str, method: str) -> None:
    """The headers of a grant are these and no others, for HEAD as for GET."""
    decision = make(code=code).grant("/private/1.pdf", method=method)
    assert (decision.status, decision.body, decision.app) == (status, b"", None)
    assert decision.headers == [
        (
            "Location",
            f"{BASE_URL}/1.pdf?Expires={NOW + 60}&Signature=-~~-&Key-Pair-Id=KFAKE&Hash-Algorithm=SHA256",
        ),
        ("Content-Type", "text/plain; charset=utf-8"),
        ("Cache-Control", "private, no-store"),
        ("Referrer-Policy", "no-referrer"),
        ("Content-Length", "0"),
    ]
    assert decision.record() == Record("/private/1.pdf", method, code, "granted", "KFAKE", NOW + 60)


@pytest.mark.parametrize("expires", [1, 3600])
def test_the_duration_of_the_gate_holds_unless_the_grant_has_its_own(expires: int) -> None:
    """``expires`` of the option is the default of every grant."""
    made = make(expires=expires)
    assert made.grant("/private/1.pdf").end == NOW + expires
    assert made.grant("/private/1.pdf", Grant(expires=7)).end == NOW + 7


def test_extra_headers_replace_by_name_and_cookies_add_up() -> None:
    """The grant's own field wins over the option's, and that over the default; Set-Cookie is appended to Set-Cookie."""
    made = make(
        headers=[
            ("cache-control", "no-store"),
            ("X-A", "option"),
            ("X-B", "1"),
            ("X-B", "2"),
            ("Set-Cookie", "a=option"),
        ]
    )
    plain = made.grant("/private/1.pdf")
    assert values(plain, "Cache-Control") == ["no-store"]
    assert values(plain, "X-B") == ["1", "2"]
    verdict = Grant(headers=[("x-a", "grant"), ("SET-COOKIE", "b=grant"), ("Content-Type", "text/html")])
    decision = made.grant("/private/1.pdf", verdict)
    assert values(decision, "X-A") == ["grant"]
    assert values(decision, "X-B") == ["1", "2"]
    assert values(decision, "Set-Cookie") == ["a=option", "b=grant"]
    assert values(decision, "Content-Type") == ["text/html"]
    assert values(decision, "Referrer-Policy") == ["no-referrer"]
    assert len(values(decision, "Location")) == 1
    assert made.grant("/private/1.pdf").headers == plain.headers


@pytest.mark.parametrize("verdict", [True, Grant(headers={"X-B": "2"}), 403])
def test_nobody_can_change_the_headers_of_the_next_answer(verdict: object) -> None:
    """Servers and middlewares may edit the list they get; it belongs to one answer."""
    made = make(headers={"X-A": "1"})
    first = made.grant("/private/1.pdf", verdict)
    assert first.headers is not None
    kept = list(first.headers)
    first.headers.clear()
    assert made.grant("/private/1.pdf", verdict).headers == kept


def test_a_grant_for_another_path_signs_that_path() -> None:
    """The record tells the request, the Location tells the granted object, and forwarded parameters go along."""
    made = make(forward_query=["v"])
    decision = made.grant("/private/1.pdf", Grant(path="/other/é", query={"w": "2"}), "v=1")
    assert made.resource() == f"{BASE_URL}/other/%C3%A9?v=1&w=2"
    assert location_of(decision).startswith(made.resource())
    assert decision.path == "/private/1.pdf"


@pytest.mark.parametrize(
    ("verdict", "message"),
    [
        (
            Grant(scope="directory"),
            "the object lies at the root of the distribution; write scope='/' to grant all of it",
        ),
        (Grant(scope="/other/"), "the object lies outside the scope of its grant"),
        (
            Grant(not_before=NOW + 60),
            f"the grant starts at {NOW + 60} but ends at {NOW + 60} (epoch seconds)",
        ),
        (Grant(path="/" + "é" * 1360), f"the signed URL is 8258 bytes long; CloudFront takes {MAX_URL}"),
        (
            Grant(path="/a", query={"a": "b" * 8100}),
            f"the signed URL is 8202 bytes long; CloudFront takes {MAX_URL}",
        ),
    ],
    ids=["root", "outside", "ends first", "long path", "long query"],
)
def test_a_grant_that_does_not_fit_is_the_authorizers_error(verdict: Grant, message: str) -> None:
    """The error names the authorizer and what is wrong with its grant."""
    with pytest.raises(AuthorizerError) as caught:
        make().grant("/private/1.pdf", verdict)
    assert str(caught.value) == f"authorizer app.authorize: {message}; nothing was sent"


@pytest.mark.parametrize("answer", KINDS)
@pytest.mark.parametrize("verdict", [True, Grant(scope="/"), Grant(headers={"X-A": "1"}), Grant(query={"v": "1"})])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_url_that_the_viewer_made_too_long_is_refused(method: str, verdict: object, answer: str) -> None:
    """The length of the request's own path is the viewer's fault, and no error of the application."""
    made = make(answer=answer)
    path = "/private/" + "a" * MAX_URL
    refused = made.grant(path, verdict, method=method)
    status = f"414 {HTTPStatus(414).phrase}"
    assert (refused.status, refused.body) == (status, b"" if method == "HEAD" else f"{status}\n".encode())
    assert refused.record() == Record(path, method, 414, "too long")
    assert values(refused, "Location") == []


def test_a_signer_that_fails_sends_nothing() -> None:
    """The error of the signer leaves the gate as it is."""
    made = make()
    made.signer.sign = lambda message: b""  # type: ignore[method-assign]  # a signer that breaks
    with pytest.raises(SigningError, match="^signer KFAKE returned bytes of length 0 instead of a signature$"):
        made.grant("/private/1.pdf")


def test_a_url_can_be_signed_without_a_request() -> None:
    """Views sign by the same settings as redirects."""
    made = make(domain=f"{BASE_URL}/base", expires=5)
    signed = made.gate.sign(Grant(path="/é"), "/é", "/%C3%A9", NOW)
    assert (signed.url, signed.end) == (f"{BASE_URL}/base/%C3%A9", NOW + 5)
    with pytest.raises(Unsignable, match="^the grant starts at"):
        made.gate.sign(Grant(path="/é", not_before=NOW + 5), "/é", "/%C3%A9", NOW)


# Signatures are reused, verdicts are not


@pytest.mark.parametrize(("reuse_for", "signatures"), [(0, 3), (60, 1)])
def test_a_reused_signature_is_given_only_to_who_is_granted(reuse_for: int, signatures: int) -> None:
    """Each request is decided by its own verdict, however many signatures of the object are at hand."""
    made = make(reuse_for=reuse_for)
    granted = [made.grant("/private/1.pdf") for _ in range(3)]
    assert len(made.signer.messages) == signatures
    assert len({location_of(decision) for decision in granted}) == 1
    refused = made.grant("/private/1.pdf", False)
    assert (refused.code, refused.key_pair_id, values(refused, "Location")) == (403, None, [])
    with pytest.raises(AuthorizerError, match="returned None; expected"):
        made.grant("/private/1.pdf", None)
    assert made.grant("/private/1.pdf", PASS).app is PASS
    assert len(made.signer.messages) == signatures


def test_the_end_of_a_reused_grant_is_that_of_its_window() -> None:
    """The record tells the end that was signed."""
    made = make(expires=90, reuse_for=60)
    decision = made.gate.decide(made.facts("/private/1.pdf"), True, NOW + 31)
    assert NOW % 60 == 0
    assert decision.end == NOW + 180
    assert f"?Expires={NOW + 180}&" in location_of(decision)
    assert made.gate.sign(Grant(path="/1.pdf"), "/1.pdf", "/1.pdf", NOW + 45).to_url() == location_of(decision)


# Cookies

CANNED = ("Expires", "Signature", "Key-Pair-Id", "Hash-Algorithm")
CUSTOM = ("Policy", "Signature", "Key-Pair-Id", "Hash-Algorithm")


def cookie_values(decision: Decision) -> dict[str, str]:
    """Return what the cookies of a decision set; it has each of CloudFront's once, set or cleared."""
    names = [cookie.name for cookie in decision.cookies]
    assert sorted(names) == [
        f"CloudFront-{name}" for name in ("Expires", "Hash-Algorithm", "Key-Pair-Id", "Policy", "Signature")
    ]
    return {cookie.name.removeprefix("CloudFront-"): cookie.value for cookie in decision.cookies if cookie.value}


def only(decision: Decision) -> Cookie:
    """Return what all cookies of a decision have in common."""
    (cookie,) = {cookie._replace(name="", value=None) for cookie in decision.cookies}
    return cookie


def test_every_kind_of_answer_that_can_be_chosen_exists() -> None:
    """The option, the grant and the gate know the same answers."""
    assert tuple(ANSWERS) == KINDS


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("code", [302, 303])
def test_cookies_open_the_clean_url(code: int, method: str) -> None:
    """The answer is a redirect like any other, but the signature is in the cookies and not in the Location."""
    made = make(answer="cookies", code=code, headers={"X-A": "1"})
    decision = made.grant("/private/é.pdf", method=method)
    assert (decision.code, decision.body, decision.app) == (code, b"", None)
    assert decision.headers == [
        ("Location", f"{BASE_URL}/%C3%A9.pdf"),
        ("Content-Type", "text/plain; charset=utf-8"),
        ("Cache-Control", "private, no-store"),
        ("Referrer-Policy", "no-referrer"),
        ("Content-Length", "0"),
        ("X-A", "1"),
    ]
    assert cookie_values(decision) == {
        "Expires": str(NOW + 60),
        "Signature": "-~~-",
        "Key-Pair-Id": "KFAKE",
        "Hash-Algorithm": "SHA256",
    }
    assert decision.record() == Record("/private/%C3%A9.pdf", method, code, "granted", "KFAKE", NOW + 60)


@pytest.mark.parametrize(
    ("verdict", "hash_algorithm", "names"),
    [
        (True, "SHA256", CANNED),
        (True, "SHA1", CANNED[:-1]),
        (Grant(scope="/"), "SHA256", CUSTOM),
        (Grant(scope="/"), "SHA1", CUSTOM[:-1]),
        (Grant(not_before=1), "SHA256", CUSTOM),
        (Grant(ip_address="203.0.113.7"), "SHA256", CUSTOM),
    ],
)
def test_cookies_of_the_other_form_are_cleared(verdict: object, hash_algorithm: str, names: tuple[str, ...]) -> None:
    """A browser never sends Expires beside Policy, or the hash algorithm of another key."""
    assert set(cookie_values(make(hash_algorithm, answer="cookies").grant("/private/a", verdict))) == set(names)


@pytest.mark.parametrize("domain", ["", "/base/p%C3%A9"])
@pytest.mark.parametrize(
    ("path", "verdict", "cookie_path", "location"),
    [
        ("/1.pdf", True, "/1.pdf", "/1.pdf"),
        ("/a b/é*.pdf", True, "/a%20b/%C3%A9%2A.pdf", "/a%20b/%C3%A9%2A.pdf"),
        ("/a/1.pdf", Grant(scope="directory"), "/a/", "/a/1.pdf"),
        ("/a/b*/1.pdf", Grant(scope="directory"), "/a/b%2A/", "/a/b%2A/1.pdf"),
        ("/a/b/1.pdf", Grant(scope="/a/"), "/a/", "/a/b/1.pdf"),
        ("/a/b/1.pdf", Grant(scope="/"), "/", "/a/b/1.pdf"),
        ("/a/1.pdf", Grant(path="/é/2.pdf"), "/%C3%A9/2.pdf", "/%C3%A9/2.pdf"),
        ("/a/1.pdf", Grant(path="/é/2.pdf", scope="directory"), "/%C3%A9/", "/%C3%A9/2.pdf"),
        ("/a/1.pdf", Grant(not_before=1), "/a/1.pdf", "/a/1.pdf"),
        ("/a/1.pdf", Grant(query={"v": "/*"}), "/a/1.pdf", "/a/1.pdf?v=%2F%2A"),
        ("/a/1.pdf", Grant(query={"v": "/*"}, ip_address="203.0.113.7"), "/a/1.pdf", "/a/1.pdf?v=%2F%2A"),
    ],
)
def test_cookies_are_for_the_path_of_what_is_granted(
    path: str, verdict: object, cookie_path: str, location: str, domain: str
) -> None:
    """Browsers send the cookies where they open something, the base path of the domain included."""
    decision = make(answer="cookies", domain=BASE_URL + domain).grant(f"/private{path}", verdict)
    assert only(decision) == Cookie("", None, domain + cookie_path, None, True, "Lax")
    assert location_of(decision) == BASE_URL + domain + location


@pytest.mark.parametrize(
    ("cookie_path", "path", "scope", "fits"),
    [
        ("/", "/a/1", "object", True),
        ("/", "/a/1", "/", True),
        ("/a", "/a/1", "object", True),
        ("/a", "/a/1", "directory", True),
        ("/a", "/a/b/1", "directory", True),
        ("/a", "/a", "object", True),
        ("/a/", "/a/1", "directory", True),
        ("/a/", "/a/b/1", "object", True),
        ("/%C3%A9/", "/é/1", "directory", True),
        ("/a/1", "/a/1", "object", True),
        ("/a/", "/a", "object", False),
        ("/a/1/", "/a/1", "object", False),
        ("/a/", "/a/1", "/", False),
        ("/a", "/a/1", "/", False),
        ("/a/b/", "/a/b/1", "/a/", False),
        ("/a", "/ab", "object", False),
        ("/a", "/ab/1", "directory", False),
        ("/A", "/a/1", "object", False),
        ("/b/", "/a/1", "object", False),
    ],
)
def test_a_cookie_path_covers_what_is_granted_or_nothing_is_sent(
    cookie_path: str, path: str, scope: str, fits: bool
) -> None:
    """Cookies for a path that browsers would not send with the granted files are the configuration's error."""
    made = make(answer="cookies", cookie_path=cookie_path)
    verdict = Grant(scope=scope)
    if fits:
        assert only(made.grant(f"/private{path}", verdict)).path == cookie_path
        return
    with pytest.raises(AuthorizerError) as caught:
        made.grant(f"/private{path}", verdict)
    assert str(caught.value) == (
        f"authorizer app.authorize: browsers would not send cookies of cookie_path {cookie_path} with what is granted; "
        "nothing was sent"
    )


def test_a_cookie_path_includes_the_base_path() -> None:
    """It is a path on the distribution, as browsers see it."""
    made = make(answer="cookies", domain=f"{BASE_URL}/base", cookie_path="/base/films/")
    assert only(made.grant("/private/films/42/x.ts", Grant(scope="directory"))).path == "/base/films/"
    with pytest.raises(AuthorizerError, match="browsers would not send cookies of cookie_path /base/films/"):
        made.grant("/private/books/1.pdf")


@pytest.mark.parametrize("prefix", ["https://", "http://"])
@pytest.mark.parametrize("host", ["cdn.example.com", "localhost:8001", "127.0.0.1", "[::1]:8001"])
@pytest.mark.parametrize("samesite", ["Lax", "Strict", "None"])
def test_cookies_are_secure_but_over_loopback_http(prefix: str, host: str, samesite: str) -> None:
    """Only a plain http server on this machine gets cookies that are not Secure, and SameSite=None is Secure there."""
    cookie = only(make(answer="cookies", domain=prefix + host, cookie_samesite=samesite).grant("/private/a"))
    plain = prefix == "http://" and host != "cdn.example.com"
    assert (cookie.secure, cookie.samesite) == (not plain or samesite == "None", samesite)


@pytest.mark.parametrize("domain", [None, "example.com", "cdn.example.com"])
def test_cookies_are_for_one_host_or_for_the_domain_that_was_chosen(domain: str | None) -> None:
    """All cookies of a set have the same Domain, so that they come and go together."""
    assert only(make(answer="cookies", cookie_domain=domain).grant("/private/a")).domain == domain


def test_a_grant_may_set_cookies_where_the_gate_redirects() -> None:
    """``Grant(answer=…)`` stands above the option, in both directions, and takes the option's cookie settings."""
    made = make(cookie_samesite="Strict", cookie_domain="example.com")
    decision = made.grant("/private/a/1", Grant(scope="directory", answer="cookies", headers={"X-A": "1"}))
    assert only(decision) == Cookie("", None, "/a/", "example.com", True, "Strict")
    assert (location_of(decision), values(decision, "X-A")) == (f"{BASE_URL}/a/1", ["1"])
    assert made.grant("/private/a/1").cookies == ()
    redirect = make(answer="cookies").grant("/private/a/1", Grant(answer="redirect"))
    assert redirect.cookies == ()
    assert "&Signature=" in location_of(redirect)


@pytest.mark.parametrize(("length", "fits"), [(MAX_COOKIE_ATTRIBUTE, True), (MAX_COOKIE_ATTRIBUTE + 1, False)])
@pytest.mark.parametrize("scope", ["object", "directory"])
def test_a_path_that_browsers_would_drop_from_a_cookie_is_too_long(scope: str, length: int, fits: bool) -> None:
    """Without its path a cookie would be kept for the gate's own path, and CloudFront would never see it."""
    name = "/" + "a" * (length - 2) + ("a" if scope == "object" else "/1")
    decision = make(answer="cookies").grant(f"/private{name}", Grant(scope=scope))
    if fits:
        assert len(only(decision).path) == length
    else:
        assert decision.record() == Record(f"/private{name}", "GET", 414, "too long")
        assert decision.cookies == ()
    assert make(answer="cookies", cookie_path="/").grant(f"/private{name}", Grant(scope=scope)).code == 303


@pytest.mark.parametrize(
    ("cookie_path", "verdict", "message"),
    [
        (
            None,
            Grant(path="/" + "a" * 1024),
            f"the cookie path is 1025 bytes long; browsers keep {MAX_COOKIE_ATTRIBUTE}",
        ),
        (
            "/",
            Grant(path="/" + "a" * 3000 + "/b", scope="directory"),
            f"a signed cookie is 4173 bytes long; browsers keep {MAX_COOKIE}",
        ),
    ],
    ids=["path", "value"],
)
def test_a_cookie_that_the_authorizer_made_too_long_is_its_error(
    cookie_path: str | None, verdict: Grant, message: str
) -> None:
    """A path that the authorizer chose is not the viewer's fault."""
    with pytest.raises(AuthorizerError) as caught:
        make(answer="cookies", cookie_path=cookie_path).grant("/private/1", verdict)
    assert str(caught.value) == f"authorizer app.authorize: {message}; nothing was sent"


def test_a_cookie_that_the_viewer_made_too_long_is_refused() -> None:
    """A directory whose policy fits no cookie is a 414, although a URL of it could be signed."""
    path = "/private/" + "a" * 3000 + "/b"
    made = make(answer="cookies", cookie_path="/")
    refused = made.grant(path, Grant(scope="directory"))
    assert (refused.record(), refused.cookies) == (Record(path, "GET", 414, "too long"), ())
    assert make().grant(path, Grant(scope="directory")).code == 303


@pytest.mark.parametrize(
    ("options", "paths", "cleared"),
    [
        ({}, ("/films/42/", "/a%20b.pdf"), ("/films/42/", "/a%20b.pdf")),
        ({"domain": f"{BASE_URL}/base"}, ("/", "/a"), ("/base/", "/base/a")),
        ({"cookie_path": "/films/"}, (), ("/films/",)),
        ({"cookie_path": "/base/films/", "domain": f"{BASE_URL}/base"}, ("/a", "/b"), ("/base/films/",)),
        ({}, (), ()),
    ],
)
def test_cookies_are_cleared_where_they_were_set(
    options: dict[str, Any], paths: tuple[str, ...], cleared: tuple[str, ...]
) -> None:
    """Each path is cleared of every cookie, whichever form it had; a cookie path is the only one there is."""
    made = make(cookie_domain="example.com", cookie_samesite="None", **options)
    names = ("Expires", "Policy", "Signature", "Key-Pair-Id", "Hash-Algorithm")
    assert made.gate.clear_cookies(*paths) == tuple(
        Cookie(f"CloudFront-{name}", None, path, "example.com", True, "None") for path in cleared for name in names
    )


@pytest.mark.parametrize("verdict", [True, Grant(scope="/"), Grant(not_before=5)])
def test_what_sets_cookies_is_cleared_by_the_same_path(verdict: object) -> None:
    """A browser replaces a cookie only by one of equal name, domain and path."""
    made = make(answer="cookies", domain=f"{BASE_URL}/base")
    decision = made.grant("/private/a/1", verdict)
    path = only(decision).path.removeprefix("/base")
    assert {cookie._replace(value=None) for cookie in decision.cookies} == set(made.gate.clear_cookies(path))


# JSON


def json_of(decision: Decision) -> Any:
    """Return the body of a JSON answer, whose headers say what it is, once each."""
    assert values(decision, "Content-Type") == ["application/json"]
    assert values(decision, "X-Content-Type-Options") == ["nosniff"]
    assert values(decision, "Vary") == ["Accept"]
    assert values(decision, "Content-Length") == [str(len(decision.body))]
    return json.loads(decision.body)


@pytest.mark.parametrize("code", [303, 307])
def test_json_tells_a_script_the_url(code: int) -> None:
    """Who asks for JSON gets 200, the signed URL and its end; the headers are these and no others."""
    made = make(answer="json", code=code, headers={"X-A": "1", "vary": "Origin"})
    decision = made.grant("/private/é.pdf", accept=JSON)
    assert (decision.status, decision.app, decision.cookies) == ("200 OK", None, ())
    assert decision.headers == [
        ("Cache-Control", "private, no-store"),
        ("Referrer-Policy", "no-referrer"),
        ("X-A", "1"),
        ("vary", "Origin"),
        ("Content-Type", "application/json"),
        ("Content-Length", str(len(decision.body))),
        ("X-Content-Type-Options", "nosniff"),
        ("Vary", "Accept"),
    ]
    redirect = made.grant("/private/é.pdf", accept=BROWSER)
    assert json.loads(decision.body) == {"url": location_of(redirect), "expires": NOW + 60}
    assert decision.record() == Record("/private/%C3%A9.pdf", "GET", 200, "granted", "KFAKE", NOW + 60)


@pytest.mark.parametrize("accept", ["", BROWSER, "*/*", "application/json;q=0", "application/json;q=0.1, text/html"])
def test_json_redirects_everybody_else(accept: str) -> None:
    """A browser follows a link as ever; the answer depends on Accept and says so."""
    plain = make().grant("/private/1.pdf")
    decision = make(answer="json").grant("/private/1.pdf", accept=accept)
    assert decision.headers == [*plain.headers, ("Vary", "Accept")]
    assert decision._replace(headers=plain.headers) == plain


def test_the_grant_has_its_say_in_json_too() -> None:
    """Conditions and headers of a grant are signed and sent, and the end is the grant's own."""
    made = make(answer="json", headers={"X-A": "option"})
    verdict = Grant(scope="directory", expires=5, query={"v": "1"}, headers=[("x-a", "grant"), ("Set-Cookie", "a=1")])
    decision = made.grant("/private/a/1", verdict, accept=JSON)
    told = json_of(decision)
    assert told["url"].startswith(f"{BASE_URL}/a/1?v=1&Policy=")
    assert (told["expires"], decision.end) == (NOW + 5, NOW + 5)
    assert (values(decision, "X-A"), values(decision, "Set-Cookie")) == (["grant"], ["a=1"])
    assert made.resource() == f"{BASE_URL}/a/*"


def test_head_of_json_is_json_without_its_body() -> None:
    """HEAD tells the headers of GET, the length too."""
    made = make(answer="json")
    for verdict in (True, 403):
        head, get = (made.grant("/private/a", verdict, method=method, accept=JSON) for method in ("HEAD", "GET"))
        assert (head.body, head.headers, head.status) == (b"", get.headers, get.status)
        assert values(head, "Content-Length") == [str(len(get.body))]


@pytest.mark.parametrize(
    ("verdict", "status", "error"),
    [
        (False, 403, "Forbidden"),
        (401, 401, "Unauthorized"),
        (HTTPStatus.IM_A_TEAPOT, 418, "I'm a Teapot"),
        (499, 499, "Refused"),
    ],
)
def test_a_script_is_refused_in_json(verdict: object, status: int, error: str) -> None:
    """A script that asked for JSON reads why it was refused from JSON, which nobody may keep."""
    made = make(answer="json", headers={"X-A": "1"})
    refused = made.grant("/private/a", verdict, accept=JSON)
    assert refused.code == status
    assert json_of(refused) == {"status": status, "error": error}
    assert values(refused, "Cache-Control") == ["no-store"]
    assert (values(refused, "X-A"), values(refused, "Location"), made.signer.messages) == ([], [], [])
    assert refused.record() == Record("/private/a", "GET", status, "refused")


def test_a_browser_is_refused_in_text() -> None:
    """The refusal is the usual one, and says that it depends on Accept."""
    plain = make().grant("/private/a", False)
    refused = make(answer="json").grant("/private/a", False, accept=BROWSER)
    assert refused.headers == [*plain.headers, ("Vary", "Accept")]
    assert (refused.body, refused.record()) == (b"403 Forbidden\n", plain.record())


def test_a_grant_may_answer_json_where_the_gate_redirects() -> None:
    """``Grant(answer="json")`` looks at Accept for this grant alone; refusals of such a gate are text."""
    made = make()
    grant = Grant(answer="json")
    assert json_of(made.grant("/private/a", grant, accept=JSON))["url"].startswith(f"{BASE_URL}/a?Expires=")
    browser = made.grant("/private/a", grant, accept=BROWSER)
    assert (browser.code, values(browser, "Vary")) == (303, ["Accept"])
    plain = made.grant("/private/a", accept=JSON)
    assert (plain.code, values(plain, "Vary")) == (303, [])
    refused = made.grant("/private/a", False, accept=JSON)
    assert (values(refused, "Vary"), refused.body) == ([], b"403 Forbidden\n")


def test_accept_is_read_before_anyone_is_asked() -> None:
    """Like all that a grant depends on, it belongs to the facts."""
    assert make(answer="json").facts("/private/a", accept="application/json;q=0.5").accept == "application/json;q=0.5"


def test_a_filename_is_sent_to_the_origin() -> None:
    """S3 is told the name under which browsers save the object, and a viewer's own wish is replaced."""
    made = make()
    decision = made.grant("/private/1", Grant(filename="né.pdf"))
    disposition = "attachment%3B%20filename%3D%22n_.pdf%22%3B%20filename%2A%3DUTF-8%27%27n%25C3%25A9.pdf"
    assert made.resource() == f"{BASE_URL}/1?response-content-disposition={disposition}"
    assert location_of(decision).startswith(f"{made.resource()}&Expires=")


# Refusals, PASS and answers of others


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    ("verdict", "status"),
    [
        (False, "403 Forbidden"),
        (401, "401 Unauthorized"),
        (HTTPStatus.NOT_FOUND, "404 Not Found"),
        (499, "499 Refused"),
        (503, "503 Service Unavailable"),
    ],
)
def test_a_refusal_is_short_text_that_nobody_may_keep(verdict: object, status: str, method: str) -> None:
    """The headers of a refusal are these and no others; HEAD has them without the body."""
    made = make(headers={"X-A": "1"})
    refused = made.grant("/private/é", verdict, method=method)
    body = f"{status}\n".encode()
    assert refused.status == status
    assert refused.body == (b"" if method == "HEAD" else body)
    assert refused.headers == [
        ("Content-Type", "text/plain; charset=utf-8"),
        ("Content-Length", str(len(body))),
        ("Cache-Control", "no-store"),
    ]
    assert refused.record() == Record("/private/%C3%A9", method, int(status[:3]), "refused")
    assert made.signer.messages == []


def test_pass_and_answers_of_others_are_handed_on() -> None:
    """The decision carries the application that answers, and no status of its own."""
    made = make()
    response = webob.Response("no", status=401)
    passed, answered = made.grant("/private/1.pdf", PASS), made.grant("/private/1.pdf", response)
    assert (passed.app, answered.app) == (PASS, response)
    assert passed.record() == Record("/private/1.pdf", "GET", None, "passed")
    assert answered.record() == Record("/private/1.pdf", "GET", None, "answered")
    assert made.signer.messages == []


@pytest.mark.parametrize("verdict", [None, 1, 0, "yes", [True], object(), Grant])
def test_a_verdict_that_is_none_signs_nothing(verdict: object) -> None:
    """Truth is not enough."""
    made = make()
    with pytest.raises(AuthorizerError, match=r"^authorizer app\.authorize returned .* nothing was signed$"):
        made.grant("/private/1.pdf", verdict)
    assert made.signer.messages == []


# What may be told


@pytest.mark.parametrize("answer", KINDS)
@pytest.mark.parametrize("verdict", [True, Grant(scope="/"), False, PASS])
def test_neither_the_record_nor_the_repr_of_a_decision_tells_a_signature(verdict: object, answer: str) -> None:
    """Records go to logs, and error trackers show the reprs of local variables."""
    decision = make(answer=answer).grant("/private/1.pdf", verdict, accept=JSON)
    told = f"{decision.record()} {decision!r} {decision.cookies!r}"
    assert "-~~-" not in told
    assert BASE_URL not in told
    assert f"{decision!r}" == f"<Decision {decision.record()!r}>"
    assert all(repr(cookie) == f"<Cookie {cookie.name}>" for cookie in decision.cookies)


@pytest.mark.parametrize(
    "value",
    [
        Facts("GET", "/", "/", "/"),
        Record("/", "GET", 403, "refused"),
        Cookie("a", None, "/", None, True, "Lax"),
    ],
)
def test_facts_and_records_cannot_be_changed(value: Any) -> None:
    """What was read before the authorizer ran is what is signed after it."""
    with pytest.raises(AttributeError):
        value.path = "/other"
