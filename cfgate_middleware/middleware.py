"""The WSGI shell around the gate: environ in, start_response out.

Strategy: decide nothing. Read the facts, ask the authorizer, hand the decision's data to the server. The clock, the
log and the wrapped application live here.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from webob.cookies import make_cookie

from cfgate_middleware import wire
from cfgate_middleware.errors import ConfigError, Problems, SigningError, kind_of, shown
from cfgate_middleware.gate import Cookie, Decision, Facts, Gate, Record
from cfgate_middleware.keysource import choose_keys
from cfgate_middleware.options import Pairs, Settings, check_options, is_object_path
from cfgate_middleware.signers import AnySigner, Ring
from cfgate_middleware.signing import Unsignable
from cfgate_middleware.verdicts import PASS, Authorizer, Grant, check_authorizer

logger = logging.getLogger("cfgate_middleware")


class CloudFrontGate:
    """WSGI middleware that answers every authorized request below ``prefix`` with a redirect to a signed URL.

    Args:
        app: the WSGI application to wrap, or None for a gate standing alone (404 outside the prefix).
        authorize: called with environ for every clean GET or HEAD below the prefix; returns a verdict.
            ``environ["cfgate.path"]`` is the decoded path on the distribution that a yes will sign.
        prefix: the path below which the gate answers, relative to where it is mounted, such as ``"/private"``.
        domain: the distribution's address, such as ``"https://d111111abcdef8.cloudfront.net"``, optionally with a
            base path that is put before every resource.
        key_pair_id: the public key's id at CloudFront.
        private_key: path, PEM text or bytes, a ``cryptography`` private key, or a reference: ``env:NAME``,
            ``kms:KEY``, ``secretsmanager:NAME``, ``ssm:NAME``.
        priv_key_string: the name Flask-CloudFront gave ``private_key``.
        signer: a :class:`Signer`, a :class:`KeyRing`, or any object of a signer's shape, instead of ``key_pair_id``
            and ``private_key``.
        keys: several keys in rotation, oldest first: a :class:`KeyRing`, lines ``KEY_PAIR_ID SOURCE [ISO-8601
            moment]`` or tuples of the same, or ``file:PATH`` of such lines, which is watched.
        hash_algorithm: ``"SHA256"`` or ``"SHA1"`` (RSA only).
        expires: seconds (int or timedelta) every redirect is valid at least.
        code: redirect status: 303, 301, 302, 307 or 308.
        headers: extra header fields on grants.
        forward_query: names of viewer parameters to keep in the signed URL.
        index: file name appended to a path that ends in ``/``.
        reuse_for: seconds during which every redirect of one object has the same URL, so that browsers can cache the
            object; at most ``expires``. The URL is then valid for up to ``expires + reuse_for`` seconds.
        answer: ``"redirect"``; ``"cookies"``: signed cookies and a redirect to the clean URL; ``"json"``: the URL as
            JSON for scripts that accept it.
        cookie_domain: for cookies; a domain that covers the distribution's host. Without it the cookies belong to
            the host that sets them.
        cookie_path: for cookies; without it, the path of what is granted.
        cookie_samesite: for cookies: ``"Lax"``, ``"Strict"`` or ``"None"``.
        on_decision: called with the :class:`~cfgate_middleware.gate.Record` of every request below the prefix, after
            signing and before the response starts; what it raises propagates.

    Raises:
        ConfigError: with every problem found.

    Attributes:
        clock: returns the time in epoch seconds; replace it to test at another time.
    """

    def __init__(
        self,
        app: WSGIApplication | None,
        authorize: Authorizer,
        *,
        prefix: str,
        domain: str,
        key_pair_id: str | None = None,
        private_key: Any = None,
        priv_key_string: Any = None,
        signer: AnySigner | None = None,
        keys: Ring | str | Iterable[Any] | None = None,
        hash_algorithm: str = "SHA256",
        expires: int | timedelta = 60,
        code: int = 303,
        headers: Pairs | None = None,
        forward_query: Iterable[str] | None = None,
        index: str | None = None,
        reuse_for: int | timedelta = 0,
        answer: str = "redirect",
        cookie_domain: str | None = None,
        cookie_path: str | None = None,
        cookie_samesite: str = "Lax",
        on_decision: Callable[[Record], object] | None = None,
    ) -> None:
        given = locals()
        problems = Problems()
        with problems:
            self._app = _check_app(app)
        with problems:
            name = check_authorizer(authorize)
        with problems:
            options = check_options(given)
        with problems:
            keys_at = choose_keys(given)
        problems.raise_any()
        self.clock: Callable[[], float] = time.time
        self._authorize = authorize
        self._on_decision = options.pop("on_decision")
        base_url = options.pop("domain")
        signer_now = keys_at(self.clock())
        if options["reuse_for"] and not signer_now.deterministic:
            logger.warning(
                "reuse_for: key %s signs differently each time, so URLs repeat within one process only",
                signer_now.key_pair_id,
            )
        if base_url.startswith("http://") and not wire.is_loopback(base_url):
            logger.warning("domain %s: signed URLs will cross the network in clear; use https", base_url)
        self._gate = Gate(Settings(base_url=base_url, **options), keys_at, name)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path_info = environ.get("PATH_INFO", "")
        gate = self._gate
        if not gate.covers(path_info):
            return self._app(environ, start_response)
        admitted = gate.admit(
            environ["REQUEST_METHOD"], path_info, environ.get("QUERY_STRING", ""), environ.get("HTTP_ACCEPT", "")
        )
        if isinstance(admitted, Facts):
            environ["cfgate.path"] = admitted.path
            try:
                verdict: object = self._authorize(environ)
            except Exception as error:
                if not callable(error):
                    raise
                # The HTTP exceptions of WebOb, Pyramid and Werkzeug are responses.
                verdict = error.with_traceback(None)  # which holds this frame: a cycle
            try:
                decision = gate.decide(admitted, verdict, self.clock())
            except SigningError as error:
                logger.error("%s %s -> not signed: %s", admitted.method, admitted.request, error)
                raise
        else:
            decision = admitted
        if logger.isEnabledFor(logging.INFO):
            logger.info("%s %s -> %s %s key=%s end=%s", decision.method, decision.path, *decision.record()[2:])
        if self._on_decision is not None:
            self._on_decision(decision.record())
        app = decision.app
        if app is None:
            start_response(decision.status, header_list(decision) if decision.cookies else decision.headers)
            return [decision.body] if decision.body else []
        if app is PASS:
            return self._app(environ, start_response)
        return no_store(app)(environ, start_response)

    def sign(
        self,
        path: str,
        *,
        expires: int | timedelta | None = None,
        scope: str = "object",
        not_before: datetime | float | None = None,
        ip_address: str | None = None,
        query: Pairs | None = None,
        filename: str | None = None,
    ) -> str:
        """Return the signed URL of an object, for views and templates that have authorized the viewer themselves.

        Args:
            path: decoded path on the distribution, such as ``"/reports/1.pdf"``; the rest as in :class:`Grant`.

        Raises:
            ConfigError: if the arguments cannot be signed.
            SigningError: if the signer fails.
        """
        if not isinstance(path, str):  # None would be a Grant that leaves the path as it is
            raise ConfigError(f"path is {kind_of(path)}; expected the decoded path of one object")
        grant = Grant(
            path=path,
            expires=expires,
            scope=scope,
            not_before=not_before,
            ip_address=ip_address,
            query=query,
            filename=filename,
        )
        try:
            return self._gate.sign(grant, path, wire.spell_path(path), self.clock()).to_url()
        except Unsignable as error:
            raise ConfigError(str(error)) from error

    def clear_cookies(self, *paths: str) -> list[tuple[str, str]]:
        """Return the header fields with which a log-out view clears signed cookies from this browser.

        What ends access is the end of the grant, not this: a copy of the cookies works until then.

        Args:
            paths: the decoded scopes and objects on the distribution that cookies were set for, such as
                ``"/films/42/"``; none are needed where ``cookie_path`` is set.

        Raises:
            ConfigError: if a path is not clean, or none says which cookies are meant.
        """
        if not paths and self._gate.cookie_path is None:
            raise ConfigError("clear_cookies: expected the paths that cookies were set for, such as '/films/42/'")
        for path in paths:
            if not isinstance(path, str) or not (path == "/" or is_object_path(path.removesuffix("/"))):
                raise ConfigError(f"clear_cookies: {shown(path)}: expected a clean decoded path, such as '/films/42/'")
        return [_set_cookie(cookie) for cookie in self._gate.clear_cookies(*map(wire.spell_path, paths))]


def header_list(decision: Decision) -> list[tuple[str, str]]:
    """Return the header fields of a decision, its cookies written out."""
    return [*decision.headers, *map(_set_cookie, decision.cookies)]


def _set_cookie(cookie: Cookie) -> tuple[str, str]:
    field = make_cookie(
        cookie.name,
        cookie.value,
        path=cookie.path,
        domain=cookie.domain,
        secure=cookie.secure,
        httponly=True,
        samesite=cookie.samesite,
    )
    return "Set-Cookie", field


def no_store(app: WSGIApplication) -> WSGIApplication:
    """Wrap a response that is not ours, so that no cache keeps it unless it says how."""

    def answer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        def start(status: str, headers: list[tuple[str, str]], *exc_info: Any) -> Callable[[bytes], object]:
            if not any(name.lower() == "cache-control" for name, _ in headers):
                headers = [*headers, ("Cache-Control", "no-store")]
            return start_response(status, headers, *exc_info)

        return app(environ, start)

    return answer


def _check_app(app: WSGIApplication | None) -> WSGIApplication:
    if app is None:
        return _not_found
    if not callable(app):
        raise ConfigError(f"app is {kind_of(app)}; expected a WSGI application, or None for a gate standing alone")
    return app


def _not_found(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    body = b"404 Not Found\n"
    fields = [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body)))]
    start_response("404 Not Found", fields)
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]
