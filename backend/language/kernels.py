"""A LLaMA-like model on the CPU: one call is one pass through all its layers, compiled by numba and kept on disk.

A pass over a few tokens takes as long as reading the weights does, so they are kept small (int8 with a scale per output, or
bfloat16) and read once, in order, for all rows of the batch; sums are float32. Compiling takes seconds, once on a computer.
This file imports nothing of the package, because it is run from the user's cache.
"""

from typing import Any, NamedTuple

import numpy as np
from numba import njit, prange, types
from numba.extending import overload

_PLAIN: Any = {"fastmath": True, "nogil": True, "boundscheck": False}
_float = np.float32


class Matrix(NamedTuple):
    """The same matrix of every layer: `weights (layers, out, in)` in int8, float32, or bfloat16 seen as int16; `scales (layers, out)`."""

    weights: np.ndarray
    scales: np.ndarray


class Layers(NamedTuple):
    """Queries, keys and values in one matrix, gate and up in another; `norms (2 * layers + 1, width)`, the last one's at the end."""

    qkv: Matrix
    out: Matrix
    gate_up: Matrix
    down: Matrix
    norms: np.ndarray


@njit(**_PLAIN, cache=True)
def forward(
    x: np.ndarray,
    sequences: np.ndarray,
    slots: np.ndarray,
    layers: Layers,
    keys: np.ndarray,
    values: np.ndarray,
    cosines: np.ndarray,
    sines: np.ndarray,
    epsilon: float,
    threads: int,
) -> np.ndarray:
    """Last hidden states (rows, width) of tokens with embeddings `x (rows, width)`, which is overwritten.

    A row is the token of sequence `sequences (rows,)` at place `slots (rows,)`; it sees the places up to its own. `keys` and
    `values` (layers, batch, kv heads, room, head size) hold the places before and get those of `x`.
    """
    rows, width = x.shape
    groups, size = keys.shape[2], keys.shape[4]
    heads = layers.out.weights.shape[2] // size
    normed = np.empty((rows, width), _float)
    qkv = np.empty((rows, (heads + 2 * groups) * size), _float)
    seen = np.empty((rows, heads * size), _float)
    both = np.empty((rows, layers.gate_up.weights.shape[1]), _float)
    inner = np.empty((rows, layers.down.weights.shape[2]), _float)
    for layer in range(len(layers.qkv.weights)):
        _normalise(x, layers.norms[2 * layer], epsilon, normed)
        _multiply(normed, layers.qkv.weights[layer], layers.qkv.scales[layer], qkv, False, threads)
        _place(qkv, sequences, slots, keys[layer], values[layer], cosines, sines, heads)
        _attend(qkv, sequences, slots, keys[layer], values[layer], seen)
        _multiply(seen, layers.out.weights[layer], layers.out.scales[layer], x, True, threads)
        _normalise(x, layers.norms[2 * layer + 1], epsilon, normed)
        _multiply(normed, layers.gate_up.weights[layer], layers.gate_up.scales[layer], both, False, threads)
        _gate(both, inner)
        _multiply(inner, layers.down.weights[layer], layers.down.scales[layer], x, True, threads)
    _normalise(x, layers.norms[-1], epsilon, normed)
    return normed


@njit(**_PLAIN)
def _normalise(x, weights, epsilon, out):
    for row in range(len(x)):
        total = _float(0)
        for i in range(x.shape[1]):
            total += x[row, i] * x[row, i]
        scale = _float(1) / np.sqrt(total / _float(x.shape[1]) + _float(epsilon))
        for i in range(x.shape[1]):
            out[row, i] = x[row, i] * scale * weights[i]


@njit(**_PLAIN, parallel=True)
def _multiply(x, weights, scales, out, add, threads):
    """`out (rows, n)` = or += x (rows, m) @ weights (n, m)^T; n is even."""
    count = len(weights)
    chunk = (count // 2 + threads - 1) // threads * 2
    for part in prange(threads):
        begin, end = part * chunk, min(count, (part + 1) * chunk)
        if len(x) >= 4:
            for n in range(begin, end, 2):
                for row in range(0, len(x), 4):
                    _two_by_four(x, weights, scales, out, add, n, min(row, len(x) - 4), row)
        else:
            for n in range(begin, end):
                if len(x) == 2:
                    _one_by_two(x, weights, scales, out, add, n)
                else:
                    for row in range(len(x)):
                        _one_by_one(x, weights, scales, out, add, n, row)


@njit(**_PLAIN)
def _one_by_one(x, weights, scales, out, add, n, row):
    a = _float(0)
    for i in range(weights.shape[1]):
        a += _value(weights[n, i]) * x[row, i]
    _put(out, row, n, a * scales[n], add)


@njit(**_PLAIN)
def _one_by_two(x, weights, scales, out, add, n):
    """Guidance has two rows for each clip; they share what is read."""
    a = b = _float(0)
    for i in range(weights.shape[1]):
        w = _value(weights[n, i])
        a += w * x[0, i]
        b += w * x[1, i]
    _put(out, 0, n, a * scales[n], add)
    _put(out, 1, n, b * scales[n], add)


@njit(**_PLAIN)
def _two_by_four(x, weights, scales, out, add, n, row, first):
    """Eight sums at once, as many as registers hold; of the rows from `row` on only those from `first` on are wanted."""
    a0 = a1 = a2 = a3 = b0 = b1 = b2 = b3 = _float(0)
    for i in range(weights.shape[1]):
        v, w = _value(weights[n, i]), _value(weights[n + 1, i])
        x0, x1, x2, x3 = x[row, i], x[row + 1, i], x[row + 2, i], x[row + 3, i]
        a0 += v * x0
        a1 += v * x1
        a2 += v * x2
        a3 += v * x3
        b0 += w * x0
        b1 += w * x1
        b2 += w * x2
        b3 += w * x3
    for j, (a, b) in enumerate(((a0, b0), (a1, b1), (a2, b2), (a3, b3))):
        if row + j >= first:
            _put(out, row + j, n, a * scales[n], add)
            _put(out, row + j, n + 1, b * scales[n + 1], add)


@njit(**_PLAIN)
def _put(out, row, n, value, add):
    out[row, n] = value + (out[row, n] if add else _float(0))


@njit(**_PLAIN, parallel=True)
def _gate(both, out):
    """`out (rows, n)` = silu of the first half of `both (rows, 2 n)` times the second."""
    half = out.shape[1]
    for i in prange(out.size):
        row, n = i // half, i % half
        gate = both[row, n]
        out[row, n] = gate / (_float(1) + np.exp(-gate)) * both[row, half + n]


def _value(weight):
    """A weight as float32."""


@overload(_value, inline="always")
def _typed_value(weight):
    if weight == types.int16:  # the upper half of a float32
        return lambda weight: np.int32(np.int32(weight) << 16).view(np.float32)
    return lambda weight: np.float32(weight)


@njit(**_PLAIN)
def _place(qkv, sequences, slots, keys, values, cosines, sines, heads):
    """Turn queries and keys to their places (RoPE, halves of a head paired) and put keys and values into the cache."""
    groups, size = keys.shape[1], keys.shape[3]
    half = size // 2
    for row in range(len(qkv)):
        sequence, slot = sequences[row], slots[row]
        for head in range(heads + groups):
            vector = qkv[row, head * size : (head + 1) * size]
            for i in range(half):
                a, b = vector[i], vector[half + i]
                vector[i] = a * cosines[slot, i] - b * sines[slot, i]
                vector[half + i] = b * cosines[slot, i] + a * sines[slot, i]
        for group in range(groups):
            key, value = (heads + group) * size, (heads + groups + group) * size
            for i in range(size):
                keys[sequence, group, slot, i] = qkv[row, key + i]
                values[sequence, group, slot, i] = qkv[row, value + i]


@njit(**_PLAIN, parallel=True)
def _attend(qkv, sequences, slots, keys, values, out):
    groups, size = keys.shape[1], keys.shape[3]
    heads = out.shape[1] // size
    scale = _float(1) / np.sqrt(_float(size))
    for unit in prange(len(qkv) * heads):
        row, head = unit // heads, unit % heads
        past = slots[row] + 1
        k, v = keys[sequences[row], head * groups // heads], values[sequences[row], head * groups // heads]
        query = qkv[row, head * size : (head + 1) * size]
        scores = np.empty(past, _float)
        top = _float(-1e30)
        for t in range(past):
            score = _float(0)
            for i in range(size):
                score += query[i] * k[t, i]
            scores[t] = score * scale
            top = max(top, scores[t])
        total = _float(0)
        for t in range(past):
            scores[t] = np.exp(scores[t] - top)
            total += scores[t]
        mix = out[row, head * size : (head + 1) * size]
        mix[:] = _float(0)
        for t in range(past):
            share = scores[t] / total
            for i in range(size):
                mix[i] += share * v[t, i]
