"""From a request to clips: prompts, codes, features, rotations, poses met, feet still. Every stage of the chain once."""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from json import JSONDecodeError
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import psutil
import torch
from safetensors import SafetensorError

from .language.angles import asked_turn
from .language.decoding import Agreement, Asked, Cancelled, Pull, Sampling, noise_of, sample_all, sample_codes, sample_each
from .language.engine import one_thread
from .language.prompts import Instruction, PoseCode, build_prompt, load_template, mirrored
from .language.runtime import EngineModel, memory_needed_mb
from .language.vocabulary import Position
from .models.base import find_base
from .models.bundle import Bundle, open_bundle
from .models.devices import choose, precision_for
from .motion.clip import Clip, clip_from_features
from .motion.features import Layout, pose_to_features
from .motion.features import mirrored as mirrored_features
from .motion.feet import slide
from .motion.finish import finish
from .motion.fit import Constraint, errors
from .motion.measures import in_numbers
from .motion.turn import turned
from .preview import Preview
from .protocol.errors import Code, MotionGPTError
from .protocol.messages import Generate, GenerateReply, Load, MadeClip
from .request import LONGEST_SECONDS, MOST_AT_ONCE, constraints, positions
from .tokenizer.poses import pose_measure
from .tokenizer.vqvae import VQVAE
from .windows import Window, plan

if TYPE_CHECKING:
    from .language.decoding import Model

# How strongly answers are drawn to given poses, where they are due and in the positions beside; more takes motion out of them.
_PULL, _PULL_BESIDE = 30.0, 4.0

OnPreview = Callable[[int, Clip], None]


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

    def __init__(self, bundle: Bundle, model: "Model", tokenizer: VQVAE, device: str) -> None:
        self.bundle, self.model, self.tokenizer, self.device = bundle, model, tokenizer, device
        self.skeleton = bundle.body()
        self.template = load_template(bundle.template)
        self.ranker = bundle.ranker()

    @cached_property
    def pull(self) -> Pull:
        """What draws answers to given poses. It takes a moment to measure, which only those who give poses wait for."""
        with one_thread():
            measure = pose_measure(self.tokenizer, Layout(len(self.skeleton)))
        return Pull((torch.stack(self.tokenizer.codebooks) @ measure).cpu(), _PULL, _PULL_BESIDE)

    @classmethod
    def load(cls, wanted: Load | None = None, on_progress: Callable[[str, int, int], None] | None = None) -> "Generator":
        """Load what is wanted (None: the default bundle, on the best device); `on_progress` is told stage, done, total.

        MotionGPTError if the bundle, its base model or the device is not there, or if more memory is needed than is allowed.
        """
        wanted = wanted or Load()
        say = on_progress or (lambda stage, done, total: None)
        say("Checking the bundle", 0, 4)
        bundle = open_bundle(Path(wanted.bundle) if wanted.bundle else None)
        if bundle.body().offsets is None:
            raise MotionGPTError(
                Code.INVALID_PARAMS,
                f"The bundle {bundle.name} uses the skeleton {bundle.skeleton}, which has no T-pose.",
                "Choose a bundle on the skeleton smpl22.",
            )
        device = choose(wanted.device)
        precision = precision_for(device, wanted.precision)
        base = find_base(bundle.base, on_progress)
        try:
            if device == "cpu":
                _check_memory(memory_needed_mb(base, precision), wanted.memory_limit_mb, device, precision)
            say("Loading the language model", 1, 4)
            model = EngineModel(
                base, bundle.adapter_tensors(), bundle.adapter, bundle.network.codes, bundle.network.levels, device, precision
            )
        except (OSError, SafetensorError, JSONDecodeError) as error:
            raise MotionGPTError(
                Code.BASE_MODEL_MISSING,
                f"The base model in {base} is damaged: {error}.",
                "Remove that folder; the next start makes it anew if it came with the backend.",
            ) from error
        except ValueError as error:
            raise MotionGPTError(
                Code.BUNDLE_ALTERED,
                f"The bundle {bundle.name} and its base model in {base} do not go together: {error}",
                "Choose another bundle.",
            ) from error
        say("Loading the motion tokenizer", 2, 4)
        generator = cls(bundle, model, bundle.tokenizer().to(device), device)
        say("Making ready for this computer", 3, 4)
        generator.warm_up()
        _check_memory(generator.info.memory_mb, wanted.memory_limit_mb, device, precision)
        say("Ready", 4, 4)
        return generator

    @property
    def info(self) -> Info:
        bundle = self.bundle
        return Info(bundle.name, bundle.base.name, self.device, bundle.fps, LONGEST_SECONDS, round(_memory_mb()))

    def warm_up(self) -> None:
        """Go once through what a first clip would have to wait for: kernels are compiled or read, weights touched."""
        prompt = self.prompt(Instruction("a", [], 1.0))
        codes = sample_codes(self.model, prompt, 2, Sampling(temperature=0))
        finish(self.decode(codes)[0])
        if codes.shape[-1] > 1:  # towards given poses finer codes are read out one after another
            hidden = self.model.begin([prompt], 1).last
            self.model.finer_logits(hidden, codes[0, :1, :1].to(hidden.device))

    def generate(
        self,
        request: Generate,
        on_token: Callable[[int, int], None],
        cancelled: Callable[[], bool],
        on_preview: OnPreview | None = None,
    ) -> GenerateReply:
        """The clips of a request. `on_token` is told positions done and in all; `cancelled` is asked before every token.

        `on_preview` is given what the first clip shows so far, now and then: its frames from a number on.
        MotionGPTError: `INVALID_PARAMS` names what is wrong with the request, `CANCELLED` ends one that was called off.
        """
        began = time.perf_counter()
        segments, poses = positions(request, self.bundle), constraints(request, self.skeleton)
        whole = _whole(poses)
        told = any(segment.prompt.strip() for segment in request.segments) and (self.ranker is not None or request.guidance != 1.0)
        candidates = request.candidates if told or poses else 1  # nothing else says which is best
        preview = None
        if on_preview:
            statistics = (self.bundle.mean, self.bundle.std)
            anchor = whole[0] if whole else None
            preview = Preview(
                self.tokenizer, statistics, self.skeleton, self.bundle.rotations, sum(segments), request.frames, request.fps, anchor
            )
        noise, at_once = noise_of(request.seed, request.samples * candidates), max(1, MOST_AT_ONCE // candidates) * candidates
        in_mirror = mirrored_attempts([segment.prompt for segment in request.segments], candidates)
        passes = [noise[first : first + at_once] for first in range(0, len(noise), at_once)]
        led = request.loop or request.path is not None or len(whole) > 1  # elsewhere than where the prompt says
        prompts = [] if led else list(zip((segment.prompt for segment in request.segments), self._frames(segments), strict=True))
        tokens: list[float] = []
        made: list[MadeClip] = []

        def count(codes: list[list[Position]], nats: torch.Tensor) -> None:
            tokens.append(time.perf_counter())
            on_token(sum(segments) * (len(made) * candidates // at_once) + len(codes[0]), sum(segments) * len(passes))
            if made or not (preview and on_preview and preview.due):
                return
            plain = slice(np.count_nonzero(~in_mirror))  # the first clip's are the first of all
            if shown := preview.show(codes[plain], nats[plain].numpy()):
                on_preview(*shown)

        try:
            for dice in passes:
                sides = np.tile(in_mirror, len(dice) // candidates)
                features, told_of = self._sample(request, whole, segments, dice, sides, count, cancelled)
                made += self._made(request, poses, candidates, *self.turned(features, prompts), told_of)
        except Cancelled:
            raise MotionGPTError(Code.CANCELLED, "The generation was cancelled.") from None
        per_second = len(tokens) / max(1e-9, tokens[-1] - began)
        return GenerateReply(tuple(made), request.fps, len(tokens), per_second, time.perf_counter() - began)

    def _frames(self, segments: Sequence[int]) -> list[slice]:
        """The frames, at the bundle's rate, of segments of so many positions each."""
        ends = np.cumsum([0, *segments]) * self.bundle.network.frames_per_code
        return [slice(int(begin), int(end)) for begin, end in pairwise(ends)]

    def _made(
        self,
        request: Generate,
        poses: list[Constraint],
        candidates: int,
        features: np.ndarray,
        bent: np.ndarray,
        told: Sequence[tuple[slice, Agreement]],
    ) -> Iterator[MadeClip]:
        """Of every so many `candidates` among features (batch, T, D) the best one's clip.

        Each was `bent (batch,)` by so much to turn as was asked for; prompts were `told` to frames.
        """
        for first in range(0, len(features), candidates):
            attempts = slice(first, first + candidates)
            words = [(frames, agreement.of(attempts)) for frames, agreement in told]
            yield self._finish(self._best(request, poses, features[attempts], bent[attempts], words), poses, request)

    def _best(
        self,
        request: Generate,
        poses: list[Constraint],
        features: np.ndarray,
        bent: np.ndarray,
        told: Sequence[tuple[slice, Agreement]],
    ) -> Clip:
        """The best of the clips of features (B, T, D), `bent (B,)` by so much, for poses and for prompts `told` to frames."""
        if len(features) == 1:
            return self._placed(features[0], poses, request)
        agreed = sum((self.agreed(words, features[:, frames]) for frames, words in told), torch.zeros(len(features))).numpy()
        if not poses:
            return self._placed(features[best_of(-agreed, bent)], poses, request)
        clips = [self._placed(part, poses, request) for part in features]
        return clips[best_of(-agreed, bent, np.array([errors(clip, poses)[0] for clip in clips]))]

    def decode(self, codes: torch.Tensor) -> list[Clip]:
        """The clips of codes (B, N, levels) as the tokenizer decodes them, at the bundle's own rate, at the origin."""
        return [clip_from_features(part, self.skeleton, self.bundle.rotations) for part in self.features(codes)]

    def features(self, codes: torch.Tensor, in_mirror: np.ndarray | None = None) -> np.ndarray:
        """The features (B, T, D) of codes (B, N, levels), not normalised; those `in_mirror (B,)` with left and right exchanged."""
        features = self._normalised(codes).float().cpu().numpy() * self.bundle.std + self.bundle.mean
        if in_mirror is not None and in_mirror.any():
            features[in_mirror] = mirrored_features(features[in_mirror], self.skeleton)
        return features

    def turned(self, features: np.ndarray, prompts: Sequence[tuple[str, slice]]) -> tuple[np.ndarray, np.ndarray]:
        """Features (B, T, D) turned as far as prompts of the frames in a slice say in figures, and how many degrees (B,) were missing."""
        missed, bent = np.zeros(len(features)), features.copy()
        for prompt, frames in prompts:
            if turn := asked_turn(prompt):
                for i, part in enumerate(features[:, frames]):
                    bent[i, frames], off = turned(part, self.skeleton, *turn)
                    missed[i] += off
        return bent, missed

    def answer_each(
        self, instructions: Sequence[Instruction], lengths: Sequence[int], sampling: Sampling
    ) -> tuple[list[torch.Tensor], Agreement]:
        """Codes (length, levels) of an answer to each of several instructions, decoded in one pass, and how well captions go with them."""
        asked = [self._asked(i, length) for i, length in zip(instructions, lengths, strict=True)]
        captioned = all(one.without is not None for one in asked)
        if not captioned:
            asked = [replace(one, without=None) for one in asked]
        agreement = Agreement(torch.zeros(len(asked)))
        pull = self.pull if any(instruction.poses for instruction in instructions) else None
        answers = sample_each(self.model, asked, lengths, sampling, pull, agreement)
        return answers, agreement if captioned else Agreement(agreement.nats)

    def agreed(self, agreement: Agreement, features: np.ndarray) -> torch.Tensor:
        """How well answers go with their prompts (B,), in nats, by their features (B, T, D) if the bundle has a ranker."""
        if self.ranker is None or agreement.prompts is None:
            return agreement.nats
        return self.ranker(agreement.prompts, np.stack([in_numbers(clip, self.skeleton) for clip in features]))

    def _normalised(self, codes: torch.Tensor) -> torch.Tensor:
        """Normalised features of codes (B, N, levels). On the CPU each thread decodes clips of its own.

        Torch's threads wait for each other at every layer, which takes many times as long as the layers do where another program
        has one of the processors.
        """
        threads = min(torch.get_num_threads(), len(codes))
        if self.device != "cpu":
            return self.tokenizer.decode(codes.to(self.device))
        with one_thread(), ThreadPoolExecutor(threads) as pool:
            return torch.cat(list(pool.map(self.tokenizer.decode, codes.chunk(threads))))

    def _sample(
        self,
        request: Generate,
        poses: list[Constraint],
        segments: list[int],
        noise: Sequence[torch.Generator],
        in_mirror: np.ndarray,
        count: Callable[[list[list[Position]], torch.Tensor], None],
        cancelled: Callable[[], bool],
    ) -> tuple[np.ndarray, list[tuple[slice, Agreement]]]:
        """Features (batch, T, D) as `noise` falls, window after window, and how well prompts go with what they are about.

        Those `in_mirror (batch,)` are asked for with left and right exchanged, and exchanged again in the end. `count` is told the
        codes so far, and by how many nats (batch,) the prompts have made them likelier, of those in the mirror after the others.
        """
        sampling = Sampling(request.temperature, request.top_k, request.seed, request.guidance)
        batch, sides = len(noise), [False, True] if in_mirror.any() else [False]
        held = [self.held_codes(poses, side) for side in sides]
        order = np.argsort(in_mirror, kind="stable")  # those of a side beside each other, as they have the prompt in common
        back, noise = np.argsort(order), [noise[i] for i in order]
        codes: list[list[Position]] = [[] for _ in range(batch)]
        nats, told_of = torch.zeros(batch), []
        windows = plan(segments, self.bundle.longest)
        for window in windows:
            plain = [self._instruction(request, window, poses, of_side, window is windows[-1]) for of_side in held]
            instructions = [replace(i, caption=mirrored(i.caption)) if side else i for i, side in zip(plain, sides, strict=True)]
            before = [done[: window.begin - window.given] for done in codes]
            length = window.end - window.begin + window.given
            agreement = Agreement(torch.zeros(batch))

            def growing(
                answers: list[list[Position]],
                before: list[list[Position]] = before,
                earlier: torch.Tensor = nats,
                now: Agreement = agreement,
            ) -> None:
                count([done + new for done, new in zip(before, answers, strict=True)], earlier + now.nats)

            made = sample_all(
                self.model,
                [self._asked(instruction, length) for instruction in instructions],
                length,
                sampling,
                batch // len(sides),
                given=[done[window.begin - window.given :] for done in codes] if window.given else (),
                noise=noise,
                pull=self.pull if instructions[0].poses else None,
                agreement=agreement,
                on_token=growing,
                cancelled=cancelled,
            )
            nats = nats + agreement.nats
            if instructions[0].caption:
                per_code = self.bundle.network.frames_per_code
                ordered = Agreement(agreement.nats[back], agreement.prompts)
                told_of.append((slice((window.begin - window.given) * per_code, window.end * per_code), ordered))
            codes = [done + [tuple(position) for position in new] for done, new in zip(before, made.tolist(), strict=True)]
        return self.features(torch.tensor(codes)[back], in_mirror), told_of

    def _placed(self, features: np.ndarray, poses: list[Constraint], request: Generate) -> Clip:
        """The clip of features (T, D) as long as it is wanted, where the first of the poses stands."""
        clip = clip_from_features(features, self.skeleton, self.bundle.rotations).resampled(request.frames, request.fps)
        first = next(iter(_whole(poses)), None)
        return clip.placed(first.frame, self.skeleton.forward(first.local, first.root)) if first else clip

    def _finish(self, clip: Clip, poses: list[Constraint], request: Generate) -> MadeClip:
        """The clip as the request wants it: on its path or in a loop, its poses met, its feet still."""
        model_error, _ = errors(clip, poses)
        clip, cycle = finish(clip, poses, loop=request.loop, path=request.path, face_path=request.face_path, still_feet=request.lock_feet)
        distance, angle = errors(clip, poses)
        return MadeClip(
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

    def prompt(self, instruction: Instruction) -> torch.Tensor:
        """The ids (L, levels) of an instruction's prompt."""
        return self.model.vocabulary.prompt(build_prompt(instruction, self.template))

    def course(self, instruction: Instruction, length: int) -> torch.Tensor | None:
        """What an answer of `length` positions to an instruction is told at every position; None if nothing."""
        return self.model.course_for(instruction, length, self.bundle.seconds_per_position)

    def _asked(self, instruction: Instruction, length: int) -> Asked:
        """What `length` positions are asked for with."""
        without = self.prompt(replace(instruction, caption="")) if instruction.caption else None
        return Asked(self.prompt(instruction), without, self.course(instruction, length))

    def _instruction(self, request: Generate, window: Window, poses: list[Constraint], held: list[list[int]], final: bool) -> Instruction:
        """What is asked of the model in a window: its segment's words, and the poses that fall into it, or behind the `final` one."""
        seconds_per_code = self.bundle.seconds_per_position
        start = window.begin - window.given
        conditions = []
        for pose, codes in zip(poses, held, strict=True):
            seconds = pose.frame / request.fps
            last = pose.frame == request.frames - 1
            at = seconds / seconds_per_code
            if window.begin <= at < window.end or (final and at >= window.end):
                place = "first" if pose.frame == 0 else "last" if last else "key"
                conditions.append(PoseCode(place, tuple(codes), seconds - start * seconds_per_code))
        return Instruction(request.segments[window.segment].prompt.strip(), conditions, (window.end - start) * seconds_per_code)

    def held_codes(self, poses: Sequence[Constraint], in_mirror: bool = False) -> list[list[int]]:
        """The codes of each pose held still, all encoded in one pass; `in_mirror` with left and right exchanged."""
        if not poses:
            return []
        true = self.bundle.rotations == "local"
        frames = [pose_to_features(self.skeleton.forward(p.local, p.root), p.local if true else None, self.skeleton) for p in poses]
        held = mirrored_features(np.stack(frames), self.skeleton) if in_mirror else np.stack(frames)
        normalised = (held - self.bundle.mean) / self.bundle.std
        return self.tokenizer.encode_held(torch.from_numpy(normalised.astype(np.float32)).to(self.device)).tolist()


def mirrored_attempts(prompts: Sequence[str], attempts: int) -> np.ndarray:
    """Which of several attempts `(attempts,)` are asked for in a mirror: the later half, where a prompt names a side.

    A model that hears one side better than the other then makes as many of its good attempts for either.
    """
    named = attempts % 2 == 0 and any(mirrored(prompt) != prompt for prompt in prompts)
    return np.arange(attempts) >= (attempts // 2 if named else attempts)


def _whole(poses: Sequence[Constraint]) -> list[Constraint]:
    """Those that are about the whole body: what limbs alone have to do is seen to once a clip is made."""
    return [pose for pose in poses if not pose.only]


def best_of(*costs: np.ndarray) -> int:
    """Which of several answers to take, from what each costs `(n,)` in every respect.

    They have no common measure, so their ranks are added up; a respect in which all are alike does not count.
    """
    ranks = [values.argsort(kind="stable").argsort(kind="stable") * bool(np.ptp(values)) for values in costs]
    return int(np.argmin(np.sum(ranks, axis=0)))


def _memory_mb() -> float:
    """What this process holds in memory."""
    return psutil.Process().memory_info().rss / 2**20


def _check_memory(megabytes: float, limit: int, device: str, precision: str) -> None:
    if 0 < limit < megabytes:
        least = "int8" if device == "cpu" else "bfloat16"
        raise MotionGPTError(
            Code.OUT_OF_MEMORY,
            f"The model needs {megabytes:.0f} MB of memory, and {limit} MB are allowed.",
            "Raise the limit in the preferences, or choose a smaller model."
            if precision == least
            else f"Raise the limit in the preferences, or choose the precision {least} or a smaller model.",
        )
