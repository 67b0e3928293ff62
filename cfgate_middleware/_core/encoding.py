"""How text is spelled on the wire: percent-encoding, CloudFront's base64, and file names.

Rule: one spelling. What is signed is written with unreserved characters (RFC 3986 section 2.3) and ``/``, everything
else ``%XX`` in upper case, so that no browser rewrites it between us and CloudFront.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterable
from urllib.parse import quote, unquote

# DG/private-content-linux-openssl.html: standard base64, then + = / become - _ ~ (padding is kept), where DG is
# https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/
_TO_CLOUDFRONT = bytes.maketrans(b"+=/", b"-_~")
_FROM_CLOUDFRONT = bytes.maketrans(b"-_~", b"+=/")
_CLOUDFRONT_BASE64 = re.compile(r"[A-Za-z0-9~-]+_{0,2}")

SPELLING = "spelled as it is signed: unreserved characters and '/', else %XX in upper case, no dot or empty segments"
# Paths that are clean, ASCII and already spelled as they are signed: most of them, in one test.
is_plain_path = re.compile(r"(?:/[A-Za-z0-9_~-][A-Za-z0-9._~-]*+)++").fullmatch

_UNCLEAN = re.compile(r"[\x00-\x1f\x7f-\x9f\\]|/\.{0,2}/|/\.{1,2}\Z|\A(?!/)")


def to_base64(data: bytes) -> str:
    """Spell ``data`` in CloudFront's base64."""
    return binascii.b2a_base64(data, newline=False).translate(_TO_CLOUDFRONT).decode("ascii")


def from_base64(text: str) -> bytes:
    """Read CloudFront's base64 strictly; ValueError for what :func:`to_base64` would not have written, such as ""."""
    if not _CLOUDFRONT_BASE64.fullmatch(text):
        raise ValueError("not in CloudFront's base64 alphabet")
    data = binascii.a2b_base64(text.encode("ascii").translate(_FROM_CLOUDFRONT), strict_mode=True)
    if to_base64(data) != text:
        raise ValueError("not the canonical base64 of any bytes")
    return data


def spell_path(path: str | bytes) -> str:
    """Percent-encode a decoded path, text or bytes."""
    return quote(path, safe="/")


def spell_value(text: str) -> str:
    """Percent-encode a query name or value."""
    return quote(text, safe="")


def spell_query(pairs: Iterable[tuple[str, str]]) -> str:
    """Spell decoded name-value pairs as a query string without its ``?``."""
    return "&".join(f"{spell_value(name)}={spell_value(value)}" for name, value in pairs)


def is_spelled_path(path: str) -> bool:
    """Return whether ``path`` (or no path at all) is clean and spelled exactly as :func:`spell_path` spells it."""
    decoded = unquote(path)  # what is not UTF-8 is replaced, and so is spelled differently
    return path.isascii() and spell_path(decoded) == path and (not path or is_clean(decoded))


def is_clean(path: str) -> bool:
    """Return whether a decoded path is absolute, without dot segments, empty ones inside, ``\\`` and controls."""
    return not _UNCLEAN.search(path)


def is_object_path(path: object) -> bool:
    """Return whether ``path`` is a decoded path that can name an object on a distribution."""
    return isinstance(path, str) and path[:1] == "/" and path[-1:] != "/" and is_encodable(path) and is_clean(path)


def is_scope_path(path: object) -> bool:
    """Return whether ``path`` is a decoded path that ends in ``/`` and can hold objects."""
    return path == "/" or (isinstance(path, str) and path[-1:] == "/" and is_object_path(path[:-1]))


def is_encodable(text: str) -> bool:
    """Return whether ``text`` has a UTF-8 form (a lone surrogate has none)."""
    return not re.search(r"[\ud800-\udfff]", text)


def content_disposition(filename: str) -> str:
    """Return a Content-Disposition that saves a download under any Unicode name (RFC 6266, RFC 8187).

    Old clients get an ASCII fallback without the characters that they misread: quotes, backslashes, ``%`` and ``/``.
    """
    fallback = re.sub(r'[^ -~]|["\\%/]', "_", filename)
    extended = "" if fallback == filename else f"; filename*=UTF-8''{spell_value(filename)}"
    return f'attachment; filename="{fallback}"{extended}'
