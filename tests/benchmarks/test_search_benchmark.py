"""The benchmark of scoring: both paths are measured for the same proposals, and give the same."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import torch


def test_quick_run(call: Callable[..., int], tmp_path: Path) -> None:
    out = tmp_path / "search.json"
    assert call("search", "--quick", "--threads", 1, "--out", out) == 0
    written = json.loads(out.read_text())
    assert written["benchmark"] == "search"
    rows = {row["case"]: row for row in written["results"]}
    assert list(rows) == ["plain", "encode", "encoded"]
    seconds = {case: row["seconds"]["median"] for case, row in rows.items()}
    assert all(row["figures"]["pairs"] == 20 for row in rows.values())
    (checked,) = written["checks"]
    assert checked["value"] == pytest.approx(seconds["plain"] / seconds["encoded"])
    assert checked["limit"] == 20


def test_both_paths_give_the_same(scripts: dict[str, ModuleType]) -> None:
    torch.manual_seed(0)
    cases = scripts["search"].cases_of(9, torch.device("cpu"), timesteps=6, channels=16)
    runs = {case.name: case.build() for case in cases}
    plain, encoded = runs["plain"](), runs["encoded"]()
    assert torch.allclose(plain.as_tensor(), encoded.as_tensor(), atol=1e-5)


def test_rates_are_those_of_the_most_proposals(scripts: dict[str, ModuleType]) -> None:
    def row(case: str, proposals: int, pairs: int, median: float) -> dict[str, object]:
        setting = {"proposals": proposals}
        figures, seconds = {"pairs": pairs}, {"median": median}
        return {"case": case, "setting": setting, "figures": figures, "seconds": seconds}

    results = [
        *(row("plain", 10, 10, 1.0), row("encoded", 10, 10, 1.0)),
        *(row("plain", 1000, 500, 5.0), row("encoded", 1000, 1000, 0.4)),
    ]
    (checked,) = scripts["search"].checks_of(results)
    assert checked["value"] == pytest.approx(25) and checked["holds"]
