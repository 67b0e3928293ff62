"""The gate over WSGI: which requests it handles, what it refuses, what it signs for a yes, and what it records."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Any, NamedTuple
from urllib.parse import quote, unquote, unquote_to_bytes, urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cfgate_middleware import AuthorizerError, DecisionRecord, Grant
from tests.conftest import KEY_PAIR_ID, NOW
from tests.support import BASE_URL, SIGNER, Answer, Fake, Judge, Wrapped, by, fetch, gate, verified

# How paths and queries are spelled in a signed URL.
SPELLED_PATH = re.compile(r"(?:/(?:[A-Za-z0-9._~!&(),=:@-]|%[0-9A-F]{2})+)+")
SPELLED_QUERY = re.compile(r"[A-Za-z0-9._~!(),/:@%=&-]*")
END = NOW + 60
MAX_URL = 8192


class Probe:
    """A gate, and what happened around it: who was asked, what was signed, passed on and recorded."""

    def __init__(self, verdict: object = True, **options: Any) -> None:
        self.judge, self.wrapped = Judge(verdict), Wrapped(strict=False)
        self.signer = Fake(KEY_PAIR_ID, outcome=SIGNER.sign)
        self.records: list[DecisionRecord] = []
        self._gate = gate(self.judge, self.wrapped, signer=self.signer, on_decision=self.records.append, **options)

    def fetch(self, path: str | bytes, **how: Any) -> Answer:
        """Send a request, which need not be one that WSGI allows."""
        return fetch(self._gate, path, strict=False, **how)

    def resource(self, path: str | bytes, **how: Any) -> str:
        """Return the resource that is signed for a request, without the base URL; the Location must begin with it."""
        location = self.fetch(path, **how).location
        resource = verified(location).policy.resource
        assert location.startswith((f"{resource}?Expires=", f"{resource}&Expires="))
        return resource.removeprefix(BASE_URL)


# What becomes of a path, by the reason that is recorded; nothing is recorded of the application's own.
PATHS: dict[str, tuple[str | bytes, ...]] = {
    "granted": ("/private/x", "/private/é", "/private/.x", "/private/...", "/private/a..", "/private/*", "/private/ "),
    "no object": ("/private", "/private/", "/private/x/", "/private/é/"),
    "unclean path": (
        *("/private/../x", "/private/./x", "/private/..", "/private/.", "/public/../private/x", "/./private/x"),
        *("//private/x", "///private", "/x/..//private/x", "/x/./../private/x", "//x/../private/x", "/../private"),
        *("/x//../private/x", "\\private\\x", "/\\private/x", "/x\\..\\private/x", "/private\\x", "/x/..\\private"),
        *("http://evil.com/private/x", "http://evil.com//private/x", "private/x", "private", "./private"),
        *("x/../private/x", "/private//", "/private//x", "/private///evil.com", "/private/a//b", "/private/a//"),
        *("/private/a/../b", "/private/a/./b", "/private/..\\..\\x", "/private/\\evil", "/private/a\\b"),
        *("/private/a\n", "/private/\t//evil.com", "/private/a\r\nX: 1", "/private%2fx", "//evil.com/private/x"),
        *(f"/private/a{chr(code)}b" for code in (*range(32), *range(0x7F, 0xA0))),
        *(b"/private/" + name for name in (b"\xff", b"\xc0\xaf", b"\xe0\x80\xaf", b"\xed\xa0\x80", b"\xc3")),
        *(b"/private/" + name for name in (b"\xf4\x90\x80\x80", b"\xc0\xae\xc0\xae/x")),
    ),
    "": (
        *("", "/", "/x", "/private.bak", "/privatefoo/x", "/private../x", "/private.evil.com/x", "/private@evil.com/x"),
        *("/private;x=1/a", "/private%2e/x", "/PRIVATE/x", "/Private", "/x/private", "/privat"),
        *("/private\0/x", "/private?x", "/private#x", "//x", "/./x", "/../x", "/x//y", "\\x", "*", "http://evil.com/"),
        *("/privat\u0435/x", "/x/private/../y", "http://private/x", "/.private/x", "/...private", "/private\\..\\x"),
        *("/private ", "/private\n", "/x?/private/x", "/x#/private/x", "/x;/private/x"),
    ),
}


@pytest.mark.parametrize(("path", "reason"), by(PATHS), ids=ascii)
def test_what_becomes_of_a_path(path: str | bytes, reason: str) -> None:
    """What some server could lead below the prefix never reaches the application; what only resembles it does."""
    probe = Probe()
    answer = probe.fetch(path)
    assert [record.reason for record in probe.records] == ([reason] if reason else [])
    assert len(probe.wrapped.calls) == (not reason)
    did = bool(probe.judge.asked), bool(probe.signer.messages)
    assert did == (reason in ("granted", "no object"), reason == "granted")
    assert answer.code == {"granted": 303, "no object": 404, "unclean path": 400, "": 200}[reason]
    for record in probe.records:
        assert unquote_to_bytes(record.path) == (path if isinstance(path, bytes) else path.encode())
        assert record.path.isascii()
        assert record.path.isprintable()
    everything = Probe(prefix="/")
    everything.fetch(path)
    assert not everything.wrapped.calls, "a gate on / has nothing outside"


@pytest.mark.parametrize("path_info", ["/private/€", "/private/\ud800", "/private/\udcff", "/private/a\u0100/../b"])
def test_a_path_that_is_not_latin_1_is_refused(path_info: str) -> None:
    """A server that passes other text than WSGI allows gets a 400, not a crash and not a guess."""
    probe = Probe()
    assert probe.fetch("/", PATH_INFO=path_info).code == 400
    (record,) = probe.records
    assert (record.reason, probe.judge.asked) == ("unclean path", [])
    assert record.path.isascii()
    assert record.path.isprintable()


# Pieces of which hostile paths are made.
pieces = st.sampled_from(
    ["/", "//", "/.", "/..", "/...", "\\", "private", "/private", "/private/", "/x", "*", "?", "#", ";", "%2e", "%2f"]
    + ["é", "\0", "\n", "\t", "\x7f", "\x85", '"', "'", "+", " ", "@evil.com", "http://evil.com", "\udcff", "€", "."]
)
raw_paths = st.lists(pieces, max_size=6).map(lambda parts: "".join(parts).encode("utf-8", "surrogateescape"))


@given(raw_paths | raw_paths.map(lambda path: b"/private/" + path), st.sampled_from(["/private", "/"]))
@example(b"", "/")
@example(b"/private/\xff\xc0\xaf", "/private")
def test_what_is_signed_is_below_the_prefix_in_every_reading(raw: bytes, prefix: str) -> None:
    """No signed path has a second reading or a way around the authorizer, who saw what is signed and sent."""
    probe = Probe(prefix=prefix)
    answer = probe.fetch(raw)
    if probe.wrapped.calls:
        assert prefix == "/private"
        assert not (raw + b"/").startswith(b"/private/")
    if answer.code != 303:
        assert probe.signer.messages == []
        assert probe.wrapped.calls or answer.code in (400, 404)
        assert answer.code != 400 or not probe.judge.asked
        return
    below = raw.removeprefix(prefix.encode().rstrip(b"/"))
    assert raw.startswith(prefix.encode())
    assert not re.search(rb"[\x00-\x1f\x7f\\]|//|/\.{1,2}(/|\Z)", raw)
    url = urlsplit(answer.location)
    assert f"{url.scheme}://{url.netloc}" == BASE_URL
    assert SPELLED_PATH.fullmatch(url.path)
    assert [unquote_to_bytes(url.path).decode()] == [below.decode()] == probe.judge.asked
    assert verified(answer.location).policy.resource == BASE_URL + url.path


NAMES = (
    *("/1.pdf", "/reports/2024/q1.pdf", "/a%b", "/%2e%2e/x", "/alice%2F..%2Fbob/x", "/a;/b;x=1", "/a+b", "/a b"),
    *("/a?Expires=9999999999&x", "/*", "/a*?b", '/x","Condition":{}}]}', "/it's.pdf", "/<script>", "/@evil.com"),
    *("/.evil.com", "/évil", "/e\u0301", "/\u2028\u202e", "/\U0001f600", "/...", "/a..", "/..a", "/.hidden", "/http:"),
    *("/private/x", "/a#b"),
)


@pytest.mark.parametrize("base_path", ["", "/base/path"])
@pytest.mark.parametrize("verdict", [True, Grant(not_before=1)], ids=["canned", "custom"])
@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_authorizer_policy_and_browser_get_the_same_path(name: str, verdict: object, base_path: str) -> None:
    """The path that was judged is signed and sent, spelled in one way, below any base path, in any kind of policy."""
    probe = Probe(verdict, domain=BASE_URL + base_path)
    location = probe.fetch(f"/private{name}").location
    assert probe.judge.asked == [name]
    wanted = f"{BASE_URL}{base_path}{quote(name, safe='/!&(),=:@')}"
    assert location.partition("?")[0] == verified(location).policy.resource == wanted


BAD = "v=1&v=2"
UNCLEAN_QUERIES = (
    *("v=1&v=1", "v=1&v=2", "v&v", "v=1&%76=2", "v=1&w=2&v=3", "a+b=1&a%20b=2"),
    *("v=%ff", "v=%C0%AF", "v=%ed%a0%80", "v=€"),
)
OTHER_REFUSALS = ((499, "Refused"), (503, "Service Unavailable"))
LONG = "/private/" + "a" * MAX_URL  # without a signature
NEARLY = "/private/" + "a" * (MAX_URL - 100)  # with one
TOO_LONG = f"414 {HTTPStatus(414).phrase}"  # which is another text in newer Pythons


class Refused(NamedTuple):
    """A request that is not granted."""

    status: str
    reason: str
    path: str = "/private/x"
    method: str = "GET"
    query: str = ""
    verdict: object = True
    asked: bool = True


REFUSED = (
    # every check, and those that come after it fail too
    *(
        Refused(status, reason, path, method, query, False, asked)
        for method in ("POST", "OPTIONS", "GET")
        for status, reason, path, query, asked in (
            ("400 Bad Request", "unclean path", f"/private/..{LONG}/", BAD, False),
            (TOO_LONG, "too long", f"{LONG}/", BAD, False),
            ("403 Forbidden", "refused", f"{NEARLY}/", BAD, True),
        )
    ),
    Refused("405 Method Not Allowed", "method", "/private/x/", "POST"),
    Refused("204 No Content", "options", "/private/x/", "OPTIONS"),
    Refused("404 Not Found", "no object", f"{NEARLY}/"),
    *(Refused(TOO_LONG, "too long", NEARLY, verdict=yes) for yes in (True, Grant(scope="/"), Grant(headers=[]))),
    # everything else
    *(Refused("405 Method Not Allowed", "method", method=kind) for kind in ("PUT", "FOO", "get", "A\r\nB é")),
    *(Refused("400 Bad Request", "unclean query", query=query) for query in UNCLEAN_QUERIES),
    Refused("401 Unauthorized", "refused", "/private/é", verdict=401),
    Refused("404 Not Found", "refused", verdict=HTTPStatus.NOT_FOUND),
    *(Refused(f"{code} {text}", "refused", verdict=code) for code, text in OTHER_REFUSALS),
)


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: f"{case.reason} {case.method} {case.status[:3]}")
def test_what_is_not_granted_is_answered_shortly(case: Refused) -> None:
    """The first check that fails is the answer: a short text without other headers, which no cache may keep."""
    probe = Probe(case.verdict, forward_query=["v", "a b"], headers={"X-A": "1"})
    answer = probe.fetch(case.path, method=case.method, query=case.query)
    text = f"{case.status}\n".encode()
    has_body = case.status[:3] != "204"
    assert (answer.status, answer.body) == (case.status, text if has_body else b"")
    assert sorted(answer.headers) == [
        *([("Allow", "GET, HEAD, OPTIONS")] if case.reason in ("method", "options") else []),
        ("Cache-Control", "no-store"),
        *([("Content-Length", str(len(text))), ("Content-Type", "text/plain; charset=utf-8")] if has_body else []),
    ]
    assert probe.records == [
        (quote(case.path)[:2000], quote(case.method), int(case.status[:3]), case.reason, None, None)
    ]
    assert (len(probe.judge.asked), probe.wrapped.calls) == (case.asked, [])
    if case.method == "GET":
        head = probe.fetch(case.path, method="HEAD", query=case.query)
        assert head == (answer.status, answer.headers, b"")


@pytest.mark.parametrize("prefix", ["/private", "/a/b", "/"])
@pytest.mark.parametrize("index", [None, "index.html", "a*é"])
@pytest.mark.parametrize(
    ("rest", "directory"), [("", "/"), ("/", "/"), ("/x/", "/x/"), ("/é*/", "/é*/"), ("/x", None), ("/x/y", None)]
)
def test_an_index_is_appended_before_anyone_is_asked(prefix: str, index: Any, rest: str, directory: Any) -> None:
    """The authorizer judges the file that will be signed; without an index a directory is not an object."""
    probe = Probe(prefix=prefix, index=index)
    path = prefix.rstrip("/") + rest
    if directory is not None and index is None:
        assert probe.fetch(path).code == 404
        assert probe.records == [(quote(path), "GET", 404, "no object", None, None)]
        return
    asked = rest if directory is None else f"{directory}{index}"
    assert (probe.resource(path), probe.judge.asked, probe.records[0].path) == (quote(asked), [asked], quote(path))


KEEP = ("v", "w", "a b", "é")


@pytest.mark.parametrize(
    ("query", "spelled"),
    [
        *(("v=1", "v=1"), ("w=2&v=1", "w=2&v=1"), ("v", "v="), ("v=", "v="), ("v=a=b", "v=a%3Db"), ("%76=1", "v=1")),
        *(("v=a+b%2Bc%20d", "v=a%20b%2Bc%20d"), ("v=%2a*%252a", "v=%2A%2A%252a"), ("a+b=1", "a%20b=1")),
        *(("%C3%A9=%c3%a9", "%C3%A9=%C3%A9"), ("v=%22%7D%5C%0d%0a%00", "v=%22%7D%5C%0D%0A%00")),
        *(("v=1;w=2", "v=1%3Bw%3D2"), ("v=1%26Expires=9", "v=1%26Expires%3D9"), ("v=1?x#y", "v=1%3Fx%23y")),
        *((query, "v=1") for query in ("/../../public&v=1", "response-content-type=text/html&v=1", "%ff=1&v=1&%ff=2")),
        *((query, "") for query in ("", "V=1&vv=2&x=3&x=4&=5&&&=", "v%00=1&v%20=2&%20v=3&+v=4", "%2576=1")),
        ("Policy=x&Signature=x&Key-Pair-Id=x&Expires=9&Hash-Algorithm=SHA1", ""),
        ("%50olicy=x&%45xpires=9&policy=x&EXPIRES=9&Policy=y", ""),
    ],
)
def test_kept_parameters_are_decoded_once_and_spelled_once(query: str, spelled: str) -> None:
    """Only names that are kept pass, in the viewer's order, and none can become another; by default none is kept."""
    probe = Probe(forward_query=KEEP)
    assert probe.resource("/private/1.pdf", query=query) == "/1.pdf" + (f"?{spelled}" if spelled else "")
    assert probe.judge.asked == ["/1.pdf"]
    assert Probe().resource("/private/1.pdf", query=query) == "/1.pdf"


@given(st.text(st.characters(max_codepoint=255)))
def test_no_query_adds_a_parameter_that_was_not_kept(query: str) -> None:
    """Whatever a viewer sends, the signed URL holds kept names at most once, and CloudFront's own."""
    probe = Probe(forward_query=KEEP)
    answer = probe.fetch("/private/1.pdf", query=query)
    if answer.code != 303:
        assert probe.records[0].reason == "unclean query"
        return
    signed = answer.location.partition("?")[2]
    names = [unquote(pair.partition("=")[0]) for pair in signed.split("&")]
    assert len(names) == len(set(names))
    assert set(names) <= {*KEEP, "Expires", "Signature", "Key-Pair-Id", "Hash-Algorithm"}
    assert SPELLED_QUERY.fullmatch(signed)


DISPOSITION = "attachment%3B%20filename%3D%22ne.pdf%22%3B%20filename%2A%3DUTF-8%27%27n%25C3%25A9.pdf"


@pytest.mark.parametrize(
    ("query", "grant", "resource"),
    [
        ("v=1", Grant(path="/other/é", query={"w": "2"}), "/other/%C3%A9?v=1&w=2"),
        ("v=1&w=2", Grant(query={"w": "3"}), "/1.pdf?v=1&w=3"),
        ("v=1&w=2", Grant(query=[("v", "3"), ("v", "*")]), "/1.pdf?w=2&v=3&v=%2A"),
        ("v=1", Grant(query={"V": "2"}), "/1.pdf?v=1&V=2"),
        ("", Grant(query={"response-expires": "a/a; b=c&d"}), "/1.pdf?response-expires=a/a%3B%20b%3Dc%26d"),
        *(("", Grant(query={"a": ""}), "/1.pdf?a="), ("", Grant(query={}), "/1.pdf")),
        ("v=1", Grant(filename="né.pdf"), f"/1.pdf?v=1&response-content-disposition={DISPOSITION}"),
    ],
)
def test_a_grant_chooses_what_is_signed(query: str, grant: Grant, resource: str) -> None:
    """Its path takes the place of the request's, and its parameters that of forwarded ones with the same name."""
    assert Probe(grant, forward_query=["v", "w"]).resource("/private/1.pdf", query=query) == resource


@pytest.mark.parametrize(
    ("options", "grant", "end"),
    [
        *(({"expires": 1}, Grant(), NOW + 1), ({"expires": 3600}, Grant(), NOW + 3600)),
        *(({"expires": 3600}, Grant(expires=7), NOW + 7), ({"expires": 90, "reuse_for": 80}, Grant(), NOW + 160)),
        ({"expires": 90, "reuse_for": 80}, Grant(expires=50), NOW + 50),
    ],
    ids=str,
)
def test_the_end_that_is_recorded_is_the_end_that_is_signed(options: dict[str, Any], grant: Grant, end: int) -> None:
    """A grant lasts as long as it says itself, else as long as the option says, and to the end of its window."""
    assert NOW % 80 == NOW % 50 == 0
    probe = Probe(grant, **options)
    location = probe.fetch("/private/1.pdf").location
    assert probe.records[0].end == verified(location).policy.end == end


@pytest.mark.parametrize(
    ("grant", "told"),
    [
        (Grant(scope="directory"), "root of the distribution.* scope='/'"),
        (Grant(scope="/other/"), "outside the scope"),
        (Grant(not_before=NOW + 60), f"starts at {NOW + 60} but ends at {NOW + 60}"),
        (Grant(path="/" + "é" * 1360), f"bytes long; CloudFront takes {MAX_URL}"),
        (Grant(path="/a", query={"a": "b" * 8100}), f"bytes long; CloudFront takes {MAX_URL}"),
    ],
    ids=["root", "outside", "ends first", "long path", "long query"],
)
def test_a_grant_that_does_not_fit_is_the_authorizers_error(grant: Grant, told: str) -> None:
    """The error names the authorizer and what is wrong with its grant; nothing is sent or recorded."""
    probe = Probe(grant)
    with pytest.raises(AuthorizerError, match=rf"tests\.support\.Judge: .*{told}"):
        probe.fetch("/private/1.pdf")
    assert probe.records == []
