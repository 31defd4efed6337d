"""Where a graph runs, node by node, in the available providers; and known obstacles for OpenVINO."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, fields
from typing import Any

import onnx

from kokoro_lab.errors import KokoroLabError, SettingError
from kokoro_lab.models.graph.architecture import FULL, Architecture
from kokoro_lab.runtime.assignment import ProviderShare, judge
from kokoro_lab.variants.coreml import Fallback
from kokoro_lab.variants.probes import Probe
from kokoro_lab.variants.provider_process import ProviderProcess, environment_of
from kokoro_lab.variants.verify import Verification, verify

__all__ = ["Placement", "openvino_obstacles", "place"]

RANDOM = ("RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike")


@dataclass(frozen=True)
class Placement:
    """Which provider took the nodes of a graph, and how its output compares with the CPU provider's."""

    provider: str
    environment: str
    """The environment of the provider; empty: this installation."""
    status: str
    """`ok`, `partial` or `unavailable`."""
    share: float
    """Share of the nodes in the requested provider."""
    nodes: dict[str, int]
    elsewhere: tuple[str, ...] = ()
    """Nodes that another provider took: each with its operator and that provider."""
    heard: Verification | None = None
    """Compared with the CPU provider, stage by stage on equal inputs and end to end; None where nothing ran."""
    reason: str = ""

    def as_dict(self) -> dict[str, Any]:
        """The fields as JSON values."""
        plain = {each.name: getattr(self, each.name) for each in fields(self)}
        return {**plain, "elsewhere": list(self.elsewhere), "heard": self.heard.as_dict() if self.heard else None}


def place(
    model: onnx.ModelProto, providers: Sequence[str], probes: Sequence[Probe] = (), *, arch: Architecture = FULL
) -> list[Placement]:
    """Open the graph in each provider, in whichever environment it is installed, and read back which provider took each
    node.

    With probes, a graph of ours is also run there and compared with the CPU provider here. The result of a provider
    that is missing, or that refuses the graph, has the reason. Raises SettingError for an unknown provider.
    """
    return [_placed(model, provider, probes, arch) for provider in providers]


def _placed(model: onnx.ModelProto, provider: str, probes: Sequence[Probe], arch: Architecture) -> Placement:
    environment = ""
    try:
        environment = environment_of(provider)
        with ProviderProcess(model, provider) as whole:
            shares = [ProviderShare(name, count) for name, count in whole.nodes.items()]
            effective = judge(whole.provider.onnxruntime_name, shares)
            left = tuple(f"{node} ({operator}): {taker}" for node, operator, taker in whole.elsewhere)
            for probe in probes:  # the whole graph as well, as a user would call it
                whole.run(probe.feeds())
        heard = _heard(model, provider, probes, arch) if probes else None
    except SettingError:
        raise
    except KokoroLabError as error:
        return Placement(provider, environment, "unavailable", 0.0, {}, reason=error.message)
    return Placement(provider, environment, effective.status, effective.share, dict(effective.nodes), left, heard)


def _heard(model: onnx.ModelProto, provider: str, probes: Sequence[Probe], arch: Architecture) -> Verification:
    with ExitStack() as stack:
        return verify(
            model, model, probes, arch=arch, opened=lambda part: stack.enter_context(ProviderProcess(part, provider))
        )


def openvino_obstacles(model: onnx.ModelProto) -> list[Fallback]:
    """Known obstacles to onnxruntime's OpenVINO provider (1.24) taking the whole graph."""
    counts: Counter[str] = Counter(node.op_type for node in model.graph.node)
    loose = sum(node.op_type == "Squeeze" and len(node.input) < 2 and not node.attribute for node in model.graph.node)
    obstacles = [
        Fallback(kind, counts[kind], "control flow and sequences are not supported")
        for kind in ("If", "Loop", "Scan", "SequenceAt", "SequenceEmpty", "SequenceInsert", "SplitToSequence")
        if counts[kind]
    ]
    obstacles += [Fallback(kind, counts[kind], "random nodes split the graph") for kind in RANDOM if counts[kind]]
    if loose:
        obstacles.append(Fallback("Squeeze", loose, "without axes its rank is open"))
    return obstacles
