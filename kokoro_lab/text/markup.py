"""A subset of SSML (W3C Speech Synthesis Markup Language 1.1): what of it this engine can honour, and nothing it
would ignore.

<speak>  <p>  <s>                       the document, paragraphs, sentences <break time="500ms"/>                   or
strength="none | x-weak | weak | medium | strong | x-strong" <say-as interpret-as="characters">      or spell-out,
digits, cardinal, ordinal, year, date, time, currency, telephone <emphasis level="strong">               or moderate,
reduced, none <prosody rate="120%">                   or x-slow, slow, medium, fast, x-fast, or a factor <sub
alias="...">  <phoneme alphabet="ipa" ph="...">

A document is cut into passages at every pause and change of rate. Within a passage, pronunciations and stress travel
as `[word](/ipa/)` and `[word](2)` links. Whatever is not in the list is an error that names its line and column, so
that nobody mistakes a tag that does nothing for one that works.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import NoReturn
from xml.parsers import expat

from kokoro_lab.errors import InputError
from kokoro_lab.text.expand import expand, spell
from kokoro_lab.text.numbers import cardinal, digits, ordinal, year

__all__ = ["Passage", "is_markup", "passages"]

RATES = {"x-slow": 0.5, "slow": 0.75, "medium": 1.0, "default": 1.0, "fast": 1.25, "x-fast": 1.75}
SLOWEST, FASTEST = 0.5, 2.0  # beyond these the duration predictor was never trained, and words fall apart
PAUSES_S = {"none": 0.0, "x-weak": 0.06, "weak": 0.1, "medium": 0.15, "strong": 0.4, "x-strong": 0.8}
LONGEST_PAUSE_S = 10.0
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


@dataclass(frozen=True, slots=True)
class Passage:
    """Text that is spoken at one rate, and the pause that was asked for after it."""

    text: str
    rate: float = 1.0
    """Multiplies the speaking rate of the call."""
    pause_s: float | None = None
    """Silence after it in seconds; None where nothing was asked for, and punctuation decides."""
    lead_s: float = 0.0
    """Silence before it in seconds, which only the first passage may have."""


@dataclass(slots=True)
class _Open:
    """An element that is not closed yet."""

    name: str
    attributes: dict[str, str]
    text: list[str] = field(default_factory=list)
    """Collected only by elements that replace or change their text."""


def is_markup(text: str) -> bool:
    """Whether `text` is an SSML document: it begins with <speak, or with an XML declaration."""
    return text[:1_000].lstrip("\ufeff \t\r\n").startswith(("<speak", "<?xml"))


def passages(document: str, lang: str = "en-us") -> tuple[Passage, ...]:
    """The passages of an SSML document in a canonical language.

    Raises InputError naming line and column, for XML that is not well formed, elements, attributes and values XX"""
    return _Reader(lang).read(document.lstrip("\ufeff \t\r\n"))


class _Reader:
    def __init__(self, lang: str) -> None:
        self.lang = lang
        self.english = lang in {"en-us", "en-gb"}
        self.passages: list[Passage] = []
        self.text: list[str] = []
        self.lead_s = 0.0
        self.rates = [1.0]
        self.open: list[_Open] = []
        self.parser = expat.ParserCreate()
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
            self.fail(f"the markup is not well formed: {reason}", at=(error.lineno, error.offset))
        self.flush()
        return tuple(self.passages)

    def fail(self, message: str, at: tuple[int, int] | None = None) -> NoReturn:
        line, column = at or (self.parser.CurrentLineNumber, self.parser.CurrentColumnNumber)
        raise InputError(f"line {line}, column {column + 1}: {message}")

    def doctype(self, *_: object) -> None:
        self.fail("a document type is not allowed here; remove it")

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if not self.open and name != "speak":
            self.fail(f"the document begins with <{name}>, not with <speak>")
        if name not in _ATTRIBUTES or (self.open and name == "speak"):
            self.fail(f"<{name}> is not supported; use one of {', '.join(sorted(_ATTRIBUTES))}")
        unknown = sorted(set(attributes) - _ATTRIBUTES[name])
        if unknown:
            known = ", ".join(sorted(_ATTRIBUTES[name])) or "no attributes"
            self.fail(f"<{name}> has no attribute {unknown[0]!r} here; it takes {known}")
        if self.open and self.open[-1].name in {"say-as", "sub", "phoneme", "break"}:
            self.fail(f"<{self.open[-1].name}> holds text only, not <{name}>")
        self.open.append(_Open(name, attributes))
        if name == "prosody":
            self.flush()
            self.rates.append(self.rates[-1] * self.rate(attributes.get("rate", "medium")))
            if not SLOWEST <= self.rates[-1] <= FASTEST:
                self.fail(f"rate {self.rates[-1]:g} is out of range; use {SLOWEST:g} to {FASTEST:g}")
        elif name == "break":
            self.flush(self.pause(attributes))
        elif name == "emphasis" and attributes.get("level", "moderate") not in {*STRESS, "none"}:
            self.fail(f"emphasis {attributes['level']!r} is not known; use one of {', '.join(STRESS)}, none")
        elif name in {"p", "s"}:
            self.flush()

    def characters(self, text: str) -> None:
        if not self.open:
            return
        if self.open[-1].name == "break" and text.strip():
            self.fail("<break> is empty; close it with />")
        if self.open[-1].name in {"say-as", "sub", "phoneme"}:
            self.open[-1].text.append(text)
        else:
            self.text.append(self.stressed(text))

    def end(self, name: str) -> None:
        element = self.open.pop()
        text = " ".join("".join(element.text).split())
        if name == "say-as":
            self.text.append(self.said(element.attributes, text))
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
        """End the passage that is being collected, before a pause or a change."""
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
            self.fail(f"<{element.name}> needs the attribute {name!r}")
        return value

    def rate(self, value: str) -> float:
        if value in RATES:
            return RATES[value]
        match = re.fullmatch(r"\+?(\d{1,4}(?:\.\d{1,4})?)(%?)", value.strip())
        if not match:
            self.fail(f"rate {value!r} is no rate; use one of {', '.join(RATES)}, or a share such as 120%")
        return float(match[1]) / (100.0 if match[2] else 1.0)

    def pause(self, attributes: dict[str, str]) -> float:
        if "time" not in attributes:
            strength = attributes.get("strength", "medium")
            if strength not in PAUSES_S:
                self.fail(f"strength {strength!r} is not known; use one of {', '.join(PAUSES_S)}")
            return PAUSES_S[strength]
        match = re.fullmatch(r"\+?(\d{1,5}(?:\.\d{1,5})?)(ms|s)", attributes["time"].strip())
        seconds = float(match[1]) / (1_000.0 if match[2] == "ms" else 1.0) if match else -1.0
        if not 0.0 <= seconds <= LONGEST_PAUSE_S:
            self.fail(f"time {attributes['time']!r} is no pause; write 500ms or 1.5s, at most {LONGEST_PAUSE_S:g}s")
        return seconds

    def stressed(self, text: str) -> str:
        """`text` with the stress of the emphasis around it on every word."""
        levels = [e.attributes.get("level", "moderate") for e in self.open if e.name == "emphasis"]
        level = levels[-1] if levels else "none"
        if level == "none" or not self.english:
            return text
        words = expand(text.strip(), british=self.lang == "en-gb")
        lead, tail = text[: len(text) - len(text.lstrip())], text[len(text.rstrip()) :]
        return lead + _WORD.sub(lambda match: f"[{match[0]}]({STRESS[level]})", words) + tail

    def pronounced(self, element: _Open, text: str) -> str:
        alphabet = element.attributes.get("alphabet", "ipa")
        if alphabet != "ipa":
            self.fail(f"alphabet {alphabet!r} is not supported; write the pronunciation in ipa")
        ipa = self.required(element, "ph")
        if re.search(r"[/()\[\]\n]", ipa) or len(ipa) > 200:
            self.fail(f"ph {ipa[:40]!r} is no pronunciation in IPA")
        word = re.sub(r"[\[\]\n]", " ", text).strip()
        if not word:
            self.fail("<phoneme> needs the text that it pronounces")
        return f"[{word[:200]}](/{ipa}/)"

    def said(self, attributes: dict[str, str], text: str) -> str:
        kind = attributes.get("interpret-as", "")
        return self.said_in_english(kind, text) if self.english else self.said_abroad(kind, text)

    def said_abroad(self, kind: str, text: str) -> str:
        """In other languages digits are left to whoever phonemises them; only order and groups are made here."""
        if kind in {"characters", "spell-out", "digits"}:
            return " ".join(text.replace(" ", ""))
        if kind == "telephone":
            return ", ".join(" ".join(group) for group in re.findall(r"\d+", text))
        if kind not in {"cardinal", "number", "year", "ordinal"}:
            kinds = "characters, digits, cardinal, ordinal, year, telephone"
            self.fail(f"say-as {kind!r} is read in English only; in {self.lang} use one of {kinds}")
        number = self.whole_number(kind, text)
        if kind != "ordinal":
            return str(number)
        from num2words import num2words

        try:
            return str(num2words(number, lang=self.lang.replace("-br", "_BR").removesuffix("-fr"), to="ordinal"))
        except (NotImplementedError, OverflowError, ValueError):
            self.fail(f"say-as 'ordinal' is not known in {self.lang}; write the word")

    def said_in_english(self, kind: str, text: str) -> str:
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
            self.fail(f"say-as {kind!r} is not supported; use one of {kinds}")
        return {"ordinal": ordinal, "year": year}.get(kind, cardinal)(self.whole_number(kind, text), british=british)

    def whole_number(self, kind: str, text: str) -> int:
        number = re.sub(r"[ ,.]" if not self.english else "[ ,]", "", text)
        if not re.fullmatch(r"[0-9]{1,18}", number):
            self.fail(f"{text!r} is no whole number, which say-as {kind!r} needs")
        return int(number)
