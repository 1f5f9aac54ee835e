"""Which bone is which joint, by how the bones hang together at rest: for rigs whose names say nothing.

A person has a plane of symmetry, two legs that hang from the hips, and further up two arms that branch off the spine. Which
way is up, forward and left follows from these and from the feet, so the rig's size, turn and axes do not matter.
"""

from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from ...backend.motion.skeleton import SMPL
from .bones import SPINE, Bones, missing_joints, spread_spine

_LIMB = 0.15  # of the longest chain: shorter ones are no limbs
_SAME_LENGTH = 0.1  # two chains of a pair differ by less
_MIRRORED = 0.05  # of a chain's length: how far a mirrored point may be off
_LOOSELY = (3.0, 0.75)  # so many times as far where a rest pose is not quite symmetric, which is believed so much
_PLANES = 12  # the likeliest ones are tried
_BODY = 96  # bones of the longest chains, which tell whether a plane is the right one
_ARM_TO_LEG = (0.4, 1.6)
_LONGEST_CHAIN = 14  # bones of a limb that are looked at
_HEAD_HEIGHT = 0.33  # above the shoulders, in lengths from the hips to the shoulders

Joints = dict[str, int]


@dataclass(frozen=True)
class _Pair:
    """Two chains that hang on the bone `above` and mirror each other: their first bones, and their length."""

    above: int
    first: int
    second: int
    length: float


@dataclass(frozen=True)
class _Plane:
    """Points and their mirrored ones may be apart by `slack`, in lengths of chains."""

    normal: np.ndarray
    offset: float
    slack: float

    def side(self, points: np.ndarray) -> np.ndarray:
        """Signed distances `(...)` of `points (..., 3)`."""
        return points @ self.normal - self.offset

    def mirror(self, points: np.ndarray) -> np.ndarray:
        return points - 2 * self.side(points)[..., None] * self.normal


class _Chains:
    """From every bone on the longest way down to a tip: the bones `down`, the length, and the tip."""

    def __init__(self, bones: Bones) -> None:
        self.bones = bones
        self.next = np.full(len(bones), -1)
        self.length = np.linalg.norm(bones.tails - bones.heads, axis=-1)
        self.tip = bones.tails.copy()
        for bone in reversed(_top_down(bones)):
            below = bones.children[bone]
            if below:
                lengths = [np.linalg.norm(bones.heads[child] - bones.heads[bone]) + self.length[child] for child in below]
                longest = below[int(np.argmax(lengths))]
                self.next[bone], self.length[bone], self.tip[bone] = longest, max(lengths), self.tip[longest]

    def down(self, bone: int) -> list[int]:
        chain = []
        while bone >= 0:
            chain.append(bone)
            bone = int(self.next[bone])
        return chain

    def points(self, bone: int) -> np.ndarray:
        """The heads `(n + 1, 3)` of the bones down from `bone`, and the tip."""
        return np.vstack([self.bones.heads[self.down(bone)], self.tip[bone]])


def find_by_structure(bones: Bones) -> tuple[Joints, float] | None:
    """The bone of each joint and how sure that is, 0 to 1; None if the bones are not built like a person's."""
    if len(bones) < 12:
        return None
    bones = _with_sound_tails(bones)
    chains = _Chains(bones)
    candidates = _pairs(bones, chains)
    for times, trust in ((1.0, 1.0), _LOOSELY):
        symmetry = _symmetry(bones, chains, candidates, times * _MIRRORED)
        if symmetry is None:
            continue
        plane, share = symmetry
        pairs = [pair for pair in candidates if _mirrors(bones, chains, pair, plane)]
        for legs, arms in _legs_and_arms(bones, chains, pairs):
            joints = _assign(bones, chains, plane, legs, arms)
            if joints and not missing_joints(joints) and _is_symmetric(bones, joints, plane, legs.length):
                return joints, trust * share * len(joints) / len(SMPL)
    return None


def find_twin(bones: Bones, bone: int) -> int | None:
    """The bone that mirrors `bone`; None if there is none, or the bones have no plane of symmetry."""
    chains = _Chains(bones)
    symmetry = _symmetry(bones, chains, _pairs(bones, chains), _MIRRORED)
    if symmetry is None:
        return None
    plane, _ = symmetry
    ends = plane.mirror(np.stack([bones.heads[bone], bones.tails[bone]]))
    off = np.linalg.norm(bones.heads - ends[0], axis=-1) + np.linalg.norm(bones.tails - ends[1], axis=-1)
    nearest = int(np.argmin(off))
    return nearest if nearest != bone and off[nearest] < _MIRRORED * chains.length.max() else None


def _with_sound_tails(bones: Bones) -> Bones:
    """The bones as they are where tails lie towards the bones below, else with tails that do, and at tips go on straight."""
    below = np.array([bone for bone, parent in enumerate(bones.parents) if parent >= 0])
    above = np.array(bones.parents)[below]
    own, way = bones.tails[above] - bones.heads[above], bones.heads[below] - bones.heads[above]
    lengths = np.linalg.norm(own, axis=-1) * np.linalg.norm(way, axis=-1)
    towards = np.full(len(bones), -1.0)
    np.maximum.at(towards, above, np.where(lengths > 0, (own * way).sum(axis=-1) / np.maximum(lengths, 1e-12), 1.0))
    if np.median(towards[np.unique(above)]) > 0.9:
        return bones
    tails = bones.tails.copy()
    for bone, parent in enumerate(bones.parents):
        if bones.children[bone]:
            tails[bone] = bones.heads[list(bones.children[bone])].mean(axis=0)
        elif parent >= 0:
            tails[bone] = bones.heads[bone] + (bones.heads[bone] - bones.heads[parent]) / 2
    return replace(bones, tails=tails)


def _top_down(bones: Bones) -> list[int]:
    """All bones, parents before their children."""
    order = list(bones.children[-1])
    for bone in order:
        order += bones.children[bone]
    return order


def _pairs(bones: Bones, chains: _Chains) -> list[_Pair]:
    """Long chains side by side, the longest first."""
    shortest = _LIMB * max(chains.length[list(bones.children[-1])], default=0.0)
    pairs = []
    for above in range(len(bones)):
        long = [child for child in bones.children[above] if chains.length[child] > max(shortest, 1e-9)]
        for first, second in combinations(long, 2):
            short, length = sorted((chains.length[first], chains.length[second]))
            if length - short < _SAME_LENGTH * length:
                pairs.append(_Pair(above, first, second, float(short)))
    return sorted(pairs, key=lambda pair: -pair.length)


def _symmetry(bones: Bones, chains: _Chains, pairs: list[_Pair], slack: float) -> tuple[_Plane, float] | None:
    """The plane that mirrors most of the body, and how much of it, 0 to 1; None without any pair that suggests one."""
    body = np.argsort(-chains.length, kind="stable")[:_BODY]
    points = np.vstack([bones.heads[body], chains.tip[body]])
    best, best_share = None, 0.0
    planes: list[_Plane] = []
    for pair in pairs:
        across = chains.tip[pair.first] - chains.tip[pair.second]
        width = np.linalg.norm(across)
        if width < _MIRRORED * pair.length:
            continue
        plane = _Plane(across / width, float((chains.tip[pair.first] + chains.tip[pair.second]) @ across / (2 * width)), slack)
        if any(abs(plane.normal @ other.normal) > 0.999 for other in planes) or not _mirrors(bones, chains, pair, plane):
            continue
        planes.append(plane)
        distances = np.linalg.norm(plane.mirror(points)[:, None] - points[None], axis=-1).min(axis=1)
        share = float((distances < slack * pair.length).mean())
        if share > best_share:
            best, best_share = plane, share
        if len(planes) == _PLANES:
            break
    return None if best is None else (best, best_share)


def _mirrors(bones: Bones, chains: _Chains, pair: _Pair, plane: _Plane) -> bool:
    """Whether the two chains of a pair mirror each other in `plane`, at their start and at their tip, and lie apart."""
    ends = np.stack([bones.heads[[pair.first, pair.second]], chains.tip[[pair.first, pair.second]]])
    off = np.linalg.norm(plane.mirror(ends[:, 0]) - ends[:, 1], axis=-1)
    return bool((off < plane.slack * pair.length).all() and abs(plane.side(ends[1, 0])) > _MIRRORED * pair.length)


def _legs_and_arms(bones: Bones, chains: _Chains, pairs: list[_Pair]) -> list[tuple[_Pair, _Pair]]:
    """What may be legs and arms, the likeliest first: the longest legs, then the arms nearest to them along the spine."""
    found = []
    for legs in pairs:
        hips = (bones.heads[legs.first] + bones.heads[legs.second]) / 2
        down = (chains.tip[legs.first] + chains.tip[legs.second]) / 2 - hips
        for arms in pairs:
            chest = (bones.heads[arms.first] + bones.heads[arms.second]) / 2
            up = chest - hips
            torso = np.linalg.norm(up)
            ratio = arms.length / legs.length
            spine = _spine(bones, legs, arms)
            if not spine or not _ARM_TO_LEG[0] < ratio < _ARM_TO_LEG[1] or not 0.15 < torso / legs.length < 1.5:
                continue
            if up @ down < -0.7 * torso * np.linalg.norm(down):
                found.append((-legs.length, len(spine), abs(ratio - 0.75), legs, arms))
    return [(legs, arms) for *_, legs, arms in sorted(found, key=lambda entry: entry[:3])]


def _spine(bones: Bones, legs: _Pair, arms: _Pair) -> list[int]:
    """The bones from below the hips to that which the arms hang on; none if the arms do not hang above the legs."""
    hips = {legs.above, *bones.above(legs.above)}
    spine = []
    for bone in (arms.above, *bones.above(arms.above)):
        if bone in hips:
            return spine[::-1]
        spine.append(bone)
    return []


def _assign(bones: Bones, chains: _Chains, plane: _Plane, legs: _Pair, arms: _Pair) -> Joints | None:
    spine = _spine(bones, legs, arms)
    hips = (bones.heads[legs.first] + bones.heads[legs.second]) / 2
    pelvis = bones.parents[spine[0]]
    if np.linalg.norm(bones.heads[pelvis] - hips) > 0.35 * legs.length:
        pelvis = legs.above  # the spine and the legs meet in a bone on the floor
    up = bones.heads[spine[-1]] - hips
    up = up - plane.normal * (up @ plane.normal)
    up /= max(np.linalg.norm(up), 1e-12)
    leg_bones = [_leg(chains, plane, first) for first in (legs.first, legs.second)]
    arm_bones = [_arm(bones, chains, plane, first) for first in (arms.first, arms.second)]
    if not all(leg_bones) or not all(arm_bones):
        return None
    forward = _forward(bones, chains, leg_bones, up)
    left = np.cross(up, forward)
    joints: Joints = {"pelvis": pelvis}
    for limbs in (leg_bones, arm_bones):
        for limb in limbs:
            ends = bones.heads[list(limb.values())]
            side = "left" if (ends.mean(axis=0) - hips) @ left > 0 else "right"
            joints |= {f"{side}_{name}": bone for name, bone in limb.items()}
    joints |= _share_spine(bones, spine)
    joints |= _neck_and_head(bones, chains, plane, up, spine[-1], {arms.first, arms.second}, joints, legs.length)
    return joints


def _leg(chains: _Chains, plane: _Plane, first: int) -> Joints:
    """Hip, knee, ankle and, where there is one, foot (the toes' joint) among the bones of a leg, by their proportions."""
    chain, points = chains.down(first)[:_LONGEST_CHAIN], chains.points(first)
    width = np.abs(plane.side(points)).max()
    best, lowest = {}, np.inf
    steps = np.diff(points, axis=0)
    steps /= np.maximum(np.linalg.norm(steps, axis=-1, keepdims=True), 1e-12)
    for hip, knee, ankle in combinations(range(len(chain)), 3):
        leg = np.linalg.norm(points[ankle] - points[hip])
        if leg < 1e-9:
            continue
        foot = points[-1] - points[ankle]
        cost = (
            2 * abs(np.linalg.norm(points[knee] - points[hip]) / leg - 0.48)
            + 0.5 * abs(np.linalg.norm(foot) / leg - 0.25)
            + 0.3 * max(steps[ankle - 1] @ steps[ankle], 0.0)  # the foot turns away from the leg
            + 0.5 * np.linalg.norm(points[hip] - points[0]) / leg
            + 0.5 * max(0.6 - abs(plane.side(points[hip])) / max(width, 1e-9), 0.0)
        )
        for toes in (None, *range(ankle + 1, len(chain))):
            extra = 0.4
            if toes is not None:
                share = np.linalg.norm(points[toes] - points[ankle]) / max(np.linalg.norm(foot), 1e-9)
                extra = 2 * abs(share - 0.65) + 0.1 * (toes - ankle - 1)
            if cost + extra < lowest:
                lowest = cost + extra
                best = {"hip": chain[hip], "knee": chain[knee], "ankle": chain[ankle]}
                if toes is not None:
                    best["foot"] = chain[toes]
    return best


def _arm(bones: Bones, chains: _Chains, plane: _Plane, first: int) -> Joints:
    """Collar, where there is one, shoulder, elbow and wrist among the bones of an arm, by their proportions."""
    chain, points = chains.down(first)[:_LONGEST_CHAIN], chains.points(first)
    best, lowest = {}, np.inf
    for shoulder, elbow, wrist in combinations(range(len(chain)), 3):
        arm = np.linalg.norm(points[wrist] - points[shoulder])
        if arm < 1e-9:
            continue
        fingers = len(bones.children[chain[wrist]]) > 2
        cost = (
            2 * abs(np.linalg.norm(points[elbow] - points[shoulder]) / arm - 0.5)
            + 0.5 * abs(np.linalg.norm(points[-1] - points[wrist]) / arm - 0.33)
            + 0.5 * abs(abs(plane.side(points[shoulder])) / arm - 0.37)
            - 0.3 * fingers
        )
        for collar in (None, *range(shoulder)):
            extra = 0.15 if collar is None else abs(np.linalg.norm(points[shoulder] - points[collar]) / arm - 0.24) + 0.05 * collar
            if cost + extra < lowest:
                lowest = cost + extra
                best = {"shoulder": chain[shoulder], "elbow": chain[elbow], "wrist": chain[wrist]}
                if collar is not None:
                    best["collar"] = chain[collar]
    return best


def _forward(bones: Bones, chains: _Chains, legs: list[Joints], up: np.ndarray) -> np.ndarray:
    """Where the feet point to; where they say nothing, Blender's way, or that of files with Y up."""
    feet = sum(chains.tip[leg["ankle"]] - bones.heads[leg["ankle"]] for leg in legs)
    feet = feet - up * (feet @ up)
    if np.linalg.norm(feet) < 0.02 * sum(chains.length[leg["hip"]] for leg in legs):
        feet = np.array([0.0, -1.0, 0.0]) if abs(up[2]) > abs(up[1]) else np.array([0.0, 0.0, 1.0])
    return feet / np.linalg.norm(feet)


def _share_spine(bones: Bones, spine: list[int]) -> Joints:
    """Of many bones the first, the last, and that which is nearest to the middle between them."""
    if len(spine) > len(SPINE):
        way = np.linalg.norm(np.diff(bones.heads[spine], axis=0), axis=-1).cumsum()
        spine = [spine[0], spine[1 + int(np.argmin(np.abs(way[:-1] - way[-1] / 2)))], spine[-1]]
    return dict(zip(spread_spine(SPINE[: len(spine)]).values(), spine, strict=True))


def _neck_and_head(
    bones: Bones, chains: _Chains, plane: _Plane, up: np.ndarray, chest: int, arms: set[int], joints: Joints, leg: float
) -> Joints:
    """The way that goes furthest up from the chest along the middle: its first bone is the neck, that at the head's height the head."""
    shoulders = (bones.heads[joints["left_shoulder"]] + bones.heads[joints["right_shoulder"]]) / 2
    way, bone = [], chest
    while True:
        below = [
            child
            for child in bones.children[bone]
            if child not in arms
            and abs(plane.side(bones.heads[child])) < _MIRRORED * leg
            and (bones.tails[child] - shoulders) @ up > 0
            and not _has_twin(bones, plane, child, _MIRRORED * leg)
        ]
        if not below:
            break
        bone = max(below, key=lambda child: (chains.tip[child] @ up, -child))
        if not way or np.linalg.norm(bones.heads[bone] - bones.heads[way[-1]]) > 0.01 * leg:  # else it turns where the last one does
            way.append(bone)
    if not way:
        return {}
    torso = (shoulders - (bones.heads[joints["left_hip"]] + bones.heads[joints["right_hip"]]) / 2) @ up
    heights = (bones.heads[way] - shoulders) @ up / torso
    ends = np.stack([bones.tails[way], bones.heads[way[1:] + way[-1:]]])  # a bone's tail may be anywhere, the next bone is not
    lengths = np.linalg.norm(ends - bones.heads[way], axis=-1).max(axis=0) / torso
    head = int(np.argmin(np.abs(heights - _HEAD_HEIGHT) - 0.5 * lengths))  # long, and at the height of heads
    return {"head": way[head]} | ({"neck": way[0]} if head else {})


def _has_twin(bones: Bones, plane: _Plane, bone: int, tolerance: float) -> bool:
    """Whether a bone lies at a side, and another mirrors it."""
    ends = plane.mirror(np.stack([bones.heads[bone], bones.tails[bone]]))
    off = np.linalg.norm(bones.heads - ends[0], axis=-1) + np.linalg.norm(bones.tails - ends[1], axis=-1)
    return bool(abs(plane.side(bones.tails[bone])) > tolerance and off.min() < tolerance)


def _is_symmetric(bones: Bones, joints: Joints, plane: _Plane, leg: float) -> bool:
    """Whether the joints of both sides are the same, and their bones mirror each other."""
    left = [joint for joint in joints if joint.startswith("left")]
    right = [joint.replace("left", "right") for joint in left]
    if sorted(right) != sorted(joint for joint in joints if joint.startswith("right")):
        return False
    places = bones.heads[[[joints[joint] for joint in side] for side in (left, right)]]
    return bool((np.linalg.norm(plane.mirror(places[0]) - places[1], axis=-1) < 2 * plane.slack * leg).all())
