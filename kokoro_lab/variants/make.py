"""Makes variants by recipe, and installs imports that were proved."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import onnx

from kokoro_lab.errors import ModelError, SettingError
from kokoro_lab.models.architecture import FULL, Architecture, architecture_named
from kokoro_lab.models.catalog import ModelFile, models_folder, resolve
from kokoro_lab.models.graph import build
from kokoro_lab.models.importer import Recovered, recover
from kokoro_lab.models.kernel_rewrite import save_apart, uses_kernels
from kokoro_lab.models.onnxfile import read_onnx
from kokoro_lab.models.published import published_name
from kokoro_lab.models.recipes import apply, load_recipe, static_convolutions
from kokoro_lab.models.records import data_path, file_bytes, file_sum, write_record, written_whole
from kokoro_lab.variants.calibrate import calibrate
from kokoro_lab.variants.probes import check_probes
from kokoro_lab.variants.proof import Proof, prove

__all__ = ["adopt", "install", "make", "plain_model"]

TOOLS = ("kokoro-lab", "numpy", "onnx", "onnxruntime")
Notice = Callable[[str], None]


def make(source: str, recipe_name: str, name: str = "", *, notice: Notice | None = None) -> list[ModelFile]:
    """Make the variant `recipe_name` of the installed model `source`, called `name` or SOURCE-RECIPE.

    Returns the installed files: one, or a front and a back. The record beside each keeps the recipe, the source's
    SHA-256 and the tools' versions. Raises ModelNotFoundError, SettingError (a bad recipe or name) and ModelError
    (the source is no plain graph of ours).
    """
    say = notice or (lambda _: None)
    recipe = load_recipe(recipe_name)
    file, model, arch = plain_model(source)
    stem = _checked_name(name or f"{file.name}-{recipe.name}")
    convs = static_convolutions(recipe, model)
    reach = None
    if convs:
        say(f"calibrating {len(convs)} convolutions of {file.name} on the sentences in data/calibration.json")
        reach = calibrate(model, convs)
    made = []
    for suffix, variant in apply(recipe, model, arch, reach).items():
        made.append(
            install(
                variant,
                f"{stem}-{suffix}" if suffix else stem,
                weights=file.weights,
                architecture=file.architecture,
                precision=recipe.precision,
                recipe=recipe.model_dump(mode="json"),
                source={"name": file.name, "sha256": file.sha256},
            )
        )
        say(f"made {made[-1].path} ({made[-1].bytes / 1e6:.0f} MB)")
    return made


def adopt(
    path: Path, name: str, *, arch: Architecture = FULL, notice: Notice | None = None
) -> tuple[ModelFile, Recovered, Proof | None]:
    """Import a foreign file: recover its parameters, rebuild our graph, prove it, and install it as `name`.

    A .pth cannot be proved here, because nothing here runs PyTorch: its proof is None. Raises ModelError when a
    parameter is missing or the proof fails; nothing is installed then.
    """
    say = notice or (lambda _: None)
    stem = _checked_name(name)
    recovered = recover(path, arch)
    say(f"recovered {len(recovered.state)} tensors ({recovered.precision}); not read: {len(recovered.unread)}")
    rebuilt = build(arch, recovered.state, metadata={"kokoro_lab.weights": "imported"})
    proof = None
    if recovered.contract is not None:
        say("running the original and the rebuilt graph on the check sentences")
        proof = prove(read_onnx(path), rebuilt, check_probes(), half=recovered.precision == "fp16", arch=arch)
        if not proof.holds:
            raise ModelError(f"{path.name} was not imported, the rebuilt graph differs: {'; '.join(proof.faults)}")
    sha256 = file_sum(path)
    file = install(
        rebuilt,
        stem,
        weights="imported",
        architecture="full",
        precision="fp32",
        source={"name": published_name(sha256) or path.name, "sha256": sha256, "precision": recovered.precision},
        unread=list(recovered.unread),
        proof=None if proof is None else {"noisy_db": proof.noisy_db, "noiseless_db": proof.noiseless_db},
    )
    return file, recovered, proof


def install(
    model: onnx.ModelProto,
    name: str,
    *,
    weights: Literal["stand-in", "imported", "published"],
    architecture: Literal["full", "tiny"],
    precision: str,
    **made_with: Any,
) -> ModelFile:
    """Check the graph, write it to the models folder whole or not at all, and its record beside it."""
    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError as error:
        raise ModelError(f"the graph made for {name} is not valid: {str(error).splitlines()[0]}") from error
    path = models_folder() / f"{name}.onnx"
    path.parent.mkdir(parents=True, exist_ok=True)
    if uses_kernels(model):
        save_apart(model, path)
    else:
        data_path(path).unlink(missing_ok=True)
        with written_whole(path) as stream:
            stream.write(model.SerializeToString())
    file = ModelFile(name, path, file_sum(path), file_bytes(path), weights, architecture, precision)
    write_record(file, tools={tool: version(tool) for tool in TOOLS}, **made_with)
    return file


def plain_model(source: str) -> tuple[ModelFile, onnx.ModelProto, Architecture]:
    """An installed model that recipes can start from: our own graph in fp32, not rewritten.

    Raises ModelError for any other.
    """
    file = resolve(source)
    model = read_onnx(file.path)
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    if "kokoro_lab.architecture" not in metadata:
        raise ModelError(
            f"{file.name} is another exporter's file; bring it in first: "
            f"kokoro-lab models import {file.path} --name {file.name}-imported"
        )
    if {"kokoro_lab.graph", "kokoro_lab.precision"} & set(metadata):
        raise ModelError(f"{file.name} is a variant already; start from the model that it was made of")
    return file, model, architecture_named(metadata["kokoro_lab.architecture"])


def _checked_name(name: str) -> str:
    plain = name.replace("-", "").replace("_", "").replace(".", "")
    if not plain.isalnum() or not name[0].isalnum() or name in {"stand-in", "tiny", "default"}:
        raise SettingError(f"{name!r} is no name for a model; use letters, digits, dots and dashes, and no stand-in's")
    return name
