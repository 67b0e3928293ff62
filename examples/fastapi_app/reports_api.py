"""A FastAPI site where members read the reports in their own folders. It is complete: this is all one deploys."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Annotated

from fastapi import Cookie, Depends, FastAPI, HTTPException, Request, Response
from fastapi.responses import HTMLResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel

from cfgate_middleware import allow, ask_app
from cfgate_middleware.asgi import CloudFrontGate

PASSWORDS = {"ann": "correct horse", "bob": "battery staple"}  # a real site stores hashes
PAGE = (Path(__file__).parent / "page.html").read_text(encoding="utf-8")
members: dict[str, str] = {}  # the names of members, by their tokens; a real site keeps them in its database

app = FastAPI()
app.add_middleware(
    CloudFrontGate,
    authorize=ask_app,
    prefix="/private",
    answer="json",  # for the page's script; whoever does not accept JSON is redirected
    domain=os.environ.get("CFGATE_DOMAIN", "https://d111111abcdef8.cloudfront.net"),
    key_pair_id="K2JCJMDEHXQW5F",
    private_key="env:CFGATE_PRIVATE_KEY",
)


async def token(
    cookie: Annotated[str | None, Cookie(alias="token")] = None,
    bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(HTTPBearer(auto_error=False))] = None,
) -> str:
    """Return what a program sends in Authorization, or a browser in a cookie, if it is a member's."""
    given = bearer.credentials if bearer else cookie
    if given is None or given not in members:
        raise HTTPException(401, "Log in first.", {"WWW-Authenticate": "Bearer"})
    return given


async def member(token: Annotated[str, Depends(token)]) -> str:
    """Return the name of whoever asks."""
    return members[token]


@app.api_route("/private/{name:path}", methods=["GET", "HEAD"], response_class=Response)
async def private(request: Request, name: str, member: Annotated[str, Depends(member)]) -> Response:
    """Let members read what is in the folder named after them: the gate sends them to the file."""
    if not name.startswith(f"{member}/"):
        raise HTTPException(403, "That is not yours.")
    return Response(status_code=204, headers=allow(request.scope))


class Login(BaseModel):
    """What the form sends."""

    name: str
    password: str


@app.post("/login")
async def log_in(login: Login, response: Response) -> dict[str, str]:
    """Give a member a token: to a browser as a cookie, to a program as JSON."""
    password = PASSWORDS.get(login.name)
    if password is None or not secrets.compare_digest(password.encode(), login.password.encode()):
        raise HTTPException(403, "Name or password is wrong.")
    token = secrets.token_urlsafe()
    members[token] = login.name
    response.set_cookie("token", token, httponly=True, samesite="lax")  # and secure=True, with https
    return {"token": token}


@app.post("/logout", status_code=204)
async def log_out(token: Annotated[str, Depends(token)], response: Response) -> None:
    """Forget a token: the next request for a private file is refused."""
    members.pop(token, None)
    response.delete_cookie("token")


@app.get("/", response_class=HTMLResponse)
async def page() -> str:
    """Show the page, whose script does the rest."""
    return PAGE
