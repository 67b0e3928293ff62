"""The application redirects as it would for nginx: the option ``app_redirect_header``."""

from __future__ import annotations

import logging
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from cfgate_middleware import PASS, ConfigError, DecisionRecord, ask_app
from cfgate_middleware._core.answers import KINDS
from tests.support import BASE_URL, Answer, Judge, Wrapped, fetch, gate, verified

FIELD = "X-Accel-Redirect"


class App:
    """An application that answers with these header fields, and remembers that its body was closed."""

    def __init__(self, *fields: tuple[str, str], status: str = "200 OK") -> None:
        self._fields, self._status = fields, status
        self.closed = 0

    def __call__(self, environ: Any, start_response: Any) -> Any:
        start_response(self._status, [("Content-Type", "text/html"), ("ETag", '"x"'), *self._fields])
        return self

    def __iter__(self) -> Any:
        return iter([b"own"])

    def close(self) -> None:
        """Count."""
        self.closed += 1


def redirected(*fields: tuple[str, str], path: str = "/download/7", status: str = "200 OK", **how: Any) -> Answer:
    """Ask for any path of an application that answers with these fields."""
    options = how.pop("options", {})
    app = App(*fields, status=status)
    answer = fetch(gate(None, app, app_redirect_header=FIELD, **options), path, **how)
    assert app.closed == 1
    assert answer.values(FIELD) == []
    return answer


@pytest.mark.parametrize(
    ("value", "spelled"),
    [
        ("/private/1/Backup%202014-09-02.sqlbackup", "/1/Backup%202014-09-02.sqlbackup"),
        ("/private/1/Backup 2014-09-02.sqlbackup", "/1/Backup%202014-09-02.sqlbackup"),
        ("/private/Report90%25.pdf", "/Report90%25.pdf"),
        ("/private/%40x.png", "/@x.png"),
        ("/private/%D7%90.pdf", "/%D7%90.pdf"),
        ("/private/\u05d0.pdf".encode().decode("latin-1"), "/%D7%90.pdf"),
        ("/private/what%3F.pdf", "/what%3F.pdf"),
        ("/private/a%2Bb+c*.pdf", "/a%2Bb%2Bc%2A.pdf"),
        ("/private/%252e%252e/x", "/%252e%252e/x"),
        ("/mount/private/x.pdf", "/x.pdf"),
    ],
)
def test_the_named_object_is_signed(value: str, spelled: str) -> None:
    """A value is read as nginx reads it: percent-decoded once, below the mount point or whole."""
    assert verified(redirected((FIELD, value)).location).policy.resource == f"{BASE_URL}{spelled}"


@pytest.mark.parametrize("kind", KINDS)
def test_only_cookies_are_kept(kind: str) -> None:
    """The application's cookies go along; what it says of its own body does not."""
    answer = redirected((FIELD, "/private/x"), ("Set-Cookie", "a=1"), ("Content-Length", "3"), options={"answer": kind})
    assert answer.values("Set-Cookie")[-1] == "a=1"
    assert answer.values("ETag") == []
    assert b"own" not in answer.body
    assert answer.values("Content-Type") == ["text/plain; charset=utf-8"]


@pytest.mark.parametrize(
    ("disposition", "kept"),
    [
        ("attachment", True),
        ('attachment; filename="x.pdf"', True),
        ('inline; filename="x.pdf"', False),
        ('inline; filename="Other.pdf"', True),
        ("inline; filename*=UTF-8''R%C3%A9sum%C3%A9.pdf", True),
        ("inline", False),
    ],
)
def test_a_download_name_is_signed(disposition: str, kept: bool) -> None:
    """A Content-Disposition that says more than the object's own name becomes part of the signed URL."""
    location = redirected((FIELD, "/private/a/x.pdf"), ("Content-Disposition", disposition)).location
    assert parse_qs(urlsplit(location).query).get("response-content-disposition", []) == ([disposition] if kept else [])
    assert verified(location)


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "DELETE"])
def test_other_methods_are_redirected_with_303(method: str) -> None:
    """What answers a form must not be sent again, whatever the redirect code of the gate is."""
    records: list[DecisionRecord] = []
    answer = redirected((FIELD, "/private/x"), method=method, options={"code": 307, "on_decision": records.append})
    assert answer.code == (307 if method in ("GET", "HEAD") else 303)
    assert [(record.method, record.status, record.reason) for record in records] == [(method, answer.code, "granted")]


@pytest.mark.parametrize(
    ("fields", "telling"),
    [
        ([(FIELD, "/private/Report90%.pdf")], "%25"),
        ([(FIELD, "/private/%zz")], "%25"),
        ([(FIELD, "/private/caf\xe9.pdf")], "UTF-8"),
        ([(FIELD, "/private/%ff")], "UTF-8"),
        ([(FIELD, "/private/x?y=1")], "query"),
        ([(FIELD, "/other/x")], "below"),
        ([(FIELD, "/private/../x")], "below"),
        ([(FIELD, "/private/%2e%2e/x")], "below"),
        ([(FIELD, "https://evil.example/private/x")], "below"),
        ([(FIELD, "/private/")], "below"),
        ([(FIELD, "")], "below"),
        ([(FIELD, "/private/x"), (FIELD.lower(), "/private/y")], "twice"),
    ],
)
def test_what_names_no_object_is_an_error_of_ours(
    fields: list[tuple[str, str]], telling: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A wrong value is 500 for the viewer, without the value, and one line in the log that says why."""
    answer = redirected(*fields)
    assert (answer.code, answer.values("Location"), answer.body) == (500, [], b"500 Internal Server Error\n")
    (line,) = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert telling in line


@pytest.mark.parametrize("status", ["404 Not Found", "302 Found", "206 Partial Content"])
def test_only_a_200_redirects(status: str) -> None:
    """Another status is the application's own answer, without the field."""
    answer = redirected((FIELD, "/private/x"), status=status)
    assert (answer.status, answer.body) == (status, b"own")


def test_every_other_answer_is_the_applications_own() -> None:
    """Without the field nothing changes, at any path."""
    answer = redirected(path="/page")
    assert (answer.body, answer.values("ETag")) == (b"own", ['"x"'])


def test_the_prefix_is_internal() -> None:
    """Without an authorizer nobody gets in but by the application's redirects; with one, both ways are open."""
    assert fetch(gate(None, Wrapped(), app_redirect_header=FIELD), "/private/x").code == 404
    assert fetch(gate(Judge(), Wrapped(), app_redirect_header=FIELD), "/private/x").code == 303


@pytest.mark.parametrize("authorize", [Judge(PASS), ask_app])
def test_a_view_below_the_prefix_may_redirect(authorize: Any) -> None:
    """An application that was asked, or that answers, can name another object."""
    answer = fetch(gate(authorize, App((FIELD, "/private/other")), app_redirect_header=FIELD), "/private/x")
    assert verified(answer.location).policy.resource == f"{BASE_URL}/other"


@pytest.mark.parametrize(
    ("options", "telling"),
    [
        ({"app": None, "authorize": Judge()}, "wraps no application"),
        ({"app_redirect_header": "X Accel"}, "name of a header field"),
        ({"app_redirect_header": 7}, "name of a header field"),
        ({"app_redirect_header": None}, "authorize"),
    ],
)
def test_wrong_options_are_named(options: dict[str, Any], telling: str) -> None:
    """What could not redirect anything is refused when the gate is built."""
    given = {"authorize": None, "app": Wrapped(), "app_redirect_header": FIELD, **options}
    with pytest.raises(ConfigError, match=telling):
        gate(**given)
