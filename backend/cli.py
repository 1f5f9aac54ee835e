"""The command line `motiongpt`."""

import argparse
import importlib
import io
import os
import sys
from collections.abc import Sequence

from . import __version__
from .commands import COMMANDS
from .protocol.errors import MotionGPTError


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit status: 0, 1 after an error that is told on stderr, 130 after Ctrl+C."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # the console or file may lack a letter of a path
    parser = argparse.ArgumentParser(prog="motiongpt", description="Human motion from text and poses.")
    parser.add_argument("--version", action="version", version=__version__)
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="command")
    modules = {name: importlib.import_module(f".commands.{name}", __package__) for name in COMMANDS}
    for module in modules.values():
        module.add_parser(subparsers)
    args = parser.parse_args(argv)
    try:
        return modules[args.command].run(args) or 0
    except MotionGPTError as error:
        print(f"motiongpt: {error.message}", *[f"\n{error.remedy}"] * bool(error.remedy), sep="", file=sys.stderr)
        return 1
    except BrokenPipeError:  # who reads has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        print(f"motiongpt: {error.filename}: {error.strerror}." if error.filename else f"motiongpt: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
