"""Prompts to choose from."""
# pyright: reportMissingImports=false
# (the package `motiongpt` is made by `tests/conftest.py`)

import pytest
from motiongpt.backend.protocol.errors import MotionGPTError
from motiongpt.motiongpt_blender.prompts import PromptBook, presets


@pytest.fixture
def book(tmp_path) -> PromptBook:
    return PromptBook(tmp_path / "folder" / "prompts.json")


def test_presets_are_there_by_kind():
    prompts = [prompt for kind in presets().values() for prompt in kind]
    assert len(presets()) >= 5
    assert len(set(prompts)) == len(prompts) >= 20


def test_own_prompts_are_kept_once_and_removed(book, tmp_path):
    for prompt in ("someone waves", "A person bows", "someone waves"):
        book.add(prompt)
    assert PromptBook(tmp_path / "folder" / "prompts.json").own == ["A person bows", "someone waves"]
    book.remove("someone waves")
    book.remove("never kept")
    assert book.own == ["A person bows"]


def test_recent_prompts_begin_with_the_latest_and_are_not_too_many(book):
    for number in range(30):
        book.note(f"prompt {number}")
    book.note("prompt 25")
    assert book.recent[:3] == ["prompt 25", "prompt 29", "prompt 28"]
    assert len(book.recent) == 20


def test_what_is_in_other_alphabets_stays(book):
    book.add("人が手を振る")
    assert book.own == ["人が手を振る"]


@pytest.mark.parametrize("content", ["{", "null", "[1]", '{"recent": 5}', '{"recent": null, "own": {}}'])
def test_file_that_cannot_be_read_is_an_empty_one(tmp_path, content):
    (tmp_path / "prompts.json").write_text(content, encoding="utf-8")
    book = PromptBook(tmp_path / "prompts.json")
    assert book.recent == []
    book.note("a person walks")
    assert book.recent == ["a person walks"]


def test_place_that_cannot_be_written_is_named(book, tmp_path):
    (tmp_path / "folder").write_bytes(b"")
    assert book.recent == []
    with pytest.raises(MotionGPTError, match=r"folder cannot be made") as caught:
        book.note("a person walks")
    assert caught.value.remedy
