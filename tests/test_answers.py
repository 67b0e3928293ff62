"""The kinds of answers: their form, and that a real edge opens with each what was granted and no more."""

from __future__ import annotations

import json
import logging
import re
import urllib.request
from collections.abc import Callable
from email.message import Message
from http import HTTPStatus
from http.client import HTTPResponse
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any, NamedTuple, cast
from urllib.parse import quote, unquote_to_bytes

import pytest
import webob
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from cfgate_middleware import PASS, AuthorizerError, CloudFrontGate, DecisionRecord, Grant, Signer
from cfgate_middleware._core.answers import KINDS
from cfgate_middleware._core.encoding import spell_path
from cfgate_middleware.edge import LocalEdge
from cfgate_middleware.verify import KeyGroup
from tests.conftest import KEY_PAIR_ID, NOW
from tests.support import BASE_URL, Answer, Judge, Log, PublicPem, Wrapped, fetch, gate, verified

JSON = "application/json"
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
END = NOW + 60
MAX_COOKIE_PATH = 1024
every_answer = pytest.mark.parametrize("answer", KINDS)


def ask(verdict: object = True, path: str = "/a", *, method: str = "GET", accept: str = JSON, **options: Any) -> Answer:
    """Return the answer of a gate whose authorizer has this verdict to a request below its prefix."""
    return fetch(gate(Judge(verdict), Wrapped(), **options), f"/private{path}", method=method, HTTP_ACCEPT=accept)


@every_answer
@pytest.mark.parametrize("verdict", [True, Grant(scope="/", headers={"X-A": "1"}), 403])
def test_head_has_the_headers_of_get(answer: str, verdict: object, signers: dict[str, Signer]) -> None:
    """HEAD has the status and the headers of GET, the length too, and no body."""
    options: dict[str, Any] = {"answer": answer, "signer": signers["RSA-SHA256"]}
    get, head = (ask(verdict, method=method, **options) for method in ("GET", "HEAD"))
    assert head == (get.status, get.headers, b"")
    assert get.values("Content-Length") == [str(len(get.body))]


@every_answer
@pytest.mark.parametrize("accept", [JSON, BROWSER])
def test_a_grant_is_recorded_as_it_is_answered(answer: str, accept: str) -> None:
    """Whatever the form, the record has the status that is sent, the key and the end, and extra headers go along."""
    records: list[DecisionRecord] = []
    verdict = Grant(headers={"X-A": "1"})
    got = ask(verdict, answer=answer, accept=accept, on_decision=records.append)
    assert got.values("X-A") == ["1"]
    assert records == [DecisionRecord("/private/a", "GET", got.code, "granted", KEY_PAIR_ID, END)]


@every_answer
def test_extra_headers_replace_by_name_and_cookies_add_up(answer: str) -> None:
    """The grant's own field replaces the option's, and that the default; Set-Cookie and Vary are added."""
    option = [("cache-control", "no-store"), ("X-A", "option"), ("X-B", "1"), ("X-B", "2"), ("Set-Cookie", "a=option")]
    own = [("x-a", "grant"), ("SET-COOKIE", "b=grant"), ("Content-Type", "text/html"), ("vary", "Origin")]
    got = ask(Grant(headers=own), answer=answer, headers=option)
    assert (got.values("Cache-Control"), got.values("Referrer-Policy")) == (["no-store"], ["no-referrer"])
    assert (got.values("X-A"), got.values("X-B")) == (["grant"], ["1", "2"])
    assert [field for field in got.values("Set-Cookie") if "CloudFront-" not in field] == ["a=option", "b=grant"]
    plain = ask(answer=answer)
    assert got.values("Content-Type") == (plain.values("Content-Type") if plain.body else ["text/html"])
    assert got.values("Vary") == ["Origin", *plain.values("Vary")]


@every_answer
@pytest.mark.parametrize("verdict", [True, Grant(headers={"X-B": "2"}), 403])
def test_nobody_changes_the_headers_of_the_next_answer(answer: str, verdict: Any, signers: dict[str, Signer]) -> None:
    """Servers and middlewares may edit the list they get; it belongs to one answer."""
    app = gate(Judge(verdict), answer=answer, headers={"X-A": "1"}, signer=signers["RSA-SHA256"])
    first = fetch(app, "/private/a")
    kept = list(first.headers)
    first.headers.clear()
    assert fetch(app, "/private/a").headers == kept != []


@every_answer
@pytest.mark.parametrize("own", KINDS)
@pytest.mark.parametrize("accept", [JSON, BROWSER])
def test_a_grant_may_choose_the_answer(answer: str, own: str, accept: str, signers: dict[str, Signer]) -> None:
    """``Grant(answer=…)`` replaces the option, in every direction, and keeps all other options."""
    options: dict[str, Any] = {"signer": signers["RSA-SHA256"], "code": 307, "accept": accept}
    options |= {"cookie_domain": "example.com", "cookie_samesite": "Strict"}
    assert ask(Grant(answer=own), answer=answer, **options) == ask(answer=own, **options)


@every_answer
@pytest.mark.parametrize(
    ("verdict", "path", "code"),
    [
        *((False, "/a", 403), (404, "/a", 404), (True, "/d/", 404), (PASS, "/a", 200)),
        *((verdict, "/" + "a" * 8192, 414) for verdict in (True, Grant(scope="/"))),
        (webob.Response("no", status=401), "/a", 401),
    ],
    ids=["False", "404", "no object", "PASS", "too long", "too long for a scope", "response"],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_only_a_grant_opens_anything(method: str, verdict: object, path: str, code: int, answer: str) -> None:
    """Whatever else is answered has no Location, no cookies and nothing of a signature."""
    got = ask(verdict, path, method=method, answer=answer)
    assert (got.code, got.values("Location"), got.values("Set-Cookie")) == (code, [], [])
    assert b"Signature" not in got.body
    assert verdict is PASS or got.values("Cache-Control") == ["no-store"]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    "status",
    ["301 Moved Permanently", "302 Found", "303 See Other", "307 Temporary Redirect", "308 Permanent Redirect"],
)
@pytest.mark.parametrize("answer", ["redirect", "cookies"])
def test_a_redirect_is_empty_and_nobody_may_keep_it(answer: str, status: str, method: str) -> None:
    """Its headers are these and no others; with cookies the signature is not in the Location."""
    got = ask(path="/é.pdf", method=method, answer=answer, code=int(status[:3]))
    assert (got.status, got.body) == (status, b"")
    assert [field for field in got.headers if field[0] != "Set-Cookie"] == [
        *(("Location", got.location), ("Content-Type", "text/plain; charset=utf-8")),
        *(("Cache-Control", "private, no-store"), ("Referrer-Policy", "no-referrer"), ("Content-Length", "0")),
    ]
    if answer == "cookies":
        assert got.location == f"{BASE_URL}/%C3%A9.pdf"
    else:
        assert got.values("Set-Cookie") == []
        assert verified(got.location).policy.resource == f"{BASE_URL}/%C3%A9.pdf"


PAST = {"Max-Age=0", "Expires=Thu, 01 Jan 1970 00:00:00 GMT"}
NAMES = {"Expires", "Policy", "Signature", "Key-Pair-Id", "Hash-Algorithm"}


class Cookies(NamedTuple):
    """The signed cookies of an answer."""

    values: dict[str, str]  # of those that are set; all others are cleared
    attributes: dict[str, str]  # which are those of each


def cookies_of(answer: Answer) -> Cookies:
    """Read the cookies of an answer: each of CloudFront's once, set or cleared, all with one set of attributes."""
    values: dict[str, str] = {}
    found: list[frozenset[str]] = []
    for field in answer.values("Set-Cookie"):
        pair, *attributes = field.split("; ")
        name, _, value = pair.removeprefix("CloudFront-").partition("=")
        values[name] = value
        assert len(attributes) == len(set(attributes))
        assert set(attributes) & PAST == (set() if value else PAST)
        found.append(frozenset(attributes) - PAST)
    assert (set(values), len(found), len(set(found))) == (NAMES, 5, 1)
    told = dict(attribute.partition("=")[::2] for attribute in found[0])
    return Cookies({name: value for name, value in values.items() if value}, told)


@pytest.mark.parametrize("name", ["RSA-SHA1", "RSA-SHA256", "ECDSA"])
@pytest.mark.parametrize(
    ("verdict", "form"),
    [
        *((True, "Expires"), (Grant(scope="/"), "Policy"), (Grant(not_before=1), "Policy")),
        (Grant(ip_address="203.0.113.7"), "Policy"),
    ],
)
def test_cookies_of_the_other_form_are_cleared(verdict: Any, form: str, name: str, signers: dict[str, Signer]) -> None:
    """A browser never sends Expires beside Policy, or the hash algorithm of another key."""
    values = cookies_of(ask(verdict, answer="cookies", signer=signers[name])).values
    assert values.keys() == {form, "Signature", "Key-Pair-Id", *([] if name == "RSA-SHA1" else ["Hash-Algorithm"])}
    assert values["Key-Pair-Id"] == KEY_PAIR_ID
    assert values.get("Hash-Algorithm", "SHA256") == "SHA256"
    assert values.get("Expires", str(END)) == str(END)


@pytest.mark.parametrize("base_path", ["", "/base/p%C3%A9"])
@pytest.mark.parametrize(
    ("path", "verdict", "cookie_path", "location"),
    [
        *((path, True, quote(path), quote(path)) for path in ("/1.pdf", "/a b/é*;.pdf")),
        ("/a/1.pdf", Grant(not_before=1), "/a/1.pdf", "/a/1.pdf"),
        ("/a/1.pdf", Grant(scope="directory"), "/a/", "/a/1.pdf"),
        ("/a/b*/1.pdf", Grant(scope="directory"), "/a/b%2A/", "/a/b%2A/1.pdf"),
        *(("/a/b/1.pdf", Grant(scope=scope), scope, "/a/b/1.pdf") for scope in ("/a/", "/")),
        ("/a/1.pdf", Grant(path="/é/2.pdf"), "/%C3%A9/2.pdf", "/%C3%A9/2.pdf"),
        ("/a/1.pdf", Grant(path="/é/2.pdf", scope="directory"), "/%C3%A9/", "/%C3%A9/2.pdf"),
        *(
            ("/a/1.pdf", Grant(query={"v": "/*"}, ip_address=address), "/a/1.pdf", "/a/1.pdf?v=/%2A")
            for address in (None, "203.0.113.7")
        ),
    ],
)
def test_cookies_are_for_the_granted_path(
    path: str, verdict: Any, cookie_path: str, location: str, base_path: str
) -> None:
    """Browsers send the session cookies where they open something, the base path of the domain included."""
    got = ask(verdict, path, answer="cookies", domain=BASE_URL + base_path)
    usual = {"Secure": "", "HttpOnly": "", "SameSite": "Lax"}
    assert cookies_of(got).attributes == {"Path": base_path + cookie_path, **usual}
    assert got.location == BASE_URL + base_path + location


@pytest.mark.parametrize(
    ("cookie_path", "path", "scope", "base_path", "fits"),
    [
        *(("/", "/a/1", "object", "", True), ("/", "/a/1", "/", "", True), ("/a", "/a/1", "object", "", True)),
        *(("/a", "/a/1", "directory", "", True), ("/a", "/a/b/1", "directory", "", True)),
        *(("/a", "/a", "object", "", True), ("/a/", "/a/1", "directory", "", True)),
        *(("/a/", "/a/b/1", "object", "", True), ("/%C3%A9/", "/é/1", "directory", "", True)),
        *(("/a/1", "/a/1", "object", "", True), ("/base/films/", "/films/42/x.ts", "directory", "/base", True)),
        *(("/a/", "/a", "object", "", False), ("/a/1/", "/a/1", "object", "", False), ("/a/", "/a/1", "/", "", False)),
        *(("/a", "/a/1", "/", "", False), ("/a/b/", "/a/b/1", "/a/", "", False), ("/a", "/ab", "object", "", False)),
        *(("/a", "/ab/1", "directory", "", False), ("/A", "/a/1", "object", "", False)),
        *(("/b/", "/a/1", "object", "", False), ("/base/films/", "/books/1.pdf", "object", "/base", False)),
    ],
)
def test_a_cookie_path_covers_what_is_granted(
    cookie_path: str, path: str, scope: str, base_path: str, fits: bool
) -> None:
    """Cookies for a path that browsers would not send with the granted files are an error that names it."""
    options: dict[str, Any] = {"answer": "cookies", "cookie_path": cookie_path, "domain": BASE_URL + base_path}
    if fits:
        assert cookies_of(ask(Grant(scope=scope), path, **options)).attributes["Path"] == cookie_path
    else:
        with pytest.raises(AuthorizerError, match=f"tests.support.Judge: .* cookie_path {cookie_path} "):
            ask(Grant(scope=scope), path, **options)


@pytest.mark.parametrize("scheme", ["https://", "http://"])
@pytest.mark.parametrize("host", ["cdn.example.com", "localhost:8001", "127.0.0.1", "[::1]:8001"])
@pytest.mark.parametrize("samesite", ["Lax", "Strict", "None"])
def test_cookies_are_secure_except_over_loopback_http(scheme: str, host: str, samesite: str) -> None:
    """Only a plain http server on this machine gets cookies that are not Secure, unless they are SameSite=None."""
    attributes = cookies_of(ask(answer="cookies", domain=scheme + host, cookie_samesite=samesite)).attributes
    is_local = scheme == "http://" and host != "cdn.example.com"
    assert ("Secure" in attributes, attributes["SameSite"]) == (not is_local or samesite == "None", samesite)
    for domain in (None, "example.com", "cdn.example.com"):
        assert cookies_of(ask(answer="cookies", cookie_domain=domain)).attributes.get("Domain") == domain


@pytest.mark.parametrize(
    ("verdict", "path", "code"),
    [
        *((True, "/" + "a" * (MAX_COOKIE_PATH - 1 + over), 414 if over else 303) for over in (0, 1)),
        *(
            (Grant(scope="directory"), "/" + "a" * (MAX_COOKIE_PATH - 2 + over) + "/1", 414 if over else 303)
            for over in (0, 1)
        ),
    ],
    ids=["object", "long object", "directory", "long directory"],
)
def test_a_path_that_browsers_would_drop_from_a_cookie_is_too_long(verdict: object, path: str, code: int) -> None:
    """Without its path a cookie would be kept for the gate's own path, and CloudFront would never see it."""
    got = ask(verdict, path, answer="cookies")
    assert (got.code, len(got.values("Set-Cookie"))) == (code, 5 if code == 303 else 0)
    assert ask(verdict, path, answer="cookies", cookie_path="/").code == 303


def test_a_cookie_that_browsers_would_drop_is_too_long() -> None:
    """A policy that does not fit into a cookie is a 414; a path that the authorizer chose is not the viewer's fault."""
    verdict, path = Grant(scope="directory"), "/" + "a" * 3000 + "/b"
    got = ask(verdict, path, answer="cookies", cookie_path="/")
    assert (got.code, got.values("Set-Cookie"), ask(verdict, path).code) == (414, [], 303)
    for chosen, limit in ((Grant(path="/" + "a" * 1024), MAX_COOKIE_PATH), (Grant(path=path, scope="directory"), 4096)):
        with pytest.raises(AuthorizerError, match=rf"tests.support.Judge: .*cookie.*bytes long; browsers keep {limit}"):
            ask(chosen, answer="cookies", cookie_path=None if limit == MAX_COOKIE_PATH else "/")


def json_of(answer: Answer) -> Any:
    """Return the body of a JSON answer, whose headers say what it is, once each."""
    assert (answer.values("Content-Type"), answer.values("Vary")) == ([JSON], ["Accept"])
    assert answer.values("X-Content-Type-Options") == ["nosniff"]
    return json.loads(answer.body)


@pytest.mark.parametrize("code", [303, 307])
def test_json_gives_a_script_the_url(code: int, signers: dict[str, Signer]) -> None:
    """Who asks for JSON gets 200, the URL of the redirect and its end; the headers are these and no others."""
    options: dict[str, Any] = {"answer": "json", "code": code, "headers": {"X-A": "1"}, "signer": signers["RSA-SHA256"]}
    got = ask(path="/é.pdf", **options)
    assert got.status == "200 OK"
    assert sorted(got.headers) == [
        *(("Cache-Control", "private, no-store"), ("Content-Length", str(len(got.body))), ("Content-Type", JSON)),
        *(("Referrer-Policy", "no-referrer"), ("Vary", "Accept"), ("X-A", "1"), ("X-Content-Type-Options", "nosniff")),
    ]
    assert json_of(got) == {"url": ask(path="/é.pdf", accept=BROWSER, **options).location, "expires": END}


@pytest.mark.parametrize("verdict", [True, False])
@pytest.mark.parametrize("accept", ["", BROWSER, "*/*", "application/json;q=0", "application/json;q=0.1, text/html"])
def test_json_is_for_those_who_ask_for_it(accept: str, verdict: bool, signers: dict[str, Signer]) -> None:
    """A browser gets the usual redirect or refusal, which says that it depends on Accept."""
    signer = signers["RSA-SHA256"]
    status, headers, body = ask(verdict, accept=accept, signer=signer)
    assert ask(verdict, accept=accept, answer="json", signer=signer) == (status, [*headers, ("Vary", "Accept")], body)


def test_json_has_the_url_and_the_end_of_the_grant() -> None:
    """Conditions of a grant are signed, and the end is the grant's own."""
    told = json_of(ask(Grant(scope="directory", expires=5, query={"v": "1"}), "/a/1", answer="json"))
    assert told["url"].startswith(f"{BASE_URL}/a/1?v=1&Policy=")
    policy = verified(told["url"]).policy
    assert (policy.resource, policy.end, told["expires"]) == (f"{BASE_URL}/a/*", NOW + 5, NOW + 5)


@pytest.mark.parametrize(
    ("verdict", "status", "error"),
    [
        *((False, 403, "Forbidden"), (401, 401, "Unauthorized"), (499, 499, "Refused")),
        (HTTPStatus.IM_A_TEAPOT, 418, "I'm a Teapot"),
    ],
)
def test_a_script_is_refused_in_json(verdict: object, status: int, error: str) -> None:
    """A script that asked for JSON reads from JSON why it was refused; extra headers are for grants."""
    refused = ask(verdict, answer="json", headers={"X-A": "1"})
    assert refused.status == f"{status} {error}"
    assert json_of(refused) == {"status": status, "error": error}
    assert refused.values("X-A") == []


APP_URL = "https://app.example.com"
FILM = "/films/42/hd/1.ts"
START, NETWORK, VIEWER = NOW + 10, "192.0.2.0/24", "192.0.2.7"
SEEN_AT = NOW + 20  # when the viewer comes to the edge


# How a client finds the URL in every kind of answer, and whether cookies open it.
CLIENTS: dict[str, tuple[Callable[[Answer], str], bool]] = {
    "redirect": (lambda answer: answer.location, False),
    "cookies": (lambda answer: answer.location, True),
    "json": (lambda answer: str(json.loads(answer.body)["url"]), False),
}

# Names that some encoder, shell or browser spells differently than another.
HOSTILE = (
    *("a b.ts", "it's.ts", "a+b.ts", "100%.ts", "%41.ts", "%2e%2e%2f.ts", "*.ts", "what?.ts", "a?b=c&d=e.ts"),
    *("a#b.ts", 'q"uote.ts', "a;b,c=d&e@f:g!$(h)[i]{j}|k^l`m~.ts", "é.ts", "e\u0301.ts", "日本語 🎬.ts", "..."),
    *("-_.~", "<b>.ts", "dir'+ 100%*é/in side.ts"),
)


class Case(NamedTuple):
    """A kind of grant for :data:`FILM`."""

    verdict: bool | Grant
    also: tuple[str, ...] = ()  # other files that it opens
    sibling: str = f"{FILM}x"  # a file that it does not open, though its path begins with what it opens less a slash
    is_custom: bool = True  # whether it takes a custom policy


IN_DIRECTORY: Any = (("/films/42/hd/2.ts",), "/films/42/hdr/1.ts")
CASES = {
    "object": Case(True, is_custom=False),
    "directory": Case(Grant(scope="directory"), *IN_DIRECTORY),
    "explicit scope": Case(Grant(scope="/films/42/"), (*IN_DIRECTORY[0], IN_DIRECTORY[1]), "/films/420/hd/1.ts"),
    "start": Case(Grant(not_before=START)),
    "address": Case(Grant(ip_address=NETWORK)),
    "all": Case(Grant(scope="directory", not_before=START, ip_address=NETWORK), *IN_DIRECTORY),
}
FILES = {FILM, "/secret.txt", *(f"/films/42/{name}" for name in HOSTILE)}
FILES |= {path for case in CASES.values() for path in (*case.also, case.sibling)}
every_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


class Ticket:
    """What a viewer holds after the gate has answered: a URL, and a browser's cookies."""

    def __init__(self, gate: CloudFrontGate, path: str, kind: str) -> None:
        self.path, self._kind = path, kind
        self._jar = CookieJar()
        self.renew(gate)

    def renew(self, gate: CloudFrontGate) -> None:
        """Ask the gate, once more, for the file."""
        answer = fetch(gate, f"/private{self.path}", HTTP_ACCEPT=JSON, HTTP_HOST="app.example.com")
        self.keep(answer)
        self.url = CLIENTS[self._kind][0](answer)

    def keep(self, answer: Answer) -> None:
        """Set and clear cookies as an answer says."""
        fields = Message()
        for name, value in answer.headers:
            fields.add_header(name, value)

        class Response:
            def info(self) -> Message:
                return fields

        request = urllib.request.Request(f"{APP_URL}/mount/private{spell_path(self.path)}")
        self._jar.extract_cookies(cast(HTTPResponse, Response()), request)

    def cookies(self, url: str | None = None) -> str:
        """Return the Cookie field that a browser sends to a URL, by default to the one that was granted."""
        request = urllib.request.Request(url or self.url)
        self._jar.add_cookie_header(request)
        return cast(str, request.get_header("Cookie", ""))

    def url_of(self, path: str) -> str:
        """Return the URL of another file with everything that came with this one's."""
        return self.url.replace(f"{BASE_URL}{spell_path(self.path)}", f"{BASE_URL}{spell_path(path)}", 1)


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


# Public keys that signed nothing, by kind.
OTHER_KEYS: dict[str, Any] = {
    "RSA": rsa.generate_private_key(65537, 2048).public_key(),
    "ECDSA": ec.generate_private_key(ec.SECP256R1()).public_key(),
}


def edge_of(origin: Path, key: Any, *, now: float = SEEN_AT, public_url: str = BASE_URL) -> LocalEdge:
    """Return an edge that holds one public key."""
    made = LocalEdge(origin, KeyGroup({KEY_PAIR_ID: key}), public_url=public_url)
    made.clock = lambda: now
    return made


@pytest.fixture
def edge(origin: Path, signer: Signer, public_pem: PublicPem) -> LocalEdge:
    """The edge of the distribution that the gate signs for."""
    return edge_of(origin, public_pem(signer))


def gate_of(signer: Signer, case: Case, answer: str) -> CloudFrontGate:
    """Return a gate that grants one kind of grant with one kind of answer."""
    return gate(lambda environ: case.verdict, signer=signer, answer=answer, cookie_domain="example.com")


def test_every_kind_of_answer_has_a_client() -> None:
    """A new kind of answer comes with a client here, so that the contract holds for it too."""
    assert CLIENTS.keys() == KINDS.keys()


@every_answer
@every_case
def test_who_follows_the_answer_gets_the_bytes(edge: LocalEdge, signer: Signer, case: Case, answer: str) -> None:
    """The granted file, and every other file of its scope, is served as it is on disk."""
    ticket = Ticket(gate_of(signer, case, answer), FILM, answer)
    assert (bool(ticket.cookies()), "?" not in ticket.url) == (CLIENTS[answer][1],) * 2
    for raw in (True, False):
        assert visit(edge, ticket.url, ticket.cookies(), raw=raw).body == content(FILM)
    for path in case.also:
        url = ticket.url_of(path)
        assert visit(edge, url, ticket.cookies(url)).body == content(path)


@every_answer
@every_case
def test_names_that_are_hard_to_spell_are_served(edge: LocalEdge, signer: Signer, case: Case, answer: str) -> None:
    """Whatever a file is called, its one spelling leads from the gate through the viewer to the file."""
    granting = gate_of(signer, case, answer)
    for name in HOSTILE:
        ticket = Ticket(granting, f"/films/42/{name}", answer)
        for raw in (True, False):
            got = visit(edge, ticket.url, ticket.cookies(), raw=raw)
            assert (got.code, got.body) == (200, content(ticket.path)), name


class Visit(NamedTuple):
    """A visit that must fail; what is not given is as in one that succeeds."""

    reason: str  # the beginning of what the log says
    canned: str = ""  # the same for a canned policy, if it differs: that is rebuilt from the URL, so it is another one
    path: str = ""
    is_sibling: bool = False
    at: float = SEEN_AT
    address: str = VIEWER
    public_url: str = BASE_URL
    is_other_key: bool = False
    cases: tuple[str, ...] = tuple(CASES)


WITH_START, WITH_ADDRESS = ("start", "all"), ("address", "all")
VISITS = {
    "another file": Visit("WrongResource, .* path", "BadSignature", path="/secret.txt"),
    "a sibling": Visit("WrongResource, .* path", "BadSignature", is_sibling=True),
    "its end": Visit(f"Expired, .* {END}", at=END),
    "long after": Visit(f"Expired, .* {END}", at=NOW + 10**6),
    "its start": Visit(f"NotYetValid, .* {START}", at=START, cases=WITH_START),
    "before its start": Visit(f"NotYetValid, .* {START}", at=NOW, cases=WITH_START),
    "another address": Visit(f"WrongViewer, .* {NETWORK}", address="192.0.3.7", cases=WITH_ADDRESS),
    "IPv6": Visit(f"WrongViewer, .* {NETWORK}", address="2001:db8::7", cases=WITH_ADDRESS),
    "another key": Visit("BadSignature", is_other_key=True),
    "another host": Visit("WrongResource, .* domain", "BadSignature", public_url="https://cdn.example.net"),
    "another scheme": Visit("WrongResource, .* protocol", "BadSignature", public_url="http://cdn.example.com"),
}


@every_answer
@pytest.mark.parametrize(
    ("case", "visited"),
    [pytest.param(CASES[case], visit, id=f"{case}-{name}") for name, visit in VISITS.items() for case in visit.cases],
)
def test_nothing_else_is_served(
    origin: Path, signer: Signer, public_pem: Any, caplog: Log, case: Case, visited: Visit, answer: str
) -> None:
    """Another file, time, address, key or host is refused as CloudFront does; only the log says why."""
    ticket = Ticket(gate_of(signer, case, answer), FILM, answer)
    key = OTHER_KEYS[signer.kind] if visited.is_other_key else public_pem(signer)
    edge = edge_of(origin, key, now=visited.at, public_url=visited.public_url)
    path = case.sibling if visited.is_sibling else visited.path or FILM
    url = ticket.url_of(path)
    if path != FILM:
        assert ticket.cookies(url) == "", "a browser would not even send the cookies"
    with caplog.at_level(logging.WARNING, "cfgate_middleware.edge"):
        got = visit(edge, url, ticket.cookies(), address=visited.address)
    assert (got.code, got.values("Content-Type")) == (403, ["text/xml"])
    assert b"<Code>AccessDenied</Code>" in got.body
    reason = visited.reason if case.is_custom else visited.canned or visited.reason
    (message,) = caplog.messages
    assert re.match(f"403 for '{path}': {reason}", message)


@every_answer
@every_case
def test_a_bare_url_is_not_served(edge: LocalEdge, signer: Signer, case: Case, answer: str, caplog: Log) -> None:
    """The bare URL without query or cookies is refused."""
    ticket = Ticket(gate_of(signer, case, answer), FILM, answer)
    got = visit(edge, ticket.url.partition("?")[0], "")
    assert (got.code, got.values("Content-Type")) == (403, ["text/xml"])
    assert b"<Code>MissingKey</Code>" in got.body
    assert [message for message in caplog.messages if "MissingKey" in message]


@pytest.mark.parametrize(("first", "second"), [("object", "start"), ("start", "object")])
def test_a_second_set_of_cookies_replaces_the_first(edge: LocalEdge, signer: Signer, first: str, second: str) -> None:
    """Cookies of a canned policy and of a custom one for the same file never reach the edge together."""
    verdicts = iter([CASES[first].verdict, CASES[second].verdict])
    changing = gate(lambda environ: next(verdicts), signer=signer, answer="cookies", cookie_domain="example.com")
    ticket = Ticket(changing, FILM, "cookies")
    ticket.renew(changing)
    assert visit(edge, ticket.url, ticket.cookies()).body == content(FILM)


@pytest.mark.parametrize(("case", "path"), [("object", FILM), ("directory", "/films/42/hd/"), ("start", FILM)])
def test_logging_out_takes_the_cookies_away(edge: LocalEdge, signer: Signer, case: str, path: str) -> None:
    """After ``clear_cookies`` for what was granted a browser has nothing to send."""
    granting = gate_of(signer, CASES[case], "cookies")
    ticket = Ticket(granting, FILM, "cookies")
    assert ticket.cookies()
    ticket.keep(Answer("200 OK", granting.clear_cookies(path), b""))
    assert ticket.cookies() == ""
    assert visit(edge, ticket.url, ticket.cookies()).code == 403
