"""``gnnreloc features``: the features of a folder of videos."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from gnnreloc.video import Outcome
    from gnnreloc.video.folder_extraction import Extract

HELP = "extract the features of videos"

DESCRIPTION = """\
Write the features of every video into a folder, one file for each, that the other commands and
gnnreloc.data.open_features read. What is there already is skipped, so that the same command goes on
after an interruption; a video that cannot be read is listed and does not stop the others.

backbones: efficientnet_lite0, videomae, vjepa2, c3d; or module:Class for one of your own
exit status: 0 all is well, 1 some videos failed, 2 bad usage
"""

AFTER_INTERRUPT = "the same command goes on where it stopped"

EXAMPLES = """\
  gnnreloc features VIDEOS/ --out FEATURES/
  gnnreloc features a.mp4 b.webm --out FEATURES/ --step 0.25 --json
  gnnreloc features VIDEOS/ --out FEATURES/ --backbone c3d --option weights=c3d.pickle
  gnnreloc features VIDEOS/ --out FEATURES/ --engine ray --workers 8
"""

_LONGEST_TABLE = 50  # videos; of more, only those with something to remark are listed


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "videos", nargs="+", metavar="VIDEOS", help="folders, with all in them, and files"
    )
    parser.add_argument("--out", required=True, metavar="FOLDER", help="folder to write to")
    parser.add_argument(
        "--backbone", metavar="NAME", help="what makes the features (efficientnet_lite0)"
    )
    parser.add_argument(
        "--step",
        type=float,
        metavar="SECONDS",
        help="from one feature row to the next (as the backbone has it: 0.5)",
    )
    parser.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="option of the backbone; may be given several times",
    )
    parser.add_argument("--decoder", default="pyav", metavar="NAME", help="pyav or torchcodec")
    add_engine_options(parser)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def run(options: argparse.Namespace) -> int:
    """Extract, print what became of the videos, and give the exit status."""
    # Here, so that --help and --version need not wait for torch.
    from gnnreloc.video import create_backbone, extract_folder
    from gnnreloc.video.backbones import DEFAULT_BACKBONE
    from gnnreloc.video.video_files import find_videos

    sources = [os.path.expanduser(source) for source in options.videos]
    videos = find_videos(sources)
    backbone = create_backbone(
        options.backbone or DEFAULT_BACKBONE,
        step=options.step,
        **read_backbone_options(options.option),
    )
    out = os.path.expanduser(options.out)
    with standard_output_kept(), ExtractionProgress(len(videos)) as progress:
        outcomes = extract_folder(
            sources,
            out,
            backbone,
            decoder=options.decoder,
            extract=choose_engine(options),
            on_seconds=progress.show,
            on_outcome=progress.finish,
        )
    counts = Counter(outcome.status for outcome in outcomes)
    if options.json:
        _print_json(out, backbone.settings, outcomes)
    else:
        print_outcomes(out, outcomes)
        total = f"{counts['done']} done, {counts['skipped']} skipped, {counts['failed']} failed"
        print(f"{total}: {out}")
    return 1 if counts["failed"] else 0


def read_backbone_options(given: Sequence[str]) -> dict[str, Any]:
    """``NAME=VALUE`` texts as arguments; a value that is JSON is read as such."""
    from gnnreloc.errors import InputError

    options: dict[str, Any] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not (equals and name.isidentifier()):
            raise InputError(f"--option: found {text!r}, wanted NAME=VALUE")
        try:
            options[name] = json.loads(value)
        except ValueError:
            options[name] = value
    return options


def add_engine_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options that say who extracts."""
    add = parser.add_argument
    add("--engine", choices=("local", "ray"), default="local", help="one process, or Ray's workers")
    add("--workers", type=int, metavar="N", help="of ray (default: one a GPU, else one a CPU)")
    add("--address", metavar="ADDRESS", help="of a ray cluster (default: this machine alone)")


def choose_engine(options: argparse.Namespace) -> Extract | None:
    """What extracts, by the options; ``None`` for the default."""
    from gnnreloc.errors import InputError

    if options.engine == "local":
        for name in ("workers", "address"):
            if getattr(options, name) is not None:
                raise InputError(f"--{name} has no meaning without --engine ray")
        return None
    from gnnreloc.video.ray_extraction import RayExtraction

    return RayExtraction(options.workers, options.address)


def standard_output_kept() -> contextlib.redirect_stdout[TextIO]:
    """Sends what others print, such as Ray of workers that died, to standard error meanwhile."""
    return contextlib.redirect_stdout(sys.stderr)


class ExtractionProgress:
    """A bar on standard error, if that is a terminal."""

    def __init__(self, videos: int) -> None:
        from tqdm import tqdm

        self._bar = tqdm(total=videos, unit="video", disable=None, dynamic_ncols=True)

    def __enter__(self) -> ExtractionProgress:
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.close()

    def show(self, video: str, seconds: float) -> None:
        """So many seconds of this video are done."""
        self._bar.set_postfix_str(f"{video} {seconds:.0f} s")

    def finish(self, outcome: Outcome) -> None:
        """One more video is done."""
        self._bar.update()


def _print_json(out: str, settings: dict[str, Any], outcomes: Sequence[Outcome]) -> None:
    videos = [
        {
            "video": outcome.video,
            "path": str(outcome.path),
            "status": outcome.status,
            "rows": outcome.rows,
            "step": outcome.step or None,
            "reason": outcome.reason or None,
        }
        for outcome in outcomes
    ]
    print(json.dumps({"store": out, "settings": settings, "videos": videos}, indent=2))


def print_outcomes(out: str, outcomes: Sequence[Outcome]) -> None:
    """A table of the videos, if they are few, and a line for each with something to remark."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    colours = {"done": "green", "skipped": "cyan", "failed": "red"}
    table = Table(title=Text(f"features in {out}"))
    for column in ("status", "video"):
        table.add_column(column, overflow="fold")
    for column in ("rows", "seconds"):
        table.add_column(column, justify="right")
    for outcome in outcomes:
        rows = f"{outcome.rows}" if outcome.rows else ""
        seconds = f"{outcome.rows * outcome.step:.1f}" if outcome.rows else ""
        status = Text(outcome.status, style=colours[outcome.status])
        table.add_row(status, Text(outcome.video), rows, seconds)
    if len(outcomes) <= _LONGEST_TABLE:
        # A pipe has no width to fold to.
        Console(width=None if sys.stdout.isatty() else 160).print(table)
    for outcome in outcomes:
        if outcome.reason:
            print(f"{outcome.status}: {' '.join(outcome.reason.split())}")
