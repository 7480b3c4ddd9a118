"""``gnnreloc search``: the moments of a library that show what a query clip shows."""

from __future__ import annotations

import argparse
import csv
import json
import os
import sys
from dataclasses import asdict

from gnnreloc.commands.features import standard_output_kept
from gnnreloc.commands.localize import (
    Progress,
    check_output_options,
    default_cache,
    print_moments,
    told_warnings,
)

HELP = "find in a library of videos the moments that show the same action as a query clip"

DESCRIPTION = """\
Rank the moments of all videos of an index, which gnnreloc index makes, by how well they show what
the query shows, and print them in seconds. The index gives the windows that look most like the
query; these are looked at more closely: by the model of --checkpoint, or, without one, by aligning
the query with their neighbourhoods, from half to twice as long as the query.

exit status: 0 all is well, 2 bad usage, no index, or an unreadable query
"""

EXAMPLES = """\
  gnnreloc search INDEX/ --query goal.mp4
  gnnreloc search INDEX/ --query "match.mp4#t=3,7.5" --top 20 --json
  gnnreloc search INDEX/ --query goal.mp4 --checkpoint runs/mine --candidates 500
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add = parser.add_argument
    add("index", metavar="INDEX", help="folder that gnnreloc index wrote")
    add("--query", required=True, metavar="VIDEO", help="a file, or a part of one: q.mp4#t=3,7.5")
    add("--checkpoint", metavar="PATH", help="what gnnreloc train left; none: nothing is trained")
    add("--top", type=int, default=10, metavar="N", help="number of moments at most (10)")
    add("--candidates", type=int, metavar="N", help="windows that are looked at closely (200)")
    add("--exact", action="store_true", help="compare with every window, however many there are")
    add("--json", action="store_true", help="print JSON instead of a table")
    add("--csv", action="store_true", help="print CSV instead of a table")
    add("--cache", metavar="FOLDER", help="where features are kept ($XDG_CACHE_HOME/gnnreloc)")
    add("--no-cache", action="store_true", help="keep no features")


def run(options: argparse.Namespace) -> int:
    """Print the moments, and give the exit status."""
    # Here, so that --help and --version need not wait for torch.
    from gnnreloc.search.library import CANDIDATES, open_library

    check_output_options(options, "cache")
    checkpoint = None if options.checkpoint is None else os.path.expanduser(options.checkpoint)
    with told_warnings(), standard_output_kept(), Progress() as progress:
        library = open_library(
            options.index,
            checkpoint,
            cache=None if options.no_cache else options.cache or default_cache(),
            progress=progress.show,
        )
        moments = library.search(
            os.path.expanduser(options.query),
            top=options.top,
            candidates=CANDIDATES if options.candidates is None else options.candidates,
            exact=options.exact,
        )
    rows = [asdict(found) for found in moments]
    if options.json:
        content = {"query": options.query, "index": options.index, "moments": rows}
        print(json.dumps(content, indent=2))
    elif options.csv:
        writer = csv.DictWriter(sys.stdout, ["video", "start", "end", "score"])
        writer.writeheader()
        writer.writerows(rows)
    else:
        print_moments(f"{options.query} in {options.index}", moments, videos=True)
    return 0
