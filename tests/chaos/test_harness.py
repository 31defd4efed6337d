"""The harness finds every attack and counts what fails; a try that fails cannot pass unseen."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from chaos import harness
from chaos.__main__ import main
from chaos.harness import Form, Report, found, run_all
from chaos.robustness_page import page

ATTACKS = Path(__file__).parent / "attacks"

TRIAL = """
import os, time
from chaos.attack import Attack, Outcome

def run(tries, seed, folder):
    {body}

ATTACK = Attack(name={name!r}, what="What is done, and what | must hold.", full=7, short=3, run=run)
"""
BODIES = {
    "stands": "return Outcome(tries, hits={'by day': tries})",
    "fails": "return Outcome(tries, (f'try 2 of seed {seed} failed',))",
    "raises": "raise RuntimeError('the attack itself is broken')",
    "dies": "os.abort()",
    "hangs": "time.sleep(600)",
    "tries_nothing": "return Outcome(0)",
    "skips": "return Outcome(0, skipped='nothing may be mounted')",
}


@pytest.fixture
def trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[ModuleType]:
    """A package of attacks that do what `BODIES` says."""
    name = f"trial_{request.node.name.partition('[')[0]}"
    folder = tmp_path / "packages" / name
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    for attack, body in BODIES.items():
        (folder / f"{attack}.py").write_text(TRIAL.format(name=attack, body=body))
    monkeypatch.syspath_prepend(str(folder.parent))
    yield importlib.import_module(name)


def test_every_module_of_attacks_is_found_and_says_what_must_hold() -> None:
    modules = {f"chaos.attacks.{path.stem}" for path in ATTACKS.glob("*.py") if path.name != "__init__.py"}
    assert set(found().values()) == modules
    for module in modules:
        for attack in harness._attacks(module):
            assert 0 < attack.short <= attack.full, attack.name
            assert len(attack.what.split()) > 5, attack.name


def test_every_kind_of_failure_is_counted(trial: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    report = run_all(["fails", "raises", "dies", "tries_nothing"], Form(short=True), seed=5, package=trial)
    monkeypatch.setattr(harness, "LIMIT_S", {True: 2.0, False: 2.0})  # a busy machine may reach it with any attack
    hung = run_all(["hangs"], Form(short=True), seed=5, package=trial)
    by_name = {result.name: result for result in report.results + hung.results}
    assert by_name["fails"].failures == ("try 2 of seed 5 failed",)
    assert "ended with code 1 and no outcome" in by_name["raises"].failures[0]
    assert "ended with code -6" in by_name["dies"].failures[0]
    assert "ended after 2 s" in by_name["hangs"].failures[0]
    assert not any(result.stood for result in by_name.values())


def test_the_exit_code_is_0_only_when_nothing_failed(
    trial: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept, written = tmp_path / "build" / "chaos.json", tmp_path / "page.md"
    assert main(["--only", "stands", "skips", "--json", str(kept), "--write", str(written)], trial) == 0
    assert json.loads(kept.read_text())["stood"] is True
    assert main(["--only", "stands", "fails", "--seed", "9", "--json", str(kept)], trial) == 1
    printed = capsys.readouterr().out
    assert "FAILED fails (--only fails --seed 9): try 2 of seed 9 failed" in printed
    assert "skipped: nothing may be mounted" in printed
    assert json.loads(kept.read_text())["stood"] is False
    assert main(["--only", "tries_nothing", "--json", str(kept)], trial) == 1
    with pytest.raises(SystemExit, match="2"):
        main(["--only", "nosuch"], trial)
    assert "unknown attack nosuch" in capsys.readouterr().err
    assert "| 7 | 0 |" in written.read_text()


def test_the_short_form_takes_the_short_counts(trial: ModuleType) -> None:
    (short,) = run_all(["stands"], Form(short=True), seed=1, package=trial).results
    (full,) = run_all(["stands"], Form(), seed=1, package=trial).results
    (given,) = run_all(["stands"], Form(tries=5), seed=1, package=trial).results
    assert (short.tries, full.tries, given.tries) == (3, 7, 5)


def test_a_module_without_an_attack_and_a_name_used_twice_are_refused(trial: ModuleType) -> None:
    folder = Path(trial.__path__[0])
    (folder / "twin.py").write_text(TRIAL.format(name="stands", body=BODIES["stands"]))
    with pytest.raises(ValueError, match="both have an attack 'stands'"):
        found(trial)
    (folder / "twin.py").write_text("")
    (folder / "empty.py").write_text("")
    with pytest.raises(ValueError, match="empty has neither ATTACK nor ATTACKS"):
        found(trial)


def test_the_page_shows_every_attack_and_the_report_survives_json(trial: ModuleType) -> None:
    report = run_all(["stands", "fails", "skips"], Form(), seed=20, package=trial)
    assert Report.from_dict(json.loads(json.dumps(report.as_dict()))) == report
    text = page(report)
    assert "**14 attempts, 1 failures**" in text and "seed 20" in text
    assert "| stands | What is done, and what \\| must hold. | 7 | 0 |" in text
    assert "**Not run: nothing may be mounted.**" in text
    assert "| stands | by day: 7 |" in text
    assert report.machine["processor"] in text and report.date in text
