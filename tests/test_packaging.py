"""What is installed: two dependencies, the entry points, the public names, the type marker."""

from __future__ import annotations

import importlib.metadata
import importlib.resources
import inspect
import re

import pytest

import cfgate_middleware
from cfgate_middleware import pastedeploy

DISTRIBUTION = importlib.metadata.distribution("cfgate-middleware")


def test_webob_and_cryptography_are_the_only_dependencies() -> None:
    """Without an extra, pip installs webob and cryptography and nothing else."""
    required = [line for line in DISTRIBUTION.requires or [] if "extra ==" not in line]
    assert sorted(re.split(r"[<>=!~ ]", line)[0].lower() for line in required) == ["cryptography", "webob"]


def test_webob_is_one_without_the_open_redirect() -> None:
    """WebOb before 1.8.11 turned some Location values off-host, so older ones are not accepted."""
    assert "webob>=1.8.11" in [line.lower() for line in DISTRIBUTION.requires or []]


@pytest.mark.parametrize(
    ("group", "factory"),
    [("paste.filter_factory", pastedeploy.filter_factory), ("paste.app_factory", pastedeploy.app_factory)],
)
def test_pastedeploy_finds_the_factories(group: str, factory: object) -> None:
    """Both PasteDeploy entry points are named main."""
    (entry,) = DISTRIBUTION.entry_points.select(group=group)
    assert (entry.name, entry.load()) == ("main", factory)


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
