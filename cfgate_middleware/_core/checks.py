"""Converters from what is given for an option or a field of a Grant to what is used.

Rule: a converter returns the compiled value or raises ValueError saying what was expected; its caller names the option.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from cfgate_middleware._core.encoding import SPELLING, is_encodable, is_object_path, is_spelled_path
from cfgate_middleware._core.urls import RESERVED, check_no_override, is_reserved, parse_base_url

MAX_EXPIRES = 604800  # seven days: the longest that other signed links of AWS may live; longer is a mistake
# Browsers drop a longer attribute, a Path among them, and keep the cookie for another path instead:
# https://httpwg.org/http-extensions/draft-ietf-httpbis-rfc6265bis.html#section-5.6
MAX_COOKIE_ATTRIBUTE = 1024

# RFC 9110 section 7.6.1: fields that belong to one connection, which no application may send (PEP 3333).
_HOP_BY_HOP = re.compile(
    r"connection|keep-alive|proxy-(?:authenticate|authorization|connection)|te|trailer|transfer-encoding|upgrade"
)
# RFC 9110 section 5 (tokens; latin-1 values), less what wsgiref.validate forbids: odd names, every control, tabs too.
_FIELD_NAME = re.compile(r"[A-Za-z](?:[A-Za-z0-9_-]*[A-Za-z0-9])?")
_FIELD_VALUE = re.compile(r"[\x21-\x7e\xa0-\xff](?:[\x20-\x7e\xa0-\xff]*[\x21-\x7e\xa0-\xff])?|")
# The last label has a letter in it, so that no IPv4 address is taken for a domain.
_COOKIE_DOMAIN = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)+(?=[a-z0-9-]*[a-z])[a-z0-9](?:[a-z0-9-]*[a-z0-9])?")
_PREFIX = re.compile(r"/|(?:/(?!\.{1,2}(?:/|\Z))[A-Za-z0-9._~-]+)+/?")
# Controls, and what makes text run the other way, so that a name shows another extension than it has:
# https://www.unicode.org/reports/tr9/#Directional_Formatting_Characters
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
# How each field that speaks to a cache forbids it to store; also those for one kind of cache only (RFC 9213 section 3).
_CACHE_FIELDS = {
    r"(?:.+-)?cache-control|surrogate-control|edge-control": "no-store",
    r"x-accel-expires|expires": "0",  # https://nginx.org/en/docs/http/ngx_http_proxy_module.html#proxy_cache_valid
}

Pairs = Mapping[str, str] | Iterable[tuple[str, str]]


def to_prefix(value: object) -> str:
    """Return the prefix without its trailing slash."""
    if not isinstance(value, str) or not _PREFIX.fullmatch(value):
        raise ValueError("expected whole path segments of A-Z a-z 0-9 . _ ~ - after a slash, such as '/private'")
    return value.rstrip("/")


def to_base_url(value: object) -> str:
    """Return the base URL of the distribution."""
    if not isinstance(value, str) or not value:
        raise ValueError("expected the distribution's address, such as 'https://d111111abcdef8.cloudfront.net'")
    return parse_base_url(value)


def to_seconds(value: object) -> int:
    """Return a duration in whole seconds, from an int or a timedelta."""
    seconds = value
    if isinstance(value, timedelta) and not value % timedelta(seconds=1):
        seconds = value // timedelta(seconds=1)
    if type(seconds) is not int or not 1 <= seconds <= MAX_EXPIRES:
        raise ValueError(f"expected whole seconds from 1 to {MAX_EXPIRES} (a duration, not a point in time)")
    return seconds


def to_reuse_seconds(value: object) -> int:
    """Return a duration in whole seconds, 0 for none."""
    return 0 if type(value) is int and value == 0 else to_seconds(value)


def to_code(value: object) -> int:
    """Return a redirect status."""
    if isinstance(value, bool) or not isinstance(value, int) or value not in (301, 302, 303, 307, 308):
        raise ValueError("expected a redirect code: 303 (the default), 301, 302, 307 or 308")
    return int(value)


def to_headers(value: object) -> tuple[tuple[str, str], ...]:
    """Return extra header fields as pairs."""
    fields = _to_pairs(value, "header fields")
    for name, text in fields:
        folded = name.lower()
        if not _FIELD_NAME.fullmatch(name) or folded == "status":
            raise ValueError("a header name must be a token such as X-Frame-Options")
        if not _FIELD_VALUE.fullmatch(text):
            raise ValueError(f"the value of header {name} must be one line of latin-1 text without surrounding space")
        if _HOP_BY_HOP.fullmatch(folded) or folded in ("location", "content-length"):
            raise ValueError(f"{name} is set by the gate or the server; leave it out")
        for field, forbids in _CACHE_FIELDS.items():
            if re.fullmatch(field, folded) and forbids not in re.split(r"[\s,]+", text.lower()):
                raise ValueError(f"{name} would let a cache hand a signed URL to other viewers; it must be {forbids}")
    return fields


def to_query(value: object) -> tuple[tuple[str, str], ...]:
    """Return query parameters chosen by the server as pairs."""
    pairs = _to_pairs(value, "query parameters")
    for name, _ in pairs:
        _check_parameter_name(name)
    return pairs


def _to_pairs(value: object, what: str) -> tuple[tuple[str, str], ...]:
    """Return a mapping or an iterable of pairs of text as a tuple of pairs."""
    items = value.items() if isinstance(value, Mapping) else () if value is None else value
    pairs = tuple(items) if isinstance(items, Iterable) and not isinstance(items, str | bytes) else (None,)
    for pair in pairs:
        if not isinstance(pair, tuple | list) or [isinstance(part, str) for part in pair] != [True, True]:
            raise ValueError(f"expected {what} as a mapping or as pairs of str")
        if not all(map(is_encodable, pair)):
            raise ValueError(f"{what} must be encodable as UTF-8")
    return tuple((name, text) for name, text in pairs)


def to_forward_query(value: object) -> frozenset[str]:
    """Return the names of viewer parameters to keep."""
    given = () if value is None else value
    names = tuple(given) if isinstance(given, Iterable) and not isinstance(given, str | bytes) else (None,)
    for name in names:
        if not isinstance(name, str):
            raise ValueError("expected a list of parameter names")
        _check_parameter_name(name)
        check_no_override(name)
    return frozenset(names)


def _check_parameter_name(name: str) -> None:
    if not name:
        raise ValueError("a query parameter needs a name")
    if is_reserved(name):
        raise ValueError(f"{name} is reserved: CloudFront reads {', '.join(RESERVED)} as its own")


def to_index(value: object) -> str:
    """Return the file name that is appended to a path that ends in a slash."""
    if not isinstance(value, str) or "/" in value or not is_object_path(f"/{value}"):
        raise ValueError("expected one file name, such as 'index.html'")
    return value


def to_filename(value: object) -> str:
    """Return the name under which a browser saves a download."""
    if not isinstance(value, str) or not value.strip(". ") or not is_encodable(value) or _CONTROLS.search(value):
        raise ValueError("expected a file name as str, in any script, without control or bidirectional characters")
    return value


def to_cookie_domain(value: object) -> str:
    """Return a cookie domain without a leading dot, which RFC 6265 section 5.2.3 ignores."""
    domain = value.lower().removeprefix(".") if isinstance(value, str) else ""
    if not _COOKIE_DOMAIN.fullmatch(domain):
        raise ValueError("expected a domain of at least two labels, such as 'example.com'")
    if domain in ("cloudfront.net", "cloudfront.cn"):
        raise ValueError("browsers keep no cookie for all of CloudFront; give the distribution a name of your own")
    return domain


def to_cookie_path(value: object) -> str:
    """Return a cookie path as browsers compare it: spelled as in the URL."""
    if not isinstance(value, str) or value[:1] != "/" or not is_spelled_path(value):
        raise ValueError(f"expected a path on the distribution with a leading slash, {SPELLING}")
    if len(value) > MAX_COOKIE_ATTRIBUTE:
        raise ValueError(f"expected at most {MAX_COOKIE_ATTRIBUTE} characters; browsers ignore a longer path")
    return value


def to_samesite(value: object) -> str:
    """Return a SameSite attribute."""
    folded = value.lower() if isinstance(value, str) else value
    return to_one_of(("lax", "strict", "none"), folded, "'Lax', 'Strict' or 'None' (as text)").capitalize()


def to_one_of(names: Iterable[str], value: object, expected: str) -> str:
    """Return the one of ``names`` that ``value`` is; of an enum's member, the plain text."""
    for name in names:
        if isinstance(value, str) and name == value:
            return name
    raise ValueError(f"expected {expected}")


def to_origins(value: object) -> frozenset[str]:
    """Return the origins whose scripts may read answers, as browsers send them."""
    origins = (value,) if isinstance(value, str) else tuple(value) if isinstance(value, Iterable) else (None,)
    for origin in origins or (None,):
        if not isinstance(origin, str) or "://" not in origin:
            raise ValueError("expected origins such as 'https://app.example.com' ('*' cannot have credentials)")
        if urlsplit(origin).path or parse_base_url(origin) != origin:
            raise ValueError(f"an origin is a scheme, a host in lower case and no default port: not {origin}")
    return frozenset(origins)


def to_field_name(value: object) -> str:
    """Return the name of a header field."""
    if not isinstance(value, str) or not _FIELD_NAME.fullmatch(value):
        raise ValueError("expected the name of a header field, such as X-Accel-Redirect")
    return value


def to_callable(value: object) -> Any:
    """Return a callable whose call gives a result."""
    if not callable(value) or is_deferred(value):
        raise ValueError("expected a plain callable, whose call gives a result and no coroutine or generator")
    return value


def innermost(function: object) -> object:
    """Return what a partial, or a partial of a partial, calls in the end."""
    while isinstance(function, functools.partial):
        function = function.func
    return function


def is_deferred(value: object) -> bool:
    """Return whether calling ``value`` would give a coroutine or generator instead of a result."""
    return inspect.isawaitable(innermost(value)) or _calls(
        value, inspect.iscoroutinefunction, inspect.isgeneratorfunction, inspect.isasyncgenfunction
    )


def is_async(value: object) -> bool:
    """Return whether calling ``value`` would give a coroutine, as an ASGI application does."""
    return _calls(value, inspect.iscoroutinefunction)


def _calls(value: object, *tests: Callable[[Any], bool]) -> bool:
    """Return whether a test holds for the function that calling ``value`` calls in the end."""
    function = innermost(value)
    codes = (function, inspect.getattr_static(type(function), "__call__", None))
    return any(test(code) for code in codes for test in tests)
