"""People built of bones whose names say nothing, to find their joints by structure alone."""
# pyright: reportMissingImports=false
# (the package `motiongpt` is made by `tests/conftest.py`)

from dataclasses import dataclass, field

import numpy as np
from motiongpt.backend.motion import rotations
from motiongpt.backend.motion.skeleton import SMPL
from motiongpt.motiongpt_blender.rigs.bones import Bones

TIPS = {  # where bones that have no joint at their tip end, from their head
    "head": (0, 0.2, 0),
    "left_foot": (0, 0, 0.07),
    "right_foot": (0, 0, 0.07),
    "left_wrist": (0.09, 0, 0),
    "right_wrist": (-0.09, 0, 0),
}


@dataclass
class Person:
    """A tree of bones under construction: `parents`, `heads` and `tails` by bone; `joints` has the bone of each joint."""

    parents: dict[str, str | None] = field(default_factory=dict)
    heads: dict[str, np.ndarray] = field(default_factory=dict)
    tails: dict[str, np.ndarray] = field(default_factory=dict)
    joints: dict[str, str] = field(default_factory=dict)

    def add(self, bone: str, parent: str | None, head, tail) -> None:
        self.parents[bone], self.heads[bone], self.tails[bone] = parent, np.array(head, float), np.array(tail, float)

    def at(self, bone: str, x: float, y: float, z: float) -> np.ndarray:
        """A place beside the head of a bone."""
        return self.heads[bone] + np.array([x, y, z])

    def chain(self, name: str, parent: str, points) -> None:
        """Bones from point to point, the first below `parent`."""
        for number, (head, tail) in enumerate(zip(points, points[1:], strict=False)):
            self.add(f"{name}{number}", parent if number == 0 else f"{name}{number - 1}", head, tail)

    def insert(self, bone: str, above: str, share: float) -> None:
        """A bone between a joint and the one `above` it, at that share of the way."""
        at = self.heads[above] + share * (self.heads[bone] - self.heads[above])
        self.add(f"{bone} twist", above, at, self.heads[bone])
        self.parents[bone] = f"{bone} twist"
        self.tails[above] = at

    def remove(self, bone: str) -> None:
        for child, parent in self.parents.items():
            if parent == bone:
                self.parents[child] = self.parents[bone]
        for table in (self.parents, self.heads, self.tails):
            del table[bone]
        del self.joints[bone]

    def build(self, turn: np.ndarray | None = None, scale: float = 1.0, seed: int = 0) -> tuple[Bones, dict[str, int]]:
        """The bones in an order and with names that say nothing, turned, scaled and moved; and the bone of each joint."""
        rng = np.random.default_rng(seed)
        order: list[str] = []
        below = [bone for bone, parent in self.parents.items() if parent is None]
        while below:
            bone = below.pop(rng.integers(len(below)))
            order.append(bone)
            below += [child for child, parent in self.parents.items() if parent == bone]
        index = {bone: number for number, bone in enumerate(order)}
        parents = tuple(-1 if (parent := self.parents[bone]) is None else index[parent] for bone in order)
        turn = rotations.IDENTITY if turn is None else turn
        ends = [rotations.rotate(turn, np.array([table[bone] for bone in order])) * scale + 0.3 for table in (self.heads, self.tails)]
        names = tuple(f"Bone.{number:03}" for number in rng.permutation(len(order)))
        return Bones(names, parents, *ends), {joint: index[bone] for joint, bone in self.joints.items()}


def person(arms_down: float = 0.0, fingers: bool = True, legs: float = 1.0) -> Person:
    """The SMPL skeleton standing, its arms lowered by an angle in radians, its legs lengthened, with ten fingers if wanted."""
    assert SMPL.offsets is not None
    longer = [legs if joint.endswith(("knee", "ankle")) else 1.0 for joint in SMPL.joints]
    offsets = SMPL.offsets * np.array(longer)[:, None]
    local = np.tile(rotations.IDENTITY, (len(SMPL), 1))
    for joint, sign in (("left_shoulder", -1), ("right_shoulder", 1)):
        local[SMPL.index(joint)] = rotations.about(np.array([0.0, 0.0, 1.0]), sign * arms_down)
    turned = SMPL.to_global(local)
    heads = SMPL.forward(local, np.array([0.0, SMPL.rest_height, 0.0]), offsets)
    made = Person()
    for joint, name in enumerate(SMPL.joints):
        parent = SMPL.parents[joint]
        children = [child for child in range(len(SMPL)) if SMPL.parents[child] == joint]
        tail = heads[children[0]] if children else heads[joint] + rotations.rotate(turned[joint], np.array(TIPS[name]))
        made.add(name, SMPL.joints[parent] if parent >= 0 else None, heads[joint], tail)
        made.joints[name] = name
    for side, sign in (("left", 1), ("right", -1)) if fingers else ():
        hand = SMPL.index(f"{side}_wrist")
        for finger, spread in enumerate((0.05, 0.02, 0.0, -0.02, -0.04)):
            points = [np.array([sign * along, 0, spread]) for along in (0.09, 0.12, 0.14, 0.16)]
            made.chain(f"{side} finger {finger} ", f"{side}_wrist", [heads[hand] + rotations.rotate(turned[hand], p) for p in points])
    return made
