from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from foreign_export import as_upstream

from kokoro_lab.errors import ModelError, ModelNotFoundError, SettingError
from kokoro_lab.models.catalog import models_folder, remove, resolve
from kokoro_lab.models.files.onnxfile import read_onnx
from kokoro_lab.models.graph.architecture import FULL, TINY
from kokoro_lab.models.graph.model_graph import build
from kokoro_lab.models.graph.weights import seeded_state
from kokoro_lab.models.listing import listing
from kokoro_lab.models.rewrite.quantize_static import conv_names, selected
from kokoro_lab.models.rewrite.variant_recipes import apply, load_recipe, static_convolutions
from kokoro_lab.variants.calibrate import calibrate
from kokoro_lab.variants.import_proof import fed_source, prove
from kokoro_lab.variants.make import adopt, make
from kokoro_lab.variants.probes import Runner, calibration_probes, check_probes, random_probe
from kokoro_lab.variants.quantization_search import GROUPS, LEAST_SNR_DB, Sensitivity, best_set, sensitivities, stored
from kokoro_lab.variants.verify import verify

PROBES = check_probes()[:1]


def test_an_int8_variant_is_installed_with_its_recipe_source_and_tools(home: Path) -> None:
    (file,) = make("tiny", "int8")
    assert file == resolve("tiny-int8")
    assert (file.weights, file.architecture, file.precision) == ("stand-in", "tiny", "int8")
    record = json.loads((models_folder() / "tiny-int8.json").read_text())
    assert record["recipe"]["name"] == "int8"
    assert record["source"] == {"name": "tiny", "sha256": resolve("tiny").sha256}
    assert {"numpy", "onnx", "onnxruntime"} <= set(record["tools"])
    found = verify(read_onnx(resolve("tiny").path), read_onnx(file.path), PROBES, arch=TINY)
    assert found.verdict == "equivalent"
    assert 22.0 < found.readings[0].snr_db < 60.0


def test_a_variant_of_a_variant_is_refused_and_a_bad_name_too(home: Path) -> None:
    make("tiny", "optimized", "quick")
    with pytest.raises(ModelError, match="variant already"):
        make("quick", "int8")
    for name in ("../escape", "", "tiny", "a/b", "-x"):
        with pytest.raises((SettingError, IndexError)):
            make("tiny", "optimized", name or " ")


def test_a_split_variant_is_two_files(home: Path) -> None:
    front, back = make("tiny", "split")
    assert (front.name, back.name) == ("tiny-split-front", "tiny-split-back")


def test_removing_takes_the_record_along_and_nothing_elsewhere(home: Path, tmp_path: Path) -> None:
    make("tiny", "optimized")
    other = tmp_path / "other.onnx"
    other.write_bytes(b"x")
    assert {path.suffix for path in remove("tiny-optimized")} >= {".onnx", ".json"}
    for name in ("tiny-optimized", "../other", str(other)):
        with pytest.raises(ModelNotFoundError):
            remove(name)
    assert other.exists()


def test_the_listing_has_what_is_here_and_what_could_be(home: Path) -> None:
    make("tiny", "optimized")
    (models_folder() / "broken.onnx").write_bytes(b"not a model")
    rows = {row["name"]: row for row in listing()}
    keys = {"name", "path", "sha256", "bytes", "weights", "precision", "contract", "installed", "default"}
    assert all(keys <= set(row) for row in rows.values())
    assert rows["tiny-optimized"]["contract"] == "kokoro-lab"
    assert rows["tiny-optimized"]["installed"]
    assert "not an ONNX model" in rows["broken"]["error"]
    assert rows["kokoro-v1.0"]["bytes"] == 325_532_387
    assert not rows["kokoro-v1.0"]["installed"]
    assert rows["stand-in"]["default"]


def test_an_export_is_adopted_when_it_proves_the_same(home: Path, tmp_path: Path) -> None:
    path = tmp_path / "theirs.onnx"
    onnx.save(as_upstream(build(TINY, seeded_state(TINY, 8))), path)
    file, recovered, proof = adopt(path, "mine", arch=TINY)
    assert proof is not None
    assert proof.holds
    assert proof.noiseless_db < 0.1
    assert recovered.contract is not None
    assert recovered.contract.name == "hexgrad"
    assert file.weights == "imported"
    assert resolve("mine").sha256 == file.sha256


def test_a_rebuilt_graph_with_a_wrong_layer_is_not_installed(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "theirs.onnx"
    theirs = as_upstream(build(TINY, seeded_state(TINY, 8)))
    for tensor in theirs.graph.initializer:  # a constant that the importer has no name for, so cannot bring along
        if tensor.name == "stft.inverse":
            tensor.CopyFrom(onnx.numpy_helper.from_array(-3 * onnx.numpy_helper.to_array(tensor)[::-1], tensor.name))
    onnx.save(theirs, path)
    with pytest.raises(ModelError, match="was not imported"):
        adopt(path, "mine", arch=TINY)
    assert not (models_folder() / "mine.onnx").exists()


def test_other_durations_fail_the_proof() -> None:
    state = seeded_state(TINY, 8)
    theirs = as_upstream(build(TINY, state))
    state["predictor.duration_proj.linear_layer.bias"] += 0.5
    proof = prove(theirs, build(TINY, state), PROBES, arch=TINY)
    assert not proof.holds
    assert proof.moved_tokens > 0


def test_the_source_of_a_graph_without_one_is_not_found(whole: onnx.ModelProto) -> None:
    cut = onnx.ModelProto()
    cut.CopyFrom(whole)
    kept = [node for node in cut.graph.node if "noise_convs" not in node.name]
    del cut.graph.node[:]
    cut.graph.node.extend(kept)
    with pytest.raises(ModelError, match="source was not found"):
        fed_source(cut, TINY)


def test_sensitivities_rank_groups_and_the_best_set_keeps_its_budget(whole: onnx.ModelProto) -> None:
    groups = {name: GROUPS[name] for name in ("resblock 0", "encode")}
    found = sensitivities(
        whole, arch=TINY, groups=groups, probes=PROBES, calibration=calibration_probes()[:2], rounds=1
    )
    assert {each.group for each in found} == set(groups)
    assert all(20 < each.snr_db < 70 for each in found)


def test_the_recipe_int8_takes_what_the_stored_search_picks(whole: onnx.ModelProto) -> None:
    found = stored()
    assert {each.group for each in found} == set(GROUPS)
    assert all(set(each.patterns) == set(GROUPS[each.group]) for each in found)
    names = conv_names(whole)
    picked = [name for each in best_set(found, LEAST_SNR_DB) for name in selected(names, each.patterns)]
    assert sorted(picked) == sorted(static_convolutions(load_recipe("int8"), whole))


@pytest.mark.parametrize(
    ("recipe", "tokens", "verdicts"),
    [
        ("fp16", 20, {"equivalent"}),
        ("matmul-4bit", 20, {"close", "different"}),
        ("tokens-16", 14, {"equivalent"}),
    ],
)
def test_other_recipes_build_run_and_have_a_class(home: Path, recipe: str, tokens: int, verdicts: set[str]) -> None:
    (file,) = make("tiny", recipe)
    record = json.loads(file.path.with_suffix(".json").read_text())
    assert (record["recipe"]["name"], record["source"]["sha256"]) == (recipe, resolve("tiny").sha256)
    assert record["tools"]
    found = verify(read_onnx(resolve("tiny").path), read_onnx(file.path), [random_probe(tokens)], arch=TINY)
    assert found.verdict in verdicts


@pytest.mark.slow
def test_int8_keeps_durations_and_22_db_on_weights_that_it_was_not_chosen_on() -> None:
    plain, recipe = build(FULL, seeded_state(FULL, 2)), load_recipe("int8")
    convs = static_convolutions(recipe, plain)
    (quantised,) = apply(recipe, plain, FULL, calibrate(plain, convs, calibration_probes()[:4])).values()
    probe = min(check_probes(), key=lambda each: len(each.tokens))
    (reading,) = verify(plain, quantised, [probe]).readings
    assert reading.moved_tokens == 0
    assert reading.snr_db >= LEAST_SNR_DB


def test_the_best_set_takes_time_per_noise_and_leaves_what_costs_time() -> None:
    found = [
        Sensitivity("cheap", (), 1, 30.0, 0.2),
        Sensitivity("costly", (), 1, 50.0, -0.1),
        Sensitivity("loud", (), 1, 21.0, 0.5),
        Sensitivity("quiet", (), 1, 40.0, 0.1),
    ]
    taken = best_set(found, 22.0)
    assert [each.group for each in taken] == ["quiet", "cheap"]
    assert -10 * np.log10(sum(each.noise for each in taken)) >= 22.0
    assert {each.group for each in best_set(found, 20.0)} == {"quiet", "cheap", "loud"}
    even = [*found, Sensitivity("even", (), 1, 60.0, -0.001)]  # no time either way, smaller weights
    assert "even" in {each.group for each in best_set(even, 22.0)}


def test_probes_for_checks_were_not_calibrated_on(whole: onnx.ModelProto) -> None:
    calibrated, checked = calibration_probes(), check_probes()
    assert not {probe.voice for probe in calibrated} & {probe.voice for probe in checked}
    assert not {probe.text for probe in calibrated} & {probe.text for probe in checked}
    audio, durations = Runner(whole).speak(checked[0])
    assert durations is not None
    assert len(audio) == 600 * durations.sum()
