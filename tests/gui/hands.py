"""Mouse and keyboard for a script that runs in Blender's window: real events, sent where Blender says that what is meant lies.

Generators yield the seconds to wait in which Blender handles the events. A place is the kind of an area; of the 3D View its sidebar
is meant, of others the area itself.
"""

import subprocess
from collections.abc import Callable, Generator, Iterator

import bpy

Waits = Generator[float, None, None]

_NOTICED = 0.04  # seconds until Blender knows where the mouse is
_ROW = 12  # pixels; buttons are higher
_COLUMNS = (0.3, 0.83)  # of a region's width: in one of them there is a bit of every button
_UP, _DOWN = "4", "5"  # how X calls the turns of a wheel
_SCROLLS = ((_UP, 0), (_UP, 60), *[(_DOWN, 8)] * 8)  # what is in sight now, the top, and on from there


def click(place: str, command: str) -> Waits:
    """Press the button that does what `command` would do in a script, for example `motiongpt.generate()`."""
    yield from _find(place, lambda: _command() == command, command)
    _send("click", "1")
    yield 0.3
    yield from _rest()


def write(place: str, path: str, text: str) -> Waits:
    """Type into the field of the property that has the data path `path`."""
    yield from _find(place, lambda: bool(bpy.context.property) and bpy.context.property[1] == path, path)
    with over(place):
        owner = bpy.context.property[0]
    for event in (("click", "1"), ("key", "ctrl+a"), ("type", "--delay", "20", text), ("key", "Return")):
        _send(*event)
        yield 0.5
    yield from _rest()
    if (written := owner.path_resolve(path)) != text:
        raise RuntimeError(f"{path} is {written!r}, not {text!r}")


def over(place: str):
    """The context of the region that is meant by a place."""
    return bpy.context.temp_override(window=bpy.context.window_manager.windows[0], area=area_of(place), region=region_of(place))


def area_of(place: str) -> bpy.types.Area:
    return next(area for area in bpy.context.window_manager.windows[0].screen.areas if area.type == place)


def region_of(place: str) -> bpy.types.Region:
    regions = {region.type: region for region in area_of(place).regions}
    return regions["UI" if place == "VIEW_3D" else "WINDOW"]


def _find(place: str, is_it: Callable[[], bool], what: str) -> Waits:
    """Move the mouse over a region, scrolling where that does not help, until it is over what is looked for."""
    for wheel, turns in _SCROLLS:
        region = region_of(place)
        _move(region.x + region.width // 2, region.y + region.height // 2)
        if turns:
            _send("click", "--repeat", str(turns), "--delay", "20", wheel)
        yield 0.5
        for spot in _spots(region):
            _move(*spot)
            yield _NOTICED
            if _is_over(place, is_it):
                yield 3 * _NOTICED
                if _is_over(place, is_it):  # and was not just before
                    return
    raise LookupError(f"{what} is nowhere to be seen")


def _is_over(place: str, is_it: Callable[[], bool]) -> bool:
    with over(place):
        return is_it()


def _spots(region: bpy.types.Region) -> Iterator[tuple[int, int]]:
    for share in _COLUMNS:
        for y in range(region.y + region.height - _ROW, region.y, -_ROW):
            yield int(region.x + share * region.width), y


def _command() -> str:
    """What the button under the mouse does, as Blender copies it for scripts."""
    if not bpy.ops.ui.copy_python_command_button.poll():
        return ""
    bpy.ops.ui.copy_python_command_button()
    return bpy.context.window_manager.clipboard.removeprefix("bpy.ops.")


def _rest() -> Waits:
    """Take the mouse away, so that nothing is lit up and no tip is shown."""
    _move(300, 300)
    yield 0.3


def _move(x: int, y: int) -> None:
    _send("mousemove", str(x), str(bpy.context.window_manager.windows[0].height - y))


def _send(*event: str) -> None:
    subprocess.run(["xdotool", *event], check=True)
