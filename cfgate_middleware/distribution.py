"""A distribution: its domain, its keys and the life of a signature, and what can be signed for it outside of a gate."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Unpack
from urllib.parse import parse_qsl, unquote

from cfgate_middleware._core.answers import Answers, Decision, Facts
from cfgate_middleware._core.checks import to_query
from cfgate_middleware._core.encoding import is_scope_path, spell_path, spell_query
from cfgate_middleware._core.grant import Conditions, Grant, PolicyConditions, ScopedConditions, to_object_path
from cfgate_middleware._core.policy import MAX_EPOCH
from cfgate_middleware._core.problems import Problems, Secret, shown
from cfgate_middleware._core.signed import Signed
from cfgate_middleware._core.signing import GrantSigner
from cfgate_middleware._core.urls import is_loopback, parse_location
from cfgate_middleware._keys.choice import AnySigner, to_ring
from cfgate_middleware._options import DEFAULTS, compile_options
from cfgate_middleware.errors import ConfigError, PathError

if TYPE_CHECKING:
    import webob

logger = logging.getLogger("cfgate_middleware")


class Distribution:
    """What CloudFront knows of us, loaded once and shared by gates, views, templates, mailers and jobs.

    Args:
        domain: its address, such as ``"https://d111111abcdef8.cloudfront.net"``; a base path is put before every path.
        key_pair_id: the public key's id at CloudFront.
        private_key, priv_key_string: path, PEM text or bytes, a ``cryptography`` private key, or a reference:
            ``env:NAME``, ``kms:KEY``, ``secretsmanager:NAME``, ``ssm:NAME``; the second name is Flask-CloudFront's.
        keys: several keys in rotation, oldest first: a :class:`KeyRing`, lines ``KEY_PAIR_ID SOURCE [ISO-8601
            activation time]`` or tuples of the same, or ``file:PATH`` of such lines, which is watched.
        signer: a :class:`Signer`, a :class:`KeyRing`, or any object that implements the signer protocol.
        hash_algorithm: ``"SHA256"`` or ``"SHA1"`` (RSA only).
        expires: seconds (int or timedelta) every signature is valid at least.
        reuse_for: seconds (int or timedelta), at most ``expires``, during which the same object gets the same URL, so
            that browsers can cache it; a URL is then valid for up to ``expires + reuse_for`` seconds.

    Raises:
        ConfigError: with every problem found.

    Attributes:
        clock: returns the time in epoch seconds; replace it to test at another time.
    """

    def __init__(
        self,
        domain: str,
        *,
        key_pair_id: str | None = None,
        private_key: Any = None,
        priv_key_string: Any = None,
        keys: AnySigner | str | Iterable[Any] | None = None,
        signer: AnySigner | None = None,
        hash_algorithm: str = "SHA256",
        expires: int | timedelta = 60,
        reuse_for: int | timedelta = 0,
    ) -> None:
        given: Secret[Mapping[str, Any]] = Secret(  # no error tracker may find a key, wherever it was put by mistake
            {"domain": domain, "hash_algorithm": hash_algorithm, "expires": expires, "reuse_for": reuse_for}
            | {"key_pair_id": key_pair_id, "private_key": private_key, "priv_key_string": priv_key_string}
            | {"keys": keys, "signer": signer}
        )
        del domain, hash_algorithm, expires, reuse_for, key_pair_id, private_key, priv_key_string, keys, signer
        problems = Problems()
        values = compile_options(given, problems)
        problems.raise_any()
        self.clock: Callable[[], float] = time.time
        self.base_url: str = values["domain"]
        self.ring = values["ring"]
        self.expires: int = values["expires"]
        self.reuse_for: int = values["reuse_for"]
        self._signer = GrantSigner(self.base_url, self.ring, self.expires, self.reuse_for)
        if self.reuse_for and not (key := self.ring.current(self.clock())).deterministic:
            why = "signs differently each time, so URLs repeat within one process only"
            logger.warning("reuse_for: key %s %s", key.key_pair_id, why)
        if self.base_url.startswith("http://") and not is_loopback(self.base_url):
            logger.warning("domain %s: signed URLs will cross the network in clear; use https", self.base_url)

    def sign(self, path: str, **conditions: Unpack[Conditions]) -> str:
        """Return the signed URL of an object, for code that has authorized the viewer itself.

        Args:
            path: decoded path on the distribution, such as ``"/reports/1.pdf"``.
            conditions: those fields of :class:`Grant`.

        Raises:
            PathError: if the path cannot be an object, or the URL is longer than CloudFront takes.
            ConfigError: if the conditions cannot be signed.
            SigningError: if the signer fails.
        """
        return self._sign(path, Conditions, conditions).to_url()

    def cookies(self, path: str, **conditions: Unpack[ScopedConditions]) -> dict[str, str]:
        """Return the values of the signed cookies for an object or a scope, by name; else as :meth:`sign`."""
        return self._sign(path, ScopedConditions, conditions).to_cookies()

    def query(self, scope: str, **conditions: Unpack[PolicyConditions]) -> str:
        """Return the query string to open all below ``scope``, a decoded path ending in ``/``; else as :meth:`sign`."""
        if not is_scope_path(scope):
            raise PathError(f"scope={shown(scope)}: expected a clean decoded path that starts and ends with '/'")
        grant = Grant.of(ScopedConditions, {**conditions, "scope": scope})
        return self._signer.sign(grant, scope, spell_path(scope), (), self.clock()).to_query()

    def redirect(self, path: str, **conditions: Unpack[Conditions]) -> webob.Response:
        """Return the redirect to an object, for a view to return; no cache keeps it. Arguments as for :meth:`sign`."""
        signed = self._sign(path, Conditions, conditions)
        facts = Facts("GET", spell_path(path), path, spell_path(path))
        return to_response(Answers(DEFAULTS, self.base_url).granted(facts, None, (), signed))

    def _sign(self, path: str, kind: type, conditions: Mapping[str, Any]) -> Signed:
        grant = Grant.of(kind, conditions)
        try:
            to_object_path(path)
        except ValueError as error:
            raise PathError(f"path={shown_location(Secret(path))}: {error}") from None
        return self._signer.sign(grant, path, spell_path(path), (), self.clock())

    def __repr__(self) -> str:
        return f"<Distribution {self.base_url} {self.ring!r}>" if hasattr(self, "ring") else "<Distribution, not built>"


def to_response(decision: Decision) -> webob.Response:
    """Return a decision as a response, which is a WSGI application too."""
    import webob  # only what returns responses needs it

    return webob.Response(status=decision.status, headerlist=list(decision.headers), body=decision.body)


def signed_url(url: str, signer: AnySigner, *, now: float | None = None, **conditions: Unpack[ScopedConditions]) -> str:
    """Sign a viewer URL.

    Args:
        url: the whole viewer URL, spelled as it is sent.
        signer: as for :class:`Distribution`.
        now: epoch seconds; the time of the call by default.
        conditions: those fields of :class:`Grant`; 60 seconds by default.

    Raises:
        PathError, ConfigError, SigningError: as for :meth:`Distribution.sign`.
    """
    location, key = Secret(url), Secret(signer)
    del url, signer  # a URL that was signed before, or a key by mistake
    return _sign_url(location, key, now, conditions).to_url()


def signed_cookies(
    url: str, signer: AnySigner, *, now: float | None = None, **conditions: Unpack[ScopedConditions]
) -> dict[str, str]:
    """Return the values of the ``CloudFront-*`` cookies for a viewer URL; arguments as for :func:`signed_url`."""
    location, key = Secret(url), Secret(signer)
    del url, signer
    return _sign_url(location, key, now, conditions).to_cookies()


def _sign_url(url: Secret[str], signer: Secret[AnySigner], now: float | None, conditions: Mapping[str, Any]) -> Signed:
    grant = Grant.of(ScopedConditions, conditions)
    try:
        base_url, facts = parse_object_url(url)
    except ValueError as error:
        raise PathError(f"url={shown_location(url)}: {error}") from None
    seconds = time.time() if now is None else now
    if not isinstance(seconds, int | float) or not 0 <= seconds <= MAX_EPOCH:  # no milliseconds: thousands of years
        raise ConfigError(f"now={shown(now)}: expected epoch seconds from 0 to {MAX_EPOCH}")
    return GrantSigner(base_url, to_ring(signer), 60).sign(grant, facts.path, facts.spelled_path, facts.query, seconds)


def parse_object_url(location: Secret[Any]) -> tuple[str, Facts]:
    """Read a whole viewer URL, as a base URL and a GET; raise a ValueError if it is not spelled as it is signed."""
    if not isinstance(location.value, str) or not location.value:
        raise ValueError("expected a whole viewer URL, such as 'https://d111111abcdef8.cloudfront.net/reports/1.pdf'")
    base_url, path = parse_location(location.value.partition("?")[0])
    query = Secret(location.value.partition("?")[2])
    pairs = Secret(to_query(parse_qsl(query.value, keep_blank_values=True)))
    if spell_query(pairs.value) != query.value:
        raise ValueError("the query must be name=value pairs in unreserved characters, all else %XX in upper case")
    return base_url, Facts("GET", path, unquote(path), path, pairs.value)


def shown_location(location: Secret[Any]) -> str:
    """Return a location as an error may show it: its query may hold a signature."""
    return shown(location.value.partition("?")[0] if isinstance(location.value, str) else location.value)
