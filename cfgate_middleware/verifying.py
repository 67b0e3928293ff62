"""CloudFront's side: is this request signed for this URL, this moment and this viewer?

Rule 1: nothing here shares a writer with the signing side, or a mistake in it would go unnoticed; only the alphabet,
the reserved names and the policy parser are common.
Rule 2: a check returns what was proven or raises; there is no answer that could be ignored. What CloudFront says
outside is ``code`` and ``message`` of the error; why is its text, which holds no item of the request.

Sources: https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/private-content-creating-signed-url-custom-policy.html
("CUSTOM"), .../private-content-creating-signed-url-canned-policy.html ("CANNED"),
.../private-content-choosing-signed-urls-cookies.html ("CHOOSE") and, for ``message``,
https://repost.aws/knowledge-center/cloudfront-troubleshoot-signed-url-cookies.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Any, ClassVar
from urllib.parse import unquote

from cfgate_middleware.errors import CFGateError, ConfigError, shown
from cfgate_middleware.keys import PublicKey, check_key_pair_id
from cfgate_middleware.policy import CustomPolicy
from cfgate_middleware.wire import RESERVED, from_base64

Cookies = Mapping[str, str] | Iterable[tuple[str, str]]

# What a request target can hold (RFC 9112 section 3.2) without being able to end the JSON string it is put into.
_TARGET = re.compile(r"/[!$-;=?-\[\]-~]*")
_BASE_URL = re.compile(r"https?://[a-z0-9.:\[\]-]+")
_EXPIRES = re.compile(r"0|[1-9][0-9]{0,9}")
_COOKIES = {f"CloudFront-{name}": name for name in RESERVED}
_HASH_ALGORITHMS = ("SHA1", "SHA256")
# CUSTOM lists the first three; the AWS CLI and the Go SDK also take the last.
_PROTOCOLS = ("http", "https", "*", "http*")


class VerificationError(CFGateError):
    """The request is not validly signed; subclasses say why, ``code`` and ``message`` are all a viewer learns."""

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
        keys: key pair id to SPKI PEM (str or bytes) or ``cryptography`` public key.

    Raises:
        ConfigError: naming every entry that is wrong.
    """

    __slots__ = ("_keys",)

    def __init__(self, keys: Mapping[str, Any]) -> None:
        self._keys: dict[str, PublicKey] = {}
        problems = [] if keys else ["key group: expected at least one key"]
        for number, (key_pair_id, key) in enumerate(keys.items(), start=1):
            name = f"entry {number}"  # a wrong id is not shown: it may be a key put in the wrong place
            try:
                name = check_key_pair_id(key_pair_id)
                self._keys[name] = PublicKey(key)
            except ConfigError as error:
                problems.append(f"key group, {name}: {error}")
        if problems:
            raise ConfigError(*problems)

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
        policy: what was signed. A canned policy is read as the custom one it is byte for byte, except that its
            resource was compared as plain text.
        origin_target: the request target without CloudFront's own parameters; all else keeps order and spelling.
    """

    key_pair_id: str
    policy: CustomPolicy
    origin_target: str


def verify(
    target: str, cookies: Cookies, *, base_url: str, key_group: KeyGroup, now: float, viewer_address: str | None = None
) -> Verified:
    """Check a request as CloudFront does: by its URL if the query holds any of CloudFront's names, else by cookies.

    There is no falling back from one to the other (CHOOSE).

    Args:
        target: path and query exactly as sent, such as ``/a%20b?Expires=…``.
        cookies: decoded mapping, or (name, value) pairs, in which a cookie that was sent twice can be seen.
        base_url: ``scheme://host[:port]`` of the distribution, lower case, as viewers use it.
        key_group: the keys that may have signed.
        now: epoch seconds.
        viewer_address: the address of the TCP peer; policies with an address need one.

    Raises:
        VerificationError: the subclass that says why.
    """
    _, items = _split(target)
    if items:
        return verify_url(
            target, base_url=base_url, key_group=key_group, now=now, viewer_address=viewer_address
        )
    return verify_cookies(
        target, cookies, base_url=base_url, key_group=key_group, now=now, viewer_address=viewer_address
    )


def verify_url(
    target: str, *, base_url: str, key_group: KeyGroup, now: float, viewer_address: str | None = None
) -> Verified:
    """Check a signed URL; arguments and errors are those of :func:`verify`."""
    origin_target, items = _split(target)
    return _judge(origin_target, items, base_url, key_group, now, viewer_address)


def verify_cookies(
    target: str, cookies: Cookies, *, base_url: str, key_group: KeyGroup, now: float, viewer_address: str | None = None
) -> Verified:
    """Check signed cookies; arguments and errors are those of :func:`verify`."""
    origin_target, in_query = _split(target)
    if in_query:
        raise Contradiction("the query holds one of CloudFront's own parameters, so cookies are not looked at")
    pairs = cookies.items() if isinstance(cookies, Mapping) else cookies
    items = [(_COOKIES[name], value) for name, value in pairs if name in _COOKIES]
    return _judge(origin_target, items, base_url, key_group, now, viewer_address)


def _split(target: str) -> tuple[str, list[tuple[str, str]]]:
    """Separate what goes to the origin from CloudFront's own items: names are decoded, values are raw."""
    if not _TARGET.fullmatch(target):
        raise MalformedTarget("the target must start with '/' and be printable ASCII without space, \", #, <, > and \\")
    path, _, query = target.partition("?")
    own, items = [], []
    for pair in query.split("&"):
        name, _, value = pair.partition("=")
        name = unquote(name)
        if name in RESERVED:
            items.append((name, value))
        else:
            own.append(pair)
    remaining = "&".join(own)
    return f"{path}?{remaining}" if remaining else path, items


def _judge(
    origin_target: str,
    items: list[tuple[str, str]],
    base_url: str,
    key_group: KeyGroup,
    now: float,
    viewer_address: str | None,
) -> Verified:
    if not _BASE_URL.fullmatch(base_url):
        raise ConfigError(f"base_url={shown(base_url)}: expected scheme://host[:port] in lower case and nothing more")
    url = base_url + origin_target
    item = dict(items)
    key_pair_id = item.get("Key-Pair-Id", "")
    if not key_pair_id:
        raise MissingKey("there is no key pair id")
    key = key_group.get(key_pair_id)
    if key is None:
        raise UnknownKey(f"the key pair id is not in {key_group}")
    if len(item) != len(items):
        raise DuplicateParameter("one of CloudFront's own items is given twice")
    if "Policy" in item and "Expires" in item:
        raise Contradiction("Policy and Expires are both given")
    hash_algorithm = item.get("Hash-Algorithm", "SHA1")
    if hash_algorithm not in _HASH_ALGORITHMS:
        raise UnknownHashAlgorithm("Hash-Algorithm is neither SHA1 nor SHA256")
    try:
        signature = from_base64(item.get("Signature", ""))
    except ValueError as error:
        raise MalformedSignature(f"Signature is absent or {error}") from error
    signed = _custom(item["Policy"]) if "Policy" in item else _canned(url, item.get("Expires", ""))
    policy = _parse(signed)
    if not key.verifies(signature, signed, hash_algorithm):
        raise BadSignature(f"the signature is not {key_pair_id}'s over this policy with {hash_algorithm}")
    if "Policy" in item and (section := _mismatch(policy.resource, url)):
        raise WrongResource(f"the policy's {section} does not cover the URL's")
    if now >= policy.end:
        raise Expired(f"access ended at {policy.end}")
    if policy.start is not None and now <= policy.start:
        raise NotYetValid(f"access begins after {policy.start}")
    if policy.ip_address is not None and not _is_within(viewer_address, policy.ip_address):
        raise WrongViewer(f"the viewer's address is not in {policy.ip_address}")
    return Verified(key_pair_id, policy, origin_target)


def _custom(text: str) -> bytes:
    try:
        return from_base64(text)
    except ValueError as error:
        raise MalformedPolicy(f"Policy is {error}") from error


def _canned(url: str, expires: str) -> bytes:
    """Rebuild the canned policy that CloudFront is not sent; the literal is the one CANNED prints."""
    if not _EXPIRES.fullmatch(expires):
        raise MalformedPolicy("there is no Policy, and Expires is absent or not epoch seconds")
    text = '{"Statement":[{"Resource":"' + url + '","Condition":{"DateLessThan":{"AWS:EpochTime":' + expires + "}}}]}"
    return text.encode("ascii")


def _parse(signed: bytes) -> CustomPolicy:
    try:
        return CustomPolicy.parse(signed)
    except ConfigError as error:  # its text quotes the policy
        raise MalformedPolicy("the policy's Resource, a time or the address is out of range") from error
    except ValueError as error:
        raise MalformedPolicy(f"the policy is not as documented: {error}") from error


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
    first, *rest = (re.escape(piece).replace(r"\?", ".") for piece in pattern.split("*"))
    if rest:
        first += "".join(f"(?>.*?{piece})" for piece in rest[:-1]) + f".*{rest[-1]}"
    return re.fullmatch(first, text) is not None
