"""Sequences: prompts one after another in one clip."""

import bpy
import numpy as np
import pytest
from installed import module
from rigs import add_rig, posed_joints

PARTS = [("a person walks forward", 1.0), ("a person sits down", 1.5)]


@pytest.fixture(autouse=True)
def no_parts():
    yield
    bpy.context.scene.motiongpt_batch.segments.clear()


def generate(**options) -> set[str]:
    return bpy.ops.motiongpt.generate_sequence(**{"seed": 1, "pose_use": "FIRST", "wait": True} | options)


def fill_list() -> None:
    for prompt, seconds in PARTS:
        part = bpy.context.scene.motiongpt_batch.segments.add()
        part.name, part.seconds = prompt, seconds


def test_real_backend_makes_one_clip_of_the_parts(session):
    rig = add_rig()
    fill_list()
    generate()
    assert tuple(rig.animation_data.action.frame_range) == (1, 60)
    steps = [np.linalg.norm(posed_joints(rig, frame + 1) - posed_joints(rig, frame), axis=-1).max() for frame in range(21, 29)]
    assert max(steps) < 0.2  # metres a frame: there is no seam at the 25th


def test_parts_are_one_clip_with_a_mark_where_each_begins(scripted):
    rig = add_rig()
    fill_list()
    bpy.context.scene.frame_set(11)
    joints = posed_joints(rig)
    assert generate() == {"FINISHED"}
    action = rig.animation_data.action
    assert tuple(action.frame_range) == (11, 70)
    assert [(marker.name, marker.frame) for marker in action.pose_markers] == [(PARTS[0][0], 11), (PARTS[1][0], 35)]
    assert posed_joints(rig, 11) == pytest.approx(joints, abs=1e-4)


@pytest.mark.parametrize("options", [{"mode": "REPLACE"}, {"mode": "BLEND"}, {"mode": "REPLACE", "variations": 2}])
def test_parts_are_marked_once_in_the_action_that_is_there_too(scripted, options):
    rig = add_rig()
    rig.keyframe_insert("location", frame=90)
    rig.animation_data.action.pose_markers.new("mine").frame = 20
    bpy.context.scene.frame_set(11)
    fill_list()
    generate(**options)
    generate(**options)
    marks = {(marker.name, marker.frame) for marker in rig.animation_data.action.pose_markers}
    assert marks == {("mine", 20), (PARTS[0][0], 11), (PARTS[1][0], 35)}
    assert len(rig.animation_data.action.pose_markers) == 3


def test_prompts_longer_than_a_mark_are_marked_once(scripted):
    rig = add_rig()
    parts = [{"name": "jemand geht über die Brücke " * 5, "seconds": 1.0}, {"name": "走" * 50, "seconds": 1.0}]
    for _ in range(2):
        generate(parts=parts, mode="REPLACE")
    marks = [(marker.name, marker.frame) for marker in rig.animation_data.action.pose_markers]
    assert [frame for _, frame in marks] == [1, 25]
    assert all(part["name"].startswith(name) for part, (name, _) in zip(parts, marks, strict=True))


def test_parts_can_be_given_in_the_call(scripted):
    rig = add_rig()
    generate(parts=[{"name": prompt, "seconds": seconds} for prompt, seconds in PARTS])
    assert tuple(rig.animation_data.action.frame_range) == (1, 60)
    assert len(rig.animation_data.action.pose_markers) == 2


def test_parts_have_their_own_length_where_that_of_a_clip_is_said_by_key_poses(scripted):
    rig, settings = add_rig(), bpy.context.scene.motiongpt
    fill_list()
    settings.length = "POSES"
    bpy.context.scene.frame_set(11)
    generate(pose_use="NONE")
    assert tuple(rig.animation_data.action.frame_range) == (11, 70)
    bpy.ops.motiongpt.add_pose()
    bpy.context.scene.frame_set(31)
    generate(pose_use="NONE")
    assert tuple(rig.animation_data.action.frame_range) == (11, 70)


def test_sequence_is_taken_back_in_one_step(scripted):
    name = add_rig().name
    fill_list()
    bpy.ops.ed.undo_push(message="before")
    generate()
    assert bpy.data.objects[name].animation_data.action
    bpy.ops.ed.undo()
    assert not bpy.data.actions


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ([], r"The sequence has no parts\. Add one"),
        ([("walk", 1.0), ("  ", 1.0)], r"Part 2 of the sequence lacks a prompt"),
        ([("walk", 0.0001)], r"Part 1 of the sequence lacks two frames"),
    ],
)
def test_sequence_that_cannot_be_made_is_refused(parts, said):
    add_rig()
    bpy.context.scene.render.fps = 6
    with pytest.raises(RuntimeError, match=said):
        generate(parts=[{"name": prompt, "seconds": seconds} for prompt, seconds in parts])
    assert not bpy.data.actions


def test_clip_of_one_prompt_has_no_marks(scripted):
    rig = add_rig()
    bpy.ops.motiongpt.generate(prompt="a person walks", seconds=1.0, wait=True)
    assert not rig.animation_data.action.pose_markers


def test_order_names_the_prompts(scripted):
    rig = add_rig()
    fill_list()
    generate()
    order = module("motiongpt_blender.animation.history").read_order(rig.animation_data.action)
    assert [(s.prompt, s.frames) for s in order.request.segments] == [(PARTS[0][0], 24), (PARTS[1][0], 36)]
