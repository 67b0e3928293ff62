"""How text is spelled on the wire: percent-encoding, CloudFront's base64, and file names.

Rule: one spelling. What is signed is written with the characters that every client leaves alone, everything else
``%XX`` in upper case, so that nothing rewrites it between us and CloudFront. Some clients decode what RFC 3986 does not
need encoded (``%28``); ``*`` is CloudFront's wildcard, ``+`` a space to S3, ``;`` ends a cookie's Path, and quotes and
``$`` are not safe in the scripts that URLs are pasted into.
"""

from __future__ import annotations

import binascii
import re
import unicodedata
from collections.abc import Iterable
from urllib.parse import quote, unquote

# DG/private-content-linux-openssl.html: standard base64, then + = / become - _ ~ (padding is kept), where DG is
# https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/
_TO_CLOUDFRONT = bytes.maketrans(b"+=/", b"-_~")
_FROM_CLOUDFRONT = bytes.maketrans(b"-_~", b"+=/")
_CLOUDFRONT_BASE64 = re.compile(r"[A-Za-z0-9~-]+_{0,2}")

# What is written bare beside the unreserved characters of RFC 3986 section 2.3.
_BARE_IN_PATHS = "/!&(),=:@"
_BARE_IN_QUERIES = "/!(),:@"
_BARE = f"letters, digits and -._~{_BARE_IN_PATHS}"
SPELLING = f"spelled as it is signed: {_BARE}, else %XX in upper case, no dot or empty segments"
# Paths that are clean, ASCII and already spelled as they are signed: most of them, in one test.
PLAIN_PATH = r"(?:/[A-Za-z0-9_~!&(),=:@-][A-Za-z0-9._~!&(),=:@-]*+)++"

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
    return quote(path, safe=_BARE_IN_PATHS)


def spell_value(text: str) -> str:
    """Percent-encode a query name or value."""
    return quote(text, safe=_BARE_IN_QUERIES)


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

    Old clients get an ASCII fallback: letters without their accents, and none of the characters that they misread,
    which are quotes, backslashes, ``%`` and ``/``.
    """
    letters = "".join(char for char in unicodedata.normalize("NFKD", filename) if not unicodedata.combining(char))
    fallback = re.sub(r'[^ -~]|["\\%/]', "_", letters)
    fallback = fallback if fallback.strip(". ") else "_"
    extended = "" if fallback == filename else f"; filename*=UTF-8''{quote(filename, safe='')}"
    return f'attachment; filename="{fallback}"{extended}'
