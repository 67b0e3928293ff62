"""The gates behind a real server, uvicorn: how many requests a second, and who has to wait for whom."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import a2wsgi

from cfgate_middleware import CloudFrontGate, Signer
from cfgate_middleware.asgi import CloudFrontGate as AsgiGate

KEYS = Path(__file__).parent.parent / "keys"
OPTIONS: dict[str, Any] = {"prefix": "/private", "domain": "https://d111111abcdef8.cloudfront.net"}
ECDSA = Signer("K2JCJMDEHXQW5F", (KEYS / "p256-pkcs8.pem").read_text())
PAUSE = 0.015
Row = tuple[str, float, str, float]


class SlowSigner:
    """A signer that asks a service."""

    key_pair_id, hash_algorithm = ECDSA.key_pair_id, ECDSA.hash_algorithm

    def sign(self, message: bytes) -> bytes:
        """Wait for the service."""
        time.sleep(PAUSE)
        return ECDSA.sign(message)


async def authorize(scope: object) -> bool:
    """Let everybody in at once."""
    return True


def authorize_slowly(scope: object) -> bool:
    """Let everybody in after a while."""
    time.sleep(PAUSE)
    return True


native = AsgiGate(None, authorize, signer=ECDSA, **OPTIONS)
wsgi_gate: Any = CloudFrontGate(None, lambda environ: True, signer=ECDSA, **OPTIONS)
adapted = a2wsgi.WSGIMiddleware(wsgi_gate)
with_slow_signer = AsgiGate(native, authorize, signer=SlowSigner(), **OPTIONS | {"prefix": "/signer"})
mixed = AsgiGate(with_slow_signer, authorize_slowly, signer=ECDSA, **OPTIONS | {"prefix": "/authorizer"})


@contextlib.contextmanager
def serving(name: str) -> Iterator[int]:
    """Serve one of the applications above until the block ends."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    options = ["--http=httptools", "--log-level=warning", "--no-access-log", f"--port={port}"]
    command = [sys.executable, "-m", "uvicorn", f"{__name__}:{name}", *options]
    with subprocess.Popen(command, cwd=Path(__file__).parents[2]) as process:
        try:
            while process.poll() is None:
                with contextlib.suppress(ConnectionRefusedError):
                    socket.create_connection(("127.0.0.1", port)).close()
                    break
                time.sleep(0.02)
            yield port
        finally:
            process.terminate()


class Client(asyncio.Protocol):
    """Asks for a path again and again on one connection, and calls after each answer; all have an empty body."""

    def __init__(self, path: str, answered: Callable[[], object]) -> None:
        self._request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
        self._answered, self._received = answered, b""

    def connection_made(self, transport: Any) -> None:
        """Begin."""
        self._send = transport.write
        self._send(self._request)

    def data_received(self, data: bytes) -> None:
        """Ask again once the answer is there."""
        self._received += data
        if self._received.endswith(b"\r\n\r\n"):
            assert b" 303 " in self._received, self._received
            self._received = b""
            self._answered()
            self._send(self._request)


async def load(port: int, path: str, connections: int, answered: Callable[[], object]) -> list[asyncio.Transport]:
    """Ask on many connections at once, until they are closed."""
    connect = asyncio.get_running_loop().create_connection
    made = [await connect(lambda: Client(path, answered), "127.0.0.1", port) for _ in range(connections)]
    return [transport for transport, _ in made]


async def requests_a_second(port: int, seconds: float = 2.0) -> float:
    """Return how many redirects are answered in a second."""
    times: list[float] = []
    transports = await load(port, "/private/a.pdf", 32, lambda: times.append(time.perf_counter()))
    await asyncio.sleep(seconds)
    for transport in transports:
        transport.close()
    return len(times) / (times[-1] - times[0])


async def latency(port: int, path: str, busy: str, count: int = 500) -> float:
    """Return within how many milliseconds 99 % of requests are answered while 64 others ask for another path."""
    others: list[None] = []
    transports = await load(port, busy, 64, lambda: others.append(None))
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    taken = []
    for _ in range(count):
        start = time.perf_counter()
        writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        await reader.readuntil(b"\r\n\r\n")
        if path == "/":
            await reader.readexactly(len(b"404 Not Found\n"))
        taken.append(1000 * (time.perf_counter() - start))
        await asyncio.sleep(0.002)
    writer.close()
    for transport in transports:
        transport.close()
    assert len(others) > count  # they were busy
    return statistics.quantiles(taken, n=100)[-1]


def rows() -> list[Row]:
    """Measure what the table of ``tests.benchmarks.speed`` shows."""
    with serving("native") as port, serving("adapted") as other:
        rounds = [(asyncio.run(requests_a_second(port)), asyncio.run(requests_a_second(other))) for _ in range(3)]
    ours, through_a2wsgi = (max(column) for column in zip(*rounds, strict=True))
    found: list[Row] = [
        ("redirects a second by uvicorn, against a2wsgi and the WSGI gate", ours / through_a2wsgi, ">=", 1.3)
    ]
    with serving("mixed") as port:
        for busy, what in (("/signer/a", "a signer"), ("/authorizer/a", "a plain authorizer")):
            for path, asked in (("/", "outside the prefix"), ("/private/a", "of an async authorizer")):
                text = f"ms, 99 % of requests {asked}, with 64 others at {what} of 15 ms"
                found.append((text, asyncio.run(latency(port, path, busy)), "<=", 30))
    return found
