"""Order, laziness, and what is raised."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gnnreloc.training.one_ahead import one_ahead


@given(items=st.lists(st.one_of(st.none(), st.integers())))
def test_the_same_items(items: list[int | None]) -> None:
    assert list(one_ahead(items)) == items


def test_one_ahead_and_no_more() -> None:
    made: list[int] = []
    second = threading.Event()

    def items() -> Iterator[int]:
        for number in range(5):
            made.append(number)
            if number == 1:
                second.set()
            yield number

    batches = one_ahead(items())
    assert made == []
    assert next(batches) == 0
    # The next one is made although nobody has asked for it.
    assert second.wait(timeout=30)
    batches.close()  # ends the thread, whatever is left
    assert made == [0, 1]
    assert not [thread for thread in threading.enumerate() if "ThreadPool" in thread.name]


def test_an_error_comes_in_its_turn() -> None:
    def items() -> Iterator[int]:
        yield 1
        yield 2
        raise ValueError("the third is broken")

    seen = []
    with pytest.raises(ValueError, match="the third is broken"):
        for item in one_ahead(items()):
            seen.append(item)
    assert seen == [1, 2]


def test_made_outside_of_the_callers_thread() -> None:
    def items() -> Iterator[int]:
        for _ in range(2):
            yield threading.get_ident()

    assert set(one_ahead(items())) != {threading.get_ident()}


def test_other_threads_keep_their_number_of_threads() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        seen = []
        batches = one_ahead(iter([1, 2]))
        next(batches)
        other = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
        other.start()
        other.join()
        batches.close()
        assert seen == [2] and torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
