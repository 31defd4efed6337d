"""Voice packs: the style vector that goes with a voice and a number of tokens.

A pack is float32 (510, 1, 256): row n - 1 is the style for n phoneme tokens. It comes as `voices-v1.0.bin` (an .npz
of all voices), as a raw .bin, or as a .pt (read without PyTorch). Where none is installed, a stand-in takes its
place: smooth seeded rows with the norms of the real packs, good for measuring and not for listening.
"""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from kokoro_lab.errors import ModelError, VoiceError
from kokoro_lab.models.architecture import STYLE_WIDTH
from kokoro_lab.models.published import published_voice_sums
from kokoro_lab.models.torchfile import read_torch_file
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

ROW_DEVIATION = 0.155  # of the real packs' values: gives each half of a row a norm near 1.75
DRIFT = 0.12  # how far a voice moves from one token to 510; the real packs move 1.8 to 4.1 in norm


@dataclass(frozen=True, eq=False)
class Voice:
    """A voice pack in memory."""

    name: str
    styles: NDArray[np.float32]
    """[510, 256]."""
    weights: Literal["stand-in", "imported", "published"]
    sha256: str
    """Of the file, or of the values of a stand-in."""
    path: Path | None = None

    def style(self, tokens: int) -> NDArray[np.float32]:
        """The style [1, 256] for `tokens` phoneme tokens, the zeros at the ends not counted.

        Row tokens - 1, as upstream has it.
        """
        row = min(max(tokens, 1), STYLE_ROWS) - 1
        return self.styles[row : row + 1]


def voice_names() -> list[str]:
    """Every voice that can be asked for by name: the 54 of Kokoro v1.0, and packs added to the voices folder."""
    added = {
        path.stem for path in voices_folder().glob("*") if path.suffix in {".bin", ".pt"} and path.name != ALL_VOICES
    }
    return sorted({*VOICE_NAMES, *added})


def voices_folder() -> Path:
    """Where voice packs are looked for."""
    return home() / "voices"


def load_voice(name: str) -> Voice:
    """The voice called `name`, or the one in the file `name` (`FILE#VOICE` picks one out of an archive).

    Looks in the voices folder for NAME.bin, NAME.pt and voices-v1.0.bin, then falls back to the stand-in of a known
    name. Raises VoiceError for an unknown name or an unreadable file.
    """
    if "/" in name or "\\" in name or Path(name).suffix in {".bin", ".pt", ".npz"}:
        file, _, member = name.partition("#")
        return _read(Path(file).expanduser(), member or None)
    for suffix in (".bin", ".pt"):
        if (path := voices_folder() / f"{name}{suffix}").is_file():
            return _read(path, None)
    archive = voices_folder() / ALL_VOICES
    if archive.is_file() and name in _members(archive):
        return _read(archive, name)
    if name in VOICE_NAMES:
        return _stand_in(name)
    close = ", ".join(other for other in voice_names() if other[:2] == name[:2]) or "af_heart"
    raise VoiceError(f"there is no voice {name!r}; try {close}, or list them with `kokoro-lab voices`")


MOST_PACK_BYTES = 8 * STYLE_ROWS * STYLE_WIDTH + 4096  # float64, and the header


def _read(path: Path, member: str | None) -> Voice:
    try:
        if path.suffix == ".pt":
            rows = np.asarray(read_torch_file(path))
        elif zipfile.is_zipfile(path):
            members = _members(path)
            member = member or (members[0] if len(members) == 1 else None)
            if member not in members:
                raise VoiceError(f"name one of the voices in {path.name}, as in {path.name}#{members[0]}")
            rows = _archive_member(path, member)
        else:
            rows = np.fromfile(path, "<f4")
        sha256 = _file_sum(path)
    except (OSError, ValueError, ModelError) as error:
        raise VoiceError(f"cannot read a voice from {path}: {error}") from error
    if rows.size != STYLE_ROWS * STYLE_WIDTH or rows.dtype.kind != "f":
        raise VoiceError(f"{path.name} is not a voice pack: it has {rows.size} values, not 510 x 256")
    styles = np.ascontiguousarray(rows.reshape(STYLE_ROWS, STYLE_WIDTH), np.float32)
    if not np.isfinite(styles).all():
        raise VoiceError(f"{path.name} holds values that are not finite; fetch it again")
    known = sha256 in published_voice_sums()
    return Voice(member or path.stem, styles, "published" if known else "imported", sha256, path)


def _members(archive: Path) -> list[str]:
    try:
        with zipfile.ZipFile(archive) as entries:
            return [name.removesuffix(".npy") for name in entries.namelist()]
    except (OSError, zipfile.BadZipFile) as error:
        raise VoiceError(f"cannot read the voices in {archive}: {error}") from error


def _archive_member(archive: Path, member: str) -> NDArray[Any]:
    with zipfile.ZipFile(archive) as entries:
        if entries.getinfo(f"{member}.npy").file_size > MOST_PACK_BYTES:
            raise VoiceError(f"{member} in {archive.name} unpacks to more than any voice pack has; it was not read")
    with np.load(archive, allow_pickle=False) as arrays:
        return np.asarray(arrays[member])


@cache
def _file_sum(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _stand_in(name: str) -> Voice:
    """Rows that drift smoothly from short texts to long ones around a direction of the voice's own."""
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    base, drift = rng.standard_normal((2, STYLE_WIDTH)) * [[ROW_DEVIATION], [DRIFT]]
    place = np.log(np.arange(1, STYLE_ROWS + 1)) / np.log(STYLE_ROWS) - 0.5
    styles = (base + place[:, None] * drift).astype(np.float32)
    return Voice(name, styles, "stand-in", hashlib.sha256(styles.tobytes()).hexdigest())
