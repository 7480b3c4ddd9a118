"""The matrix products and LSTMs of a computation, and the same work with nothing else."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

_ATEN = torch.ops.aten
#: Matrix products, as operators that run in forward and in backward passes.
PRODUCTS = frozenset(
    {
        *(_ATEN.mm, _ATEN.bmm, _ATEN.addmm, _ATEN.baddbmm, _ATEN.addmm_, _ATEN.baddbmm_),
        *(_ATEN.convolution, _ATEN.convolution_backward),
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


class MatrixWork(TorchDispatchMode):
    """Writes down the matrix products and the LSTMs that run while it is active.

    Products are seen as operators, forward and backward. An LSTM is one call, with its backward
    pass, which needs what the forward pass leaves behind.
    """

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Call] = []
        self._layers = _RecurrentLayers(self.calls)

    def __enter__(self) -> MatrixWork:
        """Begin to write down."""
        self._layers.__enter__()
        super().__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        """Stop."""
        super().__exit__(*error)
        self._layers.__exit__(*error)

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Note the operator, then do it."""
        options = dict(kwargs or {})
        if func.overloadpacket in PRODUCTS:
            self.calls.append(Call(func, _map(args, _plain), _map(options, _plain)))
        return func(*args, **options)


class _RecurrentLayers(TorchFunctionMode):
    def __init__(self, calls: list[Call]) -> None:
        super().__init__()
        self.calls = calls

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Note the call, then do it."""
        options = dict(kwargs or {})
        if func is torch.lstm:
            self.calls.append(Call(func, _map(args, _shape), _map(options, _shape)))
        return func(*args, **options)


def bare_work(calls: Sequence[Call], device: torch.device) -> Callable[[], None]:
    """The calls on random tensors, each followed by its backward pass if it was noted with it.

    Tensors of one shape that stand in the same place of their calls are one tensor: work in blocks
    that stay in the cache does so here, too.
    """
    steps = []
    known: dict[tuple[Shape, int], Tensor] = {}
    for call in calls:
        places = itertools.count()

        def make(value: Any, places: Iterator[int] = places) -> Any:
            if not isinstance(value, Shape):
                return value
            key = value, next(places)
            if key not in known:
                known[key] = value.random(device)
            return known[key]

        arguments, options = _map(call.arguments, make), _map(call.options, make)
        leaves = [x for x in _tensors((arguments, options)) if x.requires_grad]
        gradient = None
        if leaves:
            with torch.no_grad():
                gradient = torch.randn_like(next(_tensors(call.function(*arguments, **options))))
        steps.append((call.function, arguments, options, leaves, gradient))

    def run() -> None:
        for function, arguments, options, leaves, gradient in steps:
            out = function(*arguments, **options)
            if gradient is not None:
                torch.autograd.grad(next(_tensors(out)), leaves, gradient)

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


def _plain(value: Any) -> Any:
    shape = _shape(value)
    return shape._replace(requires_grad=False) if isinstance(shape, Shape) else shape


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
