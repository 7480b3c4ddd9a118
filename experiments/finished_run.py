"""A finished run of ``run.py``, brought back from its folder: options, data, trained model."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import NamedTuple

from jsonargparse import Namespace
from options import build_parser, choose_first, read_options
from run import build_model, load_corpus

from gnnreloc.data import Corpus
from gnnreloc.errors import InputError
from gnnreloc.models import Relocalizer, TrainableRelocalizer
from gnnreloc.training import load_checkpoint


class FinishedRun(NamedTuple):
    """What a run had in memory when it was judged.

    Attributes:
        config: its options, as ``run.py`` parsed them.
        corpus: its data set.
        model: its system with the weights of the last epoch, on the CPU, in evaluation mode.
    """

    config: Namespace
    corpus: Corpus
    model: Relocalizer


def load_run(folder: str | Path, root: str | Path | None = None) -> FinishedRun:
    """Rebuild data set and model of a finished run from its ``config.yaml`` and its checkpoint.

    What the loader warned of when the run was made is not said again. An option that the run named
    wrongly, as one of another version may, ends the program as in ``run.py``: one line, status 2.

    Args:
        folder: output folder of ``run.py``, or of a cell of ``compare.py``.
        root: folder of the data set, where it is no longer the one that the run was given.

    Raises:
        InputError: if the folder holds no finished run, its data set is not there, or its
            checkpoint is damaged or fits another model.
    """
    folder = Path(folder).expanduser()
    for name in ("config.yaml", "metrics.json"):
        if not (folder / name).is_file():
            raise InputError(f"{folder} holds no finished run: it has no {name}")
    given = f"--config={folder / 'config.yaml'}"
    read_options(folder / "config.yaml")  # says in one line what is wrong with the file
    choice, arguments = choose_first([given] if root is None else [given, f"--root={root}"])
    config = build_parser(choice).parse_args(arguments)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        corpus = load_corpus(config)
    model = build_model(config, corpus)
    if isinstance(model, TrainableRelocalizer):
        path = folder / "checkpoint" / "last.pt"
        try:
            model.load_state_dict(load_checkpoint(path)["model"])
        except (KeyError, RuntimeError, TypeError) as error:
            reason = " ".join(str(error).split())
            raise InputError(f"checkpoint {path} is of another model: {reason}") from error
        model.eval()
    return FinishedRun(config, corpus, model)
