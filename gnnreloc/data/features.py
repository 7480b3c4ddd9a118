"""Features of one video and their resampling to a fixed number of timesteps.

A video is a matrix of ``n`` feature rows. Row ``i`` describes the seconds
``[offset + i * step, offset + (i + 1) * step)``; its centre time is ``offset + (i + 0.5) * step``.
The stores that hold the features of many videos are in :mod:`gnnreloc.data.feature_store`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gnnreloc.errors import InputError

ResampleMode = Literal["linear", "nearest", "pool"]

# A bin narrower than this share of a row is a point: the difference of two running sums would
# lose its digits there.
_NARROW_BIN = 1e-6


@dataclass(frozen=True, eq=False)
class Features:
    """Feature rows of one video (or of a clip cut from it), with their place in time.

    Example:
        >>> video = Features(torch.tensor([[1.0], [2.0], [3.0]]), step=0.5)
        >>> video.duration, video.time.tolist()
        (1.5, [0.25, 0.75, 1.25])
        >>> video.slice(0.5, 1.5).values.tolist()
        [[2.0], [3.0]]

    Args:
        values: Feature rows, ``[n, C]`` with ``n >= 1`` and ``C >= 1``; kept as float32.
        step: Seconds from one row to the next, greater than 0.
        offset: Time in seconds at which the first row starts.
        metadata: Where the rows come from (backbone, decoder, fps, checksum), as far as known.

    Raises:
        InputError: If ``values`` is no real matrix with entries, or ``step`` or ``offset`` is not
            usable.
    """

    values: Tensor
    step: float
    offset: float = 0.0
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.values, Tensor):
            found = type(self.values).__name__
            raise InputError(f"features: found {found}, wanted a tensor [n, C]")
        if self.values.is_complex():
            raise InputError(f"features: found {self.values.dtype}, wanted real numbers")
        if self.values.dim() != 2 or self.values.numel() == 0:
            found = list(self.values.shape)
            raise InputError(f"features: found shape {found}, wanted [n, C] with n >= 1 and C >= 1")
        if not (math.isfinite(self.step) and self.step > 0):
            raise InputError(f"features: found step {self.step}, wanted seconds greater than 0")
        if not math.isfinite(self.offset):
            raise InputError(
                f"features: found offset {self.offset}, wanted a finite time in seconds"
            )
        object.__setattr__(self, "values", self.values.float())

    @property
    def num_steps(self) -> int:
        """Number of feature rows ``n``."""
        return self.values.shape[0]

    @property
    def num_channels(self) -> int:
        """Width ``C`` of a feature row."""
        return self.values.shape[1]

    @property
    def duration(self) -> float:
        """Time in seconds at which the last row ends: ``offset + n * step``."""
        return self.offset + self.num_steps * self.step

    @property
    def time(self) -> Tensor:
        """Centre time of every row in seconds, float64 ``[n]``."""
        return self.offset + (torch.arange(self.num_steps, dtype=torch.float64) + 0.5) * self.step

    def slice(self, start: float, end: float) -> Features:
        """Cut out the rows whose centre lies in ``[start, end)``, as a clip of its own.

        The clip begins at time 0: its ``offset`` is 0, whatever the offset of the video. When no
        centre lies inside, the row whose centre is nearest to the middle of the interval is kept.

        Args:
            start: First moment of the clip in seconds, on the time axis of this video.
            end: Last moment of the clip in seconds, greater than ``start``.

        Returns:
            The clip; its ``values`` share memory with this video.

        Raises:
            InputError: If ``start`` or ``end`` is not finite, or ``end <= start``.
        """
        check_segments(torch.tensor([[start, end]], dtype=torch.float64))
        bounds = torch.tensor([start, end], dtype=torch.float64)
        first, last = torch.searchsorted(self.time, bounds).tolist()
        if first == last:
            first = int((self.time - (start + end) / 2).abs().argmin())
            last = first + 1
        return Features(self.values[first:last], self.step, metadata=self.metadata)

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({self.num_steps} rows x {self.num_channels} channels, "
            f"step={self.step:g} s, offset={self.offset:g} s)"
        )


def resample(
    features: Features, segments: Tensor, timesteps: int, mode: ResampleMode = "linear"
) -> Tensor:
    r"""Describe every segment by the same number of equally spaced feature rows.

    The paper describes every clip by ``T`` timesteps (section 4.3) and leaves open how features
    become timesteps; what follows is our reading. Timestep ``t`` stands for the ``t``-th of ``T``
    equal bins of the segment, with its centre at

    .. math:: \mathrm{start} + (t + 0.5) \, (\mathrm{end} - \mathrm{start}) / T

    - ``"linear"``: interpolate between the two nearest row centres, constant beyond the first and
      the last centre;
    - ``"nearest"``: the row that covers the position, or the first or last row outside the video;
    - ``"pool"``: the mean of the rows that the bin touches, weighted by their overlap with it. The
      part of a bin outside the video does not count; a bin wholly outside takes the nearest row.

    Example:
        >>> video = Features(torch.tensor([[0.0], [2.0], [4.0], [6.0]]), step=1.0)
        >>> whole = torch.tensor([[0.0, 4.0]])
        >>> resample(video, whole, 2).flatten().tolist()
        [1.0, 5.0]
        >>> resample(video, torch.tensor([[0.5, 2.5]]), 2, mode="pool").flatten().tolist()
        [1.0, 3.0]

    Args:
        features: The video.
        segments: Start and end in seconds, ``[m, 2]``; they may reach beyond the video.
        timesteps: Number of timesteps ``T``, at least 1.
        mode: How the features are read, see above.

    Returns:
        float32 ``[m, T, C]``, on the device of the features.

    Raises:
        InputError: If ``timesteps < 1``, the mode is unknown, or a segment is not finite or does
            not end after it starts.
    """
    if timesteps < 1:
        raise InputError(f"timesteps: found {timesteps}, wanted at least 1")
    if mode not in get_args(ResampleMode):
        raise InputError(f"resample mode: found {mode!r}, wanted one of {get_args(ResampleMode)}")
    check_segments(segments)
    segments = segments.detach().to("cpu", torch.float64)
    start, length = segments[:, :1], segments[:, 1:] - segments[:, :1]
    if mode == "pool":
        shares = torch.arange(timesteps + 1, dtype=torch.float64) / timesteps
        return _pool(features, start + shares * length)
    shares = (torch.arange(timesteps, dtype=torch.float64) + 0.5) / timesteps
    times = start + shares * length
    values, device, last = features.values, features.values.device, features.num_steps - 1
    if mode == "nearest":
        row = (times - features.offset) / features.step
        return values[row.floor().clamp(0, last).long().to(device)]
    below, above, weight = (place.to(device) for place in bracketing_rows(features, times))
    return torch.lerp(values[below], values[above], weight.unsqueeze(-1))


def bracketing_rows(features: Features, times: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The two rows whose centres lie around each time, to interpolate between them.

    Example:
        >>> video = Features(torch.zeros(3, 1), step=1.0)
        >>> bracketing_rows(video, torch.tensor([0.75, 1.5, 9.0]))
        (tensor([0, 1, 2]), tensor([1, 2, 2]), tensor([0.2500, 0.0000, 0.0000]))

    Args:
        features: The video.
        times: Seconds, of any shape.

    Returns:
        Number of the row before and of the row after each time, and the weight of the latter,
        float32; before the first and after the last centre that row alone.
    """
    last = features.num_steps - 1
    row = ((times - features.offset) / features.step - 0.5).clamp(0, last)
    below = row.floor().long()
    return below, (below + 1).clamp(max=last), (row - below).float()


def widen(segments: Tensor, share: float) -> Tensor:
    """Segments with their surroundings: at both ends, a share of the length is added.

    Args:
        segments: Start and end of each in seconds, ``[m, 2]``.
        share: How much is added, in lengths of the segment.

    Returns:
        ``[m, 2]``; they may leave the video.

    Example:
        >>> widen(torch.tensor([[2.0, 6.0]]), 0.25).tolist()
        [[1.0, 7.0]]
    """
    added = (segments[:, 1:] - segments[:, :1]) * share
    return torch.cat([segments[:, :1] - added, segments[:, 1:] + added], dim=1)


def resample_clip(clip: Features, timesteps: int, mode: ResampleMode = "linear") -> Tensor:
    """Describe a whole clip, from 0 s to its end, by ``timesteps`` rows: see :func:`resample`.

    Args:
        clip: The clip, as :meth:`Features.slice` cuts it.
        timesteps: Number of timesteps ``T``, at least 1.
        mode: How the features are read.

    Returns:
        float32 ``[T, C]``.

    Raises:
        InputError: If ``timesteps < 1`` or the mode is unknown.
    """
    whole = torch.tensor([[0.0, clip.duration]], dtype=torch.float64)
    return resample(clip, whole, timesteps, mode)[0]


def _pool(features: Features, edges: Tensor) -> Tensor:
    """Mean of the piecewise constant signal between neighbouring ``edges [m, T + 1]`` (seconds)."""
    values, rows = features.values, features.num_steps
    edges = ((edges - features.offset) / features.step).clamp(0, rows)
    whole = edges.floor().long().clamp(max=rows - 1)
    centre = ((edges[:, :-1] + edges[:, 1:]) / 2).floor().long().clamp(max=rows - 1)
    part, width = (edges - whole).to(values.device), edges.diff(dim=1).to(values.device)
    whole, centre = whole.to(values.device), centre.to(values.device)
    # Integral of the signal from row 0 to each edge: the whole rows before it, and a part of one.
    # float64, because the mean is a small difference of two large sums.
    sums = torch.cat([values.new_zeros(1, values.shape[1]), values]).double().cumsum(0)
    integral = sums[whole] + part.unsqueeze(-1) * values[whole].double()
    width = width.unsqueeze(-1)
    mean = integral.diff(dim=1) / width.clamp(min=_NARROW_BIN)
    return torch.where(width < _NARROW_BIN, values[centre], mean.float())


def validate_features(
    values: Tensor | NDArray[Any], video: str, channels: int | None = None
) -> Tensor:
    """Check the feature matrix of a video and return it as a float32 tensor.

    Args:
        values: Feature rows, ``[n, C]``, of an integer or floating type.
        video: Name of the video, for the messages.
        channels: Width ``C`` that is wanted, or ``None`` for any.

    Returns:
        float32 ``[n, C]``; shares memory with ``values`` where no conversion is needed.

    Raises:
        InputError: If the matrix is empty, not two-dimensional, of another width, not numeric, or
            holds a value that is NaN or infinite (in float32). The message names the video.
    """
    if isinstance(values, np.ndarray):
        if values.dtype.kind not in "fiu":
            raise InputError(
                f"video {video!r}: found features of type {values.dtype}, wanted numbers"
            )
        with np.errstate(over="ignore"):
            array = np.require(values, np.float32, ["C", "W"])
        # Checked here and not as a tensor: the temporaries of torch break up the heap, so that
        # reading thousands of videos took hundreds of megabytes that no one uses.
        good = bool(np.isfinite(array).all())
        values = torch.from_numpy(array)
    elif values.dtype == torch.bool or values.is_complex():
        raise InputError(f"video {video!r}: found features of type {values.dtype}, wanted numbers")
    else:
        values = values.float()
        good = bool(torch.isfinite(values).all())
    shape = list(values.shape)
    if values.dim() != 2:
        raise InputError(
            f"video {video!r}: found features of shape {shape}, wanted [rows, channels]"
        )
    if values.numel() == 0:
        raise InputError(f"video {video!r}: found empty features of shape {shape}")
    if channels is not None and values.shape[1] != channels:
        raise InputError(f"video {video!r}: found {shape[1]} channels per row, wanted {channels}")
    if not good:
        row, channel = (~torch.isfinite(values)).nonzero()[0].tolist()
        raise InputError(
            f"video {video!r}: row {row} (from 0), channel {channel} holds "
            f"{values[row, channel].item()}, wanted a finite number"
        )
    return values


def check_segments(segments: Tensor) -> None:
    """Raise unless ``segments`` is ``[m, 2]``, finite, and every one ends after it starts.

    Raises:
        InputError: naming the first segment (from 0) that does not.
    """
    if not isinstance(segments, Tensor):
        raise InputError(f"segments: found {type(segments).__name__}, wanted a tensor [m, 2]")
    if segments.dim() != 2 or segments.shape[1] != 2:
        raise InputError(f"segments: found shape {list(segments.shape)}, wanted [m, 2]")
    length = segments[:, 1] - segments[:, 0]
    good = torch.isfinite(length) & (length > 0)
    if not good.all():
        row = int((~good).nonzero()[0])
        start, end = segments[row].tolist()
        raise InputError(
            f"segment {row} (from 0): found start {start}, end {end} s, wanted finite start < end"
        )


def require_channels(
    query: Features | None, reference: Features | None, in_channels: int | None = None
) -> None:
    """Check that query and reference have the same width, or that of a model.

    Args:
        query: the query clip; None where it is not known yet.
        reference: the reference video; None likewise.
        in_channels: width C that the model was made for, if there is one.

    Raises:
        InputError: if one of them has another width; names it.
    """
    whose, width = "the model was made for", in_channels
    if width is None and reference is not None:
        whose, width = "the reference", reference.num_channels
    for name, clip in (("query", query), ("reference", reference)):
        if clip is not None and clip.num_channels != width:
            raise InputError(
                f"the {name} has {clip.num_channels} feature channels, {whose} {width}"
            )
