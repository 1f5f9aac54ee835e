"""From a request to clips: prompts, codes, features, rotations, poses met, feet still. Every stage of the chain once."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import psutil
import torch

from .language.decoding import Agreement, Cancelled, Pull, Sampling, noise_of, sample_codes
from .language.engine import one_thread
from .language.prompts import Instruction, PoseCode, build_prompt, load_template
from .language.runtime import EngineModel, memory_needed_mb
from .language.vocabulary import Position
from .models.base import find_base
from .models.bundle import Bundle, open_bundle
from .models.devices import choose, precision_for
from .motion.clip import Clip, clip_from_features
from .motion.features import pose_to_features
from .motion.feet import slide
from .motion.finish import finish
from .motion.fit import Constraint, errors
from .preview import Preview
from .protocol.errors import Code, MotionGPTError
from .protocol.messages import Generate, GenerateReply, Load, MadeClip
from .request import LONGEST_SECONDS, constraints, positions
from .tokenizer.vqvae import VQVAE
from .windows import Window, plan

if TYPE_CHECKING:
    from .language.decoding import Model

_PULL = 20.0  # how strongly answers are drawn to given poses; more of it takes motion out of them and brings them hardly nearer

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
        self.pull = Pull(torch.stack([q.codebook.cpu() for q in tokenizer.quantizers]), _PULL)
        self.ranker = bundle.ranker(self.pull.codebooks)

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
                _check_memory(memory_needed_mb(base, precision), wanted.memory_limit_mb)
            say("Loading the language model", 1, 4)
            model = EngineModel(
                base, bundle.adapter_tensors(), bundle.adapter, bundle.network.codes, bundle.network.levels, device, precision
            )
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
        _check_memory(generator.info.memory_mb, wanted.memory_limit_mb)
        say("Ready", 4, 4)
        return generator

    @property
    def info(self) -> Info:
        bundle = self.bundle
        return Info(bundle.name, bundle.base.name, self.device, bundle.fps, LONGEST_SECONDS, round(_memory_mb()))

    def warm_up(self) -> None:
        """Go once through what a first clip would have to wait for: kernels are compiled or read, weights touched."""
        codes = sample_codes(self.model, self._prompt(Instruction("a", [], 1.0)), 2, Sampling(temperature=0))
        self.decode(codes)

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
        told = request.guidance != 1.0 and any(segment.prompt.strip() for segment in request.segments)
        candidates = request.candidates if told or poses else 1  # nothing else says which is best
        agreed = torch.zeros(request.samples * candidates)
        preview = None
        if on_preview:
            statistics = (self.bundle.mean, self.bundle.std)
            anchor = poses[0] if poses else None
            preview = Preview(
                self.tokenizer, statistics, self.skeleton, self.bundle.rotations, sum(segments), request.frames, request.fps, anchor
            )
        tokens: list[float] = []

        def count(codes: list[list[Position]], agreed: Callable[[], torch.Tensor]) -> None:
            tokens.append(time.perf_counter())
            on_token(len(codes[0]), sum(segments))
            if preview and on_preview and preview.due and (shown := preview.show(codes[:candidates], agreed()[:candidates].numpy())):
                on_preview(*shown)

        try:
            codes = self._sample(request, poses, segments, agreed, count, cancelled)
        except Cancelled:
            raise MotionGPTError(Code.CANCELLED, "The generation was cancelled.") from None
        clips = [clip.resampled(request.frames, request.fps) for clip in self.decode(codes)]
        if poses:
            stand = self.skeleton.forward(poses[0].local, poses[0].root)
            clips = [clip.placed(poses[0].frame, stand) for clip in clips]
        drifts = np.array([errors(clip, poses)[0] for clip in clips])
        chosen = [
            first + best_of(agreed[first : first + candidates].numpy(), drifts[first : first + candidates])
            for first in range(0, len(clips), candidates)
        ]
        made = [self._finish(clips[index], poses, request) for index in chosen]
        per_second = len(tokens) / max(1e-9, tokens[-1] - began)
        return GenerateReply(tuple(made), request.fps, len(tokens), per_second, time.perf_counter() - began)

    def decode(self, codes: torch.Tensor) -> list[Clip]:
        """The clips of codes (B, N, levels) as the tokenizer decodes them, at the bundle's own rate, at the origin."""
        normalised = self._features(codes).float().cpu().numpy()
        features = normalised * self.bundle.std + self.bundle.mean
        return [clip_from_features(part, self.skeleton, self.bundle.rotations) for part in features]

    def agreed(self, agreement: Agreement | None, answers: torch.Tensor) -> torch.Tensor:
        """How well answers (B, n, levels) go with their prompt (B,), in nats: what the bundle's ranker says, if it has one."""
        if agreement is None:
            return torch.zeros(len(answers))
        return agreement.nats if self.ranker is None or agreement.prompts is None else self.ranker(agreement.prompts, answers)

    def _features(self, codes: torch.Tensor) -> torch.Tensor:
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
        agreed: torch.Tensor,
        count: Callable[[list[list[Position]], Callable[[], torch.Tensor]], None],
        cancelled: Callable[[], bool],
    ) -> torch.Tensor:
        """Codes (batch, positions, levels), window after window; to `agreed (batch,)` is added how well each goes with the prompts.

        `count` is told the codes so far, and what gives how well they go with the prompts.
        """
        batch = len(agreed)
        sampling = Sampling(request.temperature, request.top_k, request.seed, request.guidance)
        noise = noise_of(request.seed, batch)
        held = self._held_codes(poses)
        codes: list[list[Position]] = [[] for _ in range(batch)]
        windows = plan(segments, self.bundle.longest)
        for window in windows:
            instruction = self._instruction(request, window, poses, held, window is windows[-1])
            without = self._prompt(replace(instruction, caption="")) if instruction.caption else None
            before = [done[: window.begin - window.given] for done in codes]
            length = window.end - window.begin + window.given
            agreement = Agreement(torch.zeros(batch)) if instruction.caption else None

            def growing(answers: list[list[Position]], before: list[list[Position]] = before, words: Agreement | None = agreement) -> None:
                codes = [done + new for done, new in zip(before, answers, strict=True)]
                count(codes, lambda: agreed + self.agreed(words, torch.tensor(answers)))

            made = sample_codes(
                self.model,
                self._prompt(instruction),
                length,
                sampling,
                batch,
                without=without,
                course=self.model.course_for(instruction, length, self.bundle.seconds_per_position),
                given=[done[window.begin - window.given :] for done in codes] if window.given else (),
                noise=noise,
                pull=self.pull,
                agreement=agreement,
                on_token=growing,
                cancelled=cancelled,
            )
            agreed.add_(self.agreed(agreement, made))
            codes = [done + [tuple(position) for position in new] for done, new in zip(before, made.tolist(), strict=True)]
        return torch.tensor(codes)

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

    def _prompt(self, instruction: Instruction) -> torch.Tensor:
        return self.model.vocabulary.prompt(build_prompt(instruction, self.template))

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

    def _held_codes(self, poses: list[Constraint]) -> list[list[int]]:
        if not poses:
            return []
        frames = [pose_to_features(self.skeleton.forward(p.local, p.root), p.local, self.skeleton) for p in poses]
        normalised = (np.stack(frames) - self.bundle.mean) / self.bundle.std
        return self.tokenizer.encode_held(torch.from_numpy(normalised.astype(np.float32)).to(self.device)).tolist()


def best_of(agreement: np.ndarray, drift: np.ndarray) -> int:
    """Which of several answers to take, from how well the prompt explains each `(n,)` and how far each is off the given poses `(n,)`.

    The two have no common measure, so their ranks are added up; where there are no poses, or no prompt, the other decides.
    """
    ranks = [values.argsort(kind="stable").argsort(kind="stable") * bool(np.ptp(values)) for values in (-agreement, drift)]
    return int(np.argmin(ranks[0] + ranks[1]))


def _memory_mb() -> float:
    """What this process holds in memory."""
    return psutil.Process().memory_info().rss / 2**20


def _check_memory(megabytes: float, limit: int) -> None:
    if 0 < limit < megabytes:
        raise MotionGPTError(
            Code.OUT_OF_MEMORY,
            f"The model needs {megabytes:.0f} MB of memory, and {limit} MB are allowed.",
            "Raise the limit in the preferences, or choose the precision int8 or a smaller model.",
        )
