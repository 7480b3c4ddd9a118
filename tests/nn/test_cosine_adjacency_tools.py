"""The learned adjacency with torch.compile, explainers and devices that must not be waited for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode
from torch_geometric.explain import Explainer, GNNExplainer
from torch_geometric.nn import global_mean_pool

from gnnreloc.nn import CosineAdjacency, GraphConvolution

OPTIONS: list[dict[str, Any]] = [
    {},
    {"activation": "softmax", "top_k": 3, "learn_temperature": True},
    {"normalization": "sym", "threshold": 0.1, "support": "cross", "heads": 2},
    {"activation": "shift", "normalization": "row", "add_self_loops": True},
]


@pytest.fixture(autouse=True)
def fresh_compiler() -> Iterator[None]:
    torch.compiler.reset()
    yield
    torch.compiler.reset()


@pytest.mark.parametrize("options", OPTIONS)
def test_compiles_without_graph_break(options: dict[str, Any]) -> None:
    torch.manual_seed(0)
    layer = CosineAdjacency(4, 6, **options)
    x = torch.randn(2, 6, 4)
    group = torch.arange(6) < 3
    dense = torch.compile(layer.dense, fullgraph=True, backend="eager")
    assert torch.allclose(dense(x, group=group), layer.dense(x, group=group))

    product = torch.compile(layer.matmul, fullgraph=True, backend="eager")
    expected = layer.matmul(x, x, group=group)
    assert torch.allclose(product(x, x, group=group), expected)

    edge_index = torch.tensor([[0, 3, 5, 2, 2], [1, 1, 0, 2, 4]])
    forward = torch.compile(layer, fullgraph=True, backend="eager")
    expected = layer(x[0], edge_index, group=group)[1]
    assert torch.allclose(forward(x[0], edge_index, group=group)[1], expected)
    if layer.support == "all":
        expected = layer(x.flatten(0, 1), batch_size=2)[1]
        assert torch.allclose(forward(x.flatten(0, 1), batch_size=2)[1], expected)


@pytest.mark.slow
def test_inductor_gives_the_same_values_and_gradients() -> None:
    torch.manual_seed(0)
    layer = CosineAdjacency(4, 6, activation="softmax", top_k=3)
    x = torch.randn(2, 6, 4, requires_grad=True)
    compiled = torch.compile(layer.dense, fullgraph=True)(x)
    expected = layer.dense(x)
    assert torch.allclose(compiled, expected, atol=1e-6)
    actual = torch.autograd.grad(compiled.square().sum(), x)[0]
    wanted = torch.autograd.grad(expected.square().sum(), x)[0]
    assert torch.allclose(actual, wanted, atol=1e-5)


def test_no_value_is_read_on_the_host() -> None:
    with FakeTensorMode():
        x = torch.randn(12, 4)
        group = torch.arange(12) % 6 < 3
        for options in OPTIONS:
            layer = CosineAdjacency(4, 6, **options)
            layer.dense(x.view(2, 6, 4), group=group.view(2, 6))
            layer(x, torch.randint(0, 12, (2, 30)), group=group)
            if layer.support == "all":
                layer(x)
                layer(x, batch_size=2)
        # The sizes in a batch vector are data, so this must be noticed.
        with pytest.raises(DataDependentOutputException):
            CosineAdjacency(4)(x, batch=torch.arange(12) // 6, batch_size=2)


class Classifier(torch.nn.Module):
    """Learned weights on given edges, one convolution, mean over nodes."""

    def __init__(self) -> None:
        super().__init__()
        self.adjacency = CosineAdjacency(4, 6, normalization="row")
        self.convolution = GraphConvolution(4, 8)
        self.lin = torch.nn.Linear(8, 2)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        edge_index, weight = self.adjacency(x, edge_index)
        h = self.convolution(x, edge_index, weight)
        out: Tensor = self.lin(global_mean_pool(h, None))
        return out


def test_gnn_explainer_finds_edges_and_features() -> None:
    torch.manual_seed(0)
    model = Classifier()
    explainer = Explainer(
        model,
        GNNExplainer(epochs=10),
        explanation_type="model",
        node_mask_type="attributes",
        edge_mask_type="object",
        model_config={
            "mode": "multiclass_classification",
            "task_level": "graph",
            "return_type": "raw",
        },
    )
    x = torch.randn(6, 4)
    edge_index = torch.tensor([[0, 1, 2, 3, 4, 5, 0], [1, 2, 3, 4, 5, 0, 3]])
    before = model(x, edge_index)
    explanation = explainer(x, edge_index)
    assert explanation.node_mask.shape == (6, 4)
    assert explanation.edge_mask.shape == (7,)
    assert explanation.edge_mask.max() > 0
    assert explanation.node_mask.max() > 0
    assert torch.equal(model(x, edge_index), before)
