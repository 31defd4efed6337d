from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kokoro_lab.errors import SettingError
from kokoro_lab.field_checks import FORMER_NAMES
from kokoro_lab.measure.block.calls import engine_config
from kokoro_lab.measure.records.cell import (
    REQUEST_SEPARATOR,
    STATES,
    Block,
    BlockResult,
    Cell,
    GateReading,
    LoadReading,
    ModelReading,
    ProviderReading,
    QuietReading,
    Repeat,
)

cells = st.builds(
    Cell,
    model=st.sampled_from(["tiny", "/models/ü.onnx"]),
    text=st.text(min_size=1, max_size=20),
    speed=st.floats(0.5, 2.0),
    provider_options=st.lists(st.tuples(st.text(max_size=4), st.text(max_size=4)), max_size=3).map(tuple),
    intra_op_threads=st.integers(0, 8),
    engine_settings=st.dictionaries(st.text(max_size=4), st.booleans() | st.integers(0, 9) | st.text(max_size=3)).map(
        lambda settings: tuple(settings.items())
    ),
    delivery=st.sampled_from(["whole", "stream"]),
    state=st.sampled_from(STATES),
    repeats=st.integers(1, 9),
    reference=st.booleans(),
)


def make_block(cell: Cell) -> Block:
    repeat = Repeat(0, 12.5, 12.0, 1.5, 1.4, 0.009, 0.1, 2.0, 0.1, 9.0, 0.3, 0.5, 210.25, True, "high")
    result = BlockResult(
        status="ok",
        repeats=(repeat,),
        warmup_ms=(30.0, 12.0),
        became_steady=True,
        load_ms={"import": 300.0, "session": 40.0},
        cold={"file_cache": "not dropped: read-only file system"},
        rss_peak_mb=300.0,
        rss_steady_mb=250.0,
        provider=ProviderReading("cpu", "cpu", 1.0, {"CPUExecutionProvider": 420}),
        settings_digest="ab" * 32,
        model=ModelReading("tiny", "00" * 32, "stand-in", "tiny", "fp32"),
        durations=(2, 3, 1),
        deliveries=((0.25, 0.08, None), (0.3, 0.08, 0.01)),
        load=LoadReading(3, 2, "InferenceError: no", 0.5, (0.25,), (3.0,)),
        versions={"python": "3.11"},
        foreign_modules=("pandas",),
        energy_source="no RAPL counter on this machine",
    )
    quiet = QuietReading(True, "other processes used 9.1 % of the CPU time", 0.091, 0.001, 0.0, 0.1)
    gate = GateReading("close", cell.id, ("log-mel distance 1.2 dB",), True, 1.2, 0.5, -21.0)
    return Block(cell, 10_003, 7, 3, result, quiet, gate, 1, 3, "2026-11-20T00:00:00+00:00", 2.5)


@given(cells)
def test_a_cell_survives_json_with_the_same_id(cell: Cell) -> None:
    back = Cell.from_dict(json.loads(json.dumps(cell.as_dict())))
    assert back == cell
    assert back.id == cell.id
    assert hash(back) == hash(cell)


@given(cells)
def test_a_block_survives_json(cell: Cell) -> None:
    block = make_block(cell)
    assert Block.from_dict(json.loads(json.dumps(block.as_dict()))) == block


def test_a_failed_block_survives_json() -> None:
    block = Block(Cell("tiny", "Hi"), 0, 0, 0, BlockResult("error", "killed"), QuietReading(False))
    assert Block.from_dict(json.loads(json.dumps(block.as_dict()))) == block


def test_the_id_ignores_the_role_and_the_spelling_of_equal_settings_but_nothing_else() -> None:
    cell = Cell("tiny", "Hi", speed=1.0, provider_options=(("b", "1"), ("a", "2")))
    assert Cell("tiny", "Hi", speed=1, provider_options=(("a", "2"), ("b", "1")), reference=True).id == cell.id
    others = [
        Cell("full", "Hi"),
        Cell("tiny", "Ho"),
        Cell("tiny", "Hi", voice="af_bella"),
        Cell("tiny", "Hi", speed=1.1),
        Cell("tiny", "Hi", seed=1),
        Cell("tiny", "Hi", intra_op_threads=1),
        Cell("tiny", "Hi", graph_level="basic"),
        Cell("tiny", "Hi", state="cold"),
        Cell("tiny", "Hi", repeats=6),
        Cell("tiny", "Hi", replica=1),
        Cell("tiny", "Hi", delivery="stream"),
        Cell("tiny", "Hi", engine_settings=(("arena", False),)),
        cell,
    ]
    assert len({other.id for other in others}) == len(others)


def test_the_id_is_the_same_in_every_process_and_release() -> None:
    assert Cell("tiny", "Hi").id == "8f758c8567e2"


STORED = Path(__file__).parents[2] / "store" / "versions"


def test_cells_in_stored_tables_keep_their_ids() -> None:
    rows = pd.concat([pd.read_parquet(path) for path in sorted(STORED.glob("*/cells.parquet"))])
    assert len(rows) >= 5
    for name, configuration in zip(rows["cell_id"], rows["configuration"], strict=True):
        assert Cell.from_dict(json.loads(configuration)).id == name


IDS: dict[str, dict[str, Any]] = {
    "dbaad59b540b": {"engine_settings": (("arena_limit_mb", 1024),)},
    "934178d5caa6": {"engine_settings": (("session_rest_s", 61.0),)},
    "001bf2f4e3bb": {"engine_settings": (("session_rest_s", 5), ("chunk_ms", 80))},
    "e7886024add0": {"arrivals": "poisson", "rate_hz": 8, "load_s": 2},
    "98a3eb8a50f9": {"arrivals": "poisson", "rate_hz": 8.0, "load_s": 2.0},
    "0ff41814b69f": {
        "provider": "coreml",
        "provider_options": (("ModelFormat", "MLProgram"),),
        "intra_op_threads": 2,
        "graph_level": "basic",
    },
    "e5a5afbd5484": {
        "delivery": "stream", "state": "cold", "speed": 1.5, "seed": 3, "replica": 1, "repeats": 3, "warmup_cap": 5,
    },
}  # fmt: skip
"""Ids that version 0.1.0 gave."""


@pytest.mark.parametrize("name", IDS)
def test_an_id_does_not_follow_the_names_that_fields_have_now(name: str) -> None:
    cell = Cell("tiny", "Hi", **IDS[name])
    assert cell.id == name
    present = {former: now for now, former in FORMER_NAMES.items()}
    renamed = tuple((present.get(key, key), value) for key, value in cell.engine_settings)
    assert replace(cell, engine_settings=renamed) == cell


@pytest.mark.parametrize(
    ("former", "now", "value"), [("arena_limit_mb", "arena_limit_mib", 64), ("session_rest_s", "breaker_cooldown_s", 5)]
)
def test_a_setting_reaches_the_engine_by_its_former_and_by_its_present_name(former: str, now: str, value: int) -> None:
    for name in (former, now):
        assert getattr(engine_config(Cell("tiny", "Hi", engine_settings=((name, value),))), now) == value
    with pytest.raises(SettingError, match=f"engine_settings name {former} twice; use it once"):
        Cell("tiny", "Hi", engine_settings=((former, value), (now, value)))


WRONG: dict[str, tuple[Any, ...]] = {
    "model": (None, 1),
    "text": (None, b"Hi"),
    "speed": (0, -1.0, float("nan"), "1", True),
    "seed": (1.0, "0", True),
    "provider_options": ("ModelFormat", 1, (("a",),)),
    "intra_op_threads": (-1, 1.0, True),
    "graph_level": ("most", None),
    "engine_settings": ("arena", (("arena", None),), (("chunk_ms", float("inf")),)),
    "delivery": ("post", ""),
    "rate_hz": (-1.0, float("inf")),
    "clients": (0, 2.5),
    "state": ("tepid", None),
    "repeats": (0, "5"),
    "replica": (-1,),
    "reference": (1, "yes"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_field_refuses_values_of_another_type_or_out_of_range(name: str) -> None:
    for value in WRONG[name]:
        with pytest.raises(SettingError, match=f"^{name} is .*; use "):
            Cell(**{"model": "tiny", "text": "Hi", name: value})


@given(st.dictionaries(st.sampled_from(sorted(WRONG)), st.integers(0, 9), min_size=2))
def test_all_mistakes_of_a_cell_are_named_at_once(chosen: dict[str, int]) -> None:
    wrong = {name: WRONG[name][number % len(WRONG[name])] for name, number in chosen.items()}
    with pytest.raises(SettingError) as caught:
        Cell(**{"model": "tiny", "text": "Hi", **wrong})
    assert all(f"{name} is " in caught.value.message for name in wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        {"state": "tepid"},
        {"delivery": "post"},
        {"arrivals": "bus"},
        {"clients": 0},
        {"rate_hz": 0.0, "arrivals": "ramp"},
        {"repeats": 0},
        {"warmup_cap": 0},
        {"intra_op_threads": -1},
        {"colour": "blue"},
    ],
)
def test_impossible_cells_are_refused_with_the_field_named(wrong: dict[str, object]) -> None:
    with pytest.raises(SettingError, match=next(iter(wrong))):
        Cell.from_dict({"model": "tiny", "text": "Hi", **wrong})


def test_a_shared_process_makes_another_cell_of_another_kind() -> None:
    own = Cell("tiny", "Hi.", intra_op_threads=2)
    shared = replace(own, process="shared")
    assert own.id == Cell("tiny", "Hi.", intra_op_threads=2, process="own").id != shared.id
    assert Cell.from_dict(shared.as_dict()) == shared
    assert shared.visit_key == replace(shared, text="Other.", delivery="stream", speed=2.0).visit_key
    for field, level in {"model": "stand-in", "intra_op_threads": 1, "graph_level": "none", "provider": "cuda"}.items():
        assert replace(shared, **{field: level}).visit_key != shared.visit_key


def test_the_memory_of_a_shared_process_is_a_value_of_none_of_its_blocks() -> None:
    repeat = Repeat(0, 10.0, 9.0, 0.5, 0.5, 0.02, 0, 0, 0, 10.0, 0, 0, 50.0, True)
    for process, memory in (("own", [50.0]), ("shared", [])):
        of = Cell.from_dict({"model": "tiny", "text": "Hi.", "process": process})
        block = Block(of, 0, 0, 0, BlockResult("ok", repeats=(repeat,)), QuietReading(False))
        assert (block.values("rss_mb"), block.values("total_ms")) == (memory, [10.0])


@pytest.mark.parametrize(
    "levels",
    [{"state": "cold"}, {"state": "cold-shape"}, {"arrivals": "closed"}, {"text": f"a{REQUEST_SEPARATOR}b"}],
)
def test_what_needs_a_process_of_its_own_does_not_share_one(levels: dict[str, Any]) -> None:
    own = Cell(**{"model": "tiny", "text": "Hi.", **levels})
    assert not own.may_share
    with pytest.raises(SettingError, match="a shared process measures warm calls of one text only; use a process"):
        replace(own, process="shared")
