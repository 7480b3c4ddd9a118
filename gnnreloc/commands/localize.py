"""``gnnreloc localize``: the moments of a video that show what a query clip shows."""

from __future__ import annotations

import argparse
import csv
import json
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gnnreloc.commands.features import read_backbone_options, standard_output_kept

if TYPE_CHECKING:
    from gnnreloc.search import Engine, FoundMoment
    from gnnreloc.search.engine import EncodedVideo

HELP = "find in a video the moments that show the same action as a query clip"

DESCRIPTION = """\
Rank the moments of the reference by how well they show what the query shows, and print them in
seconds. Without --checkpoint nothing is trained: the query is aligned with every segment of the
reference by the cosines of their features. The features of whole files are kept in a cache folder:
a second query on the same video does not decode it again.

exit status: 0 all is well, 2 bad usage, an unreadable video, or a file that cannot be written
"""

EXAMPLES = """\
  gnnreloc localize --query goal.mp4 --reference match.mp4
  gnnreloc localize --query "match.mp4#t=3,7.5" --reference other.mp4 --top 3 --json
  gnnreloc localize --query goal.mp4 --reference match.mp4 --checkpoint runs/mine --clip found/
  gnnreloc localize --query goal.mp4 --reference match.mp4 --backbone c3d --option weights=c3d.pth
"""

_LONGEST_STEM = 180  # bytes: a file name has 255 at most, more than usual while it is written


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add = parser.add_argument
    add("--query", required=True, metavar="VIDEO", help="a file, or a part of one: q.mp4#t=3,7.5")
    add("--reference", required=True, metavar="VIDEO", help="the video to search; a file or part")
    add("--checkpoint", metavar="PATH", help="what gnnreloc train left; none: nothing is trained")
    add("--top", type=int, default=5, metavar="N", help="number of moments at most (5)")
    add("--json", action="store_true", help="print JSON instead of a table")
    add("--csv", action="store_true", help="print CSV instead of a table")
    add("--figure", metavar="FILE", help="timeline to write (<reference>_moments.png)")
    add("--no-figure", action="store_true", help="write no timeline")
    add("--clip", metavar="FOLDER", help="cut the moments to files in this folder")
    add("--proposals", metavar="NAME", default="windows", help="of a trained model: windows or tag")
    add_backbone_options(parser)
    add("--cache", metavar="FOLDER", help="where features are kept ($XDG_CACHE_HOME/gnnreloc)")
    add("--no-cache", action="store_true", help="keep no features")


def add_backbone_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options about features."""
    add = parser.add_argument
    add("--backbone", metavar="NAME", help="what makes the features (that of the checkpoint)")
    add("--step", type=float, metavar="SECONDS", help="from one feature row to the next")
    add(
        "--option",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="option of the backbone; may be given several times",
    )
    add("--decoder", default="pyav", metavar="NAME", help="pyav or torchcodec")


def run(options: argparse.Namespace) -> int:
    """Print the moments, and give the exit status."""
    check_output_options(options, "clip", "cache")
    figure = _figure_path(options)
    with told_warnings(), standard_output_kept(), Progress() as progress:
        engine = load_engine(options, progress, proposals=options.proposals)
        video = engine.encode(os.path.expanduser(options.reference))
        query = engine.encode_query(os.path.expanduser(options.query))
        moments = engine.localize(query, video, top=options.top)
    _print(options, moments)
    if figure is not None:
        _write_figure(figure, options.query, query.duration, video, moments)
    if options.clip is not None:
        with told_warnings():
            _cut(os.path.expanduser(options.clip), moments, video)
    return 0


def check_output_options(options: argparse.Namespace, *folders: str) -> None:
    """Raise unless the options about what is written go together.

    Raises:
        InputError: If they do not; names them.
    """
    from gnnreloc.errors import InputError

    if options.json and options.csv:
        raise InputError("--json and --csv: wanted one of them")
    for name in folders:
        if getattr(options, name) == "":
            raise InputError(f"--{name}: found an empty name, wanted a folder")


def load_engine(options: argparse.Namespace, progress: Progress, **more: Any) -> Engine:
    """The engine that the options ask for."""
    from gnnreloc.search import load

    checkpoint = None if options.checkpoint is None else os.path.expanduser(options.checkpoint)
    return load(
        checkpoint,
        backbone=options.backbone,
        step=options.step,
        options=read_backbone_options(options.option),
        decoder=options.decoder,
        cache=None if options.no_cache else options.cache or default_cache(),
        progress=progress.show,
        **more,
    )


def default_cache() -> Path:
    """Folder of the features that are kept: in the user's cache."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(base) / "gnnreloc"


@contextmanager
def told_warnings() -> Iterator[None]:
    """Tell warnings in one line on standard error, as errors are told."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    for warning in caught:
        print(f"warning: {' '.join(str(warning.message).split())}", file=sys.stderr)


class Progress:
    """Seconds of video whose features are done, on a terminal alone."""

    def __init__(self) -> None:
        self._bar: Any = None

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *error: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def show(self, seconds: float) -> None:
        """So many seconds of the present video are done."""
        if self._bar is None:
            from tqdm import tqdm

            layout = "features: {n:.0f} s of video [{elapsed}]"
            self._bar = tqdm(bar_format=layout, leave=False, disable=None)
        self._bar.n = seconds
        self._bar.refresh()


def _figure_path(options: argparse.Namespace) -> Path | None:
    from gnnreloc.errors import InputError
    from gnnreloc.video import VideoClip

    if options.no_figure:
        return None
    if options.figure is None:
        stem = _short(VideoClip.parse(options.reference).path.stem)
        return Path(f"{stem}_moments.png")
    path = Path(options.figure).expanduser()
    if path.suffix.lower() not in (".png", ".svg", ".pdf"):
        raise InputError(f"--figure {path}: wanted a file that ends in .png, .svg or .pdf")
    return path


def _short(stem: str) -> str:
    """The beginning of a name, so that what is added to it still makes a file name."""
    content = os.fsencode(stem)
    return (
        stem if len(content) <= _LONGEST_STEM else content[:_LONGEST_STEM].decode(errors="ignore")
    )


def _print(options: argparse.Namespace, moments: Sequence[FoundMoment]) -> None:
    rows = [
        {"video": found.video, "start": found.start, "end": found.end, "score": found.score}
        for found in moments
    ]
    if options.json:
        content = {"query": options.query, "reference": options.reference, "moments": rows}
        print(json.dumps(content, indent=2))
    elif options.csv:
        writer = csv.DictWriter(sys.stdout, ["video", "start", "end", "score"])
        writer.writeheader()
        writer.writerows(rows)
    else:
        print_moments(f"{options.query} in {options.reference}", moments)


def print_moments(title: str, moments: Sequence[FoundMoment], *, videos: bool = False) -> None:
    """Print moments as a table.

    Args:
        title: written above.
        moments: best first.
        videos: whether they are of several videos, which are then named.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(title))
    table.add_column("", justify="right")
    if videos:
        table.add_column("video", overflow="fold")
    for column in ("start", "end", "score"):
        table.add_column(column, justify="right")
    for place, found in enumerate(moments, start=1):
        cells = [str(place), f"{found.start:.2f} s", f"{found.end:.2f} s", f"{found.score:.3f}"]
        if videos:
            cells.insert(1, found.video)
        table.add_row(*map(Text, cells))
    # A pipe has no width to fold to.
    is_terminal = sys.stdout is not None and sys.stdout.isatty()
    Console(width=None if is_terminal else 160).print(table)


def _write_figure(
    path: Path,
    query: str,
    query_duration: float,
    video: EncodedVideo,
    moments: Sequence[FoundMoment],
) -> None:
    from gnnreloc.errors import InputError
    from gnnreloc.plotting import plot_found_moments, save_figure

    figure = plot_found_moments(
        [(found.start, found.end, found.score) for found in moments],
        video.features.duration,
        start=video.start,
        query=os.path.basename(query),
        query_duration=query_duration,
        title=os.path.basename(video.name),
    )
    try:
        with warnings.catch_warnings():
            # A name in letters that the font of figures lacks.
            warnings.filterwarnings("ignore", "Glyph .* missing from")
            save_figure(figure, path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror or error}") from error
    print(f"timeline: {path}", file=sys.stderr)


def _cut(folder: str, moments: Sequence[FoundMoment], video: EncodedVideo) -> None:
    from gnnreloc.video import VideoClip
    from gnnreloc.video.cut import cut_clip

    path = VideoClip.parse(video.name).path
    for place, found in enumerate(moments, start=1):
        name = f"{_short(path.stem)}_{place}_{found.start:.2f}-{found.end:.2f}s.mp4"
        clip = VideoClip(path, found.start, found.end)
        print(f"clip: {cut_clip(clip, os.path.join(folder, name))}", file=sys.stderr)
