"""Looks for secrets in what the package logs, says in errors, and keeps in the local variables of its frames.

Rule: what was found is named by its kind, its place and the test that ran, and is never shown.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import re
import traceback
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import cfgate_middleware
from cfgate_middleware import CFGateError

KEYS = Path(__file__).parent / "keys"
PACKAGE = f"{Path(cfgate_middleware.__file__).parent}{os.sep}"
# Long enough that no word or name has it in common with a key, short enough that a piece of a line is found.
PIECE = 20
# Names of the request as it was sent: the server has it in its own frames too.
_REQUEST = ("environ", "forwarded", "_")

_KINDS = {
    # Names and values as URLs and cookies write them; a bare "Signature=" is only the parameter's name.
    "a Signature parameter or cookie": re.compile(r"Signature(?:=|%3D)[A-Za-z0-9~-]"),
    "a Policy parameter or cookie": re.compile(r"Policy(?:=|%3D)[A-Za-z0-9~-]"),
    "a policy": re.compile(r'\{\s*\\*["\']Statement\\*["\']\s*:'),
    # {"Statement" in base64, which is how every policy begins.
    "an encoded policy": re.compile("eyJTdGF0ZW1lbnQ"),
    # ECDSA P-256 has 94 characters or more, RSA 342; a run that long in one letter case is some test's long name.
    "base64 as long as a signature": re.compile(
        r"(?<![A-Za-z0-9~+/-])(?=[a-z0-9~+/-]*[A-Z])(?=[A-Z0-9~+/-]*[a-z])(?=[A-Za-z~+/-]*[0-9])[A-Za-z0-9~+/-]{90}"
    ),
    # DER: a sequence whose first member is an integer of 31 to 33 bytes; as repr and as hex.
    "the bytes of an ECDSA signature": re.compile(r"0[CDEFG]\\x02(?:\\x1f|[ !])|304[3-7]02(?:1f|2[01])[0-9a-f]{62}"),
    # Only what follows makes it more than the name of a format.
    "a PEM": re.compile(r"-----BEGIN [A-Z0-9 ]+-----(?:\\[rn]|\s)*[A-Za-z0-9+/]{8}"),
}
_BASE64_RUN = re.compile(rf"[A-Za-z0-9+/=]{{{PIECE},}}")
# Of public keys too: what was given as a key is never shown, for it may be the wrong half.
_KEY_PIECES = frozenset(
    line[start : start + PIECE]
    for path in KEYS.glob("*.pem")
    for line in path.read_text().splitlines()
    if not line.startswith("-")
    for start in range(len(line) - PIECE + 1)
)


def leaks_in(text: str) -> list[str]:
    """Return the kinds of secrets in ``text``, and nothing of the secrets."""
    kinds = [kind for kind, pattern in _KINDS.items() if pattern.search(text)]
    if any(
        run[start : start + PIECE] in _KEY_PIECES
        for run in _BASE64_RUN.findall(text)
        for start in range(len(run) - PIECE + 1)
    ):
        kinds.append("a piece of a key")
    return kinds


class Local(NamedTuple):
    """A local variable of a frame that an exception passed."""

    file: str
    function: str
    name: str
    value: Any


def locals_of(error: BaseException) -> Iterator[Local]:
    """Yield the local variables of every frame that an exception and those behind it passed."""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        for name, value in dict(frame.f_locals).items():
            yield Local(frame.f_code.co_filename, frame.f_code.co_name, name, value)
    behind = error.__cause__ if error.__suppress_context__ else error.__context__
    if behind is not None:
        yield from locals_of(behind)


def leaks_among(variables: Iterable[Local], folder: str = PACKAGE) -> list[str]:
    """Return where frames of files in ``folder`` hold secrets, and of which kinds."""
    return [
        f"{local.file.removeprefix(PACKAGE)}:{local.function}: {local.name} holds {kind}"
        for local in variables
        if local.file.startswith(folder) and local.name not in _REQUEST
        for kind in dict.fromkeys(kind for text in _texts(local.value, set()) for kind in leaks_in(text))
    ]


def _texts(value: Any, seen: set[int]) -> Iterator[str]:
    """Yield what an error tracker shows of a value: members of containers, and the repr of everything else."""
    if id(value) in seen:
        return
    seen.add(id(value))
    members: Iterable[Any] = ()
    if isinstance(value, dict):
        members = [member for item in value.items() for member in item]
    elif isinstance(value, tuple | list | set | frozenset):
        members = value
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        members = [getattr(value, field.name, None) for field in dataclasses.fields(value)]
    for member in members:
        yield from _texts(member, seen)
    try:
        yield value if isinstance(value, str) else repr(value)
    except Exception:  # such as the repr of an int of 5,000 digits
        yield ""


class LeakWatch(logging.Handler):
    """A pytest plugin that fails the session if the package showed a secret in a log line, an error or a frame.

    Errors that tests expect are searched too: their text where they are made, their frames where ``pytest.raises``
    catches them.
    """

    def __init__(self) -> None:
        super().__init__()
        self._patch = pytest.MonkeyPatch()
        self._found: dict[str, None] = {}  # in the order in which they were found, each once

    def _keep(self, found: Iterable[str]) -> None:
        test = os.environ.get("PYTEST_CURRENT_TEST", "outside of any test")
        self._found.update((f"{test}: {leak}", None) for leak in found)

    def look(self, what: str, text: str) -> None:
        """Search a text."""
        self._keep(f"{what} holds {kind}" for kind in leaks_in(text))

    def emit(self, record: logging.LogRecord) -> None:
        """Search a log line, with its traceback and the frames of that if it has one."""
        self.look(f"a log line of {record.name}", self.format(record))
        if record.exc_info and record.exc_info[1]:
            self._keep(leaks_among(locals_of(record.exc_info[1])))

    def pytest_sessionstart(self) -> None:
        """Begin to listen."""
        init = CFGateError.__init__
        context: Any = type(pytest.raises(Exception))
        leave = context.__exit__

        def listening_init(error: CFGateError, *args: object) -> None:
            init(error, *args)
            self.look(f"the text of {type(error).__name__}", str(error))

        def listening_leave(raises: Any, kind: Any, error: BaseException | None, trace: Any) -> Any:
            if error is not None:
                self._keep(leaks_among(locals_of(error)))
            return leave(raises, kind, error, trace)

        self._patch.setattr(CFGateError, "__init__", listening_init)
        self._patch.setattr(context, "__exit__", listening_leave)
        logging.getLogger("cfgate_middleware").addHandler(self)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Stop listening, and fail a session that would otherwise have passed."""
        logging.getLogger("cfgate_middleware").removeHandler(self)
        self._patch.undo()
        if self._found and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Name the tests that showed secrets, and the kinds of these."""
        if self._found:
            terminalreporter.section("secrets were shown", red=True, bold=True)
            for leak in self._found:
                terminalreporter.line(leak)
