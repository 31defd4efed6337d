"""The engine's benchmark: both sides do the same, and each figure is read where it is measured."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from kokoro_lab.benchmarks.engine_bench import (
    BEST_TARGET_RATIOS,
    CACHED,
    MIXED,
    OWN_TARGETS,
    PARAGRAPH,
    PEER,
    PRIMED,
    REQUESTS,
    TARGET_RATIOS,
    EnginePlan,
    engine_benchmark,
    paragraph,
)
from kokoro_lab.measure.sampling.launch import launch
from kokoro_lab.text.segment import segments


def test_the_paragraph_is_whole_sentences_of_about_827_characters() -> None:
    text = paragraph()
    assert 800 <= len(text) <= 827
    assert text.endswith(".")
    assert "  " not in text
    assert len(list(segments(text, "en-us"))) > 3


def test_the_two_readings_of_memory_end_a_cycle_of_requests() -> None:
    assert 100 % len(MIXED) == 0


def test_both_sides_do_the_same_with_one_file() -> None:
    cells = {(each.name, each.case): each.cell for each in engine_benchmark(EnginePlan("tiny")).contestants}
    cases = {case for name, case in cells if name == PEER}
    assert {case for name, case in cells if name == "ours"} == cases | {CACHED, PRIMED}
    for case in cases:
        mine, theirs = cells["ours", case], cells[PEER, case]
        assert theirs.environment == PEER
        assert replace(mine, engine_settings=(), environment=PEER) == theirs


def test_our_engine_runs_the_form_that_is_its_default_and_the_peer_the_file() -> None:
    plan = EnginePlan("tiny", ours="tiny-kernels-fp32")
    models = {(each.name, each.cell.model) for each in engine_benchmark(plan).contestants}
    assert models == {("ours", "tiny-kernels-fp32"), (PEER, "tiny")}
    same = engine_benchmark(EnginePlan("tiny")).contestants
    assert {each.cell.model for each in same} == {"tiny"}
    assert [each.case for each in same] == [each.case for each in engine_benchmark(plan).contestants]


def test_every_figure_has_its_target_and_the_best_variant_its_own() -> None:
    plan = engine_benchmark(EnginePlan("tiny", best="tiny-optimized"))
    compared = {(target.contestant, target.figure) for target in plan.targets if target.base}
    assert compared == {("ours", figure) for figure in TARGET_RATIOS} | {
        ("best", figure) for figure in BEST_TARGET_RATIOS
    }
    alone = {(target.contestant, target.figure.name): target.bound for target in plan.targets if not target.base}
    assert alone == {
        **{(name, "underruns"): 0.0 for name in ("ours", "best")},
        **{(name, "words of the first segment"): 3.0 for name in ("ours", "best")},
        **{("ours", figure.name): bound for figure, (_, bound) in OWN_TARGETS.items()},
    }
    cases = {(each.name, each.case) for each in plan.contestants}
    assert all((target.contestant, case) in cases for target in plan.targets for case in target.cases)
    assert ("best", REQUESTS) not in cases


def test_the_worker_records_the_first_segments_words(tmp_path: Path) -> None:
    (cell,) = [
        each.cell
        for each in engine_benchmark(EnginePlan("tiny")).contestants
        if (each.name, each.case) == ("ours", PARAGRAPH)
    ]
    result = launch(replace(cell, text="The morning train leaves at ten. It is late again."), tmp_path).result
    assert (result.status, result.error) == ("ok", "")
    assert result.figures["first_segment_words"] >= 3
    assert result.figures["cpu_ms"] > 0
    assert result.deliveries
