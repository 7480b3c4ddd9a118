"""The Triton kernels of :mod:`gnnreloc.nn.tile_sums_triton`.

A program holds one block of rows (or of columns) and streams over tiles of the other side; scores,
weights and their gradients stay on the chip. Names in capitals are constants of the compilation.
RULE holds the activation, the support, whether to skip the diagonal, and whether there are codes.
An argument that is None is left out of the compiled kernel, with all that depends on it.
"""

# Triton compiles these functions: Python's types would say nothing about them.
# mypy: allow-untyped-defs, allow-incomplete-defs

from __future__ import annotations

from collections.abc import Callable
from typing import Any

try:
    import triton as triton
    import triton.language as tl
except ImportError:
    triton = tl = None


def _jit(function: Callable[..., Any]) -> Any:
    """Make a kernel, where Triton is installed."""
    return function if triton is None else triton.jit(function)


@_jit
def _place(count, SIZE, CHUNKS):
    """Graph, first node and chunk of channels of this program."""
    block = tl.program_id(0) // CHUNKS
    blocks = tl.cdiv(count, SIZE)
    return tl.cast(block // blocks, tl.int64), block % blocks * SIZE, tl.program_id(0) % CHUNKS


@_jit
def _tile(matrix, graph, first, channel, count, WIDTH, SIZE, BLOCK):
    """Pointers to the nodes from `first` and channels from `channel` on, and which of them exist.

    The start of a tile may lie more than 2^31 entries from that of the matrix.
    """
    nodes, channels = tl.arange(0, SIZE)[:, None], channel + tl.arange(0, BLOCK)[None, :]
    pointers = matrix + (graph * count + first) * WIDTH + (nodes * WIDTH + channels)
    return pointers, (first + nodes < count) & (channels < WIDTH)


@_jit
def _load(matrix, graph, first, channel, count, WIDTH, SIZE, BLOCK, FIT):
    """A tile, with 0 outside the matrix; FIT where all its nodes exist."""
    pointers, inside = _tile(matrix, graph, first, channel, count, WIDTH, SIZE, BLOCK)
    if FIT and WIDTH == BLOCK:
        return tl.load(pointers)
    else:
        return tl.load(pointers, mask=inside, other=0.0)


@_jit
def _store(matrix, tile, graph, first, channel, count, WIDTH, SIZE, BLOCK):
    pointers, inside = _tile(matrix, graph, first, channel, count, WIDTH, SIZE, BLOCK)
    tl.store(pointers, tile.to(matrix.dtype.element_ty), mask=inside)


@_jit
def _load_vector(vector, graph, first, count, SIZE, AXIS, OTHER):
    """Entries of the nodes from `first` on, [SIZE, 1] or [1, SIZE]; OTHER without a vector."""
    if vector is None:
        return OTHER
    else:
        nodes = first + tl.arange(0, SIZE)
        entries = tl.load(vector + graph * count + nodes, mask=nodes < count, other=OTHER)
        return tl.expand_dims(entries, AXIS)


@_jit
def _dot(left, right, total):
    if left.dtype == tl.float32:
        return tl.dot(left, right, total, input_precision="tf32x3")
    else:
        return tl.dot(left, right, total)


@_jit
def _pairs(left, right, LEFT, RIGHT):
    """Products of the nodes of two tiles."""
    return _dot(left, tl.trans(right), tl.zeros((LEFT, RIGHT), tl.float32))


@_jit
def _wide_pairs(left, right, graph, first, start, count, other_count, WIDTH, LEFT, RIGHT, BLOCK):
    """Products of the nodes of two matrices that are too wide for one tile."""
    total = tl.zeros((LEFT, RIGHT), tl.float32)
    for channel in range(0, WIDTH, BLOCK):
        nodes = _load(left, graph, first, channel, count, WIDTH, LEFT, BLOCK, False)
        others = _load(right, graph, start, channel, other_count, WIDTH, RIGHT, BLOCK, False)
        total = _dot(nodes, tl.trans(others), total)
    return total


@_jit
def _level(score, row, column, row_code, column_code, count, threshold, RULE, FIT):
    """Weights, or what the exponential takes to be weights; and which pairs are kept."""
    level = score
    if RULE[0] == "relu":
        level = tl.maximum(score, 0.0, propagate_nan=tl.PropagateNan.ALL)
    elif RULE[0] == "shift":
        level = 0.5 * score + 0.5
    kept = tl.full(score.shape, True, tl.int1)
    if not FIT:
        kept = kept & (column < count)
    if RULE[2]:
        kept = kept & (row != column)
    if RULE[3]:
        kept = kept & (row_code >= 0) & (column_code >= 0)
        if RULE[1] == "cross":
            kept = kept & (row_code != column_code)
        elif RULE[1] == "intra":
            kept = kept & (row_code == column_code)
    if threshold is not None:
        kept = kept & ~(level < threshold)
    return tl.where(kept, level, float("-inf") if RULE[0] == "exp" else 0.0), kept


@_jit
def _weight(level, offset, RULE):
    """Weights; the exponential as a power of 2, of one fused multiplication and addition."""
    if RULE[0] == "exp":
        return tl.exp2(level * 1.4426950408889634 - offset * 1.4426950408889634)
    else:
        return level


@_jit
def _slope(product, grad_size, weight, kept, RULE, SIZED):
    """Gradient of the scores; `product` is that of the weights by way of the sums."""
    slope = product
    if SIZED:
        if RULE[0] == "relu" or RULE[0] == "exp":
            slope = slope + grad_size
        else:
            slope = slope + tl.where(weight < 0, -grad_size, tl.where(weight > 0, grad_size, 0.0))
    if RULE[0] == "relu":
        return tl.where(weight > 0, slope, 0.0)
    elif RULE[0] == "exp":
        return slope * weight
    elif RULE[0] == "shift":
        return tl.where(kept, 0.5 * slope, 0.0)
    else:
        return tl.where(kept, slope, 0.0)


@_jit
def forward_kernel(
    query,
    key,
    value,
    query_code,
    key_code,
    sums,
    sizes,
    offset,
    n,
    m,
    threshold,
    D: tl.constexpr,
    F: tl.constexpr,
    BLOCK_D: tl.constexpr,
    BLOCK_F: tl.constexpr,
    CHUNKS: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    RULE: tl.constexpr,
    FIT: tl.constexpr,
):
    """Sums and sizes of a block of rows; for the exponential, its offsets too."""
    graph, first, chunk = _place(n, ROWS, CHUNKS)
    row = first + tl.arange(0, ROWS)[:, None]
    row_code = _load_vector(query_code, graph, first, n, ROWS, 1, -1)
    if D <= BLOCK_D:
        queries = _load(query, graph, first, 0, n, D, ROWS, BLOCK_D, False)
    base = tl.full((ROWS, 1), float("-inf"), tl.float32)
    total = tl.zeros((ROWS, BLOCK_F), tl.float32)
    size = tl.zeros((ROWS, 1), tl.float32)
    for start in range(0, m, COLUMNS):
        if D <= BLOCK_D:
            keys = _load(key, graph, start, 0, m, D, COLUMNS, BLOCK_D, FIT)
            score = _pairs(queries, keys, ROWS, COLUMNS)
        else:
            score = _wide_pairs(query, key, graph, first, start, n, m, D, ROWS, COLUMNS, BLOCK_D)
        column = start + tl.arange(0, COLUMNS)[None, :]
        column_code = _load_vector(key_code, graph, start, m, COLUMNS, 0, -1)
        level, _ = _level(score, row, column, row_code, column_code, m, threshold, RULE, FIT)
        values = _load(value, graph, start, chunk * BLOCK_F, m, F, COLUMNS, BLOCK_F, FIT)
        if RULE[0] == "exp":
            raised = tl.maximum(base, tl.max(level, 1, keep_dims=True))
            # A row without weights so far has the offset 0: the difference of infinities is NaN.
            offsets = tl.where(raised == float("-inf"), 0.0, raised)
            factor = _weight(base, offsets, RULE)
            total, size, base = total * factor, size * factor, raised
            weight = _weight(level, offsets, RULE)
        else:
            weight = level
        size += tl.sum(tl.abs(weight), 1, keep_dims=True)
        total = _dot(weight.to(values.dtype), values, total)
    _store(sums, total, graph, first, chunk * BLOCK_F, n, F, ROWS, BLOCK_F)
    if chunk == 0:
        _store(sizes, size, graph, first, 0, n, 1, ROWS, 1)
        if RULE[0] == "exp":
            base = tl.where(base == float("-inf"), 0.0, base)
            _store(offset, base, graph, first, 0, n, 1, ROWS, 1)


@_jit
def row_gradient_kernel(
    query,
    key,
    value,
    offset,
    query_code,
    key_code,
    grad_sums,
    grad_sizes,
    grad_query,
    n,
    m,
    threshold,
    D: tl.constexpr,
    F: tl.constexpr,
    BLOCK_D: tl.constexpr,
    BLOCK_F: tl.constexpr,
    CHUNKS: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    RULE: tl.constexpr,
    FIT: tl.constexpr,
):
    """Gradient of the queries of a block of rows."""
    NARROW: tl.constexpr = D <= BLOCK_D and F <= BLOCK_F
    graph, first, chunk = _place(n, ROWS, CHUNKS)
    row = first + tl.arange(0, ROWS)[:, None]
    row_code = _load_vector(query_code, graph, first, n, ROWS, 1, -1)
    offsets = _load_vector(offset, graph, first, n, ROWS, 1, 0.0)
    grad_size = _load_vector(grad_sizes, graph, first, n, ROWS, 1, 0.0)
    if NARROW:
        queries = _load(query, graph, first, 0, n, D, ROWS, BLOCK_D, False)
        grads = _load(grad_sums, graph, first, 0, n, F, ROWS, BLOCK_F, False)
    total = tl.zeros((ROWS, BLOCK_D), tl.float32)
    for start in range(0, m, COLUMNS):
        keys = _load(key, graph, start, chunk * BLOCK_D, m, D, COLUMNS, BLOCK_D, FIT)
        if NARROW:
            values = _load(value, graph, start, 0, m, F, COLUMNS, BLOCK_F, FIT)
            score = _pairs(queries, keys, ROWS, COLUMNS)
            product = _pairs(grads, values, ROWS, COLUMNS)
        else:
            places = graph, first, start, n, m
            score = _wide_pairs(query, key, *places, D, ROWS, COLUMNS, BLOCK_D)
            product = _wide_pairs(grad_sums, value, *places, F, ROWS, COLUMNS, BLOCK_F)
        column = start + tl.arange(0, COLUMNS)[None, :]
        column_code = _load_vector(key_code, graph, start, m, COLUMNS, 0, -1)
        level, kept = _level(score, row, column, row_code, column_code, m, threshold, RULE, FIT)
        weight = _weight(level, offsets, RULE)
        slope = _slope(product, grad_size, weight, kept, RULE, grad_sizes is not None)
        total = _dot(slope.to(keys.dtype), keys, total)
    _store(grad_query, total, graph, first, chunk * BLOCK_D, n, D, ROWS, BLOCK_D)


@_jit
def column_gradient_kernel(
    query,
    key,
    value,
    offset,
    query_code,
    key_code,
    grad_sums,
    grad_sizes,
    grad_key,
    grad_value,
    n,
    m,
    threshold,
    D: tl.constexpr,
    F: tl.constexpr,
    BLOCK_D: tl.constexpr,
    BLOCK_F: tl.constexpr,
    CHUNKS: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    RULE: tl.constexpr,
    FIT: tl.constexpr,
):
    """Gradients of the keys and the values of a block of columns, from transposed tiles."""
    NARROW: tl.constexpr = D <= BLOCK_D and F <= BLOCK_F
    graph, first, chunk = _place(m, COLUMNS, CHUNKS)
    column = first + tl.arange(0, COLUMNS)[:, None]
    column_code = _load_vector(key_code, graph, first, m, COLUMNS, 1, -1)
    if NARROW:
        keys = _load(key, graph, first, 0, m, D, COLUMNS, BLOCK_D, False)
        values = _load(value, graph, first, 0, m, F, COLUMNS, BLOCK_F, False)
    key_total = tl.zeros((COLUMNS, BLOCK_D), tl.float32)
    value_total = tl.zeros((COLUMNS, BLOCK_F), tl.float32)
    for start in range(0, n, ROWS):
        # A chunk may lie beyond the narrower of the two widths.
        queries = _load(query, graph, start, chunk * BLOCK_D, n, D, ROWS, BLOCK_D, FIT and NARROW)
        grads = _load(grad_sums, graph, start, chunk * BLOCK_F, n, F, ROWS, BLOCK_F, FIT and NARROW)
        if NARROW:
            score = _pairs(keys, queries, COLUMNS, ROWS)
            product = _pairs(values, grads, COLUMNS, ROWS)
        else:
            places = graph, first, start, m, n
            score = _wide_pairs(key, query, *places, D, COLUMNS, ROWS, BLOCK_D)
            product = _wide_pairs(value, grad_sums, *places, F, COLUMNS, ROWS, BLOCK_F)
        row = start + tl.arange(0, ROWS)[None, :]
        row_code = _load_vector(query_code, graph, start, n, ROWS, 0, -1)
        level, kept = _level(score, row, column, row_code, column_code, m, threshold, RULE, FIT)
        offsets = _load_vector(offset, graph, start, n, ROWS, 0, 0.0)
        weight = _weight(level, offsets, RULE)
        grad_size = _load_vector(grad_sizes, graph, start, n, ROWS, 0, 0.0)
        slope = _slope(product, grad_size, weight, kept, RULE, grad_sizes is not None)
        value_total = _dot(weight.to(grads.dtype), grads, value_total)
        key_total = _dot(slope.to(queries.dtype), queries, key_total)
    _store(grad_key, key_total, graph, first, chunk * BLOCK_D, m, D, COLUMNS, BLOCK_D)
    _store(grad_value, value_total, graph, first, chunk * BLOCK_F, m, F, COLUMNS, BLOCK_F)
