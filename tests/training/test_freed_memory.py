"""The C library keeps freed memory."""

from __future__ import annotations

import subprocess
import sys

import pytest

from gnnreloc.training import freed_memory
from gnnreloc.training.freed_memory import keep_freed_memory

#: Prints the pages that the system hands out when memory is taken for the second time.
SCRIPT = """
import resource, sys
import torch
from gnnreloc.training.freed_memory import keep_freed_memory

def pages():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def take():
    return [torch.ones(2**20) for _ in range(50)]

if sys.argv[1] == "kept" and not keep_freed_memory():
    print("unknown")
    sys.exit()
take()
before = pages()
take()
print(pages() - before)
"""


def pages(way: str) -> str:
    command = [sys.executable, "-c", SCRIPT, way]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.mark.skipif(sys.platform != "linux", reason="other C libraries are left as they are")
def test_memory_is_taken_once() -> None:
    kept = pages("kept")
    if kept == "unknown":
        pytest.skip("the C library is not glibc")
    # 50 tensors of 4 MiB are 51 200 pages of 4 KiB; the heap may have to grow for one or two.
    assert int(kept) < 5120


def test_other_systems_are_left_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(freed_memory.sys, "platform", "darwin")
    assert not keep_freed_memory()
