"""What the notebooks draw and answer, from scripted rows: every chart is a valid document with words and numbers of its
own, and what is said follows from the rows."""

from __future__ import annotations

import dataclasses
import itertools
import json
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from report_blocks import MACHINE, SOFTWARE, as_reference, block, cell, evidence_of, repeated, rows_of

from kokoro_lab.errors import NothingMeasuredError
from kokoro_lab.measure.records.cell import Block, Cell, LoadReading
from kokoro_lab.reports.drawing.theme import NARROW, WIDE, ChartFigure, styled
from kokoro_lab.reports.figures import caching_charts as caching
from kokoro_lab.reports.figures import endurance_charts as endurance
from kokoro_lab.reports.figures import history_charts as history
from kokoro_lab.reports.figures import peer_charts, provider_charts
from kokoro_lab.reports.figures import session_charts as sessions
from kokoro_lab.reports.figures import streaming_charts as streaming
from kokoro_lab.reports.figures import unit_charts as units
from kokoro_lab.reports.figures import warmup_charts as warmup
from kokoro_lab.reports.figures.peer_charts import PeerTable
from kokoro_lab.reports.findings.change_history import ChangeHistory
from kokoro_lab.reports.findings.history import History
from kokoro_lab.reports.rows.cell_summary import number
from kokoro_lab.reports.rows.evidence import Evidence
from kokoro_lab.reports.rows.workbook import NotebookAnswer
from kokoro_lab.store import RunRecord, Store
from kokoro_lab.sweeps.job import Job

WORKLOAD, EXPONENTS, SIZES = caching.Workload(texts=50, requests=200), (0.8, 1.2), (1, 5, 50)


def with_settings(of: Cell | None = None, /, **settings: Any) -> Cell:
    return dataclasses.replace(of or cell(), engine_settings=tuple(settings.items()))


def loaded(of: Cell, total_ms: Sequence[float], *, hz: float = 1.0, failed: int = 0, **rest: Any) -> Block:
    made = block(of, 0, total_ms, **rest)
    due = tuple(float(at) for at in range(len(total_ms)))
    load = LoadReading(len(due) + failed, failed, "it failed" if failed else "", hz, due, tuple(0.1 for _ in due))
    return dataclasses.replace(made, result=dataclasses.replace(made.result, load=load))


def streamed(of: Cell, deliveries: Sequence[tuple[float, float, float | None]], ttfa_ms: float) -> Block:
    made = block(of, 0, (900.0,), ttfa_ms=(ttfa_ms,))
    return dataclasses.replace(made, result=dataclasses.replace(made.result, deliveries=tuple(deliveries)))


def sound(figure: ChartFigure, *words: str) -> None:
    """The figure is drawn at both widths as a valid document, and says the same in words and numbers."""
    assert json.dumps(styled(figure.chart(WIDE)), allow_nan=False)
    assert figure.chart(NARROW).to_dict(validate=False)
    assert re.search(r"\d", figure.title) and figure.alt.startswith(figure.title.split(":")[0][:20])
    assert figure.rows and all(len(row) == len(figure.columns) for row in figure.rows)
    told = figure.alt + " ".join(" ".join(row) for row in figure.rows)
    for word in words:
        assert word in told, f"{word!r} is not in {told!r}"


def answered(answer: NotebookAnswer) -> str:
    page = answer._repr_markdown_()
    assert all(line.startswith("- ") for line in page.splitlines())
    return page


class TestCaching:
    @pytest.fixture
    def rows(self) -> Evidence:
        plain = as_reference(cell())
        return evidence_of(
            [
                *repeated(plain, (100.0, 102.0, 98.0)),
                *repeated(with_settings(phoneme_cache=1000), (99.0, 97.0, 98.0)),
                *repeated(with_settings(audio_cache_mb=64), (1.0, 1.1, 0.9), rss_mb=950.0),
            ]
        )

    def test_its_charts(self, rows: Evidence) -> None:
        sound(caching.hit_cost_figure(rows), "no cache", "phonemes", "speech")
        sound(caching.cache_memory_figure(rows), "speech")
        sound(caching.hit_rate_figure(WORKLOAD, EXPONENTS, SIZES), "exponent 0.8", "exponent 1.2")
        sound(caching.workload_figure(rows, WORKLOAD, EXPONENTS, SIZES), "exponent 0.8")

    def test_a_cache_with_room_for_all_misses_each_text_once(self) -> None:
        requests = WORKLOAD.draw(1.0)
        assert caching.hit_rate(requests, 50) == pytest.approx(1 - len(set(requests.tolist())) / len(requests))
        assert caching.hit_rate(requests, 0) == 0.0

    def test_each_cache_has_its_room_its_hits_and_what_they_save(self, rows: Evidence) -> None:
        page = caching.caches_table(rows, WORKLOAD, EXPONENTS).text
        share = caching.hit_rate(WORKLOAD.draw(0.8), 1000)
        assert "1\u202f000 texts" in page and "64.0 MB" in page
        assert f"{100 * share:.0f} %, {number(share * 2.0)} ms" in page, "phonemes save 2 ms a hit"
        assert f"{100 * share:.0f} %, {number(share * 99.0)} ms" in page, "speech saves 99"

    def test_favourites_hit_more_often(self) -> None:
        rates = [caching.hit_rate(WORKLOAD.draw(exponent), 5) for exponent in (0.0, 0.8, 1.6)]
        assert rates == sorted(rates) and rates[0] < rates[2]

    def test_its_answer_has_what_a_hit_saves(self, rows: Evidence) -> None:
        page = answered(caching.caching_answer(rows, WORKLOAD, EXPONENTS, SIZES))
        assert "a hit saves 99.0 ms" in page and "a hit in the speech cache is 100.0x faster than no cache" in page


class TestWarmup:
    @pytest.fixture
    def rows(self) -> Evidence:
        cold = cell(state="cold-process")
        warmed = with_settings(cold, warmup="one")
        blocks = [*repeated(as_reference(cell()), (90.0, 91.0, 92.0)), *repeated(cold, (300.0, 310.0, 305.0))]
        for made in repeated(warmed, (100.0, 101.0, 99.0)):
            load = {**made.result.load_ms, "warmup": 250.0}
            blocks.append(dataclasses.replace(made, result=dataclasses.replace(made.result, load_ms=load)))
        return evidence_of(blocks)

    def test_its_charts(self, rows: Evidence) -> None:
        sound(warmup.waterfall_figure(rows), "cold-process, none", "cold-process, one")
        sound(warmup.start_figure(rows), "cold-process, one")
        sound(warmup.first_text_figure(rows), "none", "one")

    def test_the_waterfall_adds_up(self, rows: Evidence) -> None:
        for make in (warmup.waterfall_figure, warmup.start_figure):
            for row in make(rows).rows:
                *parts, whole = (float(text.replace("\u202f", "")) for text in row[1:])
                assert sum(parts) == pytest.approx(whole, rel=0.01)

    def test_each_bar_begins_where_the_one_before_ends(self, rows: Evidence) -> None:
        first = warmup.waterfall_figure(rows).chart(WIDE).to_dict()
        for falls in first["datasets"].values():
            for before, after in itertools.pairwise(falls):
                assert after["begin"] >= before["end"] - 1e-6

    def test_its_answer_weighs_both_sides(self, rows: Evidence) -> None:
        page = answered(warmup.warmup_answer(rows))
        assert "after `one` it is 3.07x faster than without warm-up" in page and "45.0 ms later in total" in page

    def test_without_a_start_it_says_what_is_missing(self) -> None:
        with pytest.raises(NothingMeasuredError, match="cold-process"):
            warmup.waterfall_figure(evidence_of(repeated(as_reference(cell()), (90.0, 91.0))))


class TestStreaming:
    STEADY = ((0.3, 1.0, 0.0), (0.9, 1.0, 0.0), (1.5, 1.0, 0.0))
    LATE = ((0.2, 0.5, 0.0), (3.0, 0.5, 0.0))

    @pytest.fixture
    def rows(self) -> Evidence:
        stream = dataclasses.replace(cell(), delivery="stream")
        return evidence_of(
            [
                *repeated(as_reference(cell()), (900.0,)),
                streamed(with_settings(stream, chunk_ms=80), self.STEADY, 300.0),
                streamed(with_settings(stream, chunk_ms=30), self.LATE, 200.0),
            ]
        )

    def test_its_charts(self, rows: Evidence) -> None:
        sound(streaming.stream_ttfa_figure(rows), "80 ms", "30 ms", "not streamed")
        sound(streaming.stall_figure(rows), "80 ms", "30 ms")
        sound(streaming.arrival_figure(rows), "arrived", "heard")

    def test_the_listeners_clock_stands_while_nothing_is_there(self, rows: Evidence) -> None:
        names = {name.rpartition(", ")[2]: name for name in streaming.recorded(rows)}
        late = streaming.arrival_figure(rows, names["30 ms"])
        assert "waits 2.30 s in total" in late.title
        assert "never has to wait again" in streaming.arrival_figure(rows, names["80 ms"]).title

    def test_its_answer_names_the_soonest(self, rows: Evidence) -> None:
        assert "fastest with 30 ms, first audio after 200 ms" in answered(streaming.streaming_answer(rows))


class TestSessions:
    @pytest.fixture
    def rows(self) -> Evidence:
        users = [dataclasses.replace(cell(), arrivals="closed", clients=count) for count in (1, 3)]
        blocks: list[Block] = []
        for of, hz in zip(users, (1.0, 1.0), strict=True):
            blocks.append(loaded(of, (1000.0, 1000.0), hz=hz, rss_mb=500.0))
            dual = with_settings(of, sessions="dual", concurrency=2)
            blocks.append(loaded(dual, (1500.0, 1500.0), hz=hz * 1.5, rss_mb=900.0))
        for preset, times in (("ultra-short", (50.0, 60.0, 50.0)), ("short", (300.0, 200.0, 220.0))):
            for rule, total in zip(("length", "complexity", "cost"), times, strict=True):
                routed = with_settings(cell(preset), sessions="triple", routing=rule)
                blocks += repeated(dataclasses.replace(routed, reference=rule == "length"), (total, total))
        return evidence_of(blocks)

    def test_its_charts(self, rows: Evidence) -> None:
        sound(sessions.throughput_figure(rows), "single", "dual, 2 parallel calls")
        sound(sessions.waiting_figure(rows), "single")
        sound(sessions.routing_figure(rows), "length", "complexity", "cost")

    def test_no_rule_is_better_than_the_oracle_and_each_has_its_regret(self, rows: Evidence) -> None:
        page = answered(sessions.sessions_answer(rows))
        assert "Routing by cost: 5 % slower than the oracle on average, 10 % at worst." in page
        assert "Routing by length: 25 % slower than the oracle on average, 50 % at worst." in page

    def test_the_oracle_is_measured_on_each_session_alone(self) -> None:
        blocks = [made for rule in ("length", "cost") for made in repeated(self.routed(rule), (100.0, 110.0))]
        blocks += repeated(as_reference(cell(threads=1)), (80.0,)) + repeated(cell(threads=2), (95.0,))
        assert sessions.oracle(evidence_of(blocks)) == {"short": pytest.approx(80.0)}

    def routed(self, rule: str) -> Cell:
        return with_settings(sessions="triple", routing=rule)

    def test_what_a_second_session_takes_is_said_beside_what_it_gives(self, rows: Evidence) -> None:
        page = answered(sessions.sessions_answer(rows))
        assert "**3 concurrent users**: highest throughput with dual, 2 parallel calls" in page
        assert "90.0 calls per minute, 1.50x that of single" in page
        assert "1\u202f000 MB of memory instead of 600 MB" in page


class TestProviders:
    @pytest.fixture
    def rows(self) -> Evidence:
        why = "CoreML is not part of this onnxruntime."
        return evidence_of(
            [
                *repeated(as_reference(cell()), (100.0, 101.0, 99.0)),
                *repeated(cell(threads=1), (200.0, 202.0, 198.0)),
                block(cell(provider="coreml"), 0, status="unavailable", error=why, share=0.0),
            ]
        )

    def test_what_ran_is_told_with_its_nodes_and_what_did_not_with_the_reason(self, rows: Evidence) -> None:
        page = provider_charts.ran_table(rows).text
        assert "CPUExecutionProvider 1\u202f500" in page and "CoreML is not part" in page

    def test_the_instruction_set_of_compiled_kernels_is_told(self) -> None:
        made = block(as_reference(cell()))
        assert made.result.model is not None
        model = dataclasses.replace(made.result.model, kernels="avx512-vnni")
        page = provider_charts.ran_table(
            evidence_of([dataclasses.replace(made, result=dataclasses.replace(made.result, model=model))])
        ).text
        assert "avx512-vnni" in page

    def test_its_answer_ranks_and_names_what_is_missing(self, rows: Evidence) -> None:
        page = answered(provider_charts.providers_answer(rows))
        assert "cpu, 2 threads is the fastest" in page and "cpu, 1 thread is 2.00x slower than cpu, 2 threads" in page
        assert "Not available in this installation of onnxruntime: coreml." in page


class TestUnits:
    @pytest.fixture
    def rows(self) -> Evidence:
        why = "CoreML is not part of this onnxruntime."
        missing = block(cell(provider="coreml"), 0, status="unavailable", error=why, share=0.0)
        return evidence_of(
            [
                *repeated(as_reference(cell()), (100.0, 101.0, 99.0)),
                *repeated(with_settings(spinning=False), (120.0, 121.0, 119.0)),
                missing,
            ]
        )

    def test_its_chart(self, rows: Evidence) -> None:
        sound(units.units_figure(rows), "2 threads", "spinning off")

    def test_what_is_not_here_is_said_with_the_reason_and_has_no_figure(self, rows: Evidence) -> None:
        assert "CoreML is not part" in units.absent_table(rows).text
        assert not any("coreml" in " ".join(row) for row in units.units_figure(rows).rows)
        assert "coreml" in answered(units.units_answer(rows))


class TestEndurance:
    @pytest.fixture
    def rows(self) -> Evidence:
        of = dataclasses.replace(cell(), arrivals="poisson", rate_hz=1.0, load_s=20.0)
        return evidence_of([loaded(as_reference(of), [100.0 + at for at in range(20)], failed=1)])

    def test_its_charts(self, rows: Evidence) -> None:
        sound(endurance.drift_figure(rows), "default settings")
        sound(endurance.memory_figure(rows), "default settings")

    def test_a_slope_is_found_and_failures_are_counted(self, rows: Evidence) -> None:
        page = answered(endurance.endurance_answer(rows))
        assert "20 of 21 calls succeeded" in page
        assert "+1" in endurance.drift_figure(rows).title, "a rise by 17 % is drawn as one"


class TestHistory:
    """Four runs of one commit, in which a ratio differs by a hundredth, and two of the next, in which it is halved."""

    @pytest.fixture(scope="class")
    @classmethod
    def told(cls, tmp_path_factory: pytest.TempPathFactory) -> tuple[History, Evidence]:
        results = tmp_path_factory.mktemp("history")
        store = Store(results / "tables")
        groups = [{"text": "short", "intra_op_threads": [2, 1]}]
        job = Job(run_id="r5", notebook="history", groups=groups, budget_s=9, results=results, model="stand-in")
        base, other = (item.cell for item in job.planned())
        random = np.random.default_rng(3)
        tables: list[dict[str, pa.Table]] = []
        for run in range(6):
            commit = "a" * 40 if run < 4 else "b" * 40
            ratio = (2.0 if run < 4 else 1.0) * (1 + 0.005 * random.standard_normal())
            mood = 100.0 * (1 + 0.3 * random.random())
            record = RunRecord(
                run_id=f"r{run}", notebook="history", machine_id=MACHINE, software_id=SOFTWARE, git_commit=commit,
                git_dirty=False, run_dir=str(results / "runs" / f"r{run}"),
            )  # fmt: skip
            blocks: list[Block] = []
            for of, factor in ((base, 1.0), (other, ratio)):
                for made in repeated(of, [mood * factor * level for level in (0.995, 1.0, 1.005)]):
                    started = f"2026-11-{10 + run}T10:0{made.block}:00+00:00"
                    blocks.append(dataclasses.replace(made, started_at=started))
            tables.append(rows_of(record, blocks))
        store.merge({name: pa.concat_tables([one[name] for one in tables]) for name in ("cells", "samples")})
        return History.load(job), Evidence.load(results / "tables", "r5")

    def test_its_charts(self, told: tuple[History, Evidence]) -> None:
        found, _ = told
        sound(history.reference_figure(found), "short, cpu, 2 threads")
        for figure in ("rtf", "ttfa_ms", "total_ms"):
            sound(history.ratio_figure(found, figure), "1 thread")

    def test_the_mood_of_the_machine_is_no_change_point_and_the_commit_is(self, told: tuple[History, Evidence]) -> None:
        found, _ = told
        (change,) = [change for change in found.found.changes if change.figure == "rtf"]
        assert (change.before, change.after, change.verdict) == ("a" * 7, "b" * 7, "faster")
        assert change.ratio.center == pytest.approx(0.5, rel=0.03)

    def test_the_chart_marks_the_change_between_the_runs(self, told: tuple[History, Evidence]) -> None:
        figure = history.ratio_figure(told[0])
        marks = [row for row in figure.rows if row[0] == "change point"]
        assert "1 change point" in figure.title and {row[1] for row in marks} == {"4.50"}

    def test_each_figure_is_judged_and_said(self, told: tuple[History, Evidence]) -> None:
        found, rows = told
        page = answered(history.history_answer(found, rows))
        for name in ("faster, real-time factor", "faster, time to first audio", "faster, total time"):
            assert name in page
        assert "aaaaaaa and bbbbbbb" in page and "aaaaaaa and bbbbbbb" in history.changes_table(found).text

    def test_one_run_is_no_history(self, told: tuple[History, Evidence]) -> None:
        found, rows = told
        single = dataclasses.replace(found, runs=found.runs.head(1), found=ChangeHistory((), 0, 0))
        assert "A single run has no history" in answered(history.history_answer(single, rows))


class TestPeers:
    @staticmethod
    def table(**changed: Any) -> PeerTable:
        def row(engine: str, figure: str, value: float, **rest: Any) -> dict[str, Any]:
            known = {
                "engine": engine,
                "figure": figure,
                "text": "short",
                "unit": "ms",
                "value": value,
                "gate": "equivalent",
            }
            compared = {"ratio": None, "low": None, "high": None, "verdict": "", "pairs": 0, "gate": "equivalent"}
            return {**known, **compared, **rest}

        slower = {"ratio": 2.0, "low": 1.9, "high": 2.1, "verdict": "slower", "pairs": 8}
        rows = [row("kokoro-lab", "first audio", 50.0), row("a-peer", "first audio", 100.0, **slower)]
        rows.append(row("a-peer", "cold start", 90.0, ratio=1.1, verdict="inconclusive", pairs=2))
        document = {
            "rows": rows, "run_id": "peers-1", "blocks": 16, "threads": 2, "contaminated": 0,
            "contaminated_used": False,
            "model": {"weights": "stand-in", "architecture": "full"}, "missing": {"b-peer": "it has no wheel here"},
            "noise": {"short": {"sd": 0.01, "pairs": 8, "floor": 0.02, "detectable": 0.03}}, **changed,
        }  # fmt: skip
        return PeerTable.of(document)

    def test_its_chart_and_tables(self) -> None:
        figure = peer_charts.peers_figure(self.table())
        assert isinstance(figure, ChartFigure)
        sound(figure, "a-peer, first audio, short: 2.00x Kokoro Lab")
        assert figure.title == "1 of 2 figures of the peers are proven higher than those of Kokoro Lab"
        assert "100" in peer_charts.figures_table(self.table()).text
        assert "2.0 %" in peer_charts.noise_table(self.table()).text

    def test_its_answer_says_what_is_decided_what_is_not_and_who_is_missing(self) -> None:
        page = answered(peer_charts.peers_answer(self.table()))
        assert "**a-peer**: first audio, short 2.00x Kokoro Lab (slower); 1 figure is inconclusive." in page
        assert "**b-peer** was not measured: it has no wheel here" in page

    def test_without_a_run_it_says_how_to_make_one(self) -> None:
        nothing = PeerTable.nothing()
        assert "make bench-peers" in nothing.about()
        assert "make bench-peers" in answered(peer_charts.peers_answer(nothing))
        assert not isinstance(peer_charts.peers_figure(nothing), ChartFigure)
