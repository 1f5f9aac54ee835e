"""The command line, as a process of its own that opens a .blend, bakes and saves it."""

import subprocess
import sys
from pathlib import Path

import bpy
import pytest
from installed import module
from rigs import add_rig

EXTENSION = Path(module("motiongpt_blender").__path__[0]).parent
PROMPT = "a person walks forward"


@pytest.fixture
def blend(tmp_path) -> Path:
    """A file with two characters, one of them selected."""
    for name in ("Anna", "Ben"):
        add_rig().name = name
    path = tmp_path / "Tänze" / "scene one.blend"
    path.parent.mkdir()
    bpy.ops.wm.save_as_mainfile(filepath=str(path), copy=True)
    return path


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    """The command line with the preferences that this process has."""
    bpy.ops.wm.save_userpref()
    command = [sys.executable, "-m", "motiongpt_blender", *map(str, arguments)]
    return subprocess.run(command, cwd=EXTENSION, capture_output=True, text=True, encoding="utf-8", timeout=300, check=False)


def test_batch_is_baked_and_saved(session, blend):
    table = blend.with_name("table.csv")
    table.write_text(f"prompt,frames,tags\n{PROMPT},24,locomotion\nto nobody,24,\n", encoding="utf-8")
    out = blend.with_name("baked.blend")
    ended = run("bake", blend, "--table", table, "--characters", "Anna", "Ben", "--layout", "tracks", "--assets", "--out", out)
    assert ended.returncode == 0, ended.stderr
    assert "4 made" in ended.stdout and "Clip 2 of 2" in ended.stdout
    bpy.ops.wm.open_mainfile(filepath=str(out))
    try:
        for name, suffix in (("Anna", ""), ("Ben", ".001")):
            tracks = bpy.data.objects[name].animation_data.nla_tracks
            assert [track.strips[0].action.name for track in tracks] == [f"{PROMPT}{suffix}", f"to nobody{suffix}"]
            assert tracks[0].strips[0].action_slot.identifier == f"OB{name}"
        assert [tag.name for tag in bpy.data.actions[PROMPT].asset_data.tags] == ["locomotion"]
    finally:
        bpy.ops.wm.read_homefile(use_empty=True)


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("bake", "{blend}", "--table", "nowhere.csv"), 1, "nowhere.csv cannot be read"),
        (("bake", "nowhere.blend"), 1, "nowhere.blend"),
        (("bake", "{blend}", "--out", "nowhere/baked.blend"), 2, "There is no folder"),
        (("bake", "{blend}"), 1, "The batch has no rows. Add one, or load a table."),
        (("bake", "{blend}", "--layout", "heap"), 2, "invalid choice: 'heap'"),
        ((), 2, "usage: motiongpt"),
    ],
)
def test_what_is_wrong_is_said(blend, arguments, status, said):
    before = blend.read_bytes()
    ended = run(*(part.format(blend=blend) for part in arguments))
    assert ended.returncode == status
    assert said in ended.stdout + ended.stderr
    assert blend.read_bytes() == before


def test_clips_outlive_a_file_that_cannot_be_saved(session, blend):
    table, out = blend.with_name("table.csv"), blend.with_name("baked.blend")
    table.write_text(f"prompt,frames\n{PROMPT},24\n", encoding="utf-8")
    out.mkdir()
    ended = run("bake", blend, "--table", table, "--out", out)
    assert ended.returncode == 1
    assert "1 made" in ended.stdout and f"{out} cannot be saved" in ended.stdout and "--resume" in ended.stdout
    assert "Traceback" not in ended.stderr
    out.rmdir()
    ended = run("bake", blend, "--resume", "--out", out)
    assert ended.returncode == 0, ended.stdout
    assert "1 made" in ended.stdout and "Clip 1" not in ended.stdout
    assert out.is_file()
