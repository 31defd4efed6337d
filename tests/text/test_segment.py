"""Segments: what one model call speaks, and the silence behind it."""

import time
import tracemalloc
from pathlib import Path

import pytest
from scripted_clock import ScriptedClock

from kokoro_lab.errors import EmptyTextError, InputError, SettingError
from kokoro_lab.text import segment as text_segment
from kokoro_lab.text.phonemize import phonemizer_for
from kokoro_lab.text.segment import Pauses, Pronunciation, segments

TEXTS = Path(__file__).parents[2] / "data" / "texts"


class Counting:
    """A phonemizer that counts what it was asked."""

    lang = "en-us"

    def __init__(self):
        self.asked = []

    def phonemize(self, text):
        self.asked.append(text)
        return phonemizer_for("en-us").phonemize(text)


def test_hello_world_becomes_thirteen_tokens():
    (segment,) = segments("Hello world!")
    assert segment.phonemes == "həlˈO wˈɜɹld!"
    assert segment.tokens == (50, 83, 54, 156, 31, 16, 65, 156, 87, 123, 54, 46, 5)
    assert segment.pause_s == 0.0
    assert segment.rate == 1.0
    assert set(segment.seconds) == {"normalise", "phonemise", "tokenise"}
    assert all(seconds >= 0.0 for seconds in segment.seconds.values())


@pytest.mark.parametrize(
    ("name", "length"), [("ultra-short", 2), ("hello", 12), ("short", 61), ("medium", 141), ("long", 242)]
)
def test_presets_have_the_lengths_they_stand_for(name, length):
    text = (TEXTS / f"{name}.txt").read_text(encoding="utf-8").removesuffix("\n")
    assert len(text) == length
    assert list(segments(text))


def test_the_article_has_paragraphs_and_pauses():
    text = (TEXTS / "article.txt").read_text(encoding="utf-8")
    assert 2_300 <= len(text) <= 2_700
    spoken = list(segments(text))
    assert len(spoken) > 20
    assert {segment.pause_s for segment in spoken} == {0.15, 0.18, 0.0}
    assert spoken[-1].pause_s == 0.0
    assert not any(segment.dropped for segment in spoken)


def test_a_sentence_is_phonemised_when_its_segment_is_asked_for():
    counting = Counting()
    spoken = segments("One sentence. Another one. A third.", pronunciation=Pronunciation(phonemizer=counting))
    assert counting.asked == []
    next(spoken)
    assert counting.asked == ["One sentence."]
    next(spoken)
    assert len(counting.asked) == 2


def test_time_between_segments_is_nobodys(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = ScriptedClock(monkeypatch)
    clock.price(text_segment, "spoken", 4)
    spoken = segments("Hello there. And again.")
    next(spoken)
    clock.spend("nobody", 100)
    assert next(spoken).seconds == {"normalise": 4, "phonemise": 0, "tokenise": 0}


def test_long_sentences_are_cut_at_clauses_then_words_then_tokens():
    clauses = list(segments("This part is short enough, and so is this one; but together they are not.", max_tokens=40))
    assert [segment.text[-1] for segment in clauses] == [",", ";", "."]
    assert [segment.pause_s for segment in clauses] == [0.08, 0.08, 0.0]
    words = list(segments("these words have no mark between them at all", max_tokens=20))
    assert " ".join(segment.text for segment in words) == "these words have no mark between them at all"
    assert words[0].pause_s == 0.0
    tokens = list(segments("incomprehensibilities", max_tokens=5))
    assert "".join(segment.text for segment in tokens) == "incomprehensibilities"
    assert all(len(segment.tokens) <= 5 for segment in tokens)


def test_pauses_follow_the_mark():
    text = "One. Two! Three? Four… Five."
    assert [segment.pause_s for segment in segments(text)] == [0.15, 0.15, 0.15, 0.18, 0.0]
    own = Pauses(sentence_s=0.12)
    assert next(segments(text, pauses=own)).pause_s == 0.12


def test_sentences_can_be_gathered_behind_the_first():
    text = "First one. Second one. Third one. " + "And a longer one that stands alone, since it does not fit in. " * 2
    gathered = list(segments(text, gather_tokens=60))
    assert [segment.text for segment in gathered[:2]] == ["First one.", "Second one. Third one."]
    assert [segment.index for segment in gathered] == list(range(len(gathered)))
    assert all(len(segment.tokens) == len(segment.phonemes) for segment in gathered)
    for word in gathered[1].words:
        assert gathered[1].phonemes[word.start :].startswith(word.phonemes)


def test_what_cannot_be_spoken_is_left_out_or_refused():
    assert [segment.text for segment in segments("*** \n\n Yes. \n\n !!!")] == ["Yes."]
    with pytest.raises(EmptyTextError):
        list(segments("  \n ... !? "))
    with pytest.raises(SettingError):
        next(segments("a", max_tokens=511))
    with pytest.raises(SettingError):
        next(segments("a", gather_tokens=511))


def test_markup_reaches_the_segments():
    document = (
        '<speak>Hello <break time="500ms"/> there. <prosody rate="80%">Slowly now.</prosody> '
        'Say <phoneme alphabet="ipa" ph="təˈmeɪtoʊ">tomato</phoneme>, <sub alias="doctor">Dr</sub> '
        '<say-as interpret-as="characters">B2</say-as>.</speak>'
    )
    spoken = list(segments(document))
    assert [(segment.text, segment.rate, segment.pause_s) for segment in spoken] == [
        ("Hello", 1.0, 0.5),
        ("there.", 1.0, 0.15),
        ("Slowly now.", 0.8, 0.15),
        ("Say tomato, doctor B two.", 1.0, 0.0),
    ]
    assert "təˈmAtO" in spoken[-1].phonemes
    assert next(segments(document, markup="none")).text.startswith("<speak>")


@pytest.mark.parametrize(
    ("lang", "kind", "written", "said"),
    [
        ("es", "cardinal", "1.234", "1234"),
        ("it", "ordinal", "3", "terzo"),
        ("pt-br", "ordinal", "3", "terceiro"),
        ("fr-fr", "ordinal", "3", "troisième"),
        ("hi", "digits", "204", "2 0 4"),
        ("es", "telephone", "12 34", "1 2, 3 4"),
    ],
)
def test_say_as_leaves_digits_of_other_languages_to_their_phonemiser(lang, kind, written, said):
    document = f'<speak><say-as interpret-as="{kind}">{written}</say-as></speak>'
    assert [segment.text for segment in segments(document, lang)] == [said]


@pytest.mark.parametrize(
    ("lang", "kind", "word"), [("es", "date", "English only"), ("hi", "ordinal", "not supported in hi")]
)
def test_say_as_refuses_what_a_language_does_not_have(lang, kind, word):
    with pytest.raises(InputError, match=word):
        list(segments(f'<speak><say-as interpret-as="{kind}">3</say-as></speak>', lang))


def test_a_break_before_the_first_word_leads_it():
    document = '<speak><p><break time="300ms"/> <break time="200ms"/>Hello. There.</p></speak>'
    assert [(one.text, one.lead_s) for one in segments(document)] == [("Hello.", 0.5), ("There.", 0.0)]
    assert next(segments("<speak><p/>Hello.</speak>")).lead_s == 0.0
    assert next(segments('<speak>... <break time="1s"/>Hello.</speak>')).lead_s == 1.0


@pytest.mark.parametrize(
    ("document", "place"),
    [
        ("<speak>a <blink>x</blink></speak>", "line 1, column 10: <blink> is not supported"),
        ('<speak>\n  <break time="x"/></speak>', "line 2, column 3: invalid break time 'x'"),
        ("<speak>a & b</speak>", "line 1, column 11: the markup is not well formed"),
        ('<speak><prosody pitch="high">b</prosody></speak>', "line 1, column 8: <prosody> has no attribute 'pitch'"),
        ('<speak><prosody rate="900%">b</prosody></speak>', "line 1, column 8: rate 9 is out of range"),
        ('<speak><emphasis level="huge">b</emphasis></speak>', "line 1, column 8: unknown emphasis level 'huge'"),
        ('<!DOCTYPE x [<!ENTITY a "b">]><speak>&a;</speak>', "line 1, column "),
        ("<s>a</s>", "line 1, column 1: the document begins with <s>"),
    ],
)
def test_markup_errors_name_the_place(document, place):
    with pytest.raises(InputError) as caught:
        list(segments(document, markup="ssml"))
    assert caught.value.message.startswith(place)


def test_a_megabyte_is_read_lazily():
    text = (TEXTS / "article.txt").read_text(encoding="utf-8") * 420
    assert len(text) > 1_000_000
    next(segments("Warm up, Zyxglorb."))
    tracemalloc.start()
    started = time.process_time()
    spoken = segments(text)
    next(spoken)
    assert time.process_time() - started < 0.5
    for _ in range(40):
        next(spoken)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4_000_000


@pytest.mark.parametrize("text", ["a-" * 2_000, "'" * 3_000 + "x", "aB" * 2_000, "漢" * 2_000, "[" * 3_000 + "a"])
def test_no_text_takes_long_to_segment(text):
    started = time.process_time()
    assert list(segments(text))
    assert time.process_time() - started < 5.0
