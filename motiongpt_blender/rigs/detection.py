"""Which bone is which joint: by the bones' names where they are known, else by how the bones hang together.

A kind of rig is a map, a JSON file with its name and for each joint the name of its bone, or a list of the names that it has
in different versions, the likeliest first. Case, separators, how a name says left or right, and a prefix that all names
share do not matter.
"""

import json
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import Any

from ...backend.motion.skeleton import SMPL
from ...backend.protocol.errors import Code, MotionGPTError
from .bones import OPTIONAL, REQUIRED, Bones, missing_joints, say_joint, spread_spine
from .controls import Controls, read_controls
from .structure import find_by_structure, find_twin

BY_STRUCTURE = "By Structure"
BY_HAND = "By Hand"
_SURE = 0.8  # from this confidence on, names alone decide
_REMEDY = "Rename its bones, or choose the bone of each joint under Character."
_WORDS = re.compile(r"[左右]|[LR](?=[A-Z]{1,2}[a-z])|[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\W\d_A-Za-z左右]+")
_SIDES = {"l": "left", "left": "left", "左": "left", "r": "right", "right": "right", "右": "right"}

Key = tuple[str, str]  # side ("" for neither) and the rest of the name


@dataclass(frozen=True)
class RigMap:
    """One kind of rig: the names that the bone of each joint may have, and what the file says of its controls where there are such.

    The animator's `own` maps come before the others.
    """

    name: str
    bones: dict[str, tuple[str, ...]]
    controls: dict[str, Any] | None
    path: Path
    own: bool = False

    @cached_property
    def keys(self) -> dict[str, tuple[Key, ...]]:
        return {joint: tuple(map(canonical, names)) for joint, names in self.bones.items()}

    @property
    def telling(self) -> tuple[Key, ...]:
        """The names that tell the prefix."""
        return self.keys.get("pelvis", ()) + self.keys.get("head", ())


@dataclass(frozen=True)
class Mapping:
    """The bones of an armature that are joints: `bones` from joint to bone name, read and (without `controls`) written.

    `kind` is the map's name, `confidence` 0 to 1. Spine joints (but one), neck, collars and feet may be missing. `controls` are
    the bones that are written in place of `bones` on rigs that have such; `lacks` are those for want of which such a rig has none.
    """

    kind: str
    confidence: float
    bones: dict[str, str]
    controls: Controls | None = None
    lacks: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Candidate:
    """A map under one prefix, and the bones that it finds."""

    rig_map: RigMap
    prefix: str
    found: dict[str, int]
    parents: tuple[int, ...]

    @property
    def rank(self) -> tuple[float, bool, int, int, int]:
        """Better candidates rank higher: surer, own, then with more of the names explained, closer together, further up."""
        direct = sum(self.parents[bone] == self._above(joint) for joint, bone in self.found.items())
        depth = sum(self._depth(bone) for bone in self.found.values())
        return self.confidence, self.rig_map.own, -len(self.prefix), direct, -depth

    @property
    def confidence(self) -> float:
        """The share of joints whose bone was found, and found below the bone of the joint above (controls move theirs by constraints)."""
        return sum(self._hangs(joint) for joint in self.found) / len(SMPL)

    def mapping(self, bones: Bones) -> Mapping:
        places = spread_spine(self.found)
        joints = {places[joint]: bone for joint, bone in self.found.items()}
        controls = fitting_controls(self.rig_map.controls, self.found, bones.names)
        return Mapping(self.rig_map.name, self.confidence, _named(bones, joints), *controls)

    def _hangs(self, joint: str) -> bool:
        above = self._above(joint)
        bone = self.found[joint]
        while above is not None and bone >= 0 and bone != above:
            bone = self.parents[bone]
        return self.rig_map.controls is not None or bone >= 0

    def _depth(self, bone: int) -> int:
        return 0 if bone < 0 else 1 + self._depth(self.parents[bone])

    def _above(self, joint: str) -> int | None:
        """The bone of the nearest joint above that has one."""
        parent = SMPL.parents[SMPL.index(joint)]
        while parent >= 0 and SMPL.joints[parent] not in self.found:
            parent = SMPL.parents[parent]
        return None if parent < 0 else self.found[SMPL.joints[parent]]


def canonical(name: str) -> Key:
    """What is left of a bone's name when spelling does not matter."""
    side, rest = "", []
    for word in map(str.casefold, _WORDS.findall(name)):
        if not side and word in _SIDES:
            side = _SIDES[word]
        else:
            rest.append(word)
    return side, "".join(rest)


def load_map(path: Path) -> RigMap:
    """The map in a file; MotionGPTError if it holds none."""
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        bones = {joint: (names,) if isinstance(names, str) else tuple(names) for joint, names in fields["bones"].items()}
        if unknown := bones.keys() - set(SMPL.joints):
            raise ValueError(f"there is no joint {', '.join(sorted(unknown))}")
        if shared := find_shared(bones):
            raise ValueError(f"{shared[0]} is the bone of {' and of '.join(shared[1:])}")
        if "controls" in fields:
            read_controls(fields["controls"])
        return RigMap(str(fields["name"]), bones, fields.get("controls"), path)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        message = f"{path} is not a map of bones: {error}."
        raise MotionGPTError(Code.INVALID_PARAMS, message, "Choose another, or remove the file.") from error


def find_shared(bones: dict[str, tuple[str, ...]]) -> tuple[str, str, str] | None:
    """A bone that two joints have among theirs, and these; None if there is none."""
    pairs = ((name, *joints) for joints in combinations(bones, 2) for name in bones[joints[0]] if name in bones[joints[1]])
    return next(pairs, None)


def begin_by_hand(bones: Bones, maps: Iterable[RigMap]) -> Mapping:
    """What the likeliest map finds of a rig that is not known, to be completed by hand."""
    closest = max(_candidates(bones, maps), key=_closeness)
    return Mapping(BY_HAND, closest.confidence, _named(bones, closest.found))


def fitting_controls(
    description: dict[str, Any] | None, joints: Collection[str], names: Collection[str]
) -> tuple[Controls | None, tuple[str, ...]]:
    """The controls of these `joints`, if the bones called `names` have them all, and else what they lack: an exported rig has none left.

    A rig may do without the goals of joints that it could lack, such as the toes.
    """
    if description is None:
        return None, ()
    controls, places = read_controls(description, names), spread_spine(joints)
    fk = {places[joint]: bone for joint, bone in controls.fk.items() if joint in joints}
    ik = {joint: goal for joint, goal in controls.ik.items() if joint in joints and (goal.bone in names or joint not in OPTIONAL)}
    needed = (controls.root, controls.body, *fk.values(), *(bone for goal in ik.values() for bone in (goal.bone, goal.pole) if bone))
    lacks = tuple(bone for bone in needed if bone not in names)
    return (None, lacks) if lacks else (replace(controls, fk=fk, ik=ik), ())


def detect(armature: str, bones: Bones, maps: Iterable[RigMap]) -> Mapping:
    """The best mapping for the bones of the object called `armature`; MotionGPTError names what is missing."""
    candidates = list(_candidates(bones, maps))
    best = _best(candidates)
    if best is None or best.confidence < _SURE:
        structure = find_by_structure(bones)
        if structure and (best is None or structure[1] > best.confidence):
            return Mapping(BY_STRUCTURE, structure[1], _named(bones, structure[0]))
    if best is None:
        closest = max(candidates, key=_closeness, default=None)
        if closest is None or 2 * len(closest.found) < len(REQUIRED):
            message = f"{armature} has the bones of no humanoid that is known, and is not built like one."
            raise MotionGPTError(Code.INVALID_PARAMS, message, _REMEDY)
        raise _missing(armature, closest)
    return best.mapping(bones)


def match_map(armature: str, bones: Bones, rig_map: RigMap) -> Mapping:
    """The mapping that one map gives; MotionGPTError names what is missing."""
    candidates = list(_candidates(bones, [rig_map]))
    best = _best(candidates)
    if best is None:
        raise _missing(armature, max(candidates, key=_closeness))
    return best.mapping(bones)


def mirror_bones(armature: str, bones: Bones, mapped: dict[str, str], source: str) -> dict[str, str]:
    """For each joint of the other side the twin of what is `mapped` on the side `source`, left or right, "" where that is "".

    Twins are found by name where it says a side, else by place; MotionGPTError names the bones that have none.
    """
    index = _index(bones)
    other = {"left": "right", "right": "left"}[source]
    twins, without = {}, []
    for joint, name in mapped.items():
        if not joint.startswith(source):
            continue
        twin = None
        if name:
            side, word = canonical(name)
            twin = index.get((other, word)) if side == source else find_twin(bones, bones.names.index(name))
            if twin is None:
                without.append(name)
        twins[joint.replace(source, other)] = "" if twin is None else bones.names[twin]
    if without:
        message = f"{armature} has no twin of the bones {', '.join(without)}."
        raise MotionGPTError(Code.INVALID_PARAMS, message, f"Choose the bones of the {other} side by hand.")
    return twins


def _best(candidates: list[_Candidate]) -> _Candidate | None:
    return max((c for c in candidates if not missing_joints(c.found)), key=lambda c: c.rank, default=None)


def _candidates(bones: Bones, maps: Iterable[RigMap]) -> Iterator[_Candidate]:
    """Every map as it is, and under every prefix that its pelvis or head has here."""
    maps = tuple(maps)
    exact = {name: bone for bone, name in enumerate(bones.names)}
    index = _index(bones)
    prefixes = _prefixes(index, {key for rig_map in maps for key in rig_map.telling})
    for rig_map in maps:
        for prefix in sorted({"", *(prefix for key in rig_map.telling for prefix in prefixes[key])}):
            found = {}
            for joint, keys in rig_map.keys.items():
                names = () if prefix else rig_map.bones[joint]
                places = (*map(exact.get, names), *(index.get((side, prefix + word)) for side, word in keys))
                if (bone := next((place for place in places if place not in (None, *found.values())), None)) is not None:
                    found[joint] = bone
            yield _Candidate(rig_map, prefix, found, bones.parents)


def _prefixes(index: Iterable[Key], ends: set[Key]) -> dict[Key, set[str]]:
    """For each of `ends` what stands before it in names that end so."""
    lengths = {len(word) for _, word in ends}
    prefixes: dict[Key, set[str]] = {end: set() for end in ends}
    for side, word in index:
        for length in lengths:
            if (side, word[-length:]) in prefixes:
                prefixes[side, word[-length:]].add(word[:-length])
    return prefixes


def _index(bones: Bones) -> dict[Key, int]:
    """The bone of each name, the uppermost where spelling alone sets names apart."""
    index: dict[Key, int] = {}
    for bone, name in enumerate(bones.names):
        index.setdefault(canonical(name), bone)
    return index


def _named(bones: Bones, joints: dict[str, int]) -> dict[str, str]:
    return {joint: bones.names[joints[joint]] for joint in SMPL.joints if joint in joints}


def _closeness(candidate: _Candidate) -> tuple[int, tuple[float, bool, int, int, int]]:
    return sum(joint in candidate.found for joint in REQUIRED), candidate.rank


def _missing(armature: str, candidate: _Candidate) -> MotionGPTError:
    lacks = ", ".join(map(say_joint, missing_joints(candidate.found)))
    message = f"{armature} has no bone for {lacks}. The kind of rig that it is most like is {candidate.rig_map.name}."
    return MotionGPTError(Code.INVALID_PARAMS, message, _REMEDY)
