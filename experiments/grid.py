"""The cells of a comparison: which there are, with which options, and which are finished.

A cell is one system on one class split with one seed, run by one call of ``run.py`` into a folder
of its own. Beside what the run leaves there, the folder holds ``options.json`` (what the run was
asked to do) and ``log.txt`` (its output).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from gnnreloc.atomic_write import atomic_write
from gnnreloc.errors import InputError

#: Names in the tables that stand for a system with a certain recipe.
WITH_RECIPE = {
    "dynamic_paper": ("dynamic", "paper"),
    "dynamic_tuned": ("dynamic", "tuned"),
    "hybrid_tuned": ("hybrid", "tuned"),
}
#: Systems without weights; those that are random as well are worth a run for every seed.
UNTRAINED = (
    *("chance", "random_proposal", "longest_proposal", "whole_reference", "oracle"),
    *("training_free", "frame_level"),
)
RANDOM = ("chance", "random_proposal")
#: Options that systems without weights do not have.
_OF_TRAINED = ("epochs", "device", "model.", "training.")
#: Options that may differ between two calls for the same cell.
_OF_THE_MACHINE = ("root", "device")
#: Options that all cells of a table share.
_OF_THE_QUESTION = ("data.", "evaluation.", "proposals")

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


def read_metrics(folder: Path) -> dict[str, Any] | None:
    """The metrics of a finished run, or ``None`` where something of it is missing."""
    try:
        metrics: dict[str, Any] = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
        with (folder / "predictions.csv").open(encoding="utf-8") as file:
            whole = sum(1 for _ in file) == metrics["pairs"] + 1
    except (OSError, ValueError, KeyError):
        return None
    # An older version of run.py wrote no filtered figures.
    return (
        metrics if whole and "filtered" in metrics and (folder / "config.yaml").is_file() else None
    )


def write_options(cell: Cell) -> None:
    """Keep in the folder of a cell what it is asked to do."""
    with atomic_write(cell.folder / "options.json") as file:
        file.write((json.dumps(_kept(cell), indent=2) + "\n").encode())


def check_options(cell: Cell) -> None:
    """Check that what lies in the folder of a cell was run with the options of the cell.

    Raises:
        InputError: if not, naming the first option that differs.
    """
    asked = _kept(cell)
    with suppress(FileNotFoundError):
        before = json.loads((cell.folder / "options.json").read_text(encoding="utf-8"))
        for name in sorted(before.keys() | asked.keys()):
            if before.get(name) != asked.get(name):
                raise _differs(cell.folder, name, before.get(name), asked.get(name))
    with suppress(FileNotFoundError):
        config = yaml.safe_load((cell.folder / "config.yaml").read_text(encoding="utf-8"))
        for name, values in asked.items():
            found: Any = config
            for part in name.split("."):
                found = found.get(part) if isinstance(found, dict) else None
            # Lists and the like are written in more than one way: options.json tells them apart.
            if isinstance(found, (bool, int, float, str)) and not _same(found, values):
                raise _differs(cell.folder, name, found, values)


def check_neighbours(folder: Path, options: Options) -> None:
    """Check that the cells that lie in a folder were asked the questions that new ones will be.

    Raises:
        InputError: if not: they could not stand in one table.
    """
    asked = {name: list(v) for name, v in options.items() if name.startswith(_OF_THE_QUESTION)}
    for path in sorted(folder.glob("*/options.json")):
        before = json.loads(path.read_text(encoding="utf-8"))
        for name in sorted(asked.keys() | before.keys()):
            found, wanted = before.get(name), asked.get(name)
            if name.startswith(_OF_THE_QUESTION) and found != wanted:
                raise _differs(path.parent, name, found, wanted)


def _kept(cell: Cell) -> dict[str, list[str]]:
    return {name: list(v) for name, v in cell.options.items() if name not in _OF_THE_MACHINE}


def _same(found: bool | int | float | str, values: Sequence[str]) -> bool:
    """Whether a value in a file is what the command line says."""
    if isinstance(found, (bool, str)) or len(values) != 1:
        return [str(found).lower()] == [value.lower() for value in values]
    try:
        return float(values[0]) == found
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
