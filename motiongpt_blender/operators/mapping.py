"""Edit which bone of the character is which joint."""
# pyright: reportInvalidTypeForm=false

from abc import abstractmethod

import bpy
from bpy.props import EnumProperty, StringProperty

from ...backend.protocol.errors import MotionGPTError
from ..rigs import mapping
from ..rigs.character import find_character
from ..rigs.presets import own_maps, rig_maps
from ..translation import say
from .at_once import AtOnce
from .outcome import done, fail
from .polling import poll_character

_items: dict[str, list[tuple[str, str, str]]] = {}  # Blender keeps no strings of its own


def _all_maps(operator: bpy.types.Operator, context: bpy.types.Context) -> list[tuple[str, str, str]]:
    _items["all"] = [(rig_map.name, rig_map.name, "") for rig_map in rig_maps()]
    return _items["all"]


def _own_maps(operator: bpy.types.Operator, context: bpy.types.Context) -> list[tuple[str, str, str]]:
    _items["own"] = [(rig_map.name, rig_map.name, "") for rig_map in own_maps()]
    return _items["own"]


class OfCharacter(AtOnce, bpy.types.Operator):
    """Changes something about the selected character."""

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if not poll_character(cls, context):
            return False
        armature = find_character(context)
        if not armature.is_editable:
            cls.poll_message_set(say(f"{armature.name} is linked from another file. Make a library override first"))
        return armature.is_editable

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            self.change(find_character(context))
        except MotionGPTError as error:
            return fail(self, error)
        return done(self)

    @abstractmethod
    def change(self, armature: bpy.types.Object) -> None:
        """Change the character's mapping; MotionGPTError if that cannot be done."""


class MOTIONGPT_OT_detect_rig(OfCharacter):
    bl_idname = "motiongpt.detect_rig"
    bl_label = "Detect Rig"
    bl_description = "Find the bone of each joint anew, and keep the result with the character so that it can be edited"
    bl_options = {"REGISTER", "UNDO"}

    def change(self, armature: bpy.types.Object) -> None:
        found = mapping.keep_detected(armature)
        self.report({"INFO"}, f"{found.kind}, {found.confidence:.0%}")


class MOTIONGPT_OT_clear_mapping(OfCharacter):
    bl_idname = "motiongpt.clear_mapping"
    bl_label = "Back to Automatic"
    bl_description = "Forget the edited bones and leave them to detection"
    bl_options = {"REGISTER", "UNDO"}

    def change(self, armature: bpy.types.Object) -> None:
        mapping.forget_own(armature)


class MOTIONGPT_OT_mirror_mapping(OfCharacter):
    bl_idname = "motiongpt.mirror_mapping"
    bl_label = "Mirror Bones"
    bl_description = "Give the joints of one side the twins of the other side's bones"
    bl_options = {"REGISTER", "UNDO"}

    source: EnumProperty(
        name="From",
        description="The side whose bones are right",
        items=[("left", "Left", "From left to right"), ("right", "Right", "From right to left")],
    )

    def change(self, armature: bpy.types.Object) -> None:
        mapping.mirror_own(armature, self.source)


class MOTIONGPT_OT_save_mapping_preset(OfCharacter):
    bl_idname = "motiongpt.save_mapping_preset"
    bl_label = "Save Preset"
    bl_description = "Save the bone of each joint under a name. Rigs with these bones are known from now on"

    name: StringProperty(name="Name", description="A preset of this name is replaced")

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        return context.window_manager.invoke_props_dialog(self)

    def change(self, armature: bpy.types.Object) -> None:
        mapping.save_mapping(armature, self.name)


class MOTIONGPT_OT_load_mapping_preset(OfCharacter):
    bl_idname = "motiongpt.load_mapping_preset"
    bl_label = "Load Preset"
    bl_description = "Take the bone of each joint from a preset, or from a kind of rig that is known"
    bl_options = {"REGISTER", "UNDO"}
    bl_property = "preset"

    preset: EnumProperty(name="Preset", description="The preset or kind of rig", items=_all_maps)

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        context.window_manager.invoke_search_popup(self)
        return {"FINISHED"}

    def change(self, armature: bpy.types.Object) -> None:
        mapping.keep_map(armature, self.preset)


class MOTIONGPT_OT_remove_mapping_preset(AtOnce, bpy.types.Operator):
    bl_idname = "motiongpt.remove_mapping_preset"
    bl_label = "Remove Preset"
    bl_description = "Delete one of your own presets"
    bl_options = {"REGISTER"}
    bl_property = "preset"

    preset: EnumProperty(name="Preset", description="The preset", items=_own_maps)

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if not own_maps():
            cls.poll_message_set(say("There are no presets of your own"))
        return bool(own_maps())

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        context.window_manager.invoke_search_popup(self)
        return {"FINISHED"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            mapping.remove_saved(self.preset)
        except MotionGPTError as error:
            return fail(self, error)
        return done(self)
