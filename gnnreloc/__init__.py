"""gnnreloc: find the moment in a long video that shows the same action as a query clip."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gnnreloc.search import Engine

__version__ = "0.1.0"


def load(checkpoint: Path | str | None = None, **options: Any) -> Engine:
    """An engine that finds moments in videos: see :func:`gnnreloc.search.load`."""
    # Here, so that importing the package does not wait for torch.
    from gnnreloc.search import load as load_engine

    return load_engine(checkpoint, **options)
