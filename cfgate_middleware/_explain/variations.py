"""Hypotheses: what a signer may have signed instead of what CloudFront checks.

Rule: a hypothesis is only reported if a signature proves it, so a wild one costs time and never a false alarm.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import combinations
from typing import NamedTuple
from urllib.parse import quote, quote_plus, unquote

from cfgate_middleware._core.problems import Secret
from cfgate_middleware._explain.findings import masked_host
from cfgate_middleware._explain.policies import Change, Hypothesis, ShapeChange, canned

_TRACKERS = re.compile(
    r"(?i)(utm_\w+|fbclid|gclid|dclid|msclkid|mc_[ce]id|twclid|igshid|yclid|_ga|_gl|ref|v|ver|version)=?"
)
_MAX_PARAMETERS = 12  # of which each is left out once
_ENCODE_URI = ";,/?:@&=+$-_.!~*'()#"
_ENCODE_COMPONENT = "-_.!~*'()"

AnyChange = Change | ShapeChange

_ENCODINGS: list[tuple[str, Callable[[str], str]]] = [
    ("with every other character encoded (RFC 3986)", lambda name: quote(name, "/")),
    ("as encodeURI encodes", lambda name: quote(name, _ENCODE_URI)),
    ("as encodeURIComponent encodes", lambda name: quote(name, "/" + _ENCODE_COMPONENT)),
    ("as this package encodes", lambda name: quote(name, "/!&(),=:@")),
    ("as forms encode, spaces as +", lambda name: quote_plus(name, "/")),
    ("encoded with lower-case digits", lambda name: _hex_case(quote(name, "/"), str.lower)),
    ("encoded twice", lambda name: quote(quote(name, "/"), "/")),
    ("decoded", str),
    ("decoded, spaces as +", lambda name: name.replace(" ", "+")),
]


def scheme_changes(scheme: str) -> list[Change]:
    """Return other schemes."""
    other = "http" if scheme == "https" else "https"
    return [
        Change("scheme", f"it was signed for {other}:// and is requested with {scheme}://", f"{other}://"),
        Change("host", "the scheme was left out when it was signed", ""),
        Change("host", "any scheme was signed, which a canned policy cannot have", "http*://"),
    ]


def host_changes(scheme: str, host: str, hosts: Iterable[str]) -> list[Change]:
    """Return other hosts, and none at all, which leaves the scheme out too."""
    text = f"it was signed for the host {{}}, not for {masked_host(host)}"
    changes = [
        Change("s3-host" if is_s3_host(name) else "host", text.format(masked_host(name)), name)
        for name in hosts
        if name != host
    ]
    changes.append(Change("host", "only the path was signed, without scheme and host", ""))
    if (bare := re.sub(r":[0-9]+\Z", "", host)) != host:
        changes.append(Change("host", "it was signed without the port", bare))
    else:
        port = "443" if scheme == "https" else "80"
        changes.append(Change("host", "it was signed with the default port", f"{host}:{port}"))
    changes.append(Change("host", "the host was signed with a dot at its end", f"{host}."))
    return changes


def path_changes(path: str) -> list[Change]:
    """Return other spellings of a path, as signers and clients are known to write it."""
    plain = unquote(path)
    found = [
        ("decoded", plain),
        ("with spaces as +", path.replace("%20", "+")),
        ("with + as %20", path.replace("+", "%20")),
        ("encoded once more", quote(path, _ENCODE_URI)),
        ("with its slashes encoded", "/" + quote(plain.lstrip("/"), "")),
        ("with its first slash encoded too", quote(plain, _ENCODE_COMPONENT)),
        ("with ~ encoded", path.replace("~", "%7E")),
        ("with lower-case hexadecimal digits", _hex_case(path, str.lower)),
        ("with upper-case hexadecimal digits", _hex_case(path, str.upper)),
        ("with two slashes at its begin", "/" + path),
        ("without its first slash", path[1:]),
        ("with its repeated slashes folded", re.sub("/+", "/", path)),
        ("without the slash at its end", path.rstrip("/")),
        ("with a slash at its end", path + "/"),
    ]
    names = [("", plain), (", + read as a space", plain.replace("+", " "))]
    names += [(f"{how}, decoded twice", unquote(name)) for how, name in names]
    for how, name in names:
        found += [(f"{encoding}{how}", encode(name)) for encoding, encode in _ENCODINGS]
    found += [
        ("in Latin-1 instead of UTF-8", quote(plain, "/", "latin-1", "replace")),
        ("in another Unicode form (NFC)", quote(unicodedata.normalize("NFC", plain), "/")),
        ("in another Unicode form (NFD)", quote(unicodedata.normalize("NFD", plain), "/")),
        ("in lower case", path.lower()),
        ("with backslashes", path.replace("/", "\\")),
    ]
    return _distinct("spelling", "the path was signed", found, path)


def _distinct(code: str, what: str, found: Iterable[tuple[str, str]], plain: str) -> list[Change]:
    """Return the changes that are one, each value once."""
    values: dict[str, str] = {}
    for how, value in found:
        values.setdefault(value, how)
    return [Change(code, f"{what} {how}", value) for value, how in values.items() if value != plain]


def query_changes(own: list[str]) -> list[Change]:
    """Return other own queries, each with its ``?``: parameters gone, and other spellings."""
    if not own:
        return [
            Change("query-changed", "an empty query was signed", "?"),
            Change("query-changed", "the query ended in & when it was signed", "?&"),
        ]
    text = "&".join(own)
    gone: list[tuple[str, list[str]]] = [("its query was", [])]
    gone.append(("tracking parameters were", [pair for pair in own if not _TRACKERS.fullmatch(pair.partition("=")[0])]))
    gone += [(f"{count} of its parameters were", own[:-count]) for count in range(2, min(len(own), _MAX_PARAMETERS))]
    numbers = range(len(own)) if len(own) <= _MAX_PARAMETERS else (*range(4), *range(len(own) - 4, len(own)))
    gone += [("one of its parameters was", own[:number] + own[number + 1 :]) for number in numbers]
    added = [
        Change("query-changed", f"{what} added after signing", f"?{'&'.join(rest)}" if rest else "")
        for what, rest in gone
        if rest != own
    ]
    decoded = unquote(text)
    found = [
        ("decoded", decoded),
        ("decoded, with + as a space", unquote(text.replace("+", " "))),
        ("with spaces as +", text.replace("%20", "+")),
        ("with + as %20", text.replace("+", "%20")),
        ("with ' as %27", text.replace("'", "%27")),
        ("with %27 as '", text.replace("%27", "'")),
        ("with other characters encoded", "&".join(_respell(pair, "") for pair in own)),
        (
            "with other characters encoded (encodeURIComponent)",
            "&".join(_respell(pair, _ENCODE_COMPONENT) for pair in own),
        ),
        ("with other characters encoded (encodeURI)", quote(decoded, _ENCODE_URI)),
        ("encoded as a form", "&".join(_respell(pair, "*").replace("%20", "+") for pair in own)),
        ("encoded once more", quote(text, _ENCODE_URI)),
        ("with its = encoded too", quote(text, "&" + _ENCODE_COMPONENT)),
        ("with lower-case hexadecimal digits", _hex_case(text, str.lower)),
        ("with upper-case hexadecimal digits", _hex_case(text, str.upper)),
        ("with &amp; for &", text.replace("&", "&amp;")),
        ("with an & at its end", text + "&"),
        ("without empty parts", "&".join(pair for pair in own if pair)),
        ("without = where a value is empty", "&".join(pair.removesuffix("=") for pair in own)),
    ]
    spelled = _distinct(
        "query-spelling", "the query was signed", [(how, f"?{value}") for how, value in found], f"?{text}"
    )
    orders = [("sorted", sorted(own)), ("in the opposite order", own[::-1])]
    spelled += [
        Change("query-changed", f"the query was signed {how}", f"?{'&'.join(pairs)}")
        for how, pairs in orders
        if pairs != own
    ]
    return added + spelled


def end_changes(end: str) -> list[Change]:
    """Return other times that may have been signed for the one that is sent."""
    number = int(end)
    changes = [
        Change("milliseconds", "the policy was signed with milliseconds", str(number * 1000)),
        Change("milliseconds", "the policy was signed with seconds, Expires is in milliseconds", str(number // 1000)),
        Change("json", "the time was signed as a string, in quotes", f'"{end}"'),
        Change("json", "the time was signed with a decimal point", f"{end}.0"),
    ]
    return changes + [
        Change("json", "another time was signed than Expires says", str(number + off)) for off in (-1, 1, -3600, 3600)
    ]


class Parts(NamedTuple):
    """What a canned policy is made of; the host is "" if it is unknown."""

    scheme: str
    host: str
    path: str
    query: str
    end: str

    @property
    def url(self) -> str:
        return (self.scheme + self.host if self.host else "") + self.path + self.query


def combined(kinds: Iterable[Sequence[AnyChange]]) -> Iterator[tuple[tuple[int, AnyChange], ...]]:
    """Yield no change, each change, and each two of different kinds, with the number of their kind.

    The changes of a kind are in the order of how often they are met, which is why pairs come in the order of the sum.
    """
    numbered = [[(number, change) for change in kind] for number, kind in enumerate(kinds)]
    yield ()
    for kind in numbered:
        for one in kind:
            yield (one,)
    pairs = [
        (place + other_place, (one, other))
        for kind, other_kind in combinations(numbered, 2)
        for place, one in enumerate(kind)
        for other_place, other in enumerate(other_kind)
    ]
    for _, pair in sorted(pairs, key=lambda weighted: weighted[0]):
        yield pair


def hypotheses(parts: Parts, changes: list[list[Change]], shapes: list[ShapeChange]) -> Iterator[Hypothesis]:
    """Yield the canned policy as it is checked, and as it may have been signed.

    Args:
        changes: those of each part, in the order of the parts.
        shapes: those of the whole policy.
    """
    seen: Secret[set[bytes]] = Secret(set())
    for chosen in combined([*changes, shapes]):
        shape = next((change.value for _, change in chosen if isinstance(change, ShapeChange)), canned)
        message = shape((made := changed(parts, chosen)).url, made.end)
        if message.value not in seen.value:
            seen.value.add(message.value)
            yield Hypothesis(tuple(change for _, change in chosen), message)


def changed(parts: Parts, chosen: Iterable[tuple[int, AnyChange]]) -> Parts:
    """Return the parts with some changes."""
    values = list(parts)
    for number, change in chosen:
        if isinstance(change, Change):
            values[number] = change.value
    return Parts(*values)


def is_s3_host(host: str) -> bool:
    """Return whether a host is one of S3's."""
    is_aws = host.endswith((".amazonaws.com", ".amazonaws.com.cn"))
    return is_aws and re.search(r"(?:\A|\.)s3[.-]", host) is not None


def _hex_case(text: str, case: Callable[[str], str]) -> str:
    return re.sub("%[0-9A-Fa-f]{2}", lambda match: case(match[0]), text)


def _respell(pair: str, safe: str) -> str:
    name, mark, value = pair.partition("=")
    return quote(unquote(name), safe) + mark + quote(unquote(value.replace("+", "%20")), safe)
