"""What can be seen without a key: the shape of CloudFront's items, and of the policy."""

from __future__ import annotations

import re

from cfgate_middleware._core.problems import Secret
from cfgate_middleware._explain.findings import Certainty, Report, masked, masked_id
from cfgate_middleware._explain.reading import Reading
from cfgate_middleware._explain.signatures import Decoded, decoded
from cfgate_middleware._explain.variations import is_s3_host

_NOT_SET = r"(?i)|undefined|null|none|nan|false|\[object.*|\{.*|<.*|\$.*|%.*|your.*|key-?pair-?id|xxx.*|\(null\)|''"
_KEY = r"(?s).*(?:-----BEGIN|LS0tLS1|MI[IGH][A-Za-z0-9+/ ]{20}|ssh-).*"
_NO_IDS = (
    (_NOT_SET, "no-key-id", "the key pair id was never filled in", ""),
    (r"(?:AKIA|ASIA|AIDA|AROA|ABIA|ACCA).*", "iam-key-id", "the key pair id is an IAM id ({start}…)", ""),
    (r"(?i)[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", "key-group-id", "the id is a key group's (a UUID)", ""),
    (r"E[A-Z0-9]{12,14}", "key-as-id", "the key pair id has the form of a distribution's id", ""),
    (r"arn:.*", "key-as-id", "the key pair id is an ARN", ""),
    (_KEY, "key-as-id", "a key is in the place of its id", "; if it is a private key, replace it: the URL shows it"),
    (r"(?i).*\.(?:pem|key|pub|der|crt|txt)|.*/.*", "key-as-id", "the key pair id is the name of a file", ""),
    (r"(?s).{33,}|(?:[0-9a-f]{2}:)+.*", "key-as-id", "the key pair id is too long to be one", ""),
    (r"(?s).*[^A-Za-z0-9].*", "key-as-id", "the key pair id holds other characters than letters and digits", ""),
)  # fmt: skip
ID_CODES = {"no-key-id", "iam-key-id", "key-group-id", "key-as-id"}
_ID_CURE = (
    "use the id that CloudFront shows beside the public key (Public keys, not Key groups), such as K2JCJMDEHXQW5F"
)
_SHELL = "put the URL in quotes: a shell ends a command at &"
_OTHERS = (
    ({"KeyName", "URLPrefix"}, "Google Cloud CDN"),
    ({"hdnts", "hdnea", "__token__", "hdntl", "hmac"}, "Akamai"),
    ({"sig", "sv", "se", "sp"}, "Azure"),
    ({"verify"}, "Cloudflare"),
    ({"bcdn_token", "token_path"}, "Bunny"),
    ({"auth_key"}, "Alibaba Cloud"),
    ({"x-goog-signature", "X-Goog-Signature", "GoogleAccessId"}, "Google Cloud Storage"),
)  # fmt: skip


def check_origin(reading: Reading, report: Report) -> bool:
    """Add what says that the URL is not CloudFront's at all; return whether anything is left to check."""
    names = reading.own_names
    lower = {name.lower() for name in names}
    if lower & {"x-amz-signature", "x-amz-algorithm", "x-amz-credential"} or "awsaccesskeyid" in lower:
        where = (
            "S3 checks it, not CloudFront" if is_s3_host(reading.host) else "CloudFront does not read that signature"
        )
        report.add(
            Certainty.LIKELY if is_s3_host(reading.host) and reading.source == "" else Certainty.SURE,
            "s3-presigned",
            f"this is a presigned URL of S3: {where}",
            "sign with CloudFront's key pair for the distribution's host (cfgate sign), not with S3's presigner",
        )
        return False
    if is_s3_host(reading.host) and reading.source:
        report.add(
            Certainty.SURE,
            "s3-host",
            "the host is S3's, which does not know CloudFront's signatures",
            "sign and request the distribution's host: its dxxxx.cloudfront.net or an alternate domain name",
        )
    other = next((who for marks, who in _OTHERS if len(marks & names) >= min(2, len(marks))), None)
    if other is None and "KeyName" in names:
        other = "Google Cloud CDN"
    if reading.source:
        if other and "Key-Pair-Id" not in reading.names:
            report.add(Certainty.SURE, "no-key-id", f"there is no Key-Pair-Id; the URL looks like {other}'s", _ID_CURE)
        return True
    if len(reading.near_cookies) > 1:
        report.add(
            Certainty.SURE,
            "name-case",
            f"cookies have other names than CloudFront's: {masked(', '.join(reading.near_cookies[:5]))}",
            "write them exactly so: CloudFront-Policy, CloudFront-Signature, CloudFront-Key-Pair-Id",
        )
        return False
    what = "the URL has none of CloudFront's parameters, and no CloudFront- cookies are given"
    report.add(
        Certainty.SURE if reading.host or reading.own else Certainty.LIKELY,
        "unsigned",
        f"{what}; it looks like {other}'s" if other else what,
        "sign it (cfgate sign), or give the cookies that the browser sends; cookies need the right Domain, Path and "
        "Secure, and a request with credentials",
    )
    return False


def check_items(reading: Reading, report: Report) -> None:
    """Add what is missing, doubled or misshapen among CloudFront's items."""
    doubled = sorted({name for name in reading.names if reading.names.count(name) > 1})
    if doubled:
        report.add(
            Certainty.SURE,
            "duplicate",
            f"{', '.join(doubled)} is given more than once",
            "sign a URL once, and only one that is not signed yet",
        )
    if reading.source == "url" and reading.cookie_names:
        is_whole = {"Signature", "Key-Pair-Id"} <= set(reading.names)
        report.add(
            Certainty.NOTE if is_whole else Certainty.SURE,
            "both-forms",
            f"the query holds {reading.names[0]}, so CloudFront does not look at the cookies",
            "do not use CloudFront's parameter names for own parameters: " + ", ".join(reading.names),
        )
    if reading.source == "cookies" and {"Policy", "Expires"} <= set(reading.names):
        report.add(
            Certainty.SURE,
            "both-forms",
            "cookies of two forms are there, CloudFront-Policy and CloudFront-Expires",
            "delete the other form's cookies when cookies are issued",
        )
    if not reading.get("Signature").value:
        cut = reading.source == "url" and not {"Key-Pair-Id", "Signature"} & set(reading.names)
        text = "there is no signature"
        report.add(
            Certainty.SURE,
            "no-signature",
            f"{text}; the URL seems to be cut at an &" if cut else text,
            _SHELL if cut else "keep Signature as it was made",
        )
    _check_key_pair_id(reading, report)
    marker = reading.get("Hash-Algorithm")
    if "Hash-Algorithm" in reading.names and marker.value not in ("SHA1", "SHA256"):
        report.add(
            Certainty.SURE,
            "hash-name",
            f"Hash-Algorithm is {masked_id(marker.value)}",
            "write exactly SHA256, or nothing for SHA-1",
        )


def _check_key_pair_id(reading: Reading, report: Report) -> None:
    key_pair_id = Secret(reading.get("Key-Pair-Id").value.strip())
    if "Key-Pair-Id" not in reading.names:
        cure = (
            _SHELL if reading.source == "url" else "set and send all three cookies: CloudFront-Key-Pair-Id is missing"
        )
        report.add(Certainty.SURE, "no-key-id", "there is no Key-Pair-Id (CloudFront says MissingKey)", cure)
        return
    for pattern, code, text, more in _NO_IDS:
        if re.fullmatch(pattern, key_pair_id.value[:5000]):
            report.add(Certainty.SURE, code, text.format(start=key_pair_id.value[:4]) + more, _ID_CURE)
            return
    if key_pair_id.value and key_pair_id.value != reading.get("Key-Pair-Id").value:
        text = "the key pair id has white space around it (CloudFront says InvalidKey)"
        report.add(Certainty.SURE, "unknown-key", text, "strip it where it is read, for example from a file")


def read_base64(reading: Reading, name: str, report: Report) -> list[Decoded]:
    """Return the readings of an item in base64, and add what is wrong with its alphabet."""
    readings = decoded(reading.get(name)) if reading.get(name).value else []
    if not readings and reading.get(name).value:
        report.add(
            Certainty.SURE,
            "alphabet",
            f"{name} is not base64, or was cut",
            "keep all of it; write base64 with - _ ~ for + = /",
        )
    elif readings and readings[0].problem:
        add_alphabet(report, name, readings[0].problem, Certainty.SURE)
    return readings


def add_alphabet(report: Report, name: str, problem: str, certainty: Certainty) -> None:
    """Add that an item is in another base64."""
    report.add(
        certainty,
        "alphabet",
        f"{name}: {problem}",
        "take standard base64 and write - _ ~ for + = /, with its padding; nothing encodes it again",
    )


def check_expires(reading: Reading, report: Report) -> str:
    """Return the time of a canned policy if it can be one, else ""."""
    text = reading.get("Expires")
    if re.fullmatch(r"[0-9]{12,16}", text.value):
        report.add(
            Certainty.SURE,
            "milliseconds",
            "Expires is in milliseconds",
            "write seconds: Math.floor(Date.now() / 1000), int(time.time())",
        )
        return text.value
    if re.fullmatch(r"0|[1-9][0-9]{0,9}", text.value):
        return text.value
    missing = "Expires" not in reading.names
    what = "there is neither Expires nor Policy" if missing else "Expires is not a number of whole seconds"
    cure = _SHELL if missing and reading.source == "url" else "write whole epoch seconds, such as 1800000000"
    report.add(Certainty.SURE, "no-expires", what, cure)
    return ""
