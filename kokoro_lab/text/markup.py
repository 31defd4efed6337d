"""The supported subset of SSML (W3C Speech Synthesis Markup Language 1.1); everything else is an error.

    <speak>  <p>  <s>                     the document, paragraphs, sentences
    <break time="500ms"/>                 or strength="none | x-weak | weak | medium | strong | x-strong"
    <say-as interpret-as="characters">    or spell-out, digits, cardinal, number, ordinal, year, date, time, currency,
                                          telephone, fraction
    <emphasis level="strong">             or moderate, reduced, none
    <prosody rate="120%">                 or x-slow, slow, medium, fast, x-fast, or a factor
    <sub alias="...">
    <phoneme alphabet="ipa" ph="...">

A document is cut into passages at every pause and change of rate. Within a passage, pronunciations and stress travel
as `[word](/ipa/)` and `[word](2)` links. An error names line and column of anything unsupported, so that nobody takes a
tag without effect for a tag that works.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import NoReturn
from xml.parsers import expat

from kokoro_lab.errors import InputError
from kokoro_lab.text.expand import expand, spell
from kokoro_lab.text.number_words import LARGEST_DIGITS, cardinal, digits, ordinal, year

__all__ = ["Passage", "is_markup", "passages"]

RATES = {"x-slow": 0.5, "slow": 0.75, "medium": 1.0, "default": 1.0, "fast": 1.25, "x-fast": 1.75}
SLOWEST, FASTEST = 0.5, 2.0  # beyond these the duration predictor was never trained, and words fall apart
PAUSES_S = {"none": 0.0, "x-weak": 0.06, "weak": 0.1, "medium": 0.15, "strong": 0.4, "x-strong": 0.8}
LONGEST_PAUSE_S = 10.0
MOST_DEPTH = 64  # elements inside each other; a document that a person wrote has about ten
MOST_ELEMENTS = 100_000
LONGEST_QUOTE = 40  # characters of a document that a message repeats
STRESS = {"strong": "2", "moderate": "1", "reduced": "-1"}
_ATTRIBUTES = {
    "speak": {"version", "xml:lang", "xmlns"},
    "p": set(),
    "s": set(),
    "break": {"time", "strength"},
    "say-as": {"interpret-as", "format"},
    "emphasis": {"level"},
    "prosody": {"rate"},
    "sub": {"alias"},
    "phoneme": {"alphabet", "ph"},
}
_WORD = re.compile(r"[^\W_]+(?:['’.-][^\W_]+)*")
_LONGEST_LINKED = 200  # characters of a word that a link may have


@dataclass(frozen=True, slots=True)
class Passage:
    """Text spoken at a single rate, and the pause that the markup requests after it."""

    text: str
    rate: float = 1.0
    """Multiplies the speaking rate of the call."""
    pause_s: float | None = None
    """Silence after it in seconds; None where the markup requests no pause and punctuation decides."""
    lead_s: float = 0.0
    """Silence before it in seconds; only the first passage may have any."""


@dataclass(slots=True)
class _Open:
    """An element that is not closed yet."""

    name: str
    attributes: dict[str, str]
    text: list[str] = field(default_factory=list)
    """Collected only for elements that replace or change their text."""


def is_markup(text: str) -> bool:
    """Whether `text` is an SSML document: it begins with <speak, or with an XML declaration."""
    return text[:1_000].lstrip("\ufeff \t\r\n").startswith(("<speak", "<?xml"))


def passages(document: str, lang: str = "en-us") -> tuple[Passage, ...]:
    """The passages of an SSML document in a canonical language.

    Raises InputError naming line and column, for XML that is not well formed and for unsupported elements, attributes
    and values.
    """
    return _MarkupReader(lang).read(document.lstrip("\ufeff \t\r\n"))


class _MarkupReader:
    def __init__(self, lang: str) -> None:
        self.lang = lang
        self.english = lang in {"en-us", "en-gb"}
        self.passages: list[Passage] = []
        self.text: list[str] = []
        self.lead_s = 0.0
        self.rates = [1.0]
        self.open: list[_Open] = []
        self.elements = 0
        self.parser = expat.ParserCreate("utf-8")  # a string has been decoded, whatever its XML declaration says
        self.parser.StartElementHandler = self.start
        self.parser.EndElementHandler = self.end
        self.parser.CharacterDataHandler = self.characters
        self.parser.StartDoctypeDeclHandler = self.doctype
        self.parser.buffer_text = True

    def read(self, document: str) -> tuple[Passage, ...]:
        try:
            self.parser.Parse(document.encode("utf-8", "ignore"), True)
        except expat.ExpatError as error:
            reason = expat.ErrorString(error.code)
            self.fail(f"the markup is not well formed: {reason}; correct the XML", at=(error.lineno, error.offset))
        self.flush()
        return tuple(self.passages)

    def fail(self, message: str, at: tuple[int, int] | None = None) -> NoReturn:
        line, column = at or (self.parser.CurrentLineNumber, self.parser.CurrentColumnNumber)
        raise InputError(f"line {line}, column {column + 1}: {message}")

    def doctype(self, *_: object) -> None:
        self.fail("document types are not supported; remove <!DOCTYPE>")

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self.elements += 1
        if len(self.open) >= MOST_DEPTH:
            self.fail(f"elements are nested more than {MOST_DEPTH} levels deep; close some of them")
        if self.elements > MOST_ELEMENTS:
            self.fail(f"the document has more than {MOST_ELEMENTS:,} elements; split it")
        if not self.open and name != "speak":
            self.fail(f"the document begins with <{name[:LONGEST_QUOTE]}>; begin it with <speak>")
        if name not in _ATTRIBUTES or (self.open and name == "speak"):
            self.fail(f"<{name[:LONGEST_QUOTE]}> is not supported; use one of {', '.join(sorted(_ATTRIBUTES))}")
        unknown = sorted(set(attributes) - _ATTRIBUTES[name])
        if unknown:
            known = ", ".join(sorted(_ATTRIBUTES[name])) or "no attributes"
            self.fail(f"<{name}> has no attribute {_quoted(unknown[0])}; it supports {known}")
        if self.open and self.open[-1].name in {"say-as", "sub", "phoneme", "break"}:
            self.fail(f"<{self.open[-1].name}> contains <{name}>; it may contain only text")
        self.open.append(_Open(name, attributes))
        if name == "prosody":
            self.flush()
            self.rates.append(self.rates[-1] * self.rate(attributes.get("rate", "medium")))
            if not SLOWEST <= self.rates[-1] <= FASTEST:
                self.fail(f"rate {self.rates[-1]:g} is out of range; use {SLOWEST:g} to {FASTEST:g}")
        elif name == "break":
            self.flush(self.pause(attributes))
        elif name == "emphasis" and attributes.get("level", "moderate") not in {*STRESS, "none"}:
            self.fail(f"unknown emphasis level {_quoted(attributes['level'])}; use one of {', '.join(STRESS)}, none")
        elif name in {"p", "s"}:
            self.flush()

    def characters(self, text: str) -> None:
        if not self.open:
            return
        if self.open[-1].name == "break" and text.strip():
            self.fail("<break> has content; close it with />")
        if self.open[-1].name in {"say-as", "sub", "phoneme"}:
            self.open[-1].text.append(text)
        else:
            self.text.append(self.stressed(text))

    def end(self, name: str) -> None:
        element = self.open.pop()
        text = " ".join("".join(element.text).split())
        if name == "say-as":
            self.text.append(self.say_as(element.attributes, text))
        elif name == "sub":
            self.text.append(self.stressed(self.required(element, "alias")))
        elif name == "phoneme":
            self.text.append(self.pronounced(element, text))
        elif name == "prosody":
            self.flush()
            self.rates.pop()
        elif name in {"p", "s"}:
            self.flush(PAUSES_S["medium"])

    def flush(self, pause_s: float | None = None) -> None:
        """Finish the current passage, before a pause or a change of rate."""
        text = "".join(self.text)
        self.text = []
        if text.strip():
            lead_s, self.lead_s = self.lead_s, 0.0
            self.passages.append(Passage(text, self.rates[-1], pause_s, lead_s))
        elif self.passages and pause_s is not None:
            last = self.passages[-1]
            self.passages[-1] = replace(last, pause_s=(last.pause_s or 0.0) + pause_s)
        elif pause_s is not None and self.open and self.open[-1].name == "break":
            self.lead_s += pause_s

    def required(self, element: _Open, name: str) -> str:
        value = element.attributes.get(name, "").strip()
        if not value:
            self.fail(f"<{element.name}> has no attribute {name!r}; add it")
        return value

    def rate(self, value: str) -> float:
        if value in RATES:
            return RATES[value]
        match = re.fullmatch(r"\+?(\d{1,4}(?:\.\d{1,4})?)(%?)", value.strip())
        if not match:
            self.fail(f"invalid rate {_quoted(value)}; use one of {', '.join(RATES)}, or a percentage such as 120%")
        return float(match[1]) / (100.0 if match[2] else 1.0)

    def pause(self, attributes: dict[str, str]) -> float:
        if "time" not in attributes:
            strength = attributes.get("strength", "medium")
            if strength not in PAUSES_S:
                self.fail(f"unknown break strength {_quoted(strength)}; use one of {', '.join(PAUSES_S)}")
            return PAUSES_S[strength]
        match = re.fullmatch(r"\+?(\d{1,5}(?:\.\d{1,5})?)(ms|s)", attributes["time"].strip())
        seconds = float(match[1]) / (1_000.0 if match[2] == "ms" else 1.0) if match else -1.0
        if not 0.0 <= seconds <= LONGEST_PAUSE_S:
            time = _quoted(attributes["time"])
            self.fail(f"invalid break time {time}; write 500ms or 1.5s, at most {LONGEST_PAUSE_S:g}s")
        return seconds

    def stressed(self, text: str) -> str:
        """`text` with the stress of the enclosing emphasis on every word."""
        levels = [e.attributes.get("level", "moderate") for e in self.open if e.name == "emphasis"]
        level = levels[-1] if levels else "none"
        if level == "none" or not self.english:
            return text
        words = expand(text.strip(), british=self.lang == "en-gb")
        lead, tail = text[: len(text) - len(text.lstrip())], text[len(text.rstrip()) :]
        return lead + _WORD.sub(lambda match: _linked(match[0], STRESS[level]), words) + tail

    def pronounced(self, element: _Open, text: str) -> str:
        alphabet = element.attributes.get("alphabet", "ipa")
        if alphabet != "ipa":
            self.fail(f"alphabet {_quoted(alphabet)} is not supported; write the pronunciation in IPA")
        ipa = self.required(element, "ph")
        if re.search(r"[/()\[\]\n]", ipa) or len(ipa) > 200:
            self.fail(f"ph {_quoted(ipa)} is not a pronunciation; write it in IPA, in at most 200 characters")
        word = re.sub(r"[\[\]\n]", " ", text).strip()
        if not word:
            self.fail("<phoneme> is empty; put the text that it pronounces inside")
        return f"[{word[:200]}](/{ipa}/)"

    def say_as(self, attributes: dict[str, str], text: str) -> str:
        kind = attributes.get("interpret-as", "")
        return self.say_as_english(kind, text) if self.english else self.say_as_foreign(kind, text)

    def say_as_foreign(self, kind: str, text: str) -> str:
        """Other languages than English: the phonemizer reads digits; only their order and grouping change here."""
        if kind in {"characters", "spell-out", "digits"}:
            return " ".join(text.replace(" ", ""))
        if kind == "telephone":
            return ", ".join(" ".join(group) for group in re.findall(r"\d+", text))
        if kind not in {"cardinal", "number", "year", "ordinal"}:
            kinds = "characters, digits, cardinal, ordinal, year, telephone"
            self.fail(f"say-as {_quoted(kind)} is supported in English only; in {self.lang} use one of {kinds}")
        number = self.whole_number(kind, text)
        if len(number) > LARGEST_DIGITS:
            return " ".join(number)
        if kind != "ordinal":
            return str(int(number))
        from num2words import num2words

        try:
            words = num2words(int(number), lang=self.lang.replace("-br", "_BR").removesuffix("-fr"), to="ordinal")
        except NotImplementedError:
            self.fail(f"say-as 'ordinal' is not supported in {self.lang}; write the word")
        except Exception:  # num2words raises several kinds for numbers that its tables lack
            words = ""
        return str(words) or str(int(number))  # the phonemizer reads a number without an ordinal as a cardinal

    def say_as_english(self, kind: str, text: str) -> str:
        british = self.lang == "en-gb"
        if kind in {"characters", "spell-out"}:
            return spell(text)
        if kind == "digits":
            return digits(text)
        if kind == "telephone":
            return ", ".join(digits(group) for group in re.findall(r"\d+", text))
        if kind in {"date", "time", "currency", "fraction"}:
            return expand(text, british=british)
        if kind not in {"cardinal", "number", "ordinal", "year"}:
            kinds = "characters, digits, cardinal, ordinal, year, date, time, currency, telephone, fraction"
            self.fail(f"say-as {_quoted(kind)} is not supported; use one of {kinds}")
        number = self.whole_number(kind, text)
        if kind == "ordinal":
            return ordinal(number, british=british)
        if kind == "year" and len(number) <= LARGEST_DIGITS:
            return year(int(number), british=british)
        return cardinal(number, british=british)

    def whole_number(self, kind: str, text: str) -> str:
        """The ASCII digits of a number of any length."""
        number = re.sub(r"[ ,.]" if not self.english else "[ ,]", "", text)
        if not re.fullmatch(r"[0-9]+", number):
            self.fail(f"say-as {kind!r} has {_quoted(text)}, which is not a whole number; write digits")
        return number


def _linked(word: str, stress: str) -> str:
    """A word with its stress; a run of letters that no link has room for stays as it is."""
    return f"[{word}]({stress})" if len(word) <= _LONGEST_LINKED else word


def _quoted(value: str) -> str:
    """A value of the document as a message repeats it: in quotes, and not longer than a line."""
    return repr(value if len(value) <= LONGEST_QUOTE else f"{value[:LONGEST_QUOTE]}...")
