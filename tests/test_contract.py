"""The whole contract at once: what the gate grants, the edge serves to this viewer, and nothing else to anybody.

Every kind of answer, signer and grant goes through a real edge over a real directory; only the clock is not real.
"""

from __future__ import annotations

import json
import logging
import urllib.request
from collections.abc import Callable
from email.message import Message
from http.client import HTTPResponse
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any, NamedTuple, cast
from urllib.parse import unquote_to_bytes

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from cfgate_middleware import CloudFrontGate, Grant, Signer
from cfgate_middleware.edge import LocalEdge
from cfgate_middleware.verify import KeyGroup
from cfgate_middleware._core.encoding import spell_path
from tests.conftest import KEY_PAIR_ID, NOW
from tests.support import BASE_URL, Answer, fetch, gate

APP_URL = "https://app.example.com"
FILM = "/films/42/hd/1.ts"
ANSWERS = ("redirect", "cookies", "json")
START, NETWORK, VIEWER = NOW + 10, "192.0.2.0/24", "192.0.2.7"
SEEN_AT = NOW + 20  # when the viewer comes to the edge

# Names that some encoder, shell or browser spells differently than another.
HOSTILE = (
    "a b.ts",
    "it's.ts",
    "a+b.ts",
    "100%.ts",
    "%41.ts",
    "%2e%2e%2f.ts",
    "*.ts",
    "what?.ts",
    "a?b=c&d=e.ts",
    "a#b.ts",
    'q"uote.ts',
    "a;b,c=d&e@f:g!$(h)[i]{j}|k^l`m~.ts",
    "é.ts",
    "e\u0301.ts",
    "日本語 🎬.ts",
    "...",
    "-_.~",
    "<b>.ts",
    "dir'+ 100%*é/in side.ts",
)


class Case(NamedTuple):
    """A kind of grant for :data:`FILM`."""

    verdict: bool | Grant
    custom: bool  # whether it takes a custom policy
    also: tuple[str, ...]  # other files that it opens
    sibling: str  # a file that it does not open, though its path begins with what it opens less a slash


CASES = {
    "object": Case(True, False, (), f"{FILM}x"),
    "directory": Case(Grant(scope="directory"), True, ("/films/42/hd/2.ts",), "/films/42/hdr/1.ts"),
    "explicit scope": Case(
        Grant(scope="/films/42/"), True, ("/films/42/hd/2.ts", "/films/42/hdr/1.ts"), "/films/420/hd/1.ts"
    ),
    "start": Case(Grant(not_before=START), True, (), f"{FILM}x"),
    "address": Case(Grant(ip_address=NETWORK), True, (), f"{FILM}x"),
    "all": Case(
        Grant(scope="directory", not_before=START, ip_address=NETWORK),
        True,
        ("/films/42/hd/2.ts",),
        "/films/42/hdr/1.ts",
    ),
}
FILES = {FILM, "/secret.txt", *(f"/films/42/{name}" for name in HOSTILE)}
FILES |= {path for case in CASES.values() for path in (*case.also, case.sibling)}

every_answer = pytest.mark.parametrize("answer", ANSWERS)
every_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


class Ticket:
    """What a viewer holds after the gate has answered: a URL, and a browser's cookies."""

    def __init__(self, gate: CloudFrontGate, path: str) -> None:
        self.path = path
        self._jar = CookieJar()
        self.renew(gate)

    def renew(self, gate: CloudFrontGate) -> None:
        """Ask the gate, once more, for the file."""
        answer = fetch(gate, f"/private{self.path}", HTTP_ACCEPT="application/json", HTTP_HOST="app.example.com")
        self.keep(answer)
        if answer.code == 200:
            told = json.loads(answer.body)
            assert told["expires"] == NOW + 60
            self.url: str = told["url"]
        else:
            assert answer.code == 303
            self.url = answer.location

    def keep(self, answer: Answer) -> None:
        """Set and clear cookies as an answer says."""
        request = urllib.request.Request(f"{APP_URL}/mount/private{spell_path(self.path)}")
        self._jar.extract_cookies(_as_http(answer), request)

    def cookies(self, url: str | None = None) -> str:
        """Return the Cookie field that a browser sends to a URL, by default to the one that was granted."""
        request = urllib.request.Request(url or self.url)
        self._jar.add_cookie_header(request)
        return cast(str, request.get_header("Cookie", ""))

    def url_of(self, path: str) -> str:
        """Return the URL of another file with everything that came with this one's."""
        return self.url.replace(f"{BASE_URL}{spell_path(self.path)}", f"{BASE_URL}{spell_path(path)}", 1)


def _as_http(answer: Answer) -> HTTPResponse:
    """Return the answer as far as a cookie jar reads it."""
    fields = Message()
    for name, value in answer.headers:
        fields.add_header(name, value)

    class Response:
        def info(self) -> Message:
            return fields

    return cast(HTTPResponse, Response())


def visit(edge: LocalEdge, url: str, cookies: str, *, raw: bool = True, address: str = VIEWER) -> Answer:
    """Ask the edge for a URL, through a server that passes on the raw target or one that does not."""
    assert url.startswith(f"{BASE_URL}/")
    target = url.removeprefix(BASE_URL)
    path, _, query = target.partition("?")
    extra: dict[str, Any] = {"HTTP_COOKIE": cookies} if cookies else {}
    if raw:
        extra["RAW_URI"] = target
    return fetch(edge, unquote_to_bytes(path), query=query, mount="", REMOTE_ADDR=address, **extra)


def content(path: str) -> bytes:
    """Return what the file at a path holds, and no other."""
    return f"the bytes of {path}\n".encode()


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory of all the files."""
    root = tmp_path_factory.mktemp("origin")
    for path in FILES:
        file = root / path[1:]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content(path))
    return root


@pytest.fixture(scope="module")
def other_keys() -> dict[str, Any]:
    """Public keys that signed nothing, by kind."""
    return {
        "RSA": rsa.generate_private_key(65537, 2048).public_key(),
        "ECDSA": ec.generate_private_key(ec.SECP256R1()).public_key(),
    }


@pytest.fixture
def edge(origin: Path, signer: Signer, public_pem: Callable[[Signer], str]) -> LocalEdge:
    """The edge of the distribution that the gate signs for."""
    made = LocalEdge(origin, KeyGroup({KEY_PAIR_ID: public_pem(signer)}), public_url=BASE_URL)
    made.clock = lambda: SEEN_AT
    return made


def gate_of(signer: Signer, case: Case, answer: str) -> CloudFrontGate:
    """Return a gate that grants one kind of grant with one kind of answer."""
    return gate(lambda environ: case.verdict, signer=signer, answer=answer, cookie_domain="example.com")


@every_answer
@every_case
def test_a_viewer_who_follows_the_answer_gets_the_bytes(
    edge: LocalEdge, signer: Signer, case: Case, answer: str
) -> None:
    """The granted file, and every other file of its scope, is served as it lies on disk."""
    ticket = Ticket(gate_of(signer, case, answer), FILM)
    assert ("?" in ticket.url) == (ticket.cookies() == "") == (answer != "cookies")
    for raw in (True, False):
        assert visit(edge, ticket.url, ticket.cookies(), raw=raw).body == content(FILM)
    for path in case.also:
        url = ticket.url_of(path)
        assert visit(edge, url, ticket.cookies(url)).body == content(path)


@every_answer
@every_case
def test_names_that_are_hard_to_spell_are_served(edge: LocalEdge, signer: Signer, case: Case, answer: str) -> None:
    """Whatever a file is called, its one spelling reaches from the gate through the viewer to the file."""
    granting = gate_of(signer, case, answer)
    for name in HOSTILE:
        ticket = Ticket(granting, f"/films/42/{name}")
        for raw in (True, False):
            got = visit(edge, ticket.url, ticket.cookies(), raw=raw)
            assert (got.code, got.body) == (200, content(ticket.path)), name


class Visit(NamedTuple):
    """A visit that must fail; what it does not say is as in one that succeeds."""

    reason: str  # for a custom policy
    canned_reason: str = (
        ""  # the same if empty; a canned policy is rebuilt from the URL, so another URL is another policy
    )
    path: str = ""
    sibling: bool = False
    at: float = SEEN_AT
    address: str = VIEWER
    public_url: str = BASE_URL
    other_key: bool = False
    cases: tuple[str, ...] = tuple(CASES)


VISITS = {
    "another file": Visit(
        "WrongResource, the policy does not cover the URL's path", "BadSignature", path="/secret.txt"
    ),
    "a sibling": Visit("WrongResource, the policy does not cover the URL's path", "BadSignature", sibling=True),
    "its end": Visit(f"Expired, access ended at {NOW + 60}", at=NOW + 60),
    "long after": Visit(f"Expired, access ended at {NOW + 60}", at=NOW + 10**6),
    "its start": Visit(f"NotYetValid, access begins after {START}", at=START, cases=("start", "all")),
    "before its start": Visit(f"NotYetValid, access begins after {START}", at=NOW, cases=("start", "all")),
    "another address": Visit(
        f"WrongViewer, the viewer's address is not in {NETWORK}", address="192.0.3.7", cases=("address", "all")
    ),
    "IPv6": Visit(
        f"WrongViewer, the viewer's address is not in {NETWORK}", address="2001:db8::7", cases=("address", "all")
    ),
    "another key": Visit("BadSignature", other_key=True),
    "another host": Visit(
        "WrongResource, the policy does not cover the URL's domain",
        "BadSignature",
        public_url="https://cdn.example.net",
    ),
    "another scheme": Visit(
        "WrongResource, the policy does not cover the URL's protocol",
        "BadSignature",
        public_url="http://cdn.example.com",
    ),
}


@every_answer
@pytest.mark.parametrize(
    ("case", "visited"),
    [
        pytest.param(CASES[case], visited, id=f"{case}-{name}")
        for name, visited in VISITS.items()
        for case in visited.cases
    ],
)
def test_nothing_else_is_served(
    origin: Path,
    signer: Signer,
    public_pem: Callable[[Signer], str],
    other_keys: dict[str, Any],
    caplog: pytest.LogCaptureFixture,
    case: Case,
    visited: Visit,
    answer: str,
) -> None:
    """Another file, time, address, key or host is refused as CloudFront does; only the log knows why."""
    ticket = Ticket(gate_of(signer, case, answer), FILM)
    key = other_keys[signer.kind] if visited.other_key else public_pem(signer)
    edge = LocalEdge(origin, KeyGroup({KEY_PAIR_ID: key}), public_url=visited.public_url)
    edge.clock = lambda: visited.at
    path = case.sibling if visited.sibling else visited.path or FILM
    url = ticket.url_of(path)
    if path != FILM:
        assert ticket.cookies(url) == "", "a browser would not even send the cookies"
    with caplog.at_level(logging.WARNING, "cfgate_middleware.edge"):
        got = visit(edge, url, ticket.cookies(), address=visited.address)
    assert (got.code, got.values("Content-Type")) == (403, ["text/xml"])
    assert got.body.startswith(b'<?xml version="1.0" encoding="UTF-8"?><Error><Code>AccessDenied</Code>')
    assert got.body.endswith(b"<Message>Access denied</Message></Error>")
    reason = visited.reason if case.custom else visited.canned_reason or visited.reason
    (message,) = caplog.messages
    assert message.startswith(f"403 for '{path}': {reason}")


@every_answer
@every_case
def test_without_what_the_gate_gave_nothing_is_served(
    edge: LocalEdge, signer: Signer, case: Case, answer: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The bare URL without query or cookies is refused."""
    ticket = Ticket(gate_of(signer, case, answer), FILM)
    got = visit(edge, ticket.url.partition("?")[0], "")
    assert (got.code, got.values("Content-Type")) == (403, ["text/xml"])
    assert b"<Code>MissingKey</Code>" in got.body
    assert [message for message in caplog.messages if "MissingKey, there is no key pair id" in message]


@pytest.mark.parametrize(("first", "second"), [("object", "start"), ("start", "object")])
def test_a_second_set_of_cookies_replaces_the_first(edge: LocalEdge, signer: Signer, first: str, second: str) -> None:
    """Cookies of a canned policy and of a custom one for the same file never reach the edge together."""
    verdicts = iter([CASES[first].verdict, CASES[second].verdict])
    changing = gate(lambda environ: next(verdicts), signer=signer, answer="cookies", cookie_domain="example.com")
    ticket = Ticket(changing, FILM)
    ticket.renew(changing)
    assert visit(edge, ticket.url, ticket.cookies()).body == content(FILM)


def test_logging_out_takes_the_cookies_away(edge: LocalEdge, signer: Signer) -> None:
    """After ``clear_cookies`` for what was granted a browser has nothing to send."""
    granting = gate_of(signer, CASES["directory"], "cookies")
    ticket = Ticket(granting, FILM)
    assert ticket.cookies()
    ticket.keep(Answer("200 OK", granting.clear_cookies("/films/42/hd/"), b""))
    assert ticket.cookies() == ""
    assert visit(edge, ticket.url, ticket.cookies()).code == 403
