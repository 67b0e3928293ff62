"""The examples, run as their READMEs say: as processes, with a key from the documented command, over HTTP."""

from __future__ import annotations

import contextlib
import html
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import requests

from cfgate_middleware.verify import KeyGroup, verify_url

EXAMPLES = Path(__file__).parent.parent / "examples"
DOMAIN = "https://d111111abcdef8.cloudfront.net"
TIMEOUT = 20


class Example(NamedTuple):
    """How one example is used."""

    script: str
    file: str  # a private file, below the prefix
    refusal: int  # the status of the response to a stranger
    admit: Callable[[requests.Session, str], object]  # log the visitor in, so that they may read the file
    greeting: str  # on the page that everybody may read


def log_in(session: requests.Session, url: str) -> None:
    """Send the password to the Flask example."""
    session.post(f"{url}/login", data={"password": "correct horse"}, timeout=TIMEOUT).raise_for_status()


FLASK_APP = Example("flask_app/library.py", "/reports/1.pdf", 302, log_in, "Log in")
every_example = pytest.mark.parametrize("example", [FLASK_APP], ids=["flask_app"])


class Running(NamedTuple):
    """A running example."""

    url: str
    process: subprocess.Popen[str]

    def get(self, session: requests.Session, path: str) -> requests.Response:
        """Send a GET and do not follow redirects."""
        return session.get(self.url + path, allow_redirects=False, timeout=TIMEOUT)


def command(example: Example) -> list[str]:
    """Return the command that starts an example."""
    return [sys.executable, str(EXAMPLES / example.script)]


def listen_to_ctrl_c() -> None:
    """React to SIGINT even if the tests are a background job, for which a shell ignores it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@contextlib.contextmanager
def running(example: Example, key: str) -> Iterator[Running]:
    """Run an example on a free port until the block ends."""
    environ = {**os.environ, "CFGATE_PRIVATE_KEY": key, "PORT": "0"}
    with subprocess.Popen(
        command(example), env=environ, stderr=subprocess.PIPE, text=True, preexec_fn=listen_to_ctrl_c
    ) as process:
        try:
            assert process.stderr
            log = ""
            while not (url := re.search(r"http://127\.0\.0\.1:\d+", log)):
                line = process.stderr.readline()
                assert line, log
                log += line
            yield Running(url[0], process)
        finally:
            process.kill()


@pytest.fixture(scope="module")
def key() -> str:
    """A private key made by the command in the README."""
    (made,) = re.findall(r'CFGATE_PRIVATE_KEY="\$\((openssl .*)\)"', (EXAMPLES / "README.rst").read_text())
    return subprocess.run(made.split(), check=True, capture_output=True, text=True, timeout=TIMEOUT).stdout


@pytest.fixture(scope="module")
def origin_target(key: str) -> Callable[[str], str]:
    """Check a signed URL as CloudFront would, and return the request target that reaches the origin."""
    made = subprocess.run(["openssl", "pkey", "-pubout"], input=key, check=True, capture_output=True, text=True)
    key_group = KeyGroup({"K2JCJMDEHXQW5F": made.stdout})

    def check(url: str) -> str:
        assert url.startswith(f"{DOMAIN}/")
        target = url.removeprefix(DOMAIN)
        return verify_url(target, base_url=DOMAIN, key_group=key_group, now=time.time()).origin_target

    return check


@pytest.fixture(scope="module")
def start(key: str) -> Iterator[Callable[[Example], Running]]:
    """Start each example once, for all tests that do not end it."""
    started: dict[str, Running] = {}
    with contextlib.ExitStack() as stack:

        def start(example: Example) -> Running:
            if example.script not in started:
                started[example.script] = stack.enter_context(running(example, key))
            return started[example.script]

        yield start


@pytest.fixture
def visitor() -> Iterator[requests.Session]:
    """A visitor without password, cookie or token."""
    with requests.Session() as session:
        session.trust_env = False  # no password from a .netrc
        yield session


Start = Callable[[Example], Running]


@every_example
def test_everybody_may_read_what_is_not_private(start: Start, visitor: requests.Session, example: Example) -> None:
    """Outside the prefix the example's own application replies."""
    answer = start(example).get(visitor, "/")
    assert answer.status_code == 200
    assert example.greeting in answer.text


@every_example
def test_a_stranger_is_refused(start: Start, visitor: requests.Session, example: Example) -> None:
    """Without password, cookie or token the private file is refused, and no cache may keep the refusal."""
    answer = start(example).get(visitor, f"/private{example.file}")
    assert answer.status_code == example.refusal
    assert answer.headers["Cache-Control"] == "no-store"
    assert DOMAIN not in answer.text + str(answer.headers)


@every_example
def test_a_reader_is_redirected(
    start: Start, visitor: requests.Session, origin_target: Callable[[str], str], example: Example
) -> None:
    """With it the response is a 303 to a URL that CloudFront would accept for exactly this file."""
    example.admit(visitor, start(example).url)
    answer = start(example).get(visitor, f"/private{example.file}")
    assert answer.status_code == 303
    assert origin_target(answer.headers["Location"]) == example.file


def test_a_template_and_a_view_sign_for_members(
    start: Start, visitor: requests.Session, origin_target: Callable[[str], str]
) -> None:
    """Flask: the page's cover and the view's redirect are signed URLs, and neither response may be cached."""
    flask_app = start(FLASK_APP)
    log_in(visitor, flask_app.url)
    page = flask_app.get(visitor, "/")
    (cover,) = re.findall(r'<img src="([^"]+)"', page.text)
    assert origin_target(html.unescape(cover)) == "/covers/newest.png"
    newest = flask_app.get(visitor, "/newest")
    assert newest.status_code == 303
    assert origin_target(newest.headers["Location"]) == "/reports/newest.pdf"
    for answer in (page, newest):
        assert "no-store" in answer.headers["Cache-Control"]


def test_strangers_are_sent_to_the_page_and_get_nothing_signed(start: Start, visitor: requests.Session) -> None:
    """Flask: the gate redirects a stranger to the log-in form, the view refuses, a wrong password opens nothing."""
    flask_app = start(FLASK_APP)
    wrong = visitor.post(f"{flask_app.url}/login", data={"password": "wrong"}, timeout=TIMEOUT)
    assert wrong.status_code == 403
    assert flask_app.get(visitor, "/private/reports/1.pdf").headers["Location"] == "/"
    assert flask_app.get(visitor, "/newest").status_code == 403
    assert DOMAIN not in flask_app.get(visitor, "/").text


@every_example
def test_ctrl_c_ends_an_example_cleanly(key: str, visitor: requests.Session, example: Example) -> None:
    """The process ends with code 0 and no traceback, and its log contains no signature."""
    with running(example, key) as started:
        example.admit(visitor, started.url)
        assert started.get(visitor, f"/private{example.file}").status_code == 303
        started.process.send_signal(signal.SIGINT)
        _, log = started.process.communicate(timeout=TIMEOUT)
    assert started.process.returncode == 0, log
    assert f"/private{example.file}" in log
    assert "Traceback" not in log
    assert "Signature" not in log


@every_example
def test_without_a_key_an_example_does_not_start(example: Example) -> None:
    """The error names the environment variable that is missing."""
    environ = {name: value for name, value in os.environ.items() if name != "CFGATE_PRIVATE_KEY"}
    ended = subprocess.run(
        command(example), env={**environ, "PORT": "0"}, capture_output=True, text=True, timeout=TIMEOUT
    )
    assert ended.returncode == 1
    assert "CFGATE_PRIVATE_KEY" in ended.stderr.splitlines()[-1]
