"""Which PyTorch a computer gets."""
# pyright: reportMissingImports=false
# (the package `motiongpt` is made by `tests/conftest.py`)

import pytest
from motiongpt.backend.protocol.errors import MotionGPTError
from motiongpt.motiongpt_blender.setup import hardware, torch_builds
from motiongpt.motiongpt_blender.setup.hardware import Hardware


@pytest.mark.parametrize(
    ("found", "builds"),
    [
        (Hardware("linux-x64"), ["cpu"]),
        (Hardware("linux-x64", (580, 95, 5), 12.0), ["cu130", "cpu"]),  # a card too new for older builds
        (Hardware("linux-x64", (580, 95, 5), 6.1), ["cu126", "cpu"]),  # a card too old for newer builds
        (Hardware("linux-x64", (560, 35), 8.6), ["cu126", "cpu"]),  # a driver too old for newer builds
        (Hardware("linux-x64", (560, 35), 12.0), ["cpu"]),  # a card too new for what its driver can run
        (Hardware("linux-x64", (470, 10), 8.6), ["cpu"]),
        (Hardware("linux-x64", (580, 95), 3.5), ["cpu"]),
        (Hardware("windows-x64", (581, 15), 8.9), ["cu130", "cpu"]),
        (Hardware("windows-x64", (537, 58), 8.9), ["cu126", "cpu"]),
        (Hardware("windows-arm64"), ["cpu"]),
        (Hardware("linux-x64", gfx=("gfx1101",)), ["rocm7.2", "cpu"]),
        (Hardware("linux-x64", gfx=("gfx1036", "gfx1201")), ["rocm7.2", "cpu"]),
        (Hardware("linux-x64", gfx=("gfx1036",)), ["cpu"]),
        (Hardware("windows-x64", gfx=("gfx1101",)), ["cpu"]),
        (Hardware("macos-arm64"), ["macos"]),
    ],
)
def test_build_suits_the_card_and_its_driver(found: Hardware, builds: list[str]):
    assert [build.name for build in torch_builds.choose(found, only_processor=False)] == builds


def test_only_the_processor_is_used_if_that_is_wanted():
    assert [build.name for build in torch_builds.choose(Hardware("linux-x64", (580, 95), 9.0), only_processor=True)] == ["cpu"]


def test_computer_without_any_build_is_named():
    with pytest.raises(MotionGPTError, match=r"no PyTorch for this computer \(macos-x64\)\. Use") as caught:
        torch_builds.choose(Hardware("macos-x64"), only_processor=False)
    assert caught.value.remedy


def test_driver_that_is_too_old_is_told():
    assert "470.10 is too old" in torch_builds.remark(Hardware("linux-x64", (470, 10), 8.6))
    assert "Install driver 580 or newer" in torch_builds.remark(Hardware("linux-x64", (560, 35), 12.0))
    assert torch_builds.remark(Hardware("linux-x64", (580, 95), 12.0)) == ""
    assert torch_builds.remark(Hardware("linux-x64", (470, 10), 3.5)) == ""  # no driver would help
    assert torch_builds.remark(Hardware("linux-x64")) == ""


def test_answer_of_the_driver_is_read():
    assert hardware.read_nvidia("580.95.05, 12.0\n") == ((580, 95, 5), 12.0)
    assert hardware.read_nvidia("560.35.03, 6.1\r\n560.35.03, 8.6\r\n") == ((560, 35, 3), 8.6)
    assert hardware.read_nvidia("NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.") == ((), 0.0)
    assert hardware.read_nvidia("") == ((), 0.0)


@pytest.mark.parametrize(("number", "name"), [(110001, "gfx1101"), (90010, "gfx90a"), (90402, "gfx942"), (100300, "gfx1030")])
def test_kinds_of_amd_cards_have_their_names(number: int, name: str):
    assert hardware.gfx_name(number) == name


def test_this_computer_has_something_to_offer():
    found = hardware.detect()
    assert found.platform == hardware.platform_name()
    assert torch_builds.choose(found, only_processor=True)
