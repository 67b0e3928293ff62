"""The Django example, run as its README says: as a process, with a key from openssl, over HTTP."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

pytestmark = pytest.mark.slow  # it starts processes
SITE = Path(__file__).parent.parent / "examples" / "django_site"
PASSWORDS = {"ann": "correct horse", "bob": "battery staple"}
NOTES = b"Notes of ann.\n"
BACKUP = b"-- Everything of ann.\n"
COMMAND = [sys.executable, str(SITE / "try_django_site.py")]
TIMEOUT = 60


class Example(NamedTuple):
    """The running example."""

    url: str
    process: subprocess.Popen[str]
    log: Path


@contextlib.contextmanager
def running(log: Path) -> Iterator[Example]:
    """Run the example on free ports until the block ends."""
    (command,) = re.findall(r'CFGATE_PRIVATE_KEY="\$\((openssl .*)\)"', (SITE / "README.rst").read_text())
    key = subprocess.run(command.split(), check=True, capture_output=True, text=True, timeout=TIMEOUT).stdout
    environ = {**os.environ, "CFGATE_PRIVATE_KEY": key, "PORT": "0", "EDGE_PORT": "0"}
    with (
        log.open("w") as stderr,
        subprocess.Popen(
            COMMAND,
            env=environ,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        ) as process,
    ):
        try:
            assert process.stdout
            address = re.search(r"http://127\.0\.0\.1:\d+", process.stdout.readline())
            assert address, log.read_text()
            yield Example(address[0], process, log)
        finally:
            process.terminate()  # and let it remove its temporary folders


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Example]:
    """Run one example for all tests that do not end it."""
    with running(tmp_path_factory.mktemp("django_site") / "log") as example:
        yield example


class Visitor:
    """A browser that fills in the site's forms."""

    def __init__(self, session: requests.Session, site: Example) -> None:
        self._session, self._url = session, site.url

    def get(self, path: str, follow: bool = True, **headers: str) -> requests.Response:
        """Ask for a page or a file."""
        return self._session.get(self._url + path, allow_redirects=follow, headers=headers, timeout=TIMEOUT)

    def submit(self, page: requests.Response, path: str = "", **fields: str) -> requests.Response:
        """Send the form on a page, to the page's own address or to another, and go where that leads."""
        hidden = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', page.text))
        target = self._url + path if path else page.url
        return self._session.post(target, data=hidden | fields, headers={"Referer": page.url}, timeout=TIMEOUT)

    def log_in(self, name: str, path: str = "/") -> requests.Response:
        """Ask for a path, log in where that leads or, from the home page, at its link, and go on."""
        page = self.get(path if path != "/" else "/login/")
        assert urlsplit(page.url).path == "/login/"
        return self.submit(page, username=name, password=PASSWORDS[name])


@pytest.fixture
def visitor(site: Example) -> Iterator[Visitor]:
    """A visitor who has not logged in."""
    with requests.Session() as session:
        session.trust_env = False
        yield Visitor(session, site)


def test_whoever_follows_a_permanent_link_logs_in_and_gets_the_file(site: Example, visitor: Visitor) -> None:
    """The link leads to the log-in, the log-in back to the link, the gate to the edge, and the file is whole."""
    asked = visitor.get("/private/1/notes.txt", follow=False)
    assert (asked.status_code, asked.headers["Location"]) == (302, "/login/?next=/private/1/notes.txt")
    answer = visitor.log_in("ann", "/private/1/notes.txt")
    assert answer.content == NOTES
    assert [response.status_code for response in answer.history] == [302, 303]
    assert not answer.url.startswith(site.url)


def test_a_range_is_asked_for_through_the_gate(visitor: Visitor) -> None:
    """The client sends its Range to the gate, then to the edge, which answers with that part."""
    visitor.log_in("ann")
    answer = visitor.get("/private/1/notes.txt", Range="bytes=6-12")
    assert [response.status_code for response in [*answer.history, answer]] == [303, 206]
    assert (answer.content, answer.headers["Content-Range"]) == (NOTES[6:13], f"bytes 6-12/{len(NOTES)}")


def test_a_download_is_sent_as_for_nginx(visitor: Visitor) -> None:
    """The view that was written for nginx redirects to the edge, and the name of the download is in the signed URL."""
    visitor.log_in("ann")
    (link,) = re.findall(r'"(/download/\d+/)"', visitor.get("/").text)
    answer = visitor.get(link)
    assert answer.content == BACKUP
    assert [response.status_code for response in answer.history] == [303]
    signed = urlsplit(answer.url)
    assert signed.path == "/1/Backup%202014-09-02.sqlbackup"
    assert parse_qs(signed.query)["response-content-disposition"] == [
        'attachment; filename="Backup 2014-09-02.sqlbackup"'
    ]


def test_the_files_of_others_are_refused(visitor: Visitor) -> None:
    """Another user's folder is 403 and another user's download 404; the site's own pages say so."""
    (link,) = re.findall(r'"(/download/\d+/)"', visitor.log_in("ann").text)
    visitor.submit(visitor.get("/"), "/logout/")
    visitor.log_in("bob")
    for path, status in [("/private/1/notes.txt", 403), ("/private/2/notes.txt", 200), (link, 404)]:
        assert visitor.get(path).status_code == status


def test_after_log_out_the_files_are_refused(visitor: Visitor) -> None:
    """Both views lead to the log-in again."""
    visitor.log_in("ann")
    assert visitor.get("/private/1/notes.txt").content == NOTES
    visitor.submit(visitor.get("/"), "/logout/")
    for path in ("/private/1/notes.txt", "/download/1/"):
        asked = visitor.get(path, follow=False)
        assert (asked.status_code, asked.headers["Location"]) == (302, f"/login/?next={path}")


def test_a_wrong_password_opens_nothing(visitor: Visitor) -> None:
    """The form is shown again, and the file stays closed."""
    page = visitor.get("/private/1/notes.txt")
    assert "correct username" in visitor.submit(page, username="ann", password="wrong").text
    assert visitor.get("/private/1/notes.txt", follow=False).status_code == 302


def test_only_get_and_head_are_for_files(visitor: Visitor) -> None:
    """A form that is sent to a file is refused by the view, not by an error."""
    visitor.log_in("ann")
    assert visitor.submit(visitor.get("/"), "/private/1/notes.txt").status_code == 405


def test_whitenoise_serves_the_static_files(visitor: Visitor) -> None:
    """The style sheet of the page comes from the site itself, to everybody."""
    (link,) = re.findall(r'<link rel="stylesheet" href="([^"]+)">', visitor.get("/").text)
    answer = visitor.get(link)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, 'text/css; charset="utf-8"')
    assert answer.content == (SITE / "mysite" / "static" / "style.css").read_bytes()


def test_ctrl_c_ends_the_example_cleanly(tmp_path: Path) -> None:
    """The process ends with code 0 and no traceback, and its log tells decisions but no signature."""
    with running(tmp_path / "log") as site, requests.Session() as session:
        assert Visitor(session, site).log_in("ann", "/private/1/notes.txt").content == NOTES
        site.process.send_signal(signal.SIGINT)
        assert site.process.wait(TIMEOUT) == 0
    log = site.log.read_text()
    assert "/private/1/notes.txt" in log
    assert "Traceback" not in log
    assert "Signature" not in log


def test_without_a_key_the_example_does_not_start() -> None:
    """The error names the environment variable that is missing."""
    environ = {name: value for name, value in os.environ.items() if name != "CFGATE_PRIVATE_KEY"}
    ports = {"PORT": "0", "EDGE_PORT": "0"}
    ended = subprocess.run(COMMAND, env=environ | ports, capture_output=True, text=True, timeout=TIMEOUT)
    assert ended.returncode == 1
    assert "CFGATE_PRIVATE_KEY" in ended.stderr.splitlines()[-1]
