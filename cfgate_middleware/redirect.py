"""Signing inside a view: the redirect that a view returns, and signed URLs and cookies as plain values."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, TypeVar
from urllib.parse import parse_qsl, unquote
from wsgiref.types import WSGIApplication

import webob

from cfgate_middleware import wire
from cfgate_middleware.errors import AuthorizerError, ConfigError, Problems, shown
from cfgate_middleware.gate import Facts, Gate
from cfgate_middleware.keysource import choose_keys
from cfgate_middleware.middleware import header_list, no_store
from cfgate_middleware.options import Pairs, Settings, check_options, check_query
from cfgate_middleware.policy import MAX_EPOCH
from cfgate_middleware.signers import AnySigner, as_keys
from cfgate_middleware.signing import Signed, Terms, Unsignable, sign
from cfgate_middleware.verdicts import PASS, Grant, check_authorizer

Written = TypeVar("Written", str, dict[str, str])


class CloudFrontRedirect:
    """A redirect to one signed URL, authorized when it is sent; the view-level form, as in Flask-CloudFront.

    Subclass it and override ``authorize``, or pass ``authorize=``. Then return ``go(…)`` from a view.

    Args:
        location: the whole viewer URL, spelled as it is sent; a bare domain signs ``/``.
        code: redirect status: 303, 301, 302, 307 or 308.
        headers: extra header fields on the redirect.
        authorize: called with what ``go`` is called with; returns a verdict.
        signer: a :class:`Signer`, built once at import: loading an RSA key costs about 30 ms.
        key_pair_id, private_key, priv_key_string, hash_algorithm: what to build a signer from, instead.
        expires: seconds (int or timedelta) the redirect is valid at least.

    Raises:
        ConfigError: with every problem found.

    Attributes:
        clock: returns the time in epoch seconds; replace it to test at another time.
    """

    def __init__(
        self,
        location: str,
        code: int = 303,
        headers: Pairs | None = None,
        *,
        authorize: Callable[..., object] | None = None,
        signer: AnySigner | None = None,
        key_pair_id: str | None = None,
        private_key: Any = None,
        priv_key_string: Any = None,
        hash_algorithm: str | None = None,
        expires: int | timedelta = 60,
    ) -> None:
        given = locals()
        problems = Problems()
        with problems:
            base_url, path, spelled, query = _object("location", location)
        with problems:
            self._authorize = self._choose_authorizer(authorize)
            name = check_authorizer(self._authorize)
        with problems:
            options = check_options(given)
        with problems:
            keys_at = choose_keys(given)
        problems.raise_any()
        self.clock: Callable[[], float] = time.time
        self._facts = Facts("GET", spelled, path, spelled, query)
        self._gate = Gate(Settings(base_url=base_url, **options), keys_at, name)

    def _choose_authorizer(self, authorize: Callable[..., object] | None) -> Callable[..., object]:
        overridden = type(self).authorize is not CloudFrontRedirect.authorize
        if authorize is None and not overridden:
            raise ConfigError("authorize is missing: override authorize() in a subclass, or pass authorize=")
        if authorize is not None and overridden:
            raise ConfigError(f"{type(self).__qualname__}.authorize and authorize= are both given; leave one out")
        return self.authorize if authorize is None else authorize

    def authorize(self, *args: Any, **kwargs: Any) -> object:
        """Return a verdict; override this where ``authorize=`` is not given."""
        raise AuthorizerError("CloudFrontRedirect.authorize has no verdict of its own; override it without super()")

    def go(self, *args: Any, **kwargs: Any) -> webob.Response | WSGIApplication:
        """Ask the authorizer and return the answer for the view to return.

        Returns:
            the redirect or the refusal as a ``webob.Response``, which is a WSGI application too; where the
            authorizer returned or raised a response of its own, that one, kept out of caches.

        Raises:
            AuthorizerError: if the verdict is none, or is PASS, for no application stands behind a view.
            SigningError: if the signer fails.
        """
        try:
            verdict = self._authorize(*args, **kwargs)
        except Exception as error:
            if not callable(error):
                raise
            verdict = error.with_traceback(None)  # which holds this frame: a cycle
        if verdict is PASS:
            raise AuthorizerError("authorize() returned PASS, but no application stands behind a CloudFrontRedirect")
        decision = self._gate.decide(self._facts, verdict, self.clock())
        if isinstance(decision.app, webob.Response):
            decision.app.headers.setdefault("Cache-Control", "no-store")
            return decision.app
        if callable(decision.app):
            return no_store(decision.app)
        return webob.Response(status=decision.status, headerlist=header_list(decision), body=decision.body)


def signed_url(
    url: str,
    signer: AnySigner,
    *,
    expires: int | timedelta = 60,
    scope: str = "object",
    not_before: datetime | float | None = None,
    ip_address: str | None = None,
    now: float | None = None,
) -> str:
    """Sign a viewer URL.

    Args:
        url: the whole viewer URL, spelled as it is sent.
        signer: a :class:`Signer`, a :class:`KeyRing`, or any object of a signer's shape.
        expires: seconds (int or timedelta) the URL is valid at least.
        scope, not_before, ip_address: as in :class:`Grant`.
        now: epoch seconds; the time of the call by default.

    Raises:
        ConfigError: if the arguments cannot be signed.
        SigningError: if the signer fails.
    """
    grant = Grant(expires=expires, scope=scope, not_before=not_before, ip_address=ip_address)
    return _signed(url, signer, grant, now, Signed.to_url)


def signed_cookies(
    url: str,
    signer: AnySigner,
    *,
    expires: int | timedelta = 60,
    scope: str = "object",
    not_before: datetime | float | None = None,
    ip_address: str | None = None,
    now: float | None = None,
) -> dict[str, str]:
    """Return the values of the ``CloudFront-*`` cookies for a viewer URL; arguments as :func:`signed_url`."""
    grant = Grant(expires=expires, scope=scope, not_before=not_before, ip_address=ip_address)
    return _signed(url, signer, grant, now, Signed.to_cookies)


def _signed(
    url: str, signer: AnySigner, grant: Grant, now: float | None, write: Callable[[Signed], Written]
) -> Written:
    base_url, path, spelled, query = _object("url", url)
    moment = time.time() if now is None else now
    # Milliseconds would make a URL for thousands of years.
    if not isinstance(moment, int | float) or not 0 <= moment <= MAX_EPOCH:
        raise ConfigError(f"now={shown(now)}: expected epoch seconds from 0 to {MAX_EPOCH}")
    try:
        return write(sign(as_keys(signer)(moment), grant, Terms(base_url, 60), path, spelled, query, moment))
    except Unsignable as error:
        raise ConfigError(str(error)) from error


def _object(name: str, location: object) -> tuple[str, str, str, tuple[tuple[str, str], ...]]:
    """Read a whole viewer URL: base URL, path decoded and as spelled, and parameters.

    Raises:
        ConfigError: if it is not spelled as it would be signed.
    """
    try:
        if not isinstance(location, str) or not location:
            raise ValueError(
                "expected a whole viewer URL, such as 'https://d111111abcdef8.cloudfront.net/reports/1.pdf'"
            )
        base_url, path, query = wire.parse_location(location)
        pairs = check_query(parse_qsl(query, keep_blank_values=True))
        if wire.spell_query(pairs) != query:
            raise ValueError("the query must be name=value pairs in unreserved characters, all else %XX in upper case")
    except ValueError as error:
        unsigned = location.partition("?")[0] if isinstance(location, str) else location  # a query may hold a signature
        raise ConfigError(f"{name}={shown(unsigned)}: {error}") from None
    return base_url, unquote(path), path, pairs
