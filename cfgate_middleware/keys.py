"""Keys: which ones CloudFront takes, how they are loaded, and how they sign and verify.

Strategy: one table, keyed by the kind of key, holds everything that differs between RSA and ECDSA. This is the
only module that imports ``cryptography``. Key types and hash algorithms:
https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/private-content-trusted-signers.html
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from cfgate_middleware.errors import ConfigError, SigningError, kind_of, shown
from cfgate_middleware.wire import to_base64

if TYPE_CHECKING:
    from collections.abc import Callable

    PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey

HASH_ALGORITHMS = ("SHA256", "SHA1")
DEFAULT_HASH_ALGORITHM = "SHA256"
IMPLIED_HASH_ALGORITHM = "SHA1"  # what CloudFront assumes where no marker stands; AWS's own tools write none for it

_HASHES = {"SHA256": SHA256, "SHA1": SHA1}
_KEY_PAIR_ID = re.compile(r"[A-Za-z0-9]+")
_PROBE = b"cfgate_middleware probe"


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

    __slots__ = ("_old", "_young", "hash_algorithm", "key_pair_id", "parameters")

    def __init__(self, key_pair_id: str, hash_algorithm: str) -> None:
        self.key_pair_id = key_pair_id
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
        super().__init__(check_key_pair_id(signer.key_pair_id), signer.hash_algorithm)
        self._signer = signer

    def sign(self, message: bytes) -> bytes:
        return self._signer.sign(message)


class _KeyType(NamedTuple):
    """A row of the key table: how one kind of key is checked and used."""

    name: str
    private: type
    public: type
    hash_algorithms: tuple[str, ...]  # what we sign with; a verifier accepts both
    problem: Callable[[Any, bool], str | None]  # (key, legacy key pair id?) -> what is wrong with it
    arguments: Callable[[str], tuple[object, ...]]  # what sign() and verify() take after the data


def _rsa_problem(key: rsa.RSAPrivateKey, legacy: bool) -> str | None:
    if key.key_size == 2048 or (legacy and key.key_size == 4096):
        return None
    hint = " (4096 only with a legacy APKA… key pair id)" if key.key_size == 4096 else ""
    return f"an RSA key of {key.key_size} bits; CloudFront takes RSA 2048{hint} or ECDSA P-256"


def _ec_problem(key: ec.EllipticCurvePrivateKey, legacy: bool) -> str | None:
    if key.curve.name == "secp256r1":
        return None
    return f"an ECDSA key on curve {key.curve.name}; CloudFront takes P-256 (prime256v1) only"


_KEY_TYPES = (
    _KeyType(
        "RSA",
        rsa.RSAPrivateKey,
        rsa.RSAPublicKey,
        ("SHA256", "SHA1"),
        _rsa_problem,
        lambda name: (PKCS1v15(), _HASHES[name]()),
    ),
    # The AWS CLI refuses ECDSA with SHA-1, though CloudFront verifies it: we verify both and sign with SHA-256.
    _KeyType(
        "ECDSA",
        ec.EllipticCurvePrivateKey,
        ec.EllipticCurvePublicKey,
        ("SHA256",),
        _ec_problem,
        lambda name: (ec.ECDSA(_HASHES[name]()),),
    ),
)


class Signer(BaseSigner):
    """A private key and the id CloudFront knows its public half by; loaded and proven once, then only used.

    Args:
        key_pair_id: the public key's id at CloudFront, such as ``K2JCJMDEHXQW5F``.
        private_key: an unencrypted PEM (PKCS#8, PKCS#1 or SEC1) as str or bytes, or a ``cryptography`` private key:
            RSA 2048 or ECDSA P-256. An ``\\n``-escaped PEM is repaired. A file is read by the caller.
        hash_algorithm: ``"SHA256"`` (the default) or ``"SHA1"``; ECDSA keys sign with SHA-256 only.

    Raises:
        ConfigError: if the key is not one that CloudFront accepts, or cannot sign on this machine.

    Attributes:
        deterministic: whether equal policies give equal signatures: always for RSA, for ECDSA where OpenSSL can
            (RFC 6979).
    """

    __slots__ = ("_arguments", "_key", "deterministic", "kind")

    def __init__(
        self, key_pair_id: str, private_key: str | bytes | PrivateKey, hash_algorithm: str | None = None
    ) -> None:
        super().__init__(
            check_key_pair_id(key_pair_id), DEFAULT_HASH_ALGORITHM if hash_algorithm is None else hash_algorithm
        )
        if self.hash_algorithm not in HASH_ALGORITHMS:
            raise ConfigError(f"hash_algorithm={shown(hash_algorithm)}: expected 'SHA256' or 'SHA1'")
        self._key: Any = private_key if not isinstance(private_key, str | bytes) else _load_private(private_key)
        row = _row(self._key, "private")
        problem = row.problem(self._key, key_pair_id.startswith("APKA"))
        if problem:
            raise ConfigError(f"private_key: {problem}")
        if self.hash_algorithm not in row.hash_algorithms:
            raise ConfigError(
                f"hash_algorithm={shown(hash_algorithm)}: an ECDSA key signs with SHA256 only; "
                "leave hash_algorithm out or use an RSA key"
            )
        self.kind = row.name
        self._arguments = row.arguments(self.hash_algorithm)
        self.deterministic = True
        if self.kind == "ECDSA":
            self._use_rfc_6979_where_openssl_can()
        self._prove()

    def _use_rfc_6979_where_openssl_can(self) -> None:
        randomised = self._arguments
        try:
            self._arguments = (ec.ECDSA(SHA256(), deterministic_signing=True),)
            self._key.sign(_PROBE, *self._arguments)
        except UnsupportedAlgorithm:
            self._arguments, self.deterministic = randomised, False

    def _prove(self) -> None:
        try:
            self._key.public_key().verify(self.sign(_PROBE), _PROBE, *self._arguments)
        except UnsupportedAlgorithm as error:
            raise ConfigError(
                f"hash_algorithm={self.hash_algorithm!r}: this machine's OpenSSL refuses to sign with it "
                "(hardened and FIPS builds forbid SHA-1); use hash_algorithm='SHA256'"
            ) from error
        except InvalidSignature as error:
            raise ConfigError("private_key: its signatures do not verify; the key is damaged") from error

    def sign(self, message: bytes) -> bytes:
        """Sign ``message``: PKCS#1 v1.5 for RSA, ASN.1 DER for ECDSA."""
        signature: bytes = self._key.sign(message, *self._arguments)
        return signature

    def public_key_pem(self) -> str:
        """Return the public half as the SPKI PEM that is uploaded to CloudFront."""
        pem: bytes = self._key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        return pem.decode("ascii")

    def __repr__(self) -> str:
        return f"<Signer {self.key_pair_id} {self.kind} {self.hash_algorithm}>"


class PublicKey:
    """The public half of a key pair, as CloudFront holds it.

    Args:
        pem: SPKI PEM (``-----BEGIN PUBLIC KEY-----``), the only form CloudFront documents, or a ``cryptography``
            public key.

    Raises:
        ConfigError: if it is no RSA or ECDSA P-256 public key.
    """

    __slots__ = ("_key", "_row")

    def __init__(self, pem: str | bytes | rsa.RSAPublicKey | ec.EllipticCurvePublicKey) -> None:
        key: object = pem
        if isinstance(pem, str | bytes):
            try:
                key = load_pem_public_key(_to_bytes(pem))
            except (ValueError, UnsupportedAlgorithm) as error:
                raise ConfigError(f"public key: {kind_of(pem)} in which no PEM public key could be read") from error
        self._row = _row(key, "public")
        self._key: Any = key
        problem = self._row.problem(key, True)
        if problem:
            raise ConfigError(f"public key: {problem}")

    def verifies(self, signature: bytes, message: bytes, hash_algorithm: str) -> bool:
        """Say whether ``signature`` over ``message`` is this key's; ``hash_algorithm`` is ``SHA1`` or ``SHA256``."""
        try:
            self._key.verify(signature, message, *self._row.arguments(hash_algorithm))
        except InvalidSignature:
            return False
        return True


def check_key_pair_id(key_pair_id: object) -> str:
    """Return ``key_pair_id`` if it can be one.

    Raises:
        ConfigError: never showing the value, in case a key or a secret was put in its place.
    """
    if not isinstance(key_pair_id, str) or not _KEY_PAIR_ID.fullmatch(key_pair_id):
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


def _load_private(pem: str | bytes) -> Any:
    data = _to_bytes(pem)
    if b"-----BEGIN" not in data:
        raise ConfigError(
            f"private_key is {kind_of(pem)} that is no PEM; expected text with a line '-----BEGIN PRIVATE KEY-----'"
        )
    try:
        return load_pem_private_key(data, password=None)
    except TypeError as error:
        raise ConfigError(
            "private_key: the PEM is encrypted; decrypt it first (openssl pkey -in KEY -out PLAIN)"
        ) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        label = re.search(rb"-----BEGIN ([A-Z0-9 ]{1,40})-----", data)
        kind = label[1].decode("ascii") if label else "unknown"
        if kind.endswith("PUBLIC KEY") or kind == "CERTIFICATE":
            raise ConfigError(f"private_key: the PEM holds a {kind}; expected the private key of the pair") from error
        raise ConfigError(
            f"private_key is {kind_of(pem)} in which no private key could be read (PEM label: {kind}); "
            "expected a complete, unencrypted PKCS#8, PKCS#1 or SEC1 PEM"
        ) from error


def _to_bytes(pem: str | bytes) -> bytes:
    """Return PEM as bytes, with the newlines that environment files and JSON like to escape."""
    data = pem.encode("utf-8", "replace") if isinstance(pem, str) else pem
    return data.replace(b"\\r", b"").replace(b"\\n", b"\n").strip()


def _row(key: object, half: str) -> _KeyType:
    for row in _KEY_TYPES:
        if isinstance(key, getattr(row, half)):
            return row
    other = "public" if half == "private" else "private"
    if any(isinstance(key, getattr(row, other)) for row in _KEY_TYPES):
        raise ConfigError(f"{half}_key is a {other} key; expected the {half} key of the pair")
    name = type(key).__name__.removesuffix("PrivateKey").removesuffix("PublicKey")
    raise ConfigError(
        f"{half}_key is of type {name or 'object'}; CloudFront takes RSA 2048 or ECDSA P-256 keys, "
        f"given as PEM or as a cryptography {half} key"
    )
