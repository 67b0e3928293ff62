"""The demo, run as its README says: as a process, over HTTP, with curl and a browser."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qs, urljoin, urlsplit

import pytest
import requests
from playwright.sync_api import Browser, Page, Response, sync_playwright

DEMO = Path(__file__).parent.parent / "examples" / "demo"
FILES = ("picture.png", "film.mp4", "document.pdf")
PLAYLIST = "hls/film.m3u8"
PIECES = ("hls/init.mp4", "hls/piece1.mp4", "hls/piece2.mp4", "hls/piece3.mp4")
JSON = {"Accept": "application/json"}
TIMEOUT = 20


class Demo(NamedTuple):
    """A running demo."""

    url: str
    process: subprocess.Popen[str]
    log: Path


@contextlib.contextmanager
def running(log: Path, **environment: str) -> Iterator[Demo]:
    """Run the demo on free ports until the block ends."""
    command = [sys.executable, str(DEMO), "--port", "0", "--edge-port", "0"]
    with (
        log.open("w") as stderr,
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=stderr, text=True, env=os.environ | environment
        ) as process,
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
    """Run one demo for all tests that do not end it."""
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


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Start Chromium."""
    chromium = shutil.which("chromium")
    assert chromium, "this test needs the command chromium (Debian: apt-get install chromium)"
    quiet = ["background-networking", "component-update", "sync", "gpu"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium,
            args=["--no-sandbox", "--no-first-run", *(f"--disable-{what}" for what in quiet)],
        )
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """Open a page without the cookies and the cache of other tests."""
    with browser.new_context() as context:
        yield context.new_page()


def private(session: requests.Session, demo: Demo, file: str, **headers: str) -> requests.Response:
    """Request a private file from the gate, without following redirects."""
    return session.get(f"{demo.url}/private/{file}", allow_redirects=False, headers=headers, timeout=TIMEOUT)


def choose(session: requests.Session, demo: Demo, answer: str) -> None:
    """Choose the kind of response, as the page's buttons do."""
    session.post(f"{demo.url}/answer/{answer}", timeout=TIMEOUT).raise_for_status()


def content(file: str) -> bytes:
    """Return the content of a private file."""
    return (DEMO / "private" / file).read_bytes()


def test_the_page_loads_with_its_style_and_script(demo: Demo, stranger: requests.Session) -> None:
    """The page and the two files it needs are served, and no cache may keep the page."""
    page = stranger.get(demo.url, timeout=TIMEOUT)
    assert page.status_code == 200
    assert page.headers["Cache-Control"] == "no-store"
    assert "$" not in page.text.replace("$ ", "")
    for path in re.findall(r'(?:src|href)="(/[a-z]+\.(?:js|css))"', page.text):
        assert stranger.get(demo.url + path, timeout=TIMEOUT).status_code == 200
    assert stranger.get(f"{demo.url}/nothing", timeout=TIMEOUT).status_code == 404


def test_the_page_moves_to_the_host_that_cookies_belong_to(demo: Demo, stranger: requests.Session) -> None:
    """Under another host name, such as localhost, the page redirects to the name that gate and edge share."""
    name = f"localhost:{urlsplit(demo.url).port}"
    moved = stranger.get(demo.url, headers={"Host": name}, allow_redirects=False, timeout=TIMEOUT)
    assert (moved.status_code, moved.headers["Location"]) == (303, demo.url)


@pytest.mark.parametrize("file", [*FILES, PLAYLIST, *PIECES])
def test_a_stranger_is_refused(demo: Demo, stranger: requests.Session, file: str) -> None:
    """Without a log-in the gate replies 401, without an address or a cookie."""
    answer = private(stranger, demo, file)
    assert answer.status_code == 401
    assert "Location" not in answer.headers
    assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize("file", FILES)
def test_a_member_gets_every_file_from_the_edge(demo: Demo, member: requests.Session, file: str) -> None:
    """The gate replies 303, and the edge's port sends the file byte for byte."""
    answer = private(member, demo, file)
    assert answer.status_code == 303
    assert answer.headers["Cache-Control"] == "private, no-store"
    assert not answer.headers["Location"].startswith(demo.url)
    served = requests.get(answer.headers["Location"], timeout=TIMEOUT)
    assert served.status_code == 200
    assert served.content == content(file)


@pytest.mark.parametrize("file", FILES)
def test_cookies_open_one_file_at_its_clean_address(demo: Demo, member: requests.Session, file: str) -> None:
    """The cookies response redirects to an address without a query, which works only with the cookies."""
    choose(member, demo, "cookies")
    answer = private(member, demo, file)
    assert answer.status_code == 303
    location = answer.headers["Location"]
    assert urlsplit(location)[2:] == (f"/{file}", "", "")
    assert member.get(location, timeout=TIMEOUT).content == content(file)
    without = requests.get(location, timeout=TIMEOUT)
    assert without.status_code == 403
    assert "<Code>MissingKey</Code>" in without.text


@pytest.mark.parametrize("file", FILES)
def test_json_contains_the_signed_address(demo: Demo, member: requests.Session, file: str) -> None:
    """With JSON chosen, a client that accepts it gets address and end time, and any other client is redirected."""
    choose(member, demo, "json")
    answer = private(member, demo, file, **JSON)
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "private, no-store"
    signed = answer.json()
    assert int(parse_qs(urlsplit(signed["url"]).query)["Expires"][0]) == signed["expires"]
    assert requests.get(signed["url"], timeout=TIMEOUT).content == content(file)
    assert private(member, demo, file).status_code == 303


def test_the_choice_belongs_to_one_log_in(demo: Demo, member: requests.Session, stranger: requests.Session) -> None:
    """The choice is stored with the session: it changes no other visitor's, and a stranger has none."""
    choose(stranger, demo, "cookies")
    with requests.Session() as other:
        other.post(f"{demo.url}/login", timeout=TIMEOUT)
        choose(other, demo, "json")
    assert "Signature=" in private(member, demo, "picture.png", **JSON).headers["Location"]
    assert not stranger.cookies
    assert member.post(f"{demo.url}/answer/anything", timeout=TIMEOUT).status_code == 404


@pytest.mark.parametrize("answer", ["redirect", "cookies", "json"])
def test_one_grant_opens_the_whole_film_in_pieces(demo: Demo, member: requests.Session, answer: str) -> None:
    """Whatever was chosen, the playlist comes with cookies, which open every piece that it names."""
    choose(member, demo, answer)
    granted = private(member, demo, PLAYLIST, **JSON)
    assert granted.status_code == 303
    playlist = member.get(granted.headers["Location"], timeout=TIMEOUT)
    assert playlist.url.endswith(f"/{PLAYLIST}")
    names = re.findall(r"^[^#\n].*|(?<=URI=\")[^\"]+", playlist.text, re.MULTILINE)
    assert tuple(f"hls/{name}" for name in names) == PIECES
    for piece in PIECES:
        served = member.get(urljoin(playlist.url, f"/{piece}"), timeout=TIMEOUT)
        assert (served.status_code, served.content) == (200, content(piece))


@pytest.mark.parametrize(
    "path", ["/picture.png", "/hls2/film.m3u8", "/hls", "/hls/../picture.png", "/hls/%2e%2e/film.mp4"]
)
def test_the_cookies_of_a_directory_open_nothing_else(demo: Demo, member: requests.Session, path: str) -> None:
    """Sent by hand for a path outside the directory, which no browser would do, they are refused."""
    granted = private(member, demo, PLAYLIST)
    cookies = "; ".join(f"{cookie.name}={cookie.value}" for cookie in granted.cookies)
    edge = urlsplit(granted.headers["Location"])
    connection = http.client.HTTPConnection(edge.netloc, timeout=TIMEOUT)
    with contextlib.closing(connection):  # requests would fold the dots before it sends them
        connection.request("GET", path, headers={"Cookie": cookies})
        assert connection.getresponse().status == 403


def test_the_edge_lets_the_scripts_of_the_gate_read(demo: Demo, member: requests.Session) -> None:
    """The edge names the page's origin and allows cookies, on files and on a browser's preflight."""
    location = private(member, demo, "picture.png").headers["Location"]
    preflight = requests.options(location, timeout=TIMEOUT)
    assert preflight.status_code == 204
    for answer in (preflight, requests.get(location, timeout=TIMEOUT)):
        assert answer.headers["Access-Control-Allow-Origin"] == demo.url
        assert answer.headers["Access-Control-Allow-Credentials"] == "true"
    assert "Access-Control-Allow-Origin" not in private(member, demo, "picture.png").headers


def test_a_part_of_the_film_can_be_requested(demo: Demo, member: requests.Session) -> None:
    """A Range request with the signed address returns 206 and exactly those bytes, so players can seek."""
    location = private(member, demo, "film.mp4").headers["Location"]
    part = requests.get(location, headers={"Range": "bytes=1000-1999"}, timeout=TIMEOUT)
    assert part.status_code == 206
    assert part.content == content("film.mp4")[1000:2000]


def test_the_film_can_be_paused(demo: Demo, member: requests.Session) -> None:
    """Its address is valid far longer than the others, because players request it again while they play."""
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
    """A signed address opens one file until its end time; anything else gets CloudFront's XML."""
    location = private(member, demo, "picture.png").headers["Location"]
    changed = re.sub(pattern, replacement, location)
    assert changed != location
    refused = requests.get(changed, timeout=TIMEOUT)
    assert refused.status_code == 403
    assert f"<Code>{code}</Code>" in refused.text


def test_logging_out_closes_the_gate(demo: Demo, member: requests.Session) -> None:
    """The log-in ends on the server, so even the old cookie does not open the gate again."""
    old_cookies = member.cookies.copy()
    member.post(f"{demo.url}/logout", timeout=TIMEOUT).raise_for_status()
    assert not member.cookies
    assert private(member, demo, "picture.png").status_code == 401
    member.cookies = old_cookies
    assert private(member, demo, "picture.png").status_code == 401


def test_logging_out_clears_the_signed_cookies_but_expiry_ends_access(demo: Demo, member: requests.Session) -> None:
    """The browser keeps none of them, but a copy made before still works."""
    choose(member, demo, "cookies")
    addresses = {file: private(member, demo, file).headers["Location"] for file in (*FILES, PLAYLIST)}
    copies = member.cookies.copy()
    member.post(f"{demo.url}/logout", timeout=TIMEOUT).raise_for_status()
    assert not member.cookies
    for file, address in addresses.items():
        assert member.get(address, timeout=TIMEOUT).status_code == 403
        assert requests.get(address, cookies=copies, timeout=TIMEOUT).content == content(file)


def test_the_decisions_are_listed_without_secrets(demo: Demo, member: requests.Session) -> None:
    """The list shows grants and refusals, newest first; neither the list nor the terminal shows a signature."""
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
    """The page's curl commands work: after the log-in, -L follows the gate's redirect to the picture."""

    def curl(arguments: str, path: str) -> str:
        command = ["curl", "-sSf", "--max-time", str(TIMEOUT), *arguments.split(" "), demo.url + path]
        return subprocess.run(command, check=True, capture_output=True, text=True, cwd=tmp_path).stdout

    curl("-c jar -d ", "/login")
    outcome = curl("-b jar -L -o picture.png -w %{http_code},%{num_redirects}", "/private/picture.png")
    assert outcome == "200,1"
    assert (tmp_path / "picture.png").read_bytes() == content("picture.png")


def refused(page: Page, count: int) -> None:
    """Wait until this number of files is shown as refused."""
    page.wait_for_function(f"document.querySelectorAll('.file.refused').length === {count}")


@pytest.mark.slow
def test_a_browser_shows_the_files_to_members_only(demo: Demo, page: Page) -> None:
    """Chromium shows picture and film after a click on "Log in", and placeholders after a click on "Log out"."""
    page.goto(demo.url)
    refused(page, 4)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_function("document.querySelector('#decisions').textContent.includes('granted')")
    shows_picture_and_film(page)
    refused(page, 0)
    page.get_by_role("button", name="Log out").click()
    refused(page, 4)
    assert page.context.cookies() == []


def shows_picture_and_film(page: Page) -> None:
    """Wait until both are loaded and all addresses are shown."""
    page.wait_for_function("document.querySelector('img').naturalWidth > 0")
    page.wait_for_function("document.querySelector('video').readyState >= 2")
    page.wait_for_function("[...document.querySelectorAll('output')].every((output) => output.textContent)")


@pytest.mark.slow
@pytest.mark.parametrize(("button", "signed"), [("Redirect", True), ("Cookies", False), ("JSON", True)])
def test_a_browser_shows_the_files_with_every_kind_of_response(
    demo: Demo, page: Page, button: str, signed: bool
) -> None:
    """Picture, film and document come from the edge; with cookies addresses are clean, with JSON a script sets them."""
    page.goto(demo.url)
    page.get_by_role("button", name="Log in").click()
    page.get_by_role("button", name=button).click()
    page.wait_for_selector(f"button[aria-pressed=true]:text('{button}')")
    shows_picture_and_film(page)
    refused(page, 0)
    addresses = page.locator("output").all_inner_texts()
    for file, address in zip(FILES, addresses, strict=False):
        path, _, query = address.partition("?")
        assert path.endswith(f"/{file}")
        assert not path.startswith(demo.url)
        assert ("Signature=" in query) is bool(query) is signed
    source = page.locator("img").get_attribute("src")
    assert source == (addresses[0] if button == "JSON" else "/private/picture.png")


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("npm") is None, reason="npm fetches hls.js")
def test_hls_js_plays_the_pieces_from_the_edge(demo: Demo, page: Page) -> None:
    """The film plays; its playlist came through the gate, and every piece directly from the edge with cookies."""
    answers: list[Response] = []
    page.on("response", lambda answer: answers.append(answer))
    page.goto(demo.url)
    page.get_by_role("button", name="Log in").click()
    video = "document.querySelector('[data-hls]')"
    page.wait_for_function(f"{video}.readyState >= 2", timeout=60_000)  # npm fetches over the network
    page.wait_for_function(f"{video}.buffered.length && {video}.buffered.end(0) > 5.9")
    assert page.evaluate(f"{video}.src").startswith("blob:")
    page.evaluate(f"{video}.play()")
    page.wait_for_function(f"{video}.currentTime > 0.2")
    assert page.locator(".pieces li").count() == 3

    def last(path: str) -> Response:
        return [answer for answer in answers if answer.url.endswith(path)][-1]

    edge = last(f"/{PLAYLIST}").url.removesuffix(PLAYLIST)
    assert not edge.startswith(demo.url)
    assert last(f"/{PLAYLIST}").request.redirected_from
    for piece in PIECES:
        answer = last(f"/{piece}")
        assert (answer.url, answer.status) == (edge + piece, 200)
        assert "CloudFront-Policy=" in answer.request.all_headers()["cookie"]
    from_gate = {answer.url for answer in answers if answer.url.startswith(f"{demo.url}/private/hls")}
    assert from_gate == {f"{demo.url}/private/{PLAYLIST}"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("npm", "reason"),
    [(None, "npm is not installed"), ("#!/bin/sh\nexit 1\n", "npm pack hls.js@1.6.19 failed")],
    ids=["none", "failing"],
)
def test_without_hls_js_the_page_says_so(tmp_path: Path, page: Page, npm: str | None, reason: str) -> None:
    """If npm fails and the browser cannot play HLS itself, the page and the terminal say so; the rest works."""
    if npm:
        (tmp_path / "npm").write_text(npm)
        (tmp_path / "npm").chmod(0o755)
    page.add_init_script("HTMLMediaElement.prototype.canPlayType = () => ''")
    with running(tmp_path / "log", PATH=str(tmp_path)) as demo:
        page.goto(demo.url)
        page.get_by_role("button", name="Log in").click()
        page.wait_for_selector(".hls.unplayable")
        shows_picture_and_film(page)
        refused(page, 0)
        assert f"no hls.js: {reason}\n" in demo.log.read_text()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_demo_cleanly(tmp_path: Path, number: signal.Signals) -> None:
    """Ctrl-C and SIGTERM end the process with code 0, no traceback and free ports, even if a connection is open."""
    with running(tmp_path / "log") as demo, requests.Session() as visitor:
        visitor.get(demo.url, timeout=TIMEOUT).raise_for_status()
        demo.process.send_signal(number)
        assert demo.process.wait(TIMEOUT) == 0
        assert "Traceback" not in demo.log.read_text()
        with pytest.raises(requests.ConnectionError):
            requests.get(demo.url, timeout=TIMEOUT)


@pytest.mark.parametrize(("option", "other"), [("--port", "--edge-port"), ("--edge-port", "--port")])
def test_a_taken_port_is_named_with_its_option(option: str, other: str) -> None:
    """A port in use ends the demo with one line that names the port and the option to change it."""
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
