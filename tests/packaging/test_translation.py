"""The interface in other languages."""
# pyright: reportMissingImports=false
# (the package `motiongpt` is made by `tests/conftest.py`)

import ast
import json
import re
import string
from pathlib import Path

import pytest
from motiongpt.motiongpt_blender.setup.failures import explain
from motiongpt.motiongpt_blender.translations import languages, texts, translate

from tools.texts import collect

ROOT = Path(__file__).parents[2]
LANGUAGES = languages()


def test_there_is_german():
    assert "de_DE" in LANGUAGES


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_text_lacks_its_translation(language: str):
    lacking = json.dumps(dict.fromkeys(sorted(collect() - texts(language).keys()), ""), indent=1, ensure_ascii=False)
    assert lacking == "{}", f"Translate these and add them to {language}.json:\n{lacking}"


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_translation_is_left_over(language: str):
    assert sorted(texts(language).keys() - collect()) == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_translations_are_sorted_said_and_have_the_same_gaps(language: str):
    known = texts(language)
    assert list(known) == sorted(known)
    assert all(said.strip() for said in known.values())
    for text, said in known.items():
        if gaps := set(re.findall(r"\{\d+\}", text)):
            fields = {f"{{{field}}}" for _, field, _, _ in string.Formatter().parse(said) if field is not None}
            assert fields <= gaps, (text, said)


def german(text: str) -> str:
    return translate(text, lambda known: texts("de_DE").get(known, known))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Ready", "Bereit"),
        ("Loading the motion tokenizer", "Bewegungs-Tokenizer wird geladen"),
        ("There is no folder of wheels C:\\Zoë {0}.", "Es gibt keinen Ordner mit Wheels C:\\Zoë {0}."),
        ("4%, about 12 s left: Installing PyTorch for the processor", "4%, noch etwa 12 s: PyTorch für den Prozessor wird installiert"),
        ("SomethingOfItsOwn", "SomethingOfItsOwn"),
        ("", ""),
    ],
)
def test_texts_that_were_put_together_are_translated(text: str, said: str):
    assert german(text) == said


def test_an_error_is_translated_within():
    error = explain("Installing the other packages", 1, "No space left on device")
    said = german(error.message)
    assert said.startswith("Der Datenträger ist voll. Der Schritt war: Die anderen Pakete werden installiert.\n")
    assert said.endswith("\nNo space left on device")
    assert german(error.remedy).startswith("Platz schaffen")


def test_without_a_translation_a_text_stays_as_it_is():
    for text in ("Ready", "There is no folder of wheels /tmp."):
        assert translate(text, lambda known: known) == text


def test_no_text_asks_for_a_variable_of_the_environment():
    """Who has started Blender by its icon cannot set one."""
    assert [text for text in collect() if "MOTIONGPT_" in text] == []


def test_what_is_put_together_is_handed_over_for_translation():
    """Blender translates fixed texts of the layout by itself, but neither f-strings nor the reasons of disabled buttons."""
    bare = []
    for path in sorted((ROOT / "motiongpt_blender").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            told = [keyword.value for keyword in node.keywords if keyword.arg == "text" and isinstance(keyword.value, ast.JoinedStr)]
            if node.func.attr == "poll_message_set":
                told += [argument for argument in node.args if not (isinstance(argument, ast.Call))]
            bare += [f"{path.relative_to(ROOT)}:{value.lineno}" for value in told if "translate=False" not in ast.unparse(node)]
    assert bare == [], "Wrap these in say()."
