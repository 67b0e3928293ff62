"""CloudFront's side: is this request signed for this URL, this moment and this viewer?

Rule 1: only the alphabet, the reserved names and the policy parser are shared with the signing side. A writer shared
with it would hide its own mistakes.
Rule 2: a check returns what was proven or raises; there is no answer that could be ignored.

Sources: https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/private-content-creating-signed-url-custom-policy.html
("CUSTOM"), .../private-content-creating-signed-url-canned-policy.html ("CANNED"),
.../private-content-choosing-signed-urls-cookies.html ("CHOOSE") and, for what viewers are told,
https://repost.aws/knowledge-center/cloudfront-troubleshoot-signed-url-cookies.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Any, ClassVar
from urllib.parse import unquote

from cfgate_middleware.errors import CFGateError, ConfigError, Problems, shown
from cfgate_middleware.keys import PublicKey
from cfgate_middleware.policy import CustomPolicy
from cfgate_middleware.signers import check_key_pair_id
from cfgate_middleware.wire import RESERVED, from_base64

Cookies = Mapping[str, str] | Iterable[tuple[str, str]]
_Items = list[tuple[str, str]]

# What a request target can hold (RFC 9112 section 3.2) without being able to end the JSON string it is put into.
_TARGET = re.compile(r"/[!$-;=?-\[\]-~]*")
_BASE_URL = re.compile(r"https?://[a-z0-9.:\[\]-]+")
_EXPIRES = re.compile(r"0|[1-9][0-9]{0,9}")
_COOKIES = {f"CloudFront-{name}": name for name in RESERVED}
# CUSTOM lists the first three; the AWS CLI and the Go SDK also take the last.
_PROTOCOLS = ("http", "https", "*", "http*")


class VerificationError(CFGateError):
    """The request is not validly signed: class and text say why, ``code`` and ``message`` are what a viewer is told."""

    code: ClassVar[str] = "AccessDenied"
    message: ClassVar[str] = "Access denied"


class MalformedTarget(VerificationError):
    """The request target is not ASCII that can stand in a policy."""


class MissingKey(VerificationError):
    """There is no key pair id, or an empty one."""

    code = "MissingKey"
    message = "Missing Key-Pair-Id query parameter or cookie value"


class UnknownKey(VerificationError):
    """The key pair id is not in the key group."""

    code = "InvalidKey"
    message = "Unknown Key"


class DuplicateParameter(VerificationError):
    """One of CloudFront's own items is given twice; AWS does not say which would count."""


class Contradiction(VerificationError):
    """Items exclude each other: ``Policy`` and ``Expires``, or cookies beside a signed query."""


class UnknownHashAlgorithm(VerificationError):
    """``Hash-Algorithm`` is neither ``SHA1`` nor ``SHA256``."""


class MalformedSignature(VerificationError):
    """``Signature`` is absent or not CloudFront's base64."""

    code = "MalformedSignature"
    message = "Could not unencode Signature"


class MalformedPolicy(VerificationError):
    """``Policy`` or ``Expires`` is absent or not what CloudFront is documented to read."""

    code = "MalformedPolicy"
    message = "Malformed Policy"


class BadSignature(VerificationError):
    """The signature is not this key's over this policy; a canned policy stands for exactly one URL."""


class WrongResource(VerificationError):
    """The policy does not cover the URL."""


class Expired(VerificationError):
    """``DateLessThan`` has come."""


class NotYetValid(VerificationError):
    """``DateGreaterThan`` has not passed."""


class WrongViewer(VerificationError):
    """The policy names an IPv4 network in which the viewer is not."""


class KeyGroup:
    """The public keys a distribution trusts, by key pair id; built once, then only looked up in.

    Args:
        keys: key pair id to SPKI PEM or ``cryptography`` public key; a ConfigError names every wrong entry.
    """

    __slots__ = ("_keys",)

    def __init__(self, keys: Mapping[str, Any]) -> None:
        self._keys: dict[str, PublicKey] = {}
        problems = Problems([] if keys else ["key group: expected at least one key"])
        for number, (key_pair_id, key) in enumerate(keys.items(), start=1):
            name = f"entry {number}"  # a wrong id is not shown: it may be a key put in the wrong place
            try:
                name = check_key_pair_id(key_pair_id)
                self._keys[name] = PublicKey(key)
            except ConfigError as error:
                problems.append(f"key group, {name}: {error}")
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
    """
    origin_target, in_query = _split(target)
    return _judge(origin_target, in_query or _own_cookies(cookies), base_url, key_group, now, viewer_address)


def verify_url(
    target: str, *, base_url: str, key_group: KeyGroup, now: float, viewer_address: str | None = None
) -> Verified:
    """Check a signed URL; arguments and errors are those of :func:`verify`."""
    return _judge(*_split(target), base_url, key_group, now, viewer_address)


def verify_cookies(
    target: str, cookies: Cookies, *, base_url: str, key_group: KeyGroup, now: float, viewer_address: str | None = None
) -> Verified:
    """Check signed cookies; arguments and errors are those of :func:`verify`."""
    origin_target, in_query = _split(target)
    if in_query:
        raise Contradiction("the query holds one of CloudFront's own parameters, so cookies are not looked at")
    return _judge(origin_target, _own_cookies(cookies), base_url, key_group, now, viewer_address)


def _split(target: str) -> tuple[str, _Items]:
    """Separate what goes to the origin from CloudFront's own items: names are decoded, values are raw."""
    if not _TARGET.fullmatch(target):
        raise MalformedTarget("the target must start with '/' and be printable ASCII without space, \", #, <, > and \\")
    path, _, query = target.partition("?")
    pairs = [(unquote(pair.partition("=")[0]), pair) for pair in query.split("&")]
    items = [(name, pair.partition("=")[2]) for name, pair in pairs if name in RESERVED]
    remaining = "&".join(pair for name, pair in pairs if name not in RESERVED)
    return f"{path}?{remaining}" if remaining else path, items


def _own_cookies(cookies: Cookies) -> _Items:
    pairs = cookies.items() if isinstance(cookies, Mapping) else cookies
    return [(_COOKIES[name], value) for name, value in pairs if name in _COOKIES]


def _judge(
    origin_target: str, items: _Items, base_url: str, key_group: KeyGroup, now: float, viewer_address: str | None
) -> Verified:
    if not _BASE_URL.fullmatch(base_url):
        raise ConfigError(f"base_url={shown(base_url)}: expected scheme://host[:port] in lower case and nothing more")
    url, item = base_url + origin_target, dict(items)
    if not (key_pair_id := item.get("Key-Pair-Id", "")):
        raise MissingKey("there is no key pair id")
    if (key := key_group.get(key_pair_id)) is None:
        raise UnknownKey(f"the key pair id is not in {key_group}")
    if len(item) != len(items):
        raise DuplicateParameter("one of CloudFront's own items is given twice")
    if "Policy" in item and "Expires" in item:
        raise Contradiction("Policy and Expires are both given")
    hash_algorithm = item.get("Hash-Algorithm", "SHA1")
    if hash_algorithm not in ("SHA1", "SHA256"):
        raise UnknownHashAlgorithm("Hash-Algorithm is neither SHA1 nor SHA256")
    try:
        signature = from_base64(item.get("Signature", ""))
    except ValueError as error:
        raise MalformedSignature(f"Signature is absent or {error}") from error
    signed, policy = _read_policy(item, url)
    if not key.verifies(signature, signed, hash_algorithm):
        raise BadSignature(f"the signature is not {key_pair_id}'s over this policy with {hash_algorithm}")
    if "Policy" in item and (section := _mismatch(policy.resource, url)):
        raise WrongResource(f"the policy does not cover the URL's {section}")
    if now >= policy.end:
        raise Expired(f"access ended at {policy.end}")
    if policy.start is not None and now <= policy.start:
        raise NotYetValid(f"access begins after {policy.start}")
    if policy.ip_address is not None and not _is_within(viewer_address, policy.ip_address):
        raise WrongViewer(f"the viewer's address is not in {policy.ip_address}")
    return Verified(key_pair_id, policy, origin_target)


def _read_policy(item: dict[str, str], url: str) -> tuple[bytes, CustomPolicy]:
    """Return the bytes that must have been signed, and what they say; a canned policy is rebuilt (CANNED)."""
    expires = item.get("Expires", "")
    try:
        if "Policy" in item:
            signed = from_base64(item["Policy"])
        elif _EXPIRES.fullmatch(expires):
            canned = '{"Statement":[{"Resource":"' + url + '","Condition":{"DateLessThan":{"AWS:EpochTime":' + expires
            signed = (canned + "}}}]}").encode("ascii")
        else:
            raise ValueError("there is no Policy, and Expires is absent or no plain epoch seconds")
        return signed, CustomPolicy.parse(signed)
    except ConfigError as error:  # its text quotes the policy
        raise MalformedPolicy("the policy's Resource, a time or its address is out of range") from error
    except ValueError as error:
        raise MalformedPolicy(f"no policy could be read: {error}") from error


def _is_within(address: str | None, network: str) -> bool:
    try:
        return IPv4Address(address or "") in IPv4Network(network)
    except ValueError:
        return False


def _mismatch(pattern: str, url: str) -> str | None:
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
