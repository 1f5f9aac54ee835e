"""`motiongpt data build`: folders of motion and captions to one training data set."""

import argparse
from pathlib import Path


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    actions = subparsers.add_parser("data", help="prepare training data").add_subparsers(dest="action", required=True)
    build = actions.add_parser("build", help="read folders in HumanML3D's layout and write one data set")
    build.add_argument(
        "--source", type=Path, action="append", required=True, help="a folder of motion and captions; may be given several times"
    )
    build.add_argument("--out", type=Path, required=True, help="the folder to write")


def run(args: argparse.Namespace) -> int:
    from ..data.dataset import build
    from ..protocol.errors import Code, MotionGPTError

    try:
        dataset = build(args.source, args.out)
    except ValueError as error:
        raise MotionGPTError(Code.INVALID_PARAMS, str(error), "Correct that folder, or choose others with --source.") from error
    clips = ", ".join(f"{count} {split}" for split, count in dataset.facts["clips"].items())
    minutes = len(dataset.features) / dataset.facts["fps"] / 60
    form = f"{dataset.features.shape[1]} features a frame, rotations: {dataset.facts['rotations']}"
    print(f"{args.out}: {clips} clips, {minutes:.0f} minutes, {form}")
    return 0
