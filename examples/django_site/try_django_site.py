"""The Django site, to try out on your own machine: ``python examples/django_site/try_django_site.py``.

It makes two users and their files, and serves the site on one port and, in place of CloudFront, an edge on another.
In production there is no such file: serve ``mysite.wsgi:application``.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import tempfile
import threading
from pathlib import Path

import django
from django.core.management import call_command
from waitress import serve

from cfgate_middleware import Signer
from cfgate_middleware.edge import LocalEdge
from cfgate_middleware.verify import KeyGroup

HOST = "127.0.0.1"
PASSWORDS = {"ann": "correct horse", "bob": "battery staple"}


def fill_database(files: Path) -> None:
    """Create the tables, the static files and, for each user, an account, a file and a backup."""
    call_command("migrate", run_syncdb=True, verbosity=0)
    call_command("collectstatic", verbosity=0)
    from django.contrib.auth.models import User
    from mysite.models import Backup

    for name, password in PASSWORDS.items():
        user = User.objects.create_user(name, password=password)
        backup = Backup.objects.create(owner=user, file=f"{user.pk}/Backup 2014-09-02.sqlbackup")
        (files / str(user.pk)).mkdir()
        (files / str(user.pk) / "notes.txt").write_text(f"Notes of {name}.\n", encoding="utf-8")
        (files / backup.file.name).write_text(f"-- Everything of {name}.\n", encoding="utf-8")


def start_edge(listening: socket.socket, url: str, files: Path) -> None:
    """Serve a folder to signed requests, in place of CloudFront."""
    signer = Signer("K2JCJMDEHXQW5F", "env:CFGATE_PRIVATE_KEY")  # CloudFront has the public half alone
    edge = LocalEdge(files, KeyGroup({signer.key_pair_id: signer.public_key_pem()}), public_url=url)
    threading.Thread(target=serve, args=[edge], kwargs={"sockets": [listening]}, daemon=True).start()


def main() -> None:
    """Serve until Ctrl-C or SIGTERM."""
    logging.basicConfig(level=logging.INFO)  # the gate tells what it decided
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    with (
        contextlib.suppress(KeyboardInterrupt),
        tempfile.TemporaryDirectory() as data,
        tempfile.TemporaryDirectory() as files,
        socket.create_server((HOST, int(os.environ.get("PORT", "8080")))) as site_socket,
        socket.create_server((HOST, int(os.environ.get("EDGE_PORT", "8081")))) as edge_socket,
    ):
        url, edge_url = (f"http://{HOST}:{listening.getsockname()[1]}" for listening in (site_socket, edge_socket))
        start_edge(edge_socket, edge_url, Path(files))

        os.environ.update(DJANGO_SETTINGS_MODULE="mysite.settings", MYSITE_DATA=data, CFGATE_DOMAIN=edge_url)
        django.setup()
        fill_database(Path(files))
        from mysite.wsgi import application

        print(f"Open {url}/ in a browser: {' or '.join(' / '.join(pair) for pair in PASSWORDS.items())}", flush=True)
        serve(application, sockets=[site_socket])


if __name__ == "__main__":
    main()
