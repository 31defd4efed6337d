"""Values that cross a process boundary as JSON and come back equal."""

from __future__ import annotations

import dataclasses
import functools
import types
import typing
from collections.abc import Mapping
from typing import Any, ClassVar, Self

__all__ = ["Record"]


class Record:
    """Base of frozen dataclasses that hold JSON scalars, tuples, dictionaries and other records."""

    __dataclass_fields__: ClassVar[dict[str, dataclasses.Field[Any]]]

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready: records as dictionaries, tuples as lists."""
        return {item.name: _plain(getattr(self, item.name)) for item in dataclasses.fields(self)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Inverse of `as_dict`; missing fields take their default."""
        owner: type = cls
        hints = _hints(owner)
        return cls(**{name: _read(hints.get(name), value) for name, value in values.items()})


@functools.cache
def _hints(owner: type) -> dict[str, Any]:
    return typing.get_type_hints(owner)


def _plain(value: Any) -> Any:
    if isinstance(value, Record):
        return value.as_dict()
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return dict(value) if isinstance(value, dict) else value


def _read(hint: Any, value: Any) -> Any:
    """A value from JSON in the form of its hint: lists as tuples, dictionaries as records; anything else unchanged."""
    if value is None:
        return None
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        kinds = [kind for kind in typing.get_args(hint) if kind is not type(None)]
        return _read(kinds[0], value) if len(kinds) == 1 else value
    if typing.get_origin(hint) is tuple:
        kinds = list(typing.get_args(hint))
        if kinds[-1] is Ellipsis:
            return tuple(_read(kinds[0], item) for item in value)
        return tuple(_read(kind, item) for kind, item in zip(kinds, value, strict=True))
    return hint.from_dict(value) if isinstance(hint, type) and issubclass(hint, Record) else value
