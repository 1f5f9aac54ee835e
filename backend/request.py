"""What a request must be, and what it says in the terms of a bundle. MotionGPTError (`INVALID_PARAMS`) names what is wrong."""

import math

import numpy as np

from .models.bundle import Bundle
from .motion.fit import Constraint
from .motion.limbs import LIMBS
from .motion.loop import SHORTEST
from .motion.skeleton import Skeleton
from .protocol.errors import Code, MotionGPTError, in_seconds
from .protocol.messages import Generate

LONGEST_PROMPT = 2000  # characters; a few sentences, and far from the end of the model's context
LONGEST_SECONDS = 600.0
MOST_AT_ONCE = 64  # clips decoded in one pass, candidates included
MOST_IN_ALL = 256
_LOOP_FRAMES = 4  # in which a cycle can be told from its neighbours
_SHORTEST_PATH = 0.01  # metres; a shorter one leads nowhere


def positions(request: Generate, bundle: Bundle) -> list[int]:
    """How many positions of codes make up the asked-for time of each segment."""
    if not (request.samples >= 1 and request.candidates >= 1 and request.samples * request.candidates <= MOST_IN_ALL):
        raise MotionGPTError(
            Code.INVALID_PARAMS,
            f"{request.samples} variations of {request.candidates} tries each cannot be made.",
            f"Ask for at least one, and at most {MOST_IN_ALL} in all.",
        )
    if not (np.isfinite(request.fps) and request.fps > 0):
        raise MotionGPTError(Code.INVALID_PARAMS, f"A rate of {request.fps:g} frames per second is not possible.", "Choose a rate above 0.")
    per_second = bundle.fps / bundle.network.frames_per_code
    shortest = 1.0 / per_second
    seconds = [segment.frames / request.fps for segment in request.segments]
    wrong = [s for s in (*seconds, sum(seconds)) if not shortest - 1e-6 <= s <= LONGEST_SECONDS + 1e-6]
    if wrong or request.frames < 2:
        raise MotionGPTError(
            Code.INVALID_PARAMS,
            f"A clip of {in_seconds((wrong or [sum(seconds)])[0])} s is not possible with the bundle {bundle.name}.",
            f"Ask for {_least(max(shortest, 2 / request.fps))} to {LONGEST_SECONDS:g} s.",
        )
    shortest_loop = max(SHORTEST, _LOOP_FRAMES / request.fps)
    if request.loop and sum(seconds) < shortest_loop:
        raise MotionGPTError(
            Code.INVALID_PARAMS, f"A loop of {in_seconds(sum(seconds))} s is too short.", f"Ask for at least {_least(shortest_loop)} s."
        )
    if request.loop and request.path is not None:
        raise MotionGPTError(Code.INVALID_PARAMS, "A loop cannot follow a path.", "Leave one of them out.")
    if request.path is not None and not _has_length(request.path):
        raise MotionGPTError(
            Code.INVALID_PARAMS, "The path has no length.", "Give it two points or more on the floor that are not in the same place."
        )
    ends = [max(i, int(end * per_second + 0.5 + 1e-6)) for i, end in enumerate(np.cumsum(seconds), start=1)]
    return [int(end - begin) for begin, end in zip([0, *ends], ends, strict=False)]


def constraints(request: Generate, skeleton: Skeleton) -> list[Constraint]:
    """The given poses in order of their frames."""
    longest = max(len(segment.prompt) for segment in request.segments)
    if longest > LONGEST_PROMPT:
        raise MotionGPTError(
            Code.INVALID_PARAMS,
            f"The prompt has {longest} characters.",
            f"Say it in at most {LONGEST_PROMPT}; a sentence or two do best.",
        )
    if not any(segment.prompt.strip() for segment in request.segments) and not request.poses:
        raise MotionGPTError(Code.INVALID_PARAMS, "There is neither a prompt nor a pose.", "Type what should happen, or give a pose.")
    if not 0 <= request.seed < 2**63:
        raise MotionGPTError(
            Code.INVALID_PARAMS, f"{request.seed} is not possible as a seed.", "Choose one from 0 on, with at most 18 digits."
        )
    given: list[Constraint] = []
    for pose in sorted(request.poses, key=lambda p: p.frame):
        if not 0 <= pose.frame < request.frames:
            raise MotionGPTError(Code.INVALID_PARAMS, f"The pose at frame {pose.frame} lies outside the clip of {request.frames} frames.")
        if given and given[-1].frame == pose.frame:
            raise MotionGPTError(Code.INVALID_PARAMS, f"Two poses are given for frame {pose.frame}.", "Leave one of them out.")
        local, root = np.asarray(pose.rotations, dtype=np.float64), np.asarray(pose.root_translation, dtype=np.float64)
        if local.shape != (len(skeleton), 4) or root.shape != (3,):
            raise MotionGPTError(
                Code.INVALID_PARAMS, f"A pose needs rotations (22, 4) and a place (3,), not {local.shape} and {root.shape}."
            )
        norms = np.linalg.norm(local, axis=-1, keepdims=True)
        if np.any(np.abs(norms - 1.0) > 1e-3):
            raise MotionGPTError(Code.INVALID_PARAMS, f"The pose at frame {pose.frame} has rotations that are not unit quaternions.")
        if unknown := set(pose.only) - set(LIMBS):
            raise MotionGPTError(Code.INVALID_PARAMS, f"A pose cannot be one of {', '.join(sorted(unknown))} only.")
        given.append(Constraint(pose.frame, local / norms, root, pose.only))
    if given and all(pose.only for pose in given):
        raise MotionGPTError(
            Code.INVALID_PARAMS,
            "There is no pose of the whole body.",
            "Use the current pose as well, or have one of the key poses be about the whole body.",
        )
    return given


def _least(duration: float) -> str:
    """The shortest time that is allowed, in seconds and rounded up, so that what is told is allowed too."""
    return in_seconds(math.ceil(duration * 1000) / 1000)


def _has_length(path: np.ndarray) -> bool:
    points = np.asarray(path)
    if points.ndim != 2 or points.shape[1] != 2 or not np.isfinite(points).all():
        return False
    return float(np.linalg.norm(np.diff(points, axis=0), axis=-1).sum()) >= _SHORTEST_PATH
