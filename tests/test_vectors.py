"""Signed URLs and cookies by AWS's own signer (``vectors/README.rst``): ours are the same, and theirs verify.

AWS's signer differs from this package in three ways that CloudFront does not mind: CloudFront's own parameters stand in
another order; so do the conditions of a policy with both a start and an address; and in the path of a URL it writes
``!'()*`` as they are.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from cfgate_middleware import Signer, signed_cookies, signed_url, verify
from cfgate_middleware._core.encoding import from_base64
from cfgate_middleware._core.policy import CustomPolicy
from cfgate_middleware._core.urls import RESERVED
from tests.conftest import KEY_PAIR_ID, KEYS, SIGNERS
from tests.signed import BASE_URL, as_cookies, with_items

VIEWER = "203.0.113.7"


class Vector(NamedTuple):
    """What AWS's signer was asked, and what it gave; keys as in the file."""

    signer: str
    name: str
    url: str
    end: int
    start: int | None
    ip: str | None
    resource: str | None
    signed_url: str
    cookies: dict[str, str | int]

    def __str__(self) -> str:
        return f"{self.signer}, {self.name}"

    @property
    def items(self) -> dict[str, str]:
        """CloudFront's own items as text, which is what they are once sent."""
        return {name.removeprefix("CloudFront-"): str(value) for name, value in self.cookies.items()}

    def ours(self, signers: dict[str, Signer]) -> tuple[str, dict[str, str]]:
        """Return the URL and the items of the cookies that this package makes of the same inputs."""
        how: Any = {"now": self.end - 60, "expires": 60, "not_before": self.start, "ip_address": self.ip}
        how["scope"] = "directory" if self.resource else "object"
        cookies = signed_cookies(self.url, signers[self.signer], **how)
        assert all(name.startswith("CloudFront-") for name in cookies)
        url = signed_url(self.url, signers[self.signer], **how)
        return url, {name.removeprefix("CloudFront-"): value for name, value in cookies.items()}

    def check_url(self, url: str, **when: float) -> verify.Verified:
        """Verify a signed URL as CloudFront would, by default just before its end."""
        return verify.verify_url(url.removeprefix(BASE_URL), **self._facts(**when))

    def check_cookies(self, items: dict[str, str], url: str | None = None, **when: float) -> verify.Verified:
        """Verify the same items as cookies, by default for the URL that they were made for."""
        target = (url or self.url).removeprefix(BASE_URL)
        return verify.verify_cookies(target, as_cookies(items), **self._facts(**when))

    def _facts(self, **when: float) -> dict[str, Any]:
        file = "rsa-2048-public" if self.signer.startswith("RSA") else "p256-public"
        group = verify.KeyGroup({KEY_PAIR_ID: (KEYS / f"{file}.pem").read_text()})
        return {"base_url": BASE_URL, "key_group": group, "now": self.end - 1, "viewer_address": VIEWER, **when}


FILE = Path(__file__).parent / "vectors" / "vectors.json"
VECTORS = [Vector(**vector) for vector in json.loads(FILE.read_text())["vectors"]]
OURS = [vector for vector in VECTORS if vector.signer in SIGNERS]  # less ECDSA with SHA-1, which is only verified
ITEM_ERRORS: dict[str, tuple[tuple[type[verify.VerificationError], ...], type[verify.VerificationError]]] = {
    "Expires": ((verify.BadSignature,), verify.MalformedPolicy),
    "Policy": ((verify.BadSignature, verify.MalformedPolicy), verify.MalformedPolicy),
    "Signature": ((verify.BadSignature,), verify.MalformedSignature),
    "Key-Pair-Id": ((verify.UnknownKey,), verify.MissingKey),
    "Hash-Algorithm": ((verify.UnknownHashAlgorithm,), verify.BadSignature),
}


def parts(url: str) -> tuple[str, dict[str, str]]:
    """Return what is signed of a URL, and CloudFront's own items."""
    before, _, query = url.partition("?")
    pairs = [pair.partition("=")[::2] for pair in query.split("&")]
    remaining = "&".join(f"{name}={value}" for name, value in pairs if name not in RESERVED)
    own = {name: value for name, value in pairs if name in RESERVED}
    return f"{before}?{remaining}" if remaining else before, own


def comparable(vector: Vector, items: dict[str, str]) -> dict[str, str]:
    """Return what can be equal: all but a random signature."""
    return {name: value for name, value in items.items() if vector.signer != "ECDSA" or name != "Signature"}


@pytest.mark.parametrize("vector", OURS, ids=str)
def test_what_we_sign_equals_what_the_sdk_signs(vector: Vector, signers: dict[str, Signer]) -> None:
    """URL and cookies are the SDK's byte for byte, but for an ECDSA signature and what is listed above."""
    url, items = vector.ours(signers)
    (signed, own), (their_signed, their_own) = parts(url), parts(vector.signed_url)
    assert signed == vector.url
    assert items.keys() == vector.items.keys() and own.keys() == their_own.keys()
    assert comparable(vector, own) == comparable(vector, items)
    assert all(re.fullmatch(r"[A-Za-z0-9~_-]+", value) for value in [*items.values(), *vector.items.values()])
    if vector.start and vector.ip:
        policy, theirs = from_base64(items["Policy"]), from_base64(vector.items["Policy"])
        assert policy != theirs and CustomPolicy.parse(policy) == CustomPolicy.parse(theirs)
        return
    assert comparable(vector, items) == comparable(vector, vector.items)
    if vector.name == "canned with marks in the path":
        assert their_signed == f"{BASE_URL}/it's%20(a)!.pdf"
    else:
        assert (their_signed, comparable(vector, their_own)) == (signed, comparable(vector, own))


@pytest.mark.parametrize("vector", OURS, ids=str)
def test_what_we_sign_verifies(vector: Vector, signers: dict[str, Signer]) -> None:
    """URLs and cookies of this package open what the SDK's were asked to open."""
    url, items = vector.ours(signers)
    ours, theirs = (vector.check_url(url), vector.check_cookies(items)), vector.check_cookies(vector.items)
    assert {each.policy for each in ours} == {theirs.policy}


@pytest.mark.parametrize("vector", VECTORS, ids=str)
def test_what_the_sdk_signs_verifies(vector: Vector) -> None:
    """The SDK's URLs and cookies hold as asked until their end; so does a URL escaped, with Expires beside Policy."""
    signed, own = parts(vector.signed_url)
    lax = {name: "".join(f"%{ord(char):02x}" for char in value) for name, value in {"Expires": "1", **own}.items()}
    network = vector.ip and f"{vector.ip}/32".replace("/24/32", "/24")
    checked = (vector.check_url(vector.signed_url), vector.check_url(with_items(signed, lax)))
    for verified in (*checked, vector.check_cookies(vector.items)):
        policy = verified.policy
        assert (policy.end, policy.start, policy.ip_address) == (vector.end, vector.start, network)
        assert verified.key_pair_id == KEY_PAIR_ID
        assert vector.resource in (None, policy.resource)
    with pytest.raises(verify.Expired, match=f"access ended at {vector.end}"):
        vector.check_url(vector.signed_url, now=vector.end)
    with pytest.raises(verify.Expired, match=f"access ended at {vector.end}"):
        vector.check_cookies(vector.items, now=vector.end)


@pytest.mark.parametrize("vector", VECTORS, ids=str)
def test_what_the_sdk_signed_is_refused_once_altered(vector: Vector) -> None:
    """One changed character in any item, an item left out, or another object, and neither URL nor cookies verify."""
    signed, items = parts(vector.signed_url)
    for name, value in items.items():
        middle = len(value) // 2
        changed = f"{value[:middle]}{'1' if value[middle] != '1' else '2'}{value[middle + 1 :]}"
        left_out = {key: value for key, value in items.items() if key != name}
        on_change, on_absence = ITEM_ERRORS[name]
        for spoilt, error in (({**items, name: changed}, on_change), (left_out, on_absence)):
            with pytest.raises(error):
                vector.check_url(with_items(signed, spoilt))
            with pytest.raises(error):
                vector.check_cookies(spoilt)
    elsewhere, telling = f"{BASE_URL}/films/43/hd/1.ts", "over the canned policy|does not cover the URL's path"
    with pytest.raises(verify.VerificationError, match=telling):
        vector.check_url(with_items(elsewhere, items))
    with pytest.raises(verify.VerificationError, match=telling):
        vector.check_cookies(vector.items, elsewhere)
