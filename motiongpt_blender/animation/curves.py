"""The keys of an F-curve, read and written all at once, and new ones among those that stay."""

from collections.abc import Iterable, Sequence
from functools import cache

import bpy
import numpy as np

from .keys import KeyedValues

Table = dict[str, np.ndarray]  # fields of `bpy.types.Keyframe`, a row a key

_POINTS = ("co", "handle_left", "handle_right")
_ENUMS = ("interpolation", "easing", "type", "handle_left_type", "handle_right_type")
_NUMBERS = ("back", "amplitude", "period")
_FLAGS = ("select_control_point", "select_left_handle", "select_right_handle")
_UNSAID = {"easing": "AUTO", "handle_left_type": "AUTO_CLAMPED", "handle_right_type": "AUTO_CLAMPED"}
_NEAR = 0.01  # frames
_ASIDE = "motiongpt_aside"  # the data path, or the group, of a curve on its way to its place


def new_keys(keys: KeyedValues, index: int, start: int) -> Table:
    """Column `index` of `keys`, frame 0 at `start`; what a key does not say otherwise is Blender's default.

    They are marked as generated and not selected: what an animator selects or keys among them is told apart by that.
    """
    values = keys.values[:, index]
    co = np.stack([keys.frames + start, values], axis=-1).astype(np.float64)
    table = {"co": co, "type": np.full(len(co), _value("type", "GENERATED"))} | {name: np.zeros(len(co), dtype=bool) for name in _FLAGS}
    if keys.slopes is None:
        return table | {"interpolation": np.full(len(co), _value("interpolation", "LINEAR"))}
    before, after = np.diff(co[:, 0], prepend=co[0, 0] - 1) / 3, np.diff(co[:, 0], append=co[-1, 0] + 1) / 3
    along = np.stack([np.ones(len(co)), keys.slopes[:, index]], axis=-1)
    aligned = np.full(len(co), _value("handle_left_type", "ALIGNED"))
    return table | {
        "handle_left": co - along * before[:, None],
        "handle_right": co + along * after[:, None],
        "handle_left_type": aligned,
        "handle_right_type": aligned,
        "interpolation": np.full(len(co), _value("interpolation", "BEZIER")),
    }


def write_keys(curve: bpy.types.FCurve, table: Table) -> None:
    """Give a curve the keys of `table`, and no others."""
    keys = curve.keyframe_points
    keys.clear()
    keys.add(len(table["co"]))
    for name, values in table.items():
        keys.foreach_set(name, values.ravel().astype(_as_kept(name)))
    curve.update()


def read_keys(curve: bpy.types.FCurve) -> Table:
    """All that is known of a curve's keys, by time."""
    keys, table = curve.keyframe_points, {}
    for names, width, kind in ((_POINTS, 2, np.float64), (_ENUMS, 1, np.int64), (_NUMBERS, 1, np.float64), (_FLAGS, 1, bool)):
        for name in names:
            values = np.empty(len(keys) * width, dtype=_as_kept(name))
            keys.foreach_get(name, values)
            table[name] = (values.reshape(-1, width) if width > 1 else values).astype(kind)
    return table


def is_locked(curve: bpy.types.FCurve) -> bool:
    """Whether the animator has locked a curve, or all of its group."""
    return curve.lock or bool(curve.group and curve.group.lock)


def key_points(curve: bpy.types.FCurve) -> np.ndarray:
    """Times and values `(K, 2)` of a curve's keys."""
    points = np.empty((len(curve.keyframe_points), 2), dtype=_as_kept("co"))
    curve.keyframe_points.foreach_get("co", points.reshape(-1))
    return points


def replace_curves(bag: bpy.types.ActionChannelbag, source: bpy.types.ActionChannelbag, properties: Iterable[tuple[str, int]]) -> None:
    """Give a channelbag copies of the curves that `source` has of `properties`, data paths with indices, in place of its own.

    All stay in the order in which they are.
    """
    changed = {where: source.fcurves.find(where[0], index=where[1]) for where in properties}
    groups = {curve.group.name for curve in bag.fcurves if curve.group and (curve.data_path, curve.array_index) in changed}
    for old in list(bag.fcurves):
        where, group = (old.data_path, old.array_index), old.group
        if where in changed:
            copy = _copy(bag, changed.pop(where), group)
            bag.fcurves.remove(old)  # now that the copy is there: an empty group would go
            copy.data_path = where[0]
        elif group and group.name in groups:
            old.group = bag.groups.new(_ASIDE)  # which goes when it is empty again
            old.group = group  # behind those that come before it
    for (path, _), curve in changed.items():
        group = curve.group and (bag.groups.get(curve.group.name) or bag.groups.new(curve.group.name))
        _copy(bag, curve, group).data_path = path


def _copy(bag: bpy.types.ActionChannelbag, curve: bpy.types.FCurve, group: bpy.types.ActionGroup | None) -> bpy.types.FCurve:
    """A copy of a curve in another bag, which does not move anything yet: there may be one of its property."""
    copy = bag.fcurves.new_from_fcurve(curve, data_path=_ASIDE)
    if group:
        copy.group = group
    return copy


def extend(curve: bpy.types.FCurve, before: range, after: range) -> None:
    """Give a curve keys beyond its first and last, so that it stays what it is `before` and `after` the frames where keys are to come.

    With these one that repeats itself, or goes on in a straight line, would do so otherwise. Unless they come among its keys alone, it
    gets keys for what it comes to in these frames, and past them it is held.
    """
    old = read_keys(curve)
    at = old["co"][:, 0]
    if not len(at):
        return
    first, last, frames = before.stop, after.start - 1, [*before[-1:], *after[:1]]
    cycles = [modifier for modifier in curve.modifiers if modifier.type == "CYCLES" and not modifier.mute]
    if cycles and at[0] <= first and last <= at[-1]:
        return
    if cycles:
        frames = [*before, *after]
    elif curve.extrapolation == "LINEAR":
        if at[0] < first and last < at[-1]:
            return
        frames = sorted({*before[:1], *before[-1:], *after[:1], *after[-1:]})
    beyond = np.array([frame for frame in frames if not at[0] <= frame <= at[-1]])
    values = _without_others(curve, cycles, beyond)
    for modifier in cycles:
        curve.modifiers.remove(modifier)
    curve.extrapolation = "CONSTANT"
    for name in ("handle_left_type", "handle_right_type"):
        old[name][[0, -1]] = _value(name, "FREE")  # automatic ones depend on how the curve goes on
    old["interpolation"][-1] = _value("interpolation", "LINEAR")  # behind it was nothing that it could have shaped
    write_keys(curve, _merge(old, new_keys(KeyedValues(beyond, values[:, None]), 0, 0)))


def _without_others(curve: bpy.types.FCurve, modifiers: Sequence[bpy.types.FModifier], frames: np.ndarray) -> np.ndarray:
    """What a curve comes to at frames with none of its modifiers but these."""
    others = [modifier for modifier in curve.modifiers if modifier not in modifiers and not modifier.mute]
    for modifier in others:
        modifier.mute = True
    values = np.array([curve.evaluate(frame) for frame in frames])
    for modifier in others:
        modifier.mute = False
    return values


def put_keys(curve: bpy.types.FCurve, added: Table, first: int, last: int, kept: Iterable[int] = ()) -> None:
    """Put keys into a curve in place of those from `first` to `last`; keys at the frames `kept` stay, and what lies outside.

    The curve outside keeps its shape: where none of its keys is kept at an end, one is made beside it, and the handles of keys
    beside new ones are no longer automatic. What is kept is the animator's from now on, even where it was generated.
    """
    old = read_keys(curve)
    kept = np.array(list(kept), dtype=np.float64)
    for end, beside in ((first, first - 1), (last, last + 1)):
        if not (_near(old["co"][:, 0], kept) & _near(old["co"][:, 0], np.array([end]))).any():
            old = _split(old, beside)
    at = old["co"][:, 0]
    stays = (at < first - _NEAR) | (at > last + _NEAR) | _near(at, kept)
    old = {name: values[stays] for name, values in old.items()}
    old["type"][_near(old["co"][:, 0], kept) & (old["type"] == _value("type", "GENERATED"))] = _value("type", "KEYFRAME")
    write_keys(curve, _merge(old, added))


def keyed_frames(curves: Iterable[bpy.types.FCurve], selected: bool = False) -> np.ndarray:
    """The frames of the selected keys, or of those as well that are not marked as generated, in order.

    A generated key that an animator keys again stays marked as such, but Blender selects it.
    """
    frames, generated = [np.empty(0)], _value("type", "GENERATED")
    for curve in curves:
        table = read_keys(curve)
        counts = table["select_control_point"]
        frames.append(table["co"][counts if selected else counts | (table["type"] != generated), 0])
    return np.unique(np.concatenate(frames))


def _near(frames: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Which of `frames (N,)` are among `others (M,)`."""
    return np.any(np.abs(frames[:, None] - others) < _NEAR, axis=1)


def _split(table: Table, frame: float) -> Table:
    """The keys with one more at `frame`, if that lies between two, and the curve as it was (as near as a key comes to an easing)."""
    at = table["co"][:, 0]
    i = int(np.searchsorted(at, frame)) - 1
    if i < 0 or i + 1 >= len(at) or _near(np.array([frame]), at).any():
        return table
    points = np.array([table["co"][i], table["handle_right"][i], table["handle_left"][i + 1], table["co"][i + 1]])
    if table["interpolation"][i] == _value("interpolation", "CONSTANT"):
        points[1:] = points[1:, :1] * [1, 0] + points[0] * [0, 1]
    elif table["interpolation"][i] != _value("interpolation", "BEZIER"):
        points[1:3] = points[0] + (points[3] - points[0]) * np.array([[1], [2]]) / 3
    left, right = _divide(_without_overlap(points), frame)
    table = {name: np.insert(values, i + 1, values[i], axis=0) for name, values in table.items()}
    table["co"][i + 1] = left[3]
    table["handle_right"][i], table["handle_left"][i + 1] = left[1], left[2]
    table["handle_right"][i + 1], table["handle_left"][i + 2] = right[1], right[2]
    for name in ("handle_left_type", "handle_right_type"):
        table[name][i : i + 3] = _value(name, "FREE")
    for name in _FLAGS:
        table[name][i + 1] = False
    table["type"][i + 1] = _value("type", "GENERATED")  # nobody's pose: it holds the curve
    return table


def _without_overlap(points: np.ndarray) -> np.ndarray:
    """A cubic `(4, 2)` with handles as Blender evaluates it: scaled down where together they are longer than the time they span."""
    handles = points[1:3] - points[[0, 3]]
    reach, span = np.abs(handles[:, 0]).sum(), points[3, 0] - points[0, 0]
    scale = min(1.0, span / reach) if reach > 0 else 1.0
    return np.array([points[0], points[0] + handles[0] * scale, points[3] + handles[1] * scale, points[3]])


def _divide(points: np.ndarray, frame: float) -> tuple[np.ndarray, np.ndarray]:
    """The two cubics `(4, 2)` that make up a cubic up to `frame` and from there (de Casteljau)."""
    low, high = 0.0, 1.0
    left = right = points
    for _ in range(50):
        t = (low + high) / 2
        ab, bc, cd = points[:-1] + (points[1:] - points[:-1]) * t
        abc, bcd = ab + (bc - ab) * t, bc + (cd - bc) * t
        middle = abc + (bcd - abc) * t
        left, right = np.array([points[0], ab, abc, middle]), np.array([middle, bcd, cd, points[3]])
        low, high = (t, high) if middle[0] < frame else (low, t)
    return left, right


def _merge(old: Table, added: Table) -> Table:
    """All keys by time, old ones before new ones of the same frame; where they lie side by side the curve is as the new want it.

    Old keys beside new ones get free handles: of an automatic handle Blender moves the other one too, whatever type that has.
    """
    twin = np.full(len(old["co"]), -1)  # which of the new keys lies on an old one
    same = np.nonzero(np.abs(old["co"][:, :1] - added["co"][:, 0]) < _NEAR)
    twin[same[0]] = same[1]
    alone = np.ones(len(added["co"]), dtype=bool)
    alone[same[1]] = False
    free = np.flatnonzero(alone)
    order = np.argsort(np.concatenate([old["co"][:, 0], added["co"][free, 0]]))
    is_new = np.repeat([False, True], [len(twin), len(free)])[order]
    twin = np.concatenate([twin, np.full(len(free), -1)])[order]
    merged = {name: np.concatenate([values, _column(added, name, values.dtype)[free]])[order] for name, values in old.items()}
    for side, step in (("handle_left", -1), ("handle_right", 1)):
        beside = np.roll(is_new, -step) & ~is_new
        beside[0 if step < 0 else -1] = False
        keys = np.flatnonzero(beside)
        merged[side][keys] = merged["co"][keys] + (merged["co"][keys + step] - merged["co"][keys]) / 3
        twins = keys[twin[keys] >= 0]
        if side in added:
            merged[side][twins] = added[side][twin[twins]]
        if side == "handle_right":
            merged["interpolation"][twins] = added["interpolation"][twin[twins]]
        for name in ("handle_left_type", "handle_right_type"):
            merged[name][keys] = _value(name, "FREE")
    return merged


def _column(added: Table, name: str, dtype: np.dtype) -> np.ndarray:
    if name in added:
        return added[name]
    if name in _POINTS:
        return added["co"]  # automatic handles are set when the curve is updated
    return np.full(len(added["co"]), _value(name, _UNSAID[name]) if name in _UNSAID else 0, dtype=dtype)


def _as_kept(name: str) -> type:
    """The type in which Blender keeps a field: values of another are converted one by one."""
    return np.uint8 if name in _ENUMS else bool if name in _FLAGS else np.float32


@cache
def _value(field: str, item: str) -> int:
    return bpy.types.Keyframe.bl_rna.properties[field].enum_items[item].value
