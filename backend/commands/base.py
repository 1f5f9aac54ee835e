"""`motiongpt base`: make the default base model ready, as the first load would."""

import argparse


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    subparsers.add_parser("base", help="convert the default base model into the user's cache, once")


def run(args: argparse.Namespace) -> int:
    from ..models.base import SMOLLM2, find_base

    print(f"{SMOLLM2.name}: {find_base(SMOLLM2)}")
    return 0
