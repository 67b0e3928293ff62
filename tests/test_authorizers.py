"""The application decides: ASK, ask_app and allow, with every awkward application; and bearer tokens."""

from __future__ import annotations

import datetime
import http.server
import json
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any, cast

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from cfgate_middleware import ASK, AuthorizerError, CloudFrontRedirect, ConfigError, DecisionRecord, allow, ask_app
from cfgate_middleware._core.answers import KINDS
from cfgate_middleware.authorizers import FIELD, bearer
from tests.conftest import NOW
from tests.support import BASE_URL, SIGNER, Answer, Judge, fetch, gate, verified

Environ = dict[str, Any]
Start = Callable[..., Any]
TEXT = ("Content-Type", "text/plain")


class App:
    """An application with one answer for every request, which counts calls and closed bodies."""

    def __init__(
        self, status: str = "204 No Content", *, says: bool = True, body: Iterable[bytes] = (), **conditions: Any
    ):
        self._status, self._says, self._body, self._conditions = status, says, body, conditions
        self.called = self.closed = 0

    def __call__(self, environ: Environ, start_response: Start) -> Any:
        self.called += 1
        fields = allow(environ, **self._conditions).items() if self._says else ()
        typed = () if self._status.startswith(("204", "304")) else (TEXT,)
        start_response(self._status, [*typed, ("Set-Cookie", "a=1; Path=/"), ("Set-Cookie", "b=2"), *fields])
        return self

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._body)

    def close(self) -> None:
        """Count that the server, or the gate, is done with the body."""
        self.closed += 1


def asked(app: Any, path: str = "/private/reports/1.pdf", **how: Any) -> Answer:
    """Ask a gate over an application that decides."""
    options = how.pop("options", {})
    return fetch(gate(ask_app, app, **options), path, **how)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_view_that_says_allow_is_answered_with_a_grant(kind: str, method: str) -> None:
    """A yes of the application becomes the gate's kind of answer, with the application's cookies, and nothing else."""
    app = App("200 OK", body=[b"dropped"])
    records: list[DecisionRecord] = []
    answer = asked(app, method=method, options={"answer": kind, "on_decision": records.append})
    assert answer.code == 303
    assert b"dropped" not in answer.body
    assert answer.values("Set-Cookie")[-2:] == ["a=1; Path=/", "b=2"]
    assert answer.values(FIELD) == []
    assert answer.location.startswith(f"{BASE_URL}/reports/1.pdf")
    assert (app.called, app.closed, [record.reason for record in records]) == (1, 1, ["granted"])


def test_a_yes_has_the_conditions_of_a_grant() -> None:
    """What a view demands with its yes is signed."""
    answer = asked(App(expires=3600, ip_address="203.0.113.7", path="/other/x", headers={"X-A": "b"}))
    policy = verified(answer.location, viewer_address="203.0.113.7").policy
    assert (policy.resource, policy.end, policy.ip_address) == (f"{BASE_URL}/other/x", NOW + 3600, "203.0.113.7/32")
    assert answer.values("X-A") == ["b"]


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "DELETE", "OPTIONS"])
@pytest.mark.parametrize("status", ["200 OK", "204 No Content", "302 Found", "403 Forbidden", "404 Not Found"])
@pytest.mark.parametrize("path", ["/private", "/private/", "/private/dir/", "/private/x"])
def test_every_other_answer_is_the_applications_own(method: str, status: str, path: str) -> None:
    """Without a yes, whatever the application answers is sent as it is, once, to any method."""
    body = [b"own"] if method != "HEAD" and "204" not in status else []
    app = App(status, says=False, body=body)
    records: list[DecisionRecord] = []
    answer = asked(app, path, method=method, options={"on_decision": records.append})
    assert (answer.status, answer.body) == (status, b"".join(body))
    assert answer.values("Set-Cookie") == ["a=1; Path=/", "b=2"]
    assert answer.values("Cache-Control") == []
    assert (app.called, app.closed) == (1, 1)
    assert [(record.reason, record.status) for record in records] == [("passed", None)]


@pytest.mark.parametrize("status", ["301 Moved", "303 See Other", "403 Forbidden", "404 Not Found", "199 Odd"])
def test_a_yes_with_another_status_than_2xx_is_an_error(status: str) -> None:
    """A yes on a refusal or a redirect is a mistake, and nothing is sent."""
    app = App(status)
    with pytest.raises(AuthorizerError, match=status[:3]):
        asked(app)
    assert app.closed == 1


@pytest.mark.parametrize("method", ["POST", "DELETE", "PUT", "OPTIONS"])
def test_a_yes_to_another_method_is_an_error(method: str) -> None:
    """Only GET and HEAD can be redirected to a file, and a view that says otherwise is told."""
    with pytest.raises(ConfigError, match=method):
        asked(App(), method=method)


def test_nothing_but_this_request_can_say_yes() -> None:
    """A yes of another request, a forged one, and two at once are errors; none reaches the viewer."""
    kept: list[str] = []

    def keep(environ: Environ, start_response: Start) -> list[bytes]:
        kept.append(allow(environ)[FIELD])
        start_response("204 No Content", [(FIELD, kept[0])])
        return []

    assert asked(keep).code == 303
    with pytest.raises(AuthorizerError, match="another request"):
        asked(keep)

    def forged(environ: Environ, start_response: Start) -> list[bytes]:
        start_response("204 No Content", [(FIELD, environ.get("HTTP_X_CFGATE_ALLOW", "x"))])
        return []

    with pytest.raises(AuthorizerError, match="another request"):
        asked(forged, HTTP_X_CFGATE_ALLOW=kept[0])

    def twice(environ: Environ, start_response: Start) -> list[bytes]:
        start_response("204 No Content", [*allow(environ).items(), *allow(environ, expires=9).items()])
        return []

    with pytest.raises(AuthorizerError, match="twice"):
        asked(twice)


def test_a_grant_of_an_attempt_that_was_thrown_away_opens_nothing() -> None:
    """Only the answer that is sent counts, as with a retry that calls the application again."""

    def retried(environ: Environ, start_response: Start) -> list[bytes]:
        allow(environ, expires=9999)
        start_response("200 OK", [TEXT, *allow(environ, expires=9).items()])
        return [b""]

    assert verified(asked(retried).location).policy.end == NOW + 9

    def failed(environ: Environ, start_response: Start) -> list[bytes]:
        allow(environ)
        start_response("503 Busy", [TEXT])
        return [b"later"]

    assert asked(failed).body == b"later"


def test_a_later_start_of_the_application_counts() -> None:
    """An application that starts again with exc_info before it sent anything has changed its mind."""

    def changed(environ: Environ, start_response: Start) -> list[bytes]:
        start_response("204 No Content", [*allow(environ).items()])
        try:
            raise ValueError("too late")
        except ValueError as error:
            start_response("500 Internal Server Error", [TEXT], (ValueError, error, error.__traceback__))
        return [b"failed"]

    answer = asked(changed)
    assert (answer.code, answer.body, answer.values(FIELD)) == (500, b"failed", [])


def written(environ: Environ, start_response: Start) -> list[bytes]:
    """Answer through the write callable, and then more."""
    write = start_response("200 OK", [TEXT])
    write(b"one ")
    write(b"two ")
    return [b"three"]


def generated(environ: Environ, start_response: Start) -> Iterator[bytes]:
    """Start the answer while it is iterated."""
    yield b""
    start_response("200 OK", [TEXT])
    yield b"one "
    yield b"two "
    yield b"three"


def written_while_generated(environ: Environ, start_response: Start) -> Iterator[bytes]:
    """Mix both, which PEP 3333 allows."""
    write = start_response("200 OK", [TEXT])
    yield b"one "
    write(b"two ")
    yield b"three"


@pytest.mark.parametrize("app", [written, generated])
def test_an_awkward_answer_is_sent_as_it_is(app: Any) -> None:
    """However an application speaks WSGI, its answer arrives whole and in order."""
    assert asked(app).body == b"one two three"


def test_writes_after_the_start_go_to_the_server() -> None:
    """What an application writes while it is iterated goes to the server's own write, at once."""
    sent: list[bytes] = []
    body = gate(ask_app, written_while_generated)(
        {"REQUEST_METHOD": "GET", "PATH_INFO": "/private/x"},
        lambda *start: sent.append,
    )
    chunks = iter(body)
    assert [next(chunks), next(chunks), sent] == [b"one ", b"three", [b"two "]]


def test_an_answer_streams() -> None:
    """Nothing of an answer is read before the server asks for it."""
    read: list[int] = []

    def stream(environ: Environ, start_response: Start) -> Iterator[bytes]:
        start_response("200 OK", [TEXT])
        for number in range(3):
            read.append(number)
            yield b"%d" % number

    body = gate(ask_app, stream)({"REQUEST_METHOD": "GET", "PATH_INFO": "/private/x"}, ignore)
    chunks = iter(body)
    assert read == [0]
    assert [next(chunks), read] == [b"0", [0]]
    assert [next(chunks), read] == [b"1", [0, 1]]


def test_the_body_itself_is_handed_on() -> None:
    """A server that has a faster way to send what the application returned, such as a file, gets it."""
    body = [b"file"]

    def app(environ: Environ, start_response: Start) -> list[bytes]:
        start_response("200 OK", [TEXT])
        return body

    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/private/x"}
    assert gate(ask_app, app)(environ, ignore) is body


def silent(environ: Environ, start_response: Start) -> list[bytes]:
    """Never start."""
    return []


def rude(environ: Environ, start_response: Start) -> Iterator[bytes]:
    """Answer before the start."""
    yield b"body"
    start_response("200 OK", [TEXT])


def started_twice(environ: Environ, start_response: Start) -> list[bytes]:
    """Start again without a reason."""
    start_response("200 OK", [TEXT])
    start_response("204 No Content", [*allow(environ).items()])
    return []


@pytest.mark.parametrize(("app", "telling"), [(silent, "without"), (rude, "without"), (started_twice, "twice")])
def test_an_application_that_breaks_the_protocol_is_an_error(app: Any, telling: str) -> None:
    """What is no answer is no yes and is not sent on."""
    started: list[Any] = []
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/private/x"}
    with pytest.raises(AuthorizerError, match=telling):
        gate(ask_app, app)(environ, cast(Any, lambda *start: started.append(start)))
    assert started == []


def test_what_the_application_raises_propagates() -> None:
    """An exception of the application, while it is called or iterated, is the server's business; its body is closed."""

    class Failing(App):
        def __call__(self, environ: Environ, start_response: Start) -> Any:
            return self

        def __iter__(self) -> Iterator[bytes]:
            raise KeyError("while iterated")

    app = Failing()
    with pytest.raises(KeyError, match="while iterated"):
        asked(app)
    assert app.closed == 1

    def raising(environ: Environ, start_response: Start) -> list[bytes]:
        raise KeyError("while called")

    with pytest.raises(KeyError, match="while called"):
        asked(raising)


def test_nested_gates_have_a_yes_each() -> None:
    """A view says yes to the innermost gate that asked; the outer one passes on what that answers."""
    view = App()
    inner = gate(ask_app, view, prefix="/private/inner")
    outer = gate(ask_app, inner)
    answer = fetch(outer, "/private/inner/x")
    assert verified(answer.location).policy.resource == f"{BASE_URL}/x"
    assert verified(fetch(outer, "/private/y").location).policy.resource == f"{BASE_URL}/y"


def test_allow_without_a_question_is_an_error() -> None:
    """A view that was not asked is told how to be asked, and wrong conditions are named."""
    for environ in ({}, {"cfgate.question": "?"}):
        with pytest.raises(ConfigError, match="no gate asked"):
            allow(environ)
    with pytest.raises(ConfigError, match="expires"):
        asked(App(expires=0))
    with pytest.raises(TypeError, match="expire"):
        asked(App(expire=5))


def test_a_gate_without_an_application_cannot_ask() -> None:
    """There is nobody to ask: an error when the gate is built, and when ASK is the verdict of another authorizer."""
    with pytest.raises(ConfigError, match="ask_app"):
        gate(ask_app)
    with pytest.raises(AuthorizerError, match="ASK"):
        fetch(gate(Judge(ASK)), "/private/x")
    with pytest.raises(AuthorizerError, match="ASK"):
        CloudFrontRedirect(BASE_URL, signer=SIGNER, authorize=lambda: ASK).go()


def test_ask_is_for_unambiguous_paths() -> None:
    """An application is not asked about a path that a second decoding changes."""
    app = App()
    assert asked(app, "/private/a/..%2fx").code == 400
    assert app.called == 0


ELLIPTIC, OTHER = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
RSA_KEY = rsa.generate_private_key(65537, 2048)


def ignore(*start: Any) -> Any:
    """Take the start of an answer, as a server does."""


AUDIENCE = "https://files.example.com"


def public_pem(key: Any) -> str:
    """Return the public half in PEM."""
    pem: bytes = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return pem.decode()


def token(key: Any = ELLIPTIC, algorithm: str = "ES256", *, kid: str | None = None, **claims: Any) -> str:
    """Return a token that is good for a minute, unless ``claims`` say otherwise."""
    now = datetime.datetime.now(datetime.UTC)
    given = {"sub": "ada", "aud": AUDIENCE, "exp": now + datetime.timedelta(minutes=1), **claims}
    payload = {name: value for name, value in given.items() if value is not None}
    return jwt.encode(payload, key, algorithm=algorithm, headers={"kid": kid} if kid else None)


def with_token(authorizer: Any, text: str | None, scheme: str = "Bearer") -> Answer:
    """Ask a gate with an Authorization field."""
    extra: dict[str, Any] = {} if text is None else {"HTTP_AUTHORIZATION": f"{scheme} {text}"}
    return fetch(gate(authorizer), "/private/a", **extra)


def ago(**how: float) -> datetime.datetime:
    """Return a time in the past."""
    return datetime.datetime.now(datetime.UTC) - datetime.timedelta(**how)


@pytest.mark.parametrize("key", [ELLIPTIC, RSA_KEY], ids=["ES256", "RS256"])
def test_a_good_token_is_a_yes(key: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A token that the key signed, for this audience, in time, is a yes, wherever the key is kept."""
    algorithm = "ES256" if key is ELLIPTIC else "RS256"
    (tmp_path / "key.pem").write_text(public_pem(key))
    monkeypatch.setenv("CFGATE_TEST_JWT", public_pem(key))
    for source in (public_pem(key), tmp_path / "key.pem", "env:CFGATE_TEST_JWT"):
        authorizer = bearer(key=source, audience=AUDIENCE, issuer="https://login", algorithms=algorithm)
        good = token(key, algorithm, iss="https://login", aud=[AUDIENCE, "other"])
        for scheme in ("Bearer", "bearer", "BEARER "):
            assert with_token(authorizer, good, scheme).code == 303


BAD_TOKENS: dict[str, Callable[[], str]] = {
    "expired": lambda: token(exp=ago(seconds=5)),
    "no expiry": lambda: token(exp=None),
    "not yet": lambda: token(nbf=ago(minutes=-5)),
    "another audience": lambda: token(aud="https://other.example.com"),
    "no audience": lambda: token(aud=None),
    "another issuer": lambda: token(iss="https://evil"),
    "another key": lambda: token(OTHER, iss="https://login"),
    "none": lambda: jwt.encode({"aud": AUDIENCE, "exp": 9999999999}, "", algorithm="none"),
    "HS256 with the public key": lambda: hs256(public_pem(ELLIPTIC)),
    "cut": lambda: token()[:-5],
    "no token": lambda: "x.y.z",
    "empty parts": lambda: "..",
    "not ASCII": lambda: "\xff.\xfe.\xfd",
}


def hs256(secret: str) -> str:
    """Sign with a public key as if it were a shared secret, as attackers do."""
    import base64
    import hashlib
    import hmac

    def part(data: bytes) -> bytes:
        return base64.urlsafe_b64encode(data).rstrip(b"=")

    text = part(b'{"alg":"HS256"}') + b"." + part(json.dumps({"aud": AUDIENCE, "exp": 9999999999}).encode())
    return (text + b"." + part(hmac.digest(secret.encode(), text, hashlib.sha256))).decode()


@pytest.mark.parametrize("kind", BAD_TOKENS)
def test_a_bad_token_is_a_401(kind: str) -> None:
    """Whatever is wrong with a token, nothing is signed and the challenge says so."""
    authorizer = bearer(key=public_pem(ELLIPTIC), audience=AUDIENCE, issuer="https://login")
    answer = with_token(authorizer, BAD_TOKENS[kind]())
    assert (answer.code, answer.values("WWW-Authenticate")) == (401, ['Bearer error="invalid_token"'])


@pytest.mark.parametrize("text", [None, "", "a b"])
def test_no_token_is_a_401_with_a_plain_challenge(text: str | None) -> None:
    """A request without credentials, or with others, is asked for a token."""
    authorizer = bearer(key=public_pem(ELLIPTIC), audience=AUDIENCE)
    assert with_token(authorizer, text).values("WWW-Authenticate") == ["Bearer"]
    assert with_token(authorizer, "dXNlcjpwYXNz", "Basic").values("WWW-Authenticate") == ["Bearer"]


def test_a_scope_is_read_as_environ_is() -> None:
    """The same authorizer reads the header fields of an ASGI scope."""
    authorizer = bearer(key=public_pem(ELLIPTIC), audience=AUDIENCE)
    good, field = token().encode(), b"authorization"
    assert authorizer({"type": "http", "headers": [(b"host", b"x"), (field, b"Bearer " + good)]}) is True
    for headers in ([], [(field, b"Bearer x")], [(field, b"Bearer " + good)] * 2):
        assert authorizer({"type": "http", "headers": headers}) is not True


PRIVATE_PEM = ELLIPTIC.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


@pytest.mark.parametrize(
    ("options", "telling"),
    [
        ({}, "either key or jwks_url"),
        ({"key": public_pem(ELLIPTIC), "jwks_url": "https://login/jwks"}, "either key or jwks_url"),
        ({"key": public_pem(ELLIPTIC), "audience": None}, "audience"),
        ({"key": public_pem(ELLIPTIC), "audience": ""}, "audience"),
        ({"key": public_pem(ELLIPTIC), "issuer": 7}, "issuer"),
        ({"key": public_pem(ELLIPTIC), "algorithms": "HS256"}, "algorithms"),
        ({"key": public_pem(ELLIPTIC), "algorithms": "none"}, "algorithms"),
        ({"key": public_pem(ELLIPTIC), "algorithms": []}, "algorithms"),
        ({"key": PRIVATE_PEM}, "private key"),
        ({"key": public_pem(RSA_KEY), "algorithms": "ES256"}, "ES256"),
        ({"key": "/no/such/key.pem"}, "/no/such/key.pem"),
        ({"key": 7}, "key"),
        ({"jwks_url": "http://login.example.com/jwks"}, "https"),
        ({"jwks_url": "login/jwks"}, "https"),
    ],
)
def test_wrong_options_of_bearer_are_named(options: dict[str, Any], telling: str) -> None:
    """What would check nothing, or anything, is refused when the authorizer is made."""
    with pytest.raises(ConfigError, match=telling) as caught:
        bearer(**{"audience": AUDIENCE, **options})
    assert PRIVATE_PEM.splitlines()[1] not in str(caught.value)


class KeyServer(http.server.ThreadingHTTPServer):
    """A server with a key set, which counts requests and can be told to fail."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), KeyServerHandler)
        self.keys: dict[str, Any] = {}
        self.asked = 0
        self.body: bytes | None = None
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        """Where the key set is."""
        return f"http://127.0.0.1:{self.server_port}/jwks.json"


class KeyServerHandler(http.server.BaseHTTPRequestHandler):
    """Serves the key set."""

    server: KeyServer

    def do_GET(self) -> None:
        """Answer with the keys, or with what the test wants."""
        self.server.asked += 1
        keys = [
            {
                **json.loads(jwt.algorithms.ECAlgorithm.to_jwk(key.public_key())),
                "kid": kid,
                "use": "sig",
                "alg": "ES256",
            }
            for kid, key in self.server.keys.items()
        ]
        body = self.server.body or json.dumps({"keys": keys}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture
def key_server() -> Iterator[KeyServer]:
    """A running server."""
    server = KeyServer()
    yield server
    server.shutdown()
    server.server_close()


def test_a_key_set_is_fetched_when_it_is_needed(key_server: KeyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The set is read at the first request, and again for a key it does not hold, at most once in 30 seconds."""
    seconds = [1000.0]
    monkeypatch.setattr("cfgate_middleware.authorizers.time.monotonic", lambda: seconds[0])
    key_server.keys = {"old": ELLIPTIC}
    authorizer = bearer(jwks_url=key_server.url, audience=AUDIENCE)
    assert key_server.asked == 0
    assert [with_token(authorizer, token(kid="old")).code for _ in range(3)] == [303] * 3
    assert key_server.asked == 1
    key_server.keys = {"old": ELLIPTIC, "new": OTHER}
    assert with_token(authorizer, token(OTHER, kid="new")).code == 401
    assert key_server.asked == 1
    seconds[0] += 30
    assert with_token(authorizer, token(OTHER, kid="new")).code == 303
    assert with_token(authorizer, token(ELLIPTIC, kid="new")).code == 401
    for number in range(20):
        assert with_token(authorizer, token(kid=f"k{number}")).code == 401
    assert key_server.asked == 2


@pytest.mark.parametrize("body", [b"no JSON", b"{}", b'{"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}', b'{"keys": 7}'])
def test_a_server_that_gives_no_keys_is_a_503_until_it_does(
    key_server: KeyServer, body: bytes, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Where no key was ever read the answer is 503 and an error is logged; keys that were read stay."""
    seconds = [1000.0]
    monkeypatch.setattr("cfgate_middleware.authorizers.time.monotonic", lambda: seconds[0])
    key_server.keys, key_server.body = {"k": ELLIPTIC}, body
    authorizer = bearer(jwks_url=key_server.url, audience=AUDIENCE)
    answer = with_token(authorizer, token(kid="k"))
    assert answer.code in (401, 503)
    if answer.code == 503:
        assert "no key set" in caplog.text
    key_server.body = None
    seconds[0] += 30
    assert with_token(authorizer, token(kid="k")).code == 303
    key_server.body = body
    seconds[0] += 30
    assert with_token(authorizer, token(OTHER, kid="other")).code == 401
    assert with_token(authorizer, token(kid="k")).code == 303
