"""The peak memory of one run."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch


class Memory(NamedTuple):
    """Peak of one run in bytes: above the level before it, and in total."""

    above: int
    total: int


def peak_memory(run: Callable[[], object], device: torch.device) -> Memory | None:
    """Peak memory of one run: resident set on the CPU, allocated tensors on CUDA.

    Freed memory is given back to the system first, and Linux counts the peak: no sample is missed,
    and a run that would fit into what an earlier one left behind is charged in full.

    Returns:
        The peak, or None where the system does not tell it.
    """
    if device.type == "cuda":
        synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        run()
        synchronize(device)
        total = torch.cuda.max_memory_allocated(device)
        return Memory(total - before, total)
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
    try:
        # Of Linux: sets the peak of the resident set back to its present size.
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        before = _resident("VmRSS")
    except OSError:
        run()
        return None
    run()
    total = _resident("VmHWM")
    return Memory(max(0, total - before), total)


def synchronize(device: torch.device) -> None:
    """Wait until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _resident(name: str) -> int:
    """A line of ``/proc/self/status``, in bytes."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise OSError(f"/proc/self/status has no {name}")
