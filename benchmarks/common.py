"""The timing contract of all benchmarks: how long a case runs, and how much memory it takes.

The README beside this file says it in words. Cases that are compared are measured together: in
every round each of them runs for a slice of time, so that whatever else the machine does falls on
all of them alike.
"""

from __future__ import annotations

import gc
import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

import torch
from memory import Memory, peak_memory, synchronize

#: A block of runs takes about this long (s) at least, so that reading the clock costs nothing.
BLOCK = 0.02
#: Runs shorter than this (s) are preceded by one that is not timed, which brings the caches back.
SHORT = 0.05
#: Memory is taken from a second run where the first is shorter than this (s): what is set up once
#: weighs little in the others.
SET_UP = 0.5
ROUNDS = 5
#: A case whose budget is used up is still measured this often.
FEWEST_BLOCKS = 3

Clock = Callable[[], float]
Run = Callable[[], object]


@dataclass(frozen=True)
class Limits:
    """What a case may take.

    Attributes:
        seconds: timed, of each case.
        long: a first run that takes longer (s) is the measurement, and there is no second one.
        wait: a case whose runs are expected to take longer (s) is skipped.
        memory: a case that is expected to take more bytes is skipped.
    """

    seconds: float = 0.5
    long: float = 2.0
    wait: float = 100.0
    memory: int = 8 * 2**30


@dataclass(frozen=True)
class Case:
    """One thing to measure.

    Attributes:
        name: of the case among those that it is compared with.
        setting: what these have in common: sizes, direction and so on.
        build: makes the inputs and returns what runs.
        memory: bytes that a run is expected to take.
        work: operations of a run; times of one family are taken to grow with it.
        family: cases that differ in size alone.
        scale: factor of the measured time, for work that is done in part.
        figures: what else belongs to the result.
    """

    name: str
    setting: Mapping[str, Any]
    build: Callable[[], Run]
    memory: float = 0.0
    work: float = 0.0
    family: tuple[object, ...] = ()
    scale: float = 1.0
    figures: Mapping[str, float] = field(default_factory=dict)


class Timing(NamedTuple):
    """Time of one run (s): median and interquartile range over the blocks; blocks and runs."""

    median: float
    iqr: float
    blocks: int
    runs: int


class Session:
    """Measures groups of cases and keeps the results.

    Args:
        device: where the cases run.
        limits: what a case may take.
        clock: seconds.
    """

    def __init__(
        self, device: torch.device, limits: Limits, clock: Clock = time.perf_counter
    ) -> None:
        self.device = device
        self.limits = limits
        self.results: list[dict[str, Any]] = []
        self._clock = clock
        self._known: dict[tuple[object, ...], tuple[float, float]] = {}

    def measure(self, cases: Sequence[Case]) -> list[dict[str, Any]]:
        """Measure cases that are compared with each other.

        Returns:
            One result a case, in order, which :attr:`results` keeps too.
        """
        gc.collect()
        ready: dict[int, Run] = {}
        timings: dict[int, Timing] = {}
        skipped: dict[int, str] = {}
        peaks: dict[int, Memory | None] = {}
        for number, case in enumerate(cases):
            reason = self._refuse(case)
            if reason is None:
                try:
                    run = case.build()
                    peaks[number], timings[number] = self._first_run(run)
                    ready[number] = run
                except (MemoryError, RuntimeError) as error:
                    reason = _out_of_memory(error)
            if reason is not None:
                skipped[number] = reason
        short = {n: run for n, run in ready.items() if timings[n].median <= self.limits.long}
        once = {number: timings[number].median for number in short}
        timings |= time_runs(short, once, self.limits.seconds, self.device, self._clock)
        results = []
        for number, case in enumerate(cases):
            timing = timings.get(number)
            if timing is not None:
                if case.family and case.work:
                    self._known[case.family] = (case.work, timing.median)
                timing = Timing(timing.median * case.scale, timing.iqr * case.scale, *timing[2:])
            peak = peaks.get(number)
            results.append(
                {
                    "case": case.name,
                    "setting": dict(case.setting),
                    "status": "measured" if timing else "skipped",
                    "reason": skipped.get(number),
                    "seconds": timing._asdict() if timing else None,
                    "memory": peak._asdict() if peak else None,
                    "figures": dict(case.figures),
                }
            )
        self.results += results
        return results

    def describe(self) -> dict[str, Any]:
        """The limits, as plain data."""
        return asdict(self.limits)

    def _refuse(self, case: Case) -> str | None:
        """Why a case is not even begun, if it is not."""
        if case.memory > self.limits.memory:
            return (
                f"expected to take {case.memory / 2**30:.1f} GiB, the limit is "
                f"{self.limits.memory / 2**30:.1f} GiB"
            )
        if case.family in self._known and case.work:
            work, seconds = self._known[case.family]
            expected = seconds * case.work / work
            if expected > self.limits.wait:
                return f"expected to take {expected:.0f} s, the limit is {self.limits.wait:.0f} s"
        return None

    def _first_run(self, run: Run) -> tuple[Memory | None, Timing]:
        """Peak memory and time of a first run, or of a second one where set-up would count."""
        seconds: list[float] = []

        def timed() -> None:
            synchronize(self.device)
            began = self._clock()
            run()
            synchronize(self.device)
            seconds.append(self._clock() - began)

        peak = peak_memory(timed, self.device)
        if seconds[0] < SET_UP:
            peak = peak_memory(timed, self.device)
        return peak, Timing(seconds[-1], 0.0, 1, 1)


def time_runs(
    runs: Mapping[Any, Run],
    once: Mapping[Any, float],
    seconds: float,
    device: torch.device,
    clock: Clock = time.perf_counter,
) -> dict[Any, Timing]:
    """Time runs in turn: every round gives each a slice of blocks, a block so many runs.

    Args:
        runs: what runs, warmed up.
        once: about how long one run of each takes (s).
        seconds: timed of each, over all rounds; at least three blocks are.
        device: synchronised before the clock is read.
        clock: seconds.
    """
    block = min(BLOCK, seconds / ROUNDS)
    numbers = {name: max(1, math.ceil(block / max(once[name], 1e-9))) for name in runs}
    times: dict[Any, list[float]] = {name: [] for name in runs}
    used = dict.fromkeys(runs, 0.0)
    for number in range(ROUNDS):
        share = seconds * (number + 1) / ROUNDS
        for name, run in runs.items():
            while used[name] < share or len(times[name]) < min(number + 1, FEWEST_BLOCKS):
                if times[name] and times[name][-1] < SHORT:
                    run()
                taken = _block(run, numbers[name], device, clock)
                used[name] += taken
                times[name].append(taken / numbers[name])
    return {
        name: Timing(
            statistics.median(values),
            interquartile_range(values),
            len(values),
            len(values) * numbers[name],
        )
        for name, values in times.items()
    }


def interquartile_range(values: Sequence[float]) -> float:
    """Distance of the quartiles (linear between values); 0 for a single value.

    Example:
        >>> interquartile_range([1.0, 2.0, 3.0, 4.0, 9.0])
        2.0
    """
    if len(values) < 2:
        return 0.0
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return high - low


def slope(sizes: Sequence[float], values: Sequence[float]) -> float:
    """Exponent b of the power law ``value = a size^b``: least squares on log-log.

    Raises:
        ValueError: If there are no two sizes, or a number is not positive.

    Example:
        >>> slope([10.0, 100.0, 1000.0], [5.0, 500.0, 50000.0])
        2.0
    """
    if len(set(sizes)) < 2 or len(sizes) != len(values) or min(*sizes, *values) <= 0:
        raise ValueError(f"a slope needs two sizes and positive numbers, got {sizes}, {values}")
    fit = statistics.linear_regression([*map(math.log, sizes)], [*map(math.log, values)])
    return round(fit.slope, 6)


def _block(run: Run, number: int, device: torch.device, clock: Clock) -> float:
    collecting = gc.isenabled()
    gc.disable()  # else a block may pay for the garbage of all others
    try:
        synchronize(device)
        began = clock()
        for _ in range(number):
            run()
        synchronize(device)
        return clock() - began
    finally:
        if collecting:
            gc.enable()


def _out_of_memory(error: MemoryError | RuntimeError) -> str:
    """The reason to skip a case; any other error is raised again."""
    message = " ".join(str(error).split())
    memory = isinstance(error, MemoryError | torch.OutOfMemoryError)
    if memory or "allocate memory" in message:
        return f"out of memory: {message[:200]}"
    raise error
