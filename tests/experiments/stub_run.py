"""Stands in for ``run.py``: the same options and files, made-up figures, no training.

What a system does is in the environment variable STUB, system to behaviour as JSON:

* ``fail``: the last line of its standard error says why;
* ``kill``: it kills itself, as a lack of memory does;
* ``nothing``: it ends well and leaves nothing;
* ``begin``: it leaves the marks of a begun run and fails; resumed, it works;
* ``hang``: it says that it is there, and waits to be stopped;
* ``meet``: it works only while another one that meets runs beside it.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

LEVELS = ("0.5", "0.6", "0.7", "0.75", "0.8", "0.85", "0.9", "0.95")
VIEWS = ("tiou", "tiou_unrefined", "tiou_filtered", "tiou_filtered_unrefined")
COLUMNS = ("video", *VIEWS, "query_video", "query_start", "query_end", "label")


def summary(overlaps: Sequence[float]) -> dict[str, Any]:
    """The figures of a list of tIoU; R@5 is made up."""
    r1 = {level: sum(o > float(level) for o in overlaps) / len(overlaps) for level in LEVELS}
    mean = sum(r1[level] for level in ("0.5", "0.6", "0.7", "0.8", "0.9")) / 5
    r5 = {level: (1 + value) / 2 for level, value in r1.items()}
    return {"r1": r1, "r1_mean": mean, "r5": r5, "miou": sum(overlaps) / len(overlaps)}


def write_run(
    folder: Path,
    system: str,
    split: int,
    seed: int,
    overlaps: Mapping[str, Sequence[float]],
    *,
    recipe: str = "tuned",
    dataset: str = "synthetic",
    wrong: float | None = 0.125,
    config: Mapping[str, Any] | None = None,
) -> None:
    """A finished run with these tIoU; two pairs a query, the labels sit and run in turn by query.

    Args:
        folder: where to.
        system: its name in tables.
        split: of the classes.
        seed: of the run.
        overlaps: tIoU of each pair by view; a view that is not given has those of ``tiou``.
        recipe: of the run.
        dataset: its name.
        wrong: R@1 with a query of another class, at every level.
        config: options.
    """
    views = {view: overlaps.get(view, overlaps["tiou"]) for view in VIEWS}
    folder.mkdir(parents=True, exist_ok=True)
    lines = [",".join(COLUMNS)]
    for pair, row in enumerate(zip(*views.values(), strict=True)):
        query = pair // 2
        cells = [f"v{split}{pair}", *row, f"q{split}{query}", 0.0, 2.5, ("sit", "run")[query % 2]]
        lines.append(",".join(map(str, cells)))
    (folder / "predictions.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    figures = {view: summary(values) for view, values in views.items()}
    filtered = figures["tiou_filtered"] | {"unrefined": figures["tiou_filtered_unrefined"]}
    metrics = {
        **{"system": system, "recipe": recipe, "dataset": dataset, "proposals": "dataset"},
        **{"split": split, "seed": seed, "pairs": len(views["tiou"])},
        **figures["tiou"],
        **{"unrefined": figures["tiou_unrefined"], "filtered": filtered},
        "wrong_class_query": None if wrong is None else {"r1": dict.fromkeys(LEVELS, wrong)},
        "seconds": {"train": 1.25, "evaluate": 0.5},
        "config": dict(config or {}),
    }
    (folder / "config.yaml").write_text(json.dumps(metrics["config"]), encoding="utf-8")
    (folder / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")


def main(arguments: Sequence[str]) -> int:
    """Do what STUB says, or leave a finished run."""
    options: dict[str, str] = {}
    for word in arguments:
        if word.startswith("--"):
            name = word.removeprefix("--")
            options[name] = ""
        else:
            options[name] = f"{options[name]} {word}".strip()
    system, split, seed = options["system"], int(options["split"]), int(options["seed"])
    folder = Path(options["out"])
    behaviour = json.loads(os.environ.get("STUB", "{}")).get(system)
    print(f"threads {os.environ['OMP_NUM_THREADS']}")
    if behaviour == "fail":
        print("Traceback ...", file=sys.stderr)
        print(f"error: no {system} today", file=sys.stderr)
        return 1
    if behaviour == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if behaviour == "nothing":
        return 0
    if behaviour == "begin" and "resume" not in options:
        (folder / "config.yaml").write_text("{}", encoding="utf-8")
        return 1
    if behaviour == "hang":
        (folder / "process").write_text(str(os.getpid()), encoding="utf-8")
        time.sleep(60)
    if behaviour == "meet":
        (folder.parent / f"{system}.met").touch()
        deadline = time.monotonic() + 20
        while len(list(folder.parent.glob("*.met"))) < 2:
            if time.monotonic() > deadline:
                return 1
            time.sleep(0.02)
    name = f"{system}_{options['recipe']}" if "recipe" in options else system
    draw = random.Random(f"{name} {split} {seed}")
    overlaps = {view: [round(draw.random(), 3) for _ in range(16)] for view in VIEWS}
    plain = {"system": system, "split": split, "seed": seed}
    recipe = options.get("recipe", "tuned")
    write_run(folder, name, split, seed, overlaps, recipe=recipe, config=plain)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
