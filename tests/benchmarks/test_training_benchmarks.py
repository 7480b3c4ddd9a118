"""The training step against its matrix work, and the loader against training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

CPU = torch.device("cpu")


@pytest.fixture
def work(scripts: dict[str, ModuleType]) -> ModuleType:
    return scripts["matrix_work"]


def tensors(call: Any) -> list[Any]:
    """The shapes among the arguments of a call."""
    return [item for item in call.arguments if hasattr(item, "requires_grad")]


def test_only_products_and_recurrent_layers_are_written_down(work: ModuleType) -> None:
    linear = torch.nn.Linear(5, 3)
    lstm = torch.nn.LSTM(3, 4, batch_first=True)
    x = torch.randn(2, 6, 5)
    with work.MatrixWork() as seen:
        hidden = torch.relu(linear(x)) + 1
        out, _ = lstm(hidden)
        product = out.detach().contiguous() @ torch.ones(2, 6, 4).transpose(1, 2)
        torch.softmax(product, dim=-1).sum()
        out.sum().backward()
    names = [call.function.__name__ for call in seen.calls]
    sizes = [[shape.size for shape in tensors(call)] for call in seen.calls]
    assert list(zip(names, sizes, strict=True)) == [
        ("addmm.default", [(3,), (12, 5), (5, 3)]),
        ("lstm", [(2, 6, 3)]),
        ("bmm.default", [(2, 6, 4), (2, 4, 6)]),
        ("mm.default", [(3, 12), (12, 5)]),  # the gradient of the weight; x has none
    ]
    grads = [[shape.requires_grad for shape in tensors(call)] for call in seen.calls]
    # The LSTM alone is to be followed by its backward pass.
    assert grads == [[False, False, False], [True], [False, False], [False, False]]
    assert tensors(seen.calls[2])[1].stride == (24, 1, 4)  # the transpose is no copy


def test_bare_work_makes_the_same_calls(work: ModuleType) -> None:
    lstm = torch.nn.LSTM(3, 4, bidirectional=True, batch_first=True)
    x = torch.randn(2, 6, 3, requires_grad=True)
    fixed = torch.randn(2, 6, 6, requires_grad=True)
    with work.MatrixWork() as seen:
        out, _ = lstm(x)
        product = torch.bmm(fixed, out.contiguous())
        torch.addmm(torch.ones(8), product.detach().flatten(0, 1), torch.ones(8, 8))
        product.sum().backward()
    run = work.bare_work(seen.calls, CPU)
    with work.MatrixWork() as again:
        run()
    assert len(again.calls) == len(seen.calls) == 5  # lstm, bmm, addmm, and two of the gradient
    for call, other in zip(seen.calls, again.calls, strict=True):
        assert other.function is call.function
        assert [shape.size for shape in tensors(other)] == [shape.size for shape in tensors(call)]
        flags = [[shape.requires_grad for shape in tensors(c)] for c in (call, other)]
        assert flags[0] == flags[1]


@pytest.mark.parametrize(("needs", "products"), [((True, True), 3), ((False, True), 2)])
def test_bare_work_takes_the_gradients_of_the_step(
    work: ModuleType, needs: tuple[bool, bool], products: int
) -> None:
    left = torch.randn(4, 7, 5, requires_grad=needs[0])
    right = torch.randn(4, 5, 6, requires_grad=needs[1])
    with work.MatrixWork() as seen:
        torch.bmm(left, right).sum().backward()
    run = work.bare_work(seen.calls, CPU)
    with FlopCounterMode(display=False) as counter:
        run()
    assert counter.get_total_flops() == products * 2 * 4 * 7 * 5 * 6


def test_products_written_by_hand_are_seen(work: ModuleType) -> None:
    x, weight = torch.randn(6, 3, requires_grad=True), torch.randn(4, 3, requires_grad=True)

    class Linear(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
            ctx.save_for_backward(x, weight)
            return torch.mm(x, weight.t(), out=x.new_empty(6, 4))

        @staticmethod
        def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            x, weight = ctx.saved_tensors
            return gradients[0] @ weight, torch.zeros(4, 3).addmm_(gradients[0].t(), x)

    with work.MatrixWork() as seen:
        Linear.apply(x, weight).sum().backward()
    names = [call.function.__name__ for call in seen.calls]
    assert names == ["mm.out", "mm.default", "addmm_.default"]
    with FlopCounterMode(display=False) as counter:
        work.bare_work(seen.calls, CPU)()
    assert counter.get_total_flops() >= 2 * 2 * 6 * 3 * 4  # the counter does not know all of them


def test_products_of_the_model_by_hand(scripts: dict[str, ModuleType]) -> None:
    step = scripts["training_step"]
    corpus, options = step.quick_options()
    counts, batched = {}, {}
    for name in step.MODELS:
        built = step.TrainingStep(name, corpus, device=CPU, seed=0, options=options)
        calls = built.calls(next(iter(built.loader(0))))
        names = [call.function.__name__ for call in calls]
        assert names.count("lstm") == 1  # queries and proposals together
        batched[name] = names.count("bmm.default")
        counts[name] = len(names) - batched[name] - 1
    # Each product of two learned things has three calls: itself and two gradients. Layers: two of
    # each comparison, two of both heads (three calls each), and the projection, whose input has no
    # gradient (two). The learned graph has phi of both clips besides, and compares each of them on
    # its own; three graphs have three comparisons.
    # To read edges takes phi of both clips, three convolutions of two calls each, and a layer.
    heads, projection, reading = 4 * 3, 2, 2 * 3 + 3 * 2 + 3
    assert counts == {
        "dynamic": projection + heads + 2 * 3 + 2 * 2 * 3 + reading,
        "khop_n1_k1": projection + heads + 2 * 3,
        "khop_n1_k123": projection + heads + 3 * 2 * 3,
        "complete": projection + heads + 2 * 3,
    }
    # The graph in both directions, the pooling of both clips (fixed weights: two calls), P P^T, and
    # the cosines that are read, those of the raw features without a gradient.
    assert batched["dynamic"] == 2 * 3 + 2 * 2 + 3 + 3 + 1


def test_training_steps_change_the_weights(scripts: dict[str, ModuleType]) -> None:
    module = scripts["training_step"]
    corpus, options = module.quick_options()
    step = module.TrainingStep("dynamic", corpus, device=CPU, seed=0, options=options)
    batches = list(step.loader(0))
    assert len(batches) == 2
    before = [parameter.detach().clone() for parameter in step.model.parameters()]
    step.train(batches)
    changed = [
        not torch.equal(parameter, old)
        for parameter, old in zip(step.model.parameters(), before, strict=True)
    ]
    assert all(changed)


def result(case: str, seconds: float, pairs: int, model: str = "dynamic") -> dict[str, Any]:
    return {
        "case": case,
        "setting": {"model": model, "backend": "dense"},
        "seconds": {"median": seconds, "iqr": 0.0},
        "figures": {"pairs": pairs, "steps": 2},
    }


def test_ratios_by_hand(scripts: dict[str, ModuleType]) -> None:
    # By pair: 2 ms bare, 2.5 ms and 3 ms with loading; another model changes nothing.
    rows = [result("bare", 0.2, 100), result("workers_0", 0.36, 120), result("workers_2", 0.3, 120)]
    others = [result("bare", 1.0, 100, "complete"), result("workers_0", 9.0, 100, "complete")]
    [check] = scripts["training_step"].checks_of([*rows, *others])
    assert check["value"] == pytest.approx(1.25) and check["holds"]
    assert scripts["training_step"].checks_of(others) == []
    rows = [
        result("training", 0.4, 100),
        result("workers_0", 0.2, 100),
        result("workers_1", 0.1, 100),
    ]
    [check] = scripts["loader"].checks_of(rows)
    assert check["value"] == pytest.approx(4.0) and check["holds"]
    assert "workers_1" in check["name"]


@pytest.mark.slow
def test_quick_runs(
    scripts: dict[str, ModuleType],
    call: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    for script, cases in (
        ("training_step", ["bare", "workers_0", "workers_1"] * 4),
        ("loader", ["training", "workers_0", "workers_1", "workers_2"]),
    ):
        out = tmp_path / f"{script}.json"
        assert call(script, "--quick", "--out", out) == 0
        document = scripts["record"].read_results(out)
        assert document["benchmark"] == script
        assert [row["case"] for row in document["results"]] == cases
        assert {row["status"] for row in document["results"]} == {"measured"}
        [check] = document["checks"]
        assert f"{check['name']}: {check['value']:.3f}" in capsys.readouterr().out
