"""What an authorizer may be, and what it may say.

Rule: yes is explicit. Only ``True``, 200, 204 and a :class:`Grant` open the gate; nothing is granted by truthiness.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from enum import Enum, auto
from typing import Any, Literal, NamedTuple

from cfgate_middleware._core.checks import innermost, is_async, is_deferred
from cfgate_middleware._core.grant import Grant
from cfgate_middleware._core.problems import kind_of
from cfgate_middleware.errors import AuthorizerError


class Pass(Enum):
    """The type of :data:`PASS`."""

    PASS = auto()

    def __repr__(self) -> str:
        return self.name


PASS: Literal[Pass.PASS] = Pass.PASS
"""The verdict that lets the wrapped application answer."""


class Ask(Enum):
    """The type of :data:`ASK`."""

    ASK = auto()

    def __repr__(self) -> str:
        return self.name


ASK: Literal[Ask.ASK] = Ask.ASK
"""The verdict that asks the wrapped application, which answers unless it says ``allow``."""


class Refusal(NamedTuple):
    """A refusal with header fields of its own, such as a challenge."""

    status: int
    fields: tuple[tuple[str, str], ...] = ()


Verdict = bool | int | Grant | Literal[Pass.PASS, Ask.ASK] | Callable[..., Any]
"""What an authorizer may return; a callable is a response, such as ``webob.Response``."""
Authorizer = Callable[[dict[str, Any]], Verdict]
"""A plain callable that takes environ and returns a verdict."""


def name_authorizer(authorizer: object, may_wait: bool = False) -> str:
    """Return the name that errors use for an authorizer: its repr could show what it was built with.

    ValueError if it is none; a coroutine function is one where its caller ``may_wait`` for the verdict.
    """
    if isinstance(innermost(authorizer), type):
        raise ValueError(f"{_name(authorizer)} is a class: pass an instance")
    if not callable(authorizer):
        raise ValueError("expected a callable that takes environ")
    if is_deferred(authorizer) and not (may_wait and is_async(authorizer)):
        why = "a coroutine or generator function, whose result is always true"
        raise ValueError(f"{_name(authorizer)} is {why}; expected a plain function that returns a verdict")
    return _name(authorizer)


def judge(
    verdict: object, authorizer: str, is_response: Callable[[object], bool]
) -> Grant | Refusal | Literal[Pass.PASS, Ask.ASK] | Callable[..., Any] | None:
    """Return None for a plain yes, a grant, a refusal, PASS, ASK, or an application that answers.

    If it is none of these, AuthorizerError names the kind of the value and the authorizer, never the value.
    """
    if verdict is True:
        return None
    if verdict is False:
        return Refusal(403)
    if verdict is PASS or verdict is ASK or isinstance(verdict, Grant | Refusal):
        return verdict
    if isinstance(verdict, int):
        if verdict in (200, 204):  # the two that Flask-CloudFront takes for a yes
            return None
        if 400 <= verdict <= 599:
            return Refusal(int(verdict))
        what = f"the int {int(verdict)}" if -1000 < verdict < 1000 else "an int out of range"
        if type(verdict) is not int and not isinstance(verdict, Enum):  # such as Pyramid's ACLAllowed and ACLDenied
            what = f"{what}, which is of type {type(verdict).__name__}, an int subclass: wrap it in bool()"
    elif is_response(verdict):
        return verdict  # type: ignore[return-value]  # is_response has just said that it can be called
    else:
        if inspect.iscoroutine(verdict):
            verdict.close()
        what = f"the class {_name(verdict)}" if isinstance(verdict, type) else kind_of(verdict)
    raise AuthorizerError(
        f"authorizer {authorizer} returned {what}; expected True, False, PASS, ASK, a Grant, 200, 204, 400 to 599, "
        "or a response (a WSGI application); nothing was signed"
    )


def _name(authorizer: object) -> str:
    function = innermost(authorizer)
    named: Any = function if hasattr(function, "__qualname__") else type(function)
    return f"{named.__module__}.{named.__qualname__}"
