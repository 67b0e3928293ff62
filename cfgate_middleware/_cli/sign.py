"""``cfgate sign`` and ``cfgate cookies``: with the options of ``aws cloudfront sign`` and ``sign-cookies``."""

from __future__ import annotations

import argparse
import math
import shlex
import sys
import time
from typing import Any
from urllib.parse import unquote, urlsplit

from cfgate_middleware._cli.command import Command, UsageError, aligned, to_duration, to_time
from cfgate_middleware._core.policy import to_ipv4_network
from cfgate_middleware._core.problems import Secret
from cfgate_middleware._core.signer import HASH_ALGORITHMS
from cfgate_middleware._keys.signer import Signer
from cfgate_middleware.distribution import signed_cookies, signed_url
from cfgate_middleware.errors import PathError


def _add_options(parser: argparse.ArgumentParser, what: str, text: str) -> None:
    parser.add_argument("positional", nargs="?", metavar=what.upper(), type=Secret, help=text)
    parser.add_argument(
        f"--{what}",
        dest="named",
        metavar=what.upper(),
        type=Secret,
        help=f"the same, as for aws; instead of {what.upper()}",
    )
    parser.add_argument(
        "--key-pair-id",
        metavar="ID",
        type=Secret,
        required=True,
        help="the id that CloudFront shows for the public key",
    )
    parser.add_argument(
        "--private-key",
        metavar="FILE",
        type=Secret,
        required=True,
        help="path or file://path of the private key in PEM, or env:NAME, kms:KEY, secretsmanager:NAME, ssm:NAME",
    )
    end = parser.add_mutually_exclusive_group()
    end.add_argument(
        "--date-less-than", metavar="TIME", type=to_time, help="when access ends: ISO 8601 or epoch seconds"
    )
    end.add_argument(
        "--expires-in", metavar="DURATION", type=to_duration, default="1h", help="how long: 90s, 15m, 1h (default), 7d"
    )
    parser.add_argument("--date-greater-than", metavar="TIME", type=to_time, help="access begins after this time")
    parser.add_argument(
        "--ip-address", metavar="CIDR", type=_to_network, help="IPv4 address or network that viewers must come from"
    )
    parser.add_argument(
        "--hash-algorithm",
        choices=HASH_ALGORITHMS,
        help="SHA256 (default), or SHA1 (RSA keys only), the default of aws cloudfront sign",
    )


def _to_network(text: str) -> str:
    try:
        return to_ipv4_network(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _resource(options: argparse.Namespace, what: str) -> Secret[str]:
    given: list[Secret[str]] = [value for value in (options.positional, options.named) if value is not None]
    if len(given) != 1:
        name = what.upper()
        raise UsageError(f"cfgate {options.command.name}", f"expected one {name}, given as {name} or --{what} {name}")
    return given[0]


def _signer(options: argparse.Namespace) -> Signer:
    source: Secret[str] = options.private_key
    for scheme in ("file://", "fileb://"):
        source = Secret(source.value.removeprefix(scheme))
    return Signer(options.key_pair_id.value, source.value, options.hash_algorithm)


def _conditions(options: argparse.Namespace) -> dict[str, Any]:
    """Return the conditions as keywords; the end is written as one second after ``now``, so that any end can be."""
    now, end = time.time(), options.date_less_than
    if end is None:
        end = math.ceil(now) + options.expires_in
    elif end <= now:
        print(f"cfgate {options.command.name}: note: --date-less-than is in the past", file=sys.stderr)
    conditions = {"not_before": options.date_greater_than, "ip_address": options.ip_address}
    return {"now": end - 1, "expires": 1, **conditions}


def _run_sign(options: argparse.Namespace) -> int:
    url = _resource(options, "url")
    print(signed_url(url.value, _signer(options), **_conditions(options)))
    return 0


def _run_cookies(options: argparse.Namespace) -> int:
    resource = _resource(options, "resource")
    url, conditions = resource, _conditions(options)
    if "*" in resource.value:
        url = Secret(resource.value.removesuffix("*"))
        if "*" in url.value or "?" in url.value or not url.value.endswith("/"):
            raise PathError("a * can only be the last character of RESOURCE, after a slash: 'https://DOMAIN/films/*'")
        conditions["scope"] = unquote(urlsplit(url.value).path)
    cookies = Secret(signed_cookies(url.value, _signer(options), **conditions))
    print(aligned(list(cookies.value.items())))
    example = url.value if url is resource else f"{url.value}FILE"
    sent = Secret("; ".join(f"{name}={value}" for name, value in cookies.value.items()))
    print(f"\ncurl -b {shlex.quote(sent.value)} {shlex.quote(example)}")
    return 0


SIGN = Command(
    "sign",
    "sign a URL, as aws cloudfront sign does",
    "cfgate sign https://d111111abcdef8.cloudfront.net/reports/1.pdf --expires-in 1h \\\n"
    "  --key-pair-id K2JCJMDEHXQW5F --private-key cloudfront.pem",
    lambda parser: _add_options(parser, "url", "the URL of the file, spelled as it is sent; quote it for your shell"),
    _run_sign,
)
COOKIES = Command(
    "cookies",
    "make signed cookies for a URL, or for all below a directory",
    "cfgate cookies 'https://d111111abcdef8.cloudfront.net/films/42/*' --expires-in 4h \\\n"
    "  --key-pair-id K2JCJMDEHXQW5F --private-key cloudfront.pem",
    lambda parser: _add_options(parser, "resource", "a URL, or a directory and all below it: 'https://DOMAIN/films/*'"),
    _run_cookies,
)
