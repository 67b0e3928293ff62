"""From a grant to the parameters that CloudFront checks, and to the URL or the cookies that carry them.

Rule: what is signed is what is sent. The URL is spelled once, the policy is made from that text, and nothing
re-encodes it afterwards.
"""

from __future__ import annotations

from math import ceil
from typing import NamedTuple

from cfgate_middleware.errors import CFGateError
from cfgate_middleware.policy import CustomPolicy, canned_policy
from cfgate_middleware.signers import IMPLIED_HASH_ALGORITHM, BaseSigner
from cfgate_middleware.verdicts import PLAIN, Grant
from cfgate_middleware.wire import MAX_COOKIE, MAX_URL, spell_path, spell_query, to_base64


class Terms(NamedTuple):
    """What holds for every grant of a gate."""

    base_url: str  # of the distribution
    expires: int  # seconds a grant is valid at least, if it does not say so itself
    reuse_for: int = 0  # seconds during which the same grant gives the same signature


class Signed(NamedTuple):
    """A signed grant, not yet written as URL or cookies."""

    url: str  # without CloudFront's own parameters
    resource: str  # the URL, or the wildcard of a scope
    statement: str  # "Expires" for a canned policy, "Policy" for a custom one
    value: str
    signature: str
    signer: BaseSigner
    end: int  # epoch seconds

    def __repr__(self) -> str:  # error trackers show reprs of local variables
        return f"<Signed {self.statement} by {self.signer.key_pair_id} until {self.end}>"

    def to_url(self) -> str:
        """Return the signed URL, its parameters in the order in which AWS's own tools write them.

        Raises:
            TooLong: if CloudFront would answer it with 414.
        """
        url, _, statement, value, signature, signer, _ = self
        joint = "&" if "?" in url else "?"
        url = f"{url}{joint}{statement}={value}&Signature={signature}{signer.parameters}"
        if len(url) > MAX_URL:
            raise TooLong(f"the signed URL is {len(url)} bytes long; CloudFront takes {MAX_URL}")
        return url

    def to_cookies(self) -> dict[str, str]:
        """Return the values of the signed cookies by name.

        Raises:
            TooLong: if browsers would drop one, or CloudFront would answer the URL with 414.
        """
        if len(self.url) > MAX_URL:
            raise TooLong(f"the URL is {len(self.url)} bytes long; CloudFront takes {MAX_URL}")
        cookies = {
            f"CloudFront-{self.statement}": self.value,
            "CloudFront-Signature": self.signature,
            "CloudFront-Key-Pair-Id": self.signer.key_pair_id,
        }
        if self.signer.hash_algorithm != IMPLIED_HASH_ALGORITHM:
            cookies["CloudFront-Hash-Algorithm"] = self.signer.hash_algorithm
        longest = max(len(name) + len(value) for name, value in cookies.items())
        if longest > MAX_COOKIE:
            raise TooLong(f"a signed cookie is {longest} bytes long; browsers keep {MAX_COOKIE}")
        return cookies


class Unsignable(CFGateError):
    """A grant that is fine by itself but cannot be signed for this object at this time."""


class TooLong(Unsignable):
    """A signed URL or cookie that would be refused for its length."""


def sign(
    signer: BaseSigner,
    grant: Grant,
    terms: Terms,
    path: str,
    spelled: str,
    query: tuple[tuple[str, str], ...],
    now: float,
) -> Signed:
    """Sign ``grant`` for an object.

    Args:
        terms: what holds for every grant.
        path: decoded path of the object below the base URL.
        spelled: the same path as it is signed.
        query: the viewer's parameters that are kept, decoded.
        now: epoch seconds.

    Raises:
        Unsignable: if the grant does not fit the object.
        SigningError: if the signer fails.
    """
    base_url, seconds, reuse_for = terms
    url = base_url + spelled
    if query or grant is not PLAIN:
        if grant.path is not None:
            path = grant.path
            url = base_url + spell_path(path)
        if grant.parameters:
            chosen = {name for name, _ in grant.parameters}
            query = (*(pair for pair in query if pair[0] not in chosen), *grant.parameters)
        if query:
            url = f"{url}?{spell_query(query)}"
        seconds = grant.expires or seconds
    end = ceil(now + seconds)
    if reuse_for:
        window = reuse_for if reuse_for < seconds else seconds
        end = -(-end // window) * window
    if grant.is_canned:
        until = str(end)
        signature = signer.signature(canned_policy(url, until), reuse_for > 0)
        return tuple.__new__(Signed, (url, url, "Expires", until, signature, signer, end))  # at half the cost
    if grant.not_before is not None and grant.not_before >= end:
        raise Unsignable(f"the grant starts at {grant.not_before} but ends at {end} (epoch seconds)")
    resource = _resource(base_url, path, grant.scope) or url
    policy = CustomPolicy(resource=resource, end=end, start=grant.not_before, ip_address=grant.ip_address).to_bytes()
    return Signed(url, resource, "Policy", to_base64(policy), signer.signature(policy, reuse_for > 0), signer, end)


def _resource(base_url: str, path: str, scope: str) -> str | None:
    """Return the wildcard resource of a scope: the only ``*`` that is ever signed is the one appended here."""
    if scope == "object":
        return None
    if scope == "directory":
        scope = path[: path.rindex("/") + 1]
        if scope == "/":
            raise Unsignable("the object lies at the root of the distribution; write scope='/' to grant all of it")
    if not path.startswith(scope):
        raise Unsignable("the object lies outside the scope of its grant")
    return f"{base_url}{spell_path(scope)}*"
