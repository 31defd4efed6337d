"""Attacks by the machine itself: disturbances that come back, warm-ups that never end, and noise of one cell alone.

The trials are simulated, with the order, the statistics and the warm-up test that measurements use: a machine that is
disturbed on purpose would need hours for as many.
"""

from __future__ import annotations

from collections.abc import Mapping

from kokoro_lab.benchmarks.self_test_parts import CheckOutcome, CheckSetup, SelfTestCheck
from kokoro_lab.benchmarks.simulation import kind_row
from kokoro_lab.measure.block.steady import is_steady

__all__ = ["CHECKS"]

TRIALS = 400

PERIODIC = tuple((f"period of {period} blocks", blocks) for period in (3, 4, 5) for blocks in (6, 12))
"""Those that gave up to 20 % of wrong verdicts when one coin decided the order of two rounds."""

UNEQUAL = (
    ("one-sided noise of one cell, 30 %", 24),
    ("one-sided noise of one cell, 30 %", 40),
    ("unlucky blocks of one cell", 24),
    ("unlucky blocks of one cell", 40),
)
"""Those that gave up to 44 % of wrong verdicts with a test that assumes symmetric noise."""

CALLS = 40


def _trials(what: str, kinds: tuple[tuple[str, int], ...]) -> CheckOutcome:
    rows = [kind_row(kind, TRIALS, cells=2, blocks=blocks) for kind, blocks in kinds]
    worst = max(rows, key=lambda row: row["false_effects"])
    finding = (
        f"With {what}, at most {worst['false_effects']} of {TRIALS} comparisons of a cell with its like were called "
        f"faster or slower ({worst['kind']}, {worst['blocks']} blocks); {worst['limit']} are allowed."
    )
    verdict = all(row["honest"] for row in rows)
    return CheckOutcome("shown" if verdict else "failed", finding, 0, details={"rows": rows})


def _periodic(setup: CheckSetup) -> CheckOutcome:
    return _trials("a machine that is 10 % slower every few blocks", PERIODIC)


def _one_sided(setup: CheckSetup) -> CheckOutcome:
    return _trials("delays of one cell alone that leave the median ratio at 1", UNEQUAL)


def _warm_up(setup: CheckSetup) -> CheckOutcome:
    warm_ups = {
        "a ramp of 1 % per call": [100.0 * 1.01**call for call in range(CALLS)],
        "calls that get 1 % faster each": [100.0 * 0.99**call for call in range(CALLS)],
        "every second call twice as long": [100.0 if call % 2 else 200.0 for call in range(CALLS)],
        "every third call twice as long": [100.0 if call % 3 else 200.0 for call in range(CALLS)],
    }
    fooled = {
        name: calls
        for name, times in warm_ups.items()
        if (calls := next((calls for calls in range(1, CALLS + 1) if is_steady(times[:calls])), 0))
    }
    if fooled:
        words = "; ".join(f"{name} after {calls} calls" for name, calls in fooled.items())
        return CheckOutcome("failed", f"These were called steady: {words}.", 0, details=fooled)
    finding = f"None of these was called steady in {CALLS} calls: {', '.join(warm_ups)}."
    return CheckOutcome("shown", finding, 0)


CHECKS: Mapping[str, SelfTestCheck] = {
    "periodic-disturbance": SelfTestCheck(
        "a disturbance that comes back every few blocks makes no effect", 0, _periodic
    ),
    "one-sided-noise": SelfTestCheck(
        "delays of one cell alone make no effect where the median ratio is 1", 0, _one_sided
    ),
    "warm-up": SelfTestCheck("calls that still change are not called steady", 0, _warm_up),
}
