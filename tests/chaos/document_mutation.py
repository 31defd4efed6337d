"""Mutations of documents: of the text of any, and of the structure of plain values."""

from __future__ import annotations

import copy
import random
import re
from collections.abc import Iterator, Sequence
from typing import Any

from kokoro_lab.sweeps.job import FACTORS

__all__ = ["structures", "texts"]

TOKENS = (
    *(
        "[",
        "]",
        "{",
        "}",
        ":",
        ": ",
        "- ",
        "? ",
        ", ",
        "#",
        "&a ",
        "*a",
        "<<: *a",
        "!!",
        "!!python/name:os.system ",
        "|",
        ">",
    ),
    *(
        "---\n",
        "...\n",
        "%YAML 9.9\n",
        "'",
        '"',
        "\\",
        "\\u0000",
        "\0",
        "\t",
        "\r",
        "\ufeff",
        "\u2028",
        "\ud800",
        "\x85",
    ),
    *(
        "2024-13-45",
        "1:1:1:1:1:1",
        "0x" + "f" * 99,
        "0o777",
        "1e999",
        ".inf",
        ".nan",
        "NaN",
        "-Infinity",
        "9" * 99,
        "~",
        "null",
    ),
    *(
        "yes",
        "=",
        "<<",
        "!!binary x",
        "!!set {a, b}",
        "!!omap [a: 1]",
        "é",
        "１２",
        "\u202e",
        "a" * 3_000,
        "[" * 200,
        "{a: " * 70,
    ),
)
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 10**9, 10**30, 10**400, -(2**63), 2**64, 0.5, 1e300, -1e300, 5e-324),
    *(
        float("nan"),
        float("inf"),
        float("-inf"),
        "",
        " ",
        "x",
        "x" * 5_000,
        "１２",
        "0x10",
        "../../x",
        "/",
        "/dev/zero",
        "\0",
        "\n",
    ),
    *(
        "\ud800",
        "\u202e",
        "default",
        "nosuch",
        "[a](/b/)",
        "<b>",
        "%s",
        "{0}",
        [],
        {},
        [[]],
        [{}],
        {"": ""},
        {"a": None},
    ),
    *(
        [None],
        [1, "x"],
        ["x"] * 3_000,
        list(range(3_000)),
        {f"k{at}": at for at in range(500)},
        {"path": "x"},
        {"x": [[[[1]]]]},
    ),
)


NAMES = (
    *FACTORS,
    *(
        "blocks",
        "repeats",
        "warmup_cap",
        "budget_s",
        "retries",
        "twins",
        "adaptive",
        "seed",
        "order_seed",
        "at_most",
        "within",
    ),
    *(
        "trials",
        "player",
        "statistic",
        "tokens",
        "split",
        "half",
        "matrices",
        "kernels",
        "recipe",
        "source",
        "revision",
        "id",
    ),
)
"""Names that some document may have."""


def texts(data: bytes, chance: random.Random) -> bytes:
    """The document with one to four changes of its text: bytes, tokens, lines, or the encoding."""
    for _ in range(chance.randint(1, 4)):
        data = chance.choice(TEXT_CHANGES)(data, chance)
    return data


def _flipped(data: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(data) + 1)
    return data[:at] + bytes([chance.randrange(256)]) + data[at + chance.randint(0, 1) :]


def _token(data: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(data) + 1)
    return data[:at] + chance.choice(TOKENS).encode("utf-8", "surrogatepass") + data[at + chance.choice((0, 0, 1, 5)) :]


def _span(data: bytes, chance: random.Random) -> bytes:
    """Some bytes removed, doubled, or moved."""
    start, end = sorted(chance.randrange(len(data) + 1) for _ in range(2))
    at = chance.randrange(len(data) + 1)
    return chance.choice(
        (data[:start] + data[end:], data[:end] + data[start:], data[:at] + data[start:end] + data[at:])
    )


def _lines(data: bytes, chance: random.Random) -> bytes:
    """A line doubled, removed, indented, or exchanged with another."""
    lines = data.split(b"\n")
    at, other = chance.randrange(len(lines)), chance.randrange(len(lines))
    change = chance.randrange(4)
    if change == 0:
        lines.insert(at, lines[other])
    elif change == 1:
        del lines[at]
    elif change == 2:
        lines[at] = b" " * chance.randint(1, 3) + lines[at]
    else:
        lines[at], lines[other] = lines[other], lines[at]
    return b"\n".join(lines)


def _value(data: bytes, chance: random.Random) -> bytes:
    """The value after a colon or a dash replaced by a hostile token."""
    places = [match.span(1) for match in re.finditer(rb"(?:: |- )([^\n,}\]]+)", data)]
    if not places:
        return data
    start, end = chance.choice(places)
    return data[:start] + chance.choice(TOKENS).encode("utf-8", "surrogatepass") + data[end:]


def _encoded(data: bytes, chance: random.Random) -> bytes:
    if chance.random() < 0.6:
        return data
    text = data.decode("utf-8", "replace")
    return text.encode(chance.choice(("utf-16", "utf-32", "utf-8-sig", "utf-7", "latin-1")), "replace")


TEXT_CHANGES = (_flipped, _token, _token, _span, _lines, _lines, _value, _value, _value, _encoded)


def structures(document: Any, chance: random.Random) -> Any:
    """The document with one or two changes of its structure: values replaced, names added or changed, parts moved.

    Half of the values that are replaced stay of their kind, so that not only the first check sees them.
    """
    document = copy.deepcopy(document)
    for _ in range(chance.randint(1, 2)):
        holders = [holder for holder in _holders(document) if holder]
        if not holders:
            return chance.choice(VALUES)
        holder = chance.choice(holders)
        names: Sequence[Any] = list(holder) if isinstance(holder, dict) else range(len(holder))
        chance.choice(STRUCTURE_CHANGES)(holder, chance.choice(names), holders, chance)
    return document


def _replaced(holder: Any, name: Any, _: list[Any], chance: random.Random) -> None:
    holder[name] = copy.deepcopy(chance.choice(VALUES))


def _alike(holder: Any, name: Any, holders: list[Any], chance: random.Random) -> None:
    """Another value of the kind that is there, from the document or from the hostile values."""
    members = [each for other in holders for each in (other.values() if isinstance(other, dict) else other)]
    kind = type(holder[name])
    others = [each for each in (*members, *VALUES) if type(each) is kind and len(str(each)[:20_001]) < 20_000]
    holder[name] = copy.deepcopy(chance.choice(others or [None]))


def _deleted(holder: Any, name: Any, _: list[Any], chance: random.Random) -> None:
    del holder[name]


def _named(holder: Any, name: Any, _: list[Any], chance: random.Random) -> None:
    """A value under another name, or a known name with any value beside those that are there."""
    if isinstance(holder, list):
        holder.insert(name, copy.deepcopy(chance.choice(VALUES)))
    elif chance.random() < 0.3:
        holder[chance.choice(("", "x", "path", "name", "１２", "x" * 500))] = holder.pop(name)
    else:
        value = chance.choice((*VALUES, [1, 2], ["warm", "cold"], 2, 60.0, "short"))
        holder[chance.choice(NAMES)] = copy.deepcopy(value)


def _repeated(holder: Any, name: Any, holders: list[Any], chance: random.Random) -> None:
    """A value many times, or another part of the document in its place."""
    other = chance.choice((holder[name], *holders))
    times = chance.choice((0, 1, 2, 300))
    if len(str(other)) * max(times, 1) < 100_000:
        holder[name] = [copy.deepcopy(other) for _ in range(times)] if times else copy.deepcopy(other)


STRUCTURE_CHANGES = (_replaced, _replaced, _alike, _alike, _deleted, _named, _named, _repeated)


def _holders(value: Any) -> Iterator[Any]:
    if isinstance(value, dict | list):
        yield value
        for member in value.values() if isinstance(value, dict) else value:
            yield from _holders(member)
