"""The instrument's self-test: checks on this machine, with the tiny model and real processes, that it can be trusted.

Each check creates a situation whose true result is known, and compares it with the instrument's result. A decided check
is stored, and a run that is named again continues with the others.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from kokoro_lab.benchmarks import self_test_parts
from kokoro_lab.benchmarks.attacks import (
    audio_attacks,
    claim_attacks,
    headline_attacks,
    identity_attacks,
    order_attacks,
    tampering_attacks,
)
from kokoro_lab.benchmarks.self_test_parts import CheckOutcome, CheckSetup, SelfTestCheck
from kokoro_lab.errors import InputError
from kokoro_lab.field_checks import as_record
from kokoro_lab.files.documents import read_json
from kokoro_lab.files.writing import make_folder, write_text

__all__ = ["MACHINE_NOISE", "SelfTest", "check_names", "outcomes"]

BLOCK_S = 0.9
"""Duration of a block of the tiny model on two quiet cores, s; only for the estimate."""

MACHINE_NOISE = Path("tests/benchmarks/machine_noise.json")
"""Path of the stored noise of the machine on which this package is developed."""

PARTS = (
    self_test_parts,
    identity_attacks,
    tampering_attacks,
    audio_attacks,
    claim_attacks,
    headline_attacks,
    order_attacks,
)
"""Modules with CHECKS, in the order in which they run."""

LEAST_BUDGET_S = 0.1
OUTCOME = "check.json"
RING = 5  # replicas; with two, the A/A pairs need twice as many blocks


@dataclass(frozen=True)
class SelfTest:
    """Options of the self-test."""

    folder: Path
    """Folder of the run, with a folder for each check."""
    budget_s: float = 1800.0
    """Time limit for all checks together, s."""
    trials: int = 100
    """Number of A/A pairs."""
    replicas: int = RING
    """Copies of the A/A cell; with 2, no block serves two pairs."""
    noise_out: Path | None = None
    """File that the block noise is written to; None: not written."""


def all_checks() -> dict[str, SelfTestCheck]:
    """Every check by its name."""
    return {name: check for part in PARTS for name, check in part.CHECKS.items()}


def check_names(chosen: Sequence[str] = ()) -> list[str]:
    """The chosen checks in their order, by default all of them. Raises InputError for an unknown name."""
    checks = all_checks()
    if unknown := sorted(set(chosen) - set(checks)):
        raise InputError(f"unknown check {', '.join(unknown)}; choose from {', '.join(checks)}")
    return [name for name in checks if not chosen or name in chosen]


def outcomes(
    names: Sequence[str], test: SelfTest, *, notice: Callable[[str], None], progress: Callable[[str, int, int], None]
) -> list[CheckOutcome]:
    """Results of these checks; checks that an earlier call decided are read from their files, the others are run.

    progress: called with the name of a check and its numbers of finished and planned blocks.
    """
    began = time.monotonic()
    results: dict[str, CheckOutcome] = {}
    for name in names:
        file = test.folder / name / OUTCOME
        # The stored result lacks the noise, so the check runs again, on the stored blocks.
        if file.exists() and not (name == "aa" and test.noise_out):
            results[name] = as_record(CheckOutcome, read_json(file, what="outcome"), what=f"outcome {file}")
    missing = [name for name in names if name not in results]
    blocks = sum(_blocks(name, test) for name in missing)
    minutes = blocks * BLOCK_S / 60
    notice(f"{len(missing)} checks, about {blocks:.0f} blocks, {minutes:.0f} minutes on a quiet machine")
    for name in missing:
        notice(f"{name}: {all_checks()[name].claim}")
        setup = CheckSetup(
            test.folder / name,
            budget_s=max(LEAST_BUDGET_S, test.budget_s - (time.monotonic() - began)),
            trials=test.trials,
            replicas=test.replicas,
            noise_out=test.noise_out,
            tell=partial(progress, name),
        )
        results[name] = _checked(name, setup)
        notice(f"{name}: {results[name].verdict}; {results[name].finding}")
        if results[name].verdict != "undecided":
            text = json.dumps(dataclasses.asdict(results[name])) + "\n"
            write_text(test.folder / name / OUTCOME, text)
    return [results[name] for name in names]


def _blocks(name: str, test: SelfTest) -> float:
    share = test.trials / 100 * (2 if test.replicas == 2 else 1) if name in ("aa", "shared-aa") else 1.0
    return all_checks()[name].blocks * share


def _checked(name: str, setup: CheckSetup) -> CheckOutcome:
    began = time.monotonic()
    make_folder(setup.folder)
    outcome = all_checks()[name].show(setup)
    return dataclasses.replace(outcome, check=name, seconds=round(time.monotonic() - began, 1))
