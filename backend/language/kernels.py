"""What decoding computes on the CPU, compiled by numba and kept on disk: a LLaMA-like model, the read-outs of codes, the choice of one.

A pass over a few tokens takes as long as reading the weights does, so they are kept small (int8 with a scale per output, or
bfloat16) and read once, in order, for all rows of the batch. int8 weights are multiplied with activations that are rounded as
well, in whole numbers, of which processors multiply and add two or four times as many at once as of float32; all other sums are
float32. Compiling takes seconds, once on a computer.

`forward`, `read` and `read_all` are gone through by several threads side by side, each called with its `part` of `parts`. A thread computes
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
_FEATURES = binding.get_host_cpu_features()
_WIDE = _FEATURES.get("avx512bw", False)
# Whether one instruction adds four products of bytes to a sum.
FOURS = _FEATURES.get("avx512vnni" if _WIDE else "avxvnni", False)
LANES = 16 if _WIDE else 8  # sums that one register holds; places of a cache that stand side by side
_VECTORS = 2 if _WIDE else 1  # of sums for each of four rows, so that these and what they are made of fit into all registers
OUTPUTS = _VECTORS * LANES
BLOCK = 32  # inputs whose activations are rounded in one unit
_LINE = 64  # bytes that come from memory at once
_CHAINS = 4  # sums that are made side by side, because each addition waits for the one before
_PATIENCE = 2000  # looks at what the others do, a few microseconds, before the processor is offered to other programs
_LEAST = -(2.0**126)  # a score below which nothing is chosen
_EPSILON = 2.0**-23  # torch's own where a norm is told none

_system_yield = ctypes.windll.kernel32.SwitchToThread if sys.platform == "win32" else ctypes.CDLL(None).sched_yield
binding.initialize_native_asmparser()
binding.add_symbol("motiongpt_give_way", ctypes.cast(_system_yield, ctypes.c_void_p).value)
_give_way = types.ExternalFunction("motiongpt_give_way", types.int32())


class Matrix(NamedTuple):
    """The same matrix of every layer, in float32, bfloat16 seen as int16, int8, or int8 with 128 added, which makes it uint8.

    uint8 is multiplied with activations of 8 bits, four at once, where there are `FOURS`, and elsewhere int8 with those of 16, two at once.

    `weights (layers, out / OUTPUTS, in / inputs, OUTPUTS, inputs)`, with `inputs` of `inputs_at_once`, lie in the order in which
    they are read, because memory is fast only then; `scales (layers, out)`. Both sizes are padded, inputs to whole blocks.
    """

    weights: np.ndarray
    scales: np.ndarray


class Layers(NamedTuple):
    """Queries, keys and values in one matrix, gate and up in another; `norms (2 * layers + 1, width)`, the last one's at the end.

    The outputs of `gate_up` take turns, `BLOCK` of the gate and `BLOCK` of what it gates.
    """

    qkv: Matrix
    out: Matrix
    gate_up: Matrix
    down: Matrix
    norms: np.ndarray


class Cache(NamedTuple):
    """Keys and values of the tokens of some sequences, float32 or bfloat16 seen as int16, in the order in which they are read.

    `keys (layers, sequences, kv heads, room / LANES, head size, LANES)`, `values (layers, sequences, kv heads, room, head size)`.
    """

    keys: np.ndarray
    values: np.ndarray


class Rows(NamedTuple):
    """Where the tokens of a pass belong, each (rows,).

    A token stands in `sequences` at `slots`, counted from the end of the prompt that is number `prompts`, which is as long as
    `prompted` says and may be that of several sequences.
    """

    sequences: np.ndarray
    slots: np.ndarray
    prompts: np.ndarray
    prompted: np.ndarray


class Given(NamedTuple):
    """Rows as a kind of matrix is multiplied with.

    `values (rows, in)` are, for one of whole numbers, such too: those of a block times its unit of `units (rows, in / BLOCK)`.
    `offsets (rows, in / BLOCK)` take from their sums what is added to the weights.
    """

    values: np.ndarray
    units: np.ndarray
    offsets: np.ndarray


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
    rows: Rows,
    layers: Layers,
    normed: Given,
    qkv: np.ndarray,
    seen: Given,
    inner: Given,
    begun: Cache,
    own: Cache,
    cosines: np.ndarray,
    sines: np.ndarray,
    epsilon: float,
) -> np.ndarray:
    """Last hidden states (rows, width) of tokens with embeddings `x (rows, width)`, which is overwritten.

    Each sees its prompt, whose keys and values `begun` holds, and of its sequence the places up to its own, which `own` holds or,
    if they are among the tokens of this pass, is given. `qkv (rows, (heads + 2 * kv heads) * head size)` is room to work in, and so are
    those for what the matrices are multiplied with: `normed` for `layers.qkv` and `layers.gate_up`, `seen` for `layers.out`,
    `inner` for `layers.down`.
    """
    width = x.shape[1]
    for layer in range(len(layers.qkv.weights)):
        begin, end = _share(len(x), 1, part, parts)
        _give_rows(x, layers.norms[2 * layer], epsilon, normed, layers.qkv.weights, begin, end)
        _meet(arrivals, parts)
        begin, end = _share(qkv.shape[1], OUTPUTS, part, parts)
        qkv[:, begin:end] = 0
        _multiply(normed, layers.qkv, layer, qkv, begin, end, 0)
        _meet(arrivals, parts)
        _place(qkv, rows, own.keys[layer], own.values[layer], cosines, sines, part, parts)
        _meet(arrivals, parts)
        before, now = (begun.keys[layer], begun.values[layer]), (own.keys[layer], own.values[layer])
        _attend(qkv, rows, before, now, seen, layers.out.weights, part, parts)
        _meet(arrivals, parts)
        begin, end = _share(width, OUTPUTS, part, parts)
        _multiply(seen, layers.out, layer, x, begin, end, 0)
        _meet(arrivals, parts)
        begin, end = _share(len(x), 1, part, parts)
        _give_rows(x, layers.norms[2 * layer + 1], epsilon, normed, layers.gate_up.weights, begin, end)
        _meet(arrivals, parts)
        begin, end = _share(inner.values.shape[1], BLOCK, part, parts)
        _gated(normed, layers.gate_up, layer, inner, layers.down.weights, begin, end)
        _meet(arrivals, parts)
        begin, end = _share(width, OUTPUTS, part, parts)
        _multiply(inner, layers.down, layer, x, begin, end, 0)
        _meet(arrivals, parts)
    return _normalised(x, layers.norms[-1], epsilon)


@njit(**_PLAIN, cache=True)
def room_for(rows: int, weights: np.ndarray) -> Given:
    """Room for so many rows as they are multiplied with `weights`."""
    return _room(rows, weights.shape[-3] * weights.shape[-1], weights)


@njit(**_PLAIN, cache=True)
def score(part: int, parts: int, arrivals: np.ndarray, hidden: np.ndarray, rows: Matrix, scores: np.ndarray) -> None:
    """Scores (B, R) of output rows after hidden states (B, width), into `scores`."""
    begin, end = _share(scores.shape[1], OUTPUTS, part, parts)
    scores[:, begin:end] = 0
    _multiply(_given(hidden, np.empty(0, _float), _EPSILON, rows.weights), rows, 0, scores, begin, end, 0)


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
    sums = np.empty((len(chosen), hidden.shape[1]), _float)
    given = _given(hidden, np.ones(hidden.shape[1], _float), _EPSILON, readers.hidden.weights)
    _embed(chosen, readers, sums)
    _read(given, sums, readers, chosen.shape[1] - 1, state, mixed, scores, part, parts, arrivals)


@njit(**_PLAIN, cache=True)
def read_all(
    part: int,
    parts: int,
    arrivals: np.ndarray,
    hidden: np.ndarray,
    chosen: np.ndarray,
    readers: Readers,
    guidance: float,
    temperature: float,
    top_k: int,
    dice: np.ndarray,
    state: np.ndarray,
    mixed: np.ndarray,
    scores: np.ndarray,
) -> None:
    """Choose all finer codes of a position after the rows in the first column of `chosen (B, levels)`, into the others.

    `hidden (B, width)`, or twice as many where decoding is guided: those with the caption, and below them those without. `dice`
    (levels, B) fall from 0 to 1, and choose as in `draw`. `state` and `mixed` (as many as hidden, inner) and `scores` are room to
    work in. It is what `read` and `draw` do one after another, without what each call and each wait for a thread takes.
    """
    count, codes = len(chosen), readers.finer.shape[1]
    sums = np.empty((count, hidden.shape[1]), _float)
    given = _given(hidden, np.ones(hidden.shape[1], _float), _EPSILON, readers.hidden.weights)
    _embed(chosen[:, :1], readers, sums)
    for level in range(chosen.shape[1] - 1):
        _read(given, sums, readers, level, state, mixed, scores, part, parts, arrivals)
        _meet(arrivals, parts)
        begin, end = _share(count, 1, part, parts)
        for b in range(begin, end):
            mine = scores[b, :codes]
            if len(hidden) > count:
                for i in range(codes):
                    mine[i] = scores[count + b, i] + (mine[i] - scores[count + b, i]) * _float(guidance)
            chosen[b, level + 1] = _draw(mine, temperature, top_k, dice[level + 1, b])
        _meet(arrivals, parts)
        for b in range(count):
            sums[b] += readers.finer[level, chosen[b, level + 1]]


@njit(**_PLAIN)
def _read(given, sums, readers, level, state, mixed, scores, part, parts, arrivals):
    """A part of the scores of a level, after what is `given` of hidden states and the `sums (n, width)` of what is chosen.

    Of hidden states there may be several times as many as of sums, which then go round.
    """
    begin, end = _share(state.shape[1], OUTPUTS, part, parts)
    mixed[: len(sums), begin:end] = 0
    chosen = _given(sums, np.ones(sums.shape[1], _float), _EPSILON, readers.chosen.weights)
    _multiply(chosen, readers.chosen, level, mixed, begin, end, 0)
    for row in range(len(state)):
        state[row, begin:end] = readers.hidden_bias[level, begin:end] + mixed[row % len(sums), begin:end]
    _multiply(given, readers.hidden, level, state, begin, end, 0)
    _silu(state, begin, end)
    _meet(arrivals, parts)
    mixed[:, begin:end] = readers.mix_bias[level, begin:end]
    none = np.empty(0, _float)
    _multiply(_given(state, none, _EPSILON, readers.mix.weights), readers.mix, level, mixed, begin, end, 0)
    _silu(mixed, begin, end)
    mixed[:, begin:end] += state[:, begin:end]
    _meet(arrivals, parts)
    begin, end = _share(scores.shape[1], OUTPUTS, part, parts)
    scores[:, begin:end] = readers.rows_bias[level, begin:end]
    _multiply(_given(mixed, none, _EPSILON, readers.rows.weights), readers.rows, level, scores, begin, end, 0)


@njit(nogil=True, cache=True)
def draw(scores: np.ndarray, legal: np.ndarray, temperature: float, top_k: int, dice: np.ndarray) -> np.ndarray:
    """One row index (B,) of each of `scores (B, R)`, only where `legal (B, R)` is true: where `dice (B,)`, from 0 to 1, fall.

    At temperature 0 the likeliest is taken; `top_k` above 0 leaves out all but so many, and those as likely as the last of them.
    """
    drawn = np.empty(len(scores), np.int64)
    for b in range(len(scores)):
        drawn[b] = _draw(np.where(legal[b], scores[b], _float(2 * _LEAST)), temperature, top_k, dice[b])
    return drawn


@njit(nogil=True)
def _draw(mine, temperature, top_k, die):
    """One index of scores `mine (R,)`, as `draw` says."""
    best = np.argmax(mine)
    if temperature == 0:
        return best
    floor = max(_reached_by(mine, top_k), _float(_LEAST)) if 0 < top_k < len(mine) else _float(_LEAST)
    weights = _weights(mine, mine[best], floor, _float(1) / _float(temperature))
    left = die * weights.sum()
    for row in range(len(mine)):
        left -= weights[row]
        if left < 0:
            return row
    return best


@njit(**_PLAIN)
def _reached_by(scores, count):
    """A score that `count` of all scores reach, and no others but those as high as the last of them.

    Halved by counting, which is done for a register of scores at once, where to sort them is done one by one: floats are in the order
    of their bits, and of the negative ones in that of their bits turned round.
    """
    bits, order = scores.view(np.int32), np.empty(len(scores), np.int32)
    for i in range(len(order)):
        order[i] = bits[i] ^ ((bits[i] >> np.int32(31)) & np.int32(0x7FFFFFFF))
    low, high = np.int64(-(2**31)), np.int64(2**31 - 1)
    while low < high:
        middle, reach = (low + high + 1) >> 1, np.int32(0)
        for i in range(len(order)):
            reach += np.int32(order[i] >= np.int32(middle))
        if reach < count:
            high = middle - 1
            continue
        low = middle
        if reach == count:
            break
    found = np.array([low], np.int32)
    return (found ^ ((found >> np.int32(31)) & np.int32(0x7FFFFFFF))).view(np.float32)[0]


@njit(**_PLAIN)
def _weights(scores, best, floor, factor):
    """How likely each of `scores (R,)` is beside the `best`; those below `floor` are nothing."""
    weights = np.empty(len(scores), _float)
    for i in range(len(weights)):
        weight = _exp(max((scores[i] - best) * factor, _float(-87)))
        weights[i] = weight if scores[i] >= floor else _float(0)
    return weights


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
def _normalised(x, weights, epsilon):
    """Rows x (rows, m) divided by the root of the mean of their squares and multiplied by `weights (m,)`; as they are without weights."""
    normed = x.copy()
    for row in range(len(x)):
        _normalise(normed[row], weights, epsilon)
    return normed


@njit(**_PLAIN)
def _normalise(x, weights, epsilon):
    """One of the rows that `_normalised` is about, in place."""
    if len(weights):
        total = _float(0)
        for i in range(len(weights)):
            total += x[i] * x[i]
        scale = _float(1) / np.sqrt(total / _float(len(weights)) + _float(epsilon))
        for i in range(len(weights)):
            x[i] *= scale * weights[i]


@njit(**_PLAIN)
def _given(x, norm, epsilon, weights):
    """Rows x (rows, m), normalised where there is a `norm (m,)`, for multiplication with `weights`."""
    given = room_for(len(x), weights)
    _give_rows(x, norm, epsilon, given, weights, 0, len(x))
    return given


@njit(**_PLAIN)
def _give_rows(x, norm, epsilon, given, weights, begin, end):
    """Of rows x, normalised where there is a norm, those from `begin` to `end` into `given` for `weights`."""
    padded = np.zeros(given.values.shape[1], _float)
    for row in range(begin, end):
        padded[: x.shape[1]] = x[row]
        _normalise(padded, norm, epsilon)
        for block in range(len(padded) // BLOCK):
            _give(padded, block * BLOCK, given, row, block, weights)


def _room(rows, length, weights) -> Any:
    """Room for so many rows of such a length as they are multiplied with `weights`."""


def _give(x, first, given, row, block, weights):
    """Put the block of `x` from `first` on to its place among the rows for `weights`: rounded if those are whole numbers.

    Then in units so fine that the largest number of the block becomes as large as its kind allows; no block's sum grows beyond 32 bits.
    """


@overload(_room)
def _typed_room(rows, length, weights):
    kind = {types.uint8: np.int8, types.int8: np.int16}.get(weights.dtype, np.float32)

    def make(rows, length, weights):
        blocks = length // BLOCK
        return Given(np.empty((rows, length), kind), np.empty((rows, blocks), _float), np.empty((rows, blocks), np.int32))

    return make


@overload(_give)
def _typed_give(x, first, given, row, block, weights):
    if weights.dtype not in (types.uint8, types.int8):

        def copy(x, first, given, row, block, weights):
            given.values[row, block * BLOCK : (block + 1) * BLOCK] = x[first : first + BLOCK]

        return copy
    finest, added = (127, 128) if weights.dtype == types.uint8 else (2**15 - 1, 0)

    def round_(x, first, given, row, block, weights):
        unit, total = _round(x, first, given.values, row, block * BLOCK, _float(finest))
        given.units[row, block], given.offsets[row, block] = unit, -added * total

    return round_


@_intrinsic
def _round(typing, x, first, values, row, at, finest):
    """Write the block of `x` from `first` on, rounded, into a row of values from `at` on; its unit, and the sum of what was written."""

    def generate(context, builder, signature, arguments):
        place = _places(context, builder, signature, arguments)
        _, first, _, row, at, finest = arguments
        given, targets = ([builder.add(i, i.type(lane)) for lane in range(0, BLOCK, LANES)] for i in (first, at))
        given = [_vector(builder, place(0, i), types.float32, LANES) for i in given]
        tops, totals = _FLOATS([1e-12] * LANES), _SUMS([0] * LANES)  # of each lane, because few instructions look across them
        for part in given:
            size = _call(builder, f"llvm.fabs.v{LANES}f32", part)
            tops = builder.select(builder.fcmp_ordered(">", size, tops), size, tops)
        top = _call(builder, f"llvm.vector.reduce.fmax.v{LANES}f32", tops)
        times, kind = _spread(builder, builder.fdiv(finest, top), LANES), ir.VectorType(context.get_data_type(values.dtype), LANES)
        for i, part in zip(targets, given, strict=True):
            whole = builder.fptosi(_call(builder, f"llvm.rint.v{LANES}f32", builder.fmul(part, times)), _SUMS)
            builder.store(builder.trunc(whole, kind), builder.bitcast(place(2, row, i), kind.as_pointer()), align=1)
            totals = builder.add(totals, whole)
        total = _call(builder, f"llvm.vector.reduce.add.v{LANES}i32", totals)
        return context.make_tuple(builder, signature.return_type, [builder.fdiv(top, finest), total])

    return types.Tuple([types.float32, types.int32])(x, first, values, row, at, finest), generate


@njit(**_PLAIN)
def _multiply(given, matrix, layer, out, begin, end, origin):
    """Add x (rows, m) @ weights (n, m)^T to `out`, its columns from `begin` to `end`, which are multiples of OUTPUTS.

    The columns of `out` are those from `origin` on.
    """
    x, units, offsets = given
    weights, scales = matrix.weights[layer], matrix.scales[layer]
    for group in range(begin // OUTPUTS, end // OUTPUTS):  # whose weights stay in the nearest caches for all rows
        row, column = 0, group * OUTPUTS - origin
        while row + 8 <= len(x):
            _eight_rows(x, units, offsets, weights, scales, out, row, group, column)
            row += 8
        if row + 4 <= len(x):
            _four_rows(x, units, offsets, weights, scales, out, row, group, column)
            row += 4
        if row + 2 <= len(x):
            _two_rows(x, units, offsets, weights, scales, out, row, group, column)
            row += 2
        if row < len(x):
            _one_row(x, units, offsets, weights, scales, out, row, group, column)


def _tile(rows):
    """What adds the products of `rows` rows, from `row` on, with a group of OUTPUTS outputs to
    `out` from `column` on; all their sums at once.

    Written for the compiler below numba, which finds the instructions that multiply and add several whole numbers only where
    they are told. A register's sums are those of as many outputs, so that none has to be taken apart.
    """

    @_intrinsic
    def multiply(typing, x, units, offsets, weights, scales, out, row, group, column):
        def generate(context, builder, signature, arguments):
            place, (*_, row, group, column) = _places(context, builder, signature, arguments), arguments
            of_all, blocks = cgutils.unpack_tuple(builder, context.make_array(units)(context, builder, arguments[1]).shape)
            whole, inputs = weights.dtype in (types.int8, types.uint8), inputs_at_once(weights.dtype)
            rows_, zero = [builder.add(row, row.type(r)) for r in range(rows)], row.type(0)
            columns = [row.type(v * LANES) for v in range(_VECTORS)]
            tile = list(product(range(rows), range(_VECTORS)))
            totals = {at: cgutils.alloca_once_value(builder, _FLOATS(None)) for at in tile}
            with cgutils.for_range(builder, blocks) as loop:
                block = loop.index
                if rows >= 4:
                    first = builder.mul(block, block.type(BLOCK // inputs))
                    size = BLOCK * OUTPUTS * weights.dtype.bitwidth // 8
                    _send_for(builder, place(3, builder.add(group, group.type(1)), first, zero, zero), size, row, rows, of_all)
                sums = {at: builder.load(totals[at]) for at in tile}
                if whole:
                    sums = {(r, v): _spread(builder, builder.load(place(2, rows_[r], block)), LANES) for r, v in tile}
                for step in range(BLOCK // inputs):
                    at = builder.add(builder.mul(block, block.type(BLOCK // inputs)), block.type(step))
                    factors = [_vector(builder, place(3, group, at, c, zero), weights.dtype, LANES * inputs) for c in columns]
                    first = builder.mul(at, at.type(inputs))
                    given = [_repeated(builder, place(0, r, first), x.dtype, inputs) for r in rows_]
                    sums = {(r, v): _plus(builder, sums[r, v], factors[v], given[r]) for r, v in tile}
                if whole:
                    scaled = {}
                    for r, v in tile:
                        unit = _spread(builder, builder.load(place(1, rows_[r], block)), LANES)
                        scaled[r, v] = _plus(builder, builder.load(totals[r, v]), builder.sitofp(sums[r, v], _FLOATS), unit)
                    sums = scaled
                for at in tile:
                    builder.store(sums[at], totals[at])
            for r, v in tile:
                output = builder.add(builder.mul(group, group.type(OUTPUTS)), columns[v])
                scale = _vector(builder, place(4, output), types.float32, LANES)
                target = builder.bitcast(place(5, rows_[r], builder.add(column, columns[v])), _FLOATS.as_pointer())
                builder.store(_plus(builder, builder.load(target, align=4), builder.load(totals[r, v]), scale), target, align=4)
            return context.get_dummy_value()

        return types.void(x, units, offsets, weights, scales, out, row, group, column), generate

    return multiply


def inputs_at_once(kind):
    """How many weights of an output, of a kind, are multiplied in one step."""
    return {types.int8: 2, types.uint8: 4}.get(kind, 1)


_eight_rows, _four_rows, _two_rows, _one_row = _tile(8), _tile(4), _tile(2), _tile(1)
_FLOATS, _SUMS = ir.VectorType(ir.FloatType(), LANES), ir.VectorType(ir.IntType(32), LANES)


def _places(context, builder, signature, arguments):
    """What gives the pointer to an element of an array among the arguments, from its number there and the indices."""

    def place(number, *index):
        kind = signature.args[number]
        view = context.make_array(kind)(context, builder, arguments[number])
        return cgutils.get_item_pointer(context, builder, kind, view, index, wraparound=False)

    return place


def _vector(builder, pointer, kind, count):
    """`count` numbers of a kind: int8 as what it is multiplied in, uint8 as it is, all others as float32."""
    bits = {types.int8: 8, types.uint8: 8, types.int16: 16}.get(kind)
    stored = ir.IntType(bits) if bits else ir.FloatType()
    loaded = builder.load(builder.bitcast(pointer, ir.VectorType(stored, count).as_pointer()), align=1)
    if kind == types.int8:
        return builder.sext(loaded, ir.VectorType(ir.IntType(32), count))
    if kind != types.int16:
        return loaded
    upper = builder.shl(builder.zext(loaded, _SUMS), _SUMS([16] * count))  # bfloat16 is the upper half of a float32
    return builder.bitcast(upper, _FLOATS)


def _spread(builder, number, count):
    """A vector of `count` times the same number."""
    kind = ir.VectorType(number.type, count)
    alone = builder.insert_element(ir.Constant(kind, ir.Undefined), number, ir.IntType(32)(0))
    return builder.shuffle_vector(alone, ir.Constant(kind, ir.Undefined), ir.VectorType(ir.IntType(32), count)([0] * count))


def _call(builder, name, vector):
    """One of the compiler's own functions of a vector, whose result is one or, if its name says so, a number."""
    kind = vector.type.element if "reduce" in name else vector.type
    return builder.call(cgutils.get_or_insert_function(builder.module, ir.FunctionType(kind, [vector.type]), name), [vector])


@_intrinsic
def _ask_for(typing, array):
    """Have memory send all of an array, whose numbers lie side by side, while something else is computed."""

    def generate(context, builder, signature, arguments):
        view = context.make_array(array)(context, builder, arguments[0])
        bytes_ = builder.mul(view.nitems, view.itemsize)
        with cgutils.for_range(builder, builder.udiv(bytes_, bytes_.type(_LINE))) as loop:
            _send_line(builder, view.data, builder.mul(loop.index, bytes_.type(_LINE)))
        return context.get_dummy_value()

    return types.void(array), generate


def _send_for(builder, pointer, size, row, tile, rows):
    """Have memory send a part of the `size` bytes at `pointer`: another for every `tile` of the `rows`, and all of it in the end.

    What is asked for in part only would keep the processor from asking for the rest by itself.
    """
    pairs = builder.udiv(builder.add(rows, rows.type(size * tile // (2 * _LINE) - 1)), rows)
    first = builder.mul(builder.udiv(row, row.type(tile)), pairs)
    with cgutils.for_range(builder, pairs) as loop:
        begin = builder.mul(builder.add(first, loop.index), row.type(2 * _LINE))
        for line in range(2):
            _send_line(builder, pointer, builder.add(begin, row.type(line * _LINE)))


def _send_line(builder, pointer, offset):
    """Have memory send the line that lies so many bytes after a pointer."""
    byte = ir.IntType(8).as_pointer()
    kind = ir.FunctionType(ir.VoidType(), [byte] + [ir.IntType(32)] * 3)
    send = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
    at = builder.gep(builder.bitcast(pointer, byte), [offset])
    builder.call(send, [at, *map(ir.IntType(32), (0, 3, 1))])  # to read, into the nearest cache, of data


def _repeated(builder, pointer, kind, inputs):
    """The next `inputs` numbers of a row, once for every sum of a register."""
    if kind == types.float32:
        return _spread(builder, builder.load(pointer), LANES)
    together = _spread(builder, builder.load(builder.bitcast(pointer, ir.IntType(32).as_pointer()), align=1), LANES)
    parts = builder.bitcast(together, ir.VectorType(ir.IntType(32 // inputs), LANES * inputs))
    return parts if kind == types.int8 else builder.sext(parts, ir.VectorType(ir.IntType(32), LANES * inputs))


def _plus(builder, sums, a, b):
    """Sums and the products of a and b, of which there are as many, or two or four for each sum if they are whole numbers."""
    if sums.type == _FLOATS:
        return builder.fadd(sums, builder.fmul(a, b, flags=("contract",)), flags=("contract",))
    if a.type.element == ir.IntType(8):  # named to the assembler, because to the compiler it is another one at each width
        form, register = ("", "v") if _WIDE else ("{vex} ", "x")
        kind = ir.FunctionType(_SUMS, [_SUMS, a.type, b.type])
        return builder.asm(kind, f"{form}vpdpbusd $3, $2, $0", f"={register},0,{register},{register}", [sums, a, b], False)
    products, masks = builder.mul(a, b), (_SUMS(list(range(i, 2 * LANES, 2))) for i in (0, 1))
    even, odd = (builder.shuffle_vector(products, ir.Constant(products.type, ir.Undefined), mask) for mask in masks)
    return builder.add(sums, builder.add(even, odd))


@njit(**_PLAIN)
def _gated(given, matrix, layer, inner, weights, begin, end):
    """What the products with the gate let through of those with what it gates, from `begin` to `end`, into `inner` for `weights`."""
    both = np.empty((len(given.values), 2 * BLOCK), _float)
    for block in range(begin // BLOCK, end // BLOCK):
        both[:] = 0
        _multiply(given, matrix, layer, both, 2 * block * BLOCK, 2 * (block + 1) * BLOCK, 2 * block * BLOCK)
        for row in range(len(both)):
            gates, ups = both[row, :BLOCK], both[row, BLOCK:]
            for i in range(BLOCK):
                ups[i] *= _gate(gates[i])
            _give(ups, 0, inner, row, block, weights)


@njit(**_PLAIN)
def _gate(x):
    """x times its logistic function."""
    return x / (_float(1) + _exp(-x))


@njit(**_PLAIN)
def _silu(x, begin, end):
    """x times its logistic function, in place, in the columns from `begin` to `end`."""
    for row in range(len(x)):
        values = x[row, begin:end]
        for i in range(len(values)):
            values[i] = _gate(values[i])


@njit(**_PLAIN)
def _exp(x):
    """e to the `x`, float32, right to 1e-5 of it; the compiler makes vectors of it. Beyond -87 and 88 it stays what it is there."""
    power = max(min(x, _float(88)), _float(-87)) * _float(1.4426950408889634)
    whole = np.floor(power + _float(0.5))
    r = (power - whole) * _float(0.6931471805599453)
    series = _float(1) + r * (_float(1) + r * (_float(1 / 2) + r * (_float(1 / 6) + r * (_float(1 / 24) + r * _float(1 / 120)))))
    return series * np.int32((np.int32(whole) + 127) << 23).view(np.float32)


@njit(**_PLAIN)
def _embed(chosen, readers, sums):
    """The embeddings of a row and the finer codes after it, `chosen (B, n)`, added up into `sums (B, width)`."""
    for b in range(len(chosen)):
        sums[b] = readers.first[chosen[b, 0]]
        for level in range(chosen.shape[1] - 1):
            sums[b] += readers.finer[level, chosen[b, level + 1]]


@njit(**_PLAIN)
def _place(qkv, rows, keys, values, cosines, sines, part, parts):
    """Turn queries and keys to their places (RoPE, halves of a head paired) and put keys and values into the cache.

    `qkv (rows, (heads + 2 * kv heads) * head size)`: the vectors of all queries, all keys and all values. A part has what it
    attends to afterwards.
    """
    groups, size = values.shape[1], values.shape[3]
    together, queries = qkv.shape[1] // size // groups - 2, qkv.shape[1] - 2 * groups * size
    begin, end = _share(len(qkv) * groups, 1, part, parts)
    for unit in range(begin, end):
        group, row = unit // len(qkv), unit % len(qkv)
        sequence, slot = rows.sequences[row], rows.slots[row]
        if unit + 1 < end:
            after, then = (unit + 1) // len(qkv), (unit + 1) % len(qkv)
            _ask_for(keys[rows.sequences[then], after, rows.slots[then] // LANES])
        cosine, sine = cosines[rows.prompted[row] + slot], sines[rows.prompted[row] + slot]
        for head in range(group * together, (group + 1) * together):
            _turn(qkv[row, head * size : (head + 1) * size], cosine, sine)
        key, value = queries + group * size, queries + (groups + group) * size
        _turn(qkv[row, key : key + size], cosine, sine)
        _keep(qkv[row, key : key + size], keys[sequence, group, slot // LANES, :, slot % LANES])
        _keep(qkv[row, value : value + size], values[sequence, group, slot])


@njit(**_PLAIN)
def _turn(vector, cosine, sine):
    half = len(cosine)
    upper, lower = vector[:half], vector[half:]
    for i in range(half):
        a, b = upper[i], lower[i]
        upper[i] = a * cosine[i] - b * sine[i]
        lower[i] = b * cosine[i] + a * sine[i]


def _keep(vector, place):
    """Write a vector to its place in the cache, rounded if that holds bfloat16."""


@overload(_keep)
def _typed_keep(vector, place):
    def exact(vector, place):
        place[:] = vector

    def rounded(vector, place):
        bits = vector.view(np.int32)
        for i in range(len(bits)):
            place[i] = (bits[i] + 0x7FFF + ((bits[i] >> 16) & 1)) >> 16  # to the nearest, of two equally near to the even one

    return exact if place.dtype == types.float32 else rounded


@njit(**_PLAIN)
def _attend(qkv, rows, begun, own, seen, weights, part, parts):
    """What a part of the heads of all tokens make of the places they see, into `seen` for `weights`.

    Head by head, so that a prompt's keys and values stay in the nearest caches for all rows that begin with it.
    """
    groups, size = own[1].shape[1], own[1].shape[3]
    together = qkv.shape[1] // size // groups - 2
    scale, mixed = _float(1) / np.sqrt(_float(size)), np.empty(together * size, _float)
    scores = np.empty((together, begun[1].shape[2] + own[1].shape[2]), _float)
    begin, end = _share(len(qkv) * groups, 1, part, parts)
    for unit in range(begin, end):
        group, row = unit // len(qkv), unit % len(qkv)
        prompted, past = rows.prompted[row], rows.slots[row] + 1
        before, now = (prompted + LANES - 1) // LANES, (past + LANES - 1) // LANES
        _ask_for(own[0][rows.sequences[row], group, :now])
        _ask_for(own[1][rows.sequences[row], group, : now * LANES])
        _compare(qkv, row, group, together, begun[0], rows.prompts[row], before, scores, 0)
        _compare(qkv, row, group, together, own[0], rows.sequences[row], now, scores, before)
        for head in range(together):
            _weigh(scores[head, : (before + now) * LANES], prompted, before * LANES, before * LANES + past, scale)
        mixed[:] = 0
        _mix(scores, 0, group, together, begun[1], rows.prompts[row], before, mixed)
        _mix(scores, before, group, together, own[1], rows.sequences[row], now, mixed)
        for first in range(0, len(mixed), BLOCK):
            _give(mixed, first, seen, row, (group * len(mixed) + first) // BLOCK, weights)


@njit(**_PLAIN)
def _weigh(scores, end, begin, past, scale):
    """Scores of places into their shares of attention; none for those from `end` to `begin` and from `past` on."""
    scores[end:begin] = _float(-1e30)
    scores[past:] = _float(-1e30)
    top = _float(-1e30)
    for t in range(len(scores)):
        top = max(top, scores[t])
    total = _float(0)
    for t in range(len(scores)):
        scores[t] = _exp((scores[t] - top) * scale)
        total += scores[t]
    scores[end:begin] = _float(0)
    scores[past:] = _float(0)
    share = _float(1) / total
    for t in range(len(scores)):
        scores[t] *= share


@njit(**_PLAIN)
def _compare(qkv, row, group, together, keys, sequence, blocks, scores, first):
    """The products of the queries of a group of heads with so many blocks of keys, into `scores` from the `first` block on."""
    head = 0
    while head + 3 <= together:
        _compare_three(qkv, row, group * together, head, keys, sequence, group, blocks, scores, first)
        head += 3
    while head < together:
        _compare_one(qkv, row, group * together, head, keys, sequence, group, blocks, scores, first)
        head += 1


@njit(**_PLAIN)
def _mix(weights, first, group, together, values, sequence, blocks, out):
    """Add the values of so many blocks of places, times the weights of a group of heads from the `first` block on, to `out`."""
    head = 0
    while head + 3 <= together:
        _mix_three(weights, first, head, values, sequence, group, blocks, out)
        head += 3
    while head < together:
        _mix_one(weights, first, head, values, sequence, group, blocks, out)
        head += 1


def _comparison(heads):
    """What makes the products of so many of a row's queries, from `head` on, with so many blocks of keys, into `scores`.

    The queries are those of a group of heads, of which `first` is the first; each key is read once for them.
    """

    @_intrinsic
    def compare(typing, qkv, row, first, head, keys, sequence, group, blocks, scores, origin):
        def generate(context, builder, signature, arguments):
            place = _places(context, builder, signature, arguments)
            _, row, first, head, _, sequence, group, blocks, _, origin = arguments
            size, zero = builder.extract_value(context.make_array(keys)(context, builder, arguments[4]).shape, 3), row.type(0)
            at = [builder.add(head, head.type(h)) for h in range(heads)]
            begins = [builder.mul(builder.add(first, h), size) for h in at]
            sums = [[cgutils.alloca_once(builder, _FLOATS) for _ in range(_CHAINS)] for _ in range(heads)]
            with cgutils.for_range(builder, blocks) as block:
                for total in (total for chains in sums for total in chains):
                    builder.store(_FLOATS(None), total)
                with cgutils.for_range(builder, builder.udiv(size, size.type(_CHAINS))) as loop:
                    for i in range(_CHAINS):
                        channel = builder.add(builder.mul(loop.index, size.type(_CHAINS)), size.type(i))
                        key = _vector(builder, place(4, sequence, group, block.index, channel, zero), keys.dtype, LANES)
                        for begin, chains in zip(begins, sums, strict=True):
                            query = _spread(builder, builder.load(place(0, row, builder.add(begin, channel))), LANES)
                            builder.store(_plus(builder, builder.load(chains[i]), key, query), chains[i])
                for h, chains in zip(at, sums, strict=True):
                    score = builder.mul(builder.add(origin, block.index), size.type(LANES))
                    target = builder.bitcast(place(8, h, score), _FLOATS.as_pointer())
                    builder.store(_added(builder, chains), target, align=4)
            return context.get_dummy_value()

        return types.void(qkv, row, first, head, keys, sequence, group, blocks, scores, origin), generate

    return compare


def _mixture(heads):
    """What adds up the values of so many blocks of places, times the weights of so many heads from `head` on, into `out`.

    `weights (heads of a group, room)`, those of the first block from the block `origin` on; `out (heads of a group * head size,)`.
    """

    @_intrinsic
    def mix(typing, weights, origin, head, values, sequence, group, blocks, out):
        def generate(context, builder, signature, arguments):
            place = _places(context, builder, signature, arguments)
            _, origin, head, _, sequence, group, blocks, _ = arguments
            size = builder.extract_value(context.make_array(values)(context, builder, arguments[3]).shape, 3)
            origin = builder.mul(origin, origin.type(LANES))
            at = [builder.add(head, head.type(h)) for h in range(heads)]
            sums = [[cgutils.alloca_once(builder, _FLOATS) for _ in range(_CHAINS)] for _ in range(heads)]
            with cgutils.for_range(builder, builder.udiv(size, size.type(LANES))) as part:
                channel = builder.mul(part.index, size.type(LANES))
                for total in (total for chains in sums for total in chains):
                    builder.store(_FLOATS(None), total)
                with cgutils.for_range(builder, builder.mul(blocks, blocks.type(LANES // _CHAINS))) as loop:
                    for i in range(_CHAINS):
                        t = builder.add(builder.mul(loop.index, size.type(_CHAINS)), size.type(i))
                        value = _vector(builder, place(3, sequence, group, t, channel), values.dtype, LANES)
                        for h, chains in zip(at, sums, strict=True):
                            weight = _spread(builder, builder.load(place(0, h, builder.add(origin, t))), LANES)
                            builder.store(_plus(builder, builder.load(chains[i]), value, weight), chains[i])
                for h, chains in zip(at, sums, strict=True):
                    target = builder.bitcast(place(7, builder.add(builder.mul(h, size), channel)), _FLOATS.as_pointer())
                    builder.store(builder.fadd(builder.load(target, align=4), _added(builder, chains)), target, align=4)
            return context.get_dummy_value()

        return types.void(weights, origin, head, values, sequence, group, blocks, out), generate

    return mix


_compare_three, _compare_one = _comparison(3), _comparison(1)
_mix_three, _mix_one = _mixture(3), _mixture(1)


def _added(builder, sums):
    """The sum of the vectors at several places, by twos."""
    vectors = [builder.load(total) for total in sums]
    while len(vectors) > 1:
        vectors = [builder.fadd(a, b) for a, b in zip(vectors[::2], vectors[1::2], strict=True)]
    return vectors[0]
