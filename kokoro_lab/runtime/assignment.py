"""Which provider really took which node of the graph: read from onnxruntime, never inferred from what was asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["EffectiveProvider", "NodeAssignment", "ProviderShare", "ProviderStatus", "judge", "read_assignment"]

ProviderStatus = Literal["ok", "partial", "unavailable"]


@dataclass(frozen=True)
class NodeAssignment:
    """One node of the partitioned graph and the provider that took it."""

    node: str
    operator: str
    """Operator type with its domain, as in "com.microsoft.FusedConv"; "Conv" for the default domain."""
    provider: str
    """onnxruntime's provider name."""


@dataclass(frozen=True)
class ProviderShare:
    """How many nodes one provider runs."""

    provider: str
    nodes: int


@dataclass(frozen=True)
class EffectiveProvider:
    """What was asked for against what runs."""

    requested: str
    """onnxruntime's name of the provider asked for."""
    effective: str
    """onnxruntime's name of the provider that runs most nodes."""
    status: ProviderStatus
    """ok: every node runs on the provider asked for. partial: some. unavailable: none."""
    share: float
    """Part of the nodes that run on the provider asked for, 0 to 1."""
    nodes: Mapping[str, int]
    """Provider name -> nodes."""
    reason: str = ""
    """Why the provider did not run, when that is known."""


def read_assignment(session: Any) -> tuple[NodeAssignment, ...]:
    """Every node of a live onnxruntime session, as `session.record_ep_graph_assignment_info` recorded it at load."""
    found = []
    for subgraph in session.get_provider_graph_assignment_info():
        for node in subgraph.get_nodes():
            operator = f"{node.domain}.{node.op_type}" if node.domain else node.op_type
            found.append(NodeAssignment(node.name, operator, subgraph.ep_name))
    return tuple(found)


def judge(requested: str, shares: Sequence[ProviderShare], reason: str = "") -> EffectiveProvider:
    """Compare the provider asked for with the shares read back. A graph without nodes is `unavailable`."""
    nodes = {share.provider: share.nodes for share in shares}
    total = sum(nodes.values())
    mine = nodes.get(requested, 0)
    status: ProviderStatus = "unavailable" if mine == 0 else "ok" if mine == total else "partial"
    effective = max(nodes, key=lambda name: nodes[name]) if nodes else ""
    return EffectiveProvider(requested, effective, status, mine / total if total else 0.0, nodes, reason)
