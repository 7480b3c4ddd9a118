"""The graph network: back ends, grouping of pairs, the paper's form, refinement."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch_geometric.data import Batch, Data

from gnnreloc.data import Features
from gnnreloc.data.pair_graph import pair_graph
from gnnreloc.errors import InputError
from gnnreloc.models import GraphRelocalizer, PairScores
from gnnreloc.nn import decode_offsets

SMALL: dict[str, Any] = {"hidden_channels": 8, "timesteps": 6, "dropout": 0.0}
PAPER: dict[str, Any] = {
    "project_input": False,
    "encoder": "lstm",
    "convolution": "aggregate",
    "pooling": "mean",
    "bounded_score": True,
    "support": "all",
    "activation": "none",
    "temperature": 1.0,
    "learn_temperature": False,
    "edge_heads": 0,
    "compare_lengths": False,
}
GRAPHS: list[dict[str, Any]] = [
    {"graph": "dynamic"},
    {"graph": "dynamic", "edge_heads": 1, "compare_lengths": False},
    {"graph": "dynamic", "edge_heads": 3, "pooling": "mean"},
    {"graph": "dynamic", "layers": 2, **PAPER},
    {"graph": "dynamic", "layers": 2, "support": "all", "top_k": 3, "learn_temperature": True},
    {"graph": "dynamic", "activation": "relu", "normalization": "row", "support": "intra"},
    {"graph": "dynamic", "activation": "shift", "normalization": "sym", "encoder": "cnn"},
    {"graph": "dynamic", "activation": "none", "top_k": 2, "convolution": "aggregate", "layers": 2},
    {"graph": "dynamic", "activation": "relu", "normalization": "row", "hidden_channels": 4},
    {"graph": "khop"},
    {"graph": "khop", "hops": (1, 2, 3), "layers": 2, "intra": "chain", "self_loops": True},
    {"graph": "khop", "hops": (2, 4), "convolution": "aggregate", "fusion": "concat"},
    {"graph": "khop", "hops": (9,), "offsets": "exact", "self_loops": False},  # no edge at all
    {"graph": "complete", "support": "all"},
    {"graph": "complete", "support": "cross", "layers": 2},
    {"graph": "identity", "layers": 2},
    {"graph": "hybrid"},
    {"graph": "hybrid", "hops": (1, 3), "layers": 2, "fusion": "max", "support": "all"},
    {"graph": "hybrid", "hops": (1, 2), "layers": 2, **PAPER},
]


def names(options: dict[str, Any]) -> str:
    return "-".join(f"{value}" for value in options.values())[:40]


def build(seed: int = 0, **options: Any) -> GraphRelocalizer:
    torch.manual_seed(seed)
    return GraphRelocalizer(5, **SMALL | options).eval()


def graphs_of(model: GraphRelocalizer, pairs: list[int]) -> list[Data]:
    """Random graphs, with the same query where the pair is the same."""
    generator = torch.Generator().manual_seed(1)
    shape = (model.timesteps, model.in_channels)
    queries = {pair: torch.randn(shape, generator=generator) for pair in sorted(set(pairs))}
    graphs = []
    for pair in pairs:
        segment = torch.tensor([0.0, 4.0], dtype=torch.float64)
        proposal = torch.randn(shape, generator=generator)
        graph = pair_graph(queries[pair], proposal, segment, pair=pair, query_duration=3.0 + pair)
        graphs.append(graph if model.transform is None else model.transform(graph))
    return graphs


def batch_of(model: GraphRelocalizer, pairs: list[int]) -> Data:
    return Batch.from_data_list(graphs_of(model, pairs))


def assert_same(one: PairScores, other: PairScores, tolerance: float) -> None:
    assert torch.allclose(one.scores, other.scores, atol=tolerance, rtol=0.0)
    assert torch.allclose(one.offsets, other.offsets, atol=tolerance, rtol=0.0)
    assert torch.allclose(one.sparsity, other.sparsity, atol=tolerance, rtol=0.0)


@pytest.mark.parametrize("options", GRAPHS, ids=names)
def test_dense_and_edges_agree(options: dict[str, Any]) -> None:
    dense, edges = build(backend="dense", **options), build(backend="edge", **options)
    edges.load_state_dict(dense.state_dict())
    batch = batch_of(dense, [0, 0, 1, 2, 2])
    factors = torch.randn(5), torch.randn(5, 2)
    gradients = []
    outs = [dense(batch), edges(batch)]
    assert_same(*outs, 1e-5)
    assert (outs[0].sparsity > 0) == (options["graph"] in ("dynamic", "hybrid"))
    for model, out in zip((dense, edges), outs, strict=True):
        total = (out.scores * factors[0]).sum() + (out.offsets * factors[1]).sum() + out.sparsity
        gradients.append(torch.autograd.grad(total, list(model.parameters()), allow_unused=True))
    for name, one, other in zip(dict(dense.named_parameters()), *gradients, strict=True):
        assert (one is None) == (other is None), name
        if one is not None:
            assert torch.allclose(one, other, atol=1e-5, rtol=1e-4), name


@pytest.mark.parametrize("backend", ["dense", "edge"])
@pytest.mark.parametrize("options", GRAPHS, ids=names)
def test_a_batch_is_a_loop(options: dict[str, Any], backend: str) -> None:
    model = build(backend=backend, **options)
    graphs = graphs_of(model, [3, 3, 0, 1])
    together = model(Batch.from_data_list(graphs))
    alone = [model(Batch.from_data_list([graph])) for graph in graphs]
    assert torch.allclose(together.scores, torch.cat([o.scores for o in alone]), atol=1e-5)
    assert torch.allclose(together.offsets, torch.cat([o.offsets for o in alone]), atol=1e-5)
    mean = torch.stack([o.sparsity for o in alone]).mean()
    assert torch.allclose(together.sparsity, mean, atol=1e-5)


@pytest.mark.parametrize("encoder", ["lstm", "bilstm", "cnn"])
def test_a_query_is_encoded_once_for_its_pair(encoder: str) -> None:
    model = build(encoder=encoder)
    encoded: list[int] = []
    model.encoder.register_forward_hook(lambda _, inputs, __: encoded.append(len(inputs[0])))
    batch = batch_of(model, [7, 7, 7, 2, 2])
    once = model(batch)
    assert encoded == [2 + 5]
    batch.pair = torch.arange(5)
    assert_same(once, model(batch), 1e-6)
    assert encoded == [2 + 5, 5 + 5]


def test_pairs_apart_keep_their_own_queries() -> None:
    model = build()
    graphs = graphs_of(model, [0, 1, 0])
    apart = model(Batch.from_data_list(graphs)).scores
    ordered = model(Batch.from_data_list([graphs[0], graphs[2], graphs[1]])).scores
    assert torch.allclose(apart, ordered[[0, 2, 1]], atol=1e-6)


@pytest.mark.parametrize(
    ("options", "apart"),
    [
        ({"graph": "identity"}, True),
        ({"graph": "identity", "layers": 2, "convolution": "aggregate"}, True),
        ({"graph": "complete", "support": "intra"}, True),
        ({"graph": "dynamic", "support": "intra", "layers": 2}, True),
        ({"graph": "dynamic"}, False),
        ({"graph": "dynamic", **PAPER}, False),
        ({"graph": "khop"}, False),
        ({"graph": "hybrid"}, False),
        ({"graph": "complete"}, False),
    ],
)
def test_identity_keeps_the_clips_apart(options: dict[str, Any], apart: bool) -> None:
    """Without an edge between them the pooled vector is a sum of one part for each clip."""
    model = build(**options)
    pooled: list[Tensor] = []
    model.score_head.register_forward_pre_hook(lambda _, inputs: pooled.append(inputs[0]))
    clips = torch.randn(4, model.timesteps, 5)
    segment = torch.tensor([0.0, 1.0])
    graphs = [
        pair_graph(clips[q], clips[p], segment, pair=q, query_duration=1.0)
        for q in (0, 1)
        for p in (2, 3)
    ]
    model(Batch.from_data_list(graphs))
    mixed = (pooled[0][0] - pooled[0][1] - pooled[0][2] + pooled[0][3]).abs().max()
    assert (mixed < 1e-6) == apart


def test_by_hand() -> None:
    """One timestep: query (1, 0), proposal (1, 1), so their cosine is r = 1 / sqrt(2)."""
    options = {**PAPER, "graph": "dynamic", "timesteps": 1, "hidden_channels": 2}
    model = GraphRelocalizer(2, **options, dropout=0.0).double().eval()
    model.encoder = torch.nn.Identity()  # type: ignore[assignment]  # nodes are given as they are
    assert model.adjacency is not None and model.adjacency.phi is not None
    eye = torch.eye(2, dtype=torch.float64)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        for linear in (model.score_head.hidden, model.regression_head.hidden):
            linear.weight.copy_(eye)
        model.adjacency.phi.weight.copy_(eye)
        model.convolutions[0].convolutions[0].lin.weight.copy_(eye)
        model.score_head.out.weight.copy_(torch.tensor([[1.0, -1.0]]))
        model.regression_head.out.weight.copy_(torch.tensor([[0.0, 2.0], [-1.0, 0.0]]))
        model.regression_head.out.bias.copy_(torch.tensor([0.5, 0.0]))
    query, proposal = torch.tensor([[[1.0, 0.0]], [[1.0, 1.0]]], dtype=torch.float64)
    graph = pair_graph(query, proposal, torch.tensor([0.0, 1.0]))
    out = model(Batch.from_data_list([graph]))
    r = 1 / math.sqrt(2)
    assert out.adjacency is not None
    assert torch.allclose(out.adjacency[0], torch.tensor([[1.0, r], [r, 1.0]]).double())
    # A H = ((1 + r, r), (r + 1, 1)); its mean over the nodes is (1 + r, (1 + r) / 2).
    assert out.scores.tolist() == pytest.approx([math.tanh((1 + r) / 2)])
    assert out.offsets[0].tolist() == pytest.approx([1.5 + r, -1 - r])
    assert out.sparsity.item() == pytest.approx((1 + r) / 2)


def test_the_papers_form_against_numpy() -> None:
    """Section 4 of the paper, written out step by step."""
    model = build(**PAPER, graph="dynamic").double()
    w = {name: value.detach().numpy() for name, value in model.named_parameters()}
    rng = np.random.default_rng(0)
    query, proposal = rng.normal(size=(2, 6, 5))
    graph = pair_graph(*map(torch.from_numpy, (query, proposal)), torch.tensor([0.0, 1.0]))
    out = model(Batch.from_data_list([graph]))

    def lstm(clip: np.ndarray) -> list[np.ndarray]:
        hidden, cell, states = np.zeros(8), np.zeros(8), []
        for x in clip:
            gates = w["encoder.lstm.weight_ih_l0"] @ x + w["encoder.lstm.bias_ih_l0"]
            gates += w["encoder.lstm.weight_hh_l0"] @ hidden + w["encoder.lstm.bias_hh_l0"]
            i, f, g, o = np.split(gates, 4)
            cell = cell / (1 + np.exp(-f)) + np.tanh(g) / (1 + np.exp(-i))
            hidden = np.tanh(cell) / (1 + np.exp(-o))
            states.append(hidden)
        return states

    def perceptron(head: str, x: np.ndarray) -> np.ndarray:
        hidden = np.maximum(w[f"{head}.hidden.weight"] @ x + w[f"{head}.hidden.bias"], 0.0)
        return np.asarray(w[f"{head}.out.weight"] @ hidden + w[f"{head}.out.bias"])

    nodes = np.array(lstm(query) + lstm(proposal))
    phi = [w["adjacency.phi.weight"] @ h + w["adjacency.phi.bias"] for h in nodes]
    a = np.array([[p @ q / np.linalg.norm(p) / np.linalg.norm(q) for q in phi] for p in phi])
    (weight,) = (value for name, value in w.items() if name.startswith("convolutions"))
    pooled = np.maximum(a @ nodes @ weight.T, 0.0).mean(axis=0)
    assert out.scores.item() == pytest.approx(np.tanh(perceptron("score_head", pooled)).item())
    assert out.offsets[0].tolist() == pytest.approx(perceptron("regression_head", pooled).tolist())
    assert out.sparsity.item() == pytest.approx(np.abs(a).mean())


@pytest.mark.parametrize("options", GRAPHS, ids=names)
def test_parameter_groups_share_out_all_parameters(options: dict[str, Any]) -> None:
    model = build(**options)
    groups = model.parameter_groups()
    assert set(groups) == {"adjacency", "regression", "rest"}
    grouped = [id(parameter) for group in groups.values() for parameter in group]
    assert len(grouped) == len(set(grouped))
    assert set(grouped) == {id(parameter) for parameter in model.parameters()}
    learned = [layer for layer in (model.adjacency, model.cosines) if layer is not None]
    wanted = {id(parameter) for layer in learned for parameter in layer.parameters()}
    assert {id(parameter) for parameter in groups["adjacency"]} == wanted
    assert bool(groups["adjacency"]) == (options["graph"] in ("dynamic", "hybrid"))
    heads = {id(p) for p in model.regression_head.parameters()}
    assert {id(p) for p in groups["regression"]} == heads


def test_projections_that_are_not_trained() -> None:
    model = build(graph="dynamic", train_phi=False)
    assert model.adjacency is not None and model.cosines is not None
    phis = [layer.phi for layer in (model.adjacency, model.cosines)]
    frozen = {id(p) for phi in phis if phi is not None for p in phi.parameters()}
    assert len(frozen) == 4
    trained = {id(p) for group in model.parameter_groups().values() for p in group}
    assert trained == {id(p) for p in model.parameters()} - frozen
    assert build(graph="dynamic").parameter_groups()["adjacency"][1].requires_grad


@pytest.mark.parametrize(
    ("options", "heads"),
    [
        ({"graph": "dynamic"}, 4),
        ({"graph": "hybrid", "edge_heads": 2}, 2),
        ({"graph": "dynamic", "edge_heads": 0}, 0),
        ({"graph": "dynamic", "support": "intra"}, 0),
        ({"graph": "khop"}, 0),
        ({"graph": "complete"}, 0),
    ],
)
def test_learned_edges_are_read(options: dict[str, Any], heads: int) -> None:
    model = build(**options)
    read: list[Tensor] = []
    if heads == 0:
        assert model.cosines is None and model.edge_readout is None
        return
    assert model.edge_readout is not None
    model.edge_readout.register_forward_pre_hook(lambda _, inputs: read.append(inputs[0]))
    batch = batch_of(model, [0, 0, 1])
    model(batch)
    assert read[0].shape == (3, heads + 1, model.timesteps, model.timesteps)
    # The last picture: cosines of the raw features, a row for each timestep of the query.
    query, proposal = batch.x.view(3, 2, model.timesteps, -1).unbind(dim=1)
    wanted = torch.cosine_similarity(query.unsqueeze(2), proposal.unsqueeze(1), dim=-1)
    torch.testing.assert_close(read[0][:, -1], wanted)


@pytest.mark.parametrize("backend", ["dense", "edge"])
@pytest.mark.parametrize("options", GRAPHS, ids=names)
def test_pictures_of_the_edges(options: dict[str, Any], backend: str) -> None:
    model = build(backend=backend, **options)
    read: list[Tensor] = []
    if model.edge_readout is not None:
        model.edge_readout.register_forward_pre_hook(lambda _, inputs: read.append(inputs[0]))
    batch, steps = batch_of(model, [0, 0, 1]), model.timesteps
    pictures = model.edges(batch)
    wanted: dict[str, Tensor] = {}
    dense = build(backend="dense", **options)
    adjacency = dense(batch).adjacency
    if adjacency is not None:
        wanted["learned"] = adjacency[:, :steps, steps:]
    model(batch)
    if read:
        query, proposal = batch.x.view(3, 2, steps, -1).unbind(dim=1)
        raw = torch.cosine_similarity(query.unsqueeze(2), proposal.unsqueeze(1), dim=-1)
        wanted |= {"encoded cosines": read[0][:, :-1], "raw cosines": raw.unsqueeze(1)}
    assert list(pictures) == list(wanted)
    for name, picture in pictures.items():
        assert not picture.requires_grad
        torch.testing.assert_close(picture, wanted[name])


def test_query_shares_out_its_learned_edges() -> None:
    learned = build(graph="dynamic").edges(batch_of(build(), [0, 1]))["learned"]
    torch.testing.assert_close(learned.sum(dim=-1), torch.ones(2, 6))


def test_lengths_are_compared() -> None:
    for compare, equal in ((True, False), (False, True)):
        model = build(compare_lengths=compare)
        batch = batch_of(model, [0, 1])
        scores = model(batch).scores
        batch["query_duration"] = 2 * batch.query_duration
        assert torch.equal(model(batch).scores, scores) == equal


def test_what_the_heads_see_of_the_lengths() -> None:
    model = build()
    pooled: list[Tensor] = []
    model.score_head.register_forward_pre_hook(lambda _, inputs: pooled.append(inputs[0]))
    batch = batch_of(model, [0, 1, 2])
    batch["query_duration"] = torch.tensor([4.0, 8.0, 2.0], dtype=torch.float64)
    batch["segment"] = torch.tensor([[0.0, 4.0], [6.0, 8.0], [1.0, 5.0]], dtype=torch.float64)
    model(batch)
    two = math.log(2)
    wanted = [[0.0, 0.0, 0.0], [2 * two, 2 * two, 4 * two**2], [-two, two, two**2]]
    torch.testing.assert_close(pooled[0][:, -3:], torch.tensor(wanted))


@pytest.mark.parametrize("duration", [math.nan, math.inf, 0.0, -2.0, None])
def test_lengths_that_are_not_known(duration: float | None) -> None:
    batch = batch_of(build(), [0, 1])
    del batch["query_duration"]
    if duration is not None:
        batch["query_duration"] = torch.tensor([1.0, duration])
    with pytest.raises(
        ValueError, match="no positive 'query_duration', which compare_lengths needs"
    ):
        build()(batch)
    build(compare_lengths=False)(batch)


def test_context_is_seen() -> None:
    """A proposal with a quarter at both ends is what a proposal of one and a half lengths is."""
    query = Features(torch.randn(20, 5), step=0.5)
    reference = Features(torch.randn(100, 5), step=0.5)
    near, far = torch.tensor([[10.0, 20.0]]), torch.tensor([[7.5, 22.5]])
    wide, plain = build(context=0.25), build(context=0.0)
    seen = wide.pair_graphs(query, reference, near.double())
    assert torch.equal(seen.x, plain.pair_graphs(query, reference, far.double()).x)
    assert seen.segment.tolist() == near.tolist() and seen.query_duration.tolist() == [10.0]


def test_weights_do_not_depend_on_the_back_end() -> None:
    for options in GRAPHS:
        dense, edges = build(backend="dense", **options), build(backend="edge", **options)
        for name, value in dense.state_dict().items():
            assert torch.equal(value, edges.state_dict()[name])


class TestLocalize:
    query = Features(torch.randn(7, 5, generator=torch.Generator().manual_seed(1)), step=0.5)
    reference = Features(torch.randn(40, 5, generator=torch.Generator().manual_seed(2)), step=0.5)
    proposals = torch.tensor(
        [[0.0, 3.0], [2.0, 11.0], [15.0, 20.0], [6.5, 8.0], [19.0, 20.0]], dtype=torch.float64
    )

    @pytest.mark.parametrize("backend", ["dense", "edge"])
    @pytest.mark.parametrize("graph", ["dynamic", "khop", "hybrid"])
    def test_order_of_proposals_does_not_matter(self, graph: str, backend: str) -> None:
        model = build(graph=graph, backend=backend)
        moments = model.localize(self.query, self.reference, self.proposals)
        order = torch.tensor([3, 0, 4, 2, 1])
        permuted = model.localize(self.query, self.reference, self.proposals[order])
        assert torch.equal(moments.candidates, permuted.candidates)
        assert torch.allclose(moments.segments, permuted.segments, atol=1e-5)
        assert torch.allclose(moments.scores, permuted.scores, atol=1e-5)

    def test_back_ends_agree(self) -> None:
        for graph in ("dynamic", "khop", "complete", "identity", "hybrid"):
            dense = build(graph=graph, backend="dense")
            edges = build(graph=graph, backend="edge")
            one = dense.localize(self.query, self.reference, self.proposals)
            other = edges.localize(self.query, self.reference, self.proposals)
            assert torch.allclose(one.as_tensor(), other.as_tensor(), atol=1e-5)

    def test_refinement_decodes_the_offsets_inside_the_video(self) -> None:
        model = build(refine=True, rounds=1)
        out = model(model.pair_graphs(self.query, self.reference, self.proposals))
        order = out.scores.argsort(descending=True)
        moved = decode_offsets(self.proposals, out.offsets.detach().double())[order]
        moments = model.localize(self.query, self.reference, self.proposals)
        assert torch.equal(moments.candidates, self.proposals[order])
        assert torch.allclose(moments.segments, moved.clamp(0.0, 20.0))
        assert not torch.allclose(moments.segments, moments.candidates)
        model.refine = False
        plain = model.localize(self.query, self.reference, self.proposals)
        assert torch.equal(plain.segments, self.proposals[order])

    def test_refined_proposals_are_asked_again(self) -> None:
        once, twice = build(rounds=1), build(rounds=2)
        first = once.localize(self.query, self.reference, self.proposals)
        second = once.localize(self.query, self.reference, first.segments)
        found = twice.localize(self.query, self.reference, self.proposals)
        assert torch.allclose(found.segments, second.segments)
        assert torch.allclose(found.scores, second.scores, atol=1e-6)
        assert not torch.allclose(found.segments, first.segments)
        # The candidates are the proposals of the beginning.
        beginning = {
            tuple(refined): tuple(proposal)
            for refined, proposal in zip(
                first.segments.tolist(), first.candidates.tolist(), strict=True
            )
        }
        wanted = [beginning[tuple(segment)] for segment in second.candidates.tolist()]
        assert [tuple(candidate) for candidate in found.candidates.tolist()] == wanted
        plain = build(rounds=3, refine=False)
        asked_once = plain.localize(self.query, self.reference, self.proposals)
        plain.rounds = 1
        again = plain.localize(self.query, self.reference, self.proposals)
        assert torch.equal(asked_once.as_tensor(), again.as_tensor())

    def test_a_proposal_that_refining_would_empty_stays(self) -> None:
        model = build()
        with torch.no_grad():  # the centre goes nine lengths back: before the video
            model.regression_head.out.weight.zero_()
            model.regression_head.out.bias.copy_(torch.tensor([-9.0, 0.0]))
        moments = model.localize(self.query, self.reference, self.proposals)
        assert bool((moments.segments[:, 0] < moments.segments[:, 1]).all())
        assert torch.equal(moments.segments, moments.candidates)

    @pytest.mark.parametrize("training", [True, False])
    def test_runs_in_evaluation_mode_and_leaves_the_mode(self, training: bool) -> None:
        model = build(dropout=0.5).train(training)
        first = model.localize(self.query, self.reference, self.proposals)
        second = model.localize(self.query, self.reference, self.proposals)
        assert torch.equal(first.as_tensor(), second.as_tensor())
        assert not first.scores.requires_grad
        assert model.training == training

    def test_a_float64_model_takes_float32_features(self) -> None:
        model = build()
        single = model.localize(self.query, self.reference, self.proposals)
        double = model.double().localize(self.query, self.reference, self.proposals)
        assert torch.allclose(single.as_tensor(), double.as_tensor(), atol=1e-4)

    def test_bad_input(self) -> None:
        model = build()
        wide = Features(torch.zeros(3, 6), step=1.0)
        with pytest.raises(InputError, match="query has 6 feature channels, .* made for 5"):
            model.localize(wide, self.reference, self.proposals)
        with pytest.raises(InputError, match="reference has 6 feature channels"):
            model.localize(self.query, wide, self.proposals)
        with pytest.raises(InputError, match="no proposals"):
            model.localize(self.query, self.reference)

    @pytest.mark.parametrize("refine", [True, False])
    def test_nan_is_not_ranked(self, refine: bool) -> None:
        model = build(refine=refine)
        torch.nn.init.constant_(model.score_head.out.weight, math.nan)
        with pytest.raises(FloatingPointError, match="the model gives NaN"):
            model.localize(self.query, self.reference, self.proposals)

    def test_refused_input_leaves_the_mode(self) -> None:
        model = build().train()
        with pytest.raises(InputError, match="6 feature channels"):
            model.localize(Features(torch.zeros(3, 6), step=1.0), self.reference, self.proposals)
        assert model.training


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"graph": "star"}, "graph must be one of dynamic, khop, .*got 'star'"),
        ({"pooling": "max"}, "pooling must be one of mean"),
        ({"backend": "sparse"}, "backend must be one of dense, edge"),
        ({"timesteps": 0}, "timesteps: at least 1 is needed, got 0"),
        ({"layers": 0}, "layers: at least 1"),
        ({"rounds": 0}, "rounds: at least 1"),
        ({"edge_heads": -1}, "edge_heads must be at least 0, got -1"),
        ({"context": -0.5}, "context must be a number from 0, got -0.5"),
        ({"context": math.nan}, "context must be a number from 0, got nan"),
        ({"hops": ()}, "hops: at least 1"),
        ({"graph": "khop", "hops": (1, -2)}, "'k' must be at least 1"),
        ({"encoder": "gru"}, "lstm, bilstm, cnn"),
        ({"activation": "softplus"}, "none, relu, shift, softmax"),
        ({"convolution": "attend"}, "aggregate, compare"),
        ({"fusion": "min"}, "mean, sum, concat, max"),
        ({"temperature": 0.0}, "'temperature'"),
    ],
)
def test_bad_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GraphRelocalizer(5, **options)
