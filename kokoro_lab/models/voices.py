"""Voice packs: the style vectors of a voice, by number of tokens.

A pack is float32 (510, 1, 256): row n - 1 is the style vector for n phoneme tokens. It comes in `voices-v1.0.bin` (an
.npz of all voices), as a raw .bin, as an .npy, or as a .pt (read without PyTorch). Where none is installed, a stand-in
replaces it: smooth seeded rows with the norms of the real packs, fit for measuring but not for listening.
"""

from __future__ import annotations

import hashlib
import os
import zlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from kokoro_lab.errors import VoiceError
from kokoro_lab.files.arrays import parse_npy
from kokoro_lab.files.reading import full_path, hash_file, is_regular, opened, reason
from kokoro_lab.files.zip_archives import Archive, ArchiveLimits, archive
from kokoro_lab.models.files.published import published_voice_checksums
from kokoro_lab.models.files.torchfile import read_torch_file
from kokoro_lab.models.graph.architecture import STYLE_WIDTH
from kokoro_lab.paths import home

__all__ = ["STYLE_ROWS", "VOICE_NAMES", "Voice", "load_voice", "voice_names", "voices_folder"]

STYLE_ROWS = 510  # one for each possible number of tokens
ALL_VOICES = "voices-v1.0.bin"
NAMES_BY_GROUP = {
    "af": "alloy aoede bella heart jessica kore nicole nova river sarah sky",
    "am": "adam echo eric fenrir liam michael onyx puck santa",
    "bf": "alice emma isabella lily",
    "bm": "daniel fable george lewis",
    "ef": "dora",
    "em": "alex santa",
    "ff": "siwis",
    "hf": "alpha beta",
    "hm": "omega psi",
    "if": "sara",
    "im": "nicola",
    "jf": "alpha gongitsune nezumi tebukuro",
    "jm": "kumo",
    "pf": "dora",
    "pm": "alex santa",
    "zf": "xiaobei xiaoni xiaoxiao xiaoyi",
    "zm": "yunjian yunxi yunxia yunyang",
}
VOICE_NAMES = tuple(f"{group}_{name}" for group, names in NAMES_BY_GROUP.items() for name in names.split())
"""The 54 voices of Kokoro v1.0. First letter: language; second: female or male."""

RAW_BYTES = 4 * STYLE_ROWS * STYLE_WIDTH
MOST_PACK_BYTES = 2 * RAW_BYTES + 4096  # float64, and the header
LONGEST_NAME = 100  # characters of a voice's name
MOST_VOICES = 500  # in an archive
MOST_ARCHIVE_BYTES = 128 << 20  # of an archive; the published one has 28 MB

ROW_DEVIATION = 0.155  # of the real packs' values: gives each half of a row a norm near 1.75
DRIFT = 0.12  # how far a voice drifts from 1 token to 510; the real packs drift 1.8 to 4.1 in norm


@dataclass(frozen=True, eq=False)
class Voice:
    """A voice pack in memory."""

    name: str
    styles: NDArray[np.float32]
    """[510, 256]."""
    weights: Literal["stand-in", "imported", "published"]
    sha256: str
    """SHA-256 of the file, or of the values of a stand-in."""
    path: Path | None = None

    def style(self, tokens: int) -> NDArray[np.float32]:
        """The style vector [1, 256] for `tokens` phoneme tokens, the zeros at the ends not counted.

        This is row tokens - 1, as in upstream.
        """
        row = min(max(tokens, 1), STYLE_ROWS) - 1
        return self.styles[row : row + 1]


def voice_names() -> list[str]:
    """Every voice available by name: the 54 of Kokoro v1.0, and packs added to the voices folder."""
    added = {
        path.stem
        for path in voices_folder().glob("*")
        if path.suffix in {".bin", ".pt"} and path.name != ALL_VOICES and path.name.isprintable() and is_regular(path)
    }
    return sorted({*VOICE_NAMES, *added})


def voices_folder() -> Path:
    """The folder of voice packs."""
    return home() / "voices"


def load_voice(name: str) -> Voice:
    """The voice called `name`, or the voice in the file `name` (`FILE#VOICE` selects a voice of an archive).

    Looks in the voices folder for NAME.bin, NAME.pt and voices-v1.0.bin, then falls back to the stand-in of a known
    name. Raises VoiceError for an unknown name or an unreadable file.

    Examples:
        >>> voice = load_voice("af_heart")
        >>> voice.styles.shape, voice.style(tokens=12).shape
        ((510, 256), (1, 256))
    """
    if "/" in name or "\\" in name or Path(name).suffix in {".bin", ".pt", ".npz", ".npy"}:
        file, _, member = name.partition("#")
        return _read(full_path(file), member or None)
    for suffix in (".bin", ".pt"):
        if is_regular(path := voices_folder() / f"{name}{suffix}"):
            return _read(path, None)
    every = voices_folder() / ALL_VOICES
    if is_regular(every) and name in _members(every):
        return _read(every, name)
    if name in VOICE_NAMES:
        return _stand_in(name)
    close = ", ".join(other for other in voice_names() if other[:2] == name[:2]) or "af_heart"
    raise VoiceError(f"unknown voice {name!r}; try {close}, or list the voices with `kokoro-lab voices`")


def _read(path: Path, member: str | None) -> Voice:
    what = f"voice pack {path.name}"
    if path.suffix == ".pt":
        rows = read_torch_file(path, what="voice pack", most=MOST_PACK_BYTES, error=VoiceError, missing=VoiceError)
        if not isinstance(rows, np.ndarray):
            raise VoiceError(f"{path.name} contains no single tensor; give a voice pack")
        sha256 = _file_sum(path)
    else:
        with opened(path, what="voice pack", most=MOST_ARCHIVE_BYTES, error=VoiceError) as stream:
            if os.fstat(stream.fileno()).st_size == RAW_BYTES:
                rows = np.frombuffer(stream.read(RAW_BYTES), "<f4")
            elif path.suffix == ".npy":
                rows = parse_npy(stream.read(MOST_PACK_BYTES), what, error=VoiceError)
            else:
                member, rows = _member(stream, path, member)
        sha256 = _file_sum(path)
    if rows.size != STYLE_ROWS * STYLE_WIDTH or rows.dtype.kind != "f":
        raise VoiceError(f"{path.name} has {rows.size} values, not 510 x 256; give a voice pack")
    with np.errstate(over="ignore"):  # of float64
        styles = np.ascontiguousarray(rows.reshape(STYLE_ROWS, STYLE_WIDTH), np.float32)
    if not np.isfinite(styles).all():
        raise VoiceError(f"{path.name} has values that are not finite; get the file again")
    known = sha256 in published_voice_checksums()
    return Voice(member or path.stem, styles, "published" if known else "imported", sha256, path)


def _member(stream: BinaryIO, path: Path, member: str | None) -> tuple[str, NDArray[Any]]:
    """(name, rows) of a voice in an archive: the named one, or the only one."""
    what = f"voice pack {path.name}"
    limits = ArchiveLimits(MOST_VOICES, MOST_VOICES * MOST_PACK_BYTES)
    with archive(stream, what, limits, error=VoiceError) as entries:
        names = _voices_in(entries)
        if not names:
            raise VoiceError(f"{path.name} contains no voice; give a voice pack")
        name = member or (names[0] if len(names) == 1 else None)
        if name not in names:
            raise VoiceError(
                f"{path.name} has several voices or not this one; name a voice, as in {path.name}#{names[0]}"
            )
        if entries.size(f"{name}.npy") > MOST_PACK_BYTES:
            raise VoiceError(f"{name} in {path.name} is larger than any voice pack; get the file again")
        return name, parse_npy(entries.read(f"{name}.npy"), f"{name} in {what}", error=VoiceError)


def _members(path: Path) -> list[str]:
    limits = ArchiveLimits(MOST_VOICES, MOST_VOICES * MOST_PACK_BYTES)
    with (
        opened(path, what="voice pack", most=MOST_ARCHIVE_BYTES, error=VoiceError) as stream,
        archive(stream, f"voice pack {path.name}", limits, error=VoiceError) as entries,
    ):
        return _voices_in(entries)


def _voices_in(entries: Archive) -> list[str]:
    voices = [name.removesuffix(".npy") for name in entries.names if name.endswith(".npy")]
    return [name for name in voices if name.isprintable() and len(name) <= LONGEST_NAME]


def _file_sum(path: Path) -> str:
    try:
        status = path.stat()
    except OSError as problem:
        raise VoiceError(f"voice pack {path} cannot be read: {reason(problem)}; check the path") from problem
    return _stamped_sum(path, status.st_size, status.st_mtime_ns)


@cache
def _stamped_sum(path: Path, size: int, time_stamp: int) -> str:
    """SHA-256 of a file, computed again when the file has changed: an archive is read for each of its voices."""
    digest = hashlib.sha256()
    hash_file(digest, path, what="voice pack", most=MOST_ARCHIVE_BYTES, error=VoiceError)
    return digest.hexdigest()


def _stand_in(name: str) -> Voice:
    """Rows around a voice's own direction that drift smoothly from short texts to long texts."""
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    base, drift = rng.standard_normal((2, STYLE_WIDTH)) * [[ROW_DEVIATION], [DRIFT]]
    place = np.log(np.arange(1, STYLE_ROWS + 1)) / np.log(STYLE_ROWS) - 0.5
    styles = (base + place[:, None] * drift).astype(np.float32)
    return Voice(name, styles, "stand-in", hashlib.sha256(styles.tobytes()).hexdigest())
