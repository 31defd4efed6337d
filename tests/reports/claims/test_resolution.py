"""What rows may say about a claim, and what they must never be made to say."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence

import pandas as pd
import pytest
from report_blocks import as_reference, block, cell, evidence_of, repeated
from report_claims import CLAIM

from kokoro_lab.measure.records.cell import RETRY_STRIDE, Block
from kokoro_lab.reports.claims.claims import Claim, load_claims
from kokoro_lab.reports.claims.resolution import Resolution, resolve, resolve_all
from kokoro_lab.reports.page.claims_table import measured_words
from kokoro_lab.reports.rows.evidence import Evidence

Load = Callable[[Sequence[Block]], Evidence]
STEADY = (99.0, 100.0, 101.0, 100.0, 99.5, 100.5)
CELL = {"text_preset": "short", "state": "warm", "intra_op_threads": 2}
SHORT = {"rows": CELL, "notebook": "providers"}


@pytest.fixture
def of_blocks() -> Load:
    return functools.partial(evidence_of, notebook="providers")


def stated(value: float | list[float] = 100, **changes: object) -> Claim:
    return Claim.model_validate({**CLAIM, "value": value, "resolve": SHORT, **changes})


@pytest.mark.parametrize(("bar", "verdict"), [(200, "met"), (100, "inconclusive"), (50, "missed")])
def test_met_and_missed_need_the_whole_interval_on_one_side(of_blocks: Load, bar: float, verdict: str) -> None:
    found = resolve(stated(bar), of_blocks(repeated(as_reference(cell()), STEADY)))
    assert found.verdict == verdict and found.measured is not None and found.gap is not None
    assert found.gap.center == pytest.approx(100 / bar)
    assert found.measured.low is not None and found.measured.low < 100 < (found.measured.high or 0)
    assert found.measured.count == 6 and found.cell == "cpu, 2 threads"


def test_one_block_decides_nothing(of_blocks: Load) -> None:
    found = resolve(stated(1), of_blocks(repeated(as_reference(cell()), [100.0])))
    assert found.verdict == "inconclusive" and "1 block" in found.reason


@pytest.mark.parametrize("bar", [1, 1000])
def test_fewer_than_six_blocks_show_a_range_and_decide_nothing(of_blocks: Load, bar: float) -> None:
    found = resolve(stated(bar), of_blocks(repeated(as_reference(cell()), STEADY[:5])))
    assert found.verdict == "inconclusive" and "5 blocks give a range" in found.reason
    assert found.measured is not None and (found.measured.low, found.measured.high) == (99.0, 101.0)


def test_blocks_of_different_rounds_are_no_pair_for_a_gain(of_blocks: Load) -> None:
    base = repeated(cell(graph_level="basic"), STEADY, digest="basic")
    fast = [dataclasses.replace(made, round=made.round + 100) for made in repeated(as_reference(cell()), (70.0,) * 6)]
    found = resolve(gain(), of_blocks([*base, *fast]))
    assert found.verdict == "inconclusive" and "no round has" in found.reason


def test_tiny_rows_never_resolve_a_claim(of_blocks: Load) -> None:
    evidence = of_blocks(repeated(as_reference(cell()), STEADY, architecture="tiny"))
    verdicts = {found.verdict for found in resolve_all(load_claims(), evidence)}
    assert verdicts == {"not measured yet", "not measurable here"}


def test_tiny_rows_do_not_mix_with_full_ones(of_blocks: Load) -> None:
    full = repeated(as_reference(cell()), STEADY)
    tiny = repeated(cell(threads=1, model="tiny"), (1.0, 1.0, 1.0), architecture="tiny")
    assert resolve(stated(50), of_blocks([*full, *tiny])).verdict == "missed"


def test_a_faster_cell_with_different_or_close_audio_does_not_stand_for_a_claim(of_blocks: Load) -> None:
    right = repeated(as_reference(cell()), STEADY)
    wrong = repeated(cell(threads=1), (10.0, 10.0, 10.0), gate="different")
    near = repeated(cell(threads=4), (10.0, 10.0, 10.0), gate="close")
    found = resolve(stated(50), of_blocks([*right, *wrong, *near]))
    assert found.verdict == "missed" and found.cell == "cpu, 2 threads"


def test_disturbed_blocks_decide_nothing(of_blocks: Load) -> None:
    found = resolve(stated(1000), of_blocks(repeated(as_reference(cell()), STEADY, contaminated=True)))
    assert found.verdict == "inconclusive" and "disturbed all 6 blocks" in found.reason


def test_disturbed_blocks_are_left_out_of_an_interval(of_blocks: Load) -> None:
    of = as_reference(cell())
    loud = block(of, 9, (900.0, 900.0, 900.0), contaminated=True)
    found = resolve(stated(200), of_blocks([*repeated(of, STEADY), loud]))
    assert found.verdict == "met" and found.measured is not None and found.measured.count == 6


def test_a_replaced_block_does_not_count_beside_its_retry(of_blocks: Load) -> None:
    of = as_reference(cell())
    retry = block(of, RETRY_STRIDE, (100.0, 100.0, 100.0), attempt=1, replaces=0)
    found = resolve(stated(200), of_blocks([*repeated(of, STEADY), retry]))
    assert found.measured is not None and found.measured.count == 6


def test_a_provider_that_ran_in_part_does_not_stand_for_a_claim(of_blocks: Load) -> None:
    found = resolve(stated(1000), of_blocks(repeated(as_reference(cell()), STEADY, status="partial", share=0.4)))
    assert found.verdict == "inconclusive" and "whole" in found.reason


def test_an_engine_with_settings_of_its_own_such_as_a_cache_does_not_stand_for_the_engine(of_blocks: Load) -> None:
    usual = repeated(as_reference(cell()), STEADY)
    cached = repeated(cell(engine_settings=(("speech_cache", 100),)), (1.0, 1.0, 1.0))
    assert resolve(stated(50), of_blocks([*usual, *cached])).verdict == "missed"


def test_rows_of_another_text_or_state_do_not_count(of_blocks: Load) -> None:
    evidence = of_blocks([*repeated(as_reference(cell("long")), STEADY), *repeated(cell(state="cold"), STEADY)])
    found = resolve(stated(1000), evidence)
    assert found.verdict == "not measured yet" and "providers" in found.reason


def test_a_p95_is_not_printed_of_few_samples_but_a_clear_miss_is_one(of_blocks: Load) -> None:
    evidence = of_blocks(repeated(as_reference(cell()), STEADY))
    close, far = (resolve(stated(bar, statistic="p95"), evidence) for bar in (150, 50))
    assert (close.verdict, close.measured) == ("inconclusive", None) and "18 samples" in close.reason
    assert (far.verdict, far.measured) == ("missed", None) and "6 of 6 block medians" in far.reason


def test_a_p95_of_many_samples_has_its_upper_bound(of_blocks: Load) -> None:
    of = as_reference(cell())
    blocks = [block(of, number, tuple(90.0 + (number + at * 7) % 20 for at in range(20))) for number in range(6)]
    found = resolve(stated(120, statistic="p95"), of_blocks(blocks))
    assert found.verdict == "met" and found.measured is not None
    assert found.measured.low is None and found.measured.high is not None


def gain(unit: str = "% less", value: float = 10) -> Claim:
    sides = {"baseline": {**CELL, "graph_level": "basic"}, "candidate": {**CELL, "graph_level": "all"}}
    way = {"compare": sides, "notebook": "providers"}
    return stated(value, unit=unit, direction="at least", metric="total_ms", resolve=way)


@pytest.mark.parametrize(("value", "verdict"), [(10, "met"), (30, "missed")])
def test_a_gain_is_that_of_pairs_from_the_same_rounds(of_blocks: Load, value: float, verdict: str) -> None:
    drift = (100.0, 104.0, 109.0, 113.0, 118.0, 121.0, 127.0, 132.0)
    base = repeated(cell(graph_level="basic"), drift, digest="basic")
    fast = repeated(as_reference(cell()), [0.8 * value for value in drift], digest="all")
    found = resolve(gain(value=value), of_blocks([*base, *fast]))
    assert found.verdict == verdict and found.measured is not None
    assert found.measured.center == pytest.approx(20, abs=0.5)
    assert (found.measured.low or 0) <= found.measured.center <= (found.measured.high or 0)


def test_a_gain_between_equal_settings_is_a_placebo(of_blocks: Load) -> None:
    base = repeated(cell(graph_level="basic"), STEADY, digest="same")
    fast = repeated(as_reference(cell()), (70.0,) * 6, digest="same")
    found = resolve(gain(), of_blocks([*base, *fast]))
    assert found.verdict == "placebo" and found.measured is None


def test_a_gain_is_not_taken_from_cells_that_differ_in_more(of_blocks: Load) -> None:
    base = repeated(cell(graph_level="basic", threads=1), STEADY, digest="basic")
    fast = repeated(as_reference(cell()), (70.0,) * 6, digest="all")
    assert resolve(gain(), of_blocks([*base, *fast])).verdict == "not measured yet"
    sides = {"baseline": {**CELL, "graph_level": "basic", "intra_op_threads": [1, 2]}, "candidate": CELL}
    loose = stated(
        10, unit="% less", direction="at least", metric="total_ms", resolve={"compare": sides, "notebook": "providers"}
    )
    found = resolve(loose, of_blocks([*repeated(cell(graph_level="basic"), STEADY, digest="basic"), *base, *fast]))
    assert found.verdict == "inconclusive" and "2 cells match the baseline" in found.reason


def test_failures_are_bounded_never_taken_for_none(of_blocks: Load) -> None:
    share = stated(1, metric="error_share", unit="%", resolve={"rows": {}, "notebook": "providers"})
    of = as_reference(cell())
    few = resolve(share, of_blocks(repeated(of, STEADY)))
    assert few.verdict == "inconclusive" and few.measured is not None
    assert few.measured.center == 0 and (few.measured.high or 0) == pytest.approx(100 * (1 - 0.05 ** (1 / 18)))
    broken = [block(of, 20 + at, status="error", error="It broke.") for at in range(5)]
    many = resolve(share, of_blocks([*repeated(of, STEADY), *broken]))
    assert many.verdict == "missed"


def test_a_verdict_of_the_sweep_is_not_taken_over_for_a_claim(of_blocks: Load) -> None:
    base = repeated(cell(graph_level="basic"), STEADY, digest="basic")
    evidence = of_blocks([*base, *repeated(as_reference(cell()), (98.0,) * 6, digest="all")])
    ids = {"base_cell": cell(graph_level="basic").id, "candidate_cell": cell().id}
    told = {"metric": "total_ms", "verdict": "faster", "ratio": 0.5, "ratio_low": 0.45, "ratio_high": 0.55, "pairs": 8}
    row = {**ids, **told, "reason": "", "details": {"kind": "cell"}}
    found = resolve(gain(), dataclasses.replace(evidence, verdicts=pd.DataFrame([row])))
    assert found.verdict == "missed" and found.measured is not None and found.measured.center == pytest.approx(2, abs=1)


@pytest.mark.parametrize(("factor", "verdict"), [(0.8, "met"), (1.2, "missed"), (1.0001, "missed")])
def test_a_state_is_met_when_the_thing_pays(of_blocks: Load, factor: float, verdict: str) -> None:
    base = repeated(as_reference(cell()), [100.0, 100.1, 99.9] * 3, digest="a")
    with_it = repeated(
        cell(engine_settings=(("spinning", False),)), [factor * ms for ms in [100.0, 100.1, 99.9] * 3], digest="b"
    )
    sides = {"baseline": CELL, "candidate": {**CELL, "engine_settings": {"spinning": False}}}
    way = {"compare": sides, "notebook": "providers"}
    claim = stated("implemented", kind="state", metric="total_ms", resolve=way)  # type: ignore[arg-type]
    assert resolve(claim, of_blocks([*base, *with_it])).verdict == verdict


def test_a_claim_about_a_stream_does_not_need_the_audio_of_one_piece_and_says_so(of_blocks: Load) -> None:
    whole = repeated(as_reference(cell()), STEADY)
    streamed = repeated(cell(delivery="stream", engine_settings=(("chunk_ms", 80),)), (50.0,) * 6, gate="different")
    filters = {**CELL, "delivery": "stream", "engine_settings": {"chunk_ms": 80}}
    claim = stated(60, resolve={"rows": filters, "notebook": "providers"})
    found = resolve(claim, of_blocks([*whole, *streamed]))
    assert found.verdict == "met" and "splits the text at other places" in found.reason
    assert resolve(stated(60), of_blocks([*whole, *streamed])).verdict == "missed"


def test_a_fact_is_read_from_the_package(of_blocks: Load) -> None:
    fact = stated(14, direction="equal to", metric="warmer_texts", resolve={"fact": "warmer_texts"})
    assert resolve(fact, of_blocks(repeated(as_reference(cell()), STEADY))).verdict == "met"


def test_a_hit_rate_is_that_of_the_engines_counters_in_blocks_that_agree(of_blocks: Load) -> None:
    of = cell(engine_settings=(("audio_cache_mb", 64),))

    def counted(*hits: int, bar: float = 50) -> Resolution:
        figures = [{"audio_cache_hits": hit, "audio_cache_lookups": 100} for hit in hits]
        blocks = [
            dataclasses.replace(each, result=dataclasses.replace(each.result, figures=own))
            for each, own in zip(repeated(of, (100.0,) * len(hits)), figures, strict=True)
        ]
        way = {"rows": {**CELL, "engine_settings": {"audio_cache_mb": 64}}, "notebook": "providers"}
        claim = stated(bar, metric="audio_cache_hit_share", unit="%", direction="at least", resolve=way)
        return resolve(claim, of_blocks(blocks))

    verdicts = [counted(hits, hits).verdict for hits in (75, 25, 50)]
    assert verdicts == ["met", "missed", "inconclusive"]
    assert counted(75).verdict == "inconclusive" and "1 block" in counted(75).reason
    assert counted(75, 30).verdict == "inconclusive", "blocks that disagree widen the interval"
    assert "counted by the engine" in counted(75, 75).reason
    never = counted(0, 0)
    assert never.verdict == "missed" and never.gap is None, "no finite factor leads from nothing to the target"
    assert measured_words(never)[0].startswith("0")
    two = counted(70, 80).measured
    assert two is not None and two.center == pytest.approx(75)


def test_no_gap_in_a_short_stream_is_bounded_not_none(of_blocks: Load) -> None:
    filters = {**CELL, "delivery": "stream"}
    claim = stated(1, metric="underruns", unit="gaps", resolve={"rows": filters, "notebook": "providers"})

    def streamed(events: int, seconds: float) -> Resolution:
        figures = {"underruns": events, "streamed_s": seconds}
        made = [
            dataclasses.replace(each, result=dataclasses.replace(each.result, figures=figures))
            for each in repeated(cell(delivery="stream"), (100.0,) * 6)
        ]
        return resolve(claim, of_blocks(made))

    short = streamed(0, 10.0)
    assert short.verdict == "inconclusive" and short.measured is not None
    assert short.measured.low == 0.0 and short.measured.high == pytest.approx(-math.log(0.05) * 10)
    assert (streamed(0, 400.0).verdict, streamed(9, 100.0).verdict) == ("met", "missed")


def test_the_second_cell_of_an_aa_pair_is_never_a_candidate(of_blocks: Load) -> None:
    own = repeated(as_reference(cell()), STEADY)
    lucky = repeated(cell(replica=1), (50.0,) * 6)
    found = resolve(stated(60), of_blocks([*own, *lucky]))
    assert found.verdict == "missed" and found.cell_id == cell().id


def test_the_best_of_several_cells_is_corrected_for_the_choice(of_blocks: Load) -> None:
    settings = [{"spinning": False}, {"arena": False}]
    way = {"rows": {**CELL, "engine_settings": settings}, "notebook": "providers"}
    made = [
        each
        for name, medians in (("spinning", (98.0,) * 5 + (101.0,)), ("arena", (120.0,) * 6))
        for each in repeated(cell(engine_settings=((name, False),)), medians)
    ]
    found = resolve(stated(100, resolve=way), of_blocks(made))
    assert found.verdict == "inconclusive" and "best of 2 cells needs 7 undisturbed blocks" in found.reason
    enough = [*made, *(block(each.cell, 10 + at, (98.0,) * 3) for each in (made[0], made[-1]) for at in range(6))]
    found = resolve(stated(100, resolve=way), of_blocks(enough))
    assert found.verdict == "met" and "intervals of 97.5% each" in found.reason


def test_what_was_not_measured_names_the_command_that_does(of_blocks: Load) -> None:
    found = resolve(
        stated(resolve={"rows": {"text_preset": "article"}, "notebook": "streaming"}),
        of_blocks(repeated(as_reference(cell()), STEADY)),
    )
    assert found.verdict == "not measured yet" and "kokoro-lab sweep full" in found.reason


def test_a_claim_is_about_a_process_of_its_own_and_read_from_shared_ones_only_where_there_is_none(
    of_blocks: Load,
) -> None:
    own = repeated(as_reference(cell()), STEADY)
    shared = repeated(as_reference(cell(process="shared")), [2 * value for value in STEADY])
    both, alone = resolve(stated(150), of_blocks([*own, *shared])), resolve(stated(150), of_blocks(shared))
    assert (both.verdict, both.cell) == ("met", "cpu, 2 threads")
    assert (alone.verdict, alone.cell) == ("missed", "cpu, 2 threads, process shared")
    named = stated(150, resolve={**SHORT, "rows": {**CELL, "process": "shared"}})
    assert resolve(named, of_blocks([*own, *shared])).verdict == "missed"
    assert resolve(named, of_blocks(own)).verdict == "not measured yet"


def test_memory_and_start_up_are_never_read_from_a_shared_process(of_blocks: Load) -> None:
    shared = of_blocks(repeated(as_reference(cell(process="shared")), STEADY, rss_mb=10.0))
    for metric, unit in {"rss_mb": "MB", "rss_peak_mb": "MB", "startup_ms": "ms"}.items():
        claim = stated(5_000, metric=metric, unit=unit)
        assert resolve(claim, shared).verdict == "not measured yet", metric
        assert shared.values(metric).empty
    own = of_blocks(repeated(as_reference(cell()), STEADY, rss_mb=10.0))
    assert resolve(stated(5_000, metric="rss_mb", unit="MB"), own).verdict == "met"


def test_a_gain_is_never_taken_between_an_own_and_a_shared_process(of_blocks: Load) -> None:
    base = repeated(cell(graph_level="basic"), STEADY, digest="basic")
    shared = as_reference(cell(process="shared"))
    fast = repeated(shared, [0.7 * value for value in STEADY], digest="all")
    assert resolve(gain(), of_blocks([*base, *fast])).verdict == "not measured yet"
    other = repeated(cell(graph_level="basic", process="shared"), STEADY, digest="basic")
    assert resolve(gain(), of_blocks([*base, *fast, *other])).verdict == "met"
