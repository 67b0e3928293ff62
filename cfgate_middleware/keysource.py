"""Where keys come from: paths, PEM, key objects, environment variables, AWS's stores, and files that name several.

Rule: a value that may hold a key is never shown, only its kind and length; a reference such as ``env:NAME`` may be.
"""

from __future__ import annotations

import importlib
import logging
import os
import re
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, cast

from cfgate_middleware.errors import ConfigError, Problems, SigningError, kind_of, shown
from cfgate_middleware.keys import Signer
from cfgate_middleware.signers import DEFAULT_HASH_ALGORITHM, BaseSigner, KeyRing, Keys, as_keys, check_key_pair_id

logger = logging.getLogger("cfgate_middleware")


def choose_keys(given: Mapping[str, Any]) -> Keys:
    """Return the keys that the key options, by name, describe.

    Raises:
        ConfigError: if none or several ways are used, or a key cannot be used.
    """
    ways = [way for way in ("signer", "keys", "private_key", "priv_key_string") if given.get(way) is not None]
    key_pair_id, hash_algorithm = given["key_pair_id"], given["hash_algorithm"]
    if len(ways) > 1:
        raise ConfigError(f"{' and '.join(ways)} are both given; keys are given in one way: leave one out")
    way = ways[0] if ways else "private_key"
    if way in ("signer", "keys") and key_pair_id is not None:
        raise ConfigError(f"{way} and key_pair_id are both given; {way} has its own: leave key_pair_id out")
    if way == "signer":
        chosen = _ready_made(given[way], hash_algorithm)
    elif way == "keys":
        chosen = load_keys(given[way], hash_algorithm)
    else:
        missing = [name for name in ("key_pair_id", way) if given[name] is None]
        if missing:
            raise ConfigError(
                f"{' and '.join(missing)} missing: expected key_pair_id and private_key, or keys, or signer"
            )
        chosen = as_keys(load_signer(key_pair_id, given[way], hash_algorithm))
    try:
        chosen(time.time())
    except SigningError as error:
        raise ConfigError(f"{way}: {error}") from error
    return chosen


def _ready_made(signer: object, hash_algorithm: object) -> Keys:
    """Return the keys of a signer or ring, which have hash algorithms of their own."""
    chosen = as_keys(signer)
    own = getattr(signer, "hash_algorithm", None)
    if hash_algorithm not in (None, own, DEFAULT_HASH_ALGORITHM):
        what = f"signer signs with {own}" if own else "a ring signs with the hash algorithms of its keys"
        raise ConfigError(f"{what}, but hash_algorithm={shown(hash_algorithm)} is given; leave hash_algorithm out")
    return chosen


def load_signer(key_pair_id: Any, source: object, hash_algorithm: str | None = None) -> BaseSigner:
    """Load a key from where it is kept, and prove it.

    Args:
        key_pair_id: the public key's id at CloudFront.
        source: a path (str or PathLike), PEM as str or bytes, a ``cryptography`` private key, or a reference:
            ``env:NAME`` (the environment variable holds PEM), ``kms:KEY``, ``secretsmanager:NAME``, ``ssm:NAME``.
        hash_algorithm: ``"SHA256"`` or ``"SHA1"``.

    Raises:
        ConfigError: if the key cannot be read or used.
    """
    problems = Problems()
    with problems:
        check_key_pair_id(key_pair_id)
    with problems:
        material = _read(source)
    problems.raise_any()
    if isinstance(material, partial):
        return cast("BaseSigner", material(key_pair_id, hash_algorithm))
    signer = Signer(key_pair_id, material, hash_algorithm)
    if not signer.deterministic:
        logger.info("key %s: this OpenSSL has no RFC 6979, so equal ECDSA policies get unequal signatures", key_pair_id)
    return signer


def _read(source: object) -> Any:
    """Return what a source holds: PEM, a key object, or for a key that stays where it is, what makes its signer."""
    if isinstance(source, os.PathLike):
        return _read_file(source)
    if not isinstance(source, str) or "-----BEGIN" in source:
        return source
    if "${" in source or "$(" in source:
        raise ConfigError(
            f"private_key is {kind_of(source)} with a shell placeholder that nothing filled in; "
            "write env:NAME to read the environment variable NAME"
        )
    store, colon, reference = source.partition(":")
    if not colon or store not in _STORES:
        return _read_file(source)
    if not reference:
        raise ConfigError(f"private_key starts with {store}: but nothing follows; expected {store}:NAME")
    return _STORES[store](reference)


def _read_file(source: str | os.PathLike[str]) -> bytes:
    try:
        return Path(source).read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a path"
        raise ConfigError(
            f"private_key is {kind_of(source)}, taken for a path that could not be read ({reason}); "
            f"expected the path of a PEM file, PEM text, or a reference ({', '.join(f'{name}:' for name in _STORES)})"
        ) from None


def _read_environment(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        raise ConfigError("private_key starts with env: but no variable name follows; expected env:NAME")
    pem = os.environ.get(name)
    if not pem:
        raise ConfigError(f"private_key: the environment variable {name} is not set")
    if "-----BEGIN" not in pem:
        raise ConfigError(
            f"private_key: the environment variable {name} holds {kind_of(pem)} that is no PEM; "
            "it must hold the key itself, not a path"
        )
    return pem


def _aws() -> ModuleType:
    """Import what speaks to AWS, which nobody needs who keeps no key there."""
    try:
        return importlib.import_module("cfgate_middleware.aws")
    except ImportError as error:
        raise ConfigError("keys kept at AWS need boto3: pip install 'cfgate-middleware[aws]'") from error


# Where a reference leads: one row a store.
_STORES: dict[str, Callable[[str], Any]] = {
    "env": _read_environment,
    "kms": lambda name: partial(_aws().KmsSigner, name),
    "secretsmanager": lambda name: _aws().read_secret(name),
    "ssm": lambda name: _aws().read_parameter(name),
}


def load_keys(keys: object, hash_algorithm: str | None = None) -> Keys:
    """Load the keys of a ring.

    Args:
        keys: a :class:`KeyRing`; lines ``KEY_PAIR_ID SOURCE [ISO-8601 moment]``, oldest key first; ``file:PATH`` of a
            file with such lines, which is watched; or an iterable of such lines or of tuples of the same, in which a
            source may also be a key object and a moment an aware datetime or epoch seconds.

    Raises:
        ConfigError: naming every line that cannot be used.
    """
    if isinstance(keys, KeyRing | WatchedRing):
        return _ready_made(keys, hash_algorithm)
    if isinstance(keys, str) and keys.startswith("file:"):
        return WatchedRing(keys.removeprefix("file:"), hash_algorithm).current
    if isinstance(keys, str):
        return _load_ring(keys.splitlines(), hash_algorithm).current
    if not isinstance(keys, Iterable) or isinstance(keys, bytes):
        raise ConfigError(f"keys is {kind_of(keys)}; expected a KeyRing, or {_LINE}, or file:PATH")
    return _load_ring(keys, hash_algorithm).current


_LINE = "lines 'KEY_PAIR_ID SOURCE [ISO-8601 moment]'"
_LINE_PARTS = r"(\S+)\s+(.*?\S)(?:\s+(\d{4}-\d\d-\d\d\S*))?"


def _load_ring(entries: Iterable[object], hash_algorithm: str | None, folder: Path | None = None) -> KeyRing:
    """Load every key of a ring; relative paths start at ``folder``, or at the working directory."""
    problems = Problems()
    loaded: list[tuple[BaseSigner, Any]] = []
    for number, entry in enumerate(entries, start=1):
        if isinstance(entry, str) and (not entry.strip() or entry.lstrip().startswith("#")):
            continue
        with problems.about(f"keys, line {number}"):
            key_pair_id, source, moment = _parts(entry)
            if folder is not None and isinstance(source, str) and source.partition(":")[0] not in _STORES:
                source = folder / source
            loaded.append((load_signer(key_pair_id, source, hash_algorithm), moment))
    problems.raise_any()
    with problems.about("keys"):
        return KeyRing(loaded)
    raise ConfigError(*problems)


def _parts(entry: object) -> tuple[object, object, object]:
    """Split an entry of a ring; what it holds is not shown, for a key may stand in the wrong place."""
    if isinstance(entry, str):
        match = re.fullmatch(_LINE_PARTS, entry.strip())
        entry = match.groups() if match else ()
    if not isinstance(entry, tuple) or len(entry) not in (2, 3):
        raise ConfigError(f"expected {_LINE}, such as 'K2JCJMDEHXQW5F /etc/keys/new.pem 2026-12-01T00:00:00Z'")
    key_pair_id, source, moment = (*entry, None)[:3]
    if isinstance(moment, str):
        try:
            moment = datetime.fromisoformat(moment)
        except ValueError as error:
            raise ConfigError(f"{kind_of(moment)} is no ISO-8601 moment such as 2026-12-01T00:00:00Z") from error
    return key_pair_id, source, 0 if moment is None else moment


class WatchedRing:
    """The ring in a file, loaded anew when the file changes, without a thread: a request looks, now and then.

    A file that does not load, prove every key and hold an active one leaves the ring of before in use; the log tells
    it once per change. A symbolic link is followed, so that Kubernetes can swap a mounted secret.

    Args:
        path: of a file with lines ``KEY_PAIR_ID SOURCE [ISO-8601 moment]``; relative sources start at its folder.
        hash_algorithm: as for :class:`Signer`.
        interval: seconds between two looks at the file.
        clock: monotonic seconds.

    Raises:
        ConfigError: if the file cannot be used now.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        hash_algorithm: str | None = None,
        *,
        interval: float = 30,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path = Path(path)
        self._hash_algorithm = hash_algorithm
        self._interval = interval
        self._clock = clock
        self._looking: dict[int, threading.Lock] = {}
        self._next_look = clock() + interval
        try:
            self._ring, self._state = self._load(time.time(), self._file_state())
        except ConfigError:
            raise
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "not a path"
            raise ConfigError(f"keys: the ring file {self._path} could not be read ({reason})") from error
        self._complained_of: object = self._state

    def current(self, now: float) -> BaseSigner:
        """Return the key that signs at ``now`` (epoch seconds)."""
        if self._clock() >= self._next_look:
            # One lock for each process: what a thread of the parent held at a fork stays held in the child.
            looking = self._looking.setdefault(os.getpid(), threading.Lock())
            if looking.acquire(blocking=False):
                try:
                    self._look_if_due(now)
                finally:
                    looking.release()
        return self._ring.current(now)

    def _look_if_due(self, now: float) -> None:
        seconds = self._clock()
        if seconds < self._next_look:  # another thread was faster
            return
        self._next_look = seconds + self._interval
        state: object = None
        try:
            state = found = self._file_state()
            if found != self._state:
                self._ring, self._state = self._load(now, found)
                logger.info("ring file %s: loaded %r", self._path, self._ring)
            elif found != self._complained_of:
                logger.info("ring file %s: is again the one in use, %r", self._path, self._ring)
            self._complained_of = self._state
        except Exception as error:  # whatever it is, no viewer's request fails for it
            if state != self._complained_of:
                self._complained_of = state
                told = str(error) if isinstance(error, ConfigError) else getattr(error, "strerror", None)
                reason = told or type(error).__name__
                logger.error("ring file %s: %s; the keys of before stay in use", self._path, reason)

    def _file_state(self) -> tuple[int, ...]:
        stat = self._path.stat()
        return stat.st_mtime_ns, stat.st_size, stat.st_ino, stat.st_dev

    def _load(self, now: float, state: tuple[int, ...]) -> tuple[KeyRing, tuple[int, ...]]:
        """Return the ring in the file, every key proven and one active, and the state of the file it is from.

        A file that was swapped meanwhile is loaded again: no id may get the key that another version of the ring keeps
        under the same name.
        """
        while True:
            try:
                lines = self._path.read_text("utf-8-sig").splitlines()
                ring = _load_ring(lines, self._hash_algorithm, self._path.parent)
                ring.current(now)
            except SigningError as error:
                raise ConfigError(f"keys: {error}") from error
            except UnicodeDecodeError:
                raise ConfigError("keys: the ring file is no UTF-8 text") from None  # the cause holds all of it
            before, state = state, self._file_state()
            if before == state:
                return ring, state
