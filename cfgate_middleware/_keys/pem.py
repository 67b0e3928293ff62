"""PEM and key objects: which keys CloudFront accepts, and how they sign and verify.

Strategy: all that differs between kinds of key is in one row per kind. This is the only module that imports
``cryptography``. Key types and hash algorithms:
https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/private-content-trusted-signers.html
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from cfgate_middleware._core.problems import Secret, kind_of

PROBE = b"cfgate_middleware probe"  # what a key signs to prove itself

_HASHES = {"SHA256": SHA256, "SHA1": SHA1}


class _KeyType(NamedTuple):
    """A kind of key that CloudFront knows."""

    kind: str
    private: type
    public: type
    signs_with: tuple[str, ...]  # the AWS CLI refuses ECDSA with SHA-1, though CloudFront verifies it: so do we
    refused: Callable[[Any, bool], str]  # why CloudFront does not take a key of this kind, or ""
    arguments: Callable[[Any, bool], tuple[object, ...]]  # what sign() and verify() take after the data


def _refused_rsa(key: Any, legacy: bool) -> str:
    if key.key_size == 2048 or (legacy and key.key_size == 4096):
        return ""
    hint = " (4096 only with a legacy APKA… key pair id)" if key.key_size == 4096 else ""
    return f"that is an RSA key of {key.key_size} bits; CloudFront takes RSA 2048{hint} or ECDSA P-256"


def _refused_ecdsa(key: Any, legacy: bool) -> str:
    if key.curve.name == "secp256r1":
        return ""
    return f"that is an ECDSA key on curve {key.curve.name}; CloudFront takes P-256 (prime256v1) only"


_KEY_TYPES = (
    _KeyType(
        "RSA",
        rsa.RSAPrivateKey,
        rsa.RSAPublicKey,
        ("SHA256", "SHA1"),
        _refused_rsa,
        lambda hashed, _: (PKCS1v15(), hashed),
    ),
    _KeyType(
        "ECDSA",
        ec.EllipticCurvePrivateKey,
        ec.EllipticCurvePublicKey,
        ("SHA256",),
        _refused_ecdsa,
        lambda hashed, deterministic: (ec.ECDSA(hashed, deterministic_signing=deterministic),),  # RFC 6979
    ),
)


class LoadedKey(NamedTuple):
    """A private key that CloudFront accepts and that proved itself; it signs with ``sign(message, *arguments)``."""

    kind: str
    hash_algorithm: str
    deterministic: bool
    public_key_pem: str
    sign: Callable[..., bytes]
    arguments: tuple[object, ...] = ()


def load_private_key(material: Secret[Any], hash_algorithm: str, key_pair_id: str) -> LoadedKey:
    """Return the key in a PEM or a ``cryptography`` object.

    Raises:
        ValueError: if CloudFront would not accept the key, or it cannot sign on this machine.
    """
    key = _read_private(material) if isinstance(material.value, str | bytes) else material
    row = _accept(key, "private", legacy=key_pair_id.startswith("APKA"))  # the old ids of accounts' own keys
    if hash_algorithm not in row.signs_with:
        only = ", ".join(row.signs_with)
        raise ValueError(
            f"an {row.kind} key signs with {only} only, not with {hash_algorithm}; leave hash_algorithm out or use an "
            "RSA key"
        )
    public_key = key.value.public_key()
    for deterministic in (True, False):
        try:
            arguments = row.arguments(_HASHES[hash_algorithm](), deterministic)
            public_key.verify(key.value.sign(PROBE, *arguments), PROBE, *arguments)
        except UnsupportedAlgorithm:
            continue
        except InvalidSignature as error:
            raise ValueError("its signatures do not verify; the key is damaged") from error
        pem = Secret(public_key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode("ascii"))
        return LoadedKey(row.kind, hash_algorithm, deterministic, pem.value, key.value.sign, arguments)
    raise ValueError(
        f"hash_algorithm={hash_algorithm!r}: this machine's OpenSSL refuses to sign with it "
        "(hardened and FIPS builds forbid SHA-1); use hash_algorithm='SHA256'"
    )


class PublicKey:
    """The public half of a key pair: SPKI PEM, the only form CloudFront documents, or a ``cryptography`` key."""

    __slots__ = ("_key", "_row")

    def __init__(self, material: Secret[Any]) -> None:
        is_pem = isinstance(material.value, str | bytes)
        try:
            self._key: Any = serialization.load_pem_public_key(_to_bytes(material).value) if is_pem else material.value
        except (ValueError, UnsupportedAlgorithm) as error:
            raise ValueError(f"no public key in PEM could be read in {kind_of(material.value)}") from error
        self._row = _accept(Secret(self._key), "public", legacy=True)

    def verifies(self, signature: Secret[bytes], message: Secret[bytes], hash_algorithm: str) -> bool:
        """Return whether ``signature`` over ``message`` is this key's; ``hash_algorithm`` is ``SHA1`` or ``SHA256``."""
        try:
            self._key.verify(signature.value, message.value, *self._row.arguments(_HASHES[hash_algorithm](), False))
        except InvalidSignature:
            return False
        return True


def _read_private(pem: Secret[str | bytes]) -> Secret[Any]:
    data = _to_bytes(pem)
    if b"-----BEGIN" not in data.value:
        raise ValueError(f"{kind_of(pem.value)} is not PEM; expected text with a line '-----BEGIN PRIVATE KEY-----'")
    try:
        return Secret(serialization.load_pem_private_key(data.value, password=None))
    except TypeError:
        raise ValueError("the PEM is encrypted; decrypt it first (openssl pkey -in KEY -out PLAIN)") from None
    except (ValueError, UnsupportedAlgorithm) as error:
        match = re.search(rb"-----BEGIN ([A-Z0-9 ]{1,40})-----", data.value)
        label = match[1].decode("ascii") if match else "unknown"
        if label.endswith("PUBLIC KEY") or label == "CERTIFICATE":
            raise ValueError(f"the PEM holds a {label}; expected the private key of the pair") from error
        raise ValueError(
            f"no private key could be read in {kind_of(pem.value)} (PEM label: {label}); "
            "expected a complete, unencrypted PKCS#8, PKCS#1 or SEC1 PEM"
        ) from error


def _to_bytes(pem: Secret[str | bytes]) -> Secret[bytes]:
    """Return PEM as bytes, with the newlines that environment files and JSON like to escape."""
    data = Secret(pem.value.encode("utf-8", "replace") if isinstance(pem.value, str) else pem.value)
    return Secret(data.value.replace(b"\\r", b"").replace(b"\\n", b"\n").strip())


def _accept(key: Secret[Any], half: str, legacy: bool) -> _KeyType:
    """Return the row of a key, or raise ValueError if CloudFront does not take it."""
    for row in _KEY_TYPES:
        if isinstance(key.value, getattr(row, half)):
            if refused := row.refused(key.value, legacy):
                raise ValueError(refused)
            return row
        if isinstance(key.value, row.private | row.public):
            other = "public" if half == "private" else "private"
            raise ValueError(f"that is a {other} key; expected the {half} key of the pair")
    name = type(key.value).__name__.removesuffix("PrivateKey").removesuffix("PublicKey")
    raise ValueError(
        f"that is of type {name or 'object'}; CloudFront takes RSA 2048 or ECDSA P-256 keys, given as PEM or as a "
        f"cryptography {half} key"
    )
