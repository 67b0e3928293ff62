"""Authorizers that are ready to use: the wrapped application decides, or a bearer token does.

They are the same for WSGI and ASGI: a request is the mapping that an authorizer is called with, environ or scope.
"""

from __future__ import annotations

import logging
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, Protocol, Unpack, cast

from cfgate_middleware._core.grant import Grant, GrantConditions
from cfgate_middleware._core.problems import Problems, Secret, kind_of, shown
from cfgate_middleware._core.urls import is_loopback
from cfgate_middleware._core.verdicts import ASK, Ask, Refusal
from cfgate_middleware._keys.sources import read_source
from cfgate_middleware.errors import AuthorizerError, ConfigError

logger = logging.getLogger("cfgate_middleware")

# The header field in which a view says yes; the gate takes it out of every answer.
FIELD = "X-Cfgate-Allow"
_QUESTION = "cfgate.question"
_PLAIN = Grant()
_SECONDS_BETWEEN_FETCHES = 30


def ask_app(request: Mapping[str, Any]) -> Literal[Ask.ASK]:
    """Ask the wrapped application about every request: the authorizer for a log-in that is part of the application."""
    return ASK


def allow(request: Mapping[str, Any], **conditions: Unpack[GrantConditions]) -> dict[str, str]:
    """Return the header fields with which a view of the wrapped application says yes to this request.

    The view puts them into an answer whose status is 2xx; its body is dropped, its cookies are kept.

    Args:
        request: the environ of the request (``request.META`` in Django), or its ASGI scope.
        conditions: the fields of :class:`Grant`.

    Raises:
        ConfigError: if no gate has asked the application about this request, its method is neither GET nor HEAD, or
            the conditions are wrong.
    """
    question = request.get(_QUESTION)
    if not isinstance(question, Question):
        raise ConfigError(
            "allow: no gate asked the application about this request; wrap the application in a CloudFrontGate with "
            "authorize=ask_app, and give allow() the environ (or scope) of a request below its prefix"
        )
    return question.allow(Grant.of(GrantConditions, conditions) if conditions else _PLAIN)


class Question:
    """What a gate asks of its application about one request.

    A yes is a random number that was made for this request and stands for the conditions it was said with. So nothing
    but :func:`allow` can say yes, and no answer to another request, or to an attempt that was thrown away, does.
    """

    __slots__ = ("_grants", "_method")

    def __init__(self, request: dict[str, Any], method: str) -> None:
        self._grants: dict[str, Grant] = {}
        self._method = method
        request[_QUESTION] = self

    def allow(self, grant: Grant) -> dict[str, str]:
        """Return the header fields that say yes with the conditions of a grant."""
        if self._method not in ("GET", "HEAD"):
            raise ConfigError(f"allow: the method is {self._method}; only GET and HEAD can be redirected to a file")
        nonce = secrets.token_urlsafe(16)
        self._grants[nonce] = grant
        return {FIELD: nonce}

    def verdict(self, status: int, said: list[str]) -> Grant | None:
        """Return the grant that an answer says, or None if it is the application's own.

        Args:
            status: of the answer.
            said: the values of its header field :data:`FIELD`.

        Raises:
            AuthorizerError: if it says yes, but not to this request, not once, or with a status other than 2xx.
        """
        if not said:
            return None
        grant = self._grants.get(said[0])
        if grant is None or len(said) > 1:
            raise AuthorizerError(
                "the application's answer says yes to another request than this one, or twice: it was kept by a "
                "cache, or copied; nothing was signed"
            )
        if not 200 <= status <= 299:
            raise AuthorizerError(f"the application's answer says yes with status {status}; expected 2xx")
        return grant


def bearer(
    *,
    key: Any = None,
    jwks_url: str | None = None,
    audience: str | None = None,
    issuer: str | None = None,
    algorithms: str | Iterable[str] = ("RS256", "ES256"),
) -> Callable[[Mapping[str, Any]], Any]:
    """Return an authorizer that says yes to requests with a valid JSON Web Token in ``Authorization: Bearer``.

    Needs the extra ``[jwt]`` (PyJWT). A token must have ``exp`` (RFC 7519 section 4.1.4) and the audience.

    Args:
        key: where the public key is: a path, PEM, or ``env:NAME``.
        jwks_url: instead of a key, the https address of a JSON Web Key Set (RFC 7517); fetched at the first request,
            and again when a token names a key that is not in it, at most every 30 seconds.
        audience: what ``aud`` must name (RFC 7519 section 4.1.3).
        issuer: what ``iss`` must be, if given.
        algorithms: names of the signature algorithms that are accepted; asymmetric ones only, since whoever could
            check a token with a shared secret could also make one.

    Raises:
        ConfigError: with every problem found.
    """
    try:
        import jwt
    except ImportError as error:
        raise ConfigError("bearer needs PyJWT: pip install 'cfgate-middleware[jwt]'") from error

    given = Secret((key, jwks_url))
    del key, jwks_url  # one may be a secret by mistake
    problems = Problems()
    if (given.value[0] is None) == (given.value[1] is None):
        problems.add("bearer: expected either key or jwks_url")
    names = tuple(algorithms.replace(",", " ").split() if isinstance(algorithms, str) else algorithms)
    known = sorted(
        name for name in jwt.algorithms.requires_cryptography if name in jwt.algorithms.get_default_algorithms()
    )
    if not names or any(name not in known for name in names):
        problems.add(f"bearer: algorithms={shown(algorithms)}: expected names among {', '.join(known)}")
    if not isinstance(audience, str) or not audience:
        problems.add("bearer: audience is missing: expected what the tokens' aud names, such as this service's URL")
    if issuer is not None and (not isinstance(issuer, str) or not issuer):
        problems.add(f"bearer: issuer={shown(issuer)}: expected what the tokens' iss is")
    keys: _Keys | None = None
    if given.value[1] is not None:
        keys = problems.check("bearer: jwks_url", _KeySet, given.value[1])
    elif given.value[0] is not None and not problems:
        keys = problems.check("bearer: key", lambda source: _FixedKey(source, names), Secret(given.value[0]))
    problems.raise_any()
    return _Bearer(cast("_Keys", keys), {"audience": audience, "issuer": issuer, "algorithms": names})


class _Bearer:
    """The authorizer that :func:`bearer` returns."""

    def __init__(self, keys: _Keys, expected: Mapping[str, Any]) -> None:
        self._keys = keys
        self._expected = expected

    def __call__(self, request: Mapping[str, Any]) -> Literal[True] | Refusal:
        import jwt

        token = _bearer_token(request)
        if token is None:
            return Refusal(401, (("WWW-Authenticate", "Bearer"),))
        try:
            key = self._keys.find(jwt.get_unverified_header(token.value).get("kid"))
            jwt.decode(token.value, key, options={"require": ["exp", "aud"]}, **self._expected)
        except _NoKeysError:
            return Refusal(503, (("Retry-After", str(_SECONDS_BETWEEN_FETCHES)),))
        except (jwt.PyJWTError, ValueError, TypeError):  # what is no token at all can raise the last two
            return Refusal(401, (("WWW-Authenticate", 'Bearer error="invalid_token"'),))
        return True


def _bearer_token(request: Mapping[str, Any]) -> Secret[str] | None:
    """Return the token of a request (RFC 6750 section 2.1), or None if there is none, or more than one."""
    if "headers" in request:  # an ASGI scope
        values = [value.decode("latin-1") for name, value in request["headers"] if name == b"authorization"]
    else:
        values = [request["HTTP_AUTHORIZATION"]] if "HTTP_AUTHORIZATION" in request else []
    credentials = Secret(values[0].split() if len(values) == 1 else [])
    del values
    if len(credentials.value) != 2 or credentials.value[0].lower() != "bearer":
        return None
    return Secret(credentials.value[1])


class _NoKeysError(Exception):
    """No key set could be read yet."""


class _Keys(Protocol):
    def find(self, key_id: object) -> Any: ...


class _FixedKey:
    """The one public key that tokens are checked with, whatever key they name."""

    def __init__(self, source: Secret[Any], names: Iterable[str]) -> None:
        import jwt

        material = read_source(source)
        if isinstance(material.value, str | bytes) and b"PRIVATE KEY" in _as_bytes(material.value):
            raise ValueError("that is a private key; expected the public key of the pair")
        for algorithm in map(jwt.get_algorithm_by_name, names):
            try:
                self._key: Any = algorithm.prepare_key(material.value)
            except (jwt.InvalidKeyError, ValueError, TypeError):
                continue
            return
        raise ValueError(f"{kind_of(material.value)} is not a public key for {', '.join(names)}")

    def find(self, key_id: object) -> Any:
        return self._key


class _KeySet:
    """The key set at an address, read when it is needed; the keys that were read stay while the server is away."""

    def __init__(self, url: object) -> None:
        import jwt

        if not isinstance(url, str) or not (url.startswith("https://") or is_loopback(url)):
            raise ValueError("expected an https address, such as 'https://login.example.com/.well-known/jwks.json'")
        self._client = jwt.PyJWKClient(url, cache_keys=False, cache_jwk_set=False, timeout=3)
        self._keys: dict[object, Any] | None = None
        self._next_fetch = float("-inf")
        self._fetching: dict[int, threading.Lock] = {}

    def find(self, key_id: object) -> Any:
        keys = self._keys
        if keys is None or key_id not in keys:
            self._fetch_if_due()
        if self._keys is None:
            raise _NoKeysError
        return self._keys.get(key_id)

    def _fetch_if_due(self) -> None:
        # One lock per process: what a thread of the parent held at a fork stays held in the child.
        fetching = self._fetching.setdefault(os.getpid(), threading.Lock())
        if time.monotonic() < self._next_fetch or not fetching.acquire(blocking=False):
            return
        try:
            keys: dict[object, Any] = {
                key.key_id: key for key in self._client.get_jwk_set().keys if key.key_type != "oct"
            }
            if not keys:  # a shared secret in a public set is no key
                raise ValueError("no public keys")
            self._keys = keys
        except Exception as error:  # whatever a server sends, no request fails for it
            logger.error("bearer: no key set could be read from %s: %s", self._client.uri, type(error).__name__)
        finally:
            self._next_fetch = time.monotonic() + _SECONDS_BETWEEN_FETCHES
            fetching.release()


def _as_bytes(pem: str | bytes) -> bytes:
    return pem.encode() if isinstance(pem, str) else pem
