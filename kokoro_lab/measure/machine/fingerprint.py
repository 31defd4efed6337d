"""Fingerprints of the machine, the software and the code; and, apart from them, the machine's momentary state.

`machine`, `software` and `code` are stable: the same after a reboot, each identified by a hash. Nothing that changes
with time, load or power may enter a hash: it would split one machine's history in two.
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
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import psutil

from kokoro_lab.measure.machine.interference import snapshot
from kokoro_lab.measure.records.identity import MEASURED_PACKAGES
from kokoro_lab.models.voices import load_voice, voices_folder
from kokoro_lab.paths import checkout, data_folder

__all__ = ["MEASURED_PACKAGES", "Fingerprint", "code", "machine", "software", "volatile"]

DEFAULT_VOICE = "af_heart"
"""Its checksum represents the stand-in voices, which all come from one generator."""

GIB = 2**30

PACKAGE = Path(__file__).resolve().parents[2]


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
            # The kernel reserves a varying amount for itself: whole gibibytes are the installed size.
            "memory_gib": round(psutil.virtual_memory().total / GIB),
            "system": platform.system(),
            "distribution": _distribution(),
            "kernel": platform.release(),
        }
    )


def software() -> Fingerprint:
    """The software that a figure depends on.

    Python, the versions of the measured packages, onnxruntime's own description of its build, and the checksums of the
    voices, of the code that turns text into phonemes, and of the lock file (None without a lock file).
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
            "g2p_sha256": _g2p_sum(),
            "constraints_sha256": _lock_sum(checkout()),
        }
    )


def code(root: Path | None = None) -> Fingerprint:
    """Git commit of the checkout this package runs from, whether it has uncommitted changes, and the lock file's
    checksum.

    Facts: commit (None outside a checkout), dirty (None too), constraints_sha256 (None without a lock file). A notebook
    that was only run is no change: its parameters, outputs, execution counts and metadata are not compared.
    """
    where = root or checkout()
    # An installed package does not ask git: site-packages may be inside another project's repository.
    status = None if where is None else _git(where, "status", "--porcelain", "-z", "--untracked-files=no")
    return _fingerprint(
        {
            "commit": None if where is None else _git(where, "rev-parse", "HEAD"),
            "dirty": None if status is None or where is None else _changed(where, status),
            "constraints_sha256": _lock_sum(where),
        }
    )


def volatile() -> dict[str, Any]:
    """The momentary state: load, free memory, frequency, temperature, power, uptime. Not part of any hash."""
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


def _changed(root: Path, status: str) -> bool:
    """Whether a file of the checkout differs from its commit; `status` is git's, entries ended by a null character."""
    entries = [entry for entry in status.split("\0") if entry]
    return any(not _only_run(root, entry) for entry in entries)


def _only_run(root: Path, entry: str) -> bool:
    """Whether an entry of git's status is a modified notebook whose cells are those of the commit."""
    state, name = entry.split(maxsplit=1) if " " in entry.strip() else ("", "")
    if state not in ("M", "MM") or not name.endswith(".ipynb"):
        return False
    committed = _git(root, "show", f"HEAD:{name}")
    try:
        return committed is not None and _cells(committed) == _cells((root / name).read_text(encoding="utf-8"))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def _cells(notebook: str) -> list[tuple[Any, ...]]:
    """What a notebook says and runs: kind, tags and source of each cell, without the values of its parameters, because
    the rows tell what was measured."""
    cells = []
    for cell in json.loads(notebook)["cells"]:
        tags = cell.get("metadata", {}).get("tags")
        cells.append((cell["cell_type"], tags, "" if tags == ["parameters"] else "".join(cell["source"])))
    return cells


def _git(root: Path, *arguments: str) -> str | None:
    return _output("git", "-C", str(root), *arguments)


def _output(*command: str) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _folder_sum(folder: Path, *patterns: str) -> str:
    """Checksum of the names and contents of the files that match; empty without any."""
    return _files_sum({str(path.relative_to(folder)): path for pattern in patterns for path in folder.glob(pattern)})


def _g2p_sum() -> str:
    """Checksum of the code that turns text into phonemes and of the lexicon, named as in a checkout."""
    code_files = {f"kokoro_lab/text/{path.name}": path for path in (PACKAGE / "text").glob("*.py")}
    lexicons = {f"data/lexicon/{path.name}": path for path in (data_folder() / "lexicon").glob("*.txt")}
    return _files_sum(code_files | lexicons)


def _files_sum(files: Mapping[str, Path]) -> str:
    sums = [[name, _file_sum(path)] for name, path in sorted(files.items())]
    return hashlib.sha256(json.dumps(sums).encode()).hexdigest() if sums else ""


def _lock_sum(root: Path | None) -> str | None:
    return None if root is None else _file_sum(root / "constraints.txt")


def _file_sum(path: Path) -> str | None:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return None
