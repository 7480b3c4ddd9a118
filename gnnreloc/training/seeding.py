"""One seed for everything that is random."""

from __future__ import annotations

import torch
from lightning_fabric import seed_everything as seed_generators

from gnnreloc.errors import InputError


def seed_everything(seed: int) -> None:
    """Seed every random generator and choose deterministic algorithms.

    New memory is not overwritten first, as deterministic mode does otherwise
    (``torch.utils.deterministic.fill_uninitialized_memory``).

    Raises:
        InputError: if the seed is not in [0, 2^32).
    """
    if not 0 <= seed < 2**32:
        raise InputError(f"seed must be at least 0 and below 2^32, got {seed}")
    seed_generators(seed, verbose=False)
    torch.use_deterministic_algorithms(True, warn_only=True)
    # What is read before it is written would be a bug; to overwrite all new memory takes 7 %.
    # PyTorch declares it in a way that type checkers do not see.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
