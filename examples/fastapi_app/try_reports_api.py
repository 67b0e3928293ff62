"""Serve the reports on this machine: ``python examples/fastapi_app/try_reports_api.py``.

On a second port there is a local edge in place of CloudFront, for trying it out: it checks signatures as CloudFront
does, and serves the folder ``private``.
"""

from __future__ import annotations

import contextlib
import os
import socket
from pathlib import Path
from threading import Thread

import uvicorn
from waitress import serve

from cfgate_middleware import Signer
from cfgate_middleware.edge import LocalEdge
from cfgate_middleware.verify import KeyGroup

HOST = "127.0.0.1"


def main() -> None:
    """Serve until Ctrl-C."""
    site_socket = socket.create_server((HOST, int(os.environ.get("PORT", "8080"))))
    edge_socket = socket.create_server((HOST, int(os.environ.get("EDGE_PORT", "8081"))))
    site_url, edge_url = (f"http://{HOST}:{listening.getsockname()[1]}" for listening in (site_socket, edge_socket))

    os.environ["CFGATE_DOMAIN"] = edge_url
    from reports_api import app

    signer = Signer("K2JCJMDEHXQW5F", "env:CFGATE_PRIVATE_KEY")
    public_key = KeyGroup({signer.key_pair_id: signer.public_key_pem()})  # what one uploads to CloudFront
    files = Path(__file__).parent / "private"
    # The page's script may read what the edge serves, as a response headers policy of the distribution would say.
    edge = LocalEdge(files, public_key, public_url=edge_url, allow_origin=site_url)
    Thread(target=serve, args=(edge,), kwargs={"sockets": [edge_socket]}, daemon=True).start()

    print(f"Open {site_url}/ in a browser; Ctrl-C ends it.", flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        uvicorn.Server(uvicorn.Config(app)).run([site_socket])


if __name__ == "__main__":
    main()
