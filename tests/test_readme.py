"""The README is true: its Python runs, its ini file loads, its tables name what exists."""

from __future__ import annotations

import datetime
import re
import sys
import time
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import bottle
import docutils.core
import docutils.nodes
import flask
import pyramid.config
import pytest
from django.conf import settings
from django.core.wsgi import get_wsgi_application

from cfgate_middleware import CloudFrontGate, Signer
from cfgate_middleware.options import OPTIONS
from tests.support import fetch

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.rst").read_text()
KEY = Path(__file__).parent / "keys" / "p256-pkcs8.pem"


def blocks(language: str) -> list[str]:
    """Return the code blocks of one language, in order."""
    document = docutils.core.publish_doctree(README, settings_overrides={"report_level": 2, "halt_level": 2})
    return [
        block.astext()
        for block in document.findall(docutils.nodes.literal_block)
        if language in block.attributes["classes"]
    ]


def application(environ: object, start_response: Callable[..., object]) -> list[bytes]:
    """The application that README examples wrap."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"the application"]


@pytest.fixture(scope="module")
def django() -> None:
    """A Django project as small as they come."""
    if not settings.configured:
        settings.configure(ROOT_URLCONF="tests.test_readme", ALLOWED_HOSTS=["*"], SECRET_KEY="throwaway")


urlpatterns: list[object] = []  # of the Django project


@pytest.fixture
def files(tmp_path: Path) -> Iterator[Callable[[str], str]]:
    """Put real paths in place of those that README names."""
    yield lambda text: text.replace("/etc/keys/cloudfront.pem", str(KEY)).replace("/srv/files", str(tmp_path))


def test_the_python_examples_run_from_top_to_bottom(django: None, files: Callable[[str], str]) -> None:
    """Each Python block of the README runs, given what the ones above it made."""
    space: dict[str, Any] = {
        "__name__": "readme",
        "application": application,
        "ask_the_key_service": lambda message: b"signature",
        "bottle": bottle,
        "config": pyramid.config.Configurator(),
        "flask": flask,
        "get_wsgi_application": get_wsgi_application,
        "datetime": datetime.datetime,
        "new_signer": Signer("KNEW", KEY.read_text()),
        "old_signer": Signer("KOLD", KEY.read_text()),
        "private_pem": KEY.read_text(),
        "time": time,
        "timezone": datetime.timezone,
    }
    python = blocks("python")
    assert len(python) > 10
    for block in python:
        if "gate.sign(" in block and "gate" not in space:
            space["gate"] = CloudFrontGate(application, space["authorize"], **space["GATE"])
        exec(compile(files(block), "README.rst", "exec"), space)  # noqa: S102 - it is our own README
    assert space["view"]("ada").status == "303 See Other"
    assert space["view"]("eve").status == "404 Not Found"
    film = fetch(space["cinema"], "/private/films/42/index.m3u8")
    assert film.location == "https://media.example.com/films/42/index.m3u8"
    for cookie in film.values("Set-Cookie"):
        assert {"Domain=example.com", "Path=/films/42/"} <= set(cookie.split("; "))
    told = fetch(space["api"], "/private/a.json", REMOTE_USER="ada", HTTP_ACCEPT="application/json")
    assert told.values("Access-Control-Allow-Origin") == ["https://app.example.com"]
    assert told.body.startswith(b'{"url": "https://d111111abcdef8.cloudfront.net/a.json?')
    assert "response-content-disposition=attachment" in fetch(space["downloads"], "/private/r.pdf").location
    pictures = space["pictures"]
    pictures.clock = lambda: 1_800_000_001
    first = fetch(pictures, "/private/p.png").location
    pictures.clock = lambda: 1_800_000_900
    assert fetch(pictures, "/private/p.png").location == first


def test_the_ini_example_loads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ini block of the README is a PasteDeploy file that makes a gate."""
    from paste.deploy import loadapp

    security = types.ModuleType("myapp.security")
    vars(security).update(authorize=lambda environ: False, make_app=lambda global_conf: application)
    monkeypatch.setitem(sys.modules, "myapp", types.ModuleType("myapp"))
    monkeypatch.setitem(sys.modules, "myapp.security", security)
    (tmp_path / "cloudfront.pem").write_bytes(KEY.read_bytes())
    ini = tmp_path / "app.ini"
    (block,) = blocks("ini")
    ini.write_text(f"{block}\n[app:app]\npaste.app_factory = myapp.security:make_app\n")
    assert isinstance(loadapp(f"config:{ini}"), CloudFrontGate)


def test_the_options_table_lists_the_options() -> None:
    """Every option stands in the options table or is named beside another one."""
    section = README.split("\nOptions\n=====", 1)[1].split("\nKeys\n====", 1)[0]
    documented = set(re.findall(r"``([a-z_]+)``", section))
    assert {option.name for option in OPTIONS} <= documented


@pytest.mark.parametrize("name", ["README.rst", "CHANGELOG.rst", "SECURITY.rst"])
def test_documents_are_valid_restructured_text(name: str) -> None:
    """The documents render without a warning."""
    text = (ROOT / name).read_text()
    docutils.core.publish_string(text, writer="html5", settings_overrides={"report_level": 2, "halt_level": 2})
