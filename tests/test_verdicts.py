"""What an authorizer may be and may say, through a gate: only an explicit yes opens it."""

from __future__ import annotations

import functools
import gc
import inspect
import math
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal
from enum import IntEnum
from http import HTTPStatus
from typing import Any

import pytest
import webob
import webob.exc
from hypothesis import given
from hypothesis import strategies as st

from cfgate_middleware import PASS, AuthorizerError, ConfigError, Grant
from tests.conftest import NOW
from tests.support import BASE_URL, Fake, Wrapped, fetch, gate, verified

HERE = __name__
NEVER = Fake(outcome=AssertionError())


class Authorizer:
    """Authorizers that are objects and methods; the repr would give a password away, and no verdict is one."""

    def __init__(self) -> None:
        self.password = "hunter2"

    def __repr__(self) -> str:
        return f"Authorizer({self.password})"

    def __call__(self, *args: object) -> Any:
        return None

    def method(self, environ: object) -> Any:
        """Say nothing."""

    async def coroutine(self, environ: object) -> bool:
        """Say yes, later."""
        return True

    @classmethod
    def of_class(cls, environ: object) -> Any:
        """Say nothing."""


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


def function(environ: object, *more: object, **options: object) -> Any:
    """Say nothing."""


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
        *((function, f"{HERE}.function"), (lambda environ: None, f"{HERE}.<lambda>"), (len, "builtins.len")),
        *((Authorizer(), f"{HERE}.Authorizer"), (Child(), f"{HERE}.Child")),
        *((getattr(Authorizer(), name), f"{HERE}.Authorizer.{name}") for name in ("method", "of_class")),
        (functools.partial(function, password="hunter2"), f"{HERE}.function"),
        (functools.partial(functools.partial(Authorizer(), 1), 2), f"{HERE}.Authorizer"),
        (functools.partial(Authorizer().method), f"{HERE}.Authorizer.method"),
        (functools.update_wrapper(Authorizer(), function), f"{HERE}.function"),
    ],
)
def test_an_authorizer_is_named_by_where_it_is_defined(authorizer: Any, name: str) -> None:
    """Functions, methods, instances and partials are taken, and never named by their repr."""
    with pytest.raises(AuthorizerError) as caught:
        fetch(gate(authorizer, signer=NEVER), "/private/a")
    assert str(caught.value).startswith(f"authorizer {name} returned ")
    assert "hunter2" not in str(caught.value)


CLASS, DEFERRED, NO_CALL = "class: pass an instance", "coroutine or generator function", "expected a callable"


@pytest.mark.parametrize(
    ("authorizer", "telling"),
    [
        *((each, CLASS) for each in (Authorizer, Coroutine, bool, functools.partial(bool))),
        *((each, DEFERRED) for each in (coroutine, generator, async_generator, Coroutine(), CoroutineChild())),
        *((each, DEFERRED) for each in (Generator(), Authorizer().coroutine, Coroutine().__call__)),
        *((functools.partial(each, 1), DEFERRED) for each in (coroutine, Coroutine())),
        (functools.partial(functools.partial(Authorizer().coroutine), 1), DEFERRED),
        *((each, NO_CALL) for each in (None, True, 200, "package.module:callable", object(), PASS, Grant())),
    ],
)
def test_what_cannot_say_no_at_once_is_not_an_authorizer(authorizer: Any, telling: str) -> None:
    """Classes, coroutine and generator functions, whose results are always true, fail when the gate is built."""
    with pytest.raises(ConfigError) as caught:
        gate(authorizer)
    (problem,) = caught.value.problems
    assert problem.startswith("authorize")
    assert telling in problem
    assert "hunter2" not in problem


class Code(IntEnum):
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


@pytest.mark.parametrize("verdict", [True, 200, 204, HTTPStatus.OK, HTTPStatus.NO_CONTENT, Code.YES, Grant()])
def test_a_plain_yes_grants_the_object_until_its_end(verdict: Any) -> None:
    """True, 200, 204 and a Grant without conditions mean the same."""
    wrapped = Wrapped()
    answer = fetch(gate(lambda environ: verdict, wrapped), "/private/a")
    assert (answer.code, wrapped.calls) == (303, [])
    policy = verified(answer.location).policy
    assert (policy.resource, policy.end, policy.start, policy.ip_address) == (f"{BASE_URL}/a", NOW + 60, None, None)


@pytest.mark.parametrize(
    ("verdict", "code"),
    [(False, 403), (HTTPStatus.NOT_FOUND, 404), (Code.NO, 403), *((code, code) for code in (400, 401, 499, 599))],
)
def test_a_no_refuses(verdict: Any, code: int) -> None:
    """False is 403, and an int of any kind from 400 to 599 is itself; nothing is signed."""
    wrapped = Wrapped()
    assert fetch(gate(lambda environ: verdict, wrapped, signer=NEVER), "/private/a").code == code
    assert not wrapped.calls


NO_VERDICTS: list[tuple[object, str]] = [
    *((code, f"the int {code}") for code in (0, 1, 2, -1, 100, 199, 201, 206, 302, 303, 304, 399, 600, 999)),
    *((None, "None"), (HTTPStatus.FOUND, "the int 302"), (10**5000, "an int out of range")),
    *((-1000, "an int out of range"), (Decimal(200), "type Decimal"), (1 + 0j, "type complex")),
    *((value, "type float") for value in (2.0, 200.0, 403.0, math.nan)),
    *((text, f"a str of {len(text)} characters") for text in ("true", "", "200 OK")),
    *((value, "type list") for value in ([], [True], ["200 OK"])),
    *((b"ok", "bytes of length 2"), ((True,), "type tuple"), ({"allow": True}, "type dict")),
    *((NotImplemented, "type NotImplementedType"), (Ellipsis, "type ellipsis"), (Truthy(), "type Truthy")),
    *((object(), "type object"), (ValueError("no"), "type ValueError"), (bool, "the class builtins.bool")),
    *((Grant, "Grant"), (webob.exc.HTTPForbidden, "the class webob.exc.HTTPForbidden")),
    *((generator(None), "type generator"), (async_generator(None), "type async_generator")),
    *((coroutine, "type function"), (generator, "type function"), (Authorizer().coroutine, "type method")),
    *((Task(), "type Task"), (functools.partial(coroutine), "type partial")),
]


@pytest.mark.parametrize(("verdict", "what"), [pytest.param(*row, id=ascii(row[1])) for row in NO_VERDICTS])
def test_anything_else_is_an_error_that_names_its_kind(verdict: Any, what: str) -> None:
    """No value opens the gate by being true; the error shows neither the value nor lets anybody else answer."""
    wrapped = Wrapped()
    with pytest.raises(AuthorizerError) as caught:
        fetch(gate(lambda environ: verdict, wrapped, signer=NEVER), "/private/a")
    returned, _, expected = str(caught.value).partition("; expected ")
    assert returned.endswith(what)
    assert all(word in expected for word in ("True", "False", "PASS", "Grant", "response", "nothing was signed"))
    assert not wrapped.calls


@given(st.integers())
def test_no_other_int_opens_the_gate(verdict: int) -> None:
    """Among all ints only 200 and 204 grant, and only 400 to 599 refuse."""
    app = gate(lambda environ: verdict)
    if verdict in (200, 204):
        assert fetch(app, "/private/a").code == 303
    elif 400 <= verdict <= 599:
        assert fetch(app, "/private/a").code == verdict
    else:
        with pytest.raises(AuthorizerError, match="returned (the|an) int"):
            fetch(app, "/private/a")


@pytest.mark.parametrize("hidden", [lambda: coroutine, StaticCoroutine])
def test_a_coroutine_is_closed(hidden: Any) -> None:
    """A coroutine of a callable that looks synchronous is not a yes, and no warning says that it was not awaited."""
    made: list[Any] = []

    def authorize(environ: object) -> Any:
        made.append(hidden()(environ))
        return made[0]

    with pytest.raises(AuthorizerError, match="type coroutine"):
        fetch(gate(authorize, signer=NEVER), "/private/a")
    assert inspect.getcoroutinestate(made.pop()) == inspect.CORO_CLOSED
    gc.collect()


def test_pass_shows_itself_by_its_name() -> None:
    """PASS is one value, in errors and debuggers too."""
    assert repr(PASS) == "PASS"
