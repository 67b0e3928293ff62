"""The Pyramid example, run by pserve as its README says, and what a retry may not leave behind."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
import requests
from pyramid.config import Configurator
from pyramid.httpexceptions import HTTPForbidden
from pyramid.request import Request
from pyramid.response import Response
from pyramid_retry import RetryableException

from cfgate_middleware import allow, ask_app
from tests.conftest import NOW
from tests.running import EXAMPLES, Running, free_ports, running, throwaway_key, visitor
from tests.support import fetch, gate

SITE = EXAMPLES / "pyramid_site"
REPORT = (SITE / "private" / "ann" / "report.txt").read_bytes()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Run the site for all tests."""
    path = os.pathsep.join([str(SITE), os.environ.get("PYTHONPATH", "")])
    with (
        free_ports(2) as (port, edge_port),
        running(
            *("-m", "pyramid.scripts.pserve", str(SITE / "site.ini"), f"http_port={port}", f"edge_port={edge_port}"),
            log=tmp_path_factory.mktemp("pyramid") / "log",
            PYTHONPATH=path,
            CFGATE_PRIVATE_KEY=throwaway_key(),
        ) as site,
    ):
        yield site


@pytest.fixture
def stranger() -> Iterator[requests.Session]:
    """A visitor who is logged out."""
    with visitor() as session:
        yield session


@pytest.fixture
def ann(site: Running, stranger: requests.Session) -> requests.Session:
    """A member who has logged in."""
    assert "Hello, ann" in site.post(stranger, "/login", name="ann", password="correct horse").text
    return stranger


@pytest.mark.slow
@pytest.mark.parametrize("folder", ["ann", "None"])
def test_a_stranger_is_sent_to_the_log_in(site: Running, stranger: requests.Session, folder: str) -> None:
    """Below the prefix Pyramid's forbidden view answers, with a redirect that the gate sends on."""
    answer = site.get(stranger, f"/private/{folder}/report.txt")
    assert [each.status_code for each in answer.history] == [303]
    assert answer.url == f"{site.url}/"
    assert "Log in" in answer.text


@pytest.mark.slow
def test_a_wrong_password_opens_nothing(site: Running, stranger: requests.Session) -> None:
    """It is refused, and the visitor stays a stranger."""
    assert site.post(stranger, "/login", name="ann", password="battery staple").status_code == 403
    assert site.post(stranger, "/login", name="nobody", password="").status_code == 403
    assert site.get(stranger, "/private/ann/report.txt").url == f"{site.url}/"


@pytest.mark.slow
def test_a_member_gets_the_file_from_the_edge(site: Running, ann: requests.Session) -> None:
    """The view's permission is the yes, and the edge sends the file byte for byte."""
    answer = site.get(ann, "/private/ann/report.txt")
    assert [each.status_code for each in answer.history] == [303]
    assert answer.history[0].headers["Cache-Control"] == "private, no-store"
    assert not answer.url.startswith(site.url)
    assert (answer.status_code, answer.content) == (200, REPORT)


@pytest.mark.slow
def test_a_range_is_sent_through_the_redirect(site: Running, ann: requests.Session) -> None:
    """The client repeats its Range at the edge and gets the part."""
    answer = site.get(ann, "/private/ann/report.txt", Range="bytes=2-7")
    assert (answer.status_code, answer.content) == (206, REPORT[2:8])


@pytest.mark.slow
def test_a_file_of_another_member_is_refused(site: Running, ann: requests.Session) -> None:
    """Pyramid's 403 reaches the member, without an address."""
    answer = site.get(ann, "/private/bob/report.txt")
    assert (answer.status_code, answer.history) == (403, [])


@pytest.mark.slow
def test_whoever_logs_out_is_refused(site: Running, ann: requests.Session) -> None:
    """After the log-out the file's link leads to the log-in again."""
    assert "Log in" in site.post(ann, "/logout").text
    assert site.get(ann, "/private/ann/report.txt").url == f"{site.url}/"


@pytest.mark.slow
def test_the_log_in_belongs_to_the_sites_host_alone(site: Running, stranger: requests.Session) -> None:
    """Its cookie names no domain, so that a distribution under a shared domain never gets it."""
    (answer,) = site.post(stranger, "/login", name="ann", password="correct horse").history
    assert answer.headers["Set-Cookie"].startswith("auth_tkt=")
    assert "Domain" not in answer.headers["Set-Cookie"]


@pytest.mark.parametrize("last", [403, 204])
def test_a_grant_of_an_attempt_that_was_retried_opens_nothing(last: int) -> None:
    """The first attempt says yes and is thrown away; what counts is what the second one answers."""
    attempts: list[int] = []

    def view(request: Request) -> Response:
        attempts.append(request.environ["retry.attempt"])
        if attempts == [0]:
            request.response.headers.update(allow(request.environ, expires=3600))
            raise RetryableException
        return HTTPForbidden() if last == 403 else Response(status=last, headers=allow(request.environ))

    with Configurator(settings={"retry.attempts": 2}) as config:
        config.include("pyramid_retry")
        config.add_route("private", "/private/*file")
        config.add_view(view, route_name="private")
    answer = fetch(gate(ask_app, config.make_wsgi_app()), "/private/report.pdf")
    assert attempts == [0, 1]
    assert not answer.values("X-Cfgate-Allow")
    if last == 403:
        assert (answer.code, answer.values("Location")) == (403, [])
    else:
        assert answer.code == 303
        assert f"Expires={NOW + 60}&" in answer.location
