"""Real clients follow real redirects from a gate to an edge and get the bytes, whatever a name is made of."""

from __future__ import annotations

import asyncio
import functools
import json
import re
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any, NamedTuple
from urllib.parse import parse_qs, quote, unquote
from urllib.request import urlopen
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

import aiohttp
import httpx
import pytest
import requests
from playwright.sync_api import sync_playwright

from cfgate_middleware import CloudFrontGate, Grant
from cfgate_middleware.edge import LocalEdge
from tests.support import KEY_GROUP, SIGNER, Headers

pytestmark = pytest.mark.slow  # it starts a browser and nine other clients
TIMEOUT = 60

# Every printable character of ASCII, some beyond it, and names as people give them; the last is text for a browser.
VALUES = [f"a{chr(code)}b" for code in range(0x20, 0x7F)]
VALUES += ["é", "e\u0301", "日本", "😀", "a+b c", "%41", "%2F", "100%.pdf", "x=y&Expires=1#z", "$(x);y*'z'?"]
VALUES += ["@scope=x&y!.tgz", "2026-01-01T09:00:00Z", "img (1), @scope=x&y!.txt"]


def content(value: str) -> bytes:
    """Return what lies at the edge under a name or value: one line."""
    return f"The content of {value}\n".encode()


def echo(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
    """Answer with the content for the parameter ``v``, as an origin whose answers depend on it."""
    (value,) = parse_qs(environ["QUERY_STRING"], strict_parsing=True)["v"]
    start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8")])
    return [content(value)]


class Server(ThreadingMixIn, WSGIServer):
    """A server that takes as many requests at once as a browser sends."""

    request_queue_size = 128


class Handler(WSGIRequestHandler):
    """Passes on the target as it was sent, and logs nothing."""

    def get_environ(self) -> WSGIEnvironment:
        return {**super().get_environ(), "REQUEST_URI": self.path}

    def log_message(self, format: str, *arguments: Any) -> None:
        pass


class Site(NamedTuple):
    """A gate and an edge, and what passed between them."""

    gate_url: str
    locations: dict[str, str]  # by the decoded target at the gate
    asked: list[tuple[str, str | None]]  # of the edge: URL as it was sent, and cookies


@contextmanager
def serving(origin: Path | WSGIApplication, verdict: Any = True) -> Iterator[Site]:
    """Serve a gate and an edge on free ports, until the block ends."""

    def start_gate(environ: WSGIEnvironment, start_response: StartResponse) -> Any:
        def start(status: str, headers: Headers, *more: Any) -> Any:
            site.locations[unquote(environ["REQUEST_URI"])] = dict(headers).get("Location", "")
            return start_response(status, headers, *more)

        return gate(environ, start)

    def log_out(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
        film = ("Location", f"{edge_url}/film/index.m3u8")
        start_response("303 See Other", [film, *gate.clear_cookies("/film/")])
        return []

    def start_edge(environ: WSGIEnvironment, start_response: StartResponse) -> Any:
        def start(status: str, headers: Headers, *more: Any) -> Any:  # with CORS, for the scripts of a browser
            return start_response(status, [*headers, ("Access-Control-Allow-Origin", "*")], *more)

        site.asked.append((f"http://{environ['HTTP_HOST']}{environ['REQUEST_URI']}", environ.get("HTTP_COOKIE")))
        return edge(environ, start)

    servers = [make_server("127.0.0.1", 0, app, Server, Handler) for app in (start_gate, start_edge)]
    gate_url, edge_url = (f"http://127.0.0.1:{server.server_port}" for server in servers)
    site = Site(gate_url, {}, [])
    edge = LocalEdge(origin, KEY_GROUP, public_url=edge_url)
    options: dict[str, Any] = {"signer": SIGNER, "expires": 3600, "forward_query": ["v"]}
    gate = CloudFrontGate(log_out, lambda environ: verdict, prefix="/private", domain=edge_url, **options)
    for server in servers:
        threading.Thread(target=server.serve_forever, args=(0.02,)).start()
    try:
        yield site
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()


# Each client gets URLs and an empty directory, and returns what it got without an error, one behind the other.


def with_requests(urls: list[str], directory: Path) -> bytes:
    """Use requests."""
    with requests.Session() as session:
        answers = [session.get(url, timeout=TIMEOUT) for url in urls]
    return b"".join(answer.content for answer in answers if answer.ok)


def with_httpx(urls: list[str], directory: Path) -> bytes:
    """Use httpx, which follows redirects only if it is told to."""
    with httpx.Client(follow_redirects=True, timeout=TIMEOUT) as client:
        answers = [client.get(url) for url in urls]
    return b"".join(answer.content for answer in answers if answer.is_success)


def with_aiohttp(urls: list[str], directory: Path, **options: Any) -> bytes:
    """Use aiohttp."""

    async def fetch() -> bytes:
        async with aiohttp.ClientSession(**options) as session:
            answers = [await session.get(url) for url in urls]
            return b"".join([await answer.read() for answer in answers if answer.ok])

    return asyncio.run(fetch())


def run(command: str, given: str, directory: Path | None = None) -> bytes:
    """Run a command in a directory with something on its input, and return its output."""
    return subprocess.run(
        command.split(), input=given.encode(), stdout=subprocess.PIPE, cwd=directory, timeout=TIMEOUT
    ).stdout


def with_aria2c(urls: list[str], directory: Path) -> bytes:
    """Use one aria2c, which writes files."""
    given = "".join(f"{url}\n  out={number:03}\n" for number, url in enumerate(urls))
    run("aria2c --no-conf --quiet -j16 -i-", given, directory)
    return b"".join(file.read_bytes() for file in sorted(directory.iterdir()))


FETCH = "Promise.all({}.map(url => fetch(url).then(got => got.ok ? got.text() : ''))).then(texts => texts.join(''))"


def with_chromium(urls: list[str], directory: Path) -> bytes:
    """Use the ``fetch`` of a page in Chromium, and for the last URL the page itself."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page()
        page.goto(f"{urls[0].rpartition('/')[0]}/")  # a 404, but of the gate's origin
        fetched: str = page.evaluate(FETCH.format(json.dumps(urls[:-1])))
        shown = page.goto(urls[-1])
        last: bytes = shown.body() if shown and shown.ok else b""
        browser.close()
    return fetched.encode() + last


CLIENTS: dict[str, Callable[[list[str], Path], bytes]] = {
    "aiohttp": with_aiohttp,
    "aiohttp, not requoting": functools.partial(with_aiohttp, requote_redirect_url=False),
    "aria2c": with_aria2c,
    "chromium": with_chromium,
    "curl": lambda urls, directory: run("curl -qsfL -K-", "".join(f'url = "{url}"\n' for url in urls)),
    "httpx": with_httpx,
    "node": lambda urls, directory: run(
        "node -", f"{FETCH.format(json.dumps(urls))}.then(text => process.stdout.write(text))"
    ),
    "requests": with_requests,
    "urllib": lambda urls, directory: b"".join([urlopen(url, timeout=TIMEOUT).read() for url in urls]),
    "wget": lambda urls, directory: run("wget --no-config -qO- -i-", "\n".join(urls)),
}
COMMANDS = ("aria2c", "chromium", "curl", "ffmpeg", "node", "wget")
# The characters that a client decodes in a Location, so that names with them get a 403. aiohttp decodes all that may be
# bare there by RFC 3986. These are encoded all the same, because they are not safe elsewhere: they are CloudFront's
# wildcards, end the Path of a cookie, or mean something between quotes or to shells.
CHANGED = {
    ("aiohttp", "path"): "$'*;",
    ("aiohttp", "value"): "$'*?",
}


def need(command: str) -> None:
    """Skip the test if it needs a command that is missing."""
    if command in COMMANDS and not shutil.which(command):
        pytest.skip(f"the command {command} is missing")


@pytest.mark.parametrize("part", ["path", "value"])
@pytest.mark.parametrize("client", CLIENTS)
def test_C1_any_character_arrives(client: str, part: str, tmp_path: Path) -> None:
    """In an object's name or a kept parameter, a character arrives as it was signed, unless it is in the table."""
    need(client)
    values = [value for value in VALUES if part == "value" or not set("/\\") & set(value)]
    (files := tmp_path / "files").mkdir()
    (empty := tmp_path / "empty").mkdir()
    for value in values if part == "path" else ():
        (files / value).write_bytes(content(value))
    target = "/private/" if part == "path" else "/private/file?v="
    with serving(files if part == "path" else echo) as site:
        got = CLIENTS[client]([f"{site.gate_url}{target}{quote(value, safe='')}" for value in values], empty)

    good = [value for value in values if not set(CHANGED.get((client, part), "")) & set(value)]
    asked = {url for url, _ in site.asked}
    assert [value for value in values if site.locations[target + value] in asked] == good
    assert got.splitlines(keepends=True) == [content(value) for value in good]


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with a film of three pieces, ten frames each."""
    need("ffmpeg")
    (film := tmp_path_factory.mktemp("films") / "film").mkdir()
    source = "-f lavfi -i testsrc=duration=3:size=64x48:rate=10 -c:v mpeg2video -g 10"
    run(f"ffmpeg -v error {source} -hls_time 1 -hls_segment_filename %d.ts index.m3u8", "", film)
    return film.parent


def frames_of(url: str) -> int:
    """Return how many frames ffmpeg decodes, which is told nothing about cookies."""
    frames = re.findall(rb"^frame=(\d+)$", run(f"ffmpeg -v quiet -progress - -i {url} -f null -", ""), re.MULTILINE)
    return int(frames[-1]) if frames else 0


@pytest.mark.parametrize(
    ("scope", "file", "frames", "cleared"),
    [("directory", "index.m3u8", 30, "CloudFront-Expires="), ("object", "1.ts", 10, "CloudFront-Policy=")],
)
def test_C2_ffmpeg_plays_with_cookies(films: Path, scope: str, file: str, frames: int, cleared: str) -> None:
    """A film and a piece of it play at clean URLs, with the cookies of the redirect and none that it clears."""
    with serving(films, Grant(scope=scope, answer="cookies")) as site:
        assert frames_of(f"{site.gate_url}/private/film/{file}") == frames
    for url, cookies in site.asked:
        assert "?" not in url
        assert "CloudFront-Signature=" in str(cookies)
        assert cleared not in str(cookies)


def test_C2_ffmpeg_sends_no_cookies_that_a_log_out_clears(films: Path) -> None:
    """What clear_cookies returns makes no cookies, not even some without a value, which CloudFront would refuse."""
    with serving(films) as site:
        assert frames_of(f"{site.gate_url}/logout") == 0
    assert site.asked == [(site.locations["/logout"], None)]
