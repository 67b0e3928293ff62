"""The command line: which commands exist, and how they end."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from cfgate_middleware import __version__
from cfgate_middleware._cli import edge, keys, sign
from cfgate_middleware._cli.command import Parser, UsageError
from cfgate_middleware.errors import CFGateError, ConfigError

COMMANDS = (  # one row per command
    keys.KEYGEN,
    sign.SIGN,
    sign.COOKIES,
    edge.EDGE,
)
USAGE = 2  # the exit status of wrong arguments, and of everything else that is an error


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status; an error is one line on stderr."""
    command = "cfgate"
    try:
        options = _parser().parse_args(arguments)
        command = f"cfgate {options.command.name}"
        return int(options.command.run(options))
    except UsageError as error:
        print(f"{error.command}: {error} (see {error.command} --help)", file=sys.stderr)
    except (CFGateError, OSError) as error:
        print(f"{command}: {_one_line(error)}", file=sys.stderr)
    return USAGE


def _parser() -> Parser:
    description = "CloudFront signed URLs: make keys, sign, and try it without AWS."
    parser = Parser(prog="cfgate", description=description, epilog="cfgate COMMAND --help shows an example of each.")
    parser.add_argument("--version", action="version", version=f"cfgate {__version__}")
    parsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in COMMANDS:
        command.add_to(parsers)
    return parser


def _one_line(error: Exception) -> str:
    if isinstance(error, ConfigError):
        return "; ".join(" ".join(problem.split()) for problem in error.problems)
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return " ".join(str(error).split())
