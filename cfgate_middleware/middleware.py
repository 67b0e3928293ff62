"""The gate for WSGI: environ in, start_response out."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import cast
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from cfgate_middleware._core.answers import Decision, Facts
from cfgate_middleware._core.checks import is_async
from cfgate_middleware._core.problems import Problems, kind_of
from cfgate_middleware._core.verdicts import ASK, PASS, Authorizer, name_authorizer
from cfgate_middleware._shell import GateShell
from cfgate_middleware._wsgi import CapturedAnswer, is_wsgi_response, no_store, with_fields
from cfgate_middleware.authorizers import FIELD, Question
from cfgate_middleware.errors import AuthorizerError


class CloudFrontGate(GateShell[WSGIApplication, Authorizer]):
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
        allow_origin: origins, such as ``"https://app.example.com"``, whose scripts may read our answers.
        app_redirect_header: the header field, such as ``"X-Accel-Redirect"``, with which a response of the application,
            at any path, becomes the redirect to the object that it names; ``authorize`` is not asked then, and may be
            None: the prefix is internal.
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

    def _to_app(self, app: WSGIApplication | None, problems: Problems) -> WSGIApplication:
        if app is None:
            return _not_found
        if not callable(cast(object, app)):
            problems.add(f"app is {kind_of(app)}: expected a WSGI application, or None for a gate without one")
        elif is_async(app):
            problems.add("app is an ASGI application; this gate is for WSGI: use cfgate_middleware.asgi.CloudFrontGate")
        return app

    def _is_response(self, verdict: object) -> bool:
        return is_wsgi_response(verdict)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path_info = environ.get("PATH_INFO", "")
        script_name = environ.get("SCRIPT_NAME", "")
        if not self._covers(path_info, script_name):
            if script_name:
                self._look_at_mount(script_name, path_info)
            return self._outside(environ, start_response)
        method, query_string = environ.get("REQUEST_METHOD", ""), environ.get("QUERY_STRING", "")
        preflight = None
        if (cors := self._cors) is not None:
            origin = environ.get("HTTP_ORIGIN", "")
            start_response = with_fields(start_response, cors.fields(origin))
            if method == "OPTIONS":
                asked = environ.get("HTTP_ACCESS_CONTROL_REQUEST_METHOD", "")
                names = environ.get("HTTP_ACCESS_CONTROL_REQUEST_HEADERS", "")
                preflight = cors.preflight(origin, asked, names)
        facts = self._admit(method, path_info, query_string, environ.get("HTTP_ACCEPT", ""), preflight)
        if isinstance(facts, Decision):
            decision = facts
        else:
            environ["cfgate.path"] = facts.path
            decision = self._decide(facts, ask(self._authorize, environ))
        if decision.app is None:
            self._report(decision)
            start_response(decision.status, decision.headers)
            return [decision.body] if decision.body else []
        if decision.app is ASK:
            return self._ask_application(cast(Facts, facts), decision, environ, start_response)
        self._report(decision)
        if decision.app is PASS:
            return self._outside(environ, start_response)
        return cast(WSGIApplication, decision.app)(environ, no_store(start_response))

    def _ask_application(
        self, facts: Facts, passed: Decision, environ: WSGIEnvironment, start_response: StartResponse
    ) -> Iterable[bytes]:
        """Ask the wrapped application: what it answers is sent on, or is a yes and becomes a grant."""
        if self._wraps_nothing:
            raise AuthorizerError("the verdict is ASK, but the gate wraps no application that could be asked")
        question = Question(environ, facts.method)
        answer = CapturedAnswer(self._app, environ, start_response)
        try:
            grant = question.verdict(answer.code, answer.values(FIELD))
            if grant is None:
                return self._relay(answer, environ, start_response, passed)
            decision = self._decide(facts, grant)
        except BaseException:
            answer.close()
            raise
        return self._send_instead(decision, answer, start_response)

    def _send_instead(
        self, decision: Decision, answer: CapturedAnswer, start_response: StartResponse
    ) -> Iterable[bytes]:
        answer.close()
        self._report(decision)
        cookies = [("Set-Cookie", cookie) for cookie in answer.values("Set-Cookie")]
        start_response(decision.status, [*decision.headers, *cookies])
        return [decision.body] if decision.body else []

    def _follow_redirects(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Send what the application answers; an answer that names an object becomes the redirect to it."""
        answer = CapturedAnswer(self._app, environ, start_response)
        try:
            return self._relay(answer, environ, start_response)
        except BaseException:
            answer.close()
            raise

    def _relay(
        self,
        answer: CapturedAnswer,
        environ: WSGIEnvironment,
        start_response: StartResponse,
        passed: Decision | None = None,
    ) -> Iterable[bytes]:
        field = self._gate.app_redirect_header
        named = [] if field is None else answer.values(field)
        if field is not None and named and answer.code == 200:
            request = environ.get("REQUEST_METHOD", ""), environ.get("HTTP_ACCEPT", "")
            decision = self._follow(field, named, answer.values("Content-Disposition"), environ, request)
            return self._send_instead(decision, answer, start_response)
        if passed is not None:
            self._report(passed)
        return answer.send(without=field)


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


def _not_found(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("404 Not Found", [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", "14")])
    return [] if environ.get("REQUEST_METHOD") == "HEAD" else [b"404 Not Found\n"]
