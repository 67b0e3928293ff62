"""What ``explain`` returns, how findings are ordered, and what may be shown of a text that holds secrets."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import IntEnum

# What an access token, a key or a cut signature can look like.
_LONG_RUN = re.compile(
    r"(?=[a-z0-9+~_=%-]*[A-Z])(?=[A-Z0-9+~_=%-]*[a-z])(?=[A-Za-z+~_=%-]*[0-9])[A-Za-z0-9+~_=%-]{48,}|eyJ[A-Za-z0-9+/~_=%-]*"
)
_SECRET_PAIR = re.compile(
    r"(?i)((?:sign|policy|token|secret|credential|auth|passw|session|cookie|\bkey|[._-]key|\bsig|hdn)[A-Za-z0-9_-]*"
    r"(?:=|%3D))[^&;\s#]+"
)
_SHOWN_ID = re.compile(r"[A-Za-z0-9]{1,32}")


class Certainty(IntEnum):
    """How sure a finding is, which is also the order in which findings are given."""

    PROVEN = 0  # verified by a signature, or said by the response
    SURE = 1  # seen in the text
    TIME = 2
    LAST = 3  # nothing better was found, but it is refused
    LIKELY = 4  # may be the reason
    NOTE = 5  # not a reason for a refusal


@dataclass(frozen=True, slots=True)
class Finding:
    """One cause, with a stable ``code``, what is wrong, and how to cure it."""

    code: str
    text: str
    cure: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """What CloudFront would do, and why.

    Attributes:
        verdict: ``"served"``, ``"refused"`` or ``"undecided"``.
        findings: the causes, most certain first.
        facts: what was read, as pairs of name and value in the order in which they are printed.
    """

    verdict: str
    findings: tuple[Finding, ...]
    facts: tuple[tuple[str, str], ...]


class Report:
    """Collects findings and facts; the first finding with a code is kept."""

    def __init__(self) -> None:
        self._findings: list[tuple[Certainty, Finding]] = []
        self._facts: list[tuple[str, str]] = []

    def add(self, certainty: Certainty, code: str, text: str, cure: str) -> None:
        if code not in self.codes:
            self._findings.append((certainty, Finding(code, text, cure)))

    def fact(self, name: str, value: str) -> None:
        self._facts.append((name, value))

    @property
    def codes(self) -> list[str]:
        return [finding.code for _, finding in self._findings]

    def is_refused(self) -> bool:
        return any(certainty <= Certainty.LAST for certainty, _ in self._findings)

    def explanation(self, is_verified: bool) -> Explanation:
        is_open = any(certainty == Certainty.LIKELY for certainty, _ in self._findings)
        verdict = "refused" if self.is_refused() else "served" if is_verified and not is_open else "undecided"
        ordered = sorted(self._findings, key=lambda one: one[0])
        return Explanation(verdict, tuple(finding for _, finding in ordered), tuple(self._facts))


def masked(text: str) -> str:
    """Return text of a URL as it may be shown: printable, cut short, without what could be a secret."""
    text = "".join(char if " " <= char <= "~" else "?" for char in text[:4000])
    text = _LONG_RUN.sub("***", _SECRET_PAIR.sub(r"\1***", text))
    return text if len(text) <= 300 else f"{text[:297]}..."


def masked_id(text: str) -> str:
    """Return a key pair id if it has the shape of one, else what kind of text is in its place."""
    return text if _SHOWN_ID.fullmatch(text) else f"a text of {len(text)} characters"


def at(epoch: int, now: float) -> str:
    """Return a time, and how far away it is."""
    try:
        written = datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        written = "far away"
    distance = epoch - now
    return f"{written} (in {span(distance)})" if distance > 0 else f"{written} ({span(-distance)} ago)"


def span(seconds: float) -> str:
    """Return a length of time in its largest unit."""
    for unit, size in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= size * (2 if unit != "minute" else 1):
            return _counted(int(seconds // size), unit)
    return _counted(int(seconds), "second") if seconds >= 1 else "less than a second"


def _counted(number: int, unit: str) -> str:
    return f"{number} {unit}" if number == 1 else f"{number} {unit}s"
