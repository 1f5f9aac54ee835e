"""Clips as strips of stick figures, PNG files that need nothing but numpy to be made."""

import struct
import zlib
from pathlib import Path

import numpy as np

from ..motion import rotations
from ..motion.clip import Clip
from ..motion.features import facing
from ..motion.path import heading

_HEIGHT, _WIDTH, _FIGURES = 170, 120, 10
_SCALE = 78.0  # pixels a metre
_COLOURS = {"left": (214, 81, 60), "right": (42, 104, 184)}  # the character's own sides
_MIDDLE, _FLOOR, _PAPER, _TEXT = (70, 70, 70), (205, 205, 205), (255, 255, 255), (120, 120, 120)
_VIEW = np.radians(35.0)  # the camera looks at the character from this far to its front left


def strip(clip: Clip, figures: int = _FIGURES) -> np.ndarray:
    """A picture `(170, 120 * figures, 3)`, bytes: the character at even times, each in the middle of its own field.

    Left limbs are red, right ones blue. Under each figure a line shows the floor, and a tick how far the root has gone along the
    way that the clip first faces, a pixel for every two centimetres. The camera keeps its direction, so turns are seen.
    """
    picture = np.full((_HEIGHT, _WIDTH * figures, 3), _PAPER, dtype=np.uint8)
    joints = clip.joints
    camera = rotations.about(np.array([0.0, 1.0, 0.0]), np.array(-heading(clip)[0] - _VIEW))
    ahead = facing(joints[0], clip.skeleton)
    floor = _HEIGHT - 18
    picture[floor] = _FLOOR
    for number, frame in enumerate(np.linspace(0, len(clip) - 1, figures).round().astype(int)):
        left = number * _WIDTH + _WIDTH // 2
        around = rotations.rotate(camera, joints[frame] - joints[frame, 0] * [1.0, 0.0, 1.0])
        points = np.stack([left + around[:, 0] * _SCALE, floor - around[:, 1] * _SCALE], axis=-1)
        for joint, parent in enumerate(clip.skeleton.parents):
            if parent >= 0:
                side = clip.skeleton.joints[joint].split("_")[0]
                _line(picture, points[parent], points[joint], _COLOURS.get(side, _MIDDLE), 2)
        _disc(picture, points[clip.skeleton.index("head")] - [0.0, 6.0], 6, _MIDDLE)
        gone = (joints[frame, 0] - joints[0, 0]) @ ahead * 50.0
        tick = int(np.clip(left + gone, 0, picture.shape[1] - 1))
        picture[floor + 6 : floor + 12, max(0, tick - 1) : tick + 1] = _TEXT
    return picture


def write_png(path: Path, picture: np.ndarray) -> None:
    """Write a picture `(H, W, 3)` of bytes."""
    height, width, _ = picture.shape
    rows = b"".join(b"\0" + row.tobytes() for row in picture)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b""))


def _line(picture: np.ndarray, a: np.ndarray, b: np.ndarray, colour: tuple[int, int, int], width: int) -> None:
    steps = int(np.ceil(np.abs(b - a).max())) + 1
    for x, y in np.linspace(a, b, steps):
        _disc(picture, np.array([x, y]), width / 2, colour)


def _disc(picture: np.ndarray, centre: np.ndarray, radius: float, colour: tuple[int, int, int]) -> None:
    """Fill a disc; what lies outside the picture is left out."""
    low = np.maximum(np.floor(centre - radius).astype(int), 0)
    high = np.minimum(np.ceil(centre + radius).astype(int) + 1, [picture.shape[1], picture.shape[0]])
    if np.any(high <= low):
        return
    y, x = np.mgrid[low[1] : high[1], low[0] : high[0]]
    picture[low[1] : high[1], low[0] : high[0]][(x - centre[0]) ** 2 + (y - centre[1]) ** 2 <= radius**2 + 0.25] = colour
