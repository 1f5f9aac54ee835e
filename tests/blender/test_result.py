"""Where clips go, which keys they get, and how one chooses among them."""

from collections.abc import Sequence

import bpy
import numpy as np
import pytest
from installed import module
from rigs import add_rig, edit, posed_bones, posed_joints, read_pose, some_motion, write_clip

jobs = module("motiongpt_blender.jobs")
history = module("motiongpt_blender.animation.history")
curves_of = module("motiongpt_blender.animation.action").channelbag


@pytest.fixture
def rig() -> bpy.types.Object:
    return add_rig()


@pytest.fixture
def keyed(rig) -> bpy.types.Object:
    """A character with a motion of a hundred frames."""
    write_clip(rig, *some_motion(100, seed=7), start=1, prompt="by hand")
    return rig


def generate(**options) -> set[str]:
    return bpy.ops.motiongpt.generate(**{"prompt": "a person walks", "seconds": 1.0, "wait": True} | options)


def values(rig: bpy.types.Object, frames: range) -> np.ndarray:
    """Of every curve in order of its name, `(curves, frames)`."""
    curves = sorted(curves_of(rig).fcurves, key=lambda curve: (curve.data_path, curve.array_index))
    return np.array([[curve.evaluate(frame) for frame in frames] for curve in curves])


def key_counts(rig: bpy.types.Object) -> set[int]:
    return {len(curve.keyframe_points) for curve in curves_of(rig).fcurves}


def test_new_action_leaves_the_old_one_alone(scripted, keyed):
    old, before = keyed.animation_data.action, values(keyed, range(1, 101))
    generate(mode="NEW")
    assert keyed.animation_data.action is not old
    assert old.use_fake_user
    keyed.animation_data.action = old
    keyed.animation_data.action_slot = old.slots[0]
    assert values(keyed, range(1, 101)) == pytest.approx(before, abs=1e-6)


def test_replacing_changes_the_range_of_the_clip_alone(scripted, keyed):
    action, before = keyed.animation_data.action, values(keyed, range(1, 101))
    bpy.context.scene.frame_set(40)
    generate(mode="REPLACE", pose_use="NONE")
    assert keyed.animation_data.action is action
    after = values(keyed, range(1, 101))
    assert after[:, :39] == pytest.approx(before[:, :39], abs=1e-6)
    assert after[:, 63:] == pytest.approx(before[:, 63:], abs=1e-6)
    assert np.abs(after[:, 39:63] - before[:, 39:63]).max() > 0.1


@pytest.mark.parametrize("interpolation", ["BEZIER", "LINEAR", "CONSTANT"])
@pytest.mark.parametrize("start", [25, 30, 62])
def test_replacing_keeps_the_curve_outside_between_frames_too(scripted, rig, start, interpolation):
    """Sparse keys with automatic handles would follow their new neighbours."""
    for frame, bend in ((1, 0.0), (20, 0.8), (30, 0.1), (60, 0.4), (80, 0.9), (100, 0.0)):
        pose_at(rig, frame, bend)
    curves = {(c.data_path, c.array_index) for c in curves_of(rig).fcurves}
    for curve in curves_of(rig).fcurves:
        for key in curve.keyframe_points:
            key.interpolation = interpolation
    outside = [frame for frame in np.arange(1, 100, 0.5) if not start - 1 < frame < start + 24]
    before = curves_at(rig, curves, outside)
    bpy.context.scene.frame_set(start)
    generate(mode="REPLACE", pose_use="NONE")
    assert curves_at(rig, curves, outside) == pytest.approx(before, abs=1e-5)


def test_bones_without_keys_stay_as_they_are_outside_the_clip(scripted, rig):
    pose_at(rig, 1, 0.2)
    pose_at(rig, 100, 0.4)
    rig.pose.bones["head"].rotation_quaternion = (0.9, 0.1, 0.3, 0.2)
    stood = [posed_joints(rig, frame) for frame in (10, 39, 64, 90)]
    bpy.context.scene.frame_set(40)
    generate(mode="REPLACE", pose_use="NONE")
    for frame, joints in zip((10, 39, 64, 90), stood, strict=True):
        assert posed_joints(rig, frame) == pytest.approx(joints, abs=1e-5)


@pytest.mark.parametrize("interpolation", ["BEZIER", "LINEAR", "CONSTANT"])
@pytest.mark.parametrize(("frames", "start"), [((60, 80), 1), ((1, 20), 200), ((1, 20, 90, 100), 50)])
def test_clip_beyond_keys_leaves_what_they_show(scripted, rig, frames, start, interpolation):
    """On their side of the clip, that is, whether a bone has keys there, on the other side of it, or none."""
    for number, frame in enumerate(frames):
        pose_at(rig, frame, 0.3 * (number + 1))
    rig.pose.bones["neck"].keyframe_insert("rotation_quaternion", frame=frames[-1])
    for curve in curves_of(rig).fcurves:
        for key in curve.keyframe_points:
            key.interpolation = interpolation
    rig.pose.bones["head"].rotation_quaternion = (0.9, 0.1, 0.3, 0.2)
    there = [f for f in np.arange(1.0, 201.0, 0.5) if (f >= start + 24 and start < frames[-1]) or (frames[0] < start and f <= start - 1)]
    curves = {(c.data_path, c.array_index) for c in curves_of(rig).fcurves}
    before, stood = curves_at(rig, curves, there), [posed_joints(rig, round(frame)) for frame in there[::20]]
    bpy.context.scene.frame_set(start)
    generate(mode="REPLACE", pose_use="NONE")
    assert curves_at(rig, curves, there) == pytest.approx(before, abs=1e-5)
    assert [posed_joints(rig, round(frame)) for frame in there[::20]] == pytest.approx(np.array(stood), abs=1e-5)


def curves_at(rig: bpy.types.Object, curves: set[tuple[str, int]], frames: Sequence[float]) -> np.ndarray:
    """What curves come to, `(curves, frames)`."""
    return np.array([[curves_of(rig).fcurves.find(path, index=i).evaluate(f) for f in frames] for path, i in sorted(curves)])


def test_clip_after_the_last_key_is_held(scripted, rig):
    pose_at(rig, 1, 0.2)
    pose_at(rig, 20, 0.4)
    bpy.context.scene.frame_set(20)
    generate(mode="REPLACE")
    assert tuple(rig.animation_data.action.frame_range) == (1, 43)


def pose_at(rig: bpy.types.Object, frame: int, bend: float) -> None:
    """Key both shoulders."""
    for name in ("left_shoulder", "right_shoulder"):
        bone = rig.pose.bones[name]
        bone.rotation_quaternion = (np.cos(bend / 2), np.sin(bend / 2), 0, 0)
        bone.keyframe_insert("rotation_quaternion", frame=frame)


def test_blending_begins_and_ends_with_what_was_there(scripted, keyed):
    before = values(keyed, range(1, 101))
    bpy.context.scene.frame_set(40)
    generate(mode="BLEND", blend_frames=8, pose_use="NONE")
    after = values(keyed, range(1, 101))
    assert after[:, :40] == pytest.approx(before[:, :40], abs=1e-4)
    assert after[:, 62:] == pytest.approx(before[:, 62:], abs=1e-4)
    assert np.abs(after[:, 50] - before[:, 50]).max() > 0.1
    assert np.abs(np.diff(after, axis=1)).max() < np.abs(after - before).max() / 3


@pytest.mark.parametrize("options", [{"mode": "REPLACE"}, {"mode": "BLEND"}, {"mode": "REPLACE", "variations": 2}])
def test_locked_curves_are_left_alone(scripted, keyed, options):
    for curve in curves_of(keyed).fcurves:
        curve.lock = '"head"' in curve.data_path and curve.array_index < 2
    curves_of(keyed).groups["left_elbow"].lock = True
    before = all_keys(keyed)
    bpy.context.scene.frame_set(40)
    generate(pose_use="NONE", **options)
    after = all_keys(keyed)
    locked = {where for where in before if '"left_elbow"' in where[0] or ('"head"' in where[0] and where[1] < 2)}
    assert len(locked) == 6
    assert {where for where in before if before[where] == after[where]} == locked
    assert curves_of(keyed).groups["left_elbow"].lock


def test_locked_group_gets_no_curves(scripted, rig):
    pose_at(rig, 1, 0.2)
    curves_of(rig).fcurves.remove(curves_of(rig).fcurves[0])
    curves_of(rig).groups["left_shoulder"].lock = True
    before = {where: keys for where, keys in all_keys(rig).items() if "left_shoulder" in where[0]}
    generate(mode="REPLACE", pose_use="NONE")
    assert {where: keys for where, keys in all_keys(rig).items() if "left_shoulder" in where[0]} == before


def all_keys(rig: bpy.types.Object) -> dict[tuple[str, int], list[tuple[float, ...]]]:
    return {(c.data_path, c.array_index): [tuple(key.co) for key in c.keyframe_points] for c in curves_of(rig).fcurves}


def test_clip_without_an_action_to_go_into_gets_a_new_one(scripted, rig):
    generate(mode="BLEND")
    assert tuple(rig.animation_data.action.frame_range) == (1, 24)


def test_only_selected_bones_are_keyed(scripted, rig):
    for bone in rig.pose.bones:
        bone.select = bone.name == "left_shoulder"
    generate(only_selected_bones=True)
    assert {curve.group.name for curve in curves_of(rig).fcurves} == {"left_shoulder"}
    rig.pose.bones["left_shoulder"].select = False
    with pytest.raises(RuntimeError, match=r"No bone is selected\. Select bones .* or turn off Only Selected Bones under Options"):
        generate(only_selected_bones=True)


@pytest.mark.parametrize("options", [{}, {"variations": 2}, {"loop": True}])
def test_bones_that_are_not_selected_keep_their_animation_in_a_new_action(scripted, keyed, options):
    old, before = keyed.animation_data.action, values(keyed, range(1, 101))
    for bone in keyed.pose.bones:
        bone.select = bone.name == "left_shoulder"
    bpy.context.scene.frame_set(40)
    generate(only_selected_bones=True, pose_use="NONE", **options)
    new, after = keyed.animation_data.action, values(keyed, range(1, 101))
    assert new is not old and new.name.startswith("a person walks")
    changed = {curve.data_path for curve in curves_of(keyed).fcurves if curve.data_path.split('"')[1] == "left_shoulder"}
    mine = np.array([path in changed for path, _ in sorted((c.data_path, c.array_index) for c in curves_of(keyed).fcurves)])
    assert after[~mine] == pytest.approx(before[~mine], abs=1e-6)
    assert after[mine][:, :39] == pytest.approx(before[mine][:, :39], abs=1e-6)
    assert after[mine][:, 63:] == pytest.approx(before[mine][:, 63:], abs=1e-6)
    assert np.abs(after[mine][:, 39:63] - before[mine][:, 39:63]).max() > 0.1
    keyed.animation_data.action = old
    keyed.animation_data.action_slot = old.slots[0]
    assert values(keyed, range(1, 101)) == pytest.approx(before, abs=1e-6)


@pytest.mark.parametrize("mode", ["QUATERNION", "XYZ", "AXIS_ANGLE"])
def test_reduced_keys_stay_within_their_tolerance(scripted, rig, mode):
    for bone in rig.pose.bones:
        bone.rotation_mode = mode
    generate(seconds=4.0, pose_use="NONE")
    exact = [read_at(rig, frame) for frame in range(1, 97)]
    bpy.context.scene.frame_set(1)
    generate(seconds=4.0, pose_use="NONE", keys="REDUCED", key_degrees=2.0, key_millimetres=4.0)
    assert max(key_counts(rig)) < 48
    for frame, (turned, place) in enumerate(exact, start=1):
        now_turned, now_place = read_at(rig, frame)
        dots = np.abs(np.sum(turned * now_turned, axis=-1)).clip(0, 1)
        assert np.degrees(2 * np.arccos(dots)).max() <= 2.0 + 0.05
        assert np.linalg.norm(place - now_place) <= 0.004 + 1e-4


def read_at(rig: bpy.types.Object, frame: int) -> tuple[np.ndarray, np.ndarray]:
    """Each bone's own rotation as a quaternion, and where the hips are, as Blender evaluates them."""
    bpy.context.scene.frame_set(frame)
    own = np.array([bone.matrix_basis.to_quaternion() for bone in rig.pose.bones])
    return own, np.array(rig.pose.bones["pelvis"].head)


def test_a_key_every_fourth_frame_and_on_the_last(scripted, rig):
    generate(keys="STEP", key_step=4)
    for curve in curves_of(rig).fcurves:
        assert [round(key.co.x) for key in curve.keyframe_points] == [1, 5, 9, 13, 17, 21, 24]


def test_in_place_takes_the_travel_out_and_nothing_else(scripted, rig):
    generate(seconds=4.0, pose_use="FIRST")
    travelling = np.array([posed_joints(rig, frame) for frame in range(1, 97)])
    bpy.context.scene.frame_set(1)
    rig.animation_data_clear()
    for bone in rig.pose.bones:
        bone.matrix_basis.identity()
    generate(seconds=4.0, pose_use="FIRST", in_place=True)
    staying = np.array([posed_joints(rig, frame) for frame in range(1, 97)])
    assert np.ptp(travelling[:, 0, :2], axis=0).max() > 1
    assert np.ptp(staying[:, 0, :2], axis=0).max() < 0.1
    assert staying[0] == pytest.approx(travelling[0], abs=1e-5)
    assert staying - staying[:, :1] == pytest.approx(travelling - travelling[:, :1], abs=1e-4)
    assert staying[:, 0, 2] == pytest.approx(travelling[:, 0, 2], abs=1e-5)


def test_loop_goes_on_for_ever_from_where_it_has_come_to(scripted, rig):
    generate(loop=True, pose_use="NONE")
    action = rig.animation_data.action
    assert action.use_cyclic
    assert (action.frame_start, action.frame_end) == (1, 25)
    first, second = posed_joints(rig, 4), posed_joints(rig, 28)
    assert second - second[0] == pytest.approx(first - first[0], abs=1e-4)
    assert np.linalg.norm(second[0] - first[0]) > 0.5
    assert posed_joints(rig, 25)[0] - posed_joints(rig, 1)[0] == pytest.approx(second[0] - first[0], abs=1e-4)


def test_loop_in_place_comes_back_to_where_it_was(scripted, rig):
    generate(loop=True, in_place=True)
    assert posed_joints(rig, 28) == pytest.approx(posed_joints(rig, 4), abs=1e-4)


def test_loop_among_other_keys_has_no_frame_more(scripted, keyed):
    bpy.context.scene.frame_set(40)
    before = values(keyed, range(1, 101))
    generate(loop=True, mode="REPLACE", pose_use="NONE")
    assert values(keyed, range(1, 101))[:, 63:] == pytest.approx(before[:, 63:], abs=1e-6)
    assert not any(len(curve.modifiers) for curve in curves_of(keyed).fcurves)


@pytest.mark.parametrize("mode", ["REPLACE", "BLEND"])
@pytest.mark.parametrize(("loop", "start"), [(1, 200), (50, 200), (1, 10), (100, 30)])
def test_loop_is_what_it_was_before_and_after_a_clip(scripted, rig, mode, loop, start):
    bpy.context.scene.frame_set(loop)
    generate(loop=True, pose_use="NONE", keys="REDUCED")
    action = rig.animation_data.action
    raised = curves_of(rig).fcurves[0].modifiers.new("GENERATOR")
    raised.use_additive, raised.coefficients = True, (0.3, 0.0)
    action.update_tag()
    outside = [*range(1, start)] if loop < start else [*range(start + 24, 251)]
    before = np.array([posed_joints(rig, frame) for frame in outside])
    bpy.context.scene.frame_set(start)
    generate(mode=mode, pose_use="NONE", prompt="a person sits down")
    assert np.array([posed_joints(rig, frame) for frame in outside]) == pytest.approx(before, abs=1e-4)
    end = max(start, loop) + 24
    assert posed_joints(rig, 251 if loop > start else end + 40) == pytest.approx(posed_joints(rig, 250 if loop > start else end), abs=0.05)
    assert rig.animation_data.action is action
    assert not action.use_cyclic
    assert {modifier.type for curve in curves_of(rig).fcurves for modifier in curve.modifiers} == {"GENERATOR"}


def test_clip_within_a_loop_is_part_of_it(scripted, rig):
    generate(loop=True, in_place=True, seconds=2.0)
    bpy.context.scene.frame_set(10)
    generate(mode="REPLACE", pose_use="NONE")
    assert rig.animation_data.action.use_cyclic
    assert posed_joints(rig, 20 + 48) == pytest.approx(posed_joints(rig, 20), abs=1e-4)


@pytest.mark.parametrize("start", [10, 30, 200])
def test_straight_line_beyond_keys_stays_one_and_the_clip_is_held(scripted, rig, start):
    pose_at(rig, 20, 0.2)
    pose_at(rig, 40, 0.4)
    for curve in curves_of(rig).fcurves:
        curve.extrapolation = "LINEAR"
    curves = {(curve.data_path, curve.array_index) for curve in curves_of(rig).fcurves}
    outside = [
        frame for frame in np.arange(1, 250, 0.5) if (frame <= start - 1 and start > 20) or (frame >= start + 24 and start + 23 < 40)
    ]
    before = curves_at(rig, curves, outside)
    bpy.context.scene.frame_set(start)
    generate(mode="REPLACE", pose_use="NONE")
    assert curves_at(rig, curves, outside) == pytest.approx(before, abs=1e-4)
    beyond = [0, start] if start < 20 else [start + 23, 300]
    first, last = curves_at(rig, curves, beyond).T
    assert first == pytest.approx(last, abs=1e-5)


def test_variations_are_actions_to_go_through_and_one_is_kept(scripted, rig):
    generate(variations=3)
    assert [action.name for action in bpy.data.actions] == ["a person walks 1", "a person walks 2", "a person walks 3"]
    seen = []
    for _ in range(4):
        seen.append(rig.animation_data.action.name[-1])
        bpy.ops.motiongpt.show_variation(direction="NEXT")
    assert seen == ["1", "2", "3", "1"]
    assert rig.animation_data.action_slot is not None
    bpy.ops.motiongpt.show_variation(direction="PREVIOUS")
    kept = rig.animation_data.action
    bpy.ops.motiongpt.keep_variation()
    assert list(bpy.data.actions) == [kept]
    with pytest.raises(RuntimeError, match="plays no clip of which there are variations"):
        bpy.ops.motiongpt.show_variation()


def test_kept_variation_leaves_others_that_are_used_or_wanted(scripted, rig):
    generate(variations=3)
    used = bpy.data.actions["a person walks 2"]
    other = bpy.data.objects.new("Other", None)
    other.animation_data_create().action = used
    bpy.ops.motiongpt.keep_variation()
    assert {action.name[-1] for action in bpy.data.actions} == {"1", "2"}
    generate(variations=2, prompt="someone jumps")
    bpy.ops.motiongpt.keep_variation(remove_others=False)
    assert "someone jumps 2" in bpy.data.actions


def test_variations_that_replace_leave_the_action_as_it_was(scripted, keyed):
    old, before = keyed.animation_data.action, values(keyed, range(1, 101))
    generate(variations=2, mode="REPLACE", pose_use="NONE")
    assert len(bpy.data.actions) == 3
    assert tuple(keyed.animation_data.action.frame_range) == (1, 100)
    assert np.abs(values(keyed, range(1, 101))[:, :24] - before[:, :24]).max() > 0.1
    keyed.animation_data.action = old
    keyed.animation_data.action_slot = old.slots[0]
    assert values(keyed, range(1, 101)) == pytest.approx(before, abs=1e-6)


def test_action_remembers_how_it_was_made_and_is_made_again(scripted, rig, tmp_path):
    bpy.context.scene.frame_set(5)
    generate(seed=3, pose_use="BOTH", keys="STEP", in_place=True, loop=True)
    first = rig.animation_data.action
    made = first["motiongpt"].to_dict()
    assert (made["prompt"], made["seed"], made["bundle"], list(made["poses"])) == ("a person walks", 3, "scripted", [5, 28])
    order = history.read_order(first)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "kept.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "kept.blend"))
    rig, first = bpy.context.object, bpy.context.object.animation_data.action
    bpy.context.scene.frame_set(90)
    before = values(rig, range(5, 29))
    bpy.ops.motiongpt.again(wait=True)
    again = rig.animation_data.action
    assert again is not first
    assert values(rig, range(5, 29)) == pytest.approx(before, abs=1e-6)
    assert history.read_order(again).delivery == order.delivery
    bpy.ops.motiongpt.again(another_seed=True, wait=True)
    assert rig.animation_data.action["motiongpt"]["seed"] != 3
    assert np.abs(values(rig, range(5, 29)) - before).max() > 0.01
    assert tuple(rig.animation_data.action.frame_range) == (5, 29)


@pytest.mark.parametrize("root_motion", ["OBJECT", "ROOT_BONE"])
def test_clip_starts_where_the_character_stood_when_it_was_ordered(scripted, rig, root_motion):
    """Its object or root bone, which the clip that it plays has taken elsewhere until the next is made."""
    rig.motiongpt.root_motion = root_motion
    root = rig if root_motion == "OBJECT" else rig.pose.bones["root"]
    root.location = (0.3, 0.2, 0)
    generate(seconds=2.0, pose_use="NONE")
    first, start = values(rig, range(1, 49)), posed_root(rig, root, 1)
    assert np.linalg.norm(posed_root(rig, root, 40) - start) > 0.5
    bpy.ops.motiongpt.again(wait=True)
    assert values(rig, range(1, 49)) == pytest.approx(first, abs=1e-5)
    bpy.context.scene.frame_set(40)
    bpy.ops.motiongpt.again(another_seed=True, wait=True)
    assert posed_root(rig, root, 1) == pytest.approx(start, abs=1e-5)
    generate(seconds=2.0, pose_use="NONE", wait=False)
    bpy.context.scene.frame_set(40)
    scripted.wait()
    assert posed_root(rig, root, 1) == pytest.approx(start, abs=1e-5)


def posed_root(rig: bpy.types.Object, root: bpy.types.Object | bpy.types.PoseBone, frame: int) -> np.ndarray:
    bpy.context.scene.frame_set(frame)
    return np.array(root.location)


@pytest.mark.parametrize("playing", [False, True])
@pytest.mark.parametrize("moved", ["", "root", "finger"])
def test_what_only_the_old_action_moves_stays_as_it_was_when_the_clip_was_ordered(scripted, rig, moved, playing):
    """Its object, or a bone above those of the clip or below them, while the animator goes to another frame or lets the scene play."""
    edit(rig, lambda bones: [setattr(bones.new("finger"), "tail", (1, 0, 1)), setattr(bones["finger"], "parent", bones["left_wrist"])])
    owner = rig.pose.bones[moved] if moved else rig
    owner.rotation_mode = "XYZ"
    for frame, far in ((1, 0.0), (100, 2.0)):
        owner.location, owner.rotation_euler = (far, 0, 0), (0, far, far)
        owner.keyframe_insert("location", frame=frame)
        owner.keyframe_insert("rotation_euler", frame=frame)
    bpy.context.scene.frame_set(10)
    before = in_world(rig)
    generate(pose_use="FIRST", wait=False)
    if playing:
        while scripted.busy:
            jobs._tick()
            bpy.context.scene.frame_set(bpy.context.scene.frame_current + 3)
    else:
        bpy.context.scene.frame_set(60)
        scripted.wait()
    bpy.context.scene.frame_set(10)
    for bone, matrix in in_world(rig).items():
        assert matrix == pytest.approx(before[bone], abs=1e-3), bone


def test_pose_is_met_over_strips_whatever_frame_is_shown_when_the_clip_is_there(scripted, rig):
    """The strip moves the root bone, on which the hips hang."""
    root, data = rig.pose.bones["root"], rig.animation_data_create()
    for frame, far in ((1, 0.0), (100, 2.0)):
        root.location.x = far
        root.keyframe_insert("location", frame=frame)
    track = data.nla_tracks.new()
    track.strips.new("below", 1, data.action)
    data.action = None
    bpy.context.scene.frame_set(10)
    before = in_world(rig)
    generate(pose_use="FIRST", wait=False)
    bpy.context.scene.frame_set(60)
    scripted.wait()
    bpy.context.scene.frame_set(10)
    for bone, matrix in in_world(rig).items():
        assert matrix == pytest.approx(before[bone], abs=1e-3), bone


def in_world(rig: bpy.types.Object) -> dict[str, np.ndarray]:
    return {bone: np.array(rig.matrix_world) @ matrix for bone, matrix in posed_bones(rig).items()}


@pytest.mark.parametrize("options", [{"mode": "REPLACE"}, {"mode": "BLEND"}, {"mode": "REPLACE", "variations": 2}])
def test_slot_that_others_have_before_it_in_the_action_is_left_to_them(scripted, rig, options):
    action = shared_action(rig, "OBJECT", "Camera")
    pose_at(rig, 1, 0.2)
    pose_at(rig, 100, 0.4)
    slot = rig.animation_data.action_slot.identifier
    generate(pose_use="NONE", **options)
    assert (rig.animation_data.action is action) == ("variations" not in options)
    assert rig.animation_data.action_slot.identifier == slot
    assert max(key_counts(rig)) >= 24
    if "variations" in options:
        bpy.ops.motiongpt.show_variation()
        assert rig.animation_data.action_slot.identifier == slot


def test_slot_of_the_armature_itself_is_not_taken_for_the_characters(scripted, rig):
    """An action that moves the armature's data too, whose slot comes first."""
    shared_action(rig, "ARMATURE", rig.data.name)
    pose_at(rig, 1, 0.2)
    generate(mode="REPLACE", variations=2)
    played = rig.animation_data.action
    assert rig.animation_data.action_slot.identifier == "OB" + rig.name
    rig.animation_data_clear()
    bpy.ops.motiongpt.use_clip(action=played.name)
    assert rig.animation_data.action_slot.identifier == "OB" + rig.name


def shared_action(rig: bpy.types.Object, first: str, name: str) -> bpy.types.Action:
    """An action that the character plays from its second slot."""
    action = bpy.data.actions.new("shared")
    action.slots.new(id_type=first, name=name)
    action.slots.new(id_type="OBJECT", name=rig.name)
    rig.animation_data_create().action = action
    rig.animation_data.action_slot = action.slots[1]
    return action


def test_what_was_not_made_here_is_not_made_again(scripted, keyed):
    with pytest.raises(RuntimeError, match="was not generated"):
        bpy.ops.motiongpt.again()
    keyed.animation_data_clear()
    with pytest.raises(RuntimeError, match="The character has no action"):
        bpy.ops.motiongpt.again()


def test_a_clip_of_the_file_is_used_again(scripted, rig):
    generate()
    first = rig.animation_data.action
    generate(prompt="someone jumps")
    settings = bpy.context.scene.motiongpt
    assert bpy.data.actions[settings.active_clip].name == "someone jumps"
    bpy.ops.motiongpt.use_clip(action=first.name)
    assert rig.animation_data.action is first
    assert bpy.data.actions[settings.active_clip] is first
    rig.animation_data.action = None
    assert settings.active_clip == -1
    with pytest.raises(RuntimeError, match="no generated action called 'nothing'"):
        bpy.ops.motiongpt.use_clip(action="nothing")


def test_one_undo_takes_all_variations_back(scripted, keyed):
    name, before = keyed.name, values(keyed, range(1, 101))
    bpy.ops.ed.undo_push(message="keyed")
    generate(variations=2, mode="REPLACE")
    bpy.ops.ed.undo()
    rig = bpy.data.objects[name]
    assert len(bpy.data.actions) == 1
    assert values(rig, range(1, 101)) == pytest.approx(before, abs=1e-6)
    generate(mode="BLEND")
    bpy.ops.ed.undo()
    assert values(bpy.data.objects[name], range(1, 101)) == pytest.approx(before, abs=1e-6)


def test_character_that_plays_one_track_alone_is_refused(scripted, keyed):
    data = keyed.animation_data
    track = data.nla_tracks.new()
    track.strips.new("below", 1, data.action)
    track.is_solo = True
    for mode in ("NEW", "REPLACE"):
        with pytest.raises(RuntimeError, match=r"plays one of its NLA tracks alone\. Take the star"):
            generate(mode=mode)
    track.is_solo = False
    assert generate() == {"FINISHED"}


def test_strips_are_seen_outside_a_new_clip(scripted, keyed):
    data = keyed.animation_data
    data.nla_tracks.new().strips.new("below", 1, data.action)
    data.action = None
    outside = [*range(1, 40), *range(64, 121)]
    before = np.array([posed_joints(keyed, frame) for frame in outside])
    bpy.context.scene.frame_set(40)
    generate(pose_use="FIRST")
    after = np.array([posed_joints(keyed, frame) for frame in outside])
    assert after == pytest.approx(before, abs=1e-5)
    clip = np.array([posed_joints(keyed, frame) for frame in range(40, 64)])
    data.use_nla = False
    assert clip == pytest.approx(np.array([posed_joints(keyed, frame) for frame in range(40, 64)]), abs=1e-5)
    data.use_nla = True
    bpy.context.scene.frame_set(40)
    generate(loop=True, in_place=True)
    assert posed_joints(keyed, 50 + 3 * 24) == pytest.approx(posed_joints(keyed, 50), abs=1e-4)


def test_linked_action_is_not_changed(scripted, keyed, tmp_path):
    bpy.data.libraries.write(str(tmp_path / "library.blend"), {keyed.animation_data.action})
    with bpy.data.libraries.load(str(tmp_path / "library.blend"), link=True) as (there, here):
        here.actions = there.actions
    linked = next(action for action in bpy.data.actions if action.library)
    keyed.animation_data.action = linked
    keyed.animation_data.action_slot = linked.slots[0]
    with pytest.raises(RuntimeError, match="comes from a library file"):
        generate(mode="REPLACE")
    generate(mode="NEW")
    assert not keyed.animation_data.action.library


def test_pose_that_is_first_is_met_whatever_the_keys(scripted, rig):
    rig.pose.bones["left_shoulder"].rotation_quaternion = (0.9, 0.3, 0.1, 0.2)
    stood, pose = posed_joints(rig), read_pose(rig)
    generate(pose_use="BOTH", keys="REDUCED")
    for frame in (1, 24):
        assert posed_joints(rig, frame) == pytest.approx(stood, abs=1e-4)
    assert read_pose(rig)[1] == pytest.approx(pose[1], abs=1e-4)


def test_keys_of_the_root_bone_do_not_take_a_clip_among_them_along(scripted):
    ways = []
    for travelled in (0.0, 1.5):
        rig = add_rig()
        for frame, way in ((1, 0.0), (61, travelled)):
            rig.pose.bones["root"].location = (0, way, 0)
            for name in ("root", "pelvis"):
                rig.pose.bones[name].keyframe_insert("location", frame=frame)
        bpy.context.scene.frame_set(20)
        generate(mode="REPLACE")
        ways.append(posed_bones(rig, 43)["pelvis"][:3, 3] - posed_bones(rig, 20)["pelvis"][:3, 3])
        bpy.data.objects.remove(rig)
    assert np.linalg.norm(ways[0]) > 0.1
    assert ways[1] == pytest.approx(ways[0], abs=1e-4)
