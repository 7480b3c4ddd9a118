"""Variations of the recipe ``tuned``: the lists in variations.yaml, and what their options mean."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from gather import Run
from grid import OF_THE_MACHINE
from options import build_parser, choose_first, flatten

from gnnreloc.errors import InputError

FILE = Path(__file__).with_name("variations.yaml")
#: The recipe as it is, the first of each list.
TUNED = "tuned"
#: The list whose changes add up.
LADDER = "ladder"


class Variation(NamedTuple):
    """A changed recipe.

    Attributes:
        name: its name, and that of its folder.
        meaning: what is changed; on the ladder, beyond the rung before.
        options: what ``run.py`` is told beyond the recipe, name to value.
    """

    name: str
    meaning: str
    options: Mapping[str, str]


def read_lists() -> dict[str, list[Variation]]:
    """The variations of each list in their order."""
    lists: dict[str, list[Variation]] = {}
    for name, entries in yaml.safe_load(FILE.read_text(encoding="utf-8")).items():
        variations = lists[name] = [Variation(TUNED, "the recipe as it is", {})]
        for variation, entry in entries.items():
            options = dict(variations[-1].options) if name == LADDER else {}
            for option, value in entry["options"].items():
                # Structures travel as JSON, in one word of the command line.
                options[option] = value if isinstance(value, str) else json.dumps(value)
            variations.append(Variation(variation, entry["meaning"], options))
    return lists


def words(options: Mapping[str, str | Sequence[str]]) -> list[str]:
    """Options as words of a command line.

    Args:
        options: name to value or values.
    """
    line = []
    for name, values in options.items():
        line += [f"--{name}", *([values] if isinstance(values, str) else values)]
    return line


def resolve(options: Mapping[str, str | Sequence[str]]) -> dict[str, Any]:
    """All options that ``run.py`` runs with when it is told some, by their full names.

    One that does not exist ends the program as in ``run.py``: one line, status 2.

    Args:
        options: name to value or values, with ``system`` and ``recipe``.
    """
    choice, rest = choose_first(words(options))
    parser = build_parser(choice)
    plain = yaml.safe_load(parser.dump(parser.parse_args(rest), skip_unset=False))
    return dict(flatten(plain))


def check_runs(runs: Iterable[Run], name: str, wanted: Mapping[str, Any]) -> None:
    """Check that finished runs are of a variation, whatever was changed in the code since.

    Args:
        runs: of any splits and seeds.
        name: of the variation.
        wanted: its options, of :func:`resolve`. An option that a run has not is new since.

    Raises:
        InputError: if a run had another option, which is named.
    """
    for run in runs:
        for option, found in flatten(run.metrics["config"]):
            if option in ("split", "seed", *OF_THE_MACHINE) or option not in wanted:
                continue
            if found != wanted[option]:
                raise InputError(
                    f"{run.folder} is no run of the variation {name}: its {option} is {found}, "
                    f"wanted is {wanted[option]}"
                )
