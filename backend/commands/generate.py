"""`motiongpt generate`: a clip from a text, without Blender."""

import argparse
import io
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from tqdm import tqdm

    from ..protocol.messages import Generate, MadeClip


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser("generate", help="make a clip from a text")
    parser.add_argument("prompt", help='what happens, for example "a person sits down"')
    parser.add_argument("--out", type=_output, required=True, metavar="FILE", help="the file to write: .npz (arrays) or .bvh")
    parser.add_argument("--seconds", type=positive_number, default=4.0, help="length of the clip (%(default)g)")
    parser.add_argument("--seed", type=int, default=0, help="the same seed gives the same clip (%(default)d)")
    parser.add_argument("--fps", type=positive_number, help="frames per second; the bundle's own if not given")
    parser.add_argument("--bundle", default="", metavar="FOLDER", help="the model; the one that comes with the product if not given")
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda", "mps"), help="where to compute (%(default)s)")
    precisions = ("auto", "float32", "bfloat16", "int8")
    parser.add_argument("--precision", default="auto", choices=precisions, help="how exactly weights are held (%(default)s)")


def run(args: argparse.Namespace) -> int:
    from tqdm import tqdm

    from ..files import write_whole
    from ..generation import Generator
    from ..protocol.errors import Code, MotionGPTError
    from ..protocol.messages import Generate, Load, Segment

    if not args.out.parent.is_dir():
        raise MotionGPTError(Code.INVALID_PARAMS, f"There is no folder {args.out.parent}.", "Create it or choose another.")
    with tqdm(desc="Loading", leave=False) as bar:
        generator = Generator.load(
            Load(args.bundle, args.device, args.precision), lambda stage, done, total: _show(bar, stage, done, total)
        )
    fps = args.fps or generator.info.fps
    request = Generate((Segment(args.prompt, round(args.seconds * fps)),), fps, args.seed)
    with tqdm(desc="Generating", unit="token") as bar:
        reply = generator.generate(request, lambda done, total: _show(bar, "Generating", done, total), lambda: False)
    clip = reply.clips[0]
    write_whole(args.out, FORMATS[args.out.suffix.lower()](request, clip))
    print(f"{args.out}: {len(clip.joints)} frames at {fps:g} per second")
    return 0


def to_npz(request: "Generate", clip: "MadeClip") -> bytes:
    """Arrays in the conventions of `backend.motion`, with the prompt and the seed that they came from."""
    file = io.BytesIO()
    np.savez_compressed(
        file,
        joints=clip.joints,
        rotations=clip.rotations,
        root_translation=clip.root_translation,
        contacts=clip.contacts,
        fps=request.fps,
        prompt=request.segments[0].prompt,
        seed=request.seed,
    )
    return file.getvalue()


def to_bvh(request: "Generate", clip: "MadeClip") -> bytes:
    from ..motion import bvh

    return bvh.to_bvh(clip.rotations, clip.root_translation, request.fps).encode("ascii")


FORMATS: dict[str, Callable[["Generate", "MadeClip"], bytes]] = {".npz": to_npz, ".bvh": to_bvh}


def _output(text: str) -> Path:
    path = Path(text)
    if path.suffix.lower() not in FORMATS:
        raise argparse.ArgumentTypeError(f"the name must end with {' or '.join(FORMATS)}, not {path.suffix or 'nothing'}")
    return path


def positive_number(text: str) -> float:
    if not 0.0 < (number := float(text)) < float("inf"):
        raise argparse.ArgumentTypeError(f"it must be a number above 0, not {text}")
    return number


def _show(bar: "tqdm[Any]", stage: str, done: int, total: int) -> None:
    bar.set_description(stage, refresh=False)
    bar.total = total
    bar.update(done - bar.n)
