"""Pre-optimised files: opened in their source's place when they fit, passed over with a reason when they do not."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from kokoro_lab.errors import SettingError
from kokoro_lab.kernels.library import choose
from kokoro_lab.models.catalog import ModelFile, preoptimized_files, remove, resolve
from kokoro_lab.runtime.opening import SessionSource
from kokoro_lab.runtime.preoptimized import find, machine_key, preoptimized_path
from kokoro_lab.runtime.session import Session
from kokoro_lab.runtime.settings import SessionSettings
from kokoro_lab.variants.make import make
from kokoro_lab.variants.make_preoptimized import preoptimized
from kokoro_lab.variants.probes import check_probes

PROBES = check_probes()[:1]
WANTED, PLAIN = SessionSettings(preoptimized=True), SessionSettings(preoptimized=False)


def spoken(file: ModelFile, settings: SessionSettings) -> tuple[NDArray[np.float32], SessionSource]:
    with_style = PROBES[0].feeds()["style"]
    session = Session.open(file, settings)
    return session.run(PROBES[0].tokens, with_style, 1.0, seed=3, noise_scale=0.5).audio, session.opened


@pytest.mark.parametrize("recipe", ["optimized", "int8-vocoder", "kernels-fp32"])
def test_it_is_opened_in_the_place_of_its_source_and_says_the_same(home: Path, recipe: str) -> None:
    if recipe.startswith("kernels") and choose().path is None:
        pytest.skip(choose().reason)
    (file,) = make("tiny", recipe)
    plain, before = spoken(file, WANTED)
    assert not before.preoptimized
    assert "models optimize" in before.reason
    path = preoptimized(file)
    assert path == preoptimized_path(file) == preoptimized(file)
    assert machine_key() in str(path)
    assert [each.suffix for each in sorted(path.parent.iterdir())] == [".bin", ".json", ".onnx"]
    quick, after = spoken(file, WANTED)
    assert (after.path, after.preoptimized, after.reason) == (path, True, "")
    assert (after.kernels != "none") == recipe.startswith("kernels")
    np.testing.assert_array_equal(plain, quick)
    assert Session.open(file, PLAIN).digest() != Session.open(file, WANTED).digest()


def test_it_is_passed_over_where_it_does_not_fit(home: Path) -> None:
    file = resolve("tiny")
    path = preoptimized(file)
    assert "graph level all" in spoken(file, replace(WANTED, graph_level="basic"))[1].reason
    assert not spoken(file, PLAIN)[1].preoptimized
    assert find(replace(file, sha256="0" * 64)).path is None

    weights = path.with_suffix(".bin")
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-1])
    assert "differs from its record" in spoken(file, WANTED)[1].reason
    weights.write_bytes(whole)
    graph = path.read_bytes()
    path.write_bytes(b"x" * len(graph))
    assert "onnxruntime refused" in spoken(file, WANTED)[1].reason
    path.write_bytes(graph)
    assert find(file).path == path

    record = json.loads(path.with_suffix(".json").read_text())
    path.with_suffix(".json").write_text(json.dumps({**record, "machine": "another"}))
    assert find(file).path is None
    path.parent.rename(path.parent.with_name("ort1.0-another"))
    assert "another processor or onnxruntime" in spoken(file, WANTED)[1].reason
    assert find(replace(file, name="unheard-of")).reason.endswith("run `kokoro-lab models optimize unheard-of`")


def test_a_split_model_has_none(home: Path) -> None:
    make("tiny", "split")
    with pytest.raises(SettingError, match="split"):
        preoptimized(resolve("tiny-split"))
    assert not list(home.rglob(".making-*"))


def test_a_model_made_again_keeps_one_form_and_one_removed_keeps_none(home: Path) -> None:
    (other,) = make("tiny", "optimized", "tiny-int8-mine")
    kept = preoptimized(other)
    (file,) = make("tiny", "int8")
    first = preoptimized(file)
    second = preoptimized(replace(file, sha256="0" * 64))
    assert first != second
    assert [each.stem for each in preoptimized_files("tiny-int8")] == [second.stem] * 3
    assert second in remove("tiny-int8")
    assert not preoptimized_files("tiny-int8")
    assert kept.is_file()
