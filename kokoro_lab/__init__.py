"""Kokoro Lab: a speech engine for Kokoro-82M on ONNX Runtime, and the instrument that measures it honestly."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kokoro_lab.engine.config import EngineConfig
    from kokoro_lab.engine.engine import Chunk, Engine, Speech

__all__ = ["Chunk", "Engine", "EngineConfig", "Speech", "__version__"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Import the engine when it is asked for, so that `import kokoro_lab` stays instant (PEP 562)."""
    if name == "EngineConfig":
        from kokoro_lab.engine.config import EngineConfig

        return EngineConfig
    if name in {"Chunk", "Engine", "Speech"}:
        from kokoro_lab.engine import engine

        return getattr(engine, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
