"""The gate as a PasteDeploy filter or application: ini text in, keywords out."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from cfgate_middleware._core.problems import Problems, Secret, kind_of, shown
from cfgate_middleware._core.verdicts import name_authorizer
from cfgate_middleware._options import KEY_OPTIONS, OPTIONS, compile_options, read_object, read_text
from cfgate_middleware.errors import ConfigError
from cfgate_middleware.middleware import CloudFrontGate

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

logger = logging.getLogger("cfgate_middleware")

_ROLE = "authorize."
_REQUIRED = frozenset(option.name for option in OPTIONS if option.required)

Conf = Secret[Mapping[str, str]]  # a section, which may hold a key


def filter_factory(global_conf: Mapping[str, str], /, **local_conf: str) -> Callable[[WSGIApplication], CloudFrontGate]:
    """``paste.filter_factory``: wrap the application that PasteDeploy hands over.

    https://docs.pylonsproject.org/projects/pastedeploy/en/latest/#paste-filter-factory
    """
    default, section = Secret(global_conf), Secret(local_conf)
    del global_conf, local_conf  # so that no error tracker finds a key here
    return _Filter(default, section)


def app_factory(global_conf: Mapping[str, str], /, **local_conf: str) -> CloudFrontGate:
    """``paste.app_factory``: a gate without an application, as an authorization server in front of CloudFront."""
    default, section = Secret(global_conf), Secret(local_conf)
    del global_conf, local_conf
    return _Filter(default, section)(None)


class _Filter:
    """Wraps applications in the gate that a section describes.

    Raises:
        ConfigError: with every problem of the section, those of the gate included.
    """

    def __init__(self, default: Conf, section: Conf) -> None:
        problems = Problems()
        for problem in _unknown(section):
            problems.add(problem)
        conf = _with_dropped(default, section, problems)
        self._arguments = _read(conf, problems)
        if problems:
            compile_options(self._arguments, problems)  # to report the gate's problems together with these
            problems.raise_any()

    def __call__(self, app: WSGIApplication | None) -> CloudFrontGate:
        return CloudFrontGate(app, **self._arguments.value)


def _read(conf: Conf, problems: Problems) -> Secret[dict[str, Any]]:
    """Return the gate's keyword arguments; an option whose text cannot be read is left out."""
    arguments: Secret[dict[str, Any]] = Secret(dict.fromkeys(KEY_OPTIONS | _REQUIRED))
    for option in OPTIONS:
        if option.read is not None and option.name in conf.value:
            read = problems.check(option.name, option.read, conf.value[option.name].strip(), secret=option.secret)
            if read is None:
                arguments.value.pop(option.name, None)
            else:
                arguments.value[option.name] = read
    authorize = problems.attempt(_authorizer, conf)
    if authorize is not None:
        problems.check("authorize", name_authorizer, authorize, secret=True)
    arguments.value["authorize"] = authorize
    return arguments


def _unknown(section: Conf) -> Iterator[str]:
    names = {option.name for option in OPTIONS if option.read is not None} | {"authorize"}
    python_only = {option.name for option in OPTIONS if option.read is None}
    for name in section.value:
        if name in python_only:
            yield f"{name}: this option takes a Python object and cannot be set in an ini file"
        elif name not in names and not name.startswith(_ROLE):
            near = difflib.get_close_matches(name, names, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known options: {', '.join(sorted(names))}"
            yield f"{name}: unknown option; {hint}"


def _with_dropped(default: Conf, section: Conf, problems: Problems) -> Conf:
    """Report options that [DEFAULT] has too: PasteDeploy silently drops those from the section.

    Returns:
        the section, completed with what it cannot do without, so that a dropped option is not reported as missing too.
    """
    needed = {"authorize", *_REQUIRED}
    if "keys" not in section.value:
        needed.add("key_pair_id")
        if not {"private_key", "priv_key_string"} & section.value.keys():
            needed |= {"private_key", "priv_key_string", "keys"}
    known = needed | {option.name for option in OPTIONS}
    conf = Secret(dict(section.value))
    for name in default.value.keys() - section.value.keys():
        is_role = name.startswith(_ROLE)  # without it another authorizer would decide
        if not (is_role or name in known):
            continue
        trap = (
            f"{name} is set in [DEFAULT], so PasteDeploy drops it from this section; "
            f"write 'get {name} = {name}' here to use the value of [DEFAULT], or rename it there"
        )
        if is_role or name in needed:
            problems.add(trap)
            conf.value[name] = default.value[name]
        else:
            logger.warning("%s", trap)
    return Secret(conf.value)


def _authorizer(conf: Conf) -> Any:
    """Import the authorizer; with ``authorize.ROLE`` lines, call it once with them to get the real one."""
    problems = Problems()
    where = conf.value.get("authorize")
    authorizer = problems.check("authorize", _to_object, None if where is None else where.strip())
    roles = Secret(
        {
            name.removeprefix(_ROLE): problems.check(name, read_text, value.strip(), secret=True)
            for name, value in conf.value.items()
            if name.startswith(_ROLE)
        }
    )
    problems.raise_any()
    if not roles.value:
        return authorizer
    names = ", ".join(roles.value)
    if not callable(authorizer):
        raise ConfigError(f"authorize is {kind_of(authorizer)}; expected a callable that takes {names}")
    try:
        return authorizer(**roles.value)
    except (TypeError, ValueError) as error:
        lines = ", ".join(f"{_ROLE}{role}" for role in roles.value)
        raise ConfigError(f"authorize={shown(where)}: could not be called with {lines} ({error})") from error


def _to_object(text: str | None) -> Any:
    if text is None:
        raise ValueError("expected authorize = package.module:callable")
    return read_object(text)
