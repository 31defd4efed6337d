"""The gate of a run: one reference a group, audio that is kept once, and a judgement that can be stored."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kokoro_lab.errors import PlanError
from kokoro_lab.measure.records.cell import BlockResult, Cell, ModelReading, RenderingReading
from kokoro_lab.measure.sampling.audio_gate import (
    RunAudio,
    judge,
    judge_renderings,
    reference_of,
    vouched_reading,
)

REFERENCE = Cell("tiny", "Hello world!", text_preset="short", reference=True)
OTHER = replace(REFERENCE, intra_op_threads=1, reference=False)
TIME = np.arange(24_000) / 24_000
VOICED = (0.3 * np.sin(2 * np.pi * 180 * TIME) + 0.1 * np.sin(2 * np.pi * 720 * TIME)).astype(np.float32)
SILENCE = np.zeros(24_000, np.float32)


def written(folder: Path, samples: np.ndarray) -> Path:
    path = folder / "worker.npy"
    np.save(path, samples)
    return path


def test_each_cell_is_held_against_the_reference_of_its_text() -> None:
    long = replace(REFERENCE, text="Another text.", text_preset="long")
    long_other = replace(OTHER, text="Another text.", text_preset="long")
    found = reference_of([OTHER, long_other, REFERENCE, long])
    assert found == {OTHER.id: REFERENCE, REFERENCE.id: REFERENCE, long.id: long, long_other.id: long}


def test_groups_without_a_reference_and_with_two_are_all_named() -> None:
    lone = replace(OTHER, text="Nobody to compare with.", text_preset="")
    with pytest.raises(PlanError) as caught:
        reference_of([REFERENCE, replace(REFERENCE, intra_op_threads=4), lone])
    assert "'short'" in caught.value.message and "2" in caught.value.message
    assert "'Nobody to compare with.'" in caught.value.message and "0" in caught.value.message


def test_equal_audio_is_equivalent_and_names_the_reference() -> None:
    reading = judge(REFERENCE, VOICED, VOICED.copy(), [10, 20], [10, 20])
    assert (reading.verdict, reading.reference, reading.reasons) == ("equivalent", REFERENCE.id, ())
    assert reading.durations_equal is True and reading.log_mel_db == pytest.approx(0.0, abs=1e-6)
    assert reading.peak == pytest.approx(float(np.abs(VOICED).max()))
    assert reading.finite is True and reading.silent is False and reading.clipped_fraction == 0.0


@pytest.mark.parametrize("reference", [SILENCE, VOICED], ids=["silence", "speech"])
def test_silence_is_different_even_from_silence_and_says_so_once(reference: np.ndarray) -> None:
    reading = judge(REFERENCE, reference, SILENCE, None, None)
    assert reading.verdict == "different" and reading.silent is True
    assert len([reason for reason in reading.reasons if "silent" in reason]) == 1


@pytest.mark.parametrize(
    "audio",
    [np.zeros(0, np.float32), np.full(24_000, np.nan, np.float32), SILENCE],
    ids=["empty", "not finite", "silent"],
)
def test_figures_that_are_not_finite_are_left_out_so_that_a_reading_can_be_stored(audio: np.ndarray) -> None:
    reading = judge(REFERENCE, VOICED, audio, None, None)
    assert reading.verdict == "different"
    figures = (reading.log_mel_db, reading.peak, reading.rms_dbfs)
    assert None in figures and all(value is None or math.isfinite(value) for value in figures)


@pytest.mark.parametrize("durations", [[1, 2, 3], None])
def test_kept_audio_comes_back_with_its_durations(tmp_path: Path, durations: list[int] | None) -> None:
    shelf = RunAudio(tmp_path / "audio")
    assert shelf.load(REFERENCE) is None and not shelf.folder.exists()
    given = written(tmp_path, VOICED)
    kept = shelf.store(REFERENCE, given, durations)
    assert kept == shelf.path(REFERENCE) and not given.exists(), "the worker's file is taken over"
    found = shelf.load(REFERENCE)
    assert found is not None and np.array_equal(found[0], VOICED)
    assert found[1] == (None if durations is None else tuple(durations))
    assert shelf.load(OTHER) is None
    assert sorted(path.suffix for path in shelf.folder.iterdir()) == [".json", ".npy"]


def test_the_first_audio_of_a_cell_is_kept_and_later_blocks_do_not_replace_it(tmp_path: Path) -> None:
    shelf = RunAudio(tmp_path)
    shelf.store(REFERENCE, written(tmp_path, VOICED), [1])
    shelf.store(REFERENCE, written(tmp_path, SILENCE), [2])
    found = shelf.load(REFERENCE)
    assert found is not None and np.array_equal(found[0], VOICED) and found[1] == (1,)


def test_durations_without_audio_are_of_an_interrupted_block_and_do_not_count(tmp_path: Path) -> None:
    shelf = RunAudio(tmp_path)
    shelf.path(REFERENCE).with_suffix(".json").write_text(json.dumps([9, 9]))
    assert shelf.load(REFERENCE) is None
    shelf.store(REFERENCE, written(tmp_path, VOICED), [1])
    found = shelf.load(REFERENCE)
    assert found is not None and found[1] == (1,)


def with_renderings(*repeats: int, total: int = 0) -> BlockResult:
    readings = tuple(RenderingReading(repeat, 1) for repeat in repeats)
    return BlockResult("ok", renderings=readings, figures={"renderings": float(total or len(repeats))})


def test_the_worst_rendering_of_a_block_counts_and_is_named() -> None:
    result = with_renderings(0, 3)
    reading = judge_renderings(REFERENCE, (VOICED, None), [VOICED, SILENCE], result)
    assert reading.verdict == "different" and reading.silent
    assert "in repeat 3: it is silent" in reading.reasons
    assert judge_renderings(REFERENCE, (VOICED, None), [VOICED, VOICED], result).verdict == "equivalent"


def test_a_block_with_one_rendering_needs_no_number_for_it() -> None:
    result = BlockResult("ok", renderings=(RenderingReading(0, 5),))
    reading = judge_renderings(REFERENCE, (VOICED, None), [SILENCE], result)
    assert reading.reasons[-1] == "it is silent"


def test_renderings_that_nobody_looked_at_are_not_called_equivalent() -> None:
    reading = judge_renderings(REFERENCE, (VOICED, None), [VOICED] * 4, with_renderings(8, 0, 1, 2, total=9))
    assert reading.verdict == "close"
    assert reading.reasons == ("its repeats have 9 different renderings, of which 4 were compared",)


@pytest.mark.parametrize(
    ("verified", "verdict"),
    [("equivalent", "equivalent"), ("", "none"), (None, "none"), ("close", "close"), ("different", "different")],
)
def test_a_reference_is_as_good_as_what_vouches_for_its_model(verified: str | None, verdict: str) -> None:
    equal = judge(REFERENCE, VOICED, VOICED, None, None)
    model = ModelReading("mine", "ab" * 32, "imported", "full", "fp32", verified=verified)
    reading = vouched_reading(REFERENCE, equal, model)
    assert reading.verdict == verdict and bool(reading.reasons) == (verdict != "equivalent")
    if verified == "":
        assert "run `kokoro-lab models verify tiny`" in reading.reasons[0]
    other = vouched_reading(OTHER, equal, model)
    assert other.verdict == ("equivalent" if verified is None else verdict), "another cell of an unverified model"
    silent = judge(REFERENCE, SILENCE, SILENCE, None, None)
    assert vouched_reading(REFERENCE, silent, None).verdict == "different"
