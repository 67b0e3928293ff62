"""``cfgate edge``: the local edge as a server."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import logging
import os
import re
import signal
import socket
import sys
from collections.abc import Callable
from functools import reduce
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Any, cast
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from cfgate_middleware._cli.command import Command, add_public_key, public_keys
from cfgate_middleware._core.checks import is_async
from cfgate_middleware._core.problems import shown
from cfgate_middleware.edge import LocalEdge
from cfgate_middleware.errors import ConfigError
from cfgate_middleware.verify import KeyGroup

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

_HOST = "127.0.0.1"
_PORT = 8001
_THREADS = 8


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("origin", metavar="DIR|MODULE:APP", help="what to serve: a directory, or a WSGI application")
    add_public_key(parser, required=True)
    parser.add_argument(
        "--port", type=_to_port, default=_PORT, help=f"port on {_HOST} (default {_PORT}; 0: any free one)"
    )
    parser.add_argument(
        "--public-url", metavar="URL", help="what signed URLs begin with, if not the server's own address"
    )
    parser.add_argument(
        "--allow-origin",
        metavar="ORIGIN",
        action="append",
        help="an origin such as http://localhost:8000 whose scripts may read the files, or '*'; may be repeated",
    )


def _to_port(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,5}", text) or int(text) > 65535:
        raise argparse.ArgumentTypeError("expected a port from 0 to 65535")
    return int(text)


def _run(options: argparse.Namespace) -> int:
    keys = public_keys(options)
    key_group = KeyGroup(keys.value)
    origin = options.origin if os.path.isdir(options.origin) else _load(options.origin)
    with contextlib.suppress(KeyboardInterrupt), _listen(options.port) as listening:
        address = f"http://{_HOST}:{listening.getsockname()[1]}"
        edge = LocalEdge(origin, key_group, public_url=options.public_url or address, allow_origin=options.allow_origin)
        logging.basicConfig(format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
        for number in (signal.SIGINT, signal.SIGTERM):  # SIGINT too: shells start background jobs with it ignored
            signal.signal(number, signal.default_int_handler)
        serve, name = _server(listening, edge)
        print(f"Serving {options.origin} at {address}/ ({name}); Ctrl-C ends it. Refusals are logged with the reason.")
        print(
            f"Sign for it:  cfgate sign {edge.public_url}/PATH --key-pair-id {[*keys.value][0]} --private-key FILE",
            flush=True,
        )
        serve()
    return 0


def _load(reference: str) -> WSGIApplication:
    """Import ``MODULE:APP``, also from the working directory."""
    module, mark, name = reference.partition(":")
    if not mark or not re.fullmatch(r"[\w.]+:[\w.]+", reference):
        raise ConfigError(f"{shown(reference)}: expected an existing directory, or MODULE:APP")
    sys.path.insert(0, os.getcwd())
    try:
        application = reduce(getattr, name.split("."), cast(Any, importlib.import_module(module)))
    except Exception as error:
        raise ConfigError(f"{shown(reference)} could not be imported: {type(error).__name__}: {error}") from error
    if is_async(application) or not callable(application):
        raise ConfigError(f"{shown(reference)} is not a WSGI application")
    return cast("WSGIApplication", application)


def _listen(port: int) -> socket.socket:
    try:
        return socket.create_server((_HOST, port))
    except OSError as error:
        raise ConfigError(
            f"cannot listen on port {port} ({os.strerror(error.errno or 0)}); choose another with --port"
        ) from None


def _server(listening: socket.socket, application: WSGIApplication) -> tuple[Callable[[], object], str]:
    """Return what serves, and its name: waitress if it is installed."""
    try:
        import waitress
    except ImportError:
        server = _Server(listening)
        server.set_app(application)
        return server.serve_forever, "wsgiref"
    return lambda: waitress.serve(application, sockets=[listening], threads=_THREADS, _quiet=True), "waitress"


class _Server(ThreadingMixIn, WSGIServer):
    """wsgiref's server on a socket that listens already, with a thread per request."""

    daemon_threads = True

    def __init__(self, listening: socket.socket) -> None:
        super().__init__(listening.getsockname(), _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listening
        self.server_name, self.server_port = listening.getsockname()
        self.setup_environ()


class _Handler(WSGIRequestHandler):
    def get_environ(self) -> dict[str, Any]:
        target = self.requestline.split(" ")[1]  # as it was signed: wsgiref decodes and folds it
        return {**super().get_environ(), "RAW_URI": target}

    def log_message(self, format: str, *args: object) -> None:  # its lines would hold signatures
        pass


EDGE = Command(
    "edge",
    "serve a directory or a WSGI application as CloudFront would: only to signed requests",
    "cfgate edge files --public-key KLOCAL=cloudfront-public.pem --port 8001",
    _add_options,
    _run,
)
