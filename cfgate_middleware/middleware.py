"""The gate for WSGI: environ in, start_response out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from itertools import chain
from typing import Any, cast
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from cfgate_middleware._core.answers import Decision, DecisionRecord, Facts
from cfgate_middleware._core.checks import Pairs, is_async, is_deferred
from cfgate_middleware._core.problems import Problems, Secret, kind_of
from cfgate_middleware._core.verdicts import ASK, PASS, Authorizer, name_authorizer
from cfgate_middleware._keys.choice import AnySigner
from cfgate_middleware._shell import GateShell
from cfgate_middleware.authorizers import FIELD, Question, ask_app
from cfgate_middleware.distribution import Distribution
from cfgate_middleware.errors import AuthorizerError


class CloudFrontGate(GateShell):
    """WSGI middleware that replies to every authorized request below ``prefix`` with a redirect to a signed URL.

    Args:
        app: the WSGI application to wrap, or None for a gate without one (404 outside the prefix).
        authorize: called with environ for every clean request below the prefix; returns a verdict.
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
        elif is_async(self._app):
            problems.add("app is an ASGI application; this gate is for WSGI: wrap it with a2wsgi.ASGIMiddleware first")
        if app is None and authorize is ask_app:
            problems.add("authorize is ask_app, but the gate wraps no application that could be asked")
        self._set_up(authorize, is_response, given, problems)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path_info = environ.get("PATH_INFO", "")
        script_name = environ.get("SCRIPT_NAME", "")
        if not self._gate.covers(path_info, script_name):
            if script_name:
                self._look_at_mount(script_name, path_info)
            return self._app(environ, start_response)
        method, query_string = environ.get("REQUEST_METHOD", ""), environ.get("QUERY_STRING", "")
        facts = self._gate.admit(method, path_info, query_string, environ.get("HTTP_ACCEPT", ""))
        if not isinstance(facts, Facts):
            return self._send(facts, start_response)
        environ["cfgate.path"] = facts.path
        decision = self._decide(facts, ask(self._authorize, environ))
        if decision.app is ASK:
            return self._ask_application(facts, decision, environ, start_response)
        if decision.app is None:
            return self._send(decision, start_response)
        self._report(decision)
        if decision.app is PASS:
            return self._app(environ, start_response)
        return cast(WSGIApplication, decision.app)(environ, no_store(start_response))

    def _send(
        self, decision: Decision, start_response: StartResponse, more: Iterable[tuple[str, str]] = ()
    ) -> list[bytes]:
        self._report(decision)
        start_response(decision.status, [*decision.headers, *more])
        return [decision.body] if decision.body else []

    def _ask_application(
        self, facts: Facts, passed: Decision, environ: WSGIEnvironment, start_response: StartResponse
    ) -> Iterable[bytes]:
        """Ask the wrapped application: what it answers is sent on, or is a yes and becomes a grant."""
        if self._app is _not_found:
            raise AuthorizerError("the verdict is ASK, but the gate wraps no application that could be asked")
        question = Question(environ, facts.method)
        answer = CapturedAnswer(self._app, environ, start_response)
        try:
            grant = question.verdict(answer.code, answer.values(FIELD))
            if grant is None:
                self._report(passed)
                return answer.send()
            decision = self._decide(facts, grant)
        except BaseException:
            answer.close()
            raise
        answer.close()
        return self._send(decision, start_response, (("Set-Cookie", cookie) for cookie in answer.values("Set-Cookie")))


class CapturedAnswer:
    """What a WSGI application answers, held back until its status and header fields are known (PEP 3333).

    Raises:
        AuthorizerError: if the application never calls start_response, or calls it twice.
    """

    def __init__(self, app: WSGIApplication, environ: WSGIEnvironment, start_response: StartResponse) -> None:
        self._start_response = start_response
        self._started: tuple[str, list[tuple[str, str]]] | None = None
        self._write: Callable[[bytes], object] | None = None  # the server's, once this is sent
        self._chunks: list[bytes] = []  # what was written or iterated before
        self._body = app(environ, self._start)
        self._rest: Iterator[bytes] | None = None
        try:
            if self._started is None:  # such as a generator, which starts while it is iterated
                self._rest = iter(self._body)
                while self._started is None and not any(self._chunks):
                    self._chunks.append(next(self._rest))
        except StopIteration:
            pass
        except BaseException:
            self.close()
            raise
        if self._started is None:
            self.close()
            raise AuthorizerError("the application answered without calling start_response; nothing was sent")

    @property
    def code(self) -> int:
        """The status as a number."""
        return int(self._now()[0].split(" ", 1)[0])

    def values(self, name: str) -> list[str]:
        """Return the values of all header fields of this name."""
        return [value for field, value in self._now()[1] if field.lower() == name.lower()]

    def send(self) -> Iterable[bytes]:
        """Send the answer as it is; what is not there yet is not waited for."""
        self._write = self._start_response(*self._now())
        if not self._chunks and self._rest is None:
            return self._body  # the server may know a better way to send it than chunk by chunk
        return _Closing(chain(self._chunks, self._rest or self._body), self.close)

    def close(self) -> None:
        """Close the application's body, which it waits for."""
        getattr(self._body, "close", lambda: None)()

    def _now(self) -> tuple[str, list[tuple[str, str]]]:
        return cast("tuple[str, list[tuple[str, str]]]", self._started)

    def _start(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], object]:
        if self._write is not None:
            return self._start_response(status, headers, exc_info)
        if self._started is not None and exc_info is None:
            raise AuthorizerError("the application called start_response twice; nothing was sent")
        self._started = (status, list(headers))
        return self._write_chunk

    def _write_chunk(self, data: bytes) -> object:
        return self._chunks.append(data) if self._write is None else self._write(data)


class _Closing:
    """Chunks of a body, with what closes it."""

    def __init__(self, chunks: Iterator[bytes], close: Callable[[], None]) -> None:
        self.close = close
        self._chunks = chunks

    def __iter__(self) -> Iterator[bytes]:
        return self._chunks


def ask(authorize: Callable[..., object], *arguments: object) -> object:
    """Return the verdict of an authorizer, which may raise it: HTTP exceptions of WebOb and others are responses."""
    try:
        return authorize(*arguments)
    except Exception as error:
        if not callable(error):
            raise
        if is_async(error):
            name, kind = name_authorizer(authorize), type(error).__qualname__
            raise AuthorizerError(
                f"authorizer {name} raised {kind}, which only an ASGI server could send; nothing was signed"
            ) from error
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
    return [] if environ.get("REQUEST_METHOD") == "HEAD" else [b"404 Not Found\n"]
