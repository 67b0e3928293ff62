"""Looks for secrets in everything that the package tells while the tests run: records, log lines and errors.

Rule: what was found is named by its kind and by the test that ran, and never shown.
"""

from __future__ import annotations

import logging
import os
import re
from pathlib import Path
from typing import Any

import pytest

from cfgate_middleware.errors import CFGateError

KEYS = Path(__file__).parent / "keys"
# Long enough that no word or name has it in common with a key, short enough that a piece of a line is found.
PIECE = 20

_KINDS = {
    # Names and values as URLs and cookies write them; a bare "Signature=" names the parameter and tells nothing.
    "a Signature parameter or cookie": re.compile(r"Signature(?:=|%3D)[A-Za-z0-9~-]"),
    "a Policy parameter or cookie": re.compile(r"Policy(?:=|%3D)[A-Za-z0-9~-]"),
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
    """Return the kinds of secrets that stand in ``text``, and nothing of the secrets."""
    kinds = [kind for kind, pattern in _KINDS.items() if pattern.search(text)]
    if any(
        run[start : start + PIECE] in _KEY_PIECES
        for run in _BASE64_RUN.findall(text)
        for start in range(len(run) - PIECE + 1)
    ):
        kinds.append("a piece of a key")
    return kinds


class LeakWatch(logging.Handler):
    """A pytest plugin that fails the session if anything the package told held a secret.

    It sees errors that tests expect too, because it looks when they are made.
    """

    def __init__(self) -> None:
        super().__init__()
        self._patch = pytest.MonkeyPatch()
        self._found: dict[str, None] = {}  # in the order in which they were found, each once

    def look(self, what: str, text: str) -> None:
        """Search a text, and remember what kind of secret it holds and which test ran."""
        for kind in leaks_in(text):
            test = os.environ.get("PYTEST_CURRENT_TEST", "outside of any test")
            self._found[f"{test}: {what} holds {kind}"] = None

    def emit(self, record: logging.LogRecord) -> None:
        """Search a log line, with its traceback if it has one."""
        self.look(f"a log line of {record.name}", self.format(record))

    def pytest_sessionstart(self) -> None:
        """Begin to listen."""
        init = CFGateError.__init__

        def listening_init(error: CFGateError, *args: object) -> None:
            init(error, *args)
            self.look(f"the text of {type(error).__name__}", str(error))

        self._patch.setattr(CFGateError, "__init__", listening_init)
        logging.getLogger("cfgate_middleware").addHandler(self)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Stop listening, and fail a session that would else have passed."""
        logging.getLogger("cfgate_middleware").removeHandler(self)
        self._patch.undo()
        if self._found and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Say which tests brought out which kinds of secrets."""
        if self._found:
            terminalreporter.section("secrets were told", red=True, bold=True)
            for leak in self._found:
                terminalreporter.line(leak)
