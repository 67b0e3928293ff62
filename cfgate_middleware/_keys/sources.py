"""Where keys are kept: paths, PEM, key objects, environment variables, and AWS's stores.

Rule: a value that may hold a key is never shown, only its kind and length; a reference such as ``env:NAME`` may be.
"""

from __future__ import annotations

import importlib
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cfgate_middleware._core.problems import Secret, kind_of


def read_source(source: Secret[Any], folder: Path | None = None) -> Secret[Any]:
    """Return what a source holds: PEM as str or bytes, a ``cryptography`` key, or a loaded key.

    A source is one of these, a path (str or PathLike, relative to ``folder`` or else the working directory), or a
    reference such as ``env:NAME``.

    Raises:
        ValueError: saying what could not be read.
    """
    if isinstance(source.value, str) and "-----BEGIN" not in source.value:
        if "${" in source.value or "$(" in source.value:
            raise ValueError(
                f"{kind_of(source.value)} holds a shell placeholder that nothing filled in; write env:NAME to read "
                "the environment variable NAME"
            )
        for store, read in _STORES.items():
            if source.value == f"{store}:":
                raise ValueError(f"nothing follows {store}:; expected {store}:NAME")
            if source.value.startswith(f"{store}:"):
                return read(source.value)
    elif not isinstance(source.value, os.PathLike):
        return source
    try:
        return Secret((folder or Path()).joinpath(source.value).read_bytes())
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a path"
    raise ValueError(
        f"{kind_of(source.value)} was taken for a path that could not be read ({reason}); expected the path of a "
        f"PEM file, PEM text, or a reference ({', '.join(f'{store}:' for store in _STORES)})"
    )


def _read_environment(source: str) -> Secret[Any]:
    name = source.partition(":")[2]
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        raise ValueError("no variable name follows env:; expected env:NAME")
    pem = Secret(os.environ.get(name, ""))
    if not pem.value:
        raise ValueError(f"the environment variable {name} is not set")
    if "-----BEGIN" not in pem.value:
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
