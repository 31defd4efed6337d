"""Variants on the compiled operators are made, opened and heard like any other."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from kokoro_lab import Engine, EngineConfig
from kokoro_lab.cli import run
from kokoro_lab.errors import ModelError, ProviderError
from kokoro_lab.kernels.library import KERNELS_VARIABLE, choose
from kokoro_lab.models.catalog import remove, resolve
from kokoro_lab.models.files.model_record import data_path
from kokoro_lab.models.rewrite.variant_recipes import VariantRecipe
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
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for part in (file.path, data_path(file.path)):
        shutil.copy(part, elsewhere)
    copy = resolve(str(elsewhere / file.path.name))
    assert (copy.needs_kernels, copy.sha256, copy.bytes) == (True, file.sha256, file.bytes)


def test_the_data_beside_a_variant_is_part_of_it(plain: str) -> None:
    (file,) = make(plain, "kernels-fp32")
    data = data_path(file.path)
    assert file.bytes == file.path.stat().st_size + data.stat().st_size
    held = bytearray(data.read_bytes())
    held[len(held) // 2] ^= 1
    data.write_bytes(held)
    with pytest.raises(ModelError, match="differs from its record"):
        resolve(file.name)
    assert data in remove(file.name)
    assert not data.exists()


def test_a_variant_on_kernels_is_verified_like_any_other(plain: str) -> None:
    (file,) = make(plain, "kernels-fp32")
    assert run(["models", "verify", file.name, "--json"]) == 0


def test_without_kernels_the_session_says_why(plain: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (file,) = make(plain, "kernels-fp32")
    monkeypatch.setenv(KERNELS_VARIABLE, "off")
    with pytest.raises(ProviderError, match=r"\(KOKORO_KERNELS=off\); use the plain model"):
        Engine.load(EngineConfig(model=file.name))


def test_a_recipe_with_kernels_has_no_other_step() -> None:
    with pytest.raises(ValueError, match="dynamic_int8"):
        VariantRecipe(name="both", summary="", kernels="fp32", dynamic_int8=True)
