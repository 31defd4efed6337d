"""English number words: cardinals, ordinals, years, decimals, digits.

British English says "one hundred and five"; American English leaves the "and" out, and so does misaki.
"""

from __future__ import annotations

__all__ = ["LARGEST_DIGITS", "amount", "cardinal", "decimal", "digits", "fraction", "ordinal", "plural", "year"]

LARGEST_DIGITS = 18  # a longer run of digits is a serial number and is read digit by digit
_ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen"
)
ONES = tuple(_ONES.split())
TENS = ("", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
SCALES = ("", "thousand", "million", "billion", "trillion", "quadrillion")
_GROUP_DIGITS = 4_000
_GROUP = 10**_GROUP_DIGITS
_IRREGULAR = {
    "one": "first",
    "two": "second",
    "three": "third",
    "five": "fifth",
    "eight": "eighth",
    "nine": "ninth",
    "twelve": "twelfth",
}


def cardinal(number: int | str, *, british: bool = False) -> str:
    """105 as "one hundred five"; numbers of more than 18 digits digit by digit.

    A number may also be given by its ASCII digits, and then has any length.
    """
    if isinstance(number, str):
        if len(number) > LARGEST_DIGITS:
            return digits(number)
        number = int(number)
    if number < 0:
        return f"minus {cardinal(-number, british=british)}"
    if number >= 10**LARGEST_DIGITS:
        return digits(_written(number))
    groups: list[str] = []
    rest, scale = number, 0
    while rest or not groups:
        rest, group = divmod(rest, 1_000)
        if group or not (rest or groups):
            words = _below_thousand(group, british)
            if british and not scale and 0 < group < 100 and rest:
                words = f"and {words}"
            groups.insert(0, f"{words} {SCALES[scale]}".strip())
        scale += 1
    return " ".join(groups)


def ordinal(number: int | str, *, british: bool = False) -> str:
    """23 as "twenty-third"; the number is as in `cardinal`."""
    words = cardinal(number, british=british)
    cut = max(words.rfind(" "), words.rfind("-")) + 1
    head, last = words[:cut], words[cut:]
    if last in _IRREGULAR:
        return head + _IRREGULAR[last]
    return f"{head}{last[:-1]}ieth" if last.endswith("y") else f"{head}{last}th"


def year(number: int, *, british: bool = False) -> str:
    """1905 as "nineteen oh five", 2005 as "two thousand five", 2024 as "twenty twenty-four"."""
    century, rest = divmod(number, 100)
    if not 10 <= century < 100 or (century % 10 == 0 and rest < 10):
        return cardinal(number, british=british)
    if rest == 0:
        return f"{cardinal(century)} hundred"
    return f"{cardinal(century)} {f'oh {ONES[rest]}' if rest < 10 else cardinal(rest)}"


def decimal(number: str, *, british: bool = False) -> str:
    """Read "1,234.05" as "one thousand two hundred thirty-four point zero five".

    ASCII digits, commas and at most one dot.
    """
    whole, _, places = number.replace(",", "").partition(".")
    leading_zero = len(whole) > 1 and whole[0] == "0"
    words = digits(whole) if leading_zero else cardinal(whole or "0", british=british)
    return f"{words} point {digits(places)}" if places else words


def digits(number: str) -> str:
    """Read "007" as "zero zero seven"; all other characters are left out."""
    return " ".join(ONES[int(character)] for character in number if "0" <= character <= "9")


def fraction(numerator: int, denominator: int) -> str:
    """3/4 as "three quarters"; the denominator is at least 2."""
    name = {2: "half", 4: "quarter"}.get(denominator) or ordinal(denominator)
    return f"{cardinal(numerator)} {name if numerator == 1 else plural(name)}"


def amount(number: str, unit: str, part: str, *, british: bool = False) -> str:
    """Money: ("3.50", "dollar", "cent") as "three dollars and fifty cents"; more decimal places stay a decimal."""
    whole, _, places = number.replace(",", "").partition(".")
    if len(places) > 2 or len(whole) > LARGEST_DIGITS or (places and not part):
        return f"{decimal(number, british=british)} {plural(unit)}"
    units, parts = int(whole or "0"), int(places.ljust(2, "0")) if places else 0
    words = []
    if units or not parts:
        words.append(f"{cardinal(units, british=british)} {unit if units == 1 else plural(unit)}")
    if parts:
        words.append(f"{cardinal(parts)} {part if parts == 1 else plural(part)}")
    return " and ".join(words)


def plural(word: str) -> str:
    """The plural of a unit, irregular plurals included: feet, pence, yen."""
    irregular = {"penny": "pence", "foot": "feet", "inch": "inches", "half": "halves", "yen": "yen", "yuan": "yuan"}
    if word in irregular:
        return irregular[word]
    head, _, last = word.partition(" per ")
    if last:
        return f"{plural(head)} per {last}"
    if word.startswith("degree "):
        return f"degrees {word.removeprefix('degree ')}"
    return word if word.endswith(("hertz", "won")) else f"{word}s"


def _written(number: int) -> str:
    """The digits of a whole number of any size; `str` refuses those of more than 4,300."""
    groups = []
    while number >= _GROUP:
        number, group = divmod(number, _GROUP)
        groups.append(f"{group:0{_GROUP_DIGITS}}")
    return "".join([str(number), *reversed(groups)])


def _below_thousand(number: int, british: bool) -> str:
    hundreds, rest = divmod(number, 100)
    words = [f"{ONES[hundreds]} hundred"] if hundreds else []
    if british and hundreds and rest:
        words.append("and")
    if rest >= 20:
        words.append(TENS[rest // 10] + (f"-{ONES[rest % 10]}" if rest % 10 else ""))
    elif rest or not hundreds:
        words.append(ONES[rest])
    return " ".join(words)
