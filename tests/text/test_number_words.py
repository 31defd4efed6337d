"""Numbers of any size and shape are spoken, and nothing but words is left of them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kokoro_lab.errors import InputError
from kokoro_lab.text.expand import expand, spell
from kokoro_lab.text.markup import passages
from kokoro_lab.text.number_words import amount, cardinal, decimal, digits, fraction, ordinal, year

MANY = settings(max_examples=150)
LENGTHS = (1, 2, 4, 9, 15, 18, 19, 30, 300, 4_299, 4_300, 4_301, 9_000)
DIGITS = st.one_of(
    st.from_regex(r"[0-9]{1,25}", fullmatch=True),
    st.builds(lambda digit, length: digit * length, st.sampled_from("0123456789"), st.sampled_from(LENGTHS)),
)
WHOLE = st.one_of(
    st.integers(), st.builds(lambda length, tail: 10**length + tail, st.sampled_from(LENGTHS), st.integers())
)
SHAPES = (
    *("{0}", "-{0}", "{0}.{1}", ".{0}", "{0},{1}", "{0}st", "{0}th", "{0},111th", "{0}/{1}", "{0} {1}/{2}", "{0}-{1}"),
    *("{0}–{1}", "${0}", "-${0}.{1}", "{0}€", "${0} million", "{0}%", "{0}km", "{0} km/h", "{0}°C", "{0}:{1}"),
    *("{0}:{1}:{2}", "{0} a.m.", "{0}-{1}-{2}", "{0}/{1}/{2}", "January {0}, {1}", "the {0}th of May {1}", "{0}s"),
    *("v{0}", "{0}.{1}.{2}", "+{0} {1}-{2}", "({0}) {1}-{2}", "#{0}", "No. {0}", "a{0}b", "{0}e{1}", "{0}½", "{0}²"),
)
KINDS = ("cardinal", "number", "ordinal", "year", "date", "time", "currency", "fraction", "telephone", "digits")


def assert_words(words: str) -> None:
    assert words and not any(character.isdigit() for character in words), words[:100]


@MANY
@given(st.sampled_from(SHAPES), DIGITS, DIGITS, DIGITS, st.booleans())
def test_a_number_of_any_shape_and_size_is_written_out(
    shape: str, first: str, second: str, third: str, british: bool
) -> None:
    assert_words(expand(shape.format(first, second, third), british=british))


@MANY
@given(WHOLE, st.booleans())
def test_a_whole_number_of_any_size_has_words(number: int, british: bool) -> None:
    for words in (cardinal(number, british=british), ordinal(number, british=british), year(number, british=british)):
        assert_words(words)


@MANY
@given(DIGITS, DIGITS, st.booleans())
def test_digits_of_any_length_have_words(first: str, second: str, british: bool) -> None:
    for words in (
        cardinal(first, british=british), ordinal(first, british=british), digits(first), spell(first),
        decimal(f"{first}.{second}", british=british), amount(f"{first}.{second}", "dollar", "cent", british=british),
    ):  # fmt: skip
        assert_words(words)


@MANY
@given(WHOLE, WHOLE.filter(lambda number: abs(number) >= 2))
def test_a_fraction_of_any_size_has_words(top: int, bottom: int) -> None:
    assert_words(fraction(top, bottom))


@MANY
@given(
    st.sampled_from(KINDS), DIGITS, st.sampled_from(["en-us", "en-gb", "es", "fr-fr", "it", "pt-br", "hi", "ja", "zh"])
)
def test_a_number_in_markup_is_spoken_or_refused_in_a_sentence(kind: str, number: str, lang: str) -> None:
    document = f'<speak><say-as interpret-as="{kind}">{number}</say-as></speak>'
    try:
        (passage,) = passages(document, lang)
    except InputError as error:
        assert "is supported in English only" in error.message or "'ordinal' is not supported in" in error.message
        assert len(error.message) < 300
    else:
        assert passage.text.strip()


@pytest.mark.parametrize("lang", ["es", "fr-fr", "it", "pt-br"])
@pytest.mark.parametrize("number", ["0", "1", "999999999999", "999999999999999999", "1" * 19, "9" * 5_000])
def test_ordinals_of_other_languages_have_no_largest(lang: str, number: str) -> None:
    (passage,) = passages(f'<speak><say-as interpret-as="ordinal">{number}</say-as></speak>', lang)
    assert passage.text.strip()


def test_a_long_number_is_read_digit_by_digit_and_stays_an_ordinal() -> None:
    assert ordinal("1" * 18 + "2").endswith("one one second")
    assert cardinal(10**5_000 + 7) == " ".join(["one", *["zero"] * 4_999, "seven"])
    assert expand("the 1" + ",000" * 2_000 + "th").endswith("zero zero zeroth")


def test_what_is_no_number_is_quoted_in_part() -> None:
    with pytest.raises(InputError, match="which is not a whole number; write digits") as caught:
        passages(f'<speak><say-as interpret-as="cardinal">{"x" * 10_000}</say-as></speak>')
    assert len(caught.value.message) < 200
