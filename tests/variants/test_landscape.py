from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from kokoro_lab.models.catalog import resolve
from kokoro_lab.variants.landscape import Place, front, variant

PLAIN = Place("reference", "fp32", 330.0, 1.0, 800.0, 130.0, "equivalent")


def test_the_front_is_what_nothing_beats_in_speed_memory_and_quality() -> None:
    small = replace(PLAIN, recipe="small", peak_mb=500.0, snr_db=25.0)
    fast = replace(small, recipe="fast", speed=2.0)
    wrong = replace(fast, recipe="wrong", speed=9.0, verdict="different")
    assert [place.recipe for place in front([PLAIN, small, fast, wrong])] == ["reference", "fast"]


def test_two_equal_variants_are_both_on_the_front() -> None:
    twin = replace(PLAIN, recipe="twin")
    assert len(front([PLAIN, twin])) == 2


def test_a_variant_is_made_once_and_again_when_its_source_has_changed(home: Path) -> None:
    plain = resolve("tiny")
    first = variant(plain, "optimized")
    made = first.path.stat().st_mtime_ns
    assert variant(plain, "optimized").path.stat().st_mtime_ns == made
    assert variant(replace(plain, sha256="0" * 64), "optimized").path.stat().st_mtime_ns != made
