"""Text cut into segments, each of which is spoken by a single model call."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from kokoro_lab.errors import EmptyTextError, SettingError
from kokoro_lab.text.lexicon import Lexicon, project_lexicon
from kokoro_lab.text.links import LINK
from kokoro_lab.text.markup import Passage, is_markup, passages
from kokoro_lab.text.normalize import spoken
from kokoro_lab.text.phonemize import Phonemizer, Word, canonical_language, phonemizer_for
from kokoro_lab.text.sanitize import speakable
from kokoro_lab.text.sentences import clause_end, sentences, word_end
from kokoro_lab.text.vocabulary import MAX_TOKENS, Vocabulary, load_vocabulary

__all__ = ["Pauses", "Pronunciation", "Segment", "segments"]


@dataclass(frozen=True, slots=True)
class Pauses:
    """Silence after a segment in seconds, by the punctuation mark that ends it."""

    sentence_s: float = 0.15
    """After . ! and ?"""
    paragraph_s: float = 0.18
    """At the end of a paragraph, and after an ellipsis."""
    clause_s: float = 0.08
    """After , ; : and a dash."""
    cut_s: float = 0.0
    """Where a clause longer than a model call was cut."""

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
class Pronunciation:
    """What turns words into tokens; None stands for the project's own."""

    vocabulary: Vocabulary | None = None
    phonemizer: Phonemizer | None = None
    lexicon: Lexicon | None = None


OWN_PRONUNCIATION = Pronunciation()


@dataclass(frozen=True, slots=True)
class Segment:
    """The text behind one model call."""

    index: int
    text: str
    """Sanitised, not yet written out in words, without markup. The texts, joined, hold every word of the input."""
    phonemes: str
    """One character per token."""
    tokens: tuple[int, ...]
    """At most 510, without the surrounding zeros."""
    pause_s: float
    """Silence that follows it, in seconds; 0 after the last."""
    words: tuple[Word, ...]
    """The spoken words, each with its path; `start` counts tokens."""
    seconds: dict[str, float]
    """Time spent on it by stage: normalise, phonemise, tokenise."""
    dropped: str = ""
    """Phonemes that have no token in the model's vocabulary."""
    rate: float = 1.0
    """Factor by which markup multiplies the call's speaking rate."""
    lead_s: float = 0.0
    """Silence before it in seconds: a break that the markup requests before the first word."""


class _Clock:
    """Seconds by stage since the previous segment."""

    def __init__(self) -> None:
        self.seconds = dict.fromkeys(("normalise", "phonemise", "tokenise"), 0.0)

    def __call__(self, stage: str, started: float) -> None:
        self.seconds[stage] += time.perf_counter() - started


class _PlannedSentence(NamedTuple):
    """A sentence before it becomes a segment."""

    text: str
    pause_s: float
    rate: float
    lead_s: float = 0.0


def segments(
    text: str,
    lang: str = "en-us",
    *,
    pronunciation: Pronunciation = OWN_PRONUNCIATION,
    max_tokens: int = MAX_TOKENS,
    gather_tokens: int = 0,
    pauses: Pauses | None = None,
    markup: Literal["auto", "none", "ssml"] = "auto",
) -> Iterator[Segment]:
    """The segments of `text`, lazily: a sentence is phonemised when its segment is requested.

    A sentence that fits into `max_tokens` is a single segment. A longer sentence is cut near its middle: at the end of
    a clause if there is one, else between words; a single word is cut between tokens. With `gather_tokens`,
    neighbouring sentences after the first share a segment as long as it has at most that many tokens. Markup "auto"
    reads a text that begins with <speak> as SSML.

    Raises EmptyTextError when nothing in the text can be spoken, InputError for markup that is not supported,
    SettingError, LanguageError and PhonemizeError.

    Examples:
        >>> [(segment.text, segment.pause_s) for segment in segments("Hello world! It is late.")]
        [('Hello world!', 0.15), ('It is late.', 0.0)]
        >>> next(segments("Hi.")).tokens
        (50, 156, 25, 4)
    """
    lang = canonical_language(lang)
    if not 1 <= max_tokens <= MAX_TOKENS or not 0 <= gather_tokens <= max_tokens:
        raise SettingError(
            f"a segment's limits are out of range; max_tokens is 1 to {MAX_TOKENS}, gather_tokens 0 to max_tokens"
        )
    parts = passages(text, lang) if markup == "ssml" or (markup == "auto" and is_markup(text)) else (Passage(text),)
    maker = _Segmenter(
        lang,
        pronunciation.vocabulary or load_vocabulary(),
        pronunciation.phonemizer or phonemizer_for(lang),
        project_lexicon(lang) if pronunciation.lexicon is None else pronunciation.lexicon,
        max_tokens,
        pauses or Pauses(),
    )
    any_spoken = False
    for index, segment in enumerate(maker.gathered(maker.make(parts), gather_tokens)):
        any_spoken = True
        yield replace(segment, index=index)
    if not any_spoken:
        raise EmptyTextError("the text has nothing to speak; give it a letter or a digit")


class _Segmenter:
    def __init__(
        self,
        lang: str,
        vocabulary: Vocabulary,
        phonemizer: Phonemizer,
        lexicon: Lexicon,
        max_tokens: int,
        pauses: Pauses,
    ) -> None:
        self.lang, self.vocabulary, self.phonemizer = lang, vocabulary, phonemizer
        self.lexicon, self.max_tokens, self.pauses = lexicon, max_tokens, pauses
        self.clock = _Clock()

    def make(self, parts: Iterable[Passage]) -> Iterator[Segment]:
        lines = self._lines(parts)
        while True:
            started = time.perf_counter()
            line = next(lines, None)
            self.clock("normalise", started)
            if line is None:
                return
            yield from self._fit(line)

    def gathered(self, source: Iterator[Segment], limit: int) -> Iterator[Segment]:
        """Merge neighbouring segments while they fit. The first segment is not merged, so that sound starts early."""
        held: Segment | None = None
        for number, segment in enumerate(source):
            if not limit or number == 0:
                yield segment
            elif held is None:
                held = segment
            elif self._gathers(held, segment, limit):
                held = self._merged(held, segment)
            else:
                yield held
                held = segment
        if held is not None:
            yield held

    def _lines(self, parts: Iterable[Passage]) -> Iterator[_PlannedSentence]:
        """Every speakable sentence, delayed by one sentence because the last has no pause of its own."""
        held: _PlannedSentence | None = None
        requested_s: float | None = None
        lead_s = 0.0
        for part in parts:
            lead_s += part.lead_s
            for sentence in sentences(part.text):
                if not speakable(sentence.text):
                    continue
                if held is not None:
                    yield held if requested_s is None else held._replace(pause_s=requested_s)
                requested_s = None
                pause = self.pauses.after(sentence.text, paragraph_end=sentence.paragraph_end)
                held = _PlannedSentence(sentence.text, pause, part.rate, lead_s)
                lead_s = 0.0
            requested_s = part.pause_s if part.pause_s is not None else requested_s
            if held is None:
                lead_s += part.pause_s or 0.0
        if held is not None:
            yield held._replace(pause_s=requested_s or 0.0)

    def _fit(self, line: _PlannedSentence) -> Iterator[Segment]:
        """The segments of a sentence, halved until each fits."""
        started = time.perf_counter()
        words = spoken(line.text, self.lang, self.lexicon)
        self.clock("normalise", started)
        started = time.perf_counter()
        phonemized = self.phonemizer.phonemize(words)
        self.clock("phonemise", started)
        started = time.perf_counter()
        tokens, dropped = self.vocabulary.encode(phonemized.phonemes)
        phonemes = self.vocabulary.known(phonemized.phonemes)
        self.clock("tokenise", started)
        if not any(symbol.isalpha() for symbol in phonemes):
            return
        if len(tokens) <= self.max_tokens:
            known = self._words(phonemized.phonemes, phonemized.words)
            yield self._segment(line, phonemes, tuple(tokens), known, dropped)
            return
        middle = len(line.text) // 2
        cut = clause_end(line.text, middle) or word_end(line.text, middle)
        if cut is None:
            yield from self._by_tokens(line, phonemes, tuple(tokens), dropped)
            return
        first, second = line.text[:cut].rstrip(), line.text[cut:].lstrip()
        yield from self._fit(
            _PlannedSentence(first, self.pauses.after(first, paragraph_end=False), line.rate, line.lead_s)
        )
        yield from self._fit(_PlannedSentence(second, line.pause_s, line.rate))

    def _by_tokens(
        self, line: _PlannedSentence, phonemes: str, tokens: tuple[int, ...], dropped: str
    ) -> Iterator[Segment]:
        """Split a word that is longer than a model call: its letters are divided in proportion to its tokens."""
        text = LINK.sub(r"\g<text>", line.text)
        count = -(-len(tokens) // self.max_tokens)
        for part in range(count):
            first, last = part * len(tokens) // count, (part + 1) * len(tokens) // count
            letters = text[part * len(text) // count : (part + 1) * len(text) // count]
            pause = line.pause_s if part == count - 1 else self.pauses.cut_s
            word = Word(letters, phonemes[first:last], "rules")
            share = _PlannedSentence(letters, pause, line.rate, 0.0 if part else line.lead_s)
            yield self._segment(share, phonemes[first:last], tokens[first:last], (word,), dropped)
            dropped = ""

    def _words(self, phonemes: str, words: tuple[Word, ...]) -> tuple[Word, ...]:
        """The words with those of their phonemes that have tokens; `start` counts tokens."""
        places = [0]
        for symbol in phonemes:
            places.append(places[-1] + (symbol in self.vocabulary.ids))
        return tuple(Word(w.text, self.vocabulary.known(w.phonemes), w.path, places[w.start]) for w in words)

    def _segment(
        self, line: _PlannedSentence, phonemes: str, tokens: tuple[int, ...], words: tuple[Word, ...], dropped: str
    ) -> Segment:
        text = LINK.sub(r"\g<text>", line.text)
        seconds, self.clock = self.clock.seconds, _Clock()
        return Segment(0, text, phonemes, tokens, line.pause_s, words, seconds, dropped, line.rate, line.lead_s)

    def _gathers(self, held: Segment, segment: Segment, limit: int) -> bool:
        """Whether two neighbours may be merged: same rate, and no pause between them longer than punctuation makes."""
        fits = len(held.tokens) + 1 + len(segment.tokens) <= limit
        return fits and held.rate == segment.rate and held.pause_s <= self.pauses.paragraph_s

    def _merged(self, held: Segment, segment: Segment) -> Segment:
        offset = len(held.tokens) + 1
        moved = tuple(replace(word, start=word.start + offset) for word in segment.words)
        return Segment(
            index=held.index,
            text=f"{held.text} {segment.text}",
            phonemes=f"{held.phonemes} {segment.phonemes}",
            tokens=(*held.tokens, self.vocabulary.ids[" "], *segment.tokens),
            pause_s=segment.pause_s,
            words=held.words + moved,
            seconds={stage: spent + segment.seconds[stage] for stage, spent in held.seconds.items()},
            dropped=held.dropped + segment.dropped,
            rate=held.rate,
        )
