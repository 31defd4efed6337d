"""What tests of any floor may need."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

try:
    from hypothesis import settings
except ModuleNotFoundError:  # the environment of `make reference` has no property tests
    pass
else:
    # A busy machine is no failed property: what must be fast is measured where it is, in processor time.
    settings.register_profile("kokoro-lab", deadline=None)
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
