"""Rigs known by the names of their bones; the names are those of public rigs, with bones around that are no joints."""
# pyright: reportMissingImports=false
# (the package `motiongpt` is made by `tests/conftest.py`)

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from motiongpt.backend.motion.skeleton import SMPL
from motiongpt.backend.protocol.errors import MotionGPTError
from motiongpt.motiongpt_blender.rigs import detection
from motiongpt.motiongpt_blender.rigs.bones import OPTIONAL, Bones, missing_joints, say_joint
from motiongpt.motiongpt_blender.rigs.detection import canonical, detect, load_map, match_map, mirror_bones
from trees import NAMES, read_tree

MAPS = tuple(load_map(path) for path in sorted(Path(detection.__file__).with_name("maps").glob("*.json")))


def renamed(bones: Bones, change) -> Bones:
    return replace(bones, names=tuple(map(change, bones.names)))


@pytest.mark.parametrize("name", NAMES)
def test_rig_is_known_by_its_names(name: str):
    kind, bones, joints = read_tree(name)
    mapping = detect("Anna", bones, MAPS)
    assert (mapping.kind, mapping.bones) == (kind, joints)
    assert mapping.confidence == pytest.approx(len(joints) / len(SMPL))


def spaced(name: str) -> str:
    return name.replace("_", " ").replace(".", "_")


def with_namespace(name: str) -> str:
    return f"Anna:{name}"


def with_prefix(name: str) -> str:
    return f"rig_{name}"


def keeps_sides(name: str, change: Callable[[str], str]) -> bool:
    """Not where only case tells a side from the rest, as in lThigh."""
    return all(canonical(bone)[0] == canonical(change(bone))[0] for bone in read_tree(name)[1].names)


@pytest.mark.parametrize(
    ("name", "change"),
    [(n, c) for c in (str.upper, str.lower, spaced, with_namespace, with_prefix) for n in NAMES if keeps_sides(n, c)],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_spelling_does_not_matter(name: str, change: Callable[[str], str]):
    kind, bones, joints = read_tree(name)
    mapping = detect("Anna", renamed(bones, change), MAPS)
    assert mapping.bones == {joint: change(bone) for joint, bone in joints.items()}
    assert mapping.kind == kind


def test_every_map_is_tried_on_a_rig_of_its_kind():
    assert {rig_map.name for rig_map in MAPS} - {read_tree(name)[0] for name in NAMES} == {"Auto-Rig Pro", "Rigify"}  # made in Blender


@pytest.mark.parametrize("rig_map", MAPS, ids=lambda rig_map: rig_map.path.stem)
def test_map_names_every_joint_that_is_needed_once(rig_map):
    assert missing_joints(rig_map.bones) == []
    names = [name for names in rig_map.bones.values() for name in names]
    assert len(names) == len(set(names))
    sides = [sorted(joint.removeprefix(side) for joint in rig_map.bones if joint.startswith(side)) for side in ("left", "right")]
    assert sides[0] == sides[1]


@pytest.mark.parametrize("joint", sorted(set(SMPL.joints) - OPTIONAL))
def test_rig_without_a_bone_that_is_needed_is_refused_by_its_name(joint: str):
    _, bones, joints = read_tree("mixamo")
    with pytest.raises(MotionGPTError, match=rf"Anna has no bone for {say_joint(joint)}\. .* like is Mixamo") as raised:
        detect("Anna", renamed(bones, lambda name: "other" if name == joints[joint] else name), MAPS)
    assert raised.value.remedy


def test_rig_that_is_no_humanoid_is_refused():
    places = np.zeros((3, 3))
    with pytest.raises(MotionGPTError, match="Anna has the bones of no humanoid that is known") as raised:
        detect("Anna", Bones(("Door", "Handle", "Lock"), (-1, 0, 1), places, places), MAPS)
    assert raised.value.remedy


@pytest.mark.parametrize("joint", sorted(OPTIONAL))
def test_rig_without_a_bone_that_is_not_needed_is_known_less_surely(joint: str):
    kind, bones, joints = read_tree("unreal_4")
    mapping = detect("Anna", renamed(bones, lambda name: "other" if name == joints[joint] else name), MAPS)
    assert mapping.kind == kind
    assert mapping.confidence == pytest.approx(21 / 22)
    assert len(mapping.bones) == 21


@pytest.mark.parametrize(("gone", "left"), [([], ["spine1", "spine2", "spine3"]), ([2], ["spine1", "spine3"]), ([2, 3], ["spine3"])])
def test_the_arms_hang_on_spine3_however_many_bones_the_spine_has(gone: list[int], left: list[str]):
    _, bones, _ = read_tree("unreal_4")
    mapping = detect("Anna", renamed(bones, lambda name: "other" if name in {f"spine_0{number}" for number in gone} else name), MAPS)
    assert [joint for joint in mapping.bones if joint.startswith("spine")] == left


def test_bones_that_hang_elsewhere_make_it_less_sure():
    _, bones, joints = read_tree("smpl")
    parents = list(bones.parents)
    parents[bones.names.index("left_elbow")] = parents[bones.names.index("right_knee")] = 0
    mapping = detect("Anna", replace(bones, parents=tuple(parents)), MAPS)
    assert mapping.confidence == pytest.approx(20 / 22)
    assert mapping.bones == joints


def test_detection_is_the_same_whatever_the_order_of_maps():
    for name in NAMES:
        _, bones, _ = read_tree(name)
        assert detect("Anna", bones, MAPS[::-1]).bones == detect("Anna", bones, MAPS).bones


@pytest.mark.parametrize(
    "names",
    [
        ("left_upper_arm", "LeftUpperArm", "upper_arm.L", "UpperArm_L", "l_upperarm", "Upper Arm L", "leftUpperArm"),
        ("Bip01 R Thigh", "bip01_thigh_r", "Bip01.RightThigh"),
        ("左ひざ", "ひざ.L"),
        ("spine_01", "Spine01", "SPINE 01"),
    ],
)
def test_names_that_are_spelt_differently_are_one(names: tuple[str, ...]):
    assert len({canonical(name) for name in names}) == 1


@pytest.mark.parametrize(
    ("one", "other"), [("spine.001", "spine.002"), ("Leg_L", "Leg_R"), ("thigh.L", "thigh.L.001"), ("spine01", "spine1")]
)
def test_names_that_differ_stay_apart(one: str, other: str):
    assert canonical(one) != canonical(other)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("source", ["left", "right"])
def test_sides_are_mirrored_by_name(name: str, source: str):
    _, bones, joints = read_tree(name)
    half = {joint: bone if joint.startswith(source) else "" for joint, bone in joints.items()}
    assert mirror_bones("Anna", bones, half, source) == {
        j: b for j, b in joints.items() if j.startswith({"left": "right", "right": "left"}[source])
    }


def test_bones_without_a_twin_are_named():
    _, bones, joints = read_tree("unity")
    lonely = renamed(bones, lambda name: "other" if name == "RightHand" else name)
    with pytest.raises(MotionGPTError, match=r"no twin of the bones LeftHand\.") as raised:
        mirror_bones("Anna", lonely, joints, "left")
    assert raised.value.remedy


def test_a_map_is_a_file_and_nothing_else(tmp_path: Path):
    _, bones, joints = read_tree("mixamo")
    strange = {bone: f"Strange {number}" for number, bone in enumerate(bones.names)}
    path = tmp_path / "strange.json"
    path.write_text(json.dumps({"name": "Strange", "bones": {j: strange[b] for j, b in joints.items()}}), encoding="utf-8")
    mapping = detect("Anna", renamed(bones, strange.get), [*MAPS, load_map(path)])
    assert mapping.kind == "Strange"
    assert mapping.bones == {joint: strange[bone] for joint, bone in joints.items()}
    assert match_map("Anna", renamed(bones, strange.get), load_map(path)) == mapping


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"name": "x", "bones": {"tail": "Tail"}}',
        '{"name": "x", "bones": {"pelvis": 3}}',
        '{"name": "x", "bones": {"spine2": "Chest", "spine3": ["Chest 2", "Chest"]}}',
        "\udc80",
    ],
)
def test_file_that_is_no_map_is_refused(tmp_path: Path, text: str):
    path = tmp_path / "map.json"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(MotionGPTError, match="is not a map of bones") as raised:
        load_map(path)
    assert raised.value.remedy


def test_bone_is_that_of_one_joint_however_the_map_spells_it(tmp_path: Path):
    fields = json.loads(next(rig_map.path for rig_map in MAPS if rig_map.path.stem == "unreal_4").read_text(encoding="utf-8"))
    fields["bones"]["spine2"] = "Spine 01"
    path = tmp_path / "map.json"
    path.write_text(json.dumps(fields), encoding="utf-8")
    found = match_map("Anna", read_tree("unreal_4")[1], load_map(path)).bones
    assert found["spine1"] == "spine_01"
    assert len(set(found.values())) == len(found) == 21


CONTROLS = {
    "root": "root",
    "body": "pelvis",
    "fk": {"pelvis": "pelvis", "spine2": "spine_02", "spine3": "spine_03", "neck": "neck_01"},
    "ik": {"left_wrist": {"bone": "hand_l", "pole": "lowerarm_l"}, "left_ankle": {"bone": "ik_foot_l"}},
    "switches": [],
}


def with_controls(tmp_path: Path, **changed) -> detection.RigMap:
    """The map of a rig that has some controls."""
    fields = json.loads(next(rig_map.path for rig_map in MAPS if rig_map.path.stem == "unreal_4").read_text(encoding="utf-8"))
    path = tmp_path / "map.json"
    path.write_text(json.dumps(fields | {"controls": CONTROLS | changed}), encoding="utf-8")
    return load_map(path)


def test_controls_come_with_the_map(tmp_path: Path):
    _, bones, _ = read_tree("unreal_4")
    controls = match_map("Anna", bones, with_controls(tmp_path)).controls
    assert controls is not None
    assert controls.fk == CONTROLS["fk"]
    assert {joint: goal.bone for joint, goal in controls.ik.items()} == {"left_wrist": "hand_l", "left_ankle": "ik_foot_l"}


def test_controls_follow_the_joints(tmp_path: Path):
    """Those of joints that are missing go, and that of the uppermost bone of the spine stays with it."""
    _, bones, _ = read_tree("unreal_4")
    bones = renamed(bones, lambda name: {"spine_03": "other", "neck_01": "another"}.get(name, name))
    mapping = match_map("Anna", bones, with_controls(tmp_path))
    assert mapping.bones["spine3"] == "spine_02"
    assert mapping.controls is not None
    assert mapping.controls.fk == {"pelvis": "pelvis", "spine3": "spine_02"}


@pytest.mark.parametrize(
    "changed", [{"root": "gone"}, {"body": "gone"}, {"fk": {"pelvis": "gone"}}, {"ik": {"left_wrist": {"bone": "gone"}}}]
)
def test_rig_without_all_of_its_controls_has_none_and_is_said_to_lack_one(tmp_path: Path, changed: dict):
    _, bones, _ = read_tree("unreal_4")
    mapping = match_map("Anna", bones, with_controls(tmp_path, **changed))
    assert mapping.controls is None
    assert mapping.lacks == ("gone",)
    assert len(mapping.bones) == len(SMPL)


def test_control_may_have_one_of_several_names(tmp_path: Path):
    _, bones, _ = read_tree("unreal_4")
    mapping = match_map("Anna", bones, with_controls(tmp_path, fk={"pelvis": ["gone", "pelvis", "spine_01"]}))
    assert mapping.controls is not None
    assert mapping.controls.fk == {"pelvis": "pelvis"}


def test_toes_need_no_goal(tmp_path: Path):
    _, bones, _ = read_tree("unreal_4")
    mapping = match_map("Anna", bones, with_controls(tmp_path, ik={**CONTROLS["ik"], "left_foot": {"bone": "gone"}}))
    assert mapping.controls is not None
    assert "left_foot" not in mapping.controls.ik
