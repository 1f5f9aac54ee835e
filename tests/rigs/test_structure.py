"""Joints found by how bones hang together; who made the person knows which they are."""
# pyright: reportMissingImports=false
# (the package `motiongpt` is made by `tests/conftest.py`)

import numpy as np
import pytest
from motiongpt.backend.motion import rotations
from motiongpt.backend.motion.skeleton import SMPL
from motiongpt.backend.protocol.errors import MotionGPTError
from motiongpt.motiongpt_blender.rigs.detection import BY_STRUCTURE, detect
from motiongpt.motiongpt_blender.rigs.structure import find_by_structure, find_twin
from people import Person, person

SIDES = (("left", 1), ("right", -1))


def plain(made: Person) -> None:
    pass


def root_bone(made: Person) -> None:
    made.add("root", None, (0, 0, 0), (0, 0, 0.3))
    made.parents["pelvis"] = "root"


def twist_bones_within(made: Person) -> None:
    for side, _ in SIDES:
        for bone, above in (("knee", "hip"), ("ankle", "knee"), ("elbow", "shoulder"), ("wrist", "elbow")):
            made.insert(f"{side}_{bone}", f"{side}_{above}", 0.5)


def twist_bones_beside(made: Person) -> None:
    for side, _ in SIDES:
        for joint in ("hip", "knee", "shoulder", "elbow"):
            name, ends = f"{side}_{joint}", (made.heads[f"{side}_{joint}"], made.tails[f"{side}_{joint}"])
            made.chain(f"{name} twist ", name, [ends[0], (ends[0] + ends[1]) / 2, ends[1]])


def helpers_above_the_hips(made: Person) -> None:
    for side, _ in SIDES:
        made.add(f"{side} helper", "pelvis", made.heads["pelvis"], made.heads[f"{side}_hip"])
        made.parents[f"{side}_hip"] = f"{side} helper"


def tips(made: Person) -> None:
    """As from files that end every chain with an empty bone."""
    for bone in ("head", "left_foot", "right_foot"):
        made.add(f"{bone} end", bone, made.tails[bone], made.tails[bone] + 0.2 * (made.tails[bone] - made.heads[bone]))


def no_toes(made: Person) -> None:
    for side, _ in SIDES:
        made.remove(f"{side}_foot")


def no_collars(made: Person) -> None:
    for side, _ in SIDES:
        made.remove(f"{side}_collar")


def no_neck(made: Person) -> None:
    made.remove("neck")


def one_spine_bone(made: Person) -> None:
    made.remove("spine1")
    made.remove("spine2")


def two_spine_bones(made: Person) -> None:
    made.remove("spine2")


def five_spine_bones(made: Person) -> None:
    for bone, above in (("spine2", "spine1"), ("spine3", "spine2")):
        made.insert(bone, above, 0.5)
    made.joints["spine2"] = "spine2 twist"  # halfway between the first and the last


def face(made: Person) -> None:
    made.add("jaw", "head", made.at("head", 0, 0.02, 0.03), made.at("head", 0, 0, 0.1))
    for side, sign in SIDES:
        made.add(f"{side} eye", "head", made.at("head", sign * 0.03, 0.08, 0.08), made.at("head", sign * 0.03, 0.08, 0.1))


def long_hair(made: Person) -> None:
    for side, sign in SIDES:
        made.chain(f"{side} tail ", "head", [made.at("head", sign * 0.1, 0.15 - 0.15 * step, -0.1) for step in range(7)])
    made.chain("mane ", "head", [made.at("head", 0, 0.15 - 0.12 * step, -0.12) for step in range(7)])


def skirt(made: Person) -> None:
    for strand in range(12):
        angle = 2 * np.pi * strand / 12
        out = np.array([np.sin(angle), 0, np.cos(angle)])
        made.chain(f"skirt {strand} ", "pelvis", [made.at("pelvis", 0, -0.12 * step, 0) + out * (0.15 + 0.04 * step) for step in range(5)])


def tail(made: Person) -> None:
    made.chain("tail ", "pelvis", [made.at("pelvis", 0, -0.05 * step, -0.1 - 0.12 * step) for step in range(8)])


def cape(made: Person) -> None:
    for strand in (-1, 0, 1):
        points = [made.at("spine3", 0.12 * strand, 0.15 - 0.16 * step, -0.12 - 0.02 * step) for step in range(7)]
        made.chain(f"cape {strand} ", "spine3", points)


def breasts(made: Person) -> None:
    for side, sign in SIDES:
        made.chain(f"{side} breast ", "spine3", [made.at("spine3", sign * 0.08, 0.02, 0.05 + 0.06 * step) for step in range(3)])


def legs_below_a_bone_of_their_own(made: Person) -> None:
    made.add("lower body", "pelvis", made.heads["pelvis"], made.at("pelvis", 0, -0.08, 0))
    for side, _ in SIDES:
        made.parents[f"{side}_hip"] = "lower body"


EXTRAS = [
    plain,
    root_bone,
    twist_bones_within,
    twist_bones_beside,
    helpers_above_the_hips,
    tips,
    no_toes,
    no_collars,
    no_neck,
    one_spine_bone,
    two_spine_bones,
    five_spine_bones,
    face,
    long_hair,
    skirt,
    tail,
    cape,
    breasts,
    legs_below_a_bone_of_their_own,
]
AXES = {
    "y up": rotations.IDENTITY,
    "z up": rotations.about(np.array([1.0, 0, 0]), np.pi / 2),
    "z up, facing x": rotations.multiply(
        rotations.about(np.array([0, 0, 1.0]), np.pi / 2), rotations.about(np.array([1.0, 0, 0]), np.pi / 2)
    ),
    "any": rotations.normalise(np.array([0.3, -0.5, 0.7, 0.4])),
}


@pytest.mark.parametrize("extra", EXTRAS, ids=lambda extra: extra.__name__)
@pytest.mark.parametrize("arms_down", [0.0, 0.8, 1.3], ids=["T", "A", "hanging"])
def test_joints_are_found(extra, arms_down: float):
    made = person(arms_down)
    extra(made)
    for seed in range(3):
        bones, joints = made.build(AXES["z up"], seed=seed)
        found = find_by_structure(bones)
        assert found is not None
        assert {joint: bones.names[bone] for joint, bone in found[0].items()} == {
            joint: bones.names[bone] for joint, bone in joints.items()
        }


@pytest.mark.parametrize("axes", AXES)
@pytest.mark.parametrize("scale", [0.01, 1.0, 100.0])
@pytest.mark.parametrize("fingers", [True, False])
def test_size_and_axes_do_not_matter(axes: str, scale: float, fingers: bool):
    bones, joints = person(0.5, fingers).build(AXES[axes], scale)
    found = find_by_structure(bones)
    assert found == (joints, 1.0)


@pytest.mark.parametrize("legs", [0.5, 0.8, 1.3])
@pytest.mark.parametrize("arms_down", [0.0, 1.3])
def test_proportions_may_differ(legs: float, arms_down: float):
    bones, joints = person(arms_down, legs=legs).build(AXES["z up"])
    assert find_by_structure(bones) == (joints, 1.0)


@pytest.mark.parametrize("tail", [(0, 0.05, 0), (0, 0, -0.05), (0.05, 0, 0)])
def test_tails_may_lie_anywhere(tail: tuple[float, float, float]):
    """As importers leave them."""
    made = person(0.7)
    made.tails = {bone: made.at(bone, *tail) for bone in made.heads}
    bones, joints = made.build(AXES["z up"])
    assert find_by_structure(bones) == (joints, 1.0)


def test_detection_falls_back_on_structure():
    bones, joints = person().build(AXES["z up"])
    mapping = detect("Anna", bones, ())
    assert mapping.kind == BY_STRUCTURE
    assert mapping.confidence == 1.0
    assert mapping.bones == {joint: bones.names[bone] for joint, bone in joints.items()}


def test_what_is_missing_makes_it_less_sure():
    made = person()
    no_toes(made)
    found = find_by_structure(made.build()[0])
    assert found is not None
    assert found[1] == pytest.approx(20 / len(SMPL))


@pytest.mark.parametrize(
    ("above", "axis", "degrees"), [("left_hip", 0, 5), ("left_hip", 2, -7), ("right_shoulder", 2, 8), ("left_elbow", 2, 12)]
)
def test_rest_pose_may_be_a_little_asymmetric(above: str, axis: int, degrees: float):
    """A limb is turned at its joint; which joints these are is less sure then."""
    made = person(0.8)
    turn = rotations.about(np.eye(3)[axis], np.radians(degrees))
    pivot = made.heads[above].copy()
    below = [above]
    for bone in below:
        below += [child for child, parent in made.parents.items() if parent == bone]
    for bone in below:
        made.heads[bone], made.tails[bone] = (pivot + rotations.rotate(turn, t[bone] - pivot) for t in (made.heads, made.tails))
    bones, joints = made.build(AXES["z up"])
    found = find_by_structure(bones)
    assert found is not None
    assert found[0] == joints
    assert found[1] <= 0.75


def four_legged(made: Person) -> None:
    """The arms reach down from a spine that lies."""
    heads = {bone: head.copy() for bone, head in made.heads.items()}
    for table in (made.heads, made.tails):
        for bone, point in table.items():
            if bone.startswith(
                ("spine", "neck", "head", "left_c", "left_s", "left_e", "left_w", "right_c", "right_s", "right_e", "right_w")
            ):
                table[bone] = np.array([point[0], heads["pelvis"][1], point[1] - heads["pelvis"][1]])


def no_left_leg(made: Person) -> None:
    for bone in ("hip", "knee", "ankle", "foot"):
        made.remove(f"left_{bone}")


def short_left_arm(made: Person) -> None:
    made.remove("left_elbow")


def no_head(made: Person) -> None:
    made.remove("head")
    made.remove("neck")


def shoulders_and_no_head(made: Person) -> None:
    """As among the controls of a rig, whose head hangs elsewhere."""
    no_head(made)
    for side, sign in SIDES:
        made.add(f"{side} shoulder control", "spine3", made.at("spine3", sign * 0.02, 0.1, 0), made.at("spine3", sign * 0.18, 0.3, 0))


@pytest.mark.parametrize(
    "change", [no_left_leg, short_left_arm, no_head, shoulders_and_no_head, four_legged], ids=lambda change: change.__name__
)
def test_what_is_not_built_like_a_person_is_refused(change):
    made = person(fingers=False)
    change(made)
    bones, _ = made.build()
    assert find_by_structure(bones) is None
    with pytest.raises(MotionGPTError, match="no humanoid"):
        detect("Anna", bones, ())


@pytest.mark.parametrize("count", [0, 1, 40])
def test_any_bones_at_all_are_survived(count: int):
    rng = np.random.default_rng(count)
    made = Person()
    for number in range(count):
        made.add(str(number), None if number < 2 else str(rng.integers(number)), rng.normal(size=3), rng.normal(size=3))
    bones, _ = made.build() if count else (person().build()[0], {})
    find_by_structure(bones)


def test_twins_are_found_by_place():
    bones, joints = person(0.7).build(AXES["any"], 3.0)
    for joint, bone in joints.items():
        twin = find_twin(bones, bone)
        assert twin == (joints[joint.replace("left", "right")] if joint.startswith("left") else twin)
        assert (twin is None) == (not joint.startswith(("left", "right")))
