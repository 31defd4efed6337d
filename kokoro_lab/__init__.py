"""Kokoro Lab: a speech engine for Kokoro-82M on ONNX Runtime, and the instrument that measures it honestly.

Examples:
    >>> from kokoro_lab import Engine, EngineConfig
    >>> with Engine.load(EngineConfig(model="tiny")) as engine:
    ...     speech = engine.synthesize("Hello world!", voice="af_heart")
    >>> speech.sample_rate, speech.phonemes
    (24000, 'həlˈO wˈɜɹld!')
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kokoro_lab._version import __version__

if TYPE_CHECKING:
    from kokoro_lab.engine.config import EngineConfig
    from kokoro_lab.engine.engine import Chunk, Engine, Speech

__all__ = ["Chunk", "Engine", "EngineConfig", "Speech", "__version__"]


def __getattr__(name: str) -> Any:
    """Import the engine when it is asked for, so that `import kokoro_lab` stays instant (PEP 562)."""
    if name == "EngineConfig":
        from kokoro_lab.engine.config import EngineConfig

        return EngineConfig
    if name in {"Chunk", "Engine", "Speech"}:
        from kokoro_lab.engine import engine

        return getattr(engine, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
