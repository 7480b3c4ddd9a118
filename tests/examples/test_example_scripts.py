"""Every example runs, and what it prints is so."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

EXAMPLES = Path(__file__).parents[2] / "examples"
FLOAT = re.compile(r"\d+\.?\d*(?:e[+-]?\d+)?")

Run = Callable[..., list[str]]


def load(name: str) -> ModuleType:
    """The example as a module."""
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """Calls the ``main`` of an example; the lines that it prints. The seed is put back."""

    def main(name: str, **sizes: Any) -> list[str]:
        with torch.random.fork_rng(devices=[]):
            load(name).main(**sizes)
        return capsys.readouterr().out.splitlines()

    torch.compiler.reset()
    yield main
    torch.compiler.reset()


def numbers(line: str) -> list[float]:
    return [float(found) for found in FLOAT.findall(line)]


def test_in_front_of_convolutions(run: Run) -> None:
    lines = run("in_front_of_convolutions", num_nodes=9)
    assert [line.split()[0] for line in lines] == [
        *("graph_conv", "gcn_conv", "gatv2_conv", "dense_graph_conv")
    ]
    assert all("out [9, 8]" in line for line in lines[:3])
    assert "out [2, 9, 8]" in lines[3]
    assert all(numbers(line)[-1] > 0 for line in lines)


def test_inside_sequential(run: Run) -> None:
    before, after = run("inside_sequential", num_sets=200, epochs=15)
    assert numbers(before)[1] == numbers(after)[1] == 100
    assert numbers(after)[0] >= 90 > numbers(before)[0]


def test_transformer_block(run: Run) -> None:
    sizes, difference = run("transformer_block", sizes=(3, 1, 8, 5, 5))
    assert sizes == "5 graphs of 1 to 8 nodes, out [22, 32]"
    assert numbers(difference)[0] < 1e-5


def test_between_two_sets(run: Run) -> None:
    found, edges = run("between_two_sets", num_memories=40, num_readers=30)
    assert found == "30 readers, 40 memories: original found by 100%"
    assert numbers(edges)[0] == 30 * 40
    assert numbers(edges)[1] < 1e-5


def test_mixed_with_a_given_graph(run: Run) -> None:
    lines = run("mixed_with_a_given_graph")
    right = {line.split(":")[0]: numbers(line)[0] for line in lines}
    assert set(right) == {"given", "reweighted", "mixed"}
    assert min(right["reweighted"], right["mixed"]) >= right["given"] + 10


def test_explained(run: Run) -> None:
    (line,) = run("explained")
    inside, across = numbers(line)
    assert inside > 3 * across


def test_compiled_and_mixed_precision(run: Run) -> None:
    compiled, mixed = run("compiled_and_mixed_precision", num_nodes=30, compiler="aot_eager")
    assert compiled.startswith("compiled") and numbers(compiled)[0] < 1e-5
    assert mixed.startswith("bfloat16") and 1e-5 < numbers(mixed.split(":")[1])[0] < 0.1


def test_many_nodes(run: Run) -> None:
    lines = run("many_nodes", num_nodes=3000, receivers=20)
    assert lines[:3] == [
        "all pairs: out [3000, 8], gradient [3000, 32]",
        "20 receivers: out [20, 8], gradient [3000, 32]",
        "sparsity: out [], gradient [3000, 32]",
    ]


@pytest.mark.slow
def test_many_nodes_fit_into_memory() -> None:
    command = [sys.executable, str(EXAMPLES / "many_nodes.py")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    peak, matrix = numbers(done.stdout.splitlines()[-1])
    assert matrix == 40
    assert peak < 2


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.stem)
def test_each_is_short_and_tested_here(path: Path) -> None:
    assert len(path.read_text().splitlines()) < 60
    assert f"test_{path.stem}" in globals()
