"""Train one relocalization system, judge it on unseen classes, and show what it found.

    python experiments/run.py                                   # learned graph, generated data
    python experiments/run.py --graph khop --hops 1 2 3         # fixed graphs instead
    python experiments/run.py --system cross_gated_bilinear     # any system of the tables
    python experiments/run.py --recipe paper                    # the published recipe to the letter
    python experiments/run.py --dataset bandai --root DATA/bandai_mocap --split 1 --seed 0
    python experiments/run.py --dataset fir --root DATA/fir_action --pca 500
    python experiments/run.py --out runs/mine --resume          # go on after a crash
    python experiments/run.py --devices 2                       # two GPUs, or two processes
    torchrun --nproc-per-node 2 experiments/run.py              # the same, started from outside
    python experiments/run.py --config runs/mine/config.yaml    # the same run again

The folder ``--out`` gets report.html, a page that shows all of the run and loads nothing from
elsewhere; config.yaml, metrics.json, predictions.csv, log.csv, TensorBoard events, checkpoint/ and
figures/. Every option of the model, the training, the data set and the evaluation can be given, for
example ``--model.hidden_channels 64 --training.list_length 32``.
"""

from __future__ import annotations

import inspect
import json
import os
import platform
import re
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy
import pandas
import torch
import torch_geometric
import yaml
from jsonargparse import ArgumentParser, Namespace
from options import build_parser, choose_first, fail, flatten, read_options
from report import print_table, write_figures
from run_page import write_report

import gnnreloc
from gnnreloc.atomic_write import atomic_write
from gnnreloc.data import Corpus, Pair, evaluation_pairs, reduce_features, wrong_class_pairs
from gnnreloc.datasets import DATASETS
from gnnreloc.errors import InputError
from gnnreloc.evaluation import evaluate, evaluate_baselines
from gnnreloc.models import Relocalizer, TrainableRelocalizer, create_model, model_builder
from gnnreloc.proposals import replace_proposals
from gnnreloc.training import OptimizerOptions, Trainer, seed_everything
from gnnreloc.training.freed_memory import keep_freed_memory


def system_name(config: Namespace) -> str:
    """The name of the system in tables, such as ``khop_n1_k12`` or ``dynamic_tuned``."""
    if config.system == "khop":
        encoder = "khop_cnn" if config.encoder == "cnn" else "khop"
        return f"{encoder}_n{config.layers}_k{''.join(map(str, config.hops))}"
    if config.system in ("dynamic", "hybrid"):
        return f"{config.system}_{config.recipe}"
    return str(config.system)


def output_folder(config: Namespace, options: Mapping[str, Any]) -> Path:
    """The folder of the run: ``--out``, or a fresh name under ``runs/`` (to resume, the last one).

    Raises:
        InputError: if it holds a run and ``--resume`` is not given, or another run is resumed.
    """
    name = f"{system_name(config)}-{config.dataset}-split{config.split}-seed{config.seed}"
    folder = last = Path(os.path.expanduser(config.out or f"runs/{name}"))
    number = 1
    while not config.out and holds_run(folder):
        number, last, folder = number + 1, folder, Path(f"runs/{name}-{number + 1}")
    if config.resume and holds_run(last):
        before = dict(flatten(read_options(last / "config.yaml")))
        for option, value in flatten(options):
            if option not in ("root", "device") and before.get(option) != value:
                raise InputError(
                    f"--resume: {last} holds another run: its {option} is {before.get(option)}, "
                    f"this run's is {value}"
                )
        return last
    if holds_run(folder):
        raise InputError(f"--out {folder} holds a run: give --resume, or another folder")
    return folder


def holds_run(folder: Path) -> bool:
    """Whether a run was started in a folder."""
    left = ("config.yaml", "metrics.json", "checkpoint/last.pt")
    return any(os.path.isfile(folder / name) for name in left)


def load_corpus(config: Namespace) -> Corpus:
    """The data set of the run.

    Raises:
        InputError: if ``--root`` is missing where it is needed or given where it is not, or the
            data is not in order.
    """
    options = dict(vars(config.data)) if "data" in config else {}
    if config.dataset == "synthetic" and config.root is not None:
        raise InputError(f"--dataset synthetic is generated: it has no --root {config.root}")
    if config.dataset != "synthetic":
        if config.root is None:
            raise InputError(f"--dataset {config.dataset} needs --root, the folder of its files")
        options["root"] = os.path.expanduser(config.root)
    corpus = DATASETS[config.dataset](split=config.split, **options)
    if config.get("pca") is not None:
        corpus = reduce_features(corpus, config.pca)
    return replace_proposals(corpus, config.proposals, seed=config.seed)


def build_model(config: Namespace, corpus: Corpus) -> Relocalizer:
    """The system of the run, with its initial weights.

    Raises:
        InputError: if an option does not fit.
    """
    build, _ = model_builder(config.system)
    options = dict(vars(config.model)) if "model" in config else {}
    options |= {name: config[name] for name in ("hops", "layers", "encoder") if name in config}
    known = inspect.signature(build).parameters
    given = {"in_channels": corpus.num_channels, "seed": config.seed}
    options |= {name: value for name, value in given.items() if name in known}
    return create_model(config.system, **options)


def run(config: Namespace, parser: ArgumentParser) -> None:
    """Train if there is something to train, evaluate, write everything."""
    plain = yaml.safe_load(parser.dump(config, skip_unset=False))
    for name in ("config", "resume", "out", "only_metrics"):
        plain.pop(name, None)
    check_numbers(config, plain)
    seed_everything(config.seed)
    corpus = load_corpus(config)
    pairs = evaluation_pairs(corpus, "test", **vars(config.evaluation))
    wrong = wrong_class_pairs(corpus, "test", pairs)
    model = build_model(config, corpus)
    trainer = build_trainer(config, plain) if isinstance(model, TrainableRelocalizer) else None
    first = trainer is None or trainer.fabric.is_global_zero
    folder = output_folder(config, plain) if first else None
    if trainer is not None:
        folder = trainer.fabric.broadcast(folder)
    assert folder is not None
    path = folder / "config.yaml"
    fresh = first and not holds_run(folder)
    if fresh:
        try:
            with atomic_write(path) as file:
                file.write(yaml.safe_dump(plain, sort_keys=False).encode())
        except OSError as error:
            raise InputError(f"--out {folder}: {error.strerror}") from error
    if first:
        system = system_name(config)
        print(f"{system} on {corpus.name}, split {config.split}, seed {config.seed} -> {folder}")
    try:
        log = None if trainer is None else train(config, plain, trainer, model, corpus, folder)
        if first:
            judge(config, plain, model, corpus, pairs, wrong, log, folder)
    except InputError:
        if fresh and not (folder / "checkpoint").exists():
            path.unlink()  # nothing was trained: leave the folder free for the next attempt
        raise


def check_numbers(config: Namespace, plain: Mapping[str, Any]) -> None:
    """Check what no class checks.

    Raises:
        InputError: if a whole number is out of the range of seeds and counts.
    """
    for name in ("seed", "split"):
        if not 0 <= config[name] < 2**32:
            raise InputError(f"--{name} must be from 0 to {2**32 - 1}, got {config[name]}")
    for name, value in flatten(plain):
        for number in value if isinstance(value, list) else [value]:
            if isinstance(number, int) and number >= 2**32:
                raise InputError(f"--{name} must be below {2**32}, got {number}")


def build_trainer(config: Namespace, plain: Mapping[str, Any]) -> Trainer:
    """The training loop of the run, its processes started."""
    training = dict(plain["training"])
    if training["optimizers"] is not None:
        training["optimizers"] = [OptimizerOptions(**options) for options in training["optimizers"]]
    trainer = Trainer(**training, epochs=config.epochs, seed=config.seed, device=config.device)
    trainer.launch()
    return trainer


def train(
    config: Namespace,
    plain: Mapping[str, Any],
    trainer: Trainer,
    model: Relocalizer,
    corpus: Corpus,
    folder: Path,
) -> pandas.DataFrame:
    """Train, with figures on the validation classes on the way; the log, one row an epoch."""
    assert isinstance(model, TrainableRelocalizer)
    held_out = evaluation_pairs(corpus, "validation", queries=30, references_per_query=1)

    def validate(network: TrainableRelocalizer) -> dict[str, float]:
        summary = evaluate(network, corpus, held_out, title="validate").summary
        return {"r1_0.5": summary["r1"]["0.5"], "miou": summary["miou"]}

    return trainer.fit(
        model,
        corpus,
        folder=folder,
        resume=config.resume,
        validate=validate,
        identity={name: plain[name] for name in plain if name not in ("root", "device")},
    )


def judge(
    config: Namespace,
    plain: Mapping[str, Any],
    model: Relocalizer,
    corpus: Corpus,
    pairs: Sequence[Pair],
    wrong: Sequence[Pair],
    log: pandas.DataFrame | None,
    folder: Path,
) -> None:
    """Evaluate on the test classes; write metrics, predictions and figures, print the table."""
    began = time.perf_counter()
    result = evaluate(model, corpus, pairs, title="test")
    asked_wrongly = (
        evaluate(model, corpus, wrong, title="wrong-class query").summary
        if model.reads_query
        else None
    )
    timesteps = getattr(model, "timesteps", 40)
    baselines = (
        {}
        if config.only_metrics
        else evaluate_baselines(corpus, pairs, timesteps=timesteps, seed=config.seed)
    )
    weights = model.parameters() if isinstance(model, torch.nn.Module) else ()
    metrics = {
        "system": system_name(config),
        "recipe": plain.get("recipe", ""),
        "dataset": corpus.name,
        "proposals": config.proposals,
        "pca": config.pca,
        "split": config.split,
        "seed": config.seed,
        "pairs": len(pairs),
        **result.summary,
        "unrefined": result.unrefined,
        "filtered": {**result.filtered, "unrefined": result.filtered_unrefined},
        "baselines": baselines,
        "wrong_class_query": asked_wrongly,
        "seconds": {
            "train": 0.0 if log is None else log["seconds"].sum(),
            "evaluate": time.perf_counter() - began,
        },
        "parameters": sum(parameter.numel() for parameter in weights),
        "versions": versions(),
        "config": plain,
    }
    with atomic_write(folder / "predictions.csv") as file:
        file.write(result.predictions.to_csv(index=False).encode())
    with atomic_write(folder / "metrics.json") as file:
        file.write((json.dumps(metrics, indent=2) + "\n").encode())
    print_table(metrics, unseen_classes=corpus.unseen_classes)
    if not config.only_metrics:
        write_figures(folder / "figures", model, corpus, pairs, result, metrics, log)
        write_report(folder / "report.html", model, corpus, pairs, result, metrics, log)
        print(f"report: {folder / 'report.html'}")
    print(f"metrics and predictions: {folder}")


def versions() -> dict[str, str]:
    """The versions that a figure depends on."""
    return {
        "gnnreloc": gnnreloc.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torch_geometric": torch_geometric.__version__,
        "numpy": numpy.__version__,
        "threads": str(torch.get_num_threads()),
    }


def main(arguments: Sequence[str]) -> None:
    """Parse the command line and run."""
    keep_freed_memory()
    # By the name that it has in "gnnreloc train".
    arguments = [re.sub(r"^--devices\b", "--training.devices", each) for each in arguments]
    try:
        choice, arguments = choose_first(arguments)
        parser = build_parser(choice, description=__doc__)
        run(parser.parse_args(arguments), parser)
    except InputError as error:
        fail(error)
    except OSError as error:  # a file in the way, a full disk
        fail(error, status=1)
    except FloatingPointError as error:
        fail(f"{error}; the last checkpoint is untouched", status=1)
    except KeyboardInterrupt:
        fail("interrupted; give the same command with --resume to go on", status=130)


if __name__ == "__main__":
    main(sys.argv[1:])
