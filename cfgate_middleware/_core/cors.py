"""Which scripts may read an answer: https://fetch.spec.whatwg.org/#http-cors-protocol."""

from __future__ import annotations


class Cors:
    """The origins whose scripts may read the answers of a gate, with credentials."""

    def __init__(self, origins: frozenset[str]) -> None:
        self._origins = origins

    def fields(self, origin: str) -> list[tuple[str, str]]:
        """Return what an answer to a request of this origin (or none, "") says; every answer varies on it."""
        vary = ("Vary", "Origin")
        if origin not in self._origins:
            return [vary]
        return [("Access-Control-Allow-Origin", origin), ("Access-Control-Allow-Credentials", "true"), vary]

    def preflight(self, origin: str, method: str, headers: str) -> list[tuple[str, str]] | None:
        """Return what allows a GET or HEAD with these header names, or None if that is not what is asked."""
        if origin not in self._origins or method not in ("GET", "HEAD"):
            return None
        allowed = [("Access-Control-Allow-Headers", headers)] if headers else []
        return [("Access-Control-Allow-Methods", method), *allowed]
