"""The matrix products and LSTMs of a computation, and the same work with nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

#: Matrix products and recurrent layers, as calls of PyTorch.
PRODUCTS = frozenset(
    {
        *(torch.mm, torch.bmm, torch.addmm, torch.baddbmm, torch.matmul, torch.einsum),
        *(torch.conv1d, torch.lstm, torch.nn.functional.linear),
        *(Tensor.mm, Tensor.bmm, Tensor.addmm, Tensor.baddbmm, Tensor.matmul),
        *(Tensor.__matmul__, Tensor.__rmatmul__),
    }
)


class Shape(NamedTuple):
    """What a tensor is, without its values."""

    size: tuple[int, ...]
    stride: tuple[int, ...]
    dtype: torch.dtype
    requires_grad: bool

    def random(self, device: torch.device) -> Tensor:
        """A tensor like it, laid out like it where no two places share memory."""
        x = torch.empty_strided(self.size, self.stride, dtype=self.dtype, device=device)
        spread = sum((n - 1) * step for n, step in zip(self.size, self.stride, strict=True))
        if spread + 1 != x.numel():
            x = torch.empty(self.size, dtype=self.dtype, device=device)
        return x.normal_().requires_grad_(self.requires_grad)


class Call(NamedTuple):
    """A call of PyTorch whose tensors are given by their shapes."""

    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    options: Mapping[str, Any]


class MatrixWork(TorchFunctionMode):
    """Writes down the matrix products and the LSTMs that run while it is active."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Call] = []

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Note the call, then do it."""
        options = dict(kwargs or {})
        if func in PRODUCTS:
            self.calls.append(Call(func, _map(args, _shape), _map(options, _shape)))
        return func(*args, **options)


def bare_work(calls: Sequence[Call], device: torch.device) -> Callable[[], None]:
    """The calls on random tensors, each followed by its backward pass."""
    steps = []
    for call in calls:
        make = partial(_random, device=device)
        arguments, options = _map(call.arguments, make), _map(call.options, make)
        leaves = [x for x in _tensors((arguments, options)) if x.requires_grad]
        with torch.no_grad():
            out = next(_tensors(call.function(*arguments, **options)))
        steps.append((call.function, arguments, options, leaves, torch.randn_like(out)))

    def run() -> None:
        for function, arguments, options, leaves, gradient in steps:
            out = next(_tensors(function(*arguments, **options)))
            if leaves:
                torch.autograd.grad(out, leaves, gradient)

    return run


def _map(value: Any, change: Callable[[Any], Any]) -> Any:
    """Change what is neither a list nor a tuple nor a dictionary, inside of these."""
    if isinstance(value, dict):
        return {name: _map(item, change) for name, item in value.items()}
    if isinstance(value, list | tuple) and not isinstance(value, Shape | torch.Size):
        return type(value)(_map(item, change) for item in value)
    return change(value)


def _shape(value: Any) -> Any:
    if not isinstance(value, Tensor):
        return value
    return Shape(tuple(value.shape), value.stride(), value.dtype, value.requires_grad)


def _random(value: Any, device: torch.device) -> Any:
    return value.random(device) if isinstance(value, Shape) else value


def _tensors(value: Any) -> Iterator[Tensor]:
    """The tensors in lists, tuples and dictionaries, in order."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _tensors(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _tensors(item)
