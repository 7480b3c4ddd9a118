"""The cells of a comparison: which there are, and with which options they were run.

A cell is one system on one class split with one seed, run by one call of ``run.py`` into a folder
of its own. Beside what the run leaves there, the folder holds ``options.json`` (what the run was
asked to do) and ``log.txt`` (its output).
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import NoneType
from typing import Any, NamedTuple

import yaml
from options import RECIPES, is_trained

from gnnreloc.atomic_write import atomic_write
from gnnreloc.data import evaluation_pairs
from gnnreloc.datasets import DATASETS
from gnnreloc.errors import InputError
from gnnreloc.models import list_models, model_builder
from gnnreloc.training import Trainer

#: Names in the tables that stand for a system with a certain recipe.
WITH_RECIPE = {
    "dynamic_paper": ("dynamic", "paper"),
    "dynamic_tuned": ("dynamic", "tuned"),
    "hybrid_tuned": ("hybrid", "tuned"),
}
#: Systems without weights; those that are random as well are worth a run for every seed.
UNTRAINED = tuple(name for name in list_models() if not is_trained(name))
RANDOM = tuple(name for name in UNTRAINED if getattr(model_builder(name)[0], "repeats", 1) > 1)
#: Options that systems without weights do not have.
_OF_TRAINED = ("epochs", "device", "model.", "training.")
#: Options that may differ between two calls for the same cell: places of files, and the device.
OF_THE_MACHINE = ("root", "device", "data.features")
#: Options that all cells of a table share.
_OF_THE_QUESTION = ("data.", "evaluation.", "proposals", "pca")
#: Options that say which cell it is.
_OF_THE_CELL = ("system", "recipe", "dataset", "split", "seed")
#: What a run leaves that has begun.
_MARKS = ("config.yaml", "checkpoint", "metrics.json")
_UNKNOWN = object()

Options = Mapping[str, Sequence[str]]


class Cell(NamedTuple):
    """One system on one class split with one seed.

    Attributes:
        system: name of the system in tables.
        split: which split of the classes.
        seed: seed of weights and samples.
        folder: folder of the run.
        options: the options of its ``run.py`` call, name to values, without those of the folder.
    """

    system: str
    split: int
    seed: int
    folder: Path
    options: Options

    def __str__(self) -> str:
        return f"{self.system} split {self.split} seed {self.seed}"


def plan(
    systems: Iterable[str],
    splits: Iterable[int],
    seeds: Sequence[int],
    *,
    folder: Path,
    options: Options,
    seeded_proposals: bool = False,
) -> list[Cell]:
    """All cells, split by split, those without training first.

    Args:
        systems: names in tables.
        splits: splits of the classes.
        seeds: seeds; a system in which nothing is random gets the first one only.
        folder: each cell gets a folder in it.
        options: of every cell, name to values; a system without weights gets none of those that are
            about training.
        seeded_proposals: whether the proposals depend on the seed, and all systems with them.
    """
    names = sorted(dict.fromkeys(systems), key=lambda name: name not in UNTRAINED)
    cells = []
    for split in dict.fromkeys(splits):
        for name in names:
            fixed = name in UNTRAINED and name not in RANDOM and not seeded_proposals
            for seed in list(dict.fromkeys(seeds))[: 1 if fixed else None]:
                system, *recipe = WITH_RECIPE.get(name, (name,))
                own = {"system": [system], "split": [str(split)], "seed": [str(seed)]}
                own |= {"recipe": recipe} if recipe else {}
                left = {
                    option: list(values)
                    for option, values in options.items()
                    if name not in UNTRAINED or not option.startswith(_OF_TRAINED)
                }
                place = folder / f"{name}-split{split}-seed{seed}"
                cells.append(Cell(name, split, seed, place, own | left))
    return cells


def write_options(cell: Cell) -> None:
    """Keep in the folder of a cell what it is asked to do."""
    with atomic_write(cell.folder / "options.json") as file:
        file.write((json.dumps(_kept(cell), indent=2) + "\n").encode())


def check_options(cell: Cell) -> None:
    """Check that the run in the folder of a cell, if one has begun, has the options of the cell.

    Raises:
        InputError: if not, naming the first option that differs, or if a file is damaged.
    """
    if not _has_begun(cell.folder):
        return
    asked, before = _kept(cell), read_options_file(cell.folder)
    config = _read_config(cell.folder)
    if before is not None:
        names = {name for name in before.keys() | asked.keys() if name not in OF_THE_MACHINE}
        _compare(cell.folder, names, before, asked, config)
    for name, values in asked.items():
        found = _look_up(config, name)
        # Lists and the like are written in more than one way: options.json tells them apart.
        if isinstance(found, (bool, int, float, str, NoneType)) and not _same(found, values):
            raise _differs(cell.folder, name, found, values)


def check_neighbours(folder: Path, options: Options) -> None:
    """Check that the cells that lie in a folder were asked the questions that new ones will be.

    Raises:
        InputError: if not: they could not stand in one table; or if a file is damaged.
    """
    asked = {name: list(values) for name, values in options.items()}
    for place in sorted(path.parent for path in folder.glob("*/options.json")):
        before = read_options_file(place) if _has_begun(place) else None
        if before is not None:
            names = {
                name
                for name in before.keys() | asked.keys()
                if name.startswith(_OF_THE_QUESTION) and name not in OF_THE_MACHINE
            }
            _compare(place, names, before, asked, _read_config(place))


def changed_options(folder: Path) -> str:
    """What the command line of a run changed in its recipe, such as ``epochs 1``; may be empty.

    Raises:
        InputError: if the file of its options is damaged.
    """
    given = read_options_file(folder) or {}
    changed = {
        name: values
        for name, values in given.items()
        if not name.startswith(_OF_THE_QUESTION)
        and name not in (*_OF_THE_CELL, *OF_THE_MACHINE)
        and not _same(_default(name, given), values)
    }
    return ", ".join(f"{name} {' '.join(values)}" for name, values in changed.items())


def _has_begun(folder: Path) -> bool:
    """Whether a run left more than the options that it was refused with."""
    return any((folder / name).exists() for name in _MARKS)


def read_options_file(folder: Path) -> dict[str, list[str]] | None:
    """What a run was asked to do, name to values; ``None`` for a run that was made by hand.

    Raises:
        InputError: if the file is damaged.
    """
    path = folder / "options.json"
    try:
        options = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise _damaged(path, str(error)) from error
    if not isinstance(options, dict):
        raise _damaged(path, f"wanted options, found {type(options).__name__}")
    for name, values in options.items():
        if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
            raise _damaged(path, f"{name}: wanted a list of texts, found {values!r}")
    return options


def _read_config(folder: Path) -> dict[str, Any]:
    """All options of a run, empty where it left none; one that is older than ``pca`` has it off."""
    path = folder / "config.yaml"
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (ValueError, yaml.YAMLError) as error:
        raise _damaged(path, str(error)) from error
    if not isinstance(config, dict):
        raise _damaged(path, f"wanted options, found {type(config).__name__}")
    return {"pca": None} | config


def _damaged(path: Path, reason: str) -> InputError:
    return InputError(f"{path} is damaged: {' '.join(reason.split())}; remove {path.parent}")


def _compare(
    folder: Path,
    names: Iterable[str],
    before: Mapping[str, list[str]],
    asked: Mapping[str, list[str]],
    config: Mapping[str, Any],
) -> None:
    """Compare the options of two calls; one that a call does not name has its default there."""
    for name in sorted(names):
        found, wanted = before.get(name), asked.get(name)
        if found is None and wanted is not None:
            value = _look_up(config, name)
            value = _default(name, before) if value is _UNKNOWN else value
            if not _same(value, wanted):
                raise _differs(folder, name, None if value is _UNKNOWN else value, wanted)
        elif found is not None and found != wanted:
            if wanted is not None or not _same(_default(name, before), found):
                raise _differs(folder, name, found, wanted)


def _look_up(options: Any, name: str) -> Any:
    """The value under a full name, such as ``data.train_videos``."""
    for part in name.split("."):
        if not isinstance(options, dict) or part not in options:
            return _UNKNOWN
        options = options[part]
    return options


def _default(name: str, options: Mapping[str, Sequence[str]]) -> Any:
    """The value that ``run.py`` gives to an option that its command line does not name.

    Args:
        name: full name of the option.
        options: of the call; its system, recipe and data set decide.
    """
    if "config" in options:  # a file of options has the last word
        return _UNKNOWN
    system = " ".join(options.get("system", ()))
    usual = system if (RECIPES / f"{system}.yaml").is_file() else "tuned"
    path = RECIPES / f"{' '.join(options.get('recipe', [usual]))}.yaml"
    if system not in UNTRAINED and path.is_file():
        of_recipe = _look_up(yaml.safe_load(path.read_text(encoding="utf-8")), name)
        if of_recipe is not _UNKNOWN:
            return of_recipe
    group, _, option = name.rpartition(".")
    takers: dict[str, Callable[..., Any] | None] = {
        "data": DATASETS.get(" ".join(options.get("dataset", ()))),
        "evaluation": evaluation_pairs,
        "model": model_builder(system)[0] if system in list_models() else None,
        "training": Trainer,
    }
    taker = takers.get(group)
    if taker is not None and option in (known := inspect.signature(taker).parameters):
        value = known[option].default
        return _UNKNOWN if value is inspect.Parameter.empty else value
    return {"proposals": "dataset", "pca": None}.get(name, _UNKNOWN)


def _kept(cell: Cell) -> dict[str, list[str]]:
    return {name: list(v) for name, v in cell.options.items() if name not in OF_THE_MACHINE}


def _same(found: Any, values: Sequence[str]) -> bool:
    """Whether a value in a file is what the command line says."""
    if isinstance(found, (list, tuple)):
        pairs = zip(found, values, strict=False)
        return len(found) == len(values) and all(_same(item, [value]) for item, value in pairs)
    if found is None:
        return [value.lower() for value in values] in (["null"], ["none"])
    if isinstance(found, (bool, str)) or len(values) != 1:
        return [str(found).lower()] == [value.lower() for value in values]
    try:
        return isinstance(found, (int, float)) and float(values[0]) == found
    except ValueError:
        return False


def _differs(folder: Path, name: str, found: object, wanted: object) -> InputError:
    told = [
        "its default"
        if value is None
        else " ".join(map(str, value if isinstance(value, list) else [value]))
        for value in (found, wanted)
    ]
    return InputError(
        f"{folder} holds another run: its {name} is {told[0]}, asked for is {told[1]}; "
        "choose another --out, or remove that folder"
    )
