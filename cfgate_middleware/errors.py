"""The errors this package raises on purpose: one tree with one root."""

from __future__ import annotations


class CFGateError(Exception):
    """The root of everything this package raises on purpose."""


class ConfigError(CFGateError, ValueError):
    """Wrong configuration or arguments, found before anything is signed; ``problems`` has a sentence (str) for each."""

    def __init__(self, *problems: str) -> None:
        self.problems = problems
        listed = f"{len(problems)} problems:" + "".join(f"\n- {problem}" for problem in problems)
        super().__init__(problems[0] if len(problems) == 1 else listed)


class PathError(CFGateError, ValueError):
    """A path or URL from outside that cannot be signed; a view can answer it with 404."""


class AuthorizerError(CFGateError):
    """The authorizer returned something that is not a verdict, or a grant that cannot be signed for this request."""


class SigningError(CFGateError):
    """The signer failed; nothing was signed and no redirect was sent."""
