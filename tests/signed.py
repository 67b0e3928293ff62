"""A second signing side, for tests of CloudFront's side: policies, one signer and the wire alphabet, nothing more."""

from __future__ import annotations

from cfgate_middleware.keys import Signer
from cfgate_middleware.policy import CannedPolicy, CustomPolicy
from cfgate_middleware.wire import to_base64

BASE_URL = "https://d111111abcdef8.cloudfront.net"


def items(signer: Signer, policy: CannedPolicy | CustomPolicy | bytes) -> dict[str, str]:
    """Return CloudFront's own items for ``policy``; bytes are signed as a custom policy, whatever they are."""
    data = policy if isinstance(policy, bytes) else policy.to_bytes()
    first = {"Expires": str(policy.end)} if isinstance(policy, CannedPolicy) else {"Policy": to_base64(data)}
    last = {"Hash-Algorithm": "SHA256"} if signer.hash_algorithm == "SHA256" else {}
    return {**first, "Signature": to_base64(signer.sign(data)), "Key-Pair-Id": signer.key_pair_id, **last}


def with_items(target: str, own: dict[str, str]) -> str:
    """Append ``own`` items to the query of ``target``."""
    return target + ("&" if "?" in target else "?") + "&".join(f"{name}={value}" for name, value in own.items())


def canned(signer: Signer, target: str, end: int, base_url: str = BASE_URL) -> str:
    """Return ``target`` signed with a canned policy."""
    return with_items(target, items(signer, CannedPolicy(base_url + target, end)))


def as_cookies(own: dict[str, str]) -> dict[str, str]:
    """Return ``own`` items under their cookie names."""
    return {f"CloudFront-{name}": value for name, value in own.items()}
