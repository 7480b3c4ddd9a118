"""The page about the adjacency layer: its code runs, is that of the examples, its links lead on."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch

from gnnreloc.nn import CosineAdjacency

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "adjacency.md"
TEXT = PAGE.read_text(encoding="utf-8")
CODE = re.compile(r"^```python\n(.*?)^```$", flags=re.MULTILINE | re.DOTALL)
EXAMPLE = re.compile(r"\(\.\./examples/(\w+)\.py\)")


class Snippet(NamedTuple):
    """A block of code and the example that was linked last before it, if any."""

    code: str
    example: str | None


def snippets() -> list[Snippet]:
    found = []
    for block in CODE.finditer(TEXT):
        linked = EXAMPLE.findall(TEXT[: block.start()])
        found.append(Snippet(block[1], linked[-1] if linked else None))
    return found


def execute() -> dict[str, Any]:
    """Runs all of them one after the other, with the tensors that the text speaks of."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        names: dict[str, Any] = {"memory": torch.randn(20, 16), "readers": torch.randn(5, 16)}
        names["values"] = torch.randn(20, 3)
        for snippet in snippets():
            exec(compile(snippet.code, str(PAGE), "exec"), names)
        return names


def test_the_first_snippet_says_what_comes_out() -> None:
    names: dict[str, Any] = {}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        exec(snippets()[0].code, names)
    matrix = names["adjacency"]
    assert matrix.shape == (1, 10, 10)
    assert names["edge_index"].shape == (2, 100)
    assert torch.allclose(names["weight"].view(10, 10), matrix[0], atol=1e-6)
    assert torch.allclose(names["out"], matrix[0] @ names["x"], atol=1e-5)


def test_every_snippet_runs() -> None:
    names = execute()
    x = names["x"]
    assert names["received"].shape == (5, 3)
    assert names["graph_conv"](x)[1].shape == names["gatv2_conv"](x)[1].shape == (10, 8)
    edge_index = torch.tensor([[0, 1, 2], [1, 2, 0]])
    assert names["Mixed"](64, 3)(x, edge_index).shape == (10, 3)
    assert names["TransformerBlock"](64, 4)(x, torch.arange(10) // 3).shape == (10, 64)
    assert names["all_pairs"](x, x).shape == (10, 64)


@pytest.mark.parametrize("number", range(1, len(snippets())))
def test_snippets_are_lines_of_their_example(number: int) -> None:
    code, example = snippets()[number]
    assert example is not None
    source = (ROOT / "examples" / f"{example}.py").read_text(encoding="utf-8").splitlines()
    rest = iter([line.strip() for line in source])
    for line in filter(None, map(str.strip, code.splitlines())):
        assert line in rest, f"not in {example}.py, or not in this order: {line}"


def test_links_lead_to_every_example() -> None:
    linked = {f"{name}.py" for name in EXAMPLE.findall(TEXT)}
    assert linked == {path.name for path in (ROOT / "examples").glob("*.py")}
    for link in re.findall(r"\]\(([^)#]+)\)", CODE.sub("", TEXT)):
        assert (PAGE.parent / link).exists(), link


def test_second_derivatives_are_as_the_page_says() -> None:
    torch.manual_seed(0)
    x = torch.randn(1, 6, 4, dtype=torch.float64, requires_grad=True)
    layer = CosineAdjacency(4)

    def twice(backend: str) -> torch.Tensor:
        out = layer.matmul(x, x, backend=backend)
        (grad,) = torch.autograd.grad(out.square().sum(), x, create_graph=True)
        return torch.autograd.grad(grad.square().sum(), x)[0]

    expected = twice("dense")
    assert torch.allclose(twice("edge"), expected)
    assert torch.allclose(twice("lowrank"), expected)
    with pytest.raises(RuntimeError, match="no autograd formula"):
        twice("blocked")


@pytest.mark.parametrize("backend", ["edge", "dense", "blocked", "lowrank"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_as_the_page_says(backend: str, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    layer, x, h = CosineAdjacency(4), torch.randn(2, 6, 4), torch.randn(2, 6, 3)
    found = layer.matmul(x.to(dtype), h.to(dtype), backend=backend)
    assert found.dtype == layer.dense(x.to(dtype)).dtype == dtype
    expected = layer.dense(x.to(dtype).double()) @ h.to(dtype).double()
    assert torch.allclose(found.double(), expected, atol=0.05)
