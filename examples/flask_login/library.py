"""A Flask site where members read the reports in their own folders. It is complete: this is all one deploys."""

from __future__ import annotations

import os
import secrets

from flask import Flask, abort, redirect, render_template, request, url_for
from flask_login import LoginManager, UserMixin, current_user, login_required, login_user, logout_user
from werkzeug import Response

from cfgate_middleware import CloudFrontGate, allow, ask_app

PASSWORDS = {"ann": "correct horse", "bob": "battery staple"}  # a real site stores hashes

app = Flask(__name__)
app.config.update(
    SECRET_KEY=os.environ.get("SECRET_KEY") or secrets.token_hex(),  # set one if there is more than one process
    SESSION_COOKIE_SAMESITE="Lax",
    # SESSION_COOKIE_SECURE=True,  # with https
)
login_manager = LoginManager(app)
login_manager.login_view = "index"

app.wsgi_app = CloudFrontGate(  # type: ignore[method-assign]  # the way to add middleware to Flask
    app.wsgi_app,
    ask_app,
    prefix="/private",
    domain=os.environ.get("CFGATE_DOMAIN", "https://d111111abcdef8.cloudfront.net"),
    key_pair_id="K2JCJMDEHXQW5F",
    private_key="env:CFGATE_PRIVATE_KEY",
)


@app.get("/private/<path:name>")
@login_required
def private(name: str) -> tuple[str, int, dict[str, str]]:
    """Let members read what is in the folder named after them: the gate sends them to the file."""
    if not name.startswith(f"{current_user.id}/"):
        abort(403)
    return "", 204, allow(request.environ)


class Member(UserMixin):
    """Somebody who has logged in."""

    def __init__(self, name: str) -> None:
        self.id = name


@login_manager.user_loader
def load_member(name: str) -> Member | None:
    """Return the member whom a session names."""
    return Member(name) if name in PASSWORDS else None


@app.get("/")
def index() -> str:
    """Show members their reports, and everybody else the form to log in."""
    return render_template("index.html")


@app.post("/login")
def log_in() -> Response:
    """Log a member in, and go to the file that they asked for before."""
    name, password = request.form["name"], request.form["password"]
    if name not in PASSWORDS or not secrets.compare_digest(PASSWORDS[name].encode(), password.encode()):
        abort(403)
    login_user(Member(name))
    wanted = request.args.get("next", "")
    return redirect(wanted if wanted.startswith("/private/") else url_for("index"))


@app.post("/logout")
def log_out() -> Response:
    """Log a member out: the next request for a private file is refused."""
    logout_user()
    return redirect(url_for("index"))
