"""Options that no command can use: exit code 2, one sentence, and nothing unexpected in it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kokoro_lab.cli import run

LONG = "x" * 5_000
SAY = ("say", "Hi.", "-o", "speech.wav", "--model", "tiny")
DRY = ("sweep", "quick", "--dry-run", "--model", "tiny")
BENCH = [("bench", name) for name in ("engine", "models", "kernels", "peers", "self-test", "endurance")]
CASES: list[tuple[str, ...]] = [
    *((*SAY, "--speed", speed) for speed in ("0", "-1", "nan", "inf", "1e400", "0.1", "9", "abc", "")),
    *((*SAY, "--voice", voice) for voice in ("nosuch", "", LONG, "../../x", "/dev/null", "/tmp")),
    *((*SAY, "--lang", lang) for lang in ("xx", LONG, "../")),
    *((*SAY, "--provider", provider) for provider in ("xx", "", LONG)),
    *(("say", "Hi.", "-o", "x.wav", "--model", model) for model in ("nosuch", "", LONG, "../../x", "/tmp", "\x1b[31m")),
    ("say", "Hi.", "-o", "x.xyz", "--model", "tiny"),
    ("say", "", "-o", "x.wav", "--model", "tiny"),
    *((*DRY, "--run-id", run_id) for run_id in ("../x", ".", "..", "a/b", "/abs", LONG, "a\nb", "nul\t", "ünï", " a")),
    *(("sweep", "quick", "--dry-run", "--model", model) for model in ("nosuch", LONG, "/dev/null")),
    *(("sweep", plan, "--dry-run") for plan in ("nosuch", "", LONG, "/dev/null", "/tmp", "/dev/zero", "../x.yaml")),
    ("sweep", "quick", "--dry-run", "--resume"),
    ("sweep", "quick", "--dry-run", "--resume", "--run-id", "nosuch"),
    *(("gate", "--budgets", path) for path in ("nosuch", LONG, "/dev/null", "/tmp", "/dev/zero")),
    *(("bench", "simulation", path) for path in ("nosuch.json", "/dev/zero", "/tmp", LONG)),
    *(("bench", "simulation", "noise.json", "--trials", count) for count in ("0", "-1", "x", "1" * 400)),
    *(("bench", "simulation", "noise.json", "--sd", shares) for shares in ("x", "nan", "-1", "inf")),
    *(("bench", "simulation", "noise.json", "--block-s", length) for length in ("x", "nan", "-1", "inf", "1e-300")),
    *((*bench, "--budget-s", limit) for bench in BENCH for limit in ("nan", "-1", "0", "inf", "1e300", "x")),
    *(("bench", name, "--threads", "-1") for name in ("engine", "models", "kernels", "peers", "endurance")),
    *(("bench", name, "--blocks", count) for name in ("engine", "models", "kernels") for count in ("0", "x", "1" * 30)),
]


@pytest.fixture
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    home = tmp_path_factory.getbasetemp() / "hostile-options-home"  # one for all cases: the tiny model is built once
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KOKORO_LAB_HOME", str(home))
    monkeypatch.setenv("KOKORO_LAB_RESULTS", str(tmp_path / "results"))
    Path("noise.json").write_text(json.dumps({"block_sd": 0.02, "block_s": 1.5}))


@pytest.mark.usefixtures("_folder")
@pytest.mark.parametrize("arguments", CASES, ids=lambda arguments: " ".join(each[:20] for each in arguments).encode())
def test_an_option_that_cannot_be_used_is_refused_in_one_sentence(
    arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(Path().rglob("*"))
    assert run(arguments) == 2
    said = capsys.readouterr()
    (sentence,) = [line for line in said.err.splitlines() if line.startswith("kokoro-lab: ")]
    assert "nexpected" not in said.err and "Traceback" not in said.err
    assert sentence.endswith(".") and len(sentence) < 1_000
    assert said.out == "" and sorted(Path().rglob("*")) == before
