"""SST: geometry of the anchors by hand, causality, and what training makes of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

from gnnreloc.data import Corpus, Features, temporal_iou, validate_moments
from gnnreloc.datasets import synthetic
from gnnreloc.errors import InputError
from gnnreloc.proposals import SSTNetwork, sst, train_sst

SHORT: dict[str, Any] = {"hidden": 8, "anchors": 8, "epochs": 1, "windows": 8, "batch_size": 4}


class RecordingStore(Mapping[str, Features]):
    """Hands on another store and notes which videos are read."""

    def __init__(self, store: Mapping[str, Features]) -> None:
        self.store = store
        self.read: set[str] = set()

    def __getitem__(self, video: str) -> Features:
        self.read.add(video)
        return self.store[video]

    def __iter__(self) -> Iterator[str]:
        return iter(self.store)

    def __len__(self) -> int:
        return len(self.store)


class GivenLogits(SSTNetwork):
    """Takes its logits from the channels: what is proposed can be worked out by hand."""

    def forward(self, x: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return x, x.new_zeros(1, len(x), 1)


def network(in_channels: int = 5, **options: Any) -> SSTNetwork:
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(3)
        return SSTNetwork(in_channels, **({"hidden": 6, "anchors": 4} | options)).eval()


def video(rows: int, channels: int = 5, step: float = 1.0, offset: float = 0.0) -> Features:
    values = torch.randn(rows, channels, generator=torch.Generator().manual_seed(rows))
    return Features(values, step=step, offset=offset)


def toy(bounds: tuple[float, float] = (4.0, 8.0)) -> tuple[pd.DataFrame, dict[str, Features]]:
    """Two videos of 12 rows of 1 s, with one moment each; its rows alone have a 3 in channel 0."""
    start, end = bounds
    row = {"start": start, "end": end, "label": "jump", "subset": "train", "duration": 12.0}
    moments = validate_moments(pd.DataFrame([{"video": name} | row for name in "ab"]))
    values = torch.zeros(12, 2)
    values[int(start) : int(end), 0] = 3.0
    return moments, {name: Features(values, step=1.0) for name in "ab"}


def found(corpus: Corpus, subset: str, proposals: Mapping[str, Tensor]) -> float:
    """Share of the moments of a subset that a proposal overlaps by more than .5 (recall)."""
    hits = [
        float(temporal_iou(proposals[row.video], torch.tensor([[row.start, row.end]])).max()) > 0.5
        for row in corpus.subset(subset).itertuples()
    ]
    return float(np.mean(hits))


def test_repr_and_shapes() -> None:
    net = SSTNetwork(5, hidden=6, anchors=4, step=0.5)
    assert str(net) == "SSTNetwork(5, 6, anchors=4, step=0.5 s)"
    logits, state = net(torch.randn(2, 7, 5))
    assert logits.shape == (2, 7, 4) and state.shape == (1, 2, 6)


def test_anchors_end_with_their_step() -> None:
    logits = torch.full((4, 2), -4.0)
    logits[2, 1], logits[3, 0], logits[0, 1] = 3.0, 2.0, 9.0  # the last begins before the video
    segments, scores = GivenLogits(2, anchors=2, step=2.0).propose(
        Features(logits, step=2.0, offset=1.0), max_proposals=2
    )
    assert segments.tolist() == [[3.0, 7.0], [7.0, 9.0]]
    assert segments.dtype == scores.dtype == torch.float64
    torch.testing.assert_close(scores, torch.tensor([3.0, 2.0]).double().sigmoid())


def test_rows_are_averaged_over_steps_and_the_last_step_is_cut_off() -> None:
    logits = torch.tensor([[1.0], [3.0], [-1.0], [-3.0], [5.0]])
    segments, scores = GivenLogits(1, anchors=1, step=2.0).propose(Features(logits, step=1.0))
    assert segments.tolist() == [[4.0, 5.0], [0.0, 2.0], [2.0, 4.0]]
    torch.testing.assert_close(scores, torch.tensor([5.0, 2.0, -2.0]).double().sigmoid())


def test_anchors_that_overlap_more_than_the_threshold_are_dropped() -> None:
    logits = torch.zeros(10, 10)
    logits[9, 9], logits[8, 8] = 2.0, 1.0  # [0, 10] and [0, 9] have a tIoU of .9
    net = GivenLogits(10, anchors=10)
    strict, _ = net.propose(Features(logits, step=1.0), max_proposals=2)
    assert strict.tolist()[0] == [0.0, 10.0] and strict.tolist()[1] != [0.0, 9.0]
    loose, _ = net.propose(Features(logits, step=1.0), max_proposals=2, nms_threshold=0.9)
    assert loose.tolist() == [[0.0, 10.0], [0.0, 9.0]]


@pytest.mark.parametrize("rows", [1, 2, 3, 50])
@pytest.mark.parametrize(("step", "offset"), [(1.0, 0.0), (0.13, 2.5), (7.0, 0.3), (1 / 3, -1.0)])
def test_proposals_lie_inside_the_video(rows: int, step: float, offset: float) -> None:
    item = video(rows, step=step, offset=offset)
    segments, scores = network().propose(item, max_proposals=9)
    assert 1 <= len(segments) <= 9
    assert bool((segments[:, 0] >= offset).all() and (segments[:, 1] <= item.duration).all())
    assert bool((segments[:, 0] < segments[:, 1]).all() and (scores.diff() <= 0).all())
    overlap = temporal_iou(segments, segments).fill_diagonal_(0.0)
    assert bool((overlap <= 0.7).all())


def test_outputs_do_not_depend_on_later_rows() -> None:
    x = torch.randn(2, 9, 5, generator=torch.Generator().manual_seed(0))
    changed = x.clone()
    changed[:, 6:] += 1.0
    one, other = network()(x)[0], network()(changed)[0]
    assert torch.equal(one[:, :6], other[:, :6])
    assert bool((one[:, 6:] != other[:, 6:]).any(dim=-1).all())


def test_a_long_video_read_in_chunks_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    item = video(100, step=0.7)
    whole = network().propose(item)
    monkeypatch.setattr(sst, "_CHUNK_STEPS", 9)
    parts = network().propose(item)
    torch.testing.assert_close(parts[0], whole[0])
    torch.testing.assert_close(parts[1], whole[1])
    monkeypatch.setattr(sst, "_MOST_ANCHORS", 5)
    few = network().propose(item)
    assert len(few[0]) <= 5
    torch.testing.assert_close(few[0][0], whole[0][0])


def test_the_state_holds_all_that_proposing_needs() -> None:
    moments, features = toy()
    trained = train_sst(moments, features, **SHORT)
    fresh = SSTNetwork(2, hidden=8, anchors=8)
    fresh.load_state_dict(trained.state_dict())
    assert fresh.step.item() == trained.step.item() == 1.0
    for one, other in zip(
        fresh.propose(features["a"]), trained.propose(features["a"]), strict=True
    ):
        assert torch.equal(one, other)


def test_the_one_moment_of_a_toy_is_learned() -> None:
    moments, features = toy()
    trained = train_sst(moments, features, hidden=16, anchors=6, epochs=10, windows=64)
    assert not trained.training
    assert trained.propose(features["a"])[0][0].tolist() == [4.0, 8.0]
    rows = torch.cat([features["a"].values, features["b"].values])
    torch.testing.assert_close(trained.mean, rows.mean(dim=0))
    # A channel that never changes is not divided by zero.
    torch.testing.assert_close(trained.deviation, torch.tensor([rows[:, 0].std(correction=0), 1.0]))


def test_anchors_reach_the_training_moments(tiny_corpus: Corpus) -> None:
    table = tiny_corpus.subset("train")
    trained = train_sst(tiny_corpus.moments, tiny_corpus.features, **(SHORT | {"anchors": 12}))
    longest = np.quantile(table["end"] - table["start"], 0.95)
    assert 12 * trained.step.item() == pytest.approx(longest)
    many = train_sst(tiny_corpus.moments, tiny_corpus.features, **(SHORT | {"anchors": 99}))
    assert many.step.item() == 0.25  # one feature row


def test_overfits_a_tiny_corpus(tiny_corpus: Corpus) -> None:
    # Each batch shows every video once, on average.
    options = {"hidden": 64, "anchors": 16, "epochs": 10, "windows": 120, "batch_size": 6}
    trained = train_sst(tiny_corpus.moments, tiny_corpus.features, **options)
    videos = tiny_corpus.subset("train")["video"].unique()
    proposals = {name: trained.propose(tiny_corpus.features[name])[0] for name in videos}
    assert max(map(len, proposals.values())) <= 100
    assert found(tiny_corpus, "train", proposals) == 1.0
    # Among a hundred that is easy, even at random.
    assert found(tiny_corpus, "train", {name: own[:16] for name, own in proposals.items()}) > 0.85


@pytest.mark.slow
def test_proposals_for_unseen_classes_beat_random_segments() -> None:
    corpus = synthetic(train_videos=120, test_videos=40)
    trained = train_sst(corpus.moments, corpus.features, epochs=8, windows=192)
    videos = corpus.subset("test")["video"].unique()
    rng = np.random.default_rng(0)
    learned, random = {}, {}
    for name in videos:
        item = corpus.features[name]
        learned[name] = trained.propose(item, max_proposals=15)[0]
        cuts = np.sort(rng.uniform(0.0, item.duration, size=(len(learned[name]), 2)), axis=1)
        random[name] = torch.from_numpy(cuts)
    assert found(corpus, "test", learned) > found(corpus, "test", random) + 0.2


def test_only_training_videos_are_read_and_only_their_moments_matter(tiny_corpus: Corpus) -> None:
    store = RecordingStore(tiny_corpus.features)
    one = train_sst(tiny_corpus.moments, store, **SHORT)
    training = tiny_corpus.moments[tiny_corpus.moments["subset"] == "train"]
    assert store.read == set(training["video"])
    other = train_sst(training.sample(frac=1.0, random_state=2), tiny_corpus.features, **SHORT)
    item = tiny_corpus.features["test-0000"]
    assert torch.equal(one.propose(item)[0], other.propose(item)[0])


def test_the_seed_decides_and_the_global_generator_is_left_alone(tiny_corpus: Corpus) -> None:
    def scores(seed: int) -> Tensor:
        trained = train_sst(tiny_corpus.moments, tiny_corpus.features, seed=seed, **SHORT)
        return trained.propose(tiny_corpus.features["test-0001"])[1]

    first = scores(0)
    before = torch.get_rng_state()
    torch.rand(3)
    moved = torch.get_rng_state()
    again = scores(0)
    assert torch.equal(torch.get_rng_state(), moved) and not torch.equal(moved, before)
    assert torch.equal(first, again)
    assert not torch.equal(first[:3], scores(1)[:3])


def test_a_training_video_without_features_or_of_another_width_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    moments, features = toy()
    with pytest.raises(InputError, match="sst: found no features of training video 'b'"):
        train_sst(moments, {"a": features["a"]}, **SHORT)
    odd = {**features, "b": video(12, channels=7)}
    wrong = r"sst: training video '[ab]': found features of [27] channels, wanted [27] as"
    with pytest.raises(InputError, match=wrong):
        train_sst(moments, odd, **SHORT)
    # One that the statistics are not taken from is only met in training.
    monkeypatch.setattr(sst, "MOST_VIDEOS", 1)
    with pytest.raises(InputError, match=wrong):
        train_sst(moments, odd, **(SHORT | {"windows": 64}))


def test_bad_input_is_named() -> None:
    moments, features = toy()
    for options, reason in (
        ({"in_channels": 0}, "in_channels must be at least 1, got 0"),
        ({"anchors": 0}, "anchors must be at least 1, got 0"),
        ({"step": 0.0}, "step must be seconds > 0, got 0.0"),
    ):
        with pytest.raises(InputError, match=f"sst: {reason}"):
            SSTNetwork(**({"in_channels": 2} | options))
    with pytest.raises(InputError, match="found features of 3 channels, wanted 5"):
        network().propose(video(4, channels=3))
    with pytest.raises(InputError, match="max_keep: 0"):
        network().propose(video(4), max_proposals=0)
    for name, value in (("seed", -1), ("epochs", 0), ("windows", 0), ("batch_size", 0)):
        with pytest.raises(InputError, match=f"sst: {name} must be at least .*, got {value}"):
            train_sst(moments, features, **{name: value})
    with pytest.raises(InputError, match="subset 'train' holds no moments"):
        train_sst(moments.assign(subset="test"), features)
    with pytest.raises(InputError, match="no anchor of 1 to 4 steps of 1 s overlaps"):
        train_sst(toy((4.0, 4.3))[0], features, anchors=4)
