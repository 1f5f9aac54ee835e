"""What Blender itself shows of the extension's classes has a translation."""

import json
import re
from collections.abc import Iterator

import pytest
from installed import module

properties = module("motiongpt_blender.properties")
properties_batch = module("motiongpt_blender.properties_batch")
properties_character = module("motiongpt_blender.properties_character")
registration = module("motiongpt_blender.registration")
translations = module("motiongpt_blender.translations")


def shown(cls: type) -> Iterator[str]:
    """Names and descriptions of a registered class and its properties, as Blender knows them."""
    yield getattr(cls, "bl_label", "")
    yield getattr(cls, "bl_description", "")
    own = {name for base in cls.__mro__ for name in getattr(base, "__annotations__", {})} - {"name"}
    for prop in cls.bl_rna.properties:
        if prop.identifier in own and not prop.is_hidden:
            yield from (prop.name if prop.name != prop.identifier else "", prop.description)
            for item in getattr(prop, "enum_items_static", ()):
                yield from (item.name, item.description)


@pytest.mark.parametrize("language", translations.languages())
def test_every_text_of_the_classes_is_translated(language):
    texts = {text for cls in registration.CLASSES for text in shown(cls) if re.search("[a-z]", text)}
    lacking = json.dumps(dict.fromkeys(sorted(texts - translations.texts(language).keys()), ""), indent=1, ensure_ascii=False)
    assert lacking == "{}", f"Translate these and add them to {language}.json:\n{lacking}"


@pytest.mark.parametrize("language", ["en", *translations.languages()])
def test_names_of_settings_fit_into_the_sidebar(language):
    """As it is wide from the beginning: less than half of it is for the name of a setting, more for that of one to be ticked."""
    texts = translations.texts(language) if language in translations.languages() else {}
    groups = (
        properties.MotionGPTSettings,
        properties_batch.MotionGPTBatchSettings,
        properties_batch.MotionGPTBatchRow,
        properties_character.MotionGPTCharacter,
    )
    settings = [prop for group in groups for prop in group.bl_rna.properties if not prop.is_hidden]
    said = {texts.get(prop.name, prop.name): 20 if prop.type == "BOOLEAN" else 16 for prop in settings}
    assert len(said) > 25
    assert [name for name, longest in said.items() if len(name) > longest] == []
