"""A signature as it is given, every way to read it, and the proof of who signed what.

Strategy: an RSA signature opens under its key and shows the digest inside. So who signed is known before what was
signed, and a hypothesis costs one hash. An ECDSA signature has to be verified each time, which is why hypotheses come
in the order in which they are met, and the number of verifications is bounded.
"""

from __future__ import annotations

import binascii
import hashlib
import re
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import NamedTuple
from urllib.parse import unquote

from cfgate_middleware._core.encoding import from_base64
from cfgate_middleware._core.problems import Secret
from cfgate_middleware._explain.policies import Hypothesis
from cfgate_middleware._keys.pem import PublicKey

MAX_VERIFICATIONS = 240  # of signatures that do not open, so that even two ECDSA keys take less than 0.1 s
MAX_HYPOTHESES = 2500
_MAX_HASHED = 3 * 2**20  # bytes
_HASHES = ("SHA1", "SHA256")


class Decoded(NamedTuple):
    """One way to read base64: what is wrong with the text that is read like this, and the bytes."""

    problem: str
    data: Secret[bytes]


class Proof(NamedTuple):
    """What a signature proves."""

    key_pair_id: str
    hash_algorithm: str
    signature_problem: str  # of the alphabet
    form: str  # "", "raw-ecdsa" or "pss"
    hypothesis: Hypothesis | None  # None: this key signed something else


def decoded(text: Secret[str]) -> list[Decoded]:
    """Return the readings of a text as base64 that make sense, the strict one alone if it does."""
    try:
        return [Decoded("", Secret(from_base64(text.value)))]
    except ValueError:
        pass
    plain = Secret(text.value)
    problem = ""
    for _ in range(3):
        if "%" in plain.value:
            plain, problem = Secret(unquote(plain.value)), "it is percent-encoded more than once"
    if re.fullmatch(r"b'.*'", plain.value):
        plain, problem = Secret(plain.value[2:-1]), "it is what Python shows of bytes, with b'…'"
    if re.search(r"[\r\n\t]", plain.value):
        problem = "it has line breaks in it"
    plain = Secret(plain.value.replace(" ", "+"))
    if re.fullmatch(r"[0-9a-fA-F]{100,}", plain.value) and len(plain.value) % 2 == 0:
        return [Decoded("it is hexadecimal instead of base64", Secret(bytes.fromhex(plain.value)))]
    body = Secret(re.sub(r"\s+", "", plain.value).rstrip("=_."))
    spellings = (
        ("-~", problem or "its padding is missing, or it is cut", r"[A-Za-z0-9~-]+"),
        ("-_", "it is URL-safe base64, in which _ is what CloudFront writes ~", r"[A-Za-z0-9_-]+"),
        ("+/", "it is standard base64; CloudFront writes - _ ~ for + = /", r"[A-Za-z0-9+/]+"),
        ("-/", "only a part of + = / is replaced; CloudFront writes - _ ~ for them", r"[A-Za-z0-9/-]+"),
        ("+~", "only a part of + = / is replaced; CloudFront writes - _ ~ for them", r"[A-Za-z0-9+~]+"),
    )
    if "=" in text.value and not re.search("[+/_]", body.value) and not problem:
        spellings = (spellings[2], *spellings[:2], *spellings[3:])
    readings: list[Decoded] = []
    for marks, why, pattern in spellings:
        data = _from_any(body, marks) if re.fullmatch(pattern, body.value) else None
        if data is not None and all(data.value != reading.data.value for reading in readings):
            readings.append(Decoded(why, data))
    return readings


def _from_any(body: Secret[str], marks: str) -> Secret[bytes] | None:
    padded = Secret(body.value.translate(str.maketrans(marks, "+/")) + "=" * (-len(body.value) % 4))
    try:
        return Secret(binascii.a2b_base64(padded.value))
    except ValueError:
        return None


class Candidate(NamedTuple):
    """A way to read the signature, and a key that may have made it."""

    key_pair_id: str
    key: PublicKey
    problem: str
    form: str
    signature: Secret[bytes]


class Prover:
    """Finds the key, the hash algorithm and the hypothesis under which a signature verifies."""

    def __init__(
        self, readings: Iterable[Decoded], keys: Mapping[str, PublicKey], key_pair_id: str, marker: str
    ) -> None:
        self._candidates = [
            candidate
            for name, key in sorted(keys.items(), key=lambda item: item[0] != key_pair_id)
            for reading in readings
            for candidate in _candidates(name, key, reading)
        ]
        self._key_pair_id = key_pair_id
        self._hashes = sorted(_HASHES, key=lambda name: name != marker)
        self._left = MAX_VERIFICATIONS

    def prove(self, hypotheses: Iterable[Hypothesis]) -> Proof | None:
        """Return what is proven, at best with a hypothesis."""
        for candidate in self._candidates:
            opened = candidate.key.opened(candidate.signature)
            if opened is not None:
                name, digest = opened
                found = next((one for one in _bounded(hypotheses) if _digest(one.message, name) == digest.value), None)
                return Proof(candidate.key_pair_id, name, candidate.problem, "", found)
        return self._search(_bounded(hypotheses))

    def _search(self, hypotheses: Iterable[Hypothesis]) -> Proof | None:
        """Verify what is likely first: one change with what the request names, then other hashes, keys and pairs."""
        named = [one for one in self._candidates if one.key_pair_id == self._key_pair_id or len(self._candidates) == 1]
        other = [one for one in self._candidates if one not in named]
        rest = iter(hypotheses)
        everything = [(one, name) for one in self._candidates for name in self._hashes]
        if proof := self._try([(islice(rest, 1), everything)]):
            return proof
        kept = list(islice(rest, 2 * MAX_VERIFICATIONS))
        count = len([one for one in kept if len(one.changes) < 2])
        first, second = self._hashes
        as_named = [(one, first) for one in named]
        rounds = (
            (kept[:count], as_named),
            (kept[:30], [(one, second) for one in named] + [(one, first) for one in other]),
            (kept[count:], [(one, name) for one in named or other for name in self._hashes]),
        )
        return self._try(rounds)

    def _try(self, rounds: Iterable[tuple[Iterable[Hypothesis], list[tuple[Candidate, str]]]]) -> Proof | None:
        for some, how in rounds:
            for hypothesis in some:
                for candidate, name in how:
                    if self._left <= 0:
                        return None
                    if form := self._verifies(candidate, hypothesis, name):
                        return Proof(candidate.key_pair_id, name, candidate.problem, form.strip(), hypothesis)
        return None

    def _verifies(self, candidate: Candidate, hypothesis: Hypothesis, name: str) -> str:
        """Return the form of the signature, a space for the right one, or "" if it does not verify."""
        self._left -= 1
        if candidate.form != "pss" and candidate.key.verifies(candidate.signature, hypothesis.message, name):
            return candidate.form or " "
        if candidate.form == "pss" and candidate.key.verifies_pss(candidate.signature, hypothesis.message, name):
            return "pss"
        return ""


def _candidates(name: str, key: PublicKey, reading: Decoded) -> Iterable[Candidate]:
    length = len(reading.data.value)
    if key.is_rsa:
        if key.kind == f"RSA {8 * length}":
            form = "" if key.opened(reading.data) else "pss"
            yield Candidate(name, key, reading.problem, form, reading.data)
    elif is_der(reading.data):
        yield Candidate(name, key, reading.problem, "", reading.data)
    elif length == 64:
        yield Candidate(name, key, reading.problem, "raw-ecdsa", Secret(_to_der(reading.data)))


def is_der(signature: Secret[bytes]) -> bool:
    """Return whether bytes have the shape of an ECDSA signature in DER."""
    return (
        8 <= len(signature.value) <= 72
        and signature.value[:1] == b"0"
        and signature.value[1] == len(signature.value) - 2
    )


def _to_der(raw: Secret[bytes]) -> bytes:
    numbers = [int.from_bytes(raw.value[:32], "big"), int.from_bytes(raw.value[32:], "big")]
    parts = b"".join(
        b"\x02" + bytes([number.bit_length() // 8 + 1]) + number.to_bytes(number.bit_length() // 8 + 1, "big")
        for number in numbers
    )
    return b"0" + bytes([len(parts)]) + parts


def _bounded(hypotheses: Iterable[Hypothesis]) -> Iterable[Hypothesis]:
    hashed = 0
    for number, hypothesis in enumerate(hypotheses):
        if number >= MAX_HYPOTHESES or hashed > _MAX_HASHED:
            return
        hashed += len(hypothesis.message.value)
        yield hypothesis


def _digest(message: Secret[bytes], name: str) -> bytes:
    if name == "SHA1":
        return hashlib.sha1(message.value, usedforsecurity=False).digest()
    return hashlib.sha256(message.value).digest()
