"""The wire format of an ONNX file, walked before protobuf parses it: a few bytes can stand for a message of hundreds.

`scan` bounds what a parser would build. `read_header` finds a model's metadata, and `read_tensors` the shapes of its
weights and the files that they are in, without reading the weights.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cache
from typing import Any, BinaryIO, NamedTuple

from kokoro_lab.errors import ModelError

__all__ = ["MOST_DEPTH", "MOST_FIELDS", "Header", "StoredTensor", "read_header", "read_tensors", "scan"]

MOST_FIELDS = 1_000_000  # of all messages together; a Kokoro file has about 60,000
MOST_DEPTH = 40  # messages within messages; a graph within a graph is three of them
MOST_METADATA_BYTES = 1 << 20
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
LONGEST_VARINT = 10  # bytes

Schema = dict[int, Any]
"""Number of a field that is a message -> the schema of that message."""
Header = dict[str, str]
"""A model's metadata: key -> value."""

GRAPH, METADATA = 7, 14  # fields of a model
NODE, INITIALIZER = 1, 5  # fields of a graph
DIMENSIONS, OUTSIDE = 1, 13  # fields of a tensor
KEY, VALUE = 1, 2  # fields of a metadata entry
LOCATION = "location"  # key of the file that holds a tensor's data


class StoredTensor(NamedTuple):
    """An initializer of a model's graph, without its values."""

    shape: tuple[int, ...]
    location: str
    """The file that holds its values, relative to the model's folder; empty: the model's own."""


@cache
def _schema() -> Schema:
    """The schema of a model, from the descriptors that onnx has of its messages."""
    import onnx

    schemas: dict[str, Schema] = {}

    def schema_of(descriptor: Any) -> Schema:
        if descriptor.full_name not in schemas:
            schemas[descriptor.full_name] = fields = {}
            fields.update({f.number: schema_of(f.message_type) for f in descriptor.fields if f.message_type})
        return schemas[descriptor.full_name]

    return schema_of(onnx.ModelProto.DESCRIPTOR)


def scan(data: bytes, name: str) -> None:
    """Raise ModelError where the ONNX model in `data` is truncated, or has too many fields or too deep messages."""
    ends, schemas = [len(data)], [_schema()]
    place = fields = 0
    try:
        while ends:
            if place == ends[-1]:
                ends.pop()
                schemas.pop()
                continue
            fields += 1
            if fields > MOST_FIELDS:
                raise ModelError(f"{name} has more than {MOST_FIELDS:,} fields; choose another file")
            tag = data[place]
            place += 1
            if tag > 127:
                tag, place = _varint(data, place - 1)
            kind = tag & 7
            if tag < 8:
                raise _damaged(name)
            if kind == BYTES:
                size = data[place]
                place += 1
                if size > 127:
                    size, place = _varint(data, place - 1)
                inner = schemas[-1].get(tag >> 3)
                if place + size > ends[-1]:
                    raise _damaged(name)
                if inner is None:
                    place += size
                elif len(ends) == MOST_DEPTH:
                    raise ModelError(f"{name} has graphs nested too deeply; choose another file")
                else:
                    ends.append(place + size)
                    schemas.append(inner)
            elif kind == VARINT:
                _, place = _varint(data, place)
            elif kind in {FIXED32, FIXED64}:
                place += 8 if kind == FIXED64 else 4
            else:
                raise _damaged(name)
            if ends and place > ends[-1]:
                raise _damaged(name)
    except (IndexError, ValueError):
        raise _damaged(name) from None


def read_header(stream: BinaryIO, name: str) -> Header:
    """A model's metadata. Raises ModelError where the file is truncated, or is no ONNX model with a node."""
    metadata: Header = {}
    left = MOST_METADATA_BYTES
    has_node = False
    for number, start, end in _fields(stream, 0, os.fstat(stream.fileno()).st_size, name):
        if number == GRAPH:
            has_node = has_node or any(inner == NODE for inner, _, _ in _fields(stream, start, end, name))
        elif number == METADATA:
            left -= end - start
            if left < 0:
                raise ModelError(f"{name} has more metadata than any model; choose another file")
            entry = {inner: _text(stream, a, b) for inner, a, b in _fields(stream, start, end, name)}
            metadata[entry.get(KEY, "")] = entry.get(VALUE, "")
    if not has_node:
        raise ModelError(f"{name} is empty or not an ONNX model; fetch or build it again")
    return metadata


def read_tensors(stream: BinaryIO, name: str) -> list[StoredTensor]:
    """The initializers of a model's graph. Raises ModelError where the file is truncated."""
    tensors = []
    for number, start, end in _fields(stream, 0, os.fstat(stream.fileno()).st_size, name):
        if number == GRAPH:
            places = [(a, b) for inner, a, b in _fields(stream, start, end, name) if inner == INITIALIZER]
            tensors += [_tensor(stream, a, b, name) for a, b in places]
    return tensors


def _tensor(stream: BinaryIO, start: int, end: int, name: str) -> StoredTensor:
    shape: list[int] = []
    location = ""
    for number, kind, a, b in _all_fields(stream, start, end, name):
        if number == DIMENSIONS and kind == VARINT:
            shape.append(a)
        elif number == DIMENSIONS and kind == BYTES:  # packed
            stream.seek(a)
            data, at = stream.read(min(b - a, MOST_METADATA_BYTES)), 0
            while at < len(data):
                value, at = _varint(data, at)
                shape.append(value)
        elif number == OUTSIDE and kind == BYTES:
            entry = {inner: _text(stream, x, y) for inner, x, y in _fields(stream, a, b, name)}
            location = entry.get(VALUE, "") if entry.get(KEY) == LOCATION else location
    return StoredTensor(tuple(shape), location)


def _fields(stream: BinaryIO, start: int, end: int, name: str) -> Iterator[tuple[int, int, int]]:
    """(number, start, end) of each field of bytes in a message; the others are skipped."""
    return ((number, a, b) for number, kind, a, b in _all_fields(stream, start, end, name) if kind == BYTES)


def _all_fields(stream: BinaryIO, start: int, end: int, name: str) -> Iterator[tuple[int, int, int, int]]:
    """(number, wire type, start, end) of each field of a message; of a number its value in place of the start."""
    place = start
    for _ in range(MOST_FIELDS):
        if place >= end:
            break
        stream.seek(place)
        head = stream.read(min(2 * LONGEST_VARINT, end - place))
        try:
            tag, used = _varint(head, 0)
            if tag < 8:
                raise _damaged(name)
            if tag & 7 == BYTES:
                size, used = _varint(head, used)
                if place + used + size > end:
                    raise _damaged(name)
                yield tag >> 3, BYTES, place + used, place + used + size
                used += size
            elif tag & 7 == VARINT:
                value, used = _varint(head, used)
                yield tag >> 3, VARINT, value, 0
            elif tag & 7 in {FIXED32, FIXED64}:
                used += 8 if tag & 7 == FIXED64 else 4
            else:
                raise _damaged(name)
        except (IndexError, ValueError):
            raise _damaged(name) from None
        place += used
    if place != end:
        raise _damaged(name)


def _text(stream: BinaryIO, start: int, end: int) -> str:
    stream.seek(start)
    return stream.read(end - start).decode("utf-8", "replace")


def _varint(data: bytes, place: int) -> tuple[int, int]:
    """(value, place after it); IndexError where the data end, ValueError where it is longer than 64 bits."""
    value = 0
    for shift in range(0, 7 * LONGEST_VARINT, 7):
        byte = data[place]
        place += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, place
    raise ValueError("a number of more than 64 bits")


def _damaged(name: str) -> ModelError:
    return ModelError(f"{name} is truncated or not an ONNX model; fetch or build it again")
