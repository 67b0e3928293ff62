"""PEM and key objects: which keys CloudFront accepts, and how they sign and verify.

Strategy: all that differs between kinds of key is in one row per kind. This is the only module that imports
``cryptography``. Key types and hash algorithms:
https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/private-content-trusted-signers.html
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable
from typing import Any, NamedTuple

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, PSS, PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from cfgate_middleware._core.problems import Secret, kind_of

PROBE = b"cfgate_middleware probe"  # what a key signs to prove itself

_HASHES = {"SHA256": SHA256, "SHA1": SHA1}
# RFC 7468 section 2.
_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]{1,40})-----(.*?)-----END \1-----", re.DOTALL)
_BASE64_OF_BEGIN = binascii.b2a_base64(b"-----BEGIN ")[:14]


class _KeyType(NamedTuple):
    """A kind of key that CloudFront knows."""

    kind: str
    private: type
    public: type
    signs_with: tuple[str, ...]  # the AWS CLI refuses ECDSA with SHA-1, though CloudFront verifies it: so do we
    refused: Callable[[Any, bool], str]  # why CloudFront does not take a key of this kind, or ""
    arguments: Callable[[Any, bool], tuple[object, ...]]  # what sign() and verify() take after the data
    generate: Callable[[], Any]
    written_as: PrivateFormat  # a new one: what most signers read


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
        lambda: rsa.generate_private_key(65537, 2048),
        PrivateFormat.TraditionalOpenSSL,  # PKCS#1: PyPI's awscli reads no other
    ),
    _KeyType(
        "ECDSA",
        ec.EllipticCurvePrivateKey,
        ec.EllipticCurvePublicKey,
        ("SHA256",),
        _refused_ecdsa,
        lambda hashed, deterministic: (ec.ECDSA(hashed, deterministic_signing=deterministic),),  # RFC 6979
        lambda: ec.generate_private_key(ec.SECP256R1()),
        PrivateFormat.PKCS8,
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
    blocks: bool = False  # whether signing asks a service


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


def generate(kind: str) -> Secret[bytes]:
    """Return a new private key of a kind that CloudFront accepts, ``"ECDSA"`` or ``"RSA"``, as PEM."""
    (row,) = (row for row in _KEY_TYPES if row.kind == kind)
    return Secret(row.generate().private_bytes(Encoding.PEM, row.written_as, NoEncryption()))


class PublicKey:
    """The public half of a key pair: SPKI PEM, the only form CloudFront documents, or a ``cryptography`` key."""

    __slots__ = ("_key", "_row")

    def __init__(self, material: Secret[Any]) -> None:
        key = _read_public(material) if isinstance(material.value, str | bytes) else material
        self._row = _accept(key, "public", legacy=True)
        self._key = key.value

    def verifies(self, signature: Secret[bytes], message: Secret[bytes], hash_algorithm: str) -> bool:
        """Return whether ``signature`` over ``message`` is this key's; ``hash_algorithm`` is ``SHA1`` or ``SHA256``.

        It is not if this machine's OpenSSL refuses the algorithm, as hardened ones refuse SHA-1.
        """
        try:
            self._key.verify(signature.value, message.value, *self._row.arguments(_HASHES[hash_algorithm](), False))
        except (InvalidSignature, UnsupportedAlgorithm):
            return False
        return True

    @property
    def kind(self) -> str:
        """The kind of key as people call it, such as ``RSA 2048``."""
        return f"RSA {self._key.key_size}" if self._row.kind == "RSA" else "ECDSA P-256"

    @property
    def is_rsa(self) -> bool:
        """Whether it is an RSA key, whose signatures are as long as the key."""
        return self._row.kind == "RSA"

    def opened(self, signature: Secret[bytes]) -> tuple[str, Secret[bytes]] | None:
        """Return the hash algorithm and the digest inside this RSA key's signature, or None if it is another's.

        For diagnosis: it says who signed, even if nobody knows what.
        """
        for name, algorithm in _HASHES.items() if self.is_rsa else ():
            try:
                return name, Secret(self._key.recover_data_from_signature(signature.value, PKCS1v15(), algorithm()))
            except (InvalidSignature, UnsupportedAlgorithm, ValueError):
                continue
        return None

    def verifies_pss(self, signature: Secret[bytes], message: Secret[bytes], hash_algorithm: str) -> bool:
        """Return whether this RSA key made the signature with PSS, which CloudFront does not take; for diagnosis."""
        algorithm = _HASHES[hash_algorithm]()
        try:
            self._key.verify(signature.value, message.value, PSS(MGF1(algorithm), PSS.AUTO), algorithm)
        except (InvalidSignature, UnsupportedAlgorithm, ValueError):
            return False
        return True


def is_pem(text: str | bytes) -> bool:
    """Return whether text is PEM, or the base64 of PEM as some secret stores hold it."""
    data = text.encode("utf-8", "replace") if isinstance(text, str) else text
    return b"-----BEGIN" in data or data.lstrip().startswith(_BASE64_OF_BEGIN)


def _read_private(pem: Secret[str | bytes]) -> Secret[Any]:
    blocks = _blocks(pem)
    private = [block for block in blocks if block.label.endswith("PRIVATE KEY")]
    if len(private) > 1:
        raise ValueError(f"the PEM holds {len(private)} private keys; expected one, whose id is the key pair id")
    if not private:
        found = ", ".join(block.label for block in blocks)
        raise ValueError(f"the PEM holds a {found}; expected the private key of the pair")
    label = private[0].label
    if label.startswith("OPENSSH"):
        raise ValueError("the PEM is in OpenSSH's form; convert it first (ssh-keygen -p -m PEM -N '' -f KEY)")
    if label.startswith("ENCRYPTED") or b"ENCRYPTED" in private[0].pem.value:
        raise ValueError("the PEM is encrypted; decrypt it first (openssl pkey -in KEY -out PLAIN)")
    try:
        key = Secret(serialization.load_pem_private_key(private[0].pem.value, password=None))
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ValueError(
            f"no private key could be read in {kind_of(pem.value)} (PEM label: {label}); "
            "expected a complete, unencrypted PKCS#8, PKCS#1 or SEC1 PEM"
        ) from error
    for block in blocks:
        if block.label == "PUBLIC KEY" and _read_public(block.pem).value != key.value.public_key():
            raise ValueError("the PEM also holds the public key of another pair; expected one pair, or the key alone")
    return key


def _read_public(pem: Secret[Any]) -> Secret[Any]:
    blocks = _blocks(pem)
    if len(blocks) != 1 or not blocks[0].label.endswith("PUBLIC KEY"):
        found = ", ".join(block.label for block in blocks)
        raise ValueError(f"the PEM holds {found} and no public key alone; expected a PUBLIC KEY, as for CloudFront")
    try:
        return Secret(serialization.load_pem_public_key(blocks[0].pem.value))
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ValueError(f"no public key in PEM could be read in {kind_of(pem.value)}") from error


class _Block(NamedTuple):
    """A part of a PEM."""

    label: str
    pem: Secret[bytes]


def _blocks(pem: Secret[str | bytes]) -> list[_Block]:
    """Return the parts of a PEM in canonical form, which old parsers take too: label, and body in lines of 64 columns.

    Repaired are line ends that environment files and JSON escape, at any depth, that got lost, and base64 around it.
    """
    data = Secret(pem.value.encode("utf-8", "replace") if isinstance(pem.value, str) else pem.value)
    if data.value.lstrip().startswith(_BASE64_OF_BEGIN):
        data = Secret(binascii.a2b_base64(data.value))
    data = Secret(re.sub(rb"\\+n", b"\n", re.sub(rb"\\+r", b"", data.value)))
    blocks = [
        _Block(match[1].decode("ascii"), Secret(_to_canonical(Secret(match[1]), Secret(match[2]))))
        for match in _BLOCK.finditer(data.value)
    ]
    if not blocks:
        label = re.search(rb"-----BEGIN ([A-Z0-9 ]{1,40})-----", data.value)
        what = f"PEM label: {label[1].decode('ascii') if label else 'unknown'}"
        if b"-----BEGIN" not in data.value:
            what = "not PEM"
        raise ValueError(
            f"no key could be read in {kind_of(pem.value)} ({what}); expected PEM, with lines such as "
            "'-----BEGIN PRIVATE KEY-----' and '-----END PRIVATE KEY-----' around the key"
        )
    return blocks


def _to_canonical(label: Secret[bytes], body: Secret[bytes]) -> bytes:
    if b":" not in body.value:  # encrypted ones in the old form have header lines, and are refused
        body = Secret(b"".join(body.value.split()))
        body = Secret(b"\n".join(body.value[start : start + 64] for start in range(0, len(body.value), 64)))
    return b"-----BEGIN %b-----\n%b\n-----END %b-----\n" % (label.value, body.value, label.value)


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
