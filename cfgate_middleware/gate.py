"""The decision: facts of a request in, an answer as data out.

Strategy: two steps around the authorizer. ``admit`` reads everything a grant depends on into one immutable object,
or answers at once; ``decide`` turns the verdict into a decision. Neither touches environ, clock, log or socket, and
all that does not depend on the request is compiled at construction.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Literal, NamedTuple
from urllib.parse import urlsplit
from wsgiref.types import WSGIApplication

from cfgate_middleware import wire
from cfgate_middleware.errors import AuthorizerError
from cfgate_middleware.options import SameSite, Settings, status_line
from cfgate_middleware.signers import Keys
from cfgate_middleware.signing import Signed, Terms, TooLong, Unsignable, sign
from cfgate_middleware.verdicts import PASS, PLAIN, Grant, Pass, judge

Headers = list[tuple[str, str]]

# A NamedTuple made this way costs half of what its own constructor does; used where a request is granted.
_new = tuple.__new__

# Paths that are clean, ASCII and already spelled as they are signed: most of them, in one test.
_is_plain = re.compile(r"(?:/[A-Za-z0-9_~-][A-Za-z0-9._~-]*+)++").fullmatch

_ALLOW = ("Allow", "GET, HEAD, OPTIONS")
_GRANT_HEADERS = (
    ("Content-Type", "text/plain; charset=utf-8"),
    ("Cache-Control", "private, no-store"),
    ("Referrer-Policy", "no-referrer"),
    ("Content-Length", "0"),
)
_VARY = ("Vary", "Accept")


class Facts(NamedTuple):
    """All that a grant depends on, read before the authorizer runs."""

    method: str
    request: str  # its path, percent-encoded
    path: str  # of the object on the distribution, decoded
    spelled: str  # the same as it is signed
    query: tuple[tuple[str, str], ...] = ()  # the viewer's parameters that are kept, decoded
    accept: str = ""


class Cookie(NamedTuple):
    """A cookie to set, or with value None to clear; all are HttpOnly session cookies."""

    name: str
    value: str | None
    path: str
    domain: str | None
    secure: bool
    samesite: SameSite

    def __repr__(self) -> str:
        return f"<Cookie {self.name}>"


class Record(NamedTuple):
    """What was decided, for logs and ``on_decision``; never a signature, signed URL or cookie value.

    Attributes:
        path: the request's path below the mount point, percent-encoded.
        method: the request method.
        status: the HTTP status sent, or None where another application answers.
        reason: one of "granted", "refused", "passed", "answered", "unclean path", "unclean query", "method",
            "options", "no object", "too long".
        key_pair_id: of the key that signed, or None.
        end: epoch seconds at which the grant ends, or None.
    """

    path: str
    method: str
    status: int | None
    reason: str
    key_pair_id: str | None = None
    end: int | None = None


class Decision(NamedTuple):
    """An answer as data. With ``app``, that application (PASS: the wrapped one) answers instead."""

    path: str  # of the request, percent-encoded
    method: str
    code: int | None
    reason: str
    status: str
    headers: Headers
    body: bytes = b""
    key_pair_id: str | None = None
    end: int | None = None
    cookies: tuple[Cookie, ...] = ()
    app: WSGIApplication | Literal[Pass.PASS] | None = None

    def __repr__(self) -> str:  # error trackers show reprs of local variables
        return f"<Decision {self.record()}>"

    def record(self) -> Record:
        """Return what may be told of the decision."""
        return Record(self.path, self.method, self.code, self.reason, self.key_pair_id, self.end)


class Gate:
    """Compiled settings, keys, and the name errors give the authorizer."""

    def __init__(self, settings: Settings, keys: Keys, authorizer: str) -> None:
        self._terms = Terms(settings.base_url, settings.expires, settings.reuse_for)
        self._base_path = urlsplit(settings.base_url).path
        self._origin_length = len(settings.base_url) - len(self._base_path)
        self._code = settings.code
        self._index = settings.index
        self._forward_query = settings.forward_query
        self._key_at = keys
        self._authorizer = authorizer
        self._prefix = settings.prefix
        self._prefix_length = len(settings.prefix)
        self._below = f"{settings.prefix}/"
        self._status = status_line(settings.code)
        self._headers = _merged(_GRANT_HEADERS, settings.headers)
        self._answer = ANSWERS[settings.answer]
        self._may_answer_json = settings.answer == "json"
        self._cookie_domain = settings.cookie_domain
        self.cookie_path = settings.cookie_path
        self._cookie_samesite = settings.cookie_samesite
        over_loopback = settings.base_url.startswith("http://") and wire.is_loopback(settings.base_url)
        self._cookie_secure = not over_loopback or settings.cookie_samesite == "None"

    def covers(self, path_info: str) -> bool:
        """Say whether a request is the gate's business: below the prefix, or where some server might lead into it."""
        if path_info.startswith(self._below) or path_info == self._prefix:
            return True
        return (
            "//" in path_info or "/." in path_info or "\\" in path_info or path_info[:1] != "/"
        ) and wire.folds_into(path_info, self._prefix)

    def admit(self, method: str, path_info: str, query_string: str, accept: str) -> Facts | Decision:
        """Read the facts of a request that the gate covers, or refuse it before anyone is asked.

        Args:
            method: REQUEST_METHOD.
            path_info: PATH_INFO as WSGI gives it: decoded bytes as latin-1 text (PEP 3333).
            query_string: QUERY_STRING.
            accept: HTTP_ACCEPT.
        """
        if _is_plain(path_info):
            path = spelled = path_info
        else:
            spelled = wire.spell_path(path_info.encode("latin-1", "backslashreplace"))
            try:
                path = path_info.encode("latin-1").decode("utf-8")
            except UnicodeError:
                return _refusal(method, spelled, 400, "unclean path")
            if not wire.is_clean(path or "/"):
                return _refusal(method, spelled, 400, "unclean path")
        if method != "GET" and method != "HEAD":
            if method == "OPTIONS":
                fields = [_ALLOW, ("Cache-Control", "no-store")]
                return Decision(spelled, method, 204, "options", status_line(204), fields)
            return _refusal(method, spelled, 405, "method", _ALLOW)
        resource = path[self._prefix_length :]
        resource_spelled = resource if spelled is path else spelled[self._prefix_length :]
        if not resource or resource[-1] == "/":
            if self._index is None:
                return _refusal(method, spelled, 404, "no object")
            index = self._index if resource else f"/{self._index}"
            resource += index
            resource_spelled += wire.spell_path(index)
        query: tuple[tuple[str, str], ...] = ()
        if query_string and self._forward_query:
            try:
                query = wire.kept_parameters(query_string, self._forward_query)
            except ValueError:
                return _refusal(method, spelled, 400, "unclean query")
        return _new(Facts, (method, spelled, resource, resource_spelled, query, accept))

    def decide(self, facts: Facts, verdict: object, now: float) -> Decision:
        """Turn the authorizer's verdict into a decision.

        Args:
            now: epoch seconds.

        Raises:
            AuthorizerError: if the verdict is none, or a grant that cannot be signed for this request.
            SigningError: if the signer fails.
        """
        grant = PLAIN
        if verdict is not True:
            judged = judge(verdict, self._authorizer)
            if not isinstance(judged, Grant):
                return self._without_grant(facts, judged)
            grant = judged
        _, _, path, spelled, query, _ = facts
        try:
            signed = sign(self._key_at(now), grant, self._terms, path, spelled, query, now)
            answer = self._answer if grant.answer is None else ANSWERS[grant.answer]
            return answer(self, facts, grant, signed)
        except Unsignable as error:
            if isinstance(error, TooLong) and grant.path is None:
                return _refusal(facts.method, facts.request, 414, "too long")
            raise AuthorizerError(f"authorizer {self._authorizer}: {error}; nothing was sent") from error

    def _without_grant(self, facts: Facts, judged: int | Literal[Pass.PASS] | WSGIApplication) -> Decision:
        if isinstance(judged, int):
            return self._refuse(facts, judged)
        reason = "passed" if judged is PASS else "answered"
        return Decision(facts.request, facts.method, None, reason, "", [], app=judged)

    def sign(self, grant: Grant, path: str, spelled: str, now: float) -> Signed:
        """Sign a grant for an object that no request asked for; raises as :func:`signing.sign` does."""
        return sign(self._key_at(now), grant, self._terms, path, spelled, (), now)

    def clear_cookies(self, *paths: str) -> tuple[Cookie, ...]:
        """Return what clears the signed cookies that were set for these spelled paths below the base URL."""
        set_for = [self.cookie_path] if self.cookie_path else [self._base_path + path for path in paths]
        return tuple(self._cookie(f"CloudFront-{name}", None, path) for path in set_for for name in wire.RESERVED)

    def _redirect(self, facts: Facts, grant: Grant, signed: Signed, cookies: tuple[Cookie, ...] = ()) -> Decision:
        """Redirect to the signed URL or, with cookies that carry the signature, to the clean one."""
        headers = [("Location", signed.url if cookies else signed.to_url()), *self._headers]
        if grant.headers:
            headers = _merged(headers, grant.headers)
        key_pair_id, end, code = signed.signer.key_pair_id, signed.end, self._code
        row = facts.request, facts.method, code, "granted", self._status, headers, b"", key_pair_id, end, cookies, None
        return _new(Decision, row)

    def _set_cookies(self, facts: Facts, grant: Grant, signed: Signed) -> Decision:
        """Redirect to the clean URL, with cookies that open what is granted, and clear those of the other form."""
        scope = signed.resource.rstrip("*").partition("?")[0][self._origin_length :]
        path = self.cookie_path or scope
        if path != scope and not scope.startswith(f"{path.rstrip('/')}/"):  # RFC 6265 section 5.1.4
            raise Unsignable(f"browsers would not send cookies of cookie_path {path} with what is granted")
        if len(path) > wire.MAX_COOKIE_ATTRIBUTE:
            raise TooLong(f"the cookie path is {len(path)} bytes long; browsers keep {wire.MAX_COOKIE_ATTRIBUTE}")
        values = signed.to_cookies()
        names = [f"CloudFront-{name}" for name in wire.RESERVED]
        cookies = tuple(self._cookie(name, values.get(name), path) for name in names)
        return self._redirect(facts, grant, signed, cookies)

    def _cookie(self, name: str, value: str | None, path: str) -> Cookie:
        return Cookie(name, value, path, self._cookie_domain, self._cookie_secure, self._cookie_samesite)

    def _json(self, facts: Facts, grant: Grant, signed: Signed) -> Decision:
        """Tell the URL to a script that asks for JSON; redirect everybody else."""
        if not wire.prefers_json(facts.accept):
            redirect = self._redirect(facts, grant, signed)
            return redirect._replace(headers=[*redirect.headers, _VARY])
        told = {"url": signed.to_url(), "expires": signed.end}
        fields, body = _as_json(facts.method, _merged(self._headers, grant.headers), told)
        key_pair_id = signed.signer.key_pair_id
        return Decision(facts.request, facts.method, 200, "granted", "200 OK", fields, body, key_pair_id, signed.end)

    def _refuse(self, facts: Facts, code: int) -> Decision:
        refusal = _refusal(facts.method, facts.request, code, "refused")
        if not self._may_answer_json:
            return refusal
        if not wire.prefers_json(facts.accept):
            return refusal._replace(headers=[*refusal.headers, _VARY])
        told = {"status": code, "error": refusal.status.partition(" ")[2]}
        fields, body = _as_json(facts.method, refusal.headers, told)
        return refusal._replace(headers=fields, body=body)


# What a grant is answered with: one row a kind of answer.
ANSWERS: dict[str, Callable[[Gate, Facts, Grant, Signed], Decision]] = {
    "redirect": Gate._redirect,
    "cookies": Gate._set_cookies,
    "json": Gate._json,
}


def _refusal(method: str, path: str, code: int, reason: str, *headers: tuple[str, str]) -> Decision:
    status = status_line(code)
    body = f"{status}\n".encode("ascii")
    fields = [
        ("Content-Type", "text/plain; charset=utf-8"),
        ("Content-Length", str(len(body))),
        ("Cache-Control", "no-store"),
        *headers,
    ]
    named = wire.spell_value(method)  # it may hold what no log should
    return Decision(path, named, code, reason, status, fields, b"" if method == "HEAD" else body)


def _as_json(method: str, headers: Headers, value: object) -> tuple[Headers, bytes]:
    """Return ``value`` as a JSON body, and the header fields it needs put among the others."""
    body = json.dumps(value).encode("ascii")
    fields = (
        ("Content-Type", "application/json"),
        ("Content-Length", str(len(body))),
        ("X-Content-Type-Options", "nosniff"),
        _VARY,
    )
    return _merged(headers, fields), b"" if method == "HEAD" else body


def _merged(headers: Headers | tuple[tuple[str, str], ...], extra: tuple[tuple[str, str], ...]) -> Headers:
    """Return ``headers`` with ``extra`` in place of those of the same names; cookies and Vary are added."""
    replaced = {name.lower() for name, _ in extra} - {"set-cookie", "vary"}
    return [field for field in headers if field[0].lower() not in replaced] + list(extra)
