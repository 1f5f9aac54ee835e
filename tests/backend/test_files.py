import subprocess
import sys
from pathlib import Path

import pytest

from backend.files import reason_of, write_whole
from backend.protocol.errors import MotionGPTError

ROOT = Path(__file__).parents[2]


def test_the_reason_of_an_error_is_what_the_system_says_or_else_its_own_words():
    assert reason_of(PermissionError(13, "Permission denied", "clip.npz")) == "Permission denied"
    assert reason_of(OSError("cannot be told")) == "cannot be told"


def test_a_file_is_replaced(tmp_path: Path):
    path = tmp_path / "Ünï clip.npz"
    write_whole(path, b"old")
    write_whole(path, b"new")
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_in_the_way_is_told_and_nothing_is_left(tmp_path: Path):
    path = tmp_path / "clip.npz"
    path.mkdir()
    with pytest.raises(MotionGPTError, match=r"clip\.npz cannot be written") as caught:
        write_whole(path, b"data")
    assert caught.value.remedy
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_where_a_folder_should_be_is_told(tmp_path: Path):
    (tmp_path / "clips").write_bytes(b"")
    with pytest.raises(MotionGPTError, match="cannot be written"):
        write_whole(tmp_path / "clips" / "clip.npz", b"data")


@pytest.mark.skipif(sys.platform == "win32", reason="there is no limit on the size of files to reach")
def test_running_out_of_room_leaves_the_old_file(tmp_path: Path):
    path = tmp_path / "clip.npz"
    path.write_bytes(b"old")
    script = (
        "import resource; from pathlib import Path; from backend.files import write_whole; "
        f"resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000)); write_whole(Path({str(path)!r}), b'x' * 5000)"
    )
    said = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert "MotionGPTError" in said.stderr and "cannot be written" in said.stderr
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
