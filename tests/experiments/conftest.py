"""The run script, loaded as a module and called in this process, and small data for it."""

from __future__ import annotations

import contextlib
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
def run_module() -> ModuleType:
    """The script as a module; its neighbours can be imported only while it is loaded."""
    location = importlib.util.spec_from_file_location("run_script", EXPERIMENTS / "run.py")
    assert location is not None and location.loader is not None
    module = importlib.util.module_from_spec(location)
    sys.path.insert(0, str(EXPERIMENTS))
    try:
        location.loader.exec_module(module)
    finally:
        sys.path.remove(str(EXPERIMENTS))
        for neighbour in ("options", "report"):
            sys.modules.pop(neighbour, None)
    return module


@pytest.fixture
def script(run_module: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Script:
    """The script in an empty working directory; it draws no figures."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(run_module, "write_figures", lambda *_: None)
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
