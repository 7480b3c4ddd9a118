"""The benchmark scripts as modules, and how their ``main`` is called."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import pytest
import torch

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
NAMES = (
    *("adjacency", "adjacency_cases", "common", "extraction", "library", "library_plot"),
    *("library_recall", "library_videos", "loader", "matrix_work", "memory", "planning", "plot"),
    *("record", "search", "training_step"),
)
NODE_NAMES = (
    *("node_classification", "node_classifiers", "node_label_propagation", "node_splits"),
    "node_table",
)

Main = Callable[..., int]


@contextmanager
def loaded(names: Sequence[str]) -> Iterator[dict[str, ModuleType]]:
    """The modules; they are found by their names only while they are loaded."""
    sys.path.insert(0, str(BENCHMARKS))
    try:
        yield {name: importlib.import_module(name) for name in names}
    finally:
        sys.path.remove(str(BENCHMARKS))
        for name in names:
            sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def scripts() -> Iterator[dict[str, ModuleType]]:
    """The benchmarks of time and memory."""
    with loaded(NAMES) as found:
        yield found


@pytest.fixture(scope="module")
def modules() -> Iterator[dict[str, ModuleType]]:
    """The benchmark of node classification."""
    with loaded(NODE_NAMES) as found:
        yield found


@pytest.fixture
def call(scripts: dict[str, ModuleType]) -> Main:
    """Calls a script as the command line does; its exit status. Threads and seed are put back."""

    def main(name: str, *arguments: object) -> int:
        threads = torch.get_num_threads()
        try:
            with torch.random.fork_rng(devices=[]):
                scripts[name].main([str(argument) for argument in arguments])
        except SystemExit as stop:
            return int(stop.code or 0)
        finally:
            torch.set_num_threads(threads)
        return 0

    return main
