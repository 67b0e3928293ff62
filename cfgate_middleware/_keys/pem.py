"""PEM and key objects: which keys CloudFront accepts, and how they sign and verify.

Strategy: one table row per kind of key holds everything that differs between RSA and ECDSA. This is the only module
that imports ``cryptography``. Key types and hash algorithms:
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

from cfgate_middleware._core.problems import Secret, kind_of

if TYPE_CHECKING:
    from collections.abc import Callable

PROBE = b"cfgate_middleware probe"  # what a key signs to prove itself

_HASHES = {"SHA256": SHA256, "SHA1": SHA1}


class _KeyType(NamedTuple):
    """A row of the key table: how one kind of key is checked and used."""

    name: str
    private: type
    public: type
    hash_algorithms: tuple[str, ...]  # what we sign with; a verifier accepts both
    problem: Callable[[Any, bool], str | None]  # (key, legacy key pair id?) -> what is wrong with it
    arguments: Callable[[str], tuple[object, ...]]  # what sign() and verify() take after the data
    repeatable: Callable[[], tuple[object, ...]] | None  # the same, for signatures that repeat where usual ones do not


def _rsa_problem(key: rsa.RSAPrivateKey, legacy: bool) -> str | None:
    if key.key_size == 2048 or (legacy and key.key_size == 4096):
        return None
    hint = " (4096 only with a legacy APKA… key pair id)" if key.key_size == 4096 else ""
    return f"that is an RSA key of {key.key_size} bits; CloudFront takes RSA 2048{hint} or ECDSA P-256"


def _ec_problem(key: ec.EllipticCurvePrivateKey, legacy: bool) -> str | None:
    if key.curve.name == "secp256r1":
        return None
    return f"that is an ECDSA key on curve {key.curve.name}; CloudFront takes P-256 (prime256v1) only"


_KEY_TYPES = (
    _KeyType(
        "RSA",
        rsa.RSAPrivateKey,
        rsa.RSAPublicKey,
        ("SHA256", "SHA1"),
        _rsa_problem,
        lambda name: (PKCS1v15(), _HASHES[name]()),
        None,
    ),
    # The AWS CLI refuses ECDSA with SHA-1, though CloudFront verifies it: we verify both and sign with SHA-256.
    # Deterministic signatures are those of RFC 6979.
    _KeyType(
        "ECDSA",
        ec.EllipticCurvePrivateKey,
        ec.EllipticCurvePublicKey,
        ("SHA256",),
        _ec_problem,
        lambda name: (ec.ECDSA(_HASHES[name]()),),
        lambda: (ec.ECDSA(SHA256(), deterministic_signing=True),),
    ),
)


class PrivateKey:
    """A private key whose public half CloudFront accepts; proven when it is loaded.

    Args:
        material: an unencrypted PEM (PKCS#8, PKCS#1 or SEC1) as str or bytes, or a ``cryptography`` private key.
        legacy: whether the key pair id is one of an account's old ``APKA…`` ids, whose keys may have 4096 bits.

    Raises:
        ValueError: if CloudFront would not accept the key, or it cannot sign on this machine.
    """

    __slots__ = ("_arguments", "_key", "deterministic", "hash_algorithm", "kind")

    def __init__(self, material: Secret[Any], hash_algorithm: str, legacy: bool = False) -> None:
        self._key = _load_private(material) if isinstance(material.value, str | bytes) else material.value
        row = _row(self._key, "private")
        problem = row.problem(self._key, legacy)
        if problem:
            raise ValueError(problem)
        if hash_algorithm not in row.hash_algorithms:
            raise ValueError(
                f"an ECDSA key signs with SHA256 only, not with {hash_algorithm}; leave hash_algorithm out or use an "
                "RSA key"
            )
        self.kind = row.name
        self.hash_algorithm = hash_algorithm
        self.deterministic = True
        self._arguments = row.arguments(hash_algorithm)
        if row.repeatable is not None:
            try:
                repeatable = row.repeatable()
                self._key.sign(PROBE, *repeatable)
                self._arguments = repeatable
            except UnsupportedAlgorithm:
                self.deterministic = False
        self._prove()

    def _prove(self) -> None:
        try:
            self._key.public_key().verify(self.sign(PROBE), PROBE, *self._arguments)
        except UnsupportedAlgorithm as error:
            raise ValueError(
                f"hash_algorithm={self.hash_algorithm!r}: this machine's OpenSSL refuses to sign with it "
                "(hardened and FIPS builds forbid SHA-1); use hash_algorithm='SHA256'"
            ) from error
        except InvalidSignature as error:
            raise ValueError("its signatures do not verify; the key is damaged") from error

    def sign(self, message: bytes) -> bytes:
        """Sign ``message``: PKCS#1 v1.5 for RSA, ASN.1 DER for ECDSA."""
        try:
            signature: bytes = self._key.sign(message, *self._arguments)
            return signature
        finally:
            del message  # a policy, which no error tracker may see

    def public_key_pem(self) -> str:
        """Return the public half as the SPKI PEM that is uploaded to CloudFront."""
        pem: bytes = self._key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        return pem.decode("ascii")


class PublicKey:
    """The public half of a key pair: SPKI PEM, the only form CloudFront documents, or a ``cryptography`` key."""

    __slots__ = ("_key", "_row")

    def __init__(self, material: Secret[Any]) -> None:
        self._key = _load_public(material) if isinstance(material.value, str | bytes) else material.value
        self._row = _row(self._key, "public")
        problem = self._row.problem(self._key, True)
        if problem:
            raise ValueError(problem)

    def verifies(self, signature: Secret[bytes], message: Secret[bytes], hash_algorithm: str) -> bool:
        """Return whether ``signature`` over ``message`` is this key's; ``hash_algorithm`` is ``SHA1`` or ``SHA256``."""
        try:
            self._key.verify(signature.value, message.value, *self._row.arguments(hash_algorithm))
        except InvalidSignature:
            return False
        return True


def _load_private(pem: Secret[str | bytes]) -> Any:
    data = _to_pem_bytes(pem)
    if b"-----BEGIN" not in data.value:
        raise ValueError(f"{kind_of(pem.value)} is not PEM; expected text with a line '-----BEGIN PRIVATE KEY-----'")
    try:
        return load_pem_private_key(data.value, password=None)
    except TypeError:
        raise ValueError("the PEM is encrypted; decrypt it first (openssl pkey -in KEY -out PLAIN)") from None
    except (ValueError, UnsupportedAlgorithm) as error:
        label = _label(data)
        if label.endswith("PUBLIC KEY") or label == "CERTIFICATE":
            raise ValueError(f"the PEM holds a {label}; expected the private key of the pair") from error
        raise ValueError(
            f"no private key could be read in {kind_of(pem.value)} (PEM label: {label}); "
            "expected a complete, unencrypted PKCS#8, PKCS#1 or SEC1 PEM"
        ) from error


def _load_public(pem: Secret[str | bytes]) -> Any:
    try:
        return load_pem_public_key(_to_pem_bytes(pem).value)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ValueError(f"no public key in PEM could be read in {kind_of(pem.value)}") from error


def _label(data: Secret[bytes]) -> str:
    match = re.search(rb"-----BEGIN ([A-Z0-9 ]{1,40})-----", data.value)
    return match[1].decode("ascii") if match else "unknown"


def _to_pem_bytes(pem: Secret[str | bytes]) -> Secret[bytes]:
    """Return PEM as bytes, with the newlines that environment files and JSON like to escape."""
    return Secret(_as_bytes(pem.value).replace(b"\\r", b"").replace(b"\\n", b"\n").strip())


def _as_bytes(text: str | bytes) -> bytes:
    return text.encode("utf-8", "replace") if isinstance(text, str) else text


def _row(key: object, half: str) -> _KeyType:
    for row in _KEY_TYPES:
        if isinstance(key, getattr(row, half)):
            return row
    other = "public" if half == "private" else "private"
    if any(isinstance(key, getattr(row, other)) for row in _KEY_TYPES):
        raise ValueError(f"that is a {other} key; expected the {half} key of the pair")
    name = type(key).__name__.removesuffix("PrivateKey").removesuffix("PublicKey")
    raise ValueError(
        f"that is of type {name or 'object'}; CloudFront takes RSA 2048 or ECDSA P-256 keys, given as PEM or as a "
        f"cryptography {half} key"
    )
