"""The model's vocabulary: phoneme symbols and their token ids."""

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

MAX_TOKENS = 510  # the model's 512 positions less the zero padding at each end


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The tokens of phoneme symbols: one symbol is one character and one token."""

    ids: Mapping[str, int]
    """Symbol to token id, 1 to 177; 0 is the padding at both ends and belongs to no symbol."""

    def encode(self, phonemes: str) -> tuple[list[int], str]:
        """(token ids of the known symbols without the surrounding zeros, the unknown symbols that were dropped)."""
        ids = self.ids
        return [ids[symbol] for symbol in phonemes if symbol in ids], "".join(s for s in phonemes if s not in ids)

    def known(self, phonemes: str) -> str:
        """The phonemes that have a token: one character per token."""
        return "".join(symbol for symbol in phonemes if symbol in self.ids)


@lru_cache(maxsize=1)
def load_vocabulary() -> Vocabulary:
    """The vocabulary of Kokoro-82M (114 symbols), read from the installed package kokoro-onnx.

    The JSON file is read directly, because importing the package would start onnxruntime. Raises PhonemizeError when it
    is missing.
    """
    spec = importlib.util.find_spec("kokoro_onnx")
    if spec is None or spec.origin is None:
        raise PhonemizeError("the package kokoro-onnx, which has the phoneme vocabulary, is missing; install it")
    path = Path(spec.origin).with_name("config.json")
    try:
        vocabulary: dict[str, int] = json.loads(path.read_text(encoding="utf-8"))["vocab"]
    except (OSError, ValueError, KeyError) as error:
        raise PhonemizeError(f"cannot read the phoneme vocabulary from {path}; reinstall kokoro-onnx") from error
    return Vocabulary(MappingProxyType(vocabulary))
