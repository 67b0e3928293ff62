"""The signer: a private key from any source, and the id that CloudFront knows its public half by."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, cast

from cfgate_middleware._core.problems import Problems, Secret
from cfgate_middleware._core.signer import to_hash_algorithm, to_key_pair_id
from cfgate_middleware._keys.pem import LoadedKey, load_private_key
from cfgate_middleware._keys.sources import read_source

logger = logging.getLogger("cfgate_middleware")


class Signer:
    """A private key and the id CloudFront knows its public half by; loaded and proven once, then only used.

    Args:
        key_pair_id: the public key's id at CloudFront, such as ``K2JCJMDEHXQW5F``.
        private_key: RSA 2048 or ECDSA P-256, as a path, an unencrypted PEM (PKCS#8, PKCS#1 or SEC1) in str or bytes, a
            ``cryptography`` private key, or a reference: ``env:NAME``, ``kms:KEY``, ``secretsmanager:NAME``,
            ``ssm:NAME``. An ``\\n``-escaped PEM is repaired.
        hash_algorithm: ``"SHA256"`` (the default) or ``"SHA1"``; ECDSA keys and KMS sign with SHA-256 only.

    Raises:
        ConfigError: if the key cannot be read, is not one that CloudFront accepts, or cannot sign on this machine.

    Attributes:
        deterministic: whether equal policies give equal signatures: always for RSA, for ECDSA where OpenSSL can
            (RFC 6979), and never for ECDSA in KMS.
        blocks: whether signing is a network call, as in KMS.
        kind: ``"RSA"`` or ``"ECDSA"``.
    """

    __slots__ = ("_key", "blocks", "deterministic", "hash_algorithm", "key_pair_id", "kind")

    def __init__(
        self, key_pair_id: str, private_key: Any, hash_algorithm: str | None = None, *, _folder: Path | None = None
    ) -> None:
        pair = Secret((key_pair_id, private_key))
        del key_pair_id, private_key  # so that no error tracker finds a key here, in whichever place
        problems = Problems()
        self.key_pair_id = problems.check("key_pair_id", to_key_pair_id, pair.value[0], secret=True) or ""
        algorithm = problems.check("hash_algorithm", to_hash_algorithm, hash_algorithm)
        material = problems.check("private_key", lambda source: read_source(source, _folder), Secret(pair.value[1]))
        problems.raise_any()
        key = Secret(problems.check("private_key", lambda value: _to_key(value, algorithm, self.key_pair_id), material))
        problems.raise_any()
        self._key = cast("LoadedKey", key.value)
        self.kind = self._key.kind
        self.hash_algorithm = self._key.hash_algorithm
        self.deterministic = self._key.deterministic
        self.blocks = self._key.blocks

    def sign(self, message: bytes) -> bytes:
        """Sign ``message``: PKCS#1 v1.5 for RSA, ASN.1 DER for ECDSA."""
        try:
            return self._key.sign(message, *self._key.arguments)
        finally:
            del message  # a policy, which no error tracker may see

    def public_key_pem(self) -> str:
        """Return the public half as the SPKI PEM that is uploaded to CloudFront."""
        return self._key.public_key_pem

    def __repr__(self) -> str:
        if not hasattr(self, "deterministic"):
            return "<Signer, not loaded>"
        return f"<Signer {self.key_pair_id} {self.kind} {self.hash_algorithm}>"


def _to_key(material: Secret[Any], hash_algorithm: Any, key_pair_id: str) -> LoadedKey:
    if isinstance(material.value, LoadedKey):
        if hash_algorithm != material.value.hash_algorithm:
            raise ValueError(f"this store signs with {material.value.hash_algorithm} only; leave hash_algorithm out")
        return material.value
    key = Secret(load_private_key(material, hash_algorithm, key_pair_id))
    if not key.value.deterministic:
        logger.info("key %s: this OpenSSL has no RFC 6979, so equal ECDSA policies get unequal signatures", key_pair_id)
    return key.value
