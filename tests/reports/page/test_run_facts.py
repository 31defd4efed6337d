"""The facts of a run on its page: its machine, its texts, its noise and its providers."""

from __future__ import annotations

from report_blocks import as_reference, block, cell, evidence_of, repeated

from kokoro_lab.reports.claims.claims import load_claims
from kokoro_lab.reports.page.run_facts import (
    machine_name,
    measured_facts,
    noise_table,
    provenance_facts,
    providers_table,
    sources_table,
    text_sizes,
)
from kokoro_lab.reports.rows.evidence import Evidence


def test_the_machine_is_named_in_a_few_words(evidence: Evidence) -> None:
    assert machine_name(evidence) == "Test CPU, 2 threads"
    assert machine_name(evidence_of([block(as_reference(cell()))])) == "machine not recorded"


def test_texts_are_listed_from_short_to_long(evidence: Evidence) -> None:
    sizes = [size for _, size in text_sizes(evidence.cells)]
    assert sizes == sorted(sizes) and len(sizes) == 4


def test_each_part_shows_what_it_is_about(evidence: Evidence) -> None:
    assert "full architecture" in measured_facts(evidence).text
    assert "made-run" in provenance_facts(evidence).text
    assert "not built in" in providers_table(evidence).text or "CoreML" in providers_table(evidence).text
    assert "<caption>" in sources_table(load_claims()).text


def test_without_an_undisturbed_block_there_is_no_noise_floor() -> None:
    disturbed = evidence_of(repeated(as_reference(cell()), (100.0, 101.0), contaminated=True))
    assert "no noise floor" in noise_table(disturbed).text
