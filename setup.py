"""Build the optional kernels, and put data/ and notebooks/ into the wheel; everything else is in pyproject.toml.

Without a C++ compiler the installation succeeds, and `kokoro-lab doctor` reports that there are no kernels.
"""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path
from types import ModuleType

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py

PACKAGE = Path("kokoro_lab")
KERNELS = PACKAGE / "kernels"
CARRIED = PACKAGE / "_lab"  # the same folder as in kokoro_lab/paths.py
INPUTS = ("data", "notebooks")


def _build_module() -> ModuleType:
    """Load kokoro_lab/kernels/build.py by its path, as the package's dependencies are not installed yet."""
    spec = importlib.util.spec_from_file_location("kernels_build", KERNELS / "build.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class BuildKernels(build_ext):
    """Compiles one library per instruction set instead of a Python extension."""

    def build_extension(self, ext: Extension) -> None:
        """Build into the source tree if Python imports from there, else beside the package's other files."""
        in_place = self.inplace or getattr(self, "editable_mode", False)
        package = KERNELS if in_place else Path(self.build_lib) / KERNELS
        for name, reason in _build_module().build(package.absolute() / "compiled").items():
            self.announce(f"kernels {name}: {reason or 'built'}", level=2)


class BuildPackage(build_py):
    """Copies data/ and notebooks/ beside the modules; an editable installation reads the checkout instead."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        for name in INPUTS:
            copy = Path(self.build_lib) / CARRIED / name
            shutil.rmtree(copy, ignore_errors=True)
            shutil.copytree(name, copy, ignore=shutil.ignore_patterns(".*", "__pycache__"))


class PlatformWheel(bdist_wheel):
    """A wheel for one platform and every Python version, as the kernels are plain shared libraries."""

    def get_tag(self) -> tuple[str, str, str]:
        """The tag, such as py3-none-linux_x86_64."""
        return "py3", "none", super().get_tag()[2]


setup(
    ext_modules=[Extension("kokoro_lab.kernels._compiled", sources=[], optional=True)],
    cmdclass={"bdist_wheel": PlatformWheel, "build_ext": BuildKernels, "build_py": BuildPackage},
    package_data={"kokoro_lab.kernels": ["source/*"]},
)
