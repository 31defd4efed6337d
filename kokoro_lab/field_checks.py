"""Checks of a dataclass's fields against their type hints: all mistakes are reported, each with a valid alternative.

A hint defines what a field accepts: `Literal["double", "requested"]`, `Path | None`, `Annotated[int, Range(1, 64)]`.
A bool is not a number, 2.0 is not an integer, and neither NaN nor an infinity is a number. A path may be given as text,
a tuple as a list, pairs as a mapping, and a record as a mapping of its fields: the field is then converted to the path,
the tuple, the pairs or the record.
"""

from __future__ import annotations

import collections.abc
import dataclasses
import functools
import math
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from kokoro_lab.errors import InputError, KokoroLabError, SettingError
from kokoro_lab.files.reading import decoding

__all__ = [
    "FORMER_NAMES",
    "Mistake",
    "Range",
    "UnfitError",
    "as_record",
    "check_of",
    "current_names",
    "describe",
    "hints",
    "refuse",
    "shown",
    "take_fields",
]

FORMER_NAMES: Mapping[str, str] = {"arena_limit_mib": "arena_limit_mb", "breaker_cooldown_s": "session_rest_s"}
"""Setting -> its former name, which stored cells, their ids and digests still use; plans may use either."""

RecordT = TypeVar("RecordT")

SHOWN_CHARACTERS = 80  # of a wrong value in a message


@dataclass(frozen=True)
class Range:
    """The values that a number may have, including both ends."""

    least: float = -math.inf
    most: float = math.inf
    unit: str = ""
    """Unit of the number, in the plural."""
    zero: str = ""
    """The meaning of 0, where it is special."""
    above: bool = False
    """Whether `least` itself is excluded."""

    def holds(self, number: float) -> bool:
        """Whether the number is finite and within the range."""
        if isinstance(number, float) and not math.isfinite(number):
            return False
        return (self.least < number if self.above else self.least <= number) and number <= self.most

    def __str__(self) -> str:
        of = f" of {self.unit}" if self.unit else ""
        least = f"{self.least:.15g}" + (f" ({self.zero})" if self.zero and self.least == 0 else "")
        if math.isinf(self.most):
            return of if math.isinf(self.least) else f"{of} {'above' if self.above else 'from'} {least}"
        return f"{of} from {least} to {self.most:.15g}"


@dataclass(frozen=True)
class Mistake:
    """A value, or a combination of values, that a dataclass does not accept."""

    fields: tuple[str, ...]
    """The fields concerned."""
    says: str
    """What is wrong."""
    use: str
    """What to use instead, as an instruction."""


class UnfitError(Exception):
    """A value that a hint does not allow; for a record, the message names the field."""


def as_record(
    kind: type[RecordT],
    values: object,
    *,
    what: str,
    error: type[KokoroLabError] = InputError,
    advice: str = "get the file again",
) -> RecordT:
    """The dataclass that a JSON object describes; the error says which value does not fit its type hint.

    Lists become tuples, objects records, and text paths, as the hints say; a field without a default must be there, and
    no other names may be.
    """
    hint: Any = kind
    with decoding(what, error=error, advice=advice):
        record: RecordT = check_of(hint)(values)
    return record


@functools.cache
def check_of(hint: Any) -> Callable[[Any], Any]:
    """The check for a hint: it returns the value in the hint's form, or raises UnfitError."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        return functools.partial(_number, arguments[0], _range(hint))
    if hint is int or hint is float:
        return functools.partial(_number, hint, Range())
    if hint is Path:
        return _path
    if origin is Literal:
        return functools.partial(_choice, arguments)
    if origin in (types.UnionType, typing.Union):
        return functools.partial(_member, tuple(check_of(each) for each in arguments))
    if origin is tuple and arguments[-1] is Ellipsis:
        pairs = typing.get_origin(arguments[0]) is tuple
        return functools.partial(_items, check_of(arguments[0]), pairs)
    if origin is tuple:
        return functools.partial(_row, tuple(check_of(each) for each in arguments))
    if origin in (dict, collections.abc.Mapping):
        return functools.partial(_mapping, *(check_of(each) for each in arguments))
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return functools.partial(_record, hint)
    return functools.partial(_instance, object if hint is Any else hint)


def describe(hint: Any) -> str:
    """The values that a hint allows, in words that can follow "use"."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        return f"{describe(arguments[0])}{_range(hint)}"
    if origin is Literal:
        return f"one of {', '.join(word or repr(word) for word in arguments)}"
    if origin in (types.UnionType, typing.Union):
        return " or ".join("None" if each is type(None) else describe(each) for each in arguments)
    if origin is tuple:
        return "pairs of name and value" if typing.get_origin(arguments[0]) is tuple else "a list of names"
    return {bool: "true or false", int: "a whole number", float: "a number", str: "text", Path: "a path"}[hint]


@functools.cache
def hints(owner: type) -> Mapping[str, Any]:
    """Field -> its type hint, ranges included."""
    known = typing.get_type_hints(owner, include_extras=True)
    return {item.name: known[item.name] for item in dataclasses.fields(owner)}


def take_fields(record: Any, *, written: Mapping[str, str] | None = None, convert: bool = True) -> list[Mistake]:
    """Convert every field of a dataclass instance to its hint's form, and wrong values to the default; returns the
    mistakes.

    written: field -> how to describe its value when it was not given in code. convert: False leaves valid values as
    they were given.
    """
    mistakes = []
    owner: type = type(record)
    for name, (check, usual) in _checks(owner).items():
        given = getattr(record, name)
        if given is usual:
            continue
        try:
            taken = check(given)
        except UnfitError:
            says = (written or {}).get(name) or f"{name} is {shown(given)}"
            mistakes.append(Mistake((name,), says, f"use {describe(hints(owner)[name])}"))
            if usual is not dataclasses.MISSING:
                object.__setattr__(record, name, usual)
            continue
        if convert and taken is not given:
            object.__setattr__(record, name, taken)
    return mistakes


@functools.cache
def _checks(owner: type) -> Mapping[str, tuple[Callable[[Any], Any], Any]]:
    """Field -> its check and its default, which is not checked."""
    return {item.name: (check_of(hints(owner)[item.name]), item.default) for item in dataclasses.fields(owner)}


def refuse(mistakes: Iterable[Mistake], wrong: Iterable[Mistake] = ()) -> None:
    """Raise a SettingError that names all mistakes; without mistakes, do nothing.

    wrong: mistakes in single fields. Conflicts that concern one of these fields are left out, because its value is then
    unknown.
    """
    single = list(wrong)
    unknown = {name for mistake in single for name in mistake.fields}
    named = single + [mistake for mistake in mistakes if not unknown & set(mistake.fields)]
    if len(named) == 1:
        raise SettingError(f"{named[0].says}; {named[0].use}")
    if named:
        words = "; ".join(f"{mistake.says}, {mistake.use}" for mistake in named)
        raise SettingError(f"{len(named)} settings cannot be used: {words}")


def current_names(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings by the current names of the fields; raises SettingError for a setting given by both names."""
    present = {former: name for name, former in FORMER_NAMES.items()}
    twice = [name for former, name in present.items() if former in settings and name in settings]
    refuse(Mistake((name,), f"{name} is also given as {FORMER_NAMES[name]}", "use one of them") for name in twice)
    return {present.get(name, name): value for name, value in settings.items()}


def _number(kind: type, within: Range, value: Any) -> Any:
    allowed = (int,) if kind is int else (int, float)
    if isinstance(value, bool) or not isinstance(value, allowed) or not within.holds(value):
        raise UnfitError
    try:
        return kind(value)
    except OverflowError:
        raise UnfitError from None


def _range(hint: Any) -> Range:
    return next((note for note in hint.__metadata__ if isinstance(note, Range)), Range())


def _instance(kind: type, value: Any) -> Any:
    if not isinstance(value, kind):
        raise UnfitError
    return value


def _path(value: Any) -> Path:
    if isinstance(value, str) and value:
        return Path(value)
    if not isinstance(value, Path):
        raise UnfitError
    return value


def _choice(choices: tuple[str, ...], value: Any) -> Any:
    if not isinstance(value, str) or value not in choices:
        raise UnfitError
    return value


def _member(checks: tuple[Callable[[Any], Any], ...], value: Any) -> Any:
    for check in checks:
        try:
            return check(value)
        except UnfitError:
            continue
    raise UnfitError


def _items(check: Callable[[Any], Any], pairs: bool, value: Any) -> tuple[Any, ...]:
    if pairs and isinstance(value, Mapping):
        value = tuple(value.items())
    if not isinstance(value, tuple | list):
        raise UnfitError
    return tuple(check(item) for item in value)


def _row(checks: tuple[Callable[[Any], Any], ...], value: Any) -> tuple[Any, ...]:
    if not isinstance(value, tuple | list) or len(value) != len(checks):
        raise UnfitError
    return tuple(check(item) for check, item in zip(checks, value, strict=True))


def _mapping(key_check: Callable[[Any], Any], check: Callable[[Any], Any], value: Any) -> dict[Any, Any]:
    if not isinstance(value, Mapping):
        raise UnfitError
    return {key_check(key): check(item) for key, item in value.items()}


def _record(kind: type, value: Any) -> Any:
    if isinstance(value, kind):
        return value
    if not isinstance(value, Mapping):
        raise UnfitError("an object with named values is needed")
    checks = _checks(kind)
    if unknown := [str(name) for name in value if name not in checks]:
        raise UnfitError(f"unknown name {unknown[0][:SHOWN_CHARACTERS]!r}")
    taken = {}
    for item in dataclasses.fields(kind):
        if item.name in value:
            try:
                taken[item.name] = checks[item.name][0](value[item.name])
            except UnfitError as problem:
                inside = f": {problem}" if problem.args else f" is {shown(value[item.name])}"
                raise UnfitError(f"{item.name}{inside}") from None
        elif item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING:
            raise UnfitError(f"{item.name} is missing")
    return kind(**taken)


def shown(value: object) -> str:
    """A wrong value as a message repeats it: quoted, and of a long one only the beginning."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # Python writes no whole number of more than 4,300 digits
        text = f"a huge {type(value).__name__}"
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}..."
