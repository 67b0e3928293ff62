"""The gate behind real servers, which decode, squeeze and forward what a client sends each in their own way."""

from __future__ import annotations

import functools
import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, unquote
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

import flask
import pytest
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from cfgate_middleware import PASS, CloudFrontGate, Grant, allow, ask_app
from cfgate_middleware.authorizers import FIELD
from tests.support import Answer, gate, verified
from tests.test_advisory import (
    APP,
    CASES,
    MOUNTS,
    UNCLEAN,
    Case,
    Outcome,
    asked,
    could_mean_private,
    granted,
    has_one_meaning,
    passed,
    signed_path,
)

pytestmark = pytest.mark.slow  # it starts seven servers
ROOT = Path(__file__).parent.parent
TIMEOUT = 60
NAME = "tests.test_servers"
GUNICORN = ["-m", "gunicorn", "--preload", "--workers=2", "--bind=127.0.0.1:0", f"{NAME}:application()"]
UWSGI = ["--http-socket=127.0.0.1:0", f"--module={NAME}:application()", "--master", "--processes=1", "--die-on-term"]
COMMANDS = {
    "gunicorn": [*GUNICORN, "--worker-class=sync"],
    "gunicorn-threads": [*GUNICORN, "--worker-class=gthread", "--threads=4"],
    "waitress": ["-m", "waitress", "--threads=8", "--listen=127.0.0.1:0", "--call", f"{NAME}:application"],
    "cheroot": ["-c", f"import {NAME} as t; t.serve_with_cheroot()"],
    "werkzeug": ["-c", f"import {NAME} as t, werkzeug as w; w.run_simple('127.0.0.1', 0, t.application())"],
    "wsgiref": ["-c", f"import {NAME} as t; t.serve_with_wsgiref()"],
    "uwsgi": ["-c", "import sys, pyuwsgi; sys.exit(pyuwsgi.run())", *UWSGI],
}
ATTACKER = {
    "Host": "evil.com",
    "X-Forwarded-Host": "evil.com",
    "X-Forwarded-Uri": "/public",
    "X-Original-URL": "/private/other",
    "Forwarded": "host=evil.com;proto=http",
    "X_Auth_User": "admin",
}
VERDICTS = {repr(verdict): verdict for verdict in (True, False, PASS)}
ASKED = "/asked"
# The client says what it wants to be tested, and gets back what happened, in these fields.
VERDICT, OPTIONS = "X-Test-Verdict", "X-Test-Options"


def application() -> WSGIApplication:
    """What the servers serve: a gate at the root, and the same one mounted below ``/mount/app`` by a dispatcher."""
    gate_with("{}")  # before a server forks
    mounted = DispatcherMiddleware(watched, {MOUNTS[1]: watched, ASKED: asked_application()})

    def serve(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        at = mounted if environ.get("PATH_INFO", "").startswith((MOUNTS[1], ASKED)) else watched
        return at(environ, start_response)

    return serve


def asked_application() -> WSGIApplication:
    """A Flask application that decides, below ``/asked``."""
    app = flask.Flask("asked")

    @app.get("/private/<path:name>")
    def private(name: str) -> Any:
        if "X-User" not in flask.request.headers:
            return flask.redirect("/login")
        if name == "stream":
            return flask.Response((f"part {number}\n" for number in range(3)), content_type="text/plain")
        answer = flask.Response(status=204, headers=allow(flask.request.environ))
        answer.set_cookie("session", "renewed")
        return answer

    @app.post("/private/<path:name>")
    def posted(name: str) -> Any:
        return flask.request.get_data() or b"nothing", 201

    return gate(ask_app, app.wsgi_app)


def watched(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Call the gate the client asked for, and add to its answer what went in, who was asked, and who was called."""
    given = [quote(environ.get(name, "")[:1000], encoding="latin-1") for name in ("SCRIPT_NAME", "PATH_INFO")]
    fields = [("X-Test-Given", "|".join(given)), ("X-Test-Process", str(os.getpid()))]
    environ["tests.fields"], environ["tests.names"] = fields, {*environ, "tests.fields", "tests.names"}

    def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None, /) -> Any:
        return start_response(status, [*headers, *fields], exc_info)

    # HTTP/0.9 has no header fields.
    options = environ.get("HTTP_X_TEST_OPTIONS", "{}") if "REQUEST_METHOD" in environ else '{"prefix": "/"}'
    return gate_with(options)(environ, start)


@functools.cache
def gate_with(options: str) -> CloudFrontGate:
    """Build a gate with more options, written as JSON."""

    def authorize(environ: WSGIEnvironment) -> Any:
        environ["tests.fields"].append(("X-Test-Saw", quote(environ["cfgate.path"])))
        verdict = environ.get("HTTP_X_TEST_VERDICT", "True")
        return Grant(ip_address=environ["REMOTE_ADDR"]) if verdict == "address" else VERDICTS[verdict]

    def wrapped(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
        new = sorted(environ.keys() - environ["tests.names"])
        environ["tests.fields"].append(("X-Test-Called", " ".join(new)))
        body = f"{environ['SCRIPT_NAME']}|{environ['PATH_INFO']}".encode("latin-1")
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
        return [body] if environ["REQUEST_METHOD"] != "HEAD" else []

    return gate(authorize, wrapped, **json.loads(options))


def serve_with_wsgiref() -> None:
    """Serve as the standard library does, reporting the port as the other servers do."""
    from wsgiref.simple_server import make_server

    with make_server("127.0.0.1", 0, application()) as server:
        print(f"http://127.0.0.1:{server.server_port}", file=sys.stderr, flush=True)
        server.serve_forever()


def serve_with_cheroot() -> None:
    """Serve as CherryPy does, reporting the port as the other servers do."""
    from cheroot.wsgi import Server

    server = Server(("127.0.0.1", 0), application())
    server.prepare()
    print(f"http://127.0.0.1:{server.bind_addr[1]}", file=sys.stderr, flush=True)
    server.serve()


class Running(NamedTuple):
    """A running server."""

    kind: str
    port: int
    process: subprocess.Popen[bytes]

    def send(self, target: str, method: str = "GET", /, **headers: str) -> Answer:
        """Send a request exactly as given, byte for byte, and return the answer."""
        fields = {"Content-Length": "0", "Connection": "close", **ATTACKER, **headers}
        lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items()), "", ""]
        return self.send_bytes("\r\n".join(lines).encode("utf-8", "surrogateescape"))

    def send_bytes(self, request: bytes) -> Answer:
        """Send bytes and return the answer, up to where the server closes the connection."""
        with socket.create_connection(("127.0.0.1", self.port), TIMEOUT) as connection:
            connection.sendall(request)
            received = b"".join(iter(lambda: connection.recv(65536), b""))
        head, _, body = received.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        status = re.search(r" ([1-5][0-9]{2}( .*)?)\Z", first)  # behind the protocol, which uWSGI lets a client choose
        assert status, received
        return Answer(status[1], [(name, value.strip()) for name, _, value in (f.partition(":") for f in lines)], body)


def start(kind: str, log: Path) -> Running:
    """Start a server on a free port, which it reports in its log."""
    with log.open("wb") as output:
        process = subprocess.Popen([sys.executable, *COMMANDS[kind]], stdout=output, stderr=output, cwd=ROOT)
    deadline = time.monotonic() + TIMEOUT
    while not (address := re.search(r"\b127\.0\.0\.1:([1-9]\d*)[^\d]", log.read_text())):
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            process.wait()
            raise AssertionError(f"{kind} did not start: {log.read_text()}")
        time.sleep(0.02)
    return Running(kind, int(address[1]), process)


@pytest.fixture(scope="module", params=COMMANDS)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Every kind of server in turn."""
    server = start(request.param, tmp_path_factory.mktemp(request.param) / "log")
    try:
        yield server
    finally:
        server.process.terminate()
        try:
            server.process.wait(TIMEOUT)
        finally:
            server.process.kill()
            server.process.wait()


def outcome_of(answer: Answer) -> Outcome:
    """Return what came of a request, from what the answer says."""
    saw = [unquote(value) for value in answer.values("X-Test-Saw")]
    assert len(saw) <= 1
    return Outcome(answer.code, saw[0] if saw else None, signed_path(answer), bool(answer.values("X-Test-Called")))


class Deviation(NamedTuple):
    """Cases that some servers change before WSGI sees them, or refuse themselves, and what comes of them there."""

    why: str  # what these servers do
    servers: tuple[str, ...]
    outcomes: dict[str, Outcome]
    mounts: Sequence[str] = MOUNTS


GUNICORNS = ("gunicorn", "gunicorn-threads")
# Each is safe: what was judged is what is signed, and unasked, the application is called only with paths that nobody
# reads as private ones of the gate it is wrapped in. assert_safe checks that for every answer, whatever is listed here.
DEVIATIONS = [
    Deviation(
        "squeezes two leading slashes into one: another, clean path",
        ("waitress", "werkzeug", "wsgiref"),
        {
            "P5-double-slash-before": granted("/x"),
            "P5-triple-slash-before": asked("/", 404),
            "K8-double-slash": granted("/x"),  # of the gate that is mounted
            "R2-double-slash-host": APP,  # whose path is now /evil.com/private/x
        },
        mounts=MOUNTS[:1],
    ),
    Deviation(
        "squeezes three leading slashes into one",
        ("cheroot",),
        {"P5-triple-slash-before": asked("/", 404)},
        mounts=MOUNTS[:1],
    ),
    Deviation(
        "drops scheme and host of an absolute-form target, and serves its path, as RFC 9112 section 3.2.2 demands",
        (*GUNICORNS, "waitress", "werkzeug"),
        {"P15-absolute-form": granted("/x")},
    ),
    Deviation(
        "squeezes slashes behind the host, too",
        ("waitress",),
        {"P15-absolute-form-double-slash": granted("/x")},
        mounts=MOUNTS[:1],
    ),
    Deviation(
        "leaves an absolute-form target whole: no mount point is found in it, and the gate at the root gets it",
        ("wsgiref", "uwsgi"),
        {"P15-absolute-form": APP, "P15-absolute-form-double-slash": APP},
        mounts=MOUNTS[1:],
    ),
    Deviation(
        "refuses absolute-form targets",
        ("cheroot",),
        {"P15-absolute-form-without-path": UNCLEAN, "P15-absolute-form-elsewhere": UNCLEAN},
    ),
    Deviation(
        "refuses what begins with //, as an absolute-form target",
        ("cheroot",),
        {"R3-double-slash-dotdot": UNCLEAN, "K8-double-slash": UNCLEAN},
        mounts=MOUNTS[:1],
    ),
    Deviation(
        "refuses a target that does not begin with a slash",
        (*GUNICORNS, "cheroot"),
        {"P6-encoded-slash-before": UNCLEAN},
        mounts=MOUNTS[:1],
    ),
    Deviation("refuses * without OPTIONS", (*GUNICORNS, "cheroot"), {"P15-asterisk-GET": UNCLEAN}, mounts=MOUNTS[:1]),
    Deviation(
        "drops what follows a raw #",
        (*GUNICORNS, "waitress", "werkzeug", "uwsgi"),
        {"P10-raw-hash": granted("/a")},
    ),
    Deviation("refuses a raw #", ("cheroot",), {"P10-raw-hash": UNCLEAN}),
    Deviation(
        "refuses a raw space",
        (*GUNICORNS, "waitress", "cheroot", "werkzeug", "wsgiref"),
        {"R4-raw-space": UNCLEAN},
    ),
    Deviation("takes what follows a raw space for the protocol", ("uwsgi",), {"R4-raw-space": asked("/", 404)}),
    Deviation("drops raw line breaks and tabs", ("cheroot",), {"R4-raw-carriage-return": granted("/x")}),
    Deviation("refuses raw bytes outside ASCII", (*GUNICORNS, "waitress", "cheroot"), {"P14-raw-utf-8": UNCLEAN}),
    Deviation("refuses lower-case methods", (*GUNICORNS, "waitress", "cheroot"), {"P17-lower-case": UNCLEAN}),
    Deviation(
        "reads raw bytes as latin-1 and passes them on in UTF-8",
        ("werkzeug",),
        {"P14-raw-latin-1": granted("/é", "/%C3%A9"), "P14-raw-utf-8": granted("/Ã©", "/%C3%83%C2%A9")},
    ),
    Deviation(
        "replaces what is not UTF-8 by U+FFFD, which names another object",
        ("werkzeug",),
        {
            "P14-no-utf-8": granted("/\ufffd\ufffd\ufffd", "/%EF%BF%BD%EF%BF%BD%EF%BF%BD"),
            "P14-overlong-slash": granted("/..\ufffd\ufffdx", "/..%EF%BF%BD%EF%BF%BDx"),
            "P14-overlong-dot": granted("/\ufffd\ufffd\ufffd\ufffd/x", "/%EF%BF%BD%EF%BF%BD%EF%BF%BD%EF%BF%BD/x"),
            "P14-surrogate": granted("/\ufffd\ufffd\ufffd", "/%EF%BF%BD%EF%BF%BD%EF%BF%BD"),
            "P14-latin-1": granted("/\ufffd", "/%EF%BF%BD"),
        },
    ),
    Deviation(
        "leaves %2F encoded: only a second decoding leads into the prefix, and an object has it in its name",
        ("cheroot",),
        {
            "P6-encoded-slash": UNCLEAN,
            "P6-encoded-slash-and-letter": UNCLEAN,
            "P6-encoded-slash-dotdot": granted("/alice%2F..%2Fbob/x", "/alice%252F..%252Fbob/x"),
        },
    ),
    Deviation(
        "leaves %2F encoded: no mount point is found, and the gate at the root gets it",
        ("cheroot",),
        {"P6-encoded-slash-before": APP},
        mounts=MOUNTS[1:],
    ),
    Deviation(
        "folds dot segments that are not encoded, an empty segment counting as one",
        ("uwsgi",),
        {
            "P2-dotdot-out": APP,
            "P2-dotdot-in": granted("/x"),
            "P2-dotdot-inside": granted("/b"),
            "P2-dotdot-at-end": asked("/", 404),
            "P2-dotdot-over-the-root": granted("/x"),
            "P4-dot-before": granted("/x"),
            "P4-dot-inside": granted("/x"),
            "P4-dot-at-end": asked("/", 404),
            "P5-double-slash-and-dotdot": APP,
            "P7-parameter-dotdot": granted("/b"),
            "K7-dotdot": passed("/x.txt"),
            "K8-out-of-all-and-back": granted("/x"),  # of the gate that is mounted
        },
    ),
    Deviation(
        "folds what is sent, before the mount point is looked for",
        ("uwsgi",),
        {"K8-out-and-back": granted("/x")},
        mounts=MOUNTS[1:],
    ),
    Deviation("drops a percent sign at the end", ("uwsgi",), {"P18-lone-percent": asked("/", 404)}),
    Deviation("reads a percent sign without hexadecimal digits as NUL", ("uwsgi",), {"P18-no-hex": UNCLEAN}),
]
DEVIATING = {
    (server, mount, name): (outcome, deviation.why)
    for deviation in DEVIATIONS
    for server in deviation.servers
    for mount in deviation.mounts
    for name, outcome in deviation.outcomes.items()
}


def target_of(case: Case, mount: str) -> str | None:
    """Return the target of a case below ``mount``, or None for what no request can carry."""
    if not all(name.startswith("HTTP_") for name in case.extra):
        return None
    if case.target.startswith("http://"):
        return re.sub("(?<=evil.com)", mount, case.target, count=1)
    if case.target.startswith(("/", "%2F")):
        return mount + case.target
    return mount or case.target if not (mount and case.target) else None


SENT = [(case, mount, target) for case in CASES for mount in MOUNTS if (target := target_of(case, mount))]


@pytest.mark.parametrize(
    ("case", "mount", "target"), [pytest.param(*row, id=f"{row[0].name}{row[1].replace('/', '-')}") for row in SENT]
)
def test_advisory(server: Running, case: Case, mount: str, target: str) -> None:
    """Every attack, sent as raw bytes: what the authorizer saw, what was signed, Location, and who was called."""
    headers = {name[5:].replace("_", "-").title(): value for name, value in case.extra.items()}
    headers |= {VERDICT: repr(case.verdict), OPTIONS: json.dumps(case.options)}
    answer = server.send(target, case.method, **headers)
    outcome = outcome_of(answer)
    expected = case.outcome if mount else case.at_the_root
    deviating, why = DEVIATING.get((server.kind, mount, case.name), (expected, "as WSGI sees it"))
    assert outcome == deviating, why
    assert_safe(answer, outcome, case.options.get("prefix", "/private").rstrip("/"))


def assert_safe(answer: Answer, outcome: Outcome, prefix: str) -> None:
    """Hold an answer to the path that the gate was given, whatever the tables say."""
    code, saw, signed, called = outcome
    if not answer.values("X-Test-Given"):  # the server's own
        assert code >= 400 and outcome == Outcome(code)
        return
    (given,) = answer.values("X-Test-Given")
    mount, path = (unquote(text, "latin-1") for text in given.split("|"))
    if saw is not None:
        assert path.encode("latin-1").decode() == (f"{prefix}{saw}" if path != prefix else prefix)
    if signed is not None:
        assert unquote(signed.partition("?")[0]) == saw
    if called:
        assert answer.values("X-Test-Called") == ["cfgate.path" if saw is not None else ""]
        assert has_one_meaning(path) if saw is not None else not could_mean_private(path, mount)
    else:
        assert "no-store" in "".join(answer.values("Cache-Control"))
    assert not (answer.values("Location") and answer.body)


def test_every_deviation_is_of_a_case_that_is_sent() -> None:
    """The second table names cases that are sent and servers that are started, each once."""
    sent = {(mount, case.name) for case, mount, _ in SENT}
    assert {row[1:] for row in DEVIATING} <= sent
    assert {row[0] for row in DEVIATING} == COMMANDS.keys()
    assert len(DEVIATING) == sum(len(row.servers) * len(row.mounts) * len(row.outcomes) for row in DEVIATIONS)


@pytest.mark.parametrize("mount", MOUNTS)
def test_R10_the_address_in_a_grant_is_the_peers(server: Running, mount: str) -> None:
    """A forwarded header moves a grant to no other address."""
    answer = server.send(f"{mount}/private/x", **{VERDICT: "address", "X-Forwarded-For": "198.51.100.1"})
    assert verified(answer.location, viewer_address="127.0.0.1").policy.ip_address == "127.0.0.1/32"


@pytest.mark.parametrize("mount", MOUNTS)
@pytest.mark.parametrize("server", ["waitress", "cheroot"], indirect=True)
def test_K9_a_target_of_250_kilobytes_asks_nobody(server: Running, mount: str) -> None:
    """Where a server takes such a target, the gate refuses it, and neither authorizer nor application is called."""
    answer = server.send(f"{mount}/private/{'x' * 250_000}")
    assert outcome_of(answer) == Outcome(414)
    assert answer.values("X-Test-Given") == [f"{mount}|/private/{'x' * 991}"]


@pytest.mark.parametrize("server", ["uwsgi"], indirect=True)
def test_K23_a_request_without_method_and_path_is_refused(server: Running) -> None:
    """uWSGI reads two empty lines as a request of HTTP/0.9, and gives the gate neither method nor path."""
    answer = server.send_bytes(b"\r\n\r\n")
    assert outcome_of(answer) == UNCLEAN
    assert answer.values("X-Test-Given") == ["|"]


@pytest.mark.parametrize("mount", MOUNTS)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_yes_is_a_redirect_that_cloudfront_takes(server: Running, mount: str, method: str) -> None:
    """GET and HEAD are redirected, at the root and mounted below a prefix; the answer is empty and uncached."""
    answer = server.send(f"{mount}/private/reports/n%C3%A9%201.pdf?x=1", method)
    assert (answer.code, answer.body) == (303, b"")
    assert signed_path(answer) == "/reports/n%C3%A9%201.pdf"
    assert answer.values("Cache-Control") == ["private, no-store"]


def test_an_application_decides_behind_every_server(server: Running) -> None:
    """A view's yes is a redirect with its cookie; its other answers arrive as they are: redirects, streams, forms."""
    granted = server.send(f"{ASKED}/private/a%20b.pdf", **{"X-User": "ada"})
    assert (granted.code, signed_path(granted), granted.body) == (303, "/a%20b.pdf", b"")
    assert [cookie.split(";")[0] for cookie in granted.values("Set-Cookie")] == ["session=renewed"]
    assert granted.values(FIELD) == []
    refused = server.send(f"{ASKED}/private/a.pdf")
    assert (refused.code, refused.values("Location")) == (302, ["/login"])
    streamed = server.send(f"{ASKED}/private/stream", **{"X-User": "ada"})
    assert re.findall(rb"part \d", streamed.body) == [b"part 0", b"part 1", b"part 2"]
    form = server.send(f"{ASKED}/private/form", "POST")
    assert (form.code, form.body) == (201, b"nothing")


@pytest.mark.parametrize(
    ("method", "code"), [("POST", 405), ("PUT", 405), ("DELETE", 405), ("PROPFIND", 405), ("OPTIONS", 204)]
)
def test_no_other_method_is_redirected(server: Running, method: str, code: int) -> None:
    """Every other method is answered with what is allowed, and none reaches the wrapped application."""
    answer = server.send("/private/x", method)
    assert answer.code == code
    assert answer.values("Allow") == ["GET, HEAD, OPTIONS"]
    assert signed_path(answer) is None


@pytest.mark.parametrize("path", ["/public/x", "/privatex", "/private./x", "/PRIVATE/x", "/a//b", "/"])
@pytest.mark.parametrize("mount", MOUNTS)
def test_outside_the_prefix_the_application_answers(server: Running, mount: str, path: str) -> None:
    """The wrapped application gets what is not the gate's."""
    assert server.send(mount + path).body == f"{mount}|{path}".encode()


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_script_name_header_does_not_move_what_is_signed(server: Running, method: str) -> None:
    """A header that moves the mount point (gunicorn heeds it) can move a request out of the prefix, never within."""
    moved_out = server.send("/private/a", method, SCRIPT_NAME="/private")
    moved_in = server.send("/x/private/a", method, SCRIPT_NAME="/x")
    if server.kind in GUNICORNS:
        assert (moved_out.code, signed_path(moved_out)) == (200, None)
        assert (moved_in.code, signed_path(moved_in)) == (303, "/a")
    else:
        assert (moved_out.code, signed_path(moved_out)) == (303, "/a")
        assert (moved_in.code, signed_path(moved_in)) == (200, None)


@pytest.mark.parametrize("server", ["gunicorn", "gunicorn-threads", "waitress", "cheroot"], indirect=True)
def test_invariant_10_concurrent_requests_all_verify(server: Running) -> None:
    """Forked after loading or threaded: eight clients at once each get the URL of what they asked for."""

    def fetch(number: int) -> tuple[str | None, str]:
        answer = server.send(f"/private/{number}")
        return signed_path(answer), "".join(answer.values("X-Test-Process"))

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(fetch, range(200)))
    assert [path for path, _ in answers] == [f"/{number}" for number in range(200)]
    processes = {process for _, process in answers}
    if server.kind in GUNICORNS:
        assert len(processes) == 2 or server.kind != "gunicorn"
        assert str(server.process.pid) not in processes
    else:
        assert processes == {str(server.process.pid)}
