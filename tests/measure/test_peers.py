"""Peers speak the same weights, voice and phonemes as we do, and the table says what may be said of them."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnxruntime
import pytest

from kokoro_lab import Engine, EngineConfig
from kokoro_lab.audio.compare import gate
from kokoro_lab.commands.bench_peers import bench_peers
from kokoro_lab.errors import KokoroLabError, SettingError
from kokoro_lab.measure import environments, peers
from kokoro_lab.measure.adapters import adapter_for
from kokoro_lab.measure.adapters.engine import Manifest, PeerEngine
from kokoro_lab.measure.calls import _spaced
from kokoro_lab.measure.cell import Block, BlockResult, Cell, GateReading, QuietReading, Repeat
from kokoro_lab.measure.environments import MARK, environments_folder
from kokoro_lab.measure.launch import launch
from kokoro_lab.measure.peertable import ALL, OURS, PeerRow, peer_cells, peer_rows
from kokoro_lab.measure.recipes import recipe
from kokoro_lab.models.catalog import resolve
from kokoro_lab.models.voices import load_voice
from kokoro_lab.store import Store

ONE = "Hello world!"
TWO = "Hello world! The train is late."
PEER = Cell("tiny", ONE, environment="kokoro-onnx", intra_op_threads=1, repeats=2, warmup_cap=2)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KOKORO_LAB_HOME", str(folder))
        yield folder


@pytest.fixture
def installed(home: Path) -> None:
    """This installation, which has kokoro-onnx, in the place of an environment of its own."""
    folder = environments_folder() / "kokoro-onnx"
    python = environments._python_in(folder)
    python.parent.mkdir(parents=True, exist_ok=True)
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    mark = {"recipe_sha256": recipe("kokoro-onnx").sha256, "installed_at": "2026-11-20"}
    (folder / MARK).write_text(json.dumps(mark))


def ours(text: str) -> np.ndarray:
    with Engine.load(EngineConfig(model="tiny", intra_op_threads=1)) as engine:
        return engine.synthesize(text).samples


@pytest.mark.parametrize("stream", [False, True])
def test_the_peer_speaks_our_samples_bit_for_bit(home: Path, tmp_path: Path, stream: bool) -> None:
    variables = peers.hand_over(PEER, tmp_path)
    manifest = Manifest.read(Path(variables["KOKORO_LAB_PEER"]))
    peer = adapter_for("kokoro-onnx").load(manifest.files, 1)
    assert peer.threads == 1
    heard: list[np.ndarray] = []
    peer.speak([sentence.phonemes for sentence in manifest.utterances[ONE]], 1.0, heard.append, stream=stream)
    peer.close()
    assert np.array_equal(np.concatenate(heard), ours(ONE))


def test_a_peer_that_runs_on_other_threads_than_asked_for_is_refused(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in peers.hand_over(PEER, tmp_path).items():
        monkeypatch.setenv(name, value)
    stubborn = SimpleNamespace(load=lambda files, threads: adapter_for("kokoro-onnx").load(files, 2))
    monkeypatch.setattr("kokoro_lab.measure.adapters.engine.adapter_for", lambda environment: stubborn)
    with pytest.raises(KokoroLabError, match="runs on 2 threads where 1 were asked for"):
        PeerEngine.load(PEER)


def test_two_sentences_are_the_same_speech_but_for_our_fades(installed: None, tmp_path: Path) -> None:
    launched = launch(replace(PEER, text=TWO), tmp_path)
    assert launched.audio is not None
    verdict = gate(ours(TWO), np.load(launched.audio))
    assert verdict.verdict == "equivalent", verdict.reasons


@pytest.mark.parametrize("delivery", ["whole", "stream"])
def test_the_worker_measures_a_peer(installed: None, tmp_path: Path, delivery: str) -> None:
    launched = launch(replace(PEER, delivery=delivery), tmp_path)  # type: ignore[arg-type]
    result = launched.result
    assert (result.status, result.error) == ("ok", "")
    assert len(result.repeats) == 2
    assert result.versions["kokoro-onnx"] == "0.6.1"
    assert result.versions["environment"] == f"kokoro-onnx {recipe('kokoro-onnx').sha256[:12]}"
    assert result.foreign_modules == ()
    assert result.model is not None
    assert (result.model.sha256, result.model.architecture) == (resolve("tiny").sha256, "tiny")
    assert {"spawn", "import", "peer_import", "session", "first_call"} <= set(result.load_ms)
    assert "model" not in result.load_ms  # our own engine was never loaded
    assert result.rss_steady_mb is not None
    assert launched.audio is not None
    audio = np.load(launched.audio)
    assert np.array_equal(audio, ours(ONE))
    for repeat in result.repeats:
        assert repeat.speech_s == pytest.approx(len(audio) / 24_000)
        assert 0 < repeat.ttfa_ms <= repeat.total_ms + 1e3 * repeat.audio_s
        assert repeat.rtf == pytest.approx(repeat.total_ms / 1e3 / repeat.speech_s)


@pytest.mark.parametrize("state", ["cold-process", "cold-session", "cold-shape"])
def test_a_peer_is_measured_in_every_state(installed: None, tmp_path: Path, state: str) -> None:
    result = launch(replace(PEER, state=state), tmp_path).result  # type: ignore[arg-type]
    assert (result.status, result.error) == ("ok", "")
    assert len(result.repeats) == 1
    if state == "cold-process":
        assert result.repeats[0].total_ms > result.load_ms["peer_import"] + result.load_ms["session"]


def test_the_cold_file_is_the_one_that_the_peer_reads(home: Path) -> None:
    assert peers.model_path(PEER) == resolve("tiny").path
    assert peers.model_path(replace(PEER, environment="")) == resolve("tiny").path
    sherpa = peers.model_path(replace(PEER, environment="sherpa-onnx"))
    assert sherpa != resolve("tiny").path
    assert sherpa.is_file()


def test_sherpas_file_is_our_model_with_metadata_behind_it(home: Path) -> None:
    files, model = peers.prepare(replace(PEER, environment="sherpa-onnx"))
    original = resolve("tiny")
    assert Path(files.model).read_bytes().startswith(original.path.read_bytes())
    assert model.sha256 == original.sha256
    session = onnxruntime.InferenceSession(files.model, _quiet(), providers=["CPUExecutionProvider"])
    facts = session.get_modelmeta().custom_metadata_map
    assert (facts["sample_rate"], facts["style_dim"]) == ("24000", "511,1,256")
    assert [port.name for port in session.get_inputs()][:3] == ["tokens", "style", "speed"]


def test_sherpas_row_for_n_tokens_is_ours(home: Path) -> None:
    files, _ = peers.prepare(replace(PEER, environment="sherpa-onnx"))
    rows = np.fromfile(files.voices, "<f4").reshape(511, 256)
    voice = load_voice("af_heart")
    for tokens in (1, 2, 300, 510):
        assert np.array_equal(rows[tokens], voice.style(tokens)[0])


def test_every_symbol_reaches_sherpa(home: Path) -> None:
    files, _ = peers.prepare(replace(PEER, environment="sherpa-onnx"))
    lines = Path(files.vocabulary).read_text(encoding="utf-8").splitlines()
    read = {line[0]: int(line[2:]) for line in lines}
    kokoro, _ = peers.prepare(PEER)
    assert read == json.loads(Path(kokoro.vocabulary).read_text(encoding="utf-8"))["vocab"]


def test_files_are_made_once(home: Path) -> None:
    cell = replace(PEER, environment="sherpa-onnx")
    files, _ = peers.prepare(cell)
    stamp = Path(files.model).stat().st_mtime_ns
    assert peers.prepare(cell)[0] == files
    assert Path(files.model).stat().st_mtime_ns == stamp
    assert not list((home / "peers").glob("*.part"))


def test_a_peer_is_not_measured_with_what_it_cannot_do(installed: None, tmp_path: Path) -> None:
    asked = replace(PEER, provider="cuda", engine_settings=(("primer", False),))
    with pytest.raises(SettingError, match="provider cpu, no engine settings"):
        peers.prepare(asked)
    assert launch(asked, tmp_path).result.status == "unavailable"


def test_upstream_does_not_pretend_to_have_other_weights(home: Path) -> None:
    with pytest.raises(KokoroLabError, match=r"\.pth"):
        peers.prepare(replace(PEER, environment="upstream"))


def test_pauses_stand_between_a_peers_sentences_for_the_gate_alone() -> None:
    pieces = [np.ones(10, np.float32), np.ones(20, np.float32)]
    spaced = _spaced(pieces, [0.01, 0.0])
    assert len(spaced) == 30 + 240
    assert not spaced[10:250].any()
    assert len(_spaced(pieces, [0.01])) == 30, "pieces that are not our sentences get no pauses"


# The table


def block(cell: Cell, number: int, value: float, *, gate: str = "equivalent", noisy: bool = False) -> Block:
    repeats = (Repeat(0, 1e3 * value, 1e3 * value, 1.0, 1.0, value, 0, 0, 0, 0, 0, 0, 100.0, True),)
    result = BlockResult("ok", repeats=repeats, rss_steady_mb=100 * value, rss_peak_mb=200 * value)
    reading = None if cell.reference else GateReading(gate, "ours")  # type: ignore[arg-type]
    return Block(cell, number, 0, number, result, QuietReading(noisy), reading)


def cells(*engines: str) -> list[Cell]:
    return peer_cells("tiny", {"hello": ONE, "long": TWO}, engines, threads=2)


def measured(factor: float, rounds: int = 8, **settings: object) -> list[Block]:
    """Ours takes 1 and a bit, the peer `factor` times as much, with noise that the pairs share."""
    found = []
    for number in range(rounds):
        for cell in cells("kokoro-onnx"):
            base = 1.0 + 0.1 * (number % 3)
            jitter = 1.0 + 0.001 * number
            value = base * factor * jitter if cell.environment else base
            found.append(block(cell, number, value, **(settings if cell.environment else {})))  # type: ignore[arg-type]
    return found


def row(rows: list[PeerRow], engine: str, figure: str, text: str | None = None) -> PeerRow:
    (found,) = [one for one in rows if (one.engine, one.figure) == (engine, figure) and text in (None, one.text)]
    return found


def test_every_engine_gets_the_same_texts_states_and_threads() -> None:
    made = cells("kokoro-onnx", "sherpa-onnx")
    assert len({cell.id for cell in made}) == len(made)
    kinds = {}
    for cell in made:
        key = (cell.text_preset, cell.state, cell.delivery, cell.intra_op_threads, cell.voice, cell.repeats)
        kinds.setdefault(cell.environment, set()).add(key)
    assert kinds[""] == kinds["kokoro-onnx"] == kinds["sherpa-onnx"]
    assert [cell.environment for cell in made if cell.reference] == ["", ""]


def test_a_slower_peer_has_a_ratio_with_an_interval() -> None:
    rows = peer_rows(measured(1.5))
    for figure, text in [("cold start", "hello"), ("first audio", "long"), ("RTF", "hello"), ("RTF", ALL)]:
        peer = row(rows, "kokoro-onnx", figure, text)
        assert peer.verdict == "slower"
        assert peer.low is not None
        assert peer.high is not None
        assert 1.49 < peer.low <= peer.ratio <= peer.high < 1.52  # type: ignore[operator]
    assert row(rows, "kokoro-onnx", "memory peak").ratio == pytest.approx(1.5, rel=0.01)
    assert row(rows, OURS, "RTF", "hello").ratio is None
    assert row(rows, OURS, "RTF", "hello").value == pytest.approx(1.1)


def test_few_rounds_give_a_ratio_and_no_interval() -> None:
    peer = row(peer_rows(measured(1.5, rounds=2)), "kokoro-onnx", "cold start")
    assert peer.ratio == pytest.approx(1.5, rel=0.01)
    assert (peer.low, peer.high, peer.verdict) == (None, None, "inconclusive")


def test_other_speech_is_never_ranked() -> None:
    peer = row(peer_rows(measured(0.5, gate="different")), "kokoro-onnx", "RTF", "hello")
    assert peer.verdict == "invalid"
    assert "different" in peer.note
    assert peer.gate == "different"


def test_contaminated_blocks_are_counted_and_left_out_unless_asked_for() -> None:
    found = measured(1.5, noisy=True)
    left_out = row(peer_rows(found), "kokoro-onnx", "RTF", "hello")
    assert (left_out.ratio, left_out.contaminated) == (None, 8)
    taken = row(peer_rows(found, use_contaminated=True), "kokoro-onnx", "RTF", "hello")
    assert taken.ratio == pytest.approx(1.5, rel=0.01)


def test_a_peer_that_did_not_run_is_there_with_the_reason() -> None:
    found = [
        replace(one, result=BlockResult("unavailable", "environment 'kokoro-onnx' is not installed"), gate=None)
        if one.cell.environment
        else one
        for one in measured(1.0)
    ]
    peer = row(peer_rows(found), "kokoro-onnx", "RTF", "hello")
    assert (peer.value, peer.ratio) == (None, None)
    assert "not installed" in peer.note


def test_a_provider_that_took_a_part_says_so_beside_its_figure() -> None:
    sentence = "openvino took 99% of the nodes."
    found = [
        replace(one, result=replace(one.result, status="partial", error=sentence)) if one.cell.environment else one
        for one in measured(1.5)
    ]
    peer = row(peer_rows(found), "kokoro-onnx", "RTF", "hello")
    assert (peer.status, peer.note) == ("partial", sentence)
    assert peer.ratio is not None


def test_without_ours_there_is_no_table() -> None:
    with pytest.raises(ValueError, match="nothing to compare"):
        peer_rows([one for one in measured(1.0) if one.cell.environment])


@pytest.mark.slow
def test_bench_peers_stores_its_blocks_and_its_table(
    installed: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KOKORO_LAB_RESULTS", str(tmp_path))
    monkeypatch.setenv("KOKORO_LAB_LOCK", str(tmp_path / "lock"))
    (environments_folder() / "sherpa-onnx").mkdir(exist_ok=True)  # one that cannot run: half of it is there
    asked = {"engine": ["kokoro-onnx", "sherpa-onnx"], "text": ["ultra-short", "hello"], "model": "tiny", "rounds": 1}
    options = {"budget_s": 600.0, "threads": 1, "repeats": 1, "warmup_cap": 1, "install": False, "as_json": True}
    bench_peers(**asked, **options, use_contaminated=True, run_id="r")  # type: ignore[arg-type]
    document = json.loads(capsys.readouterr().out)
    assert document == json.loads((tmp_path / "runs" / "r" / "peers.json").read_text())
    assert document["model"]["architecture"] == "tiny"
    found = {(one["engine"], one["figure"], one["text"]): one for one in document["rows"]}
    assert found["kokoro-onnx", "RTF", "hello"]["ratio"] > 0
    assert found["kokoro-onnx", "RTF", "hello"]["gate"] == "equivalent"
    assert "sherpa-onnx' is incomplete" in found["sherpa-onnx", "RTF", "hello"]["note"]
    kept = Store(tmp_path / "tables").done("r")
    assert len(kept) == document["blocks"] == 12
    bench_peers(**asked, **options, use_contaminated=True, run_id="r")  # type: ignore[arg-type]
    assert json.loads(capsys.readouterr().out)["rows"] == document["rows"], "a run that is done is not measured again"


def _quiet() -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return options
