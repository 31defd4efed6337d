"""Audio files and encoded bytes, through libsndfile.

Mono throughout: a signal is float32[S] in [-1, 1]. WAV and FLAC are written with 16 bits and TPDF dither unless float
is requested, so that quiet tails fade into noise instead of into harmonics of themselves.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from kokoro_lab.audio.dither import to_pcm16
from kokoro_lab.errors import AudioError, SettingError
from kokoro_lab.files.reading import is_folder
from kokoro_lab.files.writing import write_bytes
from kokoro_lab.units import SAMPLE_RATE

__all__ = ["AudioFormat", "Encoding", "encode_audio", "formats", "write_audio"]

ADVICE = "free some space, or choose a folder that exists and is writable"
BLOCK_SAMPLES = 65_536  # libvorbis copies a write to its stack, which a long array overflows

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
    """Write float32[S] to `path` in the format of its suffix (.wav, .flac, .ogg, .mp3).

    The file appears whole or not at all; its folder must exist. `encoding` is the sample format of a WAV file ("pcm16"
    with dither, or "float32", bit for bit); the other formats ignore it.

    Raises SettingError for an unknown suffix, AudioError when the samples are not finite or the file cannot be written.
    """
    target = Path(path)
    data = encode_audio(samples, target.suffix.removeprefix("."), sample_rate=sample_rate, encoding=encoding)
    if not is_folder(target.parent):
        raise AudioError(f"cannot write {target}: there is no folder {target.parent}; {ADVICE}")
    write_bytes(target, data, error=AudioError, advice=ADVICE)


def encode_audio(
    samples: Samples, format: str = "ogg", *, sample_rate: int = SAMPLE_RATE, encoding: Encoding = "pcm16"
) -> bytes:
    """float32[S] encoded as the bytes of a file, for a page or a response.

    Raises SettingError and AudioError, like write_audio.

    Examples:
        >>> silence = np.zeros(2400, np.float32)
        >>> encode_audio(silence, "wav")[:4], len(encode_audio(silence, "wav", encoding="pcm16"))
        (b'RIFF', 4844)
    """
    # In memory, not to the file: libsndfile's reports of a disk that is full are wrong or missing.
    buffer = io.BytesIO()
    _encode(buffer, samples, format.lower(), sample_rate, encoding)
    return buffer.getvalue()


def _container(name: str) -> tuple[str, str]:
    if name not in _CONTAINERS:
        raise SettingError(f"unknown audio format {name!r}; choose one of {', '.join(_CONTAINERS)}")
    if name not in formats():
        raise SettingError(f"the installed libsndfile cannot write {name}; choose one of {', '.join(formats())}")
    return _CONTAINERS[name]


def _encode(file: io.BytesIO, samples: Samples, name: str, sample_rate: int, encoding: Encoding) -> None:
    import soundfile

    container, subtype = _container(name)
    signal: npt.NDArray[Any] = np.asarray(samples)
    if signal.ndim != 1:
        raise AudioError(f"audio has the shape {signal.shape}; give one channel of samples")
    if not np.isfinite(signal).all():
        raise AudioError("the audio contains NaN or infinite samples; check the model that produced it")
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
        raise AudioError(f"cannot encode {sample_rate} Hz audio as {name}: {error}; choose another rate") from error
