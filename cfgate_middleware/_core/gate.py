"""The decision: facts of a request in, an answer as data out.

Strategy: two steps around the authorizer. ``admit`` reads everything a grant depends on into one immutable object,
or answers at once; ``decide`` turns the verdict into a decision. Neither touches environ, clock, log or socket, and
all that does not depend on the request is compiled at construction.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from cfgate_middleware._core.accel import kept_disposition, parse_target
from cfgate_middleware._core.answers import NO_STORE, Answers, Decision, DecisionRecord, Facts, Fields
from cfgate_middleware._core.cors import Cors
from cfgate_middleware._core.encoding import PLAIN_PATH, is_clean, spell_path, spell_query, spell_value
from cfgate_middleware._core.grant import DISPOSITION, Grant
from cfgate_middleware._core.signing import GrantSigner
from cfgate_middleware._core.urls import MAX_URL, folds_into, is_ambiguous, kept_parameters
from cfgate_middleware._core.verdicts import ASK, PASS, Refusal, judge
from cfgate_middleware.errors import AuthorizerError, ConfigError, PathError

_ALLOW = ("Allow", "GET, HEAD, OPTIONS")
_UNCLEAN = "unclean"  # no path: it begins with no slash
# What a record says of a request's text: nobody has vouched for it, and it is logged.
_RECORDED = 2000


class Gate:
    """One prefix and what is granted below it, compiled from the options by name.

    ``authorizer`` is its name, for errors; ``is_response`` says whether a verdict is an application that answers.
    """

    def __init__(
        self, settings: Mapping[str, Any], signer: GrantSigner, authorizer: str, is_response: Callable[[object], bool]
    ) -> None:
        self.answers = Answers(settings, signer.base_url)
        self._see_other = Answers({**settings, "code": 303}, signer.base_url)  # for what a client would send again
        self._signer = signer
        self._authorizer = authorizer
        self._is_response = is_response
        self._index: str | None = settings["index"]
        self.app_redirect_header: str | None = settings["app_redirect_header"]
        self.cors = None if settings["allow_origin"] is None else Cors(settings["allow_origin"])
        self._forward_query: frozenset[str] = settings["forward_query"]
        self.prefix: str = settings["prefix"]  # without its trailing slash, so "/" is ""
        self._prefix_length = len(self.prefix)
        self._below = f"{self.prefix}/"
        self._is_plain_below = re.compile(re.escape(self.prefix) + PLAIN_PATH).fullmatch
        self._longest = MAX_URL - len(signer.base_url)

    def covers(self, path_info: str, script_name: str) -> bool:
        """Return whether the gate handles this path: below the prefix, or where some server might lead into it."""
        if path_info.startswith(self._below) or path_info == self.prefix:
            return True
        if "//" in path_info or "/." in path_info or "%" in path_info or "\\" in path_info:
            return folds_into(path_info, self.prefix, script_name)
        if path_info[:1] == "/" and (not script_name or script_name[0] == "/"):
            return False
        return folds_into(path_info, self.prefix, script_name)

    def admit(
        self,
        method: str,
        path_info: str,
        query_string: str,
        accept: str,
        preflight: Iterable[tuple[str, str]] | None = None,
    ) -> Facts | Decision:
        """Read the facts of a request that the gate covers, or refuse it before anyone is asked.

        ``path_info`` is below the mount point: decoded bytes as latin-1 text (PEP 3333); ``preflight`` is what answers
        a preflight, if it is one.
        """
        is_signable = method == "GET" or method == "HEAD"
        if not is_signable:
            method = spell_value(method)[:_RECORDED]  # it may hold what no log should
        if self._is_plain_below(path_info):
            recorded, object_path = path_info, path_info[self._prefix_length :]
            object_spelled = object_path
        else:
            path = _to_clean(path_info)
            recorded = spell_path(path_info.encode("latin-1", "backslashreplace"))
            # What is covered in another reading only is not below the prefix.
            if not (path.startswith(self._below) or path == self.prefix):
                return self.answers.refused(method, recorded[:_RECORDED], accept, 400, "unclean path")
            object_path, object_spelled = path[self._prefix_length :] or "/", recorded[self._prefix_length :] or "/"
            if object_path[-1] == "/" and self._index is not None:
                object_path += self._index
                object_spelled += spell_path(self._index)
            is_signable = is_signable and object_path[-1] != "/"
        if len(recorded) > _RECORDED:
            recorded = recorded[:_RECORDED]
        if not method:  # HTTP/0.9 gives some servers none
            return self.answers.refused(method, recorded, accept, 400, "method")
        if preflight is not None:
            return Decision(DecisionRecord(recorded, method, 204, "preflight"), [*preflight, NO_STORE])
        query: Fields | None = ()
        length = len(object_spelled)
        if query_string and self._forward_query:
            try:
                query = kept_parameters(query_string, self._forward_query)
                length += len(spell_query(query)) + 1
            except ValueError:
                query, is_signable = None, False  # which is the application's business, if that answers
        if length > self._longest:
            return self.answers.refused(method, recorded, accept, 414, "too long")
        return Facts(method, recorded, object_path, object_spelled, query, accept, is_signable)

    def decide(self, facts: Facts, verdict: object, now: float) -> Decision:
        """Turn the authorizer's verdict into a decision, at ``now`` in epoch seconds.

        AuthorizerError if it is not a verdict, or cannot be signed for this request; SigningError if the signer fails.
        """
        grant = None if verdict is True else judge(verdict, self._authorizer, self._is_response)
        if grant is not None and not isinstance(grant, Grant):
            if isinstance(grant, Refusal):
                return self._refused(facts, grant.status, "refused", *grant.fields)
            passed = grant is PASS or grant is ASK
            if passed and is_ambiguous(facts.path):
                return self._refused(facts, 400, "unclean path")
            record = DecisionRecord(facts.request_path, facts.method, None, "passed" if passed else "answered")
            return Decision(record, app=grant)
        if not facts.is_signable and (refused := self._unsignable(facts, grant)) is not None:
            return refused
        try:
            if grant is not None:
                return self._grant(facts, grant, now)
            signed = self._signer.sign(None, facts.path, facts.spelled_path, facts.query or (), now)
            return self.answers.granted(facts, None, (), signed)
        except (ConfigError, PathError) as error:
            if isinstance(error, PathError) and self._is_too_long(facts, grant, now):
                return self._refused(facts, 414, "too long")
            raise AuthorizerError(f"authorizer {self._authorizer}: {error}; nothing was sent") from error

    def follow(
        self, value: str, dispositions: list[str], script_name: str, method: str, accept: str, now: float
    ) -> Decision:
        """Return the redirect to the object that a response of the application names, below the mount point or whole.

        ValueError if it names none, ConfigError or SigningError if it cannot be signed.
        """
        path_info = parse_target(value)
        if path_info.startswith(f"{script_name}{self._below}"):
            path_info = path_info[len(script_name) :]
        facts = self.admit("GET", path_info, "", accept)
        if not isinstance(facts, Facts) or not facts.is_signable:
            raise ValueError(f"it is no clean path of an object below {self._below}")
        disposition = kept_disposition(dispositions, facts.path)
        grant = None if disposition is None else Grant(query={DISPOSITION: disposition})
        signed = self._signer.sign(grant, facts.path, facts.spelled_path, (), now)
        answers = self.answers if method in ("GET", "HEAD") else self._see_other
        return answers.granted(facts._replace(method=method), None, (), signed)

    def _unsignable(self, facts: Facts, grant: Grant | None) -> Decision | None:
        """Return the answer to a yes that signs nothing, or None if the grant names an object of its own."""
        if facts.method == "OPTIONS":
            return Decision(DecisionRecord(facts.request_path, "OPTIONS", 204, "options"), [_ALLOW, NO_STORE])
        if facts.method not in ("GET", "HEAD"):
            return self._refused(facts, 405, "method", _ALLOW)
        if facts.path[-1] == "/" and (grant is None or grant.path is None):
            return self._refused(facts, 404, "no object")
        return self._refused(facts, 400, "unclean query") if facts.query is None else None

    def _grant(self, facts: Facts, grant: Grant, now: float) -> Decision:
        signed = self._signer.sign(grant, facts.path, facts.spelled_path, facts.query or (), now)
        return self.answers.granted(facts, grant.answer, grant.headers, signed)

    def _is_too_long(self, facts: Facts, grant: Grant | None, now: float) -> bool:
        """Return whether it is the viewer's URL that is too long, and not what the grant adds to it."""
        if grant is None or not (grant.path or grant.parameters):
            return True
        if grant.path:
            return False
        try:
            self._grant(facts, grant.without_parameters(), now)
        except PathError:
            return True
        return False

    def _refused(self, facts: Facts, status: int, reason: str, *fields: tuple[str, str]) -> Decision:
        return self.answers.refused(facts.method, facts.request_path, facts.accept, status, reason, *fields)


def _to_clean(path_info: str) -> str:
    """Return a path as text, or what is below no prefix if it is not clean."""
    try:
        path = path_info.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return _UNCLEAN
    return path if is_clean(path or "/") else _UNCLEAN
