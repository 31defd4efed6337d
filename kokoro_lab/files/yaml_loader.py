"""PyYAML's safe loader with bounds: depth, number of values, length of numbers; and no name twice in a mapping.

libyaml reads the text where it is installed, which takes a quarter of the time. It does not compose the document: its
recursion would end the process on deep nesting.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import yaml
from yaml.composer import Composer
from yaml.constructor import SafeConstructor
from yaml.parser import Parser
from yaml.reader import Reader
from yaml.resolver import Resolver
from yaml.scanner import Scanner

__all__ = ["MalformedError", "load"]

MOST_DEPTH = 60
MOST_NODES = 20_000
"""Values of a document, those behind aliases counted each time."""
LONGEST_NUMBER = 100  # characters of a number or a date: YAML's base 60 and base 16 have no limit of their own
LONGEST_WORDS = 160  # characters of a name or of the parser's words in a message
MERGE = "tag:yaml.org,2002:merge"
TEXT_TAGS = ("tag:yaml.org,2002:str", "tag:yaml.org,2002:binary")

_cyaml: Any = yaml.cyaml if yaml.__with_libyaml__ else None
_READERS: Any = (_cyaml.CParser,) if _cyaml else (Reader, Scanner, Parser)


class MalformedError(Exception):
    """What is wrong with a document, and in which line."""


def load(text: str) -> Any:
    """The plain values of a YAML document.

    Raises MalformedError, and what libraries raise on text that is not Unicode or that has control characters.
    """
    try:
        document = yaml.load(text, _Loader)
    except yaml.MarkedYAMLError as problem:
        mark = problem.problem_mark or problem.context_mark
        words = " ".join(f"{problem.problem or problem.context}".split())[:LONGEST_WORDS].replace("unexpected ", "")
        line = min(mark.line, text.count("\n")) + 1 if mark else 1  # libyaml's end lies in a line of its own
        raise MalformedError(f"{words}, line {line}") from problem
    except yaml.reader.ReaderError as problem:
        line = text[: problem.position].count("\n") + 1
        raise MalformedError(f"it has a control character, line {line}") from problem
    if _values(document, {}, 0) > MOST_NODES:
        raise MalformedError(f"it has more than {MOST_NODES:,} values, or contains itself")
    return document


class _Bounded(Composer, SafeConstructor, Resolver):
    """Composes and constructs within the bounds."""

    depth = nodes = merged = 0
    peek_event: Callable[[], yaml.Event]

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Compose one value; refuse it below the greatest depth, and after the greatest number of values."""
        self.depth += 1
        self.nodes += 1
        if self.nodes > MOST_NODES:
            raise MalformedError(f"it has more than {MOST_NODES:,} values")
        if self.depth > MOST_DEPTH:
            raise MalformedError(f"nested more than {MOST_DEPTH} levels deep, line {_line(self.peek_event())}")
        node: yaml.Node | None = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """Compose a mapping; refuse a name that is there twice, of which YAML would silently keep the last."""
        node = super().compose_mapping_node(anchor)
        names = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise MalformedError(f"a name is not text, line {_line(key)}")
            if (key.tag, key.value) in names:
                raise MalformedError(f"{key.value[:LONGEST_WORDS]!r} is given twice, line {_line(key)}")
            names.add((key.tag, key.value))
        return node

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Merge what `<<` names; refuse what grows beyond the number of values by merging."""
        for key, value in node.value:
            if key.tag == MERGE:
                for source in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                    if isinstance(source, yaml.MappingNode):
                        self.flatten_mapping(source)
                        self.merged += 1 + len(source.value)
                    if self.merged > MOST_NODES:
                        raise MalformedError(f"more than {MOST_NODES:,} values are merged, line {_line(key)}")
        super().flatten_mapping(node)

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """The value of a node; what no type accepts, such as the date 2024-13-45, is refused with its line."""
        scalar = str(node.value) if isinstance(node, yaml.ScalarNode) else ""
        if len(scalar) > LONGEST_NUMBER and node.tag not in TEXT_TAGS:
            raise MalformedError(f"a number has {len(scalar):,} characters, line {_line(node)}")
        try:
            return super().construct_object(node, deep=deep)
        except (ValueError, TypeError, LookupError, ArithmeticError) as problem:
            raise MalformedError(f"{scalar[:LONGEST_WORDS]!r} is refused: {problem}, line {_line(node)}") from problem


class _Loader(_Bounded, *_READERS):  # type: ignore[misc]  # its bases depend on whether libyaml is installed
    """Reads the text too."""

    def __init__(self, stream: str) -> None:
        _READERS[0].__init__(self, stream)
        for base in (*_READERS[1:], Composer, SafeConstructor, Resolver):
            base.__init__(self)


def _line(place: yaml.Node | yaml.Event) -> int:
    mark: Any = place.start_mark
    return int(mark.line) + 1


def _values(value: Any, counted: dict[int, int], depth: int) -> float:
    """Number of values in a document as a reader without aliases would see it; infinite where it contains itself."""
    if not isinstance(value, dict | list | tuple | set):
        return 1
    if depth > MOST_DEPTH:
        return float("inf")
    if id(value) not in counted:
        counted[id(value)] = MOST_NODES + 1  # while it is being counted: it contains itself
        members = value.values() if isinstance(value, dict) else value
        counted[id(value)] = int(1 + min(MOST_NODES, sum(_values(member, counted, depth + 1) for member in members)))
    return counted[id(value)]
