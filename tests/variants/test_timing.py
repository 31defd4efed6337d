from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from kokoro_lab.errors import SettingError
from kokoro_lab.models.catalog import resolve
from kokoro_lab.store import Store
from kokoro_lab.store.layout import Results
from kokoro_lab.variants.make import make
from kokoro_lab.variants.model_verification import ensure_verified
from kokoro_lab.variants.operator_profile import profile
from kokoro_lab.variants.probes import random_probe
from kokoro_lab.variants.timing import CALLS, Timing, bench, bench_texts, timed_cell


@pytest.fixture
def timing(home: Path, tmp_path: Path) -> Timing:
    return Timing(Results(tmp_path / "rows"), "r", (16,), 1)


def test_variants_are_measured_into_the_tables_and_a_run_is_continued(
    timing: Timing, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve("tiny")
    (made,) = make("tiny", "optimized")
    (unverified,) = bench("tiny", ["tiny-optimized"], replace(timing, run_id="before"))
    assert unverified.gate == "none", "nothing vouches for the variant yet"
    assert ensure_verified(made) == "equivalent"
    (row,) = bench("tiny", ["tiny-optimized"], timing)
    assert (row.model, row.tokens, row.pairs, row.gate) == ("tiny-optimized", 16, 1, "equivalent")
    assert row.speed is not None and row.speed > 0
    assert row.peak_mb is not None and row.peak_mb > 50
    assert row.load_ms is not None and row.load_ms > 0
    assert (row.low, row.high) == (None, None), "one pair has no interval"
    assert len(Store(timing.results.tables).done("r")) == 2
    monkeypatch.setattr(
        "kokoro_lab.measure.sampling.sampler.launch_visit", lambda *_, **__: pytest.fail("measured again")
    )
    assert bench("tiny", ["tiny-optimized"], timing) == [row]


def test_there_is_a_text_for_every_length(home: Path) -> None:
    assert set(CALLS) == set(bench_texts())
    with pytest.raises(SettingError, match="texts of 16, 50, 150, 400 tokens; got 17"):
        timed_cell("tiny", 17)


def test_longer_texts_come_with_more_tokens() -> None:
    texts = bench_texts()
    assert all(len(texts[short]) < len(texts[long]) for short, long in pairwise(sorted(texts)))


def test_a_profile_shares_out_one_call_among_operators() -> None:
    found = profile(resolve("tiny"), random_probe(8))
    assert {"Conv", "Sin", "LSTM"} <= {each.operator for each in found}
    assert sum(each.share for each in found) == pytest.approx(1.0)
    assert [each.ms for each in found] == sorted((each.ms for each in found), reverse=True)
    (sines,) = (each for each in found if each.operator == "Sin")
    assert 48 <= sines.nodes < 60  # of one call, not of two
