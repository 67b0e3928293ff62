"""No log line, record, error or frame of the package shows a secret; and the watch for that finds every kind of one."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import functools
import inspect
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import boto3
import pytest
import rich.traceback
import sentry_sdk
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from moto import mock_aws
from paste.deploy import loadapp
from sentry_sdk.utils import event_from_exception

from cfgate_middleware import PASS, CloudFrontGate, CloudFrontRedirect, Grant, KeyRing, Signer, allow, asgi, ask_app
from cfgate_middleware._core.answers import KINDS
from cfgate_middleware._core.encoding import to_base64
from cfgate_middleware.distribution import Distribution, signed_cookies, signed_url
from cfgate_middleware.edge import LocalEdge
from cfgate_middleware.errors import AuthorizerError, ConfigError, PathError, SigningError
from cfgate_middleware.verify import KeyGroup, VerificationError, verify, verify_cookies, verify_url
from tests.conftest import KEY_PAIR_ID, KEYS, NOW
from tests.leaks import PACKAGE, PIECE, Local, leaks_among, leaks_in, locals_of
from tests.support import BASE_URL, KEY_GROUP, SIGNER, Fake, Judge, Log, Patch, Pem, environ_for, fetch, gate

ROOT = Path(__file__).parent.parent
URL = f"{BASE_URL}/films/42/a.mp4"
SIGNATURE, POLICY, JSON = "a Signature parameter or cookie", "a Policy parameter or cookie", "a policy"
ENCODED, LONG, DER = "an encoded policy", "base64 as long as a signature", "the bytes of an ECDSA signature"
PEM, KEY = "a PEM", "a piece of a key"
TEXT = (KEYS / "p256-pkcs8.pem").read_text()
BROKEN = "\n".join(line for number, line in enumerate(TEXT.splitlines()) if number != 2)
INLINE = TEXT.strip().replace("\n", "\\n")
LOGGER = logging.getLogger("cfgate_middleware")


def test_signed_urls_and_cookies_are_found(signer: Signer) -> None:
    """URLs, cookies in any notation and bare values are found, for canned and custom policies; so are DER bytes."""
    for scope, policy in (("object", []), ("directory", [POLICY, ENCODED])):
        signed = signed_url(URL, signer, scope=scope, now=NOW)
        cookies = signed_cookies(URL, signer, scope=scope, now=NOW)
        assert set(leaks_in(f"redirect to {signed}")) == {SIGNATURE, LONG, *policy}
        assert set(leaks_in("; ".join(map("=".join, cookies.items())))) == {SIGNATURE, LONG, *policy}
        assert set(leaks_in(repr(cookies))) == {LONG, *policy[1:]}
        assert leaks_in(f"it gave {cookies['CloudFront-Signature']}!") == [LONG]
    for signature in (SIGNER.sign(str(NOW + number).encode()) for number in range(4)):
        assert leaks_in(f"returned {signature!r} or {signature.hex()}") == leaks_in(signature.hex()) == [DER]


@pytest.mark.parametrize("path", sorted(KEYS.glob("*.pem")), ids=lambda path: path.stem)
def test_every_key_is_found(path: Path) -> None:
    """A whole PEM is found, escaped or not, and any piece of any line of one."""
    text = path.read_text()
    for pem in (text, repr(text), repr(text.encode()), text.replace("\n", " ")):
        assert {PEM, KEY} <= set(leaks_in(f"private_key={pem}"))
    for line in filter(lambda line: line[0] != "-", text.splitlines()):
        for start in range(0, len(line) - PIECE + 1, 7):
            assert leaks_in(f"a key of '{line[start : start + PIECE]}...'") == [KEY]


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        *(("?Signature=x", [SIGNATURE]), ("%3FSignature%3Dx", [SIGNATURE]), ("CloudFront-Policy=x", [POLICY])),
        *((repr(b'{"Statement":[{'), [JSON]), (repr({"Statement": [{}]}), [JSON]), ("eyJTdGF0ZW1lbnQiOlt7", [ENCODED])),
        *(("Ab9" * 30, [LONG]), ("-----BEGIN PUBLIC KEY-----\\nMFkwEwYH", [PEM])),
        ("reserved: CloudFront reads Expires, Policy, Signature, Key-Pair-Id, Hash-Algorithm as its own", []),
        ("Signature is absent or not in CloudFront's base64 alphabet", []),
        ("https://cdn.example.com/a?Expires=…&Signature=…&Key-Pair-Id=K2JCJMDEHXQW5F", []),
        ("the policy must have ['Statement'] and nothing but ['Statement']", []),
        ("expected text with a line '-----BEGIN PRIVATE KEY-----'", []),
        (f"/{'a' * 9000} /{'%C3%A9' * 3000} /srv/{'test_a_very_long_name_of_a_Test_0/' * 20}", []),
        (repr(Grant(scope="/films/42/", ip_address="203.0.113.0/24", not_before=NOW)), []),
    ],
)
def test_secrets_are_told_from_honest_texts(text: str, kinds: list[str]) -> None:
    """A short secret is known by its name; names of parameters, labels, long paths and grants are not secrets."""
    assert leaks_in(text) == kinds


LEAKING = f"""
import logging, threading
from cfgate_middleware import AuthorizerError, ConfigError, SigningError
from cfgate_middleware.verify import BadSignature
import pytest
from tests.leaks import PACKAGE
SECRET = "Signature=" + "s3cret"
code = "def leaking(*args):\\n    data = [{{'url': args}}]\\n    raise ValueError"
exec(compile(code, PACKAGE + "made_up.py", "exec"))
def test_log():
    logging.getLogger("cfgate_middleware.edge").warning("it is %s", SECRET)
def test_traceback():
    try:
        leaking(SECRET)
    except ValueError:
        logging.getLogger("cfgate_middleware").exception("it failed")
def test_frame():
    with pytest.raises(ValueError):
        leaking(SECRET)
@pytest.mark.parametrize("kind", [AuthorizerError, BadSignature, ConfigError, SigningError])
def test_expected(kind):
    with pytest.raises(kind):
        raise kind("it is " + SECRET)
def test_thread():
    thread = threading.Thread(target=ConfigError, args=("harmless", SECRET))
    thread.start()
    thread.join()
@pytest.fixture(scope="module")
def resource():
    yield
    ConfigError(SECRET)
def test_key(resource):
    ConfigError(open({str(KEYS / "p256-sec1.pem")!r}).read())
def test_harmless():
    ConfigError("Signature is absent")
    with pytest.raises(ValueError):
        leaking("harmless")
"""


@pytest.mark.slow
def test_a_leak_fails_the_session(tmp_path: Path) -> None:
    """Log lines, expected errors and frames that show a secret fail a session in which every test passes."""
    (tmp_path / "conftest.py").write_text("from tests.conftest import pytest_configure as pytest_configure\n")
    (tmp_path / "test_leaking.py").write_text(LEAKING)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:randomly", *arguments]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60)

    done = run()
    found = [line.partition("test_leaking.py::")[2] for line in done.stdout.splitlines() if " holds " in line]
    assert (done.returncode, "10 passed" in done.stdout) == (pytest.ExitCode.TESTS_FAILED, True)
    assert "s3cret" not in done.stdout + done.stderr
    places = [f"{test}: made_up.py:leaking: {name}" for test in ("traceback", "frame") for name in ("args", "data")]
    kinds = ("AuthorizerError", "BadSignature", "ConfigError", "SigningError")
    places += [f"expected[{kind}]: the text of {kind}" for kind in kinds] + ["thread: the text of ConfigError"]
    assert [line.replace(" (call)", "").replace(f" holds {SIGNATURE}", "") for line in found] == [
        *("test_log: a log line of cfgate_middleware.edge", *(f"test_{place}" for place in places)),
        *(f"test_key: the text of ConfigError holds {kind}" for kind in (PEM, KEY)),
        "test_harmless (teardown): the text of ConfigError",
    ]
    done = run("-k", "harmless")
    assert (done.returncode, done.stderr, "secrets" in done.stdout) == (pytest.ExitCode.OK, "", False)


def test_this_session_is_watched(request: pytest.FixtureRequest) -> None:
    """The watch that is proven here listens to the tests around it too."""
    assert request.config.pluginmanager.get_plugin("leak watch") in LOGGER.handlers


def sentry(error: BaseException) -> Iterator[Local]:
    """Sentry with its default options; nothing is sent."""
    client = _sentry_client()
    client.capture_event(*event_from_exception(error, client_options=client.options))
    for raised in _events.pop()["exception"]["values"]:
        for frame in raised.get("stacktrace", {}).get("frames", []):
            for name, value in frame["vars"].items():
                yield Local(frame["abs_path"], frame["function"], name, value)


_events: list[Any] = []


@functools.cache
def _sentry_client() -> Any:
    return sentry_sdk.Client(
        dsn="http://key@127.0.0.1:9/1",
        default_integrations=False,  # they patch the process
        auto_enabling_integrations=False,
        before_send=lambda event, hint: _events.append(event),
    )


def rich_locals(error: BaseException) -> Iterator[Local]:
    """The traceback of rich, with nothing cut."""
    traced = rich.traceback.Traceback.from_exception(
        type(error), error, error.__traceback__, show_locals=True, locals_max_length=10**6, locals_max_string=10**6
    )
    for stack in traced.trace.stacks:
        for frame in stack.frames:
            for name, node in (frame.locals or {}).items():
                yield Local(frame.filename, frame.name, name, node.render(max_width=1_000_000))


def reprs(error: BaseException) -> Iterator[Local]:
    """The repr of every local variable, as tracebacks of the standard library capture them since Python 3.12."""
    for local in locals_of(error):
        try:
            yield local._replace(value=repr(local.value))
        except Exception:  # of what is not finished yet, or asks a clock that fails
            yield local._replace(value="")


TRACKERS = (locals_of, sentry, rich_locals, reprs)


def hides(case: Callable[[], object], expected: type[Exception]) -> None:
    """Assert that a case raises, in a frame of the package, and that no tracker finds a secret in such a frame."""
    with pytest.raises(expected) as caught:
        case()
    assert any(local.file.startswith(PACKAGE) for local in locals_of(caught.value))
    assert {line for tracker in TRACKERS for line in leaks_among(tracker(caught.value))} == set()


Holder = dataclasses.make_dataclass("Holder", ["value"])


@pytest.mark.parametrize("tracker", TRACKERS)
@pytest.mark.parametrize("wrap", [lambda it: it, lambda it: (it,), lambda it: [{"a": it}], Holder])
@pytest.mark.parametrize(
    "secret", [signed_url(URL, SIGNER), signed_cookies(URL, SIGNER, scope="directory"), SIGNER.sign(b""), TEXT]
)
def test_trackers_find_what_is_not_hidden(tracker: Any, wrap: Callable[[object], object], secret: object) -> None:
    """The check can fail: a secret in a plain local variable, a container or a dataclass is found, also in a cause."""

    def leaking(plain: object) -> NoReturn:
        raise KeyError

    with pytest.raises(ValueError) as caught:
        try:
            leaking(wrap(secret))
        except KeyError as error:
            raise ValueError from error
    assert any("leaking: plain holds" in line for line in leaks_among(tracker(caught.value), __file__))


def failing(*args: object, **kwargs: object) -> NoReturn:
    """Stand in for anything that a user can hook in and that raises."""
    raise RuntimeError("failed")


GRANTS = {
    "yes": True,
    "canned": Grant(expires=5, query={"v": "1"}),
    "directory": Grant(scope="directory"),
    "conditions": Grant(scope="/films/", ip_address="203.0.113.0/24", not_before=NOW - 9, filename="a.mp4"),
}


def request(app: Any) -> Any:
    """Ask for an object as a script that takes JSON would, of a server whose start_response fails."""
    return app(environ_for("/private/films/42/a.mp4", HTTP_ACCEPT="application/json"), failing)


@pytest.mark.parametrize("answer", KINDS)
@pytest.mark.parametrize("verdict", GRANTS.values(), ids=GRANTS)
@pytest.mark.parametrize("step", ["on_decision", "on_decision, reused", "start_response", "log"])
def test_a_signed_answer_is_hidden(answer: str, verdict: Any, step: str, monkeypatch: Patch, caplog: Log) -> None:
    """What raises after signing finds no signature in our frames, whatever the grant and the kind of answer."""
    options: dict[str, Any] = {"answer": answer, "reuse_for": 60 if "reused" in step else None}
    if step == "log":
        caplog.set_level(logging.INFO, LOGGER.name)
        monkeypatch.setattr(LOGGER, "filters", [failing])
    elif step != "start_response":
        options["on_decision"] = failing
    hides(lambda: request(gate(lambda environ: verdict, **options)), RuntimeError)


def view(environ: Any, start_response: Any) -> list[bytes]:
    """A view that says yes."""
    start_response("200 OK", [("Content-Type", "text/plain"), *allow(environ).items()])
    return []


def named(environ: Any, start_response: Any) -> list[bytes]:
    """A view that names an object as for nginx."""
    start_response("200 OK", [("Content-Type", "text/plain"), ("X-Accel-Redirect", "/private/x")])
    return []


async def asgi_view(scope: Any, receive: Any, send: Any) -> None:
    """The same for ASGI."""
    headers = [(name.lower().encode(), value.encode()) for name, value in allow(scope).items()]
    await send({"type": "http.response.start", "status": 200, "headers": headers})


async def failing_send(message: object) -> NoReturn:
    """A server that fails."""
    del message  # it has the answer, which is the server's then
    raise RuntimeError("failed")


def asgi_request(authorize: Any, **options: Any) -> None:
    """Ask the gate for ASGI, of a server that fails."""
    common: dict[str, Any] = {"prefix": "/private", "domain": BASE_URL, "signer": SIGNER}
    made = asgi.CloudFrontGate(asgi_view, authorize, **common, **options)
    scope = {"type": "http", "method": "GET", "path": "/private/a", "raw_path": b"/private/a", "query_string": b""}
    headers = [(b"accept", b"application/json"), (b"origin", b"https://a.example")]
    receive: Any = failing_send
    asyncio.run(made({**scope, "headers": headers}, receive, failing_send))


ORIGIN = "https://a.example"
SHELLS: dict[str, Callable[..., object]] = {
    "origins": lambda **options: request(gate(lambda environ: True, allow_origin=ORIGIN, **options)),
    "asked": lambda **options: request(gate(ask_app, view, **options)),
    "asked, origins": lambda **options: request(gate(ask_app, view, allow_origin=ORIGIN, **options)),
    "ASGI": lambda **options: asgi_request(lambda scope: True, **options),
    "ASGI, origins": lambda **options: asgi_request(lambda scope: True, allow_origin=ORIGIN, **options),
    "ASGI, asked": lambda **options: asgi_request(ask_app, allow_origin=ORIGIN, **options),
    "redirected": lambda **options: request(
        gate(lambda environ: PASS, named, app_redirect_header="X-Accel-Redirect", allow_origin=ORIGIN, **options)
    ),
}


@pytest.mark.parametrize("answer", KINDS)
@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("step", ["on_decision", "send"])
def test_every_shell_hides_a_signed_answer(answer: str, shell: str, step: str) -> None:
    """However the answer is reached and sent, what raises meanwhile finds no signature in our frames."""
    options: dict[str, Any] = {"on_decision": failing} if step == "on_decision" else {}
    hides(lambda: SHELLS[shell](answer=answer, **options), RuntimeError)


@pytest.mark.parametrize("answer", KINDS)
@pytest.mark.parametrize("verdict", GRANTS.values(), ids=GRANTS)
def test_records_and_log_lines_hold_no_secret(answer: str, verdict: Any, caplog: Log) -> None:
    """The record and the log line of a grant name what was decided, and nothing that opens it; nor does a gate."""
    caplog.set_level(logging.INFO, LOGGER.name)
    records: list[object] = []
    app = gate(lambda environ: verdict, answer=answer, on_decision=records.append, reuse_for=60)
    assert leaks_in(str(fetch(app, "/private/films/42/a.mp4", HTTP_ACCEPT="application/json")))
    assert (len(records), len(caplog.records)) == (1, 1)
    assert leaks_in(f"{records} {caplog.text} {app!r} {vars(app)} {app.distribution!r}") == []


class LateKey:
    """A private key of ``cryptography`` that fails to sign anything but what it must to be accepted."""

    def __init__(self) -> None:
        self._key: Any = load_pem_private_key(TEXT.encode(), None)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._key, name)

    def sign(self, message: bytes, *arguments: Any) -> Any:
        return failing() if b"Statement" in message else self._key.sign(message, *arguments)


ec.EllipticCurvePrivateKey.register(LateKey)
LATE_RING = SimpleNamespace(current=lambda now: failing() if now == NOW else KeyRing([SIGNER]).current(now))
LONG_PATH, LONG_SCOPE = f"/{'a' * 8100}", f"/{'a' * 3500}/"
FOREIGN = {
    "failing": Fake(outcome=failing),
    "str": Fake(outcome=lambda message: base64.b64encode(SIGNER.sign(message)).decode()),
    "bytearray": Fake(outcome=lambda message: bytearray(SIGNER.sign(message))),
    "None": Fake(outcome=lambda message: None),
    "late key": Signer(KEY_PAIR_ID, LateKey()),
}


@pytest.mark.parametrize(
    ("verdict", "options", "expected"),
    [
        *((RuntimeError(), {}, RuntimeError), ("yes", {}, AuthorizerError)),
        *((True, {"clock": failing}, RuntimeError), (True, {"signer": LATE_RING}, RuntimeError)),
        (True, {"signer": FOREIGN["str"], "filters": [failing]}, RuntimeError),
        *((PASS, {"app": failing}, RuntimeError), (failing, {}, RuntimeError)),  # a response that fails
        *((grant, {}, AuthorizerError) for grant in (Grant(scope="/elsewhere/"), Grant(not_before=NOW + 900))),
        (True, {"answer": "cookies", "cookie_path": "/films/9"}, AuthorizerError),
        (Grant(path=f"{LONG_SCOPE}a", scope="directory", answer="cookies"), {}, AuthorizerError),
        *((Grant(path=LONG_PATH), {"answer": kind}, AuthorizerError) for kind in KINDS),
        *((grant, {"signer": it}, SigningError) for it in FOREIGN.values() for grant in GRANTS.values()),
    ],
)
def test_a_decision_that_fails_hides_what_was_signed(
    verdict: Any, options: dict[str, Any], expected: type[Exception], monkeypatch: Patch
) -> None:
    """At whatever step of a decision something raises, our frames hold no policy and no signature."""
    clock, filters = options.get("clock"), options.get("filters", [])
    made = gate(Judge(verdict), **{name: it for name, it in options.items() if name not in ("clock", "filters")})
    made.clock = clock or made.clock
    monkeypatch.setattr(LOGGER, "filters", filters)
    hides(lambda: request(made), expected)


DISTRIBUTION = Distribution(BASE_URL, signer=SIGNER)


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        *((lambda sign=sign: sign(LONG_PATH), PathError) for sign in (DISTRIBUTION.sign, DISTRIBUTION.redirect)),
        (lambda: gate(failing).sign(LONG_PATH, scope="/"), PathError),
        (lambda: DISTRIBUTION.cookies(LONG_PATH + "a" * 99), PathError),
        (lambda: DISTRIBUTION.cookies(f"{LONG_SCOPE}a", scope="directory"), PathError),
        (lambda: signed_url(BASE_URL + LONG_PATH, SIGNER), PathError),
        (lambda: signed_cookies(BASE_URL + LONG_PATH + "a" * 99, SIGNER), PathError),
        (lambda: signed_url(signed_url(URL, SIGNER), SIGNER), PathError),
        (lambda: signed_cookies(signed_url(URL, SIGNER, scope="directory"), SIGNER), PathError),
        (lambda: CloudFrontRedirect(signed_url(URL, SIGNER), authorize=failing, signer=SIGNER), ConfigError),
        *((lambda it=it: Distribution(BASE_URL, signer=it).sign("/a"), SigningError) for it in FOREIGN.values()),
        *((lambda it=it: Distribution(BASE_URL, signer=it).query("/a/"), SigningError) for it in FOREIGN.values()),
        *((lambda it=it: signed_cookies(URL, it, scope="directory"), SigningError) for it in FOREIGN.values()),
    ],
)
def test_a_signature_that_fails_is_hidden(call: Callable[[], object], expected: type[Exception]) -> None:
    """What signs for views hides what it cannot sign, what is too long, and what a wrong signer returned."""
    hides(call, expected)


KEY_GIVEN: list[dict[str, Any]] = [
    {"key_pair_id": KEY_PAIR_ID, "priv_key_string": TEXT},
    *({"key_pair_id": KEY_PAIR_ID, "private_key": TEXT.encode()}, {"key_pair_id": KEY_PAIR_ID, "private_key": INLINE}),
    {"key_pair_id": KEY_PAIR_ID, "private_key": BROKEN},
    {"key_pair_id": KEY_PAIR_ID, "private_key": TEXT, "priv_key_string": TEXT},
    *({"key_pair_id": TEXT, "private_key": TEXT}, {"private_key": TEXT}, {"signer": TEXT}, {"keys": TEXT}),
    *({"keys": {KEY_PAIR_ID: TEXT}}, {"keys": [(KEY_PAIR_ID, TEXT)]}),
    {"keys": [(KEY_PAIR_ID, BROKEN), (TEXT, KEY_PAIR_ID), (KEY_PAIR_ID, TEXT, "soon"), TEXT]},
    *({"keys": f"{KEY_PAIR_ID} {INLINE}"}, {"keys": f"{KEY_PAIR_ID} {TEXT.splitlines()[1]}"}),
    *({"key_pair_id": KEY_PAIR_ID, "private_key": path.read_text()} for path in sorted(KEYS.glob("*.pem"))),
]


@pytest.mark.parametrize("given", KEY_GIVEN, ids=range(len(KEY_GIVEN)))
def test_keys_are_hidden_where_options_are_wrong(given: dict[str, Any]) -> None:
    """However a key is given, a wrong option beside it shows none of it."""
    hides(lambda: CloudFrontGate(None, failing, prefix="/private", domain=BASE_URL, code=999, **given), ConfigError)
    hides(lambda: CloudFrontGate(None, failing, prefix="/p", distribution=DISTRIBUTION, code=999, **given), ConfigError)
    hides(lambda: Distribution(BASE_URL, expires=0, **given), ConfigError)
    if "keys" not in given:
        hides(lambda: CloudFrontRedirect(URL, 999, authorize=failing, **given), ConfigError)


@pytest.mark.parametrize("call", [CloudFrontGate, Distribution, CloudFrontRedirect])
def test_no_frame_keeps_an_option(call: Callable[..., object]) -> None:
    """Whichever option a key is given for by mistake, the frame of the constructor does not hold it."""
    first = {"location": URL, "authorize": failing, "app": None, "prefix": "/private", "domain": BASE_URL}
    parameters = inspect.signature(call).parameters
    needed = {name: value for name, value in first.items() if name in parameters}
    for name in parameters.keys() - {"app", "authorize"}:
        hides(functools.partial(call, **{**needed, name: TEXT}), PathError if name == "path" else ConfigError)


@pytest.mark.parametrize(
    "call",
    [
        *(lambda key=key: Signer(KEY_PAIR_ID, key) for key in (BROKEN, BROKEN.encode())),
        *(lambda name=name: Signer(KEY_PAIR_ID, f"env:CFGATE_{name}") for name in ("BROKEN", "BODY")),
        *(lambda: Signer("no id", TEXT), lambda: Signer(KEY_PAIR_ID, TEXT, "MD5"), lambda: Signer(TEXT, KEY_PAIR_ID)),
        *(lambda keys=keys: KeyRing(keys) for keys in ([(KEY_PAIR_ID, TEXT)], [TEXT], TEXT)),
        *(lambda keys=keys: KeyGroup(keys) for keys in ({KEY_PAIR_ID: TEXT}, {TEXT: KEY_PAIR_ID})),
        *(lambda sign=sign: sign(URL, TEXT) for sign in (signed_url, signed_cookies)),
    ],
)
def test_keys_are_hidden_where_they_are_wrong(call: Callable[[], object], monkeypatch: Patch) -> None:
    """A key that is damaged, of the wrong half or in the wrong place is not shown."""
    monkeypatch.setenv("CFGATE_BROKEN", BROKEN)
    monkeypatch.setenv("CFGATE_BODY", "".join(TEXT.splitlines()[1:-1]))
    hides(call, ConfigError)


@pytest.mark.parametrize("factory", ["app", "filter"])
@pytest.mark.parametrize("default", ["", f"priv_key_string = {INLINE}"])
@pytest.mark.parametrize(
    "section",
    [
        f"priv_key_string = {INLINE}\ncode = 999",
        "private_key =\n  " + TEXT.strip().replace("\n", "\n  ") + "\nexpires = soon\nunknown = 1",
        f"private_key = {BROKEN.replace(chr(10), chr(92) + 'n')}",
        f"keys =\n  {KEY_PAIR_ID} {INLINE} 2026-01-01\n  x {INLINE}\ncode = 999",
        f"private_key = {INLINE}\nauthorize.key = {INLINE}",
    ],
)
def test_keys_are_hidden_in_ini_files(factory: str, default: str, section: str, tmp_path: Path) -> None:
    """A section with a key in it and something wrong beside it shows none of it."""
    pipeline = "" if factory == "app" else "[pipeline:main]\npipeline = gate end\n[app:end]\nuse = call:builtins:dict\n"
    (tmp_path / "site.ini").write_text(
        f"[DEFAULT]\n{default}\n{pipeline}[{factory}:{'main' if factory == 'app' else 'gate'}]\n"
        f"paste.{factory}_factory = cfgate_middleware.pastedeploy:{factory}_factory\nprefix = /private\n"
        f"domain = cdn.example.com\nauthorize = builtins:dict\nkey_pair_id = {KEY_PAIR_ID}\n{section}\n"
    )
    hides(lambda: loadapp(f"config:{tmp_path / 'site.ini'}"), ConfigError)


@pytest.mark.parametrize(
    "content",
    [
        *(TEXT, BROKEN, f"{KEY_PAIR_ID} {INLINE}\na-b {INLINE}\n", f"{KEY_PAIR_ID} {INLINE} 2999-01-01\n"),
        *(f"{KEY_PAIR_ID} {TEXT.splitlines()[1]}\n", f"{KEY_PAIR_ID} {INLINE} \udcff"),
    ],
)
def test_keys_are_hidden_in_ring_files(content: str, tmp_path: Path) -> None:
    """A ring file with a key in it and something wrong shows none of it."""
    (tmp_path / "ring").write_bytes(content.encode(errors="surrogateescape"))
    hides(lambda: Distribution(BASE_URL, keys=f"file:{tmp_path / 'ring'}"), ConfigError)


@pytest.mark.slow
def test_keys_are_hidden_that_aws_keeps(monkeypatch: Patch) -> None:
    """What Secrets Manager and Parameter Store hold, and what KMS was to sign, is not shown."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "throwaway")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    with mock_aws():
        secrets, parameters, kms = (boto3.client(service) for service in ("secretsmanager", "ssm", "kms"))
        for number, value in enumerate([BROKEN, f'{{"a": "{INLINE}", "b": "{INLINE}"}}', f'{{"a": "{INLINE}', "x"]):
            secrets.create_secret(Name=f"n{number}", SecretString=value)
            parameters.put_parameter(Name=f"n{number}", Value=value, Type="SecureString")
            for store in ("secretsmanager", "ssm"):
                hides(lambda source=f"{store}:n{number}": Signer(KEY_PAIR_ID, source), ConfigError)  # type: ignore[misc]  # mypy infers no type for a lambda with a default
        key = kms.create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")["KeyMetadata"]["KeyId"]
        signer = Signer(KEY_PAIR_ID, f"kms:{key}")
        hides(lambda: signed_url(f"{URL}{'a' * 5000}", signer), SigningError)
        kms.disable_key(KeyId=key)
        monkeypatch.setattr(boto3.session.Session, "client", failing)
        hides(lambda: signed_url(URL, signer, scope="directory"), SigningError)


@pytest.mark.parametrize("scope", ["object", "directory"])
@pytest.mark.parametrize(
    ("name", "change"),
    [
        *(("Signature", lambda value: f"A{value[1:]}"), ("Signature", lambda value: f"{value[:-2]}!_")),
        *(("Signature", lambda value: value[:-3]), ("Signature", lambda value: f"{value}&Signature={value}")),
        *(("Key-Pair-Id", lambda value: f"{value}X"), ("Hash-Algorithm", lambda value: "MD5")),
        *(("Policy", lambda value: value[:-3]), ("Policy", lambda value: f"{value[:-2]}!!")),
        ("Policy", lambda value: to_base64(f'{{"Statement":[{{"Resource":"{URL}","Condition":{{}}}}]}}'.encode())),
        ("Policy", lambda value: to_base64(b'{"Statement":[{"Resource":"https://cdn.example.com/')),
        ("Expires", lambda value: "soon"),
    ],
)
def test_tampered_requests_are_hidden(scope: str, name: str, change: Pem) -> None:
    """Why a signed URL or signed cookies are refused is said in frames that hold nothing of them."""
    cookies = signed_cookies(URL, SIGNER, scope=scope, now=NOW)
    cookies[f"CloudFront-{name}"] = change(cookies.get(f"CloudFront-{name}", ""))
    target, query = URL.removeprefix(BASE_URL), "&".join(f"{key[11:]}={value}" for key, value in cookies.items())
    facts: dict[str, Any] = {"base_url": BASE_URL, "key_group": KEY_GROUP, "now": NOW}
    if (scope, name) != ("directory", "Expires"):  # in a URL with a policy it does not count
        hides(lambda: verify_url(f"{target}?{query}", **facts), VerificationError)
        hides(lambda: verify(f"{target}?{query}", {}, **facts), VerificationError)
    hides(lambda: verify_cookies(target, cookies, **facts), VerificationError)


@pytest.mark.parametrize("late", [0, 3600])
@pytest.mark.parametrize("scope", ["object", "directory"])
def test_the_edge_hides_what_it_serves(scope: str, late: int, monkeypatch: Patch) -> None:
    """What raises behind the local edge, or in the log of a refusal, finds no signature in its frames."""
    edge = LocalEdge(failing, KEY_GROUP, public_url=BASE_URL)
    edge.clock = lambda: NOW + late
    monkeypatch.setattr(logging.getLogger("cfgate_middleware.edge"), "filters", [failing])
    path, _, query = signed_url(URL, SIGNER, scope=scope, now=NOW).removeprefix(BASE_URL).partition("?")
    hides(lambda: edge(environ_for(path, mount="", query=query), failing), RuntimeError)
