"""The decision: facts of a request in, an answer as data out.

Strategy: two steps around the authorizer. ``admit`` reads everything a grant depends on into one immutable object,
or answers at once; ``decide`` turns the verdict into a decision. Neither touches environ, clock, log or socket, and
all that does not depend on the request is compiled at construction.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from cfgate_middleware._core.answers import NO_STORE, Answers, Decision, DecisionRecord, Facts, Fields
from cfgate_middleware._core.encoding import is_clean, is_plain_path, spell_path
from cfgate_middleware._core.grant import Grant
from cfgate_middleware._core.signing import GrantSigner
from cfgate_middleware._core.urls import folds_into, kept_parameters
from cfgate_middleware._core.verdicts import PASS, judge
from cfgate_middleware.errors import AuthorizerError, ConfigError, PathError

_ALLOW = ("Allow", "GET, HEAD, OPTIONS")


class Gate:
    """One prefix and what is granted below it, compiled from the options by name.

    ``authorizer`` is its name, for errors; ``is_response`` says whether a verdict is an application that answers.
    """

    def __init__(
        self, settings: Mapping[str, Any], signer: GrantSigner, authorizer: str, is_response: Callable[[object], bool]
    ) -> None:
        self.answers = Answers(settings, signer.base_url)
        self._signer = signer
        self._authorizer = authorizer
        self._is_response = is_response
        self._index: str | None = settings["index"]
        self._forward_query: frozenset[str] = settings["forward_query"]
        self.prefix: str = settings["prefix"]  # without its trailing slash, so "/" is ""
        self._prefix_length = len(self.prefix)
        self._below = f"{self.prefix}/"

    def covers(self, path_info: str) -> bool:
        """Return whether the gate handles this path: below the prefix, or where some server might lead into it."""
        if path_info.startswith(self._below) or path_info == self.prefix:
            return True
        return ("//" in path_info or "/." in path_info or "\\" in path_info or path_info[:1] != "/") and folds_into(
            path_info, self.prefix
        )

    def admit(self, method: str, path_info: str, query_string: str, accept: str) -> Facts | Decision:
        """Read the facts of a request that the gate covers, or refuse it before anyone is asked.

        ``path_info`` is below the mount point: decoded bytes as latin-1 text (PEP 3333).
        """
        if is_plain_path(path_info):
            path = spelled = path_info
        else:
            spelled = spell_path(path_info.encode("latin-1", "backslashreplace"))
            try:
                path = path_info.encode("latin-1").decode("utf-8")
            except UnicodeError:
                return self.answers.refused(method, spelled, accept, 400, "unclean path")
            if not is_clean(path or "/"):
                return self.answers.refused(method, spelled, accept, 400, "unclean path")
        if method != "GET" and method != "HEAD":
            if method == "OPTIONS":
                return Decision(DecisionRecord(spelled, method, 204, "options"), [_ALLOW, NO_STORE])
            return self.answers.refused(method, spelled, accept, 405, "method", _ALLOW)
        object_path, object_spelled = path[self._prefix_length :], spelled[self._prefix_length :]
        if not object_path or object_path[-1] == "/":
            if self._index is None:
                return self.answers.refused(method, spelled, accept, 404, "no object")
            index = self._index if object_path else f"/{self._index}"
            object_path += index
            object_spelled += spell_path(index)
        query: Fields = ()
        if query_string and self._forward_query:
            try:
                query = kept_parameters(query_string, self._forward_query)
            except ValueError:
                return self.answers.refused(method, spelled, accept, 400, "unclean query")
        return Facts(method, spelled, object_path, object_spelled, query, accept)

    def decide(self, facts: Facts, verdict: object, now: float) -> Decision:
        """Turn the authorizer's verdict into a decision, at ``now`` in epoch seconds.

        AuthorizerError if it is not a verdict, or cannot be signed for this request; SigningError if the signer fails.
        """
        grant = None if verdict is True else judge(verdict, self._authorizer, self._is_response)
        if grant is not None and not isinstance(grant, Grant):
            if isinstance(grant, int):
                return self.answers.refused(facts.method, facts.request_path, facts.accept, grant, "refused")
            reason = "passed" if grant is PASS else "answered"
            return Decision(DecisionRecord(facts.request_path, facts.method, None, reason), app=grant)
        try:
            signed = self._signer.sign(grant, facts.path, facts.spelled_path, facts.query, now)
            if grant is None:
                return self.answers.granted(facts, None, (), signed)
            return self.answers.granted(facts, grant.answer, grant.headers, signed)
        except (ConfigError, PathError) as error:
            if isinstance(error, PathError) and (grant is None or grant.path is None):
                return self.answers.refused(facts.method, facts.request_path, facts.accept, 414, "too long")
            raise AuthorizerError(f"authorizer {self._authorizer}: {error}; nothing was sent") from error
