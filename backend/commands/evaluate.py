"""`motiongpt evaluate`: how well a bundle does what the product promises, as a table and as JSON."""

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..protocol.messages import GUIDANCE

if TYPE_CHECKING:
    from ..data.dataset import Dataset
    from ..evaluation.distribution import Evaluator


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser("evaluate", help="measure a bundle on captured motion and on prompts")
    parser.add_argument(
        "--bundle", default="default", metavar="FOLDER", help="the bundle; `default` is the one that comes with the product"
    )
    parser.add_argument(
        "--data", type=Path, action="append", default=[], metavar="FOLDER",
        help="a folder of motion and captions, or one made by `motiongpt data build`; may be given several times",
    )  # fmt: skip
    parser.add_argument("--split", default="test", choices=("train", "val", "test"), help="the clips that are compared with (%(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write every figure")
    parser.add_argument("--quick", action="store_true", help="a small sample of everything, for a first look")
    parser.add_argument("--seed", type=int, default=0, help="of all samples (%(default)d)")
    parser.add_argument("--guidance", type=float, default=GUIDANCE, help="how strongly prompts are followed (%(default)g)")
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda", "mps"), help="where to compute (%(default)s)")
    parser.add_argument(
        "--strips", type=Path, metavar="FOLDER", help="write twenty strips of stick figures there; alone if no data is given"
    )
    parser.add_argument(
        "--evaluator",
        type=Path,
        metavar="FOLDER",
        help="what `motiongpt train evaluator` made, or where to keep it; without, one is trained for this run",
    )
    parser.add_argument(
        "--official", type=Path, nargs=3, metavar=("FINEST", "GLOVE", "META"),
        help="the published evaluator: text_mot_match/model/finest.tar, the glove folder, the folder with its mean.npy and std.npy",
    )  # fmt: skip


def run(args: argparse.Namespace) -> int:
    from dataclasses import replace

    from ..evaluation import report, tasks
    from ..evaluation.matching import OwnEvaluator
    from ..evaluation.official import OfficialEvaluator, read_tokens
    from ..files import write_whole
    from ..generation import Generator
    from ..protocol.errors import Code, MotionGPTError
    from ..protocol.messages import Load
    from ..training.evaluator import EvaluatorTraining
    from ..training.evaluator import run as train_evaluator

    if not args.data and not args.strips:
        raise MotionGPTError(Code.INVALID_PARAMS, "There is nothing to measure.", "Give a folder with --data, or one for --strips.")
    if missing := [folder for folder in args.data if not folder.is_dir()]:
        raise MotionGPTError(Code.INVALID_PARAMS, f"There is no folder {missing[0]}.", "Choose another for --data.")
    if args.json and not args.json.absolute().parent.is_dir():
        raise MotionGPTError(Code.INVALID_PARAMS, f"There is no folder {args.json.absolute().parent}.", "Choose another file for --json.")
    tokens = read_tokens(args.data) if args.official else {}
    if args.official and not tokens:
        raise MotionGPTError(
            Code.INVALID_PARAMS,
            "No folder given with --data has captions with their parts of speech, which the published evaluator reads.",
            "Give the folder of HumanML3D itself, with its texts.",
        )
    generator = Generator.load(Load("" if args.bundle == "default" else args.bundle, args.device))
    if args.strips:
        for path in report.write_strips(generator, args.strips, 20, args.seed):
            print(path)
    if not args.data:
        return 0

    def evaluator(dataset: "Dataset") -> "Evaluator":
        if args.official:
            finest, glove, meta = args.official
            return OfficialEvaluator(finest, glove, meta, tokens)
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
            folder = args.evaluator or Path(scratch)
            if not (folder / "evaluator.safetensors").is_file():
                train_evaluator(dataset, folder, EvaluatorTraining(), generator.device)
            return OwnEvaluator(folder)

    effort = replace(tasks.QUICK if args.quick else tasks.Effort(), seed=args.seed, guidance=args.guidance)
    if args.official and not args.quick:
        effort = replace(effort, matches=sys.maxsize)  # all of them, as is published
    found = report.evaluate(
        generator, args.data, args.split, effort, evaluator, lambda stage: print(f"measuring: {stage}", file=sys.stderr, flush=True)
    )
    _print(report.rows(found))
    if args.json:
        write_whole(args.json, json.dumps(found, indent=1, ensure_ascii=False).encode("utf-8"))
    return 0


def _print(rows: list[tuple[str, str, str]]) -> None:
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    for task, name, value in rows:
        print(f"{task:{widths[0]}}  {name:{widths[1]}}  {value}")
