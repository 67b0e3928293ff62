"""The ring in a file, reloaded when the file changes."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

from cfgate_middleware._core.problems import Secret
from cfgate_middleware._core.signer import PolicySigner
from cfgate_middleware._keys.ring import load_ring
from cfgate_middleware.errors import ConfigError, SigningError

logger = logging.getLogger("cfgate_middleware")


class WatchedRing:
    """The ring in a file, reloaded when the file changes; checked during requests, without a thread.

    If a changed file does not load, prove every key and hold an active one, the current keys stay in use and an error
    is logged, once per change. A symbolic link is followed, so that Kubernetes can swap a mounted secret.

    Args:
        path: of a file with lines as :func:`load_ring` takes them; relative sources start at its folder.
        interval: seconds between two checks of the file at least.
        clock: monotonic seconds.

    Raises:
        ConfigError: if the file cannot be used now.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        hash_algorithm: object = None,
        *,
        interval: float = 30,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path = Path(path)
        self._hash_algorithm = hash_algorithm
        self._interval = interval
        self._clock = clock
        self._checking: dict[int, threading.Lock] = {}
        self._next_check = clock() + interval
        try:
            self._load(time.time(), self._file_state())
        except ConfigError:
            raise
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "not a path"
            raise ConfigError(f"keys: the ring file {self._path} could not be read ({reason})") from error
        self._reported: object = self._state

    def current(self, now: float) -> PolicySigner:
        """Return the key that signs at ``now`` (epoch seconds)."""
        if self._clock() >= self._next_check:
            # One lock per process: what a thread of the parent held at a fork stays held in the child.
            checking = self._checking.setdefault(os.getpid(), threading.Lock())
            if checking.acquire(blocking=False):
                try:
                    self._check_if_due(now)
                finally:
                    checking.release()
        return self._ring.current(now)

    def __repr__(self) -> str:
        return repr(getattr(self, "_ring", self._path))

    def _check_if_due(self, now: float) -> None:
        seconds = self._clock()
        if seconds < self._next_check:  # another thread was faster
            return
        self._next_check = seconds + self._interval
        state: object = None
        try:
            state = self._file_state()
            if state != self._state:
                self._load(now, state)
                logger.info("ring file %s: loaded %r", self._path, self._ring)
            elif state != self._reported:
                logger.info("ring file %s: back to the version in use, %r", self._path, self._ring)
            self._reported = self._state
        except Exception as error:  # whatever it is, no viewer's request fails for it
            if state != self._reported:
                self._reported = state
                text = str(error) if isinstance(error, ConfigError) else getattr(error, "strerror", None)
                reason = text or type(error).__name__
                logger.error("ring file %s: %s; the current keys stay in use", self._path, reason)

    def _file_state(self) -> object:
        stat = self._path.stat()
        return stat.st_mtime_ns, stat.st_size, stat.st_ino, stat.st_dev

    def _load(self, now: float, state: object) -> None:
        """Load the file in this state, with every key proven and one active at ``now``.

        If it was swapped meanwhile, load it again: no id may get the key of the same name in another version.
        """
        while True:
            try:
                ring = load_ring(Secret(self._path.read_text("utf-8-sig")), self._hash_algorithm, self._path.parent)
                ring.current(now)
            except SigningError as error:
                raise ConfigError(f"keys: {error}") from error
            except UnicodeDecodeError:
                raise ConfigError("keys: the ring file is not UTF-8 text") from None  # the cause holds all of it
            before, state = state, self._file_state()
            if before == state:
                self._ring, self._state = ring, state
                return
