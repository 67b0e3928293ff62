"""The project's checks, one session each: ``nox`` runs the usual ones, ``nox -l`` lists them all.

Arguments behind ``--`` go to the command: ``nox -s fast-3.12 -- -k policy``.
"""

from __future__ import annotations

import tarfile
import tempfile
import zipfile
from pathlib import Path

import nox

nox.needs_version = ">=2024.4.15"
nox.options.sessions = ["lint", "types", "layers", "wheel", "fast"]
nox.options.reuse_venv = "yes"

PYTHONS = ["3.11", "3.12", "3.13"]

# What the wheel may bring along: its two requirements and what those require on one Python or another.
REQUIRED = {"cfgate-middleware", "webob", "legacy-cgi", "cryptography", "cffi", "pycparser", "typing-extensions"}
EVERYTHING = """
from cfgate_middleware import *
import cfgate_middleware.edge, cfgate_middleware.pastedeploy, cfgate_middleware._cli.main
print("imported", cfgate_middleware.__version__, "from", cfgate_middleware.__file__)
"""
# What an sdist holds besides the package, the examples and the tests.
DOCUMENTS = {"CHANGELOG.rst", "CONTRIBUTING.rst", "LICENSE", "README.rst", "SECURITY.rst", "noxfile.py", "setup.cfg"}


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, format and spelling."""
    session.install("-e", ".[lint]")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("codespell")


@nox.session
def types(session: nox.Session) -> None:
    """Check the types of the package, the tests, the examples and this file."""
    session.install("-e", ".[dev,lint,test]")
    session.run("mypy", *session.posargs)


@nox.session
def layers(session: nox.Session) -> None:
    """Check that imports only point downwards."""
    session.install("-e", ".[lint]")
    session.run("lint-imports", "--no-cache")


@nox.session(python=PYTHONS)
def fast(session: nox.Session) -> None:
    """Run the tests that take no browser and no patience."""
    session.install("-e", ".[test]")
    session.run("python", "-m", "pytest", "-m", "not slow", *session.posargs)


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Run the whole suite and measure its coverage, as README's own command does."""
    session.install("-e", ".[test]")
    session.run("python", "-m", "pytest", "--cov", *session.posargs)


@nox.session
def wheel(session: nox.Session) -> None:
    """Build the sdist and from it the wheel; both are complete, and the wheel needs only what it requires."""
    session.install("build")
    with tempfile.TemporaryDirectory() as directory:
        session.run("python", "-m", "build", "--outdir", f"{directory}/dist", silent=True)
        (sdist,), (built,) = Path(directory).glob("dist/*.tar.gz"), Path(directory).glob("dist/*.whl")

        with tarfile.open(sdist) as archive:
            packed = {name.partition("/")[2] for name in archive.getnames()}
        if missing := (DOCUMENTS | files("cfgate_middleware", "examples", "tests")) - packed:
            session.error(f"the sdist lacks {sorted(missing)}")
        with zipfile.ZipFile(built) as archive:
            packed = {name for name in archive.namelist() if ".dist-info/" not in name}
        if differing := files("cfgate_middleware") ^ packed:
            session.error(f"wheel and source differ in {sorted(differing)}")

        session.run("python", "-m", "venv", f"{directory}/empty")
        python = f"{directory}/empty/bin/python"
        session.run(python, "-m", "pip", "install", "--quiet", str(built), external=True)
        session.run(python, "-I", "-c", EVERYTHING, external=True)  # -I: not from this directory
        listed = session.run(python, "-m", "pip", "list", "--format=freeze", silent=True, external=True)
        installed = {line.partition("==")[0].lower().replace("_", "-") for line in str(listed).split()}
        if more := installed - REQUIRED - {"pip", "setuptools"}:
            session.error(f"the wheel brought along {sorted(more)}")


def files(*directories: str) -> set[str]:
    """Return the files below some directories, but for what Python leaves there."""
    paths = (path for directory in directories for path in Path(directory).rglob("*"))
    return {path.as_posix() for path in paths if path.is_file() and "__pycache__" not in path.parts}


@nox.session(default=False)
def mutants(session: nox.Session) -> None:
    """Change the core and the verifier in many small ways and list the changes that no test notices (takes hours)."""
    session.install("-e", ".[test]", "mutmut>=3.8")
    session.run("mutmut", "run", *session.posargs)
    session.run("mutmut", "results")


@nox.session(default=False)
def fuzz(session: nox.Session) -> None:
    """Run the properties with many examples: ``nox -s fuzz -- 200000`` (takes hours)."""
    examples = session.posargs[0] if session.posargs else "200000"
    session.install("-e", ".[test]")
    properties = ("tests/test_properties.py", "tests/test_explain.py")
    session.run("python", "-m", "pytest", "-x", *properties, env={"CFGATE_EXAMPLES": examples})


@nox.session(python=PYTHONS, default=False)
def lowest(session: nox.Session) -> None:
    """Run the fast tests with the lowest versions of what is required."""
    session.install("-e", ".[test]", "cryptography==44.0.1", "webob==1.8.11")
    session.run("python", "-m", "pytest", "-m", "not slow", *session.posargs)


@nox.session(default=False)
def awscli(session: nox.Session) -> None:
    """Compare what ``cfgate`` signs with what the command ``aws`` signs."""
    session.install("-e", ".[test]", "awscli")
    session.run("python", "-m", "pytest", "tests/test_cli.py", "-k", "awscli")


@nox.session(default=False)
def bench(session: nox.Session) -> None:
    """Measure speed and memory; wants a quiet machine."""
    session.install("-e", ".[bench]")
    session.run("python", "-m", "tests.benchmarks.speed", *(session.posargs or ["--fast"]))
