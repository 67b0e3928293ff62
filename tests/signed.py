"""A second signing side, for tests of CloudFront's side: policies, one signer and the wire alphabet, nothing more."""

from __future__ import annotations

from cfgate_middleware import Signer
from cfgate_middleware._core.encoding import to_base64
from cfgate_middleware._core.policy import CustomPolicy, canned_policy

BASE_URL = "https://d111111abcdef8.cloudfront.net"


def items(signer: Signer, policy: CustomPolicy | bytes) -> dict[str, str]:
    """Return CloudFront's own items for ``policy``; bytes are signed as a custom policy, whatever they are."""
    data = policy if isinstance(policy, bytes) else policy.to_bytes()
    return {"Policy": to_base64(data), **_signature(signer, data)}


def canned_items(signer: Signer, url: str, end: int) -> dict[str, str]:
    """Return CloudFront's own items for the canned policy of ``url``."""
    return {"Expires": str(end), **_signature(signer, canned_policy(url, end))}


def _signature(signer: Signer, data: bytes) -> dict[str, str]:
    marker = {"Hash-Algorithm": "SHA256"} if signer.hash_algorithm == "SHA256" else {}
    return {"Signature": to_base64(signer.sign(data)), "Key-Pair-Id": signer.key_pair_id, **marker}


def with_items(target: str, own: dict[str, str]) -> str:
    """Append ``own`` items to the query of ``target``."""
    return target + ("&" if "?" in target else "?") + "&".join(f"{name}={value}" for name, value in own.items())


def canned(signer: Signer, target: str, end: int, base_url: str = BASE_URL) -> str:
    """Return ``target`` signed with a canned policy."""
    return with_items(target, canned_items(signer, base_url + target, end))


def as_cookies(own: dict[str, str]) -> dict[str, str]:
    """Return ``own`` items under their cookie names."""
    return {f"CloudFront-{name}": value for name, value in own.items()}
