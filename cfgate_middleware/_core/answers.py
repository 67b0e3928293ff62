"""The forms of an answer: what a request that was decided is sent, as data.

Strategy: one row per kind of answer in :data:`KINDS`, with the form of a grant, the form of a refusal, and the request
header its forms depend on. A new kind of answer is a new row.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from cfgate_middleware._core.checks import MAX_COOKIE_ATTRIBUTE, to_one_of
from cfgate_middleware._core.problems import Secret
from cfgate_middleware._core.signed import Signed, check_length
from cfgate_middleware._core.urls import RESERVED, is_loopback
from cfgate_middleware.errors import ConfigError

Fields = tuple[tuple[str, str], ...]
COOKIE_NAMES = tuple(f"CloudFront-{name}" for name in RESERVED)
NO_STORE = ("Cache-Control", "no-store")
_TEXT = ("Content-Type", "text/plain; charset=utf-8")
_PRIVATE = (("Cache-Control", "private, no-store"), ("Referrer-Policy", "no-referrer"))
# RFC 9110 section 12.4.2.
_WEIGHT = re.compile(r"0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?")
# Both ways to clear a cookie, because some players read only one; four digits of year, because they read no fewer.
_CLEARED = "; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT"


class Facts(NamedTuple):
    """All that a grant depends on, read from the request before the authorizer runs."""

    method: str
    request_path: str  # below the mount point, percent-encoded
    path: str  # of the object on the distribution, decoded
    spelled_path: str  # the same path as it is signed
    query: Fields | None = ()  # the viewer's parameters that are kept, decoded; None if they cannot be signed
    accept: str = ""
    is_signable: bool = True  # whether a yes can be signed as it is: an object, for GET or HEAD


class DecisionRecord(NamedTuple):
    """What was decided, for logs and ``on_decision``; never a signature, signed URL, policy or cookie value.

    Attributes:
        path: the request's path below the mount point, percent-encoded.
        method: the request method.
        status: the HTTP status sent, or None where another application answers.
        reason: one of "granted", "refused", "passed", "answered", "unclean path", "unclean query", "method",
            "options", "preflight", "no object", "too long".
        key_pair_id: of the key that signed, or None.
        end: epoch seconds at which the grant ends, or None.
    """

    path: str
    method: str
    status: int | None
    reason: str
    key_pair_id: str | None = None
    end: int | None = None


class Decision:
    """An answer as data; opaque, because its header fields and body may hold a signature. Or else ``app`` answers."""

    __slots__ = ("app", "body", "headers", "record", "status")

    def __init__(
        self, record: DecisionRecord, headers: list[tuple[str, str]] | None = None, body: bytes = b"", app: Any = None
    ) -> None:
        self.record = record
        self.status = "" if record.status is None else status_line(record.status)
        self.headers = [] if headers is None else headers
        self.body = b"" if record.method == "HEAD" else body
        self.app = app

    def __repr__(self) -> str:
        return f"<Decision {self.record}>"


class Answers:
    """The answers of one gate, compiled from its options by name and the base URL of its distribution."""

    def __init__(self, settings: Mapping[str, Any], base_url: str) -> None:
        self._kind = KINDS[settings["answer"]]
        self.code: int = settings["code"]
        self.headers = merged((_TEXT, *_PRIVATE, ("Content-Length", "0")), settings["headers"])
        self.cookie_path: str | None = settings["cookie_path"]  # None: the path of what is granted
        self.base_path = urlsplit(base_url).path
        self.origin_length = len(base_url) - len(self.base_path)
        domain, samesite = settings["cookie_domain"], settings["cookie_samesite"]
        over_loopback = base_url.startswith("http://") and is_loopback(base_url)
        secure = "" if over_loopback and samesite != "None" else "; Secure"
        for_domain = "" if domain is None else f"; Domain={domain}"
        self._cookie_attributes = f"{for_domain}{secure}; HttpOnly; SameSite={samesite}"

    def granted(self, facts: Facts, kind: str | None, headers: Fields, signed: Signed) -> Decision:
        """Return the answer to a yes, of a kind by name or the gate's own, with extra header fields.

        ConfigError if this kind cannot carry the grant, PathError if the answer would be refused for its length.
        """
        row = self._kind if kind is None else KINDS[kind]
        fields = merged(self.headers, headers) if headers else self.headers
        record = DecisionRecord(facts.request_path, facts.method, self.code, "granted", signed.key_pair_id, signed.end)
        decision = row.grant(self, facts, record, fields, signed)
        if row.varying:
            decision.headers += row.varying
        return decision

    def refused(
        self, method: str, request_path: str, accept: str, status: int, reason: str, *fields: tuple[str, str]
    ) -> Decision:
        """Return a refusal, the authorizer's or the gate's own, in the form of the gate's kind of answer."""
        body = f"{status_line(status)}\n".encode("ascii")
        headers = [_TEXT, ("Content-Length", str(len(body))), NO_STORE, *fields]
        record = DecisionRecord(request_path, method, status, reason)
        decision = self._kind.refuse(Decision(record, headers, body), accept)
        decision.headers += self._kind.varying
        return decision

    def set_cookie(self, name: str, value: str | None, path: str) -> tuple[str, str]:
        """Return the header field that sets a session cookie, or with value None clears it."""
        return "Set-Cookie", f"{name}={value or _CLEARED}; Path={path}{self._cookie_attributes}"

    def clear_cookies(self, paths: Iterable[str]) -> list[tuple[str, str]]:
        """Return what clears the signed cookies that were set for these spelled paths below the base URL."""
        set_for = [self.cookie_path] if self.cookie_path else [self.base_path + path for path in paths]
        return [self.set_cookie(name, None, path) for path in set_for for name in COOKIE_NAMES]


def _refuse_in_text(decision: Decision, accept: str) -> Decision:
    return decision


def _refuse_in_json(decision: Decision, accept: str) -> Decision:
    if not _prefers_json(accept):
        return decision
    document = Secret({"status": decision.record.status, "error": decision.status.partition(" ")[2]})
    return _in_json(decision.record, tuple(decision.headers), document)


def _redirect(answers: Answers, facts: Facts, record: DecisionRecord, fields: Fields, signed: Signed) -> Decision:
    """Redirect to the signed URL."""
    return Decision(record, [("Location", signed.to_url()), *fields])


def _set_cookies(answers: Answers, facts: Facts, record: DecisionRecord, fields: Fields, signed: Signed) -> Decision:
    """Redirect to the clean URL, with cookies that open what is granted; stale ones of the other form are cleared."""
    scope = signed.resource.removesuffix("*").partition("?")[0][answers.origin_length :]
    path = answers.cookie_path or scope
    if path != scope and not scope.startswith(f"{path.rstrip('/')}/"):  # RFC 6265 section 5.1.4
        raise ConfigError(f"browsers would not send cookies of cookie_path {path} with what is granted")
    check_length("the cookie path", len(path), MAX_COOKIE_ATTRIBUTE, "browsers keep")
    values = Secret(signed.to_cookies())
    cookies = Secret([answers.set_cookie(name, values.value.get(name), path) for name in COOKIE_NAMES])
    return Decision(record, [("Location", signed.url), *fields, *cookies.value])


def _give_url(answers: Answers, facts: Facts, record: DecisionRecord, fields: Fields, signed: Signed) -> Decision:
    """Give the URL to a script that asks for JSON; redirect everybody else."""
    if not _prefers_json(facts.accept):
        return _redirect(answers, facts, record, fields, signed)
    document = Secret({"url": signed.to_url(), "expires": signed.end})
    return _in_json(record._replace(status=200), fields, document)


class AnswerKind(NamedTuple):
    """A kind of answer: the form of a grant, the form of a refusal, and Vary for the request headers both depend on."""

    grant: Callable[[Answers, Facts, DecisionRecord, Fields, Signed], Decision]
    refuse: Callable[[Decision, str], Decision]  # of a refusal in text, and Accept
    varying: Fields = ()


KINDS = {
    "redirect": AnswerKind(_redirect, _refuse_in_text),
    "cookies": AnswerKind(_set_cookies, _refuse_in_text),
    "json": AnswerKind(_give_url, _refuse_in_json, (("Vary", "Accept"),)),
}


def to_answer(value: object) -> str:
    """Return the name of a kind of answer."""
    return to_one_of(KINDS, value, f"one of {', '.join(KINDS)}")


def _in_json(record: DecisionRecord, headers: Fields, document: Secret[dict[str, Any]]) -> Decision:
    body = Secret(json.dumps(document.value).encode("ascii"))
    length = str(len(body.value))
    fields = (("Content-Type", "application/json"), ("Content-Length", length), ("X-Content-Type-Options", "nosniff"))
    return Decision(record, [*merged(headers, fields)], body.value)


def merged(headers: Fields, extra: Fields) -> Fields:
    """Return ``headers`` with ``extra`` in place of those of the same names; cookies and Vary are added."""
    replaced = {name.lower() for name, _ in extra} - {"set-cookie", "vary"}
    return (*(field for field in headers if field[0].lower() not in replaced), *extra)


def _prefers_json(accept: str) -> bool:
    """Return whether an Accept field names ``application/json`` itself, and not below a ``text/html`` it names too.

    Source: RFC 9110 section 12.5.1; wildcards count for neither, a malformed weight makes its element void.
    """
    weights = {"application/json": 0.0, "text/html": 0.0}
    for element in accept.lower().split(","):
        media_type, *parameters = (part.strip() for part in element.split(";"))
        weight = next((part[2:] for part in parameters if part[:2] == "q="), "1")
        if media_type in weights and _WEIGHT.fullmatch(weight):
            weights[media_type] = max(weights[media_type], float(weight))
    return 0 < weights["application/json"] >= weights["text/html"]


@functools.cache
def status_line(code: int) -> str:
    """Return the status line for ``code``, known to the standard library or not."""
    try:
        return f"{code} {HTTPStatus(code).phrase}"
    except ValueError:
        return f"{code} Refused"
