"""Documents in JSON columns: decoded within bounds, and of the shape that readers rely on."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kokoro_lab.store.integrity.json_shapes import SHAPES, decode
from kokoro_lab.store.schema import TABLES

documents = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


@pytest.mark.parametrize("text", ["", "{not json", "[" * 50_000, '{"a":' * 40 + "1" + "}" * 40, "9" * 10_000])
def test_what_is_no_document_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        decode(text)


def test_every_json_column_has_a_shape_and_no_other_column_has() -> None:
    assert set(SHAPES) == {(name, column) for name, table in TABLES.items() for column in table.json}


@settings(max_examples=200)
@given(documents)
def test_a_shape_says_yes_or_no_to_any_document(document: object) -> None:
    for fits, _ in SHAPES.values():
        assert fits(json.loads(json.dumps(document))) in (True, False)


@pytest.mark.parametrize(
    ("place", "document", "expected"),
    [
        (("cells", "warmup_ms"), [1.0, 2], True),
        (("cells", "warmup_ms"), [1.0, "2"], False),
        (("cells", "warmup_ms"), [float("nan")], False),
        (("cells", "nodes"), {"cpu": 7}, True),
        (("cells", "nodes"), {"cpu": -7}, False),
        (("cells", "details"), {"deliveries": [[0.1, 1.0, None]], "load": None, "more": 1}, True),
        (("cells", "details"), {"deliveries": [[0.1, 1.0]]}, False),
        (("cells", "details"), {"load": {"calls": 1}}, False),
        (("cells", "details"), {"figures": {"cpu_ms": float("nan")}}, True),
        (("cells", "details"), [], False),
        (("verdicts", "details"), {"kind": "cell", "gate": "close", "confidence": 0.95}, True),
        (("verdicts", "details"), {"kind": "noise", "floor": 0.1}, False),
        (("verdicts", "details"), {"kind": "peak", "threads": 2, "rates": {"fp32": 1e10}}, True),
        (("verdicts", "details"), {"kind": ["cell"]}, False),
        (("samples", "engine_settings"), {"a": None, "b": 2, "c": "x"}, True),
        (("samples", "engine_settings"), {"a": [1]}, False),
    ],
)
def test_what_readers_rely_on_is_demanded(place: tuple[str, str], document: object, expected: bool) -> None:
    fits, _ = SHAPES[place]
    assert fits(document) is expected
