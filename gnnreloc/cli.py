"""The command ``gnnreloc``."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from gnnreloc import __version__
from gnnreloc.commands import COMMANDS
from gnnreloc.errors import InputError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: the arguments; those of the process by default.

    Returns:
        The exit status. Bad input is told in one line on standard error and gives 2.
    """
    options = build_parser().parse_args(arguments)
    try:
        status: int = options.run(options)
        sys.stdout.flush()
    except InputError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # what reads our output has seen enough, as head does
        # Python would say so once more when it closes the stream at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except KeyboardInterrupt:
        told = ["interrupted", *filter(None, [options.after_interrupt])]
        print(f"error: {'; '.join(told)}", file=sys.stderr)
        return 130
    return status


class _OneLineParser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        print(f"error: {message}; {self.prog} --help says more", file=sys.stderr)
        sys.exit(2)


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    layout = argparse.RawDescriptionHelpFormatter
    parser = _OneLineParser(
        prog="gnnreloc",
        description="Find in a long video the moment that shows the same action as a query clip.",
        epilog="examples:\n" + "".join(command.EXAMPLES for command in COMMANDS.values()),
        formatter_class=layout,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"gnnreloc {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, command in COMMANDS.items():
        own = commands.add_parser(
            name,
            help=command.HELP,
            description=command.DESCRIPTION,
            epilog="examples:\n" + command.EXAMPLES,
            formatter_class=layout,
            allow_abbrev=False,
        )
        command.add_options(own)
        after_interrupt = getattr(command, "AFTER_INTERRUPT", None)
        own.set_defaults(run=command.run, after_interrupt=after_interrupt)
    return parser


if __name__ == "__main__":
    sys.exit(main())
