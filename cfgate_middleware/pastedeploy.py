"""The gate as a PasteDeploy filter or application: ini text in, keywords out."""

from __future__ import annotations

import difflib
import logging
import pkgutil
import re
from collections.abc import Callable, Mapping
from typing import Any
from wsgiref.types import WSGIApplication

from cfgate_middleware.errors import ConfigError, Problems, kind_of, shown
from cfgate_middleware.middleware import CloudFrontGate
from cfgate_middleware.options import OPTIONS

logger = logging.getLogger("cfgate_middleware")

_ROLE = "authorize."


def filter_factory(global_conf: Mapping[str, str], **local_conf: str) -> Callable[[WSGIApplication], CloudFrontGate]:
    """``paste.filter_factory``: wrap the application that PasteDeploy hands over.

    https://docs.pylonsproject.org/projects/pastedeploy/en/latest/#paste-filter-factory
    """
    arguments = _arguments(global_conf, local_conf)
    return lambda app: CloudFrontGate(app, **arguments)


def app_factory(global_conf: Mapping[str, str], **local_conf: str) -> CloudFrontGate:
    """``paste.app_factory``: a gate standing alone, as an authorization server in front of CloudFront."""
    return CloudFrontGate(None, **_arguments(global_conf, local_conf))


def _arguments(global_conf: Mapping[str, str], local_conf: Mapping[str, str]) -> dict[str, Any]:
    """Turn ini text into the keyword arguments of the gate.

    Raises:
        ConfigError: with every problem of the section, those of the gate included.
    """
    problems = Problems()
    with problems:
        _refuse_unknown(local_conf)
    with problems:
        _refuse_dropped(global_conf, local_conf)
    arguments: dict[str, Any] = {"authorize": _refuse_everyone, "prefix": None, "domain": None}
    for option in OPTIONS:
        if option.name in local_conf and option.ini in _READERS:
            with problems:
                arguments[option.name] = _READERS[option.ini](option.name, local_conf[option.name].strip())
    with problems:
        arguments["authorize"] = _authorizer(local_conf)
    if problems:
        with problems:
            CloudFrontGate(None, **arguments)  # to tell its problems together with these
        problems.raise_any()
    return arguments


def _refuse_everyone(environ: object) -> bool:
    """Stand in for an authorizer that could not be loaded, while the other problems are looked for."""
    return False


def _refuse_unknown(local_conf: Mapping[str, str]) -> None:
    names = {option.name for option in OPTIONS if option.ini in _READERS} | {"authorize"}
    problems = []
    for name in local_conf:
        if name in names or name.startswith(_ROLE):
            continue
        if any(name == option.name for option in OPTIONS):
            problems.append(f"{name}: this option takes a Python object and cannot stand in an ini file")
            continue
        near = difflib.get_close_matches(name, names, n=1)
        hint = f"did you mean {near[0]}?" if near else f"known options: {', '.join(sorted(names))}"
        problems.append(f"{name}: unknown option; {hint}")
    if problems:
        raise ConfigError(*problems)


def _refuse_dropped(global_conf: Mapping[str, str], local_conf: Mapping[str, str]) -> None:
    """Tell of options that [DEFAULT] has too: PasteDeploy drops those from the section without a word."""
    needed = {"authorize", "prefix", "domain", "key_pair_id"}
    if "priv_key_string" not in local_conf:
        needed.add("private_key")
    problems = []
    for name in global_conf:
        if name in local_conf or not (name.startswith(_ROLE) or name in {"authorize", *(o.name for o in OPTIONS)}):
            continue
        trap = (
            f"{name} stands in [DEFAULT], so PasteDeploy drops it from this section; "
            f"write 'get {name} = {name}' here to use the value of [DEFAULT], or rename it there"
        )
        if name in needed:
            problems.append(trap)
        else:
            logger.warning("%s", trap)
    if problems:
        raise ConfigError(*problems)


def _read_text(name: str, text: str) -> str:
    if re.search(r"(?:^|\s)[;#]", text):
        raise ConfigError(
            f"{name}={shown(text)}: PasteDeploy takes an inline comment for part of the value; "
            "put the comment on a line of its own"
        )
    return text


def _read_int(name: str, text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,18}", _read_text(name, text)):
        raise ConfigError(f"{name}={shown(text)}: expected a whole number")
    return int(text)


def _read_names(name: str, text: str) -> list[str]:
    return re.split(r"[\s,]+", _read_text(name, text))


def _read_fields(name: str, text: str) -> list[tuple[str, str]]:
    fields = []
    for line in text.splitlines():
        field, colon, value = line.partition(":")
        if not colon:
            raise ConfigError(f"{name}: the line {shown(line)} is no header field; expected 'Name: value' lines")
        fields.append((field.strip(), value.strip()))
    return fields


def _read_object(name: str, text: str) -> Any:
    if ":" not in _read_text(name, text):
        raise ConfigError(f"{name}={shown(text)}: expected package.module:callable")
    try:
        return pkgutil.resolve_name(text)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(f"{name}={shown(text)}: could not be imported ({error})") from error


_READERS: dict[str, Callable[[str, str], Any]] = {
    "text": _read_text,
    "key": lambda name, text: text,  # may be PEM or a path with any character, and is never shown
    "int": _read_int,
    "names": _read_names,
    "fields": _read_fields,
    "object": _read_object,
}


def _authorizer(local_conf: Mapping[str, str]) -> Any:
    """Import the authorizer; with ``authorize.ROLE`` lines, call it once with them to get the real one."""
    if "authorize" not in local_conf:
        raise ConfigError("authorize is missing: expected authorize = package.module:callable")
    authorizer = _read_object("authorize", local_conf["authorize"].strip())
    roles = {name.removeprefix(_ROLE): value.strip() for name, value in local_conf.items() if name.startswith(_ROLE)}
    if not roles:
        return authorizer
    if not callable(authorizer):
        raise ConfigError(f"authorize is {kind_of(authorizer)}; expected a callable that takes {', '.join(roles)}")
    return authorizer(**roles)
