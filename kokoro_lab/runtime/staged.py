"""A model in two files, before and after the harmonic source, run as if it were one onnxruntime session.

A call passes through the front (text, prosody, source) and then the back (decoder, vocoder). Each half takes one call
at a time, so that two calls from two threads overlap: the front of the next segment runs while the back of this one
does. The engine makes such calls with `parallel_segments` and `concurrency` of 2.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["Staged"]


class Staged:
    """Two live onnxruntime.InferenceSessions in a row, with the methods that `Session` asks of one."""

    def __init__(self, front: Any, back: Any) -> None:
        """What the back has inputs for and the front gives or takes is handed over by name."""
        self._front = front
        self._back = back
        self._given = [each.name for each in front.get_outputs()]
        self._wanted = {each.name for each in back.get_inputs()}
        self._results = {each.name for each in back.get_outputs()}
        self._turns = threading.Lock(), threading.Lock()

    def run(self, outputs: Sequence[str], feeds: Mapping[str, Any], options: Any = None) -> list[Any]:
        """The outputs of both halves by name; an error, or a stop through `options`, in either ends the call."""
        front_turn, back_turn = self._turns
        with front_turn:
            known = dict(zip(self._given, self._front.run(self._given, dict(feeds), options), strict=True))
        handed = {name: value for name, value in {**feeds, **known}.items() if name in self._wanted}
        asked = [name for name in outputs if name in self._results]
        with back_turn:
            known.update(zip(asked, self._back.run(asked, handed, options), strict=True))
        return [known[name] for name in outputs]

    def get_inputs(self) -> list[Any]:
        """What a call has to give: all of it goes to the front."""
        return list(self._front.get_inputs())

    def get_outputs(self) -> list[Any]:
        """The back's outputs, then those of the front that the back does not take."""
        return [
            *self._back.get_outputs(),
            *(each for each in self._front.get_outputs() if each.name not in self._wanted),
        ]

    def get_overridable_initializers(self) -> list[Any]:
        """Those of the front, which holds the source."""
        return list(self._front.get_overridable_initializers())

    def get_provider_graph_assignment_info(self) -> list[Any]:
        """Subgraphs of both halves."""
        return [*self._front.get_provider_graph_assignment_info(), *self._back.get_provider_graph_assignment_info()]

    def get_session_options(self) -> Any:
        """Both were opened with the same."""
        return self._front.get_session_options()

    def get_provider_options(self) -> Any:
        """Both were opened with the same."""
        return self._front.get_provider_options()
