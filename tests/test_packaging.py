"""What is installed: two dependencies, the entry points, the public names, the type marker; and that layers hold."""

from __future__ import annotations

import configparser
import importlib.metadata
import importlib.resources
import inspect
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import cfgate_middleware
from cfgate_middleware import pastedeploy
from cfgate_middleware._cli.main import main

DISTRIBUTION = importlib.metadata.distribution("cfgate-middleware")
ROOT = Path(__file__).parent.parent


def test_webob_and_cryptography_are_the_only_dependencies() -> None:
    """Without an extra, pip installs these and nothing else, neither of them older than the fix of a known hole."""
    required = [line.lower() for line in DISTRIBUTION.requires or [] if "extra ==" not in line]
    assert sorted(required) == [
        "cryptography>=44.0.1",  # wheels before it hold an OpenSSL whose ECDSA leaks timing (CVE-2024-13176)
        "webob>=1.8.11",  # older ones turned some Location values off-host
    ]


@pytest.mark.parametrize(
    ("group", "factory"),
    [("paste.filter_factory", pastedeploy.filter_factory), ("paste.app_factory", pastedeploy.app_factory)],
)
def test_pastedeploy_finds_the_factories(group: str, factory: object) -> None:
    """Both PasteDeploy entry points are named main."""
    (entry,) = DISTRIBUTION.entry_points.select(group=group)
    assert (entry.name, entry.load()) == ("main", factory)


def test_the_command_is_installed() -> None:
    """The console script is the same as ``python -m cfgate_middleware``."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    name, _, value = setup["options.entry_points"]["console_scripts"].strip().partition(" = ")
    assert (name, importlib.metadata.EntryPoint(name, value, "console_scripts").load()) == ("cfgate", main)


def test_the_package_is_typed() -> None:
    """The marker of PEP 561 ships with the package."""
    assert importlib.resources.files("cfgate_middleware").joinpath("py.typed").is_file()


def test_the_version_is_told_once() -> None:
    """The package and its metadata agree."""
    assert DISTRIBUTION.version == cfgate_middleware.__version__


@pytest.mark.parametrize("name", cfgate_middleware.__all__)
def test_public_names_explain_themselves(name: str) -> None:
    """Every public class and function has a docstring, and so have its public methods."""
    value = getattr(cfgate_middleware, name)
    if not (inspect.isclass(value) or inspect.isfunction(value)):
        return
    assert value.__doc__
    for method_name, method in inspect.getmembers(value, inspect.isfunction):
        if not method_name.startswith("_"):
            assert method.__doc__, f"{name}.{method_name}"


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A copy of the package, to be changed, with the configuration of its layers."""
    shutil.copy(ROOT / "setup.cfg", tmp_path)
    shutil.copytree(ROOT / "cfgate_middleware", tmp_path / "cfgate_middleware")
    return tmp_path


def lint_imports(clone: Path) -> tuple[int, str]:
    """Return the exit status of import-linter in a copy, and what it prints."""
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    environment = {**os.environ, "PYTHONPATH": str(clone)}
    done = subprocess.run(command, cwd=clone, env=environment, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def test_imports_only_point_downwards(clone: Path) -> None:
    """The layers of setup.cfg hold."""
    status, printed = lint_imports(clone)
    assert status == 0, printed


@pytest.mark.parametrize(
    ("module", "line", "complaint"),
    [
        ("newcomer", "", "- cfgate_middleware.newcomer\n"),
        ("_core/newcomer", "", "- cfgate_middleware._core.newcomer\n"),
        ("_keys/newcomer", "", "- cfgate_middleware._keys.newcomer\n"),
        ("_core/urls", "import wsgiref", "cfgate_middleware._core.urls -> wsgiref "),
        ("_core/urls", "def f(): import time", "cfgate_middleware._core.urls -> time "),
        ("errors", "import logging", "cfgate_middleware.errors -> logging "),
        ("_core/policy", "from cfgate_middleware._core import gate", "_core.policy -> cfgate_middleware._core.gate "),
        ("_keys/ring", "import cryptography.x509", "- cfgate_middleware._keys.ring -> cryptography "),
        ("_keys/sources", "import botocore", "- cfgate_middleware._keys.sources -> botocore "),
        ("_cli/newcomer", "", "- cfgate_middleware._cli.newcomer\n"),
        ("_cli/command", "from cfgate_middleware._cli import sign", "_cli.command -> cfgate_middleware._cli.sign "),
        ("_explain/newcomer", "", "- cfgate_middleware._explain.newcomer\n"),
        (
            "views",
            "import cfgate_middleware._explain.case",
            "- cfgate_middleware.views -> cfgate_middleware._explain.case ",
        ),
        ("views", "import cfgate_middleware.verify", "- cfgate_middleware.views -> cfgate_middleware.verify "),
    ],
)
def test_what_does_not_fit_the_layers_is_found(clone: Path, module: str, line: str, complaint: str) -> None:
    """A module without a place, an import upwards and an import that is reserved for another module are errors."""
    with (clone / "cfgate_middleware" / f"{module}.py").open("a") as file:
        file.write(f"\n{line}\n")
    status, printed = lint_imports(clone)
    assert status == 1
    assert complaint in printed
