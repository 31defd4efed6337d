"""From text to segments: numbering, pauses between pieces, and pieces that are ready before they are needed."""

from __future__ import annotations

import random

import pytest

from kokoro_lab.engine.reader import Reader
from kokoro_lab.errors import EmptyTextError, LanguageError
from kokoro_lab.text.primer import pieces

PARAGRAPH = (
    "When the keeper climbed the stairs that evening, he counted every step aloud, as he had done for thirty years. "
    "Nobody heard it. The lamp had to be lit before the fog came in, and the fog came in quickly at that time of the "
    "year; he knew it by the smell of salt and wet rope. Yes. At the top he stopped to look at the harbour, where "
    "three boats were still making for home, their lanterns rising and falling with the swell, and thought of home."
)
TOKEN_S = 0.065  # what a token lasts, about


def test_pieces_are_numbered_through_and_pause_as_their_ends_ask() -> None:
    found = list(Reader().read(("Well, ", "this is it. ", "And that\n\n", "was all. Really."), "en-us"))
    assert [one.index for one in found] == [0, 1, 2, 3, 4]
    assert [one.text for one in found] == ["Well,", "this is it.", "And that", "was all.", "Really."]
    assert [one.pause_s for one in found] == [0.08, 0.15, 0.18, 0.15, 0.0]


def test_a_piece_that_another_follows_is_one_call() -> None:
    first, *others = Reader().read(("Yes. No. Here we go, ", "and on. And on."), "en-us")
    assert first.text == "Yes. No. Here we go,"
    assert [one.text for one in others] == ["and on.", "And on."]
    assert len(first.tokens) == len(first.phonemes)
    for word in first.words:
        assert first.phonemes[word.start : word.start + len(word.phonemes)] == word.phonemes
    assert len(list(Reader(max_tokens=8).read(("Yes. No. Here we go, ", "and on."), "en-us"))) > 2


def test_short_sentences_share_a_call_when_asked_to() -> None:
    text = "This one is first. Yes. Fine. Well."
    assert len(list(Reader().read((text,), "en-us"))) == 4
    gathered = [one.text for one in Reader(gather_tokens=40).read((text,), "en-us")]
    assert gathered == ["This one is first.", "Yes. Fine. Well."]


def test_pieces_with_nothing_to_speak_are_passed_over_unless_all_are() -> None:
    assert [one.text for one in Reader().read(("— ", "Yes. ", "..."), "en-us")] == ["Yes."]
    with pytest.raises(EmptyTextError):
        list(Reader().read(("— ", "..."), "en-us"))
    with pytest.raises(EmptyTextError):
        list(Reader().read((), "en-us"))


def test_later_pieces_are_not_touched_before_they_are_asked_for() -> None:
    taken = []

    def lazily() -> object:
        for text in ("One. ", "Two. ", "Three."):
            taken.append(text)
            yield text

    reading = Reader().read(lazily(), "en-us")  # type: ignore[arg-type]
    next(reading)
    assert len(taken) <= 2


def test_a_language_without_its_package_is_named() -> None:
    with pytest.raises(LanguageError):
        Reader().prepare("tlh")


@pytest.mark.parametrize("factor", [0.2, 0.36, 0.45])
@pytest.mark.parametrize("seed", range(5))
def test_no_segment_is_late_at_a_real_time_factor_below_a_half(factor: float, seed: int) -> None:
    """Each segment, made one after the other at that factor, is ready before what came before it has been played."""
    sentences = PARAGRAPH.split(". ")
    random.Random(seed).shuffle(sentences)
    text = ". ".join(sentences) + "."
    made = played_until = 0.0
    for segment in Reader().read(pieces(text, chars=35, words=3, growth=2.0), "en-us"):
        lasts = len(segment.tokens) * TOKEN_S
        made += lasts * factor
        assert segment.index == 0 or made <= played_until, segment.text
        played_until = max(played_until, made) + lasts + segment.pause_s
