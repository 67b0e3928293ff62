"""Options: the table agrees with every signature, each takes what it should, and a wrong one is explained."""

from __future__ import annotations

import functools
import inspect
import json
import re
from collections.abc import Callable
from datetime import timedelta
from http import HTTPStatus
from types import MappingProxyType
from typing import Any
from unittest.mock import ANY
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cfgate_middleware import CloudFrontGate, CloudFrontRedirect, ConfigError, Distribution
from cfgate_middleware._options import OPTIONS
from tests.conftest import KEYS
from tests.support import Choice, Judge, fetch, gate
from tests.test_verdicts import Coroutine, Task, async_generator, coroutine, generator

WEEK = 604800
PEM = (KEYS / "p256-pkcs8.pem").read_text()
REQUIRED = inspect.Parameter.empty


def keywords(function: Callable[..., object]) -> dict[str, object]:
    """Return the parameters that are options, with their defaults."""
    names = {option.name for option in OPTIONS}
    return {name: each.default for name, each in inspect.signature(function).parameters.items() if name in names}


def test_the_keywords_of_the_shells_are_the_options() -> None:
    """Gate and distribution have their options in the table's order with the table's defaults and one line of help."""
    # What a distribution has is None in a gate, because the distribution has the default then.
    of_gate = {option.name: None if option.of_distribution else option.default for option in OPTIONS}
    of_distribution = {option.name: option.default for option in OPTIONS if option.of_distribution}
    assert list(keywords(CloudFrontGate).items()) == list((of_gate | {"prefix": REQUIRED}).items())
    assert list(keywords(Distribution).items()) == list((of_distribution | {"domain": REQUIRED}).items())
    defaults = {(option.name, option.default) for option in OPTIONS} | {("hash_algorithm", None)}
    assert keywords(CloudFrontRedirect).items() <= defaults
    assert all(option.meaning.strip() and "\n" not in option.meaning for option in OPTIONS)


def _headers(made: CloudFrontGate) -> list[tuple[str, str]]:
    usual = fetch(gate(Judge()), "/private/1").headers[1:]
    return [field for field in fetch(made, "/private/1").headers[1:] if field not in usual]


def _kept(made: CloudFrontGate) -> set[str]:
    query = urlsplit(fetch(made, "/private/1", query="v=1&w=2&a%20b%26%3D=3").location).query
    return {name for name, _ in parse_qsl(query)} - {"Expires", "Signature", "Key-Pair-Id", "Hash-Algorithm"}


def _answer(made: CloudFrontGate) -> str:
    answer = fetch(made, "/private/1", HTTP_ACCEPT="application/json")
    if answer.code == 200:
        return "json" if "url" in json.loads(answer.body) else "?"
    return "cookies" if answer.values("Set-Cookie") else "redirect"


def _cookie(made: CloudFrontGate, attribute: str) -> str | None:
    fields = dict(field.partition("=")[::2] for field in made.clear_cookies("/s/")[0][1].split("; "))
    return fields.get(attribute)


ORIGIN, ALLOWED = "https://app.example.com", "Access-Control-Allow-Origin"
SEEN: dict[str, Callable[[CloudFrontGate], object]] = {
    "prefix": lambda made: repr(made).split()[1],
    "domain": lambda made: made.distribution.base_url,
    "expires": lambda made: made.distribution.expires,
    "reuse_for": lambda made: made.distribution.reuse_for,
    "code": lambda made: fetch(made, "/private/1").status,
    "headers": _headers,
    "forward_query": _kept,
    "index": lambda made: "".join(urlsplit(url).path for url in fetch(made, "/private/d/").values("Location")) or None,
    "answer": _answer,
    "allow_origin": lambda made: "".join(fetch(made, "/private/1", HTTP_ORIGIN=ORIGIN).values(ALLOWED)),
    "cookie_domain": lambda made: _cookie(made, "Domain"),
    "cookie_path": lambda made: _cookie(made, "Path"),
    "cookie_samesite": lambda made: _cookie(made, "SameSite"),
    "on_decision": lambda made: fetch(made, "/private/1").code == 303,
}
LONGEST_PATH = f"/{'a' * 1023}"
# Of each option: a value, and what is seen of it. None is the default.
GOOD: dict[str, list[tuple[Any, Any]]] = {
    "prefix": [("/", "/"), ("/private", "/private"), ("/private/", "/private"), ("/a/b-c/D_9.~", "/a/b-c/D_9.~")]
    + [("/.well-known", "/.well-known"), ("/...", "/...")],
    "domain": [
        ("d111111abcdef8.cloudfront.net", "https://d111111abcdef8.cloudfront.net"),
        ("https://CDN.example.com:443/base/", "https://cdn.example.com/base"),
        ("http://localhost:8080", "http://localhost:8080"),
    ],
    "expires": [(None, 60), (1, 1), (WEEK, WEEK), (timedelta(seconds=1), 1), (timedelta(days=7), WEEK)],
    "reuse_for": [(None, 0), (0, 0), (1, 1), (WEEK, WEEK), (timedelta(minutes=5), 300)],
    "code": [(None, "303 See Other"), (301, "301 Moved Permanently"), (HTTPStatus.FOUND, "302 Found")]
    + [(303, "303 See Other"), (307, "307 Temporary Redirect"), (308, "308 Permanent Redirect")],
    "headers": [
        *((None, []), ({}, []), ((), [])),
        *((given, [("X-A", "1")]) for given in ({"X-A": "1"}, {"X-A": "1"}.items(), [["X-A", "1"]])),
        *((MappingProxyType({"X-A": ""}), [("X-A", "")]), ([["X-A", "é"]], [("X-A", "é")])),
        *(
            (list(fields), list(fields))
            for fields in (
                (("Set-Cookie", "a=1"), ("set-cookie", "b=2")),
                *((("Cache-Control", "no-store"),), (("cache-control", "private,No-Store, max-age=0"),)),
                (("Cache-Controls", "public"),),
            )
        ),
    ],
    "forward_query": [(None, set()), ([], set()), (["v", "w", "v"], {"v", "w"}), ({"a b&=": 1}.keys(), {"a b&="})],
    "index": [(None, None), ("index.html", "/d/index.html"), ("a*?#é", "/d/a%2A%3F%23%C3%A9")],
    "answer": [(None, "redirect"), ("redirect", "redirect"), ("cookies", "cookies"), ("json", "json")]
    + [(Choice.COOKIES, "cookies")],
    "allow_origin": [(None, ""), *((given, ORIGIN) for given in (ORIGIN, [ORIGIN], {"http://localhost:3000", ORIGIN}))],
    "cookie_domain": [
        *((None, None), (".Example.COM", "example.com")),
        *((name, name) for name in ("example.com", "a-b.c.example.co.uk", "xn--bcher-kva.example", "1.2.3.4a")),
        *((name, name) for name in ("d111111abcdef8.cloudfront.net", "cloudfront.network", "mycloudfront.net")),
    ],
    "cookie_path": [(None, "/s/")]
    + [(path, path) for path in ("/", "/films", "/films/", "/b%C3%A9/%2A/", LONGEST_PATH)],
    "cookie_samesite": [(None, "Lax"), *((text, "Lax") for text in ("Lax", "lax", "LAX"))]
    + [*((text, "Strict") for text in ("Strict", Choice.STRICT)), *((text, "None") for text in ("None", "none"))],
    "on_decision": [(good, True) for good in (None, print, functools.partial(print, "x"), list[object]().append)],
}

DURATION = "whole seconds from 1 to 604800"
HOP_BY_HOP = ("Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Connection", "TE")
OWN = ("Location", "location", "Content-Length", *HOP_BY_HOP, "trailer", "TRANSFER-ENCODING", "Upgrade")
CACHE_FIELDS = ("cache-control", "Cache-Control", "CDN-Cache-Control", "surrogate-control", "X-Cache-Control")
CACHEABLE = ("public", "no-cache", "max-age=60", "private", "x-no-store", "no-store-not", "")
RESERVED = ("Expires", "Policy", "Signature", "Key-Pair-Id", "Hash-Algorithm", "policy", "KEY-PAIR-ID")
# Of each option: the telling part of an error, and the values that get it.
BAD: dict[str, list[tuple[str, list[Any]]]] = {
    "prefix": [
        ("whole path segments", ["", "private", "//", "//private", "/private//", "/a//b", "/.", "/..", "/a/.."]),
        ("whole path segments", ["/a/./b", "/a/../", "/private/ ; comment", "/private/*", "/a%20b", "/a?b", "/a#b"]),
        ("whole path segments", ["/é", "/a\\b", "/private\n", "/a\0", "/a b", "https://a.b/private", b"/private"]),
        ("whole path segments", [5, True, ["/private"]]),
    ],
    "domain": [
        ("the distribution's address", ["", 5, b"cdn.example.com"]),
        *(("user information", ["https://user@example.com"]), ("wildcard", ["https://*.example.com"])),
        ("expected https", ["ftp://example.com"]),
    ],
    "expires": [
        (DURATION, [0, -1, WEEK + 1, 60_000_000_000, 60.0, "60", True, float("nan"), float("inf")]),
        (DURATION, [timedelta(0), timedelta(seconds=-1), timedelta(seconds=1.5), timedelta.max]),
    ],
    "reuse_for": [(DURATION, [-1, WEEK + 1, 60.0, 0.0, "60", "0", False, True, timedelta(0), timedelta(seconds=0.5)])],
    "code": [("redirect code", [True, 0, 200, 300, 304, 305, 306, 309, 404, 303.0, "303", HTTPStatus.OK])],
    "headers": [
        ("pairs of str", ["X-A: 1", b"X-A: 1", 5, ["X-A"], [("X-A",)], [("X-A", "1", "2")], ["ab"], bytearray(b"ab")]),
        ("pairs of str", [{"X-A": 1}, {1: "X-A"}, {b"X-A": "x"}, {None: "x"}, {"X-A": b"1"}, {"X-A": None}]),
        ("name must be", [{bad: "1"} for bad in ("", "X A", "X:A", "X-A:", "X-A\n", "é", "X-\xc4", "X-", "X_")]),
        ("name must be", [{bad: "1"} for bad in ("9", "1X", "X.A", "X-A_", "status", "Status")]),
        ("value of header X-A", [{"X-A": bad} for bad in ("a\r\nX: x", "a\n b", "a\n", "\0", "a\0", " a", "a ")]),
        ("value of header X-A", [{"X-A": bad} for bad in ("a\tb", "\t", "\x7f", "\x85", "€")]),
        ("UTF-8", [{"X-A": "\ud800"}]),
        *((f"{bad} is set by the gate or the server", [{bad: "1"}]) for bad in OWN),
        *((f"{field} would let", [[(field, bad)]]) for field in CACHE_FIELDS for bad in CACHEABLE),
        ("must be no-store", [[("Cache-Control", "no-store"), ("cache-control", "public")]]),
    ],
    "forward_query": [
        *(("list of parameter names", ["v", b"v", 5, [5], [None], [b"v"], ["v", ("w",)]]), ("needs a name", [[""]])),
        *((f"{bad} is reserved", [["v", bad]]) for bad in RESERVED),
        *((f"{bad} overrides", [["v", bad]]) for bad in ("response-content-type", "Response-Expires", "RESPONSE-")),
    ],
    "index": [("one file name", ["", "/", "a/b", "/index.html", ".", "..", "a\\b", "a\n", "a\x7f", "\ud800", 5, b"a"])],
    "answer": [
        ("redirect, cookies", ["", "Redirect", "cookie", "cookies ", 0, True, b"json", ["json"], {"json": 1}, ANY])
    ],
    "allow_origin": [
        ("origins such as", ["", "*", "null", "app.example.com", 5, [], [5], [ORIGIN, None]]),
        ("an origin is", [f"{ORIGIN}/", f"{ORIGIN}/x", f"{ORIGIN}:443", "https://App.example.com"]),
    ],
    "app_redirect_header": [("name of a header field", ["", "X Accel", "X:", "é", 5, b"X-A", ["X-A"]])],
    "cookie_domain": [
        ("two labels", ["", ".", "localhost", "com", ".com", "example.com.", "..example.com", "203.0.113.7", "1.2"]),
        ("two labels", ["::1", "[2001:db8::1]", "example.0", "-a.example", "a-.example", "a..example", "*.example"]),
        ("two labels", ["example.com:443", "a_b.c", "https://example.com", "example.com/", "example.com; Path=/"]),
        ("two labels", ["a b.example", "bücher.example", "example.com\n", 5, b"example.com", ["example.com"]]),
        ("cookie for all of CloudFront", ["cloudfront.net", ".cloudfront.net", "CloudFront.NET", ".cloudfront.cn"]),
    ],
    "cookie_path": [
        ("leading slash", ["", "films", "films/", "//", "/films//", "/a//b", "/../", "/a/./", "/a b/", "/é/", "/*"]),
        ("leading slash", ["/a;Domain=x", "/%2a", "/%61", "/%FF", "/a?b", "/a#b", "/a\\b", "/a\n", 5, True, b"/"]),
        *(("leading slash", ["https://cdn.example.com/"]), ("at most 1024", [f"{LONGEST_PATH}a"])),
    ],
    "cookie_samesite": [("Strict", ["", "lax ", "no", "None;", 0, False, b"Lax", ["Lax"], {"Lax": 1}, ANY])],
    "on_decision": [
        ("plain callable", [5, "print", coroutine, generator, async_generator, Task(), Coroutine()]),
        ("plain callable", [functools.partial(functools.partial(coroutine), 1), functools.partial(Task())]),
    ],
}


def rows(table: dict[str, list[tuple[Any, Any]]]) -> list[Any]:
    """Return one test case for every row of a table."""
    cases = [(name, *row) for name, of_option in table.items() for row in of_option]
    return [pytest.param(*case, id=ascii(f"{case[0]}-{number}")) for number, case in enumerate(cases)]


def gate_of(**options: Any) -> CloudFrontGate:
    """Return a gate with a domain that a cookie domain covers, and an ``expires`` that covers ``reuse_for``."""
    domain = options.get("cookie_domain")
    covered = {"domain": f"https://{domain.strip('.')}"} if isinstance(domain, str) and domain.strip(".") else {}
    lasting = {"expires": WEEK} if "reuse_for" in options else {}
    return gate(Judge(), **(covered | lasting | options))


def problems(**options: Any) -> tuple[str, ...]:
    """Return what is wrong with a gate of these options."""
    with pytest.raises(ConfigError) as caught:
        gate(Judge(), **options)
    return caught.value.problems


@pytest.mark.parametrize(("name", "value", "seen"), rows(GOOD))
def test_a_good_value_does_its_work(name: str, value: object, seen: object) -> None:
    """Every accepted form of a value, and None for the default, has its effect on the gate."""
    assert SEEN[name](gate_of(**{name: value})) == seen


@pytest.mark.parametrize(
    ("name", "value", "telling"),
    rows({name: [(bad, telling) for telling, values in cases for bad in values] for name, cases in BAD.items()}),
)
def test_a_bad_value_is_named_shown_and_explained(name: str, value: object, telling: str) -> None:
    """The one problem names the option, shows the value unless it may be secret, and says what was expected."""
    (problem,) = problems(**{name: value})
    assert problem.startswith("headers is " if name == "headers" else f"{name}={repr(value)[:100]}")
    assert telling in problem.removeprefix(f"{name}={value!r}")


def test_both_tables_know_every_option_but_those_of_keys() -> None:
    """No converter goes untested."""
    assert SEEN.keys() == GOOD.keys() == BAD.keys() - {"app_redirect_header"}  # which needs an application
    assert BAD.keys() == {option.name for option in OPTIONS if option.convert}


def test_all_problems_are_reported_together() -> None:
    """One error lists every wrong option in the order of the table, and the keys; None is missing without a default."""
    wrong = {name: cases[0][1][0] for name, cases in BAD.items()} | {"prefix": None, "domain": None}
    found = problems(**wrong, key_pair_id="K1")
    expected = [option.name for option in OPTIONS if option.name in BAD]
    assert [re.split("=| is ", problem)[0] for problem in found[:-1]] == expected
    assert all(f"{name} is missing: expected " in " ".join(found) for name in ("prefix", "domain"))
    assert found[-1].startswith("signer and key_pair_id are both given")


@pytest.mark.parametrize("name", ["distribution", "signer", *BAD])
def test_a_key_pasted_into_the_wrong_option_is_not_shown(name: str) -> None:
    """An error names the kind and length of a value that looks like a key."""
    problem = "\n".join(problems(**{name: PEM}))
    assert name in problem and f"a str of {len(PEM)} characters" in problem
    assert not any(line in problem for line in PEM.split("\n") if line)


AT_BASE, COVERED = "https://cdn.example.com/base", "https://cdn.example.com:8443/base"


@pytest.mark.parametrize(
    ("options", "telling"),
    [
        ({"reuse_for": 61, "expires": 60}, ["reuse_for=61", "expires, which is 60"]),
        ({"reuse_for": 61}, ["reuse_for=61", "expires, which is 60"]),
        ({"reuse_for": timedelta(minutes=2), "expires": timedelta(minutes=1)}, ["reuse_for=120", "which is 60"]),
        ({"reuse_for": 60, "expires": 60}, []),
        ({"reuse_for": 61, "expires": 0}, ["expires=0"]),  # what is wrong alone is reported once
        *(
            ({"cookie_domain": name, "domain": COVERED}, [f"cookie_domain={name!r}", "to cdn.example.com; expected"])
            for name in ("example.org", "dn.example.com", "a.cdn.example.com", "ample.com", "www.example.com")
        ),
        ({"cookie_domain": "cdn.example.com", "domain": "http://[::1]:8001"}, ["cookie_domain", "to ::1"]),
        ({"cookie_domain": "example.com", "domain": COVERED}, []),
        ({"cookie_domain": ".EXAMPLE.com", "domain": "https://a.b.Example.com"}, []),
        ({"cookie_domain": "example.org", "domain": ""}, ["domain=''"]),
        ({"cookie_domain": "example", "domain": "https://cdn.example"}, ["cookie_domain='example'", "two labels"]),
        *(({"cookie_path": path, "domain": AT_BASE}, []) for path in ("/", "/base", "/base/films/")),
        *(
            ({"cookie_path": path, "domain": AT_BASE}, [f"cookie_path={path!r}", "base path /base/"])
            for path in ("/films", "/bas", "/basement/")
        ),
    ],
)
def test_options_that_contradict_each_other_are_refused(options: dict[str, Any], telling: list[str]) -> None:
    """A value may be fine alone and wrong beside another option, which the error names."""
    if not telling:
        assert gate(Judge(), **options)
        return
    (problem,) = problems(**options)
    assert all(part in problem for part in telling), problem


@given(st.lists(st.text("abzABZ059._~-", min_size=1).filter(lambda text: text not in (".", "..")), min_size=1))
def test_any_prefix_of_plain_segments_is_taken_as_it_is(segments: list[str]) -> None:
    """Segments of unreserved characters are a prefix; a trailing slash changes nothing."""
    prefix = "".join(f"/{segment}" for segment in segments)
    assert SEEN["prefix"](gate(Judge(), prefix=prefix)) == SEEN["prefix"](gate(Judge(), prefix=f"{prefix}/")) == prefix


@given(st.text() | st.text("/.a*?%", max_size=9))
def test_a_prefix_that_is_taken_is_spelled_as_it_is_decoded(text: str) -> None:
    """Whatever is taken for a prefix is clean and holds no character that is spelled differently."""
    try:
        prefix = str(SEEN["prefix"](gate(Judge(), prefix=f"/{text}")))
    except ConfigError:
        return
    assert prefix.isascii() and not set(prefix) & set("%*?#;\"'\\ ")
    assert prefix == "/" or not {"", ".", ".."} & set(prefix[1:].split("/"))
