"""Which machine, which software, which code; and, apart from them, what was true only for a moment.

`machine`, `software` and `code` are stable: the same answer after a reboot, and a hash that identifies it. Nothing that
moves with time, load or power may enter a hash: a figure of that kind splits one machine's history in two.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import psutil

from kokoro_lab.measure.quiet import snapshot
from kokoro_lab.models.voices import load_voice, voices_folder
from kokoro_lab.paths import ROOT

__all__ = ["MEASURED_PACKAGES", "Fingerprint", "code", "machine", "software", "volatile"]

MEASURED_PACKAGES = (
    "espeakng-loader",
    "kokoro-lab",
    "kokoro-onnx",
    "misaki",
    "num2words",
    "numpy",
    "onnxruntime",
    "onnxruntime-openvino",
    "phonemizer",
    "psutil",
    "soundfile",
    "soxr",
    "spacy",
)
"""Distributions that can change a figure: the measured process loads them."""

DEFAULT_VOICE = "af_heart"
"""Whose sum stands for the stand-in voices, all of which come from one generator."""

GIB = 2**30


class Fingerprint(NamedTuple):
    """Facts (JSON-ready) and the first 16 hex digits of the SHA-256 of their canonical JSON."""

    facts: dict[str, Any]
    sha: str


def machine() -> Fingerprint:
    """CPU model and features, cores, memory, operating system and kernel."""
    model, features = _cpu()
    return _fingerprint(
        {
            "cpu_model": model,
            "cpu_features": features,
            "architecture": platform.machine(),
            "logical_cores": os.cpu_count(),
            "physical_cores": psutil.cpu_count(logical=False),
            # The kernel keeps a little for itself, not always the same: whole gibibytes are what was bought.
            "memory_gib": round(psutil.virtual_memory().total / GIB),
            "system": platform.system(),
            "distribution": _distribution(),
            "kernel": platform.release(),
        }
    )


def software() -> Fingerprint:
    """What a figure depends on beside the machine and the model.

    Python, the versions of the packages that are measured, onnxruntime's own description of its build, and the sums of
    the voices, of what turns text into phonemes, and of the lock file (None without one).
    """
    packages = {}
    for name in MEASURED_PACKAGES:
        try:
            packages[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return _fingerprint(
        {
            "python": platform.python_version(),
            "implementation": platform.python_implementation(),
            "packages": packages,
            "onnxruntime_build": _onnxruntime_build(),
            "voices_sha256": _folder_sum(voices_folder(), "*.bin", "*.pt") or load_voice(DEFAULT_VOICE).sha256,
            "g2p_sha256": _folder_sum(ROOT, "kokoro_lab/text/*.py", "data/lexicon/*.txt"),
            "constraints_sha256": _file_sum(ROOT / "constraints.txt"),
        }
    )


def code(root: Path | None = None) -> Fingerprint:
    """Git commit of the checkout this package runs from, whether it has uncommitted changes, and the lock file's sum.

    Facts: commit (None outside a checkout), dirty (None too), constraints_sha256 (None without such a file).
    """
    where = root or Path(__file__).resolve().parents[2]
    status = _git(where, "status", "--porcelain", "--untracked-files=no")
    return _fingerprint(
        {
            "commit": _git(where, "rev-parse", "HEAD"),
            "dirty": None if status is None else bool(status),
            "constraints_sha256": _file_sum(where / "constraints.txt"),
        }
    )


def volatile() -> dict[str, Any]:
    """What may differ a minute later: load, free memory, frequency, temperature, power, uptime. In no hash."""
    state = snapshot()
    memory = psutil.virtual_memory()
    return {
        "load_average": list(os.getloadavg()),
        "memory_available_mb": memory.available / 1e6,
        "swap_used_mb": psutil.swap_memory().used / 1e6,
        "processes": len(psutil.pids()),
        "uptime_s": time.time() - psutil.boot_time(),
        "frequency_mhz": state.frequency_mhz,
        "temperature_c": state.temperature_c,
        "governor": state.governor,
        "on_battery": state.on_battery,
        "disk_free_mb": psutil.disk_usage(str(Path.home())).free / 1e6,
    }


def _fingerprint(facts: dict[str, Any]) -> Fingerprint:
    canonical = json.dumps(facts, sort_keys=True, separators=(",", ":"))
    return Fingerprint(facts, hashlib.sha256(canonical.encode()).hexdigest()[:16])


def _cpu() -> tuple[str, list[str]]:
    """Model name and sorted feature flags; from /proc/cpuinfo on Linux (x86 or Arm), sysctl on macOS."""
    if sys.platform == "darwin":
        features = " ".join(
            _output("sysctl", "-n", key) or "" for key in ("machdep.cpu.features", "machdep.cpu.leaf7_features")
        )
        return _output("sysctl", "-n", "machdep.cpu.brand_string") or platform.processor(), sorted(features.split())
    values: dict[str, str] = {}
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            key, separator, value = line.partition(":")
            if separator:
                values.setdefault(key.strip(), value.strip())
    except OSError:
        pass
    name = values.get("model name") or values.get("CPU part") or platform.processor() or "unknown"
    return name, sorted((values.get("flags") or values.get("Features") or "").split())


def _distribution() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "")
    except OSError:
        return platform.mac_ver()[0]


def _onnxruntime_build() -> str | None:
    try:
        import onnxruntime
    except ImportError:
        return None
    describe = getattr(onnxruntime, "get_build_info", None)
    return str(describe()) if describe is not None else str(onnxruntime.__version__)


def _git(root: Path, *arguments: str) -> str | None:
    return _output("git", "-C", str(root), *arguments)


def _output(*command: str) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _folder_sum(folder: Path, *patterns: str) -> str:
    """Of the names and contents of the files that match; empty without any."""
    paths = sorted(path for pattern in patterns for path in folder.glob(pattern))
    sums = [[str(path.relative_to(folder)), _file_sum(path)] for path in paths]
    return hashlib.sha256(json.dumps(sums).encode()).hexdigest() if sums else ""


def _file_sum(path: Path) -> str | None:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return None
