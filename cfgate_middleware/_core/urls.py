"""URLs: CloudFront's own parameter names, a distribution's address, and paths that servers could read differently.

CloudFront facts: https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/ ("DG" below).
"""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import unquote_to_bytes, urlsplit

from cfgate_middleware._core.encoding import SPELLING, is_spelled_path

# DG/private-content-creating-signed-url-canned-policy.html: own parameters must not use these names.
RESERVED = ("Expires", "Policy", "Signature", "Key-Pair-Id", "Hash-Algorithm")

# DG/RequestAndResponseBehaviorS3Origin.html: longer URLs are answered with 414.
MAX_URL = 8192

_SCHEME_AND_HOST = re.compile(r"\A[A-Za-z][A-Za-z0-9+.-]*://[^/\\]*")
# A name that ends in a number is an IPv4 address to browsers: https://url.spec.whatwg.org/#ends-in-a-number-checker
_HOST_NAME = re.compile(
    r"(?!(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)\Z)"
    r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
)


def is_reserved(name: str) -> bool:
    """Return whether a decoded query parameter name belongs to CloudFront, in any letter case."""
    return name.lower() in [reserved.lower() for reserved in RESERVED]


def kept_parameters(query_string: str, names: frozenset[str]) -> tuple[tuple[str, str], ...]:
    """Return the viewer's parameters of these names, decoded once; ValueError if one is given twice or not UTF-8."""
    kept: dict[str, str] = {}
    for pair in query_string.split("&"):
        raw_name, _, raw_value = pair.partition("=")
        name = _decoded(raw_name, "replace")
        if name in kept:
            raise ValueError("given twice")
        if name in names:
            kept[name] = _decoded(raw_value, "strict")
    return tuple(kept.items())


def _decoded(text: str, errors: str) -> str:
    # A plus is a space, as forms write it.
    return unquote_to_bytes(text.replace("+", " ").encode("latin-1")).decode("utf-8", errors)


def folds_into(path: str, prefix: str) -> bool:
    """Return whether some server or browser could normalise ``path`` to ``prefix`` or below it.

    Servers differ on ``\\`` (separator or text) and on ``//`` (squeezed before or after ``..`` is resolved), so
    every reading counts: a path is suspect if any of them leads inside.
    """
    readings = [_SCHEME_AND_HOST.sub("", text) for text in (path, path.replace("\\", "/"))]
    folded = [_fold(reading) for reading in (*readings, *(_fold(reading, keep_empty=True) for reading in readings))]
    return any(f"{result}/".startswith(f"{prefix}/") for result in folded)


def _fold(path: str, keep_empty: bool = False) -> str:
    segments: list[str] = []
    for segment in path.split("/")[path[:1] == "/" :]:
        if segment == "..":
            del segments[-1:]
        elif segment != "." and (segment or keep_empty):
            segments.append(segment)
    return "".join(f"/{segment}" for segment in segments)


def parse_base_url(text: str) -> str:
    """Read a distribution's address and rebuild it from its checked parts, without default port and trailing ``/``.

    ``text`` is ``https://host``, ``http://host`` or a bare host (then https), optionally with a port and a base path
    that is already spelled as it will be signed. ValueError says what is wrong and how to fix it.
    """
    if re.search(r"[^\x21-\x7e]", text):
        raise ValueError("whitespace, controls and non-ASCII characters are refused (write an IDN host as xn--…)")
    for char, why in (
        ("@", "user information is never part of a distribution's address"),
        ("?", "a query cannot be part of it"),
        ("#", "a fragment is never sent"),
        ("*", "a wildcard here would be signed"),
        ("\\", "a backslash is not a URL character"),
    ):
        if char in text:
            raise ValueError(f"{char!r} is refused: {why}")
    try:
        parts = urlsplit(text if "://" in text else f"https://{text}")
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise ValueError(f"not a URL ({error})") from None
    if parts.scheme not in ("http", "https"):
        raise ValueError(f"scheme {parts.scheme!r} is refused: expected https (or http)")
    if host.endswith((".amazonaws.com", ".amazonaws.com.cn")):
        raise ValueError("an S3 or AWS host cannot check CloudFront signatures: expected the distribution's own domain")
    bracketed_host = f"[{host}]" if ":" in host else host
    # urlsplit overlooks text around the brackets of an IPv6 address, hence the second look.
    if not _is_host(host) or not re.fullmatch(rf"{re.escape(bracketed_host)}(?::[0-9]+)?", parts.netloc.lower()):
        raise ValueError("expected a host name such as d111111abcdef8.cloudfront.net")
    if port == 0:
        raise ValueError("port 0 cannot be connected to")
    if not is_spelled_path(parts.path):
        raise ValueError(f"the base path must be {SPELLING}")
    port_suffix = "" if port in (None, {"https": 443, "http": 80}[parts.scheme]) else f":{port}"
    return f"{parts.scheme}://{bracketed_host}{port_suffix}{parts.path.rstrip('/')}"


def parse_location(text: str) -> tuple[str, str]:
    """Split a viewer URL without query, spelled as it is sent, into base URL and path; a bare host means ``/``."""
    scheme, _, rest = (text if "://" in text else f"https://{text}").partition("://")
    host, _, path = rest.partition("/")
    base_url = parse_base_url(f"{scheme}://{host}")
    if not is_spelled_path(f"/{path}"):
        raise ValueError(f"the path must be {SPELLING}")
    return base_url, f"/{path}"


def _is_host(host: str) -> bool:
    """Return whether ``host`` is a name or an IP address that browsers neither rewrite nor refuse (a zone id)."""
    try:
        return str(ipaddress.ip_address(host)) == host and "%" not in host
    except ValueError:
        return _HOST_NAME.fullmatch(host) is not None


def is_loopback(base_url: str) -> bool:
    """Return whether a parsed base URL points at this machine."""
    host = urlsplit(base_url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
