"""What the shells for WSGI and ASGI share: from options to a compiled gate, the clock, and the report of a decision."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from typing import Any, Generic, TypeVar, Unpack

from cfgate_middleware._core.answers import Decision, DecisionRecord, Facts
from cfgate_middleware._core.checks import Pairs
from cfgate_middleware._core.encoding import is_object_path, is_scope_path, spell_path
from cfgate_middleware._core.gate import Gate
from cfgate_middleware._core.grant import Conditions
from cfgate_middleware._core.problems import Problems, Secret, kind_of, shown
from cfgate_middleware._core.signing import GrantSigner
from cfgate_middleware._core.verdicts import name_authorizer
from cfgate_middleware._keys.choice import AnySigner
from cfgate_middleware._options import KEY_OPTIONS, compile_options
from cfgate_middleware.authorizers import ask_app
from cfgate_middleware.distribution import Distribution, logger
from cfgate_middleware.errors import ConfigError, SigningError

AppT = TypeVar("AppT")
AuthorizerT = TypeVar("AuthorizerT")


class GateShell(ABC, Generic[AppT, AuthorizerT]):
    """The base of every shell: a gate compiled from options, its distribution, and what its users may ask of it."""

    _mount_reported = False
    _follow_redirects: AppT  # the wrapped application, whose answers may name an object and become the redirect to it

    def __init__(
        self,
        app: AppT | None,
        authorize: AuthorizerT | None,
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
        allow_origin: str | Iterable[str] | None = None,
        app_redirect_header: str | None = None,
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
            | {"allow_origin": allow_origin, "app_redirect_header": app_redirect_header}
            | {"cookie_path": cookie_path, "cookie_samesite": cookie_samesite, "on_decision": on_decision}
        )
        del prefix, distribution, domain, hash_algorithm, key_pair_id, private_key, priv_key_string, keys, signer
        del expires, reuse_for, code, headers, forward_query, index, answer, cookie_domain, cookie_path, cookie_samesite
        del on_decision, allow_origin, app_redirect_header
        problems = Problems()
        self._app = self._to_app(app, problems)
        self._wraps_nothing = app is None
        asked: Any = authorize
        if given.value["app_redirect_header"] is not None and authorize is None:
            asked = internal
        if app is None and authorize is ask_app:
            problems.add("authorize is ask_app, but the gate wraps no application that could be asked")
        name = problems.check("authorize", self._name_authorizer, asked, secret=True)
        compiled = compile_options(_with_distribution(given, problems), problems)
        if app is None and compiled.value["app_redirect_header"] is not None:
            problems.add("app_redirect_header is given, but the gate wraps no application that could redirect")
        problems.raise_any()
        values = compiled.value
        self._authorize = asked
        self._on_decision: Callable[[DecisionRecord], object] | None = values["on_decision"]
        self.distribution: Distribution = given.value["distribution"] or Distribution(
            values["domain"], signer=values["ring"], expires=values["expires"], reuse_for=values["reuse_for"]
        )
        grant_signer = GrantSigner(values["domain"], self.distribution.ring, values["expires"], values["reuse_for"])
        self._gate = Gate(values, grant_signer, name or "", self._is_response)
        self._covers, self._admit, self._decide_at = self._gate.covers, self._gate.admit, self._gate.decide
        self._cors = self._gate.cors
        # What answers where the gate does not.
        self._outside = self._app if values["app_redirect_header"] is None else self._follow_redirects

    @abstractmethod
    def _to_app(self, app: AppT | None, problems: Problems) -> AppT:
        """Return the application that is wrapped; for None, one that answers 404."""

    @abstractmethod
    def _is_response(self, verdict: object) -> bool:
        """Return whether a verdict is an application that answers: an instance, not a class."""

    _name_authorizer = staticmethod(name_authorizer)

    @property
    def clock(self) -> Callable[[], float]:
        """Return the distribution's clock: what returns the time in epoch seconds; set it to test at another time."""
        return self.distribution.clock

    @clock.setter
    def clock(self, clock: Callable[[], float]) -> None:
        self.distribution.clock = clock

    def sign(self, path: str, **conditions: Unpack[Conditions]) -> str:
        """Return the signed URL of an object; arguments and errors as for :meth:`Distribution.sign`."""
        return self.distribution.sign(path, **conditions)

    def clear_cookies(self, *paths: str) -> list[tuple[str, str]]:
        """Return the header fields that clear signed cookies from this browser; a copy works until the grant ends.

        Args:
            paths: the decoded scopes and objects that cookies were set for; with the option ``cookie_path``, none.

        Raises:
            ConfigError: if a path is not clean, or none says which cookies are meant.
        """
        if not paths and self._gate.answers.cookie_path is None:
            raise ConfigError("clear_cookies: expected the paths that cookies were set for, such as '/films/42/'")
        for path in paths:
            if not (is_object_path(path) or is_scope_path(path)):
                raise ConfigError(f"clear_cookies: {shown(path)}: expected a clean decoded path, such as '/films/42/'")
        return self._gate.answers.clear_cookies(map(spell_path, paths))

    def __repr__(self) -> str:
        built = f" {self._gate.prefix or '/'} {self.distribution!r}" if hasattr(self, "_gate") else ", not built"
        return f"<{type(self).__name__}{built}>"

    def _look_at_mount(self, script_name: str, path_info: str) -> None:
        """Log once if a request passes by that somebody seems to have meant to be below the prefix.

        The prefix is relative to the mount point: a gate that is mounted at its own prefix guards nothing.
        """
        prefix = self._gate.prefix
        if self._mount_reported or not prefix:
            return
        if script_name.endswith(prefix):
            cure = "/"
        elif f"{script_name}{path_info}/".startswith(f"{prefix}/") and prefix.startswith(f"{script_name}/"):
            cure = prefix.removeprefix(script_name)
        else:
            return
        self._mount_reported = True
        where = shown(script_name), shown(prefix), cure
        logger.error("mounted at %s, the gate guards nothing with prefix %s, which starts there: write %s", *where)

    def _decide(self, facts: Facts, verdict: object) -> Decision:
        """Return the decision for a verdict; a failure to sign is logged."""
        try:
            return self._decide_at(facts, verdict, self.distribution.clock())
        except SigningError as error:
            logger.error("%s %s -> not signed: %s", facts.method, facts.request_path, error)
            raise

    def _follow(
        self,
        field: str,
        named: list[str],
        dispositions: list[str],
        environ: Mapping[str, Any],
        request: tuple[str, str],
    ) -> Decision:
        """Return the redirect to the object that the application's response names; an error is ours, and logged."""
        method, accept = request
        try:
            if len(named) > 1:
                raise ValueError("it is there twice")
            mount, now = environ.get("SCRIPT_NAME", ""), self.distribution.clock()
            return self._gate.follow(named[0], dispositions, mount, method, accept, now)
        except SigningError:
            raise
        except ValueError as error:
            logger.error("%s: %s names no object that can be signed: %s", field, shown(named[0]), error)
        return self._gate.answers.refused(method, spell_path(named[0])[:2000], accept, 500, "app redirect")

    def _report(self, decision: Decision) -> None:
        """Log a decision, and hand its record to ``on_decision``, before the response starts."""
        if logger.isEnabledFor(logging.INFO):
            path, method, *rest = decision.record
            logger.info("%s %s -> %s %s key=%s end=%s", method, path, *rest)
        if self._on_decision is not None:
            self._on_decision(decision.record)


def internal(request: Mapping[str, Any]) -> int:
    """Return the verdict on every request where only the application's own redirects lead below the prefix."""
    return 404


def _with_distribution(given: Secret[dict[str, Any]], problems: Problems) -> Secret[dict[str, Any]]:
    """Return the options to compile: those of a given distribution replace or complete the gate's own."""
    distribution = given.value["distribution"]
    if distribution is None:
        return given
    replaced = ("domain", *KEY_OPTIONS)
    if both := [name for name in replaced if given.value[name] is not None]:
        problems.add(f"distribution and {' and '.join(both)} are both given; a distribution has its own: leave one out")
    own = Secret({name: value for name, value in given.value.items() if name not in replaced})
    if isinstance(distribution, Distribution):
        its = {"domain": distribution.base_url, "expires": distribution.expires, "reuse_for": distribution.reuse_for}
        own.value.update({name: value for name, value in its.items() if own.value.get(name) is None})
    else:
        problems.add(f"distribution is {kind_of(distribution)}; expected a Distribution")
    return own
