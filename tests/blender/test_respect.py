"""What the animator has set on a rig is respected: which pose is its T-pose, where its way goes, what is locked, driven or constrained."""

import bpy
import numpy as np
import pytest
from installed import module
from mathutils import Matrix
from rigs import (
    SMPL,
    Clip,
    add_rig,
    build_rig,
    build_rigify,
    degrees_between,
    edit,
    key,
    posed_bones,
    posed_joints,
    read_pose,
    rotations,
    some_motion,
)
from scripted import ScriptedConnection

messages = module("backend.protocol.messages")
puppet = module("motiongpt_blender.animation.puppet")

FRAMES = 5


@pytest.fixture
def clip():
    return Clip(*some_motion(FRAMES), np.zeros((FRAMES, 4), dtype=bool), 24.0, SMPL)


def keyed(action: bpy.types.Action, bone: str) -> set[tuple[str, int]]:
    curves = action.layers[0].strips[0].channelbags[0].fcurves
    return {(curve.data_path.rpartition(".")[2], curve.array_index) for curve in curves if f'"{bone}"' in curve.data_path}


def world_joints(rig: bpy.types.Object, frame: int) -> np.ndarray:
    bpy.context.scene.frame_set(frame)
    matrix = np.array(rig.matrix_world)
    return posed_joints(rig) @ matrix[:3, :3].T + matrix[:3, 3]


def test_told_t_pose_is_read_as_the_t_pose():
    rig = add_rig()
    rig.pose.bones["left_shoulder"].rotation_quaternion = rotations.from_vector(np.array([0.3, 0.2, -0.5]))
    rig.pose.bones["spine2"].rotation_quaternion = rotations.from_vector(np.array([0.2, 0.0, 0.1]))
    bpy.context.view_layer.update()
    assert bpy.ops.motiongpt.tell_t_pose() == {"FINISHED"}
    assert degrees_between(read_pose(rig)[0], np.tile(rotations.IDENTITY, (22, 1))) < 0.01
    before = posed_bones(rig)
    key(rig, Clip(np.tile(rotations.IDENTITY, (2, 22, 1)), np.tile(read_pose(rig)[1], (2, 1)), np.zeros((2, 4), dtype=bool), 24.0, SMPL))
    for bone, matrix in posed_bones(rig, 1).items():
        assert matrix == pytest.approx(before[bone], abs=1e-4)
    bpy.ops.motiongpt.forget_t_pose()
    assert degrees_between(read_pose(rig)[0], np.tile(rotations.IDENTITY, (22, 1))) > 10


def test_rig_that_does_not_stand_at_rest_can_be_told_its_t_pose():
    rig = add_rig()

    def fold(bones) -> None:
        for side in ("left", "right"):
            for joint in ("knee", "ankle", "foot"):
                bone = bones[f"{side}_{joint}"]
                height = 2 * bones[f"{side}_hip"].head.z
                bone.head.z, bone.tail.z = height - bone.head.z, height - bone.tail.z

    edit(rig, fold)
    with pytest.raises(Exception, match=r"is not a person standing\. Check .* press This Is My T-Pose there\."):
        read_pose(rig)
    for side in ("left", "right"):
        bone = rig.pose.bones[f"{side}_hip"]
        bone.matrix = Matrix.Translation(bone.head) @ Matrix.Rotation(np.pi, 4, "X") @ Matrix.Translation(-bone.head) @ bone.matrix
    bpy.context.view_layer.update()
    bpy.ops.motiongpt.tell_t_pose()
    assert degrees_between(read_pose(rig)[0], np.tile(rotations.IDENTITY, (22, 1))) < 0.01


def test_told_t_pose_stays_told_when_other_bones_become_joints():
    rig = add_rig()
    rig.pose.bones["left_shoulder"].rotation_quaternion = rotations.from_vector(np.array([0.3, 0.2, -0.5]))
    edit(rig, lambda bones: [setattr(bones.new("chest"), "tail", (0, 0, 1))])
    rig.motiongpt.t_pose = ""
    bpy.ops.motiongpt.detect_rig()
    rig.motiongpt.bones.spine2 = ""
    bpy.ops.motiongpt.tell_t_pose()
    rig.motiongpt.bones.spine2 = "spine2"
    assert degrees_between(read_pose(rig)[0], np.tile(rotations.IDENTITY, (22, 1))) < 0.01
    edit(rig, lambda bones: setattr(bones["spine2"], "name", "stomach"))
    rig.motiongpt.bones.spine2 = "stomach"
    with pytest.raises(Exception, match=r"does not have its bones stomach\. Press Use Rest Pose"):
        read_pose(rig)


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("root_motion", ["ROOT_BONE", "OBJECT"])
@pytest.mark.parametrize("name", ["smplx", "unreal_4"])
def test_body_is_where_it_was_whatever_takes_it_along(name, root_motion, mirrored, clip):
    rig = build_rig(name)
    rig.location = (1, 2, 0)
    rig.scale.x *= -1 if mirrored else 1
    key(rig, clip)
    expected = [world_joints(rig, 1 + frame) for frame in range(FRAMES)]
    rig.motiongpt.root_motion = root_motion
    bpy.context.scene.frame_set(1)
    rig.animation_data_clear()
    for bone in rig.pose.bones:
        bone.matrix_basis.identity()
    bpy.context.view_layer.update()
    action = key(rig, clip)
    for frame in range(FRAMES):
        assert world_joints(rig, 1 + frame) == pytest.approx(expected[frame], abs=2e-5)
    bpy.context.scene.frame_set(FRAMES)
    if root_motion == "OBJECT":
        assert (rig.matrix_world.translation - type(rig.location)((1, 2, 0))).length > 1
    else:
        assert ("location", 0) in keyed(action, "root")
        assert rig.pose.bones["root"].location.length > 1


def test_character_without_a_root_bone_says_so(clip):
    rig = build_rig("mixamo")
    rig.motiongpt.root_motion = "ROOT_BONE"
    with pytest.raises(Exception, match=r"no bone below its hips\. Set Way Goes Into under Character to Hips or Object"):
        key(rig, clip)


def test_locked_bone_keeps_its_rotation_and_the_rest_makes_up_for_it(clip):
    rig = add_rig()
    collar = rig.pose.bones["left_collar"]
    collar.rotation_quaternion = rotations.from_vector(np.array([0.1, 0.2, 0.0]))
    collar.lock_rotation = (True, True, True)
    before = np.array(collar.rotation_quaternion)
    action = key(rig, clip)
    assert not keyed(action, "left_collar")
    bpy.context.scene.frame_set(3)
    assert np.array(collar.rotation_quaternion) == pytest.approx(before)
    turned = SMPL.to_global(read_pose(rig)[0])
    joint = SMPL.index("left_shoulder")
    assert degrees_between(turned[joint], SMPL.to_global(clip.local)[2, joint]) < 0.01


def test_locked_and_driven_channels_get_no_keys(clip):
    rig = add_rig()
    elbow, knee, pelvis, head = (rig.pose.bones[name] for name in ("left_elbow", "right_knee", "pelvis", "head"))
    elbow.rotation_mode, elbow.lock_rotation = "XYZ", (False, True, False)
    elbow.rotation_euler.y = 0.3
    knee.lock_rotation = (False, True, True)
    pelvis.lock_location = (True, False, False)
    rig.driver_add('pose.bones["head"].rotation_quaternion', 1).driver.expression = "0.2"
    bpy.context.view_layer.update()
    action = key(rig, clip)
    assert keyed(action, "left_elbow") == {("rotation_euler", 0), ("rotation_euler", 2)}
    assert ("rotation_quaternion", 0) in keyed(action, "right_knee")
    assert ("location", 0) not in keyed(action, "pelvis")
    assert ("rotation_quaternion", 1) not in keyed(action, "head")
    bpy.context.scene.frame_set(3)
    assert elbow.rotation_euler.y == pytest.approx(0.3)
    assert knee.rotation_quaternion.to_euler().y == pytest.approx(0, abs=1e-3)
    assert head.rotation_quaternion.x == pytest.approx(0.2)
    wrist = SMPL.index("left_wrist")
    assert degrees_between(SMPL.to_global(read_pose(rig)[0])[wrist], SMPL.to_global(clip.local)[2, wrist]) < 0.01


def test_bone_that_a_constraint_turns_gets_no_keys(clip):
    rig = add_rig()
    constraint = rig.pose.bones["head"].constraints.new("COPY_ROTATION")
    constraint.target, constraint.subtarget = rig, "neck"
    foot = rig.pose.bones["right_knee"].constraints.new("IK")
    foot.target, foot.chain_count = bpy.data.objects.new("Goal", None), 2
    action = key(rig, clip)
    for bone in ("head", "right_knee", "right_hip"):
        assert not keyed(action, bone)
    assert keyed(action, "neck")


def test_bones_that_inherit_no_rotation(clip):
    rig = add_rig()
    edit(rig, lambda bones: [setattr(bones[name], "use_inherit_rotation", False) for name in ("left_shoulder", "head", "right_knee")])
    key(rig, clip)
    for frame in range(FRAMES):
        bpy.context.scene.frame_set(1 + frame)
        assert degrees_between(SMPL.to_global(read_pose(rig)[0]), SMPL.to_global(clip.local[frame])) < 0.01


def follow_controls(rig: bpy.types.Object, names: list[str]) -> None:
    """Bones that copy what others do, as on rigs whose controls no map knows."""
    edit(rig, lambda bones: [setattr(bones.new(f"control {name}"), "tail", (0, 0, 1)) for name in names])
    for name in names:
        constraint = rig.pose.bones[name].constraints.new("COPY_TRANSFORMS")
        constraint.target, constraint.subtarget = rig, f"control {name}"


def legs_on_ik(rig: bpy.types.Object) -> None:
    """As animators make them by hand."""
    edit(rig, lambda bones: [setattr(bones.new(f"ik_{side}"), "tail", (0, 0, 1)) for side in "lr"])
    for side in "lr":
        constraint = rig.pose.bones[f"calf_{side}"].constraints.new("IK")
        constraint.target, constraint.subtarget, constraint.chain_count = rig, f"ik_{side}", 2


def test_clip_that_would_not_be_seen_is_refused_before_it_is_made(scripted):
    rig = build_rig("unreal_4")
    legs_on_ik(rig)
    said = r"The bones thigh_l, thigh_r, calf_l, calf_r of unreal_4 are turned by constraints \(IK\).* Mute the constraints"
    with pytest.raises(RuntimeError, match=said):
        bpy.ops.motiongpt.generate(prompt="walk", seconds=1.0, wait=True)
    assert not [request for request in ScriptedConnection.requests if isinstance(request, messages.Generate)]
    for side in "lr":
        rig.pose.bones[f"calf_{side}"].constraints["IK"].mute = True
    assert bpy.ops.motiongpt.generate(prompt="walk", seconds=1.0, wait=True) == {"FINISHED"}
    follow_controls(rig, ["spine_03", "hand_r", "lowerarm_r"])
    with pytest.raises(RuntimeError, match=r"The bones lowerarm_r of unreal_4 are turned by constraints \(Copy Transforms\)"):
        bpy.ops.motiongpt.generate(prompt="walk", seconds=1.0, wait=True)


def test_bones_that_are_not_asked_for_may_be_held(scripted):
    rig = build_rig("unreal_4")
    legs_on_ik(rig)
    for bone in rig.pose.bones:
        bone.select = bone.name.startswith(("upperarm", "lowerarm"))
    bpy.context.scene.motiongpt.only_selected_bones = True
    assert bpy.ops.motiongpt.generate(prompt="wave", seconds=1.0, wait=True) == {"FINISHED"}


def test_limb_that_follows_an_object_is_left_alone_and_told(scripted):
    rig = build_rig("unreal_4")
    constraint = rig.pose.bones["calf_l"].constraints.new("IK")
    constraint.target, constraint.chain_count = bpy.data.objects.new("Pedal", None), 2
    assert list(puppet.bones_left_alone(rig)) == ["thigh_l", "calf_l"]
    assert bpy.ops.motiongpt.generate(prompt="walk", seconds=1.0, wait=True) == {"FINISHED"}


def test_rig_that_has_lost_some_controls_says_which(scripted):
    rig = build_rigify(True)
    edit(rig, lambda bones: bones.remove(bones["hand_ik.L"]))
    with pytest.raises(RuntimeError, match=r"Constraints turn the bones ORG-thigh.* of Rigify it lacks hand_ik\.L\. Generate the rig anew"):
        bpy.ops.motiongpt.generate(prompt="walk", seconds=1.0, wait=True)
