"""The message of a command when a package of the extra `lab`, or any other package, is not installed."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import pytest

from kokoro_lab import cli
from kokoro_lab.commands import doctor

WITHOUT = """
import sys
sys.modules[sys.argv[1]] = None  # importing it then fails as if it were not installed
from kokoro_lab.cli import run
sys.exit(run(sys.argv[2:]))
"""


def _without(missing: str, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", WITHOUT, missing, *command], capture_output=True, text=True)


@pytest.mark.parametrize("missing", ["pandas", "pyarrow", "deltalake"])
def test_a_missing_package_of_the_lab_is_wrong_usage_and_names_the_extra(missing: str) -> None:
    done = _without(missing, "compare", "a", "b")
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.count("\n") == 1 and "pip install 'kokoro-lab[lab]'" in done.stderr


def test_any_other_missing_package_is_not_blamed_on_the_lab() -> None:
    done = _without("filelock", "compare", "a", "b")
    assert done.returncode == 5
    assert "filelock" in done.stderr and "lab]" not in done.stderr


def test_doctor_lets_the_engine_do_without_the_lab(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in cli.LAB_MODULES else find(name))
    state = {finding.what: finding for finding in doctor.findings()}["notebooks"]
    assert state.state == "limited" and "pip install 'kokoro-lab[lab]'" in state.detail
