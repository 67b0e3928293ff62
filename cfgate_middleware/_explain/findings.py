"""What ``explain`` returns, how findings are ordered, and what may be shown of a text that holds secrets."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import IntEnum
from itertools import pairwise

# A piece of a signature, key or token of this many characters is not shown.
_PIECE = 32
_TOKEN = re.compile(r"%[0-9A-Fa-f]{2}|.", re.DOTALL)
_SECRET_PAIR = re.compile(
    r"(?i)((?:sign|policy|token|secret|credential|auth|passw|session|cookie|\bkey|[._-]key|\bsig|hdn)[A-Za-z0-9_-]{0,40}"
    r"(?:=|%3D))[^&;\s#]+"
)
_TURNS = ("Aa", "aA", "A0", "0A", "a0", "0a")
_CODED = re.compile(r"eyJ[A-Za-z0-9+/~_=-]*|[0-9A-Fa-f]{100,}")  # JSON in base64, and long hexadecimal texts
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
    text = "".join(char if " " <= char <= "~" else "?" for char in text[:2000])
    text = _SECRET_PAIR.sub(r"\1***", _CODED.sub("***", text.partition("-----BEGIN")[0]))
    text = _without_random(text)
    return text if len(text) <= 300 else f"{text[:297]}..."


def _without_random(text: str) -> str:
    """Replace what looks random: pieces in which capitals, small letters and digits take turns, as in base64."""
    tokens: list[str] = _TOKEN.findall(text)
    kinds = "".join([_kind(one) for one in tokens])
    hidden = [False] * len(tokens)
    for start in range(0, len(tokens) - _PIECE // 2, _PIECE // 4):
        piece = kinds[start : start + _PIECE]
        turns = sum([one + other in _TURNS for one, other in pairwise(piece)])
        if set("Aa0") <= set(piece) and turns * 3 > len(piece):
            hidden[start : start + len(piece)] = [True] * len(piece)
    shown = "".join(["\0" if is_hidden else one for one, is_hidden in zip(tokens, hidden, strict=True)])
    return re.sub("\0+", "***", shown)


def _kind(char: str) -> str:
    return "A" if "A" <= char <= "Z" else "a" if "a" <= char <= "z" else "0" if "0" <= char <= "9" else "-"


def masked_host(host: str) -> str:
    """Return a host if it can be one."""
    return host if re.fullmatch(r"[a-z0-9.:\[\]_-]{0,100}", host) else "***"


def masked_id(text: str) -> str:
    """Return a key pair id if it has the shape of one, else what kind of text is in its place."""
    return text if _SHOWN_ID.fullmatch(text) and masked(text) == text else f"a text of {len(text)} characters"


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
