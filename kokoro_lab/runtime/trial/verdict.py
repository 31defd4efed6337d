"""What a model file may take when it is tried, and what may come of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["TrialLimits", "Verdict"]


@dataclass(frozen=True)
class TrialLimits:
    """What a file may take. A Kokoro file of 330 MB opens and answers within 3 s and 0.9 GB."""

    seconds: float
    """Of processor time; the wall may take three times as long, on a busy machine."""
    bytes: int
    """Of address space beyond what the process has before."""

    @classmethod
    def of(cls, size: int) -> TrialLimits:
        """The limits of a file of that many bytes."""
        return cls(seconds=10 + size / 10e6, bytes=(1 << 30) + 3 * size)


@dataclass(frozen=True)
class Verdict:
    """What came of a trial."""

    kind: Literal["harmless", "refused", "crashed", "hung", "memory"]
    """refused: by our own reader, which will refuse it again."""
    detail: str = ""
