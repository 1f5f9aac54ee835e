"""The command line with the default bundle, called as its console command calls it."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from backend.cli import main
from backend.models import bundle
from backend.models.base import SMOLLM2, converted_folder, find_base
from backend.motion.skeleton import SMPL

ROOT = Path(__file__).parents[2]


def generate(out: Path, *options: str, prompt: str = "a person sits down") -> int:
    return main(["generate", prompt, "--seconds", "1", "--device", "cpu", "--out", str(out), *options])


def test_one_seed_gives_one_clip_and_another_another(tmp_path: Path):
    clips = []
    for name, seed in (("first", "1"), ("again", "1"), ("other", "2")):
        assert generate(tmp_path / f"{name}.npz", "--seed", seed) == 0
        clips.append(np.load(tmp_path / f"{name}.npz", allow_pickle=False))
    first, again, other = clips
    assert set(first) == {"joints", "rotations", "root_translation", "contacts", "fps", "prompt", "seed"}
    for name in first:
        np.testing.assert_array_equal(first[name], again[name])
    assert not np.array_equal(first["joints"], other["joints"])
    assert first["joints"].shape == (20, 22, 3)
    assert (first["fps"], first["prompt"], first["seed"]) == (20.0, "a person sits down", 1)
    np.testing.assert_allclose(SMPL.forward(first["rotations"], first["root_translation"]), first["joints"], atol=1e-4)


def test_a_bvh_has_the_asked_for_rate(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert generate(tmp_path / "clip.BVH", "--fps", "30") == 0
    text = (tmp_path / "clip.BVH").read_text(encoding="ascii")
    assert "Frames: 30\nFrame Time: 0.03333333" in text
    assert text.count("JOINT ") == 21
    assert "30 frames at 30 per second" in capsys.readouterr().out


@pytest.mark.parametrize("options", [["--seconds", "0"], ["--seconds", "nan"], ["--fps", "-1"], ["--fps", "many"], ["--seed", "x"]])
def test_impossible_options_are_a_matter_of_usage(tmp_path: Path, options: list[str], capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as caught:
        generate(tmp_path / "clip.npz", *options)
    assert caught.value.code == 2
    assert options[0] in capsys.readouterr().err


@pytest.mark.parametrize("name", ["clip.fbx", "clip"])
def test_an_unknown_kind_of_file_is_a_matter_of_usage(tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as caught:
        generate(tmp_path / name)
    assert caught.value.code == 2
    assert ".npz or .bvh" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "prompt", "words"),
    [
        (["--bundle", "no-such-folder"], "walk", "no-such-folder"),
        (["--seconds", "1000"], "walk", "1000 s"),
        ([], "  ", "neither a prompt nor a pose"),
        (["--out", "no-such-folder/clip.npz"], "walk", "There is no folder no-such-folder"),
    ],
)
def test_what_cannot_be_done_is_told_with_a_remedy(
    tmp_path: Path, options: list[str], prompt: str, words: str, capsys: pytest.CaptureFixture[str]
):
    assert generate(tmp_path / "clip.npz", *options, prompt=prompt) == 1
    message, remedy = capsys.readouterr().err.strip().splitlines()[-2:]
    assert words in message and remedy
    assert not list(tmp_path.iterdir())


def test_a_bundle_that_cannot_be_read_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    file = tmp_path / "bundle.json"
    file.write_text("{}", encoding="utf-8")
    assert generate(tmp_path / "clip.npz", "--bundle", str(file)) == 1
    message, remedy = capsys.readouterr().err.strip().splitlines()[-2:]
    assert f"The bundle in {file} cannot be read" in message and remedy


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("config.json", None),
        ("config.json", ""),
        ("tokenizer.json", ""),
        ("tokenizer_config.json", None),
        ("tokenizer_config.json", ""),
        ("model.safetensors", ""),
    ],
)
def test_a_damaged_base_model_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, content: str | None, capsys: pytest.CaptureFixture[str]
):
    whole = find_base(SMOLLM2)
    monkeypatch.setenv("MOTIONGPT_CACHE", str(tmp_path / "cache"))
    folder = converted_folder(SMOLLM2)
    folder.mkdir(parents=True)
    for path in whole.iterdir():
        (folder / path.name).symlink_to(path)
    (folder / name).unlink()
    if content is not None:
        (folder / name).write_text(content, encoding="utf-8")
    assert generate(tmp_path / "clip.npz") == 1
    message, remedy = capsys.readouterr().err.strip().splitlines()[-2:]
    assert f"The base model in {folder} is damaged" in message and "Remove that folder" in remedy


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("bundle import --vqvae none.pth --lora none.pth --base x --mean none.npy --std none.npy --out out", "none.pth"),
        ("bundle import --vqvae text --lora text --base x --mean none.npy --std none.npy --out out", "cannot be read as a PyTorch file"),
        ("data build --source empty --out out", "holds no list of ids"),
        ("train tokenizer --data none --out out", "motiongpt data build"),
        ("evaluate --data none", "There is no folder none"),
    ],
)
def test_files_that_are_not_there_or_of_another_kind_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, words: str, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text").write_text("hello", encoding="utf-8")
    (tmp_path / "empty").mkdir()
    assert main(command.split()) == 1
    said = capsys.readouterr().err
    assert said.startswith("motiongpt: ") and words in said
    assert not (tmp_path / "out").exists()


def test_letters_that_the_console_lacks_do_no_harm(tmp_path: Path):
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0", "MOTIONGPT_CACHE": str(tmp_path / "日本")}
    said = subprocess.run([sys.executable, "-m", "backend", "doctor"], cwd=ROOT, env=environment, capture_output=True, check=False)
    assert said.returncode == 0, said.stderr
    assert rb"\u65e5\u672c" in said.stdout


def test_who_reads_may_have_seen_enough():
    command = [sys.executable, "-m", "backend", "doctor"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout and process.stderr
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait() == 1


def test_the_doctor_finds_everything_that_a_clip_needs(capsys: pytest.CaptureFixture[str]):
    assert main(["doctor"]) == 0
    said = capsys.readouterr().out
    assert "FAIL" not in said
    for word in ("Python", "torch", "transformers", "cpu", "SmolLM2", "bundle default", "disk", "memory", "uv"):
        assert word in said
    assert "9.8 s" in said and "600 s" in said


def test_the_doctor_fails_without_the_bundle_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(bundle, "DEFAULT", tmp_path / "none")
    assert main(["doctor"]) == 1
    lines = capsys.readouterr().out.splitlines()
    failed = [line for line in lines if line.startswith("FAIL")]
    assert len(failed) == 1 and "bundle" in failed[0]
    assert "uv" in lines[-1]


def test_the_doctor_names_a_base_model_that_is_only_carried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("MOTIONGPT_CACHE", str(tmp_path / "cache"))
    assert main(["doctor"]) == 0
    assert "the first use makes it ready" in capsys.readouterr().out
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--json", "no-such-folder/report.json"], "There is no folder"),
        (["--official", "finest.tar", "glove", "meta"], "no folder given with --data has captions with their parts of speech"),
    ],
)
def test_what_cannot_be_measured_is_told_at_once(tmp_path: Path, options: list[str], words: str, capsys: pytest.CaptureFixture[str]):
    assert main(["evaluate", "--data", str(tmp_path), *options]) == 1
    assert words.lower() in capsys.readouterr().err.lower()
