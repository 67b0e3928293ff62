"""The example for Flask and Flask-Login: log in, read, be refused, log out, over HTTP through gate and edge."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests

from tests.running import EXAMPLES, TIMEOUT, running_example

pytestmark = pytest.mark.slow  # it starts the example
PASSWORD = "correct horse"
ANNS, BOBS = "/private/ann/report.txt", "/private/bob/report.txt"
REPORT = (EXAMPLES / "flask_login/private/ann/report.txt").read_bytes()


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the running example."""
    with running_example("flask_login/try_library.py", tmp_path_factory.mktemp("flask_login") / "log") as site:
        yield site.url


@pytest.fixture
def stranger() -> Iterator[requests.Session]:
    """A visitor without cookies."""
    with requests.Session() as session:
        session.trust_env = False  # no password from a .netrc
        yield session


@pytest.fixture
def ann(stranger: requests.Session, url: str) -> requests.Session:
    """A visitor who has logged in."""
    assert log_in(stranger, url).status_code == 200
    return stranger


def log_in(session: requests.Session, url: str, wanted: str = "", password: str = PASSWORD) -> requests.Response:
    """Send the form, as a visitor who came from somewhere, and follow redirects."""
    form = {"name": "ann", "password": password}
    return session.post(f"{url}/login", params={"next": wanted}, data=form, timeout=TIMEOUT)


def refused(session: requests.Session, url: str) -> bool:
    """Return whether a request for the file leads to the form, and not to the edge."""
    answer = session.get(url + ANNS, allow_redirects=False, timeout=TIMEOUT)
    return (answer.status_code, answer.headers["Location"]) == (302, "/?next=%2Fprivate%2Fann%2Freport.txt")


def test_a_stranger_is_led_to_the_form(url: str, stranger: requests.Session) -> None:
    """Flask-Login's own redirect reaches the visitor, and its flashed message the page behind it."""
    assert refused(stranger, url)
    form = stranger.get(url + ANNS, timeout=TIMEOUT)
    assert form.url.startswith(f"{url}/?next=")
    assert "Please log in to access this page." in form.text


def test_logging_in_goes_on_to_the_file(url: str, stranger: requests.Session) -> None:
    """From the form over the gate to the edge, which serves the same bytes that lie in the folder."""
    answer = log_in(stranger, url, ANNS)
    assert [passed.status_code for passed in answer.history] == [302, 303]
    assert not answer.url.startswith(url)
    assert answer.content == REPORT


def test_a_part_of_a_file_can_be_requested(url: str, ann: requests.Session) -> None:
    """A Range passes the gate and is answered by the edge."""
    answer = ann.get(url + ANNS, headers={"Range": "bytes=4-8"}, timeout=TIMEOUT)
    assert (answer.status_code, answer.content) == (206, REPORT[4:9])
    assert [passed.status_code for passed in answer.history] == [303]


def test_another_members_file_is_refused(url: str, ann: requests.Session) -> None:
    """The view's 403 reaches the visitor."""
    answer = ann.get(url + BOBS, timeout=TIMEOUT)
    assert (answer.status_code, answer.history) == (403, [])


def test_after_logging_out_the_file_is_refused(url: str, ann: requests.Session) -> None:
    """No verdict is remembered: the same session that read the file is led to the form."""
    assert ann.get(url + ANNS, timeout=TIMEOUT).content == REPORT
    ann.post(f"{url}/logout", timeout=TIMEOUT).raise_for_status()
    assert refused(ann, url)


def test_a_wrong_password_opens_nothing(url: str, stranger: requests.Session) -> None:
    """It is refused, and so is the file after it."""
    assert log_in(stranger, url, password="wrong").status_code == 403
    assert refused(stranger, url)


@pytest.mark.parametrize("elsewhere", ["https://evil.example/private/", "//evil.example", "/\\evil.example"])
def test_logging_in_leads_to_no_other_site(url: str, stranger: requests.Session, elsewhere: str) -> None:
    """What a link to the form may name is a private file and nothing else."""
    assert log_in(stranger, url, elsewhere).url == f"{url}/"
