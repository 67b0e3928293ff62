"""Keys: which ones CloudFront takes, how they are loaded, and how they sign and verify.

Strategy: one table, keyed by the kind of key, holds everything that differs between RSA and ECDSA. This is the
only module that imports ``cryptography``. Key types and hash algorithms:
https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/private-content-trusted-signers.html
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

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

from cfgate_middleware.errors import ConfigError, kind_of, shown
from cfgate_middleware.signers import DEFAULT_HASH_ALGORITHM, HASH_ALGORITHMS, PROBE, BaseSigner, check_key_pair_id

if TYPE_CHECKING:
    from collections.abc import Callable

    PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey

_HASHES = {"SHA256": SHA256, "SHA1": SHA1}


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

    __slots__ = ("_arguments", "_key", "kind")

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
        if self.kind == "ECDSA":
            self._use_rfc_6979_where_openssl_can()
        self._prove()

    def _use_rfc_6979_where_openssl_can(self) -> None:
        randomised = self._arguments
        try:
            self._arguments = (ec.ECDSA(SHA256(), deterministic_signing=True),)
            self._key.sign(PROBE, *self._arguments)
        except UnsupportedAlgorithm:
            self._arguments, self.deterministic = randomised, False

    def _prove(self) -> None:
        try:
            self._key.public_key().verify(self.sign(PROBE), PROBE, *self._arguments)
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
