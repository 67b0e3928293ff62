"""The error tree, and how errors speak of the values they refuse.

Rule: a message names what was given, what was expected and how to fix it, and never shows a secret.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType


class CFGateError(Exception):
    """The root of everything this package raises on purpose."""


class ConfigError(CFGateError, ValueError):
    """Wrong configuration or arguments, found before anything is signed.

    Attributes:
        problems: every problem found, one sentence each.
    """

    def __init__(self, *problems: str) -> None:
        self.problems = problems
        if len(problems) == 1:
            super().__init__(problems[0])
        else:
            super().__init__(f"{len(problems)} problems:" + "".join(f"\n- {problem}" for problem in problems))


class Problems(list[str]):
    """Collects the problems of several checks, so that all are told at once.

    Each ``with problems:`` block may fail with a ConfigError, whose problems are kept; ``raise_any`` raises them.
    """

    @contextmanager
    def about(self, what: str) -> Iterator[None]:
        """Keep the problems of a block, a plain ValueError included, with the name of what they are about."""
        try:
            yield
        except ConfigError as error:
            self.extend(f"{what}: {problem}" for problem in error.problems)
        except ValueError as error:
            self.append(f"{what}: {error}")

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        if not isinstance(error, ConfigError):
            return False
        self.extend(error.problems)
        return True

    def raise_any(self) -> None:
        """Raise one ConfigError if anything was collected."""
        if self:
            raise ConfigError(*self)


class AuthorizerError(CFGateError):
    """The authorizer returned something that is no verdict, or a grant that cannot be signed for this request."""


class SigningError(CFGateError):
    """The signer failed; nothing was signed and no redirect was sent."""


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
    """Return kind and length of ``value`` and nothing else, for values that may be secret."""
    if value is None:
        return "None"
    name = type(value).__name__
    if isinstance(value, str):
        return f"a str of {len(value)} characters"
    if isinstance(value, bytes | bytearray):
        return f"{name} of length {len(value)}"
    return f"an object of type {name}"
