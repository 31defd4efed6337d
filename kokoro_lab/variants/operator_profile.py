"""Time of a model by operator: explains why a performance target is missed."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from kokoro_lab.files.writing import scratch_folder
from kokoro_lab.kernels.library import register
from kokoro_lab.models.catalog import ModelFile
from kokoro_lab.models.files.contract import read_contract
from kokoro_lab.runtime.trial.first_opening import ensure_harmless
from kokoro_lab.variants.probes import Probe

__all__ = ["OperatorTime", "profile"]

THREADS = 2
KERNEL = "_kernel_time"  # suffix of onnxruntime's events for a node's own work


@dataclass(frozen=True)
class OperatorTime:
    """All nodes of an operator in a call."""

    operator: str
    nodes: int
    ms: float
    share: float
    """Share of the time of all nodes."""

    def as_dict(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return asdict(self)


def profile(file: ModelFile, probe: Probe) -> list[OperatorTime]:
    """Times in the second call of `probe` on two threads, longest first, in the graph as onnxruntime optimises it."""
    import onnxruntime

    ensure_harmless(file)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = THREADS
    options.enable_profiling = True
    if file.needs_kernels:
        register(options)
    with scratch_folder(prefix="kokoro-lab-profile-") as folder:
        options.profile_file_prefix = str(folder / "profile")
        session = onnxruntime.InferenceSession(str(file.path), options, providers=["CPUExecutionProvider"])
        contract = read_contract(session.get_inputs(), session.get_outputs(), session.get_overridable_initializers())
        feeds = contract.feeds([0, *probe.tokens, 0], probe.feeds()["style"], probe.speed)
        for _ in range(2):
            session.run(None, feeds)
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    last = max(event["ts"] for event in events if event["name"] == "model_run")
    nodes = [event for event in events if event["name"].endswith(KERNEL) and event["ts"] >= last]
    spent, counted = Counter[str](), Counter[str]()
    for node in nodes:
        spent[node["args"]["op_name"]] += node["dur"]
        counted[node["args"]["op_name"]] += 1
    total = sum(spent.values())
    return [OperatorTime(name, counted[name], us / 1e3, us / total) for name, us in spent.most_common()]
