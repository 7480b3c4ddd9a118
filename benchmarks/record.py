"""The file that a benchmark writes: its environment, its results and what they are checked for."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, NoReturn

import jsonschema
import numpy
import torch
import torch_geometric

import gnnreloc
from gnnreloc.atomic_write import atomic_write
from gnnreloc.errors import InputError
from gnnreloc.training.freed_memory import keep_freed_memory

HERE = Path(__file__).parent
SCHEMA = HERE / "result.schema.json"
RESULTS = HERE / "results"


class OneLineParser(argparse.ArgumentParser):
    """Says what is wrong in one line and exits with status 2."""

    def error(self, message: str) -> NoReturn:
        """Print the message without the usage."""
        raise InputError(message)


def common_parser(description: str | None, name: str) -> OneLineParser:
    """The options that all benchmarks have.

    Args:
        description: docstring of the script.
        name: of the benchmark, for the default of ``--out``.
    """
    parser = OneLineParser(
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    out = RESULTS / f"{name}.json"
    parser.add_argument("--out", type=Path, default=out, help="JSON file to write (%(default)s)")
    parser.add_argument("--quick", action="store_true", help="a few tiny cases, in seconds")
    parser.add_argument("--threads", type=int, help="threads of torch (default: torch's own)")
    parser.add_argument("--device", default="cpu", help="cpu or cuda (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of inputs and weights (%(default)s)")
    return parser


def set_up(options: argparse.Namespace) -> torch.device:
    """Set threads, seed and the allocator, as ``experiments/run.py`` does; the device.

    Raises:
        InputError: If there is no such device, or a number is out of range.
    """
    keep_freed_memory()
    if options.threads is not None and options.threads < 1:
        raise InputError(f"--threads must be at least 1, got {options.threads}")
    if not 0 <= options.seed < 2**32:
        raise InputError(f"--seed must be from 0 to {2**32 - 1}, got {options.seed}")
    if options.out.suffix != ".json":
        raise InputError(f"--out must end in .json, got {options.out}")
    if options.device not in ("cpu", "cuda"):
        raise InputError(f"--device must be cpu or cuda, got {options.device!r}")
    if options.device == "cuda" and not torch.cuda.is_available():
        raise InputError("--device cuda: torch finds no CUDA device")
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    return torch.device(options.device)


def fail(error: object) -> NoReturn:
    """Print one line on standard error and exit with status 2."""
    print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
    sys.exit(2)


def environment(device: torch.device) -> dict[str, Any]:
    """What a figure depends on besides its case."""
    load: list[float] | None = None
    with contextlib.suppress(OSError):
        load = [round(value, 2) for value in os.getloadavg()]
    return {
        "commit": commit(HERE),
        "started": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "versions": {
            "gnnreloc": gnnreloc.__version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "torch_geometric": torch_geometric.__version__,
            "numpy": numpy.__version__,
        },
        "system": f"{platform.system()} {platform.machine()}",
        "cpu": cpu_name(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "load": load,
        "device": device.type,
        "gpu": torch.cuda.get_device_name(device) if device.type == "cuda" else None,
    }


def commit(folder: Path) -> str:
    """The commit of the working tree, with ``+dirty`` where a tracked file differs from it."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(folder), *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    try:
        dirty = git("status", "--porcelain", "--untracked-files=no")
        return git("rev-parse", "HEAD") + ("+dirty" if dirty else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def cpu_name() -> str:
    """The name of the processor, as far as the system tells it."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown"


def check(name: str, value: float, sense: str, limit: float) -> dict[str, Any]:
    """A figure and the limit that it is held against.

    Args:
        name: what the figure is.
        value: the figure.
        sense: ``at most`` or ``at least``.
        limit: the limit.

    Example:
        >>> check("ratio", 1.2, "at most", 1.3)["holds"]
        True
    """
    holds = value <= limit if sense == "at most" else value >= limit
    return {"name": name, "value": value, "sense": sense, "limit": limit, "holds": holds}


def print_checks(checks: Sequence[Mapping[str, Any]]) -> None:
    """One line for each figure that is held against a limit."""
    for row in checks:
        verdict = "holds" if row["holds"] else "MISSED"
        print(f"{verdict}: {row['name']}: {row['value']:.3f} ({row['sense']} {row['limit']:g})")


def write_results(
    path: Path,
    benchmark: str,
    *,
    started: Mapping[str, Any],
    options: Mapping[str, Any],
    results: Sequence[Mapping[str, Any]],
    checks: Sequence[Mapping[str, Any]],
) -> None:
    """Write a file of results, one line a result, whole or not at all.

    Args:
        path: the file.
        benchmark: name of the script.
        started: the environment when the script began.
        options: what it was run with.
        results: of :meth:`common.Session.measure`.
        checks: of :func:`check`.

    Raises:
        InputError: If it is not as ``result.schema.json`` wants it, or cannot be written.
    """
    document: dict[str, Any] = {
        "schema": 1,
        "benchmark": benchmark,
        "environment": dict(started),
        "options": dict(options),
        "checks": list(checks),
        "results": list(results),
    }
    _validate(document, path)
    lines = [f"  {json.dumps(name)}: {json.dumps(document[name])}" for name in document]
    for place, name in enumerate(document):
        if name in ("checks", "results") and document[name]:
            rows = ",\n".join(f"    {json.dumps(row)}" for row in document[name])
            lines[place] = f"  {json.dumps(name)}: [\n{rows}\n  ]"
    try:
        with atomic_write(path) as file:
            file.write(("{\n" + ",\n".join(lines) + "\n}\n").encode())
    except OSError as error:
        raise InputError(f"--out {path}: {error.strerror}") from error


def read_results(path: Path) -> dict[str, Any]:
    """Read a file of results.

    Raises:
        InputError: If it cannot be read, or is not as ``result.schema.json`` wants it.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise InputError(f"{path} is no JSON: {error}") from error
    _validate(document, path)
    return dict(document)


def _validate(document: object, path: Path) -> None:
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    error = jsonschema.exceptions.best_match(
        jsonschema.Draft202012Validator(schema).iter_errors(document)
    )
    if error is not None:
        raise InputError(f"{path}: {error.json_path}: {error.message[:200]}")
