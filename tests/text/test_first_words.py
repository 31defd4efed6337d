"""The text floor, end to end, in the shortest form."""

import pytest

from kokoro_lab.errors import EmptyTextError, LanguageError
from kokoro_lab.text.phonemize import canonical_language, phonemizer_for
from kokoro_lab.text.segment import segments


def test_hello_world_becomes_thirteen_tokens():
    (segment,) = segments("Hello world!")
    assert segment.phonemes == "həlˈO wˈɜɹld!"
    assert segment.tokens == (50, 83, 54, 156, 31, 16, 65, 156, 87, 123, 54, 46, 5)
    assert segment.pause_s == 0.0
    assert set(segment.seconds) == {"normalise", "phonemise", "tokenise"}


def test_nothing_to_speak_is_an_error():
    with pytest.raises(EmptyTextError):
        list(segments("  \n ... !? "))


def test_languages_go_by_several_names():
    assert canonical_language("en") == canonical_language("a") == canonical_language("EN_US") == "en-us"
    with pytest.raises(LanguageError, match="tlh"):
        phonemizer_for("tlh")
