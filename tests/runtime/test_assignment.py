"""What a share of nodes means."""

from __future__ import annotations

import pytest

from kokoro_lab.runtime.assignment import ProviderShare, judge


@pytest.mark.parametrize(
    ("shares", "status", "share", "effective"),
    [
        ([("A", 10)], "ok", 1.0, "A"),
        ([("CPU", 6), ("A", 2)], "partial", 0.25, "CPU"),
        ([("CPU", 10)], "unavailable", 0.0, "CPU"),
        ([], "unavailable", 0.0, ""),
    ],
)
def test_a_provider_is_judged_by_the_nodes_it_took(
    shares: list[tuple[str, int]], status: str, share: float, effective: str
) -> None:
    reading = judge("A", [ProviderShare(*pair) for pair in shares])
    assert (reading.status, reading.share, reading.effective) == (status, share, effective)
    assert reading.nodes == dict(shares)
