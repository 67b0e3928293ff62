"""The README is true: its Python runs, its ini file loads, and its tables match what exists."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import functools
import inspect
import json
import os
import re
import socket
import subprocess
import sys
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import bottle
import docutils.core
import docutils.nodes
import fastapi
import flask
import httpx
import pyramid.config
import pyramid.response
import pytest
import quart
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse, HttpResponseRedirect
from django.urls import clear_url_caches, path
from pyramid.security import Allowed, Denied
from pyramid.view import view_config
from starlette.applications import Starlette
from starlette.authentication import AuthCredentials, AuthenticationBackend, SimpleUser, requires
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.routing import Route

from cfgate_middleware import CloudFrontGate, Distribution, Grant, PathError, Signer
from cfgate_middleware._cli.main import COMMANDS
from cfgate_middleware._core.answers import KINDS
from cfgate_middleware._keys.sources import _STORES
from cfgate_middleware.verify import KeyGroup, VerificationError, verify_cookies, verify_url
from tests.support import fetch

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.rst").read_text()
KEYS = Path(__file__).parent / "keys"
KEY = KEYS / "p256-pkcs8.pem"
DOMAIN = "https://d111111abcdef8.cloudfront.net"
KEY_GROUP = KeyGroup({"K2JCJMDEHXQW5F": (KEYS / "p256-public.pem").read_text()})
Run = Callable[[str], dict[str, Any]]
pytest_plugins = ["pytester"]
urlpatterns: list[object] = []  # of the Django project


@functools.cache
def document() -> docutils.nodes.document:
    """Return the README, parsed."""
    return docutils.core.publish_doctree(README, settings_overrides={"report_level": 2, "halt_level": 2})


def blocks(language: str, containing: str = "") -> list[str]:
    """Return the code blocks of one language that contain a text, in order."""
    return [
        block.astext()
        for block in document().findall(docutils.nodes.literal_block)
        if language in block.attributes["classes"] and containing in block.astext()
    ]


def table(name: str) -> dict[str, list[str]]:
    """Return the table that has a row of this name: of each row, the name and the other cells."""
    for found in document().findall(docutils.nodes.table):
        rows = [
            [cell.astext() for cell in row.findall(docutils.nodes.entry)] for row in found.findall(docutils.nodes.row)
        ]
        if name in (row[0] for row in rows):
            return {row[0]: row[1:] for row in rows}
    raise LookupError(name)


def application(environ: object, start_response: Callable[..., object]) -> list[bytes]:
    """The application that the README's examples wrap."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"the application"]


def signed_object(url: str, domain: str = DOMAIN) -> str:
    """Check a signed URL as CloudFront would, and return the path it opens."""
    assert url.startswith(f"{domain}/")
    target = url.removeprefix(domain)
    return verify_url(target, base_url=domain, key_group=KEY_GROUP, now=time.time()).origin_target


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Return a function that runs the Python blocks from the top to the one that contains a text."""
    if not settings.configured:
        settings.configure(ROOT_URLCONF="tests.test_readme", ALLOWED_HOSTS=["*"], SECRET_KEY="throwaway")

    def run(until: str) -> dict[str, Any]:
        app = flask.Flask("readme")
        app.secret_key = "throwaway"
        space: dict[str, Any] = {
            **{"__name__": "readme", "app": app, "application": application, "bottle": bottle, "flask": flask},
            **{"HttpResponse": HttpResponse, "get_wsgi_application": get_wsgi_application},
            **{"login_required": logged_in_flask},
            **{"ask_the_key_service": lambda message: b"signature", "config": pyramid.config.Configurator()},
            **{f"{age}_signer": Signer(f"K{age.upper()}", KEY.read_text()) for age in ("new", "old")},
            "private_pem": KEY.read_text(),
        }
        (tmp_path / "reports").mkdir(exist_ok=True)
        (tmp_path / "reports" / "1.pdf").write_text("%PDF-1.7")
        for block in blocks("python"):
            # A test needs a session of pytest; the blocks of one framework are for themselves.
            frameworks = r"# (Flask|Django|Pyramid|Bottle|FastAPI|Starlette|Quart|Plain WSGI)"
            if "def test_" not in block and not re.match(frameworks, block):
                exec(compile(real(block, tmp_path), "README.rst", "exec"), space)  # noqa: S102 - our own README
            if until in block:
                return space
        raise LookupError(until)

    return run


def real(text: str, files: Path) -> str:
    """Replace the paths that the README names with real ones."""
    return text.replace("/etc/keys/cloudfront.pem", str(KEY)).replace("/srv/files", str(files))


def test_the_first_example_redirects_users_only(run: Run) -> None:
    """A user gets a 303 to the signed URL of the diagram, a stranger 401, and the application does the rest."""
    gate = run("application = ")["application"]
    granted = fetch(gate, "/private/reports/1.pdf", REMOTE_USER="ada")
    assert granted.code == 303
    assert signed_object(granted.location) == "/reports/1.pdf"
    assert re.search(r"/reports/1\.pdf\?Expires=\d+&Signature=[^&]+&Key-Pair-Id=K2JCJMDEHXQW5F", granted.location)
    assert fetch(gate, "/private/reports/1.pdf").code == 401
    assert fetch(gate, "/").body == b"the application"


def test_one_verdict_opens_a_film_by_cookies(run: Run) -> None:
    """The cookies belong to the shared domain and to the film's directory, and the log-out view clears the same."""
    cinema = run("cinema = ")["cinema"]
    film = fetch(cinema, "/private/films/42/index.m3u8")
    assert film.location == "https://media.example.com/films/42/index.m3u8"
    cleared = [value for name, value in cinema.clear_cookies("/films/42/") if name == "Set-Cookie"]
    assert cleared
    for cookie in [*film.values("Set-Cookie"), *cleared]:
        assert {"Domain=example.com", "Path=/films/42/"} <= set(cookie.split("; "))


def test_one_query_opens_everything_below_a_scope(run: Run) -> None:
    """Each still's URL is accepted, and the same query is refused elsewhere."""
    space = run("stills = ")
    assert [signed_object(url) for url in space["stills"]] == [f"/films/42/{number}.jpg" for number in range(3)]
    with pytest.raises(VerificationError):
        signed_object(f"{DOMAIN}/films/43/0.jpg?{space['query']}")


def test_a_script_of_another_origin_reads_the_url(run: Run) -> None:
    """Replies and preflights name the origin, and the JSON contains the signed URL."""
    api = run("api = ")["api"]
    origin = "https://app.example.com"
    reply = fetch(api, "/private/a.json", REMOTE_USER="ada", HTTP_ACCEPT="application/json", HTTP_ORIGIN=origin)
    assert signed_object(json.loads(reply.body)["url"]) == "/a.json"
    wanted: dict[str, Any] = {"HTTP_ACCESS_CONTROL_REQUEST_METHOD": "GET", "HTTP_ORIGIN": origin}
    preflight = fetch(api, "/private/a.json", method="OPTIONS", **wanted)
    assert preflight.code == 204
    for answer in (reply, preflight, fetch(api, "/private/a.json", HTTP_ORIGIN=origin)):
        assert answer.values("Access-Control-Allow-Origin") == ["https://app.example.com"]


def test_downloads_have_a_name_and_pictures_keep_their_url(run: Run) -> None:
    """The name is signed with the URL, and a picture's URL is the same for a quarter of an hour."""
    space = run("pictures = ")
    assert "response-content-disposition=attachment" in fetch(space["downloads"], "/private/r.pdf").location
    pictures = space["pictures"]
    pictures.clock = lambda: 1_800_000_001
    first = fetch(pictures, "/private/p.png").location
    pictures.clock = lambda: 1_800_000_900
    assert fetch(pictures, "/private/p.png").location == first
    pictures.clock = lambda: 1_800_000_901
    assert fetch(pictures, "/private/p.png").location != first


def logged_in_flask(view: Any) -> Any:
    """Let users pass, as Flask-Login's decorator does."""

    @functools.wraps(view)
    def checked(**values: Any) -> Any:
        return view(**values) if "REMOTE_USER" in flask.request.environ else flask.redirect("/login")

    return checked


def logged_in_django(view: Any) -> Any:
    """Let users pass, as Django's decorator does."""

    @functools.wraps(view)
    def checked(request: Any, **values: Any) -> Any:
        return view(request, **values) if "REMOTE_USER" in request.META else HttpResponseRedirect("/login")

    return checked


class UsersOnly:
    """A security policy of Pyramid."""

    def permits(self, request: Any, context: object, permission: str) -> Any:
        """Permit users to read."""
        permitted: Any = Allowed if "REMOTE_USER" in request.environ else Denied
        return permitted("by REMOTE_USER")


@pytest.mark.parametrize("framework", ["Flask", "Django", "Pyramid", "Bottle"])
def test_the_lines_of_a_framework_work(run: Run, framework: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The view of each framework lets users read, and its own answer to strangers reaches them."""
    module = types.ModuleType("readme_lines")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    names = {"logged_in": lambda: "REMOTE_USER" in bottle.request.environ, "view_config": view_config}
    names |= {"Response": pyramid.response.Response, "login_required": logged_in_flask, "app": flask.Flask("lines")}
    with pyramid.config.Configurator(security_policy=UsersOnly()) as config:
        module.__dict__.update(run("pictures = "), **names, config=config, __name__=module.__name__)
        if framework == "Django":
            module.__dict__["login_required"] = logged_in_django
        block = next(block for block in blocks("python") if block.startswith(f"# {framework}"))
        exec(compile(block, "README.rst", "exec"), module.__dict__)  # noqa: S102 - our own README
    if framework == "Django":
        urlpatterns[:] = [path("private/<path:name>", module.__dict__["private"])]
        clear_url_caches()
    wrapped = module.__dict__["app" if framework == "Flask" else "application"]
    granted = fetch(wrapped, "/private/a.pdf", mount="", REMOTE_USER="ada")
    assert signed_object(granted.location) == "/a.pdf"
    stranger = fetch(wrapped, "/private/a.pdf", mount="")
    assert (stranger.code, stranger.values("X-Cfgate-Allow")) in [(302, []), (303, []), (403, [])]


def logged_in_quart(view: Any) -> Any:
    """Let users pass, as Quart-Auth's decorator does."""

    @functools.wraps(view)
    async def checked(**values: Any) -> Any:
        return await view(**values) if "X-User" in quart.request.headers else quart.redirect("/login")

    return checked


def logged_in_django_async(view: Any) -> Any:
    """Let users pass, as Django's decorator does to an asynchronous view."""

    @functools.wraps(view)
    async def checked(request: Any, **values: Any) -> Any:
        return await view(request, **values) if "X-User" in request.headers else HttpResponseRedirect("/login")

    return checked


def logged_in_fastapi(x_user: Annotated[str | None, fastapi.Header()] = None) -> None:
    """Let users pass, as a dependency does."""
    if x_user is None:
        raise fastapi.HTTPException(403)


class ByHeader(AuthenticationBackend):
    """A backend of Starlette."""

    async def authenticate(self, conn: Any) -> Any:
        """Believe the client."""
        return (AuthCredentials(["authenticated"]), SimpleUser("ada")) if "X-User" in conn.headers else None


ASGI_NAMES: dict[str, dict[str, Any]] = {
    "# FastAPI": {
        **{"app": fastapi.FastAPI(), "Depends": fastapi.Depends, "Request": fastapi.Request},
        **{"Response": fastapi.Response, "logged_in": logged_in_fastapi},
    },
    "# Starlette": {
        **{"Starlette": Starlette, "Route": Route, "Middleware": Middleware, "Response": fastapi.Response},
        **{"requires": requires, "AuthenticationMiddleware": AuthenticationMiddleware, "backend": ByHeader()},
    },
    "# Quart": {"app": quart.Quart("lines"), "quart": quart, "login_required": logged_in_quart},
    "# Django, in asgi.py": {
        **{"get_asgi_application": get_asgi_application, "HttpResponse": HttpResponse},
        **{"login_required": logged_in_django_async},
    },
}


@pytest.mark.parametrize("framework", ASGI_NAMES)
def test_the_lines_of_an_asgi_framework_work(run: Run, framework: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The asynchronous views, too, let users read, and their frameworks' own answers reach strangers."""
    module = types.ModuleType("readme_asgi_lines")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    module.__dict__.update(run("pictures = "), **ASGI_NAMES[framework])
    (block,) = blocks("python", framework)
    exec(compile(block, "README.rst", "exec"), module.__dict__)  # noqa: S102 - our own README
    urlpatterns[:] = [path("private/<path:name>", module.__dict__["private"])]
    clear_url_caches()
    app = module.__dict__["application" if "Django" in framework else "app"]

    async def ask(method: str, **headers: str) -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://testserver") as client:
            return await client.request(method, "/private/a.pdf", headers=headers)

    for method in ("GET", "HEAD"):
        granted = asyncio.run(ask(method, **{"X-User": "ada"}))
        assert signed_object(granted.headers["Location"]) == "/a.pdf"
    stranger = asyncio.run(ask("GET"))
    assert stranger.status_code in (302, 403)
    assert "X-Cfgate-Allow" not in stranger.headers


def test_a_plain_authorizer_needs_one_line(run: Run) -> None:
    """An application, and none, are wrapped in a line."""
    space = run("pictures = ")
    (block,) = blocks("python", "# Plain WSGI")
    for line in ast.parse(block).body:
        space["application"] = application
        exec(compile(ast.Module([line], []), "README.rst", "exec"), space)  # noqa: S102 - our own README
        gate = space["application"]
        assert signed_object(fetch(gate, "/private/a.pdf", REMOTE_USER="ada").location) == "/a.pdf"
        assert fetch(gate, "/private/a.pdf").code == 401


def test_the_authorizer_uses_every_kind_of_verdict(run: Run) -> None:
    """PASS, a response, a number and a Grant do what the comments beside them say."""
    space = run("return HTTPFound")
    gate = CloudFrontGate(application, space["authorize"], prefix="/private", distribution=space["distribution"])
    assert fetch(gate, "/private/thumbnails/a.png").body == b"the application"
    assert fetch(gate, "/private/ada/a.pdf").location.endswith("/login")
    assert fetch(gate, "/private/bob/a.pdf", REMOTE_USER="ada").code == 404
    granted = fetch(gate, "/private/ada/a.pdf", REMOTE_USER="ada").location
    assert signed_object(granted) == "/ada/a.pdf"
    (end,) = re.findall(r"Expires=(\d+)", granted)
    assert 3590 < int(end) - time.time() < 3610


def test_a_flask_view_signs_for_its_user(run: Run) -> None:
    """The view redirects a user who is logged in, and refuses strangers."""
    client = run("flask.abort")["app"].test_client()
    assert client.get("/reports/1").status_code == 403
    with client.session_transaction() as session:
        session["user"] = "ada"
    reply = client.get("/reports/1")
    assert (reply.status_code, reply.headers["Referrer-Policy"]) == (303, "no-referrer")
    assert signed_object(reply.headers["Location"]) == "/reports/1.pdf"


@pytest.mark.parametrize("response", [HttpResponse, bottle.HTTPResponse], ids=["Django", "Bottle"])
def test_views_copy_the_redirect_into_their_own_response(run: Run, response: type[Any]) -> None:
    """Status and header fields are those of the signed redirect."""
    space = run("signed.status_code")
    space["HttpResponse"] = response
    reply = space["report"](None, 1)
    assert reply.status_code == 303
    assert signed_object(reply.headers["Location"]) == "/reports/1.pdf"
    assert "no-store" in reply.headers["Cache-Control"]
    assert reply.headers["Referrer-Policy"] == "no-referrer"


def test_a_pyramid_view_returns_the_redirect(run: Run) -> None:
    """Pyramid takes the response as it is."""
    space = run("distribution = ")
    config = pyramid.config.Configurator()
    config.add_route("report", "/reports/{number}")
    config.add_view(lambda request: space["distribution"].redirect("/reports/1.pdf"), route_name="report")
    reply = fetch(config.make_wsgi_app(), "/reports/1", mount="")
    assert (reply.code, signed_object(reply.location)) == (303, "/reports/1.pdf")


def test_a_path_that_cannot_be_an_object_is_a_path_error(run: Run) -> None:
    """All that sign a path raise it for the path that the README shows; and cookies are a dictionary."""
    distribution = run("distribution = ")["distribution"]
    for sign in (distribution.sign, distribution.cookies, distribution.redirect):
        with pytest.raises(PathError):
            sign("/a/../b")
    cookies = distribution.cookies("/reports/1.pdf")
    verify_cookies("/reports/1.pdf", cookies, base_url=DOMAIN, key_group=KEY_GROUP, now=time.time())


def test_other_signers_and_rings_sign(run: Run) -> None:
    """A signer of your own is asked for the signature, and a ring changes keys at the activation time."""
    space = run("rotating = ")
    assert "Signature=c2lnbmF0dXJl&Key-Pair-Id=K2JCJMDEHXQW5F" in space["remote"].sign("/a.pdf")
    rotating = space["rotating"]
    for now, key_pair_id in ((1_800_003_599, "KOLD"), (1_800_003_600, "KNEW")):
        rotating.clock = functools.partial(int, now)
        assert f"Key-Pair-Id={key_pair_id}" in rotating.sign("/a.pdf")


def test_the_complete_test_passes(pytester: pytest.Pytester) -> None:
    """Pasted into a project of its own, with the line that switches the fixtures on."""
    pytester.makeconftest(blocks("python", "pytest_plugins")[0])
    (block,) = blocks("python", "def test_")
    pytester.makepyfile(block)
    pytester.runpytest_subprocess().assert_outcomes(passed=block.count("def test_"))


def test_the_commands_work_as_they_are(tmp_path: Path) -> None:
    """A key pair, an edge, a request that is refused and one that is served."""
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports" / "1.pdf").write_text("%PDF-1.7")
    (block,) = blocks("console", "cfgate edge")
    (port,) = free_ports(1)
    script = real(block, tmp_path).replace("8001", str(port)).replace("curl", "curl --silent")
    make, edge, *fetches = re.findall(r"^\$ (.*)$", script, re.MULTILINE)
    (tmp_path / "cfgate").write_text(f'#!/bin/sh\nexec {sys.executable} -m cfgate_middleware "$@"\n')
    (tmp_path / "cfgate").chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    options: dict[str, Any] = {"cwd": tmp_path, "env": environment, "text": True, "stdout": subprocess.PIPE}
    subprocess.run(["sh", "-ec", make], check=True, **options)
    with subprocess.Popen(["sh", "-ec", f"exec {edge} --port {port}"], stderr=subprocess.DEVNULL, **options) as process:
        try:
            assert process.stdout and process.stdout.readline()  # it listens before it prints
            refused, served = (subprocess.run(["sh", "-ec", fetch], check=True, **options).stdout for fetch in fetches)
        finally:
            process.kill()
    assert "<Code>MissingKey</Code>" in refused
    assert served == "%PDF-1.7"


def free_ports(count: int) -> list[int]:
    """Return ports on which nothing listens."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [listening.getsockname()[1] for listening in sockets]


def test_the_lines_of_flask_cloudfront_work(run: Run) -> None:
    """The view authorizes; the bare domain, the configuration and the subclass of old code are accepted."""
    space = run("def view(")
    assert signed_object(space["view"]("ada").location) == "/reports/1.pdf"
    assert space["view"]("eve").status == "404 Not Found"
    space["app"].config.update(
        CLOUDFRONT_DOMAIN=DOMAIN.removeprefix("https://"),
        CLOUDFRONT_CONFIG={"key_pair_id": "K2JCJMDEHXQW5F", "priv_key_string": KEY.read_text(), "expires": 60},
    )
    space["My"] = type("My", (space["CloudFrontRedirect"],), {"authorize": lambda self, slug: slug == "a"})
    lines = re.findall(r"``(My\(.*)``", README)
    assert len(lines) == 3
    for line in lines[:1] + lines[2:]:  # the other one is an old line that has to change
        my_redirect = eval(line, space)  # noqa: S307 - our own README
        assert signed_object(my_redirect.go(slug="a").location) == "/"
        assert my_redirect.go(slug="b").status_code == 403


def test_the_ini_example_loads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ini block of the README is a PasteDeploy file that makes a gate."""
    from paste.deploy import loadapp

    security = types.ModuleType("myapp.security")
    vars(security).update(authorize=lambda environ: True, make_app=lambda global_conf: application)
    monkeypatch.setitem(sys.modules, "myapp", types.ModuleType("myapp"))
    monkeypatch.setitem(sys.modules, "myapp.security", security)
    (tmp_path / "cloudfront.pem").write_bytes(KEY.read_bytes())
    ini = tmp_path / "app.ini"
    (block,) = blocks("ini", "pipeline")
    ini.write_text(f"{block}\n[app:app]\npaste.app_factory = myapp.security:make_app\n")
    gate = loadapp(f"config:{ini}")
    assert signed_object(fetch(gate, "/private/a.pdf").location) == "/a.pdf"
    assert fetch(gate, "/").body == b"the application"


def test_the_options_table_matches_the_gate() -> None:
    """Each option has one row, with the default of the gate, or of the distribution that it makes."""
    rows = table("cookie_samesite")
    assert rows.pop("option")[0] == "default"
    defaults = {"required": inspect.Parameter.empty, "none": None, "60": 60, "303": 303, "0": 0}
    documented = {name: defaults.get(row[0], row[0]) for name, row in rows.items()}
    assert documented == {**keywords(CloudFrontGate), **keywords(Distribution), "domain": None}


def keywords(function: Callable[..., object]) -> dict[str, object]:
    """Return the keyword-only parameters and their defaults."""
    parameters = inspect.signature(function).parameters.values()
    return {each.name: each.default for each in parameters if each.kind is each.KEYWORD_ONLY}


def test_the_other_tables_match_what_exists() -> None:
    """Each source, command and field of a Grant has one row; option and field say which kinds of answers exist."""
    assert list(table("cfgate keygen")) == [f"cfgate {command.name}" for command in COMMANDS]
    assert {row.partition(":")[0] for row in table("env:NAME")} == set(_STORES)
    assert set(table("ip_address")) == set(inspect.signature(Grant).parameters)
    for row in (table("cookie_samesite")["answer"][-1], table("ip_address")["answer"][-1]):
        assert all(kind in row for kind in KINDS), row


def test_the_commands_are_found_by_ci() -> None:
    """The set-up lines are those that run the demo and the tests in a new environment, each on one line."""
    commands = re.findall(r"^    (python3 -m venv .*)$", README, re.MULTILINE)
    assert [command.partition("/python ")[2] for command in commands] == ["examples/demo", "-m pytest --cov"]


@pytest.mark.parametrize("name", ["README.rst", "CHANGELOG.rst", "SECURITY.rst", "examples/README.rst"])
def test_documents_are_valid_restructured_text(name: str) -> None:
    """The documents render without a warning."""
    text = (ROOT / name).read_text()
    docutils.core.publish_string(text, writer="html5", settings_overrides={"report_level": 2, "halt_level": 2})
