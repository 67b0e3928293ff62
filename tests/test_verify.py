"""CloudFront's side: what it accepts, what it refuses and why, and what no trick can make it accept."""

from __future__ import annotations

import dataclasses
import datetime
import re
import subprocess
from collections.abc import Callable, Iterable, Mapping
from itertools import permutations
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from botocore.signers import CloudFrontSigner
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key
from hypothesis import given
from hypothesis import strategies as st

from cfgate_middleware import ConfigError, Signer, verify
from cfgate_middleware._core.encoding import to_base64
from cfgate_middleware._core.policy import CustomPolicy, canned_policy
from cfgate_middleware._core.urls import RESERVED
from cfgate_middleware.verify import KeyGroup, VerificationError, Verified
from tests.conftest import KEY_PAIR_ID, KEYS, NOW
from tests.signed import BASE_URL, as_cookies, canned, canned_items, items, with_items

END = NOW + 60
RSA, EC = KEY_PAIR_ID, "KEC0000000000P"
GROUP = KeyGroup({RSA: (KEYS / "rsa-2048-public.pem").read_text(), EC: (KEYS / "p256-public.pem").read_bytes()})
FAST = Signer(EC, (KEYS / "p256-pkcs8.pem").read_text())
VIEWER = "203.0.113.7"

# Characters that mean something to a policy, a URL, JSON or a decoder, and some that mean nothing to any.
NASTY = st.text(st.sampled_from("*?\"\\%+/&=#<>{}[]:,.;'ab1é日\u2028\0 ") | st.characters(exclude_categories=["Cs"]))


def check(target: str, *, now: float = NOW, viewer_address: str | None = VIEWER) -> Verified:
    """Verify a signed URL under the tests' keys and address."""
    return verify.verify_url(target, base_url=BASE_URL, key_group=GROUP, now=now, viewer_address=viewer_address)


def check_cookies(target: str, cookies: Mapping[str, str] | Iterable[tuple[str, str]], *, now: float = NOW) -> Verified:
    """Verify signed cookies under the tests' keys and address."""
    return verify.verify_cookies(target, cookies, base_url=BASE_URL, key_group=GROUP, now=now, viewer_address=VIEWER)


def refused(error: type[VerificationError], text: str, target: str, **how: float | str | None) -> None:
    """Assert that a signed URL is refused for this reason."""
    with pytest.raises(error) as caught:
        check(target, **how)  # type: ignore[arg-type]  # now and viewer_address, each of its own type
    assert type(caught.value) is error
    assert text in str(caught.value)


def custom(resource: str = f"{BASE_URL}/*", **fields: int | str) -> CustomPolicy:
    """Return a custom policy that holds at NOW unless ``fields`` say otherwise."""
    return CustomPolicy(**{"resource": resource, "end": END, **fields})  # type: ignore[arg-type]  # by name


# ---- what is accepted


@pytest.fixture(scope="session")
def group_of(public_pem: Callable[[Signer], str]) -> Callable[[Signer], KeyGroup]:
    """Return the key group that trusts one of the signers alone."""
    return lambda signer: KeyGroup({signer.key_pair_id: public_pem(signer)})


@pytest.mark.parametrize("target", ["/", "/reports/1.pdf", "/a%20b/%2A%3F%22", "/a?x=1&y", "/a?b?c", "/a//b/", "/%zz"])
def test_a_canned_url_verifies(signer: Signer, group_of: Callable[[Signer], KeyGroup], target: str) -> None:
    """Every kind of signer's canned URL is accepted, and the origin gets the target that was signed."""
    verified = verify.verify_url(canned(signer, target, END), base_url=BASE_URL, key_group=group_of(signer), now=NOW)
    assert verified == Verified(KEY_PAIR_ID, custom(BASE_URL + target), target)


def test_a_custom_url_verifies(signer: Signer, group_of: Callable[[Signer], KeyGroup]) -> None:
    """Every kind of signer's custom policy with all conditions is accepted and returned as it was signed."""
    policy = custom(start=NOW - 1, ip_address="203.0.113.0/24")
    verified = verify.verify_url(
        with_items("/x/y?q=1", items(signer, policy)),
        base_url=BASE_URL,
        key_group=group_of(signer),
        now=NOW,
        viewer_address=VIEWER,
    )
    assert verified == Verified(KEY_PAIR_ID, policy, "/x/y?q=1")


@pytest.mark.parametrize("form", ["canned", "custom"])
def test_cookies_verify(signer: Signer, form: str) -> None:
    """Cookies of both forms are accepted, as a mapping and as pairs, among cookies that are none of ours."""
    signed = canned_items(signer, f"{BASE_URL}/x", END) if form == "canned" else items(signer, custom(start=1))
    own = {**as_cookies(signed), "session": "1", "cloudfront-policy": "other case, other cookie"}
    own["CloudFront-Key-Pair-Id"] = RSA if signer.kind == "RSA" else EC
    for cookies in (own, own.items()):
        assert check_cookies("/x", cookies).origin_target == "/x"


def at(seconds: int) -> datetime.datetime:
    """Return an aware datetime."""
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC)


def test_botocore_urls_verify(signers: dict[str, Signer]) -> None:
    """RSA-SHA1 URLs made by AWS's own signer verify: canned, and custom with every condition."""
    theirs = CloudFrontSigner(RSA, signers["RSA-SHA1"].sign)
    url = theirs.generate_presigned_url(f"{BASE_URL}/a%20b?x=1", date_less_than=at(END))
    assert check(url.removeprefix(BASE_URL)).origin_target == "/a%20b?x=1"
    policy = theirs.build_policy(f"{BASE_URL}/a*", at(END), date_greater_than=at(NOW - 5), ip_address=VIEWER)
    url = theirs.generate_presigned_url(f"{BASE_URL}/ab", policy=policy)
    assert check(url.removeprefix(BASE_URL)).policy == custom(f"{BASE_URL}/a*", start=NOW - 5, ip_address=VIEWER)


@pytest.mark.parametrize(("key_pair_id", "key"), [(RSA, "rsa-2048-pkcs8"), (EC, "p256-pkcs8")])
@pytest.mark.parametrize("form", ["canned", "custom"])
def test_openssl_signatures_verify(key_pair_id: str, key: str, form: str, tmp_path: Path) -> None:
    """SHA-256 signatures made and spelled with the commands of AWS's guide verify."""
    resource = f"{BASE_URL}/x" if form == "canned" else f"{BASE_URL}/*"
    policy = tmp_path / "policy"
    policy.write_text(
        f'{{"Statement":[{{"Resource":"{resource}","Condition":{{"DateLessThan":{{"AWS:EpochTime":{END}}}}}}}]}}'
    )

    def sh(command: str) -> str:
        done = subprocess.run(["sh", "-c", command], capture_output=True, check=True, text=True, cwd=KEYS)
        return done.stdout

    spelled = "| openssl base64 -A | tr -- '+=/' '-_~'"
    signature = sh(f"openssl dgst -sha256 -sign {key}.pem < {policy} {spelled}")
    first = f"Expires={END}" if form == "canned" else f"Policy={sh(f'cat {policy} {spelled}')}"
    target = f"/x?{first}&Signature={signature}&Key-Pair-Id={key_pair_id}&Hash-Algorithm=SHA256"
    assert check(target) == Verified(key_pair_id, custom(resource), "/x")


def test_ecdsa_with_sha1_is_verified(pem: Callable[[str], str]) -> None:
    """CloudFront's guide allows ECDSA with SHA-1, so it is accepted, though no signer here makes it."""
    key = load_pem_private_key(pem("p256-pkcs8").encode(), password=None)
    assert isinstance(key, EllipticCurvePrivateKey)
    signature = to_base64(key.sign(canned_policy(f"{BASE_URL}/x", END), ECDSA(SHA1())))  # noqa: S303 (see above)
    for marker in ("", "&Hash-Algorithm=SHA1"):
        assert check(f"/x?Expires={END}&Signature={signature}&Key-Pair-Id={EC}{marker}").key_pair_id == EC


def test_parameters_may_come_in_any_order_between_own_ones() -> None:
    """Own parameters keep order and spelling, wherever CloudFront's are among them."""
    own = canned_items(FAST, f"{BASE_URL}/x?b=%7e&a=1+1&&c", END)
    for names in permutations(own):
        one, two, three, four = (f"{name}={own[name]}" for name in names)
        assert check(f"/x?{one}&b=%7e&{two}&a=1+1&&{three}&c&{four}").origin_target == "/x?b=%7e&a=1+1&&c"


@pytest.mark.parametrize("spelled", ["%45xpires", "%45%78pires", "Expire%73"])
def test_percent_encoded_names_are_reserved_too(spelled: str) -> None:
    """A reserved name is recognised decoded, so an origin that decodes it never sees it."""
    target = canned(FAST, "/x", END).replace("Expires", spelled)
    assert check(target).origin_target == "/x"


@pytest.mark.parametrize("query", ["expires=1", "POLICY=1", "%=1", "%zz=%", "%E9=1", "Expires%00=1", "xSignature", "&"])
def test_other_names_are_own_parameters(query: str) -> None:
    """Names are exact; a bad percent sequence is no name of CloudFront's and no reason to crash."""
    assert check(canned(FAST, f"/x?{query}", END)).origin_target == f"/x?{query}"


def test_an_empty_query_is_none() -> None:
    """When nothing but the question mark remains, the signed resource has no question mark."""
    cookies = as_cookies(canned_items(FAST, f"{BASE_URL}/x", END))
    assert check_cookies("/x?", cookies).origin_target == "/x"


def test_rotation_old_and_new_keys_verify_side_by_side() -> None:
    """A key group holds many keys, and each verifies under its own id only."""
    rsa = Signer(RSA, (KEYS / "rsa-2048-pkcs8.pem").read_text())
    assert check(canned(rsa, "/x", END)).key_pair_id == RSA
    assert check(canned(FAST, "/x", END)).key_pair_id == EC
    refused(verify.BadSignature, f"not {RSA}'s", canned(FAST, "/x", END).replace(EC, RSA))


# ---- URL or cookies


def test_a_signed_query_beats_cookies_without_falling_back() -> None:
    """Any reserved name in the query makes it a signed URL, and good cookies do not help a bad one."""
    good = as_cookies(items(FAST, custom()))
    everything = {"base_url": BASE_URL, "key_group": GROUP, "now": NOW}
    assert verify.verify("/x", good, **everything).policy == custom()  # type: ignore[arg-type]  # by name
    url = canned(FAST, "/x", END)
    for cookies in (good, {"CloudFront-Signature": "stale"}, {}):
        assert verify.verify(url, cookies, **everything).policy == custom(f"{BASE_URL}/x")  # type: ignore[arg-type]
    for query in ("Expires", "Hash-Algorithm=SHA256", "a=1&%50olicy=x"):
        with pytest.raises(verify.MissingKey):
            verify.verify(f"/x?{query}", good, **everything)  # type: ignore[arg-type]  # by name
        with pytest.raises(verify.Contradiction, match="cookies are not looked at"):
            check_cookies(f"/x?{query}", good)


def test_a_request_without_anything_misses_its_key() -> None:
    """An unsigned request gets the error that CloudFront gives first: there is no key pair id."""
    with pytest.raises(verify.MissingKey):
        verify.verify("/x", {}, base_url=BASE_URL, key_group=GROUP, now=NOW)


# ---- what is refused, and why


GOOD = canned_items(FAST, f"{BASE_URL}/x", END)
GOOD_CUSTOM = items(FAST, custom())
ACCESS_DENIED = ("AccessDenied", "Access denied")
MISSING_KEY = ("MissingKey", "Missing Key-Pair-Id query parameter or cookie value")
MALFORMED_SIGNATURE = ("MalformedSignature", "Could not unencode Signature")
MALFORMED_POLICY = ("MalformedPolicy", "Malformed Policy")


def without(own: dict[str, str], *names: str) -> dict[str, str]:
    """Return ``own`` items without some."""
    return {name: value for name, value in own.items() if name not in names}


REASONS: list[tuple[type[VerificationError], tuple[str, str], str, str]] = [
    (verify.MalformedTarget, ACCESS_DENIED, "must start with '/'", "x"),
    (verify.MissingKey, MISSING_KEY, "no key pair id", "/x"),
    (verify.MissingKey, MISSING_KEY, "no key pair id", with_items("/x", without(GOOD, "Key-Pair-Id"))),
    (verify.MissingKey, MISSING_KEY, "no key pair id", with_items("/x", {**GOOD, "Key-Pair-Id": ""})),
    (
        verify.UnknownKey,
        ("InvalidKey", "Unknown Key"),
        f"not in <KeyGroup {RSA} {EC}>",
        with_items("/x", {**GOOD, "Key-Pair-Id": "KOTHER"}),
    ),
    *(
        (verify.DuplicateParameter, ACCESS_DENIED, "given twice", with_items("/x", GOOD) + f"&{name}={value}")
        for name, value in GOOD.items()
    ),
    (verify.DuplicateParameter, ACCESS_DENIED, "given twice", with_items("/x", GOOD) + "&%53ignature"),
    (
        verify.Contradiction,
        ACCESS_DENIED,
        "Policy and Expires are both given",
        with_items("/x", {**GOOD_CUSTOM, "Expires": str(END)}),
    ),
    *(
        (
            verify.UnknownHashAlgorithm,
            ACCESS_DENIED,
            "neither SHA1 nor SHA256",
            with_items("/x", {**GOOD, "Hash-Algorithm": name}),
        )
        for name in ("", "sha256", "SHA512", "SHA-256", "none")
    ),
    (
        verify.MalformedSignature,
        MALFORMED_SIGNATURE,
        "absent or not in CloudFront's base64",
        with_items("/x", without(GOOD, "Signature")),
    ),
    *(
        (verify.MalformedSignature, MALFORMED_SIGNATURE, "Signature", with_items("/x", {**GOOD, "Signature": text}))
        for text in ("", "A", "AB", "AAA+", "AAA=", "AAA/", "A__A", "AB__", "%41A__", "AAAA____")
    ),
    (verify.MalformedPolicy, MALFORMED_POLICY, "there is no Policy", with_items("/x", without(GOOD, "Expires"))),
    (verify.MalformedPolicy, MALFORMED_POLICY, "base64", with_items("/x", {**GOOD_CUSTOM, "Policy": "undefined!"})),
    (verify.MalformedPolicy, MALFORMED_POLICY, "base64", with_items("/x", {**GOOD_CUSTOM, "Policy": ""})),
    (verify.BadSignature, ACCESS_DENIED, "over this policy", with_items("/y", GOOD)),
    (verify.BadSignature, ACCESS_DENIED, "over this policy", with_items("/x?utm_source=mail", GOOD)),
    (verify.BadSignature, ACCESS_DENIED, "over this policy", with_items("/x", {**GOOD, "Expires": str(END + 1)})),
    (verify.BadSignature, ACCESS_DENIED, "with SHA1", with_items("/x", without(GOOD, "Hash-Algorithm"))),
    (verify.BadSignature, ACCESS_DENIED, "with SHA1", with_items("/x", {**GOOD, "Hash-Algorithm": "SHA1"})),
    (
        verify.WrongResource,
        ACCESS_DENIED,
        "does not cover the URL's path",
        with_items("/y", items(FAST, custom(f"{BASE_URL}/x*"))),
    ),
    (verify.Expired, ACCESS_DENIED, f"access ended at {NOW}", canned(FAST, "/x", NOW)),
    (verify.Expired, ACCESS_DENIED, "access ended at 0", canned(FAST, "/x", 0)),
    (verify.Expired, ACCESS_DENIED, "access ended", with_items("/x", items(FAST, custom(end=NOW - 1)))),
    (verify.NotYetValid, ACCESS_DENIED, f"access begins after {NOW}", with_items("/x", items(FAST, custom(start=NOW)))),
    (
        verify.WrongViewer,
        ACCESS_DENIED,
        "not in 198.51.100.0/24",
        with_items("/x", items(FAST, custom(ip_address="198.51.100.1/24"))),
    ),
]


@pytest.mark.parametrize(
    ("error", "told", "text", "target"), REASONS, ids=[f"{row[0].__name__}-{at}" for at, row in enumerate(REASONS)]
)
def test_every_refusal_has_a_class_a_text_and_what_cloudfront_says(
    error: type[VerificationError], told: tuple[str, str], text: str, target: str
) -> None:
    """The class and the text tell the true reason; code and message are CloudFront's."""
    refused(error, text, target)
    assert (error.code, error.message) == told


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(CustomPolicy) if field.default is None])
def test_no_condition_is_left_unchecked(name: str) -> None:
    """A policy with any one condition that the viewer does not meet is refused."""
    unmet: Any = {"start": NOW, "ip_address": "192.0.2.1"}
    policy = CustomPolicy(resource="*", end=END, **{name: unmet[name]})
    with pytest.raises(VerificationError):
        check(with_items("/x", items(FAST, policy)), viewer_address=None)


def test_the_table_of_refusals_is_complete() -> None:
    """Every subclass of VerificationError is reached by the table above."""
    assert {row[0] for row in REASONS} == set(VerificationError.__subclasses__())


@pytest.mark.parametrize("target", [row[3] for row in REASONS])
def test_reasons_quote_no_signature_and_no_query(target: str) -> None:
    """Texts can be logged: what the viewer sent is not in them."""
    with pytest.raises(VerificationError) as caught:
        check(target)
    sent = [pair.partition("=")[2] for pair in target.partition("?")[2].split("&")]
    assert not [value for value in sent if len(value) > len(str(END)) + 4 and value in str(caught.value)]


def test_the_first_reason_in_order_is_given() -> None:
    """Of several reasons the earliest check speaks, key id first, as has been seen of CloudFront."""
    own = {**GOOD, "Key-Pair-Id": "", "Policy": "!", "Hash-Algorithm": "x", "Signature": "!"}
    twice = "&Policy=!"
    refused(verify.MissingKey, "", with_items("/x", own) + twice)
    own["Key-Pair-Id"] = "KOTHER"
    refused(verify.UnknownKey, "", with_items("/x", own) + twice)
    own["Key-Pair-Id"] = EC
    refused(verify.DuplicateParameter, "", with_items("/x", own) + twice)
    refused(verify.Contradiction, "", with_items("/x", own))
    del own["Expires"]
    refused(verify.UnknownHashAlgorithm, "", with_items("/x", own))
    own["Hash-Algorithm"] = "SHA1"
    refused(verify.MalformedSignature, "", with_items("/x", own))
    own["Signature"] = "AAAA"
    refused(verify.MalformedPolicy, "", with_items("/x", own))
    everything_wrong = custom(f"{BASE_URL}/y", end=NOW - 1, start=NOW + 1, ip_address="192.0.2.1")
    own["Policy"] = items(FAST, everything_wrong)["Policy"]
    refused(verify.BadSignature, "", with_items("/x", own))
    refused(verify.WrongResource, "", with_items("/x", items(FAST, everything_wrong)))
    refused(verify.Expired, "", with_items("/y", items(FAST, everything_wrong)))
    refused(verify.NotYetValid, "", with_items("/y", items(FAST, everything_wrong)), now=NOW - 2)


def test_a_cookie_sent_twice_is_refused_where_it_can_be_seen() -> None:
    """Two cookies of one name, as a narrow and a wide Path leave them, are not a valid set."""
    pairs = list(as_cookies(GOOD).items())
    with pytest.raises(verify.DuplicateParameter):
        check_cookies("/x", [*pairs, pairs[0]])
    with pytest.raises(verify.Contradiction, match="both given"):
        check_cookies("/x", [*pairs, ("CloudFront-Policy", "left over")])


@pytest.mark.parametrize("char", [*'"\\<> #\t\n\r\0\x7f', "é", "\x85", "\u2028", "\ud800"])
@pytest.mark.parametrize("target", ["/a{}b", "/a?b={}", "/{}", "{}/a"])
def test_a_target_holds_nothing_that_could_rewrite_a_policy(char: str, target: str) -> None:
    """Quotes, backslashes, spaces, controls, fragments and non-ASCII characters are refused unread."""
    with pytest.raises(verify.MalformedTarget, match="printable ASCII"):
        check_cookies(target.format(char), as_cookies(GOOD_CUSTOM))
    refused(verify.MalformedTarget, "printable ASCII", with_items(target.format(char), GOOD_CUSTOM))


@pytest.mark.parametrize("target", ["", "?x", "x/y", "*", "https://d111111abcdef8.cloudfront.net/x", "/x\n", "\n/x"])
def test_a_target_begins_with_a_slash_and_ends_where_it_ends(target: str) -> None:
    """Only the origin form of a request target is verified."""
    refused(verify.MalformedTarget, "must start with '/'", target)


# ---- moments and viewers


@pytest.mark.parametrize(
    ("now", "error"),
    [
        (NOW - 1, verify.NotYetValid),
        (NOW, verify.NotYetValid),
        (NOW + 0.001, None),
        (END - 0.001, None),
        (END, verify.Expired),
        (END + 1, verify.Expired),
    ],
)
def test_access_begins_after_the_start_and_ends_at_the_end(now: float, error: type[VerificationError] | None) -> None:
    """Access is refused at the start itself, and from the end on."""
    target = with_items("/x", items(FAST, custom(start=NOW)))
    if error:
        refused(error, "access", target, now=now)
    else:
        assert check(target, now=now)


@pytest.mark.parametrize(
    ("network", "viewer", "inside"),
    [
        ("203.0.113.7", "203.0.113.7", True),
        ("203.0.113.7", "203.0.113.8", False),
        ("203.0.113.0/24", "203.0.113.255", True),
        ("203.0.113.0/24", "203.0.114.0", False),
        ("0.0.0.0/0", "198.51.100.9", True),
        ("0.0.0.0/0", None, False),
        ("0.0.0.0/0", "", False),
        ("0.0.0.0/0", "2001:db8::1", False),
        ("0.0.0.0/0", "::ffff:203.0.113.7", False),
        ("0.0.0.0/0", "localhost", False),
        ("0.0.0.0/0", "203.0.113.7, 10.0.0.1", False),
        ("0.0.0.0/0", "0xcb.0.113.7", False),
    ],
)
def test_only_an_ipv4_viewer_inside_the_network_is_served(network: str, viewer: str | None, inside: bool) -> None:
    """A policy with an address admits IPv4 viewers of that network and nobody else."""
    target = with_items("/x", items(FAST, custom(ip_address=network)))
    if inside:
        assert check(target, viewer_address=viewer)
    else:
        refused(verify.WrongViewer, f"not in {network}", target, viewer_address=viewer)


def test_a_policy_without_an_address_serves_any_viewer() -> None:
    """Viewers without an IPv4 address are refused only where the policy asks for one."""
    assert check(canned(FAST, "/x", END), viewer_address=None)
    assert check(canned(FAST, "/x", END), viewer_address="2001:db8::1")


# ---- resources


H = "https://h.example"
COVERS = [
    ("*", f"{H}/", True),
    ("*", "http://other:8080/any?query", True),
    (f"{H}/a", f"{H}/a", True),
    (f"{H}/a", f"{H}/A", False),
    (f"{H}/a", f"{H}/ab", False),
    (f"{H}/a", f"{H}/a?x", False),
    (f"{H}/a?", f"{H}/a", True),
    (f"{H}/%2A", f"{H}/%2A", True),
    (f"{H}/%2f", f"{H}/%2F", False),
    (f"{H}/a.b", f"{H}/axb", False),
    (f"{H}/a+(b)[c]|$", f"{H}/a+(b)[c]|$", True),
    # protocols
    (f"{H}/a", "http://h.example/a", False),
    ("http://h.example/a", f"{H}/a", False),
    ("*://h.example/a", f"{H}/a", True),
    ("*://h.example/a", "http://h.example/a", True),
    ("http*://h.example/a", f"{H}/a", True),
    ("http*://h.example/a", "http://h.example/a", True),
    ("HTTPS://h.example/a", f"{H}/a", False),
    ("h*://h.example/a", f"{H}/a", False),
    ("ftp://h.example/a", f"{H}/a", False),
    ("h.example/a", f"{H}/a", False),
    ("//h.example/a", f"{H}/a", False),
    ("http*", f"{H}/a", False),
    ("*.example/a", f"{H}/a", True),
    ("*.example/a", "http://h.example/a", True),
    ("*h.example/a?u=http://x", f"{H}/a?u=http://x", True),
    ("*s://h.example/a", f"{H}/a", False),
    # domains
    ("https://*.example/a", f"{H}/a", True),
    ("https://*.example/a", "https://example/a", False),
    ("https://*/a", f"{H}/a", True),
    ("https://*/a", f"{H}/b/a", False),
    ("https://*", f"{H}/a?x", True),
    ("https://h*", f"{H}/a/b?x=1", True),
    ("https://h*", "https://g.example/a", False),
    ("https://h*/a", f"{H}/a?x", False),
    ("https://h*?x", f"{H}/?x", False),
    (H, f"{H}/", False),
    (f"{H}/", f"{H}/", True),
    ("https://?.example/a", f"{H}/a", False),
    (f"{H}/a", "https://h.example:8443/a", False),
    (f"{H}:8443/a", "https://h.example:8443/a", True),
    # paths
    (f"{H}/*", f"{H}/", True),
    (f"{H}/*", f"{H}/a/b/c", True),
    (f"{H}/*", f"{H}/a?x=1", True),
    (f"{H}/a*", f"{H}/a", True),
    (f"{H}/a*", f"{H}/a/../b?x", True),
    (f"{H}/a*", f"{H}/b", False),
    (f"{H}/a/*", f"{H}/a", False),
    (f"{H}/*.jpg", f"{H}/a/b.jpg", True),
    (f"{H}/*.jpg", f"{H}/a/b.png?.jpg", False),
    (f"{H}/*.jpg", f"{H}/b.jpg?x", False),
    (f"{H}/a*b*c", f"{H}/a-bb-cc-c", True),
    (f"{H}/a*b*c", f"{H}/a-c-b", False),
    (f"{H}/a*ab", f"{H}/ab", False),
    (f"{H}/a**b", f"{H}/ab", True),
    # queries: the first ? begins it, the others are one character each
    (f"{H}/a?b=1", f"{H}/a?b=1", True),
    (f"{H}/a?b=1", f"{H}/a?b=1&c", False),
    (f"{H}/a?b", f"{H}/a/b", False),
    (f"{H}/a?b", f"{H}/axb", False),
    (f"{H}/a?b=?", f"{H}/a?b=7", True),
    (f"{H}/a?b=?", f"{H}/a?b=77", False),
    (f"{H}/a?b=?", f"{H}/a?b=", False),
    (f"{H}/a?b=*", f"{H}/a?b=&c=1", True),
    (f"{H}/a?*", f"{H}/a", True),
    (f"{H}/a?*", f"{H}/a?x", True),
    (f"{H}/a*?x=1", f"{H}/ab?x=1", True),
    (f"{H}/a*?x=1", f"{H}/ab?x=2", False),
    (f"{H}/a*?", f"{H}/ab?x=2", False),
    (f"{H}/a?x=*&y=?*z", f"{H}/a?x=1/2&y=http://z", True),
]


@pytest.mark.parametrize(("resource", "url", "covered"), COVERS)
def test_wildcards_stay_inside_their_section(resource: str, url: str, covered: bool) -> None:
    """Protocol, domain, path and query are compared one by one, with the documented exceptions for a trailing star."""
    base_url, slash, rest = url.replace("://", ":||", 1).partition("/")
    target = with_items(slash + rest, items(FAST, custom(resource)))
    base_url = base_url.replace(":||", "://")
    if covered:
        assert verify.verify_url(target, base_url=base_url, key_group=GROUP, now=NOW)
    else:
        with pytest.raises(verify.WrongResource, match=r"URL's (protocol|domain|path|query)"):
            verify.verify_url(target, base_url=base_url, key_group=GROUP, now=NOW)


@given(st.text("ab/*", max_size=12), st.text("ab/", max_size=12))
def test_matching_agrees_with_plain_backtracking(pattern: str, path: str) -> None:
    """Taking the leftmost place for each piece loses no match that trying all places would find."""

    def matches(pattern: str, text: str) -> bool:
        if not pattern:
            return not text
        if pattern[0] == "*":
            return any(matches(pattern[1:], text[at:]) for at in range(len(text) + 1))
        return text[:1] == pattern[0] and matches(pattern[1:], text[1:])

    target = with_items(f"/{path}", items(FAST, custom(f"{BASE_URL}/{pattern}")))
    if matches(pattern, path):
        assert check(target)
    else:
        refused(verify.WrongResource, "path", target)


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("*a" * 3000, "a" * 6000 + "b"),
        ("*a" * 3000 + "b", "a" * 6000),
        ("*" * 6000 + "x", "a" * 6000),
        ("*" + "a" * 3000 + "b*", "a" * 6000),
        ("a?" + "?" * 3000 + "*" + "a?" * 1500 + "b*", "a?" + "a" * 6000),
    ],
)
def test_no_pattern_makes_matching_explode(pattern: str, text: str) -> None:
    """The largest patterns a URL can carry, made to backtrack, are decided."""
    target = with_items(f"/{text}", items(FAST, custom(f"{BASE_URL}/{pattern}")))
    refused(verify.WrongResource, "does not cover", target)  # backtracking would outlast the universe


# ---- tricks


def test_the_replay_would_widen_a_grant_that_holds_a_star() -> None:
    """Why nobody may sign a literal star: CloudFront takes the same bytes for a wildcard."""
    data = canned_policy(f"{BASE_URL}/me/%2A", END).replace(b"%2A", b"*")
    signed = items(FAST, data)
    as_canned = {**without(signed, "Policy"), "Expires": str(END)}
    assert check(with_items("/me/*", as_canned)).origin_target == "/me/*"
    refused(verify.BadSignature, "over this policy", with_items("/me/other", as_canned))
    assert check(with_items("/me/other", signed)).origin_target == "/me/other"


CANNED_HEAD = b'{"Statement":[{"Resource":"%b","Condition":{"DateLessThan":{"AWS:EpochTime":'
CANNED_TAIL = b"}}}]}"


@pytest.mark.parametrize(
    "fields", [{"start": NOW + 5}, {"ip_address": "192.0.2.1"}, {"start": 1, "ip_address": "192.0.2.1"}]
)
def test_a_custom_policy_cannot_pass_as_a_canned_one(fields: dict[str, int | str]) -> None:
    """An Expires that would complete the canned literal to the signed bytes is refused before it is put in."""
    policy = custom(f"{BASE_URL}/x", **fields)
    head = CANNED_HEAD % policy.resource.encode()
    expires = policy.to_bytes().removeprefix(head).removesuffix(CANNED_TAIL).decode()
    assert head + expires.encode() + CANNED_TAIL == policy.to_bytes()  # the trick would work
    own = {**without(items(FAST, policy), "Policy"), "Expires": expires}
    with pytest.raises(verify.MalformedPolicy, match="plain epoch seconds"):
        check_cookies("/x", as_cookies(own))
    refused(verify.MalformedTarget, "printable ASCII", with_items("/x", own))
    refused(verify.MalformedPolicy, "plain epoch", with_items("/x", {**own, "Expires": quote(expires)}))


EXPIRES = ["", "x", "-1", "+1", "01", "00", " 1", "1 ", "1\n", "1.0", "1e9", "1_0", "0x1", "1}}}]}", "1,1", "١", "１"]


@pytest.mark.parametrize(
    ("expires", "text"),
    [
        *((expires, "plain epoch seconds") for expires in [*EXPIRES, "12345678901"]),
        ("9999999999", "a time or its address is out of range"),
    ],
)
def test_expires_is_plain_epoch_seconds(expires: str, text: str) -> None:
    """Any other way to write a number, or a time beyond CloudFront's last, is no Expires."""
    with pytest.raises(verify.MalformedPolicy, match=text):
        check_cookies("/x", as_cookies({**GOOD, "Expires": expires}))


@given(st.text() | NASTY)
def test_no_text_in_place_of_expires_is_accepted(expires: str) -> None:
    """Whatever is in place of the number, the answer is a refusal and never a crash."""
    with pytest.raises((verify.MalformedPolicy, verify.BadSignature)):
        check_cookies("/x", as_cookies({**GOOD, "Expires": expires}))


@given(
    NASTY | st.from_regex(r"/[!-~]*", fullmatch=True),
    st.lists(st.tuples(st.sampled_from([*RESERVED, "%50olicy", "x"]), st.just(EC) | st.text("Ab1_-~%=") | NASTY)),
)
def test_every_unsigned_request_is_refused_and_none_crashes(target: str, pairs: list[tuple[str, str]]) -> None:
    """Requests made of anything end in a VerificationError, as URLs and as cookies."""
    query = "&".join(f"{name}={value}" for name, value in pairs)
    for sent in (target, f"{target}?{query}", f"{quote(target, safe='/')}?{quote(query, safe='=&%')}"):
        with pytest.raises(VerificationError):
            check(sent)
        with pytest.raises(VerificationError):
            check_cookies(sent, [(f"CloudFront-{name}", value) for name, value in pairs])


# ---- configuration


def test_a_key_group_names_every_wrong_entry(pem: Callable[[str], str]) -> None:
    """Wrong ids are numbered, since they may be secrets in the wrong place; wrong keys are named by their id."""
    secret = pem("rsa-2048-pkcs8")
    with pytest.raises(ConfigError) as caught:
        KeyGroup({RSA: pem("p256-public"), secret: pem("p256-public"), "AKIAX": b"", "KA": "no key", "KB": secret})
    assert [re.split(":| is ", problem)[0] for problem in caught.value.problems] == [
        "key group, entry 2",
        "key group, entry 3",
        "key group, KA",
        "key group, KB",
    ]
    assert "no public key in PEM" in str(caught.value)
    assert "PRIVATE KEY" not in str(caught.value)


def test_a_key_group_takes_key_objects_but_not_other_objects(pem: Callable[[str], str]) -> None:
    """Public keys of cryptography are taken as they are; anything else is refused by its type."""
    group = KeyGroup({EC: load_pem_public_key(pem("p256-public").encode())})
    assert group.get(EC)
    assert group.get(RSA) is None
    assert repr(group) == f"<KeyGroup {EC}>"
    for wrong in (None, 7, load_pem_private_key(pem("p256-pkcs8").encode(), password=None)):
        with pytest.raises(ConfigError, match=f"key group, {EC}: "):
            KeyGroup({EC: wrong})


def test_a_key_group_is_never_empty_and_never_changes(pem: Callable[[str], str]) -> None:
    """A group without keys could only refuse, and later changes to the mapping do not reach the group."""
    with pytest.raises(ConfigError, match="at least one key"):
        KeyGroup({})
    keys = {EC: pem("p256-public")}
    group = KeyGroup(keys)
    keys["KOTHER"] = keys[EC]
    assert group.get("KOTHER") is None
    with pytest.raises(AttributeError):
        group.more = 1  # type: ignore[attr-defined]  # that is the point


@pytest.mark.parametrize(
    "base_url", ["h.example", "https://h/", "https://h/base", "https://H", "ftp://h", "https://", ""]
)
def test_a_base_url_that_could_never_match_is_a_mistake_of_the_caller(base_url: str) -> None:
    """It would refuse every request for a reason nobody could see, so it is a ConfigError."""
    with pytest.raises(ConfigError, match=r"base_url='.*': expected scheme://host"):
        verify.verify_url("/x", base_url=base_url, key_group=GROUP, now=NOW)
