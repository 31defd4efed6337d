"""The damages that the gate is calibrated on: each is caught at its full strength and harmless at its least."""

from __future__ import annotations

import numpy as np
import pytest

from kokoro_lab.audio.compare import gate
from kokoro_lab.benchmarks.damages import DAMAGES, HARMLESS, Damage


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.name)
def test_a_damage_is_caught_at_its_full_strength_and_not_at_its_least(damage: Damage, voice: np.ndarray) -> None:
    caught = gate(voice, damage.apply(voice, damage.high))
    assert caught.verdict != "equivalent" and caught.reasons
    assert gate(voice, damage.apply(voice, damage.low)).verdict == "equivalent"


@pytest.mark.parametrize("change", HARMLESS, ids=lambda change: change.name)
def test_what_nobody_hears_stays_equivalent(change: Damage, voice: np.ndarray) -> None:
    assert gate(voice, change.apply(voice, change.high)).verdict == "equivalent"


@pytest.mark.parametrize("damage", (*DAMAGES, *HARMLESS), ids=lambda damage: damage.name)
def test_a_damage_keeps_length_and_type_and_leaves_the_original_alone(damage: Damage, voice: np.ndarray) -> None:
    before = voice.copy()
    damaged = damage.apply(voice, damage.high)
    assert damaged.shape == voice.shape and damaged.dtype == np.float32 and np.isfinite(damaged).all()
    assert np.array_equal(voice, before)
    assert np.array_equal(damaged, damage.apply(voice, damage.high))
