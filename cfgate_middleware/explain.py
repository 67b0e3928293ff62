"""Why CloudFront refuses a signed URL or signed cookies: ``explain`` says it, for the URLs of every signer.

Strategy: what can be seen in the text is reported; what does not verify is verified under hypotheses, and the one that
verifies is reported, which is a proof and not a guess. Nothing is asked over a network, and no signature, policy or key
is shown.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterable, Mapping
from typing import Any

from cfgate_middleware._core.problems import Secret, shown
from cfgate_middleware._explain.case import Case
from cfgate_middleware._explain.conditions import add_too_long
from cfgate_middleware._explain.findings import Explanation, Finding, Report
from cfgate_middleware._explain.reading import MAX_TEXT, Cookies, read
from cfgate_middleware._explain.responses import read_response
from cfgate_middleware._keys.pem import PublicKey
from cfgate_middleware.errors import ConfigError
from cfgate_middleware.verify import KeyGroup

__all__ = ["Explanation", "Finding", "explain"]


def explain(
    url: str | bytes,
    *,
    public_keys: Mapping[str, Any] | None = None,
    cookies: Cookies | None = None,
    hosts: Iterable[str] = (),
    now: float | None = None,
    viewer_address: str | None = None,
    response: str | bytes | None = None,
) -> Explanation:
    """Return whether CloudFront would serve a request, and the causes if it would not, most certain first.

    Args:
        url: a signed URL or any text with one; a part of a URL, or a cookie header.
        public_keys: key pair id to public key, as for :class:`cfgate_middleware.verify.KeyGroup`; without them nothing
            is verified.
        cookies: the viewer's cookies, as a header's text, a mapping or pairs.
        hosts: host names that may have been signed instead of the requested one.
        now: epoch seconds; by default this machine's clock.
        viewer_address: the viewer's address, for policies with one.
        response: what was answered, as ``curl -i`` or a browser's console shows it.

    Raises:
        ConfigError: if a public key or ``now`` is not one. The other arguments may be any text.
    """
    text, jar, answer = Secret(_text(Secret(url))), Secret(cookies), Secret(_text(Secret(response or "")))
    given = Secret(public_keys or {})
    del url, cookies, response, public_keys
    moment = time.time() if now is None else now
    if not isinstance(moment, int | float) or not math.isfinite(moment):
        raise ConfigError(f"now={shown(now)}: expected epoch seconds")
    keys: dict[str, PublicKey] = {}
    if given.value:
        group = KeyGroup(given.value)
        ids = [str(name).strip() for name in given.value]
        keys = {name: key for name in ids if (key := group.get(name))}
    report = Report()
    if answer.value:
        read_response(Secret(answer.value[:MAX_TEXT]), report)
    length = len(text.value.strip())
    if length > MAX_TEXT:
        report.fact("length", f"{length} characters")
        add_too_long(report, length)
        return report.explanation(is_verified=False)
    reading = read(text, jar, report)
    names = [hosts] if isinstance(hosts, str) else list(hosts)
    case = Case(reading, report, keys, [_host(str(host)) for host in names][:8], moment, viewer_address)
    return report.explanation(case.check())


def _text(given: Secret[Any]) -> str:
    """Return any text or bytes as text that has a UTF-8 form."""
    if isinstance(given.value, bytes | bytearray | memoryview):
        return bytes(given.value).decode("utf-8", "replace")
    return str(given.value).encode("utf-8", "replace").decode("utf-8")


def _host(text: str) -> str:
    return re.sub(r"\A[a-z*]+://", "", text.strip().lower()).partition("/")[0][:255]
