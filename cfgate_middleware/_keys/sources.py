"""Where keys are kept: paths, PEM, key objects, environment variables, and AWS's stores.

Rule: a value that may hold a key is never shown, only its kind and length; a reference such as ``env:NAME`` may be.
"""

from __future__ import annotations

import importlib
import os
import re
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cfgate_middleware._core.problems import Secret, kind_of, shown
from cfgate_middleware._keys.pem import is_pem

_MAX_FILE = 65536  # bytes; a key file has less than 4,000


def read_source(source: Secret[Any], folder: Path | None = None) -> Secret[Any]:
    """Return what a source holds: PEM as str or bytes, a ``cryptography`` key, or a loaded key.

    A source is one of these, a path (str or PathLike, relative to ``folder`` or else the working directory), or a
    reference such as ``env:NAME``.

    Raises:
        ValueError: saying what could not be read.
    """
    if isinstance(source.value, str) and not is_pem(source.value):
        check_placeholder(source)
        for store, read in _STORES.items():
            if source.value == f"{store}:":
                raise ValueError(f"nothing follows {store}:; expected {store}:NAME")
            if source.value.startswith(f"{store}:"):
                return read(source.value)
    elif not isinstance(source.value, os.PathLike):
        return source
    try:
        return Secret(read_file((folder or Path()) / source.value))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
    what = kind_of(os.fspath(source.value))
    if not _is_like_a_key(os.fspath(source.value)):
        what = f"{shown(os.fspath(source.value))}, looked for in {(folder or Path()).absolute()},"
    raise ValueError(
        f"{what} was taken for a path that could not be read ({reason}); expected the path of a PEM file, PEM text, or "
        f"a reference ({', '.join(f'{store}:' for store in _STORES)})"
    )


def check_placeholder(source: Secret[str]) -> None:
    """Raise ValueError if a shell's placeholder arrived as text."""
    if "${" in source.value or "$(" in source.value:
        raise ValueError(
            f"{kind_of(source.value)} holds a shell placeholder that nothing filled in; write env:NAME to read the "
            "environment variable NAME"
        )


def read_file(path: Path) -> bytes:
    """Return what a small regular file holds; OSError or ValueError for what a request would wait for, or read on."""
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    with open(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ValueError("not a regular file")
        data = Secret(file.read(_MAX_FILE + 1))
    if len(data.value) > _MAX_FILE:
        raise ValueError(f"larger than {_MAX_FILE // 1024} KB")
    return data.value


def _is_like_a_key(path: str | bytes) -> bool:
    """Return whether something that was taken for a path could be a piece of a key: no error shows it then."""
    if not isinstance(path, str) or re.search(r"[\r\n]|[A-Za-z0-9+/=_-]{60}", path):
        return True
    runs = [] if "." in path else re.findall(r"[A-Za-z0-9+/=]{20,}", path)
    return any(all(re.search(kind, run) for kind in ("[a-z]", "[A-Z]", "[0-9+=]")) for run in runs)


def _read_environment(source: str) -> Secret[Any]:
    name = source.partition(":")[2]
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        raise ValueError("no variable name follows env:; expected env:NAME")
    pem = Secret(os.environ.get(name, ""))
    if not pem.value:
        raise ValueError(f"the environment variable {name} is not set")
    if not is_pem(pem.value):
        raise ValueError(
            f"the environment variable {name} holds {kind_of(pem.value)} and no PEM; it must hold the key itself, "
            "not a path"
        )
    return pem


def _aws() -> Any:
    """Import what speaks to AWS only when it is used, because most people keep no key there."""
    try:
        return importlib.import_module("cfgate_middleware._keys.aws")
    except ImportError as error:
        raise ValueError("keys kept at AWS need boto3: pip install 'cfgate-middleware[aws]'") from error


# Where a reference leads: one row per store.
_STORES: dict[str, Callable[[str], Secret[Any]]] = {
    "env": _read_environment,
    "kms": lambda source: _aws().open_kms_key(source),
    "secretsmanager": lambda source: _aws().read_pem(source),
    "ssm": lambda source: _aws().read_pem(source),
}
