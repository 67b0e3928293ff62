"""What a pasted text says: the URL that a browser would send, its own query, and CloudFront's items.

Rule: a text is only repaired where that brings CloudFront's parameters to light, so a good URL is never touched.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple
from urllib.parse import quote, unquote

from cfgate_middleware._core.problems import Secret
from cfgate_middleware._core.urls import RESERVED
from cfgate_middleware._explain.findings import Certainty, Report

MAX_TEXT = 65536  # characters that are looked at

Cookies = str | Mapping[str, str] | Iterable[tuple[str, str]]

_RESERVED_NAMES = "|".join(RESERVED)
_COOKIE = re.compile(r"(?i)\bCloudFront-[a-z-]{1,20}=")
_URL = re.compile(r"(?:([A-Za-z][A-Za-z0-9+.-]*):/+)?([^/?#\\]*)([^?#]*)(?:\?([^#]*))?(?:#.*)?", re.DOTALL)
_HOST = re.compile(r"(?:[a-z0-9_-]+\.)+[a-z][a-z0-9-]*(?::[0-9]+)?|localhost(?::[0-9]+)?")
# What follows CloudFront's last parameter in a sentence, a request line or a log.
_REST_OF_SENTENCE = re.compile(
    rf"([?&](?:{_RESERVED_NAMES})=[A-Za-z0-9~_%+/=-]+)(?:[.,;:!)\]}}>'\"]+| +(?=[^ ]))(?: *[^&=\r\n]*)\Z"
)
_ALIASES = {re.sub("[^a-z]", "", name.lower()): name for name in RESERVED}


class _Repair(NamedTuple):
    """A way in which URLs get damaged on their way, and how to undo it."""

    code: str
    text: str
    cure: str
    undo: Callable[[str], str]


def _plain_html(text: str) -> str:
    text = re.sub(r"&(?:amp|#0*38|#[xX]0*26);", "&", text)
    return re.sub(r"&#(?:0*61|[xX]0*3[dD]);", "=", re.sub(r"&#(?:0*39|[xX]0*27);", "'", text))


def _question_mark_once(text: str) -> str:
    before, mark, after = text.partition("?")
    return before + mark + re.sub(rf"\?(?=(?:{_RESERVED_NAMES})=)", "&", after)


def _question_mark_first(text: str) -> str:
    return text if "?" in text else re.sub(rf"&(?=(?:{_RESERVED_NAMES})=)", "?", text, count=1)


_WRAPPED = "the URL is wrapped over several lines, or has white space in it"
_COPY = "copy the URL as one line, for example from a log or from the browser's address field"
_REPAIRS = (
    _Repair(
        "html-escaped",
        "the URL is still escaped for HTML (&amp; for &), so CloudFront's parameters arrive under other names",
        "unescape the URL before it is sent; let the template escape it once, in the attribute only",
        _plain_html,
    ),
    _Repair(
        "html-escaped",
        "the URL is still escaped as a JSON string or for a shell (\\u0026, \\/ or \\&)",
        "read it with a JSON parser, or without the backslashes",
        lambda text: re.sub(r"\\([/?&=:])", r"\1", re.sub(r"\\{1,4}u00(26|3[dD])", lambda m: chr(int(m[1], 16)), text)),
    ),
    _Repair(
        "wrapped",
        "the URL went through an e-mail in quoted-printable form (=3D for =)",
        _COPY,
        lambda text: re.sub(r"=[ \t]*\r?\n", "", text).replace("=3D", "="),
    ),
    _Repair("wrapped", _WRAPPED, _COPY, lambda text: re.sub(r"\s+", "", text)),
    _Repair(
        "browser-rewrites",
        "everything behind # stays in the browser and is never sent, here CloudFront's parameters too",
        "write # in a path or query as %23 before signing",
        lambda text: text.replace("#", "%23"),
    ),
    _Repair(
        "query-changed",
        "CloudFront's parameters follow a second ?, so the first of them became part of another value",
        "if the URL already has a query, append the parameters with &",
        _question_mark_once,
    ),
    _Repair(
        "query-changed",
        "CloudFront's parameters follow & where no query has begun, so they are part of the path",
        "begin the query with ?",
        _question_mark_first,
    ),
    _Repair(
        "query-spelling",
        "the whole signed URL was percent-encoded again, so ?, & or = of CloudFront's parameters are data",
        "encode before signing; a signed URL is sent as it is",
        lambda text: re.sub(
            r"(?i)%(?:25)*(3A|2F|3F|26|3D)", lambda m: chr(int(m[1], 16)), text
        ) if re.search(rf"(?i)%(?:25)*(?:3F|26)(?:{_RESERVED_NAMES})(?:=|%(?:25)*3D)", text) else text,
    ),
)  # fmt: skip


class Reading:
    """A text, taken apart. It is opaque, because it holds a signature.

    Attributes:
        scheme, host, path: as they arrive; the host is "" if the text has none.
        own: pairs of the query that are not CloudFront's, in order, in their own spelling.
        as_pasted: scheme and host, path and query as they are in the text; ``has_host`` says if it has the first two.
        names: names of CloudFront's items, in order.
        source: "url", "cookies" or "".
        near_cookies: names that are almost those of CloudFront's cookies.
    """

    __slots__ = (
        "_items",
        "as_pasted",
        "cookie_names",
        "has_host",
        "host",
        "near_cookies",
        "names",
        "own",
        "path",
        "scheme",
        "source",
    )

    def __init__(self, text: Secret[str], cookies: list[tuple[str, Secret[str]]]) -> None:
        match = Secret(_URL.fullmatch(text.value))
        groups = Secret(match.value.groups(default="") if match.value else ("", "", "", ""))
        self.scheme, host = groups.value[0].lower(), groups.value[1].rpartition("@")[2]
        raw_path = groups.value[2]
        if not self.scheme and not _HOST.fullmatch(host.lower()):
            host, raw_path = "", host + raw_path
        elif not self.scheme:
            self.scheme = "https"
        port = {"https": ":443", "http": ":80"}.get(self.scheme, ":")
        self.host = _ascii_host(host.lower().removesuffix(port))
        self.path = _as_browsers_send(raw_path or "/")
        found = [(_name(pair), pair) for pair in _pairs(groups.value[3])]
        kept = [pair for name, pair in found if name not in RESERVED]
        self.own = [_encoded(pair.value, " \"<>'") for pair in kept]
        self.has_host = match.value is not None and bool(groups.value[0] and host)
        as_written = f"{groups.value[0]}://{host}"
        self.as_pasted = (as_written, raw_path, f"?{'&'.join([pair.value for pair in kept])}" if kept else "")
        items = [(name, _value(pair)) for name, pair in found if name in RESERVED]
        self.source = "url" if items else ""
        given = [(_cookie_name(name), value) for name, value in cookies]
        self.cookie_names = [name for name, _ in given if name]
        self.near_cookies = [name for name, _ in cookies if _alias(name) and not _cookie_name(name)]
        if not items and self.cookie_names:
            self.source = "cookies"
            items = [(name, value) for name, value in given if name]
        self.names = [name for name, _ in items]
        self._items = dict(items)

    def get(self, name: str) -> Secret[str]:
        return self._items.get(name, Secret(""))

    def rename(self) -> list[str]:
        """Give CloudFront's parameters that are written otherwise their right names, and return how they were written.

        An application may have own parameters such as ``policy``: only what is missing is looked for.
        """
        aliased = [(_alias(_name(pair)), pair) for pair in map(Secret, self.own)]
        found = {name for name, _ in aliased} | set(self.names)
        if "Signature" not in found or not {"Key-Pair-Id", "Expires", "Policy"} & found:
            return []
        has_end = "Policy" in self.names or "Expires" in self.names
        renamed = []
        for name, pair in aliased:
            if name and name not in self._items and not (name in ("Expires", "Policy") and has_end):
                self._items[name] = _value(pair)
                self.names.append(name)
                self.own.remove(pair.value)
                renamed.append(f"{_name(pair)[:40]} for {name}")
        self.source = "url"
        return renamed

    @property
    def own_names(self) -> set[str]:
        """The names of the own parameters, decoded."""
        return {_name(pair) for pair in map(Secret, self.own)}

    @property
    def target(self) -> str:
        """What goes to the origin: path and own query."""
        return f"{self.path}?{'&'.join(self.own)}" if self.own else self.path

    @property
    def url(self) -> str:
        """The object's URL, as CloudFront sees it."""
        return f"{self.scheme}://{self.host}{self.target}" if self.host else self.target


def read(text: Secret[str], cookies: Secret[Cookies | None], report: Report) -> Reading:
    """Return what a text and cookies say, repaired where it is damaged."""
    jar = _jar(cookies)
    text = Secret(_unpacked(text))
    if _COOKIE.search(text.value) and not re.search(r"https?:/|\?", text.value):
        jar += _jar(Secret(text.value))
        text = Secret("")
    for repair in _REPAIRS:
        undone = Secret(repair.undo(text.value))
        if undone.value != text.value and _count(undone) > _count(text):
            report.add(Certainty.SURE, repair.code, repair.text, repair.cure)
            text = undone
    if re.search(r"[\r\n\t]", text.value):
        report.add(Certainty.SURE, "wrapped", _WRAPPED, _COPY)
        text = Secret("".join(map(str.strip, re.split(r"[\r\n\t]+", text.value))))
    return Reading(text, jar)


def _unpacked(text: Secret[str]) -> str:
    """Return the URL in a text without what surrounds it: quotes, a command, a header's name."""
    stripped = Secret(text.value.strip("\ufeff\u200b \t\r\n<>\"'`"))
    before = re.match(r"[^/?&]{0,200}?([\s'\"(<=])(?=https?:/)", stripped.value)
    rest = Secret(stripped.value[before.end() :] if before else stripped.value)
    if before and before[1] in "'\"":
        return rest.value.partition(before[1])[0]
    return _REST_OF_SENTENCE.sub(r"\1", rest.value)


def _count(text: Secret[str]) -> int:
    """Return how many of CloudFront's parameters a server would find, less those that are damaged."""
    pairs = _pairs(text.value.partition("#")[0].partition("?")[2])
    names = [_name(pair) for pair in pairs]
    damaged = [pair for pair in pairs if re.search(r"\s|\\\Z", pair.value)]
    return 2 * len([name for name in names if name in RESERVED]) - len(damaged)


def _jar(cookies: Secret[Cookies | None]) -> list[tuple[str, Secret[str]]]:
    """Return cookies as pairs: of a header, of several Set-Cookie lines, of a mapping or of pairs."""
    if cookies.value is None:
        return []
    if isinstance(cookies.value, str):
        # Split and not searched for, whose time would be quadratic.
        pieces = Secret([piece.partition("=") for piece in re.split(r"[;\s]+", cookies.value[:MAX_TEXT])])
        found = Secret([(name.rpartition(":")[2], value) for name, mark, value in pieces.value if mark])
    else:
        given = Secret(cookies.value.items() if isinstance(cookies.value, Mapping) else cookies.value)
        found = Secret(list(given.value))
    return [(str(item.value[0]), Secret(str(item.value[1]).strip('"'))) for item in map(Secret, found.value)]


def _cookie_name(name: str) -> str:
    return name[11:] if name.startswith("CloudFront-") and name[11:] in RESERVED else ""


def _alias(name: str) -> str:
    plain = re.sub("[^a-z]", "", name.lower()).removeprefix("cloudfront").removeprefix("amp")
    return _ALIASES.get(plain, "")


def _pairs(query: str) -> list[Secret[str]]:
    return [*map(Secret, query.split("&"))] if query else []


def _name(pair: Secret[str]) -> str:
    return unquote(pair.value.partition("=")[0])


def _value(pair: Secret[str]) -> Secret[str]:
    return Secret(unquote(pair.value.partition("=")[2]))


def _encoded(text: str, also: str) -> str:
    return re.sub(rf"[{re.escape(also)}]|[^ -~]", lambda match: quote(match[0], ""), text)


def _as_browsers_send(path: str) -> str:
    """Return a path as browsers send it (https://url.spec.whatwg.org/#path-state)."""
    path = _encoded(path.replace("\\", "/"), ' "<>`{}^#')
    segments: list[str] = []
    parts = path.split("/")[path[:1] == "/" :]
    for number, part in enumerate(parts):
        plain = part.lower().replace("%2e", ".")
        if plain == "..":
            del segments[-1:]
        elif plain != ".":
            segments.append(part)
        if plain in (".", "..") and number == len(parts) - 1:
            segments.append("")
    return "/" + "/".join(segments)


def _ascii_host(host: str) -> str:
    try:
        return host if host.isascii() else host.encode("idna").decode("ascii")
    except UnicodeError:
        return quote(host, ":[]")
