"""Optional compiled operators: faster convolutions for the part of Kokoro behind the harmonic source."""

from __future__ import annotations

from kokoro_lab.kernels.library import LibraryChoice, choose, facts, register

__all__ = ["LibraryChoice", "choose", "facts", "register"]
