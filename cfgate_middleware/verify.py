"""CloudFront's side: is this request signed for this URL, this time and this viewer?

Rule 1: the policy is never written by code that is shared with the signing side, which would hide its own mistakes:
shared are the alphabet, the reserved names and the policy parser.
Rule 2: a check returns what was proven or raises; there is no return value that could be ignored.
Rule 3: strict in what CloudFront is known to refuse, lenient where URLs that work show that CloudFront is: players and
pages escape our ``~`` again, and a widely used signer for Node.js writes ``Expires`` beside ``Policy``
(https://github.com/jasonsims/aws-cloudfront-sign).

Sources: https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/private-content-creating-signed-url-custom-policy.html
("CUSTOM"), .../private-content-creating-signed-url-canned-policy.html ("CANNED"),
.../private-content-choosing-signed-urls-cookies.html ("CHOOSE") and, for what viewers are shown,
https://repost.aws/knowledge-center/cloudfront-troubleshoot-signed-url-cookies.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Any, ClassVar
from urllib.parse import unquote

from cfgate_middleware._core.encoding import from_base64
from cfgate_middleware._core.policy import CustomPolicy
from cfgate_middleware._core.problems import Problems, Secret, shown
from cfgate_middleware._core.signer import to_key_pair_id
from cfgate_middleware._core.urls import RESERVED, without_signature
from cfgate_middleware._keys.pem import PublicKey
from cfgate_middleware._keys.sources import read_source
from cfgate_middleware.errors import CFGateError, ConfigError

Cookies = Mapping[str, str] | Iterable[tuple[str, str]]

# What a request target can hold (RFC 9112 section 3.2) without being able to end the JSON string it is put into.
_TARGET = re.compile(r"/[!$-;=?-\[\]-~]*")
_BASE_URL = re.compile(r"https?://[a-z0-9.:\[\]-]+")
_EXPIRES = re.compile(r"0|[1-9][0-9]{0,9}")
_COOKIES = {f"CloudFront-{name}": name for name in RESERVED}
# CUSTOM lists the first three; the AWS CLI and the Go SDK also take the last.
_PROTOCOLS = ("http", "https", "*", "http*")


class VerificationError(CFGateError):
    """The request is not validly signed: class and text say why, ``code`` and ``message`` are what a viewer sees."""

    code: ClassVar[str] = "AccessDenied"
    message: ClassVar[str] = "Access denied"


class MalformedTarget(VerificationError):
    """The request target holds what a policy cannot hold."""


class MissingKey(VerificationError):
    """There is no key pair id, or an empty one."""

    code, message = "MissingKey", "Missing Key-Pair-Id query parameter or cookie value"


class UnknownKey(VerificationError):
    """The key pair id is not in the key group."""

    code, message = "InvalidKey", "Unknown Key"


class DuplicateParameter(VerificationError):
    """One of CloudFront's own items is given twice; AWS does not say which would count."""


class Contradiction(VerificationError):
    """Items exclude each other: cookies for a policy and for an expiry time, or cookies beside a signed query."""


class UnknownHashAlgorithm(VerificationError):
    """``Hash-Algorithm`` is neither ``SHA1`` nor ``SHA256``."""


class MalformedSignature(VerificationError):
    """``Signature`` is absent or not CloudFront's base64."""

    code, message = "MalformedSignature", "Could not unencode Signature"


class MalformedPolicy(VerificationError):
    """``Policy`` or ``Expires`` is absent or not what CloudFront is documented to read."""

    code, message = "MalformedPolicy", "Malformed Policy"


class BadSignature(VerificationError):
    """The signature is not this key's over this policy; a canned policy is for exactly one URL."""


class WrongResource(VerificationError):
    """The policy does not cover the URL."""


class Expired(VerificationError):
    """The policy has expired (``DateLessThan``)."""


class NotYetValid(VerificationError):
    """The policy is not valid yet (``DateGreaterThan``)."""


class WrongViewer(VerificationError):
    """The policy names an IPv4 network in which the viewer is not."""


class KeyGroup:
    """The public keys a distribution trusts, by key pair id; built once, then only looked up in.

    Args:
        keys: key pair id to public key: a path, SPKI PEM as str or bytes, a ``cryptography`` key, or ``env:NAME``.

    Raises:
        ConfigError: naming every wrong entry.
    """

    __slots__ = ("_keys",)

    def __init__(self, keys: Mapping[str, Any]) -> None:
        given = Secret(keys)
        del keys  # a private key may be among them by mistake
        problems = Problems()
        self._keys: dict[str, PublicKey] = {}
        for number, entry in enumerate(map(Secret, given.value.items()), start=1):
            # A wrong id is not shown: it may be a key in the wrong place.
            name = problems.check(f"key group, entry {number}", to_key_pair_id, entry.value[0], secret=True)
            if name is not None:
                source = Secret(entry.value[1])
                key = problems.check(f"key group, {name}", lambda source: PublicKey(read_source(source)), source)
                if key is not None:
                    self._keys[name] = key
        if not given.value:
            problems.add("key group: expected at least one key")
        problems.raise_any()

    def get(self, key_pair_id: str) -> PublicKey | None:
        """Return the public key known by ``key_pair_id``, or None."""
        return self._keys.get(key_pair_id)

    def __repr__(self) -> str:
        return f"<KeyGroup {' '.join(self._keys)}>"


@dataclass(frozen=True, slots=True)
class Verified:
    """What was proven.

    Attributes:
        key_pair_id: whose signature it was.
        policy: what was signed; the resource of a canned policy is plain text, without wildcards.
        origin_target: the target without CloudFront's own parameters; all else keeps order and spelling.
    """

    key_pair_id: str
    policy: CustomPolicy
    origin_target: str


def verify(
    target: str, cookies: Cookies, *, base_url: str, key_group: KeyGroup, now: float, viewer_address: str | None = None
) -> Verified:
    """Check the URL if its query holds any of CloudFront's names, else the cookies, without falling back (CHOOSE).

    Args:
        target: path and query exactly as sent, such as ``/a%20b?Expires=…``.
        cookies: a mapping, or (name, value) pairs, in which a cookie that was sent twice can be seen.
        base_url: ``scheme://host[:port]`` of the distribution, lower case, as viewers use it.
        key_group: the keys that may have signed.
        now: epoch seconds.
        viewer_address: the address of the TCP peer; a policy with an address needs it.

    Raises:
        VerificationError: the subclass that says why.
        ConfigError: if ``base_url`` is not one, or ``now`` is not a finite number.
    """
    request = _Request(target, cookies)
    del target, cookies  # an error tracker would find the signature here
    return _verify(request, base_url, key_group, now, viewer_address)


def verify_url(
    target: str, *, base_url: str, key_group: KeyGroup, now: float, viewer_address: str | None = None
) -> Verified:
    """Check a signed URL; arguments and errors are those of :func:`verify`."""
    request = _Request(target)
    del target
    return _verify(request, base_url, key_group, now, viewer_address)


def verify_cookies(
    target: str, cookies: Cookies, *, base_url: str, key_group: KeyGroup, now: float, viewer_address: str | None = None
) -> Verified:
    """Check signed cookies; arguments and errors are those of :func:`verify`."""
    request = _Request(target, cookies)
    del target, cookies
    if request.is_signed_url:
        raise Contradiction("the query holds one of CloudFront's own parameters, so cookies are not looked at")
    return _verify(request, base_url, key_group, now, viewer_address)


class _Request:
    """A request, taken apart: what goes to the origin, and CloudFront's own items, decoded where a URL holds them.

    It is opaque, because the items hold a signature.
    """

    def __init__(self, target: str, cookies: Cookies = ()) -> None:
        self.is_valid = _TARGET.fullmatch(target) is not None
        path, mark, query = target.partition("?")
        pairs = [(unquote(pair.partition("=")[0]), pair) for pair in (query.split("&") if mark else ())]
        remaining = [pair for name, pair in pairs if name not in RESERVED]
        self.origin_target = f"{path}?{'&'.join(remaining)}" if remaining else path
        items = Secret([(name, unquote(pair.partition("=")[2])) for name, pair in pairs if name in RESERVED])
        self.is_signed_url = bool(items.value)
        if not self.is_signed_url:
            given = cookies.items() if isinstance(cookies, Mapping) else cookies
            items = Secret([(_COOKIES[name], value) for name, value in given if name in _COOKIES])
        self.names = [name for name, _ in items.value]
        self._items = dict(items.value)

    def get(self, name: str, default: str = "") -> str:
        return self._items.get(name, default)


def _verify(request: _Request, base_url: str, key_group: KeyGroup, now: float, viewer_address: str | None) -> Verified:
    if not request.is_valid:
        raise MalformedTarget("the target must start with '/' and be printable ASCII without space, \", #, <, > and \\")
    if not _BASE_URL.fullmatch(base_url):
        raise ConfigError(f"base_url={shown(base_url)}: expected scheme://host[:port] in lower case and nothing more")
    if not isinstance(now, int | float) or not math.isfinite(now):
        raise ConfigError(f"now={shown(now)}: expected epoch seconds")
    url = Secret(base_url + request.origin_target)
    if not (key_pair_id := request.get("Key-Pair-Id")):
        raise MissingKey("there is no key pair id")
    if (key := key_group.get(key_pair_id)) is None:
        raise UnknownKey(f"the key pair id is not in {key_group}")
    if len(set(request.names)) != len(request.names):
        raise DuplicateParameter("one of CloudFront's own items is given twice")
    is_custom = "Policy" in request.names
    if is_custom and "Expires" in request.names and not request.is_signed_url:
        raise Contradiction("cookies for a policy and for an expiry time are both given")
    hash_algorithm = request.get("Hash-Algorithm", "SHA1")
    if hash_algorithm not in ("SHA1", "SHA256"):
        raise UnknownHashAlgorithm("Hash-Algorithm is neither SHA1 nor SHA256")
    try:
        signature = Secret(from_base64(request.get("Signature")))
    except ValueError as error:
        raise MalformedSignature(f"Signature is absent or {error}") from None  # its frame holds the text
    read = Secret(_read_policy(request, url))
    if not key.verifies(signature, read.value[0], hash_algorithm):
        what = "this policy" if is_custom else f"the canned policy for {_shown_url(url)}"
        raise BadSignature(f"the signature is not {key_pair_id}'s over {what} with {hash_algorithm}")
    if is_custom and (section := mismatch(read.value[1].resource, url.value)):
        raise WrongResource(f"the policy does not cover the URL's {section}; the URL is {_shown_url(url)}")
    end, start, address = read.value[1].end, read.value[1].start, read.value[1].ip_address
    if now >= end:
        raise Expired(f"access ended at {end}")
    if start is not None and now <= start:
        raise NotYetValid(f"access begins after {start}")
    if address is not None and not is_within(viewer_address, address):
        raise WrongViewer(f"the viewer's address is not in {address}")
    return Verified(key_pair_id, read.value[1], request.origin_target)


def _shown_url(url: Secret[str]) -> str:
    """Return what an error may show of a URL: no query, which may be meant for the origin alone."""
    path = shown(without_signature(url.value.partition("?")[0]))
    return f"{path} and its query" if "?" in url.value else path


def _read_policy(request: _Request, url: Secret[str]) -> tuple[Secret[bytes], CustomPolicy]:
    """Return the bytes that must have been signed, and what they say; a canned policy is rebuilt (CANNED)."""
    try:
        if "Policy" in request.names:
            signed = Secret(from_base64(request.get("Policy")))
        elif _EXPIRES.fullmatch(request.get("Expires")):
            condition = '","Condition":{"DateLessThan":{"AWS:EpochTime":' + request.get("Expires") + "}}}]}"
            signed = Secret(('{"Statement":[{"Resource":"' + url.value + condition).encode("ascii"))
        else:
            raise MalformedPolicy("there is no Policy, and Expires is absent or not plain epoch seconds")
        return signed, CustomPolicy.parse(signed.value)
    except ConfigError:  # its text quotes the policy
        reason = "the policy's Resource, a time or its address is out of range"
    except ValueError as error:
        reason = f"no policy could be read: {error}"
    raise MalformedPolicy(reason)


def is_within(address: str | None, network: str) -> bool:
    try:
        return IPv4Address(address or "") in IPv4Network(network)
    except ValueError:
        return False


def mismatch(pattern: str, url: str) -> str | None:
    """Return the first section of ``pattern`` that does not cover its part of ``url``, or None (CUSTOM, wildcards).

    A wildcard stays inside its section: protocol, domain, path, query. The first ``?`` begins the query.
    """
    protocol, mark, _ = pattern.partition("://")
    if not mark or protocol not in _PROTOCOLS:
        if not pattern.startswith("*"):
            return "protocol"
        pattern = f"*://{pattern}"  # "no protocol, and the domain starts with *" is any protocol
    wanted, given = _sections(pattern), _sections(url)
    if pattern.endswith("*") and "?" not in pattern:  # a trailing * also covers what follows its section
        wanted |= {"query": "*"} if wanted["path"] else {"path": "*", "query": "*"}
    return next((name for name in wanted if not _covers(wanted[name], given[name])), None)


def _sections(url: str) -> dict[str, str]:
    protocol, _, rest = url.partition("://")
    before, _, query = rest.partition("?")
    domain, slash, path = before.partition("/")
    return {"protocol": protocol, "domain": domain, "path": slash + path, "query": query}


def _covers(pattern: str, text: str) -> bool:
    """Match ``*`` as any characters and ``?`` as one, in time that no pattern can make explode.

    Each piece between two ``*`` takes its leftmost place for good (an atomic group), which is always enough.
    """
    first, *rest = (re.escape(piece).replace(r"\?", ".") for piece in re.split(r"\*+", pattern))
    if rest:
        first += "".join(f"(?>.*?{piece})" for piece in rest[:-1]) + f".*{rest[-1]}"
    return re.fullmatch(first, text) is not None
