"""English phonemization: misaki's dictionaries and rules, espeak-ng for unknown words, else the letters themselves.

Two things that misaki does by itself are avoided. It downloads a spaCy model when none is installed: here an installed
model is used, and rule-based tags (tagger.py) otherwise. It also imports spaCy and copies its dictionaries to
capitalise them whether or not they are needed: here both are loaded on first use.
"""

from __future__ import annotations

import copy
import importlib.resources
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property, lru_cache
from importlib.machinery import PathFinder
from types import ModuleType
from typing import Any

from kokoro_lab.errors import LanguageError, PhonemizeError
from kokoro_lab.text.espeak import espeak
from kokoro_lab.text.links import Span, spans
from kokoro_lab.text.tagger import Token, rule_tags, tokens
from kokoro_lab.text.words import Phonemized, Piece, WordPath, assemble

__all__ = ["SPACY_MODEL", "EnglishPhonemizer", "tagger_in_use"]

MOST_GLUED = 12
"""Parts of words without white space between them, such as the seven of "jack-of-all-trades", that misaki gets: the
time of its search for known compounds grows with the cube of their number."""
SPACY_MODEL = "en_core_web_sm"
_PAUSES = frozenset(";:,.!?—…“”")
_BRACKETS = {"(": "(", ")": ")", "[": "(", "]": ")", "{": "(", "}": ")", "-": "—", "–": "—"}
_NAMED = frozenset("%&+@")  # misaki has names for these
_LETTERS = str.maketrans({"g": "ɡ", "c": "k", "q": "k", "x": "z", "y": "j"})
_USER_IPA = {
    "eɪ": "A", "aɪ": "I", "oʊ": "O", "əʊ": "Q", "aʊ": "W", "ɔɪ": "Y", "tʃ": "ʧ", "dʒ": "ʤ", "r": "ɹ", "g": "ɡ", "ɚ":
    "əɹ", "ɝ": "ɜɹ",
}  # fmt: skip
"""IPA as people write it for English -> the symbols that misaki writes for the model."""


@lru_cache(maxsize=1)
def tagger_in_use() -> str:
    """The tagger of English words: the name of the spaCy model where it and spaCy are installed, else "rules"."""
    # Looked up on the path alone: while misaki is imported, sys.modules holds a stand-in for spaCy.
    installed = all(PathFinder.find_spec(name) is not None for name in (SPACY_MODEL, "spacy"))
    return SPACY_MODEL if installed else "rules"


class EnglishPhonemizer:
    """en-us or en-gb. Safe to call from any thread."""

    def __init__(self, lang: str) -> None:
        self.lang = lang
        self._misaki = _misaki()
        self._g2p: Any = self._misaki.G2P.__new__(self._misaki.G2P)  # its __init__ would download the model
        self._g2p.version = None
        self._g2p.british = lang == "en-gb"
        self._g2p.unk = ""
        self._g2p.lexicon = _lexicon(self._misaki, self._g2p.british)

    def phonemize(self, text: str) -> Phonemized:
        """Phonemes of normalised text. Raises PhonemizeError."""
        fallback = _Fallback(self.lang)
        g2p = copy.copy(self._g2p)
        g2p.fallback = fallback
        g2p.tokenize = lambda plain, *_: self._tokens(plain)
        try:
            _, words = g2p(text, preprocess=False)
        except (ValueError, TypeError, AttributeError, LookupError, ArithmeticError, AssertionError) as error:
            raise PhonemizeError(f"misaki cannot phonemize {text[:60]!r}: {error!r}; check the text") from error
        return assemble(self._pieces(words, fallback.paths))

    def _tokens(self, text: str) -> list[Any]:
        """misaki's tokens with tags; punctuation and words with a given pronunciation have their phonemes already."""
        sources: list[tuple[Token, Span]] = []
        for span in spans(text):
            if span.ipa is not None:
                sources.append((Token(span.text, " " if span.text[-1:].isspace() else "", True), span))
                continue
            if sources and span.text[:1].isspace():
                sources[-1] = (sources[-1][0]._replace(whitespace=" "), sources[-1][1])
            sources.extend((token, span) for token in tokens(span.text))
        sources = list(self._separated(sources))
        row = [token for token, _ in sources]
        tags = rule_tags(row) if tagger_in_use() == "rules" else _spacy_tags(row)
        before = ""
        tagged = []
        for (token, span), tag in zip(sources, tags, strict=True):
            tagged.append(self._token(token, tag, span, opening=not before or before[-1] in " (“—["))
            before = token.text + token.whitespace
        return tagged

    def _separated(self, sources: Iterable[tuple[Token, Span]]) -> Iterator[tuple[Token, Span]]:
        """The tokens, with white space wherever MOST_GLUED of misaki's parts of words would touch the next."""
        glued = 0
        for token, span in sources:
            if span.ipa is not None or not (token.is_word or token.text in _NAMED):
                glued = 0  # it has its phonemes already
                yield token, span
                continue
            plain = token.text.isalpha() and token.text[1:].islower()
            parts = [token.text] if plain else self._misaki.subtokenize(token.text) or [token.text]
            while glued + len(parts) >= MOST_GLUED:
                room = MOST_GLUED - glued
                yield Token("".join(parts[:room]), " ", token.is_word), span
                parts, glued = parts[room:], 0
            if parts:
                glued = 0 if token.whitespace else glued + len(parts)
                yield Token("".join(parts), token.whitespace, token.is_word), span

    def _token(self, token: Token, tag: str, span: Span, *, opening: bool) -> Any:
        mtoken = self._misaki.MToken(text=token.text, tag=tag, whitespace=token.whitespace)
        mtoken._ = self._misaki.MToken.Underscore(is_head=True, num_flags="", prespace=False)
        if span.ipa is not None:
            mtoken.phonemes, mtoken._.rating = symbols_of_ipa(span.ipa), 5
        elif span.stress is not None:
            mtoken._.stress = span.stress
        elif not token.is_word and token.text not in _NAMED:
            mtoken.phonemes, mtoken._.rating = _mark(token.text, opening), 4
        return mtoken

    def _pieces(self, words: Sequence[Any], fallback: dict[str, WordPath]) -> Iterator[Piece]:
        spaced = False
        lexicon = self._g2p.lexicon
        for word in words:
            text = str(word.text)
            path: WordPath
            if word._.rating == 5:
                path = "user"
            elif not any(character.isalnum() for character in text) and text not in _NAMED:
                path = "punctuation"
            elif text in fallback:
                path = fallback[text]
            else:
                forms, dictionaries = (text, text.lower()), (lexicon.golds, lexicon.silvers)
                path = "lexicon" if any(form in known for known in dictionaries for form in forms) else "rules"
            yield Piece(text, word.phonemes or "", path, spaced)
            spaced = bool(word.whitespace)


def symbols_of_ipa(ipa: str) -> str:
    """A pronunciation given in IPA, in the symbols that the model was trained with for English."""
    ipa = ipa.replace("\u0361", "").replace(".", "").replace("'", "ˈ")
    for written, symbol in _USER_IPA.items():
        ipa = ipa.replace(written, symbol)
    return ipa


class _Fallback:
    """The fallback that misaki calls for unknown words; records which path each word took."""

    def __init__(self, lang: str) -> None:
        self.paths: dict[str, WordPath] = {}
        self._lang = lang

    def __call__(self, token: Any) -> tuple[str, int]:
        text = str(token.text)
        phonemes, _ = _espeak_fallback(self._lang)(token)
        if phonemes and any(character.isalpha() for character in phonemes):
            self.paths[text] = "espeak"
            return str(phonemes), 2
        self.paths[text] = "graphemes"
        return "".join(c for c in text.lower() if "a" <= c <= "z").translate(_LETTERS), 1


class _EspeakBackend:
    """Our espeak with the interface of phonemizer's espeak backend, which misaki's EspeakFallback expects."""

    def __init__(self, lang: str) -> None:
        self._espeak = espeak(lang)

    def phonemize(self, texts: list[str]) -> list[str]:
        return [self._espeak.ipa(text).replace("\u0361", "^") for text in texts]


@lru_cache(maxsize=2)
def _espeak_fallback(lang: str) -> Any:
    """misaki's mapping from espeak's IPA to its own symbols, applied to our espeak."""
    from misaki.espeak import EspeakFallback

    fallback = EspeakFallback.__new__(EspeakFallback)  # its __init__ would start a second espeak
    fallback.british = lang == "en-gb"
    fallback.version = None
    fallback.backend = _EspeakBackend(lang)
    return fallback


class _Dictionary:
    """One of misaki's dictionaries, read on first use; a lookup also tries the word's other capitalization."""

    def __init__(self, name: str) -> None:
        self._name = name

    @cached_property
    def _entries(self) -> dict[str, Any]:
        entries: dict[str, Any] = json.loads((importlib.resources.files("misaki.data") / self._name).read_bytes())
        return entries

    def _key(self, word: str) -> str | None:
        if word in self._entries:
            return word
        lower = word.lower()
        if len(word) < 2 or word not in {lower, lower.capitalize()}:
            return None
        other = lower.capitalize() if word == lower else lower
        return other if other in self._entries else None

    def __contains__(self, word: str) -> bool:
        return self._key(word) is not None

    def __getitem__(self, word: str) -> Any:
        return self._entries[self._key(word) or word]

    def get(self, word: str, default: Any = None) -> Any:
        key = self._key(word)
        return default if key is None else self._entries[key]


@lru_cache(maxsize=2)
def _lexicon(misaki: Any, british: bool) -> Any:
    lexicon = misaki.Lexicon.__new__(misaki.Lexicon)  # its __init__ would copy both dictionaries
    lexicon.british = british
    lexicon.cap_stresses = (0.5, 2)
    lexicon.golds = _Dictionary(f"{'gb' if british else 'us'}_gold.json")
    lexicon.silvers = _Dictionary(f"{'gb' if british else 'us'}_silver.json")
    return lexicon


class _Unloaded(ModuleType):
    """Placeholder for a module that misaki refers to; imports the module on the first access to an attribute."""

    def __getattr__(self, name: str) -> Any:
        return getattr(importlib.import_module(self.__name__), name)


@lru_cache(maxsize=1)
def _misaki() -> Any:
    """The module misaki.en, imported without spaCy unless that is loaded already (saves 0.6 s and 60 MB)."""
    stand_in = _Unloaded("spacy")
    sys.modules.setdefault("spacy", stand_in)
    try:
        from misaki import en
    except ImportError as error:
        raise LanguageError(f"English needs the package {error.name}; install it with pip") from error
    finally:
        if sys.modules.get("spacy") is stand_in:
            del sys.modules["spacy"]
    return en


@lru_cache(maxsize=1)
def _spacy_pipeline() -> Any:
    import spacy

    return spacy.load(SPACY_MODEL, enable=["tok2vec", "tagger"])


def _spacy_tags(row: Sequence[Token]) -> list[str]:
    """Tags of our tokens by the installed spaCy model."""
    from spacy.tokens import Doc

    pipeline = _spacy_pipeline()
    words, spaces = [token.text for token in row], [bool(token.whitespace) for token in row]
    return [str(token.tag_) for token in pipeline(Doc(pipeline.vocab, words=words, spaces=spaces))]


def _mark(text: str, opening: bool) -> str:
    """A punctuation mark as the model's vocabulary writes it; empty for marks that the vocabulary lacks."""
    if text == '"':
        return "“" if opening else "”"
    if text.startswith(".."):
        return "…"
    return text if text in _PAUSES else _BRACKETS.get(text, "")
