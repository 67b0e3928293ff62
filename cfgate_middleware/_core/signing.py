"""From a grant to a signed policy.

Rule: what is signed is what is sent. The URL is spelled once, the policy is made from that text, and nothing
re-encodes it afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from cfgate_middleware._core.answers import Fields
from cfgate_middleware._core.encoding import spell_path, spell_query
from cfgate_middleware._core.grant import Grant
from cfgate_middleware._core.policy import canned_policy
from cfgate_middleware._core.problems import Secret
from cfgate_middleware._core.signed import Signed
from cfgate_middleware._core.signer import Ring
from cfgate_middleware.errors import ConfigError


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
        signer = self.ring.current(now)
        seconds = self.expires
        if grant is not None:
            seconds = grant.expires or seconds
            if grant.path is not None:
                path, spelled_path = grant.path, spell_path(grant.path)
            if grant.parameters:
                chosen = {name for name, _ in grant.parameters}
                own = (*(pair for pair in own if pair[0] not in chosen), *grant.parameters)
        url = self.base_url + spelled_path
        if own:
            url = f"{url}?{spell_query(own)}"
        end = ceil(now + seconds)
        if self.reuse_for:
            window = min(self.reuse_for, seconds)
            end = -(-end // window) * window
        if grant is None or grant.is_canned:
            resource, policy, expires = url, Secret(canned_policy(url, end)), end
        else:
            resource, expires = self._scoped(path, grant.scope) or url, None
            policy = Secret(grant.to_policy(resource, end).to_bytes())
        query = signer.sign(policy, expires, self.reuse_for > 0)
        return Signed(url, resource, query, signer.key_pair_id, end)

    def _scoped(self, path: str, scope: str) -> str | None:
        """Return the wildcard resource of a scope: the only ``*`` that is ever signed is the one appended here."""
        if scope == "object":
            return None
        if scope == "directory" and (scope := path[: path.rindex("/") + 1]) == "/":
            raise ConfigError("the object lies at the root of the distribution; write scope='/' to grant all of it")
        if not path.startswith(scope):
            raise ConfigError("the object lies outside the scope of its grant")
        return f"{self.base_url}{spell_path(scope)}*"
