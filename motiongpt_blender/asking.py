"""From what the animator asks for and what is in the scene to an order."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

import bpy
import numpy as np

from ..backend.motion.limbs import LIMBS
from ..backend.protocol import messages
from ..backend.protocol.errors import Code, MotionGPTError, in_seconds
from .animation.puppet import read_origin, require_free_bones
from .keyed import selected_bones
from .orders import Delivery, Keys, Order
from .path import floor_path
from .poses import origin_at, pose_now, poses_at
from .properties import Asked, MotionGPTKeyPose


def make_order(
    context: bpy.types.Context,
    armature: bpy.types.Object,
    asked: Asked,
    segments: Sequence[messages.Segment] = (),
    longest: float = float("inf"),
) -> Order:
    """The order of clips for `armature` at the current frame; `segments` go before the prompt and length that are asked for.

    MotionGPTError if it cannot be: no prompt and no pose, no length or more than `longest` seconds, a pose outside the clip, two of a
    frame, bones that cannot be keyed.
    """
    require_free_bones(armature, _bones(armature, asked))
    fps = scene_rate(context.scene)
    listed = _listed(asked.key_poses)
    start = min(listed) if asked.length == "POSES" and listed else context.scene.frame_current
    frames = sum(segment.frames for segment in segments) if segments else _length(asked, listed, fps)
    _require_length(frames, fps, longest)
    if asked.pose_use == "LAST":
        start = context.scene.frame_current - frames + 1
    segments = segments or (messages.Segment(asked.prompt.strip(), frames),)
    now = pose_now(armature, context)
    ends = {"FIRST": [start], "LAST": [start + frames - 1], "BOTH": [start, start + frames - 1], "NONE": []}[asked.pose_use]
    standing = {frame: messages.Pose(frame, now.rotations, now.root_translation) for frame in ends}
    poses = standing | {frame: pose for frame, pose in listed.items() if not pose.only or frame not in standing}
    whole = {frame: pose for frame, pose in poses.items() if not pose.only}
    path = _path_through(floor_path(context, armature, asked.path), whole, start, frames) if asked.path else None
    request = messages.Generate(
        segments=tuple(segments),
        fps=fps,
        seed=asked.seed,
        poses=_in_clip(poses.values(), start, frames),
        samples=asked.variations,
        candidates=asked.candidates,
        loop=asked.loop,
        path=path,
        face_path=asked.face_path,
        lock_feet=asked.lock_feet,
        preview=asked.preview,
        guidance=asked.guidance,
    )
    if not request.poses and not any(segment.prompt.strip() for segment in segments):
        raise MotionGPTError(Code.INVALID_PARAMS, "There is no prompt.", "Say what the character does, or use its current pose.")
    stand, origin = now if not poses and path is None else None, read_origin(armature, context.evaluated_depsgraph_get())
    return Order(request, start, stand, _delivery(armature, asked), origin)


def make_inbetween_order(
    context: bpy.types.Context,
    armature: bpy.types.Object,
    asked: Asked,
    frames: Sequence[int],
    longest: float = float("inf"),
) -> Order:
    """The order of what lies between the keyed poses at `frames` of the scene, in time order.

    MotionGPTError if there is nothing between them, or more than `longest` seconds, or if bones cannot be keyed.
    """
    require_free_bones(armature, _bones(armature, asked))
    if frames[-1] - frames[0] < len(frames):
        raise MotionGPTError(
            Code.INVALID_PARAMS, "There is no frame between the selected keys.", "Select keys that lie further apart in time."
        )
    start, count, fps = frames[0], frames[-1] - frames[0] + 1, scene_rate(context.scene)
    _require_length(count, fps, longest)
    request = messages.Generate(
        segments=(messages.Segment(asked.prompt.strip(), count),),
        fps=fps,
        seed=asked.seed,
        poses=_in_clip(poses_at(armature, frames, travelling=True), start, count),
        samples=asked.variations,
        candidates=asked.candidates,
        lock_feet=asked.lock_feet,
        preview=asked.preview,
        guidance=asked.guidance,
    )
    kept = tuple(frame - start for frame in frames)
    delivery = Delivery("REPLACE", keys=_keys(asked), kept=kept, bones=_bones(armature, asked))
    return Order(request, start, None, delivery, origin_at(armature, start))


def scene_rate(scene: bpy.types.Scene) -> float:
    return scene.render.fps / scene.render.fps_base


def to_pose(item: MotionGPTKeyPose) -> messages.Pose:
    only = tuple(limb for limb in LIMBS if limb.upper() in item.only)
    ends = np.array(item.get("ends", [])).reshape(-1, 3)  # files of before do not have them
    rotations, root = np.array(item["rotations"]).reshape(-1, 4), np.array(item["root"])
    return messages.Pose(item.frame, rotations, root, only, ends if only and len(ends) else None)


def _listed(items: Iterable[MotionGPTKeyPose]) -> dict[int, messages.Pose]:
    """Key poses by their frames in the scene."""
    poses: dict[int, messages.Pose] = {}
    for pose in map(to_pose, items):
        if pose.frame in poses:  # the list lets frames be changed
            raise MotionGPTError(Code.INVALID_PARAMS, f"Two poses are given for frame {pose.frame}.", "Leave one of them out.")
        poses[pose.frame] = pose
    return poses


def _length(asked: Asked, listed: Collection[int], fps: float) -> int:
    """How many frames the clip has; key poses are `listed` at frames of the scene."""
    if asked.length != "POSES":
        return asked.frames if asked.length == "FRAMES" else round(asked.seconds * fps)
    if len(listed) < 2:
        raise MotionGPTError(
            Code.INVALID_PARAMS, "The length is that from the first key pose to the last, and there are not two.", "Add key poses."
        )
    return max(listed) - min(listed) + 1


def _path_through(path: np.ndarray, poses: dict[int, messages.Pose], start: int, frames: int) -> np.ndarray:
    """The path `(P, 2)` from where a first pose stands, and to where a last one does."""
    ends = [poses[frame].root_translation[None, [0, 2]] if frame in poses else path[:0] for frame in (start, start + frames - 1)]
    return np.concatenate([ends[0], path, ends[1]])


def _in_clip(poses: Iterable[messages.Pose], start: int, frames: int) -> tuple[messages.Pose, ...]:
    for pose in poses:
        if not start <= pose.frame < start + frames:
            raise MotionGPTError(
                Code.INVALID_PARAMS,
                f"The key pose at frame {pose.frame} lies outside the clip (frames {start} to {start + frames - 1}).",
                "Change where the clip starts or how long it is, or remove the pose.",
            )
    return tuple(replace(pose, frame=pose.frame - start) for pose in sorted(poses, key=lambda pose: pose.frame))


def _require_length(frames: int, fps: float, longest: float) -> None:
    if frames < 2 or frames / fps > longest + 1e-6:
        limit = f" and at most {longest:g} seconds" if np.isfinite(longest) else ""
        raise MotionGPTError(
            Code.INVALID_PARAMS, f"A clip of {in_seconds(frames / fps)} seconds cannot be made.", f"Ask for at least two frames{limit}."
        )


def _delivery(armature: bpy.types.Object, asked: Asked) -> Delivery:
    bones = _bones(armature, asked)
    return Delivery(asked.mode, asked.blend_frames, _keys(asked), asked.in_place, asked.extend_scene, bones=bones)


def _bones(armature: bpy.types.Object, asked: Asked) -> tuple[str, ...]:
    return selected_bones(armature) if asked.only_selected_bones else ()


def _keys(asked: Asked) -> Keys:
    return Keys(asked.keys, asked.key_step, asked.key_degrees, asked.key_millimetres)
