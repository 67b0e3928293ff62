"""A redirect for a view to return, as in Flask-CloudFront."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, cast
from wsgiref.types import WSGIApplication

from cfgate_middleware._core.answers import Facts
from cfgate_middleware._core.checks import Pairs, to_base_url
from cfgate_middleware._core.gate import Gate
from cfgate_middleware._core.problems import Problems, Secret
from cfgate_middleware._core.signing import GrantSigner
from cfgate_middleware._core.verdicts import ASK, PASS, name_authorizer
from cfgate_middleware._keys.choice import AnySigner
from cfgate_middleware._options import DEFAULTS, compile_options
from cfgate_middleware._wsgi import is_wsgi_response, no_store
from cfgate_middleware.distribution import parse_object_url, shown_location, to_facts, to_response
from cfgate_middleware.errors import AuthorizerError
from cfgate_middleware.middleware import ask

if TYPE_CHECKING:
    import webob


class CloudFrontRedirect:
    """A redirect to one signed URL, authorized when it is sent; the view-level form, as in Flask-CloudFront.

    Subclass it and override ``authorize``, or pass ``authorize=``. Then return ``go(…)`` from a view.

    Args:
        location: the whole viewer URL, spelled as it is sent; a bare domain signs ``/``. Text from outside must not be
            put into it: use ``path``.
        path: the decoded path of an object below ``location``, which then is what :class:`Distribution` calls domain.
        code, headers: as for :class:`CloudFrontGate`.
        authorize: called with what ``go`` is called with; returns a verdict.
        signer: a :class:`Signer`, built once at import: loading an RSA key costs about 30 ms.
        key_pair_id, private_key, priv_key_string, hash_algorithm: what to build a signer from, instead.
        expires: seconds (int or timedelta) the redirect is valid at least.

    Raises:
        ConfigError: with every problem found.
        PathError: if ``path`` cannot be an object, so that the view can answer 404.

    Attributes:
        clock: returns the time in epoch seconds; replace it to test at another time.
    """

    def __init__(
        self,
        location: str,
        code: int = 303,
        headers: Pairs | None = None,
        *,
        path: str | None = None,
        authorize: Callable[..., object] | None = None,
        signer: AnySigner | None = None,
        key_pair_id: str | None = None,
        private_key: Any = None,
        priv_key_string: Any = None,
        hash_algorithm: str | None = None,
        expires: int | timedelta = 60,
    ) -> None:
        url, object_path = Secret(location), Secret(path)
        given: Secret[dict[str, Any]] = Secret(  # no error tracker may find a key, wherever it was put by mistake
            {"key_pair_id": key_pair_id, "private_key": private_key, "priv_key_string": priv_key_string}
            | {"keys": None, "signer": signer, "hash_algorithm": hash_algorithm}
            | {"code": code, "headers": headers, "expires": expires}
        )
        del location, path, code, headers, expires, hash_algorithm, key_pair_id, private_key, priv_key_string, signer
        facts = None if object_path.value is None else to_facts(cast("Secret[str]", object_path))
        problems = Problems()
        parts = problems.check(f"location={shown_location(url)}", partial(_parse, facts), url)
        self._authorize: Callable[..., object] = self.authorize if authorize is None else authorize
        name = problems.check("authorize", name_authorizer, self._authorize, secret=True)
        overridden = type(self).authorize is not CloudFrontRedirect.authorize
        if authorize is None and not overridden:
            problems.add("authorize is missing: override authorize() in a subclass, or pass authorize=")
        if authorize is not None and overridden:
            problems.add(f"{type(self).__qualname__}.authorize and authorize= are both given; leave one out")
        compiled = compile_options(given, problems)
        problems.raise_any()
        values = compiled.value
        base_url, self._facts = cast("tuple[str, Facts]", parts)
        self.clock: Callable[[], float] = time.time
        grant_signer = GrantSigner(base_url, values["ring"], values["expires"])
        self._gate = Gate({"prefix": "", **DEFAULTS, **values}, grant_signer, name or "", is_wsgi_response)

    def authorize(self, *args: Any, **kwargs: Any) -> object:
        """Return a verdict; override this where ``authorize=`` is not given."""
        raise AuthorizerError("CloudFrontRedirect.authorize has no verdict of its own; override it without super()")

    def go(self, *args: Any, **kwargs: Any) -> webob.Response | WSGIApplication:
        """Ask the authorizer and return the answer for the view to return.

        Returns:
            the redirect or the refusal as a ``webob.Response``, which is a WSGI application too; or the response that
            the authorizer returned or raised, kept out of caches.

        Raises:
            AuthorizerError: if the return value is not a valid verdict, or is PASS: a view wraps no application.
            SigningError: if the signer fails.
        """
        import webob  # only what returns responses needs it

        verdict = ask(partial(self._authorize, *args, **kwargs))
        if verdict is PASS or verdict is ASK:
            raise AuthorizerError(f"authorize() returned {verdict!r}, but a CloudFrontRedirect wraps no application")
        decision = self._gate.decide(self._facts, verdict, self.clock())
        app = decision.app
        if app is None:
            return to_response(decision)
        if not isinstance(app, webob.Response):
            return lambda environ, start_response: app(environ, no_store(start_response))
        app.headers.setdefault("Cache-Control", "no-store")
        return app


def _parse(facts: Facts | None, location: Secret[Any]) -> tuple[str, Facts]:
    """Return the base URL and what is signed for a location, or for a path below it."""
    return parse_object_url(location) if facts is None else (to_base_url(location.value), facts)
