"""What an error may show of a value, and how several errors are reported together.

Rule 1: a message names what was given, what was expected and how to fix it, and never shows a secret.
Rule 2: error trackers show the local variables of every frame that an exception passes, and look into tuples, lists,
dicts and dataclasses there. So a secret is passed between functions as a :class:`Secret`, and taken out only inside an
expression, never under a name of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

from cfgate_middleware.errors import ConfigError

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Secret(Generic[T_co]):
    """A value that must not be shown: its repr hides it, and nothing walks into it. See Rule 2."""

    __slots__ = ("value",)

    def __init__(self, value: T_co) -> None:
        self.value: T_co = value

    def __repr__(self) -> str:
        return "<secret>"


class Problems(list[str]):
    """Collects the problems of several checks, so that all are reported at once.

    A converter returns what is used, or raises ValueError saying what was expected; the caller names the option.
    """

    add = list.append

    def check(self, name: str, convert: Callable[[Any], T], value: Any, *, secret: bool = False) -> T | None:
        """Return ``convert(value)``, or keep what is wrong with the value called ``name`` and return None.

        With ``secret`` only the kind of the value is shown; of a :class:`Secret` not even that.
        """
        try:
            return convert(value)
        except ConfigError as error:
            self.extend(f"{name}: {problem}" for problem in error.problems)
        except ValueError as error:
            if value is None:
                self.add(f"{name} is missing: {error}")
            elif isinstance(value, Secret):
                self.add(f"{name}: {error}")
            else:
                self.add(f"{name} is {kind_of(value)}: {error}" if secret else f"{name}={shown(value)}: {error}")
        return None

    def attempt(self, function: Callable[..., T], *arguments: Any) -> T | None:
        """Return ``function(*arguments)``, or keep the problems of its ConfigError and return None."""
        try:
            return function(*arguments)
        except ConfigError as error:
            self.extend(error.problems)
        return None

    def raise_any(self) -> None:
        """Raise one ConfigError if any problem was kept."""
        if self:
            raise ConfigError(*self)


def shown(value: object) -> str:
    """Return ``value`` as an error may show it: its repr, cut short, and never a key pasted by mistake."""
    try:
        text = repr(value)
    except Exception:  # such as the repr of an int of 5,000 digits
        return kind_of(value)
    if "-----BEGIN" in text:
        return kind_of(value)
    return text if len(text) <= 120 else f"{text[:117]}..."


def kind_of(value: object) -> str:
    """Return the kind and length of ``value`` and nothing else, for values that may be secret."""
    if isinstance(value, str):
        return f"a str of {len(value)} characters"
    if isinstance(value, bytes | bytearray):
        return f"{type(value).__name__} of length {len(value)}"
    return "None" if value is None else f"an object of type {type(value).__name__}"
