"""``gnnreloc check``: whether the files of a data set are complete."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gnnreloc.datasets.findings import Finding

HELP = "say whether the files of a data set are complete"

DESCRIPTION = """\
Say what is present, missing or inconsistent under the root of a data set: files, counts of
videos, moments and classes, and the lengths of the features against the durations. Feature values
of the large data sets are not read. A missing file is named with where to get it.

data sets: bandai, fir, activitynet12, thumos14, activitynet_vrl, folder
exit status: 0 all is well, 1 something is missing or inconsistent, 2 bad usage
"""

EXAMPLES = """\
  gnnreloc check --dataset activitynet12 --root DATA/activitynet12
  gnnreloc check --dataset thumos14 --root DATA/thumos14 --json
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--dataset", required=True, metavar="NAME", help="name of the data set")
    parser.add_argument("--root", required=True, metavar="FOLDER", help="folder of its files")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def run(options: argparse.Namespace) -> int:
    """Print what was found, and give the exit status."""
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
