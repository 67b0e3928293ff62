"""The Django site, to try out on your own machine: ``python examples/django_asgi/try_django_asgi.py``.

It makes two users and their documents, and serves the site on one port and, in place of CloudFront, an edge on another.
In production there is no such file: serve ``documents.asgi:application``.
"""

from __future__ import annotations

import contextlib
import os
import socket
import tempfile
import threading
from pathlib import Path

import django
import uvicorn
from django.core.management import call_command
from waitress import serve

from cfgate_middleware import Signer
from cfgate_middleware.edge import LocalEdge
from cfgate_middleware.verify import KeyGroup

HOST = "127.0.0.1"
PASSWORDS = {"ann": "correct horse", "bob": "battery staple"}


def fill_database(files: Path) -> None:
    """Create the tables, a document for each user, and one for both."""
    call_command("migrate", run_syncdb=True, verbosity=0)
    from django.contrib.auth.models import User
    from documents.models import Document

    for name, password in PASSWORDS.items():
        User.objects.create_user(name, password=password)
    for title, readers in (("plans", ["ann"]), ("invoice", ["bob"]), ("minutes", ["ann", "bob"])):
        document = Document.objects.create(name=f"2026/{title}.txt")
        document.readers.set(User.objects.filter(username__in=readers))
        (files / "2026").mkdir(exist_ok=True)
        (files / document.name).write_text(f"The {title}, for {' and '.join(readers)}.\n", encoding="utf-8")


def start_edge(listening: socket.socket, url: str, files: Path) -> None:
    """Serve a folder to signed requests, in place of CloudFront."""
    signer = Signer("K2JCJMDEHXQW5F", "env:CFGATE_PRIVATE_KEY")  # CloudFront has the public half alone
    edge = LocalEdge(files, KeyGroup({signer.key_pair_id: signer.public_key_pem()}), public_url=url)
    threading.Thread(target=serve, args=[edge], kwargs={"sockets": [listening]}, daemon=True).start()


def main() -> None:
    """Serve until Ctrl-C or SIGTERM."""
    with (
        contextlib.suppress(KeyboardInterrupt),
        tempfile.TemporaryDirectory() as data,
        tempfile.TemporaryDirectory() as files,
        socket.create_server((HOST, int(os.environ.get("PORT", "8080")))) as site_socket,
        socket.create_server((HOST, int(os.environ.get("EDGE_PORT", "8081")))) as edge_socket,
    ):
        url, edge_url = (f"http://{HOST}:{listening.getsockname()[1]}" for listening in (site_socket, edge_socket))
        start_edge(edge_socket, edge_url, Path(files))

        database = os.path.join(data, "db.sqlite3")
        os.environ.update(
            DJANGO_SETTINGS_MODULE="documents.settings", DOCUMENTS_DATABASE=database, CFGATE_DOMAIN=edge_url
        )
        django.setup()
        fill_database(Path(files))
        from documents.asgi import application

        print(f"Open {url}/ in a browser: {' or '.join(' / '.join(pair) for pair in PASSWORDS.items())}", flush=True)
        # Django has no lifespan.
        uvicorn.Server(uvicorn.Config(application, lifespan="off")).run([site_socket])


if __name__ == "__main__":
    main()
