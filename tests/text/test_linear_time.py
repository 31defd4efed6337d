"""The time of text processing grows with the length of the text, not with its square."""

from __future__ import annotations

from collections import deque
from functools import partial
from itertools import cycle

import pytest
from hostile_texts import DOCUMENTS, TEXTS
from processor_time import growth, processor_s

from kokoro_lab.text.markup import passages
from kokoro_lab.text.normalize import normalize
from kokoro_lab.text.phonemize import phonemizer_for
from kokoro_lab.text.sanitize import sanitize
from kokoro_lab.text.segment import segments

FACTOR = 4
TOO_FAST_GROWING = 10.0  # times as long for a text of 4 times the length: quadratic time has 16, linear 4 and noise
CHARACTERS = 1_600  # above the lengths at which work is cut into stretches


def spoken(text: str, lang: str = "en-us", markup: str = "none") -> None:
    deque(segments(text, lang, markup=markup), maxlen=0)


@pytest.mark.parametrize("name", TEXTS)
def test_cleaning_and_writing_out_take_linear_time(name: str) -> None:
    assert growth(sanitize, TEXTS[name], 4 * CHARACTERS, FACTOR) < TOO_FAST_GROWING
    assert growth(normalize, TEXTS[name], CHARACTERS, FACTOR) < TOO_FAST_GROWING


@pytest.mark.parametrize("name", DOCUMENTS)
def test_markup_takes_linear_time(name: str) -> None:
    assert growth(passages, DOCUMENTS[name], 2 * CHARACTERS, FACTOR) < TOO_FAST_GROWING


@pytest.mark.slow
@pytest.mark.parametrize(("name", "lang"), [*zip(TEXTS, cycle(["en-us"])), *zip(TEXTS, cycle(["es", "en-gb", "hi"]))])
def test_a_text_becomes_tokens_in_linear_time(name: str, lang: str) -> None:
    spoken("warm up")
    assert growth(partial(spoken, lang=lang), TEXTS[name], 1_500, FACTOR) < TOO_FAST_GROWING


@pytest.mark.slow
@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_document_becomes_tokens_in_linear_time(name: str) -> None:
    assert growth(partial(spoken, markup="ssml"), DOCUMENTS[name], 1_500, FACTOR) < TOO_FAST_GROWING


@pytest.mark.parametrize("joint", ["/", "%", "-", "'", "&", "A", "é", "1", "_"])
def test_a_word_of_many_parts_takes_linear_time(joint: str) -> None:
    phonemizer = phonemizer_for("en-us")
    phonemizer.phonemize(f"warm{joint}up")
    assert growth(phonemizer.phonemize, lambda size: f"a{joint}" * (size // 2), 80, FACTOR) < TOO_FAST_GROWING


def test_the_measure_sees_quadratic_time() -> None:
    def quadratic(text: str) -> int:
        return sum(text[:index].count("b") for index in range(len(text)))

    def linear(text: str) -> int:
        return sum(character == "b" for _ in range(200) for character in text)

    assert growth(quadratic, lambda size: "a" * size, 4_000, FACTOR) > TOO_FAST_GROWING
    assert growth(linear, lambda size: "a" * size, 1_000, FACTOR) < TOO_FAST_GROWING


@pytest.mark.slow
@pytest.mark.parametrize("name", TEXTS)
def test_a_hundred_kilobytes_are_written_out_in_seconds(name: str) -> None:
    """At most 2 s on a quiet machine; some took minutes."""
    assert processor_s(lambda: normalize(TEXTS[name](100_000))) < 12.0


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(DOCUMENTS) - {"emphasis on numbers", "a date", "a price"}))
def test_a_megabyte_of_markup_is_read_or_refused_in_seconds(name: str) -> None:
    """The three that are left out are written out in words, like the texts above."""
    assert processor_s(lambda: passages(DOCUMENTS[name](1_000_000))) < 12.0
