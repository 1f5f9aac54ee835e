import numpy as np

from backend.motion.smooth import ease, gaussian, settle


def test_settling_is_the_least_squares_solution():
    rng = np.random.default_rng(0)
    length, bend = 30, 300.0
    weights, targets = rng.random(length), rng.normal(size=(length, 3))
    step_weights, steps = rng.random(length - 1) * 1e3, rng.normal(size=(length - 1, 3))
    change, curve = np.diff(np.eye(length), axis=0), np.diff(np.eye(length), 2, axis=0)
    matrix = np.diag(weights) + change.T @ np.diag(step_weights) @ change + bend * curve.T @ curve
    expected = np.linalg.solve(matrix, weights[:, None] * targets + change.T @ (step_weights[:, None] * steps))
    np.testing.assert_allclose(settle(bend, weights, targets, step_weights, steps), expected, atol=1e-9)


def test_settling_two_frames_and_one():
    np.testing.assert_allclose(settle(5.0, np.ones(2), np.array([[1.0], [3.0]])), [[1.0], [3.0]])
    np.testing.assert_allclose(settle(5.0, np.ones(1), np.array([[2.0]])), [[2.0]])


def test_a_straight_line_passes_a_filter_that_keeps_its_ends():
    line = np.linspace(0.0, 5.0, 20)[:, None]
    np.testing.assert_allclose(gaussian(line, 3.0, keep_ends=True), line, atol=1e-12)
    assert gaussian(line, 3.0)[0, 0] > 0.2


def test_easing_begins_and_ends_at_rest():
    x = ease(np.linspace(-0.5, 1.5, 2001))
    assert x[0] == 0.0 and x[-1] == 1.0
    assert np.all(np.diff(x) >= 0.0)
    assert np.abs(np.diff(x, 2)).max() < 1e-5
