"""The fused kernels against dense matrices in float64, with the gradients of autograd.

Without a GPU they run in Triton's interpreter, which tests/conftest.py chooses.
"""

from __future__ import annotations

from typing import NamedTuple

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from gnnreloc.nn.tile_sums_triton import (
    Tiles,
    tile_sums_backward,
    tile_sums_forward,
    why_unavailable,
)

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
REASON = why_unavailable(DEVICE)
runs_kernels = pytest.mark.skipif(REASON is not None, reason=str(REASON))
runs_cuda = pytest.mark.skipif(
    not torch.cuda.is_available() or REASON is not None, reason=f"no GPU for kernels: {REASON}"
)

#: Small tiles, so that small graphs have several of them and a rest.
SMALL = Tiles(16, 32, 1, 1)
TOLERANCE = {torch.float32: 1e-5, torch.float16: 4e-3, torch.bfloat16: 3e-2}


class Rule(NamedTuple):
    activation: str = "none"
    support: str = "all"
    threshold: float | None = None
    skip_diagonal: bool = False


class Inputs(NamedTuple):
    query: Tensor
    key: Tensor
    value: Tensor
    query_code: Tensor | None
    key_code: Tensor | None


def draw(
    graphs: int,
    n: int,
    m: int,
    d: int,
    f: int,
    *,
    codes: bool,
    dtype: torch.dtype = torch.float32,
    device: torch.device = DEVICE,
    temperature: float = 0.5,
) -> Inputs:
    """Unit vectors, the queries divided by a temperature, with groups 0 to 2 and padding -1."""
    random = torch.Generator().manual_seed(n * 1000 + m * 10 + d + f)
    unit = torch.nn.functional.normalize
    query = unit(torch.randn(graphs, n, d, generator=random), dim=-1) / temperature
    key = unit(torch.randn(graphs, m, d, generator=random), dim=-1)
    value = torch.randn(graphs, m, f, generator=random)
    code = [torch.randint(-1, 3, (graphs, k), generator=random).int().to(device) for k in (n, m)]
    nodes = [x.to(device, dtype) for x in (query, key, value)]
    return Inputs(*nodes, *(code if codes else (None, None)))


def dense(inputs: Inputs, rule: Rule) -> tuple[Tensor, Tensor, Tensor, Inputs]:
    """Sums, sizes and offsets from the whole matrix in float64, with leaves for autograd."""
    leaves = [x.detach().double().requires_grad_() for x in inputs[:3]]
    query, key, value = leaves
    score = query @ key.mT
    weight = {
        "none": score,
        "relu": score.relu(),
        "shift": (1 + score) / 2,
        "exp": score,
    }[rule.activation]
    keep = torch.ones_like(score, dtype=torch.bool)
    if inputs.query_code is not None and inputs.key_code is not None:
        row, column = inputs.query_code[:, :, None], inputs.key_code[:, None, :]
        keep = (row >= 0) & (column >= 0)
        same = row == column
        keep &= {"all": torch.ones_like(same), "cross": ~same, "intra": same}[rule.support]
    if rule.threshold is not None:
        keep &= weight >= rule.threshold
    if rule.skip_diagonal:
        keep &= ~torch.eye(*score.shape[1:], dtype=torch.bool, device=score.device)
    offset = score.new_zeros(score.shape[:2])
    if rule.activation == "exp":
        offset = score.detach().masked_fill(~keep, -torch.inf).amax(dim=-1)
        offset = offset.masked_fill(offset == -torch.inf, 0.0)
        weight = (score - offset.unsqueeze(-1)).masked_fill(~keep, -torch.inf).exp()
    weight = weight.masked_fill(~keep, 0.0)
    return weight @ value, weight.abs().sum(dim=-1), offset, Inputs(*leaves, *inputs[3:])


def distance(found: Tensor, wanted: Tensor) -> float:
    """Largest difference, relative to the largest entry wanted where that is over 1."""
    if found.numel() == 0:
        return 0.0
    scale = max(1.0, float(wanted.detach().abs().max()))
    return float((found.double() - wanted.detach()).abs().max()) / scale


def compare(inputs: Inputs, rule: Rule, *, tiles: Tiles | None = SMALL, sizes: bool = True) -> None:
    """Values and gradients of the kernels against the dense matrix."""
    dtype, tolerance = inputs.value.dtype, TOLERANCE[inputs.value.dtype]
    wanted_sums, wanted_sizes, wanted_offset, leaves = dense(inputs, rule)
    found = tile_sums_forward(*inputs, *rule, tiles=tiles)
    assert [x.dtype for x in found] == [dtype, torch.float32, torch.float32]
    for one, other in zip(found, (wanted_sums, wanted_sizes, wanted_offset), strict=True):
        assert one.shape == other.shape
        assert distance(one, other) < tolerance

    grad_sums = torch.linspace(-1, 1, wanted_sums.numel(), device=inputs.value.device)
    grad_sums = grad_sums.view_as(wanted_sums).to(dtype)
    grad_sizes = torch.linspace(0.5, -1, wanted_sizes.numel(), device=inputs.value.device)
    grad_sizes = grad_sizes.view_as(wanted_sizes)
    total = (wanted_sums * grad_sums.double()).sum()
    total = total + (wanted_sizes * grad_sizes.double()).sum() * sizes
    wanted_grads = torch.autograd.grad(total, leaves[:3])
    found_grads = tile_sums_backward(
        *(grad_sums, grad_sizes if sizes else None, *inputs[:3], found[2], *inputs[3:], *rule),
        row_tiles=tiles,
        column_tiles=tiles,
    )
    for one, other in zip(found_grads, wanted_grads, strict=True):
        assert one.dtype == dtype and one.shape == other.shape
        assert distance(one, other) < tolerance


class TestKernels:
    pytestmark = runs_kernels

    @pytest.mark.parametrize("activation", ["none", "relu", "shift", "exp"])
    @pytest.mark.parametrize(
        ("support", "threshold"), [("all", None), ("cross", 0.3), ("intra", -0.2)]
    )
    def test_every_rule_with_groups_and_padding(
        self, activation: str, support: str, threshold: float | None
    ) -> None:
        inputs = draw(1, 18, 35, 5, 7, codes=True)
        compare(inputs, Rule(activation, support, threshold, skip_diagonal=support == "all"))

    @pytest.mark.parametrize(
        ("activation", "sizes"),
        [
            ("exp", (1, 1, 1, 1, 1)),
            ("none", (1, 70, 5, 3, 20)),
            ("shift", (3, 16, 32, 16, 16)),
            ("relu", (2, 5, 66, 33, 17)),
        ],
    )
    def test_whole_and_broken_tiles(
        self, activation: str, sizes: tuple[int, int, int, int, int]
    ) -> None:
        compare(draw(*sizes, codes=False), Rule(activation))

    @pytest.mark.parametrize("widths", [(150, 12), (12, 150), (140, 260)])
    def test_chunks_of_wide_nodes_and_values(self, widths: tuple[int, int]) -> None:
        compare(draw(1, 16, 35, *widths, codes=False), Rule("exp"))
        compare(draw(1, 16, 32, *widths, codes=True), Rule("relu", "cross"))

    @pytest.mark.parametrize("activation", ["none", "relu", "shift", "exp"])
    def test_half_precision(self, activation: str) -> None:
        inputs = draw(1, 16, 33, 16, 24, codes=True, dtype=torch.float16)
        compare(inputs, Rule(activation, "cross"))

    @given(
        rule=st.builds(
            Rule,
            st.sampled_from(["none", "relu", "shift", "exp"]),
            st.sampled_from(["all", "cross", "intra"]),
            st.sampled_from([None, -0.4, 0.0, 0.7]),
            st.booleans(),
        ),
        sizes=st.tuples(*(st.integers(1, high) for high in (2, 40, 40, 20, 20))),
        codes=st.booleans(),
        with_sizes=st.booleans(),
        tiles=st.sampled_from([None, SMALL, Tiles(32, 16, 1, 1)]),
    )
    @settings(max_examples=12, deadline=None, derandomize=True)
    def test_any_rule_and_size(
        self,
        rule: Rule,
        sizes: tuple[int, int, int, int, int],
        codes: bool,
        with_sizes: bool,
        tiles: Tiles | None,
    ) -> None:
        codes = codes or rule.support != "all"
        compare(draw(*sizes, codes=codes), rule, tiles=tiles, sizes=with_sizes)

    def test_hand_worked_relu(self) -> None:
        query = torch.tensor([[[2.0], [-1.0]]], device=DEVICE)
        key = torch.tensor([[[1.0], [-3.0], [0.5]]], device=DEVICE)
        value = torch.tensor([[[1.0, 0.0], [0.0, 1.0], [10.0, 10.0]]], device=DEVICE)
        sums, sizes, offset = tile_sums_forward(query, key, value, None, None, *Rule("relu"))
        # Scores [[2, -6, 1], [-1, 3, -0.5]].
        assert sums.tolist() == [[[12.0, 10.0], [0.0, 3.0]]]
        assert sizes.tolist() == [[3.0, 3.0]]
        assert offset.tolist() == [[0.0, 0.0]]

    def test_large_scores_do_not_overflow(self) -> None:
        inputs = draw(1, 16, 50, 8, 4, codes=True, temperature=1e-2)
        compare(inputs, Rule("exp", "cross"))

    def test_rows_without_weights(self) -> None:
        inputs = draw(1, 16, 50, 8, 4, codes=True)
        nobody = torch.full_like(inputs.query_code, -1)
        found = tile_sums_forward(*inputs[:3], nobody, inputs.key_code, *Rule("exp"), tiles=SMALL)
        assert all(bool((x == 0).all()) for x in found)

    @pytest.mark.parametrize("sizes", [(0, 4, 5), (2, 0, 5), (2, 4, 0)])
    def test_no_nodes(self, sizes: tuple[int, int, int]) -> None:
        compare(draw(*sizes, 3, 2, codes=False), Rule("relu"))

    def test_nan_is_not_hidden(self) -> None:
        inputs = draw(1, 3, 4, 2, 2, codes=False)
        inputs.query[0, 1, 0] = torch.nan
        for activation in ("none", "relu", "shift", "exp"):
            sums, sizes, _ = tile_sums_forward(*inputs, *Rule(activation))
            assert sums.isnan().all(dim=-1).tolist() == [[False, True, False]]
            assert sizes.isnan().tolist() == [[False, True, False]]

    def test_unfit_inputs(self) -> None:
        inputs = draw(1, 3, 4, 2, 2, codes=False)
        with pytest.raises(ValueError, match="'key' must be"):
            tile_sums_forward(inputs.query, inputs.key.half(), *inputs[2:], *Rule())
        with pytest.raises(ValueError, match="'value' must be"):
            tile_sums_forward(*inputs[:2], inputs.value.mT, None, None, *Rule())
        with pytest.raises(ValueError, match="needs codes"):
            tile_sums_forward(*inputs, *Rule(support="cross"))
        with pytest.raises(ValueError, match="'value' must be .* with C > 0"):
            tile_sums_forward(*inputs[:2], inputs.value[..., :0], None, None, *Rule())
        with pytest.raises(ValueError, match="'grad_sums' must be"):
            none = torch.zeros(1, 3, device=DEVICE)
            tile_sums_backward(none, None, *inputs[:3], none, None, None, *Rule())


@runs_cuda
class TestDevice:
    """At the sizes and with the tiles of real work, which the interpreter does not reach."""

    @pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
    @pytest.mark.parametrize("activation", ["none", "relu", "shift", "exp"])
    @pytest.mark.parametrize("width", [64, 128, 256])
    def test_against_float64(self, activation: str, width: int, dtype: torch.dtype) -> None:
        for sizes, codes in (((2, 512, 384), False), ((1, 300, 1000), True)):
            inputs = draw(*sizes, width, width, codes=codes, dtype=dtype)
            compare(inputs, Rule(activation, "cross" if codes else "all"), tiles=None)

    def test_equal_inputs_give_equal_bits(self) -> None:
        inputs = draw(4, 1000, 1000, 64, 64, codes=True)
        rule = Rule("exp", "intra")
        sums, sizes, offset = tile_sums_forward(*inputs, *rule)
        arguments = (sums, sizes, *inputs[:3], offset, *inputs[3:], *rule)
        first, second = (tile_sums_backward(*arguments) for _ in range(2))
        assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))

    def test_memory_is_linear(self) -> None:
        inputs = draw(1, 16384, 16384, 64, 64, codes=False, dtype=torch.bfloat16)
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        sums, sizes, offset = tile_sums_forward(*inputs, *Rule("relu"))
        tile_sums_backward(sums, sizes, *inputs[:3], offset, *inputs[3:], *Rule("relu"))
        # The matrix would take 512 MiB, the results take 8.
        assert torch.cuda.max_memory_allocated() - before < 32 * 2**20


def test_reasons_name_what_is_missing() -> None:
    assert "float64" in str(why_unavailable(DEVICE, torch.float64))
    if REASON is not None:
        with pytest.raises(ValueError, match=REASON[:12]):
            tile_sums_forward(*draw(1, 3, 4, 2, 2, codes=False), *Rule())
