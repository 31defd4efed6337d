"""English as it is read aloud."""

import time

import num2words
import pytest

from kokoro_lab.errors import EmptyTextError
from kokoro_lab.text.expand import expand, spell
from kokoro_lab.text.normalize import normalize
from kokoro_lab.text.number_words import cardinal, decimal, fraction, ordinal, year

SAID = {
    "It costs $3.50.": "It costs three dollars and fifty cents.",
    "£1.01, €3, 3€ and ¥500": "one pound and one penny, three euros, three euros and five hundred yen",
    "$5 million or $1.2bn": "five million dollars or one point two billion dollars",
    "-$5.25": "minus five dollars and twenty-five cents",
    "$1,000,000.01": "one million dollars and one cent",
    "in 2024": "in twenty twenty-four",
    "1905, 2000, 2005, 1900": "nineteen oh five, two thousand, two thousand five, nineteen hundred",
    "the 1990s and the '80s": "the nineteen nineties and the eighties",
    "1,234.5": "one thousand two hundred thirty-four point five",
    "007 has 3500 men": "zero zero seven has three thousand five hundred men",
    "-5 degrees": "minus five degrees",
    "1st, 22nd, 103rd": "first, twenty-second, one hundred third",
    "Dr. Smith met Mr. Jones on Main St. today": "Doctor Smith met Mister Jones on Main Street today",
    "St. John": "Saint John",
    "Mrs Brown vs Dr Green": "Missus Brown versus Doctor Green",
    "e.g. this, i.e. that, etc.": "for example this, that is that, et cetera.",
    "See No. 5 and pp. 3-5.": "See number five and pages three to five.",
    "J. R. R. Tolkien of the U.S. Army": "J R R Tolkien of the US Army",
    "at 10:05 a.m. or 23:15": "at ten oh five a.m or twenty-three fifteen",
    "10:00": "ten o'clock",
    "3 p.m.": "three p.m.",
    "2024-03-15": "March fifteenth, twenty twenty-four",
    "3/15/2024": "March fifteenth, twenty twenty-four",
    "Jan. 3, 2024": "January third, twenty twenty-four",
    "the 3rd of May 1999": "May third, nineteen ninety-nine",
    "version 1.2.3": "version one point two point three",
    "v2.0": "version two point zero",
    "192.168.0.1": "one nine two dot one six eight dot zero dot one",
    "https://www.example.com/a_b.": "w w w dot example dot com slash a underscore b.",
    "example.org": "example dot org",
    "jo.doe+x@mail-host.co.uk": "jo dot doe plus x at mail dash host dot co dot uk",
    "main.py": "main dot py",
    "50%, 20°C": "fifty percent, twenty degrees Celsius",
    "5kg, 1 mi and 3.5GB": "five kilograms, one mile and three point five gigabytes",
    "1/2, 3/4, 1 1/2, 2½": "one half, three quarters, one and a half, two and a half",
    "24/7": "twenty-four seven",
    "(555) 123-4567": "five five five, one two three, four five six seven",
    "10-20 and 1990–1995": "ten to twenty and nineteen ninety to nineteen ninety-five",
    "AT&T, B2B, MP3": "AT and T, B two B, MP three",
    "#5 and #tag": "number five and hashtag tag",
    "٣٤ and １２": "thirty-four and twelve",
    "13/45/2024": "thirteen slash forty-five slash twenty twenty-four",
}


@pytest.mark.parametrize("written", SAID)
def test_it_is_said_as_people_say_it(written):
    assert normalize(written) == SAID[written]


def test_british_english_has_its_own_ways():
    assert normalize("105 km on 3/5/2024", "en-gb") == (
        "one hundred and five kilometres on the third of May, twenty twenty-four"
    )


def test_plain_words_come_back_as_they_are():
    assert expand("Well, that's it - isn't it?") == "Well, that's it - isn't it?"


@pytest.mark.parametrize(
    "number", [0, 7, 13, 20, 21, 99, 100, 101, 110, 999, 1_000, 1_001, 12_345, 1_000_000, 10**15 + 1]
)
def test_numbers_agree_with_another_library(number):
    def plain(words):
        return words.replace(",", "").replace(" and", "")

    assert cardinal(number) == plain(num2words.num2words(number))
    assert plain(cardinal(number, british=True)) == cardinal(number)
    if number:
        assert ordinal(number) == plain(num2words.num2words(number, to="ordinal"))


def test_numbers_at_the_edges():
    assert cardinal(-3) == "minus three"
    assert cardinal(1_005, british=True) == "one thousand and five"
    assert cardinal(10**18) == "one" + " zero" * 18
    assert decimal("0.05") == "zero point zero five"
    assert [year(number) for number in (1066, 1100, 2010, 2099)] == [
        "ten sixty-six",
        "eleven hundred",
        "twenty ten",
        "twenty ninety-nine",
    ]
    assert fraction(2, 3) == "two thirds"
    assert spell("B-2b&") == "B - two B and"


def test_links_are_left_alone():
    assert normalize("[2024](/ˈɪə/) and 2024") == "[2024](/ˈɪə/) and twenty twenty-four"


def test_nothing_speakable_is_an_error():
    for text in ("", "  ", "!?…", "🎉", "\x00\u200b", "---"):
        with pytest.raises(EmptyTextError):
            normalize(text)


TIRING = (
    *("9" * 3_000, "a." * 1_500, "http://a.b/" + "c/" * 1_500, "a@" * 1_500, "1-" * 1_500, "1/" * 1_500, "$" * 3_000),
    *("word " * 600, "the wind, first of all; " * 100 + "é", "aB" * 1_500, "A." * 1_500, "v1.2." * 600, "1," * 1_500),
)


@pytest.mark.parametrize("text", TIRING)
def test_no_text_takes_long_to_write_out(text):
    started = time.process_time()
    normalize(text)
    assert time.process_time() - started < 2.0


def test_no_is_a_number_only_before_a_digit():
    assert normalize("No. Well, no. IBM? Take no. 5.") == "No. Well, no. IBM? Take number five."
    assert normalize("ch. IV, p. I'd say") == "chapter IV, p. I'd say"
