"""Grant: the form in which each field is kept, what is refused, and that a grant is a value."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import math
import pickle
import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from decimal import Decimal
from ipaddress import IPv4Address
from typing import Any, get_type_hints
from unittest.mock import ANY
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cfgate_middleware import ConfigError, Grant
from cfgate_middleware._core.answers import KINDS
from cfgate_middleware._core.encoding import from_base64
from cfgate_middleware._core.grant import Conditions, PolicyConditions, ScopedConditions
from cfgate_middleware._core.policy import CustomPolicy
from tests.conftest import NOW
from tests.support import BASE_URL, Choice, Judge, Pem, fetch, gate

DISPOSITION = "response-content-disposition"
MAX_EXPIRES, MAX_EPOCH = 604800, 9223372036


class NoZone(tzinfo):
    """A time zone without an offset, which the standard library allows."""

    def utcoffset(self, moment: datetime | None) -> None:
        """Return no offset."""

    dst = tzname = utcoffset


# Fields: what is given, and what is kept.
KEPT: dict[str, list[tuple[Any, Any]]] = {
    "expires": [(None, None), (1, 1), (MAX_EXPIRES, MAX_EXPIRES), (timedelta(hours=1), 3600)],
    "not_before": [
        *((None, None), (0, 0), (MAX_EPOCH, MAX_EPOCH), (NOW + 0.25, NOW + 1)),
        (datetime.fromtimestamp(NOW, UTC), NOW),
        (datetime.fromtimestamp(NOW, timezone(timedelta(hours=5, minutes=30))), NOW),
        *((datetime.fromtimestamp(NOW, UTC) + timedelta(microseconds=1), NOW + 1), (datetime.fromtimestamp(0, UTC), 0)),
    ],
    "path": [(None, None), ("/a", "/a"), ("/reports/é *?#%2e.pdf", "/reports/é *?#%2e.pdf"), ("/.hidden", "/.hidden")],
    "scope": [
        *((scope, scope) for scope in ("object", "directory", "/", "/a/", '/a/b*?"/')),
        (Choice.DIRECTORY, "directory"),
    ],
    "ip_address": [
        *((None, None), ("203.0.113.7", "203.0.113.7/32"), ("255.255.255.255", "255.255.255.255/32")),
        *(("203.0.113.7/24", "203.0.113.0/24"), ("0.0.0.0/0", "0.0.0.0/0")),
    ],
    "query": [
        *((None, ()), ({}, ()), ({"a": ""}, (("a", ""),))),
        ([("a", "1"), ["a", "é&="]], (("a", "1"), ("a", "é&="))),
    ],
    "headers": [(None, ()), ({"Set-Cookie": "a=1"}, (("Set-Cookie", "a=1"),))],
    "filename": [(name, name) for name in (None, "a.pdf", "né € \U0001f600.pdf", 'a"b\\c/d%.pdf', "a;b")],
    "answer": [*((answer, answer) for answer in (None, *KINDS)), (Choice.COOKIES, "cookies")],
}
UNCLEAN = ("a", "", "//", "//a/", "/../", "/a/../b/", "/a/./", "/a//", "/a\\b/", "/a\n/", "/\ud800/", "https://h/")
# Fields: what is refused, and the telling part of the error.
REFUSED: dict[str, list[tuple[Any, str]]] = {
    "expires": [
        (bad, "whole seconds from 1 to 604800") for bad in (0, -1, MAX_EXPIRES + 1, 1.0, True, "60", timedelta(0), NOW)
    ],
    "not_before": [
        *((bad, "epoch seconds") for bad in (-1, -0.5, MAX_EPOCH + 1, NOW * 1000, math.nan, math.inf, -math.inf)),
        *((bad, "epoch seconds") for bad in (True, "0", Decimal(NOW), timedelta(1), 10**5000)),
        (datetime(1969, 12, 31, tzinfo=UTC), "epoch seconds"),
        *((bad, "naive") for bad in (datetime(2030, 1, 1), datetime(2030, 1, 1, tzinfo=NoZone()))),
    ],
    "path": [
        (bad, "decoded path of one object")
        for bad in ("/", "/a/", "/a/..", "/a\\b", "/a\0", "/\ud800", *UNCLEAN, 5, b"/a", True)
    ],
    "scope": [
        (bad, "'object', 'directory'")
        for bad in ("objects", "Directory", "*", "/*", "/a", "/a/*", *UNCLEAN, 5, b"/", ["/"], ANY, None)
    ],
    "ip_address": [
        (bad, "such as '203.0.113.7' or '203.0.113.0/24'; CloudFront policies have no IPv6")
        for bad in (
            *("", "::1", "2001:db8::/32", "::ffff:203.0.113.7", "localhost", "1.2.3.4, 1.2.3.5", "203.0.113.7:80"),
            *("203.0.113", "203.0.113.07", "203.0.113.256", " 203.0.113.7", "203.0.113.7\n", '203.0.113.7"'),
            *(f"203.0.113.7/{length}" for length in ("33", "-1", "", "08", "024", "2\u0664", "0.0.0.255")),
            *("1.2.3.4/0.0.0.0", "1.2.3.4/255.255.255.0", 16909060, b"\xcb\x00\x71\x07", ("1.2.3.4", 24)),
            IPv4Address("1.2.3.4"),
        )
    ],
    "query": [
        *((bad, "mapping or as pairs") for bad in ("a=1", 5, ["ab"], [("a",)], {"a": 1}, {1: "a"}, {"a": None})),
        *(({"": "1"}, "needs a name"), ({"a": "\ud800"}, "UTF-8"), ({"Policy": "1"}, "Policy is reserved")),
    ],
    "headers": [
        ({"Location": "https://evil.example"}, "Location is set by the gate"),
        *(({"X-A": "a\r\nb"}, "header X-A must be one line"), ("X-A: 1", "mapping or as pairs")),
    ],
    "filename": [
        *((bad, "file name") for bad in ("", "a\r\nX: x", "a\n", "a\tb", "\x1f", "\x7f", "\x80", "\x9f")),
        *((bad, "file name") for bad in ("a\u2028b", "\ud800", "a\udcffb", b"a.pdf", 5, True, ["a"], ANY)),
    ],
    "answer": [
        (bad, "redirect, cookies, json")
        for bad in ("", "Redirect", "JSON", "cookies ", 0, True, b"json", ["json"], {"json": 1}, ANY)
    ],
}


def rows(table: dict[str, list[tuple[Any, Any]]]) -> list[Any]:
    """Return one test case per value of a table."""
    return [pytest.param(name, *row, id=f"{name}-{n}") for name, cases in table.items() for n, row in enumerate(cases)]


def problems(fields: dict[str, Any]) -> tuple[str, ...]:
    """Return why a grant with these fields cannot be built."""
    with pytest.raises(ConfigError) as caught:
        Grant(**fields)
    return caught.value.problems


def query_of(grant: Grant) -> str:
    """Return the query of the URL that a gate sends for a grant, up to CloudFront's own signature."""
    location = fetch(gate(Judge(grant)), "/private/x/y").location
    return location.removeprefix(f"{BASE_URL}/x/y?").partition("&Signature=")[0]


@pytest.mark.parametrize(("name", "value", "kept"), rows(KEPT))
def test_a_field_is_kept_in_one_form(name: str, value: Any, kept: object) -> None:
    """Whatever form a condition is given in, the grant holds the one that is signed."""
    assert getattr(Grant(**{name: value}), name) == kept


@pytest.mark.parametrize(("name", "value", "telling"), rows(REFUSED))
def test_a_wrong_field_is_named_and_explained(name: str, value: Any, telling: str) -> None:
    """A grant that can be right for no request cannot be built."""
    (problem,) = problems({name: value})
    assert problem.startswith(f"Grant: {name} is " if name == "headers" else f"Grant: {name}=")
    assert telling in problem


def test_all_wrong_fields_are_reported_together() -> None:
    """One error lists every wrong field, and not what they contradict in each other."""
    wrong = {name: cases[0][0] for name, cases in REFUSED.items()}
    assert [re.split("=| is ", problem)[0] for problem in problems(wrong)] == [f"Grant: {name}" for name in REFUSED]
    (problem,) = problems({"path": "/a", "scope": "/b/", "expires": 0})
    assert problem.startswith("Grant: expires=0")
    found = problems({"path": "/" + "a" * 9000, "scope": "/b/", "filename": "a", "query": {DISPOSITION: "inline"}})
    assert all(telling in problem for telling, problem in zip(("both", "outside", "8192"), found, strict=True))


def test_the_tables_hold_every_field() -> None:
    """No field goes untested, all are keyword-only, and there are no others in the dataclass."""
    parameters = inspect.signature(Grant).parameters
    assert list(KEPT) == list(REFUSED) == list(parameters)
    assert {parameter.kind for parameter in parameters.values()} == {inspect.Parameter.KEYWORD_ONLY}
    assert [field.name for field in dataclasses.fields(Grant) if field.init] == list(parameters)


def test_the_fields_that_any_signature_can_have_are_the_conditions() -> None:
    """Names and types of a Grant's fields, less path, headers and answer, are exactly those of ``Conditions``."""
    fields = get_type_hints(Grant.__init__)
    for name in ("path", "headers", "answer", "return"):
        del fields[name]
    assert get_type_hints(Conditions) == fields
    assert fields.keys() - get_type_hints(ScopedConditions).keys() == {"query", "filename"}
    assert get_type_hints(ScopedConditions).keys() - get_type_hints(PolicyConditions).keys() == {"scope"}


@pytest.mark.parametrize("name", sorted(PolicyConditions.__annotations__.keys() - {"expires"}))
def test_every_condition_alone_reaches_the_policy(name: str) -> None:
    """A grant with one condition is signed as a custom policy that says more than resource and end."""
    conditions: Any = {name: KEPT[name][-1][0]}
    url = gate(Judge()).sign("/a", **conditions)
    policy = CustomPolicy.parse(from_base64(parse_qs(urlsplit(url).query)["Policy"][0]))
    assert policy != CustomPolicy(resource=policy.resource, end=policy.end)


def test_a_key_in_a_grant_is_not_shown(pem: Pem) -> None:
    """Of a PEM in the place of a path only kind and length are shown."""
    key = pem("p256-pkcs8")
    text = "".join(problems({"path": key, "ip_address": key}))
    assert "PRIVATE KEY" not in text
    assert f"path=a str of {len(key)} characters" in text


@pytest.mark.parametrize(
    ("fields", "telling"),
    [
        ({"filename": "a", "query": {DISPOSITION: "inline"}}, f"filename='a' and query both give {DISPOSITION}"),
        ({"path": "/a.pdf", "scope": "directory"}, "path='/a.pdf' is the root of the distribution; write scope='/'"),
        ({"path": "/b/1.pdf", "scope": "/a/"}, "path='/b/1.pdf' lies outside scope='/a/'"),
        *(({"path": "/ab/1.pdf", "scope": "/a/"}, "lies outside"), ({"path": "/a", "scope": "/a/"}, "lies outside")),
        ({"path": "/" + "é" * 1366}, "8197 bytes long when spelled"),
        ({"query": {"a": "\ufffd" * 911}}, "8201 bytes"),
        ({"path": "/" + "a" * 4099, "query": {"a": "b" * 4091}}, "8193 bytes"),
        ({"filename": "a" * 8192}, "a whole URL may be 8192"),
        # These go together.
        *(({"path": "/a.pdf", "scope": "/"}, ""), ({"path": "/a.pdf", "scope": "object"}, "")),
        *(({"path": "/a/b.pdf", "scope": "directory"}, ""), ({"path": "/a/b/c.pdf", "scope": "/a/"}, "")),
        *(({"scope": "directory"}, ""), ({"scope": "/a/"}, "")),
        ({"path": "/" + "a" * 4099, "query": {"a": "b" * 4090}}, ""),
    ],
)
def test_fields_that_contradict_each_other_are_refused(fields: dict[str, Any], telling: str) -> None:
    """What can be right for no request is found where the grant is built, not when it is signed."""
    if telling:
        (problem,) = problems(fields)
        assert problem.startswith("Grant: ")
        assert telling in problem
    else:
        assert Grant(**fields) == Grant(**fields)


@pytest.mark.parametrize(
    ("fields", "query"),
    [
        ({}, f"Expires={NOW + 60}"),
        ({"expires": 5, "query": {"a": "1"}, "headers": {"X-A": "1"}, "answer": "redirect"}, f"a=1&Expires={NOW + 5}"),
        ({"filename": "a"}, f"{DISPOSITION}=attachment%3B%20filename%3D%22a%22&Expires={NOW + 60}"),
        ({"query": {DISPOSITION: "inline"}}, f"{DISPOSITION}=inline&Expires={NOW + 60}"),
        *(({"scope": "directory"}, "Policy="), ({"scope": "/"}, "Policy=")),
        *(({"not_before": 0}, "Policy="), ({"ip_address": "0.0.0.0/0"}, "Policy=")),
    ],
)
def test_only_an_end_time_makes_a_canned_policy(fields: dict[str, Any], query: str) -> None:
    """A grant with any condition but its end needs a custom policy; a file name is one more parameter."""
    signed = query_of(Grant(**fields))
    assert signed.startswith(query) if query == "Policy=" else signed == query


@pytest.mark.parametrize("name", ["expires", "scope", "is_canned", "parameters"])
def test_a_grant_cannot_be_changed(name: str) -> None:
    """What was checked stays as it was, whatever happens to what it was made from, and is the same for everybody."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(Grant(), name, "/")
    with pytest.raises(dataclasses.FrozenInstanceError):
        delattr(Grant(), name)
    query, headers = {"a": "1"}, [("X-A", "1")]
    grant = Grant(query=query, headers=headers)
    query["Policy"] = "x"
    headers.append(("Location", "https://evil.example"))
    assert (grant.query, grant.headers) == ((("a", "1"),), (("X-A", "1"),))


def test_the_repr_of_a_grant_is_the_call_that_makes_it() -> None:
    """Conditions are no secret, and nothing else is shown."""
    where: Any = {"path": "/a", "scope": "/", "ip_address": "203.0.113.7"}
    grant = Grant(expires=5, not_before=NOW, query={"a": "1"}, filename="é.pdf", answer="json", **where)
    assert re.findall(r"(\w+)=", repr(grant)) == list(inspect.signature(Grant).parameters)
    assert eval(repr(grant)) == grant  # noqa: S307  # our own text


def test_grants_are_values() -> None:
    """Equal grants are equal, hash alike and sign alike; copies are equal; what differs in a field differs."""
    grant = Grant(expires=5, query={"a": "1"}, filename="a.pdf")
    for twin in (
        *(Grant(expires=5, query=[("a", "1")], filename="a.pdf"), copy.deepcopy(grant)),
        pickle.loads(pickle.dumps(grant)),  # noqa: S301  # our own bytes
    ):
        assert (twin, hash(twin), query_of(twin)) == (grant, hash(grant), query_of(grant))
    for other in ({"expires": 6}, {"filename": "b.pdf"}, {"answer": "json"}, {"query": None}):
        assert dataclasses.replace(grant, **other) != grant


def test_replacing_a_field_checks_the_grant_again() -> None:
    """A copy with another field is made by the constructor, so it cannot be wrong, and signs its own name alone."""
    assert dataclasses.replace(Grant(expires=5), scope="directory") == Grant(expires=5, scope="directory")
    grant = Grant(query={"a": "1"}, filename="a.pdf")
    assert query_of(dataclasses.replace(grant, filename="b.pdf")) == query_of(grant).replace("a.pdf", "b.pdf")
    assert query_of(dataclasses.replace(grant, filename=None)) == f"a=1&Expires={NOW + 60}"
    with pytest.raises(ConfigError, match="expires=0"):
        dataclasses.replace(grant, expires=0)
    with pytest.raises(ConfigError, match="outside scope='/b/'"):
        dataclasses.replace(Grant(path="/a/1"), scope="/b/")


@given(st.datetimes(timezones=st.timezones(), min_value=datetime(1970, 1, 3), max_value=datetime(2261, 1, 1)))
def test_a_start_in_any_zone_is_the_same_time_and_never_earlier(moment: datetime) -> None:
    """An aware datetime becomes the first whole second at or after it."""
    start = Grant(not_before=moment).not_before
    assert start is not None
    assert timedelta(0) <= datetime.fromtimestamp(start, UTC) - moment.astimezone(UTC) < timedelta(seconds=1)
