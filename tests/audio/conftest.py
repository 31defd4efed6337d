import numpy as np
import pytest


@pytest.fixture(scope="session")
def voice():
    """Two seconds that have what speech has: a falling pitch, harmonics, syllables, breath."""
    time = np.arange(48_000) / 24_000
    phase = 2 * np.pi * np.cumsum(160 - 20 * time) / 24_000
    harmonics = sum(np.sin(number * phase) / number for number in range(1, 20))
    syllables = 0.55 - 0.45 * np.cos(2 * np.pi * 4 * time)
    breath = np.random.default_rng(1).standard_normal(48_000)
    return (0.15 * syllables * harmonics + 0.004 * breath).astype(np.float32)
