"""`motiongpt serve`: the process that Blender starts and talks to over stdin and stdout."""

import argparse
import logging
import os
from typing import Any


def add_parser(subparsers: Any) -> None:
    subparsers.add_parser("serve", help="answer Blender's requests on stdin and stdout (started by the extension)")


def run(args: argparse.Namespace) -> int:
    from ..server import serve

    level = os.environ.get("MOTIONGPT_LOG_LEVEL", "warning")  # debug, info, warning or error
    logging.basicConfig(level=level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", level)
    return serve()
