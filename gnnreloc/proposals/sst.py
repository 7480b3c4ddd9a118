"""SST (Single-Stream Temporal action proposals): a network that proposes moments in one pass."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd
import torch
from sklearn.preprocessing import StandardScaler
from torch import Tensor
from torch.nn import functional

from gnnreloc.data.features import Features, resample
from gnnreloc.data.overlap import best_overlap
from gnnreloc.errors import InputError
from gnnreloc.proposals.actionness import read_training_video
from gnnreloc.proposals.nms import nms_1d

POSITIVE_OVERLAP = 0.5
#: Share of the training moments, by length, that the longest anchor reaches.
COVERED_LENGTHS = 0.95
#: Steps of a training window, in units of the longest anchor.
WINDOW_ANCHORS = 4
#: Training videos that statistics are taken from, at most.
MOST_VIDEOS = 300
#: An anchor counts as positive at least this often, so that one that never is learns to be low.
SMALLEST_SHARE = 0.002

# Steps that the network reads at a time, and anchors that stay in the race, in a long video.
_CHUNK_STEPS = 2048
_MOST_ANCHORS = 20_000


class SSTNetwork(torch.nn.Module):
    r"""Score, at every step, the K anchors that end there (Buch et al. 2017).

    "SST: Single-Stream Temporal Action Proposals" reads a video once, with a GRU, and asks at each
    step :math:`t` how well each of the segments of :math:`1, \dots, K` steps that end with it fits
    any action. The published network reads C3D features reduced to 500 channels; here a linear
    layer with layer normalisation takes the place of that reduction.

    Example:
        >>> network = SSTNetwork(3, hidden=8, anchors=4)
        >>> segments, scores = network.propose(Features(torch.randn(6, 3), step=1.0))
        >>> bool((segments[:, 1] - segments[:, 0]).max() <= 4.0), len(segments) == len(scores)
        (True, True)

    Args:
        in_channels: width of the feature rows.
        hidden: width of the GRU.
        anchors: number K of anchor lengths.
        step: seconds of a step; feature rows are averaged over it.

    Shapes:
        - **input:** features averaged over steps :math:`(B, L, C)`
        - **output:** logits :math:`(B, L, K)`; entry :math:`k` of step :math:`t` is the segment of
          steps :math:`t - k, \dots, t`, both included
    """

    mean: Tensor
    deviation: Tensor
    step: Tensor

    def __init__(
        self, in_channels: int, hidden: int = 128, anchors: int = 32, *, step: float = 1.0
    ) -> None:
        super().__init__()
        for name, value in (("in_channels", in_channels), ("hidden", hidden), ("anchors", anchors)):
            if value < 1:
                raise InputError(f"sst: {name} must be at least 1, got {value}")
        if not (math.isfinite(step) and step > 0.0):
            raise InputError(f"sst: step must be seconds > 0, got {step}")
        self.in_channels = in_channels
        self.hidden = hidden
        self.anchors = anchors
        self.register_buffer("mean", torch.zeros(in_channels))
        self.register_buffer("deviation", torch.ones(in_channels))
        self.register_buffer("step", torch.tensor(step, dtype=torch.float64))
        self.reduce = torch.nn.Sequential(
            torch.nn.Linear(in_channels, hidden), torch.nn.LayerNorm(hidden), torch.nn.ReLU()
        )
        self.gru = torch.nn.GRU(hidden, hidden, batch_first=True)
        self.score = torch.nn.Linear(hidden, anchors)

    def forward(self, x: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Score the anchors; the outputs up to a step depend on no later one.

        Args:
            x: features averaged over steps, ``[B, L, C]``.
            state: of the GRU after the steps before, ``[1, B, hidden]``; ``None`` is none before.

        Returns:
            Logits ``[B, L, K]`` and the state after the last step.
        """
        h, state = self.gru(self.reduce((x - self.mean) / self.deviation), state)
        logits: Tensor = self.score(h)
        assert state is not None
        return logits, state

    @torch.no_grad()
    def propose(
        self, features: Features, *, max_proposals: int = 100, nms_threshold: float = 0.7
    ) -> tuple[Tensor, Tensor]:
        """The best anchors of a video that do not overlap each other too much.

        Args:
            features: the video.
            max_proposals: keep at most this many, at least 1.
            nms_threshold: highest tIoU of two proposals.

        Returns:
            Segments inside the video in seconds, float64 ``[m, 2]`` with ``m >= 1``, and their
            scores in (0, 1), float64 ``[m]``, best first.

        Raises:
            InputError: if the features have another width, or an option is out of its range.
        """
        if features.num_channels != self.in_channels:
            raise InputError(
                f"sst: found features of {features.num_channels} channels, wanted "
                f"{self.in_channels}"
            )
        step = self.step.item()
        steps = _num_steps(features, step)
        segments = torch.empty(0, 2, dtype=torch.float64)
        scores = torch.empty(0, dtype=torch.float64)
        state = None
        for first in range(0, steps, _CHUNK_STEPS):
            length = min(_CHUNK_STEPS, steps - first)
            logits, state = self(_pool(features, first, length, step).to(self.mean)[None], state)
            chunk = _anchors(first, length, self.anchors)
            inside = chunk[..., 0] >= 0
            segments = torch.cat([segments, chunk[inside].double()])
            scores = torch.cat([scores, logits[0].double().sigmoid().cpu()[inside]])
            best = scores.argsort(descending=True, stable=True)[:_MOST_ANCHORS]
            segments, scores = segments[best], scores[best]
        segments = (features.offset + segments * step).clamp(max=features.duration)
        keep = nms_1d(segments, scores, nms_threshold, max_proposals)
        return segments[keep], scores[keep]

    def __repr__(self) -> str:
        return (
            f"{self.__class__.__name__}({self.in_channels}, {self.hidden}, "
            f"anchors={self.anchors}, step={self.step.item():g} s)"
        )


def train_sst(
    moments: pd.DataFrame,
    features: Mapping[str, Features],
    *,
    seed: int = 0,
    hidden: int = 128,
    anchors: int = 32,
    epochs: int = 10,
    windows: int = 256,
    batch_size: int = 16,
    learning_rate: float = 5e-3,
    weight_decay: float = 0.01,
) -> SSTNetwork:
    r"""Train SST on the moments of subset ``"train"``, whatever their class.

    An anchor is positive if its tIoU with any moment exceeds 0.5. For anchor length :math:`k`,
    positive in a share :math:`p_k` of the steps, binary cross-entropy weighs a positive
    :math:`1 - p_k` and a negative :math:`p_k`, as published. The network sees random windows of
    four times the longest anchor; anchors that begin before the window do not count. The step is
    chosen so that the longest anchor has the length that 95 % of the training moments do not
    exceed, but at least one feature row.

    No video or moment of another subset is read. One training step holds one batch of windows in
    memory. Torch's global random generator is left as it was.

    Args:
        moments: validated moment table (:func:`gnnreloc.data.validate_moments`).
        features: video name to features; read lazily.
        seed: seed of the weights and windows, at least 0.
        hidden: width of the GRU.
        anchors: number of anchor lengths.
        epochs: number of epochs.
        windows: random windows an epoch.
        batch_size: windows of one optimiser step.
        learning_rate: highest rate of the one-cycle schedule of AdamW.
        weight_decay: of AdamW.

    Returns:
        The network, in evaluation mode, on the CPU.

    Raises:
        InputError: if an option is out of its range, there is no training moment, a training video
            has no features or those of another width, or no anchor fits any.
    """
    for name, value, least in (
        ("seed", seed, 0),
        ("epochs", epochs, 1),
        ("windows", windows, 1),
        ("batch_size", batch_size, 1),
    ):
        if value < least:
            raise InputError(f"sst: {name} must be at least {least}, got {value}")
    table = moments[moments["subset"] == "train"].sort_values(["video", "start", "end"])
    if table.empty:
        raise InputError("sst: subset 'train' holds no moments")
    bounds_of = {
        str(video): torch.from_numpy(own[["start", "end"]].to_numpy(dtype=np.float64).copy())
        for video, own in table.groupby("video", sort=True)
    }
    rng = np.random.default_rng([seed, 6])
    videos = list(bounds_of)
    sample = [str(video) for video in rng.permutation(videos)[:MOST_VIDEOS]]
    longest = float((table["end"] - table["start"]).quantile(COVERED_LENGTHS))
    step = max(longest / anchors, read_training_video(features, sample[0], of="sst").step)
    scaler, positive = _statistics(features, bounds_of, sample, step, anchors)

    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        network = SSTNetwork(len(scaler.mean_), hidden, anchors, step=step)
        network.mean.copy_(torch.from_numpy(scaler.mean_))
        network.deviation.copy_(torch.from_numpy(scaler.scale_))
        batches = math.ceil(windows / batch_size)
        optimizer = torch.optim.AdamW(
            network.parameters(), lr=learning_rate, weight_decay=weight_decay
        )
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, learning_rate, total_steps=epochs * batches
        )
        for _ in range(epochs * batches):
            x, truth, counts = _draw(
                rng, features, bounds_of, videos, step, anchors, batch_size, network.in_channels
            )
            weight = torch.where(truth, 1.0 - positive, positive) * counts
            logits, _ = network(x)
            loss = functional.binary_cross_entropy_with_logits(
                logits, truth.float(), weight, reduction="sum"
            ) / weight.sum().clamp(min=1e-6)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            schedule.step()
    return network.eval()


def _statistics(
    features: Mapping[str, Features],
    bounds_of: Mapping[str, Tensor],
    videos: list[str],
    step: float,
    anchors: int,
) -> tuple[StandardScaler, Tensor]:
    """Mean and deviation of the rows, and the share of positive anchors of each length ``[K]``."""
    scaler = StandardScaler()
    positive, total = torch.zeros(anchors), torch.zeros(anchors)
    channels = None
    for video in videos:
        item = read_training_video(features, video, channels, of="sst")
        channels = item.num_channels
        scaler.partial_fit(item.values.cpu().numpy().astype(np.float64))
        steps = _num_steps(item, step)
        for first in range(0, steps, _CHUNK_STEPS):
            chunk = _anchors(first, min(_CHUNK_STEPS, steps - first), anchors)
            inside = chunk[..., 0] >= 0
            total += inside.sum(dim=0)
            positive += (_fits(chunk, item.offset, step, bounds_of[video]) & inside).sum(dim=0)
    if positive.sum() == 0:
        raise InputError(
            f"sst: no anchor of 1 to {anchors} steps of {step:g} s overlaps a training moment by "
            f"more than {POSITIVE_OVERLAP}"
        )
    return scaler, (positive / total.clamp(min=1)).clamp(SMALLEST_SHARE, 1 - SMALLEST_SHARE)


def _draw(
    rng: np.random.Generator,
    features: Mapping[str, Features],
    bounds_of: Mapping[str, Tensor],
    videos: list[str],
    step: float,
    anchors: int,
    batch_size: int,
    channels: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """Random windows ``[B, L, C]``, which anchors are positive and which count ``[B, L, K]``.

    Windows of videos that are shorter than others in the batch are padded at their end, where
    nothing counts.
    """
    rows, truths = [], []
    for _ in range(batch_size):
        video = videos[int(rng.integers(len(videos)))]
        item = read_training_video(features, video, channels, of="sst")
        steps = _num_steps(item, step)
        length = min(WINDOW_ANCHORS * anchors, steps)
        first = int(rng.integers(steps - length + 1))
        rows.append(_pool(item, first, length, step))
        truths.append(_fits(_anchors(first, length, anchors), item.offset, step, bounds_of[video]))
    x = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
    truth = torch.nn.utils.rnn.pad_sequence(truths, batch_first=True)
    lengths = torch.tensor([len(own) for own in rows])
    there = torch.arange(x.size(1)) < lengths[:, None]
    return x, truth, there[..., None] & (_anchors(0, x.size(1), anchors)[..., 0] >= 0)


def _num_steps(features: Features, step: float) -> int:
    """Steps that cover a video; a rest of a millionth of a step is rounding."""
    return max(1, math.ceil(features.num_steps * features.step / step - 1e-6))


def _anchors(first: int, length: int, anchors: int) -> Tensor:
    """Start and end, in steps, of the anchors that end with each step, int64 ``[L, K, 2]``."""
    end = torch.arange(first + 1, first + length + 1)[:, None].expand(-1, anchors)
    return torch.stack([end - torch.arange(1, anchors + 1), end], dim=-1)


def _fits(chunk: Tensor, offset: float, step: float, bounds: Tensor) -> Tensor:
    """Which anchors ``[L, K, 2]`` are positive for moments ``bounds [g, 2]``, bool ``[L, K]``."""
    seconds = offset + chunk.double() * step
    return (best_overlap(seconds.flatten(0, 1), bounds) > POSITIVE_OVERLAP).view(chunk.shape[:2])


def _pool(features: Features, first: int, length: int, step: float) -> Tensor:
    """Feature rows averaged over ``length`` steps from step ``first`` on, ``[L, C]``."""
    start, end = first * step, (first + length) * step
    # Only the rows in question: the running sums of a whole long video would fill the memory.
    row = max(0, math.floor(start / features.step) - 1)
    beyond = math.ceil(end / features.step) + 1
    cut = Features(
        features.values[row:beyond], features.step, features.offset + row * features.step
    )
    span = torch.tensor([[start, end]], dtype=torch.float64) + features.offset
    return resample(cut, span, length, mode="pool")[0]
