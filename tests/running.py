"""Examples as processes: on free ports, ready when they print their address."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import requests

EXAMPLES = Path(__file__).parent.parent / "examples"
TIMEOUT = 20


class Running(NamedTuple):
    """A running example."""

    url: str
    printed: str  # up to the line with its address

    def get(self, session: requests.Session, path: str, **headers: str) -> requests.Response:
        """Send a GET and follow redirects."""
        return session.get(self.url + path, headers=headers, timeout=TIMEOUT)

    def post(self, session: requests.Session, path: str, **fields: str) -> requests.Response:
        """Send a form and follow redirects."""
        return session.post(self.url + path, data=fields, timeout=TIMEOUT)


@contextlib.contextmanager
def running(*command: str, log: Path, **environment: str) -> Iterator[Running]:
    """Run Python with some arguments until the block ends; Ctrl-C must end it cleanly, without a secret in its log."""
    with (
        log.open("w") as stderr,
        subprocess.Popen(
            [sys.executable, *command],
            env=os.environ | environment,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            preexec_fn=listen_to_ctrl_c,
        ) as process,
    ):
        try:
            assert process.stdout
            printed = ""
            while not (url := re.search(r"http://127\.0\.0\.1:\d+", printed)):
                line = process.stdout.readline()
                assert line, log.read_text()
                printed += line
            yield Running(url[0], printed)
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=TIMEOUT)
            assert process.returncode == 0, log.read_text()
            assert not re.search(r"Signature=|Policy=", log.read_text())
        finally:
            process.kill()


@contextlib.contextmanager
def running_example(script: str, log: Path, **environment: str) -> Iterator[Running]:
    """Run the program of an example, with a throw-away key, on free ports."""
    given = {"CFGATE_PRIVATE_KEY": throwaway_key(), "PORT": "0", "EDGE_PORT": "0", **environment}
    with running(str(EXAMPLES / script), log=log, **given) as site:
        yield site


def listen_to_ctrl_c() -> None:
    """React to SIGINT even if the tests are a background job, for which a shell ignores it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@contextlib.contextmanager
def visitor() -> Iterator[requests.Session]:
    """Open a session without password, cookie or token."""
    with requests.Session() as session:
        session.trust_env = False  # no password from a .netrc
        yield session


@contextlib.contextmanager
def free_ports(number: int) -> Iterator[list[str]]:
    """Keep ports for a server that sets SO_REUSEADDR: until it listens, nobody else is given them."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(number)]
        for each in sockets:
            each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            each.bind(("127.0.0.1", 0))
        yield [str(each.getsockname()[1]) for each in sockets]


def throwaway_key() -> str:
    """Return a private key made by the command in the examples' README."""
    (made,) = re.findall(r'CFGATE_PRIVATE_KEY="\$\((openssl .*)\)"', (EXAMPLES / "README.rst").read_text())
    return subprocess.run(made.split(), check=True, capture_output=True, text=True, timeout=TIMEOUT).stdout


def public_half(private_pem: str) -> str:
    """Return the public key of a private one, by openssl."""
    command = ["openssl", "pkey", "-pubout"]
    return subprocess.run(command, input=private_pem, check=True, capture_output=True, text=True).stdout
