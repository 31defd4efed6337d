"""Figures worked out from what a block recorded: loading, deliveries, load, memory and sound."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from kokoro_lab.reports.rows.derived_metrics import DERIVED, SOAK, SOUND, derived, stored_audio

LOADING = {"spawn": 40.0, "import": 360.0, "session": 500.0, "warmup": 100.0, "first_call": 250.0}


def row(**changed: Any) -> dict[str, Any]:
    empty = {"cell_id": "c", "block": 0, "load_ms": {}, "details": None, "audio_path": "", "rss_peak_mb": None}
    return {**empty, **changed}


def value(metric: str, *, samples: pd.DataFrame | None = None, **changed: Any) -> float | None:
    none = pd.DataFrame({"cell_id": [], "block": [], "rss_mb": []})
    (found,) = derived(metric, pd.DataFrame([row(**changed)]), none if samples is None else samples, lambda _: None)
    return found


def test_start_up_is_all_of_loading_but_the_first_call() -> None:
    assert value("startup_ms", load_ms=LOADING) == 1000.0
    assert value("first_call_ms", load_ms=LOADING) == 250.0
    assert value("warming_ms", load_ms=LOADING) == 100.0
    assert value("warming_share", load_ms=LOADING) == 10.0


def test_a_block_that_recorded_no_loading_has_no_such_figure() -> None:
    for metric in ("startup_ms", "first_call_ms", "warming_ms", "warming_share"):
        assert value(metric, load_ms={}) is None
    assert value("warming_share", load_ms={"spawn": 40.0}) is None, "nothing was warmed up"


def test_gaps_and_underruns_are_those_of_a_player_of_the_deliveries() -> None:
    # Half a second of sound arrives at 0.1 s, 0.5 s and 1.4 s: the player starves at 1.1 s.
    details = {"deliveries": [[0.1, 0.5], [0.5, 0.5], [1.4, 0.5]]}
    assert value("first_byte_ms", details=details) == pytest.approx(100.0)
    assert value("gap_max_ms", details=details) == pytest.approx(900.0), "the longest wait for a delivery"
    assert value("underruns", details=details) == pytest.approx(600 / 1.5), "one in 1.5 s, in ten minutes of playing"
    early = {"deliveries": [[0.1, 0.5], [0.5, 0.5]]}
    assert value("underruns", details=early) == 0.0
    for metric in ("first_byte_ms", "gap_max_ms", "underruns"):
        assert value(metric, details={}) is None


def test_underruns_of_all_streams_of_a_block_are_counted_where_the_block_counted_them() -> None:
    details = {"deliveries": [[0.1, 0.5]], "figures": {"underruns": 2, "streamed_s": 300.0}}
    assert value("underruns", details=details) == 4.0, "two in five minutes"


def test_a_hit_rate_is_hits_over_look_ups_and_nothing_where_the_cache_is_off() -> None:
    details = {"figures": {"audio_cache_hits": 3, "audio_cache_lookups": 4, "primer_cache_lookups": 0}}
    assert value("audio_cache_hit_share", details=details) == 75.0
    assert value("primer_cache_hit_share", details=details) is None
    assert value("phoneme_cache_hit_share", details={}) is None
    assert value("session_ms", details={"figures": {"session_ms": 12.0}}) == 12.0


def test_the_period_of_calls_is_one_over_the_throughput() -> None:
    assert value("call_period_ms", details={"load": {"throughput_hz": 4.0}}) == 250.0
    assert value("call_period_ms", details={"load": {"throughput_hz": 0.0}}) is None
    assert value("call_period_ms") is None


def memory(*values: float) -> pd.DataFrame:
    return pd.DataFrame({"cell_id": "c", "block": 0, "rss_mb": values})


def test_memory_under_load_has_a_typical_step_and_a_reach() -> None:
    under_load = {"load": {"throughput_hz": 1.0}}
    samples = memory(100.0, 101.0, 99.0, 105.0)
    assert value("rss_step_mb", details=under_load, samples=samples) == 2.0
    assert value("rss_reach_mb", details=under_load, samples=samples) == pytest.approx(4.5)
    assert value("rss_step_mb", samples=samples) is None, "no load, no endurance"
    assert value("rss_step_mb", details=under_load, samples=memory(100.0)) is None


def test_memory_of_another_block_is_not_taken() -> None:
    samples = pd.DataFrame({"cell_id": "c", "block": [0, 0, 1, 1], "rss_mb": [100.0, 101.0, 100.0, 150.0]})
    cells = pd.DataFrame([row(block=number, details={"load": {"throughput_hz": 1.0}}) for number in (1, 0)])
    assert derived("rss_step_mb", cells, samples, lambda _: None) == [50.0, 1.0]


def test_sound_is_measured_from_the_audio_that_was_kept(tmp_path: Path) -> None:
    tone = (0.5 * np.sin(2 * np.pi * 440 * np.arange(48_000) / 24_000)).astype(np.float32)
    np.save(tmp_path / "tone.npy", tone)
    np.save(tmp_path / "half.npy", tone / 2)
    (tmp_path / "torn.npy").write_bytes(b"no array")
    cells = pd.DataFrame([row(audio_path=name) for name in ("tone.npy", "half.npy", "torn.npy", "gone.npy", "")])
    nothing = memory()
    for metric in SOUND:
        loud, half, *none = derived(metric, cells, nothing, stored_audio(tmp_path))
        assert loud is not None and half is not None
        assert loud - half == pytest.approx(6.02, abs=0.05), metric
        assert none == [None] * 3
    (peak, *_) = derived("true_peak_dbtp", cells, nothing, stored_audio(tmp_path))
    assert peak == pytest.approx(-6.02, abs=0.1)


def test_what_is_not_finite_is_no_figure_and_what_nobody_knows_is_an_error() -> None:
    assert value("rss_peak_mb", rss_peak_mb=float("nan")) is None
    assert value("rss_peak_mb", rss_peak_mb=812.0) == 812.0
    with pytest.raises(KeyError):
        value("happiness")
    assert not set(DERIVED) & set(SOAK) | set(DERIVED) & set(SOUND)
