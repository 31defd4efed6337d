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
from kokoro_lab.audio.compare import GateLimits, gate
from kokoro_lab.errors import KokoroLabError, SettingError
from kokoro_lab.measure.block.calls import _spaced
from kokoro_lab.measure.peers import environments, peer_files
from kokoro_lab.measure.peers.adapters import adapter_for
from kokoro_lab.measure.peers.adapters.own_engine import Manifest, PeerEngine
from kokoro_lab.measure.peers.environment_recipes import recipe
from kokoro_lab.measure.peers.environments import MARKER, environments_folder
from kokoro_lab.measure.records.cell import REQUEST_SEPARATOR, Cell
from kokoro_lab.measure.sampling.expected_bytes import cell_files, expected_parts
from kokoro_lab.measure.sampling.launch import launch
from kokoro_lab.models.catalog import resolve
from kokoro_lab.models.voices import load_voice

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
    (folder / MARKER).write_text(json.dumps(mark))


def ours(text: str) -> np.ndarray:
    with Engine.load(EngineConfig(model="tiny", intra_op_threads=1)) as engine:
        return engine.synthesize(text).samples


@pytest.mark.parametrize("stream", [False, True])
def test_the_peer_speaks_our_samples_bit_for_bit(home: Path, tmp_path: Path, stream: bool) -> None:
    variables = peer_files.write_manifest(PEER, tmp_path)
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
    for name, value in peer_files.write_manifest(PEER, tmp_path).items():
        monkeypatch.setenv(name, value)
    stubborn = SimpleNamespace(load=lambda files, threads: adapter_for("kokoro-onnx").load(files, 2))
    monkeypatch.setattr("kokoro_lab.measure.peers.adapters.own_engine.adapter_for", lambda environment: stubborn)
    with pytest.raises(KokoroLabError, match="runs on 2 threads instead of 1; "):
        PeerEngine.load(PEER)


def test_two_sentences_are_the_same_speech_but_for_our_fades(installed: None, tmp_path: Path) -> None:
    launched = launch(replace(PEER, text=TWO), tmp_path)
    assert launched.audio is not None
    verdict = gate(ours(TWO), np.load(launched.audio))
    assert verdict.verdict in ("equivalent", "close") and verdict.duration_equal, verdict.reasons
    assert verdict.log_mel_db < GateLimits().mean_db.equivalent, "only its worst place, the fade, is not equivalent"


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
    assert result.identity is not None
    assert expected_parts(PEER).items() <= result.identity.as_dict().items() and result.identity.packages
    if state == "cold-process":
        assert result.repeats[0].total_ms > result.load_ms["peer_import"] + result.load_ms["session"]


def test_the_cold_file_is_the_one_that_the_peer_reads(home: Path) -> None:
    assert cell_files(PEER).model == cell_files(replace(PEER, environment="")).model == (resolve("tiny").path,)
    (sherpa,) = cell_files(replace(PEER, environment="sherpa-onnx")).model
    assert sherpa != resolve("tiny").path
    assert sherpa.is_file()


def test_sherpas_file_is_our_model_with_metadata_behind_it(home: Path) -> None:
    files, model = peer_files.prepare(replace(PEER, environment="sherpa-onnx"))
    original = resolve("tiny")
    assert Path(files.model).read_bytes().startswith(original.path.read_bytes())
    assert model.sha256 == original.sha256
    session = onnxruntime.InferenceSession(files.model, _quiet(), providers=["CPUExecutionProvider"])
    facts = session.get_modelmeta().custom_metadata_map
    assert (facts["sample_rate"], facts["style_dim"]) == ("24000", "511,1,256")
    assert [port.name for port in session.get_inputs()][:3] == ["tokens", "style", "speed"]


def test_sherpas_row_for_n_tokens_is_ours(home: Path) -> None:
    files, _ = peer_files.prepare(replace(PEER, environment="sherpa-onnx"))
    rows = np.fromfile(files.voices, "<f4").reshape(511, 256)
    voice = load_voice("af_heart")
    for tokens in (1, 2, 300, 510):
        assert np.array_equal(rows[tokens], voice.style(tokens)[0])


def test_every_symbol_reaches_sherpa(home: Path) -> None:
    files, _ = peer_files.prepare(replace(PEER, environment="sherpa-onnx"))
    lines = Path(files.vocabulary).read_text(encoding="utf-8").splitlines()
    read = {line[0]: int(line[2:]) for line in lines}
    kokoro, _ = peer_files.prepare(PEER)
    assert read == json.loads(Path(kokoro.vocabulary).read_text(encoding="utf-8"))["vocab"]


def test_a_session_hands_over_every_request(home: Path, tmp_path: Path) -> None:
    session = replace(PEER, text=REQUEST_SEPARATOR.join((ONE, TWO, ONE)))
    path = Path(peer_files.write_manifest(session, tmp_path)["KOKORO_LAB_PEER"])
    assert set(Manifest.read(path).utterances) == {ONE, TWO}


def test_files_are_made_once(home: Path) -> None:
    cell = replace(PEER, environment="sherpa-onnx")
    files, _ = peer_files.prepare(cell)
    stamp = Path(files.model).stat().st_mtime_ns
    assert peer_files.prepare(cell)[0] == files
    assert Path(files.model).stat().st_mtime_ns == stamp
    assert not list((home / "peers").glob("*.part"))


def test_a_peer_is_not_measured_with_what_it_cannot_do(installed: None, tmp_path: Path) -> None:
    asked = replace(PEER, provider="cuda", engine_settings=(("primer", False),))
    with pytest.raises(SettingError, match="provider cpu, no engine settings"):
        peer_files.prepare(asked)
    assert launch(asked, tmp_path).result.status == "unavailable"


def test_upstream_does_not_pretend_to_have_other_weights(home: Path) -> None:
    with pytest.raises(KokoroLabError, match=r"\.pth"):
        peer_files.prepare(replace(PEER, environment="upstream"))


def test_pauses_stand_between_a_peers_sentences_for_the_gate_alone() -> None:
    pieces = [np.ones(10, np.float32), np.ones(20, np.float32)]
    spaced = _spaced(pieces, [0.01, 0.0])
    assert len(spaced) == 30 + 240
    assert not spaced[10:250].any()
    assert len(_spaced(pieces, [0.01])) == 30, "pieces that are not our sentences get no pauses"


def _quiet() -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return options
