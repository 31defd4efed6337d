"""Files and byte strings of audio, through libsndfile.

Mono throughout: a signal is float32[S] in [-1, 1]. WAV and FLAC are written with 16 bits and TPDF dither unless float
is asked for, so that quiet tails fade into noise instead of into harmonics of themselves.
"""

from __future__ import annotations

import io
import os
import tempfile
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
import numpy.typing as npt

from kokoro_lab.audio.dither import to_pcm16
from kokoro_lab.errors import AudioError, SettingError

__all__ = ["SAMPLE_RATE", "AudioFormat", "Encoding", "encode_audio", "formats", "read_audio", "write_audio"]

SAMPLE_RATE = 24_000  # Hz, what the model speaks at
BLOCK_SAMPLES = 65_536  # libvorbis keeps a write on its stack: a long array in one call overflows it

AudioFormat = Literal["wav", "flac", "ogg", "mp3"]
Encoding = Literal["pcm16", "float32"]
Samples = npt.NDArray[np.float32]

_CONTAINERS: dict[str, tuple[str, str]] = {
    "wav": ("WAV", "PCM_16"),
    "flac": ("FLAC", "PCM_16"),
    "ogg": ("OGG", "VORBIS"),
    "mp3": ("MP3", "MPEG_LAYER_III"),
}


def formats() -> tuple[str, ...]:
    """The formats that the installed libsndfile can write, in the order of preference."""
    import soundfile

    known = soundfile.available_formats()
    return tuple(
        name
        for name, (container, subtype) in _CONTAINERS.items()
        if container in known and subtype in soundfile.available_subtypes(container)
    )


def write_audio(
    path: str | Path, samples: Samples, *, sample_rate: int = SAMPLE_RATE, encoding: Encoding = "pcm16"
) -> None:
    """Write float32[S] to `path`, in the format its suffix names (.wav, .flac, .ogg, .mp3).

    The file appears whole or not at all: it is written beside its place and renamed. `encoding` chooses the samples of
    a WAV file ("pcm16" with dither, or "float32", bit for bit); the other formats ignore it.

    Raises SettingError for an unknown suffix, AudioError when the samples are not finite or the file cannot be written.
    """
    target = Path(path)
    name = target.suffix.lower().removeprefix(".")
    _container(name)
    try:
        handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".part")
    except OSError as error:
        raise AudioError(
            f"cannot write {target}: {error.strerror}; choose a folder that exists and is writable"
        ) from error
    part = Path(temporary)
    try:
        with os.fdopen(handle, "w+b") as file:
            _write(file, samples, name, sample_rate, encoding)
        part.chmod(0o666 & ~_umask())
        part.replace(target)
    except OSError as error:
        raise AudioError(f"cannot write {target}: {error.strerror or error}") from error
    finally:
        part.unlink(missing_ok=True)


def read_audio(path: str | Path) -> tuple[Samples, int]:
    """Read any file libsndfile knows: float32[S] (channels averaged) and its sample rate in Hz. Raises AudioError."""
    import soundfile

    if not Path(path).is_file():
        raise AudioError(f"there is no audio file {path}")
    try:
        samples, sample_rate = soundfile.read(str(path), dtype="float32", always_2d=True)
    except soundfile.SoundFileError as error:
        raise AudioError(f"cannot read {path} as audio: {error}") from error
    mono = samples[:, 0] if samples.shape[1] == 1 else samples.mean(axis=1, dtype=np.float32)
    return np.ascontiguousarray(mono), int(sample_rate)


def encode_audio(
    samples: Samples, format: str = "ogg", *, sample_rate: int = SAMPLE_RATE, encoding: Encoding = "pcm16"
) -> bytes:
    """float32[S] as the bytes of a file, for a page or a response.

    Raises SettingError and AudioError as write_audio does.
    """
    buffer = io.BytesIO()
    _write(buffer, samples, format.lower(), sample_rate, encoding)
    return buffer.getvalue()


def _container(name: str) -> tuple[str, str]:
    if name not in _CONTAINERS:
        raise SettingError(f"audio format {name!r} is not known; use one of {', '.join(_CONTAINERS)}")
    if name not in formats():
        raise SettingError(f"the installed libsndfile cannot write {name}; use one of {', '.join(formats())}")
    return _CONTAINERS[name]


def _write(file: IO[bytes], samples: Samples, name: str, sample_rate: int, encoding: Encoding) -> None:
    import soundfile

    container, subtype = _container(name)
    signal: npt.NDArray[Any] = np.asarray(samples)
    if signal.ndim != 1:
        raise AudioError(f"audio must be one channel of samples, not an array of shape {signal.shape}")
    if not np.isfinite(signal).all():
        raise AudioError("the audio holds NaN or infinite samples; look for the model that made them")
    if subtype == "PCM_16" and name == "wav" and encoding == "float32":
        subtype, signal = "FLOAT", signal.astype(np.float32, copy=False)
    elif subtype == "PCM_16":
        signal = to_pcm16(signal)
    else:
        signal = np.clip(signal, -1.0, 1.0).astype(np.float32, copy=False)
    try:
        with soundfile.SoundFile(file, "w", sample_rate, 1, subtype, format=container) as sound:
            for start in range(0, len(signal), BLOCK_SAMPLES):
                sound.write(signal[start : start + BLOCK_SAMPLES])
    except soundfile.SoundFileError as error:
        raise AudioError(f"cannot encode {sample_rate} Hz audio as {name}: {error}") from error


def _umask() -> int:
    """The process's umask: mkstemp makes private files, and an output file should be as open as any other."""
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
