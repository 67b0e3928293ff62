"""The example for FastAPI: log in, read, be refused, log out, over HTTP through gate and edge, and in a browser."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
import requests
from playwright.sync_api import sync_playwright

from tests.running import EXAMPLES, TIMEOUT, running_example

pytestmark = pytest.mark.slow  # it starts the example
ANNS, BOBS = "/private/ann/report.txt", "/private/bob/report.txt"
REPORT = (EXAMPLES / "fastapi_app/private/ann/report.txt").read_bytes()
LOGIN = {"name": "ann", "password": "correct horse"}
JSON = {"Accept": "application/json"}


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the running example."""
    with running_example("fastapi_app/try_reports_api.py", tmp_path_factory.mktemp("fastapi_app") / "log") as site:
        yield site.url


@pytest.fixture
def stranger() -> Iterator[requests.Session]:
    """A visitor without cookies."""
    with requests.Session() as session:
        session.trust_env = False  # no password from a .netrc
        yield session


@pytest.fixture
def ann(stranger: requests.Session, url: str) -> requests.Session:
    """A visitor who has logged in, known by a cookie."""
    stranger.post(f"{url}/login", json=LOGIN, timeout=TIMEOUT).raise_for_status()
    return stranger


@pytest.fixture
def program(stranger: requests.Session, url: str) -> requests.Session:
    """A program that has logged in, known by its token alone."""
    token = stranger.post(f"{url}/login", json=LOGIN, timeout=TIMEOUT).json()["token"]
    stranger.cookies.clear()
    stranger.headers["Authorization"] = f"Bearer {token}"
    return stranger


@pytest.mark.parametrize("fields", [{}, {"Authorization": "Bearer x"}, {"Cookie": "token=x"}], ids=str)
def test_a_stranger_is_refused(url: str, stranger: requests.Session, fields: dict[str, str]) -> None:
    """FastAPI's own 401 reaches whoever has no token, or one that nobody was given."""
    for headers in (fields, fields | JSON):
        answer = stranger.get(url + ANNS, headers=headers, timeout=TIMEOUT)
        assert (answer.status_code, answer.history) == (401, [])
        assert (answer.json(), answer.headers["WWW-Authenticate"]) == ({"detail": "Log in first."}, "Bearer")


@pytest.mark.parametrize("who", ["ann", "program"])
def test_a_member_gets_the_file(url: str, request: pytest.FixtureRequest, who: str) -> None:
    """With cookie or token, the gate redirects to the edge, which serves the same bytes that lie in the folder."""
    session: requests.Session = request.getfixturevalue(who)
    answer = session.get(url + ANNS, timeout=TIMEOUT)
    assert [passed.status_code for passed in answer.history] == [303]
    assert not answer.url.startswith(url)
    assert answer.content == REPORT
    assert session.head(url + ANNS, timeout=TIMEOUT).status_code == 303


def test_a_part_of_a_file_can_be_requested(url: str, program: requests.Session) -> None:
    """A Range passes the gate and is answered by the edge."""
    answer = program.get(url + ANNS, headers={"Range": "bytes=4-8"}, timeout=TIMEOUT)
    assert (answer.status_code, answer.content) == (206, REPORT[4:9])
    assert [passed.status_code for passed in answer.history] == [303]


def test_a_script_is_told_the_address(url: str, ann: requests.Session) -> None:
    """Whoever accepts JSON gets the signed URL in it, and the edge lets the page's script read what is there."""
    answer = ann.get(url + ANNS, headers=JSON, timeout=TIMEOUT)
    assert (answer.status_code, answer.history, sorted(answer.json())) == (200, [], ["expires", "url"])
    file = requests.get(answer.json()["url"], headers={"Origin": url}, timeout=TIMEOUT)
    assert (file.content, file.headers["Access-Control-Allow-Origin"]) == (REPORT, url)


@pytest.mark.parametrize("who", ["ann", "program"])
def test_another_members_file_is_refused(url: str, request: pytest.FixtureRequest, who: str) -> None:
    """The view's 403 reaches the viewer, whatever they accept."""
    session: requests.Session = request.getfixturevalue(who)
    for headers in ({}, JSON):
        answer = session.get(url + BOBS, headers=headers, timeout=TIMEOUT)
        assert (answer.status_code, answer.history, answer.json()) == (403, [], {"detail": "That is not yours."})


@pytest.mark.parametrize("who", ["ann", "program"])
def test_after_logging_out_the_file_is_refused(url: str, request: pytest.FixtureRequest, who: str) -> None:
    """No verdict is remembered: the same token that opened the file opens nothing, even from a copy."""
    session: requests.Session = request.getfixturevalue(who)
    copied = {"Cookie": f"token={session.cookies['token']}"} if who == "ann" else {}
    assert session.get(url + ANNS, timeout=TIMEOUT).content == REPORT
    session.post(f"{url}/logout", timeout=TIMEOUT).raise_for_status()
    assert not session.cookies
    assert session.get(url + ANNS, headers=copied, timeout=TIMEOUT).status_code == 401


@pytest.mark.parametrize("login", [LOGIN | {"password": "wrong"}, {"name": "eve", "password": ""}], ids=str)
def test_a_wrong_password_opens_nothing(url: str, stranger: requests.Session, login: dict[str, str]) -> None:
    """It is refused, and so is the file after it."""
    assert stranger.post(f"{url}/login", json=login, timeout=TIMEOUT).status_code == 403
    assert stranger.get(url + ANNS, timeout=TIMEOUT).status_code == 401


def test_the_page_works_in_a_browser(url: str) -> None:
    """Its script logs in, shows the member's file from the other origin, and says why another one is refused."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page()
        page.goto(url)

        def shows(text: str) -> None:
            page.locator("pre", has_text=text).wait_for(timeout=TIMEOUT * 1000)

        page.click("text=Ann's report")
        shows("401: Log in first.")
        page.fill("input[name=name]", LOGIN["name"])
        page.fill("input[name=password]", LOGIN["password"])
        page.click("text=Log in")
        shows("login: done")
        page.click("text=Ann's report")
        shows(REPORT.decode().strip())
        page.click("text=Bob's report")
        shows("403: That is not yours.")
        page.click("text=Log out")
        shows("logout: done")
        page.click("text=Ann's report")
        shows("401: Log in first.")
        browser.close()
