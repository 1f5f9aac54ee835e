"""`motiongpt base`: make the default base model and the kernels for this computer ready, as the first load would."""

import argparse


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    subparsers.add_parser(
        "base", help="convert the default base model and compile kernels into the user's cache (or the folder MOTIONGPT_CACHE), once"
    )


def run(args: argparse.Namespace) -> int:
    from ..models.base import SMOLLM2, cache_folder, find_base

    print(f"{SMOLLM2.name}: {find_base(SMOLLM2)}", flush=True)
    from ..generation import Generator
    from ..protocol.messages import Load

    Generator.load(Load(device="cpu"))
    print(f"kernels: {cache_folder() / 'kernels'}")
    return 0
