"""A signed grant, and how it is written: as a URL, as a query string, or as cookies.

Rule: what holds a signature is opaque. It is no tuple, list, dict or dataclass, its repr shows none of it, and what
raises does so from a frame in which no signature has a name.
"""

from __future__ import annotations

from cfgate_middleware._core.problems import Secret
from cfgate_middleware._core.signer import IMPLIED_HASH_ALGORITHM, PolicySigner
from cfgate_middleware._core.urls import MAX_URL
from cfgate_middleware.errors import PathError

# RFC 6265 section 6.1: what browsers must keep of name, value and attributes; they keep little more.
MAX_COOKIE = 4096


class Signed:
    """A signed grant.

    Attributes:
        url: of the object, without CloudFront's own parameters.
        resource: the URL, or the wildcard of a scope.
        key_pair_id: of the key that signed.
        end: epoch seconds at which access ends.
    """

    __slots__ = ("_condition", "_signature", "_signer", "_value", "end", "key_pair_id", "resource", "url")

    def __init__(
        self,
        url: str,
        resource: str,
        condition: str,
        value: Secret[str],
        signature: Secret[str],
        signer: PolicySigner,
        end: int,
    ) -> None:
        self.url = url
        self.resource = resource
        self._condition = condition  # "Expires" for a canned policy, "Policy" for a custom one
        self._value = value
        self._signature = signature
        self._signer = signer
        self.key_pair_id = signer.key_pair_id
        self.end = end

    def __repr__(self) -> str:
        return f"<Signed {self._condition} by {self.key_pair_id} until {self.end}>"

    def to_url(self) -> str:
        """Return the signed URL, its parameters in the order in which AWS's own tools write them.

        Raises:
            PathError: if CloudFront would refuse it for its length.
        """
        _check_url_length(len(self._url()))
        return self._url()

    def _url(self) -> str:
        return f"{self.url}{'&' if '?' in self.url else '?'}{self.to_query()}"

    def to_query(self) -> str:
        """Return CloudFront's own parameters, in the same order."""
        return f"{self._condition}={self._value.reveal()}&Signature={self._signature.reveal()}{self._signer.url_suffix}"

    def to_cookies(self) -> dict[str, str]:
        """Return the values of the signed cookies by name.

        Raises:
            PathError: if browsers would drop one, or CloudFront would refuse the URL for its length.
        """
        _check_url_length(len(self.url))
        _check_cookie_length(max(len(name) + len(value) for name, value in self._cookies()))
        return dict(self._cookies())

    def _cookies(self) -> list[tuple[str, str]]:
        algorithm = self._signer.hash_algorithm
        return [
            (f"CloudFront-{self._condition}", self._value.reveal()),
            ("CloudFront-Signature", self._signature.reveal()),
            ("CloudFront-Key-Pair-Id", self.key_pair_id),
            *([] if algorithm == IMPLIED_HASH_ALGORITHM else [("CloudFront-Hash-Algorithm", algorithm)]),
        ]


def _check_url_length(length: int) -> None:
    if length > MAX_URL:
        raise PathError(f"the URL is {length} bytes long; CloudFront takes {MAX_URL}")


def _check_cookie_length(length: int) -> None:
    if length > MAX_COOKIE:
        raise PathError(f"a signed cookie is {length} bytes long; browsers keep {MAX_COOKIE}")
