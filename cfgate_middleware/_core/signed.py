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
    """A signed grant: the URL of an object, and in ``query`` CloudFront's own parameters in the order AWS's tools use.

    ``resource`` is the URL, or the wildcard of a scope; access ends at ``end``, in epoch seconds.
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
        """Return the signed URL; PathError if CloudFront would refuse it for its length."""
        if (length := len(self.url) + 1 + len(self._query.value)) > MAX_URL:
            check_length("the URL", length, MAX_URL, "CloudFront takes")
        return f"{self.url}{'&' if '?' in self.url else '?'}{self._query.value}"

    def to_query(self) -> str:
        """Return CloudFront's own parameters as a query string."""
        return self._query.value

    def to_cookies(self) -> dict[str, str]:
        """Return the values of the signed cookies by name; PathError if one of them, or the URL, is too long."""
        check_length("the URL", len(self.url), MAX_URL, "CloudFront takes")
        cookies = Secret([f"CloudFront-{parameter}".partition("=") for parameter in self._query.value.split("&")])
        longest = max(len(name) + len(value) for name, _, value in cookies.value)
        check_length("a signed cookie", longest, MAX_COOKIE, "browsers keep")
        return {name: value for name, _, value in cookies.value}


def check_length(what: str, length: int, limit: int, who: str) -> None:
    """Raise PathError if ``length`` is over ``limit``; ``who`` says whose limit it is."""
    if length > limit:
        raise PathError(f"{what} is {length} bytes long; {who} {limit}")
