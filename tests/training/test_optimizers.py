"""Gradient routing, schedules, and what is refused."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from lightning_fabric import Fabric
from torch import Tensor
from torch_geometric.loader import DataLoader

from gnnreloc.data import Corpus
from gnnreloc.data.training_set import TrainingSet
from gnnreloc.errors import InputError
from gnnreloc.models import GraphRelocalizer
from gnnreloc.training import OptimizerOptions, RoutedOptimizers, compute_losses
from gnnreloc.training.losses import LossName

PAPER = yaml.safe_load(
    (Path(__file__).parents[2] / "experiments/recipes/paper.yaml").read_text(encoding="utf-8")
)
#: Group of parameters, loss, learning rate and weight decay of the paper's three optimisers.
PUBLISHED: list[tuple[str, LossName, float, float]] = [
    ("adjacency", "sparsity", 1e-2, 0.0),
    ("rest", "triplet", 1e-4, 1e-2),
    ("regression", "regression", 1e-1, 0.0),
]


def fabric() -> Fabric:
    return Fabric(accelerator="cpu", devices=1)


def one_weight(
    value: float = 1.0, steps: int = 10, **options: Any
) -> tuple[torch.nn.Parameter, RoutedOptimizers]:
    """An optimiser of a single number w; the loss "ranking" drives it."""
    weight = torch.nn.Parameter(torch.tensor(value))
    option = OptimizerOptions(**{"losses": {"ranking": 1.0}} | options)
    return weight, RoutedOptimizers({"all of it": [weight]}, [option], steps, fabric())


def paper_model() -> GraphRelocalizer:
    torch.manual_seed(0)
    small = {"hidden_channels": 8, "timesteps": 6, "encoder": PAPER["encoder"]}
    return GraphRelocalizer(48, **PAPER["model"] | small).train()


def paper_batches(corpus: Corpus, model: GraphRelocalizer) -> list[Any]:
    data = TrainingSet(corpus, sampling="triplets", samples=24, timesteps=model.timesteps)
    return list(DataLoader(data, batch_size=8))


def losses_of(model: GraphRelocalizer, batch: Any) -> dict[LossName, Tensor]:
    names: list[LossName] = ["triplet", "sparsity", "regression"]
    training = PAPER["training"]
    return compute_losses(
        names, model(batch), batch, margin=training["margin"], beta=training["beta"]
    )


def test_the_papers_routing(tiny_corpus: Corpus) -> None:
    """Each group moves as if its loss and its optimiser were alone in the world."""
    model = paper_model()
    options = [OptimizerOptions(**option) for option in PAPER["training"]["optimizers"]]
    optimizers = RoutedOptimizers(model.parameter_groups(), options, 100, fabric())
    assert optimizers.loss_names == ["regression", "sparsity", "triplet"]
    alone: dict[str, Any] = {}
    for group, _, lr, weight_decay in PUBLISHED:
        single = copy.deepcopy(model)
        parameters = single.parameter_groups()[group]
        adam = torch.optim.Adam(parameters, lr, betas=(0.9, 0.999), weight_decay=weight_decay)
        alone[group] = single, adam
    for batch in paper_batches(tiny_corpus, model):
        before = copy.deepcopy(model.state_dict())
        optimizers.step(losses_of(model, batch))
        for group, loss, _, _ in PUBLISHED:
            single, adam = alone[group]
            single.load_state_dict(before)
            adam.zero_grad()
            losses_of(single, batch)[loss].backward()
            adam.step()
            stepped = zip(
                single.parameter_groups()[group], model.parameter_groups()[group], strict=True
            )
            for expected, parameter in stepped:
                assert torch.allclose(expected, parameter, atol=1e-7, rtol=1e-6), group
        assert any(
            not torch.equal(before[name], value) for name, value in model.state_dict().items()
        )


@pytest.mark.parametrize("loss", ["triplet", "sparsity", "regression"])
def test_a_loss_reaches_its_own_group_alone(tiny_corpus: Corpus, loss: LossName) -> None:
    options = [OptimizerOptions(**option) for option in PAPER["training"]["optimizers"]]
    for option in options:
        option.weight_decay = 0.0
    stepped: list[dict[str, list[Tensor]]] = []
    for factor in (1.0, -1.0):
        model = paper_model()
        optimizers = RoutedOptimizers(model.parameter_groups(), options, 100, fabric())
        losses = losses_of(model, paper_batches(tiny_corpus, model)[0])
        losses[loss] = factor * losses[loss]
        optimizers.step(losses)
        stepped.append(copy.deepcopy(model.parameter_groups()))
    for group, own, _, _ in PUBLISHED:
        same = all(map(torch.equal, stepped[0][group], stepped[1][group]))
        assert same == (own != loss), group


def test_losses_are_weighted() -> None:
    weight, optimizers = one_weight(
        losses={"ranking": 2.0, "sparsity": 0.5}, clip=None, kind="adam", weight_decay=0.0
    )
    gradients: list[Tensor | None] = []
    optimizers.optimizers[0].register_step_pre_hook(lambda *_: gradients.append(weight.grad))
    optimizers.step({"ranking": 3.0 * weight, "sparsity": weight**2})
    assert gradients == [torch.tensor(2.0 * 3.0 + 0.5 * 2.0)]
    assert weight.grad is None


@pytest.mark.parametrize(("clip", "expected"), [(None, 30.0), (50.0, 30.0), (1.5, 1.5)])
def test_clipping(clip: float | None, expected: float) -> None:
    weight, optimizers = one_weight(clip=clip)
    gradients: list[Tensor] = []
    optimizers.optimizers[0].register_step_pre_hook(lambda *_: gradients.append(weight.grad))
    optimizers.step({"ranking": 30.0 * weight})
    assert gradients[0].item() == pytest.approx(expected)


@pytest.mark.parametrize(
    ("kind", "published", "decayed"),
    [("adam", torch.optim.Adam, False), ("adamw", torch.optim.AdamW, True)],
)
def test_kinds(kind: str, published: Any, decayed: bool) -> None:
    options = {"kind": kind, "schedule": "constant", "lr": 0.1, "weight_decay": 0.5}
    weight, optimizers = one_weight(value=2.0, **options)
    expected = torch.nn.Parameter(torch.tensor(2.0))
    reference = published([expected], lr=0.1, weight_decay=0.5)
    # The loss pulls up, an L2 term of 0.5 * 2 would turn the sign: only then w goes down by lr.
    optimizers.step({"ranking": -0.5 * weight})
    (-0.5 * expected).backward()
    reference.step()
    assert weight.item() == pytest.approx(expected.item())
    assert weight.item() == pytest.approx(2.0 - 2.0 * 0.1 * 0.5 + 0.1 if decayed else 1.9)


def rates(schedule: str, steps: int) -> list[float]:
    weight, optimizers = one_weight(steps=steps, lr=0.5, schedule=schedule)
    found = optimizers.learning_rates()
    for _ in range(steps):
        optimizers.step({"ranking": weight * 1.0})
        found += optimizers.learning_rates()
    return found


def test_gradients_that_lie_otherwise_in_memory() -> None:
    """A convolution over channels that lie innermost gives a gradient that does so, too."""
    weight = torch.nn.Parameter(torch.zeros(2, 3, 2, 2))
    factor = torch.randn(2, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    option = OptimizerOptions(losses={"ranking": 1.0}, weight_decay=0.0, clip=None)
    optimizers = RoutedOptimizers({"all of it": [weight]}, [option], 10, fabric())
    inner = weight.contiguous(memory_format=torch.channels_last)
    loss = (inner * factor.contiguous(memory_format=torch.channels_last)).sum()
    (gradient,) = torch.autograd.grad(loss, [weight], retain_graph=True)
    assert gradient.stride() != weight.stride()
    optimizers.step({"ranking": loss})
    assert torch.equal(weight.sign(), -factor.sign())


def test_constant_schedule() -> None:
    assert rates("constant", 5) == [0.5] * 6


def test_one_cycle_schedule() -> None:
    found = rates("one_cycle", 10)
    # A fifth of the steps up from 1/25, the rest down along a half cosine.
    assert found[:3] == pytest.approx([0.5 * 0.04, 0.5 * 0.52, 0.5])
    assert found[6] == pytest.approx(0.25)
    assert found[4] == pytest.approx(0.5 * (0.5 + math.sqrt(0.125)))
    assert found[10] == pytest.approx(0.0, abs=1e-12)
    assert found[2:] == sorted(found[2:], reverse=True)
    assert all(rate >= 0 for steps in (1, 2, 3) for rate in rates("one_cycle", steps))


@pytest.mark.parametrize("clip", [None, 1.0])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_bad_loss_steps_nothing(clip: float | None, value: float) -> None:
    weight, optimizers = one_weight(clip=clip)
    with pytest.raises(FloatingPointError, match=f"the ranking loss is {value}"):
        optimizers.step({"ranking": weight * value})
    assert weight.item() == 1.0 and optimizers.learning_rates()[0] < 1e-3


@pytest.mark.parametrize("clip", [None, 1.0])
def test_a_bad_gradient_steps_nothing(clip: float | None) -> None:
    good, bad = torch.nn.Parameter(torch.ones(2)), torch.nn.Parameter(torch.zeros(2))
    options = [
        OptimizerOptions(parameters=["good"], losses={"triplet": 1.0}, clip=clip),
        OptimizerOptions(parameters=["bad"], losses={"ranking": 1.0}, clip=clip),
    ]
    optimizers = RoutedOptimizers({"good": [good], "bad": [bad]}, options, 10, fabric())
    # The root of 0 is 0, its slope is infinite.
    losses: dict[LossName, Tensor] = {"triplet": good.sum(), "ranking": bad.sqrt().sum()}
    with pytest.raises(FloatingPointError, match="gradient of ranking is inf"):
        optimizers.step(losses)
    assert good.tolist() == [1.0, 1.0] and bad.tolist() == [0.0, 0.0]
    assert not optimizers.optimizers[0].state


def test_going_on_from_a_saved_state() -> None:
    weight, optimizers = one_weight(steps=6)
    for _ in range(3):
        optimizers.step({"ranking": weight**2})
    other, resumed = one_weight(value=weight.item(), steps=6)
    resumed.load_state_dict(copy.deepcopy(optimizers.state_dict()))
    for _ in range(3):
        assert resumed.learning_rates() == optimizers.learning_rates()
        optimizers.step({"ranking": weight**2})
        resumed.step({"ranking": other**2})
        assert other.item() == weight.item()


def test_groups_of_the_options() -> None:
    model = GraphRelocalizer(4, graph="identity", hidden_channels=8, timesteps=3)
    everything = RoutedOptimizers(model.parameter_groups(), [OptimizerOptions()], 5, fabric())
    stepped = everything.optimizers[0].param_groups[0]["params"]
    assert {id(p) for p in stepped} == {id(p) for p in model.parameters()}
    # The group "adjacency" is empty here: an optimiser for it is left out, and needs not be given.
    paper = [OptimizerOptions(**option) for option in PAPER["training"]["optimizers"]]
    routed = RoutedOptimizers(model.parameter_groups(), paper, 5, fabric())
    assert routed.loss_names == ["regression", "triplet"]
    without = [option for option in paper if option.parameters != ["adjacency"]]
    assert len(RoutedOptimizers(model.parameter_groups(), without, 5, fabric()).optimizers) == 2


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([["rest"], ["heads"]], "optimizer 1: unknown parameter group 'heads'"),
        ([["rest", "phi"], ["phi"]], "optimizer 1: 'phi' has an optimizer already"),
        ([["phi", "phi"], ["rest"]], "optimizer 0: 'phi' has an optimizer already"),
        ([["all"], ["rest"]], "optimizer 1: 'rest' has an optimizer already"),
        ([["rest"]], "no optimizer steps the parameters of phi"),
        ([], "no optimizer steps the parameters of phi, rest"),
    ],
)
def test_every_group_has_one_optimizer(given: list[list[str]], message: str) -> None:
    groups = {name: [torch.nn.Parameter(torch.zeros(2))] for name in ("rest", "phi")}
    options = [OptimizerOptions(parameters=names) for names in given]
    with pytest.raises(InputError, match=message):
        RoutedOptimizers(groups, options, 5, fabric())


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"kind": "sgd"}, "'sgd' is none of adam, adamw"),
        ({"schedule": "step"}, "'step' is none of constant, one_cycle"),
        ({"losses": {"contrastive": 1.0}}, "'contrastive' is none of ranking, triplet, "),
    ],
)
def test_unknown_options(option: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        OptimizerOptions(**option)


# A negative clip or weight would turn the gradient around and train away from the loss.
@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"lr": -1.0}, "lr must be a number from 0, got -1.0"),
        ({"weight_decay": math.inf}, "weight_decay must be a number from 0, got inf"),
        ({"losses": {"ranking": -1.0}}, "weight of 'ranking' must be a number from 0, got -1.0"),
        ({"losses": {"ranking": math.nan}}, "weight of 'ranking' .* got nan"),
        ({"clip": -1.0}, "clip must be above 0, got -1.0"),
        ({"clip": 0.0}, "clip must be above 0, got 0.0"),
        ({"clip": math.nan}, "clip must be above 0, got nan"),
    ],
)
def test_numbers_out_of_range(option: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        OptimizerOptions(**option)
