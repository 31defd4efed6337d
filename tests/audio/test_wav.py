import numpy as np
import pytest
import soundfile

from kokoro_lab.audio.dither import to_pcm16
from kokoro_lab.audio.wav import encode_audio, formats, write_audio
from kokoro_lab.errors import AudioError, SettingError
from kokoro_lab.units import SAMPLE_RATE


def test_a_wav_file_gives_the_samples_back(tmp_path, voice):
    write_audio(tmp_path / "a.wav", voice)
    samples, rate = soundfile.read(tmp_path / "a.wav", dtype="float32")
    assert rate == SAMPLE_RATE == 24_000
    assert np.abs(samples - voice).max() <= 1.5 / 32_768 + 1e-7


def test_a_float_wav_file_gives_them_back_bit_for_bit(tmp_path, voice):
    loud = voice * np.float32(5.0)
    write_audio(tmp_path / "a.wav", loud, encoding="float32")
    assert np.array_equal(soundfile.read(tmp_path / "a.wav", dtype="float32")[0], loud)


@pytest.mark.parametrize("name", ["wav", "flac", "ogg", "mp3"])
def test_every_format_keeps_length_and_level(tmp_path, voice, name):
    assert name in formats()
    write_audio(tmp_path / f"a.{name}", voice)
    samples, rate = soundfile.read(tmp_path / f"a.{name}")
    assert rate == 24_000
    assert len(samples) == pytest.approx(len(voice), abs=2_400)
    assert np.std(samples) == pytest.approx(np.std(voice), rel=0.05)


def test_equal_samples_give_equal_bytes(voice):
    assert encode_audio(voice, "flac") == encode_audio(voice.copy(), "flac")


def test_a_long_ogg_is_written_in_blocks():
    minutes = np.tile(np.sin(np.arange(24_000) / 20).astype(np.float32) * np.float32(0.3), 150)
    assert len(encode_audio(minutes, "ogg")) > 10_000


def test_what_is_beyond_full_scale_is_clipped_not_wrapped(tmp_path):
    write_audio(tmp_path / "a.wav", np.array([2.0, -2.0, 0.0], dtype=np.float32))
    samples, _ = soundfile.read(tmp_path / "a.wav")
    assert samples[0] > 0.99
    assert samples[1] == -1.0


def test_a_file_appears_whole_or_not_at_all(tmp_path, voice):
    spoiled = voice.copy()
    spoiled[100] = np.nan
    (tmp_path / "a.wav").write_bytes(b"before")
    with pytest.raises(AudioError, match="NaN"):
        write_audio(tmp_path / "a.wav", spoiled)
    assert [path.name for path in tmp_path.iterdir()] == ["a.wav"]
    assert (tmp_path / "a.wav").read_bytes() == b"before"


def test_wrong_places_and_names_are_errors_of_the_tree(tmp_path, voice):
    with pytest.raises(AudioError, match="folder"):
        write_audio(tmp_path / "missing" / "a.wav", voice)
    for absurd in (
        "x" * 300 + ".wav",
        "/".join(["x" * 200] * 30) + ".wav",
        "null\0.wav",
        "null\0/a.wav",
        "a.wav/b.wav",
    ):
        (tmp_path / "a.wav").touch()
        with pytest.raises(AudioError, match=r"cannot write .*; "):
            write_audio(tmp_path / absurd, voice)
    (tmp_path / "folder.wav").mkdir()
    with pytest.raises(AudioError, match="Is a directory"):
        write_audio(tmp_path / "folder.wav", voice)
    with pytest.raises(SettingError, match="wav, flac, ogg, mp3"):
        write_audio(tmp_path / "a.xyz", voice)
    with pytest.raises(AudioError, match="one channel"):
        write_audio(tmp_path / "a.wav", np.zeros((2, 5), dtype=np.float32))


def test_an_output_file_is_as_open_as_any_other(tmp_path, voice):
    write_audio(tmp_path / "a.wav", voice)
    (tmp_path / "b").write_bytes(b"")
    assert (tmp_path / "a.wav").stat().st_mode == (tmp_path / "b").stat().st_mode


def test_dither_keeps_what_rounding_would_lose():
    quiet = 0.4 / 32_768 * np.sin(2 * np.pi * 1_000 * np.arange(24_000) / 24_000)
    assert not to_pcm16(quiet, dither=False).any()
    spectrum = np.abs(np.fft.rfft(to_pcm16(quiet)))
    assert spectrum.argmax() == 1_000


def test_dither_makes_the_error_independent_of_the_signal(voice):
    error = to_pcm16(voice) - voice * 32_768.0
    assert abs(error.mean()) < 0.02
    assert np.std(error) == pytest.approx(0.5, rel=0.02)  # 1/12 for rounding and 1/6 for the dither, in steps squared
    assert abs(np.corrcoef(error, voice)[0, 1]) < 0.02


def test_silence_stays_silent():
    assert not to_pcm16(np.zeros(1_000)).any()
