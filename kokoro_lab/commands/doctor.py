"""`kokoro-lab doctor`: what is there and what is not, without changing anything."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from kokoro_lab.commands.console import print_json, print_table
from kokoro_lab.errors import KokoroLabError

__all__ = ["Finding", "doctor", "findings"]

State = Literal["ok", "missing", "limited"]

WORKING_SPACE_GB = 2.0
"""The stand-in takes 0.33 GB and is written beside its final place; tables, audio and reports of some runs the rest."""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    what: str
    state: State
    """ok; missing: something cannot work; limited: it works with less."""
    detail: str


def doctor(*, as_json: bool) -> bool:
    """Print the findings; False when something that everything needs is missing."""
    found = list(findings())
    if as_json:
        print_json({"checks": [asdict(finding) for finding in found]})
    else:
        print_table([asdict(finding) for finding in found], ("what", "state", "detail"))
    return not any(finding.state == "missing" for finding in found)


def findings() -> Iterator[Finding]:
    """Look at everything, one after the other; what fails to be looked at is missing, with the reason."""
    for what, look in _CHECKS.items():
        try:
            state, detail = look()
        except (KokoroLabError, ImportError, OSError) as error:
            state, detail = "missing", str(error)
        yield Finding(what, state, detail)


Look = tuple[State, str]


def _python() -> Look:
    supported = (3, 11) <= sys.version_info < (3, 13)
    return "ok" if supported else "limited", f"{platform.python_version()}" + (
        "" if supported else ", needs 3.11 or 3.12"
    )


def _onnxruntime() -> Look:
    import onnxruntime

    from kokoro_lab.runtime.providers import available

    return "ok", f"{onnxruntime.__version__} with {', '.join(available())}"


def _model() -> Look:
    from kokoro_lab.models.catalog import default_model, installed, models_folder

    default = default_model()
    for file in installed():
        if file.name == default:
            size = f"{file.bytes / 1e6:.0f} MB, SHA-256 {file.sha256[:12]}"
            return "ok", f"{default}: weights {file.weights}, architecture {file.architecture}, {size}"
    return "limited", f"{default} is not in {models_folder()} yet: it is built on first use, in about 10 s"


def _weights() -> Look:
    from kokoro_lab.models.catalog import default_model

    if default_model() == "stand-in":
        return "limited", "stand-in: times are those of Kokoro-82M, the speech cannot be understood"
    return "ok", "published"


def _voices() -> Look:
    from kokoro_lab.models.voices import load_voice, voice_names, voices_folder

    kinds = [load_voice(name).weights for name in voice_names()]
    real = sum(kind != "stand-in" for kind in kinds)
    detail = f"{len(kinds)} voices, {real} of them with weights from {voices_folder()}"
    return "ok" if real else "limited", detail


def _misaki() -> Look:
    if importlib.util.find_spec("misaki") is None:
        return "missing", "misaki is not installed: English cannot be phonemised"
    from kokoro_lab.text.phonemize import phonemizer_for

    return "ok", f"English: Hello is {phonemizer_for('en-us').phonemize('Hello').phonemes}"


def _tagger() -> Look:
    from kokoro_lab.text.english import SPACY_MODEL, tagger_in_use

    if tagger_in_use() == SPACY_MODEL:
        return "ok", f"{SPACY_MODEL} tags English words"
    return "limited", f"{SPACY_MODEL} is not installed: rules tag English words, and some homographs sound wrong"


def _espeak() -> Look:
    from kokoro_lab.text.espeak import espeak

    return "ok", f"espeak-ng, from espeakng-loader: Bonjour is {espeak('fr-fr').ipa('Bonjour')}"


def _compiler() -> Look:
    found = next((path for name in ("g++", "c++", "clang++") if (path := shutil.which(name))), None)
    return ("ok", found) if found else ("limited", "no C++ compiler: the optional kernels cannot be built")


def _kernels() -> Look:
    from kokoro_lab.kernels.library import facts

    found = facts()
    if found["path"] is None:
        return "limited", f"none: {found['reason']}"
    return "ok", f"{found['kernels']} is chosen; compiled {', '.join(found['compiled'])}"


def _tuned() -> Look:
    from kokoro_lab.engine.choosing import choose_model
    from kokoro_lab.engine.config import EngineConfig
    from kokoro_lab.models.catalog import default_model, installed_names, resolve
    from kokoro_lab.runtime.tuned import read_tuned

    default = default_model()
    if default not in installed_names():
        return "limited", f"not tuned: {default} is not there yet"
    tuned = read_tuned(resolve(default))
    if tuned is None:
        return "limited", "not tuned: run `kokoro-lab models tune`"
    choice = choose_model(EngineConfig())
    close = f"; fastest close one: {tuned.close.name}, {tuned.close.speed:.2f} times" if tuned.close else ""
    usable = tuned.equivalent is None or choice.model.name == tuned.equivalent.name
    return "ok" if usable else "limited", f"{choice.model.name}: {choice.why}{close} ({tuned.measured_at})"


def _preoptimised() -> Look:
    from kokoro_lab.models.catalog import installed
    from kokoro_lab.runtime.preoptimized import find

    files = [file for file in installed() if not file.back]
    ready = [file.name for file in files if find(file).path is not None]
    if not ready:
        return "limited", "none for this machine: `kokoro-lab models optimize` makes sessions quick to create"
    return "ok", f"{len(ready)} of {len(files)} models: {', '.join(ready)}"


def _cores() -> Look:
    import psutil

    physical, logical = psutil.cpu_count(logical=False), psutil.cpu_count()
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else logical
    detail = f"{physical} cores, {logical} logical, {usable} for this process, load {os.getloadavg()[0]:.1f}"
    return "ok" if (usable or 1) > 1 else "limited", detail


def _memory() -> Look:
    import psutil

    memory = psutil.virtual_memory()
    return (
        "ok" if memory.available > 2e9 else "limited",
        f"{memory.available / 1e9:.1f} of {memory.total / 1e9:.1f} GB free",
    )


def _disk() -> Look:
    from kokoro_lab.paths import home, results_folder

    details, enough = [], True
    for folder in (home(), results_folder()):
        there = next(path for path in (folder, *folder.parents) if path.exists())
        free = shutil.disk_usage(there).free / 1e9
        enough &= free >= WORKING_SPACE_GB and os.access(there, os.W_OK)
        details.append(f"{folder}: {free:.1f} GB free{'' if os.access(there, os.W_OK) else ', not writable'}")
    return "ok" if enough else "limited", "; ".join(details)


def _governor() -> Look:
    from kokoro_lab.measure.quiet import snapshot

    governor = snapshot().governor
    if governor is None:
        return "limited", "this system does not tell how it sets the CPU's frequency"
    return "ok" if governor == "performance" else "limited", governor


def _cold_files() -> Look:
    from kokoro_lab.measure.pagecache import drop

    with tempfile.NamedTemporaryFile(dir=_cache_dir()) as file:
        file.write(bytes(1 << 20))
        file.flush()
        dropped = drop(Path(file.name))
    return "ok" if dropped.dropped else "limited", f"a file of the cache was {dropped.note}"


def _cache_dir() -> Path:
    from kokoro_lab.paths import home

    return next(path for path in (home(), *home().parents) if path.exists() and os.access(path, os.W_OK))


def _notebooks() -> Look:
    missing = [name for name in ("papermill", "nbclient", "ipykernel", "deltalake", "altair") if not _has(name)]
    return (
        ("missing", f"not installed: {', '.join(missing)}")
        if missing
        else ("ok", "papermill, Jupyter, Delta and altair")
    )


def _has(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


_CHECKS: dict[str, Callable[[], Look]] = {
    "python": _python,
    "onnxruntime": _onnxruntime,
    "model": _model,
    "weights": _weights,
    "voices": _voices,
    "misaki": _misaki,
    "en_core_web_sm": _tagger,
    "espeak": _espeak,
    "notebooks": _notebooks,
    "compiler": _compiler,
    "kernels": _kernels,
    "tuned model": _tuned,
    "pre-optimised": _preoptimised,
    "cores": _cores,
    "memory": _memory,
    "disk": _disk,
    "governor": _governor,
    "cold file cache": _cold_files,
}
