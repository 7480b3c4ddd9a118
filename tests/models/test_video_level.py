"""Distance of one vector a clip."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch_geometric.data import Batch, Data

from gnnreloc.data import Corpus, Features, evaluation_pairs
from gnnreloc.data.pair_graph import pair_graph
from gnnreloc.errors import InputError
from gnnreloc.evaluation import evaluate
from gnnreloc.models.oracle import Oracle
from gnnreloc.models.video_level import VideoLevel
from gnnreloc.training import OptimizerOptions, Trainer

SEGMENT = torch.tensor([0.0, 4.0], dtype=torch.float64)


def build(**options: Any) -> VideoLevel:
    torch.manual_seed(0)
    return VideoLevel(5, **{"hidden_channels": 8, "timesteps": 6} | options).eval()


def graphs_of(pairs: list[int]) -> list[Data]:
    """Random graphs, with the same query where the pair is the same."""
    generator = torch.Generator().manual_seed(1)
    queries = {pair: torch.randn(6, 5, generator=generator) for pair in sorted(set(pairs))}
    return [
        pair_graph(queries[pair], torch.randn(6, 5, generator=generator), SEGMENT, pair=pair)
        for pair in pairs
    ]


def test_by_hand() -> None:
    """The hidden state is tanh(tanh(x) / 2) / 2: query (a, 0) gives (1, 0), (a, a) the diagonal."""
    model = VideoLevel(2, hidden_channels=2, timesteps=1, scale=3.0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        weights = dict(model.named_parameters())["lstm.weight_ih_l0"]
        weights[4:6] = torch.eye(2)  # the cell's input; all gates are 1/2
    query, proposal = torch.tensor([[[0.7, 0.0]], [[0.7, 0.7]]])
    batch = Batch.from_data_list([pair_graph(query, other, SEGMENT) for other in (proposal, query)])
    out = model(batch)
    distance = math.sqrt(2 - 2 / math.sqrt(2))
    assert out.scores.tolist() == pytest.approx([-3 * distance, 0.0], abs=1e-6)
    assert out.offsets.tolist() == [[0.0, 0.0], [0.0, 0.0]]
    assert out.sparsity == 0 and out.adjacency is None


def test_against_numpy() -> None:
    model = build().double()
    w = {name: value.detach().numpy() for name, value in model.named_parameters()}

    def vector(clip: np.ndarray) -> np.ndarray:
        hidden, cell = np.zeros(8), np.zeros(8)
        for x in clip:
            gates = w["lstm.weight_ih_l0"] @ x + w["lstm.bias_ih_l0"]
            gates += w["lstm.weight_hh_l0"] @ hidden + w["lstm.bias_hh_l0"]
            i, f, g, o = np.split(gates, 4)
            cell = cell / (1 + np.exp(-f)) + np.tanh(g) / (1 + np.exp(-i))
            hidden = np.tanh(cell) / (1 + np.exp(-o))
        return np.asarray(hidden / np.linalg.norm(hidden))

    graphs = graphs_of([0, 0, 1])
    expected = [
        -np.linalg.norm(vector(graph.x[:6].double().numpy()) - vector(graph.x[6:].double().numpy()))
        for graph in graphs
    ]
    scores = model(Batch.from_data_list(graphs)).scores
    assert scores.detach().numpy() == pytest.approx(np.array(expected))


def test_a_batch_is_a_loop() -> None:
    model = build()
    graphs = graphs_of([3, 3, 0, 1])
    together = model(Batch.from_data_list(graphs))
    alone = torch.cat([model(Batch.from_data_list([graph])).scores for graph in graphs])
    assert torch.allclose(together.scores, alone, atol=1e-6)
    assert together.scores.shape == (4,) and together.offsets.shape == (4, 2)


def test_a_query_is_encoded_once_for_its_pair() -> None:
    model = build()
    encoded: list[int] = []
    model.lstm.register_forward_hook(lambda _, inputs, __: encoded.append(len(inputs[0])))
    model(Batch.from_data_list(graphs_of([7, 7, 7, 2, 2])))
    assert encoded == [2 + 5]


@pytest.mark.parametrize("same", [False, True])
def test_gradients_are_finite(same: bool) -> None:
    """Also where the distance is 0 and has no derivative, and where all rows are zeros."""
    model = build().train()
    clip = torch.zeros(6, 5) if same else torch.randn(6, 5)
    graphs = [pair_graph(torch.zeros(6, 5), clip, SEGMENT), pair_graph(clip, clip, SEGMENT)]
    model(Batch.from_data_list(graphs)).scores.sum().backward()
    for parameter in model.parameters():
        assert parameter.grad is not None and bool(parameter.grad.isfinite().all())


def test_localize_ranks_and_moves_nothing() -> None:
    generator = torch.Generator().manual_seed(2)
    reference = Features(torch.randn(40, 5, generator=generator), step=0.5)
    proposals = torch.tensor([[0.0, 6.0], [3.0, 9.5], [8.0, 20.0]], dtype=torch.float64)
    query = reference.slice(3.0, 9.5)
    moments = build().localize(query, reference, proposals)
    assert moments.segments[0].tolist() == [3.0, 9.5]
    assert moments.scores[0].item() == pytest.approx(0.0, abs=1e-5)
    assert torch.equal(moments.segments, moments.candidates)
    assert sorted(moments.segments.tolist()) == proposals.tolist()


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["triplet", "ranking"])
def test_overfits(loss: str, separable_corpus: Corpus, tmp_path: Path) -> None:
    corpus = separable_corpus
    pairs = evaluation_pairs(corpus, "train")
    assert evaluate(Oracle(), corpus, pairs).summary["r1"]["0.5"] == 1.0
    torch.manual_seed(0)
    scale = 1.0 if loss == "triplet" else 10.0
    model = VideoLevel(48, hidden_channels=64, timesteps=12, scale=scale)
    trainer = Trainer(
        epochs=30,
        samples=64 if loss == "triplet" else 16,
        batch_size=16 if loss == "triplet" else 4,
        list_length=12,
        sampling="triplets" if loss == "triplet" else "lists",
        negatives="in_video",
        margin=1.0,
        partial=0.0,
        optimizers=[OptimizerOptions(losses={loss: 1.0}, lr=5e-3)],  # type: ignore[dict-item]
        device="cpu",
    )
    trainer.fit(model, corpus, folder=tmp_path)
    assert evaluate(model, corpus, pairs).summary["r1"]["0.5"] == 1.0


def test_has_no_regression(tiny_corpus: Corpus, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="VideoLevel has no loss 'regression'"):
        Trainer(device="cpu").fit(VideoLevel(48), tiny_corpus, folder=tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"in_channels": 0}, "in_channels: at least 1"),
        ({"hidden_channels": 0}, "hidden_channels: at least 1"),
        ({"timesteps": 0}, "timesteps: at least 1"),
        ({"scale": 0.0}, "scale must be above 0, got 0.0"),
        ({"scale": math.nan}, "scale must be above 0, got nan"),
    ],
)
def test_bad_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        VideoLevel(**{"in_channels": 5} | options)


def test_repr() -> None:
    assert repr(build(scale=2.5)) == "VideoLevel(5, 8, timesteps=6, scale=2.5)"
