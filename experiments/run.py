"""Train one relocalization system, judge it on unseen classes, and show what it found.

    python experiments/run.py                                   # learned graph, generated data
    python experiments/run.py --graph khop --hops 1 2 3         # fixed graphs instead
    python experiments/run.py --recipe paper                    # the published recipe to the letter
    python experiments/run.py --dataset bandai --root DATA/bandai_mocap --split 1 --seed 0
    python experiments/run.py --out runs/mine --resume          # go on after a crash
    python experiments/run.py --config runs/mine/config.yaml    # the same run again

The folder ``--out`` gets config.yaml, metrics.json, predictions.csv, log.csv, TensorBoard events,
checkpoint/ and figures/. Every option of the model, the training, the data set and the evaluation
can be given, for example ``--model.hidden_channels 64 --training.list_length 32``.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NoReturn

import numpy
import torch
import torch_geometric
import yaml
from jsonargparse import ArgumentParser, DefaultHelpFormatter, Namespace
from report import print_table, write_figures

import gnnreloc
from gnnreloc.data import Corpus, evaluation_pairs, wrong_class_pairs
from gnnreloc.datasets import DATASETS
from gnnreloc.errors import InputError
from gnnreloc.evaluation import evaluate, evaluate_baselines
from gnnreloc.models import GraphRelocalizer, create_model
from gnnreloc.training import Trainer, seed_everything

RECIPES = Path(__file__).parent / "recipes"


class HelpFormatter(argparse.RawDescriptionHelpFormatter, DefaultHelpFormatter):
    """Keeps the lines of the description."""


class OneLineParser(ArgumentParser):
    """Says what is wrong in one line and exits with status 2."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Print the message, without the usage."""
        fail(message)


def fail(message: object, status: int = 2) -> NoReturn:
    """Print one line on standard error and exit."""
    print(f"error: {' '.join(str(message).split())}", file=sys.stderr)
    sys.exit(status)


def choose_first(arguments: Sequence[str]) -> Namespace:
    """Read ``--recipe``, ``--dataset`` and ``--config``: they decide which other options exist."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--recipe", default=None)
    parser.add_argument("--dataset", default=None)
    parser.add_argument("--config", default=None)
    first, _ = parser.parse_known_args(list(arguments))
    given: dict[str, Any] = {}
    if first.config is not None:
        try:
            given = yaml.safe_load(Path(first.config).read_text(encoding="utf-8")) or {}
        except (OSError, yaml.YAMLError) as error:
            fail(f"--config {first.config}: {error}")
        if not isinstance(given, dict):
            fail(f"--config {first.config}: expected options, found {type(given).__name__}")
    chosen = Namespace(
        recipe=first.recipe or given.get("recipe", "tuned"),
        dataset=first.dataset or given.get("dataset", "synthetic"),
    )
    recipes = sorted(path.stem for path in RECIPES.glob("*.yaml"))
    if chosen.recipe not in recipes:
        fail(f"unknown recipe {chosen.recipe!r}; known are: {', '.join(recipes)}")
    if chosen.dataset not in DATASETS:
        fail(f"unknown data set {chosen.dataset!r}; known are: {', '.join(DATASETS)}")
    return chosen


def build_parser(recipe: str, dataset: str) -> ArgumentParser:
    """All options, with the recipe's values as defaults."""
    parser = OneLineParser(
        prog="run.py",
        usage="run.py [options]",
        description=__doc__,
        formatter_class=HelpFormatter,
        default_config_files=[str(RECIPES / f"{recipe}.yaml")],
        default_env=False,
    )
    parser.add_argument(
        "--graph",
        type=Literal["dynamic", "khop", "complete", "identity", "hybrid"],
        default="dynamic",
        help="where the edges come from",
    )
    parser.add_argument("--hops", type=int, nargs="+", default=[1], help="k of fixed graphs")
    parser.add_argument("--layers", type=int, default=1, help="number of graph layers n")
    parser.add_argument(
        "--encoder",
        type=Literal["lstm", "bilstm", "cnn"],
        default="bilstm",
        help="temporal encoder",
    )
    parser.add_argument("--dataset", type=str, default=dataset, help=", ".join(DATASETS))
    parser.add_argument("--root", type=str | None, default=None, help="folder of the data set")
    parser.add_argument("--recipe", type=str, default=recipe, help="tuned or paper")
    parser.add_argument("--split", type=int, default=0, help="which split of the classes")
    parser.add_argument("--seed", type=int, default=0, help="seed of weights and samples")
    parser.add_argument("--epochs", type=int, default=10, help="training epochs")
    parser.add_argument("--device", type=str, default="auto", help="auto, cpu, cuda, ...")
    parser.add_argument("--out", type=str | None, default=None, help="output folder (new)")
    parser.add_argument("--resume", action="store_true", help="go on with the run in --out")
    parser.add_argument("--config", action="config", help="YAML file with any of these options")
    taken = {"graph", "hops", "layers", "encoder", "in_channels"}
    parser.add_class_arguments(GraphRelocalizer, "model", skip=taken)
    parser.add_class_arguments(Trainer, "training", skip={"seed", "device", "epochs"})
    parser.add_function_arguments(DATASETS[dataset], "data", skip={"root", "split"})
    parser.add_function_arguments(evaluation_pairs, "evaluation", skip={"corpus", "subset", "seed"})
    return parser


def system_name(config: Namespace) -> str:
    """The name of the system in tables, such as ``khop_n1_k12`` or ``dynamic_tuned``."""
    if config.graph == "khop":
        encoder = "khop_cnn" if config.encoder == "cnn" else "khop"
        return f"{encoder}_n{config.layers}_k{''.join(map(str, config.hops))}"
    if config.graph in ("dynamic", "hybrid"):
        return f"{config.graph}_{config.recipe}"
    return str(config.graph)


def output_folder(config: Namespace) -> Path:
    """The folder of the run: ``--out``, or a fresh name under ``runs/``.

    Raises:
        InputError: if it holds a run and ``--resume`` is not given.
    """
    name = f"{system_name(config)}-{config.dataset}-split{config.split}-seed{config.seed}"
    folder = Path(config.out or f"runs/{name}")
    if config.resume:
        return folder
    number = 1
    while (folder / "config.yaml").exists():
        if config.out:
            raise InputError(f"--out {folder} holds a run: give --resume, or another folder")
        number += 1
        folder = Path(f"runs/{name}-{number}")
    return folder


def load_corpus(config: Namespace) -> Corpus:
    """The data set of the run.

    Raises:
        InputError: if ``--root`` is missing where it is needed, or the data is not in order.
    """
    options = dict(vars(config.data)) if "data" in config else {}
    if config.dataset != "synthetic":
        if config.root is None:
            raise InputError(f"--dataset {config.dataset} needs --root, the folder of its files")
        options["root"] = config.root
    return DATASETS[config.dataset](split=config.split, **options)


def run(config: Namespace, parser: ArgumentParser) -> None:
    """Train, evaluate, write everything."""
    folder = output_folder(config)
    seed_everything(config.seed)
    corpus = load_corpus(config)
    pairs = evaluation_pairs(corpus, "test", **vars(config.evaluation))
    wrong = wrong_class_pairs(corpus, "test", pairs)
    model = create_model(
        config.graph,
        in_channels=corpus.num_channels,
        hops=config.hops,
        layers=config.layers,
        encoder=config.encoder,
        **vars(config.model),
    )
    assert isinstance(model, GraphRelocalizer)
    trainer = Trainer(
        **vars(config.training), epochs=config.epochs, seed=config.seed, device=config.device
    )
    folder.mkdir(parents=True, exist_ok=True)
    plain = yaml.safe_load(parser.dump(config, skip_unset=False))
    for name in ("config", "resume", "out"):
        plain.pop(name, None)
    (folder / "config.yaml").write_text(yaml.safe_dump(plain, sort_keys=False), encoding="utf-8")
    system = system_name(config)
    print(f"{system} on {corpus.name}, split {config.split}, seed {config.seed} -> {folder}")

    held_out = evaluation_pairs(corpus, "validation", queries=30, references_per_query=1)

    def validate(network: GraphRelocalizer) -> dict[str, float]:
        summary = evaluate(network, corpus, held_out, title="validate").summary
        return {"r1_0.5": summary["r1"]["0.5"], "miou": summary["miou"]}

    log = trainer.fit(
        model,
        corpus,
        folder=folder,
        resume=config.resume,
        validate=validate,
        identity={name: plain.get(name) for name in plain if name not in ("root", "device")},
    )

    began = time.perf_counter()
    result = evaluate(model, corpus, pairs, title="test")
    asked_wrongly = evaluate(model, corpus, wrong, title="wrong-class query")
    baselines = evaluate_baselines(corpus, pairs, timesteps=model.timesteps, seed=config.seed)
    metrics = {
        "system": system,
        "dataset": corpus.name,
        "protocol": "open",
        "split": config.split,
        "seed": config.seed,
        "pairs": len(pairs),
        **result.summary,
        "unrefined": result.unrefined,
        "baselines": baselines,
        "wrong_class_query": asked_wrongly.summary,
        "seconds": {"train": log["seconds"].sum(), "evaluate": time.perf_counter() - began},
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "versions": versions(),
        "config": plain,
    }
    write_text(folder / "metrics.json", json.dumps(metrics, indent=2) + "\n")
    result.predictions.to_csv(folder / "predictions.csv", index=False)
    print_table(metrics)
    write_figures(folder / "figures", model, corpus, pairs, result, metrics, log)
    print(f"metrics, predictions, figures and checkpoint: {folder}")


def versions() -> dict[str, str]:
    """The versions that a figure depends on."""
    return {
        "gnnreloc": gnnreloc.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torch_geometric": torch_geometric.__version__,
        "numpy": numpy.__version__,
    }


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)


def main(arguments: Sequence[str]) -> None:
    """Parse the command line and run."""
    first = choose_first(arguments)
    parser = build_parser(first.recipe, first.dataset)
    config = parser.parse_args(list(arguments))
    try:
        run(config, parser)
    except InputError as error:
        fail(error)
    except FloatingPointError as error:
        fail(f"{error}; the last checkpoint is untouched", status=1)
    except KeyboardInterrupt:
        fail("interrupted; give the same command with --resume to go on", status=130)


if __name__ == "__main__":
    main(sys.argv[1:])
