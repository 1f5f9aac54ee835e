"""The scripts beside the product that the documentation tells to use."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.skipif(shutil.which("sh") is None, reason="There is no shell.")
def test_a_training_on_own_data_leaves_the_default_bundle_alone(tmp_path: Path):
    told = tmp_path / "told"
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\necho "$@" >> "{told}"\n', encoding="utf-8")
    python.chmod(0o755)
    folder = tmp_path / "mine"
    command = ["sh", "tools/train_default.sh", str(folder), str(tmp_path / "walks"), str(tmp_path / "runs")]
    subprocess.run(command, cwd=ROOT, env={"PATH": f"{tmp_path}:/usr/bin:/bin", "PYTHON": str(python)}, check=True)
    lines = told.read_text(encoding="utf-8").splitlines()
    assert [line.split()[2:4] for line in lines] == [
        ["data", "build"], ["train", "tokenizer"], ["train", "language"], ["bundle", "pack"], ["train", "ranker"],
    ]  # fmt: skip
    assert f"--source {tmp_path / 'walks'} --source {tmp_path / 'runs'}" in lines[0]
    pack, ranker = lines[3:]
    assert f"--out {folder / 'bundle'} --name mine --attribution " in f"{pack} "
    assert "CMU" not in pack and "mocap" not in pack
    assert f"--bundle {folder / 'bundle'} " in ranker
