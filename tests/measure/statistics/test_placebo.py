from __future__ import annotations

from pathlib import Path

from kokoro_lab.measure.records.cell import Block, BlockResult, Cell, QuietReading, Scalar
from kokoro_lab.measure.sampling.sampler import SamplingPolicy, sample
from kokoro_lab.measure.statistics.placebo import placebos


def block(cell: Cell, digest: str) -> Block:
    return Block(cell, 0, 0, 0, BlockResult("ok", settings_digest=digest), QuietReading(False))


def with_settings(**settings: Scalar) -> Cell:
    return Cell("tiny", "Hi", engine_settings=tuple(settings.items()))


def test_two_levels_with_one_digest_are_a_placebo() -> None:
    found = placebos([block(with_settings(arena_mb=256), "x"), block(with_settings(arena_mb=2048), "x")])
    assert [(placebo.factor, placebo.levels) for placebo in found] == [("engine_settings.arena_mb", (256, 2048))]


def test_levels_that_took_effect_are_not() -> None:
    assert placebos([block(with_settings(arena=True), "x"), block(with_settings(arena=False), "y")]) == ()


def test_cells_that_differ_in_two_factors_or_in_none_that_reach_a_session_prove_nothing() -> None:
    assert placebos([block(with_settings(a=1, b=1), "x"), block(with_settings(a=2, b=2), "x")]) == ()
    assert placebos([block(Cell("tiny", "Hi"), "x"), block(Cell("tiny", "Ho"), "x")]) == ()
    assert placebos([block(Cell("tiny", "Hi"), "x"), block(Cell("tiny", "Hi", replica=1), "x")]) == ()
    assert placebos([block(Cell("tiny", "Hi"), ""), block(Cell("tiny", "Hi", graph_level="basic"), "")]) == ()


def test_a_real_placebo_is_called_one_and_a_real_setting_is_not(tmp_path: Path) -> None:
    """Shrinking an arena that is switched off changes nothing; switching on memory patterns does."""
    cells = [
        Cell("tiny", "Hi", engine_settings=settings, repeats=1, warmup_cap=1, reference=number == 0)
        for number, settings in enumerate(
            [
                (("arena", False),),
                (("arena", False), ("arena_shrink", True)),
                (("arena", False), ("memory_pattern", True)),
            ]
        )
    ]
    blocks = list(sample(cells, SamplingPolicy(1, seed=1, retries=0, lock=tmp_path / "lock"), run_dir=tmp_path))
    assert {block.result.status for block in blocks} == {"ok"}
    assert [placebo.factor for placebo in placebos(blocks)] == ["engine_settings.arena_shrink"]
