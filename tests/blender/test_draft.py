"""Keys are written in steps, between which anything may happen: nothing half-written is seen, and nothing of it is left behind."""

from collections.abc import Iterator

import bpy
import numpy as np
import pytest
from installed import module
from rigs import add_rig, some_motion, write_clip

jobs = module("motiongpt_blender.jobs")
draft = module("motiongpt_blender.animation.draft")
history = module("motiongpt_blender.animation.history")
curves_of = module("motiongpt_blender.animation.action").channelbag

MODES = ("NEW", "REPLACE")


@pytest.fixture
def rig() -> bpy.types.Object:
    """A character with a motion of a hundred frames, whose curves have what curves can have."""
    rig = add_rig()
    write_clip(rig, *some_motion(100, seed=7), prompt="by hand")
    bag = curves_of(rig)
    bag.fcurves[1].modifiers.new("NOISE").strength = 0.01
    bag.fcurves[2].mute = True
    bag.groups[0].mute = True
    rig.animation_data.action["mine"] = 3
    bpy.context.scene.frame_set(20)
    return rig


def begin(mode: str, **options: object) -> None:
    bpy.ops.motiongpt.generate(**{"prompt": "a person walks", "seconds": 2.0, "mode": mode, "preview": False} | options)


def steps() -> Iterator[None]:
    """Each step of delivering, the last one left out."""
    while not jobs.session.delivering:
        jobs.session.pump()
    delivery = jobs.session._delivery
    for _ in delivery:
        yield
    jobs.session._delivery = None


def steps_until_drafted() -> None:
    """Take steps until a good deal is written."""
    for _ in steps():
        drafts = drafts_there()
        if drafts and sum(len(keys) > 30 for keys in keys_of(drafts[-1]).values()) > 40:
            return
    raise AssertionError("No draft was seen")


def drafts_there() -> list[bpy.types.Action]:
    return [action for action in bpy.data.actions if draft.KEY in action]


def keys_of(action: bpy.types.Action) -> dict[tuple[str, int], list[tuple[float, ...]]]:
    return {
        (c.data_path, c.array_index): [tuple(k.co) for k in c.keyframe_points] for c in action.layers[0].strips[0].channelbags[0].fcurves
    }


@pytest.mark.parametrize("mode", MODES)
def test_until_the_last_step_the_character_plays_what_it_played(scripted, rig, mode):
    action, before = rig.animation_data.action, keys_of(rig.animation_data.action)
    begin(mode)
    count = 0
    for count, _ in enumerate(steps()):
        assert rig.animation_data.action is action
        assert all(not history.is_made(other) for other in bpy.data.actions)
        if count % 10 == 0:
            assert keys_of(action) == before
    assert count > 30
    assert not drafts_there()
    assert (rig.animation_data.action is action) == (mode == "REPLACE")
    assert len(bpy.data.actions) == (2 if mode == "NEW" else 1)
    assert history.is_made(rig.animation_data.action)
    assert keys_of(rig.animation_data.action) != before


def test_curves_keep_what_is_not_keys(scripted, rig):
    bag = curves_of(rig)
    bag.fcurves[8].group = bag.groups["head"]
    for bone in ("pelvis", "left_hip"):
        rig.pose.bones[bone].keyframe_insert("scale", frame=1)
    bag.fcurves.new('pose.bones["head"].location', index=0)  # in no group
    order = [(curve.data_path, curve.array_index, curve.group and curve.group.name) for curve in bag.fcurves]
    begin("REPLACE")
    scripted.wait()
    bag = curves_of(rig)
    assert [(curve.data_path, curve.array_index, curve.group and curve.group.name) for curve in bag.fcurves] == order
    assert bag.fcurves[1].modifiers[0].strength == pytest.approx(0.01)
    assert bag.fcurves[2].mute and bag.groups[0].mute
    assert rig.animation_data.action["mine"] == 3


def test_character_is_seen_as_the_new_keys_have_it(scripted, rig):
    """Without the frame being changed, as in the window."""
    begin("REPLACE", pose_use="NONE")
    scripted.wait()
    bpy.context.view_layer.update()
    bone = rig.evaluated_get(bpy.context.evaluated_depsgraph_get()).pose.bones["left_shoulder"]
    path = bone.path_from_id("rotation_quaternion")
    expected = [curves_of(rig).fcurves.find(path, index=index).evaluate(20) for index in range(4)]
    assert tuple(bone.rotation_quaternion) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("mode", MODES)
def test_cancelled_half_way_nothing_is_left(scripted, rig, mode):
    before = keys_of(rig.animation_data.action)
    begin(mode)
    steps_until_drafted()
    bpy.ops.motiongpt.cancel()
    assert len(bpy.data.actions) == 1
    assert keys_of(rig.animation_data.action) == before
    assert not scripted.busy


@pytest.mark.parametrize("mode", MODES)
def test_character_that_is_removed_half_way_leaves_nothing(scripted, rig, mode):
    begin(mode)
    steps_until_drafted()
    bpy.data.objects.remove(rig)
    with pytest.raises(module("backend.protocol.errors").MotionGPTError, match="is no longer in the scene"):
        scripted.wait()
    assert len(bpy.data.actions) == 1


@pytest.mark.parametrize("mode", MODES)
def test_draft_that_somebody_removes_is_written_anew(scripted, rig, mode):
    begin(mode)
    steps_until_drafted()
    bpy.data.batch_remove(drafts_there())
    scripted.wait()
    assert not drafts_there()
    assert history.is_made(rig.animation_data.action)


@pytest.mark.parametrize("mode", MODES)
def test_undoing_half_way_is_no_trouble(scripted, rig, mode):
    name = rig.name
    bpy.ops.ed.undo_push(message="before")
    rig.location.x = 1.0
    bpy.ops.ed.undo_push(message="moved")
    begin(mode)
    steps_until_drafted()
    bpy.ops.ed.undo()
    scripted.wait()
    rig = bpy.data.objects[name]
    assert rig.location.x == 0.0
    assert history.is_made(rig.animation_data.action)
    assert not drafts_there()


@pytest.mark.parametrize("mode", MODES)
def test_undo_step_made_half_way_comes_back_without_the_draft(scripted, rig, mode):
    name, before = rig.name, keys_of(rig.animation_data.action)
    begin(mode)
    steps_until_drafted()
    bpy.ops.ed.undo_push(message="something else")
    scripted.wait()
    bpy.ops.ed.undo()
    rig = bpy.data.objects[name]
    assert len(bpy.data.actions) == 1
    assert keys_of(rig.animation_data.action) == before


@pytest.mark.parametrize("variations", [1, 2])
def test_key_that_is_moved_meanwhile_stays_where_it_was_put(scripted, rig, variations):
    begin("REPLACE", variations=variations)
    steps_until_drafted()
    curve = curves_of(rig).fcurves[0]
    curve.keyframe_points[90].co.y += 5.0
    curve.update()
    put = curve.keyframe_points[90].co.y
    scripted.wait()
    assert curves_of(rig).fcurves[0].evaluate(91) == pytest.approx(put)
    assert history.is_made(rig.animation_data.action)


def test_action_that_is_exchanged_meanwhile_is_the_one_that_is_changed(scripted, rig):
    first, before = rig.animation_data.action, keys_of(rig.animation_data.action)
    begin("REPLACE")
    steps_until_drafted()
    second = first.copy()
    rig.animation_data.action = second
    rig.animation_data.action_slot = second.slots[0]
    scripted.wait()
    assert rig.animation_data.action is second
    assert history.is_made(second) and keys_of(second) != before
    assert keys_of(first) == before
    assert len(bpy.data.actions) == 2


@pytest.mark.parametrize("variations", [1, 2])
@pytest.mark.parametrize("other", [False, True])
def test_action_that_is_taken_away_meanwhile_stays_as_it_is(scripted, rig, variations, other):
    first, before = rig.animation_data.action, keys_of(rig.animation_data.action)
    begin("REPLACE", variations=variations)
    steps_until_drafted()
    rig.animation_data_clear()
    if other:
        rig.animation_data_create().action = bpy.data.actions.new("other")
        rig.animation_data.action_slot = rig.animation_data.action.slots.new(id_type="OBJECT", name="somebody")
    scripted.wait()
    assert keys_of(first) == before
    assert history.is_made(rig.animation_data.action)
    assert len([action for action in bpy.data.actions if history.is_made(action)]) == variations
    assert not drafts_there()


def test_one_undo_takes_it_back(scripted, rig):
    name, before = rig.name, keys_of(rig.animation_data.action)
    bpy.ops.ed.undo_push(message="before")
    begin("REPLACE")
    scripted.wait()
    assert keys_of(rig.animation_data.action) != before
    bpy.ops.ed.undo()
    assert keys_of(bpy.data.objects[name].animation_data.action) == before
    assert len(bpy.data.actions) == 1


def test_saved_file_holds_no_draft(scripted, rig, tmp_path):
    begin("NEW")
    steps_until_drafted()
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "saved.blend"), copy=True)
    with bpy.data.libraries.load(str(tmp_path / "saved.blend")) as (there, _):
        assert len(there.actions) == 1
    scripted.wait()
    assert np.array_equal(rig.animation_data.action.frame_range, (20, 67))
