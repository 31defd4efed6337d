"""Text into the pieces that one model call speaks."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

from kokoro_lab.errors import EmptyTextError
from kokoro_lab.text.normalize import spoken
from kokoro_lab.text.phonemize import Phonemizer, Word, canonical_language, phonemizer_for
from kokoro_lab.text.sanitize import speakable
from kokoro_lab.text.sentences import clause_end, sentences, word_end
from kokoro_lab.text.vocabulary import MAX_TOKENS, Vocabulary, load_vocabulary

__all__ = ["Pauses", "Segment", "segments"]


@dataclass(frozen=True, slots=True)
class Pauses:
    """Silence after a segment, in seconds, by the mark that it ends with."""

    sentence_s: float = 0.15
    """After . ! and ?"""
    paragraph_s: float = 0.18
    """At the end of a paragraph, and after an ellipsis."""
    clause_s: float = 0.08
    """After , ; : and a dash."""
    cut_s: float = 0.0
    """Where a clause longer than a model call had to be cut."""

    def after(self, text: str, *, paragraph_end: bool) -> float:
        """The pause that follows `text`."""
        if paragraph_end:
            return self.paragraph_s
        mark = text.rstrip("\"”') ]")[-1:]
        if mark == "…":
            return self.paragraph_s
        if mark in {".", "!", "?"}:
            return self.sentence_s
        return self.clause_s if mark and mark in ",;:—–-" else self.cut_s


@dataclass(frozen=True, slots=True)
class Segment:
    """The text behind one model call."""

    index: int
    text: str
    """Sanitised, and not yet written out in words. Joined, the texts of all segments hold every word of the input."""
    phonemes: str
    """One character a token."""
    tokens: tuple[int, ...]
    """At most 510, without the zeros around them."""
    pause_s: float
    """Silence that follows it, in seconds; 0 after the last."""
    words: tuple[Word, ...]
    """What was spoken, each with its path; `start` counts tokens."""
    seconds: dict[str, float]
    """What making it took: normalise, phonemise, tokenise."""
    dropped: str = ""
    """Phonemes that the model has no token for."""


class _Clock:
    """Seconds by stage, since the last segment was made."""

    def __init__(self) -> None:
        self.seconds = dict.fromkeys(("normalise", "phonemise", "tokenise"), 0.0)

    def __call__(self, stage: str, started: float) -> None:
        self.seconds[stage] += time.perf_counter() - started


def segments(
    text: str,
    lang: str = "en-us",
    *,
    vocabulary: Vocabulary | None = None,
    phonemizer: Phonemizer | None = None,
    max_tokens: int = MAX_TOKENS,
    pauses: Pauses | None = None,
) -> Iterator[Segment]:
    """The segments of `text`, lazily: a sentence is phonemised when its segment is asked for.

    A sentence is one segment while it fits into `max_tokens`; else it is cut near the middle, at the end of a clause
    if there is one, else between words, and a single word between tokens. Raises EmptyTextError when nothing in the
    text can be spoken, LanguageError and PhonemizeError.
    """
    lang = canonical_language(lang)
    pauses = pauses or Pauses()
    maker = _Maker(lang, vocabulary or load_vocabulary(), phonemizer or phonemizer_for(lang), max_tokens, pauses)
    found = False
    for segment in maker.make(text):
        found = True
        yield segment
    if not found:
        raise EmptyTextError("there is nothing to speak in the text; give it a letter or a digit")


class _Maker:
    def __init__(
        self, lang: str, vocabulary: Vocabulary, phonemizer: Phonemizer, max_tokens: int, pauses: Pauses
    ) -> None:
        self.lang, self.vocabulary, self.phonemizer = lang, vocabulary, phonemizer
        self.max_tokens, self.pauses = max_tokens, pauses
        self.index = 0
        self.clock = _Clock()

    def make(self, text: str) -> Iterator[Segment]:
        source = (sentence for sentence in sentences(text) if speakable(sentence.text))
        started = time.perf_counter()
        current = next(source, None)
        while current is not None:
            following = next(source, None)
            self.clock("normalise", started)
            pause = 0.0 if following is None else self.pauses.after(current.text, paragraph_end=current.paragraph_end)
            yield from self._fit(current.text, pause)
            started = time.perf_counter()
            current = following

    def _fit(self, text: str, pause_s: float) -> Iterator[Segment]:
        """Segments of `text`, halved until each fits."""
        started = time.perf_counter()
        words = spoken(text, self.lang)
        self.clock("normalise", started)
        started = time.perf_counter()
        phonemized = self.phonemizer.phonemize(words)
        self.clock("phonemise", started)
        started = time.perf_counter()
        tokens, dropped = self.vocabulary.encode(phonemized.phonemes)
        known = self._words(phonemized.phonemes, phonemized.words) if tokens else ()
        phonemes = self.vocabulary.known(phonemized.phonemes)
        self.clock("tokenise", started)
        if not tokens:
            return
        if len(tokens) <= self.max_tokens:
            yield self._segment(text, phonemes, tuple(tokens), pause_s, known, dropped)
            return
        middle = len(text) // 2
        cut = clause_end(text, middle) or word_end(text, middle)
        if cut is not None:
            first, second = text[:cut].rstrip(), text[cut:].lstrip()
            yield from self._fit(first, self.pauses.after(first, paragraph_end=False))
            yield from self._fit(second, pause_s)
            return
        yield from self._by_tokens(text, phonemes, tuple(tokens), pause_s, dropped)

    def _by_tokens(
        self, text: str, phonemes: str, tokens: tuple[int, ...], pause_s: float, dropped: str
    ) -> Iterator[Segment]:
        """One word longer than a model call: its letters are shared out as its tokens are."""
        count = -(-len(tokens) // self.max_tokens)
        for part in range(count):
            first, last = part * len(tokens) // count, (part + 1) * len(tokens) // count
            letters = text[part * len(text) // count : (part + 1) * len(text) // count]
            word = Word(letters, phonemes[first:last], "rules")
            pause = pause_s if part == count - 1 else self.pauses.cut_s
            yield self._segment(letters, phonemes[first:last], tokens[first:last], pause, (word,), dropped)
            dropped = ""

    def _words(self, phonemes: str, words: tuple[Word, ...]) -> tuple[Word, ...]:
        """Words whose phonemes are tokens, and whose `start` counts tokens."""
        ids = self.vocabulary.ids
        places = [0]
        for symbol in phonemes:
            places.append(places[-1] + (symbol in ids))
        return tuple(Word(w.text, self.vocabulary.known(w.phonemes), w.path, places[w.start]) for w in words)

    def _segment(
        self,
        text: str,
        phonemes: str,
        tokens: tuple[int, ...],
        pause_s: float,
        words: tuple[Word, ...],
        dropped: str,
    ) -> Segment:
        segment = Segment(self.index, text, phonemes, tokens, pause_s, words, self.clock.seconds, dropped)
        self.index += 1
        self.clock = _Clock()
        return segment
