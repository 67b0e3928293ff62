"""The key options of a gate, of which exactly one way is used, to one ring."""

from __future__ import annotations

import time
from typing import Any, cast

from cfgate_middleware._core.problems import Problems, Secret, shown
from cfgate_middleware._core.signer import Ring, SignerProtocol, check_signer, to_hash_algorithm
from cfgate_middleware._keys.ring import KeyRing, load_ring
from cfgate_middleware._keys.signer import Signer
from cfgate_middleware._keys.watched import WatchedRing
from cfgate_middleware.errors import ConfigError, SigningError

AnySigner = SignerProtocol | Ring


def choose_ring(given: Secret[dict[str, Any]]) -> Ring:
    """Return the ring that the key options, by name, describe.

    Raises:
        ConfigError: if none or several ways are used, or a key cannot be used now.
    """
    ways = [way for way in ("signer", "keys", "private_key", "priv_key_string") if given.value[way] is not None]
    hash_algorithm = given.value["hash_algorithm"]
    if len(ways) > 1:
        raise ConfigError(f"{' and '.join(ways)} are both given; keys are given in one way: leave one out")
    way = ways[0] if ways else "private_key"
    if way in ("signer", "keys"):
        if given.value["key_pair_id"] is not None:
            raise ConfigError(f"{way} and key_pair_id are both given; {way} has its own: leave key_pair_id out")
    elif missing := [name for name in ("key_pair_id", way) if given.value[name] is None]:
        raise ConfigError(f"{' and '.join(missing)} missing: expected key_pair_id and private_key, or keys, or signer")
    source = Secret(given.value[way])
    if way == "signer" or (way == "keys" and isinstance(source.value, KeyRing | WatchedRing)):
        ring = to_ring(source)
        own = getattr(source.value, "hash_algorithm", None)
        if hash_algorithm not in (None, own, to_hash_algorithm(None)):
            what = f"signer signs with {own}" if own else "a ring signs with the hash algorithms of its keys"
            raise ConfigError(f"{what}, but hash_algorithm={shown(hash_algorithm)} is given; leave hash_algorithm out")
    elif way != "keys":
        ring = KeyRing([Signer(given.value["key_pair_id"], source.value, hash_algorithm)])
    elif isinstance(source.value, str) and source.value.startswith("file:"):
        ring = WatchedRing(source.value.removeprefix("file:"), hash_algorithm)
    else:
        ring = load_ring(source, hash_algorithm)
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
