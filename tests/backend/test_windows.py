import pytest

from backend.windows import OVERLAP, plan


@pytest.mark.parametrize("segments", [[1], [49], [50], [300], [20, 30], [49, 49, 1], [3000], [1, 1, 1, 200, 7]])
def test_windows_cover_every_segment_and_none_is_too_long(segments):
    windows = plan(segments, longest=49)
    assert [w.begin for w in windows] == [0, *(w.end for w in windows[:-1])]
    for number, length in enumerate(segments):
        mine = [w for w in windows if w.segment == number]
        assert mine[0].begin == sum(segments[:number])
        assert mine[-1].end == sum(segments[: number + 1])
        sizes = [w.end - w.begin for w in mine]
        assert sum(sizes) == length and max(sizes) - min(sizes) <= 1
    assert all(w.given == min(OVERLAP, w.begin) and w.end - w.begin + w.given <= 49 for w in windows)


def test_what_fits_is_asked_for_at_once():
    assert len(plan([49], longest=49)) == 1
    assert len(plan([41, 41], longest=49)) == 2


def test_windows_grow_with_the_length_and_not_faster():
    assert len(plan([3000], longest=49)) <= 3000 / (49 - OVERLAP) + 1
