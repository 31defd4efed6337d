"""Text into the pieces that one model call speaks."""

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
    """Sanitised, not yet written out in words, without markup. Joined, the texts hold every word of the input."""
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
    rate: float = 1.0
    """What markup multiplies the speaking rate of the call by."""
    lead_s: float = 0.0
    """Silence before it, in seconds: a break that markup asks for before the first word."""


class _Clock:
    """Seconds by stage, since the last segment was made."""

    def __init__(self) -> None:
        self.seconds = dict.fromkeys(("normalise", "phonemise", "tokenise"), 0.0)

    def __call__(self, stage: str, started: float) -> None:
        self.seconds[stage] += time.perf_counter() - started


class _Line(NamedTuple):
    """A sentence on its way to a segment."""

    text: str
    pause_s: float
    rate: float
    lead_s: float = 0.0


def segments(
    text: str,
    lang: str = "en-us",
    *,
    vocabulary: Vocabulary | None = None,
    phonemizer: Phonemizer | None = None,
    lexicon: Lexicon | None = None,
    max_tokens: int = MAX_TOKENS,
    gather_tokens: int = 0,
    pauses: Pauses | None = None,
    markup: Literal["auto", "none", "ssml"] = "auto",
) -> Iterator[Segment]:
    """The segments of `text`, lazily: a sentence is phonemised when its segment is asked for.

    A sentence is one segment while it fits into `max_tokens`; else it is cut near the middle, at the end of a clause if
    there is one, else between words, and a single word between tokens. With `gather_tokens`, sentences after the first
    share a segment while together they have no more tokens than that. Markup "auto" reads a text that begins with
    <speak> as SSML. The lexicon is the project's unless another is given.

    Raises EmptyTextError when nothing in the text can be spoken, InputError for markup that is not supported,
    SettingError, LanguageError and PhonemizeError.
    """
    lang = canonical_language(lang)
    if not 1 <= max_tokens <= MAX_TOKENS or not 0 <= gather_tokens <= max_tokens:
        raise SettingError(f"a segment has 1 to {MAX_TOKENS} tokens, and gathers no more than it may have")
    parts = passages(text, lang) if markup == "ssml" or (markup == "auto" and is_markup(text)) else (Passage(text),)
    maker = _Maker(
        lang,
        vocabulary or load_vocabulary(),
        phonemizer or phonemizer_for(lang),
        project_lexicon(lang) if lexicon is None else lexicon,
        max_tokens,
        pauses or Pauses(),
    )
    found = False
    for index, segment in enumerate(maker.gathered(maker.make(parts), gather_tokens)):
        found = True
        yield replace(segment, index=index)
    if not found:
        raise EmptyTextError("there is nothing to speak in the text; give it a letter or a digit")


class _Maker:
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
        """Neighbours in one segment while they fit. The first stands alone, so that sound starts early."""
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

    def _lines(self, parts: Iterable[Passage]) -> Iterator[_Line]:
        """Every sentence that can be spoken, one behind, since only the last is followed by no pause of its own."""
        held: _Line | None = None
        asked: float | None = None
        lead_s = 0.0
        for part in parts:
            lead_s += part.lead_s
            for sentence in sentences(part.text):
                if not speakable(sentence.text):
                    continue
                if held is not None:
                    yield held if asked is None else held._replace(pause_s=asked)
                asked = None
                pause = self.pauses.after(sentence.text, paragraph_end=sentence.paragraph_end)
                held = _Line(sentence.text, pause, part.rate, lead_s)
                lead_s = 0.0
            asked = part.pause_s if part.pause_s is not None else asked
            if held is None:
                lead_s += part.pause_s or 0.0
        if held is not None:
            yield held._replace(pause_s=asked or 0.0)

    def _fit(self, line: _Line) -> Iterator[Segment]:
        """Segments of a sentence, halved until each fits."""
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
        yield from self._fit(_Line(first, self.pauses.after(first, paragraph_end=False), line.rate, line.lead_s))
        yield from self._fit(_Line(second, line.pause_s, line.rate))

    def _by_tokens(self, line: _Line, phonemes: str, tokens: tuple[int, ...], dropped: str) -> Iterator[Segment]:
        """One word longer than a model call: its letters are shared out as its tokens are."""
        text = LINK.sub(r"\g<text>", line.text)
        count = -(-len(tokens) // self.max_tokens)
        for part in range(count):
            first, last = part * len(tokens) // count, (part + 1) * len(tokens) // count
            letters = text[part * len(text) // count : (part + 1) * len(text) // count]
            pause = line.pause_s if part == count - 1 else self.pauses.cut_s
            word = Word(letters, phonemes[first:last], "rules")
            share = _Line(letters, pause, line.rate, 0.0 if part else line.lead_s)
            yield self._segment(share, phonemes[first:last], tokens[first:last], (word,), dropped)
            dropped = ""

    def _words(self, phonemes: str, words: tuple[Word, ...]) -> tuple[Word, ...]:
        """Words whose phonemes are tokens, and whose `start` counts tokens."""
        places = [0]
        for symbol in phonemes:
            places.append(places[-1] + (symbol in self.vocabulary.ids))
        return tuple(Word(w.text, self.vocabulary.known(w.phonemes), w.path, places[w.start]) for w in words)

    def _segment(
        self, line: _Line, phonemes: str, tokens: tuple[int, ...], words: tuple[Word, ...], dropped: str
    ) -> Segment:
        text = LINK.sub(r"\g<text>", line.text)
        seconds, self.clock = self.clock.seconds, _Clock()
        return Segment(0, text, phonemes, tokens, line.pause_s, words, seconds, dropped, line.rate, line.lead_s)

    def _gathers(self, held: Segment, segment: Segment, limit: int) -> bool:
        """Whether two neighbours may be one segment: same rate, no longer pause between them than punctuation makes."""
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
