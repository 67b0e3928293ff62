"""The static site: two gates of an ini file and no application, run as its README says."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
import requests

from tests.running import EXAMPLES, TIMEOUT, Running, public_half, running, throwaway_key, visitor

SITE = EXAMPLES / "static_site"
PAGE = (SITE / "site" / "index.html").read_bytes()
ANN, BOB = ("ann", "correct horse"), ("bob", "battery staple")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def token_key() -> str:
    """The private key of whoever issues tokens."""
    return throwaway_key()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, token_key: str) -> Iterator[Running]:
    """Run the gates and the edge for all tests."""
    with running(
        str(SITE / "serve_site.py"),
        log=tmp_path_factory.mktemp("static") / "log",
        PORT="0",
        EDGE_PORT="0",
        CFGATE_PRIVATE_KEY=throwaway_key(),
        TOKEN_PUBLIC_KEY=public_half(token_key),
    ) as site:
        yield site


@pytest.fixture(scope="module")
def token(token_key: str) -> str:
    """A token, made by the command in the README."""
    command = [sys.executable, str(SITE / "issue_token.py")]
    made = subprocess.run(
        command, env={"TOKEN_PRIVATE_KEY": token_key}, check=True, capture_output=True, text=True, timeout=TIMEOUT
    )
    return made.stdout.strip()


@pytest.fixture
def stranger() -> Iterator[requests.Session]:
    """A visitor without password, cookie or token."""
    with visitor() as session:
        yield session


@pytest.fixture
def ann(stranger: requests.Session) -> requests.Session:
    """A visitor whose browser knows a password for the whole site."""
    stranger.auth = ANN
    return stranger


def test_a_stranger_is_challenged(site: Running, stranger: requests.Session) -> None:
    """Without a password, and with a wrong one, the gate replies 401 and names the scheme."""
    for password in (None, ("ann", "battery staple"), ("nobody", "correct horse"), ("ann", "")):
        stranger.auth = password
        answer = site.get(stranger, "/site/")
        assert (answer.status_code, answer.history) == (401, [])
        assert answer.headers["WWW-Authenticate"] == 'Basic realm="documents", charset="UTF-8"'
    assert not stranger.cookies


@pytest.mark.parametrize("given", ["Basic", "Basic !", "Basic é", "Basic /w==", "Bearer YW5uOmNvcnJlY3QgaG9yc2U="])
def test_what_is_no_password_is_challenged(site: Running, stranger: requests.Session, given: str) -> None:
    """Broken credentials, and those of another scheme, are 401 and not a server error."""
    assert site.get(stranger, "/site/", Authorization=given).status_code == 401


def test_one_visit_to_the_gate_opens_the_whole_site(site: Running, ann: requests.Session) -> None:
    """The gate leads to the plain address of the first page, and its cookies open what the page links to."""
    answer = site.get(ann, "/site/")
    assert [each.status_code for each in answer.history] == [303]
    assert (answer.status_code, answer.content) == (200, PAGE)
    assert urlsplit(answer.url)[2:] == ("/index.html", "", "")
    ann.auth = None
    for link in re.findall(r'href="([^"]+)"', answer.text):
        linked = ann.get(answer.url.replace("index.html", link), timeout=TIMEOUT)
        assert (linked.status_code, linked.content) == (200, (SITE / "site" / link).read_bytes())


def test_a_range_is_sent_through_the_redirect(site: Running, ann: requests.Session) -> None:
    """The client repeats its Range at the edge and gets the part."""
    answer = site.get(ann, "/site/index.html", Range="bytes=2-7")
    assert (answer.status_code, answer.content) == (206, PAGE[2:8])


def test_a_person_with_one_folder_gets_no_other(site: Running, stranger: requests.Session) -> None:
    """The gate refuses what is outside, and the cookies open nothing there either."""
    stranger.auth = BOB
    team = site.get(stranger, "/site/team/")
    assert (team.status_code, team.content) == (200, (SITE / "site" / "team" / "index.html").read_bytes())
    assert site.get(stranger, "/site/").status_code == 403
    assert stranger.get(team.url.replace("team/", ""), timeout=TIMEOUT).status_code == 403


def test_after_expiry_the_error_page_leads_back(site: Running, ann: requests.Session) -> None:
    """Without valid cookies the edge shows a page whose link leads through the gate to the same place."""
    there = site.get(ann, "/site/team/").url
    ann.cookies.clear()
    refused = ann.get(there, timeout=TIMEOUT)
    assert refused.status_code == 403
    (gate,) = re.findall(r'href="([^"]+)"', refused.text)
    assert gate == f"{site.url}/site/"
    back = ann.get(gate + urlsplit(there).path.removeprefix("/"), timeout=TIMEOUT)  # as the page's script does
    assert (back.status_code, back.url) == (200, there)


def test_whoever_forgets_password_and_cookies_is_refused(site: Running, ann: requests.Session) -> None:
    """What is a log-out with this kind of log-in closes both the gate and the edge."""
    there = site.get(ann, "/site/").url
    ann.auth = None
    ann.cookies.clear()
    assert site.get(ann, "/site/").status_code == 401
    assert ann.get(there, timeout=TIMEOUT).status_code == 403


def test_a_program_downloads_with_a_token(site: Running, stranger: requests.Session, token: str) -> None:
    """The token opens one file, with a header field of the ini file on the redirect, and no cookie."""
    answer = site.get(stranger, "/files/index.html", Authorization=f"Bearer {token}")
    (redirect,) = answer.history
    assert (redirect.status_code, redirect.headers["X-Robots-Tag"]) == (303, "noindex")
    assert (answer.status_code, answer.content) == (200, PAGE)
    assert not stranger.cookies
    assert stranger.get(answer.url.replace("index.html", "style.css"), timeout=TIMEOUT).status_code == 403


def test_a_program_needs_a_token_and_a_person_a_password(site: Running, ann: requests.Session, token: str) -> None:
    """Each gate takes its own kind of log-in, and what neither covers does not exist."""
    assert site.get(ann, "/files/index.html").status_code == 401
    ann.auth = None
    assert site.get(ann, "/site/", Authorization=f"Bearer {token}").status_code == 401
    assert site.get(ann, "/files/index.html", Authorization=f"Bearer {token[:-8]}").status_code == 401
    assert site.get(ann, "/").status_code == 404
