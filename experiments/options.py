"""The options of ``run.py``, from recipe, files and command line; wrong ones told in one line."""

from __future__ import annotations

import argparse
import difflib
import inspect
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, NoReturn

import yaml
from jsonargparse import ArgumentParser, DefaultHelpFormatter

from gnnreloc.data import evaluation_pairs
from gnnreloc.datasets import DATASETS
from gnnreloc.errors import InputError
from gnnreloc.models import GraphRelocalizer, TrainableRelocalizer, list_models, model_builder
from gnnreloc.proposals import PROPOSAL_KINDS
from gnnreloc.training import Trainer

RECIPES = Path(__file__).parent / "recipes"
#: What must be of these kinds in a file of options; the parser would take or misread another.
KINDS = {
    **dict.fromkeys(("model", "training", "data", "evaluation"), (dict, "options")),
    "hops": (list, "a list"),
    "config": (str, "a file"),
}


#: Options of the graph systems that the tables vary, and that have short names.
SHORT: dict[str, dict[str, Any]] = {
    "hops": {"type": int, "nargs": "+", "default": [1], "help": "k of fixed graphs"},
    "layers": {"type": int, "default": 1, "help": "number of graph layers n"},
    "encoder": {
        "type": Literal["lstm", "bilstm", "cnn"],
        "default": "bilstm",
        "help": "temporal encoder",
    },
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


class Choice(NamedTuple):
    """What decides which other options exist, and with which defaults.

    Attributes:
        system: one of ``list_models()``.
        recipe: name of a recipe; empty for a system that is not trained.
        dataset: name of a data set.
    """

    system: str
    recipe: str
    dataset: str

    @property
    def trained(self) -> bool:
        """Whether the system is trained."""
        return is_trained(self.system)


def is_trained(system: str) -> bool:
    """Whether one of ``list_models()`` has weights to train."""
    build, _ = model_builder(system)
    return isinstance(build, type) and issubclass(build, TrainableRelocalizer)


def flatten(options: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The options with their full names, such as ``model.timesteps``."""
    for name, value in options.items():
        if isinstance(value, dict):
            yield from flatten(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def choose_first(arguments: Sequence[str]) -> tuple[Choice, list[str]]:
    """System, recipe and data set.

    Returns:
        The choice, and the arguments with the ``--config`` files first: what a file says holds
        until the command line says otherwise, wherever the file is named on it.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    for name in ("--system", "--graph", "--recipe", "--dataset"):
        parser.add_argument(name)
    parser.add_argument("--config", action="append", default=[])
    try:
        first, rest = parser.parse_known_args(list(arguments))
        given = {key: value for file in first.config for key, value in read_options(file).items()}
    except (argparse.ArgumentError, InputError) as error:
        fail(error)
    if first.system and first.graph and first.system != first.graph:
        fail(f"--graph is short for --system: found {first.graph} and {first.system}")
    system = first.system or first.graph or str(given.get("system", "dynamic"))
    dataset = str(given.get("dataset", "synthetic") if first.dataset is None else first.dataset)
    recipes = sorted(path.stem for path in RECIPES.glob("*.yaml"))
    if system not in list_models():
        option = "--graph" if first.graph else "--system"
        fail(f"{option}: unknown system {system!r}; known are: {', '.join(list_models())}")
    if dataset not in DATASETS:
        fail(f"unknown data set {dataset!r}; known are: {', '.join(DATASETS)}")
    files = [f"--config={file}" for file in first.config]
    start = [*files, f"--system={system}", f"--dataset={dataset}"]
    choice = Choice(system, "", dataset)
    if not choice.trained:
        if first.recipe is not None:
            fail(f"{system} is not trained: it has no --recipe {first.recipe}")
        return choice, [*start, *rest]
    usual = system if system in recipes else "tuned"
    recipe = str(given.get("recipe", usual) if first.recipe is None else first.recipe)
    if recipe not in recipes:
        fail(f"unknown recipe {recipe!r}; known are: {', '.join(recipes)}")
    options = read_options(RECIPES / f"{recipe}.yaml")
    build, chosen = model_builder(system)
    known = {*inspect.signature(build).parameters} - {*chosen}
    short = {*SHORT} & {*options}
    for name in (*options.get("model", {}), *short):
        if name not in known:
            fail(f"recipe {recipe!r} is not for {system}: it sets {name}, which {system} has not")
    return choice._replace(recipe=recipe), [*start, f"--recipe={recipe}", *rest]


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


def build_parser(choice: Choice, *, description: str | None = None) -> ArgumentParser:
    """All options of a system on a data set, with the recipe's values as defaults."""
    build, chosen = model_builder(choice.system)
    parser = OneLineParser(
        prog="run.py",
        usage="run.py [options]",
        description=description,
        formatter_class=HelpFormatter,
        default_config_files=[str(RECIPES / f"{choice.recipe}.yaml")] if choice.recipe else [],
        default_env=False,
        allow_abbrev=False,
    )
    systems = "the system: " + ", ".join(list_models())
    parser.add_argument("--system", "--graph", type=str, default=choice.system, help=systems)
    taken = {"in_channels", "seed", *chosen}
    if build is GraphRelocalizer:
        for name in [name for name in SHORT if name not in taken]:
            parser.add_argument(f"--{name}", **SHORT[name])
        taken |= SHORT.keys()
    parser.add_argument("--dataset", type=str, default=choice.dataset, help=", ".join(DATASETS))
    parser.add_argument("--root", type=str | None, default=None, help="folder of the data set")
    parser.add_argument(
        "--proposals",
        type=Literal[PROPOSAL_KINDS],  # type: ignore[valid-type]
        default="dataset",
        help="candidates: the data set's own, or made anew from its training moments",
    )
    parser.add_argument(
        "--pca",
        type=int | None,
        default=None,
        help="channels that the features are reduced to, by the training videos' PCA",
    )
    parser.add_argument("--split", type=int, default=0, help="which split of the classes")
    parser.add_argument("--seed", type=int, default=0, help="seed of weights and samples")
    parser.add_argument("--out", type=str | None, default=None, help="output folder (new)")
    parser.add_argument("--resume", action="store_true", help="go on with the run in --out")
    parser.add_argument(
        "--only_metrics", type=bool, default=False, help="leave out baselines and figures"
    )
    parser.add_argument("--config", action="config", help="YAML file with any of these options")
    parser.add_class_arguments(build, "model", skip=taken)
    if choice.trained:
        parser.add_argument("--recipe", type=str, default=choice.recipe, help="name of a recipe")
        parser.add_argument("--epochs", type=int, default=10, help="training epochs")
        parser.add_argument("--device", type=str, default="auto", help="auto, cpu, cuda, ...")
        parser.add_class_arguments(Trainer, "training", skip={"seed", "device", "epochs"})
    parser.add_function_arguments(DATASETS[choice.dataset], "data", skip={"root", "split"})
    parser.add_function_arguments(evaluation_pairs, "evaluation", skip={"corpus", "subset", "seed"})
    return parser
