"""The application behind the gate: one page, log-in and log-out, and the list of what the gate decided.

It signs nothing and serves no private file: it answers the gate's question (``authorize``) and hears its
decisions (``record``).
"""

from __future__ import annotations

import html
import secrets
import time
from collections import deque
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

from webob import Request, Response
from webob.exc import HTTPNotFound
from webob.static import FileApp

from cfgate_middleware import Grant

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from cfgate_middleware import Verdict
    from cfgate_middleware.gate import Record

HERE = Path(__file__).parent
COOKIE = "cfgate_demo_session"
FILM_EXPIRES = 3600  # seconds


class Website:
    """A website whose visitors are known by a random cookie.

    Args:
        facts: what ``page.html`` says about the set-up: its ``$name`` placeholders.
    """

    def __init__(self, **facts: object) -> None:
        template = Template((HERE / "page.html").read_text(encoding="utf-8"))
        texts = {name: html.escape(str(value)) for name, value in facts.items()}
        self._pages = {state: template.substitute(texts, state=state) for state in ("member", "stranger")}
        self._sessions: set[str] = set()
        self._decisions: deque[dict[str, str | int | None]] = deque(maxlen=50)
        self._views: dict[tuple[str, str], Callable[[Request], WSGIApplication]] = {
            ("GET", "/"): self._page,
            ("GET", "/decisions.json"): self._list_decisions,
            ("POST", "/login"): self._log_in,
            ("POST", "/logout"): self._log_out,
        }
        self._static = {f"/{file.name}": FileApp(str(file)) for file in (HERE / "static").iterdir()}

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        view = self._views.get(("GET" if method == "HEAD" else method, path))
        answer = view(Request(environ)) if view else self._static.get(path, HTTPNotFound())
        return answer(environ, start_response)

    def authorize(self, environ: WSGIEnvironment) -> Verdict:
        """Answer the gate for one request: yes, yes for longer, or a refusal."""
        if not self._knows(Request(environ)):
            return 401
        # Players go back to the signed address while they play, so it has to outlive the film and its pauses.
        return Grant(expires=FILM_EXPIRES) if environ["cfgate.path"].endswith(".mp4") else True

    def record(self, decision: Record) -> None:
        """Keep a decision for the page; it holds no signature, so everybody may see it."""
        self._decisions.appendleft(
            {
                "time": time.strftime("%H:%M:%S"),
                "method": decision.method,
                "path": decision.path,
                "status": decision.status,
                "reason": decision.reason,
            }
        )

    def _knows(self, request: Request) -> bool:
        return request.cookies.get(COOKIE) in self._sessions

    def _page(self, request: Request) -> Response:
        state = "member" if self._knows(request) else "stranger"
        return Response(self._pages[state], cache_control="no-store")

    def _list_decisions(self, request: Request) -> Response:
        return Response(json=list(self._decisions.copy()), cache_control="no-store")

    def _log_in(self, request: Request) -> Response:
        """Let everybody in: this is a demo. A real site would check a password here."""
        token = secrets.token_urlsafe()
        self._sessions.add(token)
        response = _back_to_the_page()
        response.set_cookie(COOKIE, token, httponly=True, samesite="Lax")
        return response

    def _log_out(self, request: Request) -> Response:
        self._sessions.discard(request.cookies.get(COOKIE, ""))
        response = _back_to_the_page()
        response.delete_cookie(COOKIE)
        return response


def _back_to_the_page() -> Response:
    return Response(status=303, location="/", cache_control="no-store")
