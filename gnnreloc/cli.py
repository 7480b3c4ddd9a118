"""The command ``gnnreloc``."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, NoReturn

from gnnreloc import __version__
from gnnreloc.errors import InputError

if TYPE_CHECKING:
    from gnnreloc.datasets.findings import Finding

_EXAMPLES = """\
examples:
  gnnreloc check --dataset activitynet12 --root DATA/activitynet12
  gnnreloc check --dataset thumos14 --root DATA/thumos14 --json
"""

_CHECK = """\
Say what is present, missing or inconsistent under the root of a data set: files, counts of
videos, moments and classes, and the lengths of the features against the durations. Feature values
of the large data sets are not read. A missing file is named with where to get it.

data sets: bandai, fir, activitynet12, thumos14, activitynet_vrl
exit status: 0 all is well, 1 something is missing or inconsistent, 2 bad usage
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: the arguments; those of the process by default.

    Returns:
        The exit status. Bad input is told in one line on standard error and gives 2.
    """
    options = _build_parser().parse_args(arguments)
    try:
        status: int = options.run(options)
    except InputError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("error: interrupted", file=sys.stderr)
        return 130
    return status


class _OneLineParser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        print(f"error: {message}; {self.prog} --help says more", file=sys.stderr)
        sys.exit(2)


def _build_parser() -> argparse.ArgumentParser:
    layout = argparse.RawDescriptionHelpFormatter
    parser = _OneLineParser(
        prog="gnnreloc",
        description="Find in a long video the moment that shows the same action as a query clip.",
        epilog=_EXAMPLES,
        formatter_class=layout,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"gnnreloc {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    check = commands.add_parser(
        "check",
        help="say whether the files of a data set are complete",
        description=_CHECK,
        epilog=_EXAMPLES,
        formatter_class=layout,
        allow_abbrev=False,
    )
    check.add_argument("--dataset", required=True, metavar="NAME", help="name of the data set")
    check.add_argument("--root", required=True, metavar="FOLDER", help="folder of its files")
    check.add_argument("--json", action="store_true", help="print JSON instead of a table")
    check.set_defaults(run=_check)
    return parser


def _check(options: argparse.Namespace) -> int:
    # Here, so that --help and --version need not wait for torch.
    from gnnreloc.datasets.check import check_dataset

    root = os.path.expanduser(options.root)
    findings = check_dataset(options.dataset, root)
    well = all(finding.status == "present" for finding in findings)
    if options.json:
        content = {"dataset": options.dataset, "root": root, "complete": well}
        print(json.dumps({**content, "findings": [asdict(found) for found in findings]}, indent=2))
    else:
        _print_table(f"{options.dataset} in {root}", findings)
        print("complete" if well else "not complete")
    return 0 if well else 1


def _print_table(title: str, findings: Sequence[Finding]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    colours = {"present": "green", "missing": "red", "inconsistent": "yellow"}
    table = Table(title=Text(title))
    for column in ("status", "what", "detail"):
        table.add_column(column, overflow="fold")
    for found in findings:
        status = Text(found.status, style=colours[found.status])
        table.add_row(status, Text(found.what), Text(found.detail))
    # A pipe has no width to fold to.
    Console(width=None if sys.stdout.isatty() else 160).print(table)


if __name__ == "__main__":
    sys.exit(main())
