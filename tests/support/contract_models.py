"""Small ONNX files with the contract of a Kokoro model, for behaviour that the tiny model does not have."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Literal

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from kokoro_lab.models.catalog import ModelFile

Gives = Literal["ramp", "nan", "failure"]


def contract_model(folder: Path, gives: Gives = "ramp") -> ModelFile:
    """A model whose every token lasts two frames.

    ramp: finite samples that depend on tokens, style and seed. nan: the same with one sample that is not a number.
    failure: fails when it runs with more than ten tokens.
    """
    constants = {
        "seed": np.array(0, np.int64),
        "noise_scale": np.array(1, np.float32),
        "frames": np.array(2, np.int64),
        "samples": np.array([600 * 2], np.int64),
        "unit": np.array(1e-3, np.float32),
        "flat": np.array([-1], np.int64),
        "axis": np.array([1], np.int64),
        "never": np.array(0, np.float32),
        "twelve": np.array([12], np.int64),
    }
    nodes = [
        helper.make_node("Shape", ["tokens"], ["count"], start=1, end=2),
        helper.make_node("Expand", ["frames", "count"], ["duration"]),
        helper.make_node("Cast", ["tokens"], ["numbers"], to=TensorProto.FLOAT),
        helper.make_node("Reshape", ["numbers", "column"], ["standing"]),
        helper.make_node("Concat", ["count", "samples"], ["spread"], axis=0),
        helper.make_node("Expand", ["standing", "spread"], ["held"]),
        helper.make_node("Reshape", ["held", "flat"], ["line"]),
        helper.make_node("ReduceSum", ["style", "axis"], ["tone"], keepdims=0),
        helper.make_node("Cast", ["seed"], ["shift"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["shift", "noise_scale"], ["noise"]),
        helper.make_node("Add", ["line", "tone"], ["toned"]),
        helper.make_node("Add", ["toned", "noise"], ["seeded"]),
        helper.make_node("Mul", ["seeded", "unit"], ["quiet"]),
        helper.make_node("Div", ["quiet", "speed"], ["sound"]),
    ]
    constants["column"] = np.array([-1, 1], np.int64)
    last = "sound"
    if gives == "nan":
        nodes += [
            helper.make_node("Div", ["never", "never_too"], ["nothing"]),
            helper.make_node("Add", ["sound", "nothing"], ["broken"]),
        ]
        constants["never_too"] = np.array([0], np.float32)
        last = "broken"
    if gives == "failure":
        nodes += [
            helper.make_node("Reshape", ["tokens", "twelve"], ["wants_ten"]),
            helper.make_node("Cast", ["wants_ten"], ["ten"], to=TensorProto.FLOAT),
            helper.make_node("ReduceMax", ["ten"], ["most"], keepdims=0),
            helper.make_node("Add", ["sound", "most"], ["broken"]),
        ]
        last = "broken"
    nodes.append(helper.make_node("Identity", [last], ["audio"]))
    used = {name for node in nodes for name in node.input}
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "contract",
        [
            info("tokens", TensorProto.INT64, [1, "T"]),
            info("style", TensorProto.FLOAT, [1, 256]),
            info("speed", TensorProto.FLOAT, [1]),
            info("seed", TensorProto.INT64, []),
            info("noise_scale", TensorProto.FLOAT, []),
        ],
        [info("audio", TensorProto.FLOAT, ["S"]), info("duration", TensorProto.INT64, ["T"])],
        [numpy_helper.from_array(value, name) for name, value in constants.items() if name in used],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    path = folder / f"{gives}.onnx"
    onnx.save(model, path)
    data = path.read_bytes()
    return ModelFile(gives, path, hashlib.sha256(data).hexdigest(), len(data), "imported", "tiny", "fp32")
