"""Tokens and tags by rule: what misaki needs to choose between two pronunciations."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kokoro_lab.text.tagger import rule_tags, tokens


def tagged(text: str) -> dict[str, str]:
    words = tokens(text)
    return {word.text: tag for word, tag in zip(words, rule_tags(words), strict=True)}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("It's Dr. Who's.", ["It's", "Dr", ".", "Who's", "."]),
        ("state-of-the-art e.g this", ["state-of-the-art", "e.g", "this"]),
        ("'tis the dogs' bone", ["'tis", "the", "dogs'", "bone"]),
        ("Wait... what?!", ["Wait", "...", "what", "?", "!"]),
        ("3.5 R&D _x", ["3.5", "R&D", "_", "x"]),
    ],
)
def test_words_keep_their_apostrophes_and_marks_stand_alone(text: str, words: list[str]) -> None:
    assert [token.text for token in tokens(text)] == words


@given(st.text(alphabet=st.characters(codec="utf-8", exclude_categories=("Cs", "Cc"))))
def test_every_character_but_white_space_belongs_to_one_token(text: str) -> None:
    assert "".join(token.text for token in tokens(text)) == "".join(text.split())


def test_white_space_after_a_token_is_one_space() -> None:
    assert [token.whitespace for token in tokens("  Two   words.")] == [" ", "", ""]


@pytest.mark.parametrize(
    ("text", "word", "tag"),
    [
        ("I want to record it.", "record", "VB"),
        ("They will record it.", "record", "VB"),
        ("They record it.", "record", "VBP"),
        ("This is a record.", "record", "NN"),
        ("It has a record player.", "record", "JJ"),
        ("He has read it.", "read", "VBN"),
        ("He has always read it.", "read", "VBN"),
        ("It was read aloud.", "read", "VBN"),
        ("Record the show.", "Record", "VB"),
        ("The record is here.", "is", "VBP"),
        ("Seven live shows.", "Seven", ""),
        ("It is 7 o'clock", "7", "CD"),
    ],
)
def test_a_word_with_two_pronunciations_takes_the_tag_its_neighbours_suggest(text: str, word: str, tag: str) -> None:
    assert tagged(text)[word] == tag


@pytest.mark.parametrize(
    ("text", "tag"),
    [
        ("We used to go.", "VBD"),
        ("It was used to close doors.", "VBN"),
        ("I was used to the noise.", "VBD"),
        ("She was used to working.", "VBD"),
    ],
)
def test_being_used_to_something_is_told_from_being_used_for_it(text: str, tag: str) -> None:
    assert tagged(text)["used"] == tag


def test_the_article_is_told_from_the_letter() -> None:
    assert tagged("A dog.")["A"] == "DT"
    assert tagged("Vitamin A helps.")["A"] == "NNP"
    assert tagged("It ends. A dog comes.")["A"] == "DT"


def test_capitals_are_an_acronym_alone_and_emphasis_in_company() -> None:
    assert tagged("The NASA report.")["NASA"] == "NNP"
    assert tagged("It is VERY LOUD here.")["VERY"] != "NNP"
    assert tagged("STOP NOW")["STOP"] == "", "a text without small letters is all emphasis"


def test_a_preposition_without_its_noun_is_a_particle() -> None:
    assert tagged("Come in.")["in"] == "RP"
    assert tagged("in the house")["in"] == "IN"
    assert tagged("He walked by.")["by"] == "RB"
