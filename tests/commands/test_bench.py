"""`kokoro-lab bench` from the command line: rows in the tables, exit codes by targets, the older spellings."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from command_line import Cli

from kokoro_lab.benchmarks.peer_bench import TABLE, read_table
from kokoro_lab.measure.peers import environments
from kokoro_lab.measure.peers.environment_recipes import recipe
from kokoro_lab.measure.peers.environments import MARKER, environments_folder
from kokoro_lab.models.catalog import resolve
from kokoro_lab.store import Store
from kokoro_lab.variants.make import make
from kokoro_lab.variants.model_verification import ensure_verified


@pytest.fixture
def peer_environment(cli: Cli) -> None:
    """This installation, which has kokoro-onnx, in the place of an environment of its own."""
    folder = environments_folder() / "kokoro-onnx"
    python = environments._python_in(folder)
    python.parent.mkdir(parents=True, exist_ok=True)
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    mark = {"recipe_sha256": recipe("kokoro-onnx").sha256, "installed_at": "2026-11-20"}
    (folder / MARKER).write_text(json.dumps(mark))


@pytest.mark.parametrize(
    "words",
    [
        *[("bench", name) for name in ("engine", "kernels", "models", "peers", "endurance")],
        *[("models", "bench"), ("bench-peers",)],
    ],
)
def test_every_benchmark_has_a_run_id_a_budget_and_blocks(cli: Cli, words: tuple[str, ...]) -> None:
    helped = cli(*words, "--help")
    assert helped.code == 0
    assert all(option in helped.out for option in ("--run-id", "--budget", "--blocks", "--json"))


def test_a_benchmark_of_models_is_stored_shown_judged_and_continued(cli: Cli) -> None:
    resolve("tiny")
    (made,) = make("tiny", "optimized")
    ensure_verified(made)
    words = ("tiny-optimized", "--base", "tiny", "--tokens", "16", "--blocks", "1", "--json")
    first = cli("bench", "models", *words, "--run-id", "r")
    assert first.code in (1, 3)  # one pair has no interval, so the target on speed is open or missed
    assert "tiny-optimized speed at 16 tokens" in first.err
    rows = {row["figure"]: row for row in first.document["rows"]}
    assert set(rows) == {"speed", "memory", "load"}
    assert (rows["speed"]["contestant"], rows["speed"]["pairs"], rows["speed"]["gate"]) == (
        *("tiny-optimized", 1),
        "equivalent",
    )
    assert rows["memory"]["value"] > 50
    assert (first.document["run_id"], first.document["blocks"]) == ("r", 2)
    again = cli("models", "bench", *words, "--keep", "r")
    shown = [{**printed.document, "profiles": None} for printed in (first, again)]  # a profile is of this very call
    assert shown[0] == shown[1], "the earlier spelling names the same run, and nothing is measured again"
    (listed,) = cli("results", "list", "--json").document["runs"]
    assert (listed["run_id"], listed["plan"], listed["notebooks"]) == ("r", "bench", ["bench_models"])
    samples = cli("results", "show", "samples", "--run", "r", "--json").document["rows"]
    assert {(row["model"], row["text_preset"]) for row in samples} == {
        ("tiny", "16-tokens"),
        ("tiny-optimized", "16-tokens"),
    }
    ids = {row["model"]: row["cell_id"] for row in samples}
    compared = cli("compare", ids["tiny"], ids["tiny-optimized"], "--run", "r", "--use-contaminated", "--json")
    assert compared.document["rows"][0]["ratio"] == pytest.approx(1 / rows["speed"]["ratio"])


def test_what_cannot_be_asked_for_ends_with_2(cli: Cli) -> None:
    assert "17" in cli("bench", "models", "tiny", "--base", "tiny", "--tokens", "17").err
    for words in (
        ("models", "tiny", "--base", "tiny", "--tokens", "all"),
        ("kernels", "--model", "tiny", "--precision", "fp8"),
        ("kernels", "--model", "tiny", "--clock", "sun"),
        ("endurance", "--model", "tiny", "--precision", "fp8"),
        ("self-test", "faith"),
    ):
        assert cli("bench", *words).code == 2, words


def test_without_kernels_nothing_is_measured(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KOKORO_KERNELS", "off")
    for words in (("kernels",), ("endurance", "--precision", "int16")):
        ended = cli("bench", *words, "--model", "tiny")
        assert (ended.code, "no kernels" in ended.err.lower()) == (4, True)


@pytest.mark.slow
def test_the_peers_table_is_stored_beside_its_blocks_and_continued(
    cli: Cli, peer_environment: None, tmp_path: Path
) -> None:
    (environments_folder() / "sherpa-onnx").mkdir()  # one that cannot run: half of it is there
    words = [
        *("--engine", "kokoro-onnx", "--engine", "sherpa-onnx", "--text", "ultra-short", "--text", "hello"),
        *("--model", "tiny", "--rounds", "1", "--threads", "1", "--repeats", "1", "--warmup-cap", "1"),
        *("--no-install", "--use-contaminated", "--run-id", "r", "--json"),
    ]
    document = cli("bench", "peers", *words).document
    assert document == read_table("r") == read_table()
    assert (tmp_path / "results" / "runs" / "r" / TABLE).is_file()
    assert document["model"]["architecture"] == "tiny"
    rows = {(row["engine"], row["figure"], row["text"]): row for row in document["rows"]}
    assert rows["kokoro-onnx", "RTF", "hello"]["ratio"] > 0
    assert rows["kokoro-onnx", "RTF", "hello"]["gate"] == "equivalent"
    assert "sherpa-onnx' is incomplete" in rows["sherpa-onnx", "RTF", "hello"]["note"]
    assert len(Store(tmp_path / "results" / "tables").done("r")) == document["blocks"] == 12
    assert cli("bench-peers", *words).document["rows"] == document["rows"], "what is done is not measured again"


@pytest.mark.slow
def test_the_engines_benchmark_has_every_figure(cli: Cli, peer_environment: None) -> None:
    ended = cli(*("bench", "engine", "--model", "tiny", "--blocks", "1", "--requests", "50", "--warm", "2", "--json"))
    assert ended.code in (1, 3)
    rows = {row["figure"]: row for row in ended.document["rows"]}
    assert all(row["value"] is not None for row in rows.values())
    assert rows["cache hit, p95"]["note"] == "1 process; at least 6 are required"
    assert all(row["ratio"] for row in rows.values() if row["base"])
    assert rows["words of the first segment"]["state"] == "met"
