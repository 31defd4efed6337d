"""Builds the optional kernels; everything else is in pyproject.toml.

Without a C++ compiler the installation succeeds and `kokoro-lab doctor` says that there are no kernels.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

KERNELS = Path("kokoro_lab") / "kernels"


def _build_module() -> ModuleType:
    """kokoro_lab/kernels/build.py by its path: the package's dependencies are not there yet."""
    spec = importlib.util.spec_from_file_location("kernels_build", KERNELS / "build.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class BuildKernels(build_ext):
    """Compiles one library an instruction set instead of a Python extension."""

    def build_extension(self, ext: Extension) -> None:
        """Into the source tree when that is what gets imported, else beside the package's other files."""
        in_place = self.inplace or getattr(self, "editable_mode", False)
        package = KERNELS if in_place else Path(self.build_lib) / KERNELS
        for name, reason in _build_module().build(package.absolute() / "compiled").items():
            self.announce(f"kernels {name}: {reason or 'built'}", level=2)


setup(
    ext_modules=[Extension("kokoro_lab.kernels._compiled", sources=[], optional=True)],
    cmdclass={"build_ext": BuildKernels},
    package_data={"kokoro_lab.kernels": ["source/*"]},
)
