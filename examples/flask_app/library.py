"""A Flask site whose reports open to whoever has logged in: ``python examples/flask_app/library.py``."""

from __future__ import annotations

import os
import secrets
from wsgiref.types import WSGIApplication, WSGIEnvironment

from flask import Flask, abort, redirect, render_template, request, session, url_for
from werkzeug import Response

from cfgate_middleware import CloudFrontGate, CloudFrontRedirect, Signer

PASSWORD = "correct horse"  # noqa: S105 - a real site keeps hashes, and one for each member
DOMAIN = "https://d111111abcdef8.cloudfront.net"
SIGNER = Signer("K2JCJMDEHXQW5F", os.environ["CFGATE_PRIVATE_KEY"])  # once: loading an RSA key takes time

app = Flask(__name__)
app.config.update(SECRET_KEY=secrets.token_bytes(), SESSION_COOKIE_SAMESITE="Lax")


def is_member() -> bool:
    """Say whether the visitor has logged in."""
    return "member" in session


def authorize(environ: WSGIEnvironment) -> bool | Response:
    """Ask Flask's session; the gate stands in front of Flask, so it borrows a context."""
    with app.request_context(environ):
        return is_member() or redirect(url_for("index"))


gate = CloudFrontGate(app.wsgi_app, authorize, prefix="/private", domain=DOMAIN, signer=SIGNER)
app.wsgi_app = gate  # type: ignore[method-assign]  # how Flask takes middleware


@app.get("/")
def index() -> tuple[str, dict[str, str]]:
    """Show members a cover whose URL the template signs, which is why no cache may keep the page."""
    return render_template("index.html", is_member=is_member(), sign=gate.sign), {"Cache-Control": "no-store"}


@app.get("/newest")
def newest() -> WSGIApplication:
    """Redirect to one fixed file."""
    return CloudFrontRedirect(f"{DOMAIN}/reports/newest.pdf", authorize=is_member, signer=SIGNER).go()


@app.post("/login")
def login() -> Response:
    """Keep in the session that the password was right."""
    if not secrets.compare_digest(request.form["password"].encode(), PASSWORD.encode()):
        abort(403)
    session["member"] = True
    return redirect(url_for("index"))


if __name__ == "__main__":
    app.run(port=int(os.environ.get("PORT", "8080")))
