"""Why CloudFront cannot read a custom policy."""

from __future__ import annotations

import json
import re
from typing import Any

from cfgate_middleware._core.policy import MAX_EPOCH, CustomPolicy
from cfgate_middleware._core.problems import Secret
from cfgate_middleware._explain.findings import Certainty, Report, masked
from cfgate_middleware.errors import ConfigError

_NAMES = {"Statement", "Resource", "Condition", "DateLessThan", "DateGreaterThan", "IpAddress"}
_NAMES |= {"AWS:EpochTime", "AWS:SourceIp"}


def check_policy(data: Secret[bytes], report: Report) -> CustomPolicy | None:
    """Return what a custom policy says, or add why CloudFront could not read it."""
    try:
        return CustomPolicy.parse(data.value)
    except (ConfigError, ValueError, RecursionError):
        pass
    code, text, cure = _wrong_policy(data)
    report.add(Certainty.SURE, code, text, cure)
    return None


def _wrong_policy(data: Secret[bytes]) -> tuple[str, str, str]:
    try:
        document = Secret(json.loads(data.value.decode("utf-8")))
    except (ValueError, RecursionError):
        return _wrong("the policy is not JSON", "sign and send the same JSON text; encode its bytes once")
    statements = Secret(document.value.get("Statement") if isinstance(document.value, dict) else None)
    if not isinstance(statements.value, list):
        return _wrong("Statement is not an array", "write Statement as an array of one object")
    if len(statements.value) != 1 or not isinstance(statements.value[0], dict):
        return _wrong(
            f"Statement holds {len(statements.value)} statements", "write exactly one; use wildcards, or several URLs"
        )
    resource = Secret(statements.value[0].get("Resource", "*"))
    if not isinstance(resource.value, str):
        return _wrong("Resource is not a string", "write one URL as a string; CloudFront takes no list")
    condition = Secret(statements.value[0].get("Condition"))
    if not isinstance(condition.value, dict):
        return _wrong("there is no Condition", 'write "Condition":{"DateLessThan":{"AWS:EpochTime":…}}')
    for name in ("DateLessThan", "DateGreaterThan"):
        operand = Secret(condition.value.get(name))
        if operand.value is None and name == "DateLessThan":
            return _wrong("the policy has no DateLessThan", "write when access ends; CloudFront needs it")
        if operand.value is not None and (wrong := _wrong_time(name, operand)):
            return wrong
    address = Secret(condition.value.get("IpAddress"))
    if isinstance(address.value, dict) and ":" in str(address.value.get("AWS:SourceIp"))[:60]:
        return (
            "ip",
            "the policy names an IPv6 address, which CloudFront does not take",
            "write an IPv4 address or network, and turn IPv6 off",
        )
    if address.value is not None and not isinstance(address.value, dict):
        return _wrong("IpAddress is not an object", 'write "IpAddress":{"AWS:SourceIp":"203.0.113.0/24"}')
    if re.search(r"[^!-~]|[\"\\<>#]", resource.value):
        return (
            "spelling",
            "the policy's Resource holds a space or another character that never arrives in a URL",
            "write the Resource as the URL is sent: percent-encode first, sign second",
        )
    unknown = sorted(_names(document) - _NAMES)
    if unknown:
        return _wrong(
            f"the policy has names that CloudFront does not know: {masked(', '.join(unknown[:3]))}",
            "take them out, or spell them as the guide does",
        )
    return _wrong(
        "a time or an address of the policy is out of range, or a name occurs twice", "see the guide's custom policy"
    )


def _wrong(text: str, cure: str) -> tuple[str, str, str]:
    return "malformed-policy", f"{text} (CloudFront says MalformedPolicy)", cure


def _wrong_time(name: str, operand: Secret[Any]) -> tuple[str, str, str] | None:
    value = operand.value.get("AWS:EpochTime") if isinstance(operand.value, dict) else None
    if isinstance(value, str):
        return _wrong(f"the time of {name} is a string", "write the number without quotes")
    if isinstance(value, bool) or not isinstance(value, int | float):
        return _wrong(f"{name} has no AWS:EpochTime", f'write "{name}":{{"AWS:EpochTime":1800000000}}')
    if value > MAX_EPOCH:
        return "milliseconds", f"the time of {name} is in milliseconds", "write seconds: divide by 1000 and round"
    if isinstance(value, float):
        return _wrong(f"the time of {name} has a decimal point", "write whole seconds")
    return None


def _names(document: Secret[Any]) -> set[str]:
    """Return the names of the members of a policy's objects, as deep as a policy goes."""
    names: set[str] = set()
    level = [document]
    for _ in range(6):
        inner: list[Secret[Any]] = []
        for item in level:
            if isinstance(item.value, dict):
                names |= {str(name)[:40] for name in item.value}
                inner += map(Secret, item.value.values())
            elif isinstance(item.value, list):
                inner += map(Secret, item.value)
        level = inner
    return names
