"""Keys are rotated under a real server with several processes, while viewers go on asking."""

from __future__ import annotations

import http.client
import os
import re
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple
from wsgiref.types import WSGIEnvironment

import pytest

from cfgate_middleware import CloudFrontGate, Grant
from cfgate_middleware._keys.watched import WatchedRing
from cfgate_middleware.verify import KeyGroup, verify_url
from tests.support import BASE_URL
from tests.test_ring import make_pair, ring_file

ROOT = Path(__file__).parent.parent
INTERVAL = 0.2  # seconds between two checks of the ring by a process
TIMEOUT = 30
VIEWERS = 4
ROTATIONS = 3
ANSWERS = 20  # of each process after each change
RING = "CFGATE_TEST_RING"


def application() -> CloudFrontGate:
    """What the server serves: a gate whose grants name their process."""

    def authorize(environ: WSGIEnvironment) -> Grant:
        return Grant(headers={"X-Process": str(os.getpid())})

    ring = WatchedRing(os.environ[RING], interval=INTERVAL)
    return CloudFrontGate(None, authorize, prefix="/private", domain=BASE_URL, keys=ring)


class Seen(NamedTuple):
    """An answer, and between which two times (monotonic seconds) it was made."""

    asked: float
    got: float
    code: int
    location: str
    process: str


class Turn(NamedTuple):
    """A ring that was put in place, and between which two times that happened."""

    began: float
    done: float
    ids: list[str]


class Viewers:
    """Clients that ask one request after the other, each for itself, until they are stopped."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._done = threading.Event()
        self.seen: list[Seen] = []

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Ask, and raise what went wrong on the way."""
        with ThreadPoolExecutor(VIEWERS) as pool:
            asking = [pool.submit(self._ask) for _ in range(VIEWERS)]
            try:
                yield
            finally:
                self._done.set()
            for one in asking:
                one.result()

    def _ask(self) -> None:
        with closing(http.client.HTTPConnection("127.0.0.1", self._port, timeout=TIMEOUT)) as connection:
            while not self._done.is_set():
                asked = time.monotonic()
                connection.request("GET", f"/private/{len(self.seen)}")
                answer = connection.getresponse()
                answer.read()
                location, process = answer.headers["Location"] or "", answer.headers["X-Process"] or ""
                self.seen.append(Seen(asked, time.monotonic(), answer.status, location, process))

    def wait_for_all(self, turn: Turn) -> None:
        """Wait until both processes have answered after they had to know of a change."""
        latest = time.monotonic() + TIMEOUT
        while sum(answers >= ANSWERS for answers in self._answers_after(turn).values()) < 2:
            assert time.monotonic() < latest, f"{len(self.seen)} answers"
            self._done.wait(0.02)

    def _answers_after(self, turn: Turn) -> Counter[str]:
        return Counter(seen.process for seen in self.seen if seen.asked > turn.done + INTERVAL)


@contextmanager
def served(ring: Path, log: Path, *options: str) -> Iterator[int]:
    """Serve with two processes on a free port; what is asked before they are ready waits for them."""
    command = [sys.executable, "-m", "gunicorn", "--workers=2", "--bind=127.0.0.1:0", *options]
    paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": paths, RING: str(ring)}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, f"{__name__}:application()"], stdout=output, stderr=output, cwd=ROOT, env=environment
        )
    try:
        latest = time.monotonic() + TIMEOUT
        while not (address := re.search(r"http://127\.0\.0\.1:(\d+)", log.read_text())):
            assert process.poll() is None and time.monotonic() < latest, log.read_text()
            time.sleep(0.02)
        yield int(address[1])
    finally:
        process.terminate()
        try:
            process.wait(TIMEOUT)
        finally:
            process.kill()
            process.wait()


@pytest.mark.slow
@pytest.mark.parametrize("options", [(), ("--preload",)], ids=["each loads", "preloaded"])
def test_no_viewer_notices_a_rotation(tmp_path: Path, options: tuple[str, ...]) -> None:
    """A key is added as the last line and its predecessor's line removed later, three times, under load.

    Every answer is a redirect that CloudFront takes with the keys of that time. A new key signs, and a withdrawn one
    does not any more, as soon as a process has had its time to check, in all processes.
    """
    pairs = [make_pair(f"K{number}") for number in range(ROTATIONS + 1)]
    for pair in pairs:
        (tmp_path / f"{pair.key_pair_id}.pem").write_text(pair.pem)
    public = {pair.key_pair_id: pair.public_pem for pair in pairs}
    turns: list[Turn] = []

    def put(*ids: str) -> Path:
        began = time.monotonic()
        file = ring_file(tmp_path, [f"{name} {name}.pem" for name in ids])
        turns.append(Turn(began, time.monotonic(), list(ids)))
        return file

    log = tmp_path / "log"
    with served(put("K0"), log, *options) as port:
        viewers = Viewers(port)
        with viewers.asking():
            viewers.wait_for_all(turns[-1])
            for number in range(1, ROTATIONS + 1):
                for ids in ([f"K{number - 1}", f"K{number}"], [f"K{number}"]):
                    put(*ids)
                    viewers.wait_for_all(turns[-1])

    assert {seen.code for seen in viewers.seen} == {303}
    used = set()
    for seen in viewers.seen:
        # What a process may still have in use is what was in the ring one interval before it was asked, or since.
        withdrawn = [turn.done < seen.asked - INTERVAL for turn in turns].count(True) - 1
        in_force = [turn.ids for turn in turns[max(withdrawn, 0) :] if turn.began < seen.got]
        group = KeyGroup({name: public[name] for ids in in_force for name in ids})
        target = seen.location.removeprefix(BASE_URL)
        key_pair_id = verify_url(target, base_url=BASE_URL, key_group=group, now=time.time()).key_pair_id
        assert key_pair_id in [ids[-1] for ids in in_force]
        used.add((key_pair_id, seen.process))
    assert len(used) == 2 * len(pairs)
    assert "ring file" not in log.read_text()
