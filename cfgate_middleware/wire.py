"""How things are spelled: percent-encoding, CloudFront's base64, clean paths, base URLs and header fields.

Rule 1: one spelling. What is signed is written with unreserved characters (RFC 3986 section 2.3) and ``/``,
everything else ``%XX`` in upper case, so that no browser rewrites it between us and CloudFront.
Rule 2: nothing here decides; functions spell, read strictly, or answer a yes/no question.

CloudFront facts: https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/ ("DG" below).
"""

from __future__ import annotations

import binascii
import ipaddress
import re
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, unquote_to_bytes, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterable

# DG/private-content-creating-signed-url-canned-policy.html: own parameters must not use these names.
RESERVED = ("Expires", "Policy", "Signature", "Key-Pair-Id", "Hash-Algorithm")
_RESERVED_FOLDED = frozenset(name.lower() for name in RESERVED)

# DG/RequestAndResponseBehaviorS3Origin.html: longer URLs are answered with 414.
MAX_URL = 8192
# RFC 6265 section 6.1: what browsers must keep of name, value and attributes; they keep little more.
MAX_COOKIE = 4096
# Browsers drop a longer attribute, a Path among them, and keep the cookie for another path instead:
# https://httpwg.org/http-extensions/draft-ietf-httpbis-rfc6265bis.html#section-5.6
MAX_COOKIE_ATTRIBUTE = 1024

# DG/private-content-linux-openssl.html: standard base64, then + = / become - _ ~ (padding is kept).
_TO_CLOUDFRONT = bytes.maketrans(b"+=/", b"-_~")
_FROM_CLOUDFRONT = bytes.maketrans(b"-_~", b"+=/")
_CLOUDFRONT_BASE64 = re.compile(r"[A-Za-z0-9~-]+_{0,2}")

SPELLING = (
    "spelled as it is signed: unreserved characters and '/', all else %XX in upper case, no dot or empty segments"
)
_SPELLED_PATH = r"(?:/(?:[A-Za-z0-9._~-]|%[0-9A-F]{2})+)*/?"
_UNCLEAN = re.compile(r"[\x00-\x1f\x7f-\x9f\\]|/\.{0,2}/|/\.{1,2}\Z|\A(?!/)")
# RFC 9110 section 12.4.2.
_WEIGHT = r"0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?"

_SCHEME_AND_HOST = r"\A[A-Za-z][A-Za-z0-9+.-]*://[^/\\]*"
# A name that ends in a number is an IPv4 address to browsers: https://url.spec.whatwg.org/#ends-in-a-number-checker
_HOST_NAME = (
    r"(?!(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)\Z)"
    r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
)

# RFC 9110 section 5 (tokens; latin-1 values), less what WSGI forbids: odd names and every control, tabs included.
_FIELD_NAME = r"[A-Za-z](?:[A-Za-z0-9_-]*[A-Za-z0-9])?"
_FIELD_VALUE = r"[\x21-\x7e\xa0-\xff](?:[\x20-\x7e\xa0-\xff]*[\x21-\x7e\xa0-\xff])?|"


def is_reserved(name: str) -> bool:
    """Say whether a decoded query parameter name belongs to CloudFront, in any letter case."""
    return name.lower() in _RESERVED_FOLDED


def to_base64(data: bytes) -> str:
    """Spell ``data`` in CloudFront's base64."""
    return binascii.b2a_base64(data, newline=False).translate(_TO_CLOUDFRONT).decode("ascii")


def from_base64(text: str) -> bytes:
    """Read CloudFront's base64 strictly: exact alphabet, exact padding, no spare bits.

    Raises:
        ValueError: if ``text`` is empty or anything that :func:`to_base64` would not have written.
    """
    if not _CLOUDFRONT_BASE64.fullmatch(text):
        raise ValueError("not in CloudFront's base64 alphabet")
    data = binascii.a2b_base64(text.encode("ascii").translate(_FROM_CLOUDFRONT), strict_mode=True)
    if to_base64(data) != text:
        raise ValueError("not the canonical base64 of any bytes")
    return data


def spell_path(path: str | bytes) -> str:
    """Percent-encode a decoded path, text or bytes: unreserved characters and ``/`` stay, all else becomes ``%XX``."""
    return quote(path, safe="/")


def spell_value(text: str) -> str:
    """Percent-encode a query name or value: only unreserved characters stay."""
    return quote(text, safe="")


def spell_query(pairs: Iterable[tuple[str, str]]) -> str:
    """Spell decoded name-value pairs as a query string without its ``?``."""
    return "&".join(f"{spell_value(name)}={spell_value(value)}" for name, value in pairs)


def kept_parameters(query_string: str, names: frozenset[str]) -> tuple[tuple[str, str], ...]:
    """Return the viewer's parameters of these names, decoded once; ``+`` is a space, as forms write it.

    Raises:
        ValueError: if one is given twice, or is no UTF-8 text.
    """
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
    return unquote_to_bytes(text.replace("+", " ").encode("latin-1")).decode("utf-8", errors)


def content_disposition(filename: str) -> str:
    """Return a Content-Disposition that saves a download under any Unicode name (RFC 6266, RFC 8187).

    Old clients get an ASCII fallback without the characters that they misread: quotes, backslashes, ``%`` and ``/``.
    """
    fallback = re.sub(r'[^ -~]|["\\%/]', "_", filename)
    extended = "" if fallback == filename else f"; filename*=UTF-8''{spell_value(filename)}"
    return f'attachment; filename="{fallback}"{extended}'


def prefers_json(accept: str) -> bool:
    """Say whether an Accept field names ``application/json`` itself, and not below a ``text/html`` it names too.

    Source: RFC 9110 section 12.5.1; wildcards count for neither, a malformed weight makes its element void.
    """
    weights = {"application/json": 0.0, "text/html": 0.0}
    for element in accept.lower().split(","):
        media_type, *parameters = (part.strip() for part in element.split(";"))
        weight = next((part[2:] for part in parameters if part[:2] == "q="), "1")
        if media_type in weights and re.fullmatch(_WEIGHT, weight):
            weights[media_type] = max(weights[media_type], float(weight))
    return 0 < weights["application/json"] >= weights["text/html"]


def is_clean(path: str) -> bool:
    """Say whether a decoded path is absolute and free of dot segments, empty segments, ``\\`` and controls.

    A trailing ``/`` is clean; whether it names an object is another question.
    """
    return not _UNCLEAN.search(path)


def is_encodable(text: str) -> bool:
    """Say whether ``text`` has a UTF-8 form (a lone surrogate has none)."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def folds_into(path: str, prefix: str) -> bool:
    """Say whether some server or browser could normalise ``path`` to ``prefix`` or below it.

    Servers differ on ``\\`` (separator or text) and on ``//`` (squeezed before or after ``..`` is resolved), so
    every reading counts: a path is suspect if any of them leads inside.
    """
    return any(
        f"{folded}/".startswith(f"{prefix}/")
        for text in {path, path.replace("\\", "/")}
        for reading in (re.sub(_SCHEME_AND_HOST, "", text),)
        for folded in (_fold(reading), _fold(_fold(reading, keep_empty=True)))
    )


def _fold(path: str, keep_empty: bool = False) -> str:
    segments: list[str] = []
    for segment in path.split("/")[path[:1] == "/" :]:
        if segment == "..":
            del segments[-1:]
        elif segment != "." and (segment or keep_empty):
            segments.append(segment)
    return "".join(f"/{segment}" for segment in segments)


def parse_base_url(text: str) -> str:
    """Read a distribution's address and rebuild it from its checked parts.

    Args:
        text: ``https://host``, ``http://host`` or a bare host (then https), optionally with a port and a base
            path that is already spelled as it will be signed.

    Returns:
        scheme, lower-case host, port unless it is the default, and base path, without a trailing ``/``.

    Raises:
        ValueError: saying what is wrong and how to fix it.
    """
    if re.search(r"[^\x21-\x7e]", text):
        raise ValueError("whitespace, controls and non-ASCII characters are refused (write an IDN host as xn--…)")
    for char, why in (
        ("@", "user information is never part of a distribution's address"),
        ("?", "a query cannot be part of it"),
        ("#", "a fragment is never sent"),
        ("*", "a wildcard here would be signed"),
        ("\\", "a backslash is no URL character"),
    ):
        if char in text:
            raise ValueError(f"{char!r} is refused: {why}")
    whole = text if "://" in text else f"https://{text}"
    try:
        parts = urlsplit(whole)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise ValueError(f"not a URL ({error})") from None
    if parts.scheme not in ("http", "https"):
        raise ValueError(f"scheme {parts.scheme!r} is refused: expected https (or http)")
    if host.endswith((".amazonaws.com", ".amazonaws.com.cn")):
        raise ValueError("an S3 or AWS host cannot check CloudFront signatures: expected the distribution's own domain")
    shown_host = f"[{host}]" if ":" in host else host
    # urlsplit overlooks what stands around the brackets of an IPv6 address, hence the second look.
    if not _is_host(host) or not re.fullmatch(rf"{re.escape(shown_host)}(?::[0-9]+)?", parts.netloc.lower()):
        raise ValueError("expected a host name such as d111111abcdef8.cloudfront.net")
    if port == 0:
        raise ValueError("port 0 is no port")
    if not is_spelled_path(parts.path):
        raise ValueError(f"the base path must be {SPELLING}")
    default = {"https": 443, "http": 80}[parts.scheme]
    shown_port = "" if port in (None, default) else f":{port}"
    return f"{parts.scheme}://{shown_host}{shown_port}{parts.path.rstrip('/')}"


def parse_location(text: str) -> tuple[str, str, str]:
    """Split a whole viewer URL, spelled as it is sent, into base URL, path and query; a bare host means ``/``.

    Raises:
        ValueError: saying what is wrong and how to fix it.
    """
    whole, _, query = text.partition("?")
    if "://" not in whole:
        whole = f"https://{whole}"
    scheme, _, rest = whole.partition("://")
    host, _, path = rest.partition("/")
    base_url = parse_base_url(f"{scheme}://{host}")
    if not is_spelled_path(f"/{path}"):
        raise ValueError(f"the path must be {SPELLING}")
    return base_url, f"/{path}", query


def _is_host(host: str) -> bool:
    """Say whether ``host`` is a name or an IP address that browsers neither rewrite nor refuse (a zone id)."""
    try:
        return str(ipaddress.ip_address(host)) == host and "%" not in host
    except ValueError:
        return re.fullmatch(_HOST_NAME, host) is not None


def is_loopback(base_url: str) -> bool:
    """Say whether a parsed base URL points at this machine."""
    host = urlsplit(base_url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def is_spelled_path(path: str) -> bool:
    """Say whether ``path`` (or no path at all) is clean and spelled exactly as :func:`spell_path` spells it."""
    if not re.fullmatch(_SPELLED_PATH, path):
        return False
    try:
        decoded = unquote(path, errors="strict")
    except UnicodeDecodeError:
        return False
    return spell_path(decoded) == path and (not path or is_clean(decoded))


def header_problem(name: object, value: object) -> str | None:
    """Return what is wrong with a response header field, or None.

    Source: RFC 9110 section 5, and the rules of WSGI for applications (PEP 3333, ``wsgiref.validate``).
    """
    if not isinstance(name, str) or not re.fullmatch(_FIELD_NAME, name) or name.lower() == "status":
        return "a header name must be a token such as X-Frame-Options"
    if not isinstance(value, str) or not re.fullmatch(_FIELD_VALUE, value):
        return f"the value of header {name} must be one line of latin-1 text without surrounding space"
    return None
