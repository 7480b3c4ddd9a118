"""Whether both stages of a search find what scoring everything finds."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from statistics import fmean, median
from typing import Any

from common import Timing, interquartile_range

from gnnreloc.data import Features
from gnnreloc.search import FoundMoment
from gnnreloc.search.library import Library

#: More proposals than any library here has.
ALL = 10**7
#: A moment is the other one from this tIoU on.
OVERLAP = 0.5

Answer = Callable[[Features], list[FoundMoment]]
IsRight = Callable[[int, str, float, float], bool]


def two_stages(
    library: Library, queries: Sequence[Features], numbers: Sequence[int], is_right: IsRight
) -> list[dict[str, Any]]:
    """The best moment near so many candidates, against the best of all.

    Args:
        library: the library, with or without a model.
        queries: what is asked.
        numbers: of candidates.
        is_right: whether a moment shows what the query of this number does.

    Returns:
        A result for scoring all, ``exact``, and one for each number: ``recall`` is the share of
        queries whose best moment is in the same video, with a tIoU of 0.5 at least; ``same`` of
        those whose best moment is the same one; ``right`` of those whose best moment shows the
        action that is asked for, of which a library holds many.
    """
    wanted, timing = _answers(lambda q: library.search(q, top=1, candidates=ALL), queries)
    exact = {"queries": len(queries), "right": _share(is_right, wanted)}
    results = [_result(library, "exact", ALL, timing, exact)]
    for number in numbers:

        def answer(query: Features, number: int = number) -> list[FoundMoment]:
            return library.search(query, top=1, candidates=number, exact=True)

        found, timing = _answers(answer, queries)
        figures = {**agreement(found, wanted), "right": _share(is_right, found)}
        results.append(_result(library, "two_stages", number, timing, figures))
    return results


def approximate(library: Library, queries: Sequence[Features], number: int) -> list[dict[str, Any]]:
    """The best moment with an inverted file, against that with the vectors of all proposals.

    Args:
        library: so large that it has one.
        queries: what is asked.
        number: of candidates.
    """
    wanted, _ = _answers(lambda q: library.search(q, top=1, candidates=number, exact=True), queries)
    found, timing = _answers(lambda q: library.search(q, top=1, candidates=number), queries)
    return [_result(library, "inverted_file", number, timing, agreement(found, wanted))]


def agreement(
    found: Sequence[FoundMoment | None], wanted: Sequence[FoundMoment | None]
) -> dict[str, float]:
    """Shares of the queries whose best moments agree, see :func:`two_stages`."""
    pairs = list(zip(found, wanted, strict=True))
    return {
        "recall": fmean(_overlap(one, other) >= OVERLAP for one, other in pairs),
        "same": fmean(_overlap(one, other) > 1 - 1e-9 for one, other in pairs),
        "queries": len(pairs),
    }


def _share(is_right: IsRight, found: Sequence[FoundMoment | None]) -> float:
    return fmean(
        one is not None and is_right(query, one.video, one.start, one.end)
        for query, one in enumerate(found)
    )


def _overlap(one: FoundMoment | None, other: FoundMoment | None) -> float:
    """The tIoU of two moments, 0 in different videos."""
    if one is None or other is None or one.video != other.video:
        return 0.0
    shared = min(one.end, other.end) - max(one.start, other.start)
    hull = max(one.end, other.end) - min(one.start, other.start)
    return max(0.0, shared) / hull


def _answers(
    answer: Answer, queries: Sequence[Features]
) -> tuple[list[FoundMoment | None], Timing]:
    """The best moment for each query, and the time that one took."""
    found: list[FoundMoment | None] = []
    times = []
    for query in queries:
        began = time.perf_counter()
        moments = answer(query)
        times.append(time.perf_counter() - began)
        found.append(moments[0] if moments else None)
    return found, Timing(median(times), interquartile_range(times), len(times), len(times))


def _result(
    library: Library, case: str, candidates: int, timing: Timing, figures: dict[str, float]
) -> dict[str, Any]:
    proposals = library.tables.count_proposals()
    system = "training_free" if library.engine.model is None else library.engine.model.name
    return {
        "case": case,
        "setting": {
            "proposals": proposals,
            "system": system,
            "candidates": min(candidates, proposals),
        },
        "status": "measured",
        "reason": None,
        "seconds": timing._asdict(),
        "memory": None,
        "figures": figures,
    }
