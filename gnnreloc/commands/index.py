"""``gnnreloc index``: a library of videos, made ready to be searched."""

from __future__ import annotations

import argparse
import json
import os
from collections import Counter
from typing import TYPE_CHECKING

from gnnreloc.commands import features

if TYPE_CHECKING:
    from gnnreloc.search.index import IndexReport

HELP = "make a library of videos ready to be searched"

DESCRIPTION = """\
Write the features of every video of the library, and a vector for each of its windows, into a
folder that gnnreloc search reads. The same command goes on after an interruption, and later puts in
what is new or has changed: what is done is skipped. A video that cannot be read is listed and does
not stop the others. While one process writes, others may search.

exit status: 0 all is well, 1 some videos failed, 2 bad usage
"""

AFTER_INTERRUPT = "the same command goes on where it stopped"

EXAMPLES = """\
  gnnreloc index VIDEOS/ --out INDEX/
  gnnreloc index VIDEOS/ MORE/ --out INDEX/ --prune
  gnnreloc index VIDEOS/ --out INDEX/ --engine ray --address auto
  gnnreloc index --out INDEX/ --remove "day 1/a.mp4"
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add = parser.add_argument
    add("library", nargs="*", metavar="LIBRARY", help="folders, with all in them, and files")
    add("--out", required=True, metavar="INDEX", help="folder of the index")
    add("--backbone", metavar="NAME", help="what makes the features (efficientnet_lite0)")
    add("--step", type=float, metavar="SECONDS", help="from one feature row to the next")
    add(
        "--option",
        action="append",
        metavar="NAME=VALUE",
        help="option of the backbone; may be given several times",
    )
    add("--decoder", metavar="NAME", help="pyav or torchcodec")
    add(
        "--checkpoint",
        metavar="PATH",
        help="what gnnreloc train left: windows and vectors that suit it",
    )
    features.add_engine_options(parser)
    add("--prune", action="store_true", help="take out videos that the library no longer has")
    add(
        "--remove",
        action="append",
        default=[],
        metavar="VIDEO",
        help="take out a video, by its name; may be given several times",
    )
    add("--json", action="store_true", help="print JSON instead of a table")


def run(options: argparse.Namespace) -> int:
    """Bring the index up to date, print what became of the videos, and give the exit status."""
    # Here, so that --help and --version need not wait for torch.
    from gnnreloc.errors import InputError
    from gnnreloc.models.saved_model import load_model
    from gnnreloc.search.index import update_index
    from gnnreloc.video.video_files import find_videos

    if not (options.library or options.remove):
        raise InputError("wanted LIBRARY, or a video to --remove")
    sources = [os.path.expanduser(source) for source in options.library]
    count = len(find_videos(sources)) if sources else 0
    model = None if options.checkpoint is None else load_model(options.checkpoint)
    out = os.path.expanduser(options.out)
    with features.standard_output_kept(), features.ExtractionProgress(count) as progress:
        report = update_index(
            sources,
            out,
            options.backbone,
            step=options.step,
            options=None
            if options.option is None
            else features.read_backbone_options(options.option),
            model=model,
            decoder=options.decoder,
            prune=options.prune,
            remove=options.remove,
            extract=features.choose_engine(options),
            on_seconds=progress.show,
            on_outcome=progress.finish,
        )
    counts = Counter(outcome.status for outcome in report.outcomes)
    if options.json:
        _print_json(out, report)
    else:
        features.print_outcomes(out, report.outcomes)
        for video in report.removed:
            print(f"removed: {video}")
        total = f"{counts['done']} done, {counts['skipped']} skipped, {counts['failed']} failed"
        print(f"{total}: {out} holds {report.videos} videos, {report.proposals} proposals")
    return 1 if counts["failed"] else 0


def _print_json(out: str, report: IndexReport) -> None:
    content = {
        "index": out,
        "videos": [
            {
                "video": outcome.video,
                "path": str(outcome.path),
                "status": outcome.status,
                "rows": outcome.rows,
                "step": outcome.step or None,
                "reason": outcome.reason or None,
            }
            for outcome in report.outcomes
        ],
        "removed": list(report.removed),
        "total": {"videos": report.videos, "proposals": report.proposals},
    }
    print(json.dumps(content, indent=2))
