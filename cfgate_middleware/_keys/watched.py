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
from cfgate_middleware._keys.sources import read_file
from cfgate_middleware.errors import ConfigError, SigningError

logger = logging.getLogger("cfgate_middleware")


class WatchedRing:
    """The ring in a file, reloaded when the file changes; checked during requests, without a thread.

    If a changed file does not load, prove every key and hold an active one, the current keys stay in use and an error
    is logged, once per change. A changed file that does not end in a newline may be half-written: it is used if the
    next check finds it the same. A symbolic link is followed, so that Kubernetes can swap a mounted secret.

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
        self._unfinished: object = None  # the state of a file that may be half-written
        self._next_check = clock() + interval
        try:
            self._unfinished = self._file_state()
            self._load(time.time(), self._unfinished)
        except ConfigError:
            raise
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise ConfigError(f"keys: the ring file {self._path} could not be read ({reason})") from error
        self._problem: object = None  # the last one that was logged, and the state of the file that had it

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
            elif self._problem is not None:
                logger.info("ring file %s: back to the version in use, %r", self._path, self._ring)
            self._problem = None
        except Exception as error:  # whatever it is, no viewer's request fails for it
            text = str(error) if isinstance(error, ConfigError) else getattr(error, "strerror", None)
            problem = state, text or type(error).__name__
            if problem != self._problem:
                self._problem = problem
                logger.error("ring file %s: %s; the current keys stay in use", self._path, problem[1])

    def _file_state(self) -> object:
        stat = self._path.stat()
        return stat.st_mtime_ns, stat.st_size, stat.st_ino, stat.st_dev

    def _load(self, now: float, state: object) -> None:
        """Load the file in this state, with every key proven and one active at ``now``.

        If it was swapped meanwhile, load it again: no id may get the key of the same name in another version.
        """
        while True:
            try:
                lines = Secret(read_file(self._path).decode("utf-8-sig"))
                if lines.value[-1:] not in ("", "\n") and state != self._unfinished:
                    self._unfinished = state
                    raise ConfigError("keys: the ring file does not end in a newline, so it may be half-written")
                ring = load_ring(lines, self._hash_algorithm, self._path.parent)
                ring.current(now)
            except SigningError as error:
                raise ConfigError(f"keys: {error}") from error
            except UnicodeDecodeError:
                raise ConfigError("keys: the ring file is not UTF-8 text") from None  # the cause holds all of it
            before, state = state, self._file_state()
            if before == state:
                self._ring, self._state = ring, state
                return
