"""Serve what ``site.ini`` describes, with a local edge IN PLACE OF CLOUDFRONT, for trying it out.

In production any server that reads such a file does, and none of this is needed: ``gunicorn --paste site.ini``.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterable
from pathlib import Path
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from paste.deploy import loadapp
from waitress import serve
from webob import Request, Response

from cfgate_middleware import Signer
from cfgate_middleware.edge import LocalEdge
from cfgate_middleware.verify import KeyGroup

HERE = Path(__file__).resolve().parent


def distribution(gate_url: str, edge_url: str) -> WSGIApplication:
    """Return the site behind an edge that replaces 403 as a distribution with a custom error page does."""
    signer = Signer("K2JCJMDEHXQW5F", "env:CFGATE_PRIVATE_KEY")
    edge = LocalEdge(HERE / "site", KeyGroup({signer.key_pair_id: signer.public_key_pem()}), public_url=edge_url)
    page = (HERE / "expired.html").read_text(encoding="utf-8").replace("https://gate.example.com", gate_url)

    def with_error_page(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        response = Request(environ).get_response(edge)
        if response.status_code == 403:
            response = Response(page, status=403)
        return response(environ, start_response)

    return with_error_page


def main() -> None:
    """Serve the gates on one port of this machine and the edge on another, until Ctrl-C."""
    logging.basicConfig(level=logging.INFO)
    with (
        socket.create_server(("127.0.0.1", int(os.environ.get("PORT", "8080")))) as gate_socket,
        socket.create_server(("127.0.0.1", int(os.environ.get("EDGE_PORT", "8081")))) as edge_socket,
    ):
        gate_port, edge_port = (str(listening.getsockname()[1]) for listening in (gate_socket, edge_socket))
        gates = loadapp(f"config:{HERE / 'site.ini'}", global_conf={"edge_port": edge_port})
        edge = distribution(f"http://127.0.0.1:{gate_port}", f"http://127.0.0.1:{edge_port}")

        def both(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            application = edge if environ["SERVER_PORT"] == edge_port else gates
            return application(environ, start_response)

        print(f"Open http://127.0.0.1:{gate_port}/site/ in a browser; Ctrl-C ends it.", flush=True)
        serve(both, sockets=[gate_socket, edge_socket])


if __name__ == "__main__":
    main()
