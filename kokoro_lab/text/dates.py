"""English dates, times of day, years and decades in words."""

from __future__ import annotations

import re

from kokoro_lab.text.number_words import cardinal, ordinal, year
from kokoro_lab.text.rules import Rule, rule

__all__ = ["DATES", "MONTHS", "YEARS"]

MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)


def _time(match: re.Match[str], british: bool) -> str:
    parts = match.groupdict()
    hour, minute, half = int(parts["hour"]), int(parts.get("minute") or 0), parts["half"]
    suffix = f" {half[0].lower()}.m" if half else ""
    if half and match[0].endswith(".") and not match.string[match.end() :].strip("\"”')] "):
        suffix += "."
    if parts.get("second"):
        return f"{cardinal(hour)} {_minutes(minute)} and {cardinal(int(match['second']))} seconds{suffix}"
    if "minute" not in parts or (minute == 0 and half):
        return f"{cardinal(hour)}{suffix}"
    if minute == 0:
        return f"{cardinal(hour)} o'clock" if 0 < hour <= 12 else f"{cardinal(hour)} hundred"
    return f"{cardinal(hour)} {_minutes(minute)}{suffix}"


def _minutes(minute: int) -> str:
    return "oh " + cardinal(minute) if minute < 10 else cardinal(minute)


def _iso_date(match: re.Match[str], british: bool) -> str:
    return _date(int(match["day"]), int(match["month"]), match["year"], british) or match[0].replace("-", " ")


def _slash_date(match: re.Match[str], british: bool) -> str:
    first, second = int(match["first"]), int(match["second"])
    day, month = (first, second) if british or first > 12 else (second, first)
    return _date(day, month, match["year"], british) or match[0].replace("/", " slash ")


def _month_day(match: re.Match[str], british: bool) -> str:
    return _date(int(match["day"]), MONTHS.index(match["month"]) + 1, match["year"], british) or match[0]


def _date(day: int, month: int, spoken_year: str | None, british: bool) -> str | None:
    if not (1 <= day <= 31 and 1 <= month <= 12):
        return None
    name = MONTHS[month - 1]
    words = f"the {ordinal(day)} of {name}" if british else f"{name} {ordinal(day)}"
    if not spoken_year:
        return words
    return f"{words}, {year(int(spoken_year), british=british)}"


def _decade(match: re.Match[str], british: bool) -> str:
    number = int(match["number"])
    words = year(number) if number > 100 else cardinal(number)
    return f"{words[:-1]}ies" if words.endswith("y") else f"{words}s"


def _year(match: re.Match[str], british: bool) -> str:
    return year(int(match[0]), british=british)


_MONTH = "|".join(MONTHS)
_HALF = r"(?P<half>[ap]\.?m\b\.?)"
_YEAR = r"(?P<year>[12]\d{3})"
DATES: tuple[Rule, ...] = (
    rule(
        r"(?<![\d:.])(?P<hour>[01]?\d|2[0-3]):(?P<minute>[0-5]\d)(?::(?P<second>[0-5]\d))?(?![\d:])"
        rf"(?:\s?{_HALF})?",
        _time,
        re.IGNORECASE,
    ),
    rule(rf"(?<![\d:.])(?P<hour>1[0-2]|[1-9])\s?{_HALF}", _time, re.IGNORECASE),
    rule(rf"(?<![\d-]){_YEAR}-(?P<month>\d\d)-(?P<day>\d\d)(?![\d-])", _iso_date),
    rule(rf"(?<![\d/])(?P<first>\d{{1,2}})/(?P<second>\d{{1,2}})/{_YEAR}(?![\d/])", _slash_date),
    rule(
        rf"\b(?P<month>{_MONTH}) (?P<day>\d{{1,2}})(?:st|nd|rd|th)?(?:,? {_YEAR})?(?![\d:.,]*\d)",
        _month_day,
    ),
    rule(
        rf"\b(?:the )?(?P<day>\d{{1,2}})(?:st|nd|rd|th)? (?:of )?(?P<month>{_MONTH})(?:,? {_YEAR})?(?!\d)",
        _month_day,
    ),
)
"""Times and whole dates; applied before any other rule that consumes digits."""

YEARS: tuple[Rule, ...] = (
    rule(r"(?<!\w)['’]?(?P<number>[12]\d\d0|[2-9]0)['’]?s\b", _decade),
    rule(r"(?<![\w.,$-])(?:1[1-9]|20)\d\d(?![\w]|[.,]\d|%)", _year),
)
"""Decades and the numbers 1100 to 2099, which are read as years."""
