"""The catalogue as rows: installed models, models that can be fetched, and models that are built on first use."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from kokoro_lab.errors import KokoroLabError
from kokoro_lab.models.catalog import (
    STAND_INS,
    ModelFile,
    default_model,
    installed_names,
    models_folder,
    resolve,
)
from kokoro_lab.models.files.contract import read_contract
from kokoro_lab.models.files.onnxfile import contract_ports
from kokoro_lab.models.files.published import published_files
from kokoro_lab.models.rewrite.partition import read_whole

__all__ = ["listing"]

PUBLISHED_CONTRACTS = {"model-files-v1.0": "kokoro-onnx-1.0", "model-files-v1.1": "kokoro-onnx-1.1"}


def listing() -> list[dict[str, Any]]:
    """A row per model: name, path, sha256, bytes, weights, architecture, precision, contract, installed, default.

    Installed files come first, unreadable files among them with an `error`; then models that can be built or fetched.
    Models that can be fetched have their published size and SHA-256.
    """
    rows = [_installed(name) for name in installed_names()]
    known = {row["name"] for row in rows}
    rows += [
        _row(name, weights="stand-in", architecture=size, precision="fp32", contract="kokoro-lab")
        for name, size in STAND_INS.items()
        if name not in known
    ]
    rows += [
        _row(
            file.name,
            sha256=file.sha256,
            bytes=file.bytes,
            weights="published",
            architecture="full",
            precision=file.precision,
            contract=_published_contract(file.url),
            url=file.url,
        )
        for file in published_files("models")
        if file.name not in known
    ]
    default = default_model()
    return [{**row, "default": row["name"] == default} for row in rows]


def _installed(name: str) -> dict[str, Any]:
    path = models_folder() / f"{name}.onnx"
    try:
        file: ModelFile = resolve(str(path)) if name in STAND_INS else resolve(name)
    except KokoroLabError as error:
        return _row(name, path=str(path), installed=True, error=error.message)
    row = _row(file.name, contract=_contract(file), installed=True)
    return {**row, **asdict(file), "path": str(file.path)}


def _contract(file: ModelFile) -> str:
    """How the file is called."""
    try:
        return read_contract(*contract_ports(read_whole(file))).name
    except KokoroLabError:
        return "unknown"


def _published_contract(url: str) -> str:
    for part, contract in PUBLISHED_CONTRACTS.items():
        if part in url:
            return contract
    return "onnx-community"


def _row(name: str, **known: Any) -> dict[str, Any]:
    empty = dict.fromkeys(("path", "sha256", "bytes", "weights", "architecture", "precision", "contract", "error"))
    return {"name": name, **empty, "installed": False, **known}
