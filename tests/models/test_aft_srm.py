"""Attention fusion tensor and relevance net."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch_geometric.data import Batch, Data

from gnnreloc.data import Corpus, evaluation_pairs
from gnnreloc.data.pair_graph import pair_graph
from gnnreloc.evaluation import evaluate
from gnnreloc.models.aft_srm import AFTSRM
from gnnreloc.models.oracle import Oracle
from gnnreloc.training import OptimizerOptions, Trainer, compute_losses
from gnnreloc.training.losses import LossName

SEGMENT = torch.tensor([0.0, 4.0], dtype=torch.float64)
TARGET = torch.tensor([0.5, 4.0], dtype=torch.float64)
OPTIONS: list[dict[str, Any]] = [
    {},
    {"encoder": "lstm", "layers": 1, "bounded_score": True},
    {"encoder": "cnn", "layers": 3, "kernel_size": 5},
    {"project_input": False, "temperature": 1.0},
]


def build(**options: Any) -> AFTSRM:
    torch.manual_seed(0)
    return AFTSRM(5, **{"hidden_channels": 8, "timesteps": 6, "dropout": 0.0} | options).eval()


def graphs_of(pairs: list[int]) -> list[Data]:
    """Random graphs, with the same query where the pair is the same."""
    generator = torch.Generator().manual_seed(1)
    queries = {pair: torch.randn(6, 5, generator=generator) for pair in sorted(set(pairs))}
    return [
        pair_graph(
            queries[pair],
            torch.randn(6, 5, generator=generator),
            SEGMENT,
            target=TARGET,
            overlap=0.875,
            pair=pair,
        )
        for pair in pairs
    ]


def attend_by_loop(
    query: np.ndarray, proposal: np.ndarray, temperature: float
) -> tuple[np.ndarray, np.ndarray]:
    """The attention of one pair of clips, one timestep after the other."""
    cosines = np.empty((len(query), len(proposal)))
    attended = np.zeros_like(query)
    for i, q in enumerate(query):
        for j, p in enumerate(proposal):
            cosines[i, j] = sum(q * p) / np.sqrt(sum(q * q) * sum(p * p))
        weights = [np.exp(cosine / temperature) for cosine in cosines[i]]
        for weight, p in zip(weights, proposal, strict=True):
            attended[i] += weight / sum(weights) * p
    return attended, cosines


def test_attention_against_a_loop() -> None:
    model = build(temperature=0.3)
    query, proposal = torch.randn(2, 3, 6, 8, dtype=torch.float64)
    attended, cosines = model.double().attend(query, proposal)
    for row in range(3):
        expected = attend_by_loop(query[row].numpy(), proposal[row].numpy(), 0.3)
        assert attended[row].detach().numpy() == pytest.approx(expected[0], abs=1e-6)
        assert cosines[row].detach().numpy() == pytest.approx(expected[1])


def test_attention_meets_the_same_timestep() -> None:
    """With a low temperature a shuffled clip is put back into the query's order."""
    query = torch.randn(1, 6, 8)
    order = torch.randperm(6)
    attended, cosines = build(temperature=0.01).attend(query, query[:, order])
    assert torch.allclose(attended, query, atol=1e-4)
    assert torch.equal(cosines.argmax(dim=2)[0], order.argsort())


def test_forward_against_numpy() -> None:
    model = build(project_input=False, layers=2).double()
    model.encoder = torch.nn.Identity()  # type: ignore[assignment]  # clips are given encoded
    generator = torch.Generator().manual_seed(3)
    query, proposal = torch.randn(2, 6, 5, dtype=torch.float64, generator=generator)
    model.relevance.convolutions[0] = torch.nn.Conv1d(4 * 5 + 6, 8, 3, padding="same").double()
    w = {name: value.detach().numpy() for name, value in model.named_parameters()}
    out = model(Batch.from_data_list([pair_graph(query, proposal, SEGMENT)]))

    q = query.numpy()
    attended, cosines = attend_by_loop(q, proposal.numpy(), float(np.exp(w["log_temperature"])))
    rows = np.concatenate([q, attended, q * attended, abs(q - attended), cosines], axis=1)
    for layer in range(2):
        weight = w[f"relevance.convolutions.{layer}.weight"]
        around = np.pad(rows, ((1, 1), (0, 0)))
        rows = np.array(
            [
                sum(weight[:, :, shift] @ around[t + shift] for shift in range(3))
                + w[f"relevance.convolutions.{layer}.bias"]
                for t in range(6)
            ]
        ).clip(min=0.0)
    pooled = rows.mean(axis=0)

    def perceptron(head: str) -> np.ndarray:
        hidden = np.maximum(w[f"{head}.hidden.weight"] @ pooled + w[f"{head}.hidden.bias"], 0.0)
        return np.asarray(w[f"{head}.out.weight"] @ hidden + w[f"{head}.out.bias"])

    assert out.scores.detach().numpy() == pytest.approx(perceptron("score_head"))
    assert out.offsets[0].detach().numpy() == pytest.approx(perceptron("regression_head"))
    assert out.sparsity == 0 and out.adjacency is None


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_a_batch_is_a_loop(options: dict[str, Any]) -> None:
    model = build(**options)
    graphs = graphs_of([3, 3, 0, 1])
    together = model(Batch.from_data_list(graphs))
    alone = [model(Batch.from_data_list([graph])) for graph in graphs]
    assert torch.allclose(together.scores, torch.cat([o.scores for o in alone]), atol=1e-6)
    assert torch.allclose(together.offsets, torch.cat([o.offsets for o in alone]), atol=1e-6)
    assert together.scores.shape == (4,) and together.offsets.shape == (4, 2)


def test_a_query_is_encoded_once_for_its_pair() -> None:
    model = build()
    encoded: list[int] = []
    model.encoder.register_forward_hook(lambda _, inputs, __: encoded.append(len(inputs[0])))
    model(Batch.from_data_list(graphs_of([7, 7, 7, 2, 2])))
    assert encoded == [2 + 5]


@pytest.mark.parametrize("zeros", [False, True])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_all_losses_train_all_weights(options: dict[str, Any], zeros: bool) -> None:
    model = build(**options).train()
    batch = Batch.from_data_list(graphs_of([0, 0, 1, 1]))
    if zeros:
        batch.x[: len(batch.x) // 2] = 0.0
    names: tuple[LossName, ...] = ("ranking", "triplet", "regression", "sparsity")
    assert model.losses == names
    losses = compute_losses(names, model(batch), batch)
    (losses["ranking"] + losses["triplet"] + losses["regression"]).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and bool(parameter.grad.isfinite().all()), name


@pytest.mark.slow
def test_overfits(separable_corpus: Corpus, tmp_path: Path) -> None:
    corpus = separable_corpus
    pairs = evaluation_pairs(corpus, "train")
    assert evaluate(Oracle(), corpus, pairs).summary["r1"]["0.5"] == 1.0
    torch.manual_seed(0)
    model = AFTSRM(48, hidden_channels=32, timesteps=12, dropout=0.0)
    trainer = Trainer(
        epochs=30,
        samples=16,
        batch_size=4,
        list_length=12,
        partial=0.0,
        composite=0.0,
        optimizers=[OptimizerOptions(lr=5e-3)],
        device="cpu",
    )
    trainer.fit(model, corpus, folder=tmp_path)
    assert evaluate(model, corpus, pairs).summary["r1"]["0.5"] == 1.0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"in_channels": 0}, "in_channels: at least 1"),
        ({"hidden_channels": 0}, "hidden_channels: at least 1"),
        ({"timesteps": 0}, "timesteps: at least 1"),
        ({"layers": 0}, "layers: at least 1"),
        ({"temperature": 0.0}, "temperature must be above 0, got 0.0"),
        ({"encoder": "gru"}, "lstm, bilstm, cnn"),
        ({"kernel_size": 4}, "'kernel_size' must be odd"),
    ],
)
def test_bad_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AFTSRM(**{"in_channels": 5} | options)


def test_repr() -> None:
    assert repr(build()) == "AFTSRM(5, 8, timesteps=6, layers=2)"
