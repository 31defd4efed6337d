"""Words to phonemes, and the path that each took."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType

import pytest

from kokoro_lab.errors import InputError, LanguageError
from kokoro_lab.text.cjk import CjkPhonemizer
from kokoro_lab.text.languages import LANGUAGES, canonical_language, language_of_voice
from kokoro_lab.text.lexicon import Lexicon, load_lexicon, project_lexicon
from kokoro_lab.text.normalize import spoken
from kokoro_lab.text.phonemize import phonemizer_for
from kokoro_lab.text.vocabulary import load_vocabulary

TEXTS = {
    "en-us": "The quick brown fox.",
    "en-gb": "The quick brown fox.",
    "es": "¿Qué tal, señor?",
    "fr-fr": "Ça va bien, l'ami !",
    "hi": "नमस्ते दुनिया",
    "it": "Ciao, come stai?",
    "pt-br": "Olá, tudo bem?",
    "ja": "こんにちは",
    "zh": "你好",
}


def said(text, lang="en-us"):
    return phonemizer_for(lang).phonemize(text).phonemes


def paths(text, lang="en-us"):
    return {word.text: word.path for word in phonemizer_for(lang).phonemize(text).words}


@pytest.mark.filterwarnings("ignore:open_text is deprecated")  # misaki reads its Japanese tables so
@pytest.mark.parametrize("letter", LANGUAGES)
def test_every_language_letter_is_phonemised_or_names_what_is_missing(letter):
    lang = canonical_language(letter)
    try:
        phonemizer = phonemizer_for(letter)
    except LanguageError as error:
        assert lang in {"ja", "zh"}
        assert f"misaki[{lang}]" in error.message
        return
    ids, dropped = load_vocabulary().encode(phonemizer.phonemize(TEXTS[lang]).phonemes)
    assert len(ids) > 5
    assert not dropped.strip("¿")


def test_the_letter_of_a_voice_is_its_language():
    assert language_of_voice("af_heart") == "en-us"
    assert language_of_voice("bm_george") == "en-gb"
    assert language_of_voice("pf_dora") == "pt-br"
    assert language_of_voice("my own voice") is None


def test_every_word_tells_its_path():
    assert paths("The dog chased Zyxglorb, and NASA's IBM.") == {
        "The": "lexicon",
        "dog": "lexicon",
        "chased": "lexicon",
        "Zyxglorb": "espeak",
        ",": "punctuation",
        "and": "lexicon",
        "NASA's": "rules",
        "IBM": "rules",
        ".": "punctuation",
    }
    assert paths("[Zyxglorb](/zˈɪks/)") == {"Zyxglorb": "user"}


def test_phonemes_of_the_words_lie_where_they_say():
    whole = phonemizer_for("en-us").phonemize('"Well," she said — (quietly) — "no."')
    assert all(whole.phonemes[word.start :].startswith(word.phonemes) for word in whole.words)
    assert whole.phonemes == "“wˈɛl,” ʃi sˈɛd — (kwˈIətli) — “nˈO.”"


def test_words_with_two_pronunciations_follow_their_neighbours():
    assert "ɹˈɛkəɹd" in said("I bought a record.")
    assert "ɹəkˈɔɹd" in said("I want to record it.")
    assert "jˈuz" in said("They use it.")
    assert "jˈus" in said("It is of no use.")
    assert "ɹˈɛd" in said("I have read it.") and "ɹˈid" in said("I will read it.")
    assert "lˈIv" in said("the live music") and "lˈɪv" in said("they live here")
    assert "jˈust" in said("I used to go.") and "jˈust" in said("She is used to the noise.")
    assert "jˈuzd" in said("It was used to close the case.")
    assert said("a cat") == "ɐ kˈæt"
    assert said("plan A").endswith("ˈA")
    assert said("the end").startswith("ði")
    assert said("the cat").startswith("ðə")


def test_capitals_alone_are_spelled_and_together_are_read():
    assert said("met in the US today").split()[3] == "jˌuˈɛs"
    assert said("READ THIS NOW, it is late") == "ɹˈid ðˈɪs nˈW, ɪt ɪz lˈAt"


def test_american_and_british_differ():
    assert said("the water") == "ðə wˈɔTəɹ"
    assert said("the water", "en-gb") == "ðə wˈɔːtə"


def test_what_people_write_as_ipa_becomes_the_models_symbols():
    assert said("[tomato](/təˈmeɪtoʊ/)") == "təˈmAtO"
    assert said("[jure](/d͡ʒʊr/)") == "ʤʊɹ"
    assert said("[hola](/ˈo.la/)", "es") == "ˈola"


def test_stress_can_be_raised_and_lowered():
    assert said("[the](2) cat") == "ðˈə kˈæt"
    assert said("the [cat](-1)") == "ðə kˌæt"


def test_numbers_in_other_languages_are_read_by_espeak():
    assert "tɾˈes" in said("Tengo 3 gatos.", "es")
    assert said("a las 12:30", "es") != said("a las 12", "es")


def test_letters_that_nothing_knows_are_still_said():
    phonemized = phonemizer_for("en-us").phonemize("xkcdq bvrtz")
    assert all(word.phonemes for word in phonemized.words)


def test_threads_get_what_one_caller_gets():
    texts = [f"Zyxglorb{letter} and Qwmpf{letter} meet." for letter in "abcdefghijkl"] * 4
    alone = [said(text) for text in texts]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(said, texts)) == alone
        spanish = list(pool.map(lambda text: said(text, "es"), texts))
    assert spanish == [said(text, "es") for text in texts]


def test_neither_the_network_nor_heavy_packages_are_touched():
    code = """
import socket, sys
def refuse(*_): raise AssertionError("network")
socket.socket.connect = refuse
socket.create_connection = refuse
from kokoro_lab.text.segment import segments
print([s.phonemes for s in segments("Hello Zyxglorb.")])
heavy = {"torch", "onnxruntime", "pandas", "pyarrow", "spacy", "thinc", "scipy", "kokoro_onnx"}
print(sorted(heavy & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["['həlˈO zˈɪksɡlɔɹb.']", "[]"]
    assert done.stderr == ""


def test_the_users_lexicon_comes_before_every_dictionary(tmp_path):
    file = tmp_path / "mine.txt"
    file.write_text("# names\nSiobhan\tʃɪvˈɔn\nkokoro  kˈɔkɔɹO  # not the project's\n", encoding="utf-8")
    lexicon = load_lexicon(file).over(project_lexicon("en-us"))
    text = spoken("Siobhan runs KOKORO and ONNX, siobhan's not.", "en-us", lexicon)
    assert text == "[Siobhan](/ʃɪvˈɔn/) runs [KOKORO](/kˈɔkɔɹO/) and [ONNX](/ˈɑnɪks/), siobhan's not."
    assert spoken("Kokoro's", "en-us", lexicon) == "[Kokoro's](/kˈɔkɔɹOz/)"
    assert not Lexicon()


@pytest.mark.parametrize("line", ["word", "w [x]", "/x/ y", "a b/c"])
def test_a_lexicon_names_the_line_that_is_wrong(tmp_path, line):
    file = tmp_path / "mine.txt"
    file.write_text(f"fine fˈIn\n\n{line}\n", encoding="utf-8")
    with pytest.raises(InputError, match="line 3"):
        load_lexicon(file)
    with pytest.raises(InputError, match="no file"):
        load_lexicon(tmp_path / "none.txt")


@pytest.mark.parametrize("lang", ["en-us", "en-gb"])
def test_the_projects_lexicon_is_sayable(lang):
    for phonemes in project_lexicon(lang).entries.values():
        assert load_vocabulary().encode(phonemes)[1] == ""


@pytest.mark.filterwarnings("ignore:open_text is deprecated")  # misaki reads its Japanese tables so
@pytest.mark.parametrize(
    ("lang", "text", "phonemes"),
    [
        ("zh", "2024年, 你好。", "ɚ↘li↗ŋɚ↘ sɨ↘njɛ↗n"),
        ("ja", "猫が25匹います。", "neko ɡa ɲiʥɨːɡo"),
    ],
)
def test_numbers_between_chinese_characters_and_kana_are_read_in_their_language(lang, text, phonemes):
    try:
        phonemizer = phonemizer_for(lang)
    except LanguageError as error:
        pytest.skip(error.message)
    said = phonemizer.phonemize(spoken(text, lang))
    assert said.phonemes.startswith(phonemes)
    assert load_vocabulary().encode(said.phonemes)[1] == ""
    assert {word.path for word in said.words} == {"package"}


def test_a_dictionary_that_is_missing_is_named(monkeypatch):
    module = ModuleType("misaki.ja")

    def broken():
        raise RuntimeError("Failed initializing MeCab.")

    module.JAG2P = broken
    monkeypatch.setitem(sys.modules, "misaki.ja", module)
    with pytest.raises(LanguageError, match="pip install unidic-lite"):
        CjkPhonemizer("ja")


PACKAGE = """
from pathlib import Path
from spacy.util import load_model_from_path
def load(**overrides):
    return load_model_from_path(Path(__file__).parent / "model", **overrides)
"""
TAGGED = """
import sys
import spacy
from spacy.training import Example
nlp = spacy.blank("en")
nlp.add_pipe("tok2vec")
nlp.add_pipe("tagger").add_label("VB")
nlp.initialize(lambda: [Example.from_dict(nlp.make_doc("record it"), {"tags": ["VB", "VB"]})])
nlp.to_disk(sys.argv[1] + "/en_core_web_sm/model")
sys.path.insert(0, sys.argv[1])
from kokoro_lab.text.english import tagger_in_use
from kokoro_lab.text.phonemize import phonemizer_for
print(tagger_in_use(), phonemizer_for("en-us").phonemize("A record, $3.50.").phonemes)
"""


def test_the_installed_model_tags_when_there_is_one(tmp_path):
    """A tagger that knows verbs only stands for en_core_web_sm, so that the path through spaCy is walked."""
    (tmp_path / "en_core_web_sm").mkdir()
    (tmp_path / "en_core_web_sm" / "__init__.py").write_text(PACKAGE)
    (tmp_path / "en_core_web_sm-3.8.0.dist-info").mkdir()
    (tmp_path / "en_core_web_sm-3.8.0.dist-info" / "METADATA").write_text("Name: en_core_web_sm\nVersion: 3.8.0\n")
    done = subprocess.run([sys.executable, "-c", TAGGED, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    tagger, _, phonemes = done.stdout.strip().partition(" ")
    assert tagger == "en_core_web_sm"
    assert "ɹəkˈɔɹd" in phonemes  # the verb, as the tagger has it; the rules say that it is a noun
