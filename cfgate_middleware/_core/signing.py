"""From a grant to a signed policy.

Rule: what is signed is what is sent. The URL is spelled once, the policy is made from that text, and nothing
re-encodes it afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from urllib.parse import unquote

from cfgate_middleware._core.answers import Fields
from cfgate_middleware._core.encoding import spell_path, spell_query
from cfgate_middleware._core.grant import Grant
from cfgate_middleware._core.policy import MAX_EPOCH, canned_policy
from cfgate_middleware._core.problems import Secret, shown
from cfgate_middleware._core.signed import Signed
from cfgate_middleware._core.signer import Ring
from cfgate_middleware.errors import ConfigError, SigningError


@dataclass(frozen=True, slots=True)
class GrantSigner:
    """Signs grants for the objects of one distribution.

    A grant is valid for at least ``expires`` seconds, unless it has its own; for ``reuse_for`` seconds (0: not at all)
    the same grant gets the same signature.
    """

    base_url: str
    ring: Ring
    expires: int
    reuse_for: int = 0

    def sign(self, grant: Grant | None, path: str, spelled_path: str, own: Fields, now: float) -> Signed:
        """Sign a grant for an object: its path below the base URL, decoded and as it is signed. None is a plain yes.

        ``own`` are parameters beside CloudFront's: those of the viewer that are kept, decoded; ``now`` is in epoch
        seconds. ConfigError if the grant does not fit the object, SigningError if the signer fails.
        """
        seconds = self.expires if grant is None or grant.expires is None else grant.expires
        try:
            end = ceil(now + seconds)
        except (TypeError, ValueError, OverflowError):
            raise SigningError(f"the clock gives {shown(now)}; expected epoch seconds") from None
        if self.reuse_for:
            window = self.reuse_for if self.reuse_for < seconds else seconds
            end = -(-end // window) * window
        if not 0 <= end <= MAX_EPOCH:
            raise SigningError(f"the grant would end at {end}; expected epoch seconds from 0 to {MAX_EPOCH}")
        if grant is not None:
            if grant.path is not None:
                path, spelled_path = grant.path, spell_path(grant.path)
            if grant.parameters:
                chosen = {name for name, _ in grant.parameters}
                own = (*(pair for pair in own if pair[0] not in chosen), *grant.parameters)
        url = self.base_url + spelled_path
        if own:
            url = f"{url}?{spell_query(own)}"
        signer = self.ring.current(now)
        if grant is None or grant.is_canned:
            resource, policy, expires = url, Secret(canned_policy(url, end)), end
        else:
            resource, expires = url, None
            if grant.scope != "object":
                resource = f"{self.base_url}{_spelled_scope(path, spelled_path, grant.scope)}*"
            policy = Secret(grant.to_policy(resource, end).to_bytes())
        query = signer.sign(policy, expires, self.reuse_for > 0)
        return Signed(url, resource, query, signer.key_pair_id, end)


def _spelled_scope(path: str, spelled_path: str, scope: str) -> str:
    """Return the spelling of a scope, cut off from that of an object in it, so that it covers the object as spelled.

    The only ``*`` that is ever signed is the one that the caller appends to it.
    """
    if scope == "directory":
        directory = spelled_path.partition("?")[0].rpartition("/")[0]
        if not directory:
            raise ConfigError("the object lies at the root of the distribution; write scope='/' to grant all of it")
        return f"{directory}/"
    spelled_scope = "".join(f"{segment}/" for segment in spelled_path.split("/")[: scope.count("/")])
    if not path.startswith(scope) or unquote(spelled_scope) != scope:
        raise ConfigError("the object lies outside the scope of its grant")
    return spelled_scope
