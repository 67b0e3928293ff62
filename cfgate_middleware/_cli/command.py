"""What the commands share: a row that describes one, a parser that repeats no secret, and times as people write them.

Rule: an argument may be a key or a signed URL that was pasted into the wrong place, so no error repeats one.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple, NoReturn

from cfgate_middleware._core.policy import MAX_EPOCH
from cfgate_middleware._core.problems import Secret
from cfgate_middleware.errors import ConfigError

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_LONGEST = 10**9  # seconds; about 30 years


class UsageError(Exception):
    """The arguments are wrong; ``command`` is the one whose help explains them."""

    def __init__(self, command: str, text: str) -> None:
        super().__init__(text)
        self.command = command


class Parser(argparse.ArgumentParser):
    """An argument parser that raises a UsageError, in which no value is shown."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options, allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter)

    def error(self, message: str) -> NoReturn:
        raise UsageError(self.prog, message)

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            raise argparse.ArgumentError(action, f"expected one of {', '.join(map(str, action.choices))}")


def check_all_known(command: str, unknown: Sequence[str]) -> None:
    """Raise a UsageError if arguments were not understood; only what looks like an option is shown."""
    names = [match[0] for argument in unknown if (match := re.match(r"--[a-z-]{1,30}(?==|\Z)", argument))]
    if unknown:
        raise UsageError(
            command, f"unknown option {', '.join(names)}" if names else f"{len(unknown)} arguments too many"
        )


class Command(NamedTuple):
    """A command of ``cfgate``, for its row in the table of commands."""

    name: str
    summary: str  # one line
    example: str  # what is shown below "example:" in its help
    add_options: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]  # returns the exit status

    def add_to(self, parsers: argparse._SubParsersAction[Parser]) -> None:
        """Add this command to the parsers of all commands."""
        description = f"{self.summary[:1].upper()}{self.summary[1:]}."
        example = "\n".join(f"  {line}" for line in self.example.strip().splitlines())
        parser = parsers.add_parser(
            self.name, help=self.summary, description=description, epilog=f"example:\n{example}"
        )
        self.add_options(parser)
        parser.set_defaults(command=self)


def add_public_key(parser: argparse.ArgumentParser, required: bool) -> None:
    """Add the option that names trusted keys."""
    parser.add_argument(
        "--public-key",
        metavar="ID=FILE",
        type=_to_key,
        action="append",
        default=[],
        required=required,
        help="a trusted key: its id and the path of the public key in PEM; may be repeated",
    )


def public_keys(options: argparse.Namespace) -> Secret[dict[str, str]]:
    """Return the trusted keys: paths by id. What was given may be a private key by mistake."""
    pairs = Secret([key.value for key in options.public_key])
    if len(dict(pairs.value)) != len(pairs.value):
        raise ConfigError("--public-key: an id is given twice")
    return Secret(dict(pairs.value))


def _to_key(text: str) -> Secret[tuple[str, str]]:
    name, mark, path = text.partition("=")
    if not (name and mark and path):
        raise argparse.ArgumentTypeError("expected ID=FILE, such as K2JCJMDEHXQW5F=cloudfront-public.pem")
    return Secret((name, path))


def aligned(rows: Sequence[tuple[str, str]]) -> str:
    """Return rows of two columns as text."""
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:{width}}  {value}" for name, value in rows)


def to_time(text: str) -> int:
    """Return a time as epoch seconds; without an offset it is in UTC, as for ``aws cloudfront sign``."""
    try:
        seconds = int(text) if re.fullmatch(r"[0-9]{1,20}", text) else _from_iso(text)
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(
            "expected a time such as 2027-01-15, 2027-01-15T09:00:00+01:00 or 1800000000 (epoch seconds)"
        ) from None
    if not 1 <= seconds <= MAX_EPOCH:
        why = "these are milliseconds; " if 1 <= seconds // 1000 <= MAX_EPOCH else ""
        raise argparse.ArgumentTypeError(f"{why}expected epoch seconds from 1 to {MAX_EPOCH}")
    return seconds


def _from_iso(text: str) -> int:
    time = datetime.fromisoformat(text)
    return int((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp())


def to_duration(text: str) -> int:
    """Return a duration such as ``90``, ``15m`` or ``1h30m`` in seconds."""
    if (
        not re.fullmatch(r"[0-9]{1,10}|(?:[0-9]{1,10}[smhd])+", text)
        or not 1 <= (seconds := _seconds(text)) <= _LONGEST
    ):
        raise argparse.ArgumentTypeError("expected a duration such as 90s, 15m, 1h or 7d")
    return seconds


def _seconds(text: str) -> int:
    return sum(int(number) * _UNITS[unit or "s"] for number, unit in re.findall(r"([0-9]+)([smhd]?)", text))
