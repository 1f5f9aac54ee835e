import numpy as np

from backend.motion import rotations

RNG = np.random.default_rng(7)
Q = rotations.normalise(RNG.standard_normal((500, 4)))
V = RNG.standard_normal((500, 3))


def same_rotation(a, b, tolerance=1e-9):
    return np.all(np.abs(np.abs(np.sum(a * b, axis=-1)) - 1.0) < tolerance)


def test_rotating_a_vector_is_multiplying_with_the_matrix():
    np.testing.assert_allclose(rotations.rotate(Q, V), np.einsum("nij,nj->ni", rotations.to_matrix(Q), V), atol=1e-12)


def test_a_product_rotates_by_the_second_factor_first():
    other = Q[::-1]
    np.testing.assert_allclose(
        rotations.rotate(rotations.multiply(Q, other), V), rotations.rotate(Q, rotations.rotate(other, V)), atol=1e-12
    )


def test_every_form_leads_back():
    half_turns = rotations.about(rotations.normalise(V), np.full(len(V), np.pi))
    for q in (Q, half_turns):
        assert same_rotation(rotations.from_matrix(rotations.to_matrix(q)), q)
        assert same_rotation(rotations.from_6d(rotations.to_6d(q)), q)
        assert same_rotation(rotations.from_vector(rotations.to_vector(q)), q)


def test_six_numbers_need_be_neither_unit_nor_orthogonal():
    c = rotations.to_6d(Q)
    skewed = np.concatenate([c[:, :3] * 3.0, c[:, 3:] * 0.5 + c[:, :3] * 0.2], axis=-1)
    assert same_rotation(rotations.from_6d(skewed), Q)


def test_between_turns_one_direction_into_the_other_even_the_opposite():
    a, b = rotations.normalise(V), rotations.normalise(V[::-1])
    np.testing.assert_allclose(rotations.rotate(rotations.between(a, b), a), b, atol=1e-9)
    np.testing.assert_allclose(rotations.rotate(rotations.between(a, -a), a), -a, atol=1e-9)
    np.testing.assert_allclose(rotations.between(a, a), np.broadcast_to(rotations.IDENTITY, (500, 4)), atol=1e-9)


def test_slerp_starts_ends_and_halves():
    a, b = Q[:250], Q[250:]
    assert same_rotation(rotations.slerp(a, b, np.zeros(250)), a)
    assert same_rotation(rotations.slerp(a, b, np.ones(250)), b)
    half = rotations.slerp(a, b, np.full(250, 0.5))
    np.testing.assert_allclose(rotations.angle_between(a, half), rotations.angle_between(half, b), atol=1e-9)


def test_continuous_changes_signs_only():
    path = rotations.continuous(Q)
    assert np.all(np.sum(path[1:] * path[:-1], axis=-1) >= 0)
    assert same_rotation(path, Q)
