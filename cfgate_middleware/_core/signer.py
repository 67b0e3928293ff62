"""What signs a policy: the protocol every signer implements, and the memo of signatures.

https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/private-content-trusted-signers.html
"""

from __future__ import annotations

import re
from typing import Protocol

from cfgate_middleware._core.checks import to_one_of
from cfgate_middleware._core.encoding import to_base64
from cfgate_middleware._core.problems import Problems, Secret, kind_of
from cfgate_middleware.errors import SigningError

HASH_ALGORITHMS = ("SHA256", "SHA1")  # the default first
# A body of base64 without its label is longer: it is no id, but a key in the wrong place.
_KEY_PAIR_ID = re.compile(r"[A-Za-z0-9]{1,64}")
_NO_KEY_PAIR_IDS = {
    r"AKIA.*": "AKIA begins an IAM access key id",
    r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}": "a UUID is the id of a key group",
    r"E[A-Z0-9]{12,14}": "an id of this form is a distribution's",
}

# A memo keeps at most this many bytes, and forgets nothing before half of it is in use.
MEMO_BYTES = 16 * 2**20
_ENTRY_OVERHEAD = 200  # bytes that an entry costs beside its policy and its parameters
_LONGEST_REMEMBERED = 2048  # bytes of a policy; longer ones are rare, and would drive the others out


class SignerProtocol(Protocol):
    """What signs: :class:`cfgate_middleware.Signer`, or any object with these members, such as a key service's client.

    ``sign`` returns an RSA PKCS#1 v1.5 signature or a DER-encoded ECDSA one over ``message``, hashed with
    ``hash_algorithm`` (``"SHA256"`` or ``"SHA1"``). It may raise anything; nothing is signed then. An attribute
    ``deterministic = False`` says that equal messages get unequal signatures, and ``blocks = False`` that signing takes
    no network and little time, so that an ASGI server's loop can wait for it.
    """

    @property
    def key_pair_id(self) -> str: ...

    @property
    def hash_algorithm(self) -> str: ...

    def sign(self, message: bytes) -> bytes: ...


class Memo:
    """Remembers signed parameters by key pair id and policy, within a fixed number of bytes.

    There are two generations: a full young one becomes the old one, whose entries are dropped unless they are asked
    for again. Threads may race; the loser signs once more, and the count errs by what they insert at once.
    """

    def __init__(self) -> None:
        self._bytes = 0
        self._young: dict[tuple[str, bytes], Secret[str]] = {}
        self._old: dict[tuple[str, bytes], Secret[str]] = {}

    def get(self, key_pair_id: str, policy: Secret[bytes]) -> Secret[str] | None:
        parameters = self._young.get((key_pair_id, policy.value))
        if parameters is None and (parameters := self._old.get((key_pair_id, policy.value))) is not None:
            self.keep(key_pair_id, policy, parameters)
        return parameters

    def keep(self, key_pair_id: str, policy: Secret[bytes], parameters: Secret[str]) -> None:
        if len(policy.value) > _LONGEST_REMEMBERED:
            return
        size = len(policy.value) + len(parameters.value) + _ENTRY_OVERHEAD
        if self._bytes + size > MEMO_BYTES // 2:
            self._old, self._young, self._bytes = self._young, {}, 0
        self._young[key_pair_id, policy.value] = parameters
        self._bytes += size


class PolicySigner:
    """A signer as the gate uses it: signatures as URLs carry them, remembered if that is wanted."""

    def __init__(self, signer: SignerProtocol, memo: Memo) -> None:
        self.key_pair_id = to_key_pair_id(signer.key_pair_id)
        self.deterministic = bool(getattr(signer, "deterministic", True))
        self.blocks = bool(getattr(signer, "blocks", True))
        # Without a marker CloudFront assumes SHA1; AWS's own tools write none for it.
        marker = "" if signer.hash_algorithm == "SHA1" else f"&Hash-Algorithm={signer.hash_algorithm}"
        self._suffix = f"&Key-Pair-Id={self.key_pair_id}{marker}"
        self._sign = signer.sign
        self._memo = memo

    def sign(self, policy: Secret[bytes], expires: int | None, reuse: bool) -> Secret[str]:
        """Return CloudFront's own parameters for a custom policy, or a canned one that ends at ``expires``."""
        parameters = self._memo.get(self.key_pair_id, policy) if reuse else None
        if parameters is not None:
            return parameters
        try:
            signature = Secret(self._sign(policy.value))
        except SigningError:
            raise
        except Exception as error:
            raise SigningError(f"signer {self.key_pair_id} failed with {type(error).__name__}") from error
        if not isinstance(signature.value, bytes) or not signature.value:
            what = kind_of(signature.value)
            raise SigningError(f"signer {self.key_pair_id} returned {what} instead of a signature in bytes")
        first = Secret(f"Policy={to_base64(policy.value)}" if expires is None else f"Expires={expires}")
        parameters = Secret(f"{first.value}&Signature={to_base64(signature.value)}{self._suffix}")
        if reuse:
            self._memo.keep(self.key_pair_id, policy, parameters)
        return parameters


class Ring(Protocol):
    """Anything that returns the key to sign with at a given time (epoch seconds); one decision asks once."""

    def current(self, now: float) -> PolicySigner: ...


def check_signer(signer: object) -> None:
    """Raise ValueError if an object does not implement :class:`SignerProtocol`."""
    hash_algorithm = getattr(signer, "hash_algorithm", None)
    if isinstance(signer, type) or hash_algorithm not in HASH_ALGORITHMS or not callable(getattr(signer, "sign", None)):
        members = "key_pair_id, hash_algorithm ('SHA256' or 'SHA1') and sign(message)"
        raise ValueError(f"expected a Signer, a KeyRing, or an object with {members}")
    problems = Problems()
    problems.check("key_pair_id", to_key_pair_id, getattr(signer, "key_pair_id", None), secret=True)
    problems.raise_any()


def to_key_pair_id(value: object) -> str:
    """Return a key pair id; the caller does not show a wrong one, in case a key was put in its place."""
    expected = "expected the id that CloudFront shows beside the public key, such as K2JCJMDEHXQW5F"
    key_pair_id = value.strip() if isinstance(value, str) else ""
    for pattern, why in _NO_KEY_PAIR_IDS.items():
        if re.fullmatch(pattern, key_pair_id):
            raise ValueError(f"{why}; {expected}")
    if not _KEY_PAIR_ID.fullmatch(key_pair_id):
        raise ValueError(f"{expected}: at most 64 letters and digits")
    return key_pair_id


def to_hash_algorithm(value: object) -> str:
    """Return the name of a hash algorithm, the default for None."""
    return to_one_of(HASH_ALGORITHMS, HASH_ALGORITHMS[0] if value is None else value, "'SHA256' or 'SHA1'")
