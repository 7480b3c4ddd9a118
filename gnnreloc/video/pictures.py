"""Pictures of a video: which way up they are shown, and their size."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gnnreloc.errors import InputError

if TYPE_CHECKING:
    from av import VideoFrame


class Orientation:
    """The quarter turns and mirrorings that bring a picture upright.

    Args:
        matrix: The display matrix of the video: numbers that map the point ``(x, y)`` of the
            stored picture to ``(m[0] x + m[3] y, m[1] x + m[4] y)`` of the shown one, but for a
            shift.

    Example:
        >>> quarter = Orientation([0, -1, 0, 1, 0])  # right becomes up
        >>> quarter.apply(np.array([[1, 2], [3, 4]])).tolist()
        [[2, 4], [1, 3]]
    """

    def __init__(self, matrix: Any = (1, 0, 0, 0, 1)) -> None:
        xx, yx, xy, yy = (int(matrix[i]) for i in (0, 1, 3, 4))
        #: Whether rows become columns.
        self.turned = abs(xy) + abs(yx) > abs(xx) + abs(yy)
        x, y = (xy, yx) if self.turned else (xx, yy)
        self._steps = (slice(None, None, -1 if y < 0 else 1), slice(None, None, -1 if x < 0 else 1))

    @classmethod
    def of(cls, frame: VideoFrame) -> Orientation:
        """What a decoded frame says."""
        try:
            matrix: Any = frame.side_data.get("DISPLAYMATRIX")
        except ValueError:  # a kind of side data that this PyAV does not know
            turn = math.radians(frame.rotation)  # counter-clockwise
            cosine, sine = round(math.cos(turn)), round(math.sin(turn))
            return cls((cosine, -sine, 0, sine, cosine))
        return cls() if matrix is None else cls(np.frombuffer(bytes(matrix), np.int32))

    def apply(self, picture: NDArray[Any]) -> NDArray[Any]:
        """The picture ``[height, width, ...]`` upright."""
        return (picture.swapaxes(0, 1) if self.turned else picture)[self._steps]


def import_av() -> Any:
    """The module ``av``.

    Raises:
        InputError: If the extra ``video`` is not installed.
    """
    try:
        import av
    except ImportError as error:
        raise InputError(
            f"reading videos needs the extra 'video': pip install 'gnnreloc[video]' ({error})"
        ) from error
    return av


def stretch(picture: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """A picture ``[height, width, 3]`` brought to another width and height, as decoding does it."""
    frame = import_av().VideoFrame.from_ndarray(picture, format="rgb24")
    stretched: NDArray[np.uint8] = frame.reformat(*size, interpolation="AREA").to_ndarray()
    return stretched
