"""How fast videos become features: decoding, the backbone, and both as ``gnnreloc features`` does.

    python benchmarks/extraction.py
    python benchmarks/extraction.py --device cuda --out benchmarks/results/extraction_cuda.json

One video is rendered: 320 x 240, 25 frames a second, H.264, ten minutes of a moving pattern with
noise. ``decode`` gives the frames that the default backbone looks at, in its size; ``backbone``
makes rows of as many frames that lie in memory; ``whole`` is one call of ``extract_features``. The
figure is seconds of video a second. Writes ``results/extraction.json``. Exit status: 0, or 2 for
bad input.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import Case, Limits, Run, Session
from record import check, common_parser, environment, fail, print_checks, set_up, write_results
from rich.console import Console
from rich.table import Table

from gnnreloc.data import write_features
from gnnreloc.errors import InputError
from gnnreloc.video import create_backbone, extract_features
from gnnreloc.video.decode import decode
from gnnreloc.video.pictures import import_av

MINUTES, SIZE, RATE = 10, (320, 240), 25
#: Longest extraction of ten minutes (s) on two cores (issue 6).
LIMIT = 180.0


def render(path: Path, seconds: float, seed: int) -> None:
    """Write a video of a pattern that moves, with noise.

    Args:
        path: of an ``.mp4`` file.
        seconds: how long.
        seed: of the pattern and the noise.
    """
    av = import_av()
    random = np.random.default_rng(seed)
    width, height = SIZE
    y, x = np.mgrid[:height, :width] / height
    waves = random.uniform(-30, 30, (3, 2))
    noise = random.normal(scale=4, size=(16, height, width, 3))
    with av.open(path, "w") as container:
        stream = container.add_stream("h264", rate=RATE)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.options = {"preset": "veryfast"}
        for number in range(round(seconds * RATE)):
            phase = 2 * np.pi * number / RATE / 3
            pattern = np.stack([np.sin(a * x + b * y + phase) for a, b in waves], axis=-1)
            image = (128 + 70 * pattern + noise[number % 16]).clip(0, 255).astype(np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, "rgb24")))
        container.mux(stream.encode(None))


def cases_of(path: Path, seconds: float, device: torch.device) -> list[Case]:
    """The parts and the whole, for one video."""
    backbone = create_backbone("efficientnet_lite0", device=device)
    rows = round(seconds / backbone.step)
    width, height = backbone.frame_size
    together = 16 if device.type == "cpu" else 256  # as in gnnreloc/video/extract.py
    setting = {"backbone": backbone.name, "step": backbone.step, "device": device.type}

    def decoding() -> Run:
        wanted = {"fps": backbone.fps, "size": backbone.frame_size}
        return lambda: [frame.time for frame in decode(path, **wanted)]

    def encoding() -> Run:
        frames = torch.randint(256, (together, 1, height, width, 3), dtype=torch.uint8)

        @torch.inference_mode()
        def run() -> None:
            for first in range(0, rows, together):
                backbone.encode(frames[: rows - first].to(device)).to("cpu", torch.float32)

        return run

    figures = {"video_seconds": seconds, "rows": rows}
    return [
        Case("decode", setting, decoding, figures=figures),
        Case("backbone", setting, encoding, figures=figures),
        Case("whole", setting, lambda: lambda: extract_features(path, backbone), figures=figures),
    ]


def rate(result: Mapping[str, Any]) -> float:
    """Seconds of video a second."""
    return float(result["figures"]["video_seconds"] / result["seconds"]["median"])


def print_results(results: Sequence[Mapping[str, Any]], console: Console) -> None:
    """A table of rates."""
    table = Table(title="seconds of video a second", title_justify="left", box=None)
    for name in ("case", "rate", "s", "IQR", "peak MB"):
        table.add_column(name, justify="left" if name == "case" else "right")
    for result in results:
        seconds, memory = result["seconds"], result["memory"]
        table.add_row(
            *(result["case"], f"{rate(result):.1f}"),
            *(f"{seconds['median']:.2f}", f"{seconds['iqr']:.2f}"),
            "" if memory is None else f"{memory['above'] / 1e6:.0f}",
        )
    console.print(table, "")


def main(arguments: Sequence[str]) -> None:
    """Measure, print and write."""
    parser = common_parser(__doc__, "extraction")
    try:
        options = parser.parse_args(list(arguments))
        device = set_up(options)
        started = environment(device)
        seconds = 4.0 if options.quick else 60.0 * MINUTES
        session = Session(device, Limits(seconds=0.02 if options.quick else 5.0, long=100.0))
        with tempfile.TemporaryDirectory(prefix="gnnreloc-") as folder:
            path = Path(folder, "video.mp4")
            render(path, seconds, options.seed)
            results = session.measure(cases_of(path, seconds, device))
            features = extract_features(path, create_backbone(device=device))
            write_features(Path(folder, "video.safetensors"), features)
            size = Path(folder, "video.safetensors").stat().st_size
        results[-1]["figures"]["feature_bytes"] = size
        # The limit is one of ten minutes; a shorter video is held to its share of it.
        taken = results[-1]["seconds"]["median"] * 60 * MINUTES / seconds
        checks = [check("seconds for ten minutes of video", taken, "at most", LIMIT)]
        print_results(results, Console(width=None if Console().is_terminal else 110))
        print_checks(checks)
        write_results(
            options.out,
            "extraction",
            started=started,
            options={"seed": options.seed, "quick": options.quick, **session.describe()},
            results=results,
            checks=checks,
        )
        print(options.out)
    except InputError as error:
        fail(error)


if __name__ == "__main__":
    main(sys.argv[1:])
