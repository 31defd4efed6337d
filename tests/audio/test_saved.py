"""The audio of a measured block comes back, and a damaged file of it is named."""

from __future__ import annotations

import io
import random
from pathlib import Path

import numpy as np
import pytest

from kokoro_lab.audio.saved import read_saved
from kokoro_lab.errors import AudioError


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "a.npy"
    np.save(path, np.linspace(-1.0, 1.0, 240, dtype=np.float32))
    return path


def test_what_was_saved_comes_back_as_one_row_of_samples(saved: Path) -> None:
    samples = read_saved(saved)
    assert samples.dtype == np.float32 and samples.shape == (240,)
    assert np.array_equal(samples, np.load(saved))


def npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=True)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"RIFF",
        b"PK\x03\x04" + b"\0" * 60,
        npy(np.zeros(3, np.int64)),
        npy(np.array([{"a": 1}], dtype=object)),
        npy(np.zeros(240, np.float32))[:-1],
        npy(np.zeros(240, np.float32)).replace(b"(240,)", b"(9999999999999,)"),
    ],
)
def test_a_file_that_is_no_audio_is_named(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "a.npy"
    path.write_bytes(data)
    with pytest.raises(AudioError, match=r"saved audio .*a\.npy"):
        read_saved(path)


def test_a_missing_file_and_a_device_are_named(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.npy", Path("/dev/zero"), tmp_path):
        with pytest.raises(AudioError, match=str(path)):
            read_saved(path)


def test_changed_bytes_give_samples_or_a_named_error(saved: Path) -> None:
    whole = saved.read_bytes()
    for seed in range(300):
        chance = random.Random(seed)
        data = bytearray(whole)
        for _ in range(chance.choice((1, 3, 20))):
            data[chance.randrange(chance.choice((130, len(data))))] = chance.randrange(256)
        saved.write_bytes(bytes(data))
        try:
            samples = read_saved(saved)
        except AudioError:
            continue
        assert samples.dtype == np.float32 and samples.ndim == 1
