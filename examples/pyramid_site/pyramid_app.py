"""A Pyramid site with a private folder for each member; Pyramid's own permissions decide about the files."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from html import escape
from typing import Any
from wsgiref.types import WSGIApplication

from pyramid.authentication import AuthTktCookieHelper
from pyramid.authorization import ACLHelper, Allow, Authenticated, Everyone
from pyramid.config import Configurator
from pyramid.httpexceptions import HTTPException, HTTPForbidden, HTTPSeeOther
from pyramid.request import Request
from pyramid.response import Response
from pyramid.security import forget, remember
from pyramid.view import forbidden_view_config, view_config

from cfgate_middleware import allow

PASSWORDS = {"ann": "correct horse", "bob": "battery staple"}  # a real site stores hashes


class Folder:
    """What is below ``/private/NAME/``: only NAME may read it."""

    def __init__(self, request: Request) -> None:
        self.__acl__ = [(Allow, f"user:{request.matchdict['name']}", "read")]


@view_config(route_name="private", request_method="GET", permission="read")
def private(request: Request) -> Response:
    """Say yes: Pyramid calls this view only if the permission is granted, and the gate then redirects to the file."""
    return Response(status=204, headers=allow(request.environ))


@forbidden_view_config()
def forbidden(request: Request) -> HTTPException:
    """Send strangers to the log-in, and refuse members what is not theirs."""
    if request.identity is None:
        return HTTPSeeOther(location=request.route_path("home"))
    return HTTPForbidden()


@view_config(route_name="home")
def home(request: Request) -> Response:
    """Show the log-in, or the files."""
    if request.identity is None:
        form = '<input name="name" placeholder="Name"> <input name="password" type="password" placeholder="Password">'
        return Response(f'<form action="/login" method="post">{form} <button>Log in</button></form>')
    links = "".join(f'<p><a href="/private/{name}/report.txt">A report for {name}</a>' for name in PASSWORDS)
    hello = f"<p>Hello, {escape(request.identity)}"
    return Response(f'{hello}{links}<form action="/logout" method="post"><button>Log out</button></form>')


@view_config(route_name="login", request_method="POST")
def login(request: Request) -> HTTPException:
    """Remember who gave the right password."""
    name, password = (request.POST.get(field, "") for field in ("name", "password"))
    if not secrets.compare_digest(password.encode(), PASSWORDS.get(name, secrets.token_hex()).encode()):
        return HTTPForbidden()
    return HTTPSeeOther(location="/", headers=remember(request, name))


@view_config(route_name="logout", request_method="POST")
def logout(request: Request) -> HTTPException:
    """Forget who it was."""
    return HTTPSeeOther(location="/", headers=forget(request))


class SecurityPolicy:
    """Pyramid's signed cookie says who somebody is, and the context's ``__acl__`` what they may do."""

    def __init__(self, secret: str) -> None:
        # The cookie is renewed every five minutes, also by a yes, which the gate turns into a redirect. It belongs to
        # this host alone, so that the distribution never gets it. With https add secure=True.
        self._cookie = AuthTktCookieHelper(
            secret,
            hashalg="sha512",
            timeout=3600,
            reissue_time=300,
            http_only=True,
            samesite="Lax",
            wild_domain=False,
        )
        self._acl = ACLHelper()

    def identity(self, request: Request) -> str | None:
        """Return the name of the member who has logged in."""
        name = (self._cookie.identify(request) or {}).get("userid")
        return name if name in PASSWORDS else None

    def authenticated_userid(self, request: Request) -> str | None:
        """Return the same."""
        name: str | None = request.identity
        return name

    def permits(self, request: Request, context: object, permission: str) -> Any:
        """Return whether the context's ``__acl__`` grants the permission."""
        principals = [Everyone]
        if request.identity is not None:
            principals += [Authenticated, f"user:{request.identity}"]
        return self._acl.permits(context, principals, permission)

    def remember(self, request: Request, name: str, **options: Any) -> Any:
        """Return the header fields that log a member in."""
        return self._cookie.remember(request, name, **options)

    def forget(self, request: Request, **options: Any) -> Any:
        """Return the header fields that log out."""
        return self._cookie.forget(request, **options)


def main(global_conf: Mapping[str, str], **settings: str) -> WSGIApplication:
    """``paste.app_factory``: the application that ``site.ini`` puts behind the gate."""
    # Several processes need one secret, and log-ins that outlive a restart need a lasting one.
    secret = os.environ.get("SITE_SECRET") or secrets.token_urlsafe()
    with Configurator(settings=settings, security_policy=SecurityPolicy(secret)) as config:
        config.add_route("home", "/")
        config.add_route("login", "/login")
        config.add_route("logout", "/logout")
        config.add_route("private", "/private/{name}/*file", factory=Folder)
        config.scan(__name__)
    application: WSGIApplication = config.make_wsgi_app()
    return application
