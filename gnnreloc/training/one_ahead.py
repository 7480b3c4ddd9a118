"""Batches made while the one before is trained on."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

T = TypeVar("T")


def one_ahead(batches: Iterable[T]) -> Generator[T, None, None]:
    """The same batches, each made in a thread while the caller works with the one before.

    Products of matrices leave Python to other threads: what a batch takes in Python costs little
    then. Unlike the workers of a DataLoader, a thread hands its batches over as they are. What goes
    wrong there is raised here, in its turn.

    Args:
        batches: iterated over in the thread alone.

    Example:
        >>> list(one_ahead(range(3)))
        [0, 1, 2]
    """
    end = object()
    threads = torch.get_num_threads()
    with ThreadPoolExecutor(1, initializer=_work_alone) as thread:
        iterator = thread.submit(iter, batches).result()
        torch.set_num_threads(threads)  # the thread's 1 would be that of all later threads
        coming = thread.submit(next, iterator, end)
        while (batch := coming.result()) is not end:
            coming = thread.submit(next, iterator, end)
            yield batch  # type: ignore[misc]  # it is not the end, so it is a batch


def _work_alone() -> None:
    """One thread for what this thread computes: the others belong to training."""
    torch.get_num_threads()  # takes over the number of the process, which it would do later
    torch.set_num_threads(1)
