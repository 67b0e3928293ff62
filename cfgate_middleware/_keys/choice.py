"""The key options of a gate, of which exactly one way is used, to one ring."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any, cast

from cfgate_middleware._core.problems import Problems, Secret, shown
from cfgate_middleware._core.signer import Ring, SignerProtocol, check_signer, to_hash_algorithm
from cfgate_middleware._keys.ring import LINES, KeyRing, load_ring
from cfgate_middleware._keys.signer import Signer
from cfgate_middleware._keys.watched import WatchedRing
from cfgate_middleware.errors import ConfigError, SigningError

AnySigner = SignerProtocol | Ring
WAYS = ("signer", "keys", "private_key", "priv_key_string")


def choose_ring(given: Secret[dict[str, Any]]) -> Ring:
    """Return the ring that the key options, by name, describe.

    Raises:
        ConfigError: if none or several ways are used, or a key cannot be used now.
    """
    ways = [way for way in WAYS if given.value[way] is not None]
    key_pair_id, hash_algorithm = Secret(given.value["key_pair_id"]), given.value["hash_algorithm"]
    if len(ways) > 1:
        raise ConfigError(f"{' and '.join(ways)} are both given; keys are given in one way: leave one out")
    way = ways[0] if ways else "private_key"
    if way in ("signer", "keys"):
        if key_pair_id.value is not None:
            raise ConfigError(f"{way} and key_pair_id are both given; {way} has its own: leave key_pair_id out")
    elif missing := [name for name in ("key_pair_id", way) if given.value[name] is None]:
        raise ConfigError(f"{' and '.join(missing)} missing: expected key_pair_id and private_key, or keys, or signer")
    source = Secret(given.value[way])
    if way == "signer":
        ring = to_ring(source)
        _check_own_hash_algorithm(source.value, hash_algorithm)
    elif way == "keys":
        ring = _to_ring_of_keys(source, hash_algorithm)
    else:
        ring = KeyRing([Signer.load(key_pair_id, source, hash_algorithm)])
    try:
        ring.current(time.time())
    except SigningError as error:
        raise ConfigError(f"{way}: {error}") from error
    return ring


def to_ring(signer: Secret[Any]) -> Ring:
    """Return a ring as it is, and a signer as a ring of one."""
    if callable(getattr(signer.value, "current", None)) and not isinstance(signer.value, type):
        return cast("Ring", signer.value)
    problems = Problems()
    problems.check("signer", check_signer, signer.value, secret=True)
    problems.raise_any()
    return KeyRing([signer.value])


def _to_ring_of_keys(keys: Secret[Any], hash_algorithm: object) -> Ring:
    if isinstance(keys.value, KeyRing | WatchedRing):
        ring: Ring = keys.value
        _check_own_hash_algorithm(ring, hash_algorithm)
        return ring
    if isinstance(keys.value, str) and keys.value.startswith("file:"):
        return WatchedRing(keys.value.removeprefix("file:"), hash_algorithm)
    if isinstance(keys.value, str):
        return load_ring(Secret(keys.value.splitlines()), hash_algorithm)
    if not isinstance(keys.value, Iterable) or isinstance(keys.value, bytes):
        raise ConfigError(f"keys: expected a KeyRing, or {LINES}, or file:PATH")
    return load_ring(keys, hash_algorithm)


def _check_own_hash_algorithm(signer: object, hash_algorithm: object) -> None:
    """Refuse a hash algorithm that a signer or ring does not use, which has its own."""
    own = getattr(signer, "hash_algorithm", None)
    if hash_algorithm not in (None, own, to_hash_algorithm(None)):
        what = f"signer signs with {own}" if own else "a ring signs with the hash algorithms of its keys"
        raise ConfigError(f"{what}, but hash_algorithm={shown(hash_algorithm)} is given; leave hash_algorithm out")
