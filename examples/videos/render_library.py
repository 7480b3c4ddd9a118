"""A library of generated videos with known moments, to try training on videos of one's own.

    python examples/videos/render_library.py mine --videos 40

writes mine/videos/*.mp4, in each of which figures perform some of eight motions, and
mine/moments.csv with the columns video,start,end,label and subset: a quarter of the videos are for
the test. A motion is performed by any figure, in any colour, place, size, speed and length, before
any background: what is to be found is how it moves, and all else differs.
"""

from __future__ import annotations

import argparse
import csv
import random
import sys
from collections.abc import Sequence
from pathlib import Path

from rendered_videos import ACTIONS, Scene, render

SIZE = (160, 120)
FPS = 12
#: Those whose turns can be seen.
FIGURES = ("bar", "cross", "discs", "square", "stripes", "triangle")


def scenes_of(draw: random.Random, actions: int) -> tuple[list[Scene], float]:
    """What happens in a video, and its length in seconds."""
    time, scenes = draw.uniform(1, 4), []
    for action in draw.sample(sorted(ACTIONS), actions):
        length, speed = draw.uniform(4, 10), draw.uniform(0.15, 0.4)
        seed, figure = draw.randrange(10**6), draw.choice(FIGURES)
        scenes.append(Scene(action, time, time + length, speed, seed, figure))
        time += length + draw.uniform(1, 5)
    return scenes, time


def write_library(folder: Path, videos: int, *, seed: int = 0, actions: int = 4) -> None:
    """Write the videos and the table of their moments.

    Args:
        folder: gets ``videos/`` and ``moments.csv``.
        videos: how many.
        seed: of all that is drawn.
        actions: in each video.
    """
    draw = random.Random(seed)
    (folder / "videos").mkdir(parents=True, exist_ok=True)
    rows = []
    for number in range(videos):
        scenes, duration = scenes_of(draw, actions)
        name = f"{number:03}.mp4"
        path = folder / "videos" / name
        render(
            path, scenes, duration=duration, fps=FPS, size=SIZE, seed=seed + number, numbered=False
        )
        subset = "test" if number % 4 == 3 else "train"
        rows += [
            (name, f"{s.start:.3f}", f"{s.end:.3f}", s.action.partition("_")[2], subset)
            for s in scenes
        ]
    with (folder / "moments.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("video", "start", "end", "label", "subset"))
        writer.writerows(rows)


def main(arguments: Sequence[str] | None = None) -> None:
    """Write a library from the command line."""
    parser = argparse.ArgumentParser(description="render a library of videos with known moments")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--videos", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    write_library(options.folder, options.videos, seed=options.seed)
    print(f"{options.videos} videos: {options.folder}")


if __name__ == "__main__":
    main(sys.argv[1:])
