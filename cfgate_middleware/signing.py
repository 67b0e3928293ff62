"""From a grant to the parameters that CloudFront checks, and to the URL or the cookies that carry them.

Rule: what is signed is what is sent. The URL is spelled once, the policy is made from that text, and nothing
re-encodes it afterwards.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from cfgate_middleware.errors import CFGateError
from cfgate_middleware.keys import BaseSigner
from cfgate_middleware.policy import CustomPolicy, canned_policy
from cfgate_middleware.verdicts import Grant
from cfgate_middleware.wire import MAX_COOKIE, MAX_URL, spell_path, spell_query, to_base64

# Without a marker CloudFront assumes SHA-1, and AWS's own tools write none for it.
_HASH_PARAMETER = {"SHA1": "", "SHA256": "&Hash-Algorithm=SHA256"}


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
        signer = self.signer
        url = (
            f"{self.url}{'&' if '?' in self.url else '?'}{self.statement}={self.value}&Signature={self.signature}"
            f"&Key-Pair-Id={signer.key_pair_id}{_HASH_PARAMETER[signer.hash_algorithm]}"
        )
        if len(url) > MAX_URL:
            raise TooLong(f"the signed URL is {len(url)} bytes long; CloudFront takes {MAX_URL}")
        return url

    def to_cookies(self) -> dict[str, str]:
        """Return the values of the signed cookies by name.

        Raises:
            TooLong: if browsers would drop one.
        """
        cookies = {
            f"CloudFront-{self.statement}": self.value,
            "CloudFront-Signature": self.signature,
            "CloudFront-Key-Pair-Id": self.signer.key_pair_id,
        }
        if _HASH_PARAMETER[self.signer.hash_algorithm]:
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
    base_url: str,
    path: str,
    spelled: str,
    query: tuple[tuple[str, str], ...],
    expires: int,
    reuse_for: int,
    now: float,
) -> Signed:
    """Sign ``grant`` for an object.

    Args:
        base_url: of the distribution.
        path: decoded path of the object below the base URL.
        spelled: the same path as it is signed.
        query: the viewer's parameters that are kept, decoded.
        expires: seconds the grant is valid at least, if it does not say so itself.
        reuse_for: seconds during which the same grant gives the same signature; 0 for a new one each second.
        now: epoch seconds.

    Raises:
        Unsignable: if the grant does not fit the object.
        SigningError: if the signer fails.
    """
    if grant.path is not None:
        path, spelled = grant.path, spell_path(grant.path)
    if grant.query:
        chosen = {name for name, _ in grant.query}
        query = (*(pair for pair in query if pair[0] not in chosen), *grant.query)
    url = f"{base_url}{spelled}?{spell_query(query)}" if query else base_url + spelled
    seconds = grant.expires or expires
    end = math.ceil(now + seconds)
    reuse = reuse_for > 0
    if reuse:
        window = min(reuse_for, seconds)
        end = -(-end // window) * window
    if grant.is_canned:
        signature = signer.signature(canned_policy(url, end), reuse)
        return tuple.__new__(Signed, (url, url, "Expires", str(end), signature, signer, end))  # at half the cost
    if grant.not_before is not None and grant.not_before >= end:
        raise Unsignable(f"the grant starts at {grant.not_before} but ends at {end} (epoch seconds)")
    resource = _resource(base_url, path, grant.scope) or url
    policy = CustomPolicy(resource=resource, end=end, start=grant.not_before, ip_address=grant.ip_address).to_bytes()
    return Signed(url, resource, "Policy", to_base64(policy), signer.signature(policy, reuse), signer, end)


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
