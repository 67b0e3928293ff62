"""The example for Django over ASGI: log in, read, be refused, log out, over HTTP through gate and edge."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
import requests

from tests.running import TIMEOUT, running_example

pytestmark = pytest.mark.slow  # it starts the example
PASSWORDS = {"ann": "correct horse", "bob": "battery staple"}
PLANS, INVOICE, MINUTES = (f"/private/2026/{title}.txt" for title in ("plans", "invoice", "minutes"))
TEXT = b"The plans, for ann.\n"


class Visitor:
    """A browser that fills in the site's forms."""

    def __init__(self, session: requests.Session, url: str) -> None:
        self._session, self.url = session, url

    def get(self, path: str, follow: bool = True, **headers: str) -> requests.Response:
        """Ask for a page or a file."""
        return self._session.get(self.url + path, allow_redirects=follow, headers=headers, timeout=TIMEOUT)

    def submit(self, page: requests.Response, path: str = "", **fields: str) -> requests.Response:
        """Send the form on a page, to the page's own address or to another, and go where that leads."""
        hidden = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', page.text))
        target = self.url + path if path else page.url
        return self._session.post(target, data=hidden | fields, headers={"Referer": page.url}, timeout=TIMEOUT)

    def log_in(self, name: str, path: str = "/login/", password: str = "") -> requests.Response:
        """Ask for a path, log in where that leads, and go on."""
        return self.submit(self.get(path), username=name, password=password or PASSWORDS[name])


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the running example."""
    with running_example("django_asgi/try_django_asgi.py", tmp_path_factory.mktemp("django_asgi") / "log") as site:
        yield site.url


@pytest.fixture
def visitor(url: str) -> Iterator[Visitor]:
    """A visitor who has not logged in."""
    with requests.Session() as session:
        session.trust_env = False  # no password from a .netrc
        yield Visitor(session, url)


def refused(visitor: Visitor) -> bool:
    """Return whether a request for a document leads to the form, and not to the edge."""
    answer = visitor.get(PLANS, follow=False)
    return (answer.status_code, answer.headers.get("Location")) == (302, f"/login/?next={PLANS}")


def test_whoever_follows_a_permanent_link_logs_in_and_gets_the_file(visitor: Visitor) -> None:
    """The link leads to the log-in, the log-in back to the link, the gate to the edge, and the file is whole."""
    assert refused(visitor)
    answer = visitor.log_in("ann", PLANS)
    assert [passed.status_code for passed in answer.history] == [302, 303]
    assert not answer.url.startswith(visitor.url)
    assert answer.content == TEXT


def test_a_part_of_a_file_can_be_requested(visitor: Visitor) -> None:
    """A Range passes the gate and is answered by the edge."""
    visitor.log_in("ann")
    answer = visitor.get(PLANS, Range="bytes=4-8")
    assert [passed.status_code for passed in [*answer.history, answer]] == [303, 206]
    assert answer.content == TEXT[4:9]


@pytest.mark.parametrize(("name", "own", "other"), [("ann", PLANS, INVOICE), ("bob", INVOICE, PLANS)])
def test_a_document_is_for_its_readers(visitor: Visitor, name: str, own: str, other: str) -> None:
    """Both users read what is shared with both, and each is refused what is shared with the other alone."""
    links = re.findall(r'<a href="(/private/[^"]+)">', visitor.log_in(name).text)
    assert links == [own, MINUTES]
    assert [visitor.get(path).status_code for path in (own, MINUTES, other, "/private/none")] == [200, 200, 403, 403]


def test_after_logging_out_the_file_is_refused(visitor: Visitor) -> None:
    """The same session that read the file is led to the form."""
    home = visitor.log_in("ann")
    assert visitor.get(PLANS).content == TEXT
    visitor.submit(home, "/logout/").raise_for_status()
    assert refused(visitor)


def test_a_wrong_password_opens_nothing(visitor: Visitor) -> None:
    """The form is shown again, and the file stays closed."""
    assert "correct username" in visitor.log_in("ann", PLANS, "wrong").text
    assert refused(visitor)


def test_only_get_and_head_are_for_files(visitor: Visitor) -> None:
    """A form that is sent to a file is refused by the view, not by an error."""
    assert visitor.submit(visitor.log_in("ann"), PLANS).status_code == 405
