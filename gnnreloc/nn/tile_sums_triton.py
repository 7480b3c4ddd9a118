r"""The sums of :mod:`gnnreloc.nn.tile_sums` as fused Triton kernels, for CUDA.

A program holds one block of rows and streams over tiles of columns, as FlashAttention does (Dao et
al., 2022). The backward pass makes the tiles again: one kernel goes over blocks of rows for the
gradient of the queries, one over blocks of columns for those of keys and values. Nothing is added
atomically, so equal inputs give equal bits.

Products of float32 run on the tensor cores as three products of TF32, whose error is that of
float32; every sum is float32. More than 128 channels are taken in chunks, with the scores computed
anew for each chunk of the result: right at any width, fast up to 128.

Triton comes with the CUDA builds of torch and is no dependency of this package; importing this
module loads it. Without a GPU the kernels run in Triton's interpreter, for tests, if the
environment variable ``TRITON_INTERPRET=1`` was set before Triton was first imported.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from gnnreloc.nn import tile_sums_kernels as kernels

LEAST_TRITON = (3, 6)
DTYPES = (torch.float32, torch.float16, torch.bfloat16)


class Tiles(NamedTuple):
    """How a kernel is cut: rows and columns of a tile, warps of a program, stages of its loop."""

    rows: int
    columns: int
    warps: int
    stages: int


# By kernel: 16-bit inputs of up to 64 channels, of up to 128 and wider ones; then float32 ones.
# Chosen for sm_90 (H100, H200) by the code that they compile to: wgmma, hardly a register spilled.
TILES = {
    "forward": (
        (Tiles(128, 128, 8, 3), Tiles(128, 128, 8, 3), Tiles(128, 64, 8, 2)),
        (Tiles(64, 64, 4, 2), Tiles(128, 32, 8, 2), Tiles(64, 32, 8, 2)),
    ),
    "rows": (
        (Tiles(128, 128, 8, 2), Tiles(128, 128, 8, 2), Tiles(64, 64, 4, 2)),
        (Tiles(64, 32, 4, 2), Tiles(64, 32, 8, 2), Tiles(64, 32, 8, 1)),
    ),
    "columns": (
        (Tiles(128, 128, 8, 2), Tiles(64, 128, 8, 3), Tiles(64, 64, 4, 2)),
        (Tiles(32, 64, 8, 2), Tiles(32, 64, 8, 2), Tiles(32, 64, 8, 1)),
    ),
}


def why_unavailable(device: torch.device, dtype: torch.dtype = torch.float32) -> str | None:
    """Say what keeps the kernels from running.

    Args:
        device: Device of the inputs.
        dtype: Type of queries, keys and values.

    Returns:
        The reason, or None if they can run.
    """
    if dtype not in DTYPES:
        return f"the Triton kernels take float32, float16 and bfloat16 (got {dtype})"
    if kernels.triton is None:
        return "Triton is not installed"
    version = kernels.triton.__version__
    if tuple(int(part) for part in version.split(".")[:2]) < LEAST_TRITON:
        return f"the Triton kernels need Triton 3.6 or newer (got {version})"
    if not isinstance(kernels.forward_kernel, kernels.triton.JITFunction):
        # The interpreter holds bfloat16 as integers and multiplies these (Triton 3.7).
        bfloat16 = dtype == torch.bfloat16
        return "Triton's interpreter does not multiply bfloat16" if bfloat16 else None
    if device.type != "cuda":
        return f"the Triton kernels need a CUDA device or Triton's interpreter (got '{device}')"
    if torch.version.cuda is None or torch.cuda.get_device_capability(device) < (8, 0):
        return "the Triton kernels need an NVIDIA GPU of compute capability 8.0 or newer"
    return None


def tile_sums_forward(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    query_code: Tensor | None,
    key_code: Tensor | None,
    activation: str,
    support: str,
    threshold: float | None,
    skip_diagonal: bool = False,
    *,
    tiles: Tiles | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    r"""Sum the values, and the absolute weights, over each row of pairs.

    Args:
        query: Receiving nodes :math:`(G, n, d)`, contiguous like all that follow. Their products
            with the keys are the scores.
        key: Sending nodes :math:`(G, m, d)`.
        value: Values of the sending nodes :math:`(G, m, f)`.
        query_code: Group of each receiving node :math:`(G, n)`, int32; negative for padding.
        key_code: Group of each sending node :math:`(G, m)`; both or none.
        activation: ``"none"``, ``"relu"``, ``"shift"`` for :math:`(1 + s) / 2`, or ``"exp"``.
        support: ``"all"`` pairs, ``"cross"`` for different codes or ``"intra"`` for equal ones.
        threshold: Least weight to keep; with ``"exp"`` the least score.
        skip_diagonal: Leave out the pairs of row i and column i.
        tiles: How to cut the kernel, from :data:`TILES` if not given.

    Returns:
        The sums :math:`(G, n, f)` in the type of the values, the sums of absolute weights
        :math:`(G, n)` in float32, and the offsets :math:`(G, n)` that the exponential subtracted
        from the scores: the largest of each row, 0 in a row without weights and for the other
        activations.

    Raises:
        ValueError: If the kernels do not take these inputs.
    """
    _check(query, key, value, query_code, key_code, support)
    (graphs, n, _), (m, f) = query.shape, value.shape[1:]
    sums = value.new_empty(graphs, n, f)
    sizes, offset = (torch.zeros(graphs, n, device=query.device) for _ in range(2))
    tiles = tiles or _choose_tiles("forward", query, value)
    chunks = _parts(f, _block(f))
    programs = graphs * _parts(n, tiles.rows) * chunks
    arguments = (query, key, value, query_code, key_code, sums, sizes, offset, n, m, threshold)
    rule = (activation, support, skip_diagonal, query_code is not None)
    constants = _constants(query, value, tiles, rule, chunks)
    if programs > 0:
        with torch.cuda.device_of(query):
            kernels.forward_kernel[(programs,)](*arguments, **constants, FIT=m % tiles.columns == 0)
    return sums, sizes, offset


def tile_sums_backward(
    grad_sums: Tensor,
    grad_sizes: Tensor | None,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    offset: Tensor,
    query_code: Tensor | None,
    key_code: Tensor | None,
    activation: str,
    support: str,
    threshold: float | None,
    skip_diagonal: bool = False,
    *,
    row_tiles: Tiles | None = None,
    column_tiles: Tiles | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of the queries, the keys and the values.

    Args:
        grad_sums: Gradient of the sums, contiguous, in the type of the values.
        grad_sizes: Gradient of the sizes, contiguous, float32; None for 0.
        query: As for :func:`tile_sums_forward`, like all that follow.
        key: Sending nodes.
        value: Values of the sending nodes.
        offset: What the forward pass returned. It has no gradient.
        query_code: Group of each receiving node.
        key_code: Group of each sending node.
        activation: Activation of the scores.
        support: Pairs that count.
        threshold: Least weight or score to keep.
        skip_diagonal: Leave out the pairs of row i and column i.
        row_tiles: How to cut the kernel for the queries, from :data:`TILES` if not given.
        column_tiles: How to cut the kernel for the keys and the values, likewise.

    Returns:
        The three gradients, in the types of their inputs.

    Raises:
        ValueError: If the kernels do not take these inputs.
    """
    _check(query, key, value, query_code, key_code, support)
    rows = query.shape[:2]
    _check_layout("grad_sums", grad_sums, (*rows, value.size(2)), value.dtype)
    _check_layout("offset", offset, rows, torch.float32)
    if grad_sizes is not None:
        _check_layout("grad_sizes", grad_sizes, rows, torch.float32)
    (graphs, n, d), (m, f) = query.shape, value.shape[1:]
    grad_query, grad_key, grad_value = map(torch.empty_like, (query, key, value))
    inputs = (query, key, value, offset, query_code, key_code, grad_sums, grad_sizes)
    rule = (activation, support, skip_diagonal, query_code is not None)
    with torch.cuda.device_of(query):
        tiles = row_tiles or _choose_tiles("rows", query, value)
        chunks = _parts(d, _block(d))
        programs = graphs * _parts(n, tiles.rows) * chunks
        constants = _constants(query, value, tiles, rule, chunks)
        if programs > 0:
            kernels.row_gradient_kernel[(programs,)](
                *(*inputs, grad_query, n, m, threshold), **constants, FIT=m % tiles.columns == 0
            )
        tiles = column_tiles or _choose_tiles("columns", query, value)
        chunks = max(chunks, _parts(f, _block(f)))
        programs = graphs * _parts(m, tiles.columns) * chunks
        constants = _constants(query, value, tiles, rule, chunks)
        if programs > 0:
            kernels.column_gradient_kernel[(programs,)](
                *(*inputs, grad_key, grad_value, n, m, threshold),
                **constants,
                FIT=m % tiles.columns == 0 and n % tiles.rows == 0,
            )
    return grad_query, grad_key, grad_value


def _check(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    query_code: Tensor | None,
    key_code: Tensor | None,
    support: str,
) -> None:
    reason = why_unavailable(query.device, query.dtype)
    if reason is not None:
        raise ValueError(reason)
    for name, given in (("query", query), ("key", key), ("value", value)):
        if given.dim() != 3 or given.size(-1) == 0:
            raise ValueError(f"'{name}' must be [G, N, C] with C > 0 (got {list(given.shape)})")
    (graphs, n, d), (m, f) = query.shape, (key.size(1), value.size(2))
    _check_layout("query", query, (graphs, n, d), query.dtype)
    _check_layout("key", key, (graphs, m, d), query.dtype)
    _check_layout("value", value, (graphs, m, f), query.dtype)
    if (query_code is None) != (key_code is None) or (query_code is None and support != "all"):
        raise ValueError(f"support '{support}' needs codes of both sides, and one needs the other")
    if query_code is not None and key_code is not None:
        _check_layout("query_code", query_code, (graphs, n), torch.int32)
        _check_layout("key_code", key_code, (graphs, m), torch.int32)


def _check_layout(name: str, given: Tensor, shape: tuple[int, ...], dtype: torch.dtype) -> None:
    if given.shape != shape or given.dtype != dtype or not given.is_contiguous():
        found = f"{list(given.shape)}, {given.dtype}, contiguous: {given.is_contiguous()}"
        raise ValueError(f"'{name}' must be {list(shape)}, {dtype} and contiguous (got {found})")


def _parts(count: int, size: int) -> int:
    return -(-count // size)


def _block(width: int) -> int:
    """Channels of a tile: a power of 2, as many as a tensor core takes at least."""
    return min(128, max(16, 1 << (width - 1).bit_length()))


def _choose_tiles(kernel: str, query: Tensor, value: Tensor) -> Tiles:
    """Tiles from the table, with fewer stages and then smaller where they exceed the device."""
    width = max(query.size(-1), value.size(-1))
    tiles = TILES[kernel][query.element_size() == 4][(width > 64) + (width > 128)]
    while query.is_cuda and _shared_memory(kernel, tiles, query, value) > _capacity(query.device):
        if tiles.stages > 1:
            tiles = tiles._replace(stages=tiles.stages - 1)
        elif max(tiles.rows, tiles.columns) > 16:
            tiles = tiles._replace(
                rows=max(16, tiles.rows // 2), columns=max(16, tiles.columns // 2)
            )
        else:
            break
    return tiles


def _shared_memory(kernel: str, tiles: Tiles, query: Tensor, value: Tensor) -> int:
    """Bytes that a program takes: the tile that stays, and those that stream in each stage."""
    d, f, size = _block(query.size(-1)), _block(value.size(-1)), query.element_size()
    stays, streams = tiles[:2] if kernel != "columns" else tiles[1::-1]
    held = stays * (d if kernel == "forward" else d + f)
    streamed = tiles.stages * streams * (d + f)
    if size == 4:  # the parts of TF32
        held, streamed = 2 * held, streamed + streams * max(d, f)
    # 1 KiB for the vectors of codes, offsets and gradients of sizes.
    return size * (held + streamed) + 1024


def _capacity(device: torch.device) -> int:
    index = torch.cuda.current_device() if device.index is None else device.index
    properties = kernels.triton.runtime.driver.active.utils.get_device_properties(index)
    return int(properties["max_shared_mem"])


def _constants(
    query: Tensor, value: Tensor, tiles: Tiles, rule: tuple[str, str, bool, bool], chunks: int
) -> dict[str, Any]:
    return {
        "D": query.size(-1),
        "F": value.size(-1),
        "BLOCK_D": _block(query.size(-1)),
        "BLOCK_F": _block(value.size(-1)),
        "CHUNKS": chunks,
        "ROWS": tiles.rows,
        "COLUMNS": tiles.columns,
        "RULE": rule,
        "num_warps": tiles.warps,
        "num_stages": tiles.stages,
    }
