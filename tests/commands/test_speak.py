"""`kokoro-lab say`: what it reads, what it writes, and what a stream tells that a whole call does not."""

from __future__ import annotations

import io
import json
import wave
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile

from kokoro_lab.audio.wav import formats
from kokoro_lab.commands.speak import say
from kokoro_lab.errors import AudioError, InputError, KokoroLabError

TEXT = "Hello world!"
HOW: dict[str, Any] = {
    "voice": "af_heart",
    "speed": 1.0,
    "lang": None,
    "settings": {"model": "tiny"},
    "stream": False,
    "as_json": True,
}


@pytest.fixture(scope="module", autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KOKORO_LAB_HOME", str(tmp_path_factory.mktemp("home")))
        yield


def frames(path: Path) -> int:
    with wave.open(str(path)) as file:
        return file.getnframes()


def said(capsys: pytest.CaptureFixture[str], text: str, output: Path, **how: Any) -> dict[str, Any]:
    capsys.readouterr()
    say(text, output, **{**HOW, **how})
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    return document


def typed(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(data)))


def test_the_file_holds_as_much_audio_as_the_document_says(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    document = said(capsys, TEXT, tmp_path / "a.wav")
    assert frames(tmp_path / "a.wav") == round(24_000 * document["audio_s"]) > 0
    assert document["output"] == str(tmp_path / "a.wav") and document["text"] == TEXT
    assert "samples" not in document and "chunks" not in document
    assert document["load_ms"] and all(ms >= 0 for ms in document["load_ms"].values())


def test_a_stream_speaks_the_same_and_tells_when_its_chunks_arrived(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    whole = said(capsys, TEXT, tmp_path / "whole.wav")
    stream = said(capsys, TEXT, tmp_path / "stream.wav", stream=True)
    for name in ("phonemes", "tokens", "voice", "speed", "text", "model", "segments"):
        assert stream[name] == whole[name], name
    assert sum(chunk["samples"] for chunk in stream["chunks"]) == frames(tmp_path / "stream.wav")
    assert 0 < stream["first_chunk_ms"] == stream["chunks"][0]["arrived_ms"]
    assert stream["rtf"] == pytest.approx(stream["timings_ms"]["total"] / 1000 / stream["speech_s"])


def test_a_slower_speed_makes_longer_speech(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    slow, quick = (said(capsys, TEXT, tmp_path / "a.wav", speed=speed)["speech_s"] for speed in (0.5, 2.0))
    assert slow > 1.5 * quick


def test_settings_that_were_not_given_leave_those_of_the_environment(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KOKORO_MODEL", "tiny")
    document = said(capsys, TEXT, tmp_path / "a.wav", settings={"model": None, "provider": None})
    assert document["model"]["name"] == "tiny"
    monkeypatch.setenv("KOKORO_MODEL", "no-such-model")
    assert said(capsys, TEXT, tmp_path / "a.wav")["model"]["name"] == "tiny", "what was given comes first"


def test_a_dash_reads_utf_8_from_standard_input(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    typed(monkeypatch, "Café, naïve".encode())
    assert said(capsys, "-", tmp_path / "a.wav")["text"] == "Café, naïve"


def test_input_in_another_encoding_is_refused_and_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    typed(monkeypatch, "Café".encode("latin-1"))
    with pytest.raises(InputError, match="UTF-8"):
        say("-", tmp_path / "a.wav", **HOW)
    assert list(tmp_path.iterdir()) == []


def test_a_voice_or_a_format_that_there_is_not_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(KokoroLabError, match="nobody"):
        say(TEXT, tmp_path / "a.wav", **{**HOW, "voice": "nobody"})
    with pytest.raises((AudioError, InputError), match="xyz"):
        say(TEXT, tmp_path / "a.xyz", **HOW)
    assert list(tmp_path.iterdir()) == []


def test_without_a_document_only_messages_are_printed(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    say(TEXT, tmp_path / "a.wav", **{**HOW, "as_json": False})
    told = capsys.readouterr()
    assert told.out == "" and "tiny" in told.err and str(tmp_path / "a.wav") in told.err


def spectrum_peak(path: Path) -> tuple[float, float]:
    """Duration (s) and the strongest frequency (Hz) of a file, as a player would hear it."""
    samples, rate = soundfile.read(path)
    power = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    power[: int(50 * len(samples) / rate)] = 0  # below speech
    return len(samples) / rate, float(power.argmax()) * rate / len(samples)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("form", formats())
def test_a_file_at_another_sample_rate_has_the_same_duration_and_pitch(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str, stream: bool
) -> None:
    plain, other = tmp_path / f"plain.{form}", tmp_path / f"other.{form}"
    said(capsys, TEXT, plain, stream=stream)
    monkeypatch.setenv("KOKORO_SAMPLE_RATE", "48000")
    document = said(capsys, TEXT, other, stream=stream)
    assert document["sample_rate"] == (24_000 if stream else 48_000) == soundfile.info(str(other)).samplerate
    assert document["audio_s"] == pytest.approx(spectrum_peak(other)[0], abs=0.1)  # mp3 pads to whole frames
    assert spectrum_peak(other) == pytest.approx(spectrum_peak(plain), rel=0.02, abs=0.1)
