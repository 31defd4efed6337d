"""What rows may say about a claim, and what they must never be made to say."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from report_blocks import RUN, as_reference, block, cell, repeated
from report_claims import CLAIM

from kokoro_lab.measure.cell import RETRY_STRIDE, Block
from kokoro_lab.reports.claims import Claim, load_claims
from kokoro_lab.reports.evidence import Evidence
from kokoro_lab.reports.resolve import resolve, resolve_all
from kokoro_lab.store import Store

Load = Callable[[Sequence[Block]], Evidence]
STEADY = (99.0, 100.0, 101.0, 100.0)
SHORT = {"rows": {"text_preset": "short", "state": "warm"}, "notebook": "providers"}


def stated(value: float | list[float] = 100, **changes: object) -> Claim:
    return Claim.model_validate({**CLAIM, "value": value, "resolve": SHORT, **changes})


@pytest.mark.parametrize(("bar", "verdict"), [(200, "met"), (100, "inconclusive"), (50, "missed")])
def test_met_and_missed_need_the_whole_interval_on_one_side(of_blocks: Load, bar: float, verdict: str) -> None:
    found = resolve(stated(bar), of_blocks(repeated(as_reference(cell()), STEADY)))
    assert found.verdict == verdict and found.measured is not None and found.gap is not None
    assert found.gap.median == pytest.approx(100 / bar)
    assert found.measured.low is not None and found.measured.low < 100 < (found.measured.high or 0)
    assert found.measured.blocks == 4 and found.cell == "cpu, 2 threads"


def test_one_block_decides_nothing(of_blocks: Load) -> None:
    found = resolve(stated(1), of_blocks(repeated(as_reference(cell()), [100.0])))
    assert found.verdict == "inconclusive" and "one block" in found.reason


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
    assert found.verdict == "inconclusive" and "disturbed all 4 blocks" in found.reason


def test_disturbed_blocks_are_left_out_of_an_interval(of_blocks: Load) -> None:
    of = as_reference(cell())
    loud = block(of, 9, (900.0, 900.0, 900.0), contaminated=True)
    found = resolve(stated(200), of_blocks([*repeated(of, STEADY), loud]))
    assert found.verdict == "met" and found.measured is not None and found.measured.blocks == 4


def test_a_replaced_block_does_not_count_beside_its_retry(of_blocks: Load) -> None:
    of = as_reference(cell())
    retry = block(of, RETRY_STRIDE, (100.0, 100.0, 100.0), attempt=1, replaces=0)
    found = resolve(stated(200), of_blocks([*repeated(of, STEADY), retry]))
    assert found.measured is not None and found.measured.blocks == 4


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
    assert (close.verdict, close.measured) == ("inconclusive", None) and "12 of" in close.reason
    assert (far.verdict, far.measured) == ("missed", None) and "4 of 4 block medians" in far.reason


def test_a_p95_of_many_samples_has_its_upper_bound(of_blocks: Load) -> None:
    of = as_reference(cell())
    blocks = [block(of, number, tuple(90.0 + (number + at * 7) % 20 for at in range(20))) for number in range(6)]
    found = resolve(stated(120, statistic="p95"), of_blocks(blocks))
    assert found.verdict == "met" and found.measured is not None
    assert found.measured.low is None and found.measured.high is not None


def gain(unit: str = "% less", value: float = 10) -> Claim:
    sides = {"baseline": {"graph_level": "basic"}, "candidate": {"graph_level": "all"}}
    way = {"compare": sides, "notebook": "variants"}
    return stated(value, unit=unit, direction="at least", metric="total_ms", resolve=way)


@pytest.mark.parametrize(("value", "verdict"), [(10, "met"), (30, "missed")])
def test_a_gain_is_that_of_pairs_from_the_same_rounds(of_blocks: Load, value: float, verdict: str) -> None:
    drift = (100.0, 104.0, 109.0, 113.0, 118.0, 121.0, 127.0, 132.0)
    base = repeated(cell(graph_level="basic"), drift, digest="basic")
    fast = repeated(as_reference(cell()), [0.8 * value for value in drift], digest="all")
    found = resolve(gain(value=value), of_blocks([*base, *fast]))
    assert found.verdict == verdict and found.measured is not None
    assert found.measured.median == pytest.approx(20, abs=0.5)
    assert (found.measured.low or 0) <= found.measured.median <= (found.measured.high or 0)


def test_a_gain_between_equal_settings_is_a_placebo(of_blocks: Load) -> None:
    base = repeated(cell(graph_level="basic"), STEADY, digest="same")
    fast = repeated(as_reference(cell()), (70.0,) * 4, digest="same")
    found = resolve(gain(), of_blocks([*base, *fast]))
    assert found.verdict == "placebo" and found.measured is None


def test_a_gain_is_not_taken_from_cells_that_differ_in_more(of_blocks: Load) -> None:
    base = repeated(cell(graph_level="basic", threads=1), STEADY, digest="basic")
    fast = repeated(as_reference(cell()), (70.0,) * 4, digest="all")
    found = resolve(gain(), of_blocks([*base, *fast]))
    assert found.verdict == "inconclusive" and "differ in this alone" in found.reason


def test_failures_are_bounded_never_taken_for_none(of_blocks: Load) -> None:
    share = stated(1, metric="error_share", unit="%", resolve={"rows": {}, "notebook": "providers"})
    of = as_reference(cell())
    few = resolve(share, of_blocks(repeated(of, STEADY)))
    assert few.verdict == "inconclusive" and few.measured is not None
    assert few.measured.median == 0 and (few.measured.high or 0) == pytest.approx(100 * (1 - 0.05 ** (1 / 12)))
    broken = [block(of, 20 + at, status="error", error="It broke.") for at in range(5)]
    many = resolve(share, of_blocks(broken))
    assert many.verdict == "missed"


def test_a_comparison_is_the_one_that_the_sweep_kept(of_blocks: Load, tmp_path: Path) -> None:
    base = repeated(cell(graph_level="basic"), STEADY, digest="basic")
    fast = repeated(as_reference(cell()), [80.0] * 4, digest="all")
    evidence = of_blocks([*base, *fast])
    row = {
        "run_id": RUN,
        "base_cell": base[0].cell.id,
        "candidate_cell": fast[0].cell.id,
        "metric": "total_ms",
        "verdict": "faster",
        "ratio": 0.5,
        "ratio_low": 0.45,
        "ratio_high": 0.55,
        "made_at": datetime.datetime.now(datetime.UTC),
        "minimum_effect": 0.03,
        "margin": 0.03,
        "pairs": 8,
        "reason": "",
        "details": {"kind": "cell", "evidence": "x", "gate": "equivalent"},
    }
    tables = evidence.run_dir.parent.parent / "tables"
    Store(tables).keep_verdicts(RUN, [row])
    found = resolve(gain(), Evidence.load(tables))
    assert found.measured is not None and found.measured.median == pytest.approx(50) and found.measured.blocks == 8


@pytest.mark.parametrize(("factor", "verdict"), [(0.8, "met"), (1.2, "missed"), (1.0001, "missed")])
def test_a_state_is_met_when_the_thing_pays(of_blocks: Load, factor: float, verdict: str) -> None:
    base = repeated(as_reference(cell()), [100.0, 100.1, 99.9] * 3, digest="a")
    with_it = repeated(
        cell(engine_settings=(("spinning", False),)), [factor * ms for ms in [100.0, 100.1, 99.9] * 3], digest="b"
    )
    sides = {"baseline": {"text_preset": "short"}, "candidate": {"engine_settings": {"spinning": False}}}
    way = {"compare": sides, "notebook": "compute_units"}
    claim = stated("implemented", kind="state", metric="total_ms", resolve=way)  # type: ignore[arg-type]
    assert resolve(claim, of_blocks([*base, *with_it])).verdict == verdict


def test_a_claim_about_a_stream_does_not_need_the_audio_of_one_piece_and_says_so(of_blocks: Load) -> None:
    whole = repeated(as_reference(cell()), STEADY)
    streamed = repeated(cell(delivery="stream", engine_settings=(("chunk_ms", 80),)), (50.0,) * 4, gate="different")
    filters = {"text_preset": "short", "delivery": "stream", "engine_settings": {"chunk_ms": 80}}
    claim = stated(60, resolve={"rows": filters, "notebook": "streaming"})
    found = resolve(claim, of_blocks([*whole, *streamed]))
    assert found.verdict == "met" and "cut elsewhere" in found.reason
    assert resolve(stated(60), of_blocks([*whole, *streamed])).verdict == "missed"


def test_a_fact_is_read_from_the_package_and_a_replay_from_its_cache(of_blocks: Load) -> None:
    evidence = of_blocks(repeated(as_reference(cell()), STEADY))
    fact = stated(14, direction="equal to", metric="warmer_texts", resolve={"fact": "warmer_texts"})
    assert resolve(fact, evidence).verdict == "met"
    way = {"replay": "phonemes", "notebook": "caching"}
    shares = {
        bar: resolve(stated(bar, direction="at least", metric="cache_hit_share", unit="%", resolve=way), evidence)
        for bar in (11.1, 99.9)
    }
    assert [found.verdict for found in shares.values()] == ["met", "missed"]
    assert shares[11.1].measured is not None and "computed, not timed" in shares[11.1].reason


def test_what_was_not_measured_names_the_command_that_does(of_blocks: Load) -> None:
    found = resolve(
        stated(resolve={"rows": {"text_preset": "article"}, "notebook": "streaming"}),
        of_blocks(repeated(as_reference(cell()), STEADY)),
    )
    assert found.verdict == "not measured yet" and "kokoro-lab sweep full" in found.reason
