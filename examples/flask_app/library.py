"""A Flask site with reports for members who have logged in: ``python examples/flask_app/library.py``."""

from __future__ import annotations

import os
import secrets
from wsgiref.types import WSGIApplication, WSGIEnvironment

from flask import Flask, abort, redirect, render_template, request, session, url_for
from werkzeug import Response

from cfgate_middleware import CloudFrontGate, Distribution

PASSWORD = "correct horse"  # noqa: S105 - a real site stores hashes, one per member

# Created once and shared: loading an RSA key takes time.
distribution = Distribution(
    "https://d111111abcdef8.cloudfront.net",
    key_pair_id="K2JCJMDEHXQW5F",
    private_key="env:CFGATE_PRIVATE_KEY",
)

app = Flask(__name__)
app.config.update(SECRET_KEY=secrets.token_bytes(), SESSION_COOKIE_SAMESITE="Lax")


def is_member() -> bool:
    """Return whether the visitor has logged in."""
    return "member" in session


def authorize(environ: WSGIEnvironment) -> bool | Response:
    """Let members in and redirect everybody else to the page.

    The gate runs before Flask, so this opens a request context to read the session. No ``before_request`` function
    runs here, and no change to the session is saved: if a login needs those, sign in a view, as ``newest`` does.
    """
    with app.request_context(environ):
        return is_member() or redirect(url_for("index"))


app.wsgi_app = CloudFrontGate(  # type: ignore[method-assign]  # the way to add middleware to Flask
    app.wsgi_app, authorize, prefix="/private", distribution=distribution
)


@app.get("/")
def index() -> tuple[str, dict[str, str]]:
    """Show members a cover. The template signs its URL, so no cache may keep the page."""
    page = render_template("index.html", is_member=is_member(), sign=distribution.sign)
    return page, {"Cache-Control": "no-store"}


@app.get("/newest")
def newest() -> WSGIApplication:
    """Redirect members to one file."""
    if not is_member():
        abort(403)
    return distribution.redirect("/reports/newest.pdf")


@app.post("/login")
def login() -> Response:
    """Remember in the session that the password was right."""
    if not secrets.compare_digest(request.form["password"].encode(), PASSWORD.encode()):
        abort(403)
    session["member"] = True
    return redirect(url_for("index"))


if __name__ == "__main__":
    app.run(port=int(os.environ.get("PORT", "8080")))
