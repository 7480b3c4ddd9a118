"""The timing contract, on a clock that the test moves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from types import ModuleType
from typing import Any

import pytest
import torch

CPU = torch.device("cpu")


class Clock:
    """Seconds that pass only while something runs."""

    def __init__(self) -> None:
        self.now = 0.0
        self.log: list[str] = []

    def __call__(self) -> float:
        return self.now

    def run(self, name: str, durations: Sequence[float]) -> Callable[[], None]:
        """What takes so long at each call; the last duration holds from then on."""
        left = list(durations)

        def run() -> None:
            self.log.append(name)
            self.now += left.pop(0) if len(left) > 1 else left[0]

        return run


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def common(scripts: dict[str, ModuleType]) -> ModuleType:
    return scripts["common"]


@pytest.fixture
def measure(common: ModuleType, clock: Clock) -> Callable[..., list[dict[str, Any]]]:
    """Measures cases, given as name and durations, in one session of half a second each."""
    session = common.Session(CPU, common.Limits(seconds=0.5, long=2.0, wait=50.0), clock)

    def measure(**cases: Sequence[float]) -> list[dict[str, Any]]:
        made = [
            common.Case(name, {}, lambda name=name, times=times: clock.run(name, times))
            for name, times in cases.items()
        ]
        return list(session.measure(made))

    return measure


def test_median_and_quartiles_of_the_blocks(measure: Any) -> None:
    # The first run sets up, the second is for the memory; 0.1, 0.3 and 0.2 fill half a second.
    [result] = measure(a=[0.4, 0.1, 0.1, 0.3, 0.2, 9.0])
    assert result["status"] == "measured"
    assert result["seconds"] == pytest.approx({"median": 0.2, "iqr": 0.1, "blocks": 3, "runs": 3})


def test_a_block_has_many_short_runs_and_one_untimed(measure: Any, clock: Clock) -> None:
    [result] = measure(a=[0.001])
    seconds = result["seconds"]
    assert seconds["median"] == pytest.approx(0.001)
    assert seconds["iqr"] == pytest.approx(0.0, abs=1e-9)
    assert seconds["runs"] == 20 * seconds["blocks"]
    assert 25 <= seconds["blocks"] <= 30
    assert len(clock.log) == 2 + seconds["runs"] + seconds["blocks"] - 1


def test_compared_cases_take_turns(measure: Any, clock: Clock) -> None:
    measure(a=[0.125], b=[0.125])
    assert "".join(clock.log) == "aabb" + "ab" * 4


def test_slow_and_fast_cases_meet_in_every_round(measure: Any, clock: Clock) -> None:
    measure(fast=[0.06], slow=[0.4])
    turns = [name for name, _ in groupby(clock.log[4:])]
    assert turns[:6] == ["fast", "slow"] * 3


def test_a_long_run_is_run_once(measure: Any, clock: Clock) -> None:
    [result] = measure(a=[2.5, 1.0])
    assert result["seconds"] == {"median": 2.5, "iqr": 0.0, "blocks": 1, "runs": 1}
    assert clock.log == ["a"]


def test_part_of_the_work_is_scaled_up(common: ModuleType, clock: Clock) -> None:
    session = common.Session(CPU, common.Limits(), clock)
    [result] = session.measure([common.Case("a", {}, lambda: clock.run("a", [3.0]), scale=10.0)])
    assert result["seconds"]["median"] == 30.0


def test_a_case_too_large_is_not_built(common: ModuleType, clock: Clock) -> None:
    session = common.Session(CPU, common.Limits(memory=2**30), clock)
    large = common.Case("large", {"nodes": 5}, lambda: pytest.fail("built"), memory=3 * 2**30)
    small = common.Case("small", {"nodes": 5}, lambda: clock.run("small", [3.0]), memory=2**30)
    skipped, measured = session.measure([large, small])
    assert skipped["status"] == "skipped"
    assert skipped["reason"] == "expected to take 3.0 GiB, the limit is 1.0 GiB"
    assert skipped["seconds"] is None and skipped["memory"] is None
    assert measured["status"] == "measured" and measured["reason"] is None
    assert session.results == [skipped, measured]


def test_time_is_foretold_from_the_smaller_case(common: ModuleType, clock: Clock) -> None:
    session = common.Session(CPU, common.Limits(wait=50.0), clock)

    def case(work: float, family: str) -> Any:
        run = clock.run("run", [3.0])
        return common.Case("a", {}, lambda: run, work=work, family=(family,))

    statuses = [
        session.measure([case(work, family)])[0]["reason"]
        for work, family in ((10.0, "x"), (160.0, "x"), (900.0, "x"), (900.0, "y"))
    ]
    # 3 s for 160 would be 17 s for 900; the first foretells 48 s for 160, which is still begun.
    assert statuses == [None, None, None, None]
    [late] = session.measure([case(1e5, "x")])
    assert late["reason"] == "expected to take 333 s, the limit is 50 s"


def test_out_of_memory_is_a_reason_and_another_error_is_not(common: ModuleType) -> None:
    session = common.Session(CPU, common.Limits())

    def case(error: Exception) -> Any:
        def run() -> None:
            raise error

        return common.Case("a", {}, lambda: run)

    full = RuntimeError("DefaultCPUAllocator: can't allocate memory:\n you tried 1 bytes")
    for error in (full, MemoryError("no room"), torch.OutOfMemoryError("no room")):
        [result] = session.measure([case(error)])
        assert result["status"] == "skipped"
        assert result["reason"].startswith("out of memory: ")
        assert "\n" not in result["reason"]
    with pytest.raises(RuntimeError, match="shapes"):
        session.measure([case(RuntimeError("shapes do not fit"))])


def test_peak_memory_of_a_known_allocation(scripts: dict[str, ModuleType]) -> None:
    kept = torch.ones(2**24)  # 64 MiB that lie there before the run

    def run() -> None:
        torch.ones(2**24).add_(1)  # 64 MiB
        torch.ones(2**25).add_(kept[0])  # 128 MiB, after the others are freed

    peaks = [scripts["memory"].peak_memory(run, CPU) for _ in range(2)]
    for peak in peaks:
        if peak is None:
            pytest.skip("this system does not tell the peak")
        # What the first run freed is charged to the second one again.
        assert peak.above == pytest.approx(2**27, rel=0.05)
        assert peak.total > peak.above + 2**26


def test_slope_of_a_power_law(common: ModuleType) -> None:
    sizes = [10.0, 20.0, 80.0]
    assert common.slope(sizes, [3 * size**1.5 for size in sizes]) == pytest.approx(1.5)
    for bad in (([10.0], [1.0]), ([10.0, 10.0], [1.0, 2.0]), ([10.0, 20.0], [0.0, 1.0])):
        with pytest.raises(ValueError, match="a slope needs"):
            common.slope(*bad)
