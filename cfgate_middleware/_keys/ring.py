"""Rings of keys that rotate, and the lines they are written as.

A public key cannot be replaced under its id at CloudFront, so what is rotated is always the pair of id and key:
https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/private-content-trusted-signers.html
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any, cast

from cfgate_middleware._core.policy import to_epoch
from cfgate_middleware._core.problems import Problems, Secret, kind_of
from cfgate_middleware._core.signer import Memo, PolicySigner, SignerProtocol, check_signer
from cfgate_middleware._keys.signer import Signer
from cfgate_middleware.errors import ConfigError, SigningError

_LINES = "lines 'KEY_PAIR_ID SOURCE [ISO-8601 activation time]'"
_LINE = re.compile(r"(\S+)\s+(.*?\S)(?:\s+(\d{4}-\d\d-\d\d\S*))?")


class KeyRing:
    """Key pairs in rotation, oldest to newest: the last active one signs. A single signer is a ring of one.

    Args:
        keys: signers, or pairs of a signer and its activation time: an aware datetime or epoch seconds. Without an
            activation time a key is active at once.

    Raises:
        ConfigError: with every member that is not a signer; if there is no key, or an id occurs twice.
    """

    __slots__ = ("_newest_first",)

    def __init__(self, keys: Iterable[SignerProtocol | tuple[SignerProtocol, datetime | float]]) -> None:
        self._newest_first: tuple[tuple[PolicySigner, int], ...] = ()
        members: Secret[Any] = Secret(keys)
        del keys  # in which a key may have been put by mistake
        if not isinstance(members.value, Iterable) or isinstance(members.value, str | bytes):
            raise ConfigError(f"the key ring is {kind_of(members.value)}; expected an iterable of signers")
        problems = Problems()
        memo = Memo()
        checked = [
            problems.check(f"key {number}", lambda member: _to_entry(member, memo), member)
            for number, member in enumerate(map(Secret, members.value), start=1)
        ]
        self._newest_first = tuple(entry for entry in reversed(checked) if entry is not None)
        ids = [signer.key_pair_id for signer, _ in self._newest_first]
        for key_pair_id in sorted({name for name in ids if ids.count(name) > 1}):
            problems.add(f"key pair id {key_pair_id} occurs twice in the ring; a new key gets a new id at CloudFront")
        if not checked:
            problems.add("the key ring is empty; expected at least one key")
        problems.raise_any()

    def current(self, now: float) -> PolicySigner:
        """Return the key that signs at ``now`` (epoch seconds).

        Raises:
            SigningError: if no key is active yet.
        """
        for signer, active_from in self._newest_first:
            if active_from <= now:
                return signer
        first = min(active_from for _, active_from in self._newest_first)
        raise SigningError(f"no key of the ring is active before {first} (epoch seconds)")

    def __repr__(self) -> str:
        return f"<KeyRing {' '.join(signer.key_pair_id for signer, _ in reversed(self._newest_first))}>"


def _to_entry(member: Secret[Any], memo: Memo) -> tuple[PolicySigner, int]:
    pair = Secret(member.value if isinstance(member.value, tuple) else (member.value, 0))
    if len(pair.value) != 2:
        raise ValueError("expected a signer, or a pair of a signer and its activation time")
    check_signer(pair.value[0])
    return PolicySigner(pair.value[0], memo), to_epoch(pair.value[1])


def load_ring(given: Secret[Any], hash_algorithm: object = None, folder: Path | None = None) -> KeyRing:
    """Load a ring from a text or an iterable of lines ``KEY_PAIR_ID SOURCE [ISO-8601 activation time]``, oldest first.

    A member may also be a tuple of the same, with any source that a Signer takes, and an aware datetime or epoch
    seconds for a time. Empty lines and those that begin with ``#`` are skipped; relative paths start at ``folder``.

    Raises:
        ConfigError: naming every line that cannot be used.
    """
    entries = Secret(given.value.splitlines() if isinstance(given.value, str) else given.value)
    if not isinstance(entries.value, Iterable) or isinstance(entries.value, bytes):
        raise ConfigError(f"keys: expected a KeyRing, or {_LINES}, or file:PATH")
    problems = Problems()
    loaded = [
        problems.check(f"keys, line {number}", lambda line: _load_key(line, hash_algorithm, folder), entry)
        for number, entry in enumerate(map(Secret, entries.value), start=1)
        if not isinstance(entry.value, str) or entry.value.lstrip()[:1] not in ("", "#")
    ]
    problems.raise_any()
    ring = problems.check("keys", KeyRing, loaded)
    problems.raise_any()
    return cast("KeyRing", ring)


def _load_key(entry: Secret[Any], hash_algorithm: Any, folder: Path | None) -> tuple[Signer, Any]:
    """Load one entry of a ring; what it holds is not shown, because a key may be in the wrong place."""
    fields = entry
    if isinstance(entry.value, str):
        match = Secret(_LINE.fullmatch(entry.value.strip()))
        fields = Secret(match.value and match.value.groups())
    if not isinstance(fields.value, tuple) or len(fields.value) not in (2, 3):
        raise ValueError(f"expected {_LINES}, such as 'K2JCJMDEHXQW5F /etc/keys/new.pem 2026-12-01T00:00:00Z'")
    active_from = Secret((*fields.value, None)[2])
    if isinstance(active_from.value, str):
        try:
            active_from = Secret(datetime.fromisoformat(active_from.value))
        except ValueError:
            raise ValueError(
                f"the activation time is {kind_of(active_from.value)}; expected ISO 8601 such as 2026-12-01T00:00:00Z"
            ) from None
    signer = Signer(fields.value[0], fields.value[1], hash_algorithm, _folder=folder)
    return signer, 0 if active_from.value is None else active_from.value
