"""``explain``: every cause that can be seen offline is named first, good URLs raise no alarm, no text crashes it."""

from __future__ import annotations

import base64
import datetime
import json
import os
import re
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, quote_plus

import hypothesis
import pytest
from botocore.signers import CloudFrontSigner
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa, utils
from hypothesis import given
from hypothesis import strategies as st

from cfgate_middleware import ConfigError, Signer, signed_url
from cfgate_middleware._core.encoding import from_base64, to_base64
from cfgate_middleware._core.policy import CustomPolicy, canned_policy
from cfgate_middleware._core.urls import RESERVED
from cfgate_middleware._explain import case, malformed, policies, reading, shapes, signatures
from cfgate_middleware._keys.pem import PublicKey
from cfgate_middleware.explain import Explanation, explain
from cfgate_middleware.verify import KeyGroup, VerificationError, verify_url
from tests.conftest import KEY_PAIR_ID, KEYS, NOW
from tests.leaks import leaks_among, leaks_in, locals_of
from tests.signed import BASE_URL, as_cookies, canned_items, items, with_items
from tests.support import Patch, by
from tests.test_vectors import VECTORS, Vector

END = NOW + 600
EC_ID, OTHER_ID = "KEC0000000000P", "KOTHER00000000"
RSA = Signer(KEY_PAIR_ID, (KEYS / "rsa-2048-pkcs8.pem").read_text())
RSA_SHA1 = Signer(KEY_PAIR_ID, (KEYS / "rsa-2048-pkcs8.pem").read_text(), "SHA1")
ECDSA = Signer(EC_ID, (KEYS / "p256-pkcs8.pem").read_text())
PUBLIC = {
    KEY_PAIR_ID: (KEYS / "rsa-2048-public.pem").read_text(),
    EC_ID: (KEYS / "p256-public.pem").read_text(),
}
OTHER = Signer(OTHER_ID, (KEYS / "p256-pkcs8.pem").read_text())
D = BASE_URL
CNAME = "https://cdn.example.com"
many = hypothesis.settings(max_examples=int(os.environ.get("CFGATE_EXAMPLES", "200")), deadline=None)


def run(url: Any, **how: Any) -> Explanation:
    """Explain with the tests' keys and time, unless ``how`` says otherwise."""
    return explain(url, **{"public_keys": PUBLIC, "now": NOW, **how})


def codes(url: Any, **how: Any) -> list[str]:
    """Return the codes of all findings."""
    return [finding.code for finding in run(url, **how).findings]


def canned(signed: str, sent: str | None = None, *, signer: Signer = ECDSA, end: int = END, **changed: str) -> str:
    """Return the URL ``sent`` with the items of a canned policy for another one, of which some are ``changed``."""
    own = {**canned_items(signer, signed, end), **{name.replace("_", "-"): value for name, value in changed.items()}}
    return with_items(signed if sent is None else sent, {name: value for name, value in own.items() if value != "-"})


def bytes_signed(message: bytes, sent: str, signer: Signer = ECDSA, end: int = END) -> str:
    """Return the URL ``sent`` as canned, whose signature is over any ``message``."""
    own = {**canned_items(signer, sent, end), "Signature": to_base64(signer.sign(message))}
    return with_items(sent, own)


def custom(sent: str, policy: bytes | None = None, signer: Signer = ECDSA, **fields: Any) -> str:
    """Return the URL ``sent`` with a custom policy, with these ``fields``."""
    policy = policy or CustomPolicy(**{"resource": f"{D}/*", "end": END, **fields}).to_bytes()
    return with_items(sent, items(signer, policy))


def document(**condition: Any) -> bytes:
    """Return a custom policy with any condition."""
    statement = {"Resource": f"{D}/*", "Condition": {"DateLessThan": {"AWS:EpochTime": END}, **condition}}
    return json.dumps({"Statement": [statement]}, separators=(",", ":")).encode()


def spaced(resource: str) -> bytes:
    """Return a canned policy as ``json.dumps`` writes it."""
    return json.dumps(json.loads(canned_policy(resource, END))).encode()


def recoded(url: str, change: Callable[[str], str]) -> str:
    """Return a signed URL whose signature is written otherwise; ``change`` gets standard base64."""

    def other(match: re.Match[str]) -> str:
        return "Signature=" + change(base64.b64encode(from_base64(match[1])).decode())

    return re.sub("Signature=([^&]*)", other, url)


def urlsafe(text: str) -> str:
    """Return standard base64 in the URL-safe alphabet."""
    return text.translate(str.maketrans("+/", "-_"))


def raw(url: str) -> str:
    """Return a signed URL whose ECDSA signature is r and s instead of DER."""

    def other(text: str) -> str:
        r, s = utils.decode_dss_signature(base64.b64decode(text))
        return to_base64(r.to_bytes(32, "big") + s.to_bytes(32, "big"))

    return recoded(url, other)


def pss(url: str) -> str:
    """Return a URL with an RSA-PSS signature over its canned policy."""
    key = serialization.load_pem_private_key((KEYS / "rsa-2048-pkcs8.pem").read_bytes(), None)
    assert isinstance(key, rsa.RSAPrivateKey)
    how = padding.PSS(padding.MGF1(hashes.SHA256()), 32)
    signature = key.sign(canned_policy(url, END), how, hashes.SHA256())
    return with_items(url, {**canned_items(RSA, url, END), "Signature": to_base64(signature)})


GOOD = canned(f"{D}/films/a.mp4")
ESCAPED = GOOD.replace("&", "&amp;")
XML = '<?xml version="1.0" encoding="UTF-8"?><Error><Code>{}</Code><Message>{}</Message>{}</Error>'
DENIED = XML.format("AccessDenied", "Access denied", "")
S3_DENIED = XML.format("AccessDenied", "Access Denied", "<RequestId>ABC</RequestId><HostId>x</HostId>")
HTML = (
    "HTTP/2 403\r\nx-cache: Error from cloudfront\r\n\r\n<H1>403 ERROR</H1><H2>The request could not be satisfied.</H2>"
)
PRESIGNED = "https://b.s3.eu-west-1.amazonaws.com/a?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Signature=0a1b"
CUT = GOOD.partition("&")[0]
COOKIES = as_cookies(items(ECDSA, CustomPolicy(resource=f"{D}/*", end=END)))

# What is named first, by code: URLs, or pairs of URL and more arguments.
FIRST: dict[str, list[Any]] = {
    "expired": [canned(f"{D}/a", end=NOW), custom(f"{D}/a", end=NOW - 86400), canned(f"{D}/a", end=3600)],
    "milliseconds": [
        canned(f"{D}/a", end=END * 1000),
        custom(f"{D}/a", document(DateLessThan={"AWS:EpochTime": END * 1000})),
        bytes_signed(canned_policy(f"{D}/a", END * 1000), f"{D}/a"),
    ],
    "spelling": [
        canned(f"{D}/a b.pdf", f"{D}/a%20b.pdf"),
        canned(f"{D}/a+b.pdf", f"{D}/a%20b.pdf"),
        canned(f"{D}/a%20b.pdf", f"{D}/a+b.pdf"),
        canned(f"{D}/a%2Fb.pdf", f"{D}/a/b.pdf", signer=RSA),
        canned(f"{D}/a%2fb.pdf", f"{D}/a%2Fb.pdf"),
        canned(f"{D}/it's", f"{D}/it%27s", signer=RSA_SHA1),
        canned(f"{D}/a%2520b", f"{D}/a%20b"),
        canned(f"{D}//a", f"{D}/a"),
        custom(f"{D}/a%20b", document().replace(b"/*", b"/a b")),
        custom(f"{D}/a%20b/c", resource=f"{D}/a+b/*"),
    ],
    "query-changed": [
        canned(f"{D}/a", f"{D}/a?utm_source=x&utm_medium=y"),
        canned(f"{D}/a?v=1", f"{D}/a?v=1&fbclid=x", signer=RSA),
        canned(f"{D}/a?v=1&w=2", f"{D}/a?w=2&v=1"),
        GOOD + "&utm_source=x",
        custom(f"{D}/a?utm_source=x", resource=f"{D}/a"),
        canned(f"{D}/a?v=1").replace("&Expires", "?Expires"),
        canned(f"{D}/a").replace("?Expires", "&Expires"),
    ],
    "query-spelling": [
        canned(f"{D}/a?n=a b", f"{D}/a?n=a%20b"),
        canned(f"{D}/a?n=a+b", f"{D}/a?n=a%20b", signer=RSA),
        canned(f"{D}/a?n=it%27s", f"{D}/a?n=it%2527s"),
        quote(GOOD, ""),
        GOOD.replace("?", "%3F").replace("&", "%26").replace("=", "%3D"),
    ],
    "browser-rewrites": [
        canned(f"{D}/a?n=it's"),
        canned(f"{D}/a|b{{c}}"),
        canned(f"{D}/é.pdf".encode().decode()),
        GOOD.replace("?", "#x?"),
    ],
    "dot-segments": [canned(f"{D}/x/../a"), canned(f"{D}/./a", signer=RSA)],
    "scheme": [
        canned(f"{D}/a".replace("https", "http"), f"{D}/a"),
        canned(f"{D}/a", f"{D}/a".replace("https", "http"), signer=RSA),
        custom(f"{D}/a".replace("https", "http")),
    ],
    "host": [
        (canned(f"{D}/a", f"{CNAME}/a"), {"hosts": [D.removeprefix("https://")]}),
        (canned(f"{CNAME}/a", f"{D}/a", signer=RSA), {"hosts": ["d2.cloudfront.net", "cdn.example.com"]}),
        custom(f"{CNAME}/a"),
        canned(f"{CNAME}/a", f"{CNAME}:8443/a"),
        bytes_signed(canned_policy("/a", END), f"{D}/a"),
    ],
    "s3-host": [
        canned("https://bucket.s3.amazonaws.com/a"),
        canned("https://s3.eu-west-1.amazonaws.com/bucket/a"),
        (canned("https://b.s3.amazonaws.com/a", f"{D}/a"), {"hosts": ["b.s3.amazonaws.com"]}),
        custom(f"{D}/a", resource="https://bucket.s3.amazonaws.com/*"),
    ],
    "s3-presigned": [
        PRESIGNED,
        PRESIGNED.replace("b.s3.eu-west-1.amazonaws.com", "d1.cloudfront.net"),
        f"{D}/a?AWSAccessKeyId=AKIAIOSFODNN7EXAMPLE&Expires={END}&Signature=vjbyPxybdZaNmGa%2ByT272YEAiv4%3D",
    ],
    "hash-marker": [
        canned(f"{D}/a", Hash_Algorithm="-"),
        canned(f"{D}/a", signer=RSA, Hash_Algorithm="-"),
        canned(f"{D}/a", signer=RSA_SHA1, Hash_Algorithm="SHA256"),
        custom(f"{D}/a").replace("&Hash-Algorithm=SHA256", ""),
    ],
    "hash-name": [canned(f"{D}/a", Hash_Algorithm="sha256"), canned(f"{D}/a", Hash_Algorithm="RSA-SHA256")],
    "wrong-key-id": [
        canned(f"{D}/a", Key_Pair_Id=KEY_PAIR_ID),
        canned(f"{D}/a", signer=RSA, Key_Pair_Id=EC_ID),
        canned(f"{D}/a", Key_Pair_Id="KUNKNOWN00000"),
        custom(f"{D}/a", signer=RSA).replace(KEY_PAIR_ID, EC_ID),
    ],
    "unknown-key": [
        canned(f"{D}/a", Key_Pair_Id=f"{EC_ID}%0A"),
        (GOOD, {"public_keys": {KEY_PAIR_ID: PUBLIC[KEY_PAIR_ID]}}),
        (canned(f"{D}/a", signer=RSA), {"public_keys": {EC_ID: PUBLIC[EC_ID]}}),
    ],
    "no-key-id": [
        canned(f"{D}/a", Key_Pair_Id="-"),
        canned(f"{D}/a", Key_Pair_Id="undefined"),
        canned(f"{D}/a", Key_Pair_Id=""),
        f"{D}/a?Expires={END}&KeyName=key&Signature=" + "A" * 88,
    ],
    "iam-key-id": [canned(f"{D}/a", Key_Pair_Id=name) for name in ("AKIAIOSFODNN7EXAMPLE", "ASIAIOSFODNN7EXAMPLE")],
    "key-group-id": [
        canned(f"{D}/a", Key_Pair_Id="4a6a1d33-6e2c-4c56-9a52-0d0a0a0a0a0a"),
        (canned(f"{D}/a", Key_Pair_Id="4A6A1D33-6E2C-4C56-9A52-0D0A0A0A0A0A"), {"public_keys": None}),
    ],
    "key-as-id": [
        canned(f"{D}/a", Key_Pair_Id=quote(PUBLIC[EC_ID], "")),
        canned(f"{D}/a", Key_Pair_Id="private_key.pem"),
        canned(f"{D}/a", Key_Pair_Id="E1ABCDEF2GHIJK"),
    ],
    "name-case": [
        (f"{D}/a", {"cookies": {name.lower(): value for name, value in COOKIES.items()}}),
        GOOD.replace("Key-Pair-Id", "Key-Pair-ID"),
        GOOD.replace("Key-Pair-Id", "KeyPairId"),
        GOOD.replace("Expires", "expires").replace("Signature", "signature"),
    ],
    "no-signature": [CUT, canned(f"{D}/a", Signature="-"), custom(f"{D}/a").partition("&")[0]],
    "alphabet": [
        recoded(canned(f"{D}/a", signer=RSA), lambda text: text),
        recoded(canned(f"{D}/a", signer=RSA), lambda text: quote(text, "")),
        recoded(canned(f"{D}/b", signer=RSA), urlsafe),
        recoded(canned(f"{D}/c", signer=RSA), lambda text: urlsafe(text).rstrip("=")),
        re.sub("(Signature=.{300})[^&]*", r"\1", canned(f"{D}/a", signer=RSA)),
        recoded(GOOD, lambda text: base64.b64decode(text).hex()),
        recoded(GOOD, lambda text: quote(f"b'{text}'")),
        recoded(canned(f"{D}/e", signer=RSA), lambda text: quote(quote(text, ""), "")),
        recoded(canned(f"{D}/d", signer=RSA), lambda text: quote(f"{text[:76]}\n{text[76:]}", "")),
        (GOOD, {"response": XML.format("MalformedSignature", "Could not unencode Signature", "")}),
    ],
    "raw-ecdsa": [raw(GOOD), raw(canned(f"{D}/b"))],
    "pss": [pss(f"{D}/a"), pss(f"{D}/b?v=1")],
    "json": [
        bytes_signed(spaced(f"{D}/a"), f"{D}/a"),
        bytes_signed(spaced(f"{D}/a"), f"{D}/a", RSA),
        bytes_signed(canned_policy(f"{D}/a", END).replace(b"/", b"\\/"), f"{D}/a"),
        bytes_signed(canned_policy(f"{D}/a?v=1\\u0026w=2", END), f"{D}/a?v=1&w=2"),
        bytes_signed(canned_policy(f"{D}/a", END) + b"\n", f"{D}/a"),
        bytes_signed(canned_policy(f"{D}/*", END), f"{D}/a"),
        bytes_signed(f"{D}/a?Expires={END}".encode(), f"{D}/a"),
    ],
    "malformed-policy": [
        custom(f"{D}/a", document().replace(b"[", b"").replace(b"]", b"")),
        custom(f"{D}/a", document(DateLessThan={"AWS:EpochTime": str(END)})),
        custom(f"{D}/a", b'{"Statement":[{"Resource":"*","Condition":{}}]}'),
        custom(f"{D}/a", b'{"Statement":[{},{}]}'),
        custom(f"{D}/a", b"hello"),
        (GOOD, {"response": XML.format("MalformedPolicy", "Malformed Policy", "")}),
    ],
    "not-covered": [
        custom(f"{D}/subtitles/1.vtt", resource=f"{D}/films/*"),
        (custom(f"{D}/a/b.ts", resource=f"{D}/b/*", signer=RSA), {"public_keys": None}),
    ],
    "ip": [
        (custom(f"{D}/a", ip_address="203.0.113.7"), {"viewer_address": "203.0.113.8"}),
        (custom(f"{D}/a", ip_address="203.0.113.0/24"), {"viewer_address": "2001:db8::1"}),
        custom(f"{D}/a", document(IpAddress={"AWS:SourceIp": "2001:db8::1"})),
    ],
    "not-yet": [custom(f"{D}/a", start=NOW), custom(f"{D}/a", start=NOW + 120, signer=RSA)],
    "both-forms": [
        (f"{D}/a?Expires=1", {"cookies": COOKIES}),
        (f"{D}/a", {"cookies": {**COOKIES, "CloudFront-Expires": str(END)}}),
    ],
    "duplicate": [GOOD + f"&Expires={END}", GOOD + "&" + GOOD.partition("?")[2]],
    "unsigned": [
        f"{D}/a.pdf",
        (f"{D}/a.pdf", {"cookies": "session=1"}),
        f"{D}/a?hdnts=exp=1~acl=/*~hmac=00",
        f"{D}/a?sv=2020&se=1&sig=x",
    ],
    "html-escaped": [ESCAPED, GOOD.replace("&", "&#38;"), GOOD.replace("&", "\\u0026"), GOOD.replace("&", "\\&")],
    "wrapped": [GOOD[:90] + "\n" + GOOD[90:], GOOD[:60] + "\r\n  " + GOOD[60:120] + "\r\n  " + GOOD[120:]],
    "no-expires": [canned(f"{D}/a", Expires="-"), canned(f"{D}/a", Expires="NaN"), canned(f"{D}/a", Expires="-5")],
    "too-long": [f"{D}/" + "a" * 8192 + "?Expires=1&Signature=a&Key-Pair-Id=K1", "a" * 10_000_000],
    "bad-signature": [bytes_signed(b"what nobody thinks of", f"{D}/a", signer) for signer in (ECDSA, RSA)],
    "cloudfront-refused": [
        (GOOD, {"response": "HTTP/2 403\ncontent-type: text/xml\nserver: CloudFront\n\n"}),
        (GOOD, {"response": DENIED}), (GOOD, {"response": f"HTTP/2 403\n\n{DENIED}"})],
    "s3-refused": [
        (GOOD, {"response": S3_DENIED}),
        (GOOD, {"response": S3_DENIED.replace("Access Denied", "Only one auth mechanism allowed")}),
        (GOOD, {"response": "HTTP/1.1 403 Forbidden\nx-amz-request-id: A\n\n"}),
        (GOOD, {"response": "HTTP/1.1 403 Forbidden\nContent-Type: application/xml\nServer: AmazonS3\n\n"}),
        (GOOD, {"response": "HTTP/1.1 403\n\n<ul><li>Code: AccessDenied</li><li>RequestId: A</li></ul>"}),
    ],
    "not-signed-at-all": [(GOOD, {"response": XML.format("MissingKey", text, "")}) for text in ("Missing", "")],
    "blocked-before": [
        (GOOD, {"response": "HTTP/2 403\ncontent-type: text/html\nserver: CloudFront\n\n"}),
        (GOOD, {"response": HTML}), (GOOD, {"response": HTML.partition("\n\r\n")[2]})],
    "invalid-key": [(GOOD, {"response": XML.format("InvalidKey", "Unknown Key", "")})] * 2,
    "cors": [
        (GOOD, {"response": "TypeError: Failed to fetch"}),
        (GOOD, {"response": "Access to fetch at 'x' has been blocked by CORS policy: No header"}),
        (GOOD, {"response": "0"}),
    ],
}  # fmt: skip


@pytest.mark.parametrize(("case", "code"), by(FIRST))
def test_the_cause_is_named_first(case: Any, code: str) -> None:
    """Each cause is the first finding, with a cure, the request is refused, and nothing secret is shown."""
    url, how = case if isinstance(case, tuple) else (case, {})
    explanation = run(url, **how)
    assert [finding.code for finding in explanation.findings][:1] == [code]
    assert all(finding.text and finding.cure for finding in explanation.findings)
    assert explanation.verdict == ("undecided" if url is PRESIGNED else "refused")
    assert not leaks_in(repr(explanation))


def test_every_cause_is_tried_with_two_inputs() -> None:
    """No row of the table has less than two inputs."""
    assert all(len(cases) >= 2 for cases in FIRST.values())


def at(seconds: int) -> datetime.datetime:
    """Return an aware datetime."""
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC)


def test_what_is_said_of_two_mistakes() -> None:
    """Two changes are two findings, the proven one comes before what time says, and the facts follow in order."""
    url = canned(f"{D}/a b", f"{D}/a%20b?utm_source=1", end=NOW - 600, Hash_Algorithm="-")
    explanation = run(url)
    assert codes(url) == ["spelling", "query-changed", "hash-marker", "expired"]
    assert explanation.findings[0].text == "the path was signed decoded"
    assert explanation.facts == (
        ("object", f"{D}/a%20b"),
        ("own query", "utm_source=1"),
        ("form", "canned policy (this one URL, until Expires)"),
        ("key", f"{EC_ID}, ECDSA P-256, SHA1"),
        ("signed by", f"{EC_ID}, ECDSA P-256, SHA256"),
        ("until", "2027-01-15 07:50:00Z (10 minutes ago)"),
    )


def other_policy(change: Callable[[dict[str, Any]], Any]) -> bytes:
    """Return a custom policy whose statement is changed."""
    statement = json.loads(document())["Statement"][0]
    return json.dumps({"Statement": [change(statement) or statement]}).encode()


WRONG_POLICIES: dict[str, list[bytes]] = {
    "is not JSON": [b"\xff", b"[" * 5000, b'{"Statement":'],
    "not an array": [b"[]", b"{}", b'{"Statement":{}}'],
    "2 statements": [b'{"Statement":[{},{}]}'],
    "0 statements": [b'{"Statement":[]}'],
    "not a string": [other_policy(lambda statement: statement.update(Resource=["a"]))],
    "no Condition": [other_policy(lambda statement: statement.pop("Condition") and None), b'{"Statement":[{}]}'],
    "no DateLessThan": [other_policy(lambda statement: statement.update(Condition={}))],
    "is a string": [document(DateLessThan={"AWS:EpochTime": "1"}), document(DateGreaterThan={"AWS:EpochTime": "1"})],
    "no AWS:EpochTime": [document(DateLessThan=END), document(DateLessThan={"aws:EpochTime": END})],
    "milliseconds": [document(DateGreaterThan={"AWS:EpochTime": NOW * 1000})],
    "decimal point": [document(DateLessThan={"AWS:EpochTime": END + 0.5})],
    "IPv6": [document(IpAddress={"AWS:SourceIp": "2001:db8::/32"})],
    "IpAddress is not": [document(IpAddress="203.0.113.7")],
    "does not know: Effect": [other_policy(lambda statement: statement.update(Effect="Allow"))],
    "out of range": [document(DateLessThan={"AWS:EpochTime": -1}), document(IpAddress={"AWS:SourceIp": "x"})],
    "never arrives": [other_policy(lambda statement: statement.update(Resource=f"{D}/é"))],
}


@pytest.mark.parametrize(("policy", "text"), by(WRONG_POLICIES))
def test_what_is_wrong_with_a_policy_is_said(policy: bytes, text: str) -> None:
    """Each mistake in a custom policy is named, whatever else is wrong with it."""
    explanation = run(custom(f"{D}/a", policy))
    assert explanation.verdict == "refused"
    assert text in explanation.findings[0].text


@pytest.mark.parametrize(
    "signed", [document() + b"\n", spaced("*").replace(b'"*"', f'"{D}/*"'.encode())], ids=["\\n", " "]
)
@pytest.mark.parametrize("signer", [RSA, ECDSA], ids=["RSA", "ECDSA"])
def test_a_custom_policy_that_is_sent_otherwise_is_recognised(signed: bytes, signer: Signer) -> None:
    """A custom policy that was written once more before it was sent is proven."""
    own = {**items(signer, document()), "Signature": to_base64(signer.sign(signed))}
    assert codes(with_items(f"{D}/a", own)) == ["json"]


PAIRS = {
    ("scheme", "hash-marker"): canned(f"{D}/a".replace("https", "http"), f"{D}/a", Hash_Algorithm="-"),
    ("scheme", "host"): canned(f"{CNAME}/a".replace("https", "http"), f"{D}/a", signer=RSA),
    ("scheme", "host", ""): custom(f"{CNAME}/a".replace("https", "http"), signer=RSA),
    ("spelling", "alphabet"): recoded(canned(f"{D}/a b", f"{D}/a%20b", signer=RSA), lambda text: text),
    ("json", "raw-ecdsa"): raw(bytes_signed(spaced(f"{D}/a"), f"{D}/a")),
    ("query-changed", "wrong-key-id"): canned(f"{D}/a", f"{D}/a?v=1", signer=RSA, Key_Pair_Id=EC_ID),
    ("html-escaped", "expired"): canned(f"{D}/a", end=NOW).replace("&", "&amp;"),
    ("wrong-key-id", "bad-signature"): bytes_signed(b"x", f"{D}/a", RSA).replace(KEY_PAIR_ID, EC_ID),
}


@pytest.mark.parametrize(("url", "expected"), [(url, [code for code in found if code]) for found, url in PAIRS.items()])
def test_two_mistakes_are_two_findings(url: str, expected: list[str]) -> None:
    """A pair of hypotheses is proven too."""
    assert codes(url, hosts=["cdn.example.com", D]) == expected


GOOD_URLS = {
    "with spaces around it": f"  {GOOD}\n",
    "in quotes": f'"{GOOD}"',
    "in a command": f"curl -i '{GOOD}'",
    "in a header": f"Location: {GOOD}",
    "in a sentence": f"See {GOOD}, which was fine yesterday.",
    "at the end of a sentence": f"This works: {GOOD}.",
    "of a request line": f"GET {GOOD} HTTP/1.1",
    "as bytes": GOOD.encode(),
    "with a default port": GOOD.replace(".net/", ".net:443/"),
    "with an upper-case host": GOOD.replace("d111111abcdef8", "D111111ABCDEF8"),
    "without its scheme": GOOD.removeprefix("https://"),
    "with a fragment": GOOD + "#page=2",
    "with ~ escaped": GOOD.replace("~", "%7E"),
    "with Expires beside Policy": custom(f"{D}/a") + "&Expires=1",
    "with own parameters of like names": canned(f"{D}/a?policy=1&expires=2&signature=3&amp;x=1&hash=1"),
    "with a question mark in its query": canned(f"{D}/a?b?c=&"),
    "with a space that arrives as it was signed": canned(f"{D}/a%20b").replace("%20", " "),
    "for an address in the policy": custom(f"{D}/a", ip_address="203.0.113.0/24"),
    "for any address": custom(f"{D}/a", ip_address="0.0.0.0/0"),
}


@pytest.mark.parametrize("name", GOOD_URLS)
def test_good_urls_are_good_however_they_are_written(name: str) -> None:
    """What surrounds a URL, and what CloudFront does not mind, is no finding."""
    explanation = run(GOOD_URLS[name], viewer_address="203.0.113.9")
    assert (explanation.verdict, explanation.findings) == ("served", ())


OBJECTS = st.text("ab/.%2F+é ~'()!*&=;?#\\日\u0301", max_size=20)
QUERIES = st.lists(st.text("abexpires=%20'+?;~!é", min_size=1, max_size=8), max_size=4).map("&".join)


@many
@given(OBJECTS, QUERIES, st.sampled_from([ECDSA, RSA, RSA_SHA1]), st.booleans(), st.integers(1, 10**7))
def test_no_false_alarm(path: str, query: str, signer: Signer, is_custom: bool, seconds: int) -> None:
    """A URL that is encoded first and signed second has no finding, whatever its object and own query."""
    path = re.sub("/(?:[.]|%2e){1,2}(?=/|$)", "/x", "/" + quote(path, "/%+~'()!&=;"), flags=re.I)
    path = path.replace("*", "%2A")
    sent = D + path + ("?" + quote(query, "&=%+?;~!") if query else "")
    how: Any = {"resource": sent.partition("?")[0] + "*", "end": NOW + seconds}
    url = custom(sent, signer=signer, **how) if is_custom else canned(sent, signer=signer, end=NOW + seconds)
    explanation = run(url)
    assert (explanation.verdict, explanation.findings) == ("served", ())


@many
@given(OBJECTS, st.integers(1, 604800))
def test_our_own_urls_raise_no_alarm(path: str, seconds: int) -> None:
    """What this package signs has no finding."""
    url = signed_url(f"{D}/x{quote(path.replace('.', ''), '')}", ECDSA, now=NOW, expires=seconds)
    assert (run(url).verdict, run(url).findings) == ("served", ())


STATEMENTS: list[Any] = [None, 1, {}, {"Condition": 1}, {"Resource": []}]
# What people paste, and what damages it.
PIECES = [GOOD, ESCAPED, CUT, PRESIGNED, custom(f"{D}/a"), raw(GOOD), HTML, DENIED, PUBLIC[EC_ID], "CloudFront-Policy="]
PIECES += [*"/?&=#%;:@[]' é\\\n\0\ud800", "https://", "//", "%25", "%zz", "http://[", "xn--", "..", "Cookie: ", "eyJ"]
PIECES += [f"{name}=" for name in RESERVED] + ["W10_", "MQ__", "Expires=0", "Policy=bnVsbA__"]
PIECES += [f"Expires={'9' * 30}", to_base64(b"[" * 3000), to_base64(b"1e999")]
PIECES += [to_base64(json.dumps({"Statement": [value]}).encode()) for value in STATEMENTS]
PASTED = st.lists(st.sampled_from(PIECES) | st.text(max_size=8), max_size=8).map("".join) | st.text(max_size=300)


@many
@given(PASTED | st.binary(max_size=300), PASTED, PASTED, st.none() | st.text(max_size=20))
def test_no_text_crashes_it(text: str | bytes, cookies: str, response: str, address: str | None) -> None:
    """Any text is explained, and what is explained holds no secret."""
    explanation = run(text, cookies=cookies, response=response, hosts=[cookies], viewer_address=address)
    assert explanation.verdict in ("served", "refused", "undecided")
    assert not leaks_in(repr(explanation))


@pytest.mark.parametrize("signer", [RSA, ECDSA], ids=["RSA", "ECDSA"])
@pytest.mark.parametrize("target", ["/a", "/a%20b.pdf?v=1&w=%27"])
def test_botocore_urls_are_verified(signer: Signer, target: str) -> None:
    """Canned and custom URLs by botocore are served with the marker that it leaves out, and explained without."""
    theirs = CloudFrontSigner(signer.key_pair_id, signer.sign)
    policy = theirs.build_policy(f"{D}/*", at(END), at(NOW - 9), "203.0.113.0/24")
    how: dict[str, Any] = {"viewer_address": "203.0.113.9"}
    for url in (
        theirs.generate_presigned_url(D + target, date_less_than=at(END)),
        theirs.generate_presigned_url(D + target, policy=policy),
    ):
        assert codes(url, **how) == ["hash-marker"]
        assert codes(f"{url}&Hash-Algorithm=SHA256", **how) == []
        assert run(f"{url}&Hash-Algorithm=SHA256", **how).verdict == "served"


@pytest.mark.parametrize("vector", VECTORS, ids=str)
def test_urls_and_cookies_by_aws_s_own_signer_are_verified(vector: Vector) -> None:
    """They are served, in the URL and in cookies, and refused once they have expired."""
    key = PUBLIC[KEY_PAIR_ID if vector.signer.startswith("RSA") else EC_ID]
    how: Any = {"public_keys": {KEY_PAIR_ID: key}, "viewer_address": "203.0.113.7"}
    cookies = {name: str(value) for name, value in vector.cookies.items()}
    for url, jar in ((vector.signed_url, None), (vector.url, cookies)):
        assert explain(url, cookies=jar, now=vector.end - 1, **how).verdict == "served"
        assert [found.code for found in explain(url, cookies=jar, now=vector.end, **how).findings] == ["expired"]


COOKIE_TEXTS = {
    "Cookie: " + "; ".join(f"{name}={value}" for name, value in COOKIES.items()): "served",
    "\n".join(f"Set-Cookie: {name}={value}; Secure; HttpOnly" for name, value in COOKIES.items()): "served",
}


@pytest.mark.parametrize("text", COOKIE_TEXTS)
def test_cookies_are_read_in_any_form(text: str) -> None:
    """A header, Set-Cookie lines and pairs are read; without a URL only the signature can be checked."""
    assert run(f"{D}/a", cookies=text).verdict == "served"
    assert run(f"{D}/a", cookies=list(COOKIES.items())).verdict == "served"
    assert run(text).findings == ()


def test_a_half_url_is_completed() -> None:
    """A URL without a host is checked for the first host that is given."""
    assert run(GOOD.removeprefix(D), hosts=[D]).verdict == run(GOOD.removeprefix(D), hosts=D).verdict == "served"
    assert codes(GOOD.removeprefix(D), hosts=["cdn.example.com", D]) == ["host"]


SPELLERS: dict[str, Callable[[str], str]] = {
    "decoded": lambda name: name,
    "RFC 3986": lambda name: quote(name, ""),
    "Python": quote,
    "encodeURI": lambda name: quote(name, ";,/?:@&=+$-_.!~*'()#"),
    "encodeURIComponent": lambda name: quote(name, "-_.!~*'()"),
    "form": quote_plus,
    "twice": lambda name: quote(quote(name, ""), ""),
    "lower case": lambda name: re.sub("%..", lambda match: match[0].lower(), quote(name, "")),
}
NAMES = [
    "a b",
    "a+b",
    "é",
    "it's",
    "(x)",
    "日本.pdf",
    "a&b",
    "a,b;c",
    "a@b:c",
    "50% off",
    "a=b",
    "[x]",
    "{y}",
    "$1",
    "a!b",
]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("signed", SPELLERS)
@pytest.mark.parametrize("signer", [RSA, ECDSA], ids=["RSA", "ECDSA"])
def test_every_spelling_is_recognised(name: str, signed: str, signer: Signer) -> None:
    """Whatever spelling was signed, and whatever other one is sent, the spelling or what browsers do is named."""
    resource = f"{D}/{SPELLERS[signed](name)}"
    for speller in SPELLERS.values():
        sent = f"{D}/{speller(name)}"
        if sent != resource and not re.search("[?#]|%(?![0-9a-fA-F]{2})", sent):
            first = codes(canned(resource, sent, signer=signer))[:1]
            assert first in ([], ["spelling"], ["browser-rewrites"])
            assert first or quote(sent, "/:%+,;@&=$()!'[]|") == resource


EDITS = st.lists(
    st.tuples(st.integers(0, 400), st.integers(0, 3), st.sampled_from(["", "a", "%41", "&", "=", "_", "1"]))
)


@many
@given(
    st.sampled_from([GOOD, custom(f"{D}/a?b=1"), canned(f"{D}/a", signer=RSA)]), EDITS.filter(len), st.integers(0, 2)
)
def test_the_verdict_is_the_verifier_s(url: str, edits: list[tuple[int, int, str]], late: int) -> None:
    """A damaged URL is served exactly if the verifier takes it."""
    for place, length, text in edits:
        place = max(place % len(url), len(D) + 1)
        url = url[:place] + text + url[place + length :]
    now = END - 1 + late
    try:
        verify_url(url.removeprefix(D), base_url=D, key_group=KeyGroup(PUBLIC), now=now)
    except VerificationError:
        assert run(url, now=now).verdict == "refused"
    else:
        assert run(url, now=now).verdict == "served"


UNDECIDED = {
    "no key": (GOOD, {"public_keys": None}),
    "half a URL": (GOOD.removeprefix(D), {}),
    "an address, and nobody knows the viewer's": (custom(f"{D}/a", ip_address="203.0.113.7"), {}),
    "nothing": ("", {}),
}


@pytest.mark.parametrize("name", UNDECIDED)
def test_what_cannot_be_decided_is_not(name: str) -> None:
    """Without a key, a host or an address nothing is said to be served."""
    url, how = UNDECIDED[name]
    assert run(url, **how).verdict == "undecided"


def test_notes_do_not_refuse() -> None:
    """A long life and needless cookies are noted, and the URL is served."""
    explanation = run(canned(f"{D}/a", end=NOW + 10**8), cookies=COOKIES)
    assert (explanation.verdict, codes(canned(f"{D}/a", end=NOW + 10**8))) == ("served", ["long"])
    assert [found.code for found in explanation.findings] == ["both-forms", "long"]


@pytest.mark.parametrize("how", [{"public_keys": {"K1": "no key"}}, {"now": float("nan")}, {"now": "1"}])
def test_arguments_of_the_caller_are_checked(how: dict[str, Any]) -> None:
    """A public key that is not one, and a time that is not one, are errors."""
    with pytest.raises(ConfigError):
        run(GOOD, **how)


def test_the_clock_is_used_by_default() -> None:
    """Without ``now`` it is now."""
    assert explain(canned(f"{D}/a", end=int(time.time()) + 60), public_keys=PUBLIC).verdict == "served"
    assert explain(canned(f"{D}/a", end=int(time.time()) - 60), public_keys=PUBLIC).verdict == "refused"


FAULTS = [
    (module, name)
    for module in (case, malformed, policies, reading, shapes, signatures)
    for name, value in vars(module).items()
    if callable(value) and not name.startswith("__") and not isinstance(value, type)
]


@pytest.mark.parametrize(("module", "name"), FAULTS, ids=lambda value: getattr(value, "__name__", value))
def test_no_frame_holds_a_secret(module: Any, name: str, monkeypatch: Patch) -> None:
    """Wherever something fails, no local variable on the way holds a signature or a policy."""

    def fail(*_: Any, **__: Any) -> Any:
        raise MemoryError

    monkeypatch.setattr(module, name, fail)
    bad = recoded(custom(f"{D}/a", document(IpAddress={"AWS:SourceIp": "::1"}), RSA), lambda text: text)
    for url, jar in ((bytes_signed(b"x", f"{D}/a?v=1"), None), (bad, None), (f"{D}/a", COOKIES), (ESCAPED, None)):
        try:
            run(url, cookies=jar)
        except MemoryError as error:
            frames = [local for local in locals_of(error) if local.name not in ("url", "jar", "bad")]
            assert leaks_among(frames) == []


@pytest.mark.parametrize("signer", [RSA, ECDSA], ids=["RSA", "ECDSA"])
def test_work_is_bounded(signer: Signer, monkeypatch: Patch) -> None:
    """However long the URL and however many the hypotheses, only so many signatures are verified."""
    count = [0]
    verifies = PublicKey.verifies

    def counted(*arguments: Any) -> bool:
        count[0] += 1
        return verifies(*arguments)

    monkeypatch.setattr(PublicKey, "verifies", counted)
    url = f"{D}/" + "a%20b/" * 600 + "x?" + "&".join(f"p{number}=v%20{number}" for number in range(300))
    two = {**PUBLIC, "K1": PUBLIC[EC_ID], "K2": PUBLIC[KEY_PAIR_ID]}
    assert codes(bytes_signed(b"x", url, signer), public_keys=two, hosts=["a.example"]) == ["bad-signature"]
    assert count[0] <= signatures.MAX_VERIFICATIONS
