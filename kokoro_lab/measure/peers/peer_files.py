"""The files and the manifest that a peer engine is given, so that it uses the same weights, voice and phonemes as ours.

The parent prepares all of them before anything is timed. A file is created once, in the format that the peer reads,
under home()/peers.
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
from kokoro_lab.files.writing import make_folder, scratch_folder, write_bytes, written_whole
from kokoro_lab.measure.machine.content_bytes import code_sum, model_sum, text_sum, voice_sum
from kokoro_lab.measure.peers.adapters import ADAPTERS, PeerFiles
from kokoro_lab.measure.peers.adapters.own_engine import MANIFEST, Manifest, PeerSentence
from kokoro_lab.measure.peers.environments import inside
from kokoro_lab.measure.records.cell import OTHER_TEXT, Cell, ModelReading
from kokoro_lab.models.catalog import STAND_IN_REVISION, STAND_IN_SEED, resolve
from kokoro_lab.models.files.model_record import ADVICE
from kokoro_lab.models.voices import load_voice
from kokoro_lab.paths import home
from kokoro_lab.runtime.session_files.files_read import FilesRead, with_data
from kokoro_lab.runtime.trial.first_opening import ensure_harmless
from kokoro_lab.text.segment import segments
from kokoro_lab.text.vocabulary import load_vocabulary

if TYPE_CHECKING:
    from kokoro_lab.models.catalog import ModelFile

__all__ = ["is_peer", "peer_reads", "peer_sums", "prepare", "write_manifest"]


def is_peer(cell: Cell) -> bool:
    """Whether the cell's environment contains a peer engine; one with another onnxruntime runs our own engine."""
    return cell.environment in ADAPTERS


def write_manifest(cell: Cell, scratch: Path) -> dict[str, str]:
    """In the parent: write the manifest of a peer's cell into `scratch`; returns the variables that point to it."""
    files, model = prepare(cell)
    texts = (*cell.requests, OTHER_TEXT) if cell.state == "cold-shape" else cell.requests
    utterances = {text: _sentences(text, cell.lang) for text in texts}
    manifest = Manifest(files, model, utterances, peer_sums(cell, files))
    path = scratch / "peer.json"
    manifest.write(path)
    return {MANIFEST: str(path)}


def peer_reads(files: PeerFiles) -> FilesRead:
    """The files of the model that a peer reads, external data included; its own libraries are not known here."""
    path = Path(files.model)
    return FilesRead(with_data(path) if path.suffix == ".onnx" else (path,), (), ())


def peer_sums(cell: Cell, files: PeerFiles) -> dict[str, str]:
    """Part of a block's identity -> sum, of what a peer is given; its installed packages are its process's to add."""
    return {
        "model": model_sum(peer_reads(files).model),
        "text": text_sum(cell.text),
        "voice": voice_sum(cell.voice),
        "code": code_sum(),
    }


def prepare(cell: Cell) -> tuple[PeerFiles, ModelReading]:
    """Create the files that the cell's peer reads, where they are missing.

    Raises SettingError for settings that peers do not have, ModelNotFoundError, VoiceError, and KokoroLabError when
    the peer cannot read these weights.
    """
    _refuse(cell)
    file = resolve(cell.model)
    ensure_harmless(file)
    folder = make_folder(home() / "peers", error=KokoroLabError, advice=ADVICE)
    if cell.environment == "sherpa-onnx":
        files = _for_sherpa(file, cell.voice, folder)
    elif cell.environment == "upstream":
        files = _for_upstream(file, cell.voice, folder)
    else:
        files = PeerFiles(str(file.path), str(_archive(cell.voice, folder)), str(_vocabulary(folder)), cell.voice)
    return files, ModelReading(file.name, file.sha256, file.weights, file.architecture, file.precision)


def _refuse(cell: Cell) -> None:
    requirements = [
        ("provider cpu", cell.provider != "cpu"),
        ("no provider options", bool(cell.provider_options)),
        ("no engine settings", bool(cell.engine_settings)),
        ("graph level all", cell.graph_level != "all"),
    ]
    if wrong := [name for name, differs in requirements if differs]:
        raise SettingError(f"peer {cell.environment} runs only with {', '.join(wrong)}; change the cell")


@functools.cache
def _sentences(text: str, lang: str) -> tuple[PeerSentence, ...]:
    return tuple(PeerSentence(segment.phonemes, segment.pause_s) for segment in segments(text, lang))


def _for_sherpa(file: ModelFile, voice: str, folder: Path) -> PeerFiles:
    """The same model with sherpa's metadata appended: concatenated serialised messages merge."""
    import onnx

    facts = {
        "model_type": "kokoro",
        "language": "English",
        "has_espeak": 1,
        "sample_rate": 24_000,
        "version": 1,
        "voice": "en-us",
        # It uses row n for n tokens, where upstream uses n - 1: with the first row doubled, both use the same.
        "style_dim": "511,1,256",
        "n_speakers": 1,
        "speaker_names": voice,
    }
    target = folder / f"sherpa-{file.sha256[:12]}-{_sum(json.dumps(facts).encode())}.onnx"
    if not target.exists():
        extra = onnx.ModelProto()
        for key, value in facts.items():
            extra.metadata_props.add(key=key, value=str(value))
        with written_whole(target, error=KokoroLabError, advice=ADVICE) as stream:
            with file.path.open("rb") as source:
                shutil.copyfileobj(source, stream)
            stream.write(extra.SerializeToString())
    styles = _styles(voice)
    voices = _stored(folder, "sherpa-voice", ".bin", np.concatenate([styles[:1], styles]).astype("<f4").tobytes())
    symbols = "".join(f"{symbol} {number}\n" for symbol, number in _symbols().items())
    return PeerFiles(str(target), str(voices), str(_stored(folder, "tokens", ".txt", symbols.encode())), voice)


def _for_upstream(file: ModelFile, voice: str, folder: Path) -> PeerFiles:
    """A .pth of the stand-in's weights, before they are folded into a graph, written by PyTorch itself."""
    if file.weights != "stand-in" or file.architecture != "full" or file.precision != "fp32":
        raise KokoroLabError(
            f"upstream reads .pth files, and model {file.name!r} has none; measure it with the model stand-in"
        )

    def convert(kind: str, target: Path, *arguments: str) -> None:
        with scratch_folder(folder, prefix=f".{target.name}.", error=KokoroLabError, advice=ADVICE) as scratch:
            part = scratch / target.name
            program = ["python", "-m", "kokoro_lab.measure.peers.adapters.upstream", kind, str(part), *arguments]
            command, variables = inside("upstream", program, scratch)
            done = subprocess.run(command, env={**os.environ, **variables}, capture_output=True, text=True)
            if done.returncode != 0:
                reason = (done.stderr.strip().splitlines() or ["no output"])[-1]
                raise KokoroLabError(
                    f"upstream's files cannot be written: {reason}; try again or reinstall the environment upstream"
                )
            part.replace(target)

    weights = folder / f"upstream-{STAND_IN_SEED}.{STAND_IN_REVISION}.pth"
    if not weights.exists():
        convert("weights", weights, str(STAND_IN_SEED))
    plain = _stored(folder, "voice", ".f32", _styles(voice).astype("<f4").tobytes())
    pack = plain.with_suffix(".pt")
    if not pack.exists():
        convert("voice", pack, str(plain))
    return PeerFiles(str(weights), str(pack), str(_vocabulary(folder)), voice)


def _archive(voice: str, folder: Path) -> Path:
    """One voice in the format of `voices-v1.0.bin`: an .npz, name -> float32 [510, 1, 256]."""
    styles = _styles(voice)
    target = folder / f"{voice.replace(os.sep, '-')}-{_sum(styles.tobytes())}.npz"
    if not target.exists():
        with written_whole(target, error=KokoroLabError, advice=ADVICE) as stream:
            packs: dict[str, Any] = {voice: styles[:, None, :]}
            np.savez(stream, **packs)
    return target


def _vocabulary(folder: Path) -> Path:
    return _stored(folder, "vocabulary", ".json", json.dumps({"vocab": _symbols()}).encode())


def _styles(voice: str) -> np.ndarray[Any, np.dtype[np.float32]]:
    """float32 [510, 256]."""
    return load_voice(voice).styles


def _symbols() -> dict[str, int]:
    return dict(load_vocabulary().ids)


def _stored(folder: Path, stem: str, suffix: str, content: bytes) -> Path:
    """A file with this content, named by its checksum."""
    target = folder / f"{stem}-{_sum(content)}{suffix}"
    if not target.exists():
        write_bytes(target, content, error=KokoroLabError, advice=ADVICE)
    return target


def _sum(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:12]
