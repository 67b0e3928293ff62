"""Options: what each takes, what it is compiled to, and what a wrong one is told."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from datetime import timedelta
from http import HTTPStatus
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cfgate_middleware import CloudFrontGate
from cfgate_middleware.errors import ConfigError, shown
from cfgate_middleware.options import MAX_EXPIRES, OPTIONS, check_options, is_object_path, status_line
from cfgate_middleware.wire import RESERVED

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
    ],
    "forward_query": [
        (None, frozenset()),
        ([], frozenset()),
        (["v", "w", "v"], frozenset({"v", "w"})),
        ((name for name in ["a b&="]), frozenset({"a b&="})),
    ],
    "index": [(None, None), ("index.html", "index.html"), ("a*?#é", "a*?#é")],
    "on_decision": [(None, None), (print, print)],
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
                [("Cache-Control", "no-store"), ("cache-control", bad)],
                f"Cache-Control: {bad} would let a cache hand one viewer's signed URL to another; "
                "it must contain no-store",
            )
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
    "on_decision": [(bad, "expected a callable that takes the decision record") for bad in (5, "print")],
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


@pytest.mark.parametrize("name", ["prefix", "domain", "expires", "code"])
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


def test_key_options_and_options_not_given_are_left_out() -> None:
    """Only what was given is compiled, and keys are read elsewhere."""
    keys = [option.name for option in OPTIONS if option.check is None]
    assert keys == ["key_pair_id", "private_key", "priv_key_string", "signer", "hash_algorithm"]
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
