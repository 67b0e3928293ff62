"""Which scripts may read the gate's answers: the option ``allow_origin``."""

from __future__ import annotations

from typing import Any

import pytest

from cfgate_middleware import PASS, ConfigError, Grant, ask_app
from cfgate_middleware._core.answers import KINDS
from tests.support import Answer, Judge, Wrapped, fetch, gate

APP, OTHER = "https://app.example.com", "http://localhost:3000"
ALLOW, CREDENTIALS = "Access-Control-Allow-Origin", "Access-Control-Allow-Credentials"


def said(answer: Answer) -> tuple[list[str], list[str], bool]:
    """Return whom an answer allows, whether with credentials, and whether it varies on Origin."""
    return answer.values(ALLOW), answer.values(CREDENTIALS), "Origin" in answer.values("Vary")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("verdict", [True, False, 401, 404, Grant(expires=9), 503])
@pytest.mark.parametrize(("path", "method"), [("/a", "GET"), ("/", "GET"), ("/a", "POST"), ("/..", "GET")])
def test_every_answer_says_who_may_read_it(kind: str, verdict: Any, path: str, method: str) -> None:
    """Grants and refusals of every kind allow exactly the origins of the option, with credentials."""
    app = gate(Judge(verdict), answer=kind, allow_origin=[APP, OTHER])
    for origin in (APP, OTHER):
        assert said(fetch(app, f"/private{path}", method=method, HTTP_ORIGIN=origin)) == ([origin], ["true"], True)
    for origin in ("", "https://evil.example", "null", f"{APP}.evil"):
        assert said(fetch(app, f"/private{path}", method=method, HTTP_ORIGIN=origin)) == ([], [], True)


def own(environ: Any, start_response: Any) -> list[bytes]:
    """An application that speaks CORS itself."""
    start_response("200 OK", [("Content-Type", "text/plain"), (ALLOW, "*")])
    return [b"own"] if environ["REQUEST_METHOD"] != "HEAD" else []


@pytest.mark.parametrize("authorize", [Judge(PASS), ask_app])
def test_the_applications_answers_are_allowed_unless_it_says_so_itself(authorize: Any) -> None:
    """What the application answers below the prefix gets the fields too, and keeps its own; outside nothing changes."""
    assert said(fetch(gate(authorize, Wrapped(), allow_origin=APP), "/private/a", HTTP_ORIGIN=APP))[0] == [APP]
    assert said(fetch(gate(authorize, own, allow_origin=APP), "/private/a", HTTP_ORIGIN=APP)) == (["*"], [], False)
    assert said(fetch(gate(authorize, Wrapped(), allow_origin=APP), "/other", HTTP_ORIGIN=APP)) == ([], [], False)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_preflight_of_an_allowed_origin_is_answered(method: str) -> None:
    """Browsers send preflights without credentials, so nobody is asked about them."""
    judge = Judge(401)
    extra: dict[str, Any] = {
        "HTTP_ACCESS_CONTROL_REQUEST_METHOD": method,
        "HTTP_ACCESS_CONTROL_REQUEST_HEADERS": "authorization,x-a",
    }
    answer = fetch(gate(judge, allow_origin=APP), "/private/a", method="OPTIONS", HTTP_ORIGIN=APP, **extra)
    assert (answer.code, said(answer), judge.asked) == (204, ([APP], ["true"], True), [])
    assert answer.values("Access-Control-Allow-Methods") == [method]
    assert answer.values("Access-Control-Allow-Headers") == ["authorization,x-a"]


@pytest.mark.parametrize(
    ("origin", "method", "path"),
    [
        ("https://evil.example", "GET", "/private/a"),
        ("", "GET", "/private/a"),
        (APP, "POST", "/private/a"),
        (APP, "", "/private/a"),
    ],
)
def test_any_other_options_request_asks(origin: str, method: str, path: str) -> None:
    """What is no preflight of an allowed origin for a file is a request like any other."""
    judge = Judge(401)
    extra: dict[str, Any] = {"HTTP_ORIGIN": origin, "HTTP_ACCESS_CONTROL_REQUEST_METHOD": method}
    answer = fetch(gate(judge, allow_origin=APP), path, method="OPTIONS", **{k: v for k, v in extra.items() if v})
    assert (answer.code, judge.asked, answer.values("Access-Control-Allow-Methods")) == (401, ["/a"], [])


def test_a_preflight_for_an_unclean_path_is_refused() -> None:
    """A preflight opens nothing."""
    extra: dict[str, Any] = {"HTTP_ORIGIN": APP, "HTTP_ACCESS_CONTROL_REQUEST_METHOD": "GET"}
    assert fetch(gate(Judge(), allow_origin=APP), "/private/../x", method="OPTIONS", **extra).code == 400


def test_a_preflight_on_a_url_without_the_option_asks() -> None:
    """Without the option nothing speaks of origins."""
    answer = fetch(gate(Judge()), "/private/a", method="OPTIONS", HTTP_ORIGIN=APP)
    assert (answer.code, said(answer)) == (204, ([], [], False))


@pytest.mark.parametrize(
    "value",
    [
        "*",
        "null",
        "app.example.com",
        f"{APP}/",
        f"{APP}/x",
        "https://APP.example.com",
        f"{APP}:443",
        [],
        7,
        [APP, None],
    ],
)
def test_what_is_not_an_origin_is_refused(value: Any) -> None:
    """Any script could read the answers of '*' with the visitor's cookies, and a misspelt origin would never match."""
    with pytest.raises(ConfigError, match="allow_origin"):
        gate(Judge(), allow_origin=value)
