"""The plan of large libraries: its arithmetic, and that the page shows it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "planning.md"


def results(*rows: dict[str, Any]) -> dict[str, Any]:
    return {"results": [{"status": "measured", **row} for row in rows]}


EXTRACTION = results(
    {"case": "decode", "seconds": {"median": 18.0}},
    {
        "case": "whole",
        "seconds": {"median": 36.0},
        "figures": {"video_seconds": 360.0, "feature_bytes": 1_000_000},
    },
)
LIBRARY = results(
    {
        "case": "build",
        "setting": {"proposals": 10},
        "seconds": {"median": 1.0},
        "figures": {"hours": 1.0, "live_bytes": 1},
    },
    {
        "case": "build",
        "setting": {"proposals": 4000},
        "seconds": {"median": 72.0},
        "figures": {"hours": 2.0, "live_bytes": 3_000_000},
    },
    {
        "case": "query",
        "setting": {"proposals": 4000, "system": "training_free"},
        "seconds": {"median": 0.25},
    },
    {
        "case": "query",
        "setting": {"proposals": 10, "system": "dynamic"},
        "seconds": {"median": 9.0},
    },
)


def test_rates_are_those_of_an_hour_and_the_largest_library(scripts: dict[str, ModuleType]) -> None:
    rates = scripts["planning"].rates_of(EXTRACTION, LIBRARY)
    assert rates.feature_bytes == pytest.approx(10_000_000)
    assert rates.machine_hours == pytest.approx(0.1)
    assert rates.decoding_hours == pytest.approx(0.05)
    assert rates.proposals == 2000 and rates.proposals_asked == 4000
    assert rates.index_bytes == 1_500_000 and rates.build_hours == pytest.approx(0.01)
    assert rates.query_seconds == {"training_free": 0.25}


def test_a_plan_grows_with_the_hours(scripts: dict[str, ModuleType]) -> None:
    planning = scripts["planning"]
    rates = planning.rates_of(EXTRACTION, LIBRARY)
    assert planning.plan(10_001, rates) == {
        "features": "100 GB",
        "extraction": "1,000 machine hours",
        "of which decoding": "500 machine hours",
        "machines that extract it in a week": "6",
        "candidate moments": "20,000,000",
        "index": "15 GB",
        "writing the index": "100 machine hours",
        "libraries, asked side by side": "5,001",
        "a query of one library, without training": "0.25 s",
    }
    faster = replace(rates, machine_hours=0.01)
    assert planning.plan(10_000, faster)["extraction"] == "100 machine hours"


def test_a_missing_case_is_told(scripts: dict[str, ModuleType]) -> None:
    from gnnreloc.errors import InputError

    with pytest.raises(InputError, match="wanted the cases whole, decode and build"):
        scripts["planning"].rates_of(results(), LIBRARY)


def test_bad_hours_and_files_are_told(
    call: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("planning", "--hours", 0) == 2
    assert "--hours must be at least 1, got 0" in capsys.readouterr().err
    assert call("planning", "--library", tmp_path / "no.json") == 2
    assert "no.json" in capsys.readouterr().err


def test_the_page_shows_what_is_printed(
    call: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("planning") == 0
    assert capsys.readouterr().out in PAGE.read_text(encoding="utf-8")
