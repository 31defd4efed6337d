"""Units that several rooms count in."""

from __future__ import annotations

__all__ = ["FRAME_SAMPLES", "LONGEST_S", "MB", "MIB", "SAMPLE_BYTES", "SAMPLE_RATE", "SILENT_DBFS"]

SAMPLE_RATE = 24_000  # Hz, what the model speaks at
FRAME_SAMPLES = 600  # samples of one duration frame: 25 ms
SAMPLE_BYTES = 4  # float32
SILENT_DBFS = -60.0  # RMS under which a rendering counts as silent
LONGEST_S = 30 * 86_400.0  # seconds that a time limit may have; where there is none, it is this
MB = 10**6  # bytes
MIB = 2**20  # bytes
