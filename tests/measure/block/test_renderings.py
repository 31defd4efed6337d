"""Which calls gave the same samples: every distinct rendering is kept, up to a limit, the last call's first."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kokoro_lab.measure.block.calls import Call
from kokoro_lab.measure.block.renderings import MOST_RENDERINGS, audio_paths, distinct_renderings


def call(value: float, durations: tuple[int, ...] | None = None) -> Call:
    return Call(0, 0, 1.0, 1.0, np.full(10, value, np.float32), 1.0, {}, durations)


def test_calls_with_equal_samples_are_one_rendering() -> None:
    kept, count = distinct_renderings([call(0.5, (1, 2))] * 3)
    assert count == 1 and len(kept) == 1
    assert (kept[0].reading.repeat, kept[0].reading.count, kept[0].reading.durations) == (0, 3, (1, 2))


def test_a_single_wrong_repeat_is_kept_and_the_last_comes_first() -> None:
    kept, count = distinct_renderings([call(0.5), call(0.5), call(0.0, (9,)), call(0.5)])
    assert count == 2
    assert [(item.reading.repeat, item.reading.count) for item in kept] == [(0, 3), (2, 1)]
    assert kept[1].call.samples[0] == 0.0 and kept[1].reading.durations == (9,)


def test_no_more_are_kept_than_the_limit_and_their_number_is_told() -> None:
    kept, count = distinct_renderings([call(float(number)) for number in range(9)])
    assert count == 9 and len(kept) == MOST_RENDERINGS
    assert [item.reading.repeat for item in kept] == [8, 0, 1, 2]
    assert distinct_renderings([]) == ((), 0)


@pytest.mark.parametrize("wrong", [0.0, 1e-4, np.nan, np.inf, 40.0])
def test_a_wrong_rendering_among_many_is_kept(wrong: float) -> None:
    """An engine with noise that nobody seeded renders each call anew; the gate must hear the one that is silent."""
    values = [0.5, 0.51, 0.52, 0.53, 0.54, wrong, 0.55, 0.56]
    kept, count = distinct_renderings([call(value) for value in values])
    assert (count, len(kept)) == (len(values), MOST_RENDERINGS)
    assert [item.reading.repeat for item in kept[:2]] == [7, 5]


def test_most_renderings_may_be_silent_and_the_others_do_not_hide_them() -> None:
    kept, _ = distinct_renderings([call(value) for value in (0.5, 0.6, 0.7, 0.0, 1e-5, 2e-5, 0.8)])
    assert [item.reading.repeat for item in kept[1:]] == [3, 4, 5]


def test_every_kept_rendering_has_a_file_of_its_own() -> None:
    paths = audio_paths(Path("work/audio.npy"))
    assert paths[0] == Path("work/audio.npy") and len(set(paths)) == MOST_RENDERINGS
