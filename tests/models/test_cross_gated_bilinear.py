"""The sequence labeller: decoding, ragged batches, its limits, and that it can learn."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.data import Batch, Data

from gnnreloc.data import Corpus, Features, PairSampler, temporal_iou
from gnnreloc.data.sequence_set import sequence_graph
from gnnreloc.errors import InputError
from gnnreloc.evaluation import evaluate
from gnnreloc.models.cross_gated_bilinear import (
    CrossGatedBilinear,
    StepLabels,
    decode_labels,
    reverse_steps,
)
from gnnreloc.training import OptimizerOptions, Trainer

CHANNELS = 5


def build(**options: Any) -> CrossGatedBilinear:
    torch.manual_seed(0)
    return CrossGatedBilinear(CHANNELS, **{"hidden_channels": 8, "rank": 2} | options).eval()


def video(rows: int, seed: int = 0, **options: Any) -> Features:
    generator = torch.Generator().manual_seed(seed)
    return Features(torch.randn(rows, CHANNELS, generator=generator), **{"step": 0.5} | options)


def graph_of(query: int, reference: int) -> Data:
    moment = torch.tensor([[0.5, 1.5]], dtype=torch.float64)
    return sequence_graph(video(query, seed=query), video(reference, seed=reference), moment)


def say(
    monkeypatch: pytest.MonkeyPatch, model: CrossGatedBilinear, probs: list[list[float]]
) -> None:
    """Let a model label a reference with the given probabilities."""
    logits = torch.tensor(probs).log()
    out = StepLabels(logits, torch.tensor([len(probs)]))
    monkeypatch.setattr(model, "forward", lambda batch: out)


def test_reversal_by_hand() -> None:
    x = torch.arange(1.0, 9.0).view(2, 4, 1)
    assert reverse_steps(x, torch.tensor([4, 2])).squeeze(-1).tolist() == [
        [4, 3, 2, 1],
        [6, 5, 7, 8],
    ]


@settings(max_examples=40, deadline=None)
@given(
    steps=st.integers(1, 12),
    limits=st.tuples(st.integers(1, 14), st.integers(1, 14)),
    seed=st.integers(0, 1000),
)
def test_decoding_against_brute_force(steps: int, limits: tuple[int, int], seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    likely = torch.randn(steps, 4, generator=generator, dtype=torch.float64).log_softmax(dim=1)
    shortest, longest = limits
    expected = {}
    least = min(shortest, steps)
    for first in range(steps):
        for last in range(first, steps):
            if least <= last - first + 1 <= max(longest, least):
                inside = [likely[i, 2].item() for i in range(first + 1, last)]
                mean = sum(inside) / len(inside) if inside else 0.0
                score = likely[first, 0].item() + likely[last, 1].item() + mean
                expected[first, last + 1] = score
    spans, scores = decode_labels(likely, shortest=shortest, longest=longest)
    found = {(a, b): s for (a, b), s in zip(spans.tolist(), scores.tolist(), strict=True)}
    assert len(found) == len(spans)
    assert found == pytest.approx(expected)


def test_the_answer_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    model = build()
    say(
        monkeypatch,
        model,
        [
            [0.1, 0.1, 0.1, 0.7],
            [0.8, 0.1, 0.05, 0.05],
            [0.1, 0.1, 0.7, 0.1],
            [0.05, 0.85, 0.05, 0.05],
            [0.1, 0.1, 0.1, 0.7],
        ],
    )
    moments = model.localize(video(3), video(5, offset=2.0))
    assert moments.segments[0].tolist() == [2.5, 4.0]
    assert moments.scores[0].item() == pytest.approx(math.log(0.8 * 0.85 * 0.7))
    assert (moments.scores.diff() <= 0).all()
    overlaps = temporal_iou(moments.segments, moments.segments).fill_diagonal_(0.0)
    assert overlaps.max() <= 0.7
    assert moments.candidates is moments.segments or torch.equal(
        moments.candidates, moments.segments
    )


def test_limits_are_those_of_the_training_moments(
    tiny_corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = CrossGatedBilinear(tiny_corpus.num_channels, hidden_channels=8)
    train = tiny_corpus.subset("train")
    lengths = train["end"] - train["start"]
    model.prepare(tiny_corpus, seed=0)
    other = CrossGatedBilinear(tiny_corpus.num_channels, hidden_channels=8)
    other.load_state_dict(model.state_dict())  # as when a run is resumed
    reference = tiny_corpus.features[str(train["video"][0])]
    monkeypatch.setattr(other, "max_moments", 100_000)
    found = other.localize(reference.slice(0.0, 5.0), reference).segments.diff(dim=1)
    assert found.min().item() == pytest.approx(lengths.min())
    assert found.max().item() == pytest.approx(lengths.max())


@pytest.mark.parametrize(("rows", "least"), [(1, 1), (2, 1), (40, 5)])
def test_moments_lie_in_the_reference(rows: int, least: int) -> None:
    model = build(max_steps=16, max_query_steps=4)
    model.shortest.fill_(2.0)  # longer than a reference of one or two rows
    reference = video(rows, step=0.3, offset=5.0)
    moments = model.localize(video(30), reference)
    assert len(moments) >= least
    assert moments.segments.dtype == torch.float64
    assert (moments.segments[:, 0] >= 5.0).all()
    assert (moments.segments[:, 1] <= reference.duration + 1e-9).all()
    assert (moments.segments.diff(dim=1) > 0).all()


def test_a_batch_is_a_loop() -> None:
    model = build()
    sizes = [(3, 9), (7, 4), (1, 1), (12, 30)]
    graphs = [graph_of(*size) for size in sizes]
    out = model(Batch.from_data_list(graphs))
    assert out.steps.tolist() == [9, 4, 1, 30]
    alone = [model(Batch.from_data_list([graph])).logits for graph in graphs]
    assert torch.allclose(out.logits, torch.cat(alone), atol=1e-6)


def test_every_step_sees_the_whole_reference_and_query() -> None:
    model = build()
    graph = graph_of(6, 9)
    graph.x.requires_grad_()
    logits = model(Batch.from_data_list([graph])).logits
    for step in (0, 8):
        (gradient,) = torch.autograd.grad(logits[step].square().sum(), graph.x, retain_graph=True)
        assert (gradient.abs().sum(dim=1) > 0).all()


def test_gradients_reach_every_parameter() -> None:
    model = build(dropout=0.1).train()
    model(Batch.from_data_list([graph_of(5, 9), graph_of(3, 4)])).logits.square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


def test_zero_features_stay_finite() -> None:
    still = Features(torch.zeros(20, CHANNELS), step=0.5)
    moments = build().localize(still, still)
    assert moments.scores.isfinite().all() and moments.segments.isfinite().all()


def test_proposals_do_not_matter_and_the_mode_is_kept() -> None:
    model = build(dropout=0.5).train()
    query, reference = video(6), video(20, seed=1)
    one = model.localize(query, reference)
    other = model.localize(query, reference, torch.tensor([[0.0, 1.0]], dtype=torch.float64))
    assert torch.equal(one.as_tensor(), other.as_tensor())
    assert model.training and not model.ranks_proposals and model.reads_query


def test_the_query_matters() -> None:
    model, reference = build(), video(20, seed=1)
    one, other = model.localize(video(6), reference), model.localize(video(6, seed=2), reference)
    assert not torch.equal(one.scores, other.scores)


def test_wrong_width_and_nan() -> None:
    model = build()
    wide = Features(torch.zeros(9, CHANNELS + 1), step=0.5)
    with pytest.raises(InputError, match="the query has 6 feature channels, .* made for 5"):
        model.localize(wide, video(9))
    with pytest.raises(InputError, match="the reference has 6 feature channels, .* made for 5"):
        model.localize(video(9), wide)
    torch.nn.init.constant_(model.out.bias, math.nan)
    with pytest.raises(FloatingPointError, match="the model gives NaN"):
        model.localize(video(3), video(9))


@pytest.mark.parametrize("name", ["hidden_channels", "max_steps", "max_query_steps", "max_moments"])
def test_bad_options(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name}: at least 1 is needed, got 0"):
        build(**{name: 0})


def test_training_options(tiny_corpus: Corpus) -> None:
    model = CrossGatedBilinear(tiny_corpus.num_channels, max_steps=64, max_query_steps=8)
    options: dict[str, Any] = {"sampling": "lists", "list_length": 3, "negatives": "in_video"}
    samples = model.training_set(tiny_corpus, samples=7, seed=5, partial=0.25, **options)
    assert (len(samples), samples.seed, samples.partial) == (7, 5, 0.25)
    assert (samples.max_steps, samples.max_query_steps) == (64, 8)


@pytest.mark.parametrize("precision", ["64-true", "bf16-mixed"])
def test_other_precisions(tiny_corpus: Corpus, tmp_path: Path, precision: Any) -> None:
    torch.manual_seed(0)
    model = CrossGatedBilinear(tiny_corpus.num_channels, hidden_channels=8, max_steps=32)
    options = OptimizerOptions(losses={"labels": 1.0})
    trainer = Trainer(
        epochs=1, samples=4, batch_size=2, optimizers=[options], precision=precision, device="cpu"
    )
    log = trainer.fit(model, tiny_corpus, folder=tmp_path)
    assert 0.0 < log["labels"].item() < 3.0  # about log 4


@pytest.mark.slow
def test_overfits_a_tiny_corpus(tiny_corpus: Corpus, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = CrossGatedBilinear(tiny_corpus.num_channels, hidden_channels=48)
    options = OptimizerOptions(losses={"labels": 1.0}, lr=5e-3, weight_decay=0.0)
    trainer = Trainer(
        epochs=60, samples=64, batch_size=8, partial=0.0, optimizers=[options], device="cpu"
    )
    trainer.fit(model, tiny_corpus, folder=tmp_path)
    sampler = PairSampler(tiny_corpus, "train")
    pairs = [
        sampler.pair(row, reference)
        for row in range(len(sampler.moments))
        for reference in sampler.references(row)
    ]
    assert evaluate(model, tiny_corpus, pairs).summary["r1"]["0.5"] == 1.0
