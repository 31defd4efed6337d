"""onnxruntime's own native libraries. Nothing is imported to find them, so that any environment can ask."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

__all__ = ["native_libraries"]

PATTERNS = ("*.so*", "*.dylib", "*.dll", "*.pyd")


def native_libraries() -> tuple[Path, ...]:
    """onnxruntime's native libraries, by name; empty where it is not installed."""
    if (module := sys.modules.get("onnxruntime")) is not None and module.__file__:
        package = Path(module.__file__).parent
    elif (spec := importlib.util.find_spec("onnxruntime")) is not None and spec.origin:
        package = Path(spec.origin).parent
    else:
        return ()
    return tuple(sorted({path for pattern in PATTERNS for path in (package / "capi").glob(pattern) if path.is_file()}))
