"""Characters that are linked from a rig's own file and overridden, as studios use them."""

import bpy
import pytest
from rigs import add_rig


@pytest.fixture(params=[False, True], ids=["untouched", "with settings of its own"])
def override(request, tmp_path) -> bpy.types.Object:
    """A library override of a rig, in a file that is saved; the rig's own file says something about it, or nothing."""
    bpy.ops.wm.read_homefile(use_empty=True)
    rig = add_rig()
    rig.name = "Rig"
    if request.param:
        rig.motiongpt.root_motion = "ROOT_BONE"
        bpy.ops.motiongpt.tell_t_pose()
    collection = bpy.data.collections.new("Character")
    bpy.context.scene.collection.children.link(collection)
    collection.objects.link(rig)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "rig.blend"))
    bpy.ops.wm.read_homefile(use_empty=True)
    with bpy.data.libraries.load(str(tmp_path / "rig.blend"), link=True) as (_, here):
        here.collections = ["Character"]
    root = bpy.data.collections["Character"].override_hierarchy_create(bpy.context.scene, bpy.context.view_layer)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"))
    overridden = root.all_objects[0]
    bpy.context.view_layer.objects.active = overridden
    overridden.select_set(True)
    return overridden


def reopened() -> bpy.types.Object:
    bpy.ops.wm.save_mainfile()
    bpy.ops.wm.open_mainfile(filepath=bpy.data.filepath)
    [rig] = [obj for obj in bpy.data.objects if obj.override_library]
    return rig


def test_what_is_said_about_an_override_stays_with_it(override):
    bpy.ops.motiongpt.detect_rig()
    override.pose.bones["left_shoulder"].rotation_euler.x = 0.1  # another pose than the library's T-pose
    bpy.context.view_layer.update()
    bpy.ops.motiongpt.tell_t_pose()
    override.motiongpt.bones.left_wrist = ""
    override.motiongpt.root_motion = "OBJECT"
    kind, t_pose = override.motiongpt.kind, override.motiongpt.t_pose
    assert kind and t_pose
    for _ in range(2):  # what was loaded can be saved again
        rig = reopened()
        assert rig.motiongpt.kind == kind
        assert (rig.motiongpt.bones.left_hip, rig.motiongpt.bones.left_wrist) == ("left_hip", "")
        assert rig.motiongpt.root_motion == "OBJECT"
        assert rig.motiongpt.t_pose == t_pose


def test_override_of_which_nothing_is_said_keeps_what_the_library_says(override):
    said = override.motiongpt.root_motion
    rig = reopened()
    assert rig.motiongpt.root_motion == said and not rig.motiongpt.kind
    assert rig.motiongpt.t_pose == rig.override_library.reference.motiongpt.t_pose
