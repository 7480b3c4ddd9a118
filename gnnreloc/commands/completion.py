"""``gnnreloc completion``: completion of commands and options in a shell."""

from __future__ import annotations

import argparse

HELP = "print what makes a shell complete commands and options"

DESCRIPTION = """\
Print a script for the shell, to be read when it starts.

exit status: 0, or 2 for bad usage
"""

EXAMPLES = """\
  eval "$(gnnreloc completion bash)"        # in ~/.bashrc
  gnnreloc completion zsh > ~/.zfunc/_gnnreloc
"""

SHELLS = ("bash", "zsh", "tcsh")
#: Metavars of what is a path.
PATHS = (
    *("FILE", "FOLDER", "INDEX", "LIBRARY", "MODEL"),
    *("PATH", "RUN", "STORE", "VIDEO", "VIDEOS"),
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("shell", choices=SHELLS, help="the shell")


def run(options: argparse.Namespace) -> int:
    """Print the script."""
    import shtab

    from gnnreloc.cli import build_parser

    parser = build_parser()
    for each in [parser, *_commands(parser)]:
        for action in each._actions:
            if action.metavar in PATHS:
                action.complete = shtab.FILE  # type: ignore[attr-defined]
    print(shtab.complete(parser, options.shell))
    return 0


def _commands(parser: argparse.ArgumentParser) -> list[argparse.ArgumentParser]:
    """The parsers of the commands."""
    parts = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    return [each for part in parts for each in part.choices.values()]
