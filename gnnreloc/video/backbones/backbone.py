"""What turns frames into feature rows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor

from gnnreloc.errors import InputError

#: Fewer seconds from one row to the next are a slip of the pen: a minute would have 60000 rows.
SHORTEST_STEP = 0.001


class Backbone(ABC):
    """A network (or any function) from short runs of frames to feature rows.

    One of your own needs two lines, three facts and :meth:`encode`:

        >>> class MeanColour(Backbone):
        ...     name, channels, frame_size = "mean_colour", 3, (16, 16)
        ...     def encode(self, clips):
        ...         return clips.float().mean(dim=(1, 2, 3))
        >>> MeanColour().step
        0.5

    Row ``i`` stands for the seconds ``[i * step, (i + 1) * step)`` with ``step = stride / fps``,
    and is made of the ``clip_frames`` frames around the middle of these.

    Attributes:
        name: How it is called, on the command line and in the metadata.
        channels: Width C of a feature row.
        frame_size: Width and height that frames are brought to.
        fps: Frames per second that it looks at, whatever the rate of the video.
        clip_frames: Frames that make one row.
        stride: Frames from one row to the next.
        weights: What the rows depend on besides the name: a file, a checksum, options.
        device: Where it computes.
        made_of: Arguments of :func:`~gnnreloc.video.create_backbone` that make its like elsewhere,
            where it came from there.
    """

    name: str
    channels: int
    frame_size: tuple[int, int]
    fps: float = 2.0
    clip_frames: int = 1
    stride: int = 1
    weights: str = ""
    device: torch.device = torch.device("cpu")
    made_of: dict[str, Any] | None = None

    @abstractmethod
    def encode(self, clips: Tensor) -> Tensor:
        """Feature rows of some runs of frames.

        Args:
            clips: RGB, uint8 ``[rows, clip_frames, height, width, 3]``, on ``device``.

        Returns:
            Floating point ``[rows, channels]``.
        """

    @property
    def step(self) -> float:
        """Seconds from one row to the next: ``stride / fps``."""
        return self.stride / self.fps

    def set_step(self, step: float) -> None:
        """Choose the seconds from one row to the next.

        A backbone of single frames looks at as many as that takes. One of runs of frames keeps its
        rate, at which it was trained, and takes the nearest whole number of frames.

        Args:
            step: Seconds, greater than 0.

        Raises:
            InputError: If there is no such step.
        """
        if not 0 < step < float("inf"):
            raise InputError(f"step: found {step}, wanted seconds greater than 0")
        if step < SHORTEST_STEP:
            raise InputError(f"step: found {step:g} s, wanted {SHORTEST_STEP:g} s or more")
        if self.clip_frames == 1:
            self.fps, self.stride = 1 / step, 1
        else:
            self.stride = self._frames_in(step)
        if self.made_of is not None:
            self.made_of = {**self.made_of, "step": step}

    def _frames_in(self, step: float) -> int:
        stride = round(step * self.fps)
        if stride < 1:
            raise InputError(
                f"step: found {step:g} s, wanted {1 / self.fps:g} s or more for {self.name}, which "
                f"looks at {self.fps:g} frames a second"
            )
        return stride

    def check(self) -> None:
        """Raise unless the facts about the backbone can be.

        Raises:
            InputError: If one is missing, of another type or out of range; names it.
        """
        kind, size = type(self).__name__, getattr(self, "frame_size", None)
        for name, wanted in (("name", str), ("weights", str), ("device", torch.device)):
            found = getattr(self, name, None)
            if not isinstance(found, wanted):
                raise InputError(f"backbone {kind}: {name} is {found!r}, wanted {wanted.__name__}")
        for name in ("channels", "clip_frames", "stride"):
            found = getattr(self, name, None)
            if not (isinstance(found, int) and found >= 1):
                raise InputError(f"backbone {kind}: {name} is {found!r}, wanted 1 or more")
        if not (isinstance(self.fps, (int, float)) and 0 < self.fps < float("inf")):
            raise InputError(f"backbone {kind}: fps is {self.fps!r}, wanted a number above 0")
        if not (
            isinstance(size, (tuple, list))
            and len(size) == 2
            and all(isinstance(side, int) and side >= 1 for side in size)
        ):
            raise InputError(f"backbone {kind}: frame_size is {size!r}, wanted width and height")

    @property
    def settings(self) -> dict[str, Any]:
        """All that its rows depend on, as it goes into the metadata of features."""
        return {
            "backbone": self.name,
            "weights": self.weights,
            "fps": self.fps,
            "clip_frames": self.clip_frames,
            "stride": self.stride,
            "frame_size": list(self.frame_size),
            "channels": self.channels,
        }


def choose_device(device: str | torch.device | None) -> torch.device:
    """The device that was asked for, else a GPU where there is one.

    Raises:
        InputError: If there is no such device.
    """
    try:
        chosen = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        torch.empty(1, device=chosen)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).partition("\n")[0]
        raise InputError(f"device {device!r}: not to be had here: {reason}") from error
    return chosen
