import numpy as np
import pytest

from kokoro_lab.audio.join import fade_edges, join, silence
from kokoro_lab.errors import SettingError


def test_one_segment_comes_back_sample_for_sample(voice):
    assert np.array_equal(join([voice], [0.0]), voice)
    assert np.array_equal(join([voice], []), voice)


def test_lengths_add_up(voice):
    joined = join([voice, voice[:1_000], voice], [0.15, 0.08, 0.0])
    assert len(joined) == 2 * len(voice) + 1_000 + 3_600 + 1_920
    assert joined.dtype == np.float32


def test_a_seam_makes_no_click():
    high = np.full(4_800, 0.8, dtype=np.float32)
    for pause in (0.0, 0.1):
        joined = join([high, -high], [pause])
        assert np.abs(np.diff(joined)).max() < 0.02
    assert np.abs(np.diff(np.concatenate([high, -high]))).max() > 1.5


def test_outer_ends_and_middles_are_untouched(voice):
    joined = join([voice, voice], [0.0])
    assert np.array_equal(joined[:47_880], voice[:47_880])
    assert np.array_equal(joined[-47_880:], voice[-47_880:])


def test_pieces_of_a_stream_are_the_joined_signal(voice):
    parts = [voice, voice[:30_000], voice[:50]]
    pieces = []
    for index, part in enumerate(parts):
        pieces += [fade_edges(part, start=index > 0, end=index < 2), silence(0.1 if index < 2 else 0.0)]
    assert np.array_equal(np.concatenate(pieces), join(parts, [0.1, 0.1]))


def test_nothing_joined_is_nothing():
    assert len(join([], [])) == 0


@pytest.mark.parametrize("pauses", [[0.1], [-0.1, 0.0, 0.0], [float("nan"), 0.0, 0.0], [float("inf"), 0.0, 0.0]])
def test_pauses_that_do_not_fit_are_refused(voice, pauses):
    with pytest.raises(SettingError):
        join([voice, voice, voice], pauses)
