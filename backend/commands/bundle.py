"""`motiongpt bundle`: pack a trained tokenizer and adapter, average two bundles, import published checkpoints, show what a bundle holds."""

import argparse
from pathlib import Path


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    actions = subparsers.add_parser("bundle", help="pack, average, import or show a bundle").add_subparsers(dest="action", required=True)
    pack = actions.add_parser("pack", help="make a bundle of a trained tokenizer and a trained language model")
    pack.add_argument("--data", type=Path, required=True, help="the data set that both were trained on")
    pack.add_argument("--tokenizer", type=Path, required=True, help="the folder of the tokenizer's training, or of a bundle")
    pack.add_argument("--language", type=Path, required=True, help="the folder of the language model's training")
    pack.add_argument("--name", default="default")
    pack.add_argument("--licence", default="GPL-3.0-or-later", help="licence of the weights")
    pack.add_argument("--attribution", default="", help="what the licences of the data ask to be said")
    pack.add_argument("--out", type=Path, required=True)
    load = actions.add_parser("import", help="make a bundle of the checkpoints that MotionGPT (arXiv 2306.10900) published")
    load.add_argument("--vqvae", type=Path, required=True, help="t2m.pth")
    load.add_argument("--lora", type=Path, required=True, help="pretrained.pth")
    load.add_argument("--base", required=True, help="folder or hub name of the LLaMA that the adapter belongs to")
    load.add_argument("--mean", type=Path, required=True, help="mean.npy that the VQ-VAE was trained with")
    load.add_argument("--std", type=Path, required=True, help="std.npy that the VQ-VAE was trained with")
    load.add_argument("--name", default="motiongpt-paper")
    load.add_argument("--out", type=Path, required=True)
    mean = actions.add_parser("average", help="make the bundle half-way between two, of which one was trained on from the other")
    mean.add_argument("bundles", type=Path, nargs=2, metavar="BUNDLE")
    mean.add_argument("--name", default="default")
    mean.add_argument("--out", type=Path, required=True)
    show = actions.add_parser("show", help="check a bundle's files and print what it holds")
    show.add_argument("folder", type=Path, nargs="?", help="default: the bundle that comes with the product")


def run(args: argparse.Namespace) -> int:
    from ..models.bundle import open_bundle
    from ..models.checkpoints import import_bundle
    from ..protocol.errors import Code, MotionGPTError
    from ..training.pack import average, pack

    if args.action == "pack":
        bundle = pack(
            args.data, args.tokenizer, args.language, args.out, name=args.name, licence=args.licence, attribution=args.attribution
        )
    elif args.action == "import":
        try:
            bundle = import_bundle(args.vqvae, args.lora, args.base, args.mean, args.std, args.out, args.name)
        except ValueError as error:
            raise MotionGPTError(Code.INVALID_PARAMS, str(error), "Choose the files that MotionGPT's authors published.") from error
    elif args.action == "average":
        one, other = map(open_bundle, args.bundles)
        try:
            bundle = average(one, other, args.out, args.name)
        except ValueError as error:
            raise MotionGPTError(Code.INVALID_PARAMS, str(error), "Choose two of which one was trained on from the other.") from error
    else:
        bundle = open_bundle(args.folder)
    size = sum(path.stat().st_size for path in bundle.folder.glob("*.safetensors")) / 2**20
    print(f"{bundle.name}: {bundle.base.name}, {bundle.skeleton} at {bundle.fps:g} fps, {bundle.network.codes} codes, {size:.1f} MiB")
    print("\n".join(f"  {key}: {value}" for key, value in bundle.training.items()))
    return 0
