"""Damaged and hostile ONNX files on the way of a user's file: recognised, read, imported, tried, opened and run."""

from __future__ import annotations

import os
import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hostile_models
import numpy as np
import onnx
from onnx import numpy_helper

from chaos.attack import Attack, Outcome
from chaos.fuzzing import fuzz
from chaos.mutation import MAGIC, mutate
from kokoro_lab.errors import KokoroLabError
from kokoro_lab.models.catalog import resolve, trial_records
from kokoro_lab.models.files.contract import read_contract
from kokoro_lab.models.files.model_record import data_path
from kokoro_lab.models.files.onnxfile import contract_ports, read_onnx
from kokoro_lab.models.graph.architecture import TINY
from kokoro_lab.models.importing.importer import recover
from kokoro_lab.runtime.session import Session
from kokoro_lab.runtime.trial import first_opening
from kokoro_lab.runtime.trial.first_opening import ensure_harmless_file
from kokoro_lab.runtime.trial.limited_process import TrialProcess
from kokoro_lab.runtime.trial.verdict import TrialLimits

__all__ = ["ATTACK", "attempt", "prepare"]

LIMITS = TrialLimits(seconds=1.5, bytes=1 << 30)
SMALL_CHAIN = 40
OPERATORS = [
    *("Add", "If", "Loop", "Scan", "Tile", "Range", "Expand", "ConstantOfShape", "Reshape", "Conv", "LSTM"),
    *("Resize", "Where", "Nope", "EPContext"),
]
STYLE = np.full((1, 256), 0.1, np.float32)


@dataclass
class Models:
    """Whole models, where damaged ones are written, and the process that tries them."""

    folder: Path
    tiny: bytes
    small: tuple[bytes, ...]
    process: TrialProcess = field(default_factory=TrialProcess)


def prepare(folder: Path) -> Models:
    """The tiny model, and small ones with functions, branches, loops, constants and external data."""
    os.environ["KOKORO_LAB_HOME"] = str(folder / "home")
    first = onnx.load_model_from_string(resolve("tiny").path.read_bytes())
    makers = [
        hostile_models.plain,
        lambda: hostile_models.function_bomb(6),
        lambda: hostile_models.nested_if(4),
        lambda: hostile_models.giant_constant(1000),
        lambda: hostile_models.wide_graph(SMALL_CHAIN),
        *hostile_models.HOSTILE.values(),
    ]
    small = [make().SerializeToString() for make in makers if make is not hostile_models.wide_graph]
    outside = hostile_models.plain()
    tensor = numpy_helper.from_array(np.ones(256, np.float32), "w")
    onnx.external_data_helper.set_external_data(tensor, "damaged.onnx.data", 0, 1024)
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    outside.graph.initializer.append(tensor)
    outside.graph.node[0].input[1] = "w"
    return Models(folder, first.SerializeToString(), (*small, outside.SerializeToString()))


def attempt(models: Models, chance: random.Random) -> None:
    """Damage a model and do with it all that a user may."""
    data = models.tiny if chance.random() < 0.04 else chance.choice(models.small)
    damaged = _with_changes(data, chance) if chance.random() < 0.75 else mutate(data, chance)
    path = models.folder / "damaged.onnx"
    path.write_bytes(damaged)
    data_path(path).write_bytes(bytes(chance.choice([0, 1000, 1024, 5000])))
    file = resolve(str(path))
    model = read_onnx(path)
    read_contract(*contract_ports(model))
    try:
        recover(path, TINY)
    except KokoroLabError as error:
        if ";" not in error.message:
            raise
    verdict = models.process.verdict(path, LIMITS)
    record = trial_records(file.sha256) / f"onnxruntime-{first_opening._onnxruntime_version()}.json"
    if verdict.kind != "refused":  # a process for each would take ten times as long: its verdict is remembered here
        first_opening._SEEN[file.sha256, first_opening._onnxruntime_version()] = verdict
    try:
        ensure_harmless_file(path, file.sha256)
        session = Session.open(file)
        try:
            session.run([50, 83], STYLE, 1.0)
        finally:
            session.close()
    finally:
        record.unlink(missing_ok=True)
        first_opening._SEEN.clear()


def _with_changes(data: bytes, chance: random.Random) -> bytes:
    """The model with one to five changes that protobuf can read."""
    model = onnx.load_model_from_string(data)
    for _ in range(chance.randint(1, 5)):
        chance.choice(CHANGES)(model, chance)
    try:
        return model.SerializeToString()
    except Exception:  # text that is no UTF-8
        return data


def _node(model: onnx.ModelProto, chance: random.Random) -> onnx.NodeProto:
    holders = [model.graph, *model.functions]
    return chance.choice(chance.choice([each for each in holders if each.node] or [hostile_models.plain().graph]).node)


def _rename(model: onnx.ModelProto, chance: random.Random) -> None:
    node = _node(model, chance)
    names = [name for each in model.graph.node[:50] for name in (*each.input, *each.output)] or [""]
    target = node.input if chance.random() < 0.6 else node.output
    if target:
        target[chance.randrange(len(target))] = chance.choice([*names, "", "x" * 1000, "\n", "tokens", "audio"])


def _operator(model: onnx.ModelProto, chance: random.Random) -> None:
    node = _node(model, chance)
    node.op_type = chance.choice(OPERATORS)
    node.domain = chance.choice(["", "", "", "mine", "com.microsoft", "ai.onnx.ml"])


def _tensor(model: onnx.ModelProto, chance: random.Random) -> None:
    if not model.graph.initializer:
        return
    tensor: Any = chance.choice(model.graph.initializer)
    change = chance.randrange(4)
    if change == 0:
        tensor.dims.append(chance.choice(MAGIC) % (1 << 62))
    elif change == 1:
        tensor.data_type = chance.randrange(0, 30)
    elif change == 2:
        tensor.raw_data = mutate(tensor.raw_data, chance)
    else:
        try:
            array = numpy_helper.to_array(tensor)
            value = chance.choice([0, -1, 2**31, 2**40, 2**62]) if array.dtype.kind == "i" else 1e30
            tensor.CopyFrom(numpy_helper.from_array(np.full_like(array, value), tensor.name))
        except Exception:
            tensor.ClearField("raw_data")


def _attribute(model: onnx.ModelProto, chance: random.Random) -> None:
    node = _node(model, chance)
    if node.attribute and chance.random() < 0.7:
        attribute = chance.choice(node.attribute)
        attribute.i = chance.choice(MAGIC) % (1 << 62)
        attribute.type = chance.randrange(0, 14)
    else:
        node.attribute.append(onnx.helper.make_attribute(chance.choice(["axis", "perm", "body"]), [1, 2, 3]))


def _shape(model: onnx.ModelProto, chance: random.Random) -> None:
    info = chance.choice([*model.graph.input, *model.graph.output])
    if chance.random() < 0.3:
        info.type.tensor_type.elem_type = chance.randrange(0, 25)
    else:
        info.type.tensor_type.shape.dim.add().dim_value = chance.choice([0, -1, 2**40, 3])


def _order(model: onnx.ModelProto, chance: random.Random) -> None:
    nodes = [onnx.NodeProto.FromString(node.SerializeToString()) for node in model.graph.node]
    if chance.random() < 0.5:
        chance.shuffle(nodes)
    else:
        nodes.insert(chance.randrange(len(nodes) + 1), chance.choice(nodes)) if nodes else None
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def _version(model: onnx.ModelProto, chance: random.Random) -> None:
    if model.opset_import:
        model.opset_import[0].version = chance.choice([0, -1, 1, 7, 11, 23, 99, 2**62])
    model.ir_version = chance.choice([0, 1, 3, 8, 10, 99, 2**62])


CHANGES = [_rename, _rename, _operator, _tensor, _tensor, _attribute, _shape, _order, _version]


def _run(tries: int, seed: int, folder: Path) -> Outcome:
    return fuzz("chaos.attacks.onnx_files", tries, seed, folder)


ATTACK = Attack(
    name="onnx-files",
    what=(
        "Damaged and hostile ONNX files are recognised, read, imported, tried in a process of their own, and opened "
        "and run where they did no harm there, or refused by name, each in 2 s and 1 GB."
    ),
    full=1000,
    short=60,
    run=_run,
)
