"""The program `kokoro-lab`, also as `python -m kokoro_lab`: signals are handled before anything slow is imported."""

from __future__ import annotations

import importlib
import sys

from kokoro_lab.process.signals import command

__all__ = ["main"]


def main() -> None:
    """Entry point of the `kokoro-lab` script."""
    command(lambda: int(importlib.import_module("kokoro_lab.cli").run(sys.argv[1:])))


if __name__ == "__main__":
    main()
