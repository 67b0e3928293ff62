"""What signs: the shape every signer has, its memo, and the ring of keys that rotate.

A public key cannot be replaced under its id at CloudFront, so what is rotated is always the pair of id and key:
https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/private-content-trusted-signers.html
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Protocol, cast

from cfgate_middleware.errors import ConfigError, Problems, SigningError, kind_of
from cfgate_middleware.policy import check_moment
from cfgate_middleware.wire import to_base64

HASH_ALGORITHMS = ("SHA256", "SHA1")
DEFAULT_HASH_ALGORITHM = "SHA256"
IMPLIED_HASH_ALGORITHM = "SHA1"  # what CloudFront assumes where no marker stands; AWS's own tools write none for it

PROBE = b"cfgate_middleware probe"  # what a key signs to prove itself

_KEY_PAIR_ID = r"[A-Za-z0-9]+"

# The memo of one signer holds between one and two times as many signatures: at some 700 bytes each (RSA, a path of
# usual length) about 10 MB at the most, and far more than the files in demand within one window.
MEMO_ENTRIES = 8192


class SignerProtocol(Protocol):
    """What signs: :class:`Signer`, or any object of this shape, such as one that asks a remote key service.

    ``sign`` returns an RSA PKCS#1 v1.5 signature or a DER-encoded ECDSA one over ``message``, hashed with
    ``hash_algorithm`` (``"SHA256"`` or ``"SHA1"``). It may raise anything; nothing is signed then.
    """

    @property
    def key_pair_id(self) -> str: ...

    @property
    def hash_algorithm(self) -> str: ...

    def sign(self, message: bytes) -> bytes: ...


class BaseSigner(ABC):
    """What every signer can do beyond signing: spell a signature for CloudFront, and remember it.

    The memo maps exact policy bytes to the spelled signature, in two generations: a full young one becomes the old
    one, whose entries are dropped unless they are asked for again. Threads may race; the loser signs once more.
    """

    __slots__ = ("_old", "_young", "deterministic", "hash_algorithm", "key_pair_id", "parameters")

    def __init__(self, key_pair_id: str, hash_algorithm: str, deterministic: bool = True) -> None:
        self.key_pair_id = key_pair_id
        self.deterministic = deterministic  # whether equal policies give equal signatures in every process
        self.hash_algorithm = hash_algorithm
        marker = "" if hash_algorithm == IMPLIED_HASH_ALGORITHM else f"&Hash-Algorithm={hash_algorithm}"
        self.parameters = f"&Key-Pair-Id={key_pair_id}{marker}"  # what ends every URL signed with this key
        self._young: dict[bytes, str] = {}
        self._old: dict[bytes, str] = {}

    @abstractmethod
    def sign(self, message: bytes) -> bytes:
        """Sign ``message``: PKCS#1 v1.5 for RSA, ASN.1 DER for ECDSA."""

    def signature(self, policy: bytes, reuse: bool) -> str:
        """Return the signature of ``policy`` in CloudFront's base64, with ``reuse`` the one given before.

        Raises:
            SigningError: if signing fails in any way.
        """
        if not reuse:
            return self._signature(policy)
        spelled = self._young.get(policy)
        if spelled is None:
            spelled = self._old.get(policy) or self._signature(policy)
            if len(self._young) >= MEMO_ENTRIES:
                self._old, self._young = self._young, {}
            self._young[policy] = spelled
        return spelled

    def _signature(self, policy: bytes) -> str:
        try:
            signature = self.sign(policy)
        except SigningError:
            raise
        except Exception as error:
            raise SigningError(f"signer {self.key_pair_id} failed with {type(error).__name__}") from error
        if not isinstance(signature, bytes) or not signature:
            raise SigningError(f"signer {self.key_pair_id} returned {kind_of(signature)} instead of a signature")
        return to_base64(signature)


class AdaptedSigner(BaseSigner):
    """Any object of the shape of :class:`SignerProtocol`; its id and hash algorithm are read once."""

    __slots__ = ("_signer",)

    def __init__(self, signer: SignerProtocol) -> None:
        deterministic = bool(getattr(signer, "deterministic", True))
        super().__init__(check_key_pair_id(signer.key_pair_id), signer.hash_algorithm, deterministic)
        self._signer = signer

    def sign(self, message: bytes) -> bytes:
        return self._signer.sign(message)


def as_signer(signer: object) -> BaseSigner:
    """Return ``signer`` as the gate uses it.

    Raises:
        ConfigError: if it does not have the shape of :class:`SignerProtocol`.
    """
    if isinstance(signer, BaseSigner):
        return signer
    hash_algorithm = getattr(signer, "hash_algorithm", None)
    if isinstance(signer, type) or hash_algorithm not in HASH_ALGORITHMS or not callable(getattr(signer, "sign", None)):
        raise ConfigError(
            f"signer is {kind_of(signer)}; expected a Signer, a KeyRing, or an object with key_pair_id, "
            "hash_algorithm ('SHA256' or 'SHA1') and sign(message)"
        )
    check_key_pair_id(getattr(signer, "key_pair_id", None))
    return AdaptedSigner(cast("SignerProtocol", signer))


class KeyRing:
    """Key pairs in rotation, oldest to newest: the last active one signs.

    Args:
        keys: signers, or pairs of a signer and the moment from which it is active: an aware datetime or epoch
            seconds. Without a moment a key is active at once.

    Raises:
        ConfigError: with every member that is no key; if there is no key, or an id stands twice.
    """

    __slots__ = ("_newest_first",)

    def __init__(self, keys: Iterable[SignerProtocol | tuple[SignerProtocol, datetime | float]]) -> None:
        if not isinstance(keys, Iterable):
            raise ConfigError(f"the key ring is {kind_of(keys)}; expected an iterable of signers")
        entries: list[tuple[BaseSigner, int]] = []
        problems = Problems()
        for number, key in enumerate(keys, start=1):
            signer, active_from = key if isinstance(key, tuple) and len(key) == 2 else (key, 0)
            with problems.about(f"key {number}"):
                entries.append((as_signer(signer), check_moment(active_from)))
        ids = [signer.key_pair_id for signer, _ in entries]
        for key_pair_id in sorted({name for name in ids if ids.count(name) > 1}):
            problems.append(
                f"key pair id {key_pair_id} stands twice in the ring; a new key gets a new id at CloudFront"
            )
        if not entries and not problems:
            problems.append("the key ring is empty; expected at least one key")
        problems.raise_any()
        self._newest_first = tuple(reversed(entries))

    def current(self, now: float) -> BaseSigner:
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


class Ring(Protocol):
    """What tells the key of a moment: a :class:`KeyRing`, or a ring that is watched."""

    def current(self, now: float) -> BaseSigner: ...


AnySigner = SignerProtocol | Ring
Keys = Callable[[float], BaseSigner]
"""Which key signs at a moment (epoch seconds): one decision asks once."""


def as_keys(signer: object) -> Keys:
    """Return a signer, or a ring of them, as what tells the key of a moment.

    Raises:
        ConfigError: if it is neither.
    """
    current = getattr(signer, "current", None)
    if callable(current) and not isinstance(signer, type):
        return cast("Keys", current)
    one = as_signer(signer)
    return lambda now: one


def check_key_pair_id(key_pair_id: object) -> str:
    """Return ``key_pair_id`` if it can be one.

    Raises:
        ConfigError: never showing the value, in case a key or a secret was put in its place.
    """
    if not isinstance(key_pair_id, str) or not re.fullmatch(_KEY_PAIR_ID, key_pair_id):
        raise ConfigError(
            f"key_pair_id is {kind_of(key_pair_id)}; expected the letters and digits CloudFront shows beside the "
            "public key, such as K2JCJMDEHXQW5F"
        )
    if key_pair_id.startswith("AKIA"):
        raise ConfigError(
            "key_pair_id starts with AKIA: that is an IAM access key id; expected the id CloudFront shows beside the "
            "public key, such as K2JCJMDEHXQW5F"
        )
    return key_pair_id
