"""Detection on real armatures, the mapping that the animator edits, and presets."""

import json

import bpy
import pytest
from installed import module
from rigs import SMPL, add_rig, edit

MotionGPTError = module("backend.protocol.errors").MotionGPTError
mapping = module("motiongpt_blender.rigs.mapping")
presets = module("motiongpt_blender.rigs.presets")
user_folder = module("motiongpt_blender.preferences").user_folder


def bones_of(rig: bpy.types.Object) -> dict[str, str]:
    return mapping.find_mapping(rig).bones


def rename(rig: bpy.types.Object, names) -> None:
    edit(rig, lambda bones: [setattr(bone, "name", names(number, bone.name)) for number, bone in enumerate(bones)])


@pytest.fixture
def rig() -> bpy.types.Object:
    return add_rig()


@pytest.fixture
def metarig() -> bpy.types.Object:
    """The rig that Rigify itself adds."""
    bpy.ops.preferences.addon_enable(module="rigify")
    bpy.ops.object.armature_human_metarig_add()
    yield bpy.context.object
    bpy.ops.preferences.addon_disable(module="rigify")


@pytest.fixture
def own_presets():
    yield
    for rig_map in presets.own_maps():
        mapping.remove_saved(rig_map.name)


def test_rigify_is_known_before_and_after_it_is_generated(metarig):
    found = mapping.find_mapping(metarig)
    assert (found.kind, found.confidence) == ("Rigify Metarig", 1.0)
    assert found.bones["left_shoulder"] == "upper_arm.L"
    bpy.ops.pose.rigify_generate()
    found = mapping.find_mapping(bpy.context.object)
    assert found.kind == "Rigify"
    original = {joint: f"ORG-{bone}" for joint, bone in mapping.find_mapping(metarig).bones.items()}
    controls = {"spine1": "spine_fk.001", "spine2": "spine_fk.002", "spine3": "spine_fk.003", "neck": "neck"}
    assert found.bones == original | controls  # their originals blend others
    assert found.controls.fk["left_shoulder"] == "upper_arm_fk.L"


def test_metarig_with_other_names_is_known_by_its_structure(metarig):
    named = bones_of(metarig)
    original = metarig.data.bones.keys()
    rename(metarig, lambda number, name: f"B{number}")
    found = mapping.find_mapping(metarig)
    assert found.kind == "By Structure"
    assert {joint: original[int(bone[1:])] for joint, bone in found.bones.items()} == named


def test_detection_is_remembered_until_the_bones_change(rig):
    rig.name = "Somebody New"  # others of its old name have been looked at before
    assert not mapping.is_known(rig)
    found = mapping.find_mapping(rig)
    assert mapping.is_known(rig)
    assert mapping.find_mapping(rig) is found
    edit(rig, lambda bones: setattr(bones["left_hip"], "name", "L_Hip"))
    assert not mapping.is_known(rig)
    assert bones_of(rig)["left_hip"] == "L_Hip"


def test_what_is_wrong_is_remembered_too():
    bpy.ops.object.armature_add()
    for _ in range(2):
        with pytest.raises(MotionGPTError, match="no humanoid that is known"):
            mapping.find_mapping(bpy.context.object)
    assert mapping.is_known(bpy.context.object)


def test_edited_bones_win(rig):
    bpy.ops.motiongpt.detect_rig()
    assert (rig.motiongpt.kind, rig.motiongpt.confidence) == ("SMPL", 1.0)
    rig.motiongpt.bones.pelvis = "root"
    rig.motiongpt.bones.neck = ""
    assert bones_of(rig)["pelvis"] == "root"
    assert "neck" not in bones_of(rig)
    bpy.ops.motiongpt.clear_mapping()
    assert bones_of(rig)["pelvis"] == "pelvis"


def test_detecting_again_replaces_edited_bones(rig):
    bpy.ops.motiongpt.detect_rig()
    rig.motiongpt.bones.pelvis = "root"
    bpy.ops.motiongpt.detect_rig(wait=True)
    assert rig.motiongpt.bones.pelvis == "pelvis"


def test_rig_that_is_not_known_is_completed_by_hand(rig):
    rename(rig, lambda number, name: "odd" if name == "left_elbow" else name)
    edit(rig, lambda bones: bones.remove(bones["right_foot"]))  # so that it is not symmetric either
    with pytest.raises(MotionGPTError, match=r"no bone for Left Elbow\. .* like is SMPL\. .* under Character"):
        mapping.find_mapping(rig)
    bpy.ops.motiongpt.detect_rig()
    assert rig.motiongpt.kind == "By Hand"
    with pytest.raises(MotionGPTError, match="no bone for Left Elbow"):
        mapping.find_mapping(rig)
    rig.motiongpt.bones.left_elbow = "odd"
    assert bones_of(rig) == {joint: "odd" if joint == "left_elbow" else joint for joint in SMPL.joints if joint != "right_foot"}


def test_any_armature_can_be_mapped_by_hand():
    bpy.ops.object.armature_add()
    bpy.ops.motiongpt.detect_rig()
    assert bpy.context.object.motiongpt.kind == "By Hand"
    with pytest.raises(MotionGPTError, match="no bone for Pelvis, Left Hip"):
        mapping.find_mapping(bpy.context.object)


def test_edited_bones_travel_with_the_file(rig, tmp_path):
    bpy.ops.motiongpt.detect_rig()
    rig.motiongpt.bones.pelvis = "root"
    name = rig.name
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "rig.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "rig.blend"))
    assert bones_of(bpy.data.objects[name])["pelvis"] == "root"


@pytest.mark.parametrize(
    ("joint", "bone", "said"), [("left_hip", "", "no bone for Left Hip"), ("left_hip", "gone", "no bones gone any more")]
)
def test_edited_bones_that_do_not_do_are_refused_with_a_remedy(rig, joint, bone, said):
    bpy.ops.motiongpt.detect_rig()
    setattr(rig.motiongpt.bones, joint, bone)
    with pytest.raises(MotionGPTError, match=said) as raised:
        mapping.find_mapping(rig)
    assert "Character" in raised.value.remedy


def test_bone_that_two_joints_share_is_refused(rig):
    bpy.ops.motiongpt.detect_rig()
    rig.motiongpt.bones.spine2 = "spine3"
    with pytest.raises(MotionGPTError, match=r"has the bone spine3 for Spine2 and for Spine3\. Choose another"):
        mapping.find_mapping(rig)


@pytest.mark.parametrize(("source", "other"), [("left", "right"), ("right", "left")])
def test_bones_are_mirrored(rig, source, other):
    bpy.ops.motiongpt.detect_rig()
    for joint in SMPL.joints:
        if joint.startswith(other):
            setattr(rig.motiongpt.bones, joint, "")
    setattr(rig.motiongpt.bones, f"{source}_collar", "")
    bpy.ops.motiongpt.mirror_mapping(source=source)
    assert bones_of(rig) == {joint: joint for joint in SMPL.joints if not joint.endswith("collar")}


def test_bones_whose_names_say_no_side_are_mirrored_by_place(metarig):
    rename(metarig, lambda number, name: f"B{number}")
    expected = bones_of(metarig)
    bpy.ops.motiongpt.detect_rig()
    for joint in SMPL.joints:
        if joint.startswith("right"):
            setattr(metarig.motiongpt.bones, joint, "")
    bpy.ops.motiongpt.mirror_mapping(source="left")
    assert bones_of(metarig) == expected


def test_preset_makes_rigs_known(rig, own_presets):
    bpy.ops.motiongpt.detect_rig()
    rig.motiongpt.bones.pelvis = "root"
    bpy.ops.motiongpt.save_mapping_preset(name="Größe 1: my hero")
    bpy.ops.motiongpt.clear_mapping()
    found = mapping.find_mapping(rig)
    assert found.kind == "Größe 1: my hero"
    assert found.bones["pelvis"] == "root"
    other = add_rig()
    assert bones_of(other)["pelvis"] == "root"
    bpy.ops.motiongpt.remove_mapping_preset(preset="Größe 1: my hero")
    assert bones_of(rig)["pelvis"] == "pelvis"


def test_preset_is_a_map_in_a_file(rig, own_presets):
    bpy.ops.motiongpt.save_mapping_preset(name="Mine")
    files = list(user_folder("rigs").glob("*.json"))
    assert [file.stem for file in files] == ["mine"]
    fields = json.loads(files[0].read_text(encoding="utf-8"))
    assert fields == {"name": "Mine", "bones": {joint: joint for joint in SMPL.joints}}
    bpy.ops.motiongpt.save_mapping_preset(name="Mine")
    assert len(list(user_folder("rigs").glob("*.json"))) == 1


def test_preset_is_loaded_when_asked_for(rig, own_presets):
    bpy.ops.motiongpt.save_mapping_preset(name="Mine")
    bpy.ops.motiongpt.detect_rig()
    rig.motiongpt.bones.pelvis = "root"
    bpy.ops.motiongpt.load_mapping_preset(preset="Mine")
    assert rig.motiongpt.kind == "Mine"
    assert bones_of(rig)["pelvis"] == "pelvis"


def test_preset_that_does_not_suit_the_rig_is_refused_and_changes_nothing(rig):
    bpy.ops.motiongpt.detect_rig()
    with pytest.raises(RuntimeError, match=r"has no bone for .* VRoid"):
        bpy.ops.motiongpt.load_mapping_preset(preset="VRoid")
    assert rig.motiongpt.kind == "SMPL"


def test_preset_without_a_name_is_refused(rig):
    with pytest.raises(RuntimeError, match=r"The preset has no name\. Give it a name"):
        bpy.ops.motiongpt.save_mapping_preset(name=" . ")


def test_preset_file_that_is_broken_does_no_harm(rig, own_presets):
    bpy.ops.motiongpt.save_mapping_preset(name="Mine")
    (user_folder("rigs") / "broken.json").write_text("{", encoding="utf-8")
    bpy.ops.motiongpt.save_mapping_preset(name="Another")  # looks at the folder again
    try:
        assert bones_of(rig)["pelvis"] == "pelvis"
        assert {rig_map.name for rig_map in presets.own_maps()} == {"Mine", "Another"}
    finally:
        (user_folder("rigs") / "broken.json").unlink()


def test_removing_is_disabled_and_says_why_where_there_are_no_presets(rig):
    with pytest.raises(RuntimeError, match="no presets of your own"):
        bpy.ops.motiongpt.remove_mapping_preset()


def test_mapping_is_disabled_and_says_why_without_a_character():
    for operator in ("detect_rig", "clear_mapping", "mirror_mapping", "save_mapping_preset", "load_mapping_preset"):
        with pytest.raises(RuntimeError, match="No character is selected"):
            getattr(bpy.ops.motiongpt, operator)()


def test_edits_are_taken_back_in_one_step(rig):
    name = rig.name
    bpy.ops.ed.undo_push(message="before")
    bpy.ops.motiongpt.detect_rig("EXEC_DEFAULT", True)
    assert bpy.data.objects[name].motiongpt.kind == "SMPL"
    bpy.ops.ed.undo()
    assert bpy.data.objects[name].motiongpt.kind == ""
