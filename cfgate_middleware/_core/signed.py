"""A signed grant, and how it is written: as a URL, as a query string, or as cookies.

Rule: what holds a signature is opaque. It is not a tuple, list, dict or dataclass, its repr shows none of it, and what
raises does so from a frame in which no signature has a name.
"""

from __future__ import annotations

from cfgate_middleware._core.problems import Secret
from cfgate_middleware._core.urls import MAX_URL
from cfgate_middleware.errors import PathError

# RFC 6265 section 6.1: what browsers must keep of name, value and attributes; they keep little more.
MAX_COOKIE = 4096


class Signed:
    """A signed grant.

    Args:
        url: of the object, without CloudFront's own parameters.
        resource: the URL, or the wildcard of a scope.
        query: CloudFront's own parameters, in the order in which AWS's own tools write them.
        end: epoch seconds at which access ends.
    """

    __slots__ = ("_query", "end", "key_pair_id", "resource", "url")

    def __init__(self, url: str, resource: str, query: Secret[str], key_pair_id: str, end: int) -> None:
        self.url = url
        self.resource = resource
        self._query = query
        self.key_pair_id = key_pair_id
        self.end = end

    def __repr__(self) -> str:
        return f"<Signed by {self.key_pair_id} until {self.end}>"

    def to_url(self) -> str:
        """Return the signed URL.

        Raises:
            PathError: if CloudFront would refuse it for its length.
        """
        _check_url_length(len(self.url) + 1 + len(self._query.value))
        return f"{self.url}{'&' if '?' in self.url else '?'}{self._query.value}"

    def to_query(self) -> str:
        """Return CloudFront's own parameters as a query string."""
        return self._query.value

    def to_cookies(self) -> dict[str, str]:
        """Return the values of the signed cookies by name.

        Raises:
            PathError: if browsers would drop one, or CloudFront would refuse the URL for its length.
        """
        _check_url_length(len(self.url))
        _check_cookie_length(max(len(name) + len(value) for name, value in self._cookies()))
        return dict(self._cookies())

    def _cookies(self) -> list[tuple[str, str]]:
        parameters = (pair.split("=", 1) for pair in self._query.value.split("&"))
        return [(f"CloudFront-{name}", value) for name, value in parameters]


def _check_url_length(length: int) -> None:
    if length > MAX_URL:
        raise PathError(f"the URL is {length} bytes long; CloudFront takes {MAX_URL}")


def _check_cookie_length(length: int) -> None:
    if length > MAX_COOKIE:
        raise PathError(f"a signed cookie is {length} bytes long; browsers keep {MAX_COOKIE}")
