"""From a text to its segments: phonemizers stay loaded, phonemes are cached, a primer is cut off in front."""

from __future__ import annotations

import functools
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from kokoro_lab.engine.caches import Cache
from kokoro_lab.errors import EmptyTextError, KokoroLabError, PhonemizeError
from kokoro_lab.text.lexicon import Lexicon, project_lexicon
from kokoro_lab.text.phonemize import Phonemized, Phonemizer, phonemizer_for
from kokoro_lab.text.segment import Pauses, Pronunciation, Segment, segments
from kokoro_lab.text.vocabulary import MAX_TOKENS, load_vocabulary

__all__ = ["CachedPhonemizer", "Reader"]

FIRST_WORDS = "Hello, world!"  # makes the English phonemizer load what it would load on its first call
PARAGRAPH_END = re.compile(r"\n\s*\n\s*$")


@dataclass(frozen=True)
class CachedPhonemizer:
    """A phonemizer with a cache, which all languages of an engine share."""

    phonemizer: Phonemizer
    cache: Cache[tuple[str, str], Phonemized]

    @property
    def lang(self) -> str:
        """The language it phonemizes."""
        return self.phonemizer.lang

    def phonemize(self, text: str) -> Phonemized:
        """Phonemes of normalised text, from the cache where possible. Raises PhonemizeError."""
        key = (self.lang, text)
        known = self.cache.get(key)
        if known is None:
            known = self.phonemizer.phonemize(text)
            self.cache.put(key, known)
        return known


class Reader:
    """Turns texts into segments, lazily. Safe for any number of threads."""

    def __init__(
        self,
        *,
        max_tokens: int = MAX_TOKENS,
        gather_tokens: int = 0,
        cache: Cache[tuple[str, str], Phonemized] | None = None,
        make: Callable[[str], Phonemizer] = phonemizer_for,
        lexicon: Lexicon | None = None,
    ) -> None:
        """lexicon: the user's own, for every language; it takes precedence over the project's lexicon."""
        self.cache = cache
        self._make = make
        self._max_tokens = max_tokens
        self._gather_tokens = gather_tokens
        self._lexicon = lexicon
        self._lock = threading.Lock()
        self._ready: dict[str, Phonemizer] = {}

    def prepare(self, lang: str) -> float:
        """Load the language's phonemizer; returns the seconds it took, 0 where it was loaded already.

        Raises LanguageError when the language is unknown or its package is missing.
        """
        with self._lock:
            if lang in self._ready:
                return 0.0
            start = time.perf_counter()
            load_vocabulary()
            phonemizer = self._make(lang)
            if lang.startswith("en"):
                phonemizer.phonemize(FIRST_WORDS)
            self._ready[lang] = phonemizer if self.cache is None else CachedPhonemizer(phonemizer, self.cache)
            return time.perf_counter() - start

    @property
    def languages(self) -> tuple[str, ...]:
        """Languages whose phonemizer is loaded."""
        return tuple(sorted(self._ready))

    def read(self, texts: Sequence[str] | Iterator[str], lang: str) -> Iterator[Segment]:
        """Segments of consecutive pieces of a text, numbered consecutively.

        Every piece but the last is a single segment if it fits into a model call, followed by the pause that its own
        end requires; the last piece is segmented by sentences. Raises EmptyTextError when no piece has anything to
        speak, PhonemizeError when a phonemizer fails in any way.
        """
        load_s = self.prepare(lang)
        index = 0
        for text, more in _with_more(texts):
            planned = self._segments(text, lang)
            for segment in self._whole(list(planned), text) if more else planned:
                seconds = segment.seconds
                if load_s:
                    seconds = {**seconds, "phonemise": seconds.get("phonemise", 0.0) + load_s}
                    load_s = 0.0
                yield replace(segment, index=index, seconds=seconds)
                index += 1
        if index == 0:
            raise EmptyTextError("the text has nothing to speak; give it a letter or a digit")

    def _segments(self, text: str, lang: str) -> Iterator[Segment]:
        try:
            lexicon = None if self._lexicon is None else self._lexicon.over(project_lexicon(lang))
            yield from segments(
                text,
                lang,
                pronunciation=Pronunciation(load_vocabulary(), self._ready[lang], lexicon),
                max_tokens=self._max_tokens,
                gather_tokens=self._gather_tokens,
            )
        except EmptyTextError:
            return
        except (KokoroLabError, MemoryError):
            raise
        except Exception as error:
            raise PhonemizeError(
                f"the phonemizer of {lang} failed on {text[:60]!r}: {error!r}; check the text"
            ) from error

    def _whole(self, planned: list[Segment], text: str) -> list[Segment]:
        """Segments of a piece that another piece follows: merged if they fit, the last with the pause of its end."""
        if (
            sum(len(each.tokens) + 1 for each in planned) <= self._max_tokens
            and len({each.rate for each in planned}) == 1
        ):
            planned = [functools.reduce(_merged, planned)]
        pause = Pauses().after(text, paragraph_end=PARAGRAPH_END.search(text) is not None)
        return [*planned[:-1], *(replace(each, pause_s=pause) for each in planned[-1:])]


def _merged(before: Segment, after: Segment) -> Segment:
    """Two neighbours as a single segment, with a space between them."""
    offset = len(before.tokens) + 1
    return replace(
        before,
        text=f"{before.text} {after.text}",
        phonemes=f"{before.phonemes} {after.phonemes}",
        tokens=(*before.tokens, load_vocabulary().ids[" "], *after.tokens),
        words=before.words + tuple(replace(word, start=word.start + offset) for word in after.words),
        seconds={kind: spent + after.seconds.get(kind, 0.0) for kind, spent in before.seconds.items()},
        dropped=before.dropped + after.dropped,
    )


def _with_more(texts: Sequence[str] | Iterator[str]) -> Iterator[tuple[str, bool]]:
    """Each piece, with whether another piece follows."""
    iterator = iter(texts)
    current = next(iterator, None)
    while current is not None:
        following = next(iterator, None)
        yield current, following is not None
        current = following
