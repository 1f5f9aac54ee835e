import sys
from pathlib import Path

import pytest

from backend.cli import main

sys.path.insert(0, str(Path(__file__).parent))
from tiny import LANGUAGE, TOKENIZER, settings, write_base, write_source


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """The four training commands, one after another, as a user gives them."""
    root = tmp_path_factory.mktemp("training")
    write_source(root / "source")
    base = write_base(root / "base")
    assert main(["data", "build", "--source", str(root / "source"), "--out", str(root / "data")]) == 0
    common = ["--data", str(root / "data"), "--device", "cpu"]
    assert main(["train", "tokenizer", *common, "--out", str(root / "tokenizer"), *settings([*TOKENIZER, "steps=6"])]) == 0
    language = ["train", "language", *common, "--tokenizer", str(root / "tokenizer"), "--out", str(root / "language")]
    assert main([*language, *settings([*LANGUAGE, "steps=3", f"base.name={base}"])]) == 0
    pack = ["bundle", "pack", "--data", str(root / "data"), "--tokenizer", str(root / "tokenizer"), "--language", str(root / "language")]
    assert main([*pack, "--name", "tiny", "--out", str(root / "bundle")]) == 0
    return root
