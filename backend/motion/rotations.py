"""Unit quaternions `(..., 4)`, ordered w, x, y, z, and their other forms, as pure functions."""

import numpy as np

IDENTITY = np.array([1.0, 0.0, 0.0, 0.0])


def multiply(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Hamilton product `a * b` of `(..., 4)` and `(..., 4)`: first `b`, then `a`."""
    aw, ax, ay, az = _elements(a)
    bw, bx, by, bz = _elements(b)
    return _vector(
        aw * bw - ax * bx - ay * by - az * bz,
        aw * bx + ax * bw + ay * bz - az * by,
        aw * by - ax * bz + ay * bw + az * bx,
        aw * bz + ax * by - ay * bx + az * bw,
    )


def inverse(q: np.ndarray) -> np.ndarray:
    """Inverse of unit quaternions `(..., 4)`."""
    return np.asarray(q) * np.array([1.0, -1.0, -1.0, -1.0])


def normalise(q: np.ndarray) -> np.ndarray:
    """Scale `(..., n)` to unit length; a zero vector stays zero."""
    q = np.asarray(q)
    length = np.sqrt(sum(element * element for element in _elements(q)))[..., None]  # twice as fast as np.linalg.norm for short rows
    return q / np.where(length > 0, length, 1.0)


def rotate(q: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Rotate vectors `(..., 3)` by unit quaternions `(..., 4)`."""
    w, x, y, z = _elements(q)
    a, b, c = _elements(v)
    tx, ty, tz = 2.0 * (y * c - z * b), 2.0 * (z * a - x * c), 2.0 * (x * b - y * a)
    return _vector(a + w * tx + y * tz - z * ty, b + w * ty + z * tx - x * tz, c + w * tz + x * ty - y * tx)


def cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """`(..., 3)` square to `a` and `b`, both `(..., 3)`; of few vectors several times as fast as np.cross."""
    ax, ay, az = _elements(a)
    bx, by, bz = _elements(b)
    return _vector(ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx)


def to_matrix(q: np.ndarray) -> np.ndarray:
    """`(..., 4)` to rotation matrices `(..., 3, 3)`."""
    w, x, y, z = _elements(q)
    return np.stack(
        [
            np.stack([1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)], axis=-1),
            np.stack([2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)], axis=-1),
            np.stack([2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)], axis=-1),
        ],
        axis=-2,
    )


def from_matrix(m: np.ndarray) -> np.ndarray:
    """Rotation matrices `(..., 3, 3)` to `(..., 4)`, from the best conditioned of the four forms."""
    m = np.asarray(m, dtype=np.float64)
    m00, m11, m22 = m[..., 0, 0], m[..., 1, 1], m[..., 2, 2]
    squares = _vector(1 + m00 + m11 + m22, 1 + m00 - m11 - m22, 1 - m00 + m11 - m22, 1 - m00 - m11 + m22)
    best = np.argmax(squares, axis=-1)
    q = _vector(squares[..., 0], m[..., 2, 1] - m[..., 1, 2], m[..., 0, 2] - m[..., 2, 0], m[..., 1, 0] - m[..., 0, 1])
    for axis in range(3):  # few turn so far that one of these is better
        far = best == axis + 1
        if far.any():
            turns = m[far]
            rows = turns[:, axis] + turns[:, :, axis]  # twice the diagonal, which is of another form
            rows[:, axis] = squares[far, axis + 1]
            q[far] = np.concatenate([q[far, axis + 1, None], rows], axis=-1)
    return normalise(q)


def to_6d(q: np.ndarray) -> np.ndarray:
    """`(..., 4)` to the first two columns of the rotation matrix, `(..., 6)` (Zhou et al. 2019)."""
    m = to_matrix(q)
    return np.concatenate([m[..., :, 0], m[..., :, 1]], axis=-1)


def from_6d(c: np.ndarray) -> np.ndarray:
    """`(..., 6)` to `(..., 4)`; the two columns need be neither unit nor orthogonal."""
    c = np.asarray(c, dtype=np.float64)
    first = normalise(c[..., :3])
    third = normalise(cross(first, c[..., 3:]))
    matrix = np.empty((*first.shape, 3))
    matrix[..., 0], matrix[..., 1], matrix[..., 2] = first, cross(third, first), third
    return from_matrix(matrix)


def between(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Shortest rotation `(..., 4)` that turns direction `a` into direction `b`, both `(..., 3)`.

    Opposite directions have no shortest rotation; any half turn about an axis across `a` is given.
    """
    a, b = np.broadcast_arrays(normalise(a), normalise(b))
    w = 1.0 + np.sum(a * b, axis=-1, keepdims=True)
    opposite = w < 1e-8
    axis = cross(a, b)
    if opposite.any():
        axis = np.where(opposite, cross(a, np.eye(3)[np.argmin(np.abs(a), axis=-1)]), axis)
    return normalise(np.concatenate([np.where(opposite, 0.0, w), axis], axis=-1))


def about(axis: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """Rotation by `angle (...)` radians about unit `axis (..., 3)`."""
    half = np.asarray(angle)[..., None] / 2
    return np.concatenate([np.cos(half), np.sin(half) * axis], axis=-1)


def to_vector(q: np.ndarray) -> np.ndarray:
    """Rotation vector `(..., 3)` (axis times angle in radians, at most pi) of `(..., 4)`."""
    q = np.asarray(q, dtype=np.float64)
    q = np.where(q[..., :1] < 0, -q, q)
    sine = np.linalg.norm(q[..., 1:], axis=-1, keepdims=True)
    angle = 2.0 * np.arctan2(sine, q[..., :1])
    return q[..., 1:] * np.where(sine > 1e-12, angle / np.maximum(sine, 1e-12), 2.0)


def from_vector(v: np.ndarray) -> np.ndarray:
    """`(..., 4)` of rotation vectors `(..., 3)`."""
    v = np.asarray(v, dtype=np.float64)
    angle = np.linalg.norm(v, axis=-1, keepdims=True)
    return np.concatenate([np.cos(angle / 2), v * np.sinc(angle / (2 * np.pi)) / 2], axis=-1)


def angle_between(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Angle in radians `(...)` of the rotation from `a` to `b`, both `(..., 4)`; signs do not matter."""
    return np.linalg.norm(to_vector(multiply(inverse(a), b)), axis=-1)


def slerp(a: np.ndarray, b: np.ndarray, t: np.ndarray) -> np.ndarray:
    """The point `t (...)` of the shortest way from `a` to `b`, both `(..., 4)`."""
    way = to_vector(multiply(inverse(a), b))
    return multiply(a, from_vector(way * np.asarray(t)[..., None]))


def continuous(q: np.ndarray) -> np.ndarray:
    """Flip signs of `(T, ..., 4)` so that neighbours in time lie in one hemisphere; the rotations stay the same."""
    steps = np.sum(q[1:] * q[:-1], axis=-1, keepdims=True)
    signs = np.cumprod(np.where(steps < 0, -1.0, 1.0), axis=0)
    return np.concatenate([q[:1], q[1:] * signs], axis=0)


def _elements(array: np.ndarray) -> list[np.ndarray]:
    """The elements `(...)` of `(..., n)`, as views: several times as fast as np.moveaxis for short arrays."""
    array = np.asarray(array)
    return [array[..., i] for i in range(array.shape[-1])]


def _vector(*elements: np.ndarray) -> np.ndarray:
    """`(..., n)` of elements `(...)` of one shape, as np.stack does, but quicker."""
    array = np.empty((*elements[0].shape, len(elements)), dtype=elements[0].dtype)
    for i, element in enumerate(elements):
        array[..., i] = element
    return array
