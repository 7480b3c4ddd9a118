"""The benchmark of a library: what it builds and compares, and what its checks hold."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

pytest.importorskip("av", reason="the extra 'video' is not installed")
pytest.importorskip("lancedb", reason="the extra 'search' is not installed")

from gnnreloc.search import FoundMoment


def test_quick_run(
    call: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "library.json"
    assert call("library", "--quick", "--threads", 1, "--out", out) == 0
    written = json.loads(out.read_text())
    rows = [(row["case"], row["setting"].get("system", "")) for row in written["results"]]
    stages = ("stage_one", "stage_two", "query")
    assert rows == [
        ("build", ""),
        *((case, system) for system in ("training_free", "dynamic") for case in stages),
        *(
            (case, system)
            for system in ("training_free", "dynamic")
            for case in ("exact", "two_stages", "two_stages")
        ),
    ]
    (size,) = {row["setting"]["proposals"] for row in written["results"]}
    assert 500 <= size < 1000
    built = written["results"][0]["figures"]
    # Four bins of all 48 channels, numbers of two bytes; and what is told of each.
    assert built["vector_bytes"] == 4 * 48 * 2
    assert built["vector_bytes"] * size < built["live_bytes"] < built["index_bytes"]
    assert built["feature_bytes"] > built["hours"] * 3600 / 0.25 * 48 * 4
    names = [row["name"] for row in written["checks"]]
    assert [name.partition(":")[0] for name in names] == ["training_free", "dynamic"]
    assert out.with_suffix(".png").stat().st_size > 10_000
    capsys.readouterr()
    assert call("library", "--plot", out) == 0
    assert capsys.readouterr().out.strip() == str(out.with_suffix(".png"))


def test_videos_and_queries(scripts: dict[str, ModuleType], tmp_path: Path) -> None:
    videos = scripts["library_videos"].generate(2000, channels=64, seed=1)
    report = videos.build(tmp_path / "index")
    assert 2000 <= report.proposals < 2800 and report.videos == len(videos.features)
    assert len(videos.queries) >= 60
    # What a query shows is told, and so is what happens where.
    name, ((start, end, label), *_) = next(
        (name, some) for name, some in videos.moments.items() if videos.asked[3] in some[0]
    )
    assert label == videos.asked[3] and len(videos.asked) == len(videos.queries)
    length, video = end - start, f"{name}.mp4"
    assert videos.is_right(3, video, start, start + 0.51 * length)
    assert not videos.is_right(3, video, start, start + 0.49 * length)
    other = next(number for number, asked in enumerate(videos.asked) if asked != label)
    assert not videos.is_right(other, video, start, end)
    # Other channels, the same cosines.
    values = next(iter(videos.features.values())).values[:50]
    mixed = values @ videos.mixing
    assert mixed.shape == (50, 64)
    assert torch.allclose(mixed @ mixed.T, values @ values.T, atol=1e-3)
    with pytest.raises(NotImplementedError, match="generated"):
        videos.backbone.encode(torch.zeros(1))


def test_agreement_by_hand(scripts: dict[str, ModuleType]) -> None:
    wanted = [FoundMoment("a", 0.0, 4.0, 0.5)] * 5
    found = [
        FoundMoment("a", 0.0, 4.0, 0.9),  # the same
        FoundMoment("a", 0.0, 2.0, 0.5),  # half of it
        FoundMoment("a", 0.0, 1.9, 0.5),  # less
        FoundMoment("b", 0.0, 4.0, 0.5),  # another video
        None,
    ]
    figures = scripts["library_recall"].agreement(found, wanted)
    assert figures == {"recall": 0.4, "same": 0.2, "queries": 5}


def test_limits_hold_for_the_size_and_the_number_that_they_name(
    scripts: dict[str, ModuleType],
) -> None:
    def row(case: str, size: int, seconds: float = 0.5, **more: Any) -> dict[str, Any]:
        setting = {"proposals": size, "system": "training_free", **more.pop("setting", {})}
        figures = more
        return {
            "case": case,
            "setting": setting,
            "seconds": {"median": seconds},
            "figures": figures,
        }

    checks = scripts["library"].checks_of(
        [
            row("query", 10_000, 5.0),
            row("query", 100_230, 1.5),
            row("query", 1_000_000, 5.0),
            row("stage_one", 100_230, 5.0),
            row("two_stages", 100_230, recall=0.5, setting={"candidates": 50}),
            row("two_stages", 100_230, recall=0.96, setting={"candidates": 200}),
        ]
    )
    assert [(c["value"], c["limit"], c["holds"]) for c in checks] == [
        (1.5, 1.0, False),
        (0.96, 0.95, True),
    ]


def test_lines_of_the_plot(scripts: dict[str, ModuleType]) -> None:
    results = [
        {"case": case, "setting": {"proposals": size, "system": system}, "seconds": {"median": s}}
        for case, size, system, s in [
            ("query", 1000, "dynamic", 0.1),
            ("query", 10_000, "dynamic", 0.2),
            ("query", 1000, "training_free", 0.3),
            ("exact", 1000, "dynamic", 0.4),
        ]
    ]
    lines = scripts["library_plot"].lines({"results": results}, "dynamic")
    assert lines == {"query": {1000: 0.1, 10_000: 0.2}}


def test_bad_use(call: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    assert call("library", "--proposals", 0) == 2
    assert "--proposals must be at least 1, got 0" in capsys.readouterr().err
