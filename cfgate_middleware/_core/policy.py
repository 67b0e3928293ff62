"""The two policies CloudFront knows: how they are written, and how a custom one is read.

A policy is signed byte for byte, so each has exactly one written form here. Source:
https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/private-content-creating-signed-url-canned-policy.html
and .../private-content-creating-signed-url-custom-policy.html ("CUSTOM" below).
"""

from __future__ import annotations

import ipaddress
import json
import math
import re
from collections.abc import Set
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cfgate_middleware._core.problems import shown
from cfgate_middleware.errors import ConfigError

# The guide's limit is given in nanoseconds (9223372036854775807, the year 2262); policies count seconds.
MAX_EPOCH = 9223372036

# What can appear in a JSON string and in a request target as it is; '"' and '\' would rewrite the policy.
_RESOURCE = re.compile(r"[!$-;=?-\[\]-~]+")

# A prefix length only: the ipaddress module would also take netmasks, and 0.0.0.0 as the mask of everybody.
_IPV4_CIDR = re.compile(r"[0-9.]+(?:/(?:[0-9]|[1-3][0-9]))?")


def canned_policy(resource: str, end: int, more: str = "") -> bytes:
    """Write the canned policy that CloudFront rebuilds from the URL: access to one URL until an expiry time.

    Args:
        resource: the whole viewer URL, spelled as it is sent, without CloudFront's own parameters; the caller has
            spelled it, so that it holds no ``*``: these bytes are also a valid custom policy, in which ``*`` would be
            a wildcard.
        end: epoch seconds at which access ends.
        more: conditions of a custom policy, written.
    """
    return (
        f'{{"Statement":[{{"Resource":"{resource}","Condition":{{"DateLessThan":{{"AWS:EpochTime":{end}}}{more}}}}}]}}'
    ).encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomPolicy:
    """A resource with wildcards, an end, and optionally a start and a viewer address.

    Args:
        resource: URL in which ``*`` matches any characters and ``?`` exactly one.
        end: epoch seconds at which access ends.
        start: epoch seconds; access is refused at and before this second (CUSTOM, ``DateGreaterThan``).
        ip_address: IPv4 address or CIDR; written as a CIDR. CloudFront policies have no IPv6.

    Raises:
        ConfigError: if a field is out of range or could rewrite the policy.
    """

    resource: str
    end: int
    start: int | None = None
    ip_address: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.resource, str) or not _RESOURCE.fullmatch(self.resource):
            expected = (
                "a URL in printable ASCII without space, '\"', '\\', '<', '>' or '#'; percent-encode all else first"
            )
            raise ConfigError(f"resource {shown(self.resource)}: expected {expected}")
        _check_epoch("end", self.end)
        if self.start is not None:
            _check_epoch("start", self.start)
        if self.ip_address is not None:
            object.__setattr__(self, "ip_address", to_ipv4_network(self.ip_address))

    def to_bytes(self) -> bytes:
        """Return the exact bytes that are signed, with the conditions in botocore's order."""
        address = "" if self.ip_address is None else f',"IpAddress":{{"AWS:SourceIp":"{self.ip_address}"}}'
        start = "" if self.start is None else f',"DateGreaterThan":{{"AWS:EpochTime":{self.start}}}'
        return canned_policy(self.resource, self.end, address + start)

    @classmethod
    def parse(cls, data: bytes) -> CustomPolicy:
        """Read a policy as CloudFront is documented to: free in white space and order, strict in all else.

        A policy without ``Resource`` covers everything (CUSTOM), which is what ``"*"`` says too. Anything that is not
        such a policy raises ValueError.
        """
        try:
            document = json.loads(data.decode("utf-8"), object_pairs_hook=_no_duplicates, parse_constant=_no_constants)
        except RecursionError:
            raise ValueError("nested too deeply") from None
        statements = _members(document, "the policy", {"Statement"})["Statement"]
        if not isinstance(statements, list) or len(statements) != 1:
            raise ValueError("Statement must be an array of exactly one statement")
        statement = _members(statements[0], "the statement", {"Condition"}, {"Resource"})
        resource = statement.get("Resource", "*")
        if not isinstance(resource, str):
            raise ValueError("Resource must be a string")
        condition = _members(statement["Condition"], "Condition", {"DateLessThan"}, {"DateGreaterThan", "IpAddress"})
        return cls(
            resource=resource,
            end=_operand(condition, "DateLessThan", "AWS:EpochTime", int),
            start=_operand(condition, "DateGreaterThan", "AWS:EpochTime", int),
            ip_address=_operand(condition, "IpAddress", "AWS:SourceIp", str),
        )


def to_epoch(value: object) -> int:
    """Return an aware datetime or epoch seconds as whole epoch seconds, rounded up."""
    if isinstance(value, datetime):
        if value.utcoffset() is None:
            raise ValueError("a naive datetime could mean any time zone; expected an aware one or epoch seconds")
        value = value.timestamp()
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MAX_EPOCH:
        raise ValueError(f"expected an aware datetime or epoch seconds from 0 to {MAX_EPOCH}")
    return math.ceil(value)


def to_ipv4_network(value: object) -> str:
    """Return an IPv4 address or CIDR as the CIDR that is signed (``/32`` for a single address)."""
    try:
        if isinstance(value, str) and _IPV4_CIDR.fullmatch(value):
            return str(ipaddress.IPv4Network(value, strict=False))
    except ValueError:
        pass
    expected = "an IPv4 address or CIDR as str, such as '203.0.113.7' or '203.0.113.0/24'"
    raise ValueError(f"expected {expected}; CloudFront policies have no IPv6")


def _check_epoch(name: str, value: object) -> None:
    if type(value) is not int or not 0 <= value <= MAX_EPOCH:
        raise ConfigError(f"{name}={shown(value)}: expected whole epoch seconds from 0 to {MAX_EPOCH}")


def _no_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a name occurs twice in one object")
    return members


def _no_constants(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


def _members(value: Any, what: str, required: Set[str], optional: Set[str] = frozenset()) -> dict[str, Any]:
    """Return ``value`` if it is an object that has the required names and nothing but those and the optional ones."""
    if not isinstance(value, dict):
        raise ValueError(f"{what} must be an object")
    if not required <= value.keys() <= required | optional:
        raise ValueError(f"{what} must have {sorted(required)} and nothing but {sorted(required | optional)}")
    if None in value.values():
        raise ValueError(f"{what} holds a null")
    return value


def _operand(condition: dict[str, Any], name: str, key: str, kind: type) -> Any:
    """Return what a condition compares with, or None if there is no such condition."""
    if name not in condition:
        return None
    operand = _members(condition[name], name, {key})[key]
    if type(operand) is not kind:
        raise ValueError(f"{key} must be a string" if kind is str else f"{name} must be whole epoch seconds")
    return operand
