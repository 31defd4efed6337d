"""Characters, sentences and where they may be cut."""

import pytest

from kokoro_lab.text.sanitize import sanitize, speakable
from kokoro_lab.text.sentences import sentences


def texts(text):
    return [sentence.text for sentence in sentences(text)]


@pytest.mark.parametrize(
    ("typed", "clean"),
    [
        ("it’s ‘so’", "it's 'so'"),
        ("你好，世界。", "你好, 世界."),
        ("「はい」", "“はい”"),
        ("a\u00a0b\u200bc\x07d\ufeff", "a bc d"),
        ("fine 👍🏽 ❤️ 👨‍👩‍👧 day", "fine day"),
        ("wait.... what!!!", "wait… what!"),
        ("ＡＢＣ１２３", "ABC123"),
        ("e\u0301", "é"),
        ("lone \ud800 surrogate", "lone surrogate"),
        ("क्‍ष", "क्‍ष"),
        ("ﬁne", "fine"),
    ],
)
def test_characters(typed, clean):
    assert sanitize(typed) == clean


def test_what_can_be_spoken():
    assert speakable("a") and speakable("5") and speakable("%") and speakable("漢")
    assert not speakable("…?! —")


@pytest.mark.parametrize(
    "whole",
    [
        "Dr. Smith paid $3.50 for version 1.2.3 of it.",
        "See example.com or mail j.d@example.org now.",
        "It is 1,234.5 long, e.g. as No. 5 on p. 7.",
        "J. R. R. Tolkien met C. S. Lewis at 10 a.m. on Jan. 3.",
        "The U.S. economy, etc. and so on.",
        'She asked "why?" and left.',
        "1. the first item",
    ],
)
def test_one_sentence_stays_one(whole):
    assert texts(whole) == [whole]


def test_sentences_end_where_they_end():
    assert texts('He left. "Why?" she asked! Then… Nothing. At 5 p.m. We went. It was I. So.') == [
        "He left.",
        '"Why?" she asked!',
        "Then…",
        "Nothing.",
        "At 5 p.m.",
        "We went.",
        "It was I.",
        "So.",
    ]


def test_lines_and_paragraphs():
    wrapped = "This line is longer than fifty characters and goes on\nhere until its end. Then more."
    assert texts(wrapped) == ["This line is longer than fifty characters and goes on here until its end.", "Then more."]
    assert texts("A heading\nand a list\n\n- one\n- two") == ["A heading", "and a list", "- one", "- two"]
    assert [sentence.paragraph_end for sentence in sentences("One. Two.\n\nThree.")] == [False, True, False]


def test_what_never_ends_is_cut_at_clauses_then_words_then_anywhere():
    clauses = texts("one two three four, " * 200)
    assert all(sentence.endswith(",") and len(sentence) <= 1_000 for sentence in clauses)
    words = texts("word " * 1_000)
    assert all(set(sentence.split()) == {"word"} for sentence in words)
    assert "".join(texts("x" * 9_999)) == "x" * 9_999


def test_a_link_is_never_cut():
    text = "filler " * 141 + "[two words, really. Yes](/ˈaɪpiːeɪ/) end"
    assert any("[two words, really. Yes](/ˈaɪpiːeɪ/)" in sentence for sentence in texts(text))


@pytest.mark.parametrize(
    ("text", "ends"),
    [
        ("Yes. No. Well.", ["Yes.", "No.", "Well."]),
        ("No. I won't.", ["No.", "I won't."]),
        ("See No. 5 and vol. IV of it.", ["See No. 5 and vol. IV of it."]),
        ("He sat. The sun shone.", ["He sat.", "The sun shone."]),
        ("Come on Sat. Jan. 5 at noon.", ["Come on Sat. Jan. 5 at noon."]),
    ],
)
def test_what_is_a_word_too_is_an_abbreviation_only_where_it_can_be(text, ends):
    assert [sentence.text for sentence in sentences(text)] == ends
