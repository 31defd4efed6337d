"""The command line: documents on standard output, messages on standard error, exit codes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from kokoro_lab.cli import run

COMMAND = (sys.executable, "-c", "from kokoro_lab.cli import main; main()")


class Said(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        return json.loads(self.out)


Cli = Callable[..., Said]


@pytest.fixture(scope="module")
def models_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture
def cli(tmp_path: Path, models_home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    monkeypatch.setenv("KOKORO_LAB_HOME", str(models_home))
    monkeypatch.setenv("KOKORO_LAB_RESULTS", str(tmp_path / "results"))
    monkeypatch.setenv("KOKORO_MODEL", "tiny")

    def cli(*arguments: str | Path) -> Said:
        capsys.readouterr()
        code = run([str(argument) for argument in arguments])
        return Said(code, *capsys.readouterr())

    return cli


def _cpu_seconds_of_children() -> float:
    """Processor time, which a busy machine does not stretch as it does wall time."""
    used = os.times()
    return used.children_user + used.children_system


def test_help_is_quick_and_loads_nothing_heavy() -> None:
    probe = (
        "import sys; from kokoro_lab.cli import run; run(['--help']);"
        "print([m for m in ('numpy', 'onnxruntime', 'pandas', 'pyarrow', 'spacy', 'rich.console') if m in sys.modules])"
    )
    before = _cpu_seconds_of_children()
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    assert _cpu_seconds_of_children() - before < 5, "half a second on a quiet machine"
    for command in ("say", "voices", "providers", "doctor", "models", "sweep", "results", "compare", "gate", "report"):
        assert f"\n  {command} " in done.stdout


def test_say_writes_a_file_and_tells_what_it_took(cli: Cli, tmp_path: Path) -> None:
    said = cli("say", "Hello world!", "-o", tmp_path / "hello.wav", "--json")
    assert said.code == 0
    document = said.document
    assert (tmp_path / "hello.wav").stat().st_size > 44
    assert document["phonemes"] and len(document["tokens"]) > 5
    assert document["chosen"]["why"] == "it was requested"
    assert "Speaking with tiny: it was requested" in said.err
    timings = document["timings_ms"]
    assert sum(ms for stage, ms in timings.items() if stage != "total") == pytest.approx(timings["total"], rel=0.02)
    assert document["rtf"] == pytest.approx(timings["total"] / 1000 / document["speech_s"])
    assert (document["model"]["weights"], document["model"]["architecture"]) == ("stand-in", "tiny")
    assert document["provider"]["status"] == "ok" and sum(document["provider"]["nodes"].values()) > 100
    assert "seeded weights" in said.err


def test_say_takes_standard_input_and_streams(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = tmp_path / "text"
    text.write_text("One sentence. And another one that is a little longer than the first.", encoding="utf-8")
    with text.open() as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        said = cli("say", "-", "-o", tmp_path / "a.flac", "--stream", "--json")
    assert said.code == 0, said.err
    document = said.document
    arrivals = [chunk["arrived_ms"] for chunk in document["chunks"]]
    assert arrivals == sorted(arrivals) and document["first_chunk_ms"] == arrivals[0]
    assert sum(chunk["samples"] for chunk in document["chunks"]) / 24_000 == pytest.approx(document["audio_s"])
    assert (tmp_path / "a.flac").exists()


def test_without_json_standard_output_stays_empty(cli: Cli, tmp_path: Path) -> None:
    said = cli("say", "Hi", "-o", tmp_path / "a.wav")
    assert (said.code, said.out) == (0, "") and "RTF" in said.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("say", "  ", "-o", "a.wav"), "text"),
        (("say", "Hi", "-o", "a.wav", "--voice", "en_jane"), "en_jane"),
        (("say", "Hi", "-o", "a.wav", "--lang", "klingon"), "klingon"),
        (("say", "Hi", "-o", "a.wav", "--speed", "9"), "speed"),
        (("say", "Hi", "-o", "a.wav", "--model", "huge"), "huge"),
        (("say", "Hi", "-o", "a.xyz"), "xyz"),
        (("say", "Hi"), "--output"),
        (("sing",), "sing"),
        (("models", "build", "huge"), "huge"),
        (("results", "show", "sample"), "samples, cells"),
        (("sweep", "nonsense"), "Unknown plan nonsense"),
        (("sweep", "ci", "--run-id", "../up"), "run id"),
        (("sweep", "ci", "--resume"), "run of plan ci under"),
    ],
)
def test_wrong_usage_or_input_is_one_sentence_and_exit_2(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    said = cli(*arguments)
    assert (said.code, said.out) == (2, "")
    last = said.err.splitlines()[-1]
    assert words in last and last.startswith("kokoro-lab: ") and "Traceback" not in said.err
    assert list(tmp_path.glob("a.*")) == []


def test_an_unavailable_provider_is_exit_5(cli: Cli, tmp_path: Path) -> None:
    said = cli("say", "Hi", "-o", tmp_path / "a.wav", "--provider", "coreml")
    assert said.code in (0, 5) and ("unavailable" in said.err) == (said.code == 5)


def test_debug_adds_the_traceback_wherever_it_stands(cli: Cli) -> None:
    assert "Traceback" in cli("results", "show", "sample", "--debug").err
    assert "Traceback" in cli("--debug", "results", "show", "sample").err


@pytest.mark.parametrize(
    ("arguments", "key"), [(("voices",), "voices"), (("providers",), "providers"), (("doctor",), "checks")]
)
def test_listings_have_a_table_and_a_document(cli: Cli, arguments: tuple[str, ...], key: str) -> None:
    plain, machine = cli(*arguments), cli(*arguments, "--json")
    assert (plain.code, machine.code) == (0, 0)
    assert len(machine.document[key]) > 5
    for row in machine.document[key]:
        assert str(row.get("name") or row["what"]) in plain.out


def test_models_are_listed_before_and_after_they_are_built(cli: Cli, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("KOKORO_LAB_HOME", str(tmp_path / "home"))
    before = {row["name"]: row for row in cli("models", "list", "--json").document["models"]}
    assert {"stand-in", "tiny", "kokoro-v1.0"} <= set(before)
    assert not any(row["installed"] for row in before.values())
    (built,) = cli("models", "build", "tiny", "--json").document["models"]
    after = {row["name"]: row for row in cli("models", "list", "--json").document["models"]}
    assert after["tiny"]["installed"] and after["tiny"]["sha256"] == built["sha256"]
    assert after["stand-in"]["default"] and not after["tiny"]["default"]


def test_doctor_says_what_is_not_there(cli: Cli, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("KOKORO_LAB_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("KOKORO_MODEL")
    checks = {row["what"]: row for row in cli("doctor", "--json").document["checks"]}
    assert checks["model"]["state"] == "limited" and "built on first use" in checks["model"]["detail"]
    assert checks["tuned model"]["detail"] == "not tuned: stand-in is not installed yet"
    assert "models optimize" in checks["pre-optimised"]["detail"]
    for what in ("python", "onnxruntime", "espeak", "en_core_web_sm", "compiler", "disk", "cores", "governor"):
        assert checks[what]["detail"]
    assert not (tmp_path / "home").exists(), "doctor changes nothing"


def test_results_of_an_empty_store_are_empty_documents(cli: Cli, tmp_path: Path) -> None:
    assert cli("results", "list", "--json").document == {"runs": []}
    shown = cli("results", "show", "samples", "--json").document
    assert shown == {"rows": [], "table": "samples", "version": None, "total": 0}
    assert cli("results", "history", "samples", "--json").document["commits"] == []
    said = cli("results", "list")
    assert said.out == "" and "no runs" in said.err
    assert not (tmp_path / "results").exists()
    assert cli("results", "show", "samples", "--run", "x").code == 4


def test_a_report_of_nothing_is_exit_4(cli: Cli, tmp_path: Path) -> None:
    said = cli("report")
    assert (said.code, said.out) == (4, "") and "sweep" in said.err
    assert not (tmp_path / "results").exists()


def test_a_reader_that_has_enough_is_no_error(models_home: Path) -> None:
    voices = subprocess.Popen([*COMMAND, "voices"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert voices.stdout is not None and voices.stderr is not None
    voices.stdout.close()
    assert voices.stderr.read() == b"" and voices.wait() == 0
    voices.stderr.close()


def test_version(cli: Cli) -> None:
    import kokoro_lab

    assert cli("--version").out.strip() == kokoro_lab.__version__
