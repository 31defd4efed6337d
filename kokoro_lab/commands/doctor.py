"""`kokoro-lab doctor`: check the installation and report missing components, without changing anything."""

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

import psutil

from kokoro_lab.commands.console import print_json, print_table
from kokoro_lab.engine.config import EngineConfig
from kokoro_lab.engine.model_selection import choose_model
from kokoro_lab.errors import KokoroLabError, VoiceError
from kokoro_lab.kernels.library import facts
from kokoro_lab.measure.machine.interference import snapshot
from kokoro_lab.measure.machine.pagecache import COLD, made_cold
from kokoro_lab.models.catalog import default_model, installed, installed_names, models_folder, resolve
from kokoro_lab.models.voices import load_voice, voice_names, voices_folder
from kokoro_lab.paths import home, results_folder
from kokoro_lab.runtime.preoptimized import find
from kokoro_lab.runtime.providers import available
from kokoro_lab.runtime.tuning_record import read_tuned
from kokoro_lab.text.english import SPACY_MODEL, tagger_in_use
from kokoro_lab.text.espeak import espeak
from kokoro_lab.text.phonemize import phonemizer_for

__all__ = ["Finding", "doctor", "findings", "python_is_supported"]

State = Literal["ok", "missing", "limited"]

WORKING_SPACE_GB = 2.0
"""Room for the stand-in (0.33 GB), and for the tables, audio and reports of some runs."""


@dataclass(frozen=True)
class Finding:
    """The state of one component."""

    what: str
    state: State
    """ok; missing: something cannot work; limited: it works, with a restriction."""
    detail: str


def doctor(*, as_json: bool) -> bool:
    """Print the findings; False when a required component is missing."""
    checks = list(findings())
    if as_json:
        print_json({"checks": [asdict(finding) for finding in checks]})
    else:
        print_table([asdict(finding) for finding in checks], ("what", "state", "detail"))
    return not any(finding.state == "missing" for finding in checks)


def findings() -> Iterator[Finding]:
    """Check every component in turn; a check that fails reports the component as missing, with the reason."""
    for what, check in _CHECKS.items():
        try:
            state, detail = check()
        except (KokoroLabError, ImportError, OSError) as error:
            state, detail = "missing", str(error)
        yield Finding(what, state, detail)


CheckResult = tuple[State, str]


def python_is_supported(version: tuple[int, int]) -> bool:
    """Whether every dependency supports this major and minor version of Python; pyproject.toml has the same range."""
    return (3, 11) <= version < (3, 13)


def _python() -> CheckResult:
    supported = python_is_supported(sys.version_info[:2])
    return "ok" if supported else "limited", f"{platform.python_version()}" + (
        "" if supported else ", needs 3.11 or 3.12"
    )


def _onnxruntime() -> CheckResult:
    import onnxruntime

    return "ok", f"{onnxruntime.__version__} with {', '.join(available())}"


def _model() -> CheckResult:
    default = default_model()
    for file in installed():
        if file.name == default:
            size = f"{file.bytes / 1e6:.0f} MB, SHA-256 {file.sha256[:12]}"
            return "ok", f"{default}: weights {file.weights}, architecture {file.architecture}, {size}"
    return "limited", f"{default} is not in {models_folder()} yet; it is built on first use, in about 10 s"


def _weights() -> CheckResult:
    if default_model() == "stand-in":
        return "limited", "stand-in: it is as fast as Kokoro-82M, but its output is not intelligible speech"
    return "ok", "published"


def _voices() -> CheckResult:
    kinds: list[str] = []
    unreadable: list[str] = []
    for name in voice_names():
        try:
            kinds.append(load_voice(name).weights)
        except VoiceError as error:
            unreadable.append(error.message)
    real = sum(kind != "stand-in" for kind in kinds)
    detail = f"{len(kinds)} voices, {real} of them with real weights, from {voices_folder()}"
    if unreadable:
        detail += f"; {len(unreadable)} cannot be read: {unreadable[0]}"
    return "ok" if real and not unreadable else "limited", detail


def _misaki() -> CheckResult:
    if importlib.util.find_spec("misaki") is None:
        return "missing", "misaki is not installed; English text cannot be converted to phonemes without it"
    return "ok", f"English: Hello is {phonemizer_for('en-us').phonemize('Hello').phonemes}"


def _tagger() -> CheckResult:
    if tagger_in_use() == SPACY_MODEL:
        return "ok", f"{SPACY_MODEL} tags English words"
    return "limited", f"{SPACY_MODEL} is not installed; rules tag English words, and some homographs sound wrong"


def _espeak() -> CheckResult:
    return "ok", f"espeak-ng, from espeakng-loader: Bonjour is {espeak('fr-fr').ipa('Bonjour')}"


def _compiler() -> CheckResult:
    compiler = next((path for name in ("g++", "c++", "clang++") if (path := shutil.which(name))), None)
    return ("ok", compiler) if compiler else ("limited", "no C++ compiler; the optional kernels cannot be built")


def _kernels() -> CheckResult:
    library = facts()
    if library["path"] is None:
        return "limited", f"not available: {library['reason']}"
    return "ok", f"{library['kernels']} is in use; compiled: {', '.join(library['compiled'])}"


def _default_form() -> CheckResult:
    default = default_model()
    if default not in installed_names():
        return "limited", f"{default} is not installed yet; `kokoro-lab models prepare` makes what speaks fastest here"
    choice = choose_model(EngineConfig())
    return "limited" if choice.form == "plain" else "ok", f"{choice.model.name}: {choice.why}"


def _tuned() -> CheckResult:
    default = default_model()
    if default not in installed_names():
        return "limited", f"not tuned: {default} is not installed yet"
    tuned = read_tuned(resolve(default))
    if tuned is None:
        return "limited", "not tuned; run `kokoro-lab models tune`"
    choice = choose_model(EngineConfig())
    close = f"; fastest close variant: {tuned.close.name}, {tuned.close.speed:.2f}x" if tuned.close else ""
    usable = tuned.equivalent is None or choice.model.name == tuned.equivalent.name
    return "ok" if usable else "limited", f"{choice.model.name}: {choice.why}{close} ({tuned.measured_at})"


def _preoptimised() -> CheckResult:
    files = [file for file in installed() if not file.back]
    ready = [file.name for file in files if find(file).path is not None]
    if not ready:
        return (
            "limited",
            "no files for this machine; write them with `kokoro-lab models optimize` to load models faster",
        )
    return "ok", f"{len(ready)} of {len(files)} models: {', '.join(ready)}"


def _cores() -> CheckResult:
    physical, logical = psutil.cpu_count(logical=False), psutil.cpu_count()
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else logical
    load = os.getloadavg()[0]
    detail = f"{physical} physical cores, {logical} logical, {usable} usable by this process, load average {load:.1f}"
    return "ok" if (usable or 1) > 1 else "limited", detail


def _memory() -> CheckResult:
    memory = psutil.virtual_memory()
    return (
        "ok" if memory.available > 2e9 else "limited",
        f"{memory.available / 1e9:.1f} of {memory.total / 1e9:.1f} GB free",
    )


def _disk() -> CheckResult:
    details, enough = [], True
    for folder in (home(), results_folder()):
        existing = next(path for path in (folder, *folder.parents) if path.exists())
        free = shutil.disk_usage(existing).free / 1e9
        enough &= free >= WORKING_SPACE_GB and os.access(existing, os.W_OK)
        details.append(f"{folder}: {free:.1f} GB free{'' if os.access(existing, os.W_OK) else ', not writable'}")
    return "ok" if enough else "limited", "; ".join(details)


def _governor() -> CheckResult:
    governor = snapshot().governor
    if governor is None:
        return "limited", "this system does not report its CPU frequency governor"
    return "ok" if governor == "performance" else "limited", governor


def _cold_files() -> CheckResult:
    folder = _cache_dir()
    if folder is None:
        return "limited", f"not tried: nothing can be written in {home()}"
    with tempfile.NamedTemporaryFile(dir=folder) as file:
        file.write(bytes(1 << 20))
        file.flush()
        made = made_cold([Path(file.name)])
    return "ok" if made["measured"] == COLD else "limited", f"a cached test file was {made['file_cache']}"


def _cache_dir() -> Path | None:
    return next((path for path in (home(), *home().parents) if path.exists() and os.access(path, os.W_OK)), None)


def _notebooks() -> CheckResult:
    missing = [name for name in ("papermill", "nbclient", "ipykernel", "deltalake", "altair") if not _has(name)]
    if missing:
        names = ", ".join(missing)
        return "limited", f"not installed: {names}; for sweeps and reports, pip install 'kokoro-lab[lab]'"
    return "ok", "papermill, Jupyter, Delta and altair"


def _has(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


_CHECKS: dict[str, Callable[[], CheckResult]] = {
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
    "default form": _default_form,
    "tuned model": _tuned,
    "pre-optimised": _preoptimised,
    "cores": _cores,
    "memory": _memory,
    "disk": _disk,
    "governor": _governor,
    "cold file cache": _cold_files,
}
