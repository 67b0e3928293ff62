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
from cfgate_middleware.options import MAX_EXPIRES, OPTIONS

logger = logging.getLogger("cfgate_middleware")

_ROLE = "authorize."


def filter_factory(global_conf: Mapping[str, str], /, **local_conf: str) -> Callable[[WSGIApplication], CloudFrontGate]:
    """``paste.filter_factory``: wrap the application that PasteDeploy hands over.

    https://docs.pylonsproject.org/projects/pastedeploy/en/latest/#paste-filter-factory
    """
    arguments = _arguments(global_conf, local_conf)
    return lambda app: CloudFrontGate(app, **arguments)


def app_factory(global_conf: Mapping[str, str], /, **local_conf: str) -> CloudFrontGate:
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
    conf = _recover_dropped(global_conf, local_conf, problems)
    arguments: dict[str, Any] = {"authorize": _STAND_INS["authorize"], "prefix": None, "domain": None}
    for option in OPTIONS:
        if option.name in conf and option.ini in _READERS:
            arguments[option.name] = _STAND_INS.get(option.name, option.default)
            with problems:
                arguments[option.name] = _READERS[option.ini](option.name, conf[option.name].strip())
    with problems:
        arguments["authorize"] = _authorizer(conf)
    if problems:
        with problems:
            CloudFrontGate(None, **arguments)  # to tell its problems together with these
        problems.raise_any()
    return arguments


# What stands in for a required value that could not be read, while the gate looks for other problems.
_STAND_INS: dict[str, Any] = {
    "authorize": lambda environ: False,
    "prefix": "/",
    "domain": "localhost",
    "key_pair_id": "K",
    "expires": MAX_EXPIRES,  # so that any reuse_for fits
}


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


def _recover_dropped(
    global_conf: Mapping[str, str], local_conf: Mapping[str, str], problems: Problems
) -> dict[str, str]:
    """Tell of options that [DEFAULT] has too: PasteDeploy drops those from the section without a word.

    Returns:
        the section, completed with what it cannot do without, so that a dropped option is not told as missing too.
    """
    needed = {"authorize", "prefix", "domain"}
    if "keys" not in local_conf:
        needed.add("key_pair_id")
        if not {"private_key", "priv_key_string"} & local_conf.keys():
            needed |= {"private_key", "priv_key_string", "keys"}
    known = needed | {option.name for option in OPTIONS}
    conf = dict(local_conf)
    for name, value in global_conf.items():
        is_role = name.startswith(_ROLE)  # without it another authorizer would decide
        if name in local_conf or not (is_role or name in known):
            continue
        trap = (
            f"{name} stands in [DEFAULT], so PasteDeploy drops it from this section; "
            f"write 'get {name} = {name}' here to use the value of [DEFAULT], or rename it there"
        )
        if is_role or name in needed:
            problems.append(trap)
            conf[name] = value
        else:
            logger.warning("%s", trap)
    return conf


def _read_text(name: str, text: str) -> str:
    comment = re.search(r"(?:^|(?<=\s))[;#].*", text)
    if comment:
        raise ConfigError(
            f"{name}: PasteDeploy takes the inline comment {shown(comment[0])} for part of the value; "
            "put the comment on a line of its own"
        )
    return text


def _read_int(name: str, text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,18}", _read_text(name, text)):
        raise ConfigError(f"{name}={shown(text)}: expected a whole number")
    return int(text)


def _read_names(name: str, text: str) -> list[str]:
    return re.findall(r"[^\s,]+", _read_text(name, text))


def _read_fields(name: str, text: str) -> list[tuple[str, str]]:
    fields = []
    for line in filter(None, text.splitlines()):
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


def _authorizer(conf: Mapping[str, str]) -> Any:
    """Import the authorizer; with ``authorize.ROLE`` lines, call it once with them to get the real one."""
    if "authorize" not in conf:
        raise ConfigError("authorize is missing: expected authorize = package.module:callable")
    where = conf["authorize"].strip()
    authorizer = _read_object("authorize", where)
    roles = {
        name.removeprefix(_ROLE): _read_text(name, value.strip())
        for name, value in conf.items()
        if name.startswith(_ROLE)
    }
    if not roles:
        return authorizer
    if not callable(authorizer):
        raise ConfigError(f"authorize is {kind_of(authorizer)}; expected a callable that takes {', '.join(roles)}")
    try:
        return authorizer(**roles)
    except (TypeError, ValueError) as error:
        lines = ", ".join(f"{_ROLE}{role}" for role in roles)
        raise ConfigError(f"authorize={shown(where)}: could not be called with {lines} ({error})") from error
