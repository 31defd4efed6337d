"""English as it is read aloud: money, dates, times, versions, addresses, symbols and abbreviations in words.

A single table of rules is tried in order, the most specific first; each rule turns its matches into words, so that no
later rule sees them again. The result has no digits and no symbols that a dictionary lacks.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from kokoro_lab.text.abbreviations import expand_abbreviations
from kokoro_lab.text.addresses import ADDRESSES
from kokoro_lab.text.dates import DATES, YEARS
from kokoro_lab.text.number_words import amount, cardinal, decimal, digits, fraction, ordinal, plural
from kokoro_lab.text.rules import Rule, apply, rule
from kokoro_lab.text.sanitize import stretches

__all__ = ["expand", "spell"]

LONGEST_STRETCH = 1_500
"""Characters written out at a time, more than any sentence of a segment has. The time of some rules grows with the
square of what they search, so that they must not search a whole book."""
_NUMBER = r"\d{1,3}(?:,\d{3})++(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+"
_MONEY = {
    "$": ("dollar", "cent"),
    "£": ("pound", "penny"),
    "€": ("euro", "cent"),
    "¥": ("yen", ""),
    "₹": ("rupee", ""),
    "₩": ("won", ""),
}
_SCALE = {"k": "thousand", "m": "million", "b": "billion", "bn": "billion", "t": "trillion", "tn": "trillion"}
_UNITS = {
    "km/h": "kilometer per hour", "m/s": "meter per second", "km": "kilometer", "cm": "centimeter", "mm": "millimeter",
    "m": "meter", "kg": "kilogram", "mg": "milligram", "g": "gram", "lb": "pound", "lbs": "pound", "oz": "ounce",
    "ft": "foot", "mi": "mile", "mph": "mile per hour", "ml": "milliliter", "l": "liter", "ms": "millisecond",
    "µs": "microsecond", "ns": "nanosecond", "s": "second", "sec": "second", "min": "minute", "mins": "minute",
    "h": "hour", "hr": "hour", "hrs": "hour", "KB": "kilobyte", "kB": "kilobyte", "MB": "megabyte", "GB": "gigabyte",
    "TB": "terabyte", "Hz": "hertz", "kHz": "kilohertz", "MHz": "megahertz", "GHz": "gigahertz", "W": "watt",
    "kW": "kilowatt", "V": "volt", "dB": "decibel", "°C": "degree Celsius", "°F": "degree Fahrenheit", "°": "degree",
}  # fmt: skip
_BRITISH_UNITS = {"meter": "metre", "liter": "litre"}
_SIGNS = {
    "%": "percent", "&": "and", "@": "at", "+": "plus", "=": "equals", "<": "less than", ">": "greater than",
    "×": "times", "÷": "divided by", "±": "plus or minus", "≈": "about", "~": "about", "≤": "at most", "≥": "at least",
    "°": "degrees", "№": "number", "$": "dollar", "£": "pound", "€": "euro", "¥": "yen", "₹": "rupee", "©": "copyright",
    "®": "", "™": "", "#": "number",
}  # fmt: skip


def expand(text: str, *, british: bool = False) -> str:
    """Sanitised English with everything written out; text that is words already comes back unchanged."""
    if not _WRITTEN.search(text, 0, len(text) - text.endswith(".")):
        return text
    if len(text) <= LONGEST_STRETCH:
        return _expanded(text, british)
    parts = stretches(text, LONGEST_STRETCH)
    return "".join(_expanded(part, british) + ("\n" if part[-1] == "\n" else " ") for part in parts).strip()


def spell(text: str) -> str:
    """Letter by letter and digit by digit: "B2B" becomes "B two B"."""
    return " ".join(digits(c) or _SIGNS.get(c) or c.upper() for c in _ascii_digits(text) if not c.isspace())


def _expanded(text: str, british: bool) -> str:
    text = apply(ADDRESSES, _ascii_digits(text), british=british)
    text = apply(_RULES, expand_abbreviations(text), british=british)
    return _SPACES.sub(" ", _LOOSE.sub(r"\1", text)).strip()


def _ascii_digits(text: str) -> str:
    """Digits of other scripts as ASCII; superscripts and fraction characters in words."""
    if text.isascii():
        return text
    text = _HALVES.sub(" and a half", text)
    return "".join(_digit(character) for character in text)


@lru_cache(maxsize=1_024)
def _digit(character: str) -> str:
    if character in "²³":
        return " squared" if character == "²" else " cubed"
    if character.isdigit():
        return str(unicodedata.digit(character))
    if character.isnumeric() and unicodedata.category(character) == "No":
        parts = unicodedata.normalize("NFKC", character).split("⁄")
        if len(parts) == 2 and all(part.isdigit() for part in parts) and int(parts[1]) >= 2:
            return f" {fraction(int(parts[0]), int(parts[1]))}"
    return character


def _money(match: re.Match[str], british: bool) -> str:
    unit, part = _MONEY[match["sign"]]
    minus = "minus " if match["minus"] else ""
    scale = (match.groupdict().get("scale") or "").lower()
    if scale:
        scale = _SCALE.get(scale, scale)
        return f"{minus}{decimal(match['number'], british=british)} {scale} {plural(unit)}"
    return minus + amount(match["number"], unit, part, british=british)


def _version(match: re.Match[str], british: bool) -> str:
    parts = match["parts"].split(".")
    joint = " dot " if len(parts) > 3 else " point "
    words = joint.join(digits(part) if len(part) > 2 else cardinal(int(part)) for part in parts)
    return f"version {words}" if match[0][0] in "vV" else words


def _phone(match: re.Match[str], british: bool) -> str:
    groups = re.findall(r"\d+", match[0])
    return ("plus " if match[0].startswith("+") else "") + ", ".join(digits(group) for group in groups)


def _ordinal(match: re.Match[str], british: bool) -> str:
    return ordinal(match["number"].replace(",", ""), british=british)


def _range(match: re.Match[str], british: bool) -> str:
    return f"{match['first']} to {match['second']}"


def _fraction(match: re.Match[str], british: bool) -> str:
    top, bottom = int(match["top"]), int(match["bottom"])
    if not 1 <= top < bottom or bottom > 100:
        return f"{match['whole'] or ''}{top} {'' if (top, bottom) == (24, 7) else 'slash '}{bottom}"
    words = fraction(top, bottom)
    whole = match["whole"]
    return f"{cardinal(int(whole))} and {'a' + words[3:] if words.startswith('one ') else words}" if whole else words


def _unit(match: re.Match[str], british: bool) -> str:
    number, unit = match["number"], _UNITS[match["unit"]]
    if british:
        for american, name in _BRITISH_UNITS.items():
            unit = unit.replace(american, name)
    return f"{decimal(number, british=british)} {unit if number == '1' else plural(unit)}"


def _number(match: re.Match[str], british: bool) -> str:
    """Any other number, separated from adjacent letters."""
    words = decimal(match["number"], british=british)
    before, after = match.string[: match.start()][-1:], match.string[match.end() :][:1]
    if before.isalpha() and len(match["number"]) > 2 and "," not in match["number"]:
        words = digits(match["number"])
    if match["minus"]:
        words = f"minus {words}"
    return f"{' ' if before.isalnum() else ''}{words}{' ' if after.isalpha() else ''}"


def _sign(match: re.Match[str], british: bool) -> str:
    return f" {_SIGNS[match[0]]} "


_WRITTEN = re.compile(r"[^A-Za-z'’,;:!?—…\"“”()\s-]|\b(?:Mr|Mrs|Ms|Dr|vs)\b")
"""Anything that is not yet written as it is spoken."""
_SPACES = re.compile(r"[^\S\n]{2,}")
_LOOSE = re.compile(r" +([,.;:!?)](?=\s|$))")
_HALVES = re.compile(r"(?<=\d)½")
_UNIT = "|".join(sorted(map(re.escape, _UNITS), key=len, reverse=True))
_RULES: tuple[Rule, ...] = (
    *DATES,
    rule(
        rf"(?P<minus>-)?(?P<sign>[$£€¥₹₩])\s?(?P<number>{_NUMBER})"
        r"(?:\s?(?P<scale>thousand|million|billion|trillion|(?:bn|tn|[kmbt])\b))?",
        _money,
        re.IGNORECASE,
    ),
    rule(rf"(?P<minus>-)?(?<![\w.,])(?P<number>{_NUMBER})\s?(?P<sign>[€£₹])", _money),
    rule(r"(?<![\w.])[vV]\.?\s?(?P<parts>\d{1,9}(?:\.\d{1,9})*)(?!\w)", _version),
    rule(r"(?<![\w.])(?P<parts>\d{1,9}(?:\.\d{1,9}){2,})(?!\w)", _version),
    rule(
        r"(?<![\w-])(?:(?:\+?\d{1,3}[ -])?(?:\(\d{3}\) ?|\d{3}[ -]))?\d{3}-\d{4}(?![\w-])",
        _phone,
    ),
    rule(r"(?<![\w.])(?P<number>\d{1,3}(?:,\d{3})+|\d{1,15})(?:st|nd|rd|th)\b", _ordinal, re.IGNORECASE),
    YEARS[0],
    rule(rf"(?<![\w.,-])(?P<first>{_NUMBER})\s?[-–]\s?(?P<second>{_NUMBER})(?![\w-])", _range),
    rule(r"(?<![\w/.,])(?P<whole>\d{1,3} )?(?P<top>\d{1,3})/(?P<bottom>\d{1,3})(?![\w/])", _fraction),
    rule(rf"(?<![\w.])(?P<number>{_NUMBER})\s?(?P<unit>{_UNIT})(?![\w/²³])", _unit),
    YEARS[1],
    rule(r"#(?=[A-Za-z])", lambda *_: " hashtag "),
    rule(r"(?<=\d):(?=\d)", lambda *_: " to "),
    rule(r"#(?=\.?\d)", lambda *_: " number "),
    rule(rf"(?P<minus>(?<![^\s(“\"])-)?(?P<number>{_NUMBER})", _number),
    rule(r"(?<=\w)/(?=\w)", lambda *_: " "),
    rule(f"[{re.escape(''.join(_SIGNS))}]", _sign),
    rule(r"[*_|^\\{}]+", lambda *_: " "),
)
