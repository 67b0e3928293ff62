"""What a response says about who refused: CloudFront, the origin, or something before both."""

from __future__ import annotations

import re
from collections.abc import Callable

from cfgate_middleware._core.problems import Secret
from cfgate_middleware._explain.findings import Certainty, Report

_S3 = {
    "Only one auth mechanism": (
        "S3 refused, because the viewer's Authorization header was forwarded to it; the signature was fine",
        "do not forward Authorization to the bucket: take it out of the origin request policy and the cache policy",
    ),
    "Query-string authentication": (
        "S3 got the request itself and reads CloudFront's parameters as its own",
        "request the distribution's host instead of the bucket's; sign that host",
    ),
    "cannot be used for anonymous": (
        "S3 refused response-… parameters, since CloudFront does not sign its requests to it",
        "give the distribution an origin access control, so that CloudFront signs its requests to S3",
    ),
    "SignatureDoesNotMatch": (
        "S3 refused CloudFront's own signature; the viewer's signature was fine",
        "do not forward Host or Authorization to the bucket (no AllViewer policy)",
    ),
    "KMS": (
        "S3 could not decrypt the object for CloudFront; the viewer's signature was fine",
        "let the distribution use the KMS key (kms:Decrypt with AWS:SourceArn); an OAI cannot do it, an OAC can",
    ),
    "NoSuchKey": ("S3 has no object of that name; the signature was fine", "check the object's name"),
}
_BROWSER = re.compile(
    r"(?i)blocked by CORS|Cross-Origin Request Blocked|Failed to fetch|NetworkError when attempting|CORS error|"
    r"Access-Control-Allow-Origin' header|by Access-Control"
)
_S3_DENIED = (
    "S3 refused what CloudFront asked for; the signature was fine",
    "check that the object exists (without s3:ListBucket a missing one is a 403), that the bucket policy lets the "
    "distribution read it (OAC), and the policy of its KMS key",
)


def read_response(response: Secret[str], report: Report) -> None:
    """Add what a response says; ``response`` is what ``curl -i`` or a browser's console shows."""
    text = Secret(response.value)
    statuses = re.findall(r"(?m)^[ \t]*HTTP/[0-9.]+ ([0-9]{3})", text.value)
    if statuses:
        report.fact("response", statuses[-1])
    has_s3_ids = re.search(r"(?im)<(?:RequestId|HostId)>|^x-amz-error-code:|<li>RequestId:", text.value) is not None
    # Headers alone, as curl -I shows them: CloudFront's check answers in XML, what comes before it with a page.
    is_refused = statuses[-1:] == ["403"]
    is_cloudfront = is_refused and re.search(r"(?im)^server: *CloudFront", text.value) is not None
    is_xml = is_cloudfront and re.search(r"(?im)^content-type: *text/xml", text.value) is not None
    is_page = is_cloudfront and re.search(r"(?im)^content-type: *text/html", text.value) is not None
    code = re.search(r"<Code>([A-Za-z]{1,40})</Code>", text.value)
    if _is_from_a_browser(text):
        report.add(
            Certainty.SURE,
            "cors",
            "the browser hid a response without Access-Control-Allow-Origin, as CloudFront's own 403 is",
            "look at the status with curl -i; give the behaviour a response headers policy with CORS",
        )
    elif has_s3_ids:
        text_found, cure = next((row for mark, row in _S3.items() if mark in text.value), _S3_DENIED)
        report.add(Certainty.PROVEN, "s3-refused", text_found, cure)
    elif code and code[1] in _CLOUDFRONT:
        _CLOUDFRONT[code[1]](report)
    elif ("Access denied" in text.value and code) or is_xml:
        _access_denied(report)
    elif re.search(r"(?i)The request could not be satisfied", text.value) or is_page:
        report.add(
            Certainty.PROVEN,
            "blocked-before",
            "CloudFront refused with its HTML page, which comes before or without any check of a signature",
            "check that the host is an alternate domain name of the distribution, the method is allowed, and WAF and "
            "geographic restrictions let the viewer through",
        )
    elif is_refused and re.search(r"(?im)^(?:x-amz-request-id:|server: *AmazonS3)", text.value):
        report.add(Certainty.PROVEN, "s3-refused", *_S3_DENIED)


def _is_from_a_browser(text: Secret[str]) -> bool:
    if text.value.strip().lower() in ("0", "status 0", "status: 0", "http 0", "load failed"):
        return True
    return _BROWSER.search(text.value) is not None


def _access_denied(report: Report) -> None:
    report.add(
        Certainty.LAST,
        "cloudfront-refused",
        "CloudFront's own check refused: the signature, the URL, the time or the address",
        "give explain the URL with its query, and the public key, to see which",
    )


def _invalid_key(report: Report) -> None:
    report.add(
        Certainty.SURE,
        "invalid-key",
        "CloudFront does not know the key pair id for this behaviour (InvalidKey)",
        "put the public key with this id into a key group of the behaviour; wait until the distribution is deployed",
    )


def _missing_key(report: Report) -> None:
    report.add(
        Certainty.SURE,
        "not-signed-at-all",
        "neither query nor cookies of that request had a key pair id (MissingKey)",
        "URLs: quote them in a shell; cookies: check Domain, Path, Secure, SameSite and the credentials mode",
    )


def _malformed(code: str, what: str, cure: str) -> Callable[[Report], None]:
    return lambda report: report.add(Certainty.SURE, code, what, cure)


_CLOUDFRONT: dict[str, Callable[[Report], None]] = {
    "InvalidKey": _invalid_key,
    "MissingKey": _missing_key,
    "MalformedPolicy": _malformed(
        "malformed-policy",
        "CloudFront could not read the policy (MalformedPolicy)",
        "check base64, one statement in an array, DateLessThan as whole seconds without quotes",
    ),
    "MalformedSignature": _malformed(
        "alphabet",
        "CloudFront could not decode the signature (MalformedSignature)",
        "write base64 with - _ ~ for + = /, and keep all of it",
    ),
}
