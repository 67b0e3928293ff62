"""``explain``: every cause that can be seen offline is named first, good URLs raise no alarm, and no text crashes it."""

from __future__ import annotations

import base64
import datetime
import json
import os
import re
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import hypothesis
import pytest
from botocore.signers import CloudFrontSigner
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils
from hypothesis import given
from hypothesis import strategies as st

from cfgate_middleware import ConfigError, Signer, signed_url
from cfgate_middleware._core.encoding import from_base64, to_base64
from cfgate_middleware._core.policy import CustomPolicy, canned_policy
from cfgate_middleware.explain import Explanation, explain
from tests.conftest import KEY_PAIR_ID, KEYS, NOW
from tests.leaks import leaks_in
from tests.signed import BASE_URL, as_cookies, canned_items, items, with_items
from tests.support import by
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
    """Return the URL ``sent`` with a custom policy, whose ``fields`` are as told."""
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
    "cloudfront-refused": [(GOOD, {"response": DENIED}), (GOOD, {"response": f"HTTP/2 403\n\n{DENIED}"})],
    "s3-refused": [
        (GOOD, {"response": S3_DENIED}),
        (GOOD, {"response": S3_DENIED.replace("Access Denied", "Only one auth mechanism allowed")}),
        (GOOD, {"response": "HTTP/1.1 403 Forbidden\nx-amz-request-id: A\n\n"}),
        (GOOD, {"response": "HTTP/1.1 403\n\n<ul><li>Code: AccessDenied</li><li>RequestId: A</li></ul>"}),
    ],
    "not-signed-at-all": [(GOOD, {"response": XML.format(*row)}) for row in [("MissingKey", "Missing", ""), ("MissingKey", "", "")]],
    "blocked-before": [(GOOD, {"response": HTML}), (GOOD, {"response": HTML.partition("\n\r\n")[2]})],
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
