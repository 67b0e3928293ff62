"""``cfgate explain``: why CloudFront refuses a URL, for a person or as JSON."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from pathlib import Path

from cfgate_middleware._cli.command import Command, add_public_key, aligned, public_keys, to_time
from cfgate_middleware._core.problems import Secret
from cfgate_middleware.explain import Explanation, explain

_STATUS = {"served": 0, "refused": 1, "undecided": 3}
_VERDICTS = {
    "served": "Would be served.",
    "refused": "Would be REFUSED.",
    "undecided": "Not decided: it needs the public key (--public-key ID=FILE), and for an address --from-ip.",
}


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "url",
        metavar="URL|-",
        type=Secret,
        help="a signed URL; - reads it from stdin, so that no history keeps it",
    )
    add_public_key(parser, required=False)
    parser.add_argument("--cookies", metavar="TEXT|FILE", type=Secret, help="the viewer's cookies, 'a=b; c=d'")
    parser.add_argument(
        "--host", metavar="NAME", action="append", default=[], help="a host that may have been signed; may be repeated"
    )
    parser.add_argument("--now", metavar="TIME", type=to_time, help="at another time: ISO 8601 or epoch seconds")
    parser.add_argument("--from-ip", metavar="ADDRESS", help="the viewer's address, for policies with one")
    parser.add_argument("--response", metavar="FILE|-", help="what curl -i printed, which sorts half of the causes")
    parser.add_argument("--json", action="store_true", help="verdict, findings and facts as JSON; codes are stable")


def _run(options: argparse.Namespace) -> int:
    url: Secret[str | bytes] = options.url
    if url.value == "-":
        url = Secret(sys.stdin.buffer.read())
    cookies: Secret[str] | None = options.cookies
    if cookies is not None and "=" not in cookies.value:
        cookies = Secret(Path(cookies.value).read_text("utf-8", "replace"))
    explanation = explain(
        url.value,
        public_keys=public_keys(options).value,
        cookies=None if cookies is None else cookies.value,
        hosts=options.host,
        now=options.now,
        viewer_address=options.from_ip,
        response=None if options.response is None else _read(options.response),
    )
    print(json.dumps(dataclasses.asdict(explanation), indent=2) if options.json else _as_text(explanation))
    return _STATUS[explanation.verdict]


def _read(file: str) -> bytes:
    return sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()


def _as_text(explanation: Explanation) -> str:
    lines = [_VERDICTS[explanation.verdict]]
    for number, finding in enumerate(explanation.findings, start=1):
        lines += [f"{number:3}. {finding.text}  [{finding.code}]", f"     -> {finding.cure}"]
    if explanation.facts:
        lines += ["", aligned(explanation.facts)]
    return "\n".join(lines)


EXPLAIN = Command(
    "explain",
    "say why CloudFront refuses a signed URL, of any signer",
    "cfgate explain 'https://d111111abcdef8.cloudfront.net/a%20b?Expires=…' \\\n"
    "  --public-key K2JCJMDEHXQW5F=cloudfront-public.pem",
    _add_options,
    _run,
)
