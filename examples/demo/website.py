"""The application behind the gate: one page, log-in and log-out, and a list of the gate's decisions.

It signs nothing and serves no private file. The gate calls ``authorize`` to ask whether a request is allowed, and
``record`` to report what it decided.
"""

from __future__ import annotations

import html
import logging
import secrets
import time
from collections import deque
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

from player import NotFetchedError, hls_js
from webob import Request, Response
from webob.exc import HTTPNotFound
from webob.static import FileApp

from cfgate_middleware import Grant

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from cfgate_middleware import CloudFrontGate, DecisionRecord, Verdict

HERE = Path(__file__).parent
COOKIE = "cfgate_demo_session"
ANSWERS = ("redirect", "cookies", "json")
FILM_EXPIRES = 3600  # seconds
HLS = "/hls/"
SCOPES = ("/picture.png", "/film.mp4", "/document.pdf", HLS)  # signed cookies are set for each of them separately

_log = logging.getLogger("cfgate_demo")


@dataclass
class Session:
    """A visitor who has logged in, and the response they chose: one of ``ANSWERS``."""

    answer: str = ANSWERS[0]


class Website:
    """A website that recognises its visitors by a random cookie.

    Args:
        gate_url: the address of the page.
        facts: values for further ``$name`` placeholders in ``page.html``.

    Attributes:
        gate: the gate around this website; set it after creating the gate.
    """

    gate: CloudFrontGate

    def __init__(self, gate_url: str, **facts: object) -> None:
        self._gate_url = gate_url
        self._template = Template((HERE / "page.html").read_text(encoding="utf-8"))
        self._facts = {name: html.escape(str(value)) for name, value in {"gate_url": gate_url, **facts}.items()}
        self._sessions: dict[str, Session] = {}
        self._decisions: deque[dict[str, str | int | None]] = deque(maxlen=50)
        self._views: dict[tuple[str, str], Callable[[Request], WSGIApplication]] = {
            ("GET", "/"): self._page,
            ("GET", "/decisions.json"): self._list_decisions,
            ("GET", "/hls.js"): self._player,
            ("POST", "/login"): self._log_in,
            ("POST", "/logout"): self._log_out,
            **{("POST", f"/answer/{answer}"): partial(self._choose, answer) for answer in ANSWERS},
        }
        self._static = {f"/{file.name}": FileApp(str(file)) for file in (HERE / "static").iterdir()}

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        view = self._views.get(("GET" if method == "HEAD" else method, path))
        answer = view(Request(environ)) if view else self._static.get(path, HTTPNotFound())
        return answer(environ, start_response)

    def authorize(self, environ: WSGIEnvironment) -> Verdict:
        """Return the verdict on one request: 401, or a grant with its scope, its duration and the kind of response."""
        session = self._session(Request(environ))
        if session is None:
            return 401
        path = environ["cfgate.path"]
        if path.startswith(HLS):
            # One grant for the playlist and all its pieces. Always cookies, whatever was chosen: the player takes the
            # addresses of the pieces from the playlist, and those have no signature.
            return Grant(scope="directory", answer="cookies", expires=FILM_EXPIRES)
        # Players request the signed address again while they play, so it must outlast the film and its pauses.
        return Grant(answer=session.answer, expires=FILM_EXPIRES if path.endswith(".mp4") else None)

    def record(self, decision: DecisionRecord) -> None:
        """Store a decision for the page; it contains no signature, so everybody may see it."""
        self._decisions.appendleft(
            {
                "time": time.strftime("%H:%M:%S"),
                "method": decision.method,
                "path": decision.path,
                "status": decision.status,
                "reason": decision.reason,
            }
        )

    def _session(self, request: Request) -> Session | None:
        return self._sessions.get(request.cookies.get(COOKIE, ""))

    def _page(self, request: Request) -> Response:
        if request.host_url != self._gate_url:
            # For example "localhost": signed cookies belong to one host name, and must reach the edge's port as well.
            return Response(status=303, location=self._gate_url, cache_control="no-store")
        session = self._session(request)
        chosen = session.answer if session else ANSWERS[0]
        page = self._template.substitute(
            self._facts,
            state="member" if session else "stranger",
            answer=chosen,
            # With JSON the script must fetch the address before the browser can show anything.
            src="data-src" if chosen == "json" else "src",
            **{f"{answer}_pressed": str(answer == chosen).lower() for answer in ANSWERS},
        )
        return Response(page, cache_control="no-store")

    def _list_decisions(self, request: Request) -> Response:
        return Response(json=list(self._decisions.copy()), cache_control="no-store")

    def _player(self, request: Request) -> WSGIApplication:
        try:
            return Response(hls_js(), content_type="text/javascript", charset="utf-8")
        except NotFetchedError as error:
            _log.warning("no hls.js: %s", error)
            return HTTPNotFound(str(error), cache_control="no-store")

    def _choose(self, answer: str, request: Request) -> Response:
        if session := self._session(request):
            session.answer = answer
        return _back_to_the_page()

    def _log_in(self, request: Request) -> Response:
        """Let everybody in: this is a demo. A real site checks a password here."""
        token = secrets.token_urlsafe()
        self._sessions[token] = Session()
        response = _back_to_the_page()
        response.set_cookie(COOKIE, token, httponly=True, samesite="Lax")
        return response

    def _log_out(self, request: Request) -> Response:
        self._sessions.pop(request.cookies.get(COOKIE, ""), None)
        response = _back_to_the_page()
        response.delete_cookie(COOKIE)
        # This only cleans up the browser: copies of signed cookies and addresses work until they expire.
        response.headerlist.extend(self.gate.clear_cookies(*SCOPES))
        return response


def _back_to_the_page() -> Response:
    return Response(status=303, location="/", cache_control="no-store")
