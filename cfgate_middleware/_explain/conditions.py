"""What a policy says about time and address, and what CloudFront says about length."""

from __future__ import annotations

from ipaddress import IPv4Network

from cfgate_middleware._core.policy import CustomPolicy
from cfgate_middleware._core.urls import MAX_URL
from cfgate_middleware._explain.findings import Certainty, Report, at, span
from cfgate_middleware.verify import is_within

_LONG = 366 * 86400


def add_too_long(report: Report, length: int) -> None:
    """Add that a URL is longer than CloudFront takes."""
    report.add(
        Certainty.SURE,
        "too-long",
        f"the URL has {length} characters; CloudFront answers more than {MAX_URL} bytes with 414",
        "use signed cookies, or a shorter policy",
    )


def check_times(report: Report, now: float, end: int, start: int | None) -> None:
    """Add when access begins and ends, and whether that is the reason."""
    if "milliseconds" in report.codes and end > 10**11:
        report.fact("until", f"{at(end // 1000, now)}, if milliseconds were meant")
        return
    if start is not None:
        report.fact("from", at(start, now))
    report.fact("until", at(end, now))
    if start is not None and now <= start:
        report.add(
            Certainty.TIME,
            "not-yet",
            f"access begins in {span(start - now)}",
            "check both clocks; sign a start some minutes in the past, or none",
        )
    if now >= end:
        is_length = end < 10**8
        report.add(
            Certainty.TIME,
            "expired",
            "Expires is a length of time, not a time" if is_length else f"it expired {span(now - end)} ago",
            "add the current time in epoch seconds"
            if is_length
            else "sign a new one; if it is new, the signer's clock is behind",
        )
    elif end - now > _LONG:
        report.add(
            Certainty.NOTE,
            "long",
            f"access lasts {span(end - now)}, and nothing but removing the key ends it",
            "sign for minutes or hours",
        )


def check_address(report: Report, policy: CustomPolicy, viewer_address: str | None) -> bool:
    """Return whether a policy allows the viewer's address; add it if not."""
    if policy.ip_address is None or is_within(viewer_address, policy.ip_address):
        return True
    if viewer_address is None:
        return IPv4Network(policy.ip_address).prefixlen == 0
    version = "an IPv6 address, which no policy allows" if ":" in viewer_address else "outside of"
    text = (
        f"the viewer's address is {version}"
        if "IPv6" in version
        else f"the viewer's address is {version} {policy.ip_address}"
    )
    report.add(
        Certainty.TIME,
        "ip",
        text,
        "sign without an address: viewers change it, and CloudFront may see another one; or turn IPv6 off",
    )
    return False
