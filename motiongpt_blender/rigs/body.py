"""What hangs on what in a rig: the bones that carry a clip, and how each moves with the one above it.

Taken from the pose as Blender evaluates it, so whatever other bones, parents and constraints do between these bones is
reckoned with, and left as it is.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import bpy
import numpy as np
from mathutils import Matrix

from ...backend.motion import rotations
from ...backend.motion.skeleton import SMPL
from .controls import Controls, Limbs
from .rig import SPINE, Rig, read_bones, read_rest, turns_of_joints
from .stance import Stance

Bones = Mapping[str, bpy.types.PoseBone]
_SQUEEZED = 1e-4  # of its length: how much shorter a limb has to be to count as squeezed


@dataclass(frozen=True)
class Pole:
    """Where the middle of a limb points: the bone `bone`, `distance` metres from the limb's middle joint.

    `limb` are the three joints; `direction (3,)` is where a straight limb points, in the frame of the bone that carries the first.
    """

    bone: str
    limb: tuple[int, int, int]
    direction: np.ndarray
    distance: float


@dataclass(frozen=True)
class Body:
    """The `n` bones that carry a clip, those above before those below; in the canonical frame, metres.

    A bone turns as the joints `joints (n, 2)` do, from the first to the second by `shares (n,)`, and is turned against them by
    `attached (n, 4)`. It hangs on the bone `above (n,)` (-1: on none of these): in that one's frame its rest is `spaces (n, 4)` and
    its head `offsets (n, 3)`. `own (n, 4)` is its own rotation in the pose. `inherits (n,)` is false for bones that leave their
    parents' turns alone. The joint j lies at `joint_offsets[j]` in the frame of the bone `carriers[j]`.

    `keyed` are the bones that are turned, `mover` is the one whose location takes the body along, `goals` are the IK
    controls, each with the joint where it stands and its place `(3,)` in the frame of that joint's carrier.
    """

    bones: tuple[str, ...]
    joints: np.ndarray
    shares: np.ndarray
    attached: np.ndarray
    above: tuple[int, ...]
    spaces: np.ndarray
    offsets: np.ndarray
    own: np.ndarray
    inherits: tuple[bool, ...]
    carriers: tuple[int, ...]
    joint_offsets: np.ndarray
    keyed: tuple[int, ...]
    mover: int
    goals: dict[int, tuple[int, np.ndarray]]
    poles: tuple[Pole, ...]

    def turned(self, turns: np.ndarray) -> np.ndarray:
        """The bones' rotations `(T, n, 4)` where the joints have turned by `turns (T, 22, 4)` from the T-pose."""
        turned = turns[:, self.joints[:, 0]]
        for bone in np.flatnonzero(self.shares):
            turned[:, bone] = rotations.slerp(turned[:, bone], turns[:, self.joints[bone, 1]], self.shares[bone])
        return rotations.multiply(turned, self.attached)

    def heads(self, turned: np.ndarray, pelvis: np.ndarray, joints: Iterable[int] = ()) -> np.ndarray:
        """The places `(T, n, 3)` of the bones' heads where they are `turned (T, n, 4)` and the pelvis is at `(T, 3)`.

        Those that neither are moved nor lie above one of the `joints` are left at zero.
        """
        heads = np.zeros((*turned.shape[:-1], 3))
        for bone in self._way_to(joints):
            above = self.above[bone]
            heads[:, bone] = self.offsets[bone]
            if above >= 0:
                heads[:, bone] = heads[:, above] + rotations.rotate(turned[:, above], self.offsets[bone])
        heads += (pelvis - self.joint(0, turned, heads))[:, None]
        for bone, (joint, offset) in self.goals.items():
            heads[:, bone] = self._carried(self.carriers[joint], offset, turned, heads)
        return heads

    def joint(self, joint: int, turned: np.ndarray, heads: np.ndarray) -> np.ndarray:
        """The places `(T, 3)` of a joint."""
        return self._carried(self.carriers[joint], self.joint_offsets[joint], turned, heads)

    def spaces_in(self, turned: np.ndarray, loose: np.ndarray) -> np.ndarray:
        """The rotations `(T, n, 4)` that the bones have where their own is none; those that do not inherit turn with `loose (T, 4)`."""
        still = np.broadcast_to(rotations.IDENTITY, (len(turned), 1, 4))
        rooted = np.concatenate([turned, loose[:, None], still], axis=1)
        above = [above if inherits else -2 for above, inherits in zip(self.above, self.inherits, strict=True)]
        return rotations.multiply(rooted[:, above], self.spaces)

    def _way_to(self, joints: Iterable[int]) -> list[int]:
        """The bones above those that are moved and those that carry `joints`, these included, in order."""
        ends = {0, *joints, *(joint for joint, _ in self.goals.values()), *(joint for pole in self.poles for joint in pole.limb)}
        way = set()
        for bone in (self.mover, *(self.carriers[joint] for joint in ends)):
            while bone >= 0 and bone not in way:
                way.add(bone)
                bone = self.above[bone]
        return sorted(way)

    def _carried(self, carrier: int, offset: np.ndarray, turned: np.ndarray, heads: np.ndarray) -> np.ndarray:
        return heads[:, carrier] + rotations.rotate(turned[:, carrier], offset)


def read_body(rig: Rig, armature: bpy.types.Object, depsgraph: bpy.types.Depsgraph, limbs: Limbs) -> Body:
    """How the rig's bones, or its controls where it has such, hang together in the evaluated pose."""
    posed = armature.evaluated_get(depsgraph).pose.bones
    nodes = _controls(rig, rig.controls, limbs) if rig.controls else _bones(rig, posed)
    way = {node.bone: [bone.name for bone in bones_above(posed[node.bone])] for node in nodes}
    nodes.sort(key=lambda node: len(way[node.bone]))
    bones = [posed[node.bone] for node in nodes]
    names = [node.bone for node in nodes]
    above = tuple(next((names.index(name) for name in way[bone] if name in way), -1) for bone in names)
    parents = [bone.parent or bone for bone in bones]
    inherits = tuple(bone.bone.use_inherit_rotation or bone.parent is None for bone in bones)

    turned, heads = read_bones(rig.stance, [*bones, *parents, *(posed[name] for name in rig.bones)])
    turned, turned_parents, turned_rig = np.split(turned, [len(bones), 2 * len(bones)])
    rest, rest_heads = read_rest(rig.stance, [bone.bone for bone in (*bones, *parents)])
    rest, rest_parents = np.split(rest, 2)
    heads, rest_heads = heads[: len(bones)], rest_heads[: len(bones)]

    joints, shares = np.array([node.joints for node in nodes]), np.array([node.share for node in nodes])
    now = turns_of_joints(rig, turned_rig)
    between = rotations.slerp(now[joints[:, 0]], now[joints[:, 1]], shares)
    rigid = rotations.multiply(rig.stance.turns[joints[:, 0]], rest)
    attached = np.where(shares[:, None] > 0, rotations.multiply(rotations.inverse(between), turned), rigid)

    followed = rotations.multiply(turned_parents, rotations.multiply(rotations.inverse(rest_parents), rest))
    follows = np.array([bone.parent is not None and bone.bone.use_inherit_rotation for bone in bones])
    spaces = np.where(follows[:, None], followed, rest)
    own = rotations.multiply(rotations.inverse(spaces), turned)
    offsets, over = heads.copy(), np.array(above)
    hung = np.flatnonzero(over >= 0)
    offsets[hung] = rotations.rotate(rotations.inverse(turned[over[hung]]), heads[hung] - heads[over[hung]])
    led = np.flatnonzero((over >= 0) & np.array(inherits))
    spaces[led] = rotations.multiply(rotations.inverse(turned[over[led]]), spaces[led])

    carriers, joint_offsets = _carry_joints(rig, nodes, rest, rest_heads)
    goals = {}
    for bone, node in enumerate(nodes):
        if node.goal:
            carrier = carriers[node.joints[0]]
            goals[bone] = (node.joints[0], rotations.rotate(rotations.inverse(rest[carrier]), rest_heads[bone] - rest_heads[carrier]))
    return Body(
        tuple(names),
        joints,
        shares,
        attached,
        above,
        spaces,
        offsets,
        own,
        inherits,
        carriers,
        joint_offsets,
        tuple(bone for bone, node in enumerate(nodes) if node.keyed),
        names.index(rig.controls.body if rig.controls else rig.bones[0]),
        goals,
        _poles(rig, rig.controls, carriers, rest, posed) if rig.controls and limbs == "IK" else (),
    )


def bones_above(bone: bpy.types.PoseBone) -> Iterator[bpy.types.PoseBone]:
    """The bones whose movement a bone goes along with, nearest first: parents, or those that they are constrained to follow."""
    seen = {bone.name}
    above = bone.parent
    while above is not None and above.name not in seen:
        yield above
        seen.add(above.name)
        above = _followed(above) or above.parent


def limb_of(end: int) -> tuple[int, int, int]:
    """The three joints of the limb that ends at the joint `end`."""
    middle = SMPL.parents[end]
    return SMPL.parents[middle], middle, end


def limb_controls(controls: Controls | None, poles_only: bool) -> frozenset[str]:
    """The controls of both kinds of arms and legs, or only those at which their middles point."""
    if controls is None:
        return frozenset()
    poles = {goal.pole for goal in controls.ik.values() if goal.pole}
    if poles_only:
        return frozenset(poles)
    fk = {controls.fk[SMPL.joints[joint]] for end in controls.ik for joint in limb_of(SMPL.index(end))}
    return frozenset(poles | fk | {bone for goal in controls.ik.values() for bone in (goal.bone, *goal.chain)})


def find_limb_scales(rig: Rig, posed: Bones, held: bool) -> dict[str, float]:
    """The scales of the limbs' controls, as far as they have to be set.

    If `held`, limbs that IK squeezes in the pose stay as short. Others that their controls make shorter are of full length
    again. No limb is made longer than at rest: where IK stretches one it keeps its directions, and ends nearer than it did.
    """
    scales = {}
    if rig.controls is None:
        return scales
    for name, goal in rig.controls.ik.items():
        limb = limb_of(SMPL.index(name))
        if not goal.chain or any(joint not in rig.joints for joint in limb):
            continue
        at = [rig.joints.index(joint) for joint in limb]
        now = read_bones(rig.stance, [posed[rig.bones[index]] for index in at])[1]
        lengths = np.linalg.norm(np.diff([now, rig.heads[at]], axis=1), axis=-1)
        wanted = np.minimum(1.0, lengths[0] / lengths[1]) if held else np.ones(2)
        for first, second in ([rig.controls.fk[SMPL.joints[joint]] for joint in limb[:2]], goal.chain):
            has = np.cumprod([posed[first].scale.y, posed[second].scale.y])  # the second inherits the first's
            if min(*wanted, *has) < 1.0 - _SQUEEZED:
                scales[first], scales[second] = float(wanted[0]), float(wanted[1] / wanted[0])
    return scales


def find_root_bone(rig: Rig, posed: Bones) -> str | None:
    """The bone that takes hips and all else along: the topmost above the pelvis."""
    if rig.controls:
        return rig.controls.root
    above = [bone.name for bone in bones_above(posed[rig.bones[0]])]
    return above[-1] if above else None


def space_of(stance: Stance, bone: bpy.types.PoseBone) -> np.ndarray:
    """The rotation `(4,)` that a posed bone has where its own is none, in the canonical frame."""
    rest = read_rest(stance, [bone.bone])[0][0]
    if bone.parent is None or not bone.bone.use_inherit_rotation:
        return rest
    follow = rotations.multiply(read_bones(stance, [bone.parent])[0][0], rotations.inverse(read_rest(stance, [bone.parent.bone])[0][0]))
    return rotations.multiply(follow, rest)


def location_space(bone: bpy.types.PoseBone) -> np.ndarray:
    """The matrix `(4, 4)` from a posed bone's location channel to where that puts its head in armature space."""
    data, parent = bone.bone, bone.parent
    over = {"parent_matrix": parent.matrix, "parent_matrix_local": parent.bone.matrix_local} if parent else {}
    head, *moved = (
        np.array(data.convert_local_to_pose(Matrix.Translation(place), data.matrix_local, **over).translation)
        for place in ((0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1))
    )
    space = np.eye(4)
    space[:3, :3], space[:3, 3] = np.stack([place - head for place in moved], axis=-1), head
    return space


@dataclass(frozen=True)
class _Node:
    """A bone that turns from the first of two joints to the second by `share`; a `goal` stands where the first is."""

    bone: str
    joints: tuple[int, int]
    share: float = 0.0
    keyed: bool = True
    goal: bool = False
    carries: bool = True


def _followed(bone: bpy.types.PoseBone) -> bpy.types.PoseBone | None:
    """The bone that `bone` is made to follow entirely, if any."""
    bones = bone.id_data.pose.bones
    for constraint in reversed(bone.constraints):
        if constraint.mute or constraint.influence < 1.0:
            continue
        if constraint.type == "COPY_TRANSFORMS":
            return bones.get(constraint.subtarget)
        if constraint.type == "ARMATURE":
            targets = [target for target in constraint.targets if target.weight > 0]
            return bones.get(targets[0].subtarget) if len(targets) == 1 else None
    return None


def _bones(rig: Rig, posed: Bones) -> list[_Node]:
    """The bones of the joints, and those of spine and neck that are no joints: they bend evenly between those that are."""
    own = dict(zip(rig.joints, rig.bones, strict=True))
    nodes = [_Node(bone, (joint, joint)) for joint, bone in own.items()]
    chain = [SMPL.index(name) for name in SPINE if SMPL.index(name) in own]
    for below, joint in zip(chain, chain[1:], strict=False):
        way = [bone.name for bone in posed[own[joint]].parent_recursive]
        if own[below] in way:
            extra = way[: way.index(own[below])][::-1]
            nodes += [_Node(bone, (below, joint), (i + 1) / (len(extra) + 1)) for i, bone in enumerate(extra)]
    return nodes


def _controls(rig: Rig, controls: Controls, limbs: Limbs) -> list[_Node]:
    """The controls of body and joints, and with IK the goals in place of the limbs', and what else is turned by these."""
    goals = {SMPL.index(joint): goal for joint, goal in controls.ik.items()} if limbs == "IK" else {}
    ruled = {link for joint, goal in goals.items() for link in (limb_of(joint) if goal.pole else (joint,))}
    nodes = [_Node(controls.body, (0, 0), carries=False)] if controls.body != controls.fk["pelvis"] else []
    for name, bone in controls.fk.items():
        joint = SMPL.index(name)
        if joint in rig.joints:
            nodes.append(_Node(bone, (joint, joint), keyed=joint not in ruled))
    for bone, (first, second) in controls.blended.items():
        joints = SMPL.index(first), SMPL.index(second)
        if set(joints) <= set(rig.joints):
            nodes.append(_Node(bone, joints, 0.5, keyed=False, carries=False))
    return nodes + [_Node(goal.bone, (joint, joint), goal=goal.pole is not None, carries=False) for joint, goal in goals.items()]


def _carry_joints(rig: Rig, nodes: list[_Node], rest: np.ndarray, heads: np.ndarray) -> tuple[tuple[int, ...], np.ndarray]:
    """For each of the 22 joints the bone that carries it, and where in that one's frame it lies."""
    own = {node.joints[0]: bone for bone, node in enumerate(nodes) if node.carries and node.share == 0}
    assert SMPL.offsets is not None
    joints, bones = list(own), list(own.values())
    places = rig.heads[[rig.joints.index(joint) for joint in joints]]
    carriers, offsets = [], np.zeros((len(SMPL), 3))
    offsets[joints] = rotations.rotate(rotations.inverse(rest[bones]), places - heads[bones])
    for joint, parent in enumerate(SMPL.parents):
        if joint in own:
            carriers.append(own[joint])
            continue
        carrier = carriers[parent]  # the rig lacks this joint: it lies where the skeleton has it
        turn = rotations.multiply(rotations.inverse(rest[carrier]), rotations.inverse(rig.stance.turns[parent]))
        offsets[joint] = offsets[parent] + rotations.rotate(turn, SMPL.offsets[joint])
        carriers.append(carrier)
    return tuple(carriers), offsets


def _poles(rig: Rig, controls: Controls, carriers: tuple[int, ...], rest: np.ndarray, posed: Bones) -> tuple[Pole, ...]:
    poles = []
    for joint, goal in controls.ik.items():
        if goal.pole is None:
            continue
        limb = limb_of(SMPL.index(joint))
        start, middle, end = (rig.heads[rig.joints.index(link)] for link in limb)
        away = read_rest(rig.stance, [posed[goal.pole].bone])[1][0] - middle
        along = rotations.normalise(end - start)
        direction = rotations.rotate(rotations.inverse(rest[carriers[limb[0]]]), rotations.normalise(away - along * (away @ along)))
        poles.append(Pole(goal.pole, limb, direction, float(np.linalg.norm(away))))
    return tuple(poles)
