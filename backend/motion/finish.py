"""From what a model made to what was asked for: in a circle or along a path, through the given poses, on still feet."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from . import rotations
from .clip import Clip
from .feet import lock_feet
from .fit import Constraint, fit
from .hold import approached, held
from .loop import Cycle, find_loop
from .path import follow


def finish(
    clip: Clip,
    constraints: Sequence[Constraint] = (),
    *,
    loop: bool = False,
    path: np.ndarray | None = None,
    face_path: bool = True,
    still_feet: bool = True,
) -> tuple[Clip, Cycle | None]:
    """The clip as it is handed over and, for a loop, its cycle. `path (P, 2)` as `follow` takes it; not together with `loop`.

    ValueError if the path has no length, or the loop too little.
    """
    if path is not None:
        clip = follow(clip, path, face_path)
    if not loop:
        return _met(clip, constraints, path is not None, still_feet), None
    cycle = find_loop(clip)
    if whole := [c for c in constraints if not c.only]:
        first, last = (pick(whole, key=lambda c: c.frame) for pick in (min, max))
        cycle = cycle.placed(first.frame, clip.skeleton.forward(first.local, first.root))
        if last is not first and last.frame == len(cycle.clip) - 1:  # there is no time to come back from it
            cycle = cycle.ending(clip.skeleton.forward(last.local, last.root))
        if limbs := [c for c in constraints if c.only and c.frame in (0, len(cycle.clip) - 1)]:  # nor from where they lead
            through = cycle.changed(lambda three: _met(three, _repeated(whole, cycle), False, still_feet)).clip
            for way in _ways(through, limbs):
                move = way.root - through.root[way.frame]
                cycle = replace(cycle, travel=cycle.travel + (move if way.frame else -rotations.rotate(cycle.turn, move)))
    cycle = cycle.changed(lambda three: _met(three, _repeated(constraints, cycle), False, still_feet))
    return cycle.clip, cycle


def _met(clip: Clip, constraints: Sequence[Constraint], keep_path: bool, still_feet: bool) -> Clip:
    """The clip through constraints: those of whole poses first, because it depends on where it is then what limbs have to do."""
    whole, limbs = [c for c in constraints if not c.only], [c for c in constraints if c.only]
    clip = _through(clip, whole, keep_path, still_feet)
    if not limbs:
        return clip
    if not keep_path and (ways := _ways(clip, limbs)):
        clip = _through(clip, [*whole, *ways], keep_path, still_feet)
    return _through(clip, [*whole, *(held(clip, c) for c in limbs)], True, still_feet)


def _ways(clip: Clip, limbs: Sequence[Constraint]) -> list[Constraint]:
    """Where the clip has to lead for limbs to come near what they reach for, as far as it does not."""
    return [way for c in limbs if (way := approached(clip, c))]


def _through(clip: Clip, poses: Sequence[Constraint], keep_path: bool, still_feet: bool) -> Clip:
    clip = fit(clip, poses, keep_path)
    return lock_feet(clip, [c.frame for c in poses]) if still_feet else clip


def _repeated(constraints: Sequence[Constraint], cycle: Cycle) -> list[Constraint]:
    """The constraints of three cycles in a row."""
    row, latest = list(constraints), list(constraints)
    for _ in range(2):
        moved = []
        for c in latest:
            local = np.concatenate([rotations.multiply(cycle.turn, c.local[:1]), c.local[1:]])
            moved.append(Constraint(c.frame + len(cycle.clip), local, rotations.rotate(cycle.turn, c.root) + cycle.travel, c.only))
        row, latest = row + moved, moved
    return row
