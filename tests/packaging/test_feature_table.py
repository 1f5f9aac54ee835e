"""The table of features names a test for each row, and the tests are there."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TABLE = (ROOT / "docs" / "features.md").read_text(encoding="utf-8")
ROWS = [line.strip("| ").split(" | ") for line in TABLE.splitlines() if "| **" in line]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_what_we_claim_is_shown_by_a_test_that_exists(row):
    here, shown_by = row[9].strip("*"), row[10].strip("`") if len(row) > 10 else ""
    if here == "n":
        assert not shown_by
        return
    file, _, name = shown_by.partition("::")
    assert f"def {name}(" in (ROOT / file).read_text(encoding="utf-8")


def test_table_is_read():
    assert len(ROWS) > 30
