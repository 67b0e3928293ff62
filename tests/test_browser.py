"""A browser and scripts of other origins: what CORS allows, with a page, a gate and an edge on three origins."""

from __future__ import annotations

import shutil
import socketserver
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import pytest
from playwright.sync_api import Page, sync_playwright

from cfgate_middleware import CloudFrontGate, Distribution
from cfgate_middleware.edge import LocalEdge
from tests.support import KEY_GROUP, SIGNER

pytestmark = pytest.mark.slow
ASK_FOR_URL = """async ([url, token]) => {
    const options = {headers: {Accept: "application/json", Authorization: token}, credentials: "include"};
    const reply = await fetch(url, options);
    const answer = await reply.json();
    if (!reply.ok) return {status: reply.status, answer};
    const file = await fetch(answer.url);
    return {status: reply.status, text: await file.text(), range: file.headers.get("Accept-Ranges")};
}"""


class Server(socketserver.ThreadingMixIn, WSGIServer):
    """A server that answers several requests of a browser at a time."""

    daemon_threads = True


class Handler(WSGIRequestHandler):
    """A handler that gives the raw target and writes no log."""

    def get_environ(self) -> Any:
        """Add the target as it was sent."""
        return {**super().get_environ(), "REQUEST_URI": self.path}

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


def serve(app: Any) -> str:
    """Serve an application on a free port, and return its origin."""
    server = make_server("127.0.0.1", 0, app, Server, Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}"


def page_app(environ: Any, start_response: Any) -> list[bytes]:
    """An empty page, as of a single-page application."""
    start_response("200 OK", [("Content-Type", "text/html")])
    return [b"<!DOCTYPE html><title>app</title>"]


def authorize(environ: Any) -> Any:
    """Let who has the token pass."""
    return environ.get("HTTP_AUTHORIZATION") == "Bearer good" or 401


class Late:
    """An application that is set after its address is known."""

    app: Any = None

    def __call__(self, environ: Any, start_response: Any) -> Any:
        return self.app(environ, start_response)


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    """A page of Chromium."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        yield browser.new_page()
        browser.close()


@pytest.mark.parametrize("edge_origin", ["*", "page"])
def test_a_script_of_an_allowed_origin_gets_the_file(page: Page, tmp_path: Path, edge_origin: str) -> None:
    """It fetches with Authorization, so after a preflight, reads the JSON answer, and then the file itself."""
    (tmp_path / "a b.txt").write_text("the file")
    origin, late = serve(page_app), Late()
    edge_url = serve(late)
    late.app = LocalEdge(
        tmp_path, KEY_GROUP, public_url=edge_url, allow_origin=origin if edge_origin == "page" else "*"
    )
    distribution = Distribution(edge_url, signer=SIGNER)
    options: dict[str, Any] = {"prefix": "/private", "distribution": distribution, "answer": "json"}
    gate_url = serve(CloudFrontGate(None, authorize, allow_origin=origin, **options))
    page.goto(f"{origin}/")
    got = page.evaluate(ASK_FOR_URL, [f"{gate_url}/private/a%20b.txt", "Bearer good"])
    assert got == {"status": 200, "text": "the file", "range": "bytes"}
    refused = page.evaluate(ASK_FOR_URL, [f"{gate_url}/private/a%20b.txt", "Bearer bad"])
    assert refused == {"status": 401, "answer": {"status": 401, "error": "Unauthorized"}}
    closed = serve(CloudFrontGate(None, authorize, **options))
    failed = page.evaluate(
        f"a => ({ASK_FOR_URL})(a).catch(e => e.name)", [f"{closed}/private/a%20b.txt", "Bearer good"]
    )
    assert failed == "TypeError"
