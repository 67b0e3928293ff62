"""``cfgate keygen``: a key pair, and what to do with it."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import uuid
from pathlib import Path

from cfgate_middleware._cli.command import Command
from cfgate_middleware._core.problems import Secret
from cfgate_middleware._keys.pem import generate
from cfgate_middleware._keys.signer import Signer
from cfgate_middleware.errors import ConfigError

PRIVATE, PUBLIC = "cloudfront.pem", "cloudfront-public.pem"

_NEXT = """\
private key  {private}  (keep it secret; only you can read it)
public key   {public}

Next, upload the public key and trust it in a key group:

  KEY_PAIR_ID=$(aws cloudfront create-public-key --query PublicKey.Id --output text \\
    --public-key-config {config})
  KEY_GROUP_ID=$(aws cloudfront create-key-group --query KeyGroup.Id --output text \\
    --key-group-config "Name={name},Items=$KEY_PAIR_ID")

Add the key group to the behavior of your distribution that serves the private files (TrustedKeyGroups). Then sign:

  cfgate sign https://DOMAIN/PATH --key-pair-id "$KEY_PAIR_ID" --private-key {private}

Or try it without AWS, with any key pair id:

  cfgate edge DIRECTORY --public-key KLOCAL={public}"""


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--type",
        choices=("ecdsa", "rsa"),
        default="ecdsa",
        help="ecdsa (P-256, the default: faster, shorter URLs) or rsa (2048 bits, for SHA-1 and old signers)",
    )
    parser.add_argument("--out", metavar="DIR", default=".", help="where to write; made if it does not exist")


def _run(options: argparse.Namespace) -> int:
    folder = Path(options.out)
    private, public = folder / PRIVATE, folder / PUBLIC
    if existing := [path for path in (private, public) if os.path.lexists(path)]:
        raise ConfigError(f"{existing[0]} exists and is not overwritten; choose another folder with --out DIR")
    pem = generate(options.type.upper())
    public_pem = Signer("KNEW", pem.value).public_key_pem()
    folder.mkdir(parents=True, exist_ok=True)
    _write_new(private, pem, 0o600)
    _write_new(public, Secret(public_pem.encode("ascii")), 0o644)
    name = f"cfgate-{uuid.uuid4().hex[:12]}"
    config = json.dumps({"CallerReference": name, "Name": name, "EncodedKey": public_pem})
    quoted = {"private": shlex.quote(str(private)), "public": shlex.quote(str(public)), "config": shlex.quote(config)}
    print(_NEXT.format(name=name, **quoted))
    return 0


def _write_new(path: Path, content: Secret[bytes], mode: int) -> None:
    with open(path, "xb", opener=lambda name, flags: os.open(name, flags, mode)) as file:
        file.write(content.value)


KEYGEN = Command(
    "keygen",
    "make a key pair for CloudFront, and print the commands that upload it",
    "cfgate keygen --out keys",
    _add_options,
    _run,
)
