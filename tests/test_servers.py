"""The gate behind real servers, which decode, squeeze and forward what a client sends each in their own way."""

from __future__ import annotations

import http.client
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import NamedTuple
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

import pytest
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from cfgate_middleware import CloudFrontGate, Grant
from tests.conftest import KEY_PAIR_ID, KEYS
from tests.support import BASE_URL, Answer, verified

pytestmark = pytest.mark.slow  # it starts four servers
ROOT = Path(__file__).parent.parent
TIMEOUT = 15
NAME = "tests.test_servers"
COMMANDS = {
    "gunicorn": ["-m", "gunicorn", "--preload", "--workers=2", "--bind=127.0.0.1:0", f"{NAME}:application()"],
    "waitress": ["-m", "waitress", "--threads=8", "--listen=127.0.0.1:0", "--call", f"{NAME}:application"],
    "werkzeug": ["-c", f"import {NAME} as t, werkzeug as w; w.run_simple('127.0.0.1', 0, t.application())"],
    "wsgiref": ["-c", f"import {NAME} as t; t.serve_with_wsgiref()"],
}
ATTACKER = {
    "Host": "evil.com",
    "X-Forwarded-Host": "evil.com",
    "X-Forwarded-Uri": "/public",
    "X-Original-URL": "/private/other",
    "Forwarded": "host=evil.com;proto=http",
}


def application() -> WSGIApplication:
    """What the servers serve: one gate at the root and mounted below a prefix, whose grants name their process."""

    def authorize(environ: WSGIEnvironment) -> Grant:
        return Grant(headers={"X-Process": str(os.getpid())})

    def wrapped(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
        body = f"{environ['SCRIPT_NAME']}|{environ['PATH_INFO']}".encode("latin-1")
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
        return [body]

    gate = CloudFrontGate(
        wrapped,
        authorize,
        prefix="/private",
        domain=BASE_URL,
        key_pair_id=KEY_PAIR_ID,
        private_key=KEYS / "p256-pkcs8.pem",
    )
    return DispatcherMiddleware(gate, {"/mount": gate})


def serve_with_wsgiref() -> None:
    """Serve as the standard library does, telling the port as the other servers do."""
    from wsgiref.simple_server import make_server

    with make_server("127.0.0.1", 0, application()) as server:
        print(f"http://127.0.0.1:{server.server_port}", file=sys.stderr, flush=True)
        server.serve_forever()


class Server(NamedTuple):
    """A running server."""

    kind: str
    port: int
    process: subprocess.Popen[bytes]

    def send(self, target: str, method: str = "GET", **headers: str) -> Answer:
        """Send a request exactly as given, byte for byte, and return the answer."""
        fields = {"Content-Length": "0", "Connection": "close", **ATTACKER, **headers}
        lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items()), "", ""]
        with socket.create_connection(("127.0.0.1", self.port), TIMEOUT) as connection:
            connection.sendall("\r\n".join(lines).encode("latin-1"))
            with closing(http.client.HTTPResponse(connection, method=method)) as response:
                response.begin()
                return Answer(f"{response.status} {response.reason}", response.getheaders(), response.read())


def signed_path(answer: Answer) -> str | None:
    """Return the path that was signed, proven by CloudFront's side, or None where nothing was."""
    if not answer.values("Location"):
        return None
    policy = verified(answer.location, now=time.time()).policy
    assert answer.location.startswith(f"{policy.resource}?Expires=")
    assert 58 <= policy.end - time.time() <= 61
    return policy.resource.removeprefix(BASE_URL)


def start(kind: str, log: Path) -> Server:
    """Start a server on a free port, which it tells in its log."""
    with log.open("wb") as output:
        process = subprocess.Popen([sys.executable, *COMMANDS[kind]], stdout=output, stderr=output, cwd=ROOT)
    deadline = time.monotonic() + TIMEOUT
    while not (address := re.search(r"http://127\.0\.0\.1:(\d+)", log.read_text())):
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            process.wait()
            raise AssertionError(f"{kind} did not start: {log.read_text()}")
        time.sleep(0.02)
    return Server(kind, int(address[1]), process)


@pytest.fixture(scope="module", params=COMMANDS)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
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


@pytest.mark.parametrize("mount", ["", "/mount"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_yes_is_a_redirect_that_cloudfront_takes(server: Server, mount: str, method: str) -> None:
    """GET and HEAD are redirected, at the root and mounted below a prefix; the answer is empty and uncached."""
    answer = server.send(f"{mount}/private/reports/n%C3%A9%201.pdf?x=1", method)
    assert (answer.code, answer.body) == (303, b"")
    assert signed_path(answer) == "/reports/n%C3%A9%201.pdf"
    assert answer.values("Cache-Control") == ["private, no-store"]


@pytest.mark.parametrize(
    ("method", "code"), [("POST", 405), ("PUT", 405), ("DELETE", 405), ("PROPFIND", 405), ("OPTIONS", 204)]
)
def test_no_other_method_is_redirected(server: Server, method: str, code: int) -> None:
    """Every other method is answered with what is allowed, and none reaches the wrapped application."""
    answer = server.send("/private/x", method)
    assert answer.code == code
    assert answer.values("Allow") == ["GET, HEAD, OPTIONS"]
    assert signed_path(answer) is None


@pytest.mark.parametrize("path", ["/public/x", "/privatex", "/private./x", "/PRIVATE/x", "/a//b", "/"])
@pytest.mark.parametrize("mount", ["", "/mount"])
def test_outside_the_prefix_the_application_answers(server: Server, mount: str, path: str) -> None:
    """The wrapped application gets what is not the gate's."""
    assert server.send(mount + path).body == f"{mount}|{path}".encode()


@pytest.mark.parametrize(
    ("target", "outcomes"),
    [
        # What a server leaves of the target decides; what is signed is always the path that the gate was given.
        ("//private/x", {400, "/x"}),
        ("//evil.com/private/x", {200}),
        ("///evil.com/%2e%2e", {200}),
        ("/mount//private/x", {400}),
        ("http://evil.com/private/x", {200, 400, "/x"}),  # wsgiref leaves it whole, and the dispatcher cuts it in two
        ("http://evil.com//private/x", {200, 400, "/x"}),
        ("http://evil.com", {200, 400, 404}),
        ("/private//x", {400}),
        ("/private/../x", {400}),
        ("/private/%2e%2e/x", {400}),
        ("/public/%2e%2e/private/x", {400}),
        ("/%2e/private/x", {400}),
        ("/private/a%2f..%2fb", {400}),
        ("/private/..%5c..%5cx", {400}),
        ("/private\\x", {400}),
        ("/private/%00", {400}),
        ("/private/%0d%0aSet-Cookie:x=1", {400}),
        ("/private/%ff", {400, "/%EF%BF%BD"}),  # Werkzeug replaces what is no UTF-8
        ("/private/%c0%af", {400, "/%EF%BF%BD%EF%BF%BD"}),
        ("/private/\xe9", {400, "/%C3%A9"}),
        ("/private/%", {400, "/%25"}),
        ("/private/%252e%252e/x", {"/%252e%252e/x"}),
        ("/private/%2A", {"/%2A"}),
        ("/private/*", {"/%2A"}),
        ("/private/a%3FExpires=9&x", {"/a%3FExpires%3D9%26x"}),
        ("/private/a%23b", {"/a%23b"}),
        ("/private/a#b", {"/a", "/a%23b", 400}),
        ("/private/a?Policy=x&Expires=9&Signature=y&Key-Pair-Id=z", {"/a"}),
        ("/private/@evil.com/x", {"/%40evil.com/x"}),
        ("/%70rivate%2Fx", {"/x"}),
        ("/private", {404}),
        ("/private/", {404}),
        ("*", {200, 400, 404}),
    ],
)
def test_hostile_targets(server: Server, target: str, outcomes: set[str | int]) -> None:
    """Sent as raw bytes with a foreign Host, each is refused, passed on, or signed as the path that was judged."""
    answer = server.send(target)
    assert (signed_path(answer) or answer.code) in outcomes


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_script_name_header_does_not_move_what_is_signed(server: Server, method: str) -> None:
    """A header that moves the mount point (gunicorn heeds it) can move a request out of the prefix, never within."""
    moved_out = server.send("/private/a", method, SCRIPT_NAME="/private")
    moved_in = server.send("/x/private/a", method, SCRIPT_NAME="/x")
    if server.kind == "gunicorn":
        assert (moved_out.code, signed_path(moved_out)) == (200, None)
        assert (moved_in.code, signed_path(moved_in)) == (303, "/a")
    else:
        assert (moved_out.code, signed_path(moved_out)) == (303, "/a")
        assert (moved_in.code, signed_path(moved_in)) == (200, None)


@pytest.mark.parametrize("server", ["gunicorn", "waitress"], indirect=True)
def test_invariant_10_concurrent_requests_all_verify(server: Server) -> None:
    """Forked after loading or threaded: eight clients at once each get the URL of what they asked for."""

    def fetch(number: int) -> tuple[str | None, str]:
        answer = server.send(f"/private/{number}")
        return signed_path(answer), "".join(answer.values("X-Process"))

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(fetch, range(200)))
    assert [path for path, _ in answers] == [f"/{number}" for number in range(200)]
    processes = {process for _, process in answers}
    if server.kind == "gunicorn":
        assert len(processes) == 2
        assert str(server.process.pid) not in processes
    else:
        assert processes == {str(server.process.pid)}
