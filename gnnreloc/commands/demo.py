"""``gnnreloc demo``: a page to search videos by example."""

from __future__ import annotations

import argparse
import os
import threading

from gnnreloc.commands.features import read_backbone_options
from gnnreloc.commands.localize import add_backbone_options, told_warnings
from gnnreloc.errors import InputError

HELP = "open a page to search videos by example in a browser"

DESCRIPTION = """\
Serve a page on this machine alone (127.0.0.1): choose a query and a reference, find the moments,
play them, and see which timesteps are joined. It has an example of its own. With --index it
searches a library, too. Ctrl-C ends it, and removes what was uploaded.

exit status: 0 ended, 2 bad usage
"""

EXAMPLES = """\
  gnnreloc demo
  gnnreloc demo --checkpoint runs/mine --port 7870
  gnnreloc demo --index INDEX/
  gnnreloc demo --backbone c3d --option weights=c3d.pth
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add = parser.add_argument
    add("--checkpoint", metavar="PATH", help="what gnnreloc train left; none: nothing is trained")
    add("--index", metavar="INDEX", help="library to search, too: what gnnreloc index wrote")
    add("--port", type=int, metavar="N", help="port (default: a free one)")
    add("--megabytes", type=float, default=200.0, metavar="N", help="largest upload (200)")
    add("--seconds", type=float, default=1800.0, metavar="S", help="longest video (1800)")
    add_backbone_options(parser)


def run(options: argparse.Namespace) -> int:
    """Serve the page until Ctrl-C, and give the exit status."""
    from gnnreloc.demo import Limits
    from gnnreloc.demo.app import running_page
    from gnnreloc.search import load, open_library

    for name in ("megabytes", "seconds"):
        if not 0 < getattr(options, name) < float("inf"):
            raise InputError(f"--{name} must be above 0, got {getattr(options, name):g}")
    checkpoint = None if options.checkpoint is None else os.path.expanduser(options.checkpoint)
    with told_warnings():
        engine = load(
            checkpoint,
            backbone=options.backbone,
            step=options.step,
            options=read_backbone_options(options.option),
            decoder=options.decoder,
        )
        library = None if options.index is None else open_library(options.index, checkpoint)
    limits = Limits(options.megabytes, options.seconds)
    with running_page(engine, library, limits, port=options.port) as address:
        print(f"the page: {address} (Ctrl-C ends it)", flush=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            return 0
    return 0
