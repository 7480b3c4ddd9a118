"""Several optimisers on disjoint parameters, each with its own losses, from one forward pass."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, get_args

import torch
from lightning_fabric import Fabric
from torch import Tensor

from gnnreloc.errors import InputError
from gnnreloc.training.losses import LossName

Kind = Literal["adam", "adamw"]
Schedule = Literal["constant", "one_cycle"]

WARM_UP = 0.2


@dataclass
class OptimizerOptions:
    """One optimiser.

    Args:
        parameters: the parameter groups that it steps, or ``all``
            (see :meth:`gnnreloc.models.GraphRelocalizer.parameter_groups`).
        losses: the losses that it minimises, with their weights.
        kind: ``adam`` (weight decay as an L2 term, as in the paper) or ``adamw`` (decoupled).
        lr: learning rate; the highest one of a one-cycle schedule.
        weight_decay: weight decay.
        schedule: ``constant`` or ``one_cycle`` (up in the first fifth, then down to 0).
        clip: largest norm of the gradient; none if null.

    Raises:
        InputError: if a loss, the kind or the schedule is unknown, a number is negative or not
            finite, ``clip`` is 0, or no loss is named.
    """

    parameters: list[str] = field(default_factory=lambda: ["all"])
    losses: dict[LossName, float] = field(
        default_factory=lambda: {"ranking": 1.0, "regression": 1.0}
    )
    kind: Kind = "adamw"
    lr: float = 2e-3
    weight_decay: float = 1e-2
    schedule: Schedule = "one_cycle"
    clip: float | None = 5.0

    def __post_init__(self) -> None:
        wanted = [(name, LossName) for name in self.losses]
        for value, kinds in [*wanted, (self.kind, Kind), (self.schedule, Schedule)]:
            if value not in get_args(kinds):
                raise InputError(f"optimizer: {value!r} is none of {', '.join(get_args(kinds))}")
        numbers = {"lr": self.lr, "weight_decay": self.weight_decay}
        numbers |= {f"weight of {name!r}": weight for name, weight in self.losses.items()}
        for name, number in numbers.items():
            if not 0.0 <= number < math.inf:
                raise InputError(f"optimizer: {name} must be a number from 0, got {number}")
        if self.clip is not None and not self.clip > 0.0:
            raise InputError(f"optimizer: clip must be above 0, got {self.clip}")
        if not self.losses:
            raise InputError("optimizer: no loss is named")


class RoutedOptimizers:
    """Steps several optimisers on disjoint parameters; each sees the gradients of its losses alone.

    All gradients are taken before any step: a step changes parameters in place, and the backward
    passes that follow it would fail. With several processes the gradients are averaged over them.

    Args:
        groups: parameters by group name.
        options: one entry an optimiser.
        steps: total number of steps, for the schedules.
        fabric: averages gradients over processes.

    Raises:
        InputError: if a group is unknown, or in two optimisers, or in none.
    """

    def __init__(
        self,
        groups: Mapping[str, Sequence[torch.nn.Parameter]],
        options: Sequence[OptimizerOptions],
        steps: int,
        fabric: Fabric,
    ) -> None:
        self.fabric = fabric
        self.options: list[OptimizerOptions] = []
        self.optimizers: list[torch.optim.Optimizer] = []
        self.schedulers: list[torch.optim.lr_scheduler.LRScheduler] = []
        left = set(groups)
        for number, option in enumerate(options):
            names = list(groups) if option.parameters == ["all"] else option.parameters
            for name in names:
                if name not in groups:
                    raise InputError(f"optimizer {number}: unknown parameter group {name!r}")
                if name not in left:
                    raise InputError(f"optimizer {number}: {name!r} has an optimizer already")
                left.remove(name)
            parameters = [parameter for name in names for parameter in groups[name]]
            if not parameters:
                continue
            kind = torch.optim.Adam if option.kind == "adam" else torch.optim.AdamW
            optimizer = kind(parameters, lr=option.lr, weight_decay=option.weight_decay, fused=True)
            shape = _one_cycle if option.schedule == "one_cycle" else _constant
            scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, partial(shape, steps))
            self.options.append(option)
            self.optimizers.append(optimizer)
            self.schedulers.append(scheduler)
        left = {name for name in left if groups[name]}
        if left:
            raise InputError(f"no optimizer steps the parameters of {', '.join(sorted(left))}")

    @property
    def loss_names(self) -> list[LossName]:
        """The losses that some optimiser minimises."""
        return sorted({name for option in self.options for name in option.losses})

    def step(self, losses: Mapping[LossName, Tensor]) -> dict[LossName, float]:
        """Take every optimiser's gradients, then step them all.

        Returns:
            The losses, averaged over processes.

        Raises:
            FloatingPointError: if a loss or a gradient is NaN or infinite; nothing is stepped, in
                no process.
        """
        told = {name: self._average(loss.detach().clone()).item() for name, loss in losses.items()}
        for name, loss in told.items():
            if not math.isfinite(loss):
                raise FloatingPointError(f"the {name} loss is {loss}")
        taken = [
            self._gradients(optimizer, option, losses)
            for optimizer, option in zip(self.optimizers, self.options, strict=True)
        ]
        for optimizer, option, gradients in zip(self.optimizers, self.options, taken, strict=True):
            parameters = optimizer.param_groups[0]["params"]
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter.grad = gradient
            largest = math.inf if option.clip is None else option.clip
            norm = torch.nn.utils.clip_grad_norm_(parameters, largest)
            if not bool(norm.isfinite()):
                names = " + ".join(option.losses)
                raise FloatingPointError(f"the norm of the gradient of {names} is {norm.item()}")
        for optimizer, scheduler in zip(self.optimizers, self.schedulers, strict=True):
            optimizer.step()
            scheduler.step()
            optimizer.zero_grad(set_to_none=True)
        return told

    def _gradients(
        self,
        optimizer: torch.optim.Optimizer,
        option: OptimizerOptions,
        losses: Mapping[LossName, Tensor],
    ) -> list[Tensor]:
        parameters = optimizer.param_groups[0]["params"]
        total = sum((weight * losses[name] for name, weight in option.losses.items()), 0.0)
        if not isinstance(total, Tensor) or not total.requires_grad:
            return [self._average(torch.zeros_like(parameter)) for parameter in parameters]
        taken = torch.autograd.grad(
            total, parameters, retain_graph=True, allow_unused=True, materialize_grads=True
        )
        # Autograd may give views of one tensor; averaging and clipping write in place. Fused steps
        # and averages read memory as it lies: each gradient is laid out like its parameter.
        return [
            self._average(torch.empty_like(parameter).copy_(gradient))
            for parameter, gradient in zip(parameters, taken, strict=True)
        ]

    def _average(self, values: Tensor) -> Tensor:
        """The mean over processes, which may be written into ``values``."""
        if self.fabric.world_size == 1:
            return values
        return torch.as_tensor(self.fabric.all_reduce(values, reduce_op="mean"))

    def learning_rates(self) -> list[float]:
        """The current learning rate of each optimiser."""
        return [float(optimizer.param_groups[0]["lr"]) for optimizer in self.optimizers]

    def state_dict(self) -> dict[str, Any]:
        """The state of all optimisers and schedules."""
        return {
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "schedulers": [scheduler.state_dict() for scheduler in self.schedulers],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved state."""
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        for scheduler, saved in zip(self.schedulers, state["schedulers"], strict=True):
            scheduler.load_state_dict(saved)


def _constant(steps: int, step: int) -> float:
    return 1.0


def _one_cycle(steps: int, step: int) -> float:
    """Factor of the learning rate: from 1/25 up to 1 in the first fifth, then down to 0."""
    done = step / steps
    if done < WARM_UP:
        return 0.04 + 0.96 * done / WARM_UP
    return 0.5 + 0.5 * math.cos(math.pi * min(1.0, (done - WARM_UP) / (1.0 - WARM_UP)))
