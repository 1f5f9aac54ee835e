"""Tables, names and previews of a batch, without Blender."""
# pyright: reportMissingImports=false
# (the package `motiongpt` is made by `tests/conftest.py`)

import numpy as np
import pytest
from motiongpt.backend.motion import rotations
from motiongpt.backend.motion.skeleton import SMPL
from motiongpt.backend.protocol.errors import MotionGPTError
from motiongpt.motiongpt_blender.batch.naming import check_rule, name_by, told_apart
from motiongpt.motiongpt_blender.batch.picture import draw_clip
from motiongpt.motiongpt_blender.batch.table import Row, load_table, read_table
from motiongpt.motiongpt_blender.steps import finish

CSV = """prompt,seconds,seed,character,name,tags,loop
a person walks,2.5,3,Anna,walk,locomotion; slow,yes

"a person sits down, then stands up",,,,,,
"""


def test_csv_gives_rows_and_leaves_empty_cells_to_the_batch():
    assert read_table(CSV, ".csv", "table.csv") == (
        Row("a person walks", 2.5, None, 3, "Anna", "walk", ("locomotion", "slow"), True),
        Row("a person sits down, then stands up"),
    )


def test_csv_of_a_spreadsheet_is_read_as_it_saves_it(tmp_path):
    path = tmp_path / "Tänze.csv"
    path.write_text("prompt;seconds\r\na person walks;2,5\r\n", encoding="utf-8-sig", newline="")
    assert load_table(path) == (Row("a person walks", 2.5),)


def test_json_lines_give_the_same_rows():
    text = '{"prompt": "a person walks", "frames": 48, "tags": ["slow", "slow"], "loop": false}\n\n{"prompt": "x", "seed": 0}\n'
    assert read_table(text, ".jsonl", "t") == (Row("a person walks", None, 48, None, "", "", ("slow",), False), Row("x", seed=0))


@pytest.mark.parametrize(
    ("suffix", "text", "said"),
    [
        (".csv", "prompt,seconds\nwalk,abc\n", r"t, line 2: seconds must be a number, not 'abc'"),
        (".csv", "prompt,seconds\nwalk,-1\n", r"line 2: seconds must be a number above 0"),
        (".csv", "prompt,seconds\nwalk,inf\n", r"line 2: seconds must be a number above 0"),
        (".csv", "prompt,frames\nwalk,1\n", r"line 2: frames must be a whole number from 2"),
        (".csv", "prompt,seed\nwalk,1.5\n", r"line 2: seed must be a whole number from 0"),
        (".csv", "prompt,seed\nwalk,2147483648\n", r"line 2: seed must be a whole number from 0 to 2147483647, not '2147483648'"),
        (".csv", "prompt,seconds,frames\nwalk,1,24\n", r"line 2: the length is given both"),
        (".csv", "prompt,loop\nwalk,perhaps\n", r"line 2: loop must be yes or no"),
        (".csv", "prompt,secnods\nwalk,1\n", r"line 2: there is no column 'secnods', only prompt, seconds"),
        (".csv", "prompt,seed\na person walks, then sits,1\n", r"line 2: there are 3 values for 2 columns"),
        (".csv", "prompt,seed\n,1\n", r"line 2: there is no prompt"),
        (".csv", "prompt,seed\n", r"t has no rows"),
        (".csv", "", r"t has no rows"),
        (".jsonl", '{"prompt": "walk"}\n{"prompt"\n', r"t, line 2: this is not JSON"),
        (".jsonl", "[1]\n", r"line 1: this is not a JSON object"),
        (".jsonl", '{"prompt": 3}\n', r"line 1: prompt must be a text"),
        (".jsonl", '{"prompt": "walk", "seconds": true}\n', r"line 1: seconds must be a number"),
        (".jsonl", '{"prompt": "walk", "seed": NaN}\n', r"line 1: seed must be a whole number"),
        (".jsonl", '{"prompt": "walk", "tags": 3}\n', r"line 1: tags must be texts"),
    ],
)
def test_what_is_wrong_with_a_table_is_said_with_its_line(suffix, text, said):
    with pytest.raises(MotionGPTError, match=said) as raised:
        read_table(text, suffix, "t")
    assert raised.value.remedy


def test_file_that_is_no_table_is_named(tmp_path):
    with pytest.raises(MotionGPTError, match=r"prompts\.txt is not a table"):
        load_table(tmp_path / "prompts.txt")
    with pytest.raises(MotionGPTError, match="cannot be read"):
        load_table(tmp_path / "prompts.csv")
    (tmp_path / "old.csv").write_bytes("prompt\nTänzer\n".encode("latin-1"))
    with pytest.raises(MotionGPTError, match="UTF-8"):
        load_table(tmp_path / "old.csv")


def test_names_follow_the_rule():
    assert name_by("{character}_{index:03} {prompt}", "a person walks", 7, "Anna", 3) == "Anna_007 a person walks"
    assert name_by("{seed}", "x", 1, "Anna", 42) == "42"
    assert len(name_by("{prompt}", "x" * 1000, 1, "", 0)) == 200


@pytest.mark.parametrize("rule", ["", "  ", "{name}", "{prompt", "{}", "{0}", "{prompt.__class__}", "{prompt:d}", "{index!q}"])
def test_rule_that_makes_no_names_is_refused(rule):
    with pytest.raises(MotionGPTError, match="No names can be made") as raised:
        check_rule(rule)
    assert "{character}" in raised.value.remedy


def test_equal_names_are_told_apart():
    assert list(told_apart(["walk", "sit", "walk", "walk.001", "walk"])) == ["walk", "sit", "walk.001", "walk.001.001", "walk.002"]


def test_picture_shows_figures_that_get_more_solid_and_stand_on_the_floor():
    joints = SMPL.forward(np.tile(rotations.IDENTITY, (10, 22, 1)), np.tile([0.0, SMPL.rest_height, 0.0], (10, 1)))
    picture = finish(draw_clip(joints, 128))
    assert picture.shape == (128, 128, 4)
    alpha = picture[..., 3]
    assert picture.min() >= 0.0 and picture.max() <= 1.0
    assert alpha[:, :20].max() < alpha[:, -20:].max() == pytest.approx(1.0)
    rows = np.flatnonzero(alpha.max(axis=1))
    assert rows[0] < 10 and 0.75 * 128 < rows[-1] < 128


def test_picture_of_a_clip_that_leaves_it_is_cut_off():
    joints = SMPL.forward(np.tile(rotations.IDENTITY, (5, 22, 1)), np.array([0, 1, 0]) * np.linspace(0, 9, 5)[:, None])
    assert np.isfinite(finish(draw_clip(joints))).all()
