"""Angles that a prompt asks for in figures."""

import pytest

from backend.language.angles import asked_turn


@pytest.mark.parametrize(
    ("prompt", "degrees", "either"),
    [
        ("a person walks forward and turns left by about 90 degrees.", 90.0, False),
        ("a 45-degree right turn", -45.0, False),
        ("someone runs, then pivots 22.5 deg to the right", -22.5, False),
        ("The man spins clockwise by 360°.", -360.0, False),
        ("she rotates 180 degrees counter-clockwise", 180.0, False),
        ("a person turns around by 180 degrees", 180.0, True),
        ("walks in a curve of 60 degrees to the left, the right arm raised", 60.0, False),
        ("raises the right arm by 90 degrees and turns left by 30 degrees", 30.0, False),
        ("turns left by 90 degrees, the right knee up, and walks on", 90.0, False),
        ("turns by 90 degrees to his right", -90.0, False),
        ("turns counter clockwise by 45º", 45.0, False),
        ("turns clockwise to the right by 45˚", -45.0, False),
        ("walks, turns 180 degrees and walks back again", 180.0, True),
    ],
)
def test_a_turn_is_read_with_its_side(prompt, degrees, either):
    assert asked_turn(prompt) == (degrees, either)


@pytest.mark.parametrize(
    "prompt",
    [
        "",
        "a person turns left",
        "a person turns the head left by 45 degrees",
        "raises the left arm by 90 degrees",
        "rotates its face by 30 degrees",
        "turns the upper body left by 45 degrees",
        "bends the spine by 45 degrees",
        "rotates the left foot by 30 degrees",
        "it is 30 degrees, and a person turns left",
        "turns left by 90 degrees, then turns right by 90 degrees",
        "turns left by 90 degrees and then to the right by 90 degrees",
        "turns left by 90 degrees, then right",
        "turns left by 90 degrees and another 90 degrees",
        "walks in a circle, then turns left by 90 degrees",
        "turns left 90 degrees twice",
        "turns 2 times by 90 degrees",
        "turns left by 90 degrees, and again",
        "rotates 90 degrees per second",
        "turns left and right by 20 degrees",
        "turns left by 100000 degrees",
        "does a cartwheel of 90 degrees",
    ],
)
def test_what_says_nothing_about_the_whole_turn_is_left_alone(prompt):
    assert asked_turn(prompt) is None
