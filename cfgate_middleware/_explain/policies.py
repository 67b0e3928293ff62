"""How a policy may have been written, or treated, before it was signed.

Rule: policies are written here for themselves, and by nothing that signs.
"""

from __future__ import annotations

import hashlib
import json
import re
from base64 import b64encode
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple
from urllib.parse import unquote_to_bytes

from cfgate_middleware._core.encoding import to_base64
from cfgate_middleware._core.problems import Secret


class Change(NamedTuple):
    """One part of what was signed that differs from what is checked."""

    code: str
    text: str
    value: str


Shape = Callable[[str, str], Secret[bytes]]


class ShapeChange(NamedTuple):
    """Another way to write the policy."""

    code: str
    text: str
    value: Shape


class Hypothesis(NamedTuple):
    """What may have been signed: the changes, and the bytes."""

    changes: tuple[Change | ShapeChange, ...]
    message: Secret[bytes]


def canned(resource: str, end: str) -> Secret[bytes]:
    """Write what CloudFront rebuilds for a canned policy."""
    condition = '","Condition":{"DateLessThan":{"AWS:EpochTime":' + end + "}}}]}"
    return _bytes('{"Statement":[{"Resource":"' + resource + condition)


def shape_changes(viewer: str) -> list[ShapeChange]:
    """Return other ways to write, or to treat, the policy."""

    def written(**how: Any) -> Shape:
        return lambda resource, end: _bytes(json.dumps(_document(resource, end), **how))

    def edited(change: Callable[[Secret[str]], str]) -> Shape:
        return lambda resource, end: _bytes(change(Secret(canned(resource, end).value.decode())))

    def treated(change: Callable[[Secret[bytes]], bytes]) -> Shape:
        return lambda resource, end: Secret(change(canned(resource, end)))

    def wider(change: Callable[[str], str]) -> Shape:
        return lambda resource, end: canned(change(resource), end)

    escaped = str.maketrans({"&": "\\u0026", "<": "\\u003c", ">": "\\u003e"})
    address = f',"IpAddress":{{"AWS:SourceIp":"{viewer}"}}'
    everyone = ',"IpAddress":{"AWS:SourceIp":"0.0.0.0/0"}'

    def condition_first(resource: str, end: str) -> Secret[bytes]:
        end = '{"Statement":[{"Condition":{"DateLessThan":{"AWS:EpochTime":' + end
        return _bytes(end + '}},"Resource":"' + resource + '"}]}')

    texts: list[tuple[str, Shape]] = [
        ("with spaces in it", written()),
        ("with spaces behind its colons", written(separators=(",", ": "))),
        ("with spaces behind its commas", written(separators=(", ", ":"))),
        ("on several lines", written(indent=2)),
        ("on several lines, indented by four", written(indent=4)),
        ("with \\/ for / (PHP without JSON_UNESCAPED_SLASHES)", edited(lambda text: text.value.replace("/", "\\/"))),
        ("with \\u0026 for & (Go without SetEscapeHTML)", edited(lambda text: text.value.translate(escaped))),
        ("with \\u escapes (ensure_ascii)", written(separators=(",", ":"))),
        ("with a newline at its end", edited(lambda text: text.value + "\n")),
        ("with CRLF at its end", edited(lambda text: text.value + "\r\n")),
        ("with its condition first", condition_first),
        (
            "with Python's quotes",
            edited(lambda text: text.value.replace('"', "'").replace(":", ": ").replace(",", ", ")),
        ),
        ("with Version in it", edited(lambda text: '{"Version":"2012-10-17",' + text.value[1:])),
        ("with a Statement that is not an array", edited(lambda text: text.value.replace("[", "").replace("]", ""))),
        ("with aws:EpochTime in lower case", edited(lambda text: text.value.replace("AWS:", "aws:"))),
        ("with an address, which only a custom policy can have", edited(lambda text: _with_condition(text, address))),
        (
            "with the address 0.0.0.0/0, which makes it a custom one",
            edited(lambda text: _with_condition(text, everyone)),
        ),
        ("for *, which only a custom policy can have", wider(lambda _: "*")),
        ("for the whole host, which only a custom policy can", wider(lambda text: _up_to(text, 3) + "*")),
        (
            "for the directory, which only a custom policy can",
            wider(lambda text: text.partition("?")[0].rpartition("/")[0] + "/*"),
        ),
        ("for URLs with any query, which only a custom policy can", wider(lambda text: text.partition("?")[0] + "*")),
    ]
    changes = [ShapeChange("json", f"the policy was signed {how}", shape) for how, shape in texts]
    instead: list[tuple[str, Shape]] = [
        ("the base64 of the policy", treated(lambda data: b64encode(data.value))),
        ("the base64 of the policy", treated(lambda data: to_base64(data.value).encode())),
        (
            "the SHA-1 hash of the policy",
            treated(lambda data: hashlib.sha1(data.value, usedforsecurity=False).digest()),
        ),
        ("the SHA-256 hash of the policy", treated(lambda data: hashlib.sha256(data.value).digest())),
        ("the hexadecimal SHA-256 hash", treated(lambda data: hashlib.sha256(data.value).hexdigest().encode())),
        (
            "the URL with Expires",
            lambda resource, end: _bytes(f"{resource}{'&' if '?' in resource else '?'}Expires={end}"),
        ),
        ("the URL alone", lambda resource, end: _bytes(resource)),
    ]
    return changes + [ShapeChange("json", f"{what} was signed instead of the policy", shape) for what, shape in instead]


def rewritten(policy: Secret[bytes], encoded: Secret[str]) -> Iterator[Hypothesis]:
    """Yield what may have been signed instead of a custom policy as it is sent."""
    yield Hypothesis((), policy)
    kept = Secret(policy.value.strip())
    found = [
        ("the policy was signed with a newline at its end", Secret(kept.value + b"\n")),
        ("the policy was signed with CRLF at its end", Secret(kept.value + b"\r\n")),
        ("the policy was signed without the white space around it", kept),
        ("the policy was signed with \\/ for /", Secret(kept.value.replace(b"/", b"\\/"))),
        ("the policy was signed with / for \\/", Secret(kept.value.replace(b"\\/", b"/"))),
        ("the policy was signed with & for \\u0026", Secret(kept.value.replace(b"\\u0026", b"&"))),
        ("the policy was signed with \\u0026 for &", Secret(kept.value.replace(b"&", b"\\u0026"))),
        ("the policy was signed with http:// for https://", Secret(kept.value.replace(b"https://", b"http://"))),
        ("the policy was signed with https:// for http://", Secret(kept.value.replace(b"http://", b"https://"))),
        ("the policy was signed decoded", Secret(unquote_to_bytes(kept.value))),
        ("the policy was signed without white space", Secret(re.sub(rb"\s+", b"", kept.value))),
        ("the base64 of the policy was signed", Secret(b64encode(policy.value))),
        ("Policy was signed as it is sent, encoded", _bytes(encoded.value)),
        ("the SHA-1 hash of the policy was signed", Secret(hashlib.sha1(policy.value, usedforsecurity=False).digest())),
        ("the SHA-256 hash of the policy was signed", Secret(hashlib.sha256(policy.value).digest())),
    ]
    try:
        document = Secret(json.loads(policy.value))
        for how, separators in (("without spaces", (",", ":")), ("with spaces", (", ", ": "))):
            for escaped in (True, False):
                written = _bytes(json.dumps(document.value, separators=separators, ensure_ascii=escaped))
                found.append((f"the policy was signed {how}", written))
        found.append(("the policy was signed on several lines", _bytes(json.dumps(document.value, indent=2))))
        found.append(("the policy was signed on several lines", _bytes(json.dumps(document.value, indent=4))))
    except (ValueError, RecursionError):
        pass
    for text, message in found:
        if message.value != policy.value:
            yield Hypothesis((Change("json", f"{text}, and sent otherwise", ""),), message)


def _document(resource: str, end: str) -> object:
    time = int(end) if end.isdecimal() else end.strip('"')
    return {"Statement": [{"Resource": resource, "Condition": {"DateLessThan": {"AWS:EpochTime": time}}}]}


def _with_condition(policy: Secret[str], more: str) -> str:
    return policy.value.removesuffix("}}]}") + more + "}}]}"


def _up_to(url: str, slashes: int) -> str:
    return "/".join(url.split("/")[:slashes]) + "/"


def _bytes(text: str) -> Secret[bytes]:
    return Secret(text.encode("utf-8", "replace"))
