"""What the animator asks for. One definition for the panel's settings and the operators' properties."""
# pyright: reportInvalidTypeForm=false

from typing import Any

import bpy
from bpy.props import BoolProperty, CollectionProperty, EnumProperty, FloatProperty, IntProperty, PointerProperty, StringProperty

from ..backend.protocol import messages
from ..backend.protocol.errors import MotionGPTError
from .rigs.character import find_character


class ClipProperties:
    """Properties of a clip, mixed into the scene's settings and into operators."""

    prompt: StringProperty(name="Prompt", description="What the character does, in English")
    length: EnumProperty(
        name="Length In",
        description="How the length of the clip is said",
        items=[
            ("SECONDS", "Seconds", "So many seconds"),
            ("FRAMES", "Frames", "So many frames of the scene"),
            ("POSES", "Key Poses", "From the first of the key poses to the last"),
        ],
    )
    seconds: FloatProperty(name="Seconds", description="Length of the clip", default=4.0, soft_min=0.5, soft_max=9.8, step=10, precision=1)
    frames: IntProperty(name="Frames", description="Length of the clip", default=96, min=2, soft_max=240)
    seed: IntProperty(name="Seed", description="Another seed gives another motion, the same seed the same", default=0, min=0)
    variations: IntProperty(name="Variations", description="How many clips to make and choose from", default=1, min=1, max=16)
    candidates: IntProperty(
        name="Attempts",
        description="Of so many motions take the one that fits the prompt and the poses best",
        default=messages.ATTEMPTS,
        min=1,
        max=16,
    )
    pose_use: EnumProperty(
        name="Current Pose Is",
        description="What the pose that the character stands in is to the clip",
        items=[
            ("FIRST", "First Frame", "The clip starts at the current frame, in this pose"),
            ("LAST", "Last Frame", "The clip ends at the current frame, in this pose"),
            ("BOTH", "First and Last", "The clip starts at the current frame in this pose, and comes back to it"),
            ("NONE", "Not Used", "The clip starts at the current frame, where the character stands and faces"),
        ],
    )
    lock_feet: BoolProperty(name="Lock Feet", description="Keep feet from sliding while they touch the floor", default=True)
    loop: BoolProperty(name="Loop", description="Let the end of the clip run into its beginning")
    in_place: BoolProperty(name="In Place", description="Take the travel out of the clip: the character walks on the spot")
    face_path: BoolProperty(name="Face along Path", description="Turn the character the way that the path goes", default=True)
    guidance: FloatProperty(
        name="Follow Prompt",
        description="How strongly the prompt is followed: 1 as the model does by itself, more to exaggerate it",
        default=messages.Generate.guidance,
        min=0.0,
        soft_max=12.0,
        step=25,
        precision=1,
    )
    keys: EnumProperty(
        name="Keys",
        description="Which frames of the clip get keys",
        items=[
            ("EVERY", "Every Frame", "A key on every frame: exactly the clip"),
            ("STEP", "Every n-th", "A key on every n-th frame and on every given pose"),
            ("REDUCED", "Reduced", "As few keys as it takes to stay within a tolerance"),
        ],
    )
    key_step: IntProperty(name="Every", description="Frames from key to key", default=4, min=2, soft_max=24)
    key_degrees: FloatProperty(
        name="Tolerance", description="How far a bone may turn away, in degrees", default=1.0, min=0.01, soft_max=10.0
    )
    key_millimetres: FloatProperty(
        name="Tolerance (mm)", description="How far the hips may be off, in millimetres", default=5.0, min=0.1, soft_max=50.0
    )
    mode: EnumProperty(
        name="Goes Into",
        description="Where the keys of the clip go",
        items=[
            ("NEW", "New Action", "An action of its own. The one that the character has is kept"),
            ("REPLACE", "This Action", "The character's action, in place of the keys that it has in the range of the clip"),
            ("BLEND", "This Action, Blended", "As before, with the motion that was there faded over at both ends"),
        ],
    )
    blend_frames: IntProperty(name="Blend Over", description="Frames over which the motions are faded", default=8, min=1, soft_max=48)
    only_selected_bones: BoolProperty(name="Only Selected Bones", description="Key the selected bones and leave all others as they are")
    extend_scene: BoolProperty(name="Extend Scene", description="Move the end of the scene to where the clip ends, if it lies before")
    preview: BoolProperty(name="Preview", description="Move the character while its clip is being made", default=True)


LIMBS = [
    ("LEFT_HAND", "Left Hand", "The left hand is where it is in the pose"),
    ("RIGHT_HAND", "Right Hand", "The right hand is where it is in the pose"),
    ("LEFT_FOOT", "Left Foot", "The left foot is where it is in the pose"),
    ("RIGHT_FOOT", "Right Foot", "The right foot is where it is in the pose"),
]
ONLY = "The hands and feet that are to be as in the pose; without any, all of the body"


class MotionGPTKeyPose(bpy.types.PropertyGroup):
    """A pose at a frame of the scene, where `name` says it comes from; the pose itself lies in custom properties."""

    frame: IntProperty(name="Frame", description="The frame of the scene at which the clip passes through the pose")
    only: EnumProperty(name="Only", description=ONLY, items=LIMBS, options={"ENUM_FLAG"})

    def hold(self, pose: messages.Pose, source: str, only: set[str]) -> None:
        self.frame, self.name, self.only = pose.frame, source, only
        self["rotations"], self["root"] = pose.rotations.ravel().tolist(), pose.root_translation.tolist()
        self["ends"] = [] if pose.ends is None else pose.ends.ravel().tolist()


def _find_played(self: bpy.types.PropertyGroup) -> int:
    """Which of all actions the selected character plays; -1 if none."""
    try:
        data = find_character(bpy.context).animation_data
    except MotionGPTError:
        return -1
    return bpy.data.actions.find(data.action.name) if data and data.action else -1


class MotionGPTSettings(ClipProperties, bpy.types.PropertyGroup):
    """The panel's settings, kept in the scene."""

    key_poses: CollectionProperty(type=MotionGPTKeyPose)
    active_pose: IntProperty(name="Key Pose", description="A pose that the clip passes through")
    active_clip: IntProperty(  # a list wants one that can be set, and what is played does not change by that
        name="Clip", description="The clip that the character plays", get=_find_played, set=lambda self, index: None
    )
    path: PointerProperty(
        name="Path",
        description="A curve on the floor that the character walks along",
        type=bpy.types.Object,
        poll=lambda self, obj: obj.type == "CURVE",
    )


class Asked:
    """The settings of a scene, with some of them `said` otherwise."""

    def __init__(self, settings: MotionGPTSettings, **said: object) -> None:
        self._settings, self._said = settings, said

    def __getattr__(self, name: str) -> Any:
        return self._said[name] if name in self._said else getattr(self._settings, name)

    def but(self, **said: object) -> "Asked":
        """The same, with some more said otherwise."""
        return Asked(self._settings, **(self._said | said))


def add_to_scene() -> None:
    bpy.types.Scene.motiongpt = PointerProperty(type=MotionGPTSettings)


def remove_from_scene() -> None:
    del bpy.types.Scene.motiongpt
