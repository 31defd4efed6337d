"""A model in two files, before and after the harmonic source, run like a single onnxruntime session.

A call passes through the front (text, prosody, source) and then the back (decoder, vocoder). Each half runs a single
call at a time, so that calls from two threads overlap: the front of the next segment runs during the back of this
segment. The engine makes such calls with `parallel_segments` and a `concurrency` of 2.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["StagedSession"]


class StagedSession:
    """Two live onnxruntime.InferenceSessions in sequence, with those of its methods that `Session` uses."""

    def __init__(self, front: Any, back: Any) -> None:
        """Inputs of the back that are inputs or outputs of the front are passed on by name."""
        self._front = front
        self._back = back
        self._given = [each.name for each in front.get_outputs()]
        self._wanted = {each.name for each in back.get_inputs()}
        self._results = {each.name for each in back.get_outputs()}
        self._turns = threading.Lock(), threading.Lock()

    def run(self, outputs: Sequence[str], feeds: Mapping[str, Any], options: Any = None) -> list[Any]:
        """The outputs of both halves by name; an error or cancellation in either half ends the call."""
        front_turn, back_turn = self._turns
        with front_turn:
            known = dict(zip(self._given, self._front.run(self._given, dict(feeds), options), strict=True))
        handed = {name: value for name, value in {**feeds, **known}.items() if name in self._wanted}
        requested = [name for name in outputs if name in self._results]
        with back_turn:
            known.update(zip(requested, self._back.run(requested, handed, options), strict=True))
        return [known[name] for name in outputs]

    def get_inputs(self) -> list[Any]:
        """The inputs of a call, all of which go to the front."""
        return list(self._front.get_inputs())

    def get_outputs(self) -> list[Any]:
        """The back's outputs, then the front's outputs that the back does not read."""
        return [
            *self._back.get_outputs(),
            *(each for each in self._front.get_outputs() if each.name not in self._wanted),
        ]

    def get_overridable_initializers(self) -> list[Any]:
        """Those of the front, which contains the source."""
        return list(self._front.get_overridable_initializers())

    def get_provider_graph_assignment_info(self) -> list[Any]:
        """Subgraphs of both halves."""
        return [*self._front.get_provider_graph_assignment_info(), *self._back.get_provider_graph_assignment_info()]

    def get_session_options(self) -> Any:
        """The back's; the front has the same."""
        return self._front.get_session_options()

    def get_provider_options(self) -> Any:
        """The back's; the front has the same."""
        return self._front.get_provider_options()
