"""Options: what each takes, what it is compiled to, and what a wrong one is told."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from datetime import timedelta
from enum import Enum
from http import HTTPStatus
from types import MappingProxyType
from typing import Any
from unittest.mock import ANY

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cfgate_middleware import CloudFrontGate
from cfgate_middleware.errors import ConfigError, shown
from cfgate_middleware.options import MAX_EXPIRES, OPTIONS, check_options, is_deferred, is_object_path, status_line
from cfgate_middleware._core.urls import RESERVED


class Answer(str, Enum):  # noqa: UP042  # this kind of enum, older than StrEnum, has another str()
    """Kinds of answers, and attributes of cookies, as a user may name them."""

    COOKIES = "cookies"
    STRICT = "strict"


async def coroutine(record: object) -> None:
    """What nobody would ever await."""


def generator(record: object) -> Iterator[None]:
    """What nobody would ever iterate."""
    yield


class Task:
    """A callable that is waiting to be awaited."""

    def __call__(self) -> None:
        """Do nothing, now."""

    def __await__(self) -> Iterator[None]:
        """Do nothing, later."""
        yield


GOOD: dict[str, list[tuple[Any, Any]]] = {
    "prefix": [
        ("/", ""),
        ("/private", "/private"),
        ("/private/", "/private"),
        ("/a/b-c/D_9.~", "/a/b-c/D_9.~"),
        ("/.well-known", "/.well-known"),
        ("/...", "/..."),
    ],
    "domain": [
        ("d111111abcdef8.cloudfront.net", "https://d111111abcdef8.cloudfront.net"),
        ("https://CDN.example.com:443/base/", "https://cdn.example.com/base"),
        ("http://localhost:8080", "http://localhost:8080"),
    ],
    "expires": [
        (1, 1),
        (MAX_EXPIRES, MAX_EXPIRES),
        (timedelta(seconds=1), 1),
        (timedelta(minutes=5), 300),
        (timedelta(days=7), MAX_EXPIRES),
    ],
    "code": [(code, code) for code in (301, 302, 303, 307, 308)] + [(HTTPStatus.FOUND, 302)],
    "headers": [
        (None, ()),
        ({}, ()),
        ((), ()),
        ({"X-A": "1"}, (("X-A", "1"),)),
        (MappingProxyType({"X-A": ""}), (("X-A", ""),)),
        ([("Set-Cookie", "a=1"), ("set-cookie", "b=2")], (("Set-Cookie", "a=1"), ("set-cookie", "b=2"))),
        ([["X-A", "é"]], (("X-A", "é"),)),
        ((pair for pair in [("X-A", "1")]), (("X-A", "1"),)),
        ({"Cache-Control": "no-store"}, (("Cache-Control", "no-store"),)),
        ({"cache-control": "private,No-Store, max-age=0"}, (("cache-control", "private,No-Store, max-age=0"),)),
        ({"CDN-Cache-Control": "no-store"}, (("CDN-Cache-Control", "no-store"),)),
        ({"Surrogate-Control": "content=x, no-store"}, (("Surrogate-Control", "content=x, no-store"),)),
        ({"Cache-Controls": "public"}, (("Cache-Controls", "public"),)),
    ],
    "forward_query": [
        (None, frozenset()),
        ([], frozenset()),
        (["v", "w", "v"], frozenset({"v", "w"})),
        ((name for name in ["a b&="]), frozenset({"a b&="})),
    ],
    "index": [(None, None), ("index.html", "index.html"), ("a*?#é", "a*?#é")],
    "reuse_for": [(0, 0), (1, 1), (MAX_EXPIRES, MAX_EXPIRES), (timedelta(minutes=5), 300)],
    "answer": [("redirect", "redirect"), ("cookies", "cookies"), ("json", "json"), (Answer.COOKIES, "cookies")],
    "cookie_domain": [
        (None, None),
        ("example.com", "example.com"),
        (".Example.COM", "example.com"),
        ("a-b.c.example.co.uk", "a-b.c.example.co.uk"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("1.2.3.4a", "1.2.3.4a"),
        ("d111111abcdef8.cloudfront.net", "d111111abcdef8.cloudfront.net"),
        ("cloudfront.network", "cloudfront.network"),
        ("mycloudfront.net", "mycloudfront.net"),
    ],
    "cookie_path": [
        (None, None),
        ("/", "/"),
        ("/films", "/films"),
        ("/films/", "/films/"),
        ("/b%C3%A9/%2A/", "/b%C3%A9/%2A/"),
    ],
    "cookie_samesite": [
        *((text, "Lax") for text in ("Lax", "lax", "LAX")),
        *((text, "Strict") for text in ("Strict", "strict", Answer.STRICT)),
        *((text, "None") for text in ("None", "none")),
    ],
    "on_decision": [(taken, taken) for taken in (None, print, functools.partial(print, "x"), list[object]().append)],
}

PREFIX = "expected whole path segments of A-Z a-z 0-9 . _ ~ - after a slash, such as '/private'"
DOMAIN = "expected the distribution's address, such as 'https://d111111abcdef8.cloudfront.net'"
EXPIRES = "expected whole seconds from 1 to 604800 (a duration, not a moment in time)"
CODE = "expected a redirect code: 303 (the default), 301, 302, 307 or 308"
FIELDS = "expected header fields as a mapping or as pairs of str"
FIELD_NAME = "a header name must be a token such as X-Frame-Options"
FIELD_VALUE = "the value of header X-A must be one line of latin-1 text without surrounding space"
NAMES = "expected a list of parameter names"
OWN = "is reserved: CloudFront reads Expires, Policy, Signature, Key-Pair-Id, Hash-Algorithm as its own"
FIELD_OF_OTHERS = "is set by the gate or the server; leave it out"
INDEX = "expected one file name, such as 'index.html'"
ANSWER = "expected one of redirect, cookies, json"
COOKIE_DOMAIN = "expected a domain of at least two labels, such as 'example.com'"
COOKIE_PATH = (
    "expected a path on the distribution with a leading slash, spelled as it is signed: unreserved characters and '/', "
    "all else %XX in upper case, no dot or empty segments"
)
SAMESITE = "expected 'Lax', 'Strict' or 'None' (as text)"
HOP_BY_HOP = ("Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Connection", "TE")
CACHEABLE = ("public", "no-cache", "max-age=60", "private", "x-no-store", "no-store-not", "")

BAD: dict[str, list[tuple[Any, str]]] = {
    "prefix": [
        (bad, PREFIX)
        for bad in (
            *("", "private", "//", "//private", "/private//", "/a//b", "/.", "/..", "/a/..", "/a/./b", "/a/../"),
            *("/private/ ; comment", "/private/*", "/a%20b", "/a?b", "/a#b", "/a\\b", "/é", "/private\n", "/a\0"),
            *("/a b", "https://example.com/private", b"/private", 5, True, ["/private"]),
        )
    ],
    "domain": [("", DOMAIN), (5, DOMAIN), (b"cdn.example.com", DOMAIN)]
    + [
        ("https://user@example.com", "'@' is refused: user information is never part of a distribution's address"),
        ("https://*.example.com", "'*' is refused: a wildcard here would be signed"),
        ("ftp://example.com", "scheme 'ftp' is refused: expected https (or http)"),
    ],
    "expires": [
        (bad, EXPIRES) for bad in (0, -1, MAX_EXPIRES + 1, 60_000_000_000, 60.0, "60", True, float("nan"), float("inf"))
    ]
    + [(bad, EXPIRES) for bad in (timedelta(0), timedelta(seconds=-1), timedelta(seconds=1.5), timedelta.max)],
    "code": [(bad, CODE) for bad in (True, 0, 200, 300, 304, 305, 306, 309, 404, 303.0, "303", HTTPStatus.OK)],
    "headers": [
        *((bad, FIELDS) for bad in ("X-A: 1", b"X-A: 1", 5, ["X-A"], [("X-A",)], [("X-A", "1", "2")], ["ab"])),
        *((bad, FIELDS) for bad in ({"X-A": 1}, {1: "X-A"}, {b"X-A": b"1"}, {"X-A": None}, bytearray(b"ab"))),
        *(({bad: "1"}, FIELD_NAME) for bad in ("", "X A", "X:A", "X-A\n", "é", "Status", "X-", "9")),
        *(({"X-A": bad}, FIELD_VALUE) for bad in ("a\r\nSet-Cookie: x=1", "a\0", " a", "a ", "\t", "€", "\x85")),
        ({"X-A": "\ud800"}, "header fields must be encodable as UTF-8"),
        *(({bad: "1"}, f"{bad} {FIELD_OF_OTHERS}") for bad in ("Location", "location", "Content-Length")),
        *(({bad: "1"}, f"{bad} {FIELD_OF_OTHERS}") for bad in HOP_BY_HOP),
        *(({bad: "1"}, f"{bad} {FIELD_OF_OTHERS}") for bad in ("trailer", "TRANSFER-ENCODING", "Upgrade")),
        *(
            (
                [("Cache-Control", "no-store"), (name, bad)],
                f"{name}: {bad} would let a cache hand one viewer's signed URL to another; it must contain no-store",
            )
            for name in ("cache-control", "Cache-Control", "CDN-Cache-Control", "surrogate-control", "X-Cache-Control")
            for bad in CACHEABLE
        ),
    ],
    "forward_query": [
        *((bad, NAMES) for bad in ("v", b"v", 5, [5], [None], [b"v"], ["v", ("w",)])),
        ([""], "a query parameter needs a name"),
        *(([bad], f"{bad} {OWN}") for bad in (*RESERVED, "policy", "KEY-PAIR-ID")),
        *(
            (["v", bad], f"{bad} overrides S3's response headers, which no viewer may choose")
            for bad in ("response-content-type", "response-content-disposition", "Response-Expires", "RESPONSE-")
        ),
    ],
    "index": [
        (bad, INDEX) for bad in ("", "/", "a/b", "/index.html", ".", "..", "a\\b", "a\n", "a\x7f", "\ud800", 5, b"a")
    ],
    "reuse_for": [
        (bad, EXPIRES)
        for bad in (-1, MAX_EXPIRES + 1, 60.0, 0.0, "60", "0", False, True, timedelta(0), timedelta(seconds=0.5))
    ],
    "answer": [
        (bad, ANSWER) for bad in ("", "Redirect", "cookie", "cookies ", 0, True, b"json", ["json"], {"json": 1}, ANY)
    ],
    "cookie_domain": [
        *((bad, COOKIE_DOMAIN) for bad in ("", ".", "localhost", "com", ".com", "example.com.", "..example.com")),
        *((bad, COOKIE_DOMAIN) for bad in ("203.0.113.7", "1.2", "::1", "[2001:db8::1]", "example.0", "-a.example")),
        *((bad, COOKIE_DOMAIN) for bad in ("a-.example", "a..example", "*.example.com", "example.com:443", "a_b.c")),
        *(
            (bad, COOKIE_DOMAIN)
            for bad in ("https://example.com", "example.com/", "example.com; Path=/", "a b.example")
        ),
        *((bad, COOKIE_DOMAIN) for bad in ("bücher.example", "example.com\n", 5, b"example.com", ["example.com"])),
        *(
            (bad, "browsers keep no cookie for all of CloudFront; give the distribution a name of your own")
            for bad in ("cloudfront.net", ".cloudfront.net", "CloudFront.NET", "cloudfront.cn", ".cloudfront.cn")
        ),
    ],
    "cookie_path": [
        (bad, COOKIE_PATH)
        for bad in (
            *("", "films", "films/", "//", "/films//", "/a//b", "/../", "/a/./", "/a b/", "/é/", "/*", "/a;Domain=x"),
            *("/%2a", "/%61", "/%FF", "/a?b", "/a#b", "/a\\b", "/a\n", "https://cdn.example.com/", 5, True, b"/"),
        )
    ],
    "cookie_samesite": [
        (bad, SAMESITE) for bad in ("", "lax ", "no", "None;", 0, False, b"Lax", ["Lax"], {"Lax": 1}, ANY)
    ],
    "on_decision": [
        (bad, "expected a plain callable that takes the decision record")
        for bad in (5, "print", coroutine, generator, functools.partial(coroutine), Task())
    ],
}


def rows(table: dict[str, list[tuple[Any, Any]]]) -> list[Any]:
    """Return one test case for every value of a table."""
    return [
        pytest.param(name, *row, id=ascii(f"{name}-{number}"))
        for name, cases in table.items()
        for number, row in enumerate(cases)
    ]


@pytest.mark.parametrize(("name", "value", "compiled"), rows(GOOD))
def test_a_good_value_is_compiled(name: str, value: object, compiled: object) -> None:
    """Every accepted form of a value becomes the one form that is used, and of the plain type."""
    checked = check_options({name: value})
    assert checked == {name: compiled}
    assert type(checked[name]) is type(compiled)


@pytest.mark.parametrize(("name", "value", "expected"), rows(BAD))
def test_a_bad_value_is_named_shown_and_explained(name: str, value: object, expected: str) -> None:
    """The error names the option, shows the value and says what was expected."""
    with pytest.raises(ConfigError) as caught:
        check_options({name: value})
    assert str(caught.value) == f"{name}={shown(value)}: {expected}"


def test_both_tables_know_every_option_with_a_check() -> None:
    """No option goes untested."""
    checked = {option.name for option in OPTIONS if option.check}
    assert GOOD.keys() == BAD.keys() == checked


@pytest.mark.parametrize("name", ["prefix", "domain", "expires", "code", "reuse_for", "answer", "cookie_samesite"])
def test_none_means_that_an_option_is_missing(name: str) -> None:
    """An option that needs a value is reported as missing, not as the value None."""
    with pytest.raises(ConfigError, match=f"^{name} is missing: expected "):
        check_options({name: None})


def test_all_problems_are_told_at_once() -> None:
    """One error lists every wrong option in the order in which they are declared."""
    bad = {name: cases[0][0] for name, cases in BAD.items()}
    with pytest.raises(ConfigError) as caught:
        check_options(bad)
    assert [problem.partition("=")[0] for problem in caught.value.problems] == list(BAD)
    assert str(caught.value).startswith(f"{len(BAD)} problems:\n- prefix=''")


@pytest.mark.parametrize("name", GOOD)
def test_a_key_pasted_into_the_wrong_option_is_not_shown(pem: Callable[[str], str], name: str) -> None:
    """An error tells the kind and length of a value that looks like a key."""
    key = pem("p256-pkcs8")
    with pytest.raises(ConfigError) as caught:
        check_options({name: key})
    assert f"{name}=a str of {len(key)} characters: " in str(caught.value)
    assert not any(line in str(caught.value) for line in key.split("\n") if line)


def test_a_long_value_is_cut_short() -> None:
    """An error stays readable when a whole file is given for an option."""
    with pytest.raises(ConfigError, match=r"^prefix='x{116}\.\.\.: expected whole"):
        check_options({"prefix": "x" * 5000})


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"reuse_for": 61, "expires": 60}, "reuse_for=61: expected at most expires, which is 60"),
        (
            {"reuse_for": timedelta(minutes=2), "expires": timedelta(minutes=1)},
            "reuse_for=120: expected at most expires, which is 60",
        ),
        ({"reuse_for": 60, "expires": 60}, None),
        ({"reuse_for": 0, "expires": 1}, None),
        ({"reuse_for": 61}, None),
        ({"reuse_for": 61, "expires": 0}, f"expires=0: {EXPIRES}"),
        *(
            (
                {"cookie_domain": domain, "domain": "https://cdn.example.com:8443/base"},
                f"cookie_domain={domain!r}: browsers would not send the cookies to cdn.example.com; "
                "expected a domain that covers it",
            )
            for domain in ("example.org", "dn.example.com", "a.cdn.example.com", "ample.com", "www.example.com")
        ),
        (
            {"cookie_domain": "cdn.example.com", "domain": "http://[::1]:8001"},
            "cookie_domain='cdn.example.com': browsers would not send the cookies to ::1; "
            "expected a domain that covers it",
        ),
        ({"cookie_domain": "example.com", "domain": "https://cdn.example.com"}, None),
        ({"cookie_domain": ".EXAMPLE.com", "domain": "https://a.b.Example.com"}, None),
        ({"cookie_domain": "cdn.example.com", "domain": "cdn.example.com"}, None),
        ({"cookie_domain": None, "domain": "localhost"}, None),
        ({"cookie_domain": "example.org", "domain": ""}, f"domain='': {DOMAIN}"),
        ({"cookie_domain": "example", "domain": "https://cdn.example"}, f"cookie_domain='example': {COOKIE_DOMAIN}"),
    ],
)
def test_options_that_contradict_each_other_are_told(given: dict[str, Any], problem: str | None) -> None:
    """What is fine by itself may be wrong beside another option; what is wrong by itself is told once."""
    if problem is None:
        check_options(given)
        return
    with pytest.raises(ConfigError) as caught:
        check_options(given)
    assert caught.value.problems == (problem,)


def test_key_options_and_options_not_given_are_left_out() -> None:
    """Only what was given is compiled, and keys are read elsewhere."""
    keys = [option.name for option in OPTIONS if option.check is None]
    assert keys == ["key_pair_id", "private_key", "priv_key_string", "signer", "keys", "hash_algorithm"]
    assert check_options(dict.fromkeys(keys, "x")) == {}


def test_the_keywords_of_the_gate_are_the_declared_options() -> None:
    """Names, order and defaults of CloudFrontGate's keywords are those of the declared set."""
    keywords = {
        name: None if parameter.default is parameter.empty else parameter.default
        for name, parameter in inspect.signature(CloudFrontGate).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY
    }
    assert list(keywords.items()) == [(option.name, option.default) for option in OPTIONS]


def test_only_prefix_and_domain_are_required_keywords() -> None:
    """Every other option may be left out, as far as Python is concerned."""
    parameters = inspect.signature(CloudFrontGate).parameters.values()
    required = [item.name for item in parameters if item.kind is item.KEYWORD_ONLY and item.default is item.empty]
    assert required == ["prefix", "domain"]


@pytest.mark.parametrize("option", [option for option in OPTIONS if option.check], ids=lambda option: option.name)
def test_a_default_passes_its_own_check(option: Any) -> None:
    """What is used when nothing is given could have been given."""
    if option.name not in ("prefix", "domain"):
        check_options({option.name: option.default})


@given(st.lists(st.text("abzABZ059._~-", min_size=1).filter(lambda text: text not in (".", "..")), min_size=1))
def test_any_prefix_of_plain_segments_is_taken_as_it_is(segments: list[str]) -> None:
    """Segments of unreserved characters are a prefix; a trailing slash changes nothing."""
    prefix = "".join(f"/{segment}" for segment in segments)
    assert check_options({"prefix": prefix}) == check_options({"prefix": f"{prefix}/"}) == {"prefix": prefix}


@given(st.text())
def test_a_prefix_that_is_taken_is_spelled_as_it_is_decoded(text: str) -> None:
    """Whatever is taken for a prefix is clean and holds no character that is spelled differently."""
    try:
        prefix = check_options({"prefix": f"/{text}"})["prefix"]
    except ConfigError:
        return
    assert prefix == "" or is_object_path(prefix)
    assert prefix.isascii() and not set(prefix) & set("%*?#;\"'\\ ")


@pytest.mark.parametrize(("path", "answer"), [("/a", True), ("/a*?é", True), ("", False), ("/", False), ("a", False)])
def test_an_object_path_is_clean_and_names_something(path: str, answer: bool) -> None:
    """A path without a leading slash, or one that ends in a slash, names no object."""
    assert is_object_path(path) is answer


@pytest.mark.parametrize(
    ("code", "line"), [(404, "404 Not Found"), (418, "418 I'm a Teapot"), (499, "499 Refused"), (599, "599 Refused")]
)
def test_every_code_has_a_status_line(code: int, line: str) -> None:
    """A code the standard library does not know is sent as a refusal, which is all such codes are used for."""
    assert status_line(code) == line


@pytest.mark.parametrize(
    ("value", "deferred"),
    [
        (coroutine, True),
        (generator, True),
        (functools.partial(functools.partial(coroutine), 1), True),
        (Task(), True),
        (functools.partial(Task()), True),
        (print, False),
        (functools.partial(print), False),
        (lambda: coroutine, False),
    ],
)
def test_what_would_give_its_result_later_is_deferred(value: object, deferred: bool) -> None:
    """Coroutine and generator functions, tasks, and partials of them have no result when they are called."""
    assert is_deferred(value) is deferred


@pytest.mark.parametrize(
    ("cookie_path", "works"),
    [("/", True), ("/base", True), ("/base/films/", True), ("/films", False), ("/bas", False), ("/basement/", False)],
)
def test_a_cookie_path_must_meet_the_base_path(cookie_path: str, works: bool) -> None:
    """Cookies of a path beside the distribution's base path would go along with no request."""
    given = {"domain": "https://cdn.example.com/base", "cookie_path": cookie_path}
    if works:
        assert check_options(given)["cookie_path"] == cookie_path
        return
    with pytest.raises(ConfigError) as caught:
        check_options(given)
    assert str(caught.value) == (
        f"cookie_path={cookie_path!r}: nothing below the domain's base path /base/ would get the cookies"
    )


def test_a_cookie_path_may_be_as_long_as_browsers_keep() -> None:
    """A longer one would be ignored, and the cookie kept for another path."""
    assert check_options({"cookie_path": f"/{'a' * 1023}"})
    with pytest.raises(ConfigError, match="expected at most 1024 characters; browsers ignore a longer path"):
        check_options({"cookie_path": f"/{'a' * 1024}"})
