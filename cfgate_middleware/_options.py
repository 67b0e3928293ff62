"""The table of options: Python keywords, ini keys and documentation are all checked against it.

A new option is a row here, a keyword in each shell, and code in the one module that acts on it.
"""

from __future__ import annotations

import pkgutil
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from cfgate_middleware._core import checks
from cfgate_middleware._core.answers import KINDS, to_answer
from cfgate_middleware._core.problems import Problems, Secret, shown
from cfgate_middleware._keys.choice import choose_ring


def read_text(text: str) -> str:
    """Read a value as it is, unless PasteDeploy took a comment for a part of it."""
    if comment := re.search(r"(?:^|(?<=\s))[;#]", text):
        raise ValueError(f"PasteDeploy keeps the inline comment after {comment[0]!r}; put it on a line of its own")
    return text


def read_int(text: str) -> int:
    """Read a whole number."""
    if not re.fullmatch(r"[0-9]{1,18}", read_text(text)):
        raise ValueError("expected a whole number")
    return int(text)


def read_names(text: str) -> list[str]:
    """Read names between spaces, commas or line ends."""
    names = re.findall(r"[^\s,]+", read_text(text))
    if re.match(r"\s*[\[({]", text) or any("'" in name or '"' in name for name in names):
        raise ValueError("expected names with spaces or commas between them, without brackets and quotes")
    return names


def read_fields(text: str) -> list[tuple[str, str]]:
    """Read lines ``Name: value``."""
    lines = list(filter(None, text.splitlines()))
    for number, line in enumerate(lines, start=1):
        if ":" not in line:
            raise ValueError(f"line {number} is not a header field; expected 'Name: value' lines")
    return [(name.strip(), value.strip()) for name, _, value in (line.partition(":") for line in lines)]


def read_object(text: str) -> Any:
    """Import ``package.module:name``."""
    if ":" not in read_text(text):
        raise ValueError("expected package.module:callable")
    try:
        return pkgutil.resolve_name(text)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"could not be imported ({error})") from error


def optional(convert: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return a converter that leaves None as it is."""
    return lambda value: None if value is None else convert(value)


class Option(NamedTuple):
    name: str  # the Python keyword and the ini key
    meaning: str
    convert: Callable[[Any], Any] | None = None  # to what is used; None for a key option, all of which make one ring
    default: object = None  # what None means
    read: Callable[[str], Any] | None = read_text  # from ini text: str if any character is fine; None if it cannot be
    of_distribution: bool = False  # a gate may have it too, and then builds its own distribution
    required: bool = False
    secret: bool = False  # whether errors may only show what kind of value it is


OPTIONS = (
    Option("prefix", "path below which the gate answers, below its mount point", checks.to_prefix, required=True),
    Option("distribution", "a Distribution, instead of domain and keys", read=None),
    Option("domain", "the distribution's address", checks.to_base_url, of_distribution=True, required=True),
    Option("key_pair_id", "the public key's id at CloudFront", of_distribution=True),
    Option("private_key", "where the private key is", read=str, of_distribution=True),
    Option("priv_key_string", "the same, as Flask-CloudFront called it", read=str, of_distribution=True),
    Option("keys", "several keys in rotation", read=str, of_distribution=True),
    Option("signer", "an object that signs", read=None, of_distribution=True),
    Option("hash_algorithm", "SHA256, or SHA1 for RSA keys", default="SHA256", of_distribution=True),
    Option("expires", "seconds a grant is valid at least", checks.to_seconds, 60, read_int, of_distribution=True),
    Option("reuse_for", "seconds that a URL is reused", checks.to_reuse_seconds, 0, read_int, of_distribution=True),
    Option("code", "status of redirects", checks.to_code, 303, read_int),
    Option("headers", "extra header fields on grants", checks.to_headers, read=read_fields, secret=True),
    Option("forward_query", "names of viewer parameters to keep", checks.to_forward_query, read=read_names),
    Option("index", "file name for paths that end in a slash", optional(checks.to_index)),
    Option("answer", f"one of {', '.join(KINDS)}", to_answer, "redirect"),
    Option("allow_origin", "origins whose scripts may read answers", optional(checks.to_origins), read=read_names),
    Option("app_redirect_header", "field with which the application redirects", optional(checks.to_field_name)),
    Option("cookie_domain", "domain of signed cookies", optional(checks.to_cookie_domain)),
    Option("cookie_path", "path of signed cookies", optional(checks.to_cookie_path)),
    Option("cookie_samesite", "SameSite of signed cookies", checks.to_samesite, "Lax"),
    Option("on_decision", "called with the record of each decision", optional(checks.to_callable), read=read_object),
)
KEY_OPTIONS = tuple(option.name for option in OPTIONS if option.of_distribution and option.convert is None)
# What a gate without options is compiled from.
DEFAULTS = {option.name: option.convert(option.default) for option in OPTIONS if option.convert and not option.required}


def compile_options(given: Secret[Mapping[str, Any]], problems: Problems) -> Secret[dict[str, Any]]:
    """Return the compiled values of the options given, by name, None if wrong; the key options become ``ring``."""
    values: Secret[dict[str, Any]] = Secret({})  # a key may be among them by mistake
    for option in OPTIONS:
        if option.convert is not None and option.name in given.value:
            value = option.default if given.value[option.name] is None else given.value[option.name]
            values.value[option.name] = problems.check(option.name, option.convert, value, secret=option.secret)
    if given.value.keys() >= {*KEY_OPTIONS}:
        values.value["ring"] = problems.attempt(choose_ring, given)
    # What is fine alone but not together.
    expires, reuse_for = values.value.get("expires"), values.value.get("reuse_for")
    if expires is not None and reuse_for is not None and reuse_for > expires:
        problems.add(f"reuse_for={reuse_for}: expected at most expires, which is {expires}")
    if (base_url := values.value.get("domain")) is None:
        return values
    domain, path = values.value.get("cookie_domain"), values.value.get("cookie_path")
    host, base_path = urlsplit(base_url).hostname or "", f"{urlsplit(base_url).path}/"
    if domain is not None and host != domain and not host.endswith(f".{domain}"):
        problems.add(
            f"cookie_domain={shown(domain)}: browsers would not send cookies to {host}; expected one that covers it"
        )
    if path is not None and not (base_path.startswith(f"{path.rstrip('/')}/") or path.startswith(base_path)):
        problems.add(f"cookie_path={shown(path)}: nothing below the domain's base path {base_path} would get cookies")
    return values
