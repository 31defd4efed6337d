"""Texts and SSML documents that were made to hurt: only errors of the package, in time that grows with their length."""

from __future__ import annotations

import random
import re
import sys
import time
from collections import deque
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from xml.sax.saxutils import escape

from hostile_texts import DOCUMENTS, TEXTS, Maker

from chaos.attack import Attack, Outcome
from kokoro_lab.errors import KokoroLabError, LanguageError
from kokoro_lab.text.decoding import decoded
from kokoro_lab.text.languages import LANGUAGES
from kokoro_lab.text.markup import passages
from kokoro_lab.text.normalize import normalize
from kokoro_lab.text.phonemize import phonemizer_for
from kokoro_lab.text.segment import segments
from kokoro_lab.text.sentences import sentences

__all__ = ["ATTACKS", "failure", "hostile_document", "hostile_text"]

AT_LEAST_S, PER_CHARACTER_S = 5.0, 0.005
"""Processor time that a text may take: seven times what the slowest ("99:99 99:99 ...", in English) was seen to."""
LONG, LESS_LONG = 1_000_000, 64_000  # characters of a long text in full and in short
WRITTEN_OUT = 64_000  # characters of a long text that are written out in words
FIRST_SEGMENTS = 5
VALID = (
    '<speak>Hello <break time="500ms"/> there. <prosody rate="80%">Slowly now.</prosody></speak>',
    '<speak><p><s>One.</s><s>Two <emphasis level="strong">big</emphasis> words.</s></p></speak>',
    '<speak>Call <say-as interpret-as="telephone">555 1234</say-as> on '
    '<say-as interpret-as="date">1/2/2024</say-as></speak>',
    '<speak><say-as interpret-as="ordinal">42</say-as> <say-as interpret-as="currency">$3.50</say-as> '
    "&amp; more</speak>",
    '<speak><sub alias="World Wide Web">WWW</sub> <phoneme alphabet="ipa" ph="həˈloʊ">hello</phoneme> café</speak>',
    '<?xml version="1.0" encoding="UTF-8"?><speak version="1.1" xml:lang="en"><![CDATA[a < b]]><!-- c --> d</speak>',
)
TAGS = (
    "<s>",
    "</s>",
    "<p>",
    "<emphasis>",
    "</emphasis>",
    "<prosody rate='2'>",
    "</prosody>",
    "<break/>",
    "&#0;",
    "&x;",
    "]]>",
)
ENCODINGS = ("utf-8", "utf-16", "latin-1", "utf-16-be", "utf-8-sig", "utf-32", "cp037")


def hostile_text(random_numbers: random.Random) -> str:
    """A text of up to about 2,000 characters, mostly short, out of repeated pieces and arbitrary characters."""
    pieces = []
    for _ in range(random_numbers.randint(1, 8)):
        make = random_numbers.choice(list(TEXTS.values()))
        pieces.append(make(int(2 ** random_numbers.uniform(0, 10))))
        if random_numbers.random() < 0.5:
            top = random_numbers.choice([0x7F, 0x24F, 0xFFFF, sys.maxunicode])
            pieces.append("".join(chr(random_numbers.randint(0, top)) for _ in range(random_numbers.randint(1, 12))))
    random_numbers.shuffle(pieces)
    return random_numbers.choice(["", " ", "\n"]).join(pieces)


def hostile_document(random_numbers: random.Random) -> bytes:
    """A valid document with something hostile put in, in some encoding; half of them are damaged besides."""
    text = random_numbers.choice(VALID)
    for _ in range(random_numbers.randint(0, 3)):
        make = random_numbers.choice(list(TEXTS.values()))
        piece = make(int(2 ** random_numbers.uniform(0, 9)))
        piece = "".join(character for character in piece if character.isprintable() or character in " \n\t")
        piece = random_numbers.choice(
            ["{}", "<s>{}</s>", "<emphasis>{}</emphasis>", "<prosody rate='2'>{}</prosody>"]
        ).format(escape(piece))
        place = random_numbers.choice([match.start() for match in re.finditer("</(speak|p|s|prosody|emphasis)>", text)])
        text = text[:place] + piece + text[place:]
    if random_numbers.random() < 0.3:
        for _ in range(random_numbers.randint(1, 6)):
            start = random_numbers.randint(0, len(text))
            stop = min(len(text), start + random_numbers.randint(0, 12))
            tag = random_numbers.choice(TAGS)
            inserted = random_numbers.choice(["", text[start:stop] * 3, tag, tag * 40])
            text = text[:start] + inserted + text[stop if random_numbers.random() < 0.5 else start :]
    if random_numbers.random() < 0.2:
        text = text.replace("UTF-8", random_numbers.choice([*ENCODINGS, "nosuch", "rot13", "x" * 300]))
    encoding = "utf-8" if random_numbers.random() < 0.85 else random_numbers.choice(ENCODINGS)
    data = bytearray(text.encode(encoding, "replace"))
    for _ in range(random_numbers.choice([0, 0, 0, 0, 0, 0, 1, 2])):
        data[random_numbers.randrange(len(data))] = random_numbers.randrange(256)
    return bytes(data)


def failure(call: Callable[[], object], characters: int, clock: Callable[[], float] = time.process_time) -> str:
    """What is wrong with a call: an exception that is none of the package's, or too much time; else empty."""
    began = clock()
    try:
        call()
    except KokoroLabError as error:
        if len(error.message) > 1_000 or "\n" in error.message:
            return f"a message of {len(error.message):,} characters or several lines: {error.message[:80]!r}"
    except Exception as error:
        return f"{type(error).__name__}: {str(error)[:200]}"
    took = clock() - began
    most = AT_LEAST_S + PER_CHARACTER_S * characters
    return f"{took:.1f} s for {characters:,} characters, more than {most:.1f} s" if took > most else ""


def _languages() -> list[str]:
    """The languages whose packages are installed."""
    usable = []
    for lang in LANGUAGES.values():
        try:
            phonemizer_for(lang).phonemize("1")
        except LanguageError:
            continue
        usable.append(lang)
    return usable


def _all_segments(text: str, lang: str, markup: str) -> None:
    deque(segments(text, lang, markup=markup), maxlen=0)  # type: ignore[arg-type]


def _texts(tries: int, seed: int, folder: Path) -> Outcome:
    languages, failures = _languages(), []
    for index in range(tries):
        random_numbers = random.Random(f"{seed} {index}")
        text, lang = hostile_text(random_numbers), random_numbers.choice(languages)
        wrong = failure(lambda text=text, lang=lang: _all_segments(text, lang, "none"), len(text))
        if wrong:
            failures.append(f"seed {seed}, text {index} in {lang}: {wrong}")
    return Outcome(tries, tuple(failures))


def _documents(tries: int, seed: int, folder: Path) -> Outcome:
    languages, failures = _languages(), []
    for index in range(tries):
        random_numbers = random.Random(f"{seed} {index}")
        data, lang = hostile_document(random_numbers), random_numbers.choice(languages)
        wrong = failure(
            lambda data=data, lang=lang: _all_segments(decoded(data, what="the document"), lang, "ssml"), len(data)
        )
        if wrong:
            failures.append(f"seed {seed}, document {index} in {lang}: {wrong}")
    return Outcome(tries, tuple(failures))


def _read_long(make: Maker, size: int, *, markup: bool) -> None:
    """What a long text goes through before its first segments are spoken, and its first stretch in words."""
    text = make(size)
    deque(islice(segments(text, markup="ssml" if markup else "none"), FIRST_SEGMENTS), maxlen=0)
    if markup:
        passages(text)
    else:
        deque(sentences(text), maxlen=0)
        normalize(make(min(size, WRITTEN_OUT)))


PATTERNS = [
    *((name, make, False) for name, make in TEXTS.items()),
    *((name, make, True) for name, make in DOCUMENTS.items()),
]


def _long_texts(tries: int, seed: int, folder: Path) -> Outcome:
    failures = []
    size = LONG if tries >= len(PATTERNS) else LESS_LONG
    drawn = random.Random(seed).sample(PATTERNS, min(tries, len(PATTERNS)))
    for name, make, markup in drawn:
        # A long text is read many times faster than it is phonemized: a tenth of the time of hostile_text's is plenty.
        wrong = failure(lambda make=make, markup=markup: _read_long(make, size, markup=markup), size // 10)
        if wrong:
            failures.append(f"{name} of {size:,} characters: {wrong}")
    return Outcome(len(drawn), tuple(failures))


ATTACKS = (
    Attack("texts", "Random texts in every language become tokens, or one error of the package.", 2_000, 100, _texts),
    Attack(
        "ssml",
        "Mutated SSML documents in several encodings become tokens, or one error of the package.",
        2_000,
        150,
        _documents,
    ),
    Attack(
        "long texts",
        "A pattern repeated to 1 MB (64 kB in short) is cut into sentences and begun in linear time.",
        len(PATTERNS),
        12,
        _long_texts,
    ),
)
