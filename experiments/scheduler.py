"""Cells run side by side, each in a process of its own.

A crash, a kill or a lack of memory takes one cell only; whatever ends the caller ends the cells.
"""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, NamedTuple

from gather import read_metrics
from grid import Cell, write_options

from gnnreloc.errors import InputError

_TAIL = 5  # lines of a failed cell's output that are shown
_PATIENCE = 10.0  # seconds from an interrupt to a kill


class Outcome(NamedTuple):
    """What a cell's process came to: seconds, the reason of its failure, and its last lines."""

    cell: Cell
    seconds: float
    failure: str | None = None
    tail: Sequence[str] = ()


@contextmanager
def lock_folder(folder: Path) -> Iterator[IO[str]]:
    """Hold a folder for this process and the cells that it starts.

    The cells inherit the lock: as long as one of them lives, the folder stays taken, even when the
    process that started them is gone.

    Raises:
        InputError: if the folder is taken.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("a+", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise InputError(
                f"{folder} is in use by another compare.py, or by cells that one left running: "
                f"wait for them, or stop the processes {lock.read().strip()}"
            ) from None
        yield lock


def run_cells(
    cells: Iterable[Cell], *, script: Path, jobs: int, lock: IO[str]
) -> Generator[Outcome, None, None]:
    """Run cells, some side by side, and give each outcome as it comes.

    Whatever ends the iteration ends the processes that still run.

    Args:
        cells: in the order in which they are started.
        script: ``run.py``.
        jobs: how many run at once; they share the cores.
        lock: the lock of :func:`lock_folder`.
    """
    waiting, running = list(cells), list[_Running]()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    threads = str(max(1, (cores or 1) // jobs))
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                cell = waiting.pop(0)
                try:
                    running.append(_Running(cell, script, threads, lock))
                except OSError as error:  # no process, no disk space
                    yield Outcome(cell, 0.0, f"not started: {error}")
                _write(lock, [os.getpid(), *(one.process.pid for one in running)])
            time.sleep(0.05)
            for ended in [one for one in running if one.process.poll() is not None]:
                running.remove(ended)
                yield ended.outcome()
    finally:
        _stop([one.process for one in running])


def _write(lock: IO[str], processes: Sequence[int]) -> None:
    """Say in the lock file who holds it."""
    lock.truncate(0)
    lock.write(" ".join(map(str, processes)))
    lock.flush()


class _Running:
    """A cell whose process runs."""

    def __init__(self, cell: Cell, script: Path, threads: str, lock: IO[str]) -> None:
        self.cell, self.began = cell, time.monotonic()
        started = any((cell.folder / name).exists() for name in ("config.yaml", "checkpoint"))
        write_options(cell)
        command = [sys.executable, str(script)]
        for name, values in cell.options.items():
            command += [f"--{name}", *values]
        command += ["--only_metrics", "true", "--out", str(cell.folder)]
        command += ["--resume"] if started else []
        with (cell.folder / "log.txt").open("ab") as log:
            log.write(f"$ {' '.join(command)}\n".encode())
            log.flush()
            self.log_start = log.tell()
            # A session of its own: Ctrl-C reaches it through _stop only, and once.
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=os.environ | {"OMP_NUM_THREADS": threads, "PYTHONUNBUFFERED": "1"},
                start_new_session=True,
                pass_fds=[lock.fileno()],
            )

    def outcome(self) -> Outcome:
        seconds, status = time.monotonic() - self.began, self.process.returncode
        if status == 0 and read_metrics(self.cell.folder) is not None:
            return Outcome(self.cell, seconds)
        with (self.cell.folder / "log.txt").open("rb") as log:
            log.seek(self.log_start)
            text = log.read().decode(errors="replace")
        lines = [line for line in text.splitlines() if line.strip()]
        if status < 0:
            memory = " (out of memory?)" if status == -signal.SIGKILL else ""
            reason = f"killed by {signal.Signals(-status).name}{memory}"
        elif status == 0:
            reason = "it ended without metrics.json and predictions.csv"
        else:
            reason = lines[-1].strip().removeprefix("error: ") if lines else f"exit status {status}"
        return Outcome(self.cell, seconds, reason, lines[-_TAIL:])


def _stop(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    """Interrupt processes, and kill with their children those that do not end."""
    for process in processes:
        process.send_signal(signal.SIGINT)
    deadline = time.monotonic() + _PATIENCE
    try:
        for process in processes:
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, deadline - time.monotonic()))
    finally:  # a second Ctrl-C does not wait
        for process in processes:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
