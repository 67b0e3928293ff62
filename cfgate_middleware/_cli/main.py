"""The command line: which commands exist, and how they end."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence

from cfgate_middleware import __version__
from cfgate_middleware._cli import edge, explain, keys, sign
from cfgate_middleware._cli.command import Parser, UsageError, check_all_known
from cfgate_middleware.errors import CFGateError, ConfigError

COMMANDS = (  # one row per command
    keys.KEYGEN,
    sign.SIGN,
    sign.COOKIES,
    edge.EDGE,
    explain.EXPLAIN,
)
# Arguments of functions, as errors name them; file names may hold the same words.
_OPTION = re.compile(r"(?<![\w'/.-])(?:key_pair_id|private_key|hash_algorithm|public_url|allow_origin)(?=[ :=])")
USAGE = 2  # the exit status of wrong arguments, and of everything else that is an error


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status; an error is one line on stderr."""
    command = "cfgate"
    try:
        options, unknown = _parser().parse_known_args(arguments)
        command = f"cfgate {options.command.name}"
        check_all_known(command, unknown)
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
    text = str(error)
    if isinstance(error, ConfigError):
        text = "; ".join(error.problems)
    elif isinstance(error, OSError) and error.strerror:
        text = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return _OPTION.sub(lambda match: f"--{match[0].replace('_', '-')}", " ".join(text.split()))
