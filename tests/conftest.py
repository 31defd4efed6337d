"""What tests of any floor may need."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

try:
    from hypothesis import HealthCheck, settings
except ModuleNotFoundError:  # the environment of `make reference` has no property tests
    pass
else:
    # A busy machine is no failed property: what must be fast is measured where it is, in processor time.
    settings.register_profile("kokoro-lab", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("kokoro-lab")


# Nothing that a test speaks with makes another form of a model aside; the tests of that turn it on.
os.environ.setdefault("KOKORO_PREPARE", "off")

if worker := os.environ.get("PYTEST_XDIST_WORKER"):
    # Tests measure at the same time in several processes: each process of the tests stands for a machine of its own.
    name = f"kokoro-lab-{os.environ['PYTEST_XDIST_TESTRUNUID']}-{worker}.lock"
    os.environ["KOKORO_LAB_LOCK"] = str(Path(tempfile.gettempdir()) / name)


@pytest.fixture
def interruptible() -> Iterator[None]:
    """What a shell starts in the background ignores interrupts; this process and what it starts do not."""
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, handler)


@pytest.fixture(scope="session")
def voice() -> np.ndarray:
    """Two seconds that have what speech has: a falling pitch, harmonics, syllables, breath."""
    time = np.arange(48_000) / 24_000
    phase = 2 * np.pi * np.cumsum(160 - 20 * time) / 24_000
    harmonics = np.sum([np.sin(number * phase) / number for number in range(1, 20)], axis=0)
    syllables = 0.55 - 0.45 * np.cos(2 * np.pi * 4 * time)
    breath = np.random.default_rng(1).standard_normal(48_000)
    return (0.15 * syllables * harmonics + 0.004 * breath).astype(np.float32)
