"""Private pictures, films and documents behind the gate, without AWS: ``python examples/demo``.

Two loopback ports represent the two machines in production. One serves the application, wrapped in the gate. The
other serves a local edge that checks signatures as CloudFront does. The key pair exists only in memory.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import signal
import socket
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric import ec
from waitress import serve
from webob import Request, Response
from website import Website

from cfgate_middleware import CloudFrontGate, Distribution, Signer
from cfgate_middleware.edge import LocalEdge
from cfgate_middleware.verify import KeyGroup

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

HOST = "127.0.0.1"
PRIVATE_FILES = Path(__file__).parent / "private"
EXPIRES = 60  # seconds


def build(gate_port: int, edge_port: int) -> WSGIApplication:
    """Return one application for both ports: the gated website on one, the edge on the other."""
    signer = Signer("KTHROWAWAYDEMO", ec.generate_private_key(ec.SECP256R1()))
    gate_url, edge_url = (f"http://{HOST}:{port}" for port in (gate_port, edge_port))
    website = Website(gate_url=gate_url, edge_url=edge_url, expires=EXPIRES)
    website.gate = gate = CloudFrontGate(
        website,
        website.authorize,
        prefix="/private",
        distribution=Distribution(edge_url, signer=signer, expires=EXPIRES),
        on_decision=website.record,
    )
    key_group = KeyGroup({signer.key_pair_id: signer.public_key_pem()})
    edge = readable_by(gate_url, LocalEdge(PRIVATE_FILES, key_group, public_url=edge_url))

    def both(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        application = edge if environ["SERVER_PORT"] == str(edge_port) else gate
        return application(environ, start_response)

    return both


def readable_by(origin: str, application: WSGIApplication) -> WSGIApplication:
    """Let the scripts of one origin read what another one serves, and send cookies to it (CORS).

    An ``<img>`` or ``<video>`` does not need this. A script that fetches films, such as hls.js, does. At CloudFront a
    response headers policy does it, without code:
    https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/understanding-response-headers-policies.html
    """
    fields = [
        ("Access-Control-Allow-Origin", origin),
        ("Access-Control-Allow-Credentials", "true"),
        ("Access-Control-Allow-Headers", "Range"),
    ]

    def shared(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        request = Request(environ)
        # OPTIONS is the browser's preflight, which has no cookies.
        response = Response(status=204) if request.method == "OPTIONS" else request.get_response(application)
        response.headerlist.extend(fields)
        return response(environ, start_response)

    return shared


def listen(port: int, option: str) -> socket.socket:
    """Listen on a loopback port, or end the demo with one sentence that names the option to change."""
    try:
        return socket.create_server((HOST, port))
    except (OSError, OverflowError) as error:
        reason = os.strerror(error.errno or 0) if isinstance(error, OSError) else error
        raise SystemExit(f"cannot listen on port {port} ({reason}): choose another with {option}") from None


def main() -> None:
    """Serve until Ctrl-C or SIGTERM."""
    parser = argparse.ArgumentParser(prog="python examples/demo", description="See the gate at work.")
    parser.add_argument("--port", type=int, default=8000, help="the gate's port (default 8000; 0: any free one)")
    parser.add_argument("--edge-port", type=int, default=8001, help="the edge's port (default 8001; 0: any free one)")
    options = parser.parse_args()

    logging.basicConfig(format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    logging.getLogger("cfgate_middleware").setLevel(logging.INFO)
    # Set both: a shell starts background jobs with SIGINT ignored, and SIGTERM should end the demo as cleanly.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    with (
        contextlib.suppress(KeyboardInterrupt),
        listen(options.port, "--port") as gate_socket,
        listen(options.edge_port, "--edge-port") as edge_socket,
    ):
        gate_port, edge_port = (listening.getsockname()[1] for listening in (gate_socket, edge_socket))
        application = build(gate_port, edge_port)
        print(f"Open http://{HOST}:{gate_port}/ in a browser; Ctrl-C ends the demo.", flush=True)
        serve(application, sockets=[gate_socket, edge_socket], threads=8)


if __name__ == "__main__":
    main()
