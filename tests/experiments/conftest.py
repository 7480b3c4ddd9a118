"""The scripts, loaded as modules and called in this process, and small data for them."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import io
import json
import random
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
STUB = Path(__file__).with_name("stub_run.py")

# A run of half a second, figures left out.
TINY = (
    *("--data.train_videos", "6", "--data.validation_videos", "4", "--data.test_videos", "4"),
    *("--epochs", "2", "--training.samples", "8", "--evaluation.queries", "4"),
    *("--model.timesteps", "6", "--model.hidden_channels", "8"),
)

Fir = Callable[..., Path]


class Outcome(NamedTuple):
    """What a call of the script came to: exit status and both streams."""

    status: int
    out: str
    err: str


class Script:
    """``experiments/run.py`` in this process.

    Args:
        module: the loaded script.
    """

    def __init__(self, module: ModuleType) -> None:
        self.module = module

    def call(self, *arguments: object) -> Outcome:
        """Call ``main`` as the command line does; the global state that it sets is put back."""
        out, err, status = io.StringIO(), io.StringIO(), 0
        deterministic = torch.are_deterministic_algorithms_enabled()
        warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
        state = random.getstate()
        try:
            with (
                torch.random.fork_rng(devices=[]),
                contextlib.redirect_stdout(out),
                contextlib.redirect_stderr(err),
            ):
                self.module.main([str(argument) for argument in arguments])
        except SystemExit as stop:
            status = int(stop.code or 0)
        finally:
            torch.use_deterministic_algorithms(deterministic, warn_only=warn_only)
            random.setstate(state)
        return Outcome(status, out.getvalue(), err.getvalue())

    def tiny(self, *arguments: object) -> Outcome:
        """Call with a tiny data set and network, and these arguments besides."""
        return self.call(*TINY, *arguments)

    def options(self, *arguments: object) -> Any:
        """The options that the script would run with."""
        choice, rest = self.module.choose_first([str(item) for item in arguments])
        return self.module.build_parser(choice).parse_args(rest)


@pytest.fixture(scope="session")
def modules() -> dict[str, ModuleType]:
    """The scripts by name; they find each other only while they are loaded here."""
    names = sorted(path.stem for path in EXPERIMENTS.glob("*.py"))
    sys.path.insert(0, str(EXPERIMENTS))
    try:
        return {name: importlib.import_module(name) for name in names}
    finally:
        sys.path.remove(str(EXPERIMENTS))
        for name in names:
            sys.modules.pop(name, None)


@pytest.fixture(scope="session")
def run_module(modules: dict[str, ModuleType]) -> ModuleType:
    return modules["run"]


@pytest.fixture(scope="session")
def grid(modules: dict[str, ModuleType]) -> ModuleType:
    return modules["grid"]


@pytest.fixture(scope="session")
def gather(modules: dict[str, ModuleType]) -> ModuleType:
    return modules["gather"]


@pytest.fixture(scope="session")
def tables(modules: dict[str, ModuleType]) -> ModuleType:
    return modules["tables"]


@pytest.fixture
def script(run_module: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Script:
    """The script in an empty working directory; it draws neither figures nor a page."""
    monkeypatch.chdir(tmp_path)
    for name in ("write_figures", "write_report"):
        monkeypatch.setattr(run_module, name, lambda *_: None)
    return Script(run_module)


@pytest.fixture(scope="session")
def finished(
    run_module: ModuleType, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Outcome]:
    """A whole tiny run with its figures: folder and outcome. Tests change nothing in it."""
    folder = tmp_path_factory.mktemp("finished") / "nested" / "run"
    return folder, Script(run_module).tiny("--out", folder)


@pytest.fixture
def fir_root(tmp_path: Path) -> Fir:
    """Writes a data set in the layout of ``fir``, after a change to what it would hold."""
    rng = np.random.default_rng(0)
    names = [f"v{number:02d}" for number in range(12)]
    segments = [
        {"seconds": [2.0 + 9.0 * place, 8.0 + 9.0 * place], "label": label}
        for place, label in enumerate(("sit", "stand", "walk"))
    ]
    features: dict[str, Any] = {name: rng.normal(size=(60, 8)).astype(np.float16) for name in names}

    def write(change: Callable[[dict[str, Any], dict[str, Any]], object] | None = None) -> Path:
        videos = {name: {"duration": 28.8, "segments": list(segments)} for name in names}
        if change is not None:
            change(videos, features)
        root = tmp_path / "fir"
        root.mkdir()
        (root / "segments.json").write_text(json.dumps({"database": videos}), encoding="utf-8")
        np.savez(root / "effnetlite0_stride12.npz", **features)
        return root

    return write


@pytest.fixture(scope="session")
def stub() -> ModuleType:
    """What stands in for ``run.py``."""
    location = importlib.util.spec_from_file_location("stub_run", STUB)
    assert location is not None and location.loader is not None
    module = importlib.util.module_from_spec(location)
    location.loader.exec_module(module)
    return module


@pytest.fixture
def compare(
    modules: dict[str, ModuleType],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Callable[..., Outcome]:
    """Calls ``compare.py``, without its page, and a stub for run.py that does what it is told."""
    monkeypatch.chdir(tmp_path)

    monkeypatch.setattr(modules["render"], "write_report", lambda *_: None)

    def compare(*arguments: object, stub: dict[str, str] | None = None) -> Outcome:
        monkeypatch.setenv("STUB", json.dumps(stub or {}))
        status = modules["compare"].main([str(argument) for argument in arguments], STUB)
        return Outcome(status, *capsys.readouterr())

    return compare


@pytest.fixture
def write(stub: ModuleType, tmp_path: Path) -> Callable[..., Path]:
    """Writes a finished run and gives the folder of all runs.

    Its tIoU are given pair by pair, or as the number of perfect moments among ten, for all views or
    by view.
    """

    def pairs(overlaps: Any) -> Any:
        return [1.0] * overlaps + [0.25] * (10 - overlaps) if type(overlaps) is int else overlaps

    def write(system: str, overlaps: Any, split: int = 0, seed: int = 0, **options: Any) -> Path:
        folder = tmp_path / options.get("dataset", "synthetic")
        views = overlaps if isinstance(overlaps, dict) else {"tiou": overlaps}
        views = {view: pairs(values) for view, values in views.items()}
        place = folder / f"{system}-split{split}-seed{seed}"
        stub.write_run(place, system, split, seed, views, **options)
        return folder

    return write


@pytest.fixture
def report_of(gather: ModuleType, tables: ModuleType) -> Callable[..., Any]:
    """Makes the report of all runs in a folder."""

    def report_of(folder: Path, *view: Any, against: str = "dynamic_tuned") -> Any:
        runs, chosen = gather.gather(folder), gather.View(*view)
        differences = gather.differences_table(runs, chosen, against)
        table = gather.runs_table(runs, chosen)
        changes = {run.metrics["system"]: run.changes for run in runs if run.changes}
        return tables.make_report(folder.name, table, differences, chosen, against, changes)

    return report_of
