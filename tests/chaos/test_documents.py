"""A sample of the attacks with mutated documents; the full numbers are in the slow tests and in `make chaos`."""

from __future__ import annotations

import random
import warnings
from pathlib import Path

import pytest
import yaml

from chaos.attack import Attack
from chaos.attacks import documents
from chaos.attacks.documents import ATTACKS, Reader
from chaos.document_mutation import structures, texts
from kokoro_lab.errors import InputError, ModelError


@pytest.fixture(autouse=True)
def _warnings_of_nbformat() -> None:
    warnings.filterwarnings("ignore", module="nbformat|papermill")


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_a_sample_of_mutated_documents_is_read_or_refused(attack: Attack, tmp_path: Path) -> None:
    outcome = attack.run(min(attack.short, 100), 1, tmp_path)
    assert outcome.failures == ()
    assert outcome.tries == min(attack.short, 100)


@pytest.mark.slow
@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_mutated_documents_are_read_or_refused(attack: Attack, tmp_path: Path) -> None:
    assert attack.run(attack.full, 2, tmp_path).failures == ()


def test_the_mutations_reach_the_readers_and_differ() -> None:
    source = {"name": "a", "parts": [{"x": 1, "y": [2, 3]}, {"x": "é"}]}
    text = yaml.safe_dump(source).encode()
    changed = [structures(source, random.Random(seed)) for seed in range(200)]
    assert sum(each != source for each in changed) > 150
    assert sum(isinstance(each, dict) and "parts" in each for each in changed) > 100
    assert len({texts(text, random.Random(seed)) for seed in range(200)}) > 150


@pytest.mark.parametrize(
    ("read", "words"),
    [
        (lambda data: {}["x"], "KeyError: 'x'"),
        (lambda data: (_ for _ in ()).throw(InputError("1 validation error for Plan")), "has 'validation error for'"),
        (lambda data: (_ for _ in ()).throw(ModelError("cannot be read; try again")), "has exit code 5"),
        (lambda data: (_ for _ in ()).throw(InputError("x" * 9_000)), "9,000 characters"),
        (lambda data: sum(range(10**6)), "it took"),
    ],
)
def test_what_a_reader_must_not_do_is_a_failure(
    read: object, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(documents, "LONGEST_S", 0.001)
    reader = Reader("thing", ({"a": 1},), read)  # type: ignore[arg-type]
    assert words in documents._complaint(reader, b"")
