"""What training on a library gained: moments of its test videos, found with and without a model.

    python examples/videos/judge_library.py mine runs/labelled runs/unlabelled --json gain.json

Every moment of a test video is the query, another test video that shows the same action the
reference. R@1 is the share of pairs whose first answer has a tIoU of .5 (.7) at least with a moment
of the action; features are read from mine/features, as 'gnnreloc features' wrote them.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

import gnnreloc
from gnnreloc.data import DirectoryFeatureStore, Features


def pairs_of(moments: pd.DataFrame) -> list[tuple[pd.Series, pd.DataFrame]]:
    """Each moment, and those of its action in the next video that has some."""
    pairs = []
    for _, query in moments.iterrows():
        others = moments[
            (moments["label"] == query["label"]) & (moments["video"] != query["video"])
        ]
        names = sorted(others["video"].unique())
        if names:
            later = [name for name in names if name > query["video"]]
            pairs.append((query, others[others["video"] == (later or names)[0]]))
    return pairs


def tiou(start: float, end: float, truth: pd.Series) -> float:
    """Overlap of a moment and a true one, over the length of both together."""
    inside = min(end, truth["end"]) - max(start, truth["start"])
    return float(max(0.0, inside) / (max(end, truth["end"]) - min(start, truth["start"])))


def judge(
    model: str | None, features: dict[str, Features], pairs: list[tuple[pd.Series, pd.DataFrame]]
) -> dict[str, float]:
    """R@1 and the mean tIoU of the first answers."""
    step = next(iter(features.values())).step
    reloc = gnnreloc.load(model, step=step)
    videos = {}
    overlaps = []
    for query, truths in pairs:
        name = truths["video"].iloc[0]
        if name not in videos:
            videos[name] = reloc.encode(features[name])
        clip = features[query["video"]].slice(query["start"], query["end"])
        best = reloc.localize(clip, videos[name], top=1)[0]
        overlaps.append(max(tiou(best.start, best.end, truth) for _, truth in truths.iterrows()))
    found = pd.Series(overlaps)
    return {
        "pairs": len(found),
        "r1_0.5": round(float((found >= 0.5).mean()), 3),
        "r1_0.7": round(float((found >= 0.7).mean()), 3),
        "miou": round(float(found.mean()), 3),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Judge from the command line."""
    parser = argparse.ArgumentParser(description="what training on a library gained")
    parser.add_argument("folder", type=Path, help="moments.csv and features/")
    parser.add_argument("models", nargs="*", help="runs of 'gnnreloc train'")
    parser.add_argument("--json", type=Path, help="file for the figures")
    options = parser.parse_args(arguments)
    moments = pd.read_csv(options.folder / "moments.csv")
    moments = moments[moments["subset"] == "test"]
    store = DirectoryFeatureStore(options.folder / "features")
    features = {name: store[name] for name in moments["video"].unique()}
    pairs = pairs_of(moments)
    figures = {}
    for model in (None, *options.models):
        name = "training-free" if model is None else Path(model).name
        figures[name] = row = judge(model, features, pairs)
        print(
            f"{name:14} R@1 at tIoU .5: {row['r1_0.5']:.3f}   at .7: {row['r1_0.7']:.3f}   "
            f"mean tIoU: {row['miou']:.3f}"
        )
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
