"""What a peer engine is handed, so that it speaks the same weights, voice and phonemes as we do: files and a manifest.

All of this is the parent's work, before any clock runs. A file is made once, in the format that the peer reads, under
home()/peers.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kokoro_lab.errors import KokoroLabError, SettingError
from kokoro_lab.measure.adapters import ADAPTERS, Files
from kokoro_lab.measure.adapters.engine import MANIFEST, Manifest, Sentence
from kokoro_lab.measure.cell import Cell, ModelReading
from kokoro_lab.paths import home

if TYPE_CHECKING:
    from kokoro_lab.models.catalog import ModelFile

__all__ = ["hand_over", "is_peer", "model_path", "prepare"]


def is_peer(cell: Cell) -> bool:
    """Whether the cell's environment holds a peer engine; one with another onnxruntime runs our own."""
    return cell.environment in ADAPTERS


def hand_over(cell: Cell, scratch: Path) -> dict[str, str]:
    """In the parent: write the manifest of a peer's cell into `scratch`; the variables that tell the worker of it."""
    from kokoro_lab.measure.states import OTHER_TEXT

    files, model = prepare(cell)
    texts = (cell.text, OTHER_TEXT) if cell.state == "cold-shape" else (cell.text,)
    manifest = Manifest(files, model, {text: _sentences(text, cell.lang) for text in texts})
    path = scratch / "peer.json"
    manifest.write(path)
    return {MANIFEST: str(path)}


def model_path(cell: Cell) -> Path:
    """The model file that the cell's process reads: what a cold start must not find in the page cache."""
    from kokoro_lab.models.catalog import resolve

    return Path(prepare(cell)[0].model) if is_peer(cell) else resolve(cell.model).path


def prepare(cell: Cell) -> tuple[Files, ModelReading]:
    """Make the files that the cell's peer reads, those that are not there yet.

    Raises SettingError for what a peer cannot be asked for, ModelNotFoundError, VoiceError, and KokoroLabError when
    the peer cannot have these weights.
    """
    from kokoro_lab.models.catalog import resolve

    _refuse(cell)
    file = resolve(cell.model)
    folder = home() / "peers"
    folder.mkdir(parents=True, exist_ok=True)
    if cell.environment == "sherpa-onnx":
        files = _for_sherpa(file, cell.voice, folder)
    elif cell.environment == "upstream":
        files = _for_upstream(file, cell.voice, folder)
    else:
        files = Files(str(file.path), str(_archive(cell.voice, folder)), str(_vocabulary(folder)), cell.voice)
    return files, ModelReading(file.name, file.sha256, file.weights, file.architecture, file.precision)


def _refuse(cell: Cell) -> None:
    asked = [
        ("provider cpu", cell.provider != "cpu"),
        ("no provider options", bool(cell.provider_options)),
        ("no engine settings", bool(cell.engine_settings)),
        ("graph level all", cell.graph_level != "all"),
    ]
    if wrong := [name for name, differs in asked if differs]:
        raise SettingError(f"peer {cell.environment} runs with {', '.join(wrong)} only; measure it so")


@functools.cache
def _sentences(text: str, lang: str) -> tuple[Sentence, ...]:
    from kokoro_lab.text.segment import segments

    return tuple(Sentence(one.phonemes, one.pause_s) for one in segments(text, lang))


def _for_sherpa(file: ModelFile, voice: str, folder: Path) -> Files:
    """The same model with sherpa's metadata behind it: serialised messages that follow one another merge."""
    import onnx

    facts = {
        "model_type": "kokoro",
        "language": "English",
        "has_espeak": 1,
        "sample_rate": 24_000,
        "version": 1,
        "voice": "en-us",
        # It takes row n for n tokens, where upstream takes n - 1: with the first row twice it takes the same.
        "style_dim": "511,1,256",
        "n_speakers": 1,
        "speaker_names": voice,
    }
    target = folder / f"sherpa-{file.sha256[:12]}-{_sum(json.dumps(facts).encode())}.onnx"
    if not target.exists():
        extra = onnx.ModelProto()
        for key, value in facts.items():
            extra.metadata_props.add(key=key, value=str(value))
        part = target.with_suffix(".part")
        shutil.copyfile(file.path, part)
        with part.open("ab") as stream:
            stream.write(extra.SerializeToString())
        part.replace(target)
    styles = _styles(voice)
    voices = _kept(folder, "sherpa-voice", ".bin", np.concatenate([styles[:1], styles]).astype("<f4").tobytes())
    symbols = "".join(f"{symbol} {number}\n" for symbol, number in _symbols().items())
    return Files(str(target), str(voices), str(_kept(folder, "tokens", ".txt", symbols.encode())), voice)


def _for_upstream(file: ModelFile, voice: str, folder: Path) -> Files:
    """A .pth of the stand-in's weights, before they were folded into a graph, written by PyTorch itself."""
    from kokoro_lab.measure.environments import inside
    from kokoro_lab.models.catalog import STAND_IN_REVISION, STAND_IN_SEED

    if file.weights != "stand-in" or file.architecture != "full" or file.precision != "fp32":
        raise KokoroLabError(
            f"upstream reads a .pth, and model {file.name!r} has none; measure it with the model stand-in"
        )

    def convert(kind: str, target: Path, *arguments: str) -> None:
        part, scratch = target.with_suffix(".part"), target.with_suffix(".path")
        scratch.mkdir(exist_ok=True)
        try:
            program = ["python", "-m", "kokoro_lab.measure.adapters.upstream", kind, str(part), *arguments]
            command, variables = inside("upstream", program, scratch)
            done = subprocess.run(command, env={**os.environ, **variables}, capture_output=True, text=True)
        finally:
            shutil.rmtree(scratch)
        if done.returncode != 0:
            reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise KokoroLabError(f"upstream's files could not be written: {reason}")
        part.replace(target)

    weights = folder / f"upstream-{STAND_IN_SEED}.{STAND_IN_REVISION}.pth"
    if not weights.exists():
        convert("weights", weights, str(STAND_IN_SEED))
    plain = _kept(folder, "voice", ".f32", _styles(voice).astype("<f4").tobytes())
    pack = plain.with_suffix(".pt")
    if not pack.exists():
        convert("voice", pack, str(plain))
    return Files(str(weights), str(pack), str(_vocabulary(folder)), voice)


def _archive(voice: str, folder: Path) -> Path:
    """One voice as `voices-v1.0.bin` has them: an .npz, name -> float32 [510, 1, 256]."""
    styles = _styles(voice)
    target = folder / f"{voice.replace(os.sep, '-')}-{_sum(styles.tobytes())}.npz"
    if not target.exists():
        part = target.with_suffix(".part")
        with part.open("wb") as stream:
            packs: dict[str, Any] = {voice: styles[:, None, :]}
            np.savez(stream, **packs)
        part.replace(target)
    return target


def _vocabulary(folder: Path) -> Path:
    return _kept(folder, "vocabulary", ".json", json.dumps({"vocab": _symbols()}).encode())


def _styles(voice: str) -> np.ndarray[Any, np.dtype[np.float32]]:
    """float32 [510, 256]."""
    from kokoro_lab.models.voices import load_voice

    return load_voice(voice).styles


def _symbols() -> dict[str, int]:
    from kokoro_lab.text.vocabulary import load_vocabulary

    return dict(load_vocabulary().ids)


def _kept(folder: Path, stem: str, suffix: str, content: bytes) -> Path:
    """A file of this content, named by its sum."""
    target = folder / f"{stem}-{_sum(content)}{suffix}"
    if not target.exists():
        part = target.with_suffix(".part")
        part.write_bytes(content)
        part.replace(target)
    return target


def _sum(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:12]
