"""How much longer training takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def time_left(rows: Sequence[Mapping[str, float]], epochs: int) -> str:
    """How long the epochs take that are left, by those that are done; nothing before the first.

    Example:
        >>> time_left([{"seconds": 61.0}], 3)
        ', 2:02 left'
    """
    if not rows:
        return ""
    mean = sum(row["seconds"] for row in rows) / len(rows)
    minutes, seconds = divmod(round(mean * (epochs - len(rows))), 60)
    return f", {minutes}:{seconds:02} left"
