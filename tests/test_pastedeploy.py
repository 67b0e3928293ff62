"""The gate loaded from real ini files by PasteDeploy, and then called."""

from __future__ import annotations

import itertools
import json
import logging
import re
import textwrap
import time
from collections.abc import Callable, Mapping
from configparser import InterpolationSyntaxError
from pathlib import Path
from types import SimpleNamespace
from wsgiref.types import WSGIApplication, WSGIEnvironment

import pytest
from paste.deploy import loadapp

from cfgate_middleware import ConfigError
from cfgate_middleware import DecisionRecord as Record
from cfgate_middleware.options import OPTIONS
from cfgate_middleware.pastedeploy import filter_factory
from tests.conftest import KEY_PAIR_ID, KEYS
from tests.support import Answer, Wrapped, fetch, verified

DOMAIN = "https://d111111abcdef8.cloudfront.net"
KEY = KEYS / "p256-pkcs8.pem"
OPTIONS_OF_A_GATE = {
    "authorize": "tests.test_pastedeploy:members",
    "prefix": "/private",
    "domain": DOMAIN,
    "key_pair_id": KEY_PAIR_ID,
    "private_key": str(KEY),
}

FORMS = {
    "filter-with": """
        [app:main]
        paste.app_factory = tests.test_pastedeploy:make_site
        filter-with = gate

        [filter:gate]
        use = egg:cfgate-middleware
        """,
    "pipeline": """
        [pipeline:main]
        pipeline = gate site

        [app:site]
        paste.app_factory = tests.test_pastedeploy:make_site

        [filter:gate]
        use = egg:cfgate-middleware#main
        """,
    "filter-app": """
        [app:site]
        paste.app_factory = tests.test_pastedeploy:make_site

        [filter-app:main]
        use = egg:cfgate-middleware
        next = site
        """,
    "app": """
        [app:main]
        use = egg:cfgate-middleware
        """,
}

Lines = Mapping[str, str | None]

decisions: list[Record] = []
made_with: list[dict[str, str]] = []


def make_site(global_conf: dict[str, str], **local_conf: str) -> WSGIApplication:
    """The wrapped application."""
    return Wrapped()


def members(environ: WSGIEnvironment) -> bool:
    """An authorizer: whoever is known is a member."""
    return bool(environ["REMOTE_USER"])


async def members_some_day(environ: WSGIEnvironment) -> bool:
    """What no gate can ask."""
    return True


def by_name(*, user: str, realm: str = "none") -> Callable[[WSGIEnvironment], bool]:
    """What makes an authorizer from ``authorize.ROLE`` lines."""
    if not user.isalpha():
        raise ValueError("a user is letters only")
    made_with.append({"user": user, "realm": realm})
    return lambda environ: environ.get("REMOTE_USER") == user


class ByName:
    """The same as a class."""

    def __init__(self, user: str) -> None:
        self._user = user

    def __call__(self, environ: WSGIEnvironment) -> bool:
        return bool(environ.get("REMOTE_USER") == self._user)


def nothing(**roles: str) -> None:
    """A maker that forgot its return."""


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
        text = textwrap.dedent(FORMS[form]) + _spelled(options)
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


# Loading


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_section_makes_a_gate(ini: Ini, form: str) -> None:
    """As filter, filter-app, pipeline or application, members are redirected and strangers refused."""
    app = ini.load(form)
    assert granted(ask(app, "/private/reports/1.pdf")) == "/reports/1.pdf"
    assert ask(app, "/private/reports/1.pdf", user="").code == 403


@pytest.mark.parametrize("form", FORMS)
def test_outside_the_prefix_the_application_answers(ini: Ini, form: str) -> None:
    """What is not below the prefix is the wrapped application's; a gate standing alone has none and says 404."""
    answer = ask(ini.load(form), "/public/1.pdf")
    expected = (404, b"404 Not Found\n") if form == "app" else (200, b"wrapped\n")
    assert (answer.code, answer.body) == expected


def test_every_option_can_stand_in_an_ini_file(ini: Ini) -> None:
    """All options but the Python-only ones are taken together, and each does its work."""
    decisions.clear()
    options = OPTIONS_OF_A_GATE | {
        "hash_algorithm": "SHA256",
        "expires": "300",
        "code": "302",
        "headers": "X-Robots-Tag: noindex",
        "forward_query": "v",
        "index": "index.html",
        "reuse_for": "60",
        "answer": "cookies",
        "cookie_domain": "cloudfront.example.com",
        "cookie_path": "/docs/",
        "cookie_samesite": "strict",
        "domain": "https://d1.cloudfront.example.com",
        "on_decision": "tests.test_pastedeploy:decisions.append",
    }
    missing = {option.name for option in OPTIONS if option.ini != "python"} - options.keys()
    assert missing == {"priv_key_string", "keys"}  # other ways of giving the key
    answer = ask(ini.load_lines("app", None, options), "/private/docs/?v=2&w=3")
    assert (answer.code, answer.values("X-Robots-Tag")) == (302, ["noindex"])
    assert answer.location == "https://d1.cloudfront.example.com/docs/index.html?v=2"
    (record,) = decisions
    assert (record.path, record.status, record.key_pair_id) == ("/private/docs/", 302, KEY_PAIR_ID)
    assert record.end is not None
    assert 299 <= record.end - time.time() <= 361
    assert record.end % 60 == 0
    cookies = dict(field.split("; ", 1) for field in answer.values("Set-Cookie"))
    assert cookies[f"CloudFront-Expires={record.end}"] == (
        "Domain=cloudfront.example.com; Path=/docs/; secure; HttpOnly; SameSite=Strict"
    )


def test_json_can_be_chosen_in_an_ini_file(ini: Ini) -> None:
    """Scripts that ask for JSON are told the URL."""
    app = ini.load(answer="json")
    answer = fetch(app, "/private/1.pdf", REMOTE_USER="ann", HTTP_ACCEPT="application/json")
    assert answer.values("Content-Type") == ["application/json"]
    assert verified(json.loads(answer.body)["url"], now=time.time()).origin_target == "/1.pdf"
    assert granted(ask(app, "/private/1.pdf")) == "/1.pdf"


# Values


def test_a_path_may_be_relative_to_the_ini_file(ini: Ini) -> None:
    """``%(here)s`` is the directory of the ini file."""
    (ini.folder / "cloudfront.pem").write_bytes(KEY.read_bytes())
    granted(ask(ini.load(private_key="%(here)s/cloudfront.pem"), "/private/1.pdf"))


@pytest.mark.parametrize("name", ["private_key", "priv_key_string"])
def test_a_key_may_stand_in_the_ini_file_itself(ini: Ini, name: str) -> None:
    """An indented PEM of several lines is a key, under both names of the option."""
    keys = {"private_key": None} | {name: inline(KEY.read_text())}
    granted(ask(ini.load(**keys), "/private/1.pdf"))


def test_a_key_may_come_from_the_environment(ini: Ini, monkeypatch: pytest.MonkeyPatch) -> None:
    """``env:NAME`` reads the PEM from the variable NAME."""
    monkeypatch.setenv("CFGATE_TEST_KEY", KEY.read_text())
    granted(ask(ini.load(private_key="env:CFGATE_TEST_KEY"), "/private/1.pdf"))


def test_every_value_may_start_on_the_next_line(ini: Ini) -> None:
    """The line break that such a value begins with is no part of it."""
    options = OPTIONS_OF_A_GATE | {
        "authorize": "tests.test_pastedeploy:by_name",
        "authorize.user": "ann",
        "expires": "120",
        "reuse_for": "60",
        "answer": "redirect",
        "cookie_path": "/",
        "forward_query": "v",
        "headers": "X-A: 1",
        "on_decision": "tests.test_pastedeploy:decisions.append",
    }
    app = ini.load_lines("app", None, {name: f"\n    {value}" for name, value in options.items()})
    answer = ask(app, "/private/1.pdf?v=2")
    assert granted(answer) == "/1.pdf?v=2"
    assert answer.values("X-A") == ["1"]
    assert made_with[-1]["user"] == "ann"


def test_headers_are_lines_of_name_and_value(ini: Ini) -> None:
    """Each line is a field; white space around it, blank lines and comment lines do not count, colons in it do."""
    headers = "\n  X-Robots-Tag:  noindex \n\n  # for the proxy\n  Link: <https://example.com/a;b>; rel=license"
    answer = ask(ini.load(headers=headers), "/private/1.pdf")
    assert answer.values("X-Robots-Tag") == ["noindex"]
    assert answer.values("Link") == ["<https://example.com/a;b>; rel=license"]


@pytest.mark.parametrize("names", ["v w", "v,w", "v, w,", "\n  v\n  w", "\n  v,\n\n  w"])
def test_forward_query_is_a_list_of_names(ini: Ini, names: str) -> None:
    """Names are told apart by white space or commas."""
    answer = ask(ini.load(forward_query=names), "/private/1.pdf?v=1&w=2&x=3")
    assert granted(answer) == "/1.pdf?v=1&w=2"


def test_an_empty_forward_query_keeps_nothing(ini: Ini) -> None:
    """No name is an empty list, as without the option."""
    assert granted(ask(ini.load(forward_query=""), "/private/1.pdf?v=1")) == "/1.pdf"


def test_a_percent_sign_is_written_twice(ini: Ini) -> None:
    """PasteDeploy interpolates values, so ``%`` is spelled ``%%``."""
    answer = ask(ini.load(domain=f"{DOMAIN}/a%%20b"), "/private/1.pdf")
    assert granted(answer) == "/a%20b/1.pdf"


def test_a_single_percent_sign_is_refused_by_pastedeploy(ini: Ini) -> None:
    """PasteDeploy itself names the file and the cure for a lone ``%``."""
    with pytest.raises(InterpolationSyntaxError, match=r"Error in file .*site\.ini: '%' must be followed by '%' or"):
        ini.load(domain=f"{DOMAIN}/a%20b")


# Authorizers


@pytest.mark.parametrize("maker", ["by_name", "ByName"])
def test_role_lines_make_the_authorizer(ini: Ini, maker: str) -> None:
    """With ``authorize.ROLE`` lines the object is called with them as keywords and returns the authorizer."""
    app = ini.load(authorize=f"tests.test_pastedeploy:{maker}", **{"authorize.user": "bob"})
    assert ask(app, "/private/1.pdf", user="ann").code == 403
    granted(ask(app, "/private/1.pdf", user="bob"))


def test_the_authorizer_is_made_once(ini: Ini) -> None:
    """The maker runs when the file is loaded, not for requests, and gets the text of every line."""
    made_with.clear()
    roles = {"authorize.user": "bob", "authorize.realm": "a b; c"}
    app = ini.load(authorize="tests.test_pastedeploy:by_name", **roles)
    for _ in range(3):
        granted(ask(app, "/private/1.pdf", user="bob"))
    assert made_with == [{"user": "bob", "realm": "a b; c"}]


def test_an_authorizer_may_be_an_attribute_of_an_object(ini: Ini) -> None:
    """What follows the colon may be dotted."""
    granted(ask(ini.load(authorize="tests.test_pastedeploy:toolbox.members"), "/private/1.pdf"))


@pytest.mark.parametrize(
    ("authorizer", "problem"),
    [
        (None, "authorize is missing: expected authorize = package.module:callable"),
        ("", "authorize='': expected package.module:callable"),
        ("tests.test_pastedeploy.members", "authorize='tests.test_pastedeploy.members': expected package.module:call"),
        (
            "tests.test_pastedeploy:menbers",
            "authorize='tests.test_pastedeploy:menbers': could not be imported "
            "(module 'tests.test_pastedeploy' has no attribute 'menbers')",
        ),
        ("tests.nowhere:members", "could not be imported (No module named 'tests.nowhere')"),
        ("tests.test_pastedeploy:a:b", "authorize='tests.test_pastedeploy:a:b': could not be imported"),
        ("tests.test_pastedeploy:not_callable", "authorize is a str of 10 characters; expected a callable"),
        ("tests.test_pastedeploy:ByName", "authorize is the class tests.test_pastedeploy.ByName: pass an instance"),
        (
            "tests.test_pastedeploy:members_some_day",
            "authorize=tests.test_pastedeploy.members_some_day is a coroutine or generator function",
        ),
    ],
)
def test_a_wrong_authorizer_is_named(ini: Ini, authorizer: str | None, problem: str) -> None:
    """What cannot be an authorizer is refused when the file is loaded, as the one problem it is."""
    (told,) = ini.problems(authorize=authorizer)
    assert problem in told


@pytest.mark.parametrize(
    ("maker", "role", "problem"),
    [
        ("not_callable", "user", "authorize is a str of 10 characters; expected a callable that takes user"),
        ("nothing", "user", "authorize is None; expected a callable that takes environ"),
        (
            "by_name",
            "group",
            "authorize='tests.test_pastedeploy:by_name': could not be called with authorize.group "
            "(by_name() got an unexpected keyword argument 'group')",
        ),
        ("by_name", "realm", "with authorize.realm (by_name() missing 1 required keyword-only argument: 'user')"),
        ("by_name", "user", "could not be called with authorize.user (a user is letters only)"),
    ],
)
def test_wrong_role_lines_are_named(ini: Ini, maker: str, role: str, problem: str) -> None:
    """What the maker does not take, or refuses, is a problem beside the others and never shows the line's value."""
    roles = {f"authorize.{role}": "hunter2"}
    told = "\n".join(ini.problems(authorize=f"tests.test_pastedeploy:{maker}", code="200", **roles))
    assert problem in told
    assert "code=200" in told
    assert "hunter2" not in told


# Mistakes


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("prefix", "/private ; the members' part"),
        ("prefix", "/private # the members' part"),
        ("domain", f"{DOMAIN} ; ours"),
        ("key_pair_id", f"{KEY_PAIR_ID} ; ours"),
        ("expires", "60 ; one minute"),
        ("forward_query", "v w # versions"),
        ("answer", "cookies ; for films"),
        ("cookie_path", "/films/ ; all of them"),
        ("index", "index.html ; as ever"),
        ("authorize", "tests.test_pastedeploy:members ; all"),
        ("prefix", "; /private"),
        ("authorize.user", "no ; only for staff"),
    ],
)
def test_an_inline_comment_is_refused(ini: Ini, option: str, value: str) -> None:
    """PasteDeploy keeps inline comments, which would move the prefix; it is the one problem, and shows the comment."""
    (told,) = ini.problems(**{option: value})
    comment = value[value.index(";" if ";" in value else "#") :]
    assert told == (
        f"{option}: PasteDeploy takes the inline comment {comment!r} for part of the value; "
        "put the comment on a line of its own"
    )


@pytest.mark.parametrize(
    ("option", "problem"),
    [
        ("authorise", "authorise: unknown option; did you mean authorize?"),
        ("prefx", "prefx: unknown option; did you mean prefix?"),
        ("forward-query", "forward-query: unknown option; did you mean forward_query?"),
        ("reuse-for", "reuse-for: unknown option; did you mean reuse_for?"),
        ("same_site", "same_site: unknown option; did you mean cookie_samesite?"),
        (
            "zzz",
            "zzz: unknown option; known options: answer, authorize, code, cookie_domain, cookie_path, cookie_samesite, "
            "domain, expires, forward_query, hash_algorithm, headers, index, key_pair_id, keys, on_decision, prefix, "
            "priv_key_string, private_key, reuse_for",
        ),
        ("signer", "signer: this option takes a Python object and cannot stand in an ini file"),
    ],
)
def test_an_option_that_is_none_is_refused(ini: Ini, option: str, problem: str) -> None:
    """A misspelt option is told with the nearest known one, and no unknown one is swallowed."""
    (told,) = ini.problems(**{option: "x"})
    assert told.startswith(problem)


@pytest.mark.parametrize(
    ("option", "value", "problem"),
    [
        ("expires", "60s", "expires='60s': expected a whole number"),
        ("expires", "1_000", "expires='1_000': expected a whole number"),
        ("expires", "٦٠", "expires='٦٠': expected a whole number"),
        ("expires", "", "expires='': expected a whole number"),
        ("expires", "60000000000", "expires=60000000000: expected whole seconds from 1 to 604800"),
        ("code", "see other", "code='see other': expected a whole number"),
        ("code", "200", "code=200: expected a redirect code: 303 (the default)"),
        ("headers", "noindex", "headers: the line 'noindex' is no header field; expected 'Name: value' lines"),
        ("headers", "Location: /", "Location is set by the gate or the server; leave it out"),
        ("forward_query", "Policy", "Policy is reserved"),
        ("on_decision", "decisions.append", "on_decision='decisions.append': expected package.module:callable"),
        ("on_decision", "tests.test_pastedeploy:not_callable", "on_decision='a constant': expected a plain callable"),
        ("on_decision", "tests.test_pastedeploy:members_some_day", "expected a plain callable that takes the decision"),
        ("reuse_for", "1m", "reuse_for='1m': expected a whole number"),
        ("reuse_for", "-1", "reuse_for='-1': expected a whole number"),
        ("reuse_for", "61", "reuse_for=61: expected at most expires, which is 60"),
        ("answer", "", "answer='': expected one of redirect, cookies, json"),
        ("answer", "Cookies", "answer='Cookies': expected one of redirect, cookies, json"),
        ("cookie_domain", "cloudfront.net", "browsers keep no cookie for all of CloudFront"),
        ("cookie_domain", "example.com", "would not send the cookies to d111111abcdef8.cloudfront.net; expected"),
        ("cookie_path", "films", "cookie_path='films': expected a path on the distribution with a leading slash"),
        ("cookie_samesite", "no", "cookie_samesite='no': expected 'Lax', 'Strict' or 'None'"),
        ("prefix", "private", "prefix='private': expected whole path segments"),
        ("prefix", None, "prefix is missing: expected whole path segments"),
        ("domain", None, "domain is missing: expected the distribution's address"),
        ("key_pair_id", None, "key_pair_id missing: expected key_pair_id and private_key"),
        ("private_key", None, "private_key missing: expected key_pair_id and private_key"),
        ("private_key", "${KEY}", "private_key is a str of 6 characters with a shell placeholder"),
        ("private_key", "env:CFGATE_UNSET", "private_key: the environment variable CFGATE_UNSET is not set"),
        ("private_key", "%(here)s/none.pem", "taken for a path that could not be read (No such file or directory)"),
        ("priv_key_string", str(KEY), "private_key and priv_key_string are both given"),
    ],
)
def test_a_wrong_value_is_one_clear_problem(ini: Ini, option: str, value: str | None, problem: str) -> None:
    """Each mistake is told once: the option, what was given and what is expected."""
    (told,) = ini.problems(**{option: value})
    assert problem in told


def test_a_duration_that_cannot_be_read_is_the_one_problem(ini: Ini) -> None:
    """What stands in for ``expires`` while the gate looks for other problems is none itself."""
    assert ini.problems(expires="5m", reuse_for="300") == ("expires='5m': expected a whole number",)


def test_all_problems_are_told_at_once(ini: Ini) -> None:
    """The reader's problems and the gate's stand in one error."""
    told = ini.problems(
        {"key_pair_id": KEY_PAIR_ID},
        key_pair_id=KEY_PAIR_ID,
        authorize="tests.nowhere:members",
        prefix="private",
        domain=None,
        expires="soon",
        code="200",
        privatekey="x",
        private_key="${KEY}",
        index="index.html ; as ever",
    )
    assert [re.split(r"[:= ]", problem)[0] for problem in told] == [
        "privatekey",
        "key_pair_id",
        "expires",
        "index",
        "authorize",
        "prefix",
        "domain",
        "code",
        "private_key",
    ]


@pytest.mark.parametrize(
    ("option", "damage"),
    [
        *itertools.product(["private_key", "priv_key_string", "key_pair_id"], ["no begin", "no end", "upside down"]),
        *itertools.product(["key_pair_id", "prefix", "domain", "authorize", "expires"], ["none"]),
    ],
)
def test_no_key_material_is_echoed(ini: Ini, caplog: pytest.LogCaptureFixture, option: str, damage: str) -> None:
    """A key that is damaged or stands in the wrong place is shown neither in the error nor in the log."""
    caplog.set_level(logging.DEBUG)
    begin, *lines, end = KEY.read_text().splitlines()
    damaged = {
        "none": [begin, *lines, end],
        "no begin": [*lines, end],
        "no end": [begin, *lines],
        "upside down": [end, *lines, begin],
    }[damage]
    keys = {"private_key": None} if option == "priv_key_string" else {}
    (told,) = ini.problems(**(keys | {option: inline("\n".join(damaged))}))
    for line in lines:
        assert line[:20] not in told + caplog.text


# [DEFAULT]


@pytest.mark.parametrize("name", OPTIONS_OF_A_GATE)
def test_a_required_option_that_default_swallows_is_refused(ini: Ini, name: str) -> None:
    """PasteDeploy drops what [DEFAULT] has too; the error says so, once, and how to get it back."""
    (told,) = ini.problems({name: OPTIONS_OF_A_GATE[name]})
    assert told == (
        f"{name} stands in [DEFAULT], so PasteDeploy drops it from this section; "
        f"write 'get {name} = {name}' here to use the value of [DEFAULT], or rename it there"
    )


def test_a_swallowed_role_line_is_refused(ini: Ini) -> None:
    """Without it another authorizer would decide, so a role line in [DEFAULT] is no mere warning."""
    (told,) = ini.problems({"authorize.user": "ann"}, authorize="tests.test_pastedeploy:by_name")
    assert "write 'get authorize.user = authorize.user' here" in told


def test_a_swallowed_key_is_refused_under_either_name(ini: Ini) -> None:
    """The key is required, whatever it is called."""
    (told,) = ini.problems({"priv_key_string": str(KEY)}, private_key=None)
    assert told.startswith("priv_key_string stands in [DEFAULT]")


def test_get_cures_what_default_swallows(ini: Ini, caplog: pytest.LogCaptureFixture) -> None:
    """``get NAME = NAME`` takes the value of [DEFAULT], for required and optional options, without a warning."""
    defaults = OPTIONS_OF_A_GATE | {"code": "302", "authorize.user": "ann"}
    defaults["authorize"] = "tests.test_pastedeploy:by_name"
    app = ini.load_lines("pipeline", defaults, {f"get {name}": name for name in defaults})
    answer = ask(app, "/private/1.pdf")
    assert answer.code == 302
    assert answer.location.startswith(f"{DOMAIN}/1.pdf?Expires=")
    assert "DEFAULT" not in caplog.text


def test_an_optional_option_that_default_swallows_is_a_warning(ini: Ini, caplog: pytest.LogCaptureFixture) -> None:
    """[DEFAULT] may hold another application's option of that name, so the gate loads, and says that it ignores it."""
    app = ini.load("app", {"code": "302", "debug": "true"}, code="307")
    granted(ask(app, "/private/1.pdf"))  # with the gate's own default, 303
    (warning,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert warning.name == "cfgate_middleware"
    assert warning.getMessage() == (
        "code stands in [DEFAULT], so PasteDeploy drops it from this section; "
        "write 'get code = code' here to use the value of [DEFAULT], or rename it there"
    )


def test_the_other_key_option_in_default_is_a_warning(ini: Ini, caplog: pytest.LogCaptureFixture) -> None:
    """Where the section has a key of its own, a key in [DEFAULT] is somebody else's."""
    granted(ask(ini.load("app", {"priv_key_string": "another"}), "/private/1.pdf"))
    assert "priv_key_string stands in [DEFAULT]" in caplog.text


def test_one_factory_can_wrap_several_applications() -> None:
    """A filter made once wraps every application it is given."""
    make = filter_factory({}, **OPTIONS_OF_A_GATE)
    first, second = make(make_site({})), make(make_site({}))
    assert first is not second
    for gate in (first, second):
        granted(ask(gate, "/private/1.pdf"))
