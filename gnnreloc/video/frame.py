"""One frame, with its place in time."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Frame(NamedTuple):
    """A frame of a video.

    Attributes:
        time: The wanted time in seconds.
        shown: The seconds at which the frame that is shown then appeared.
        image: RGB, uint8 ``[height, width, 3]``, upright; not to be changed, as the next frame may
            share it.
    """

    time: float
    shown: float
    image: NDArray[np.uint8]
