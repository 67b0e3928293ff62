"""The gate as a PasteDeploy filter or application: ini text in, keywords out."""

from __future__ import annotations

import difflib
import inspect
import logging
from collections.abc import Callable, Mapping
from typing import Any
from wsgiref.types import WSGIApplication

from cfgate_middleware._core.problems import Problems, Secret, kind_of, shown
from cfgate_middleware._core.verdicts import name_authorizer
from cfgate_middleware._options import OPTIONS, compile_options, read_object, read_text
from cfgate_middleware.errors import ConfigError
from cfgate_middleware.middleware import CloudFrontGate

_ROLE = "authorize."
_OPTIONS = {option.name: option for option in OPTIONS}
_KEY_SOURCES = {"private_key", "priv_key_string", "keys"}
Conf = Secret[Mapping[str, str]]  # a section, which may hold a key


def filter_factory(global_conf: Mapping[str, str], /, **local_conf: str) -> Callable[[WSGIApplication], CloudFrontGate]:
    """``paste.filter_factory``: wrap the application that PasteDeploy hands over.

    https://docs.pylonsproject.org/projects/pastedeploy/en/latest/#paste-filter-factory

    Raises:
        ConfigError: with every problem of the section, those of the gate included.
    """
    default, section = Secret(global_conf), Secret(local_conf)
    del global_conf, local_conf  # so that no error tracker finds a key here
    return _to_filter(default, section)


def app_factory(global_conf: Mapping[str, str], /, **local_conf: str) -> CloudFrontGate:
    """``paste.app_factory``: a gate without an application, as an authorization server in front of CloudFront."""
    default, section = Secret(global_conf), Secret(local_conf)
    del global_conf, local_conf
    return _to_filter(default, section)(None)


def _to_filter(default: Conf, section: Conf) -> Callable[[WSGIApplication | None], CloudFrontGate]:
    problems = Problems()
    _check_names(section, problems)
    conf = _with_dropped(default, section, problems)
    arguments: Secret[dict[str, Any]] = Secret(dict.fromkeys(_OPTIONS))
    for name, option in _OPTIONS.items():
        if option.read is not None and name in conf.value:
            arguments.value[name] = problems.check(name, option.read, conf.value[name].strip(), secret=option.secret)
            if arguments.value[name] is None:
                del arguments.value[name]  # what cannot be read is left out, so that it is one problem
    arguments.value["authorize"] = problems.attempt(_to_authorizer, conf)
    if arguments.value["authorize"] is not None:  # else the prefix is internal, or it is missing
        problems.check("authorize", name_authorizer, arguments.value["authorize"], secret=True)
    if problems:
        compile_options(arguments, problems)  # to report the gate's problems together with these
        problems.raise_any()
    return lambda app: CloudFrontGate(app, **arguments.value)


def _check_names(section: Conf, problems: Problems) -> None:
    known = sorted({"authorize", *(name for name, option in _OPTIONS.items() if option.read is not None)})
    for name in [name for name in section.value if name not in known]:
        if name in _OPTIONS:
            problems.add(f"{name}: this option takes a Python object and cannot be set in an ini file")
        elif not name.startswith(_ROLE):
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known options: {', '.join(known)}"
            problems.add(f"{name}: unknown option; {hint}")


def _with_dropped(default: Conf, section: Conf, problems: Problems) -> Conf:
    """Report options that PasteDeploy silently drops because [DEFAULT] has them too; put back those that are needed."""
    needed = {"authorize", *(name for name, option in _OPTIONS.items() if option.required)}
    needed |= {name for name in default.value if name.startswith(_ROLE)}  # else another authorizer would decide
    if "keys" not in section.value:
        needed.add("key_pair_id")
    if not _KEY_SOURCES & section.value.keys():
        needed |= _KEY_SOURCES
    conf = Secret(dict(section.value))
    for name in (default.value.keys() - section.value.keys()) & (needed | _OPTIONS.keys()):
        trap = f"{name} is set in [DEFAULT]: PasteDeploy drops it here; write 'get {name} = {name}' or rename it there"
        if name in needed:
            problems.add(trap)
            conf.value[name] = default.value[name]
        else:
            logging.getLogger("cfgate_middleware").warning("%s", trap)
    return conf


def _to_authorizer(conf: Conf) -> Any:
    """Import the authorizer; with ``authorize.ROLE`` lines, call it once with them to get the real one."""
    problems = Problems()
    authorizer: Any = None
    if "authorize" in conf.value:
        authorizer = problems.check("authorize", read_object, conf.value["authorize"].strip())
    elif "app_redirect_header" not in conf.value:
        problems.add("authorize is missing: expected authorize = package.module:callable")
    lines = [name for name in conf.value if name.startswith(_ROLE)]
    roles = Secret(
        {name[len(_ROLE) :]: problems.check(name, read_text, conf.value[name].strip(), secret=True) for name in lines}
    )
    problems.raise_any()
    if not lines:
        return authorizer
    if not callable(authorizer):
        names = ", ".join(roles.value)
        raise ConfigError(f"authorize is {kind_of(authorizer)}; expected a callable that takes {names}")
    where = shown(conf.value["authorize"])
    try:
        inspect.signature(authorizer).bind(**roles.value)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"authorize={where}: cannot be called with {', '.join(lines)} ({error})") from None
    try:
        return authorizer(**roles.value)
    except ConfigError:
        raise
    except (TypeError, ValueError) as error:
        reason = type(error).__name__  # its text may quote a value, which may be a secret
    raise ConfigError(f"authorize={where}: raised {reason} when it was called with {', '.join(lines)}")
