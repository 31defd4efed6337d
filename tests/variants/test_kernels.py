"""Variants on the compiled operators are made, opened and heard like any other."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from kokoro_lab import Engine, EngineConfig
from kokoro_lab.cli import run
from kokoro_lab.errors import ProviderError
from kokoro_lab.kernels.library import KERNELS_VARIABLE, choose
from kokoro_lab.models.catalog import resolve
from kokoro_lab.models.recipes import Recipe
from kokoro_lab.variants.make import make

pytestmark = pytest.mark.skipif(choose().path is None, reason=f"no compiled kernels: {choose().reason}")


@pytest.fixture
def plain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("KOKORO_LAB_HOME", str(tmp_path))
    return resolve("tiny").name


def _audio(model: str) -> np.ndarray:
    with Engine.load(EngineConfig(model=model)) as engine:
        return engine.synthesize("Six small stones.", seed=1).samples


@pytest.mark.parametrize("precision", ["fp32", "int16"])
def test_a_variant_on_kernels_speaks_and_is_known_by_its_precision(plain: str, precision: str, tmp_path: Path) -> None:
    (file,) = make(plain, f"kernels-{precision}")
    assert file.precision == f"kernels-{precision}"
    assert file.needs_kernels
    original, fast = _audio(plain), _audio(file.name)
    assert len(original) == len(fast)
    noise = np.linalg.norm(fast - original) / np.linalg.norm(original)
    assert -20 * np.log10(noise) > 26, "dB"
    copy = tmp_path / "elsewhere.onnx"
    shutil.copy(file.path, copy)
    assert resolve(str(copy)).needs_kernels


def test_a_variant_on_kernels_is_verified_like_any_other(plain: str) -> None:
    (file,) = make(plain, "kernels-fp32")
    assert run(["models", "verify", file.name, "--json"]) == 0


def test_without_kernels_the_session_says_why(plain: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (file,) = make(plain, "kernels-fp32")
    monkeypatch.setenv(KERNELS_VARIABLE, "off")
    with pytest.raises(ProviderError, match="KOKORO_KERNELS=off; or use the plain model"):
        Engine.load(EngineConfig(model=file.name))


def test_a_recipe_with_kernels_has_no_other_step() -> None:
    with pytest.raises(ValueError, match="dynamic_int8"):
        Recipe(name="both", summary="", kernels="fp32", dynamic_int8=True)
