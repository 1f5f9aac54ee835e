"""From a request to a clip: prompt, codes, features, rotations, poses met, feet still. Every stage of the chain once."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import psutil
import torch

from .language.decoding import Cancelled, Sampling, sample_codes
from .language.model import MotionLanguageModel, load_causal
from .language.prompts import Instruction, PoseCode, build_prompt, load_template
from .language.vocabulary import Position
from .models.base import find_base
from .models.bundle import Bundle, open_bundle
from .models.devices import choose, dtype_for
from .motion.clip import Clip, clip_from_features
from .motion.features import pose_to_features
from .motion.feet import slide
from .motion.finish import finish
from .motion.fit import Constraint, errors
from .motion.loop import SHORTEST
from .protocol.errors import Code, MotionGPTError
from .protocol.messages import Generate, GenerateReply, MadeClip
from .tokenizer.vqvae import VQVAE

LONGEST_PROMPT = 2000  # characters; a few sentences, and far from the end of the model's context


@dataclass(frozen=True)
class Info:
    """What was loaded, in words and figures."""

    bundle: str
    base_model: str
    device: str
    fps: float
    max_seconds: float
    memory_mb: float


class Generator:
    """A loaded bundle that makes clips."""

    def __init__(self, bundle: Bundle, model: MotionLanguageModel, tokenizer: VQVAE, device: str) -> None:
        self.bundle, self.model, self.tokenizer, self.device = bundle, model, tokenizer, device
        self.skeleton = bundle.body()
        self.template = load_template(bundle.template)

    @classmethod
    def load(cls, bundle: str = "", device: str = "auto", on_progress: Callable[[str, int, int], None] | None = None) -> "Generator":
        """Load the bundle in a folder (empty: the default) onto a device; `on_progress` is told stage, done, total.

        MotionGPTError if the bundle, its base model or the device is not there.
        """
        say = on_progress or (lambda stage, done, total: None)
        say("Checking the bundle", 0, 4)
        opened = open_bundle(Path(bundle) if bundle else None)
        if opened.body().offsets is None:
            raise MotionGPTError(
                Code.INVALID_PARAMS,
                f"The bundle {opened.name} uses the skeleton {opened.skeleton}, which has no T-pose.",
                "Choose a bundle on the skeleton smpl22.",
            )
        place = choose(device)
        say("Loading the language model", 1, 4)
        causal, text_tokenizer = load_causal(find_base(opened.base, on_progress), dtype_for(place))
        model = MotionLanguageModel(causal, text_tokenizer, opened.adapter, opened.network.codes, opened.network.levels)
        say("Loading the adapter", 2, 4)
        model.load_adapter(opened.adapter_tensors())
        model.merge()
        say("Loading the motion tokenizer", 3, 4)
        generator = cls(opened, model.to(place).eval(), opened.tokenizer().to(place), place)
        say("Ready", 4, 4)
        return generator

    @property
    def info(self) -> Info:
        memory = psutil.Process().memory_info().rss / 2**20
        bundle = self.bundle
        return Info(bundle.name, bundle.base.name, self.device, bundle.fps, bundle.max_seconds, round(memory))

    def generate(self, request: Generate, on_token: Callable[[int, int], None], cancelled: Callable[[], bool]) -> GenerateReply:
        """The clip of a request. `on_token` is told codes done and codes in all; `cancelled` is asked before every token.

        MotionGPTError: `INVALID_PARAMS` names what is wrong with the request, `CANCELLED` ends one that was called off.
        """
        began = time.perf_counter()
        length = self._length(request)
        constraints = self._constraints(request)
        instruction = self._instruction(request, constraints, length)
        tokens: list[float] = []

        def count(codes: list[list[Position]]) -> None:
            tokens.append(time.perf_counter())
            on_token(len(codes[0]), length)

        sampling = Sampling(request.temperature, request.top_k, request.seed, request.guidance)
        without = self._prompt(replace(instruction, caption="")) if instruction.caption else None
        try:
            codes = sample_codes(
                self.model, self._prompt(instruction), length, sampling, without=without, on_token=count, cancelled=cancelled
            )
        except Cancelled:
            raise MotionGPTError(Code.CANCELLED, "The generation was cancelled.") from None
        clip = self.decode(codes).resampled(request.frames, request.fps)
        if constraints:
            anchor = constraints[0]
            clip = clip.placed(anchor.frame, self.skeleton.forward(anchor.local, anchor.root))
        model_error, _ = errors(clip, constraints)
        clip, cycle = finish(
            clip, constraints, loop=request.loop, path=request.path, face_path=request.face_path, still_feet=request.lock_feet
        )
        distance, angle = errors(clip, constraints)
        made = MadeClip(
            rotations=clip.local.astype(np.float32),
            root_translation=clip.root.astype(np.float32),
            joints=clip.joints.astype(np.float32),
            contacts=clip.contacts,
            model_error_mm=model_error,
            constraint_error_mm=distance,
            constraint_error_deg=angle,
            foot_slide_mm_per_frame=slide(clip),
            cycle_turn=cycle.turn if cycle else None,
            cycle_travel=cycle.travel if cycle else None,
        )
        return GenerateReply((made,), request.fps, len(tokens), len(tokens) / max(1e-9, tokens[-1] - began), time.perf_counter() - began)

    def decode(self, codes: torch.Tensor) -> Clip:
        """The clip of codes (1, N, levels) as the tokenizer decodes them, at the bundle's own rate, at the origin."""
        normalised = self.tokenizer.decode(codes.to(self.device))[0].float().cpu().numpy()
        return clip_from_features(normalised * self.bundle.std + self.bundle.mean, self.skeleton, self.bundle.rotations)

    def _prompt(self, instruction: Instruction) -> torch.Tensor:
        return self.model.vocabulary.prompt(build_prompt(instruction, self.template))

    def _length(self, request: Generate) -> int:
        """How many codes make up the asked-for time."""
        if len(request.segments) != 1 or request.samples != 1:
            raise MotionGPTError(Code.INVALID_PARAMS, "One clip of one segment can be made at a time.", "Ask for one.")
        if not (np.isfinite(request.fps) and request.fps > 0):
            raise MotionGPTError(
                Code.INVALID_PARAMS, f"A rate of {request.fps:g} frames per second is not possible.", "Choose a rate above 0."
            )
        seconds = request.frames / request.fps
        shortest = self.bundle.network.frames_per_code / self.bundle.fps
        if not (request.frames >= 2 and shortest <= seconds + 1e-6 and seconds <= self.bundle.max_seconds + 1e-6):
            raise MotionGPTError(
                Code.INVALID_PARAMS,
                f"A clip of {seconds:g} s is not possible with the bundle {self.bundle.name}.",
                f"Ask for {shortest:g} to {self.bundle.max_seconds:g} s; make longer motion of several clips.",
            )
        if request.loop and seconds < SHORTEST:
            raise MotionGPTError(Code.INVALID_PARAMS, f"A loop of {seconds:g} s is too short.", f"Ask for at least {SHORTEST:g} s.")
        if request.loop and request.path is not None:
            raise MotionGPTError(Code.INVALID_PARAMS, "A loop cannot follow a path.", "Leave one of them out.")
        if request.path is not None and not _has_length(request.path):
            raise MotionGPTError(
                Code.INVALID_PARAMS, "The path has no length.", "Give it two points or more on the floor that are not in the same place."
            )
        return max(1, round(seconds * self.bundle.fps / self.bundle.network.frames_per_code))

    def _constraints(self, request: Generate) -> list[Constraint]:
        prompt = request.segments[0].prompt
        if len(prompt) > LONGEST_PROMPT:
            raise MotionGPTError(
                Code.INVALID_PARAMS,
                f"The prompt has {len(prompt)} characters.",
                f"Say it in at most {LONGEST_PROMPT}; a sentence or two do best.",
            )
        if not prompt.strip() and not request.poses:
            raise MotionGPTError(Code.INVALID_PARAMS, "There is neither a prompt nor a pose.", "Type what should happen, or give a pose.")
        if not 0 <= request.seed < 2**63:
            raise MotionGPTError(
                Code.INVALID_PARAMS, f"{request.seed} is not possible as a seed.", "Choose one from 0 on, with at most 18 digits."
            )
        constraints = []
        for pose in sorted(request.poses, key=lambda p: p.frame):
            if not 0 <= pose.frame < request.frames:
                raise MotionGPTError(
                    Code.INVALID_PARAMS, f"The pose at frame {pose.frame} lies outside the clip of {request.frames} frames."
                )
            if constraints and constraints[-1].frame == pose.frame:
                raise MotionGPTError(Code.INVALID_PARAMS, f"Two poses are given for frame {pose.frame}.", "Leave one of them out.")
            local, root = np.asarray(pose.rotations, dtype=np.float64), np.asarray(pose.root_translation, dtype=np.float64)
            if local.shape != (len(self.skeleton), 4) or root.shape != (3,):
                raise MotionGPTError(
                    Code.INVALID_PARAMS, f"A pose needs rotations (22, 4) and a place (3,), not {local.shape} and {root.shape}."
                )
            norms = np.linalg.norm(local, axis=-1, keepdims=True)
            if np.any(np.abs(norms - 1.0) > 1e-3):
                raise MotionGPTError(Code.INVALID_PARAMS, f"The pose at frame {pose.frame} has rotations that are not unit quaternions.")
            constraints.append(Constraint(pose.frame, local / norms, root))
        return constraints

    def _instruction(self, request: Generate, constraints: list[Constraint], length: int) -> Instruction:
        codes = self._held_codes(constraints)
        last = request.frames - 1
        places = ["first" if c.frame == 0 else "last" if c.frame == last else "key" for c in constraints]
        poses = [PoseCode(place, tuple(held), c.frame / request.fps) for place, held, c in zip(places, codes, constraints, strict=True)]
        return Instruction(request.segments[0].prompt.strip(), poses, length * self.bundle.network.frames_per_code / self.bundle.fps)

    def _held_codes(self, constraints: list[Constraint]) -> list[list[int]]:
        if not constraints:
            return []
        poses = [pose_to_features(self.skeleton.forward(c.local, c.root), c.local, self.skeleton) for c in constraints]
        normalised = (np.stack(poses) - self.bundle.mean) / self.bundle.std
        return self.tokenizer.encode_held(torch.from_numpy(normalised.astype(np.float32)).to(self.device)).tolist()


def _has_length(path: np.ndarray) -> bool:
    points = np.asarray(path)
    return points.ndim == 2 and points.shape[1] == 2 and bool(np.isfinite(points).all() and np.ptp(points, axis=0).any())
