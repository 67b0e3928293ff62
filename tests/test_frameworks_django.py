"""A Django application behind the gate: its accounts, its database connections, and django-sendfile2 as for nginx."""

from __future__ import annotations

import functools
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from cheroot.wsgi import Server
from django.conf import settings
from django.contrib.auth import authenticate, get_user_model, login
from django.contrib.auth.decorators import login_required
from django.core.management import call_command
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import connection
from django.db.backends.signals import connection_created
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path
from django_sendfile import sendfile

from cfgate_middleware import CloudFrontGate, allow, ask_app
from cfgate_middleware.edge import LocalEdge
from tests.support import KEY_GROUP, SIGNER

pytestmark = pytest.mark.slow  # it starts a process
TIMEOUT = 60
FILES = [
    "1/Backup 2014-09-02.sqlbackup",
    "1/Übersicht für 日本.pdf",
    "1/site.tar.gz",  # for which django-sendfile2 names an encoding that the redirect must not have
    "1/100% & more; 'a+b' (c)=d,e@f!.txt",
    "1/what? #1 *.txt",
]
BACKUP, UNICODE = FILES[:2]


# The application. It runs in a process of its own, since Django has one configuration for each.


def log_in(request: HttpRequest) -> HttpResponse:
    """Log in with a name and a password."""
    user = authenticate(request, username=request.POST["name"], password=request.POST["password"])
    if user is None:
        return HttpResponse(status=403)
    login(request, user)
    return HttpResponse()


def save_user(request: HttpRequest) -> HttpResponse:
    """Create or change an account, as an administrator does."""
    user, _ = get_user_model().objects.get_or_create(username=request.POST["name"])
    if "password" in request.POST:
        user.set_password(request.POST["password"])
    user.is_active = "inactive" not in request.POST
    user.save()
    return HttpResponse()


@login_required
def private(request: HttpRequest, name: str) -> HttpResponse:
    """Say yes to everybody who has logged in; the connection to the database may break meanwhile."""
    if "break" in request.GET:
        connection.connection.close()
        request.user.refresh_from_db()
    return HttpResponse(status=204, headers=allow(request.META))


@login_required
def send(request: HttpRequest) -> HttpResponse:
    """Send a file as django-sendfile2's manual says."""
    asked = request.GET
    return sendfile(request, asked["file"], attachment="attachment" in asked, attachment_filename=asked.get("as"))


def cut(request: HttpRequest) -> HttpResponse:
    """Cut this thread's connection to the database, underneath Django, which needs none for who has no session."""
    connection.ensure_connection()
    connection.connection.close()
    return HttpResponse()


counts = {"connections": 0, "started": 0, "finished": 0}


def add(what: str, **_: object) -> None:
    """Count one more."""
    counts[what] += 1


def count(request: HttpRequest) -> HttpResponse:
    """Say how many connections were made, and how many requests were started and finished."""
    return JsonResponse(counts)


urlpatterns = [
    path("log-in", log_in),
    path("save-user", save_user),
    path("private/<path:name>", private),
    path("send", send),
    path("cut", cut),
    path("count", count),
]


def is_usable(wrapper: Any) -> bool:
    """Ask the database, as Django does with PostgreSQL and MySQL; of SQLite it thinks that files do not go away."""
    try:
        wrapper.connection.execute("SELECT 1")
    except sqlite3.Error:
        return False
    return True


def serve(files: str, database: str) -> None:
    """Serve the gate around the application, with one thread that keeps its connection, and the edge."""
    from django.db.backends.sqlite3.base import DatabaseWrapper

    settings.configure(
        ALLOWED_HOSTS=["127.0.0.1"],
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.sqlite3",
                "NAME": database,
                "CONN_MAX_AGE": None,  # for good
                "CONN_HEALTH_CHECKS": True,
            }
        },
        INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions"],
        LOGIN_URL="/log-in",
        MIDDLEWARE=[
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
        ],
        PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],  # quick
        ROOT_URLCONF=__name__,
        SECRET_KEY="secret",
        SENDFILE_BACKEND="django_sendfile.backends.nginx",
        SENDFILE_CHECK_FILE_EXISTS=False,
        SENDFILE_ROOT="/srv/files",
        SENDFILE_URL="/private",
        SESSION_SAVE_EVERY_REQUEST=True,
    )
    DatabaseWrapper.is_usable = is_usable
    application = get_wsgi_application()
    call_command("migrate", verbosity=0)

    signals = {"connections": connection_created, "started": request_started, "finished": request_finished}
    for what, signal in signals.items():
        signal.connect(functools.partial(add, what), weak=False)

    edge_server = Server(("127.0.0.1", 0), None)
    edge_server.prepare()
    edge_url = f"http://127.0.0.1:{edge_server.bind_addr[1]}"
    edge_server.wsgi_app = LocalEdge(files, KEY_GROUP, public_url=edge_url)
    threading.Thread(target=edge_server.serve, daemon=True).start()

    gate = CloudFrontGate(
        application,
        ask_app,
        prefix="/private",
        domain=edge_url,
        signer=SIGNER,
        app_redirect_header="X-Accel-Redirect",
    )
    server = Server(("127.0.0.1", 0), gate, numthreads=1, max=1)
    server.prepare()
    print(f"http://127.0.0.1:{server.bind_addr[1]}", edge_url, flush=True)
    server.serve()


# The tests.


class Site(NamedTuple):
    """The addresses of the gate and of the edge."""

    url: str
    edge_url: str

    def post(self, session: requests.Session, path: str, **fields: str) -> None:
        """Send a form."""
        session.post(f"{self.url}/{path}", data=fields, timeout=TIMEOUT).raise_for_status()

    def get(self, session: requests.Session, path: str, **parameters: str) -> requests.Response:
        """Ask for something, without following redirects."""
        url = f"{self.url}/{path}"
        return session.get(url, params=parameters, allow_redirects=False, timeout=TIMEOUT)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Run the application, the gate and the edge, which has the files; each holds its own name."""
    files, database = tmp_path_factory.mktemp("files"), tmp_path_factory.mktemp("database") / "db.sqlite3"
    for name in FILES:
        (files / name).parent.mkdir(exist_ok=True)
        (files / name).write_bytes(name.encode())
    code = f"import sys, {__name__} as site; site.serve(*sys.argv[1:])"
    command = [sys.executable, "-c", code, str(files), str(database)]
    root, log = Path(__file__).parent.parent, database.with_name("log")
    with (
        log.open("w") as errors,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, cwd=root) as process,
    ):
        try:
            assert process.stdout
            addresses = process.stdout.readline().split()
            assert len(addresses) == 2, log.read_text()
            yield Site(*addresses)
        finally:
            process.kill()


@pytest.fixture
def administrator() -> Iterator[requests.Session]:
    """Somebody who may change accounts."""
    with requests.Session() as session:
        session.trust_env = False
        yield session


@pytest.fixture
def member(site: Site, administrator: requests.Session) -> Iterator[requests.Session]:
    """Ann, who has logged in."""
    site.post(administrator, "save-user", name="ann", password="old")
    with requests.Session() as session:
        session.trust_env = False
        site.post(session, "log-in", name="ann", password="old")
        yield session


@pytest.mark.parametrize("change", [{"inactive": "yes"}, {"password": "new"}], ids=["deactivated", "new password"])
def test_a_changed_account_is_refused_at_once(
    site: Site, administrator: requests.Session, member: requests.Session, change: dict[str, str]
) -> None:
    """After a deactivation or a new password, the cookie that opened the file before leads to the log-in."""
    assert site.get(member, "private/x").status_code == 303
    site.post(administrator, "save-user", name="ann", **change)
    answer = site.get(member, "private/x")
    assert "sessionid=" in answer.request.headers["Cookie"]
    assert (answer.status_code, answer.headers["Location"]) == (302, "/log-in?next=/private/x")


def test_a_sliding_session_goes_on(site: Site, member: requests.Session) -> None:
    """The cookie that Django renews with every answer goes along with the redirects of both kinds."""
    for answer in (site.get(member, "private/x"), site.get(member, "send", file=BACKUP)):
        assert answer.status_code == 303
        assert answer.headers["Set-Cookie"].startswith(f"sessionid={member.cookies['sessionid']}; expires=")


def test_a_connection_that_was_cut_is_made_anew(
    site: Site, administrator: requests.Session, member: requests.Session
) -> None:
    """Requests share a connection, and the one after it was cut finds out, connects again and is redirected."""
    made = []
    for cuts in (False, False, True):
        if cuts:
            site.post(administrator, "cut")
        assert site.get(member, "private/x").status_code == 303
        made.append(site.get(administrator, "count").json()["connections"])
    assert made == [made[0], made[0], made[0] + 1]


def test_a_connection_that_breaks_during_a_request_fails_only_that_request(
    site: Site, member: requests.Session
) -> None:
    """The application's own error is sent, nothing is signed, and the next request is redirected."""
    broken = site.get(member, "private/x", **{"break": "yes"})
    assert broken.status_code == 500
    assert "Location" not in broken.headers
    assert site.get(member, "private/x").status_code == 303


def test_every_request_is_finished(site: Site, member: requests.Session) -> None:
    """Django learns of the end of each request, whatever became of its answer, so that it can give back connections."""
    for target in ("private/x", f"send?file={BACKUP}", "private/x?break=yes", "nowhere"):
        site.get(member, target)
    counts = site.get(member, "count").json()
    assert counts["started"] == counts["finished"] + 1  # that one itself


@pytest.mark.parametrize("file", FILES)
def test_the_nginx_backend_of_django_sendfile2_works_unchanged(site: Site, member: requests.Session, file: str) -> None:
    """Whatever the file's name, the redirect leads to it, and only the redirect is left of the answer."""
    answer = site.get(member, "send", file=file)
    assert answer.status_code == 303
    assert {"X-Accel-Redirect", "Content-Encoding", "Content-Disposition"}.isdisjoint(answer.headers)
    assert member.get(answer.headers["Location"], timeout=TIMEOUT).content == file.encode()


def test_a_space_is_spelled_once(site: Site, member: requests.Session) -> None:
    """What the backend sends escaped, /private/1/Backup%202014-09-02.sqlbackup, is neither escaped again nor split."""
    location = site.get(member, "send", file=BACKUP).headers["Location"]
    assert location.startswith(f"{site.edge_url}/1/Backup%202014-09-02.sqlbackup?Expires=")


@pytest.mark.parametrize(
    ("asked", "disposition"),
    [
        ({"file": BACKUP}, None),
        ({"file": BACKUP, "attachment": "yes"}, 'attachment; filename="Backup 2014-09-02.sqlbackup"'),
        ({"file": BACKUP, "as": "Yesterday.sqlbackup"}, 'inline; filename="Yesterday.sqlbackup"'),
        (
            {"file": BACKUP, "attachment": "yes", "as": 'Été "2014".sqlbackup'},
            'attachment; filename="Ete \\"2014\\".sqlbackup"; '
            "filename*=UTF-8''%C3%89t%C3%A9%20%5C%222014%5C%22.sqlbackup",
        ),
        (
            {"file": UNICODE, "attachment": "yes"},
            'attachment; filename="Ubersicht fur .pdf"; '
            "filename*=UTF-8''%C3%9Cbersicht%20f%C3%BCr%20%E6%97%A5%E6%9C%AC.pdf",
        ),
    ],
    ids=["own name", "attachment", "another name", "quotes", "unicode"],
)
def test_the_name_of_an_attachment_is_signed(
    site: Site, member: requests.Session, asked: dict[str, str], disposition: str | None
) -> None:
    """The Content-Disposition of django-sendfile2 is a parameter of the signed URL, which the edge accepts."""
    location = site.get(member, "send", **asked).headers["Location"]
    assert parse_qs(urlsplit(location).query).get("response-content-disposition") == (disposition and [disposition])
    assert member.get(location, timeout=TIMEOUT).content == asked["file"].encode()
