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
from hypothesis import given
from hypothesis import strategies as st

from cfgate_middleware import ConfigError, Signer, verify
from cfgate_middleware._core.policy import CustomPolicy, canned_policy
from cfgate_middleware._core.urls import RESERVED
from cfgate_middleware.verify import KeyGroup, VerificationError, Verified
from tests.conftest import KEY_PAIR_ID, KEYS, NOW
from tests.signed import BASE_URL, as_cookies, canned, canned_items, items, with_items
from tests.support import by

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


def refused(error: type[VerificationError], text: str, target: str, **how: Any) -> str:
    """Assert that a signed URL is refused for this reason, and return what is said of it."""
    with pytest.raises(error) as caught:
        check(target, **how)
    assert error in (type(caught.value), VerificationError)
    assert text in str(caught.value)
    return str(caught.value)


def custom(resource: str = f"{BASE_URL}/*", **fields: int | str) -> CustomPolicy:
    """Return a custom policy that holds at NOW unless ``fields`` say otherwise."""
    return CustomPolicy(**{"resource": resource, "end": END, **fields})  # type: ignore[arg-type]  # by name


@pytest.mark.parametrize("target", ["/", "/reports/1.pdf", "/a%20b/%2A%3F%22", "/a?x=1&y", "/a?b?c", "/a//b/", "/%zz"])
def test_what_every_kind_of_signer_signs_verifies(signer: Signer, target: str) -> None:
    """URLs and cookies, as a mapping and as pairs among others, canned and with all conditions, are read as signed."""
    signer = FAST if signer.kind == "ECDSA" else signer
    policy = custom(start=NOW - 1, ip_address="203.0.113.0/24")
    canned_form = (canned_items(signer, BASE_URL + target, END), custom(BASE_URL + target))
    for own, read in (canned_form, (items(signer, policy), policy)):
        expected = Verified(signer.key_pair_id, read, target)
        assert check(with_items(target, own)) == expected
        cookies = {**as_cookies(own), "session": "1", "cloudfront-policy": "other case, other cookie"}
        assert check_cookies(target, cookies) == check_cookies(target, cookies.items()) == expected


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


def test_parameters_may_come_in_any_order_between_own_ones() -> None:
    """Own parameters keep order and spelling, wherever CloudFront's are among them; a lone ``?`` is one."""
    own = canned_items(FAST, f"{BASE_URL}/x?b=%7e&a=1+1&&c", END)
    for names in permutations(own):
        one, two, three, four = (f"{name}={own[name]}" for name in names)
        assert check(f"/x?{one}&b=%7e&{two}&a=1+1&&{three}&c&{four}").origin_target == "/x?b=%7e&a=1+1&&c"
    assert check_cookies("/x?", as_cookies(canned_items(FAST, f"{BASE_URL}/x?", END))).origin_target == "/x?"


@pytest.mark.parametrize("query", ["expires=1", "POLICY=1", "%=1", "%zz=%", "%E9=1", "Expires%00=1", "xSignature", "&"])
def test_reserved_names_are_known_decoded_and_no_others(query: str) -> None:
    """An origin that decodes a name never sees CloudFront's; a bad percent sequence is none and no reason to crash."""
    assert check(canned(FAST, f"/x?{query}", END)).origin_target == f"/x?{query}"
    for spelled in ("%45xpires", "%45%78pires", "Expire%73"):
        assert check(canned(FAST, "/x", END).replace("Expires", spelled)).origin_target == "/x"


def test_rotation_old_and_new_keys_verify_side_by_side() -> None:
    """A key group holds many keys, and each verifies under its own id only."""
    rsa = Signer(RSA, (KEYS / "rsa-2048-pkcs8.pem").read_text())
    assert check(canned(rsa, "/x", END)).key_pair_id == RSA
    assert check(canned(FAST, "/x", END)).key_pair_id == EC
    refused(verify.BadSignature, f"not {RSA}'s", canned(FAST, "/x", END).replace(EC, RSA))


def test_a_signed_query_beats_cookies_without_falling_back() -> None:
    """Any reserved name in the query makes it a signed URL, and good cookies do not help a bad one."""
    good = as_cookies(items(FAST, custom()))
    everything: Any = {"base_url": BASE_URL, "key_group": GROUP, "now": NOW}
    assert verify.verify("/x", good, **everything).policy == custom()
    url = canned(FAST, "/x", END)
    for cookies in (good, {"CloudFront-Signature": "stale"}, {}):
        assert verify.verify(url, cookies, **everything).policy == custom(f"{BASE_URL}/x")
    with pytest.raises(verify.MissingKey):
        verify.verify("/x", {}, **everything)
    for query in ("Expires", "Hash-Algorithm=SHA256", "a=1&%50olicy=x"):
        with pytest.raises(verify.MissingKey):
            verify.verify(f"/x?{query}", good, **everything)
        with pytest.raises(verify.Contradiction, match="cookies are not looked at"):
            check_cookies(f"/x?{query}", good)


GOOD = canned_items(FAST, f"{BASE_URL}/x", END)
GOOD_CUSTOM = items(FAST, custom())
TOLD = {
    verify.MissingKey: ("MissingKey", "Missing Key-Pair-Id query parameter or cookie value"),
    verify.UnknownKey: ("InvalidKey", "Unknown Key"),
    verify.MalformedSignature: ("MalformedSignature", "Could not unencode Signature"),
    verify.MalformedPolicy: ("MalformedPolicy", "Malformed Policy"),
}


def without(*names: str, own: dict[str, str] = GOOD) -> dict[str, str]:
    """Return the items of a good URL without some."""
    return {name: value for name, value in own.items() if name not in names}


def changed(target: str = "/x", own: dict[str, str] = GOOD, /, **changes: str) -> str:
    """Return a target with the items of a good one, but for some."""
    return with_items(target, {**own, **{name.replace("_", "-"): value for name, value in changes.items()}})


def under(target: str = "/x", **fields: int | str) -> str:
    """Return a target with a custom policy of these fields."""
    return with_items(target, items(FAST, custom(**fields)))  # type: ignore[arg-type]  # by name


# Of each class: the telling part of the text, and the targets that get it.
REASONS: dict[type[VerificationError], dict[str, tuple[str, ...]]] = {
    verify.MalformedTarget: {
        "must start with '/'": ("x", "", "?x", "x/y", "*", "https://d111111abcdef8.cloudfront.net/x", "/x\n", "\n/x")
    },
    verify.MissingKey: {"no key pair id": ("/x", changed("/x", without("Key-Pair-Id")), changed(Key_Pair_Id=""))},
    verify.UnknownKey: {f"not in <KeyGroup {RSA} {EC}>": (changed(Key_Pair_Id="KOTHER"),)},
    verify.DuplicateParameter: {
        "given twice": tuple(f"{changed()}&{pair}" for pair in (*map("=".join, GOOD.items()), "%53ignature"))
    },
    verify.UnknownHashAlgorithm: {
        "neither SHA1 nor SHA256": tuple(
            changed(Hash_Algorithm=name) for name in ("", "sha256", "SHA512", "SHA-256", "none")
        )
    },
    verify.MalformedSignature: {
        "absent or not in CloudFront's base64": (changed("/x", without("Signature")),),
        "Signature": tuple(
            changed(Signature=text)
            for text in ("", "A", "AB", "AAA+", "AAA=", "AAA/", "A__A", "AB__", "AAA%2B", "AAAA____")
        ),
    },
    verify.MalformedPolicy: {
        "there is no Policy": (changed("/x", without("Expires")),),
        "base64": tuple(changed("/x", GOOD_CUSTOM, Policy=text) for text in ("undefined!", "")),
    },
    verify.BadSignature: {
        "over this policy": (changed("/x", GOOD_CUSTOM, Signature=GOOD["Signature"]),),
        f"over the canned policy for '{BASE_URL}/x' with": (changed(Expires=str(END + 1)),),
        f"over the canned policy for '{BASE_URL}/y' and its query": (changed("/y?source=a_long_newsletter"),),
        "with SHA1": (changed("/x", without("Hash-Algorithm")), changed(Hash_Algorithm="SHA1")),
    },
    verify.WrongResource: {f"the URL's path; the URL is '{BASE_URL}/y'": (under("/y", resource=f"{BASE_URL}/x*"),)},
    verify.Expired: {
        f"access ended at {NOW}": (canned(FAST, "/x", NOW),),
        "access ended at 0": (canned(FAST, "/x", 0),),
        "access ended": (under(end=NOW - 1),),
    },
    verify.NotYetValid: {f"access begins after {NOW}": (under(start=NOW),)},
    verify.WrongViewer: {"not in 198.51.100.0/24": (under(ip_address="198.51.100.1/24"),)},
}


@pytest.mark.parametrize(
    ("error", "text", "target"), [(error, text, target) for error in REASONS for target, text in by(REASONS[error])]
)
def test_every_refusal_tells_its_reason(error: type[VerificationError], text: str, target: str) -> None:
    """Class and text tell the true reason and quote nothing of the query; code and message are CloudFront's."""
    told = refused(error, text, target)
    assert (error.code, error.message) == TOLD.get(error, ("AccessDenied", "Access denied"))
    sent = [pair.partition("=")[2] for pair in target.partition("?")[2].split("&")]
    assert not [value for value in sent if len(value) > len(str(END)) + 4 and value in told]


def test_the_table_of_refusals_is_complete() -> None:
    """Every subclass of VerificationError is reached by the table above, but for the one that needs cookies."""
    assert REASONS.keys() == {*VerificationError.__subclasses__()} - {verify.Contradiction}


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(CustomPolicy) if field.default is None])
def test_no_condition_is_left_unchecked(name: str) -> None:
    """A policy with any one condition that the viewer does not meet is refused."""
    unmet: Any = {"start": NOW, "ip_address": "192.0.2.1"}
    refused(VerificationError, "", under(resource="*", **{name: unmet[name]}), viewer_address=None)


def test_the_first_reason_in_order_is_given() -> None:
    """The earliest check speaks, key id first, as has been seen of CloudFront; an Expires beside a Policy is none."""
    wrong = items(FAST, custom(f"{BASE_URL}/y", end=NOW - 1, start=NOW + 1, ip_address="192.0.2.1"))
    own = {**GOOD, "Key-Pair-Id": "", "Policy": "!", "Hash-Algorithm": "x", "Signature": "!"}
    refused(verify.MissingKey, "", with_items("/x", own) + "&Policy=!")
    own["Key-Pair-Id"] = "KOTHER"
    refused(verify.UnknownKey, "", with_items("/x", own) + "&Policy=!")
    own["Key-Pair-Id"] = EC
    refused(verify.DuplicateParameter, "", with_items("/x", own) + "&Policy=!")
    steps: list[tuple[type[VerificationError], dict[str, str]]] = [
        (verify.UnknownHashAlgorithm, {"Hash-Algorithm": "SHA1"}),
        *((verify.MalformedSignature, {"Signature": "AAAA"}), (verify.MalformedPolicy, {"Policy": wrong["Policy"]})),
        *((verify.BadSignature, wrong), (verify.WrongResource, {})),
    ]
    for error, cure in steps:
        refused(error, "", with_items("/x", own))
        own |= cure
    refused(verify.Expired, "", with_items("/y", own))
    refused(verify.NotYetValid, "", with_items("/y", own), now=NOW - 2)


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


@pytest.mark.parametrize(
    ("now", "error"),
    by({verify.NotYetValid: (NOW - 1, NOW), None: (NOW + 0.001, END - 0.001), verify.Expired: (END, END + 1)}),
)
def test_access_begins_after_the_start_and_ends_at_the_end(now: float, error: type[VerificationError] | None) -> None:
    """Access is refused at the start itself, and from the end on."""
    if error:
        refused(error, "access", under(start=NOW), now=now)
    else:
        assert check(under(start=NOW), now=now)


OUTSIDE = [None, "", "2001:db8::1", "::ffff:203.0.113.7", "localhost", "203.0.113.7, 10.0.0.1", "0xcb.0.113.7"]


@pytest.mark.parametrize(
    ("network", "viewer", "inside"),
    [
        *(("203.0.113.7", "203.0.113.7", True), ("203.0.113.7", "203.0.113.8", False)),
        *(("203.0.113.0/24", "203.0.113.255", True), ("203.0.113.0/24", "203.0.114.0", False)),
        *(("0.0.0.0/0", "198.51.100.9", True), *(("0.0.0.0/0", viewer, False) for viewer in OUTSIDE)),
    ],
)
def test_only_an_ipv4_viewer_inside_the_network_is_served(network: str, viewer: str | None, inside: bool) -> None:
    """A policy with an address admits IPv4 viewers of that network and nobody else; one without admits everybody."""
    assert check(canned(FAST, "/x", END), viewer_address=viewer)
    if inside:
        assert check(under(ip_address=network), viewer_address=viewer)
    else:
        refused(verify.WrongViewer, f"not in {network}", under(ip_address=network), viewer_address=viewer)


H = "https://h.example"
# Of each resource: URLs that it covers, and URLs that it does not.
COVERS: list[tuple[str, tuple[str, ...], tuple[str, ...]]] = [
    *((url, (url,), ()) for url in (f"{H}/", f"{H}/%2A", f"{H}/a+(b)[c]|$", "https://h.example:8443/a")),
    ("*", (f"{H}/", "http://other:8080/any?query"), ()),
    (f"{H}/a", (f"{H}/a",), (f"{H}/A", f"{H}/ab", f"{H}/a?x", "http://h.example/a", "https://h.example:8443/a")),
    (f"{H}/a?", (f"{H}/a",), ()),
    *((f"{H}/%2f", (), (f"{H}/%2F",)), (f"{H}/a.b", (), (f"{H}/axb",)), (H, (), (f"{H}/",))),
    # protocols
    *((wrong, (), (f"{H}/a",)) for wrong in ("http://h.example/a", "HTTPS://h.example/a", "h*://h.example/a", "http*")),
    *((wrong, (), (f"{H}/a",)) for wrong in ("ftp://h.example/a", "h.example/a", "//h.example/a", "*s://h.example/a")),
    *((star, (f"{H}/a", f"http{H[5:]}/a"), ()) for star in ("*://h.example/a", "http*://h.example/a", "*.example/a")),
    ("*h.example/a?u=http://x", (f"{H}/a?u=http://x",), ()),
    # domains
    ("https://*.example/a", (f"{H}/a",), ("https://example/a",)),
    *(("https://*/a", (f"{H}/a",), (f"{H}/b/a",)), ("https://*", (f"{H}/a?x",), ())),
    ("https://h*", (f"{H}/a/b?x=1",), ("https://g.example/a",)),
    *(
        *(("https://h*/a", (), (f"{H}/a?x",)), ("https://h*?x", (), (f"{H}/?x",))),
        ("https://?.example/a", (), (f"{H}/a",)),
    ),
    # paths
    (f"{H}/*", (f"{H}/", f"{H}/a/b/c", f"{H}/a?x=1"), ()),
    *((f"{H}/a*", (f"{H}/a", f"{H}/a/../b?x"), (f"{H}/b",)), (f"{H}/a/*", (), (f"{H}/a",))),
    (f"{H}/*.jpg", (f"{H}/a/b.jpg",), (f"{H}/a/b.png?.jpg", f"{H}/b.jpg?x")),
    *((f"{H}/a*b*c", (f"{H}/a-bb-cc-c",), (f"{H}/a-c-b",)), (f"{H}/a**b", (f"{H}/ab",), ())),
    (f"{H}/a*ab", (), (f"{H}/ab",)),
    # queries: the first ? begins it, the others are one character each
    *((f"{H}/a?b=1", (f"{H}/a?b=1",), (f"{H}/a?b=1&c",)), (f"{H}/a?b", (), (f"{H}/a/b", f"{H}/axb"))),
    *((f"{H}/a?b=?", (f"{H}/a?b=7",), (f"{H}/a?b=77", f"{H}/a?b=")), (f"{H}/a?b=*", (f"{H}/a?b=&c=1",), ())),
    *((f"{H}/a?*", (f"{H}/a", f"{H}/a?x"), ()), (f"{H}/a*?", (), (f"{H}/ab?x=2",))),
    *((f"{H}/a*?x=1", (f"{H}/ab?x=1",), (f"{H}/ab?x=2",)), (f"{H}/a?x=*&y=?*z", (f"{H}/a?x=1/2&y=http://z",), ())),
]


@pytest.mark.parametrize(
    ("resource", "url", "covered"),
    [(resource, *row) for resource, inside, outside in COVERS for row in by({True: inside, False: outside})],
)
def test_wildcards_stay_inside_their_section(resource: str, url: str, covered: bool) -> None:
    """Protocol, domain, path and query are compared one by one, with the documented exceptions for a trailing star."""
    base_url, slash, rest = url.replace("://", ":||", 1).partition("/")
    facts: Any = {"base_url": base_url.replace(":||", "://"), "key_group": GROUP, "now": NOW}
    target = under(slash + rest, resource=resource)
    if covered:
        assert verify.verify_url(target, **facts)
    else:
        with pytest.raises(verify.WrongResource, match=r"URL's (protocol|domain|path|query)"):
            verify.verify_url(target, **facts)


@given(st.text("ab/*", max_size=12), st.text("ab/", max_size=12))
def test_matching_agrees_with_plain_backtracking(pattern: str, path: str) -> None:
    """Taking the leftmost place for each piece loses no match that trying all places would find."""

    def matches(pattern: str, text: str) -> bool:
        if not pattern:
            return not text
        if pattern[0] == "*":
            return any(matches(pattern[1:], text[at:]) for at in range(len(text) + 1))
        return text[:1] == pattern[0] and matches(pattern[1:], text[1:])

    target = under(f"/{path}", resource=f"{BASE_URL}/{pattern}")
    if matches(pattern, path):
        assert check(target)
    else:
        refused(verify.WrongResource, "path", target)


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("*a" * 3000, "a" * 6000 + "b"),
        *((pattern, "a" * 6000) for pattern in ("*a" * 3000 + "b", "*" * 6000 + "x", "*" + "a" * 3000 + "b*")),
        ("a?" + "?" * 3000 + "*" + "a?" * 1500 + "b*", "a?" + "a" * 6000),
    ],
)
def test_no_pattern_makes_matching_explode(pattern: str, text: str) -> None:
    """The largest patterns a URL can carry, made to backtrack, are decided."""
    target = under(f"/{text}", resource=f"{BASE_URL}/{pattern}")
    refused(verify.WrongResource, "does not cover", target)  # backtracking would outlast the universe


def test_the_replay_would_widen_a_grant_that_holds_a_star() -> None:
    """Why nobody may sign a literal star: CloudFront takes the same bytes for a wildcard."""
    data = canned_policy(f"{BASE_URL}/me/%2A", END).replace(b"%2A", b"*")
    signed = items(FAST, data)
    as_canned = {**without("Policy", own=signed), "Expires": str(END)}
    assert check(with_items("/me/*", as_canned)).origin_target == "/me/*"
    refused(verify.BadSignature, "over the canned policy", with_items("/me/other", as_canned))
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
    own = {**without("Policy", own=items(FAST, policy)), "Expires": expires}
    with pytest.raises(verify.MalformedPolicy, match="plain epoch seconds"):
        check_cookies("/x", as_cookies(own))
    refused(verify.MalformedTarget, "printable ASCII", with_items("/x", own))
    refused(verify.MalformedPolicy, "plain epoch", with_items("/x", {**own, "Expires": quote(expires)}))


EXPIRES = ["", "x", "-1", "+1", "01", "00", " 1", "1 ", "1\n", "1.0", "1e9", "1_0", "0x1", "1}}}]}", "1,1", "١", "１"]


@pytest.mark.parametrize(
    ("expires", "text"), by({"plain epoch seconds": [*EXPIRES, "12345678901"], "is out of range": ["9999999999"]})
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


def test_a_key_group_names_every_wrong_entry(pem: Callable[[str], str]) -> None:
    """Wrong ids are numbered, since they may be secrets in the wrong place; wrong keys are named by their id."""
    secret = pem("rsa-2048-pkcs8")
    with pytest.raises(ConfigError) as caught:
        KeyGroup({RSA: pem("p256-public"), secret: pem("p256-public"), "AKIAX": b"", "KA": "no key", "KB": secret})
    named = [re.split(":| is ", problem)[0] for problem in caught.value.problems]
    assert named == [f"key group, {name}" for name in ("entry 2", "entry 3", "KA", "KB")]
    assert "'no key', looked for in" in str(caught.value)
    assert not any(line in str(caught.value) for line in secret.splitlines())


def test_a_key_group_is_never_empty_and_never_changes(pem: Callable[[str], str]) -> None:
    """A group without keys could only refuse, and later changes to the mapping do not reach the group."""
    with pytest.raises(ConfigError, match="at least one key"):
        KeyGroup({})
    keys = {EC: pem("p256-public")}
    group = KeyGroup(keys)
    keys["KOTHER"] = keys[EC]
    assert (bool(group.get(EC)), group.get("KOTHER"), repr(group)) == (True, None, f"<KeyGroup {EC}>")
    with pytest.raises(AttributeError):
        group.more = 1  # type: ignore[attr-defined]  # that is the point


@pytest.mark.parametrize(
    "base_url", ["h.example", "https://h/", "https://h/base", "https://H", "ftp://h", "https://", ""]
)
def test_a_base_url_that_could_never_match_is_a_mistake_of_the_caller(base_url: str) -> None:
    """It would refuse every request for a reason nobody could see, so it is a ConfigError."""
    with pytest.raises(ConfigError, match=r"base_url='.*': expected scheme://host"):
        verify.verify_url("/x", base_url=base_url, key_group=GROUP, now=NOW)
