"""PEM and key objects: which keys CloudFront accepts, and how they sign and verify.

This is the only module that imports ``cryptography``. Key types and hash algorithms:
https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/private-content-trusted-signers.html
"""

from __future__ import annotations

import re
from typing import Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA1, SHA256

from cfgate_middleware._core.problems import Secret, kind_of

PROBE = b"cfgate_middleware probe"  # what a key signs to prove itself

_HASHES = {"SHA256": SHA256, "SHA1": SHA1}
_PRIVATE = (rsa.RSAPrivateKey, ec.EllipticCurvePrivateKey)
_PUBLIC = (rsa.RSAPublicKey, ec.EllipticCurvePublicKey)


class PrivateKey:
    """A private key whose public half CloudFront accepts, from PEM or ``cryptography``; proven when it is loaded.

    ``legacy`` is for an account's old ``APKA…`` key pair ids, whose RSA keys may have 4096 bits.

    Raises:
        ValueError: if CloudFront would not accept the key, or it cannot sign on this machine.
    """

    __slots__ = ("_arguments", "_key", "deterministic", "hash_algorithm", "kind")

    def __init__(self, material: Secret[Any], hash_algorithm: str, legacy: bool = False) -> None:
        self._key = _load_private(material) if isinstance(material.value, str | bytes) else material.value
        if isinstance(self._key, _PUBLIC):
            raise ValueError("that is a public key; expected the private key of the pair")
        self.kind = _accept(self._key, "private", legacy)
        # The AWS CLI refuses ECDSA with SHA-1, though CloudFront verifies it: we verify both and sign with SHA-256.
        if self.kind == "ECDSA" and hash_algorithm != "SHA256":
            raise ValueError(
                f"an ECDSA key signs with SHA256 only, not with {hash_algorithm}; leave hash_algorithm out or use an "
                "RSA key"
            )
        self.hash_algorithm = hash_algorithm
        self.deterministic = self._proves(deterministic=True)
        if not self.deterministic and not self._proves(deterministic=False):
            raise ValueError(
                f"hash_algorithm={hash_algorithm!r}: this machine's OpenSSL refuses to sign with it "
                "(hardened and FIPS builds forbid SHA-1); use hash_algorithm='SHA256'"
            )

    def _proves(self, deterministic: bool) -> bool:
        """Return whether OpenSSL signs in this way, which is kept."""
        try:
            self._arguments = _arguments(self.kind, self.hash_algorithm, deterministic)
            self._key.public_key().verify(self.sign(PROBE), PROBE, *self._arguments)
        except UnsupportedAlgorithm:
            return False
        except InvalidSignature as error:
            raise ValueError("its signatures do not verify; the key is damaged") from error
        return True

    def sign(self, message: bytes) -> bytes:
        """Sign ``message``: PKCS#1 v1.5 for RSA, ASN.1 DER for ECDSA."""
        try:
            signature: bytes = self._key.sign(message, *self._arguments)
            return signature
        finally:
            del message  # a policy, which no error tracker may see

    def public_key_pem(self) -> str:
        """Return the public half as the SPKI PEM that is uploaded to CloudFront."""
        form = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        pem: bytes = self._key.public_key().public_bytes(*form)
        return pem.decode("ascii")


class PublicKey:
    """The public half of a key pair: SPKI PEM, the only form CloudFront documents, or a ``cryptography`` key."""

    __slots__ = ("_key", "_kind")

    def __init__(self, material: Secret[Any]) -> None:
        self._key = _load_public(material) if isinstance(material.value, str | bytes) else material.value
        if isinstance(self._key, _PRIVATE):
            raise ValueError("that is a private key; expected the public key of the pair")
        self._kind = _accept(self._key, "public", legacy=True)

    def verifies(self, signature: Secret[bytes], message: Secret[bytes], hash_algorithm: str) -> bool:
        """Return whether ``signature`` over ``message`` is this key's; ``hash_algorithm`` is ``SHA1`` or ``SHA256``."""
        try:
            self._key.verify(signature.value, message.value, *_arguments(self._kind, hash_algorithm))
        except InvalidSignature:
            return False
        return True


def _load_private(pem: Secret[str | bytes]) -> Any:
    data = _to_bytes(pem)
    if b"-----BEGIN" not in data.value:
        raise ValueError(f"{kind_of(pem.value)} is not PEM; expected text with a line '-----BEGIN PRIVATE KEY-----'")
    try:
        return serialization.load_pem_private_key(data.value, password=None)
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


def _load_public(pem: Secret[str | bytes]) -> Any:
    try:
        return serialization.load_pem_public_key(_to_bytes(pem).value)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ValueError(f"no public key in PEM could be read in {kind_of(pem.value)}") from error


def _to_bytes(pem: Secret[str | bytes]) -> Secret[bytes]:
    """Return PEM as bytes, with the newlines that environment files and JSON like to escape."""
    data = Secret(pem.value.encode("utf-8", "replace") if isinstance(pem.value, str) else pem.value)
    return Secret(data.value.replace(b"\\r", b"").replace(b"\\n", b"\n").strip())


def _accept(key: Any, half: str, legacy: bool) -> str:
    """Return the kind of a key, or raise ValueError if CloudFront does not take it."""
    if isinstance(key, rsa.RSAPrivateKey | rsa.RSAPublicKey):
        if key.key_size == 2048 or (legacy and key.key_size == 4096):
            return "RSA"
        hint = " (4096 only with a legacy APKA… key pair id)" if key.key_size == 4096 else ""
        raise ValueError(f"that is an RSA key of {key.key_size} bits; CloudFront takes RSA 2048{hint} or ECDSA P-256")
    if isinstance(key, ec.EllipticCurvePrivateKey | ec.EllipticCurvePublicKey):
        if key.curve.name == "secp256r1":
            return "ECDSA"
        raise ValueError(f"that is an ECDSA key on curve {key.curve.name}; CloudFront takes P-256 (prime256v1) only")
    name = type(key).__name__.removesuffix("PrivateKey").removesuffix("PublicKey")
    raise ValueError(
        f"that is of type {name or 'object'}; CloudFront takes RSA 2048 or ECDSA P-256 keys, given as PEM or as a "
        f"cryptography {half} key"
    )


def _arguments(kind: str, hash_algorithm: str, deterministic: bool = False) -> tuple[object, ...]:
    """Return what sign() and verify() take after the data; deterministic signatures of ECDSA are those of RFC 6979."""
    hashed = _HASHES[hash_algorithm]()
    return (PKCS1v15(), hashed) if kind == "RSA" else (ec.ECDSA(hashed, deterministic_signing=deterministic),)
