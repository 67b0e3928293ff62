"""``reuse_for``: one URL per object and window, in every thread and process, valid for as long as was promised."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit
from wsgiref.types import WSGIEnvironment

import pytest

from cfgate_middleware import CloudFrontGate, Grant, Signer
from cfgate_middleware._core.answers import KINDS
from cfgate_middleware._core.encoding import from_base64
from cfgate_middleware.verify import KeyGroup, verify_url
from tests.conftest import KEY_PAIR_ID, KEYS, NOW, SIGNERS
from tests.support import BASE_URL, Fake, Judge, PublicPem, fetch, gate

ROOT = Path(__file__).parent.parent
EXPIRES, REUSE_FOR = 60, 45
THREADS, REQUESTS, STEP = 16, 120, 0.9
VIEWER = "192.0.2.7"


class Case(NamedTuple):
    """A verdict, for how many seconds it grants at least, and how long its window is."""

    verdict: bool | Grant
    lasts: int = EXPIRES
    window: int = REUSE_FOR


CASES = {
    "object": Case(True),
    "directory": Case(Grant(scope="directory")),
    "start and address": Case(Grant(not_before=NOW - 5, ip_address=VIEWER)),
    "shorter": Case(Grant(expires=7), 7, 7),
    "shorter directory": Case(Grant(expires=7, scope="directory"), 7, 7),
    "longer": Case(Grant(expires=600), 600),
    "longer directory": Case(Grant(expires=600, scope="directory"), 600),
}
every_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


class Clock:
    """One clock for all threads, which goes on by a step whenever it is read; each thread knows what it read last."""

    def __init__(self, now: float, step: float) -> None:
        self._now, self._step = Fraction(now), Fraction(step)
        self._lock = threading.Lock()
        self._local = threading.local()

    def __call__(self) -> float:
        with self._lock:
            self._now += self._step
            now = float(self._now)
        self._local.read = now
        return now

    @property
    def read(self) -> float:
        """What this thread read last."""
        read: float = self._local.read
        return read


def repeating(name: str) -> Signer:
    """Return a signer of a kind whose signatures repeat."""
    file, hash_algorithm = SIGNERS[name]
    signer = Signer(KEY_PAIR_ID, KEYS / file, hash_algorithm)
    if not signer.deterministic:
        pytest.skip("this OpenSSL has no RFC 6979: equal ECDSA policies get unequal signatures")
    return signer


def reusing(verdict: object, signer: object, now: Callable[[], float] | float = NOW, **options: Any) -> CloudFrontGate:
    """Return a gate that reuses signatures, at a fixed time or under a clock."""
    judge = verdict if callable(verdict) else Judge(verdict)
    made = gate(judge, signer=signer, expires=EXPIRES, reuse_for=REUSE_FOR, **options)
    made.clock = now if callable(now) else lambda: now
    return made


def location(verdict: object, signer: object, now: float) -> str:
    """Return where a new gate redirects to at a time."""
    return fetch(reusing(verdict, signer, now), "/private/films/1.ts").location


def end_of(url: str) -> int:
    """Return when a signed URL ends, as CloudFront reads it."""
    own = parse_qs(urlsplit(url).query)
    if "Expires" in own:
        return int(own["Expires"][0])
    (statement,) = json.loads(from_base64(own["Policy"][0]))["Statement"]
    end: int = statement["Condition"]["DateLessThan"]["AWS:EpochTime"]
    return end


def edge_of(case: Case) -> int:
    """Return an end of a window; what ends there is granted at most ``case.lasts`` seconds before."""
    return (NOW // case.window + 20) * case.window


def print_urls(name: str, back: str) -> None:
    """Print where each kind of grant leads to, some seconds before its window closes; run in a process of its own."""
    signer = repeating(name)
    ends = {kind: edge_of(case) - case.lasts - float(back) for kind, case in CASES.items()}
    print(json.dumps({kind: location(case.verdict, signer, ends[kind]) for kind, case in CASES.items()}))


@pytest.fixture
def restless_threads() -> Iterator[None]:
    """Let threads interrupt each other far more often than they would."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(interval)


@pytest.mark.slow
@pytest.mark.parametrize("name", SIGNERS)
def test_processes_agree_on_one_url(name: str) -> None:
    """Two processes with the same key give the same URL at two times in the same window."""
    repeating(name)
    code = f"import tests.test_reuse as reuse; reuse.print_urls({name!r}, %r)"
    commands = [[sys.executable, "-c", code % back] for back in ("0", "6.75")]
    running = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for command in commands]
    first, second = (json.loads(process.communicate(timeout=60)[0]) for process in running)
    assert first == second
    assert [end_of(url) for url in first.values()] == [edge_of(case) for case in CASES.values()]


@pytest.mark.parametrize("name", ["ECDSA", "RSA-SHA256"])
@every_case
@pytest.mark.usefixtures("restless_threads")
def test_threads_agree_on_one_url_as_valid_as_promised(case: Case, name: str, public_pem: PublicPem) -> None:
    """Across many window edges no URL is valid for less than ``expires``, nor more than that and a window."""
    signer, judge, clock = repeating(name), Judge(case.verdict), Clock(NOW, STEP)
    shared = reusing(judge, signer, clock)
    together = threading.Barrier(THREADS)

    def view(thread: int) -> list[tuple[str, float, str]]:
        together.wait(timeout=30)
        paths = [f"/films/{(thread + number) % 3}.ts" for number in range(REQUESTS)]
        return [(path, clock.read, url) for path in paths for url in [fetch(shared, f"/private{path}").location]]

    with ThreadPoolExecutor(THREADS) as pool:
        seen = [one for each in pool.map(view, range(THREADS)) for one in each]
    urls: dict[tuple[str, int], set[str]] = defaultdict(set)
    for path, now, url in seen:
        end = end_of(url)
        assert now + case.lasts <= end <= now + case.lasts + case.window
        assert end % case.window == 0
        urls[path, end].add(url)
    assert all(len(same) == 1 for same in urls.values()), "one URL per file and window"
    ends = {end for _, end in urls}
    assert len(ends) >= STEP * THREADS * REQUESTS // case.window, "the clock went across every window"
    assert len(judge.asked) == THREADS * REQUESTS, "each request was judged"
    key_group = KeyGroup({KEY_PAIR_ID: public_pem(signer)})
    for (_, end), (url,) in urls.items():
        target = url.removeprefix(BASE_URL)
        verify_url(target, base_url=BASE_URL, key_group=key_group, now=end - 1, viewer_address=VIEWER)


@every_case
def test_a_window_ends_exactly_where_its_urls_would_not_last(case: Case) -> None:
    """The last second of a window still gets its URL, valid for just as long as granted; the next one a new URL."""
    signer, edge = repeating("ECDSA"), edge_of(case)
    last = edge - case.lasts
    times = [last - case.window, last - case.window + 0.125, last - 0.125, last, last + 0.125]
    before, first, late, latest, after = (location(case.verdict, signer, now) for now in times)
    assert first == late == latest
    assert len({before, first, after}) == 3
    assert [end_of(url) for url in (before, first, after)] == [edge - case.window, edge, edge + case.window]


@pytest.mark.parametrize("answer", KINDS)
@every_case
def test_users_share_a_url(case: Case, answer: str) -> None:
    """Two users who are granted the same get the same answer, byte for byte, and each is asked about."""
    asked = []

    def authorize(environ: WSGIEnvironment) -> bool | Grant:
        asked.append(environ["REMOTE_USER"])
        return case.verdict

    signer = Fake()
    shared = reusing(authorize, signer, answer=answer)
    wanted: dict[str, Any] = {"path": "/private/films/1.ts", "HTTP_ACCEPT": "application/json"}
    ada, bob = (fetch(shared, REMOTE_USER=user, **wanted) for user in ("ada", "bob"))
    assert (ada, ada.code) == (bob, 200 if answer == "json" else 303)
    assert asked == ["ada", "bob"]
    assert len(signer.messages) == 1


@every_case
def test_signatures_are_shared_by_policy(case: Case) -> None:
    """What is remembered is the exact policy: files of one scope share a signature, and others do not."""
    counting = Fake()
    shared = reusing(case.verdict, counting)
    for name in ("1.ts", "2.ts", "1.ts"):
        fetch(shared, f"/private/films/{name}")
    scoped = isinstance(case.verdict, Grant) and case.verdict.scope == "directory"
    assert len(counting.messages) == (1 if scoped else 2)
