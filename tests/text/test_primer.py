"""Where a long text is cut so that it can begin early."""

from __future__ import annotations

from itertools import accumulate

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kokoro_lab.text.primer import WHOLE, pieces

PARAGRAPH = (
    "When the lighthouse keeper climbed the stairs that evening, he counted every step aloud, as he had done for "
    "thirty years, and the sea answered him. Nobody else was there to hear it. The lamp had to be lit before the "
    "fog came in, and the fog came in quickly at that time of the year; he knew it by the smell of salt and wet "
    "rope. At the top he stopped to look at the harbour, where three boats were still making for home, their "
    "lanterns rising and falling."
)


def cut(text: str, chars: int = 40, words: int = 3, growth: float = 2.0) -> list[str]:
    return list(pieces(text, chars=chars, words=words, growth=growth))


def test_a_short_text_stays_whole() -> None:
    assert cut("Hello world, this is short.") == ["Hello world, this is short."]


def test_the_first_piece_ends_at_a_sentence_or_a_clause_if_one_fits() -> None:
    assert cut("Good morning to all of you. And a good, good night. " + PARAGRAPH)[0] == "Good morning to all of you. "
    assert cut("That evening, as he climbed, he counted every step. " + PARAGRAPH)[0] == "That evening, as he climbed, "


def test_without_a_clause_it_ends_before_a_joining_word_or_after_a_word() -> None:
    assert (
        cut("The keeper came up and looked around the room without a single word to " + PARAGRAPH)[0]
        == "The keeper came up "
    )
    assert cut(PARAGRAPH)[0] == "When the lighthouse keeper climbed the "
    assert cut("One incomprehensibilities uncharacteristically long " * 4)[0] == (
        "One incomprehensibilities uncharacteristically "
    )


def test_a_title_is_no_end_of_a_sentence() -> None:
    first = cut(
        "We all went to see Dr. Smith because he asked us to come over to his house again last week, with him."
    )[0]
    assert not first.rstrip().endswith("Dr.")


@pytest.mark.parametrize("text", [PARAGRAPH[:150], PARAGRAPH, PARAGRAPH * 3])
@pytest.mark.parametrize("growth", [1.5, 2.0, 4.0])
def test_every_piece_is_in_time_at_the_slowest_factor_it_grows_for(text: str, growth: float) -> None:
    lengths = [len(piece) for piece in cut(text, growth=growth)]
    assert len(lengths) > 1
    assert lengths[0] <= 40
    said = list(accumulate(lengths))
    for before, after in zip(said, lengths[1:], strict=False):
        if lengths[0] + before * (growth - 1) < WHOLE:  # later, sentences are cut
            started, ready = lengths[0] / growth, (before + after) / growth
            assert ready <= started + before + 1


def test_markup_is_never_cut() -> None:
    text = "Say [tomato](/təmˈɑːtoʊ/) " + PARAGRAPH
    assert cut(text) == [text]
    assert len(cut(f"<speak>{PARAGRAPH}</speak>")) == 1


@settings(max_examples=200)
@given(
    text=st.text(alphabet=st.sampled_from("aB1.,;:!?- \n\"'"), max_size=600),
    chars=st.integers(1, 100),
    words=st.integers(1, 6),
    growth=st.floats(1, 4),
)
def test_pieces_are_the_text_and_hold_enough_words(text: str, chars: int, words: int, growth: float) -> None:
    found = cut(text, chars, words, growth)
    assert "".join(found) == text
    if len(found) > 1:
        assert all(len(piece.split()) >= words for piece in found)
