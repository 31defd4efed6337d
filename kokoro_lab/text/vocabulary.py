"""Phoneme symbols and the numbers that the model knows them by."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType

from kokoro_lab.errors import PhonemizeError

__all__ = ["MAX_TOKENS", "Vocabulary", "load_vocabulary"]

MAX_TOKENS = 510  # the model's 512 positions less the zero at each end


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """One symbol is one character is one token."""

    ids: Mapping[str, int]
    """Symbol to token, 1 to 177; 0 is the padding at both ends and no symbol's number."""

    def encode(self, phonemes: str) -> tuple[list[int], str]:
        """Tokens of the known symbols, in order and without the surrounding zeros, and the unknown symbols that were
        dropped.
        """
        ids = self.ids
        return [ids[symbol] for symbol in phonemes if symbol in ids], "".join(s for s in phonemes if s not in ids)

    def known(self, phonemes: str) -> str:
        """The phonemes that survive encoding: one character a token."""
        return "".join(symbol for symbol in phonemes if symbol in self.ids)


@lru_cache(maxsize=1)
def load_vocabulary() -> Vocabulary:
    """The vocabulary of Kokoro-82M, as the installed kokoro-onnx carries it (114 symbols).

    Its JSON is read as a file: importing the package would start onnxruntime. Raises PhonemizeError when it is not
    there.
    """
    spec = importlib.util.find_spec("kokoro_onnx")
    if spec is None or spec.origin is None:
        raise PhonemizeError("the package kokoro-onnx, which carries the phoneme vocabulary, is missing; install it")
    path = Path(spec.origin).with_name("config.json")
    try:
        vocabulary: dict[str, int] = json.loads(path.read_text(encoding="utf-8"))["vocab"]
    except (OSError, ValueError, KeyError) as error:
        raise PhonemizeError(f"cannot read the phoneme vocabulary from {path}; reinstall kokoro-onnx") from error
    return Vocabulary(MappingProxyType(vocabulary))
