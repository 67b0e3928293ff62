"""From a grant to the parameters that CloudFront checks, and to the URL or the cookies that carry them.

Rule: what is signed is what is sent. The URL is spelled once, the policy is made from that text, and nothing
re-encodes it afterwards.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from cfgate_middleware.errors import CFGateError, SigningError
from cfgate_middleware.keys import SignerProtocol
from cfgate_middleware.policy import CustomPolicy, canned_policy
from cfgate_middleware.verdicts import Grant
from cfgate_middleware.wire import MAX_URL, spell_path, spell_query, to_base64


class Target(NamedTuple):
    """The object a request asks for: where it lies, its path in both forms, and the viewer's kept parameters."""

    base_url: str
    path: str  # decoded, below the base URL
    spelled: str  # the same path as it is signed
    query: tuple[tuple[str, str], ...] = ()


class Signed(NamedTuple):
    """A signed grant, not yet written as URL or cookies."""

    url: str  # without CloudFront's own parameters
    parameters: tuple[tuple[str, str], ...]  # CloudFront's own, in the order in which AWS's tools write them
    end: int  # epoch seconds

    def to_url(self) -> str:
        """Return the signed URL.

        Raises:
            TooLong: if CloudFront would answer it with 414.
        """
        joint = "&" if "?" in self.url else "?"
        url = self.url + joint + "&".join([f"{name}={value}" for name, value in self.parameters])
        if len(url) > MAX_URL:
            raise TooLong(f"the signed URL is {len(url)} bytes long; CloudFront takes {MAX_URL}")
        return url

    def to_cookies(self) -> dict[str, str]:
        """Return the values of the signed cookies by name."""
        return {f"CloudFront-{name}": value for name, value in self.parameters}


class Unsignable(CFGateError):
    """A grant that is fine by itself but cannot be signed for this object at this time."""


class TooLong(Unsignable):
    """A signed URL that CloudFront would refuse for its length."""


def end_time(now: float, expires: int) -> int:
    """Return the first whole epoch second that is at least ``expires`` seconds after ``now``."""
    return math.ceil(now + expires)


def sign(signer: SignerProtocol, target: Target, grant: Grant, *, expires: int, now: float) -> Signed:
    """Sign ``grant`` for ``target``.

    Args:
        expires: seconds the grant is valid if it does not say so itself.
        now: epoch seconds.

    Raises:
        Unsignable: if the grant does not fit the target.
        SigningError: if the signer fails.
    """
    base_url, path, spelled, query = target
    if grant.path is not None:
        path, spelled = grant.path, spell_path(grant.path)
    if grant.query:
        chosen = {name for name, _ in grant.query}
        query = (*(pair for pair in query if pair[0] not in chosen), *grant.query)
    url = f"{base_url}{spelled}?{spell_query(query)}" if query else base_url + spelled
    end = end_time(now, grant.expires or expires)
    if grant.is_canned:
        policy = canned_policy(url, end)
        stated = ("Expires", str(end))
    else:
        if grant.not_before is not None and grant.not_before >= end:
            raise Unsignable(f"the grant starts at {grant.not_before} but ends at {end} (epoch seconds)")
        policy = CustomPolicy(
            resource=_resource(base_url, path, grant.scope) or url,
            end=end,
            start=grant.not_before,
            ip_address=grant.ip_address,
        ).to_bytes()
        stated = ("Policy", to_base64(policy))
    return Signed(url, (stated, *_signature(signer, policy)), end)


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


def _signature(signer: SignerProtocol, policy: bytes) -> tuple[tuple[str, str], ...]:
    try:
        signature = signer.sign(policy)
    except SigningError:
        raise
    except Exception as error:
        raise SigningError(f"signer {signer.key_pair_id} failed with {type(error).__name__}") from error
    if not isinstance(signature, bytes) or not signature:
        raise SigningError(f"signer {signer.key_pair_id} returned {type(signature).__name__} instead of a signature")
    parameters = ("Signature", to_base64(signature)), ("Key-Pair-Id", signer.key_pair_id)
    if signer.hash_algorithm == "SHA1":  # what CloudFront assumes where no marker stands
        return parameters
    return (*parameters, ("Hash-Algorithm", signer.hash_algorithm))
