"""``gnnreloc train``: train on one's own videos, with labels or without."""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from typing import TYPE_CHECKING, Any

from gnnreloc.errors import InputError

if TYPE_CHECKING:
    from gnnreloc.training.own_videos import TrainedRun

HELP = "train on your own videos, with labels or without"

DESCRIPTION = """\
Train a model on your own videos. --data is a folder with their features ('features', as
'gnnreloc features' writes it) and moments.csv with the columns video,start,end,label (seconds);
a column subset (train, validation, test) is used where there is one. Some classes (or, where there
are too few, videos) are held back to say what training gained over the training-free answer.

With --unlabelled no table is read: a changed crop of a video must be found again in it, against
other places of the same video and other videos.

--init starts from a model that was trained before, with its options and its scaling of the
features. Several devices train together by --devices, or started by torchrun or fabric run.

The folder --out gets model.safetensors, for 'gnnreloc localize --checkpoint', log.csv and what
--resume needs. Ctrl-C saves the model of the last finished epoch.

exit status: 0 trained, 1 the loss is not finite, 2 bad usage or data, 130 interrupted
"""

EXAMPLES = """\
  gnnreloc train --data MINE --out runs/mine
  gnnreloc train --data MINE --out runs/unlabelled --unlabelled --epochs 12
  gnnreloc train --data MINE --out runs/mine --resume
  gnnreloc train --data MINE --out runs/finer --init runs/unlabelled
  gnnreloc train --data MINE --out runs/mine --devices 4 --json
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add = parser.add_argument
    add("--data", required=True, metavar="FOLDER", help="features and moments.csv")
    add("--out", required=True, metavar="RUN", help="output folder (new)")
    add("--unlabelled", action="store_true", help="train without labels (crop-and-find)")
    add("--resume", action="store_true", help="go on with the run in --out")
    add("--features", metavar="STORE", help="features that lie elsewhere")
    add("--moments", metavar="FILE", help="table of moments that lies elsewhere")
    add("--step", type=float, metavar="S", help="seconds from one feature row to the next")
    add(
        "--hold-out",
        type=float,
        metavar="SHARE",
        help="share of classes (or videos) not trained on (default 0.2; unlabelled 0.1; 0: none)",
    )
    add(
        "--divide",
        choices=("auto", "classes", "videos"),
        default="auto",
        help="what is held back (default: classes where there are enough)",
    )
    add("--skip-missing", action="store_true", help="leave out videos without features")
    add("--split", type=int, default=0, metavar="N", help="seed of what is held back (default 0)")
    add("--shortest", type=float, metavar="S", help="length of the shortest candidates")
    add("--longest", type=float, metavar="S", help="length of the longest candidates")
    add("--init", metavar="MODEL", help="start from the weights of this saved model")
    add("--system", metavar="NAME", help="graph model (default dynamic, or that of --init)")
    add("--hidden-channels", type=int, metavar="D", help="width of the model (default 96)")
    add("--timesteps", type=int, metavar="T", help="timesteps of a clip (default 24)")
    add("--epochs", type=int, metavar="N", help="training epochs (default 24)")
    add("--samples", type=int, metavar="N", help="samples an epoch (default 320)")
    add("--batch-size", type=int, metavar="N", help="samples a step of a device (default 16)")
    add("--list-length", type=int, metavar="N", help="candidates in a sample (default 24)")
    add("--seed", type=int, default=0, metavar="N", help="seed of weights and samples (default 0)")
    add("--device", default="auto", help="auto, cpu, cuda, ... (default auto)")
    add("--devices", type=int, metavar="N", help="number of devices (default 1)")
    add("--workers", type=int, metavar="N", help="processes that prepare batches (default 0)")
    add("--json", action="store_true", help="print JSON instead of text")


def run(options: argparse.Namespace) -> int:
    """Train, and print what it came to."""
    # Here, so that --help need not wait for torch.
    from gnnreloc.training.freed_memory import keep_freed_memory
    from gnnreloc.training.own_videos import InterruptedTrainingError, train_on_folder

    keep_freed_memory()
    with warnings.catch_warnings():
        warnings.showwarning = _show_warning
        try:
            trained = train_on_folder(
                options.data,
                options.out,
                unlabelled=options.unlabelled,
                system=options.system,
                init=options.init,
                model_options=_given(options, "hidden_channels", "timesteps"),
                data_options=_data_options(options),
                seed=options.seed,
                resume=options.resume,
                device=options.device,
                **_given(
                    options,
                    *("epochs", "samples", "batch_size", "list_length", "devices", "workers"),
                ),
            )
        except InterruptedTrainingError as error:
            print(f"error: {error}", file=sys.stderr)
            return 130
        except FloatingPointError as error:
            print(f"error: {error}; the last checkpoint is untouched", file=sys.stderr)
            return 1
        except OSError as error:
            raise InputError(f"--out {options.out}: {error}") from error
    if trained is not None:
        (_print_json if options.json else _print)(trained, options)
    return 0


def _given(options: argparse.Namespace, *names: str) -> dict[str, Any]:
    """Those options that the user gave; the others keep their defaults, which stand elsewhere."""
    return {name: getattr(options, name) for name in names if getattr(options, name) is not None}


def _data_options(options: argparse.Namespace) -> dict[str, Any]:
    chosen = _given(options, "features", "step", "shortest", "longest") | {"split": options.split}
    share = options.hold_out
    if options.unlabelled:
        for option, value in (
            ("--moments", options.moments is not None),
            ("--divide", options.divide != "auto"),
            ("--skip-missing", options.skip_missing),
        ):
            if value:
                raise InputError(f"{option} has no meaning with --unlabelled: no table is read")
        return chosen | ({} if share is None else {"validation_share": share})
    chosen |= _given(options, "moments")
    chosen |= {"validation_share": 0.2 if share is None else share, "test_share": 0.0}
    chosen["unseen_classes"] = {"auto": None, "classes": True, "videos": False}[options.divide]
    chosen["on_missing"] = "drop" if options.skip_missing else "raise"
    return chosen


def _print(trained: TrainedRun, options: argparse.Namespace) -> None:
    moments, settings = trained.corpus.moments, trained.corpus.settings
    own = moments[moments["subset"] == "train"]
    what = f"{own['video'].nunique()} videos"
    if not options.unlabelled:
        what = f"{len(own)} moments of {own['label'].nunique()} classes in {what}"
    print(f"trained {trained.system} on {what}: {trained.file}")
    print(f"held back: {settings['division']}")
    if not trained.figures:
        print(f"what training gained was not measured: {trained.judged_on}")
        return
    print(f"measured on {trained.judged_on}")
    for name, figures in trained.figures.items():
        first, mean = figures.values()
        print(f"  {name:14} R@1 at tIoU .5: {100 * first:5.1f} %   mean tIoU: {100 * mean:5.1f} %")


def _print_json(trained: TrainedRun, options: argparse.Namespace) -> None:
    content = {"system": trained.system, "file": str(trained.file)}
    content |= {"held_back": trained.corpus.settings["division"], "judged_on": trained.judged_on}
    print(json.dumps({**content, "figures": trained.figures}, indent=2))


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    print(f"warning: {' '.join(str(message).split())}", file=sys.stderr)
