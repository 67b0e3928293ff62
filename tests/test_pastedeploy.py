"""The gate loaded from real ini files by PasteDeploy, and then called."""

from __future__ import annotations

import itertools
import logging
import re
import textwrap
import time
from collections.abc import Callable, Mapping
from configparser import InterpolationSyntaxError
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from wsgiref.types import WSGIApplication, WSGIEnvironment

import pytest
from paste.deploy import loadapp

from cfgate_middleware import ConfigError, DecisionRecord
from cfgate_middleware._options import OPTIONS
from cfgate_middleware.pastedeploy import filter_factory
from tests.conftest import KEY_PAIR_ID, KEYS
from tests.support import Answer, Log, Patch, Wrapped, fetch, verified

HERE = "tests.test_pastedeploy"
DOMAIN = "https://d111111abcdef8.cloudfront.net"
KEY = KEYS / "p256-pkcs8.pem"
OPTIONS_OF_A_GATE = {"authorize": f"{HERE}:members", "prefix": "/private", "domain": DOMAIN}
OPTIONS_OF_A_GATE |= {"key_pair_id": KEY_PAIR_ID, "private_key": str(KEY)}
SITE = "paste.app_factory = tests.test_pastedeploy:make_site\n"
USE = "use = egg:cfgate-middleware"
FORMS = {
    "filter-with": f"[app:main]\n{SITE}filter-with = gate\n[filter:gate]\n{USE}\n",
    "pipeline": f"[pipeline:main]\npipeline = gate site\n[app:site]\n{SITE}[filter:gate]\n{USE}#main\n",
    "filter-app": f"[app:site]\n{SITE}[filter-app:main]\n{USE}\nnext = site\n",
    "app": f"[app:main]\n{USE}\n",
}
NO_KEY = {"private_key": None, "key_pair_id": None}
Lines = Mapping[str, str | None]
KNOWN = sorted({option.name for option in OPTIONS if option.read} | {"authorize"})
decisions: list[DecisionRecord] = []
made_with: list[dict[str, str]] = []


def make_site(global_conf: dict[str, str], **local_conf: str) -> WSGIApplication:
    """The wrapped application."""
    return Wrapped()


def members(environ: WSGIEnvironment) -> bool:
    """An authorizer: whoever is known is a member."""
    return bool(environ["REMOTE_USER"])


async def members_some_day(environ: WSGIEnvironment) -> bool:
    """An authorizer that no gate can ask."""
    return True


def by_name(*, user: str, realm: str = "none") -> Callable[[WSGIEnvironment], bool]:
    """Make an authorizer from ``authorize.ROLE`` lines."""
    made_with.append({"user": user, "realm": realm})
    return lambda environ: environ.get("REMOTE_USER") == user


class ByName:
    """The same, as a class."""

    def __init__(self, user: str) -> None:
        self._user = user

    def __call__(self, environ: WSGIEnvironment) -> bool:
        return bool(environ.get("REMOTE_USER") == self._user)


def nothing(**roles: str) -> None:
    """A maker that forgot its return."""


MAKERS = ("by_name", "ByName")
not_callable = "a constant"
toolbox = SimpleNamespace(members=members)


class Ini:
    """Writes ini files into a directory and loads them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def load(self, form: str = "app", defaults: Lines | None = None, /, **options: str | None) -> WSGIApplication:
        """Load a gate with these options on top of ``OPTIONS_OF_A_GATE``; None leaves one out."""
        return self.load_lines(form, defaults, {**OPTIONS_OF_A_GATE, **options})

    def load_lines(self, form: str, defaults: Lines | None, options: Lines) -> WSGIApplication:
        """Load a gate with exactly these options."""
        text = FORMS[form] + _spelled(options)
        if defaults is not None:
            text = "[DEFAULT]\n" + _spelled(defaults) + text
        file = self.folder / "site.ini"
        file.write_text(text, encoding="utf-8")
        app: WSGIApplication = loadapp(f"config:{file}")
        return app

    def problems(self, defaults: Lines | None = None, /, **options: str | None) -> tuple[str, ...]:
        """Return what is wrong with a gate of these options."""
        with pytest.raises(ConfigError) as caught:
            self.load("app", defaults, **options)
        return caught.value.problems


def _spelled(lines: Lines) -> str:
    return "".join(f"{name} = {value}\n" for name, value in lines.items() if value is not None)


@pytest.fixture
def ini(tmp_path: Path) -> Ini:
    """Ini files in a directory of their own."""
    return Ini(tmp_path)


def ask(app: WSGIApplication, target: str, user: str = "ann") -> Answer:
    """Send one GET, as a known user or, with an empty name, as nobody."""
    path, _, query = target.partition("?")
    return fetch(app, path, query=query, REMOTE_USER=user)


def granted(answer: Answer) -> str:
    """Check the Location as CloudFront would, and return the target that the origin gets."""
    assert answer.code == 303
    assert answer.location.startswith(f"{DOMAIN}/")
    return verified(answer.location, now=time.time()).origin_target


def inline(pem: str) -> str:
    """Spell a PEM as an ini value of several lines."""
    return "\n" + textwrap.indent(pem, "    ").rstrip()


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_section_makes_a_gate(ini: Ini, form: str) -> None:
    """As filter, filter-app, pipeline or application it redirects, refuses, and leaves the rest to what it wraps."""
    app = ini.load(form)
    assert granted(ask(app, "/private/reports/1.pdf")) == "/reports/1.pdf"
    assert ask(app, "/private/reports/1.pdf", user="").code == 403
    outside = ask(app, "/public/1.pdf")
    assert (outside.code, outside.body) == ((404, b"404 Not Found\n") if form == "app" else (200, b"wrapped\n"))


def test_every_option_can_be_set_in_an_ini_file(ini: Ini) -> None:
    """All options but the Python-only ones are taken together, and each does its work."""
    decisions.clear()
    options = OPTIONS_OF_A_GATE | {"hash_algorithm": "SHA256", "expires": "300", "code": "302", "reuse_for": "60"}
    options |= {"headers": "X-Robots-Tag: noindex", "forward_query": "v", "index": "index.html", "answer": "cookies"}
    options |= {"cookie_domain": "cloudfront.example.com", "cookie_path": "/docs/", "cookie_samesite": "strict"}
    options |= {"domain": "https://d1.cloudfront.example.com", "on_decision": f"{HERE}:decisions.append"}
    options |= {"allow_origin": "https://app.example.com, http://localhost:3000"}
    missing = {option.name for option in OPTIONS} - options.keys()
    # Other ways of giving the key, and what needs an application.
    assert missing == {"priv_key_string", "keys", "distribution", "signer", "app_redirect_header"}
    answer = ask(ini.load_lines("app", None, options), "/private/docs/?v=2&w=3")
    assert "Origin" in answer.values("Vary")
    assert (answer.code, answer.values("X-Robots-Tag")) == (302, ["noindex"])
    assert answer.location == "https://d1.cloudfront.example.com/docs/index.html?v=2"
    (record,) = decisions
    assert (record.path, record.status, record.key_pair_id) == ("/private/docs/", 302, KEY_PAIR_ID)
    assert record.end is not None and record.end % 60 == 0
    assert 299 <= record.end - time.time() <= 361
    cookies = dict(field.split("; ", 1) for field in answer.values("Set-Cookie"))
    assert cookies[f"CloudFront-Expires={record.end}"] == (
        "Path=/docs/; Domain=cloudfront.example.com; Secure; HttpOnly; SameSite=Strict"
    )


@pytest.mark.parametrize(
    ("options", "origin_target"),
    [
        ({"private_key": "%(here)s/cloudfront.pem"}, "/1.pdf"),  # relative to the ini file
        ({"private_key": inline(KEY.read_text())}, "/1.pdf"),
        ({"private_key": None, "priv_key_string": inline(KEY.read_text())}, "/1.pdf"),
        ({"private_key": "env:CFGATE_TEST_KEY"}, "/1.pdf"),
        ({**NO_KEY, "keys": f"\n  # ours\n  {KEY_PAIR_ID} %(here)s/cloudfront.pem"}, "/1.pdf"),
        ({"domain": f"{DOMAIN}/a%%20b"}, "/a%20b/1.pdf"),  # PasteDeploy interpolates values
        *(({"forward_query": kept}, "/1.pdf?v=1&w=2") for kept in ("v w", "v,w", "v, w,", "\n v\n w", "\n v,\n\n w")),
        *(({"forward_query": ""}, "/1.pdf"), ({"authorize": "tests.test_pastedeploy:toolbox.members"}, "/1.pdf")),
        *(({"authorize": f"tests.test_pastedeploy:{maker}", "authorize.user": "ann"}, "/1.pdf") for maker in MAKERS),
        # The line break that a value begins with is no part of it.
        (
            {name: f"\n    {value}" for name, value in OPTIONS_OF_A_GATE.items()}
            | {"expires": "\n  120", "reuse_for": "\n  60", "cookie_path": "\n  /", "answer": "\n  redirect"}
            | {"authorize": "\n  tests.test_pastedeploy:by_name", "authorize.user": "\n  ann"},
            "/1.pdf",
        ),
    ],
)
def test_a_value_is_read(ini: Ini, monkeypatch: Patch, options: dict[str, str | None], origin_target: str) -> None:
    """Keys of every source, escapes, lists, authorizers and values on the next line mean what they look like."""
    monkeypatch.setenv("CFGATE_TEST_KEY", KEY.read_text())
    (ini.folder / "cloudfront.pem").write_bytes(KEY.read_bytes())
    app = ini.load(**options)
    assert granted(ask(app, "/private/1.pdf?v=1&w=2&x=3")) == origin_target
    assert ask(app, "/private/1.pdf", user="").code == 403


def test_headers_are_lines_of_name_and_value(ini: Ini) -> None:
    """Each line is a field; white space around it, blank lines and comment lines do not count, colons in it do."""
    headers = "\n  X-Robots-Tag:  noindex \n\n  # for the proxy\n  Link: <https://example.com/a;b>; rel=license"
    answer = ask(ini.load(headers=headers), "/private/1.pdf")
    assert answer.values("X-Robots-Tag") == ["noindex"]
    assert answer.values("Link") == ["<https://example.com/a;b>; rel=license"]


def test_a_single_percent_sign_is_refused_by_pastedeploy(ini: Ini) -> None:
    """PasteDeploy itself names the file and the cure for a lone ``%``."""
    with pytest.raises(InterpolationSyntaxError, match=r"site\.ini: '%' must be followed by '%' or"):
        ini.load(domain=f"{DOMAIN}/a%20b")


def test_the_authorizer_is_made_once(ini: Ini) -> None:
    """The maker runs when the file is loaded, not for requests, and gets the text of every line."""
    made_with.clear()
    roles = {"authorize.user": "bob", "authorize.realm": "a b; c"}
    app = ini.load(authorize="tests.test_pastedeploy:by_name", **roles)
    assert [ask(app, "/private/1.pdf", user=user).code for user in ("bob", "ann", "bob")] == [303, 403, 303]
    assert made_with == [{"user": "bob", "realm": "a b; c"}]


@pytest.mark.parametrize(
    ("option", "value", "telling"),
    [
        ("authorize", None, "authorize is missing: expected authorize = package.module:callable"),
        ("authorize", "", "authorize='': expected package.module:callable"),
        ("authorize", f"{HERE}.members", f"authorize='{HERE}.members': expected package.module:callable"),
        ("authorize", f"{HERE}:menbers", f"authorize='{HERE}:menbers': could not be imported.*no attribute 'menbers'"),
        ("authorize", "tests.nowhere:members", "authorize=.*could not be imported.*No module named 'tests.nowhere'"),
        ("authorize", f"{HERE}:a:b", f"authorize='{HERE}:a:b': could not be imported"),
        ("authorize", f"{HERE}:not_callable", "authorize .*a str of 10 characters.*expected a callable"),
        ("authorize", f"{HERE}:ByName", "authorize .*class.*: pass an instance"),
        ("authorize", f"{HERE}:members_some_day", "authorize .*coroutine"),
        ("authorise", "x", "authorise: unknown option; did you mean authorize?"),
        ("prefx", "x", "prefx: unknown option; did you mean prefix?"),
        ("forward-query", "x", "forward-query: unknown option; did you mean forward_query?"),
        ("same_site", "x", "same_site: unknown option; did you mean cookie_samesite?"),
        ("zzz", "x", f"zzz: unknown option; known options: {', '.join(KNOWN)}$"),
        *((name, "x", f"{name}: .*Python object.*ini file") for name in ("signer", "distribution")),
        *(("expires", text, f"expires='{text}': expected a whole number") for text in ("60s", "1_000", "٦٠", "")),
        ("expires", "60000000000", "expires=60000000000: expected whole seconds"),
        ("code", "see other", "code='see other': expected a whole number"),
        ("headers", "noindex", "headers .*line 1.*expected 'Name: value' lines"),
        ("on_decision", "decisions.append", "on_decision='decisions.append': expected package.module:callable"),
        ("on_decision", f"{HERE}:not_callable", "on_decision='a constant': expected a plain callable"),
        ("on_decision", f"{HERE}:members_some_day", "on_decision=.*expected a plain callable"),
        ("reuse_for", "-1", "reuse_for='-1': expected a whole number"),
        ("answer", "", "answer='': expected one of redirect"),
        *((name, None, f"{name} is missing: expected") for name in ("prefix", "domain")),
        *((name, None, f"{name} missing: expected key_pair_id and") for name in ("key_pair_id", "private_key")),
        ("private_key", "${KEY}", "private_key.*shell placeholder"),
        ("private_key", "env:CFGATE_UNSET", "private_key: .*CFGATE_UNSET is not set"),
    ],
)
def test_a_mistake_is_one_clear_problem(ini: Ini, option: str, value: str | None, telling: str) -> None:
    """Each is reported once when the file is loaded: the option, what was given and what is expected."""
    (problem,) = ini.problems(**{option: value})
    assert re.match(telling.replace("?", r"\?"), problem), problem


@pytest.mark.parametrize(
    ("maker", "role", "telling"),
    [
        ("not_callable", "user", "authorize is a str of 10 characters; expected a callable that takes user"),
        ("nothing", "user", "authorize .*expected a callable"),
        ("by_name", "realm", "authorize='.*:by_name': .*with authorize.realm .*missing a required .*argument: 'user'"),
    ],
)
def test_wrong_role_lines_are_named(ini: Ini, maker: str, role: str, telling: str) -> None:
    """A line that the maker does not take, or refuses, is a problem beside the others; its value is not shown."""
    roles = {f"authorize.{role}": "hunter2"}
    found = "\n".join(ini.problems(authorize=f"{HERE}:{maker}", code="200", **roles))
    assert re.search(telling, found), found
    assert "code=200" in found and "hunter2" not in found


@pytest.mark.parametrize(
    ("option", "value"),
    [
        *((option, f"{value} ; ours") for option, value in OPTIONS_OF_A_GATE.items() if option != "private_key"),
        *(("prefix", "/private # the members' part"), ("prefix", "; /private"), ("expires", "60 ; one minute")),
        *(("forward_query", "v w # versions"), ("answer", "cookies ; for films"), ("index", "index.html ; as ever")),
        *(("cookie_path", "/films/ ; all of them"), ("authorize.user", "no ; only for staff")),
    ],
)
def test_an_inline_comment_is_refused(ini: Ini, option: str, value: str) -> None:
    """PasteDeploy keeps inline comments, which would move the prefix; the one problem says how to write it."""
    (problem,) = ini.problems(**{option: value})
    assert problem.startswith(option) and "inline comment" in problem and "a line of its own" in problem
    assert not option.startswith("authorize.") or value not in problem  # a role's value may be a secret


def test_a_duration_that_cannot_be_read_is_the_one_problem(ini: Ini) -> None:
    """It is not compared with ``reuse_for``."""
    (problem,) = ini.problems(expires="5m", reuse_for="300")
    assert problem.startswith("expires='5m'")


def test_all_problems_are_reported_together(ini: Ini) -> None:
    """The reader's problems and the gate's are in one error."""
    wrong = {"privatekey": "x", "key_pair_id": KEY_PAIR_ID, "expires": "soon", "index": "index.html ; as ever"}
    wrong |= {"authorize": "tests.nowhere:members", "prefix": "private", "code": "200", "private_key": "${KEY}"}
    found = ini.problems({"key_pair_id": KEY_PAIR_ID}, domain=None, **wrong)
    assert sorted(re.split(r"[:= ]", problem)[0] for problem in found) == sorted([*wrong, "domain"])


@pytest.mark.parametrize(
    ("option", "damage"),
    [
        *itertools.product(["private_key", "priv_key_string", "key_pair_id"], ["no begin", "no end", "upside down"]),
        *itertools.product(["key_pair_id", "prefix", "domain", "authorize", "expires"], ["none"]),
    ],
)
def test_no_key_material_is_echoed(ini: Ini, caplog: Log, option: str, damage: str) -> None:
    """A key that is damaged or in the wrong place is shown neither in the error nor in the log."""
    caplog.set_level(logging.DEBUG)
    begin, *lines, end = KEY.read_text().splitlines()
    parts = {"none": [begin, *lines, end], "no begin": [*lines, end], "no end": [begin, *lines]}
    damaged = parts.get(damage, [end, *lines, begin])
    keys = {"private_key": None} if option == "priv_key_string" else {}
    (problem,) = ini.problems(**(keys | {option: inline("\n".join(damaged))}))
    assert not any(line[:20] in problem + caplog.text for line in lines)


@pytest.mark.parametrize(
    ("default", "options"),
    [
        *(({name: value}, {}) for name, value in OPTIONS_OF_A_GATE.items()),
        ({"authorize.user": "ann"}, {"authorize": f"{HERE}:by_name"}),  # another authorizer would decide without it
        ({"priv_key_string": str(KEY)}, {"private_key": None}),  # required, whatever it is called
    ],
)
def test_a_required_option_that_default_swallows_is_refused(ini: Ini, default: Any, options: Any) -> None:
    """PasteDeploy drops an option that [DEFAULT] has too; the error says so, once, and how to get it back."""
    (name,) = default
    (problem,) = ini.problems(default, **options)
    assert problem.startswith(f"{name} is set in [DEFAULT]") and f"'get {name} = {name}'" in problem


def test_get_cures_what_default_swallows(ini: Ini, caplog: Log) -> None:
    """``get NAME = NAME`` takes the value of [DEFAULT], for required and optional options, without a warning."""
    defaults = OPTIONS_OF_A_GATE | {"code": "302", "authorize.user": "ann", "authorize": f"{HERE}:by_name"}
    answer = ask(ini.load_lines("pipeline", defaults, {f"get {name}": name for name in defaults}), "/private/1.pdf")
    assert answer.code == 302 and answer.location.startswith(f"{DOMAIN}/1.pdf?Expires=")
    assert "DEFAULT" not in caplog.text


@pytest.mark.parametrize(("name", "value", "own"), [("code", "302", "307"), ("priv_key_string", "another", None)])
def test_an_optional_one_that_default_swallows_is_a_warning(
    ini: Ini, caplog: Log, name: str, value: str, own: Any
) -> None:
    """[DEFAULT] may hold another application's option of that name, so the gate loads, and says that it ignores it."""
    app = ini.load("app", {name: value, "debug": "true"}, **{name: own})
    granted(ask(app, "/private/1.pdf"))  # with the gate's own default, 303
    (warning,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert warning.name == "cfgate_middleware"
    assert warning.getMessage().startswith(f"{name} is set in [DEFAULT]")
    assert f"'get {name} = {name}'" in warning.getMessage()


def test_one_factory_can_wrap_several_applications() -> None:
    """A filter made once wraps every application it is given."""
    make = filter_factory({}, **OPTIONS_OF_A_GATE)
    first, second = make(make_site({})), make(make_site({}))
    assert first is not second
    for gate in (first, second):
        granted(ask(gate, "/private/1.pdf"))
