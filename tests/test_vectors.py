"""Signed URLs and cookies by AWS's own signer (``vectors/README.rst``): ours are the same, and theirs verify.

AWS's signer differs from this package in three ways that CloudFront does not mind: CloudFront's own parameters stand in
another order; so do the conditions of a policy with both a start and an address; and in the path of a URL it writes
``!'()*`` as they are.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import NamedTuple

import pytest

from cfgate_middleware import Signer, signed_cookies, signed_url
from cfgate_middleware._core.encoding import from_base64
from cfgate_middleware._core.policy import CustomPolicy
from cfgate_middleware._core.urls import RESERVED
from cfgate_middleware.verify import (
    BadSignature,
    Expired,
    KeyGroup,
    MalformedPolicy,
    MalformedSignature,
    MissingKey,
    UnknownHashAlgorithm,
    UnknownKey,
    VerificationError,
    Verified,
    verify_cookies,
    verify_url,
)
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
        scope = "directory" if self.resource else "object"
        now, signer = self.end - 60, signers[self.signer]
        url = signed_url(self.url, signer, expires=60, now=now, scope=scope, not_before=self.start, ip_address=self.ip)
        cookies = signed_cookies(
            self.url, signer, expires=60, now=now, scope=scope, not_before=self.start, ip_address=self.ip
        )
        assert all(name.startswith("CloudFront-") for name in cookies)
        return url, {name.removeprefix("CloudFront-"): value for name, value in cookies.items()}

    def check_url(self, url: str, *, now: float | None = None) -> Verified:
        """Verify a signed URL as CloudFront would, by default just before its end."""
        return verify_url(
            url.removeprefix(BASE_URL),
            base_url=BASE_URL,
            key_group=self._key_group,
            now=self.end - 1 if now is None else now,
            viewer_address=VIEWER,
        )

    def check_cookies(self, items: dict[str, str], url: str | None = None, *, now: float | None = None) -> Verified:
        """Verify the same items as cookies, by default for the URL that they were made for."""
        return verify_cookies(
            (url or self.url).removeprefix(BASE_URL),
            as_cookies(items),
            base_url=BASE_URL,
            key_group=self._key_group,
            now=self.end - 1 if now is None else now,
            viewer_address=VIEWER,
        )

    @property
    def _key_group(self) -> KeyGroup:
        file = "rsa-2048-public" if self.signer.startswith("RSA") else "p256-public"
        return KeyGroup({KEY_PAIR_ID: (KEYS / f"{file}.pem").read_text()})


VECTORS = [
    Vector(**vector)
    for vector in json.loads((Path(__file__).parent / "vectors" / "vectors.json").read_text())["vectors"]
]
OURS = [vector for vector in VECTORS if vector.signer in SIGNERS]  # less ECDSA with SHA-1, which is only verified
SAME_POLICY = [vector for vector in OURS if not (vector.start and vector.ip)]
ITEM_ERRORS: dict[str, tuple[tuple[type[VerificationError], ...], type[VerificationError]]] = {
    "Expires": ((BadSignature,), MalformedPolicy),
    "Policy": ((BadSignature, MalformedPolicy), MalformedPolicy),
    "Signature": ((BadSignature,), MalformedSignature),
    "Key-Pair-Id": ((UnknownKey,), MissingKey),
    "Hash-Algorithm": ((UnknownHashAlgorithm,), BadSignature),
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
def test_cookies_have_the_names_and_alphabet_of_the_sdk(vector: Vector, signers: dict[str, Signer]) -> None:
    """The same cookies appear as with the SDK, for canned and custom policies, in the same alphabet."""
    _, items = vector.ours(signers)
    assert items.keys() == vector.items.keys()
    assert all(re.fullmatch(r"[A-Za-z0-9~_-]+", value) for value in [*items.values(), *vector.items.values()])


@pytest.mark.parametrize("vector", SAME_POLICY, ids=str)
def test_cookies_over_the_same_policy_equal_those_of_the_sdk(vector: Vector, signers: dict[str, Signer]) -> None:
    """Cookies are the SDK's byte for byte, but for the random part of an ECDSA signature."""
    _, items = vector.ours(signers)
    assert comparable(vector, items) == comparable(vector, vector.items)


@pytest.mark.parametrize("vector", SAME_POLICY, ids=str)
def test_urls_over_the_same_policy_equal_those_of_the_sdk(vector: Vector, signers: dict[str, Signer]) -> None:
    """URLs are the SDK's byte for byte, parameter by parameter, where it leaves the path as it is."""
    url, _ = vector.ours(signers)
    signed, items = parts(url)
    their_signed, their_items = parts(vector.signed_url)
    assert signed == vector.url
    assert items.keys() == their_items.keys()
    if vector.name == "canned with marks in the path":
        assert their_signed == f"{BASE_URL}/it's%20(a)!.pdf"
    else:
        assert their_signed == signed
        assert comparable(vector, items) == comparable(vector, their_items)


@pytest.mark.parametrize("vector", [vector for vector in OURS if vector not in SAME_POLICY], ids=str)
def test_policies_in_another_order_say_the_same(vector: Vector, signers: dict[str, Signer]) -> None:
    """With a start and an address the policy's bytes differ from the SDK's, but not what they say."""
    policy, theirs = from_base64(vector.ours(signers)[1]["Policy"]), from_base64(vector.items["Policy"])
    assert policy != theirs
    assert CustomPolicy.parse(policy) == CustomPolicy.parse(theirs)


@pytest.mark.parametrize("vector", OURS, ids=str)
def test_url_and_cookies_over_the_same_policy_carry_the_same_signature(
    vector: Vector, signers: dict[str, Signer]
) -> None:
    """URL and cookies are two ways of writing the same items."""
    url, items = vector.ours(signers)
    own = parts(url)[1]
    if not signers[vector.signer].deterministic:
        del own["Signature"], items["Signature"]
    assert own == items


@pytest.mark.parametrize("vector", OURS, ids=str)
def test_what_we_sign_verifies(vector: Vector, signers: dict[str, Signer]) -> None:
    """URLs and cookies of this package open what the SDK's were asked to open."""
    url, items = vector.ours(signers)
    assert (
        vector.check_url(url).policy == vector.check_cookies(items).policy == vector.check_cookies(vector.items).policy
    )


@pytest.mark.parametrize("vector", VECTORS, ids=str)
def test_what_the_sdk_signs_verifies(vector: Vector) -> None:
    """The SDK's URLs and cookies are valid under the conditions that were asked for, until their end."""
    network = vector.ip and f"{vector.ip}/32".replace("/24/32", "/24")
    for verified in (vector.check_url(vector.signed_url), vector.check_cookies(vector.items)):
        policy = verified.policy
        assert (policy.end, policy.start, policy.ip_address) == (vector.end, vector.start, network)
        assert verified.key_pair_id == KEY_PAIR_ID
        assert vector.resource in (None, policy.resource)
    with pytest.raises(Expired, match=f"access ended at {vector.end}"):
        vector.check_url(vector.signed_url, now=vector.end)
    with pytest.raises(Expired, match=f"access ended at {vector.end}"):
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
    elsewhere = f"{BASE_URL}/films/43/hd/1.ts"
    with pytest.raises(VerificationError, match="over this policy|does not cover the URL's path"):
        vector.check_url(with_items(elsewhere, items))
    with pytest.raises(VerificationError, match="over this policy|does not cover the URL's path"):
        vector.check_cookies(vector.items, elsewhere)
