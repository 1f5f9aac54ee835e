"""What decoding computes on the CPU, compiled by numba and kept on disk: a LLaMA-like model, the read-outs of codes, the choice of one.

A pass over a few tokens takes as long as reading the weights does, so they are kept small (int8 with a scale per output, or
bfloat16) and read once, in order, for all rows of the batch. int8 weights are multiplied with activations that are rounded to 16
bits, in whole numbers, of which processors multiply and add twice as many at once as of float32; all other sums are float32.
Compiling takes seconds, once on a computer.

`forward` and `read` are gone through by several threads side by side, each called with its `part` of `parts`. A thread computes
some of the outputs, or some of the heads, of every step, and where the next step needs them all it waits for the others (`_meet`):
waking a thread for every step would take longer than many of the steps. What all see is allocated by the caller.

Loops run over slices from their beginning: the compiler makes vectors of none whose index might be negative.
This file imports nothing of the package, because it is run from the user's cache.
"""

import ctypes
import sys
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from llvmlite import binding, ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic, overload

_PLAIN: Any = {"fastmath": True, "nogil": True, "boundscheck": False, "error_model": "numpy"}  # a division that may raise is no vector's
_float = np.float32
_intrinsic: Any = intrinsic  # what it makes is called without the first argument, which its type does not say
STRIDE = 32  # places are attended to in steps of so many, the room of a cache is a multiple of it
_WIDE = binding.get_host_cpu_features().get("avx512bw", False)
_LANES = 16 if _WIDE else 8  # sums that one register holds
OUTPUTS = 4 if _WIDE else 2  # whose sums with four rows, and what they are made of, fit into all registers
_BLOCK = 4 if _WIDE else 8  # times OUTPUTS, whose weights stay in the first cache while all rows are multiplied with them
_PATIENCE = 2000  # looks at what the others do, a few microseconds, before the processor is offered to other programs
_EPSILON = 2.0**-23  # torch's own where a norm is told none

_system_yield = ctypes.windll.kernel32.SwitchToThread if sys.platform == "win32" else ctypes.CDLL(None).sched_yield
binding.add_symbol("motiongpt_give_way", ctypes.cast(_system_yield, ctypes.c_void_p).value)
_give_way = types.ExternalFunction("motiongpt_give_way", types.int32())


class Matrix(NamedTuple):
    """The same matrix of every layer, in int8, float32, or bfloat16 seen as int16.

    `weights (layers, out / OUTPUTS, in / inputs, OUTPUTS, inputs)`, with `inputs` of `inputs_at_once`, lie in the order in which
    they are read, because memory is fast only then; `scales (layers, out)`. Both sizes are padded with zeros.
    """

    weights: np.ndarray
    scales: np.ndarray


class Layers(NamedTuple):
    """Queries, keys and values in one matrix, gate and up in another; `norms (2 * layers + 1, width)`, the last one's at the end."""

    qkv: Matrix
    out: Matrix
    gate_up: Matrix
    down: Matrix
    norms: np.ndarray


class Readers(NamedTuple):
    """The read-outs of finer codes, a layer a level; `first (rows, width)` and `finer (levels, codes, width)` embed what is chosen."""

    first: np.ndarray
    finer: np.ndarray
    hidden: Matrix
    hidden_bias: np.ndarray
    chosen: Matrix
    mix: Matrix
    mix_bias: np.ndarray
    rows: Matrix
    rows_bias: np.ndarray


@njit(**_PLAIN, cache=True)
def forward(
    part: int,
    parts: int,
    arrivals: np.ndarray,
    x: np.ndarray,
    sequences: np.ndarray,
    slots: np.ndarray,
    layers: Layers,
    qkv: np.ndarray,
    seen: np.ndarray,
    inner: np.ndarray,
    keys: np.ndarray,
    values: np.ndarray,
    cosines: np.ndarray,
    sines: np.ndarray,
    epsilon: float,
) -> np.ndarray:
    """Last hidden states (rows, width) of tokens with embeddings `x (rows, width)`, which is overwritten.

    A row is the token of sequence `sequences (rows,)` at place `slots (rows,)`; it sees the places up to its own. `keys`
    (layers, batch, kv heads, room, head size) and `values` (layers, batch, kv heads, head size, room) hold the places before
    and get those of `x`. `qkv`, `seen` (rows, heads * head size) and `inner` (rows, inner) are room to work in.
    """
    width = x.shape[1]
    groups, size = keys.shape[2], keys.shape[4]
    heads = seen.shape[1] // size
    normed = np.empty_like(x)
    for layer in range(len(layers.qkv.weights)):
        _normalise(x, layers.norms[2 * layer], epsilon, normed)
        begin, end = _share(heads + 2 * groups, 1, part, parts)
        qkv[:, begin * size : end * size] = 0
        _multiply(_given(normed, layers.qkv.weights), layers.qkv, layer, qkv, begin * size, end * size)
        _place(qkv, begin, end, heads, sequences, slots, keys[layer], values[layer], cosines, sines)
        _meet(arrivals, parts)
        _attend(qkv, sequences, slots, keys[layer], values[layer], seen, part, parts)
        _meet(arrivals, parts)
        begin, end = _share(width, OUTPUTS, part, parts)
        _multiply(_given(seen, layers.out.weights), layers.out, layer, x, begin, end)
        _meet(arrivals, parts)
        _normalise(x, layers.norms[2 * layer + 1], epsilon, normed)
        begin, end = _share(inner.shape[1], OUTPUTS, part, parts)
        _gated(normed, layers.gate_up, layer, inner, begin, end)
        _meet(arrivals, parts)
        begin, end = _share(width, OUTPUTS, part, parts)
        _multiply(_given(inner, layers.down.weights), layers.down, layer, x, begin, end)
        _meet(arrivals, parts)
    _normalise(x, layers.norms[-1], epsilon, normed)
    return normed


@njit(**_PLAIN, cache=True)
def score(part: int, parts: int, arrivals: np.ndarray, hidden: np.ndarray, rows: Matrix, scores: np.ndarray) -> None:
    """Scores (B, R) of output rows after hidden states (B, width), into `scores`."""
    begin, end = _share(scores.shape[1], OUTPUTS, part, parts)
    scores[:, begin:end] = 0
    _multiply(_given(hidden, rows.weights), rows, 0, scores, begin, end)


@njit(**_PLAIN, cache=True)
def read(
    part: int,
    parts: int,
    arrivals: np.ndarray,
    hidden: np.ndarray,
    chosen: np.ndarray,
    readers: Readers,
    state: np.ndarray,
    mixed: np.ndarray,
    scores: np.ndarray,
) -> None:
    """Scores (B, codes) of the next finer code after hidden states (B, width) and the codes `chosen (B, n)`, into `scores`.

    `state` and `mixed` (B, inner) are room to work in.
    """
    level, plain, normed = chosen.shape[1] - 1, np.ones(hidden.shape[1], _float), np.empty_like(hidden)
    begin, end = _share(state.shape[1], OUTPUTS, part, parts)
    state[:, begin:end] = readers.hidden_bias[level, begin:end]
    _normalise(hidden, plain, _EPSILON, normed)
    _multiply(_given(normed, readers.hidden.weights), readers.hidden, level, state, begin, end)
    _normalise(_embedded(chosen, readers), plain, _EPSILON, normed)
    _multiply(_given(normed, readers.chosen.weights), readers.chosen, level, state, begin, end)
    _silu(state, begin, end)
    _meet(arrivals, parts)
    mixed[:, begin:end] = readers.mix_bias[level, begin:end]
    _multiply(_given(state, readers.mix.weights), readers.mix, level, mixed, begin, end)
    _silu(mixed, begin, end)
    mixed[:, begin:end] += state[:, begin:end]
    _meet(arrivals, parts)
    begin, end = _share(scores.shape[1], OUTPUTS, part, parts)
    scores[:, begin:end] = readers.rows_bias[level, begin:end]
    _multiply(_given(mixed, readers.rows.weights), readers.rows, level, scores, begin, end)


@njit(nogil=True, cache=True)
def draw(scores: np.ndarray, legal: np.ndarray, temperature: float, top_k: int, dice: np.ndarray) -> np.ndarray:
    """One row index (B,) of each of `scores (B, R)`, only where `legal (B, R)` is true: where `dice (B,)`, from 0 to 1, fall.

    At temperature 0 the likeliest is taken; `top_k` above 0 leaves out all but so many, and those as likely as the last of them.
    """
    drawn = np.empty(len(scores), np.int64)
    for b in range(len(scores)):
        mine = np.where(legal[b], scores[b], _float(-np.inf))
        best = np.argmax(mine)
        drawn[b] = best
        if temperature == 0:
            continue
        floor = np.partition(mine, len(mine) - top_k)[len(mine) - top_k] if 0 < top_k < len(mine) else _float(-np.inf)
        weights = np.where(mine >= floor, np.exp((mine - mine[best]) / _float(temperature)), _float(0))
        left = dice[b] * weights.sum()
        for row in range(len(mine)):
            left -= weights[row]
            if left < 0:
                drawn[b] = row
                break
    return drawn


@njit(**_PLAIN)
def _share(count, step, part, parts):
    """Where a part of `count` things begins and ends that are dealt out `step` at a time; `count` is a multiple of it."""
    steps = count // step
    return steps * part // parts * step, steps * (part + 1) // parts * step


@njit(**_PLAIN)
def _meet(arrivals, parts):
    """Wait until all parts have come as far; `arrivals (1,)` counts them, and begins at a multiple of `parts`."""
    if parts > 1:
        awaited = (_arrive(arrivals) // parts + 1) * parts
        tries = 0
        while _arrived(arrivals) < awaited:
            tries += 1
            if tries > _PATIENCE:  # another program may be where the awaited thread would run
                _give_way()


@_intrinsic
def _arrive(typing, arrivals):
    """Add one to `arrivals (1,)` for all threads to see; what it was before."""

    def generate(context, builder, signature, arguments):
        counter = context.make_array(arrivals)(context, builder, arguments[0]).data
        return builder.atomic_rmw("add", counter, counter.type.pointee(1), "seq_cst")

    return types.int64(arrivals), generate


@_intrinsic
def _arrived(typing, arrivals):
    def generate(context, builder, signature, arguments):
        return builder.load_atomic(context.make_array(arrivals)(context, builder, arguments[0]).data, "seq_cst", 8)

    return types.int64(arrivals), generate


@njit(**_PLAIN)
def _normalise(x, weights, epsilon, out):
    for row in range(len(x)):
        total = _float(0)
        for i in range(x.shape[1]):
            total += x[row, i] * x[row, i]
        scale = _float(1) / np.sqrt(total / _float(x.shape[1]) + _float(epsilon))
        for i in range(x.shape[1]):
            out[row, i] = x[row, i] * scale * weights[i]


class _Given(NamedTuple):
    """Rows as a kind of matrix is multiplied with: `values (rows, in)`, each of them times its row's of `units (rows,)`."""

    values: np.ndarray
    units: np.ndarray


def _given(x, weights):
    """Rows x (rows, m) for multiplication with `weights`: rounded to 16 bits if those are int8."""


@overload(_given)
def _typed_given(x, weights):
    if weights.dtype == types.int8:
        return lambda x, weights: _rounded(x, weights.shape[-3] * weights.shape[-1])
    return lambda x, weights: _padded(x, weights.shape[-3] * weights.shape[-1])


@njit(**_PLAIN)
def _rounded(x, length):
    """In units so fine that no sum of products with int8 grows beyond 32 bits."""
    values, units = np.zeros((len(x), length), np.int16), np.empty(len(x), _float)
    finest = min(2**15 - 1, (2**31 - 1) // (127 * (length // _LANES)))
    for row in range(len(x)):
        top = _float(1e-12)
        for i in range(x.shape[1]):
            top = max(top, abs(x[row, i]))
        units[row] = top / _float(finest)
        times = _float(finest) / top
        for i in range(x.shape[1]):
            values[row, i] = np.int16(np.floor(x[row, i] * times + _float(0.5)))
    return _Given(values, units)


@njit(**_PLAIN)
def _padded(x, length):
    values = np.zeros((len(x), length), _float)
    values[:, : x.shape[1]] = x
    return _Given(values, np.ones(len(x), _float))


@njit(**_PLAIN)
def _multiply(given, matrix, layer, out, begin, end):
    """Add x (rows, m) @ weights (n, m)^T to `out (rows, n)`, its columns from `begin` to `end`, which are multiples of OUTPUTS."""
    x, units = given
    weights, scales = matrix.weights[layer], matrix.scales[layer]
    for block in range(begin // OUTPUTS, end // OUTPUTS, _BLOCK):
        stop = min(block + _BLOCK, end // OUTPUTS)
        row = 0
        while row + 4 <= len(x):
            for group in range(block, stop):
                _four_rows(x, units, weights, scales, out, row, group)
            row += 4
        if row + 2 <= len(x):
            for group in range(block, stop):
                _two_rows(x, units, weights, scales, out, row, group)
            row += 2
        if row < len(x):
            for group in range(block, stop):
                _one_row(x, units, weights, scales, out, row, group)


def _tile(rows):
    """What adds the products of `rows` rows, from `row` on, with a group of OUTPUTS outputs to `out`; all their sums at once.

    Written for the compiler below numba, which finds the instruction that multiplies and adds pairs of whole numbers only where
    the pairs are told.
    """

    @_intrinsic
    def multiply(typing, x, units, weights, scales, out, row, group):
        def generate(context, builder, signature, arguments):
            *arrays, row, group = arguments
            views = [context.make_array(kind)(context, builder, array) for kind, array in zip(signature.args, arrays, strict=False)]

            def place(array, *index):
                return cgutils.get_item_pointer(context, builder, signature.args[array], views[array], index, wraparound=False)

            def following(first, count):
                return [builder.add(first, first.type(i)) for i in range(count)]

            whole, inputs = weights.dtype == types.int8, inputs_at_once(weights.dtype)
            sums = ir.VectorType(ir.IntType(32) if whole else ir.FloatType(), _LANES)
            held = {at: cgutils.alloca_once_value(builder, sums(None)) for at in product(range(rows), range(OUTPUTS))}
            rows_, outputs = following(row, rows), following(builder.mul(group, group.type(OUTPUTS)), OUTPUTS)
            steps = builder.extract_value(views[2].shape, 1)
            with cgutils.for_range(builder, steps) as loop:
                i, zero = builder.mul(loop.index, steps.type(inputs)), steps.type(0)
                given = [_vector(builder, place(0, r, i), x.dtype, inputs) for r in rows_]
                factors = [_vector(builder, place(2, group, loop.index, zero.type(o), zero), weights.dtype, inputs) for o in range(OUTPUTS)]
                for (r, o), total in held.items():
                    builder.store(_plus(builder, builder.load(total), given[r], factors[o]), total)
            for (r, o), total in held.items():
                scale = builder.fmul(builder.load(place(1, rows_[r])), builder.load(place(3, outputs[o])))
                target = place(4, rows_[r], outputs[o])
                builder.store(builder.fadd(builder.load(target), builder.fmul(_total(builder, builder.load(total)), scale)), target)
            return context.get_dummy_value()

        return types.void(x, units, weights, scales, out, row, group), generate

    return multiply


def inputs_at_once(kind):
    """How many weights of a kind are multiplied in one step: two for each sum if they are int8, else one."""
    return _LANES * 2 if kind == types.int8 else _LANES


_four_rows, _two_rows, _one_row = _tile(4), _tile(2), _tile(1)


def _vector(builder, pointer, kind, count):
    """`count` numbers of a kind as int32 or float32."""
    bits = {types.int8: 8, types.int16: 16}.get(kind)
    stored = ir.IntType(bits) if bits else ir.FloatType()
    loaded = builder.load(builder.bitcast(pointer, ir.VectorType(stored, count).as_pointer()), align=1)
    if not bits:
        return loaded
    words = ir.VectorType(ir.IntType(32), count)
    if count > _LANES:
        return builder.sext(loaded, words)
    upper = builder.shl(builder.zext(loaded, words), words([16] * count))  # bfloat16 is the upper half of a float32
    return builder.bitcast(upper, ir.VectorType(ir.FloatType(), count))


def _plus(builder, sums, a, b):
    """Sums and the products of a and b, of which there are as many, or two for each sum if they are whole numbers."""
    if a.type == sums.type:
        return builder.fadd(sums, builder.fmul(a, b, flags=("fast",)), flags=("fast",))
    products, masks = builder.mul(a, b), (ir.VectorType(ir.IntType(32), _LANES)(list(range(i, 2 * _LANES, 2))) for i in (0, 1))
    even, odd = (builder.shuffle_vector(products, ir.Constant(products.type, ir.Undefined), mask) for mask in masks)
    return builder.add(sums, builder.add(even, odd))


def _total(builder, sums):
    """A vector's sum, float32."""
    floats = ir.VectorType(ir.FloatType(), _LANES)
    kind = ir.FunctionType(ir.FloatType(), [ir.FloatType(), floats])
    reduce = cgutils.get_or_insert_function(builder.module, kind, f"llvm.vector.reduce.fadd.v{_LANES}f32")
    values = sums if sums.type == floats else builder.sitofp(sums, floats)
    return builder.call(reduce, [ir.FloatType()(-0.0), values], fastmath=("fast",))


@njit(**_PLAIN)
def _gated(x, matrix, layer, out, begin, end):
    """`out (rows, n)` = silu of the first half of the products of x with the matrix (2 n, m) times the second, from `begin` to `end`."""
    half, given = out.shape[1], _given(x, matrix.weights)
    both = np.zeros((len(x), 2 * half), _float)
    _multiply(given, matrix, layer, both, begin, end)
    _multiply(given, matrix, layer, both, half + begin, half + end)
    _silu(both, begin, end)
    for row in range(len(out)):
        gates, ups, gated = both[row, begin:end], both[row, half + begin : half + end], out[row, begin:end]
        for n in range(len(gated)):
            gated[n] = gates[n] * ups[n]


@njit(**_PLAIN)
def _silu(x, begin, end):
    """x times its logistic function, in place, in the columns from `begin` to `end`."""
    for row in range(len(x)):
        values = x[row, begin:end]
        for i in range(len(values)):
            values[i] = values[i] / (_float(1) + _exp(-values[i]))


@njit(**_PLAIN)
def _exp(x):
    """e to the `x`, float32, right to 1e-5 of it; the compiler makes vectors of it. Beyond -87 and 88 it stays what it is there."""
    power = max(min(x, _float(88)), _float(-87)) * _float(1.4426950408889634)
    whole = np.floor(power + _float(0.5))
    r = (power - whole) * _float(0.6931471805599453)
    series = _float(1) + r * (_float(1) + r * (_float(1 / 2) + r * (_float(1 / 6) + r * (_float(1 / 24) + r * _float(1 / 120)))))
    return series * np.int32((np.int32(whole) + 127) << 23).view(np.float32)


@njit(**_PLAIN)
def _embedded(chosen, readers):
    """Sums (B, width) of the embeddings of a row and the finer codes after it, `chosen (B, n)`."""
    sums = np.empty((len(chosen), readers.first.shape[1]), _float)
    for b in range(len(chosen)):
        sums[b] = readers.first[chosen[b, 0]]
        for level in range(chosen.shape[1] - 1):
            sums[b] += readers.finer[level, chosen[b, level + 1]]
    return sums


@njit(**_PLAIN)
def _place(qkv, begin, end, heads, sequences, slots, keys, values, cosines, sines):
    """Turn queries and keys to their places (RoPE, halves of a head paired) and put keys and values into the cache.

    `qkv (rows, (heads + 2 * kv heads) * head size)`: the vectors of all queries, all keys and all values, here those from the
    `begin`-th to the `end`-th.
    """
    groups, size = keys.shape[1], keys.shape[3]
    half = size // 2
    for row in range(len(qkv)):
        sequence, slot = sequences[row], slots[row]
        for head in range(begin, end):
            vector = qkv[row, head * size : (head + 1) * size]
            if head >= heads + groups:
                for i in range(size):
                    values[sequence, head - heads - groups, i, slot] = vector[i]
                continue
            for i in range(half):
                a, b = vector[i], vector[half + i]
                vector[i] = a * cosines[slot, i] - b * sines[slot, i]
                vector[half + i] = b * cosines[slot, i] + a * sines[slot, i]
            if head >= heads:
                keys[sequence, head - heads, slot] = vector


@njit(**_PLAIN)
def _attend(qkv, sequences, slots, keys, values, out, part, parts):
    """What a part of the heads of all tokens make of the places they see, into `out (rows, heads * head size)`."""
    size = keys.shape[3]
    heads = out.shape[1] // size
    scale = _float(1) / np.sqrt(_float(size))
    scores = np.empty(keys.shape[2], _float)
    begin, end = _share(len(out) * heads, 1, part, parts)
    for unit in range(begin, end):
        row, head = unit // heads, unit % heads
        sequence, past, group = sequences[row], slots[row] + 1, head * keys.shape[1] // heads
        padded = (past + STRIDE - 1) // STRIDE * STRIDE
        query, mixed = qkv[row, head * size : (head + 1) * size], out[row, head * size : (head + 1) * size]
        weights = scores[:padded]
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
