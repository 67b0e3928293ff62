"""What an authorizer may be, and what it may say.

Rule: yes is explicit. Only ``True``, 200, 204 and a :class:`Grant` open the gate; nothing is granted by truthiness.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum, auto
from typing import Any, Literal
from wsgiref.types import WSGIApplication, WSGIEnvironment

from cfgate_middleware.errors import AuthorizerError, ConfigError, kind_of, shown
from cfgate_middleware.options import (
    Pairs,
    check_answer,
    check_expires,
    check_headers,
    check_query,
    innermost,
    is_deferred,
    is_object_path,
)
from cfgate_middleware.policy import check_moment, ipv4_network
from cfgate_middleware.wire import MAX_URL, content_disposition, is_encodable, spell_path, spell_query

# S3 puts the value of this parameter into Content-Disposition:
# https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html
_DISPOSITION = "response-content-disposition"
_CONTROLS = r"[\x00-\x1f\x7f-\x9f\u2028\u2029]"


class Pass(Enum):
    """The type of :data:`PASS`."""

    PASS = auto()

    def __repr__(self) -> str:
        return self.name


PASS: Literal[Pass.PASS] = Pass.PASS
"""The verdict that lets the wrapped application answer."""


@dataclass(frozen=True, slots=True, init=False)
class Grant:
    """A yes with conditions.

    Args:
        expires: seconds (int or timedelta) this grant is valid, instead of the gate's ``expires``.
        not_before: aware datetime or epoch seconds; the grant is not valid before (CloudFront refuses access at and
            before this second).
        path: another object on the distribution than the one requested: decoded, with a leading ``/``.
        scope: ``"object"``; ``"directory"`` for everything below the object's directory; or a decoded path that ends
            in ``/`` and contains the object. The root of the distribution must be written ``"/"``.
        ip_address: IPv4 address or CIDR the viewer must come from.
        query: parameters to add to the URL, as a mapping or pairs; they replace forwarded ones of the same name.
        headers: extra header fields on the answer, as a mapping or pairs.
        filename: name under which a browser saves the object; an S3 origin sends it as ``Content-Disposition``.
        answer: ``"redirect"``, ``"cookies"`` or ``"json"``, instead of the gate's.

    Raises:
        ConfigError: naming every field that cannot be right for any request.
    """

    expires: int | None
    not_before: int | None
    path: str | None
    scope: str
    ip_address: str | None
    query: tuple[tuple[str, str], ...]
    headers: tuple[tuple[str, str], ...]
    filename: str | None
    answer: str | None
    # Query and filename together, as they are added to the URL.
    parameters: tuple[tuple[str, str], ...] = field(init=False, repr=False, compare=False)
    # One object, nothing but an end: a canned policy says it all.
    is_canned: bool = field(init=False, repr=False, compare=False)

    def __init__(
        self,
        *,
        expires: int | timedelta | None = None,
        not_before: datetime | float | None = None,
        path: str | None = None,
        scope: str = "object",
        ip_address: str | None = None,
        query: Pairs | None = None,
        headers: Pairs | None = None,
        filename: str | None = None,
        answer: str | None = None,
    ) -> None:
        problems: list[str] = []

        def keep(name: str, check: Callable[[Any], Any], value: object) -> None:
            try:
                object.__setattr__(self, name, value if value is None else check(value))
            except ConfigError as error:
                problems.extend(f"Grant: {problem}" for problem in error.problems)
            except ValueError as error:
                problems.append(f"Grant: {name}={shown(value)}: {error}")

        keep("expires", check_expires, expires)
        keep("not_before", check_moment, not_before)
        keep("path", _check_path, path)
        keep("scope", _check_scope, scope if scope is not None else "")
        keep("ip_address", ipv4_network, ip_address)
        keep("query", check_query, query if query is not None else ())
        keep("headers", check_headers, headers if headers is not None else ())
        keep("filename", _check_filename, filename)
        keep("answer", check_answer, answer)
        if not problems:
            self._check_together(problems)
        if problems:
            raise ConfigError(*problems)
        plain = scope == "object" and not_before is None and ip_address is None
        object.__setattr__(self, "is_canned", plain)

    def _check_together(self, problems: list[str]) -> None:
        """Find fields that are fine by themselves but not together, and put ``filename`` to the query."""
        path, scope, query = self.path, self.scope, self.query
        if self.filename is not None:
            if any(name == _DISPOSITION for name, _ in query):
                problems.append(
                    f"Grant: filename={shown(self.filename)} and query both give {_DISPOSITION}; leave one out"
                )
            query = (*query, (_DISPOSITION, content_disposition(self.filename)))
        object.__setattr__(self, "parameters", query)
        if path is not None and scope == "directory" and path.rindex("/") == 0:
            problems.append(
                f"Grant: scope='directory' of path={shown(path)} is the root of the distribution; write scope='/' to "
                "grant all of it"
            )
        if path is not None and scope[:1] == "/" and not path.startswith(scope):
            problems.append(f"Grant: path={shown(path)} lies outside scope={shown(scope)}")
        if (length := len(spell_path(path or "")) + len(spell_query(query))) > MAX_URL:
            problems.append(f"Grant: path and query are {length} bytes long when spelled; a whole URL may be {MAX_URL}")


def _check_path(value: object) -> str:
    if not isinstance(value, str) or not is_object_path(value):
        raise ValueError(
            "expected the decoded path of one object, such as '/reports/1.pdf': a leading slash, no dot or empty "
            "segments, no backslash or control characters, no trailing slash"
        )
    return value


def _check_scope(value: object) -> str:
    if isinstance(value, str) and (
        value in ("object", "directory", "/") or (value[-1:] == "/" and is_object_path(value[:-1]))
    ):
        return value
    raise ValueError("expected 'object', 'directory', or a clean decoded path that starts and ends with '/'")


def _check_filename(value: object) -> str:
    if not isinstance(value, str) or not value or not is_encodable(value) or re.search(_CONTROLS, value):
        raise ValueError("expected a file name as str, in any script, without control characters")
    return value


Verdict = bool | int | Grant | Literal[Pass.PASS] | WSGIApplication
Authorizer = Callable[[WSGIEnvironment], Verdict]


def check_authorizer(authorizer: object) -> str:
    """Return the name by which errors call ``authorizer``.

    Raises:
        ConfigError: if it is no synchronous callable, or a class where an instance is meant.
    """
    if isinstance(innermost(authorizer), type):
        raise ConfigError(f"authorize is the class {_name(authorizer)}: pass an instance")
    if not callable(authorizer):
        raise ConfigError(f"authorize is {kind_of(authorizer)}; expected a callable that takes environ")
    if is_deferred(authorizer):
        raise ConfigError(
            f"authorize={_name(authorizer)} is a coroutine or generator function, whose result is always true; "
            "expected a plain function that returns a verdict"
        )
    return _name(authorizer)


def judge(verdict: object, authorizer: str) -> Grant | int | Literal[Pass.PASS] | WSGIApplication:
    """Sort a verdict: a grant, the status of a refusal, PASS, or an application that answers.

    Raises:
        AuthorizerError: if it is none of these; it names the kind of the value and the authorizer, never the value.
    """
    if verdict is True:
        return PLAIN
    if verdict is False:
        return 403
    if verdict is PASS:
        return PASS
    if isinstance(verdict, Grant):
        return verdict
    if isinstance(verdict, int):
        if verdict in (200, 204):  # the two that Flask-CloudFront takes for a yes
            return PLAIN
        if 400 <= verdict <= 599:
            return int(verdict)
        what = f"the int {int(verdict)}" if -1000 < verdict < 1000 else "an int out of range"
    elif callable(verdict) and not isinstance(verdict, type) and not is_deferred(verdict):
        return verdict
    else:
        if inspect.iscoroutine(verdict):
            verdict.close()
        what = f"the class {_name(verdict)}" if isinstance(verdict, type) else kind_of(verdict)
    raise AuthorizerError(
        f"authorizer {authorizer} returned {what}; expected True, False, PASS, a Grant, 200, 204, 400 to 599, "
        "or a response (a WSGI application); nothing was signed"
    )


PLAIN = Grant()


def _name(authorizer: object) -> str:
    """Name a callable by module and qualified name; its repr could show what it was built with."""
    function = innermost(authorizer)
    named = function if hasattr(function, "__qualname__") else type(function)
    return f"{named.__module__}.{named.__qualname__}"
