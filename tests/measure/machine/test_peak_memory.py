"""Memory of a process: its own, now and at its peak, and not that of the process that started it."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
from patience import PATIENCE_S

from kokoro_lab.measure.machine.peak_memory import peak_rss_mb, rss_mb

READ = "from kokoro_lab.measure.machine.peak_memory import peak_rss_mb, rss_mb\n"


def test_the_peak_remembers_what_the_present_has_given_back() -> None:
    script = (
        READ + "before = peak_rss_mb()\n"
        "ballast = bytearray(b'x' * 300_000_000)\n"
        "del ballast\n"
        "print(before, peak_rss_mb(), rss_mb())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=PATIENCE_S
    )
    before, peak, now = map(float, done.stdout.split())
    assert peak >= before + 290
    assert now < peak - 200


def test_a_small_process_of_a_fat_parent_is_small() -> None:
    ballast = np.ones(40_000_000, np.float64)
    script = READ + "print(peak_rss_mb())"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=PATIENCE_S
    )
    assert peak_rss_mb() > ballast.nbytes / 1e6 > 300
    assert float(done.stdout) < 150


def test_the_present_is_no_more_than_the_peak() -> None:
    assert 10 < rss_mb() <= peak_rss_mb() + 1
