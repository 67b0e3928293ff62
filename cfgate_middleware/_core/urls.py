"""URLs: CloudFront's own parameter names, a distribution's address, and paths that servers could read differently.

CloudFront facts: https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/ ("DG" below).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from urllib.parse import unquote, unquote_to_bytes, urlsplit

from cfgate_middleware._core.encoding import SPELLING, is_spelled_path

# DG/private-content-creating-signed-url-canned-policy.html: own parameters must not use these names.
RESERVED = ("Expires", "Policy", "Signature", "Key-Pair-Id", "Hash-Algorithm")

# DG/RequestAndResponseBehaviorS3Origin.html: longer URLs are answered with 414.
MAX_URL = 8192

_SCHEME_AND_HOST = re.compile(r"\A(?:[A-Za-z][A-Za-z0-9+.-]*:)?//[^/\\]*")
# What no second reading of a clean path may find. Bytes of UTF-8 look like further controls to it.
_REREAD = re.compile(r"[\x00-\x1f\x7f\\]|/\.{1,2}(?:/|\Z)")
# A name that ends in a number is an IPv4 address to browsers: https://url.spec.whatwg.org/#ends-in-a-number-checker
_HOST_NAME = re.compile(
    r"(?!(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)\Z)"
    r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
)


def without_signature(text: str) -> str:
    """Return text for an error or a log: a URL that lost its ``?`` has a signature in its path."""
    return re.sub(r"(Policy|Signature)(=|%3D)[^&/]*", r"\1=…", text)


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


def folds_into(path: str, prefix: str, script_name: str = "") -> bool:
    """Return whether some server, framework or browser could lead ``path`` to ``prefix`` or below it.

    They differ on ``\\`` (separator or text), on ``//`` (squeezed before or after ``..`` is resolved, or the begin of a
    host), on how often they decode, and on whether they resolve ``..`` together with the mount point ``script_name``.
    So every reading counts: a path is suspect if any of them leads inside.
    """
    texts = {text for level in _decoded_levels(path) for text in (level, level.replace("\\", "/"))}
    readings = {reading for text in texts for reading in (text, _SCHEME_AND_HOST.sub("", text))}
    is_mount = script_name[:1] in ("", "/")
    mount = _fold(script_name if is_mount else _SCHEME_AND_HOST.sub("", script_name.replace("\\", "/")))
    if _any_below(readings, prefix) or _any_below(readings, mount + prefix):
        return True
    joined = {f"{mount}/{reading.removeprefix('/')}" for reading in readings}
    return _any_below(joined, mount + prefix if is_mount else prefix)


def _any_below(paths: Iterable[str], prefix: str) -> bool:
    folded = {_fold(path, keep_empty) for path in paths for keep_empty in (False, True)}
    return any(f"{path}/".startswith(f"{prefix}/") for path in folded | {_fold(path) for path in folded})


def is_ambiguous(path: str) -> bool:
    """Return whether an application that decodes a clean path again would see other segments or controls in it."""
    return any(level.count("/") != path.count("/") or _REREAD.search(level) for level in _decoded_levels(path)[1:])


def _decoded_levels(path: str) -> list[str]:
    """Return ``path`` and what it is decoded once, twice and three times more; servers stop at different levels."""
    levels = [path]
    while len(levels) < 4 and "%" in levels[-1] and (decoded := unquote(levels[-1], "latin-1")) != levels[-1]:
        levels.append(decoded)
    return levels


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
    if text.startswith("arn:") or re.fullmatch(r"E[A-Z0-9]{12,14}", text):
        raise ValueError("that names a distribution; expected its address, such as d111111abcdef8.cloudfront.net")
    if len(text) > MAX_URL - 1024:
        raise ValueError(f"it leaves no room for an object and a signature; a whole URL has at most {MAX_URL} bytes")
    if re.search(r"[^\x21-\x7e]", text):
        raise ValueError("whitespace, controls and non-ASCII characters are refused (write an IDN host as xn--…)")
    for char, why in (
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
    if "@" in parts.netloc:
        raise ValueError("'@' is refused: user information is never part of a distribution's address")
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


def parse_viewer_url(url: str) -> tuple[str, str]:
    """Split a URL that is signed as it is into scheme and host, and the rest.

    ValueError if clients would send another one, or it could grant more than it seems: text from outside may be in it.
    """
    if unsafe := re.search(r"[^\x21-\x7e]|[\"'\\<>{}|^`#*]", url):
        raise ValueError(f"{unsafe[0]!r} is refused, since clients or policies would rewrite it: write it as %XX")
    match = re.fullmatch(r"(https?://[^/?]*)(/[^?]*)(\?.*)?", url)
    if not match:
        raise ValueError("expected a whole URL: http:// or https://, a host and a path")
    base_url, path, query = match[1], match[2], match[3] or ""
    if (canonical := parse_base_url(base_url)) != base_url:
        raise ValueError(f"clients would send it to {canonical}: write it like that")
    if re.search(r"/\.{1,2}(?:/|\Z)", unquote(path)):
        raise ValueError("dot segments are refused, since clients fold them")
    for name in (unquote(pair.partition("=")[0]) for pair in query[1:].split("&")):
        if name in RESERVED:
            raise ValueError(f"{name} is reserved: CloudFront reads {', '.join(RESERVED)} as its own")
        check_no_override(name)
    return base_url, path + query


def check_no_override(name: str) -> None:
    """Raise ValueError if a query parameter overrides a header field of S3's response.

    https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html
    """
    if name.lower().startswith("response-"):
        raise ValueError(f"{name} overrides S3's response headers, which no viewer may choose")


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
