"""A Bottle site with Beaker's sessions: an archive with a folder for each user, and one for all of them."""

from __future__ import annotations

import os
import secrets

from beaker.middleware import SessionMiddleware
from bottle import Bottle, HTTPResponse, abort, redirect, request, template

from cfgate_middleware import CloudFrontGate, allow, ask_app

PASSWORDS = {"ann": "correct horse", "bob": "battery staple"}  # a real site stores hashes
PAGE = """\
<!doctype html>
<html lang="en">
  <meta charset="utf-8">
  <title>Archive</title>
  <h1>Archive</h1>
  % if user:
    <p><a href="/private/everybody/rules.txt">Rules</a>
    <p><a href="/private/ann/minutes.txt">Ann's minutes</a>
    <p><a href="/private/bob/minutes.txt">Bob's minutes</a>
    <form action="/logout" method="post"><button>Log {{user}} out</button></form>
  % else:
    <form action="/login" method="post">
      <label>Name <input name="name" required autofocus></label>
      <label>Password <input type="password" name="password" required></label>
      <button>Log in</button>
    </form>
  % end
</html>
"""
SESSIONS = {
    "session.type": "memory",  # "file" and "session.data_dir", or a database, if there is more than one process
    "session.timeout": 1800,  # seconds after the last request, be it for a page or for a private file
    "session.httponly": True,
    "session.samesite": "Lax",
    # "session.secure": True,  # with https
}

app = Bottle()


@app.get("/private/<name:path>")
def private(name: str) -> HTTPResponse:
    """Let users read what is theirs and what is everybody's: the gate sends them to the file."""
    user = request.environ["beaker.session"].get("user")
    if user is None:
        redirect("/")
    if not name.startswith((f"{user}/", "everybody/")):
        abort(403)
    # Ten minutes, so that a download that broke off can go on where it was.
    return HTTPResponse(status=204, headers=allow(request.environ, expires=600))


@app.get("/")
def index() -> str:
    """Show users the archive, and everybody else the form to log in."""
    page: str = template(PAGE, user=request.environ["beaker.session"].get("user"))
    return page


@app.post("/login")
def log_in() -> None:
    """Remember in a new session who has given the right password."""
    name, password = request.forms.name, request.forms.password
    if name not in PASSWORDS or not secrets.compare_digest(PASSWORDS[name].encode(), password.encode()):
        abort(403)
    session = request.environ["beaker.session"]
    session.invalidate()  # whoever knows the id of the old one must not share the new one
    session["user"] = name
    session.save()
    redirect("/")


@app.post("/logout")
def log_out() -> None:
    """Delete the session: the next request for a private file is refused."""
    request.environ["beaker.session"].delete()
    redirect("/")


application = CloudFrontGate(
    SessionMiddleware(app, SESSIONS),
    ask_app,
    prefix="/private",
    domain=os.environ.get("CFGATE_DOMAIN", "https://d111111abcdef8.cloudfront.net"),
    key_pair_id="K2JCJMDEHXQW5F",
    private_key="env:CFGATE_PRIVATE_KEY",
)
