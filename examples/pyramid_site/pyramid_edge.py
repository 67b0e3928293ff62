"""Waitress with a local edge beside it, IN PLACE OF CLOUDFRONT, for trying it out: ``site.ini`` names ``serve``."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from wsgiref.types import WSGIApplication

from waitress import create_server

from cfgate_middleware import Signer
from cfgate_middleware.edge import LocalEdge
from cfgate_middleware.verify import KeyGroup

FILES = Path(__file__).parent / "private"


def serve(application: WSGIApplication, global_conf: Mapping[str, str], port: str, edge: str) -> None:
    """``paste.server_runner``: serve the application on one port of this machine and the private files on another."""
    signer = Signer("K2JCJMDEHXQW5F", "env:CFGATE_PRIVATE_KEY")
    key_group = KeyGroup({signer.key_pair_id: signer.public_key_pem()})
    files = LocalEdge(FILES, key_group, public_url=f"http://127.0.0.1:{edge}")
    edge_server = create_server(files, host="127.0.0.1", port=edge)
    server = create_server(application, host="127.0.0.1", port=port)
    threading.Thread(target=edge_server.run, daemon=True).start()
    print(f"Open http://127.0.0.1:{port}/ in a browser; Ctrl-C ends it.", flush=True)
    server.run()
