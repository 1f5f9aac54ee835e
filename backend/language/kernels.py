"""A LLaMA-like model on the CPU: one call is one pass through all its layers, compiled by numba and kept on disk.

A pass over a few tokens takes as long as reading the weights does, so they are kept small (int8 with a scale per output, or
bfloat16) and read once, in order, for all rows of the batch; sums are float32. Compiling takes seconds, once on a computer.
Loops run over slices from their beginning: the compiler makes vectors of none whose index might be negative.
This file imports nothing of the package, because it is run from the user's cache.
"""

from typing import Any, NamedTuple

import numpy as np
from numba import njit, prange, types
from numba.extending import overload

_PLAIN: Any = {"fastmath": True, "nogil": True, "boundscheck": False, "error_model": "numpy"}  # a division that may raise is no vector's
_float = np.float32
STRIDE = 32  # places are attended to in steps of so many, the room of a cache is a multiple of it
_FEW = 4  # rows below which starting the other threads takes longer than what they would do
_BLOCK = 16  # outputs whose weights stay in the first cache while all rows are multiplied with them


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

    A row is the token of sequence `sequences (rows,)` at place `slots (rows,)`; it sees the places up to its own. `keys`
    (layers, batch, kv heads, room, head size) and `values` (layers, batch, kv heads, head size, room) hold the places before
    and get those of `x`.
    """
    rows, width = x.shape
    groups, size = keys.shape[2], keys.shape[4]
    heads = layers.out.weights.shape[2] // size
    normed = np.empty((rows, width), _float)
    qkv = np.empty((rows, (heads + 2 * groups) * size), _float)
    seen = np.empty((rows, heads * size), _float)
    part = np.empty((rows, width), _float)
    scores = np.empty((threads, keys.shape[3]), _float)
    both = np.empty((rows, layers.gate_up.weights.shape[1]), _float)
    inner = np.empty((rows, layers.down.weights.shape[2]), _float)
    for layer in range(len(layers.qkv.weights)):
        _normalise(x, layers.norms[2 * layer], epsilon, normed)
        _multiply(normed, layers.qkv.weights[layer], layers.qkv.scales[layer], qkv, threads)
        _place(qkv, sequences, slots, keys[layer], values[layer], cosines, sines, heads)
        _attend(qkv, sequences, slots, keys[layer], values[layer], seen, scores)
        _multiply(seen, layers.out.weights[layer], layers.out.scales[layer], part, threads)
        _add(x, part)
        _normalise(x, layers.norms[2 * layer + 1], epsilon, normed)
        _multiply(normed, layers.gate_up.weights[layer], layers.gate_up.scales[layer], both, threads)
        _gate(both, inner, threads)
        _multiply(inner, layers.down.weights[layer], layers.down.scales[layer], part, threads)
        _add(x, part)
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
def _multiply(x, weights, scales, out, threads):
    """`out (rows, n)` = x (rows, m) @ weights (n, m)^T; n is even."""
    count = len(weights)
    chunk = (count // 2 + threads - 1) // threads * 2
    for part in prange(threads):
        begin, end = part * chunk, min(count, (part + 1) * chunk)
        if len(x) == 1:
            for n in range(begin, end):
                _one_by_one(x, weights, scales, out, n)
        elif len(x) < 4:
            for n in range(begin, end):
                _one_by_two(x, weights, scales, out, n, 0)
                if len(x) == 3:
                    _one_by_two(x, weights, scales, out, n, 1)
        else:
            for block in range(begin, end, _BLOCK):
                for row in range(0, len(x), 4):
                    for n in range(block, min(block + _BLOCK, end), 2):
                        _two_by_four(x, weights, scales, out, n, min(row, len(x) - 4))


@njit(**_PLAIN)
def _one_by_one(x, weights, scales, out, n):
    a = _float(0)
    for i in range(weights.shape[1]):
        a += _value(weights[n, i]) * x[0, i]
    out[0, n] = a * scales[n]


@njit(**_PLAIN)
def _one_by_two(x, weights, scales, out, n, row):
    """Guidance has two rows for each clip; they share what is read."""
    a = b = _float(0)
    for i in range(weights.shape[1]):
        w = _value(weights[n, i])
        a += w * x[row, i]
        b += w * x[row + 1, i]
    out[row, n], out[row + 1, n] = a * scales[n], b * scales[n]


@njit(**_PLAIN)
def _two_by_four(x, weights, scales, out, n, row):
    """Eight sums at once, as many as registers hold."""
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
    v, w = scales[n], scales[n + 1]
    out[row, n], out[row + 1, n], out[row + 2, n], out[row + 3, n] = a0 * v, a1 * v, a2 * v, a3 * v
    out[row, n + 1], out[row + 1, n + 1], out[row + 2, n + 1], out[row + 3, n + 1] = b0 * w, b1 * w, b2 * w, b3 * w


@njit(**_PLAIN)
def _add(x, part):
    for row in range(len(x)):
        for i in range(x.shape[1]):
            x[row, i] += part[row, i]


@njit(**_PLAIN, parallel=True)
def _gate(both, out, threads):
    """`out (rows, n)` = silu of the first half of `both (rows, 2 n)` times the second."""
    if len(out) < _FEW:
        _gate_part(both, out, 0, 1)
    else:
        for part in prange(threads):
            _gate_part(both, out, part, threads)


@njit(**_PLAIN)
def _gate_part(both, out, part, parts):
    half = out.shape[1]
    begin, end = half * part // parts, half * (part + 1) // parts
    for row in range(len(out)):
        gates, ups, gated = both[row, begin:end], both[row, half + begin : half + end], out[row, begin:end]
        for n in range(len(gated)):
            gated[n] = gates[n] / (_float(1) + _exp(-gates[n])) * ups[n]


@njit(**_PLAIN)
def _exp(x):
    """e to the `x`, float32, right to 1e-5 of it; the compiler makes vectors of it. Beyond -87 and 88 it stays what it is there."""
    power = max(min(x, _float(88)), _float(-87)) * _float(1.4426950408889634)
    whole = np.floor(power + _float(0.5))
    r = (power - whole) * _float(0.6931471805599453)
    series = _float(1) + r * (_float(1) + r * (_float(1 / 2) + r * (_float(1 / 6) + r * (_float(1 / 24) + r * _float(1 / 120)))))
    return series * np.int32((np.int32(whole) + 127) << 23).view(np.float32)


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
                values[sequence, group, i, slot] = qkv[row, value + i]


@njit(**_PLAIN, parallel=True)
def _attend(qkv, sequences, slots, keys, values, out, scores):
    """What every head of every token makes of the places it sees; a row of `scores (threads, room)` is room to work in."""
    if len(out) < _FEW:
        _attend_part(qkv, sequences, slots, keys, values, out, scores, 0, 1)
    else:
        for part in prange(len(scores)):
            _attend_part(qkv, sequences, slots, keys, values, out, scores, part, len(scores))


@njit(**_PLAIN)
def _attend_part(qkv, sequences, slots, keys, values, out, scores, part, parts):
    size = keys.shape[3]
    heads = out.shape[1] // size
    count = len(out) * heads
    scale = _float(1) / np.sqrt(_float(size))
    for unit in range(count * part // parts, count * (part + 1) // parts):
        row, head = unit // heads, unit % heads
        sequence, past, group = sequences[row], slots[row] + 1, head * keys.shape[1] // heads
        padded = (past + STRIDE - 1) // STRIDE * STRIDE
        query, mixed = qkv[row, head * size : (head + 1) * size], out[row, head * size : (head + 1) * size]
        weights = scores[part, :padded]
        top = _float(-1e30)
        for t in range(past):
            key = keys[sequence, group, t]
            score = _float(0)
            for i in range(size):
                score += query[i] * key[i]
            weights[t] = score * scale
            top = max(top, weights[t])
        total = _float(0)
        for t in range(past):
            weights[t] = _exp(weights[t] - top)
            total += weights[t]
        weights[past:] = _float(0)
        for i in range(size):
            channel = values[sequence, group, i]
            value = _float(0)
            for t in range(padded):
                value += weights[t] * channel[t]
            mixed[i] = value / total
