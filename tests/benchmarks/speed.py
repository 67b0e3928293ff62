"""How fast the gate is, as ratios measured side by side in one run.

Run it from the root of a clone: ``pip install -e '.[bench]'``, then ``python -m tests.benchmarks.speed --fast``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyperf
import webob

from cfgate_middleware import CloudFrontGate, Signer
from cfgate_middleware.policy import canned_policy

KEYS = Path(__file__).parent.parent / "keys"
DOMAIN = "https://d111111abcdef8.cloudfront.net"
MESSAGE = canned_policy(f"{DOMAIN}/reports/2026/annual.pdf", 1_800_000_000)


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


def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    """Answer at once: the application whose time is not ours."""
    return []


def start_response(status: str, headers: list[tuple[str, str]], exc_info: object = None) -> None:
    """Take the answer, as a server would."""


def gate(signer: Signer) -> CloudFrontGate:
    """Build a gate that grants everything."""
    return CloudFrontGate(app, lambda environ: True, prefix="/private", domain=DOMAIN, signer=signer)


def main() -> None:
    """Measure each row and, in the process that started the others, print the ratios."""
    runner = pyperf.Runner()
    ecdsa = Signer("K2JCJMDEHXQW5F", (KEYS / "p256-pkcs8.pem").read_text())
    rsa = Signer("K2JCJMDEHXQW5F", (KEYS / "rsa-2048-pkcs8.pem").read_text())
    outside, inside = environ("/some/page.html"), environ("/private/reports/2026/annual.pdf")
    ecdsa_gate = gate(ecdsa)

    def mean(name: str, *call: Any) -> float:
        benchmark = runner.bench_func(name, *call)
        return float("nan") if benchmark is None or runner.args.worker else benchmark.mean()

    bare_app = mean("application alone", app, outside, start_response)
    behind = mean("application behind the gate", ecdsa_gate, outside, start_response)
    path_info = mean("webob.Request(environ).path_info", lambda: webob.Request(outside).path_info)
    ecdsa_sign = mean("ECDSA sign()", ecdsa.sign, MESSAGE)
    ecdsa_call = mean("ECDSA redirect", ecdsa_gate, inside, start_response)
    rsa_sign = mean("RSA-2048 sign()", rsa.sign, MESSAGE)
    rsa_call = mean("RSA-2048 redirect", gate(rsa), inside, start_response)
    if runner.args.worker:
        return
    rows = (
        ("outside the prefix, added / webob.Request(environ).path_info", (behind - bare_app) / path_info, 0.4),
        ("ECDSA redirect, whole gate call / bare sign()", ecdsa_call / ecdsa_sign, 1.2),
        ("RSA-2048 redirect, whole gate call / bare sign()", rsa_call / rsa_sign, 1.05),
    )
    print("\nratio  at most  what")
    for what, ratio, at_most in rows:
        print(f"{ratio:5.2f}  {at_most:7.2f}  {what}{'' if ratio <= at_most else '   MISSED'}")


if __name__ == "__main__":
    main()
