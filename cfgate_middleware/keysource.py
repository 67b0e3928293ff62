"""Where keys come from: a path, PEM text or bytes, a key object, or an environment variable.

Rule: a value that may hold a key is never shown, only its kind and length.
"""

from __future__ import annotations

import logging
import os
import re
from pathlib import Path
from typing import Any, cast

from cfgate_middleware.errors import ConfigError, Problems, kind_of, shown
from cfgate_middleware.keys import (
    DEFAULT_HASH_ALGORITHM,
    HASH_ALGORITHMS,
    AdaptedSigner,
    BaseSigner,
    Signer,
    SignerProtocol,
    check_key_pair_id,
)

_ENV = re.compile(r"env:([A-Za-z_][A-Za-z0-9_]*)")

logger = logging.getLogger("cfgate_middleware")


def choose_signer(
    *,
    signer: object,
    key_pair_id: object,
    private_key: object,
    priv_key_string: object,
    hash_algorithm: Any,
) -> BaseSigner:
    """Return the one signer that the key options describe.

    Raises:
        ConfigError: if none or several are described, or the key cannot be used.
    """
    given = {"signer": signer, "private_key": private_key, "priv_key_string": priv_key_string}
    ways = [name for name, value in given.items() if value is not None]
    if len(ways) > 1:
        raise ConfigError(f"{' and '.join(ways)} are both given; keys are given in one way: leave one out")
    if signer is None:
        missing = [] if key_pair_id is not None else ["key_pair_id"]
        missing += [] if ways else ["private_key"]
        if missing:
            raise ConfigError(f"{' and '.join(missing)} missing: expected key_pair_id and private_key, or signer")
        return load_signer(key_pair_id, given[ways[0]], hash_algorithm)
    if key_pair_id is not None:
        raise ConfigError("signer and key_pair_id are both given; a signer has its own id: leave key_pair_id out")
    return check_signer(signer, hash_algorithm)


def load_signer(key_pair_id: Any, source: object, hash_algorithm: str | None = None) -> Signer:
    """Load a key from where it is kept, and prove it.

    Args:
        key_pair_id: the public key's id at CloudFront.
        source: a path (str or PathLike), PEM as str or bytes, a ``cryptography`` private key, or ``env:NAME``, where
            the environment variable NAME holds PEM.
        hash_algorithm: ``"SHA256"`` or ``"SHA1"``.

    Raises:
        ConfigError: if the key cannot be read or used.
    """
    problems = Problems()
    with problems:
        check_key_pair_id(key_pair_id)
    with problems:
        private_key = _read(source)
    problems.raise_any()
    signer = Signer(key_pair_id, private_key, hash_algorithm)
    if not signer.deterministic:
        logger.info("key %s: this OpenSSL has no RFC 6979, so equal ECDSA policies get unequal signatures", key_pair_id)
    return signer


def _read(source: object) -> Any:
    if isinstance(source, os.PathLike):
        return _read_file(source)
    if not isinstance(source, str) or "-----BEGIN" in source:
        return source
    if "${" in source or "$(" in source:
        raise ConfigError(
            f"private_key is {kind_of(source)} with a shell placeholder that nothing filled in; "
            "write env:NAME to read the environment variable NAME"
        )
    if not source.startswith("env:"):
        return _read_file(source)
    variable = _ENV.fullmatch(source)
    if not variable:
        raise ConfigError("private_key starts with env: but no variable name follows; expected env:NAME")
    pem = os.environ.get(variable[1])
    if not pem:
        raise ConfigError(f"private_key: the environment variable {variable[1]} is not set")
    if "-----BEGIN" not in pem:
        raise ConfigError(
            f"private_key: the environment variable {variable[1]} holds {kind_of(pem)} that is no PEM; "
            "it must hold the key itself, not a path"
        )
    return pem


def _read_file(source: str | os.PathLike[str]) -> bytes:
    try:
        return Path(source).read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a path"
        raise ConfigError(
            f"private_key is {kind_of(source)}, taken for a path that could not be read ({reason}); "
            "expected the path of a PEM file, PEM text, or env:NAME"
        ) from None


def check_signer(signer: object, hash_algorithm: object = None) -> BaseSigner:
    """Return ``signer`` if it has the shape of one, and ``hash_algorithm`` does not contradict it."""
    own: Any = getattr(signer, "hash_algorithm", None)
    if isinstance(signer, type) or own not in HASH_ALGORITHMS or not callable(getattr(signer, "sign", None)):
        raise ConfigError(
            f"signer is {kind_of(signer)}; expected a Signer, or an object with key_pair_id, "
            "hash_algorithm ('SHA256' or 'SHA1') and sign(message)"
        )
    check_key_pair_id(getattr(signer, "key_pair_id", None))
    if hash_algorithm not in (None, own, DEFAULT_HASH_ALGORITHM):
        raise ConfigError(
            f"signer signs with {own}, but hash_algorithm={shown(hash_algorithm)} is given; leave hash_algorithm out"
        )
    return signer if isinstance(signer, BaseSigner) else AdaptedSigner(cast("SignerProtocol", signer))
