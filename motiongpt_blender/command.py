"""Batches from the command line: `blender --command motiongpt bake …`, or `python -m motiongpt_blender bake …` with the bpy module."""

import argparse
from collections.abc import Callable
from pathlib import Path

import bpy

from ..backend.protocol.errors import MotionGPTError
from .batch.run import batch
from .properties_batch import BatchProperties

_NAME = "motiongpt"
_RESUME = "The clips are kept: the same command with --resume, and another --out if need be, goes on."

_command: object = None  # what Blender wants back for it


def register() -> None:
    global _command
    _command = bpy.utils.register_cli_command(_NAME, run)


def unregister() -> None:
    bpy.utils.unregister_cli_command(_command)


def run(arguments: list[str]) -> int:
    """Do what the arguments say; the exit status: 0 if all is made, 1 if something is not, 2 if they make no sense."""
    try:
        asked = _parser().parse_args(arguments)
    except SystemExit as end:
        return int(end.code or 0)
    saved = (asked.out or asked.file).absolute()
    if not saved.parent.is_dir():  # better said now than when all is made
        print(f"There is no folder {saved.parent}.")
        return 2
    try:
        bpy.ops.wm.open_mainfile(filepath=str(asked.file.absolute()))
        bpy.ops.motiongpt.bake_batch(**_properties(asked))
    except RuntimeError as error:  # how Blender raises what an operator reports
        print(str(error).removeprefix("Error: ").strip())
        return 1
    try:
        batch.wait(_teller())
    except MotionGPTError as error:
        print(error)
    except KeyboardInterrupt:
        batch.abandon("Cancelled.", _RESUME)
        print(batch.error)
        return 130
    return _save(saved)


def _teller() -> Callable[[str], None]:
    """Says a line for each clip, not for each token."""
    said = ""

    def tell(words: str) -> None:
        nonlocal said
        if words.partition(":")[0] != said:
            said = words.partition(":")[0]
            print(words, flush=True)

    return tell


def _save(path: Path) -> int:
    assert batch.outcome
    print(batch.outcome.report)
    try:
        bpy.ops.wm.save_as_mainfile(filepath=str(path))
    except RuntimeError as error:
        print(f"{path} cannot be saved: {str(error).removeprefix('Error: ').strip()}", _RESUME, sep="\n")
        return 1
    return 1 if batch.unfinished else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=_NAME)
    bake = parser.add_subparsers(required=True, metavar="COMMAND").add_parser("bake", help="bake a batch in a .blend file and save it")
    bake.add_argument("file", type=Path, help="the .blend file")
    bake.add_argument("--table", type=Path, metavar="FILE", help="a .csv or .jsonl file of prompts; the list in the .blend if not given")
    bake.add_argument("--characters", nargs="+", metavar="NAME", help="armatures; those that are selected in the .blend if not given")
    bake.add_argument("--out", type=Path, metavar="FILE", help="save here; in the .blend itself if not given")
    bake.add_argument("--resume", action="store_true", help="go on with the last batch of the .blend")
    for name, kind in BatchProperties.__annotations__.items():
        option, description = "--" + name.replace("_", "-"), kind.keywords["description"]
        if "items" in kind.keywords:
            bake.add_argument(option, choices=[item[0].lower() for item in kind.keywords["items"]], help=description)
        elif isinstance(kind.keywords.get("default", False), bool):
            bake.add_argument(option, action=argparse.BooleanOptionalAction, help=description)
        else:
            bake.add_argument(option, help=description)
    return parser


def _properties(asked: argparse.Namespace) -> dict[str, object]:
    """Properties of the operator; what was not said comes from the settings in the file."""
    said = {name: getattr(asked, name) for name in BatchProperties.__annotations__ if getattr(asked, name) is not None}
    if "layout" in said:
        said["layout"] = said["layout"].upper()
    table = str(asked.table.absolute()) if asked.table else ""
    return {"filepath": table, "characters": ";".join(asked.characters or ()), "resume": asked.resume, **said}
