"""A yes with conditions, and the conditions themselves."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypedDict

from cfgate_middleware._core.answers import Fields, to_answer
from cfgate_middleware._core.checks import Pairs, to_filename, to_headers, to_query, to_seconds
from cfgate_middleware._core.encoding import content_disposition, is_object_path, is_scope_path, spell_path, spell_query
from cfgate_middleware._core.policy import CustomPolicy, to_epoch, to_ipv4_network
from cfgate_middleware._core.problems import Problems, shown
from cfgate_middleware._core.urls import MAX_URL
from cfgate_middleware.errors import ConfigError

# S3 puts the value of this parameter into Content-Disposition:
# https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html
DISPOSITION = "response-content-disposition"


class PolicyConditions(TypedDict, total=False):
    """What a policy can demand beside its resource; the meaning is that of the fields of :class:`Grant`."""

    expires: int | timedelta | None
    not_before: datetime | float | None
    ip_address: str | None


class ScopedConditions(PolicyConditions, total=False):
    """The same for a scope of objects."""

    scope: str


class Conditions(ScopedConditions, total=False):
    """Everything that can be demanded of, or added to, a signed URL."""

    query: Pairs | None
    filename: str | None


class GrantConditions(Conditions, total=False):
    """All fields of a :class:`Grant`."""

    path: str | None
    headers: Pairs | None
    answer: str | None


@dataclass(frozen=True, slots=True, init=False)
class Grant:
    """A yes with conditions.

    Args:
        expires: seconds (int or timedelta) this grant is valid, instead of the gate's ``expires``.
        not_before: aware datetime or epoch seconds; the grant is not valid before (CloudFront refuses access at and
            before this second).
        path: another object on the distribution than the one requested: decoded, with a leading ``/``.
        scope: ``"object"``; ``"directory"`` for everything below the object's directory; or a decoded path that ends
            in ``/`` and contains the object. The root of the distribution must be written ``"/"``.
        ip_address: IPv4 address or CIDR the viewer must come from.
        query: parameters to add to the URL, as a mapping or pairs; they replace forwarded ones of the same name.
        headers: extra header fields on the answer, as a mapping or pairs.
        filename: name under which a browser saves the object; an S3 origin sends it as ``Content-Disposition``.
        answer: ``"redirect"``, ``"cookies"`` or ``"json"``, instead of the gate's.

    Raises:
        ConfigError: naming every field that cannot be right for any request.
    """

    expires: int | None
    not_before: int | None
    path: str | None
    scope: str
    ip_address: str | None
    query: Fields
    headers: Fields
    filename: str | None
    answer: str | None
    parameters: Fields = field(init=False, repr=False, compare=False)  # query and filename, as the URL gets them
    is_canned: bool = field(init=False, repr=False, compare=False)  # one object and nothing but an end

    def __init__(
        self,
        *,
        expires: int | timedelta | None = None,
        not_before: datetime | float | None = None,
        path: str | None = None,
        scope: str = "object",
        ip_address: str | None = None,
        query: Pairs | None = None,
        headers: Pairs | None = None,
        filename: str | None = None,
        answer: str | None = None,
    ) -> None:
        problems = Problems()

        def keep(name: str, convert: Callable[[Any], Any], value: object) -> None:
            kept = None if value is None else problems.check(f"Grant: {name}", convert, value, secret=name == "headers")
            object.__setattr__(self, name, kept)

        keep("expires", to_seconds, expires)
        keep("not_before", to_epoch, not_before)
        keep("path", to_object_path, path)
        keep("scope", _to_scope, scope if scope is not None else "")
        keep("ip_address", to_ipv4_network, ip_address)
        keep("query", to_query, query if query is not None else ())
        keep("headers", to_headers, headers if headers is not None else ())
        keep("filename", to_filename, filename)
        keep("answer", to_answer, answer)
        # One may be a key by mistake.
        del expires, not_before, path, scope, ip_address, query, headers, filename, answer
        problems.raise_any()
        canned = self.scope == "object" and all(value is None for value in self._conditions().values())
        object.__setattr__(self, "is_canned", canned)
        download = () if self.filename is None else ((DISPOSITION, content_disposition(self.filename)),)
        object.__setattr__(self, "parameters", (*self.query, *download))
        # Fields that are fine alone but not together.
        path, scope = self.path, self.scope
        if download and DISPOSITION in dict(self.query):
            problems.add(f"Grant: filename={shown(self.filename)} and query both give {DISPOSITION}; leave one out")
        if path is not None and scope == "directory" and path.rindex("/") == 0:
            root = f"path={shown(path)} is the root of the distribution"
            problems.add(f"Grant: scope='directory' of {root}; write scope='/' to grant all of it")
        if path is not None and scope[:1] == "/" and not path.startswith(scope):
            problems.add(f"Grant: path={shown(path)} lies outside scope={shown(scope)}")
        if (length := len(spell_path(path or "")) + len(spell_query(self.parameters))) > MAX_URL:
            problems.add(f"Grant: path and query are {length} bytes long when spelled; a whole URL may be {MAX_URL}")
        problems.raise_any()

    def _conditions(self) -> dict[str, Any]:
        """Return what a custom policy demands beside resource and end, by the names of its fields."""
        return {"start": self.not_before, "ip_address": self.ip_address}

    @classmethod
    def of(cls, kind: type, conditions: Mapping[str, Any]) -> Grant:
        """Return a grant with keyword arguments of one kind of conditions; TypeError if one is not of this kind."""
        for name in conditions.keys() - kind.__annotations__.keys():
            raise TypeError(f"unexpected keyword argument {name!r}; expected {', '.join(kind.__annotations__)}")
        return cls(**conditions)

    def without_parameters(self) -> Grant:
        """Return the same grant without what it adds to the query."""
        grant = copy.copy(self)
        object.__setattr__(grant, "parameters", ())
        return grant

    def to_policy(self, resource: str, end: int) -> CustomPolicy:
        """Return the custom policy with all conditions of this grant; ConfigError if it starts when it has ended."""
        if self.not_before is not None and self.not_before >= end:
            raise ConfigError(f"the grant starts at {self.not_before} but ends at {end} (epoch seconds)")
        return CustomPolicy(resource=resource, end=end, **self._conditions())


def to_object_path(value: object) -> str:
    """Return a decoded path that can name an object."""
    if not isinstance(value, str) or not is_object_path(value):
        clean = "a leading slash, no dot or empty segments, no backslash or control characters, no trailing slash"
        raise ValueError(f"expected the decoded path of one object, such as '/reports/1.pdf': {clean}")
    return value


def _to_scope(value: object) -> str:
    if isinstance(value, str) and (value in ("object", "directory") or is_scope_path(value)):
        return value
    raise ValueError("expected 'object', 'directory', or a clean decoded path that starts and ends with '/'")
