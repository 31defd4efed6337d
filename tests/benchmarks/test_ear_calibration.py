"""The calibration finds the smallest damage, and says when the gate passes one or refuses what is harmless."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import typer

from kokoro_lab.audio.compare import gate
from kokoro_lab.benchmarks import ear_calibration as room
from kokoro_lab.benchmarks.damages import DAMAGES, HARMLESS
from kokoro_lab.commands.bench import app
from kokoro_lab.errors import InputError
from kokoro_lab.models.catalog import resolve
from kokoro_lab.models.files.onnxfile import read_onnx

QUIETER = next(item for item in DAMAGES if item.name == "quieter throughout")


def test_the_smallest_damage_is_between_what_passes_and_what_does_not() -> None:
    voice = room.artificial_voice(1.0).samples
    least, reason = room.smallest_caught(QUIETER, voice)
    assert 0.2 < least < 0.5 and "dB" in reason
    assert gate(voice, QUIETER.apply(voice, least)).verdict != "equivalent"
    assert gate(voice, QUIETER.apply(voice, least * 0.99)).verdict == "equivalent"
    assert room.smallest_caught(HARMLESS[0], voice) == (float("inf"), "")


def test_a_damage_is_as_hard_to_notice_as_where_it_is_hardest() -> None:
    loud = room.artificial_voice(1.0)
    found = room.caught(QUIETER, [loud, replace(loud, samples=loud.samples[:12_000])])
    assert len(found.verdicts) == 2 and found.least <= found.most


def test_dropped_convolutions_add_nothing_and_the_rest_is_as_it_was() -> None:
    model = read_onnx(resolve("tiny").path)
    damaged = room.without_convolutions(model, room.DROPPED["one resblock dropped (a third)"])
    pairs = zip(model.graph.initializer, damaged.graph.initializer, strict=True)
    changed = [one.name for one, other in pairs if one.SerializeToString() != other.SerializeToString()]
    assert changed and all(name.startswith("decoder.generator.resblocks.5.convs2.") for name in changed)


def test_the_artificial_voice_is_voiced() -> None:
    from kokoro_lab.audio.speech_distance import f0_track

    voice = room.artificial_voice().samples
    assert np.count_nonzero(f0_track(voice)) > 0.6 * len(voice) / 300


def test_a_variant_needs_its_source() -> None:
    with pytest.raises(InputError, match="other-int8 is no variant of tiny; name its source with --model"):
        typer.main.get_command(app)(["ear", "--variant", "other-int8"], standalone_mode=False)


@pytest.mark.slow
def test_the_page_says_what_was_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "CASES", room.CASES[:1])
    monkeypatch.setattr(room, "STEPS", 2)
    page, holds = room.calibration_page({"tiny": ()}, tmp_path)
    assert holds and page.startswith("# What the audio gate hears")
    assert all(f"| {damage.name} |" in page for damage in DAMAGES) and all(name in page for name in room.DROPPED)
