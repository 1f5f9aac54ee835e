"""`motiongpt serve`: the process that Blender starts and talks to over stdin and stdout."""

import argparse
from typing import Any


def add_parser(subparsers: Any) -> None:
    subparsers.add_parser("serve", help="answer Blender's requests on stdin and stdout (started by the extension)")


def run(args: argparse.Namespace) -> int:
    from ..server import serve

    return serve()
