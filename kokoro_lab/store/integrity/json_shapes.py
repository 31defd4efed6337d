"""The documents that the JSON columns of the tables may hold, as far as their readers rely on them.

A shape is a function from a decoded document to whether it fits. Members that a shape does not name are allowed: what a
later version adds stays readable.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Any

from kokoro_lab.measure.records.identity import PARTS
from kokoro_lab.measure.records.readings import LoadReading
from kokoro_lab.store.layout import is_label

__all__ = ["SHAPES", "Shape", "decode"]

Shape = Callable[[Any], bool]

DEEPEST = 30  # levels; a document of ours has at most six
LARGEST = 10**300  # an integer that is still a float


def decode(text: str) -> Any:
    """The document in a text.

    Raises ValueError for whatever is not one: broken, nested too deeply, or with a number of thousands of digits.
    """
    try:
        document = json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if _deeper(document, DEEPEST):
        raise ValueError("it is nested too deeply")
    return document


def _deeper(document: Any, levels: int) -> bool:
    if isinstance(document, dict):
        return levels == 0 or any(_deeper(member, levels - 1) for member in document.values())
    if isinstance(document, list):
        return levels == 0 or any(_deeper(member, levels - 1) for member in document)
    return False


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _number(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < LARGEST


def _figure(value: Any) -> bool:
    """A number that may also be none: what has no column may be written as NaN."""
    return isinstance(value, float) or _number(value)


def _count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def _scalar(value: Any) -> bool:
    return isinstance(value, str | bool) or _number(value)


def _any(value: Any) -> bool:
    return True


def _or_null(shape: Shape) -> Shape:
    return lambda value: value is None or shape(value)


def _array(of: Shape) -> Shape:
    return lambda value: isinstance(value, list) and all(map(of, value))


def _object(of: Shape = _any) -> Shape:
    return lambda value: isinstance(value, dict) and all(map(of, value.values()))


def _members(required: Mapping[str, Shape], optional: Mapping[str, Shape]) -> Shape:
    """An object with these members; the optional ones may be missing or null."""

    def fits(value: Any) -> bool:
        return (
            isinstance(value, dict)
            and all(name in value and shape(value[name]) for name, shape in required.items())
            and all(value.get(name) is None or shape(value[name]) for name, shape in optional.items())
        )

    return fits


def _delivery(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 3 and all(map(_number, value[:2])) and _or_null(_number)(value[2])


def _load(value: Any) -> bool:
    named = {field: value.get(field) for field in LoadReading.__dataclass_fields__} if isinstance(value, dict) else {}
    return (
        bool(named)
        and value.keys() == named.keys()
        and all(_count(named[name]) for name in ("calls", "failed"))
        and _text(named["first_error"])
        and _number(named["throughput_hz"])
        and all(_array(_number)(named[name]) for name in ("scheduled_s", "waited_ms"))
    )


_BLOCK_DETAILS = _members({}, {"deliveries": _array(_delivery), "load": _load, "figures": _object(_figure)})

_OPERATIONS = _members(dict.fromkeys(("constant", "token", "token_pair", "frame"), _number), {})

_VERDICT_DETAILS: Mapping[Any, Shape] = {
    "noise": _members(
        {"text": _text, "pairs": _number},
        {"sd": _number, "floor": _number, "detectable": _number, "blocks_needed": _number},
    ),
    "peak": _members({"threads": _count, "rates": _object(_number)}, {}),
    "work": _members({"sha256": _text, "work": _object(_OPERATIONS)}, {}),
}
"""Kind of a verdict -> what its details must have; a kind that is not here has texts and numbers only."""


def _verdict_details(value: Any) -> bool:
    if not _members({}, {"kind": _text, "confidence": _number, "gate": _text, "evidence": _text})(value):
        return False
    return _VERDICT_DETAILS.get(value.get("kind"), _any)(value)


SHAPES: Mapping[tuple[str, str], tuple[Shape, str]] = {
    **{
        (table, column): (_object(_or_null(_scalar)), "an object of values")
        for table in ("samples", "cells")
        for column in ("provider_options", "engine_settings")
    },
    ("cells", "configuration"): (_object(), "the configuration of a cell"),
    ("cells", "details"): (_BLOCK_DETAILS, "the details of a block"),
    ("cells", "warmup_ms"): (_array(_number), "a list of numbers"),
    ("cells", "load_ms"): (_object(_number), "an object of numbers"),
    ("cells", "cold"): (_object(_text), "an object of texts"),
    ("cells", "nodes"): (_object(_count), "an object of counts"),
    ("cells", "versions"): (_object(_text), "an object of texts"),
    ("cells", "foreign_modules"): (_array(_text), "a list of texts"),
    ("cells", "durations"): (_array(_count), "a list of counts"),
    ("cells", "gate_reasons"): (_array(_text), "a list of texts"),
    ("cells", "origin"): (_object(), "the origin of a block"),
    ("cells", "identity"): (_members(dict.fromkeys(PARTS, _text), {}), "the identity of a block"),
    ("machines", "facts"): (_object(), "an object of facts"),
    ("machines", "software"): (_object(), "an object of facts"),
    ("verdicts", "details"): (_verdict_details, "the details of a verdict"),
    ("runs", "tags"): (_array(is_label), "a list of tags"),
    ("runs", "endings"): (_object(_members({"planned": _count, "ended": _text}, {})), "how notebooks ended"),
}
"""(Table, column) -> the shape of its documents, and what they are."""
