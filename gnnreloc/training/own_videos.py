"""Train on one's own videos, with labels or without, and save what is needed to use the model."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

import gnnreloc
from gnnreloc.data.corpus import Corpus
from gnnreloc.data.crop_set import CropSet
from gnnreloc.data.pairs import Pair, evaluation_pairs
from gnnreloc.data.scaled_features import scale_features
from gnnreloc.datasets.folder import folder, unlabelled_folder
from gnnreloc.errors import InputError
from gnnreloc.evaluation.crop_recall import found_crops
from gnnreloc.evaluation.protocol import evaluate
from gnnreloc.models.graph_relocalizer import GraphRelocalizer
from gnnreloc.models.registry import list_models, model_builder
from gnnreloc.models.relocalizer import Relocalizer
from gnnreloc.models.saved_model import FILE_NAME, save_model
from gnnreloc.search.engine import training_free_system
from gnnreloc.training.checkpoint import load_checkpoint
from gnnreloc.training.initial_model import new_model, saved_model
from gnnreloc.training.seeding import seed_everything
from gnnreloc.training.trainer import Trainer

#: The recipe ``tuned``; what else it says are the defaults of model and training loop.
EPOCHS, VALIDATE_EVERY = 24, 3
#: Queries, or crops, of a validation while training, and of the figures at the end.
QUERIES, LAST_QUERIES = 30, 100


class InterruptedTrainingError(Exception):
    """Training was interrupted; the message says what is left of it."""


@dataclass(frozen=True)
class TrainedRun:
    """What training came to.

    Attributes:
        system: name of the model.
        file: the saved model.
        log: one row an epoch.
        corpus: what was trained on.
        figures: ``training-free`` and ``trained`` to their figures on what was held back; empty
            where nothing was.
        judged_on: what the figures were measured on, in words.
    """

    system: str
    file: Path
    log: pd.DataFrame
    corpus: Corpus
    figures: Mapping[str, Mapping[str, float]]
    judged_on: str


def train_on_folder(
    data: str | Path,
    out: str | Path,
    *,
    unlabelled: bool = False,
    system: str | None = None,
    init: str | Path | None = None,
    model_options: Mapping[str, Any] | None = None,
    data_options: Mapping[str, Any] | None = None,
    epochs: int = EPOCHS,
    seed: int = 0,
    resume: bool = False,
    **training: Any,
) -> TrainedRun | None:
    """Train a graph model on a folder of features, judge it on what was held back, save it.

    The folder ``out`` gets ``model.safetensors`` (:func:`~gnnreloc.models.load_model`), log.csv,
    TensorBoard events and checkpoint/, from which a run goes on.

    Args:
        data: folder, see :func:`~gnnreloc.datasets.folder`.
        out: output folder.
        unlabelled: read no labels, but train to find crops again
            (:class:`~gnnreloc.data.CropSet`).
        system: name of a graph model, see :func:`~gnnreloc.models.list_models`; by default that of
            ``init``, or ``dynamic``.
        init: a saved model to start from: its weights, its options and its scaling of the features.
        model_options: options of :class:`~gnnreloc.models.GraphRelocalizer`.
        data_options: options of :func:`~gnnreloc.datasets.folder` or of
            :func:`~gnnreloc.datasets.unlabelled_folder`.
        epochs: number of epochs.
        seed: seed of weights and samples.
        resume: go on with the run in ``out``.
        **training: further options of :class:`~gnnreloc.training.Trainer`.

    Returns:
        The run; ``None`` in a process that only helps the first one.

    Raises:
        InputError: if an option, the data or ``out`` is not usable, another run is resumed, or
            ``init`` is of another system, size or kind of features.
        InterruptedTrainingError: if training was interrupted (Ctrl-C). What the last finished epoch
            left was saved.
        FloatingPointError: if a loss is not finite.
    """
    out = Path(out).expanduser()
    if not resume and any((out / name).exists() for name in (FILE_NAME, "checkpoint/last.pt")):
        raise InputError(f"{out} holds a run: resume it, or give another folder")
    training = {"validate_every": VALIDATE_EVERY, **training}
    training["sampling"] = "crops" if unlabelled else "lists"
    raw = _load(data, unlabelled, dict(data_options or {}))
    options = dict(model_options or {})
    seed_everything(seed)
    if init is None:
        start = new_model(raw, system or "dynamic", options)
    else:
        start = saved_model(init, raw, system, options)
    model, scaling = start.model, start.scaling
    if not isinstance(model, GraphRelocalizer):
        known = ", ".join(graph_systems())
        raise InputError(f"system: found {start.name!r}, wanted a graph model: {known}")
    corpus = raw if scaling is None else scale_features(raw, scaling)
    trainer = Trainer(epochs=epochs, seed=seed, **training)
    trainer.launch()
    judge, judged_on = _judge(corpus, unlabelled, seed)

    def save(done: int) -> Path:
        trained: dict[str, Any] = {"epochs": done, "of": epochs, "seed": seed}
        trained["init"] = None if init is None else str(init)
        trained |= {"unlabelled": unlabelled, "data": _describe(corpus)}
        trained["gnnreloc"] = gnnreloc.__version__
        return save_model(
            out,
            model,
            name=start.name,
            options=start.options,
            features=corpus.settings["features"],
            scaling=scaling,
            windows=corpus.settings["windows"],
            trained=trained,
        )

    identity = {
        "system": start.name,
        "model": start.options,
        "data": _describe(corpus),
        "init": None if init is None else _checksum(model),
    }
    try:
        log = trainer.fit(
            model,
            corpus,
            folder=out,
            resume=resume,
            validate=None if judge is None else lambda network: judge(network, QUERIES),
            # As it comes back from a checkpoint.
            identity=json.loads(json.dumps(identity)),
        )
    except KeyboardInterrupt as error:
        if not trainer.fabric.is_global_zero:
            return None  # an error would end the first process before it has saved
        raise InterruptedTrainingError(_rescue(out, model, save, epochs)) from error
    if not trainer.fabric.is_global_zero:
        return None
    file = save(epochs)
    figures = {}
    if judge is not None:
        plain, _ = _judge(raw, unlabelled, seed)
        assert plain is not None
        figures = {"training-free": plain(training_free_system(), LAST_QUERIES)}
        figures["trained"] = judge(model, LAST_QUERIES)
    return TrainedRun(start.name, file, log, corpus, figures, judged_on)


def graph_systems() -> list[str]:
    """Names of the models that can be trained on one's own videos."""
    return [name for name in list_models() if model_builder(name)[0] is GraphRelocalizer]


def _load(data: str | Path, unlabelled: bool, options: dict[str, Any]) -> Corpus:
    if unlabelled:
        return unlabelled_folder(data, scale=False, **options)
    return folder(data, scale=False, **options)


Judge = Callable[[Relocalizer, int], dict[str, float]]


def _judge(corpus: Corpus, unlabelled: bool, seed: int) -> tuple[Judge | None, str]:
    """What gives the figures of a system on what was held back, and what that is in words."""
    held = [name for name in ("test", "validation") if (corpus.moments["subset"] == name).any()]
    if not held:
        return None, "nothing was held back"
    if unlabelled:
        crops = CropSet(corpus, subset=held[0], seed=seed)
        return (
            lambda system, number: found_crops(system, crops, number, title="validate"),
            f"crops of {len(crops.videos)} held-back videos, found again in them",
        )
    try:
        pairs = evaluation_pairs(corpus, held[0], queries=LAST_QUERIES, references_per_query=1)
    except InputError:
        return None, f"no class of subset {held[0]!r} is in two videos"
    kind = "actions seen in training" if not corpus.unseen_classes else "actions never trained on"
    return (
        lambda system, number: _figures(system, corpus, pairs[:number]),
        f"{len(pairs)} query-reference pairs of {held[0]}: {kind}",
    )


def _figures(system: Relocalizer, corpus: Corpus, pairs: list[Pair]) -> dict[str, float]:
    summary = evaluate(system, corpus, pairs, title="validate").summary
    return {"r1_0.5": summary["r1"]["0.5"], "miou": summary["miou"]}


def _describe(corpus: Corpus) -> dict[str, Any]:
    """The data of a run: how it was divided, and a checksum of the moments."""
    rows = corpus.moments.sort_values(["video", "start", "end", "label"]).to_csv(index=False)
    return {
        **corpus.settings,
        "videos": int(corpus.moments["video"].nunique()),
        "moments": len(corpus.moments),
        "checksum": zlib.crc32(rows.encode()),
    }


def _checksum(model: GraphRelocalizer) -> int:
    weights = b"".join(value.numpy().tobytes() for value in model.state_dict().values())
    return zlib.crc32(weights)


def _rescue(out: Path, model: GraphRelocalizer, save: Callable[[int], Path], epochs: int) -> str:
    """Save the weights of the last finished epoch; what to tell."""
    path = out / "checkpoint" / "last.pt"
    if not path.is_file():
        return "interrupted before the first epoch was finished: nothing is saved"
    saved = load_checkpoint(path)
    model.cpu().load_state_dict(saved["model"])
    done = len(saved["rows"])
    save(done)
    return (
        f"interrupted; {out} holds the model after {done} of {epochs} epochs; give the same "
        "command with --resume to go on"
    )
