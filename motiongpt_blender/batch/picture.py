"""A small picture of a clip, drawn without a graphics card: stick figures at a few moments, the later the more solid."""

import numpy as np

from ...backend.motion.skeleton import SMPL
from ..steps import Steps

_MOMENTS = (0.1, 0.5, 0.9)  # of the clip, from left to right
_SPACING = 0.55  # metres between them
_TALL = 2.2  # metres that the picture shows
_FLOOR = 0.1  # metres of it below the lowest joint
_VIEW = np.radians(35.0)  # from which side of the front
_LIMB, _HEAD = 0.03, 0.085  # radii in metres
_COLOURS = {"left": (0.95, 0.55, 0.25), "right": (0.35, 0.65, 0.95)}
_MIDDLE = (0.85, 0.85, 0.85)
_BAND = 32  # rows that are laid over others in one step


def draw_clip(joints: np.ndarray, size: int = 256) -> Steps[np.ndarray]:
    """Pixels `(size, size, 4)` in red, green, blue, alpha, bottom row first, of joint positions `(T, 22, 3)`; drawn in steps."""
    picture = np.zeros((size, size, 4), dtype=np.float32)
    floor = joints[..., 1].min()
    for place, moment in enumerate(_MOMENTS):
        pose = joints[round(moment * (len(joints) - 1))]
        from_pelvis = pose - pose[0]
        across = from_pelvis[:, 0] * np.cos(_VIEW) - from_pelvis[:, 2] * np.sin(_VIEW)
        across += _TALL / 2 + (place - (len(_MOMENTS) - 1) / 2) * _SPACING
        figure = yield from _draw_figure(np.stack([across, pose[:, 1] - floor + _FLOOR], axis=-1), size)
        for row in range(0, size, _BAND):
            yield
            band = slice(row, row + _BAND)
            _lay_over(picture[band], figure[band, :, :3], figure[band, :, 3:] * ((place + 1) / len(_MOMENTS)))
    return picture


def _draw_figure(points: np.ndarray, size: int) -> Steps[np.ndarray]:
    """Pixels `(size, size, 4)` of one pose; `points (22, 2)` in metres from the lower left corner."""
    figure = np.zeros((size, size, 4), dtype=np.float32)
    points, scale = points * size / _TALL, size / _TALL
    for joint, parent in enumerate(SMPL.parents[1:], start=1):
        yield
        colour = _COLOURS.get(SMPL.joints[joint].partition("_")[0], _MIDDLE)
        _draw_limb(figure, points[parent], points[joint], _LIMB * scale, colour)
    head = points[SMPL.index("head")]
    _draw_limb(figure, head, head, _HEAD * scale, _MIDDLE)
    return figure


def _draw_limb(picture: np.ndarray, start: np.ndarray, end: np.ndarray, radius: float, colour: tuple[float, ...]) -> None:
    """Draw a line with round ends over what is there."""
    low = np.clip(np.floor(np.minimum(start, end) - radius - 1), 0, len(picture)).astype(int)
    high = np.clip(np.ceil(np.maximum(start, end) + radius + 1), 0, len(picture)).astype(int)
    y, x = np.mgrid[low[1] : high[1], low[0] : high[0]]
    from_start, along = np.stack([x, y], axis=-1) - start, end - start
    share = np.clip(from_start @ along / max(along @ along, 1e-9), 0.0, 1.0)
    distance = np.linalg.norm(from_start - share[..., None] * along, axis=-1)
    alpha = np.clip(radius - distance + 0.5, 0.0, 1.0)[..., None]
    _lay_over(picture[low[1] : high[1], low[0] : high[0]], np.array(colour), alpha)


def _lay_over(picture: np.ndarray, colour: np.ndarray, alpha: np.ndarray) -> None:
    """Change `picture (h, w, 4)` to one with `colour (..., 3)` of opacity `alpha (h, w, 1)` in front of it."""
    behind = picture[..., 3:] * (1.0 - alpha)
    total = alpha + behind
    picture[..., :3] = (colour * alpha + picture[..., :3] * behind) / np.maximum(total, 1e-6)
    picture[..., 3:] = total
