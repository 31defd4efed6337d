"""Sums over what is spoken and what speaks it: text, voice, model files, and this package's own code and lexicon."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from kokoro_lab.errors import SettingError
from kokoro_lab.kernels.library import choose
from kokoro_lab.measure.machine.program_bytes import code_files, plain_sum, sum_over
from kokoro_lab.models.files.byte_sums import byte_sum, remembered
from kokoro_lab.models.voices import load_voice
from kokoro_lab.paths import data_folder

__all__ = ["code_sum", "model_sum", "text_sum", "voice_sum"]


def model_sum(files: Iterable[Path]) -> str:
    """Over the files of a model, in the order in which they are read; their names do not count."""
    sums = [byte_sum(path) for path in files]
    return sums[0] if len(sums) == 1 else hashlib.sha256("\n".join(sums).encode()).hexdigest()


def text_sum(text: str) -> str:
    """Over the bytes of a text."""
    return hashlib.sha256(text.encode()).hexdigest()


def voice_sum(name: str) -> str:
    """Over the pack of a voice. Raises VoiceError for an unknown one."""
    return load_voice(name).sha256


def code_sum() -> str:
    """Over the modules that a measured process can load, the lexicon, and the compiled kernels that run here, whether
    this process loads them or not."""
    try:
        library = choose().path
    except SettingError:  # a model on compiled kernels fails with it; for any other the variable means nothing
        library = None
    files = [*code_files(), *sorted(map(str, (data_folder() / "lexicon").glob("*.txt")))]
    modules = str(remembered(files, "code", lambda: sum_over(map(Path, files), plain_sum)))
    return sum_over([] if library is None else [library], byte_sum, modules)
