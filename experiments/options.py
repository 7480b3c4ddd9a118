"""The options of ``run.py``, from recipe, files and command line; wrong ones told in one line."""

from __future__ import annotations

import argparse
import difflib
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NoReturn

import yaml
from jsonargparse import ArgumentParser, DefaultHelpFormatter

from gnnreloc.data import evaluation_pairs
from gnnreloc.datasets import DATASETS
from gnnreloc.errors import InputError
from gnnreloc.models import GraphRelocalizer
from gnnreloc.training import Trainer

RECIPES = Path(__file__).parent / "recipes"
#: What must be of these kinds in a file of options; the parser would take or misread another.
KINDS = {
    **dict.fromkeys(("model", "training", "data", "evaluation"), (dict, "options")),
    "hops": (list, "a list"),
    "config": (str, "a file"),
}


class HelpFormatter(argparse.RawDescriptionHelpFormatter, DefaultHelpFormatter):
    """Keeps the lines of the description and drops the markup of docstrings."""

    def format_help(self) -> str:
        """The help with plain names, and with choices named once."""
        text = re.sub(
            r"default config file locations:.*?\n\n", "", super().format_help(), flags=re.S
        )
        text = re.sub(r":\w+:`~?(?:[\w.]+\.)?(\w+)`", r"\1", text)
        return re.sub(r"type:\s+Literal\[[^\]]*\],\s+", "", text).replace("``", "")


class OneLineParser(ArgumentParser):
    """Says what is wrong in one line and exits with status 2."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Print the message, without the usage, in the words of the command line."""
        unknown = re.match(r"unrecognized arguments: (--[\w.+]+)", message)
        names = list(self._option_string_actions)
        near = difflib.get_close_matches(unknown[1], names, cutoff=0.85) if unknown else []
        message = re.sub(r'Parser key "([\w.]+)"', r"--\1", message)
        message = re.sub(r"a typing\.Literal\[(.+?)\]", r"one of \1", message)
        message = re.sub(r"an? <class '(\w+)'>", r"\1", message)
        fail(f"{message}; did you mean {near[0]}?" if near else message)


def fail(message: object, status: int = 2) -> NoReturn:
    """Print one line on standard error and exit."""
    print(f"error: {' '.join(str(message).split())}", file=sys.stderr)
    sys.exit(status)


def choose_first(arguments: Sequence[str]) -> tuple[str, str, list[str]]:
    """Recipe and data set, which decide what other options exist, and with which defaults.

    Returns:
        Both names, and the arguments with the ``--config`` files first: what a file says holds
        until the command line says otherwise, wherever the file is named on it.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("--recipe")
    parser.add_argument("--dataset")
    parser.add_argument("--config", action="append", default=[])
    try:
        first, rest = parser.parse_known_args(list(arguments))
        given = {key: value for file in first.config for key, value in read_options(file).items()}
    except (argparse.ArgumentError, InputError) as error:
        fail(error)
    recipe = str(given.get("recipe", "tuned") if first.recipe is None else first.recipe)
    dataset = str(given.get("dataset", "synthetic") if first.dataset is None else first.dataset)
    recipes = sorted(path.stem for path in RECIPES.glob("*.yaml"))
    if recipe not in recipes:
        fail(f"unknown recipe {recipe!r}; known are: {', '.join(recipes)}")
    if dataset not in DATASETS:
        fail(f"unknown data set {dataset!r}; known are: {', '.join(DATASETS)}")
    files = [f"--config={file}" for file in first.config]
    return recipe, dataset, [*files, f"--recipe={recipe}", f"--dataset={dataset}", *rest]


def read_options(path: str | Path) -> dict[str, Any]:
    """The options in a YAML file.

    Raises:
        InputError: if the file cannot be read or holds something else.
    """
    try:
        options = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise InputError(f"options in {path} cannot be read: {reason}") from error
    if not isinstance(options, dict):
        found = "nothing" if options is None else type(options).__name__
        raise InputError(f"{path}: expected options, found {found}")
    for name, (kind, wanted) in KINDS.items():
        if name in options and not isinstance(options[name], kind):
            found = type(options[name]).__name__
            raise InputError(f"{path}: {name}: expected {wanted}, found {found}")
    return options


def build_parser(recipe: str, dataset: str, *, description: str | None = None) -> ArgumentParser:
    """All options, with the recipe's values as defaults."""
    parser = OneLineParser(
        prog="run.py",
        usage="run.py [options]",
        description=description,
        formatter_class=HelpFormatter,
        default_config_files=[str(RECIPES / f"{recipe}.yaml")],
        default_env=False,
        allow_abbrev=False,
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
