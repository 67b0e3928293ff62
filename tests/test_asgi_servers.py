"""The gate for ASGI behind real servers and in real frameworks."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests
import websockets.exceptions
import websockets.sync.client

from tests.running import free_ports
from tests.test_advisory import APP, MOUNTS, UNCLEAN, Case, granted, signed_path
from tests.test_servers import OPTIONS, ROOT, SENT, TIMEOUT, VERDICT, Deviation, Running, assert_safe, outcome_of

pytestmark = pytest.mark.slow  # it starts each server twice
SITE, SITE_FIELD = "tests.asgi_site:app", "X-Test-Site"
UVICORN = ["-m", "uvicorn", SITE, "--port={port}"]
COMMANDS = {
    "uvicorn-h11": [*UVICORN, "--http=h11"],
    "uvicorn-httptools": [*UVICORN, "--http=httptools"],
    "hypercorn": ["-m", "hypercorn", "--bind=127.0.0.1:{port}", SITE],
    "granian": ["-m", "granian", "--interface=asgi", "--port={port}", SITE],
    "daphne": ["-m", "daphne", "--port={port}", SITE],
}


@contextmanager
def started(kind: str, log: Path, *more: str) -> Iterator[Running]:
    """Run a server until the block ends; it is ready when it accepts a connection."""
    with free_ports(1) as (port,), log.open("wb") as output:
        command = [part.format(port=port) for part in COMMANDS[kind]]
        process = subprocess.Popen([sys.executable, *command, *more], stdout=output, stderr=output, cwd=ROOT)
        try:
            deadline = time.monotonic() + TIMEOUT
            while True:
                try:
                    socket.create_connection(("127.0.0.1", int(port))).close()
                    break
                except ConnectionRefusedError:
                    assert process.poll() is None and time.monotonic() < deadline, log.read_text()
                    time.sleep(0.02)
            yield Running(kind, int(port), process)
        finally:
            process.terminate()  # and let it end its workers
            try:
                process.wait(TIMEOUT)
            finally:
                process.kill()
                process.wait()


@pytest.fixture(scope="module", params=COMMANDS)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Every kind of server in turn."""
    with started(request.param, tmp_path_factory.mktemp(request.param) / "log") as server:
        yield server


SERVERS = tuple(COMMANDS)
LEAVE_ABSOLUTE = ("uvicorn-h11", "hypercorn", "daphne")
# Each is safe, as in tests/test_servers.py, and held to the path that the gate was given.
DEVIATIONS = [
    Deviation("refuse a raw space", SERVERS, {"R4-raw-space": UNCLEAN}),
    Deviation("refuse raw bytes outside ASCII", (*LEAVE_ABSOLUTE, "uvicorn-httptools"), {"P14-raw-utf-8": UNCLEAN}),
    Deviation(
        "drop scheme and host of an absolute-form target, and serve its path, as RFC 9112 section 3.2.2 demands",
        ("uvicorn-httptools", "granian"),
        {"P15-absolute-form": granted("/x")},
    ),
    Deviation("refuses what is left of it", ("uvicorn-httptools",), {"P15-absolute-form-without-path": UNCLEAN}, [""]),
    Deviation(
        "leave an absolute-form target whole: no mount point is found in it, and the gate at the root gets it",
        LEAVE_ABSOLUTE,
        {"P15-absolute-form": APP, "P15-absolute-form-double-slash": APP},
        mounts=MOUNTS[1:],
    ),
    Deviation(
        "refuse a target that does not begin with a slash",
        ("uvicorn-httptools", "granian"),
        {"P6-encoded-slash-before": UNCLEAN},
        mounts=MOUNTS[:1],
    ),
    Deviation("drop what follows a raw #", ("uvicorn-httptools", "granian"), {"P10-raw-hash": granted("/a")}),
    Deviation("refuses brackets and the like", ("granian",), {"S8-gen-delims": UNCLEAN}),
    Deviation(
        "refuses methods it does not know", ("uvicorn-httptools",), {"P17-invented": UNCLEAN, "P17-lower-case": UNCLEAN}
    ),
    Deviation("writes methods in capitals", ("hypercorn",), {"P17-lower-case": granted("/x")}),
    Deviation(
        "Starlette's Mount takes no line break in a path: the gate at the root gets it",
        SERVERS,
        {"R4-newline": APP, "R5-crlf": APP},
        mounts=MOUNTS[1:],
    ),
    Deviation(
        "Starlette's Mount does not take the mount point alone: the gate at the root gets it",
        SERVERS,
        {"S7-empty": granted("/mount/app")},
        mounts=MOUNTS[1:],
    ),
]
DEVIATING = {
    (server, mount, name): (outcome, deviation.why)
    for deviation in DEVIATIONS
    for server in deviation.servers
    for mount in deviation.mounts
    for name, outcome in deviation.outcomes.items()
}


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
    deviating, why = DEVIATING.get((server.kind, mount, case.name), (expected, "as for WSGI"))
    assert outcome == deviating, why
    assert_safe(answer, outcome, case.options.get("prefix", "/private").rstrip("/"))


def test_every_deviation_is_of_a_case_that_is_sent() -> None:
    """The table names cases that are sent and servers that are started, each once."""
    assert {row[1:] for row in DEVIATING} <= {(mount, case.name) for case, mount, _ in SENT}
    assert {row[0] for row in DEVIATING} == COMMANDS.keys()
    assert len(DEVIATING) == sum(len(row.servers) * len(row.mounts) * len(row.outcomes) for row in DEVIATIONS)


SITES = [(framework, who) for framework in ("starlette", "fastapi", "django") for who in ("ask_app", "users")]
ADA = {"X-User": "ada"}


@pytest.mark.parametrize(("framework", "who"), SITES)
def test_users_are_redirected(server: Running, framework: str, who: str) -> None:
    """GET and HEAD get the redirect, with the cookies of the view that was asked."""
    for method in ("GET", "HEAD"):
        answer = server.send("/private/n%C3%A9%20w?x=1", method, **ADA, **{SITE_FIELD: f"{framework}/{who}"})
        assert (answer.code, answer.body, signed_path(answer)) == (303, b"", "/n%C3%A9%20w")
        assert answer.values("Cache-Control") == ["private, no-store"]
        assert answer.values("X-Cfgate-Allow") == []
        cookies = [cookie.partition(";")[0] for cookie in answer.values("Set-Cookie")]
        assert cookies == (["a=1", "b=2"] if who == "ask_app" else [])


@pytest.mark.parametrize(("framework", "who"), SITES)
def test_strangers_are_refused(server: Running, framework: str, who: str) -> None:
    """The view's own refusal reaches them, or the gate's."""
    answer = server.send("/private/x", **{SITE_FIELD: f"{framework}/{who}"})
    assert (answer.code, signed_path(answer)) == (403, None)
    assert (b"own refusal" in answer.body) == (who == "ask_app")


@pytest.mark.parametrize(("framework", "who"), SITES)
def test_the_application_answers_the_rest(server: Running, framework: str, who: str) -> None:
    """What is outside of the prefix, and a form that is sent to a path below it where the application is asked."""
    headers = {SITE_FIELD: f"{framework}/{who}", **ADA}
    url = f"http://127.0.0.1:{server.port}"
    assert requests.get(f"{url}/", headers=headers, timeout=TIMEOUT).text == "home"
    answer = requests.post(f"{url}/private/x", "form", headers=headers, timeout=TIMEOUT)
    told = (200, "form") if who == "ask_app" else (405, "405 Method Not Allowed\n")
    assert (answer.status_code, answer.text) == told


@pytest.mark.parametrize("framework", ["starlette", "fastapi"])
def test_websockets_are_refused_below_the_prefix(server: Running, framework: str) -> None:
    """However the path is spelled, no connection is accepted there; elsewhere the application talks."""

    def connect(path: str) -> websockets.sync.client.ClientConnection:
        url, headers = f"ws://127.0.0.1:{server.port}{path}", {SITE_FIELD: f"{framework}/ask_app", **ADA}
        return websockets.sync.client.connect(url, additional_headers=headers, proxy=None)

    # What follows two slashes is a host for daphne, which then opens the rest: another path.
    for path in ("/private/ws", "/%70rivate/ws", "/private%2Fws", "///private/ws", "/x/../private/ws"):
        with pytest.raises(websockets.exceptions.InvalidStatus) as refused:
            connect(path)
        assert refused.value.response.status_code == 403
    with connect("/ws") as socket:
        socket.send("hello")
        assert socket.recv(TIMEOUT) == "hello"


def test_an_application_hears_of_a_client_that_goes_away(server: Running) -> None:
    """In the middle of a streamed answer below the prefix, what it receives is the disconnect."""
    name = uuid.uuid4().hex
    with socket.create_connection(("127.0.0.1", server.port), TIMEOUT) as connection:
        request = f"GET /private/stream?{name} HTTP/1.1\r\nHost: x\r\n{SITE_FIELD}: starlette/ask_app\r\n\r\n"
        connection.sendall(request.encode())
        received = b""
        while b"begun" not in received:
            received += connection.recv(65536)
    assert b" 200 " in received
    assert b"gone" in server.send(f"/gone?{name}", **{SITE_FIELD: "starlette/ask_app"}).body


def test_a_root_path_header_does_not_move_what_is_signed(server: Running) -> None:
    """A header that moves the mount point (daphne heeds it) can move a request out of the prefix, never within."""
    moved_out = server.send("/private/a", **{"Daphne-Root-Path": "/private"})
    moved_in = server.send("/x/private/a", **{"Daphne-Root-Path": "/x"})
    if server.kind == "daphne":
        assert (outcome_of(moved_out), outcome_of(moved_in)) == (APP, granted("/a"))
    else:
        assert (outcome_of(moved_out), outcome_of(moved_in)) == (granted("/a"), APP)


@pytest.mark.parametrize("kind", COMMANDS)
def test_a_root_path_and_the_lifespan(kind: str, tmp_path: Path) -> None:
    """Behind a proxy that cuts a path off, or leaves it, the same is signed; start and stop are told on."""
    option = "--url-path-prefix" if kind == "granian" else "--root-path"
    with started(kind, tmp_path / "log", f"{option}=/proxy") as server:
        for site in (f"{framework}/{who}" for framework, who in SITES):
            assert signed_path(server.send("/private/x", **ADA, **{SITE_FIELD: site})) == "/x"
        for path, outcome in ROOT_PATHS.items():
            if not kind.startswith("uvicorn"):  # it prepends the root path to whatever it gets
                assert (path, outcome_of(server.send(f"/proxy{path}"))) == (path, outcome)
            assert (path, outcome_of(server.send(path))) == (path, outcome)
    told = re.findall(r"lifespan: (\w+)", (tmp_path / "log").read_text())
    assert told == ([] if kind == "daphne" else ["startup", "shutdown"])


ROOT_PATHS = {
    "/private/x": granted("/x"),
    "/private%2Fx": granted("/x"),
    "/private/%ff": UNCLEAN,
    "/private/../x": UNCLEAN,
    "/public/../private/x": UNCLEAN,
    "/../proxy/private/x": UNCLEAN,
    "/privatex": APP,
    "/public": APP,
}
