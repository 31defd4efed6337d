"""The real peers, in the environments that are installed on this machine."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kokoro_lab.audio.compare import gate
from kokoro_lab.measure.peers.adapters import ADAPTERS
from kokoro_lab.measure.peers.environments import environment
from kokoro_lab.measure.records.cell import Cell
from kokoro_lab.measure.sampling.launch import launch

TEXT = "Hello world! The train is late."


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(ADAPTERS))
def test_an_installed_peer_speaks_what_we_speak(name: str, tmp_path: Path) -> None:
    if environment(name).status != "installed":
        pytest.skip(f"run `kokoro-lab environments add {name}`")
    model = "stand-in" if name == "upstream" else "tiny"
    audio = {}
    for engine in ("", name):
        folder = tmp_path / (engine or "ours")
        folder.mkdir()
        cell = Cell(model, TEXT, environment=engine, intra_op_threads=1, repeats=1, warmup_cap=1)
        launched = launch(cell, folder)
        assert (launched.result.status, launched.result.error) == ("ok", "")
        assert launched.audio is not None
        audio[engine] = np.load(launched.audio)
    verdict = gate(audio[""], audio[name])
    assert verdict.verdict in ("equivalent", "close"), verdict.reasons
