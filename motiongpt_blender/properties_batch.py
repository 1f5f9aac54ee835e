"""What the animator asks of sequences and batches. One definition for the panel's settings and the operators' properties."""
# pyright: reportInvalidTypeForm=false

import bpy
from bpy.props import BoolProperty, CollectionProperty, EnumProperty, FloatProperty, IntProperty, PointerProperty, StringProperty


class MotionGPTSegment(bpy.types.PropertyGroup):
    """A part of a sequence. Its name is its prompt: Blender wants a name of everything in a list that a script passes."""

    name: StringProperty(name="Prompt", description="What the character does in this part, in English")
    seconds: FloatProperty(name="Seconds", description="Length of this part", default=3.0, min=0.1, soft_max=9.8, step=10, precision=1)


class MotionGPTBatchRow(bpy.types.PropertyGroup):
    """A row of a batch; `name` is that of the action, by the rule if empty."""

    prompt: StringProperty(name="Prompt", description="What the character does, in English")
    seconds: FloatProperty(name="Seconds", description="Length of the clip", default=4.0, min=0.1, soft_max=9.8, step=10, precision=1)
    seed: IntProperty(name="Seed", description="Another seed gives another motion, the same seed the same", default=0, min=0)
    character: StringProperty(name="Character", description="The armature that gets this clip. Empty: all that are selected")
    tags: StringProperty(name="Tags", description="Tags of the asset, with ; between them")
    loop: BoolProperty(name="Loop", description="Let the end of the clip run into its beginning")


class BatchProperties:
    """How a batch is written, mixed into the scene's settings and into the operator."""

    layout: EnumProperty(
        name="Layout",
        description="What is made of the clips",
        items=[
            (
                "SEQUENCE",
                "One after Another",
                "Actions and their strips on one NLA track, one after another from the current frame on",
            ),
            (
                "TRACKS",
                "A Track Each",
                "Actions and their strips at the current frame, each on an NLA track of its own; all but the first are muted",
            ),
            ("ACTIONS", "Actions Only", "Actions, and nothing on the NLA"),
        ],
    )
    travel_on: BoolProperty(
        name="Travel On",
        description="Let each clip start where the character's clip before it ended, not all of them where the character stands",
    )
    rule: StringProperty(
        name="Names",
        description="How actions are named: text with {prompt}, {index}, {character} and {seed}, such as {character}_{index:03}",
        default="{prompt}",
    )
    assets: BoolProperty(name="Mark as Assets", description="Show the actions in the Asset Browser, with the tags of their rows")
    previews: BoolProperty(name="Previews", description="Draw a small picture of each clip as the preview of its action")
    skip_existing: BoolProperty(
        name="Skip Existing",
        description="Make no clip that a batch has made for the same character before, with the same name and settings",
        default=True,
    )


class MotionGPTBatchSettings(BatchProperties, bpy.types.PropertyGroup):
    """The panel's settings of sequences and batches, kept in the scene."""

    segments: CollectionProperty(type=MotionGPTSegment)
    active_segment: IntProperty(name="Part", description="A part of the sequence")
    rows: CollectionProperty(type=MotionGPTBatchRow)
    active_row: IntProperty(name="Row", description="A row of the batch")
    store: StringProperty(options={"HIDDEN"})  # name of the folder of the last batch, which the file takes along wherever it is saved


def add_to_scene() -> None:
    bpy.types.Scene.motiongpt_batch = PointerProperty(type=MotionGPTBatchSettings)


def remove_from_scene() -> None:
    del bpy.types.Scene.motiongpt_batch
