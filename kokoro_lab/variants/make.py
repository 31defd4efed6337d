"""Builds variants by recipe, and installs imported models that were proved."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import onnx

from kokoro_lab.errors import ModelError, SettingError
from kokoro_lab.files.reading import decoding
from kokoro_lab.files.writing import make_folder, remove_litter, write_bytes
from kokoro_lab.models.catalog import ModelFile, models_folder, resolve
from kokoro_lab.models.files.model_record import ADVICE, data_path, file_bytes, file_sha256, write_record
from kokoro_lab.models.files.onnxfile import read_onnx
from kokoro_lab.models.files.published import published_name
from kokoro_lab.models.graph.architecture import (
    FULL,
    Architecture,
    ArchitectureName,
    architecture_named,
    architecture_of,
)
from kokoro_lab.models.graph.model_graph import build
from kokoro_lab.models.importing.importer import RecoveredParameters, recover
from kokoro_lab.models.rewrite.kernel_rewrite import save_apart, uses_kernels
from kokoro_lab.models.rewrite.variant_recipes import apply, load_recipe, static_convolutions
from kokoro_lab.runtime.trial.first_opening import ensure_harmless, ensure_harmless_file
from kokoro_lab.variants.calibrate import calibrate
from kokoro_lab.variants.import_proof import ImportProof, prove
from kokoro_lab.variants.probes import check_probes

__all__ = ["adopt", "install", "make", "plain_model"]

TOOLS = ("kokoro-lab", "numpy", "onnx", "onnxruntime")
Notice = Callable[[str], None]


def make(source: str, recipe_name: str, name: str = "", *, notice: Notice | None = None) -> list[ModelFile]:
    """Build the variant `recipe_name` of the installed model `source`, named `name` or SOURCE-RECIPE.

    Returns the installed files: a single file, or a front and a back. The record beside each has the recipe, the
    source's SHA-256 and the tools' versions. Raises ModelNotFoundError, SettingError (an invalid recipe or name) and
    ModelError (the source is not a plain graph of ours).
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
    files = []
    for suffix, variant in apply(recipe, model, arch, reach).items():
        files.append(
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
        say(f"built {files[-1].path} ({files[-1].bytes / 1e6:.0f} MB)")
    return files


def adopt(
    path: Path, name: str, *, arch: Architecture = FULL, notice: Notice | None = None
) -> tuple[ModelFile, RecoveredParameters, ImportProof | None]:
    """Import a foreign file: recover its parameters, rebuild our graph, prove it, and install it as `name`.

    A .pth cannot be proved here, because PyTorch is not installed: its proof is None. Raises ModelError when a
    parameter is missing or the proof fails; nothing is installed then.
    """
    say = notice or (lambda _: None)
    stem = _checked_name(name)
    recovered = recover(path, arch)
    say(f"recovered {len(recovered.state)} tensors ({recovered.precision}); not read: {len(recovered.unread)}")
    rebuilt = build(arch, recovered.state, metadata={"kokoro_lab.weights": "imported"})
    sha256 = file_sha256(path)
    proof = None
    if recovered.contract is not None:
        ensure_harmless_file(path, sha256, notice=say)
        say("running the original and the rebuilt graph on the check sentences")
        with decoding(f"model file {path.name}", error=ModelError, advice="export it again"):
            proof = prove(read_onnx(path), rebuilt, check_probes(), half=recovered.precision == "fp16", arch=arch)
        if not proof.holds:
            raise ModelError(
                f"{path.name} was not imported, the rebuilt graph differs ({'; '.join(proof.faults)}); export it again"
            )
    file = install(
        rebuilt,
        stem,
        weights="imported",
        architecture=architecture_of([tuple(tensor.dims) for tensor in rebuilt.graph.initializer]),
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
    architecture: ArchitectureName,
    precision: str,
    **made_with: Any,
) -> ModelFile:
    """Check the graph, write it to the models folder whole or not at all, and write its record beside it."""
    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError as error:
        raise ModelError(
            f"the graph built for {name} is invalid ({str(error).splitlines()[0]}); change the recipe"
        ) from error
    path = models_folder() / f"{name}.onnx"
    remove_litter(make_folder(path.parent, error=ModelError, advice=ADVICE))
    if uses_kernels(model):
        save_apart(model, path)
    else:
        data_path(path).unlink(missing_ok=True)
        write_bytes(path, model.SerializeToString(), error=ModelError, advice=ADVICE)
    file = ModelFile(name, path, file_sha256(path), file_bytes(path), weights, architecture, precision)
    write_record(file, tools={tool: version(tool) for tool in TOOLS}, **made_with)
    return file


def plain_model(source: str) -> tuple[ModelFile, onnx.ModelProto, Architecture]:
    """An installed model that recipes can start from: our own fp32 graph, not rewritten.

    Raises ModelError for any other model.
    """
    file = resolve(source)
    ensure_harmless(file)
    model = read_onnx(file.path)
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    if "kokoro_lab.architecture" not in metadata:
        raise ModelError(
            f"{file.name} is another exporter's file; import it first: "
            f"kokoro-lab models import {file.path} --name {file.name}-imported"
        )
    if {"kokoro_lab.graph", "kokoro_lab.precision"} & set(metadata):
        raise ModelError(f"{file.name} is a variant already; start from the model that it was derived from")
    return file, model, architecture_named(metadata["kokoro_lab.architecture"])


def _checked_name(name: str) -> str:
    plain = name.replace("-", "").replace("_", "").replace(".", "")
    if not plain.isalnum() or not name[0].isalnum() or name in {"stand-in", "tiny", "default"}:
        raise SettingError(
            f"invalid model name {name!r}; use letters, digits, dots and dashes, and not the name of a stand-in"
        )
    return name
