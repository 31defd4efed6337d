"""Other exporters' files are examined under their own contract, with and without our graph of the same weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from kokoro_lab.cli import run
from kokoro_lab.models.catalog import imported_from
from kokoro_lab.models.files.model_record import file_sha256
from kokoro_lab.models.graph.architecture import TINY
from kokoro_lab.models.graph.model_graph import build
from kokoro_lab.models.graph.weights import seeded_state
from kokoro_lab.models.rewrite.surgery import Surgeon
from kokoro_lab.models.rewrite.variant_recipes import apply, load_recipe
from kokoro_lab.variants.foreign_model import examine
from kokoro_lab.variants.make import install
from kokoro_lab.variants.probes import check_probes

PROBES = check_probes()[:1]


def _foreign(model: onnx.ModelProto, *, whole_speed: bool = False, durations: bool = True) -> onnx.ModelProto:
    """Our graph as others publish it: `input_ids`, `waveform`, speed float or int, no overridable inputs."""
    surgeon = Surgeon(model)
    renamed = surgeon.finish()
    graph = renamed.graph
    names = {"tokens": "input_ids", "audio": "waveform", "speed": "float_speed" if whole_speed else "speed"}
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    if whole_speed:
        graph.node.insert(0, helper.make_node("Cast", ["speed"], ["float_speed"], to=TensorProto.FLOAT))
    kept = [info for info in graph.input if info.name in {"tokens", "style", "speed"}]
    for info in (*kept, *graph.output):
        info.name = {"tokens": "input_ids", "audio": "waveform"}.get(info.name, info.name)
        if info.name == "speed" and whole_speed:
            info.type.tensor_type.elem_type = TensorProto.INT32
    outputs = [info for info in graph.output if durations or info.name != "duration"]
    for field, values in ((graph.input, kept), (graph.output, outputs)):
        copies = [onnx.ValueInfoProto.FromString(info.SerializeToString()) for info in values]
        del field[:]
        field.extend(copies)
    del renamed.metadata_props[:]
    return renamed


@pytest.mark.parametrize(
    ("style", "contract"),
    [
        ({"whole_speed": True}, "hexgrad"),
        ({"durations": False}, "onnx-community"),
    ],
    ids=["whole speed", "no durations"],
)
def test_an_export_of_the_same_weights_is_equivalent_to_our_graph(
    whole: onnx.ModelProto, style: dict[str, bool], contract: str
) -> None:
    found = examine(_foreign(whole, **style), whole, PROBES, arch=TINY)
    assert (found.contract, found.verdict, found.reasons) == (contract, "equivalent", ())
    (reading,) = found.readings
    assert reading.durations_told == style.get("durations", True)
    assert (reading.moved_tokens, reading.finite, reading.silent) == (0, True, False)
    assert reading.snr_db is not None
    assert reading.snr_db > 80


def test_alone_a_file_shows_whether_it_speaks_and_nothing_is_judged(whole: onnx.ModelProto) -> None:
    found = examine(_foreign(whole), None, PROBES, arch=TINY)
    assert (found.verdict, found.reasons) == (None, ())
    (reading,) = found.readings
    assert (reading.moved_tokens, reading.noisy_db, reading.snr_db) == (None, None, None)
    assert reading.audio_s > 0.5
    surgeon = Surgeon(whole)
    last = surgeon.maker("audio")
    assert last is not None
    last.output[0] = "undisturbed"
    surgeon.add("Mul", "undisturbed", surgeon.put("nothing", np.asarray(np.nan, np.float32)), name="audio")
    spoilt = examine(_foreign(surgeon.finish()), None, PROBES, arch=TINY)
    assert spoilt.reasons == ("its output contains NaN or infinite samples",)


@pytest.mark.slow
def test_other_weights_are_different_and_an_int8_file_is_heard_without_its_source(whole: onnx.ModelProto) -> None:
    other = examine(_foreign(build(TINY, seeded_state(TINY, 9))), whole, PROBES, arch=TINY)
    assert other.verdict == "different"
    assert other.reasons
    (public,) = apply(load_recipe("int8-dynamic"), whole, TINY).values()
    found = examine(_foreign(public), whole, PROBES, arch=TINY)
    assert found.verdict in {"close", "different"}
    assert found.readings[0].noisy_db is not None
    assert any("source was not identified" in reason for reason in found.reasons)


def _told(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, Any]:
    capsys.readouterr()
    code = run([*words, "--json"])
    return code, json.loads(capsys.readouterr().out)


@pytest.mark.slow
def test_verify_finds_the_import_of_a_file_by_its_sum(
    home: Path, whole: onnx.ModelProto, capsys: pytest.CaptureFixture[str]
) -> None:
    path = home / "theirs.onnx"
    onnx.save(_foreign(whole), path)
    code, alone = _told(capsys, "models", "verify", str(path))
    assert (code, alone["reference"], alone["verdict"]) == (0, None, None)
    sha256 = file_sha256(path)
    source = {"name": path.name, "sha256": sha256, "precision": "fp32"}
    install(whole, "mine", weights="imported", architecture="tiny", precision="fp32", source=source)
    found = imported_from(sha256)
    assert found is not None
    assert found.name == "mine"
    code, beside = _told(capsys, "models", "verify", str(path))
    assert (code, beside["reference"], beside["verdict"]) == (0, "mine", "equivalent")
    install(build(TINY, seeded_state(TINY, 4)), "other", weights="imported", architecture="tiny", precision="fp32")
    code, wrong = _told(capsys, "models", "verify", str(path), "--against", "other")
    assert (code, wrong["verdict"]) == (1, "different")
    assert run(["models", "verify", "mine"]) == 2
    assert "was imported from" in capsys.readouterr().err
