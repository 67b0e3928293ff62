"""The gate for WSGI: environ in, start_response out."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any, cast
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from cfgate_middleware._core.answers import DecisionRecord, Facts
from cfgate_middleware._core.checks import Pairs, is_deferred
from cfgate_middleware._core.problems import Problems, Secret, kind_of
from cfgate_middleware._core.verdicts import PASS, Authorizer
from cfgate_middleware._keys.choice import AnySigner
from cfgate_middleware._shell import GateShell
from cfgate_middleware.distribution import Distribution


class CloudFrontGate(GateShell):
    """WSGI middleware that replies to every authorized request below ``prefix`` with a redirect to a signed URL.

    Args:
        app: the WSGI application to wrap, or None for a gate without one (404 outside the prefix).
        authorize: called with environ for every clean GET or HEAD below the prefix; returns a verdict.
            ``environ["cfgate.path"]`` is the decoded path on the distribution that a yes will sign.
        prefix: the path below which the gate answers, relative to where it is mounted, such as ``"/private"``.
        distribution: a :class:`Distribution`, instead of a domain and keys.
        domain, key_pair_id, private_key, priv_key_string, keys, signer, hash_algorithm: as for :class:`Distribution`.
        expires, reuse_for: the same, for this gate alone; by default the distribution's.
        code: redirect status: 303, 301, 302, 307 or 308.
        headers: extra header fields on grants.
        forward_query: names of viewer parameters to keep in the signed URL.
        index: file name appended to a path that ends in ``/``.
        answer: ``"redirect"``, ``"cookies"`` and a redirect to the clean URL, or ``"json"`` for scripts that accept it.
        cookie_domain: one that covers the distribution's host; without it, cookies belong to the host that sets them.
        cookie_path: the ``Path`` of cookies; without it, the path of what is granted.
        cookie_samesite: ``"Lax"``, ``"Strict"`` or ``"None"``.
        on_decision: called with the :class:`DecisionRecord` of every request below the prefix, before the response
            starts; what it raises propagates.

    Raises:
        ConfigError: with every problem found.

    Attributes:
        distribution: the :class:`Distribution` that is signed for.
    """

    def __init__(
        self,
        app: WSGIApplication | None,
        authorize: Authorizer,
        *,
        prefix: str,
        distribution: Distribution | None = None,
        domain: str | None = None,
        key_pair_id: str | None = None,
        private_key: Any = None,
        priv_key_string: Any = None,
        keys: AnySigner | str | Iterable[Any] | None = None,
        signer: AnySigner | None = None,
        hash_algorithm: str | None = None,
        expires: int | timedelta | None = None,
        reuse_for: int | timedelta | None = None,
        code: int = 303,
        headers: Pairs | None = None,
        forward_query: Iterable[str] | None = None,
        index: str | None = None,
        answer: str = "redirect",
        cookie_domain: str | None = None,
        cookie_path: str | None = None,
        cookie_samesite: str = "Lax",
        on_decision: Callable[[DecisionRecord], object] | None = None,
    ) -> None:
        given: Secret[dict[str, Any]] = Secret(  # no error tracker may find a key, wherever it was put by mistake
            {"prefix": prefix, "distribution": distribution, "domain": domain, "key_pair_id": key_pair_id, "keys": keys}
            | {"private_key": private_key, "priv_key_string": priv_key_string, "signer": signer, "expires": expires}
            | {"hash_algorithm": hash_algorithm, "reuse_for": reuse_for, "forward_query": forward_query, "index": index}
            | {"code": code, "headers": headers, "answer": answer, "cookie_domain": cookie_domain}
            | {"cookie_path": cookie_path, "cookie_samesite": cookie_samesite, "on_decision": on_decision}
        )
        del prefix, distribution, domain, hash_algorithm, key_pair_id, private_key, priv_key_string, keys, signer
        del expires, reuse_for, code, headers, forward_query, index, answer, cookie_domain, cookie_path, cookie_samesite
        del on_decision
        problems = Problems()
        self._app: WSGIApplication = _not_found if app is None else app
        if not callable(cast(object, self._app)):
            problems.add(f"app is {kind_of(app)}: expected a WSGI application, or None for a gate without one")
        self._set_up(authorize, is_response, given, problems)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path_info = environ.get("PATH_INFO", "")
        if not self._gate.covers(path_info):
            return self._app(environ, start_response)
        decision = self._gate.admit(
            environ["REQUEST_METHOD"], path_info, environ.get("QUERY_STRING", ""), environ.get("HTTP_ACCEPT", "")
        )
        if isinstance(decision, Facts):
            environ["cfgate.path"] = decision.path
            decision = self._decide(decision, ask(self._authorize, environ))
        self._report(decision)
        if decision.app is None:
            start_response(decision.status, decision.headers)
            return [decision.body] if decision.body else []
        if decision.app is PASS:
            return self._app(environ, start_response)
        return cast(WSGIApplication, decision.app)(environ, no_store(start_response))


def ask(authorize: Callable[..., object], *arguments: object) -> object:
    """Return the verdict of an authorizer, which may raise it: HTTP exceptions of WebOb and others are responses."""
    try:
        return authorize(*arguments)
    except Exception as error:
        if not callable(error):
            raise
        return error.with_traceback(None)  # which holds this frame: a cycle


def is_response(verdict: object) -> bool:
    """Return whether a verdict is a WSGI application that answers: an instance, not a class, and not asynchronous."""
    return callable(verdict) and not isinstance(verdict, type) and not is_deferred(verdict)


def no_store(start_response: StartResponse) -> StartResponse:
    """Return what starts a response that is not ours, so that no cache keeps it unless it says how."""

    def start(status: str, headers: list[tuple[str, str]], *exc_info: Any) -> Callable[[bytes], object]:
        if not any(name.lower() == "cache-control" for name, _ in headers):
            headers = [*headers, ("Cache-Control", "no-store")]
        return start_response(status, headers, *exc_info)

    return start


def _not_found(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("404 Not Found", [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", "14")])
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [b"404 Not Found\n"]
