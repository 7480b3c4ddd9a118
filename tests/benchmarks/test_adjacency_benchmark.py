"""What the adjacency benchmark compares: the same numbers, at the sizes it says."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

CPU = torch.device("cpu")
TYPES = ("float32", "bfloat16")
Array = NDArray[np.float64]


@pytest.fixture
def cases(scripts: dict[str, ModuleType]) -> ModuleType:
    return scripts["adjacency_cases"]


def softmax(scores: Array) -> Array:
    weights = np.exp(scores)
    return np.asarray(weights / weights.sum(axis=-1, keepdims=True))


def expected(name: str, weighting: str, x: Array) -> Array:
    """What a case computes, written out for one graph after the other."""
    products = []
    for nodes in x:
        unit = nodes / np.linalg.norm(nodes, axis=1, keepdims=True)
        cosine = unit @ unit.T
        if name == "transformer_conv":
            weights = softmax(nodes @ nodes.T / math.sqrt(nodes.shape[1]))
        else:
            weights = {
                "none": cosine,
                "relu": np.maximum(cosine, 0.0),
                "shift": (1 + cosine) / 2,
                "softmax": softmax(cosine),
            }[weighting]
        products.append(weights @ nodes + (nodes if name == "dense_graph_conv" else 0.0))
    return np.stack(products)


def test_all_cases_compute_what_is_compared(scripts: dict[str, ModuleType]) -> None:
    x = torch.randn(3, 7, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    seen = set()
    for setting, names in scripts["adjacency"].grid(("quick", "small")):
        for name in names:
            if name == "floor" or (name, setting.weighting) in seen:
                continue
            seen.add((name, setting.weighting))
            chosen = setting._replace(nodes=7, batch=3, channels=5)
            propagate = scripts["adjacency_cases"].propagation(name, chosen, CPU)
            found = propagate(x).reshape(x.shape)
            wanted = torch.from_numpy(expected(name, setting.weighting, x.numpy()))
            torch.testing.assert_close(found, wanted, msg=f"{name}, {setting.weighting}")
    assert len(seen) == 9 + 4 + 5 + 8 - 1


@pytest.mark.parametrize("name", ["graph_conv", "dense_torch", "lowrank", "blocked", "auto"])
def test_gradient_is_that_of_the_product(cases: ModuleType, name: str) -> None:
    setting = cases.Setting(6, 2, 4, "none", True)
    run = cases.make_case(name, setting, CPU, seed=3).build()
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(2, 6, 4, generator=generator).double().requires_grad_()
    gradient = torch.randn(2, 6, 4, generator=generator).double()
    unit = x / x.norm(dim=-1, keepdim=True)
    wanted = torch.autograd.grad(((unit @ unit.mT @ x) * gradient).sum(), x)[0]
    torch.testing.assert_close(run().double(), wanted, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(run().double(), wanted, rtol=1e-4, atol=1e-5)  # and once more


def test_floor_has_the_operations_of_the_cheaper_products(cases: ModuleType) -> None:
    for setting, operations in (
        (cases.Setting(80, 32, 512, "none", False), 2 * 2 * 32 * 80**2 * 512),
        (cases.Setting(80, 32, 512, "none", True), 6 * 2 * 32 * 80**2 * 512),
        (cases.Setting(8192, 1, 64, "none", False), 2 * 2 * 8192 * 64**2),
        (cases.Setting(8192, 1, 64, "relu", True), 6 * 2 * 8192**2 * 64),
        (cases.Setting(65536, 1, 64, "softmax", False), 2 * 2 * 65536**2 * 64),
    ):
        case = cases.make_case("floor", setting, CPU, seed=0)
        run = case.build()
        size = run.args[0].size(0)
        assert run.func is torch.mm and run.args[0].shape == run.args[1].shape == (size, size)
        assert 2 * size**3 * case.scale == pytest.approx(operations, rel=0.02)
        assert size <= 3072


@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("name", ["graph_conv", "edge", "dense_torch", "dense"])
def test_memory_is_foretold(
    scripts: dict[str, ModuleType], cases: ModuleType, name: str, backward: bool
) -> None:
    nodes = 320 if name in cases.EDGE_WISE else 1500
    setting = cases.Setting(nodes, 2, 64, "none", backward)
    case = cases.make_case(name, setting, CPU, seed=0)
    run = case.build()
    run()
    peak = scripts["memory"].peak_memory(run, CPU)
    if peak is None:
        pytest.skip("this system does not tell the peak")
    assert 0.25 * case.memory < peak.above < 1.2 * case.memory


def test_grid_has_the_sizes_of_the_contract(scripts: dict[str, ModuleType]) -> None:
    adjacency = scripts["adjacency"]
    settings = [setting for setting, _ in adjacency.grid(("small", "large", "huge", "linear"))]
    assert len(settings) == len(set(settings))
    assert {80, 512, 2048, 8192, 65536, 1_000_000} <= {setting.nodes for setting in settings}
    for nodes in (80, 512, 2048, 8192, 65536):
        assert {s.channels for s in settings if s.nodes == nodes} == {64, 512}
        assert {s.backward for s in settings if s.nodes == nodes} == {False, True}
    gpu = dict(adjacency.grid(("gpu",)))
    sizes = {(s.nodes, s.batch, s.channels, s.dtype) for s in gpu}
    assert sizes == {(n, b, 128, t) for n in (8192, 16384) for b in (1, 8) for t in TYPES}
    for names in (names for _, names in adjacency.grid(("small", "gpu"))):
        assert len(names) == len(set(names)) and names[0] == "floor"


def result(setting: Any, case: str, seconds: float, memory: int = 10**9) -> dict[str, Any]:
    return {
        "case": case,
        "setting": setting._asdict(),
        "status": "measured",
        "reason": None,
        "seconds": {"median": seconds, "iqr": 0.0, "blocks": 5, "runs": 5},
        "memory": {"above": memory, "total": 2 * memory},
        "figures": {},
    }


def test_checks_by_hand(scripts: dict[str, ModuleType], cases: ModuleType) -> None:
    def checks(*results: dict[str, Any], device: str = "cpu") -> dict[str, tuple[float, bool]]:
        found = scripts["adjacency"].checks_of(results, device)
        return {row["name"].partition(",")[0]: (row["value"], row["holds"]) for row in found}

    small = cases.Setting(80, 32, 512, "none", False)
    times = {"graph_conv": 3.2, "dense_torch": 0.1, "dense": 0.2, "auto": 0.2, "floor": 0.1}
    assert checks(*(result(small, case, time) for case, time in times.items())) == {
        "graph_conv / auto": (16.0, True),
        "auto / dense_torch": (2.0, False),
        "auto / best back end": (1.0, True),
    }
    huge = cases.Setting(65536, 1, 64, "relu", True)
    assert checks(result(huge, "blocked", 9.0, 10**9 + 1), result(huge, "floor", 6.0)) == {
        "blocked / floor": (1.5, True),
        "peak GB of blocked": (pytest.approx(2.0), False),
    }
    lines = [
        result(cases.Setting(nodes, 1, 64, "none", True), "lowrank", 1e-6 * nodes, nodes * 1000)
        for nodes in (10_000, 100_000, 1_000_000)
    ]
    assert checks(*lines) == {
        "slope of the time of lowrank": (pytest.approx(1.0), True),
        "peak GB of lowrank": (2.0, True),
    }
    blocked = [
        result(cases.Setting(nodes, 1, 64, "relu", True), "blocked", 1.0, nodes**2)
        for nodes in (2048, 8192, 65536)
    ]
    assert checks(*blocked)["slope of the memory of blocked"] == (pytest.approx(2.0), False)
    kernel = cases.Setting(8192, 8, 128, "softmax", True, "bfloat16")
    times = {"blocked": 1.0, "floor": 0.6, "dense_torch": 3.0, "dense_compiled": 0.9}
    assert checks(*(result(kernel, c, t) for c, t in times.items()), device="cuda") == {
        "floor / blocked": (0.6, True),
        "dense_torch / blocked": (3.0, True),
        "dense_compiled / blocked": (0.9, False),
    }


def test_auto_is_held_against_the_best_over_the_grid(
    scripts: dict[str, ModuleType], cases: ModuleType
) -> None:
    rows = []
    for nodes, auto in ((512, 1.1), (2048, 2.6), (8192, 3.0)):
        setting = cases.Setting(nodes, 4, 64, "relu", False)
        rows += [result(setting, "dense", 4.0), result(setting, "blocked", nodes / 1024)]
        rows += [result(setting, "auto", auto)]
    [check] = scripts["adjacency"].checks_of(rows, "cpu")
    # 1.1 / 0.5, 2.6 / 2 and 3 / 4: the best back end is blocked, blocked and dense.
    assert check["value"] == pytest.approx(2.2) and not check["holds"]
    assert "N=512" in check["name"]


def test_lines_of_the_plot_are_of_one_graph(
    scripts: dict[str, ModuleType], cases: ModuleType
) -> None:
    rows = [
        result(cases.Setting(80, 32, 64, "none", False), "dense", 0.64),
        result(cases.Setting(512, 1, 64, "none", False), "dense", 0.5),
        result(cases.Setting(512, 1, 64, "none", False), "blocked", 0.25, 0),
        {**result(cases.Setting(512, 1, 64, "none", False), "edge", 1.0), "memory": None},
    ]
    lines = scripts["plot"].lines
    assert lines(rows, "seconds", "median", 1e3) == {
        "dense": {80: pytest.approx(20.0), 512: 500.0},
        "blocked": {512: 250.0},
        "edge": {512: 1000.0},
    }
    assert lines(rows, "memory", "above", 1e-6) == {"dense": {80: 31.25, 512: 1000.0}}


@pytest.mark.slow
def test_quick_run(
    scripts: dict[str, ModuleType],
    call: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    out = tmp_path / "results" / "quick.json"
    assert call("adjacency", "--quick", "--threads", 1, "--out", out) == 0
    printed = capsys.readouterr().out
    document = scripts["record"].read_results(out)
    assert document["environment"]["threads"] == 1
    planned = [
        (setting._asdict(), name)
        for setting, names in scripts["adjacency"].grid(("quick",))
        for name in names
    ]
    assert [(row["setting"], row["case"]) for row in document["results"]] == planned
    assert {row["status"] for row in document["results"]} == {"measured"}
    assert all(name in printed for _, name in planned)
    figures = sorted(out.parent.glob("*.png"))
    assert [figure.name for figure in figures] == [
        "quick_d8_forward.png",
        "quick_d8_forward_backward.png",
    ]
    before = [figure.read_bytes() for figure in figures]
    for figure in figures:
        figure.unlink()
    assert call("adjacency", "--plot", out) == 0
    assert [figure.read_bytes() for figure in figures] == before


@pytest.mark.slow
def test_cases_beyond_the_limit_are_in_the_file(call: Callable[..., int], tmp_path: Path) -> None:
    out = tmp_path / "quick.json"
    assert call("adjacency", "--quick", "--memory", 1e-5, "--out", out) == 0
    rows = json.loads(out.read_text(encoding="utf-8"))["results"]
    skipped = {(row["case"], row["status"]) for row in rows if row["setting"]["nodes"] == 12}
    assert ("graph_conv", "skipped") in skipped and ("floor", "measured") in skipped
    assert all("limit" in row["reason"] for row in rows if row["status"] == "skipped")
