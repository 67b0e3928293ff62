"""Verdicts: what an authorizer may be, what it may say, and that only an explicit yes opens the gate."""

from __future__ import annotations

import copy
import dataclasses
import functools
import gc
import inspect
import math
import pickle
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from decimal import Decimal
from enum import Enum, IntEnum
from http import HTTPStatus
from typing import Any
from unittest.mock import ANY

import pytest
import webob
import webob.exc
from hypothesis import given
from hypothesis import strategies as st

from cfgate_middleware.errors import AuthorizerError, ConfigError, kind_of
from cfgate_middleware.options import MAX_EXPIRES
from cfgate_middleware._core.policy import MAX_EPOCH
from cfgate_middleware._core.verdicts import PASS, PLAIN, Grant, check_authorizer, judge
from tests.conftest import NOW

MODULE = __name__
HERE = f"{MODULE}.NAME"


class NoZone(tzinfo):
    """A time zone that knows nothing, which the standard library allows."""

    def utcoffset(self, moment: datetime | None) -> None:
        """Return no offset."""

    def dst(self, moment: datetime | None) -> None:
        """Return no offset."""

    def tzname(self, moment: datetime | None) -> None:
        """Return no name."""


class Choice(str, Enum):  # noqa: UP042  # this kind of enum, older than StrEnum, has another str()
    """Scopes and answers as a user may name them."""

    DIRECTORY = "directory"
    COOKIES = "cookies"


# Grant

DISPOSITION = "response-content-disposition"
FIELDS: dict[str, list[tuple[Any, Any]]] = {
    "expires": [(None, None), (1, 1), (MAX_EXPIRES, MAX_EXPIRES), (timedelta(hours=1), 3600)],
    "not_before": [
        (None, None),
        (0, 0),
        (MAX_EPOCH, MAX_EPOCH),
        (NOW + 0.25, NOW + 1),
        (datetime.fromtimestamp(NOW, UTC), NOW),
        (datetime.fromtimestamp(NOW, timezone(timedelta(hours=5, minutes=30))), NOW),
        (datetime.fromtimestamp(NOW, UTC) + timedelta(microseconds=1), NOW + 1),
        (datetime.fromtimestamp(0, UTC), 0),
    ],
    "path": [(None, None), ("/a", "/a"), ("/reports/é *?#%2e.pdf", "/reports/é *?#%2e.pdf"), ("/.hidden", "/.hidden")],
    "scope": [
        *((scope, scope) for scope in ("object", "directory", "/", "/a/", '/a/b*?"/')),
        (Choice.DIRECTORY, "directory"),
    ],
    "ip_address": [
        (None, None),
        ("203.0.113.7", "203.0.113.7/32"),
        ("203.0.113.7/24", "203.0.113.0/24"),
        ("0.0.0.0/0", "0.0.0.0/0"),
    ],
    "query": [
        (None, ()),
        ({}, ()),
        ({"a": ""}, (("a", ""),)),
        ([("a", "1"), ["a", "é&="]], (("a", "1"), ("a", "é&="))),
    ],
    "headers": [(None, ()), ({"Set-Cookie": "a=1"}, (("Set-Cookie", "a=1"),))],
    "filename": [
        (name, name) for name in (None, "a.pdf", "né € \U0001f600.pdf", 'a"b\\c/d%.pdf', " ", "\u202e", "a;b")
    ],
    "answer": [
        *((answer, answer) for answer in (None, "redirect", "cookies", "json")),
        (Choice.COOKIES, "cookies"),
    ],
}
EXPIRES = "expected whole seconds from 1 to 604800 (a duration, not a moment in time)"
START = "expected an aware datetime or epoch seconds from 0 to 9223372036"
NAIVE = "a naive datetime could mean any zone; expected an aware one or epoch seconds"
PATH = (
    "expected the decoded path of one object, such as '/reports/1.pdf': a leading slash, no dot or empty segments, "
    "no backslash or control characters, no trailing slash"
)
SCOPE = "expected 'object', 'directory', or a clean decoded path that starts and ends with '/'"
ADDRESS = (
    "expected an IPv4 address or CIDR as str, such as '203.0.113.7' or '203.0.113.0/24'; "
    "CloudFront policies have no IPv6"
)
PAIRS = "expected query parameters as a mapping or as pairs of str"
FILENAME = "expected a file name as str, in any script, without control characters"
ANSWER = "expected one of redirect, cookies, json"
RESERVED = "is reserved: CloudFront reads Expires, Policy, Signature, Key-Pair-Id, Hash-Algorithm as its own"
UNCLEAN = ("a", "", "//", "//a/", "/../", "/a/../b/", "/a/./", "/a//", "/a\\b/", "/a\n/", "/\ud800/", "https://h/")
WRONG: dict[str, list[tuple[Any, str]]] = {
    "expires": [(bad, EXPIRES) for bad in (0, -1, MAX_EXPIRES + 1, 1.0, True, "60", timedelta(0), NOW)],
    "not_before": [
        *((bad, START) for bad in (-1, -0.5, MAX_EPOCH + 1, NOW * 1000, math.nan, math.inf, -math.inf, True, "0")),
        *((bad, START) for bad in (Decimal(NOW), timedelta(1), 10**5000, datetime(1969, 12, 31, tzinfo=UTC))),
        *((bad, NAIVE) for bad in (datetime(2030, 1, 1), datetime(2030, 1, 1, tzinfo=NoZone()))),
    ],
    "path": [(bad, PATH) for bad in ("/", "/a/", "/a/..", "/a\\b", "/a\0", "/\ud800", *UNCLEAN, 5, b"/a", True)],
    "scope": [(bad, SCOPE) for bad in ("objects", "Directory", "*", "/*", "/a", "/a/*", *UNCLEAN, 5, b"/", ["/"], ANY)],
    "ip_address": [
        *((bad, ADDRESS) for bad in ("::1", "2001:db8::/32", "::ffff:203.0.113.7", "localhost", "1.2.3.4, 1.2.3.5")),
        *((bad, ADDRESS) for bad in ("", "203.0.113.7:80", "203.0.113", "0.0.0.0/0.0.0.0", "1.2.3.4/33", 16909060)),
    ],
    "query": [
        *((bad, PAIRS) for bad in ("a=1", 5, ["ab"], [("a",)], {"a": 1}, {1: "a"}, {"a": None})),
        ({"": "1"}, "a query parameter needs a name"),
        ({"a": "\ud800"}, "query parameters must be encodable as UTF-8"),
        *(({bad: "1"}, f"{bad} {RESERVED}") for bad in ("Policy", "policy", "EXPIRES", "Key-Pair-Id")),
    ],
    "headers": [
        ({"Location": "https://evil.example"}, "Location is set by the gate or the server; leave it out"),
        ({"X-A": "a\r\nb"}, "the value of header X-A must be one line of latin-1 text without surrounding space"),
        ("X-A: 1", "expected header fields as a mapping or as pairs of str"),
        (
            {"CDN-Cache-Control": "max-age=60"},
            "CDN-Cache-Control: max-age=60 would let a cache hand one viewer's signed URL to another; "
            "it must contain no-store",
        ),
    ],
    "filename": [
        *((bad, FILENAME) for bad in ("", "a\r\nSet-Cookie: x", "a\n", "\0", "a\tb", "\x1f", "\x7f", "\x80", "\x9f")),
        *((bad, FILENAME) for bad in ("a\u2028b", "a\u2029b", "\ud800", "a\udcffb", b"a.pdf", 5, True, ["a.pdf"], ANY)),
    ],
    "answer": [
        (bad, ANSWER) for bad in ("", "Redirect", "JSON", "cookies ", 0, True, b"json", ["json"], {"json": 1}, ANY)
    ],
}


def rows(table: dict[str, list[tuple[Any, Any]]]) -> list[Any]:
    """Return one test case for every value of a table."""
    return [
        pytest.param(name, *row, id=f"{name}-{number}")
        for name, cases in table.items()
        for number, row in enumerate(cases)
    ]


@pytest.mark.parametrize(("name", "value", "kept"), rows(FIELDS))
def test_a_field_of_a_grant_is_kept_in_one_form(name: str, value: Any, kept: object) -> None:
    """Whatever form a condition is given in, the grant holds the one that is signed."""
    assert getattr(Grant(**{name: value}), name) == kept


@pytest.mark.parametrize(("name", "value", "expected"), rows(WRONG))
def test_a_wrong_field_of_a_grant_is_named_and_explained(name: str, value: Any, expected: str) -> None:
    """A grant that can be right for no request cannot be built."""
    with pytest.raises(ConfigError) as caught:
        Grant(**{name: value})
    (problem,) = caught.value.problems
    assert problem.startswith(f"Grant: {name}=")
    assert problem.endswith(f": {expected}")


def test_all_wrong_fields_of_a_grant_are_told_at_once() -> None:
    """One error lists every wrong field."""
    wrong: dict[str, Any] = {name: cases[0][0] for name, cases in WRONG.items()}
    with pytest.raises(ConfigError) as caught:
        Grant(**wrong)
    assert [problem.partition("=")[0] for problem in caught.value.problems] == [f"Grant: {name}" for name in WRONG]


def test_the_tables_know_every_field_of_a_grant() -> None:
    """No field goes untested, and there is none that the constructor does not take."""
    names = list(inspect.signature(Grant).parameters)
    assert list(FIELDS) == list(WRONG) == names
    assert [field.name for field in dataclasses.fields(Grant) if field.init] == names


def test_a_scope_of_none_is_no_scope() -> None:
    """A scope that some code computed to None is an error, never the widest or the default one."""
    with pytest.raises(ConfigError, match="^Grant: scope="):
        Grant(scope=None)  # type: ignore[arg-type]  # the mistake under test


def test_a_key_in_a_grant_is_not_shown(pem: Callable[[str], str]) -> None:
    """A PEM in the place of a path is told by kind and length."""
    with pytest.raises(ConfigError) as caught:
        Grant(path=pem("p256-pkcs8"), ip_address=pem("p256-pkcs8"))
    assert "PRIVATE KEY" not in str(caught.value)
    assert "Grant: path=a str of 241 characters: " in str(caught.value)


def test_a_grant_is_keyword_only() -> None:
    """Nobody has to remember the order of the fields."""
    with pytest.raises(TypeError, match="positional"):
        Grant(60)  # type: ignore[call-arg]  # the mistake under test


@pytest.mark.parametrize("name", ["expires", "scope", "is_canned", "parameters"])
def test_a_grant_cannot_be_changed(name: str) -> None:
    """What was checked stays as it was checked, and a shared grant stays the same for everybody."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(Grant(), name, "/")
    with pytest.raises(dataclasses.FrozenInstanceError):
        delattr(Grant(), name)


def test_a_grant_does_not_follow_changes_of_what_it_was_made_from() -> None:
    """Mappings and lists are copied."""
    query, headers = {"a": "1"}, [("X-A", "1")]
    grant = Grant(query=query, headers=headers)
    query["Policy"] = "x"
    headers.append(("Location", "https://evil.example"))
    assert (grant.query, grant.headers) == ((("a", "1"),), (("X-A", "1"),))


def test_the_repr_of_a_grant_is_the_call_that_makes_it() -> None:
    """Conditions are no secret, and nothing else is shown."""
    grant = Grant(
        expires=5,
        not_before=NOW,
        path="/a",
        scope="/",
        ip_address="203.0.113.7",
        query={"a": "1"},
        filename="é.pdf",
        answer="json",
    )
    assert repr(grant) == (
        f"Grant(expires=5, not_before={NOW}, path='/a', scope='/', ip_address='203.0.113.7/32', "
        "query=(('a', '1'),), headers=(), filename='é.pdf', answer='json')"
    )
    assert eval(repr(grant)) == grant  # noqa: S307  # our own text


def test_grants_are_values() -> None:
    """Equal grants are equal and hash alike, and copies are equal."""
    grant = Grant(expires=5, query={"a": "1"}, filename="a.pdf")
    twins = [
        Grant(expires=5, query=[("a", "1")], filename="a.pdf"),
        copy.deepcopy(grant),
        pickle.loads(pickle.dumps(grant)),  # noqa: S301  # our own bytes
    ]
    for twin in twins:
        assert (twin, hash(twin), twin.is_canned) == (grant, hash(grant), True)
        assert twin.parameters == grant.parameters == (("a", "1"), (DISPOSITION, 'attachment; filename="a.pdf"'))
    assert grant != Grant(expires=6, query={"a": "1"}, filename="a.pdf")
    assert grant != Grant(expires=5, query={"a": "1"}, filename="b.pdf")
    assert grant != Grant(expires=5, query={"a": "1"}, filename="a.pdf", answer="json")


def test_replacing_a_field_checks_and_sorts_the_grant_anew() -> None:
    """A copy with another field is made by the constructor, so it cannot be wrong."""
    grant = dataclasses.replace(Grant(expires=5), scope="directory")
    assert (grant, grant.is_canned) == (Grant(expires=5, scope="directory"), False)
    with pytest.raises(ConfigError, match="^Grant: expires=0: "):
        dataclasses.replace(grant, expires=0)


@pytest.mark.parametrize(
    ("fields", "canned"),
    [
        ({}, True),
        ({"expires": 5, "path": "/a", "query": {"a": "1"}, "headers": {"X-A": "1"}}, True),
        ({"filename": "a.pdf", "answer": "cookies"}, True),
        ({"scope": "directory"}, False),
        ({"scope": "/"}, False),
        ({"not_before": 0}, False),
        ({"ip_address": "0.0.0.0/0"}, False),
    ],
)
def test_only_an_end_time_makes_a_canned_policy(fields: dict[str, Any], canned: bool) -> None:
    """A grant with any condition but its end needs a custom policy."""
    assert Grant(**fields).is_canned is canned


# What a grant's fields say together


@pytest.mark.parametrize(
    ("fields", "parameters"),
    [
        ({}, ()),
        ({"query": {"a": "1"}}, (("a", "1"),)),
        ({"filename": "a.pdf"}, ((DISPOSITION, 'attachment; filename="a.pdf"'),)),
        (
            {"query": {"response-content-type": "text/plain"}, "filename": "é"},
            (
                ("response-content-type", "text/plain"),
                (DISPOSITION, "attachment; filename=\"_\"; filename*=UTF-8''%C3%A9"),
            ),
        ),
        ({"query": {DISPOSITION: "inline"}}, ((DISPOSITION, "inline"),)),
    ],
)
def test_a_filename_is_one_more_parameter(fields: dict[str, Any], parameters: object) -> None:
    """S3 is told the name in the query; the grant's own query stays what was given."""
    grant = Grant(**fields)
    assert grant.parameters == parameters
    assert grant.query == tuple(fields.get("query", {}).items())


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        (
            {"filename": "a.pdf", "query": {DISPOSITION: "inline"}},
            f"filename='a.pdf' and query both give {DISPOSITION}; leave one out",
        ),
        (
            {"path": "/a.pdf", "scope": "directory"},
            "scope='directory' of path='/a.pdf' is the root of the distribution; write scope='/' to grant all of it",
        ),
        ({"path": "/b/1.pdf", "scope": "/a/"}, "path='/b/1.pdf' lies outside scope='/a/'"),
        ({"path": "/ab/1.pdf", "scope": "/a/"}, "path='/ab/1.pdf' lies outside scope='/a/'"),
        ({"path": "/a", "scope": "/a/"}, "path='/a' lies outside scope='/a/'"),
        (
            {"path": "/" + "é" * 1366},
            "path and query are 8197 bytes long when spelled; a whole URL may be 8192",
        ),
        (
            {"query": {"a": "*" * 2731}},
            "path and query are 8195 bytes long when spelled; a whole URL may be 8192",
        ),
        (
            {"path": "/" + "a" * 4099, "query": {"a": "b" * 4091}},
            "path and query are 8193 bytes long when spelled; a whole URL may be 8192",
        ),
        (
            {"filename": "a" * 8192},
            "path and query are 8254 bytes long when spelled; a whole URL may be 8192",
        ),
    ],
)
def test_fields_that_contradict_each_other_are_refused(fields: dict[str, Any], problem: str) -> None:
    """What can be right for no request is found where the grant is built, not when it is signed."""
    with pytest.raises(ConfigError) as caught:
        Grant(**fields)
    assert caught.value.problems == (f"Grant: {problem}",)


@pytest.mark.parametrize(
    "fields",
    [
        {"path": "/a.pdf", "scope": "/"},
        {"path": "/a.pdf", "scope": "object"},
        {"path": "/a/b.pdf", "scope": "directory"},
        {"path": "/a/b/c.pdf", "scope": "/a/"},
        {"scope": "directory"},
        {"scope": "/a/"},
        {"path": "/" + "a" * 4099, "query": {"a": "b" * 4090}},
    ],
)
def test_fields_that_go_together_are_kept(fields: dict[str, Any]) -> None:
    """A path in its scope is no contradiction, and what only the request can tell is left to it."""
    grant = Grant(**fields)
    assert (grant.path, grant.scope) == (fields.get("path"), fields.get("scope", "object"))


def test_contradictions_are_told_together_and_after_wrong_fields() -> None:
    """Each is told once; fields that are wrong by themselves are not compared."""
    with pytest.raises(ConfigError) as caught:
        Grant(path="/" + "a" * 9000, scope="/b/", filename="a", query={DISPOSITION: "inline"})
    assert [problem.split("=")[0] for problem in caught.value.problems] == [
        "Grant: filename",
        "Grant: path",
        "Grant: path and query are 9100 bytes long when spelled; a whole URL may be 8192",
    ]
    with pytest.raises(ConfigError) as caught:
        Grant(path="/a", scope="/b/", expires=0)
    assert [problem.partition("=")[0] for problem in caught.value.problems] == ["Grant: expires"]


def test_replacing_the_filename_replaces_its_parameter() -> None:
    """A copy with another name does not keep the old one, and one without has none."""
    grant = Grant(query={"a": "1"}, filename="a.pdf")
    renamed = dataclasses.replace(grant, filename="b.pdf")
    assert renamed.parameters == (("a", "1"), (DISPOSITION, 'attachment; filename="b.pdf"'))
    assert dataclasses.replace(grant, filename=None).parameters == grant.query == (("a", "1"),)
    assert dataclasses.replace(renamed, answer="json") == Grant(query={"a": "1"}, filename="b.pdf", answer="json")
    with pytest.raises(ConfigError, match="lies outside scope='/b/'$"):
        dataclasses.replace(Grant(path="/a/1"), scope="/b/")


@given(st.datetimes(timezones=st.timezones(), min_value=datetime(1970, 1, 3), max_value=datetime(2261, 1, 1)))
def test_a_start_in_any_zone_is_the_same_moment_and_never_earlier(moment: datetime) -> None:
    """An aware datetime becomes the first whole second at or after it."""
    start = Grant(not_before=moment).not_before
    assert start is not None
    assert timedelta(0) <= datetime.fromtimestamp(start, UTC) - moment.astimezone(UTC) < timedelta(seconds=1)


# What an authorizer may be


class Authorizer:
    """Authorizers in the shape of objects and methods; the repr would give a password away."""

    def __init__(self) -> None:
        self.password = "hunter2"

    def __repr__(self) -> str:
        return f"Authorizer({self.password})"

    def __call__(self, environ: object) -> bool:
        return True

    def method(self, environ: object) -> bool:
        """Say yes."""
        return True

    async def coroutine(self, environ: object) -> bool:
        """Say yes, later."""
        return True

    @classmethod
    def of_class(cls, environ: object) -> bool:
        """Say yes."""
        return True


class Child(Authorizer):
    """An authorizer that inherits its call."""


class Coroutine:
    """An object whose call is a coroutine function."""

    async def __call__(self, environ: object) -> bool:
        return True


class CoroutineChild(Coroutine):
    """An object that inherits such a call."""


class StaticCoroutine:
    """An object whose call is a coroutine function in disguise."""

    @staticmethod
    async def __call__(environ: object) -> bool:
        return False


class Generator:
    """An object whose call is a generator function."""

    def __call__(self, environ: object) -> Iterator[bool]:
        yield True


def function(environ: object, *more: object, **options: object) -> bool:
    """Say yes."""
    return True


async def coroutine(environ: object, *more: object) -> bool:
    """Say yes, later."""
    return True


def generator(environ: object) -> Iterator[bool]:
    """Say yes, later."""
    yield True


async def async_generator(environ: object) -> AsyncIterator[bool]:
    """Say yes, later."""
    yield True


@pytest.mark.parametrize(
    ("authorizer", "name"),
    [
        (function, f"{MODULE}.function"),
        (lambda environ: True, f"{MODULE}.<lambda>"),
        (Authorizer(), f"{MODULE}.Authorizer"),
        (Child(), f"{MODULE}.Child"),
        (Authorizer().method, f"{MODULE}.Authorizer.method"),
        (Authorizer.of_class, f"{MODULE}.Authorizer.of_class"),
        (functools.partial(function, password="hunter2"), f"{MODULE}.function"),
        (functools.partial(functools.partial(Authorizer(), 1), 2), f"{MODULE}.Authorizer"),
        (functools.partial(Authorizer().method), f"{MODULE}.Authorizer.method"),
        (functools.lru_cache(function), f"{MODULE}.function"),
        (len, "builtins.len"),
    ],
)
def test_a_synchronous_callable_is_taken_and_named_without_its_repr(authorizer: object, name: str) -> None:
    """Functions, methods, instances and partials are named by where they are defined, never by what they hold."""
    assert check_authorizer(authorizer) == name


@pytest.mark.parametrize("authorizer", [Authorizer, Coroutine, bool, functools.partial(bool)])
def test_a_class_is_refused(authorizer: object) -> None:
    """A class makes instances, which would be taken for answers or, as bool does, say yes to everything."""
    with pytest.raises(ConfigError, match=r"^authorize is the class [\w.]+: pass an instance$"):
        check_authorizer(authorizer)


@pytest.mark.parametrize(
    "authorizer",
    [
        coroutine,
        generator,
        async_generator,
        Coroutine(),
        CoroutineChild(),
        Generator(),
        Authorizer().coroutine,
        Coroutine().__call__,
        functools.partial(coroutine, 1),
        functools.partial(functools.partial(Authorizer().coroutine), 1),
        functools.partial(Coroutine(), 1),
    ],
)
def test_a_coroutine_or_generator_function_is_refused(authorizer: object) -> None:
    """What it returns is true before anything was decided, so it never gets as far as a request."""
    with pytest.raises(ConfigError) as caught:
        check_authorizer(authorizer)
    assert str(caught.value).startswith(f"authorize={MODULE}.")
    assert str(caught.value).endswith(
        " is a coroutine or generator function, whose result is always true; "
        "expected a plain function that returns a verdict"
    )
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("authorizer", [None, True, 200, "package.module:callable", object(), PASS, Grant()])
def test_what_cannot_be_called_is_refused(authorizer: object) -> None:
    """A verdict, or the name of a function, is no authorizer."""
    with pytest.raises(ConfigError) as caught:
        check_authorizer(authorizer)
    assert str(caught.value) == f"authorize is {kind_of(authorizer)}; expected a callable that takes environ"


# What an authorizer may say


class Answer(IntEnum):
    """Codes as a user may name them."""

    YES = 200
    NO = 403


class Task:
    """A callable that is waiting to be awaited."""

    def __call__(self) -> None:
        """Do nothing, now."""

    def __await__(self) -> Iterator[None]:
        """Do nothing, later."""
        yield


class Truthy:
    """True to everyone who asks, as numpy's booleans are."""

    def __bool__(self) -> bool:
        return True

    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = object.__hash__

    def __repr__(self) -> str:
        return "secret"


@pytest.mark.parametrize("verdict", [True, 200, 204, HTTPStatus.OK, HTTPStatus.NO_CONTENT, Answer.YES])
def test_true_200_and_204_grant_the_object(verdict: object) -> None:
    """The three plain ways to say yes mean the same."""
    assert judge(verdict, HERE) is PLAIN
    assert Grant() == PLAIN


def test_a_grant_is_the_verdict_it_is() -> None:
    """Conditions reach the signer as they were given."""
    grant = Grant(scope="directory")
    assert judge(grant, HERE) is grant


def test_pass_lets_the_application_answer() -> None:
    """PASS is one value, which shows itself by its name."""
    assert judge(PASS, HERE) is PASS
    assert repr(PASS) == "PASS"


@pytest.mark.parametrize(
    ("verdict", "code"),
    [(False, 403), (HTTPStatus.NOT_FOUND, 404), (Answer.NO, 403), *((code, code) for code in (400, 401, 499, 599))],
)
def test_false_and_codes_from_400_to_599_refuse(verdict: object, code: int) -> None:
    """A refusal is a plain int, whatever kind of int the authorizer used."""
    judged = judge(verdict, HERE)
    assert judged == code
    assert type(judged) is int


@pytest.mark.parametrize(
    "verdict",
    [
        webob.Response("no", status=401),
        webob.exc.HTTPFound(location="/login"),
        webob.exc.HTTPForbidden(),
        function,
        functools.partial(function),
        Authorizer(),
    ],
)
def test_a_callable_that_is_no_class_is_an_answer(verdict: object) -> None:
    """Responses and HTTP exceptions are WSGI applications and pass through untouched."""
    assert judge(verdict, HERE) is verdict


NO_VERDICTS: list[tuple[object, str]] = [
    (None, "None"),
    *((code, f"the int {code}") for code in (0, 1, 2, -1, 100, 199, 201, 206, 302, 303, 304, 399, 600, 999)),
    (HTTPStatus.FOUND, "the int 302"),
    (10**5000, "an int out of range"),
    (-1000, "an int out of range"),
    *((value, "an object of type float") for value in (2.0, 200.0, 403.0, math.nan)),
    (Decimal(200), "an object of type Decimal"),
    (1 + 0j, "an object of type complex"),
    ("true", "a str of 4 characters"),
    ("", "a str of 0 characters"),
    ("200 OK", "a str of 6 characters"),
    (b"ok", "bytes of length 2"),
    ([], "an object of type list"),
    ([True], "an object of type list"),
    ((True,), "an object of type tuple"),
    ({"allow": True}, "an object of type dict"),
    (NotImplemented, "an object of type NotImplementedType"),
    (Ellipsis, "an object of type ellipsis"),
    (Truthy(), "an object of type Truthy"),
    (object(), "an object of type object"),
    (ValueError("no"), "an object of type ValueError"),
    (bool, "the class builtins.bool"),
    (Grant, "the class cfgate_middleware.verdicts.Grant"),
    (webob.exc.HTTPForbidden, "the class webob.exc.HTTPForbidden"),
    (generator(None), "an object of type generator"),
    (async_generator(None), "an object of type async_generator"),
    (coroutine, "an object of type function"),
    (generator, "an object of type function"),
    (Authorizer().coroutine, "an object of type method"),
    (Task(), "an object of type Task"),
    (functools.partial(coroutine), "an object of type partial"),
]


@pytest.mark.parametrize(("verdict", "what"), [pytest.param(*row, id=ascii(row[1])) for row in NO_VERDICTS])
def test_anything_else_is_an_error_that_names_its_kind(verdict: object, what: str) -> None:
    """No value opens the gate by being true, and the error shows neither the value nor the authorizer's repr."""
    with pytest.raises(AuthorizerError) as caught:
        judge(verdict, HERE)
    assert str(caught.value) == (
        f"authorizer {HERE} returned {what}; expected True, False, PASS, a Grant, 200, 204, 400 to 599, "
        "or a response (a WSGI application); nothing was signed"
    )


@pytest.mark.filterwarnings("error")
def test_a_coroutine_is_closed() -> None:
    """The error is the only thing told: no warning about a coroutine that was never awaited follows it."""
    verdict = coroutine(None)
    with pytest.raises(AuthorizerError, match="returned an object of type coroutine; expected"):
        judge(verdict, HERE)
    assert inspect.getcoroutinestate(verdict) == inspect.CORO_CLOSED
    del verdict
    gc.collect()


def test_a_coroutine_from_an_unlikely_callable_is_caught_at_the_call() -> None:
    """A function that looks synchronous may still return a coroutine; then nothing is signed."""
    authorizer = StaticCoroutine()
    with pytest.raises(AuthorizerError, match="returned an object of type coroutine; expected"):
        judge(authorizer({}), check_authorizer(authorizer))


@given(st.integers())
def test_no_other_int_opens_the_gate(verdict: int) -> None:
    """Among all ints only 200 and 204 grant, and only 400 to 599 refuse."""
    if verdict in (200, 204):
        assert judge(verdict, HERE) is PLAIN
    elif 400 <= verdict <= 599:
        assert judge(verdict, HERE) == verdict
    else:
        with pytest.raises(AuthorizerError, match="returned (the|an) int"):
            judge(verdict, HERE)
