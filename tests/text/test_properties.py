"""What holds for every text."""

import re
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kokoro_lab.errors import EmptyTextError, KokoroLabError
from kokoro_lab.text.expand import expand
from kokoro_lab.text.markup import passages
from kokoro_lab.text.normalize import normalize
from kokoro_lab.text.sanitize import sanitize
from kokoro_lab.text.segment import segments
from kokoro_lab.text.sentences import sentences
from kokoro_lab.text.vocabulary import load_vocabulary

VOCABULARY = load_vocabulary()
SOME = settings(max_examples=60)
MANY = settings(max_examples=300)

AWKWARD = (
    *("Dr.", "St.", "e.g.", "U.S.", "a.m.", "Jan.", "No.", "$3.50", "1/2", "http://a.b/c?d=1", "x@y.org", "v1.2.3"),
    *("[ok](/ˈOkA/)", "[a](2)", "—", "…", "(", ")", "\n", "\n\n"),
)
TAGS = r"(<(p|s|break|sub|prosody|say-as|x)[a-z =\"0-9%/]{0,20}>|[a-z<>&]){0,9}"
WRITTEN = st.lists(
    st.one_of(
        st.from_regex(r"[A-Za-z']{1,14}[.,;:!?]?", fullmatch=True),
        st.from_regex(r"[$£€#-]?\d{1,7}([.,:/-]\d{1,4}){0,3}(%|st|nd|th|kg|ms|pm|s)?", fullmatch=True),
        st.sampled_from(AWKWARD),
    ),
    max_size=40,
).map(" ".join)
ANYTHING = st.one_of(st.text(max_size=200), WRITTEN, st.text(alphabet=string.printable, max_size=200))


def letters(text: str) -> str:
    return "".join(character for character in text if character.isalnum())


@SOME
@given(ANYTHING)
def test_no_text_crashes_and_every_segment_fits(text):
    try:
        spoken = list(segments(text, markup="none"))
    except EmptyTextError:
        return
    for index, segment in enumerate(spoken):
        assert segment.index == index
        assert 1 <= len(segment.tokens) <= 510
        assert len(segment.phonemes) == len(segment.tokens)
        assert segment.tokens == tuple(VOCABULARY.ids[symbol] for symbol in segment.phonemes)
        assert all(segment.phonemes[w.start : w.start + len(w.phonemes)] == w.phonemes for w in segment.words)


@pytest.mark.parametrize("lang", ["es", "fr-fr", "hi", "it", "pt-br"])
@settings(max_examples=25)
@given(text=ANYTHING)
def test_no_text_crashes_a_language_of_espeak(lang, text):
    try:
        spoken = list(segments(text, lang, markup="none"))
    except EmptyTextError:
        return
    assert all(len(segment.tokens) <= 510 for segment in spoken)


@SOME
@given(WRITTEN, st.integers(1, 30))
def test_segments_joined_lose_no_word(text, max_tokens):
    try:
        spoken = list(segments(text, max_tokens=max_tokens))
    except EmptyTextError:
        return
    source = re.sub(r"\[([^\[\]]*)\]\((?:/[^/()]*/|2)\)", r"\1", text)
    assert letters("".join(segment.text for segment in spoken)) == letters(sanitize(source))


@MANY
@given(ANYTHING)
def test_sentences_joined_are_the_sanitised_text(text):
    whole = [sentence.text for sentence in sentences(text)]
    assert letters("".join(whole)) == letters(sanitize(text))
    assert all(len(sentence) <= 1_000 for sentence in whole)


@MANY
@given(ANYTHING)
def test_sanitising_twice_changes_nothing(text):
    once = sanitize(text)
    assert sanitize(once) == once
    once.encode("utf-8")


@MANY
@given(ANYTHING)
def test_english_is_written_out_without_digits(text):
    written = expand(sanitize(text))
    assert not any(character.isdecimal() for character in written), written


@MANY
@given(st.text(max_size=100))
def test_normalising_gives_text_or_the_one_error(text):
    try:
        assert normalize(text) is not None
    except EmptyTextError:
        assert not any(character.isalpha() for character in sanitize(text))


@MANY
@given(
    st.one_of(
        st.text(max_size=80),
        st.from_regex(r"<speak>(<(p|s|break|sub|prosody|say-as|x)[a-z =\"0-9%/]{0,20}>|[a-z<>&]){0,9}</speak>"),
    )
)
def test_markup_is_read_or_refused_with_a_place(document):
    try:
        passages(document)
    except KokoroLabError as error:
        assert re.match(r"line \d+, column \d+: ", error.message)
