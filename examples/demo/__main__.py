"""Private pictures, films and documents behind the gate, without AWS: ``python examples/demo``.

Two loopback ports play the two machines of real life: on one stands the application with the gate around it,
on the other a local edge that checks signatures as CloudFront does. The key pair lives in memory and dies
with the process.
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

from cfgate_middleware import CloudFrontGate, Signer
from cfgate_middleware.edge import LocalEdge
from cfgate_middleware.verifying import KeyGroup

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

HOST = "127.0.0.1"
PRIVATE_FILES = Path(__file__).parent / "private"
EXPIRES = 60  # seconds


def build(gate_port: int, edge_port: int) -> WSGIApplication:
    """Put the gate around the website and the edge beside it; the port of a request chooses between them."""
    signer = Signer("KTHROWAWAYDEMO", ec.generate_private_key(ec.SECP256R1()))
    gate_url, edge_url = (f"http://{HOST}:{port}" for port in (gate_port, edge_port))
    website = Website(gate_url=gate_url, edge_url=edge_url, expires=EXPIRES)
    website.gate = gate = CloudFrontGate(
        website,
        website.authorize,
        prefix="/private",
        domain=edge_url,
        signer=signer,
        expires=EXPIRES,
        on_decision=website.record,
    )
    key_group = KeyGroup({signer.key_pair_id: signer.public_key_pem()})
    edge = readable_by(gate_url, LocalEdge(PRIVATE_FILES, key_group, public_url=edge_url))

    def both(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        application = edge if environ["SERVER_PORT"] == str(edge_port) else gate
        return application(environ, start_response)

    return both


def readable_by(origin: str, application: WSGIApplication) -> WSGIApplication:
    """Let the scripts of one origin read what another serves, and send it cookies (CORS).

    An ``<img>`` or ``<video>`` needs no such leave; a script such as hls.js, which fetches films by itself, does. Of
    CloudFront you have it from a response headers policy, without code:
    https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/understanding-response-headers-policies.html
    """
    fields = [
        ("Access-Control-Allow-Origin", origin),
        ("Access-Control-Allow-Credentials", "true"),
        ("Access-Control-Allow-Headers", "Range"),
    ]

    def shared(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        request = Request(environ)
        # OPTIONS: a browser asks ahead, without cookies.
        response = Response(status=204) if request.method == "OPTIONS" else request.get_response(application)
        response.headerlist.extend(fields)
        return response(environ, start_response)

    return shared


def listen(port: int, option: str) -> socket.socket:
    """Listen on a loopback port, or end the demo in one sentence that names the option to change."""
    try:
        return socket.create_server((HOST, port))
    except (OSError, OverflowError) as error:
        reason = os.strerror(error.errno or 0) if isinstance(error, OSError) else error
        raise SystemExit(f"cannot listen on port {port} ({reason}): choose another with {option}") from None


def main() -> None:
    """Serve until Ctrl-C or SIGTERM."""
    parser = argparse.ArgumentParser(prog="python examples/demo", description="See the gate at work.")
    parser.add_argument("--port", type=int, default=8000, help="the gate's (default 8000; 0: any free one)")
    parser.add_argument("--edge-port", type=int, default=8001, help="the edge's (default 8001; 0: any)")
    options = parser.parse_args()

    logging.basicConfig(format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    logging.getLogger("cfgate_middleware").setLevel(logging.INFO)
    # Set both: a shell starts background jobs with SIGINT ignored, and SIGTERM deserves the same clean end.
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
