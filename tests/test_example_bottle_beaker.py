"""The example for Bottle and Beaker: log in, read, be refused, log out, over HTTP through gate and edge."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import pytest
import requests

from tests.running import EXAMPLES, TIMEOUT, running_example

pytestmark = pytest.mark.slow  # it starts the example
PASSWORD = "correct horse"
PRIVATE = EXAMPLES / "bottle_beaker/private"
ANNS, BOBS, EVERYBODYS = "ann/minutes.txt", "bob/minutes.txt", "everybody/rules.txt"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the running example."""
    with running_example("bottle_beaker/try_archive.py", tmp_path_factory.mktemp("bottle_beaker") / "log") as site:
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
    assert "Log ann out" in log_in(stranger, url).text
    return stranger


def log_in(session: requests.Session, url: str, password: str = PASSWORD) -> requests.Response:
    """Send the form and follow redirects."""
    return session.post(f"{url}/login", data={"name": "ann", "password": password}, timeout=TIMEOUT)


def refused(session: requests.Session, url: str, file: str = ANNS) -> bool:
    """Return whether a request for a file leads to the form, and not to the edge."""
    answer = session.get(f"{url}/private/{file}", allow_redirects=False, timeout=TIMEOUT)
    return (answer.status_code, answer.headers["Location"]) == (303, f"{url}/")


@pytest.mark.parametrize("file", [ANNS, EVERYBODYS])
def test_a_stranger_is_led_to_the_form(url: str, stranger: requests.Session, file: str) -> None:
    """Bottle's own redirect reaches the visitor."""
    assert refused(stranger, url, file)
    assert "Log in" in stranger.get(f"{url}/private/{file}", timeout=TIMEOUT).text


@pytest.mark.parametrize("file", [ANNS, EVERYBODYS])
def test_a_user_gets_the_file_from_the_edge(url: str, ann: requests.Session, file: str) -> None:
    """It has the same bytes that lie in the folder, and its address is valid for the ten minutes of the view."""
    answer = ann.get(f"{url}/private/{file}", timeout=TIMEOUT)
    assert [passed.status_code for passed in answer.history] == [303]
    assert not answer.url.startswith(url)
    assert answer.content == (PRIVATE / file).read_bytes()
    expires = re.search(r"\?Expires=(\d+)&", answer.url)
    assert expires
    assert 600 - TIMEOUT <= int(expires[1]) - time.time() <= 601


def test_a_part_of_a_file_can_be_requested(url: str, ann: requests.Session) -> None:
    """A Range passes the gate and is answered by the edge."""
    answer = ann.get(f"{url}/private/{ANNS}", headers={"Range": "bytes=0-6"}, timeout=TIMEOUT)
    assert (answer.status_code, answer.content) == (206, b"Minutes")
    assert [passed.status_code for passed in answer.history] == [303]


def test_another_users_file_is_refused(url: str, ann: requests.Session) -> None:
    """The view's 403 reaches the visitor."""
    answer = ann.get(f"{url}/private/{BOBS}", timeout=TIMEOUT)
    assert (answer.status_code, answer.history) == (403, [])


def test_after_logging_out_the_file_is_refused(url: str, ann: requests.Session) -> None:
    """The session is deleted on the server: its old cookie opens nothing, nor does what is left of the new one."""
    assert ann.get(f"{url}/private/{ANNS}", timeout=TIMEOUT).status_code == 200
    before = {"Cookie": f"beaker.session.id={ann.cookies['beaker.session.id']}"}
    ann.post(f"{url}/logout", timeout=TIMEOUT).raise_for_status()
    assert refused(ann, url)
    ann.headers.update(before)
    assert refused(ann, url)


def test_a_wrong_password_opens_nothing(url: str, stranger: requests.Session) -> None:
    """It is refused, and so is the file after it."""
    assert log_in(stranger, url, password="wrong").status_code == 403
    assert refused(stranger, url)
