"""The demo, run as its README runs it: a real process, real HTTP, the real curl and a real browser."""

from __future__ import annotations

import contextlib
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from playwright.sync_api import sync_playwright

DEMO = Path(__file__).parent.parent / "examples" / "demo"
FILES = ("picture.png", "film.mp4", "document.pdf")
TIMEOUT = 20


class Demo(NamedTuple):
    """A running demo."""

    url: str
    process: subprocess.Popen[str]
    log: Path


@contextlib.contextmanager
def running(log: Path) -> Iterator[Demo]:
    """Run the demo on free ports until the block ends."""
    command = [sys.executable, str(DEMO), "--port", "0", "--edge-port", "0"]
    with (
        log.open("w") as stderr,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, text=True) as process,
    ):
        try:
            assert process.stdout
            address = re.search(r"http://127\.0\.0\.1:\d+", process.stdout.readline())
            assert address, log.read_text()
            yield Demo(address[0], process, log)
        finally:
            process.kill()


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """One demo for all tests that do not end it."""
    with running(tmp_path_factory.mktemp("demo") / "log") as demo:
        yield demo


@pytest.fixture
def stranger() -> Iterator[requests.Session]:
    """A visitor who is logged out."""
    with requests.Session() as session:
        yield session


@pytest.fixture
def member(demo: Demo) -> Iterator[requests.Session]:
    """A visitor who has logged in."""
    with requests.Session() as session:
        session.post(f"{demo.url}/login", timeout=TIMEOUT).raise_for_status()
        yield session


def private(session: requests.Session, demo: Demo, file: str) -> requests.Response:
    """Ask the gate for a private file, without following its answer."""
    return session.get(f"{demo.url}/private/{file}", allow_redirects=False, timeout=TIMEOUT)


def test_the_page_loads_with_its_style_and_script(demo: Demo, stranger: requests.Session) -> None:
    """The page and the two files it needs are served, and the page is kept by no cache."""
    page = stranger.get(demo.url, timeout=TIMEOUT)
    assert page.status_code == 200
    assert page.headers["Cache-Control"] == "no-store"
    assert "$" not in page.text.replace("$ ", "")
    for path in re.findall(r'(?:src|href)="(/[a-z]+\.(?:js|css))"', page.text):
        assert stranger.get(demo.url + path, timeout=TIMEOUT).status_code == 200
    assert stranger.get(f"{demo.url}/nothing", timeout=TIMEOUT).status_code == 404


@pytest.mark.parametrize("file", FILES)
def test_a_stranger_is_refused(demo: Demo, stranger: requests.Session, file: str) -> None:
    """Without a log-in the gate answers 401 and names no other address."""
    answer = private(stranger, demo, file)
    assert answer.status_code == 401
    assert "Location" not in answer.headers


@pytest.mark.parametrize("file", FILES)
def test_a_member_gets_every_file_from_the_edge(demo: Demo, member: requests.Session, file: str) -> None:
    """The gate answers 303, and the edge's port sends the file byte for byte."""
    answer = private(member, demo, file)
    assert answer.status_code == 303
    assert answer.headers["Cache-Control"] == "private, no-store"
    assert not answer.headers["Location"].startswith(demo.url)
    served = requests.get(answer.headers["Location"], timeout=TIMEOUT)
    assert served.status_code == 200
    assert served.content == (DEMO / "private" / file).read_bytes()


def test_a_part_of_the_film_can_be_asked_for(demo: Demo, member: requests.Session) -> None:
    """A Range request through the signed address gives 206 and just those bytes, so players can seek."""
    location = private(member, demo, "film.mp4").headers["Location"]
    part = requests.get(location, headers={"Range": "bytes=1000-1999"}, timeout=TIMEOUT)
    assert part.status_code == 206
    assert part.content == (DEMO / "private" / "film.mp4").read_bytes()[1000:2000]


def test_the_film_outlives_a_pause(demo: Demo, member: requests.Session) -> None:
    """Its address lasts far longer than the others, because players go back to it while they play."""
    ends = {}
    for file in FILES:
        location = private(member, demo, file).headers["Location"]
        ends[file] = int(parse_qs(urlsplit(location).query)["Expires"][0])
    assert ends["film.mp4"] - ends["picture.png"] > 3000
    assert ends["document.pdf"] - ends["picture.png"] < 60


@pytest.mark.parametrize(
    ("pattern", "replacement", "code"),
    [
        (r"Signature=(.)(.)", r"Signature=\2\1", "AccessDenied"),
        (r"Expires=\d+", "Expires=1000000000", "AccessDenied"),
        (r"picture\.png", "document.pdf", "AccessDenied"),
        (r"\?.*", "", "MissingKey"),
    ],
    ids=["altered", "expired", "another file", "unsigned"],
)
def test_the_edge_refuses_what_the_gate_did_not_sign(
    demo: Demo, member: requests.Session, pattern: str, replacement: str, code: str
) -> None:
    """A signed address is good for one file until one moment; anything else gets CloudFront's XML."""
    location = private(member, demo, "picture.png").headers["Location"]
    changed = re.sub(pattern, replacement, location)
    assert changed != location
    refused = requests.get(changed, timeout=TIMEOUT)
    assert refused.status_code == 403
    assert f"<Code>{code}</Code>" in refused.text


def test_logging_out_closes_the_gate(demo: Demo, member: requests.Session) -> None:
    """The log-in ends on the server, so not even the old cookie opens the gate again."""
    old_cookies = member.cookies.copy()
    member.post(f"{demo.url}/logout", timeout=TIMEOUT).raise_for_status()
    assert not member.cookies
    assert private(member, demo, "picture.png").status_code == 401
    member.cookies = old_cookies
    assert private(member, demo, "picture.png").status_code == 401


def test_the_decisions_are_listed_without_secrets(demo: Demo, member: requests.Session) -> None:
    """The list shows grants and refusals, newest first; neither it nor the terminal shows a signature."""
    private(member, demo, "film.mp4")
    with requests.Session() as stranger:
        private(stranger, demo, "document.pdf")
    answer = member.get(f"{demo.url}/decisions.json", timeout=TIMEOUT)
    refused, granted = answer.json()[:2]
    assert refused.pop("time")
    assert refused == {"method": "GET", "path": "/private/document.pdf", "status": 401, "reason": "refused"}
    assert (granted["path"], granted["status"], granted["reason"]) == ("/private/film.mp4", 303, "granted")
    log = demo.log.read_text()
    assert "/private/film.mp4" in log
    for text in (answer.text, log):
        assert "Signature=" not in text


def test_curl_follows_the_gate_to_the_file(demo: Demo, tmp_path: Path) -> None:
    """The page's curl commands work: log in with a cookie jar, then -L ends at the edge with the picture."""

    def curl(arguments: str, path: str) -> str:
        command = ["curl", "-sSf", "--max-time", str(TIMEOUT), *arguments.split(" "), demo.url + path]
        return subprocess.run(command, check=True, capture_output=True, text=True, cwd=tmp_path).stdout

    curl("-c jar -d ", "/login")
    told = curl("-b jar -L -o picture.png -w %{http_code},%{num_redirects}", "/private/picture.png")
    assert told == "200,1"
    assert (tmp_path / "picture.png").read_bytes() == (DEMO / "private" / "picture.png").read_bytes()


def test_a_browser_shows_the_files_to_members_only(demo: Demo) -> None:
    """Chromium shows picture and film after a click on "Log in", and placeholders after one on "Log out"."""
    chromium = shutil.which("chromium")
    assert chromium, "this test needs the command chromium (Debian: apt-get install chromium)"
    quiet = ["background-networking", "component-update", "sync", "gpu"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium,
            args=["--no-sandbox", "--no-first-run", *(f"--disable-{what}" for what in quiet)],
        )
        page = browser.new_page()
        page.goto(demo.url)
        page.wait_for_function("document.querySelectorAll('.file.refused').length === 3")
        page.get_by_role("button", name="Log in").click()
        page.wait_for_function("document.querySelector('img').naturalWidth > 0")
        page.wait_for_function("document.querySelector('video').readyState >= 2")
        page.wait_for_function("document.querySelector('#decisions').textContent.includes('granted')")
        assert page.locator(".file.refused").count() == 0
        page.get_by_role("button", name="Log out").click()
        page.wait_for_function("document.querySelectorAll('.file.refused').length === 3")
        browser.close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_demo_cleanly(tmp_path: Path, number: signal.Signals) -> None:
    """Ctrl-C and SIGTERM end the process with code 0, no traceback and free ports, even with a connection open."""
    with running(tmp_path / "log") as demo, requests.Session() as visitor:
        visitor.get(demo.url, timeout=TIMEOUT).raise_for_status()
        demo.process.send_signal(number)
        assert demo.process.wait(TIMEOUT) == 0
        assert "Traceback" not in demo.log.read_text()
        with pytest.raises(requests.ConnectionError):
            requests.get(demo.url, timeout=TIMEOUT)


@pytest.mark.parametrize(("option", "other"), [("--port", "--edge-port"), ("--edge-port", "--port")])
def test_a_taken_port_is_named_with_its_option(option: str, other: str) -> None:
    """A port in use ends the demo with one line that says which port and how to choose another."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = subprocess.run(
            [sys.executable, str(DEMO), option, str(port), other, "0"],
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
        )
    assert ended.returncode == 1
    assert ended.stdout == ""
    reason = "Address already in use"
    assert ended.stderr == f"cannot listen on port {port} ({reason}): choose another with {option}\n"
