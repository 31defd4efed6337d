"""When words and phonemes are heard."""

from __future__ import annotations

from itertools import pairwise

import pytest

from kokoro_lab.engine.engine import Engine


def test_words_follow_one_another_within_the_speech(engine: Engine) -> None:
    speech = engine.synthesize("Hello big world! It costs $3.50 now.")
    words = speech.word_times
    assert [word.text for word in words if word.text.isalpha()][:3] == ["Hello", "big", "world"]
    for before, after in pairwise(words):
        assert before.start_s < before.end_s <= after.start_s + 1e-9
    assert words[0].start_s > 0
    assert words[-1].end_s < speech.duration_s
    second = [word for word in words if word.segment == 1]
    assert second[0].start_s > speech.segments[1].start_s >= words[0].end_s


def test_phonemes_fill_the_time_of_their_word(engine: Engine) -> None:
    speech = engine.synthesize("Hello big world! And so on.", speed=1.3)
    phonemes = speech.phoneme_times
    assert len(phonemes) == len(speech.tokens)
    for word in speech.word_times:
        inside = [one for one in phonemes if word.start_s - 1e-9 <= one.start_s and one.end_s <= word.end_s + 1e-9]
        assert "".join(one.phoneme for one in inside) == word.phonemes
    assert speech.durations is not None
    spoken = sum(one.end_s - one.start_s for one in phonemes)
    ends = sum(int(one.durations[0] + one.durations[-1]) for one in speech.segments if one.durations is not None)
    assert spoken == pytest.approx((int(speech.durations.sum()) - ends) * 600 / 24_000)
