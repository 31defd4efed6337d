"""Damaged files of other people: a sample of what `make chaos` tries, and that the fuzzer counts failures."""

from __future__ import annotations

import random
import zipfile
from io import BytesIO
from pathlib import Path

import pytest

from chaos import fuzzing
from chaos.attack import Attack
from chaos.attacks import checkpoints, onnx_files, voices
from chaos.fuzzing import fuzz
from chaos.mutation import mutate, mutate_zip


def test_every_way_to_fail_is_counted_with_what_repeats_it(tmp_path: Path) -> None:
    outcome = fuzz("failing_target", 8, 4, tmp_path)
    assert outcome.tries == 8
    expected = {
        "try 1: ValueError: not one of ours (failing_target.py",
        "try 2: it ended the process (3)",
        "try 3: a message without advice",
        "try 4: it took 2.",
        "try 5: it took 12",  # MiB
    }
    for words in expected:
        assert any(failure.startswith(f"seed 4, {words}") for failure in outcome.failures)
    assert {failure.split(":")[0] for failure in outcome.failures} == {f"seed 4, try {n}" for n in range(1, 6)}
    assert outcome.hits == {"read": 4, "failed": 1, "refused with ModelError": 2}


@pytest.mark.slow
def test_a_try_that_does_not_end_is_a_failure_and_the_rest_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fuzzing, "HANG_S", 45.0)
    (tmp_path / "tries").write_bytes(bytes(8))  # the next try sleeps
    outcome = fuzz("failing_target", 3, 4, tmp_path)
    assert outcome.failures == ("seed 4, try 0: it hung (-9)",)
    assert outcome.hits == {"read": 2}


def test_damage_can_be_repeated_and_nearly_always_changes_something() -> None:
    stream = BytesIO()
    with zipfile.ZipFile(stream, "w") as entries:
        for name in ("a.npy", "b.npy"):
            entries.writestr(name, bytes(range(256)) * 4)
    data = stream.getvalue()
    for change in (mutate, mutate_zip):
        damaged = [change(data, random.Random(seed)) for seed in range(300)]
        assert damaged == [change(data, random.Random(seed)) for seed in range(300)]
        assert len(set(damaged)) > 200
        assert max(map(len, damaged)) < 1 << 22
    for empty in (b"", b"x"):
        for seed in range(100):
            mutate(empty, random.Random(seed))
            mutate_zip(empty, random.Random(seed))


NAMES = ("voices", "checkpoints", "onnx-files")


@pytest.mark.parametrize(
    ("attack", "tries"), [(voices.ATTACK, 150), (checkpoints.ATTACK, 150), (onnx_files.ATTACK, 20)], ids=NAMES
)
def test_a_sample_of_damaged_files_is_read_or_refused(attack: Attack, tries: int, tmp_path: Path) -> None:
    assert attack.run(tries, 1, tmp_path).failures == ()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("attack", "tries"), [(voices.ATTACK, 5000), (checkpoints.ATTACK, 5000), (onnx_files.ATTACK, 500)], ids=NAMES
)
def test_thousands_of_damaged_files_are_read_or_refused(attack: Attack, tries: int, tmp_path: Path) -> None:
    assert attack.run(tries, 2, tmp_path).failures == ()
