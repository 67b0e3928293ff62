"""The declared set of options, and the checks that turn what was given into what is used.

Strategy: one row an option. The Python keywords and the ini keys are both this set, in name and default; a check
takes the raw value and returns the compiled one, or raises ValueError saying what was expected.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from http import HTTPStatus
from typing import Any, Literal, NamedTuple
from urllib.parse import urlsplit

from cfgate_middleware import wire
from cfgate_middleware.errors import Problems, shown

REQUIRED = None  # no option takes None for a value, so None says that none was given

MAX_EXPIRES = 604800  # seven days: the longest that other signed links of AWS may live; longer is a mistake

# RFC 9110 section 7.6.1: fields that belong to one connection, which no application may send (PEP 3333).
_HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
# Also those that speak to one kind of cache only: RFC 9213 section 3, and Surrogate-Control before it.
_CACHE_FIELDS = ("cache-control", "surrogate-control")
# The last label has a letter in it, so that no IPv4 address is taken for a domain.
_COOKIE_DOMAIN = r"(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)+(?=[a-z0-9-]*[a-z])[a-z0-9](?:[a-z0-9-]*[a-z0-9])?"
_PREFIX = r"/|(?:/(?!\.{1,2}(?:/|\Z))[A-Za-z0-9._~-]+)+/?"
_REDIRECT_CODES = (301, 302, 303, 307, 308)
ANSWERS = ("redirect", "cookies", "json")
SameSite = Literal["Lax", "Strict", "None"]
_SAMESITE: dict[str, SameSite] = {"lax": "Lax", "strict": "Strict", "none": "None"}

Pairs = Mapping[str, str] | Iterable[tuple[str, str]]


class Option(NamedTuple):
    """One row of the declared set."""

    name: str
    check: Callable[[Any], Any] | None  # None: a key option, read by keysource, which never shows its value
    default: object = None
    ini: str = "text"  # how an ini value is read: text, key, int, names, fields, object; "python": not from ini


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Checked options, compiled for use."""

    base_url: str
    prefix: str = ""  # without its trailing slash, so "/" is ""
    expires: int = 60
    code: int = 303
    headers: tuple[tuple[str, str], ...] = ()
    forward_query: frozenset[str] = frozenset()
    index: str | None = None
    reuse_for: int = 0
    answer: str = "redirect"
    cookie_domain: str | None = None  # None: the host that set the cookie and no other
    cookie_path: str | None = None  # None: the path of what is granted
    cookie_samesite: SameSite = "Lax"


def check_options(given: Mapping[str, object]) -> dict[str, Any]:
    """Check values by option name.

    Returns:
        the compiled values of all options that have a check, by name.

    Raises:
        ConfigError: with every problem found.
    """
    compiled = {}
    problems = Problems()
    for option in OPTIONS:
        if option.check is None or option.name not in given:
            continue
        value = given[option.name]
        try:
            compiled[option.name] = option.check(value)
        except ValueError as error:
            what = f"{option.name}={shown(value)}" if value is not None else f"{option.name} is missing"
            problems.append(f"{what}: {error}")
    problems.extend(_contradictions(compiled))
    problems.raise_any()
    return compiled


def _contradictions(compiled: Mapping[str, Any]) -> Iterable[str]:
    """Find options that are fine by themselves but not together."""
    expires, reuse_for = compiled.get("expires"), compiled.get("reuse_for")
    if expires is not None and reuse_for is not None and reuse_for > expires:
        yield f"reuse_for={reuse_for}: expected at most expires, which is {expires}"
    domain, base_url = compiled.get("cookie_domain"), compiled.get("domain")
    if domain is not None and base_url is not None:
        host = urlsplit(base_url).hostname or ""
        if host != domain and not host.endswith(f".{domain}"):
            yield (
                f"cookie_domain={shown(domain)}: browsers would not send the cookies to {host}; expected a domain that "
                "covers it"
            )
    path = compiled.get("cookie_path")
    if path is not None and base_url is not None:
        base_path = f"{urlsplit(base_url).path}/"
        if not (base_path.startswith(f"{path.rstrip('/')}/") or path.startswith(base_path)):
            yield f"cookie_path={shown(path)}: nothing below the domain's base path {base_path} would get the cookies"


def check_prefix(value: object) -> str:
    """Return the prefix without its trailing slash."""
    if not isinstance(value, str) or not re.fullmatch(_PREFIX, value):
        raise ValueError("expected whole path segments of A-Z a-z 0-9 . _ ~ - after a slash, such as '/private'")
    return value.rstrip("/")


def check_domain(value: object) -> str:
    """Return the base URL of the distribution."""
    if not isinstance(value, str) or not value:
        raise ValueError("expected the distribution's address, such as 'https://d111111abcdef8.cloudfront.net'")
    return wire.parse_base_url(value)


def check_expires(value: object) -> int:
    """Return a duration in whole seconds, from an int or a timedelta."""
    seconds = value
    if isinstance(value, timedelta):
        seconds = value // timedelta(seconds=1) if value % timedelta(seconds=1) == timedelta() else value
    if type(seconds) is not int or not 1 <= seconds <= MAX_EXPIRES:
        raise ValueError(f"expected whole seconds from 1 to {MAX_EXPIRES} (a duration, not a moment in time)")
    return seconds


def check_reuse_for(value: object) -> int:
    """Return a duration in whole seconds, 0 for none."""
    return 0 if type(value) is int and value == 0 else check_expires(value)


def check_answer(value: object) -> str:
    """Return the name of a kind of answer."""
    if not isinstance(value, str) or value not in ANSWERS:
        raise ValueError(f"expected one of {', '.join(ANSWERS)}")
    return ANSWERS[ANSWERS.index(value)]  # of an enum, the plain text


def check_cookie_domain(value: object) -> str | None:
    """Return a cookie domain without a leading dot, which RFC 6265 section 5.2.3 ignores."""
    if value is None:
        return None
    domain = value.lower().removeprefix(".") if isinstance(value, str) else ""
    if not re.fullmatch(_COOKIE_DOMAIN, domain):
        raise ValueError("expected a domain of at least two labels, such as 'example.com'")
    if domain in ("cloudfront.net", "cloudfront.cn"):
        raise ValueError("browsers keep no cookie for all of CloudFront; give the distribution a name of your own")
    return domain


def check_cookie_path(value: object) -> str | None:
    """Return a cookie path as browsers compare it: spelled as in the URL."""
    if value is None:
        return None
    if not isinstance(value, str) or value[:1] != "/" or not wire.is_spelled_path(value):
        raise ValueError(f"expected a path on the distribution with a leading slash, {wire.SPELLING}")
    if len(value) > wire.MAX_COOKIE_ATTRIBUTE:
        raise ValueError(f"expected at most {wire.MAX_COOKIE_ATTRIBUTE} characters; browsers ignore a longer path")
    return value


def check_cookie_samesite(value: object) -> SameSite:
    """Return a SameSite attribute."""
    samesite = _SAMESITE.get(value.lower()) if isinstance(value, str) else None
    if samesite is None:
        raise ValueError("expected 'Lax', 'Strict' or 'None' (as text)")
    return samesite


def check_code(value: object) -> int:
    """Return a redirect status."""
    if isinstance(value, bool) or not isinstance(value, int) or value not in _REDIRECT_CODES:
        raise ValueError("expected a redirect code: 303 (the default), 301, 302, 307 or 308")
    return int(value)


def check_headers(value: object) -> tuple[tuple[str, str], ...]:
    """Return extra header fields as pairs."""
    fields = check_pairs(value, "header fields")
    for name, text in fields:
        problem = wire.header_problem(name, text)
        if problem:
            raise ValueError(problem)
        folded = name.lower()
        if folded in _HOP_BY_HOP or folded in ("location", "content-length"):
            raise ValueError(f"{name} is set by the gate or the server; leave it out")
        if folded.endswith(_CACHE_FIELDS) and "no-store" not in re.split(r"[\s,]+", text.lower()):
            raise ValueError(
                f"{name}: {text} would let a cache hand one viewer's signed URL to another; it must contain no-store"
            )
    return fields


def check_query(value: object) -> tuple[tuple[str, str], ...]:
    """Return query parameters chosen by the server as pairs."""
    pairs = check_pairs(value, "query parameters")
    for name, _ in pairs:
        _check_parameter_name(name)
    return pairs


def check_pairs(value: object, what: str) -> tuple[tuple[str, str], ...]:
    """Return a mapping or an iterable of pairs of text as a tuple of pairs."""
    expected = ValueError(f"expected {what} as a mapping or as pairs of str")
    if value is None:
        return ()
    if isinstance(value, str | bytes) or not isinstance(value, Iterable):
        raise expected
    pairs = tuple(value.items() if isinstance(value, Mapping) else value)
    for pair in pairs:
        if not (isinstance(pair, tuple | list) and len(pair) == 2 and all(isinstance(part, str) for part in pair)):
            raise expected
        if not all(map(wire.is_encodable, pair)):
            raise ValueError(f"{what} must be encodable as UTF-8")
    return tuple((name, text) for name, text in pairs)


def check_forward_query(value: object) -> frozenset[str]:
    """Return the names of viewer parameters to keep."""
    if value is None:
        return frozenset()
    if isinstance(value, str | bytes) or not isinstance(value, Iterable):
        raise ValueError("expected a list of parameter names")
    names = tuple(value)
    for name in names:
        if not isinstance(name, str):
            raise ValueError("expected a list of parameter names")
        _check_parameter_name(name)
        if name.lower().startswith("response-"):
            raise ValueError(f"{name} overrides S3's response headers, which no viewer may choose")
    return frozenset(names)


def _check_parameter_name(name: str) -> None:
    if not name:
        raise ValueError("a query parameter needs a name")
    if wire.is_reserved(name):
        raise ValueError(f"{name} is reserved: CloudFront reads {', '.join(wire.RESERVED)} as its own")


def check_index(value: object) -> str | None:
    """Return the file name appended to a path that ends in a slash."""
    if value is None:
        return None
    if not isinstance(value, str) or not value or "/" in value or not is_object_path(f"/{value}"):
        raise ValueError("expected one file name, such as 'index.html'")
    return value


def is_object_path(path: str) -> bool:
    """Say whether a decoded path is clean and can name an object on the distribution."""
    return path[:1] == "/" and path[-1:] != "/" and wire.is_encodable(path) and wire.is_clean(path)


def check_callback(value: object) -> object:
    """Return a callable, or None."""
    if value is not None and (not callable(value) or is_deferred(value)):
        raise ValueError("expected a plain callable that takes the decision record")
    return value


def innermost(function: object) -> object:
    """Return what a partial, or a partial of a partial, calls in the end."""
    while isinstance(function, functools.partial):
        function = function.func
    return function


def is_deferred(value: object) -> bool:
    """Say whether calling ``value`` would give a coroutine or generator instead of a result."""
    function = innermost(value)
    return inspect.isawaitable(function) or any(
        test(code)
        for code in (function, inspect.getattr_static(type(function), "__call__", None))
        for test in (inspect.iscoroutinefunction, inspect.isgeneratorfunction, inspect.isasyncgenfunction)
    )


def status_line(code: int) -> str:
    """Return the WSGI status for ``code``, known to the standard library or not."""
    try:
        return f"{code} {HTTPStatus(code).phrase}"
    except ValueError:
        return f"{code} Refused"


OPTIONS = (
    Option("prefix", check_prefix, REQUIRED),
    Option("domain", check_domain, REQUIRED),
    Option("key_pair_id", None),
    Option("private_key", None, ini="key"),
    Option("priv_key_string", None, ini="key"),
    Option("signer", None, ini="python"),
    Option("keys", None, ini="key"),
    Option("hash_algorithm", None, "SHA256"),
    Option("expires", check_expires, 60, ini="int"),
    Option("code", check_code, 303, ini="int"),
    Option("headers", check_headers, None, ini="fields"),
    Option("forward_query", check_forward_query, None, ini="names"),
    Option("index", check_index),
    Option("reuse_for", check_reuse_for, 0, ini="int"),
    Option("answer", check_answer, "redirect"),
    Option("cookie_domain", check_cookie_domain),
    Option("cookie_path", check_cookie_path),
    Option("cookie_samesite", check_cookie_samesite, "Lax"),
    Option("on_decision", check_callback, ini="object"),
)
