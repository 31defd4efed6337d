"""JSON and YAML documents that somebody else wrote: bounded in bytes and depth, plain values, and never code.

A document is read in two steps, each of which has one place for everything that can be wrong. `read_yaml` and
`read_json` make plain values of a file; `validated` (a pydantic model, for what people write) and
`field_checks.as_record` (a dataclass, for what programs write) make an object of plain values, or say where they do not
fit.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from kokoro_lab.errors import InputError, KokoroLabError
from kokoro_lab.files.reading import LONGEST_REASON, decoding, read_text

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError

__all__ = [
    "MOST_JSON_BYTES",
    "MOST_YAML_BYTES",
    "listed",
    "mistakes",
    "parse_json",
    "parse_yaml",
    "read_json",
    "read_model",
    "read_yaml",
    "validated",
]

MOST_JSON_BYTES = 64 << 20
MOST_JSON_DEPTH = 100
MOST_YAML_BYTES = 1 << 17  # read in a second at most; the largest document of ours has 65 kB
MOST_MISTAKES = 20  # of a document, that are listed

ModelT = TypeVar("ModelT", bound="BaseModel")


def read_json(
    path: Path,
    *,
    what: str,
    most: int = MOST_JSON_BYTES,
    error: type[KokoroLabError] = InputError,
    missing: type[KokoroLabError] | None = None,
    advice: str = "get the file again",
) -> Any:
    """The JSON document in a regular file; arguments are those of `reading.opened` and `reading.decoding`."""
    text = read_text(path, what=what, most=most, error=error, missing=missing)
    return parse_json(text, what=f"{what} {path}", error=error, advice=advice)


def parse_json(
    data: str | bytes, *, what: str, error: type[KokoroLabError] = InputError, advice: str = "get the file again"
) -> Any:
    """The JSON document in `data`; refused when it is nested deeper than MOST_JSON_DEPTH."""
    with decoding(what, error=error, advice=advice):
        document = json.loads(data)
        if deeper_than(document, MOST_JSON_DEPTH):
            raise error(f"{what} is nested more than {MOST_JSON_DEPTH} levels deep; {advice}")
    return document


def read_yaml(
    path: Path,
    *,
    what: str,
    most: int = MOST_YAML_BYTES,
    error: type[KokoroLabError] = InputError,
    missing: type[KokoroLabError] | None = None,
    advice: str = "correct the file",
) -> Any:
    """The YAML document in a regular file: plain values, lists and mappings."""
    text = read_text(path, what=what, most=most, error=error, missing=missing)
    return parse_yaml(text, what=f"{what} {path}", error=error, advice=advice)


def parse_yaml(
    text: str, *, what: str, error: type[KokoroLabError] = InputError, advice: str = "correct the file"
) -> Any:
    """The YAML document in `text`.

    Refused, with the line: what is no YAML or has an unknown tag; a name that is given twice in a mapping; and what is
    beyond the bounds of `yaml_loader`.
    """
    from kokoro_lab.files.yaml_loader import MalformedError, load

    with decoding(what, error=error, advice=advice):
        try:
            return load(text)
        except MalformedError as problem:
            raise error(f"{what} is malformed: {problem}; {advice}") from problem


def read_model(
    path: Path,
    kind: type[ModelT],
    *,
    what: str,
    error: type[KokoroLabError] = InputError,
    missing: type[KokoroLabError] | None = None,
) -> ModelT:
    """The YAML document in a regular file as a pydantic model; the error lists every mistake, each with its place."""
    document = read_yaml(path, what=what, error=error, missing=missing)
    return validated(kind, document, what=f"{what} {path}", error=error)


def validated(kind: type[ModelT], document: object, *, what: str, error: type[KokoroLabError] = InputError) -> ModelT:
    """A pydantic model of plain values; the error lists every mistake, each with its place in the document."""
    from pydantic import ValidationError

    with decoding(what, error=error, advice="correct the file"):
        try:
            return kind.model_validate(document)
        except ValidationError as problem:
            named = mistakes(problem, document)
            count = "a mistake" if len(named) == 1 else f"{len(named):,} mistakes"
            raise error(f"{what} has {count}; correct {listed(named)}") from problem


def mistakes(error: ValidationError, document: object = None) -> list[str]:
    """Every mistake that pydantic found, each with its place: "groups.1.state: should be 'warm' or 'cold'".

    An entry of a list that has a name or an id in `document` is placed by it instead of by its number.
    """
    named = []
    for item in error.errors(include_url=False, include_context=False, include_input=False):
        words = {"missing": "is missing", "extra_forbidden": "unknown name", "model_type": "should be a mapping"}.get(
            item["type"], item["msg"].removeprefix("Value error, ").removeprefix("Input ")
        )
        if words[:1].isupper() and words[1:2].islower():
            words = words[0].lower() + words[1:]
        named.append(f"{_place(item['loc'], document)}: {' '.join(words.split())}")
    return list(dict.fromkeys(named))


def listed(problems: Iterable[str]) -> str:
    """Problems as one phrase, each once; of very many only the first, with the number of the others."""
    every = [each if len(each) <= 2 * LONGEST_REASON else f"{each[: 2 * LONGEST_REASON]}..." for each in problems]
    every = list(dict.fromkeys(every))
    more = len(every) - MOST_MISTAKES
    return "; ".join(every[:MOST_MISTAKES]) + (f"; and {more:,} more" if more > 0 else "")


def deeper_than(value: object, most: int) -> bool:
    """Whether lists and mappings are nested more than `most` levels deep; level by level, without recursion."""
    level = [value]
    for _ in range(most + 1):
        level = [
            member
            for each in level
            if isinstance(each, dict | list)
            for member in (each.values() if isinstance(each, dict) else each)
            if isinstance(member, dict | list)
        ]
        if not level:
            return False
    return True


def _place(where: tuple[int | str, ...], document: object) -> str:
    """A place in a document, as in "budgets.first-sound.at_most"."""
    here: Any = document
    parts = []
    for part in where:
        if isinstance(part, str) and "[" in part:  # pydantic's name of a member of a union
            continue
        try:
            here = here[part]
        except (TypeError, LookupError):
            here = None
        name = (here.get("id") or here.get("name")) if isinstance(part, int) and isinstance(here, dict) else None
        parts.append(name[:LONGEST_REASON] if isinstance(name, str) else str(part)[:LONGEST_REASON])
    return ".".join(parts) or "the whole file"
