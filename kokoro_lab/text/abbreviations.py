"""English abbreviations written out in full; the dot of an abbreviation is told apart from a full stop."""

from __future__ import annotations

import re

__all__ = ["NUMBERED", "NUMBER_FOLLOWS", "expand_abbreviations"]

_TITLES = {
    "Mr": "Mister", "Mrs": "Missus", "Ms": "Miz", "Dr": "Doctor", "Prof": "Professor", "Rev": "Reverend",
    "Hon": "Honorable", "Gen": "General", "Col": "Colonel", "Capt": "Captain", "Lt": "Lieutenant", "Sgt": "Sergeant",
    "Gov": "Governor", "Sen": "Senator", "Rep": "Representative", "St": "Saint", "Mt": "Mount", "Ft": "Fort",
    "Messrs": "Messieurs",
}  # fmt: skip
"""Titles: expanded before a capitalized name."""
_PLACES = {"St": "Street", "Dr": "Drive", "Ave": "Avenue", "Blvd": "Boulevard", "Rd": "Road", "Mt": "Mount"}
"""Places: expanded after a capitalized name that no further name follows."""
_BEFORE_NUMBERS = {
    "no": "number", "nos": "numbers", "p": "page", "pp": "pages", "fig": "figure", "figs": "figures", "vol": "volume",
    "ch": "chapter", "sec": "section", "eq": "equation",
}  # fmt: skip
NUMBERED = frozenset(_BEFORE_NUMBERS)
"""Abbreviations of what a number follows; where no number follows they are words ("no", "fig", "sec") that end a
sentence."""
_MONTHS = {
    "Jan": "January", "Feb": "February", "Mar": "March", "Apr": "April", "Jun": "June", "Jul": "July", "Aug": "August",
    "Sept": "September", "Sep": "September", "Oct": "October", "Nov": "November", "Dec": "December",
}  # fmt: skip
_DAYS = {
    "Mon": "Monday", "Tues": "Tuesday", "Tue": "Tuesday", "Wed": "Wednesday", "Thurs": "Thursday", "Thur": "Thursday",
    "Thu": "Thursday", "Fri": "Friday", "Sat": "Saturday", "Sun": "Sunday",
}  # fmt: skip
_ALWAYS = {
    "e.g": "for example", "i.e": "that is", "etc": "et cetera", "vs": "versus", "cf": "compare",
    "approx": "approximately",
    "dept": "department", "est": "established", "inc": "Incorporated", "ltd": "Limited", "corp": "Corporation",
    "co": "Company", "jr": "Junior", "sr": "Senior", "a.k.a": "also known as", "viz": "namely", "et al": "and others",
}  # fmt: skip
_BARE = {"Mr": "Mister", "Mrs": "Missus", "Ms": "Miz", "Dr": "Doctor", "vs": "versus", "w/o": "without", "w/": "with "}
"""Abbreviations that are also written without a dot."""


NUMBER_FOLLOWS = r"#?\d|[IVXLC]{2,}\b(?!['’])"
"""Pattern of what must follow "no." and the like to make them abbreviations: a digit, or a Roman numeral of at least
two letters."""


def _any(words: dict[str, str]) -> str:
    return "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True))


_TITLE = re.compile(rf"\b(?P<word>{_any(_TITLES)})\.(?=\s+[\"“(]?[A-Z])")
_PLACE = re.compile(rf"(?<=[a-z0-9] )(?P<word>{_any(_PLACES)})\.")
_NUMBERED = re.compile(rf"\b(?i:(?P<word>{_any(_BEFORE_NUMBERS)}))\.\s?(?={NUMBER_FOLLOWS})")
_MONTH = re.compile(rf"\b(?P<word>{_any(_MONTHS)})\b\.?(?=\s+\d)|\b(?P<dotted>{_any(_MONTHS)})\.")
_DAY = re.compile(rf"\b(?P<word>{_any(_DAYS)})(?:\.|(?=,? (?:\d|{_any(_MONTHS)})))")
_FULL = re.compile(rf"(?<![\w.])(?P<word>{_any(_ALWAYS)})\.(?!\w)", re.IGNORECASE)
_NO_DOT = re.compile(rf"(?<![\w.])(?P<word>{_any(_BARE)})(?![\w./])")
_WITH = re.compile(r"(?<!\w)w/o?(?=\s|\w)")
_INITIALS = re.compile(r"\b(?:[A-Za-z]\.){2,}")
_INITIAL = re.compile(r"\b(?P<letter>[A-HJ-Z])\.(?=\s*[A-Z])")


def expand_abbreviations(text: str) -> str:
    """Sanitised English with its abbreviations written out; a dot that ends the text stays as a full stop."""
    if "." in text:
        text = _TITLE.sub(lambda match: _TITLES[match["word"]], text)
        text = _PLACE.sub(lambda match: _PLACES[match["word"]] + _stop(match), text)
        text = _NUMBERED.sub(lambda match: f"{_BEFORE_NUMBERS[match['word'].lower()]} ", text)
        text = _FULL.sub(lambda match: _ALWAYS[match["word"].lower()] + _stop(match), text)
        text = _INITIALS.sub(lambda match: match[0][:-1] + _stop(match), text)
        text = _INITIAL.sub(lambda match: match["letter"], text)
    text = _MONTH.sub(
        lambda match: _MONTHS[match["word"] or match["dotted"]] + ("" if match["word"] else _stop(match)), text
    )
    text = _DAY.sub(lambda match: _DAYS[match["word"]] + (_stop(match) if match[0].endswith(".") else ""), text)
    text = _NO_DOT.sub(lambda match: _BARE[match["word"]], text)
    return _WITH.sub(lambda match: "without " if match[0] == "w/o" else "with ", text)


def _stop(match: re.Match[str]) -> str:
    """The full stop that the dot of an abbreviation doubles as when it ends the text, else an empty string."""
    last = match[0].endswith(".") and not match.string[match.end() :].strip("\"”')] ")
    return "." if last else ""
