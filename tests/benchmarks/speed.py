"""How fast the gate is and what memory it keeps, as ratios measured side by side in one run.

Run it from the root of a clone on a quiet machine: ``pip install -e '.[bench]'``, then
``python -m tests.benchmarks.speed --fast``.
"""

from __future__ import annotations

import compileall
import datetime
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import flask
import pyperf
import webob
from botocore.signers import CloudFrontSigner

import cfgate_middleware
from cfgate_middleware import CloudFrontGate, Signer, allow, ask_app
from cfgate_middleware._core.encoding import to_base64
from cfgate_middleware._core.policy import canned_policy
from cfgate_middleware.explain import explain
from tests.benchmarks import served

KEYS = Path(__file__).parent.parent / "keys"
DOMAIN = "https://d111111abcdef8.cloudfront.net"
MESSAGE = canned_policy(f"{DOMAIN}/reports/2026/annual.pdf", 1_800_000_000)
ECDSA = Signer("K2JCJMDEHXQW5F", (KEYS / "p256-pkcs8.pem").read_text())
RSA = Signer("K2JCJMDEHXQW5F", (KEYS / "rsa-2048-pkcs8.pem").read_text())


def environ(path: str) -> dict[str, Any]:
    """Return what a server would hand over for a GET."""
    return {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": "",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "wsgi.url_scheme": "http",
    }


OUTSIDE, INSIDE = environ("/some/page.html"), environ("/private/reports/2026/annual.pdf")


def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    """Answer at once: the application whose time is not ours."""
    return []


def start_response(status: str, headers: list[tuple[str, str]], exc_info: object = None) -> None:
    """Take the answer, as a server would."""


def gate(signer: Signer, **options: Any) -> CloudFrontGate:
    """Build a gate that grants everything."""
    return CloudFrontGate(app, lambda environ: True, prefix="/private", domain=DOMAIN, signer=signer, **options)


def flask_view() -> flask.Flask:
    """Build what one writes without a gate: a Flask view that redirects with botocore's signer, same key."""
    view = flask.Flask("view")
    signer = CloudFrontSigner(ECDSA.key_pair_id, ECDSA.sign)

    @view.get("/private/<path:path>")
    def redirect(path: str) -> Any:
        ends = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=60)
        url = signer.generate_presigned_url(f"{DOMAIN}/{path}", date_less_than=ends)
        return flask.redirect(f"{url}&Hash-Algorithm=SHA256", 303)

    return view


def asked_view() -> CloudFrontGate:
    """Build a Flask view that says yes to the gate around it."""
    view = flask.Flask("asked")

    @view.get("/private/<path:path>")
    def private(path: str) -> Any:
        return "", 204, allow(flask.request.environ)

    return CloudFrontGate(view.wsgi_app, ask_app, prefix="/private", domain=DOMAIN, signer=ECDSA)


def drain(application: Any, request: dict[str, Any]) -> None:
    """Ask an application and close its answer."""
    answer = application(dict(request), start_response)
    if hasattr(answer, "close"):
        answer.close()


def two_threads(call: Callable[[], object], seconds: float = 1.0) -> float:
    """Return how many times as much two threads do as one in the same time."""

    def count(results: list[int]) -> None:
        done, end = 0, time.perf_counter() + seconds
        while time.perf_counter() < end:
            call()
            done += 1
        results.append(done)

    def together(threads: int) -> int:
        results: list[int] = []
        running = [threading.Thread(target=count, args=(results,)) for _ in range(threads)]
        for thread in running:
            thread.start()
        for thread in running:
            thread.join()
        return sum(results)

    one = together(1)
    return together(2) / one


def resident_memory() -> float:
    """Return the resident memory of this process in MB (Linux: https://man7.org/linux/man-pages/man5/proc.5.html)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20


def memory_kept(count: int, length: int = 0) -> float:
    """Return how many MB of memory are kept after requests for distinct paths of at least a length, reuse on."""
    reusing: Any = gate(ECDSA, reuse_for=60)
    request = environ("/private/warm.pdf")
    reusing(request, start_response)
    before = resident_memory()
    for number in range(count):
        request["PATH_INFO"] = f"/private/{number}/{'x' * length}.pdf"
        reusing(request, start_response)
    return resident_memory() - before


def explained() -> float:
    """Return how many milliseconds the explanation of an 8 KB URL takes, the longest of two kinds of signatures."""
    own = "&".join(f"v{number}=a%20b" for number in range(300))
    url = f"{DOMAIN}/{'a%20b/' * 660}?{own}&Expires=1800000000&Key-Pair-Id=K2JCJMDEHXQW5F&Signature="
    longest = 0.0
    for signer in (ECDSA, RSA):
        text = url + to_base64(signer.sign(b"something else"))
        keys = {"K2JCJMDEHXQW5F": signer.public_key_pem(), "K2": signer.public_key_pem()}
        start = time.perf_counter()
        explain(text, public_keys=keys, hosts=("cdn.example.com",))
        longest = max(longest, time.perf_counter() - start)
    return longest * 1000


def import_time(statement: str) -> float:
    """Return the seconds a fresh interpreter takes for an import, the best of twenty."""
    timed = f"import time; start = time.perf_counter(); {statement}; print(time.perf_counter() - start)"
    command = [sys.executable, "-c", timed]
    return min(float(subprocess.run(command, check=True, capture_output=True).stdout) for _ in range(20))


def import_ratio() -> float:
    """Return how long importing the package takes against importing the parts it is made of, all compiled."""
    compileall.compile_dir(Path(cfgate_middleware.__file__).parent, quiet=1)
    return import_time("import cfgate_middleware") / import_time(PARTS)


PARTS = (
    "import webob; from cryptography.hazmat.primitives.asymmetric import ec, rsa, padding; "
    "from cryptography.hazmat.primitives import hashes, serialization"
)


def main() -> None:
    """Measure each row and, in the process that started the others, print the ratios."""
    runner = pyperf.Runner()

    def mean(name: str, *call: Any) -> float:
        benchmark = runner.bench_func(name, *call)
        return float("nan") if benchmark is None or runner.args.worker else benchmark.mean()

    ecdsa_gate, rsa_gate, reusing = gate(ECDSA), gate(RSA), gate(ECDSA, reuse_for=60)
    bare_app = mean("application alone", app, OUTSIDE, start_response)
    behind = mean("application behind the gate", ecdsa_gate, OUTSIDE, start_response)
    path_info = mean("webob.Request(environ).path_info", lambda: webob.Request(OUTSIDE).path_info)
    ecdsa_sign = mean("ECDSA sign()", ECDSA.sign, MESSAGE)
    ecdsa_call = mean("ECDSA redirect", ecdsa_gate, INSIDE, start_response)
    rsa_sign = mean("RSA-2048 sign()", RSA.sign, MESSAGE)
    rsa_call = mean("RSA-2048 redirect", rsa_gate, INSIDE, start_response)
    reused = mean("redirect from a reused signature", reusing, INSIDE, start_response)
    view = mean("Flask view with botocore's signer", drain, flask_view(), INSIDE)
    asked = mean("Flask view that says allow", drain, asked_view(), INSIDE)
    if runner.args.worker:
        return
    rows = (
        ("outside the prefix, added / webob.Request(environ).path_info", (behind - bare_app) / path_info, "<=", 0.4),
        ("ECDSA redirect, whole gate call / bare sign()", ecdsa_call / ecdsa_sign, "<=", 1.35),
        ("RSA-2048 redirect, whole gate call / bare sign()", rsa_call / rsa_sign, "<=", 1.05),
        ("redirect from a reused signature / bare ECDSA sign()", reused / ecdsa_sign, "<=", 0.2),
        ("throughput against a Flask view with botocore's signer", view / ecdsa_call, ">=", 4.5),
        ("the same with reuse", view / reused, ">=", 30),
        ("throughput of a Flask view that says allow against the same", view / asked, ">=", 1.2),
        ("two threads / one, RSA", two_threads(lambda: drain(rsa_gate, INSIDE)), ">=", 1.7),
        ("two threads / one, ECDSA", two_threads(lambda: drain(ecdsa_gate, INSIDE)), ">=", 0.75),
        ("import cfgate_middleware / webob and parts of cryptography", import_ratio(), "<=", 0.95),
        ("ms to explain an 8 KB URL with two keys", explained(), "<=", 100),
        ("MB kept after 1,000,000 distinct paths, reuse on", memory_kept(1_000_000), "<=", 20),
        ("the same after 100,000 paths of 7,900 bytes, all signed", memory_kept(100_000, 7_870), "<=", 20),
        ("the same after 100,000 paths of 250 KB", memory_kept(100_000, 250_000), "<=", 20),
        *served.rows(),
    )
    print("\n  ratio  target     what")
    for what, ratio, relation, target in rows:
        reached = ratio <= target if relation == "<=" else ratio >= target
        print(f"{ratio:7.3f}  {relation} {target:<6g}  {what}{'' if reached else '   MISSED'}")


if __name__ == "__main__":
    main()
