"""Each attack fails to fool the instrument, and would succeed without the defence."""

from __future__ import annotations

from pathlib import Path

import pytest

from kokoro_lab.benchmarks.attacks import tampering_attacks
from kokoro_lab.benchmarks.attacks.tampering_attacks import CHECKS
from kokoro_lab.benchmarks.self_test_parts import CheckSetup
from kokoro_lab.store import Store
from kokoro_lab.store.integrity import archives, seal_checks
from kokoro_lab.store.store_reader import StoreReader
from kokoro_lab.sweeps import conclude, current_verdicts

DEFENCES = {
    "tampered-times": [(StoreReader, "altered", lambda self, run_id=None: {})],
    "tampered-import": [
        (archives, "altered_blocks", lambda cells, samples, originals: {}),
        (archives, "verdict_states", lambda verdicts, *_: ["current"] * verdicts.num_rows),
        (Store, "_refuse_differences", lambda self, given: None),
    ],
    "deleted-block": [(current_verdicts, "STALE", {}), (seal_checks, "WRONG_VERDICTS", {})],
    "edited-verdict": [(current_verdicts, "STALE", {})],
    "rerun-until-faster": [(conclude, "number_attempts", lambda store, run_id, pairs: {})],
}


def test_every_attack_has_a_defence_that_is_tried_without() -> None:
    assert DEFENCES.keys() == CHECKS.keys()


@pytest.mark.slow
@pytest.mark.parametrize("name", CHECKS)
def test_the_instrument_is_not_fooled_and_would_be_without_its_defence(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KOKORO_LAB_LOCK", str(tmp_path / "lock"))
    monkeypatch.setattr(tampering_attacks, "TRIALS", 40)
    outcome = CHECKS[name].show(CheckSetup(tmp_path / "with", budget_s=3600.0))
    assert outcome.verdict == "shown", outcome.finding
    for owner, attribute, replacement in DEFENCES[name]:
        monkeypatch.setattr(owner, attribute, replacement)
    outcome = CHECKS[name].show(CheckSetup(tmp_path / "without", budget_s=3600.0))
    assert outcome.verdict == "failed", outcome.finding
