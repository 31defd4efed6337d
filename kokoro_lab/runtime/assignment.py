"""Which provider really took each node of the graph: read from onnxruntime, never inferred from the request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["EffectiveProvider", "NodeAssignment", "ProviderShare", "ProviderStatus", "judge", "read_assignment"]

ProviderStatus = Literal["ok", "partial", "unavailable"]


@dataclass(frozen=True)
class NodeAssignment:
    """A node of the partitioned graph and the provider that took it."""

    node: str
    operator: str
    """Operator type with its domain, as in "com.microsoft.FusedConv"; "Conv" for the default domain."""
    provider: str
    """onnxruntime's provider name."""


@dataclass(frozen=True)
class ProviderShare:
    """Number of nodes that a provider runs."""

    provider: str
    nodes: int


@dataclass(frozen=True)
class EffectiveProvider:
    """The requested provider compared with the providers that run."""

    requested: str
    """onnxruntime's name of the requested provider."""
    effective: str
    """onnxruntime's name of the provider that runs most nodes."""
    status: ProviderStatus
    """ok: every node runs on the requested provider. partial: some nodes do. unavailable: none does."""
    share: float
    """Share of the nodes that run on the requested provider, 0 to 1."""
    nodes: Mapping[str, int]
    """Provider name -> number of nodes."""
    reason: str = ""
    """Why the provider did not run, where that is known."""


def read_assignment(session: Any) -> tuple[NodeAssignment, ...]:
    """Every node of a live onnxruntime session, as `session.record_ep_graph_assignment_info` recorded it at load."""
    assignments = []
    for subgraph in session.get_provider_graph_assignment_info():
        for node in subgraph.get_nodes():
            operator = f"{node.domain}.{node.op_type}" if node.domain else node.op_type
            assignments.append(NodeAssignment(node.name, operator, subgraph.ep_name))
    return tuple(assignments)


def judge(requested: str, shares: Sequence[ProviderShare], reason: str = "") -> EffectiveProvider:
    """Compare the requested provider with the shares read back. A graph without nodes is `unavailable`."""
    nodes = {share.provider: share.nodes for share in shares}
    total = sum(nodes.values())
    mine = nodes.get(requested, 0)
    status: ProviderStatus = "unavailable" if mine == 0 else "ok" if mine == total else "partial"
    effective = max(nodes, key=lambda name: nodes[name]) if nodes else ""
    return EffectiveProvider(requested, effective, status, mine / total if total else 0.0, nodes, reason)
