"""Cells are named by what differs between them, and by nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from kokoro_lab.reports.findings.setting_names import command, differing, names_by_reference

BASE: dict[str, Any] = {
    "cell_id": "base",
    "model": "stand-in",
    "precision": "fp32",
    "recipe": "",
    "provider": "cpu",
    "provider_options": {},
    "intra_op_threads": 2,
    "graph_level": "all",
    "engine_settings": {},
    "environment": "",
    "delivery": "whole",
    "arrivals": "",
    "voice": "af_heart",
    "speed": 1.0,
    "lang": "en-us",
    "text_preset": "short",
    "reference": True,
    "state": "warm",
    "label": "cpu, 2 threads",
}
INT16 = {**BASE, "cell_id": "int16", "model": "stand-in-kernels-int16", "recipe": "kernels-int16", "reference": False}


@pytest.mark.parametrize(
    ("changed", "names"),
    [
        ({"model": "stand-in-kernels-int16", "recipe": "kernels-int16"}, ("kernels-int16", "plain fp32")),
        ({"intra_op_threads": 1}, ("1 thread", "2 threads")),
        ({"intra_op_threads": 0}, ("default threads", "2 threads")),
        ({"delivery": "stream"}, ("streamed", "not streamed")),
        ({"engine_settings": {"audio_cache_mb": 64}}, ("audio cache 64 MB", "default audio cache")),
        ({"engine_settings": {"spinning": False}}, ("spinning off", "default spinning")),
        ({"graph_level": "basic"}, ("graph level basic", "graph level all")),
        ({"model": "other"}, ("other", "stand-in")),
    ],
)
def test_only_the_factors_that_differ_are_named(changed: dict[str, Any], names: tuple[str, str]) -> None:
    assert differing({**BASE, **changed}, BASE) == names
    assert differing(BASE, {**BASE, **changed}) == names[::-1]


def test_settings_that_both_share_are_not_named() -> None:
    shared = {**BASE, "engine_settings": {"chunk_ms": 80}}
    name, base = differing({**BASE, "engine_settings": {"chunk_ms": 80, "primer": True}}, shared)
    assert (name, base) == ("primer on", "default primer")


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"model": "stand-in-int8"}, "kokoro-lab say --model stand-in-int8 "),
        ({"intra_op_threads": 4}, "KOKORO_INTRA_OP_THREADS=4 kokoro-lab say "),
        ({"engine_settings": {"spinning": False}}, "KOKORO_SPINNING=off kokoro-lab say "),
        ({"delivery": "stream"}, "kokoro-lab say --stream "),
    ],
)
def test_a_command_sets_what_differs(changed: dict[str, Any], words: str) -> None:
    assert command({**BASE, **changed}, BASE).startswith(words)


def test_what_no_command_can_set_has_none() -> None:
    assert command({**BASE, "environment": "peer"}, BASE) == ""


def test_cells_of_a_text_are_named_beside_its_reference() -> None:
    lonely = {**INT16, "cell_id": "lonely", "text_preset": "long", "label": "cpu, 2 threads, lonely"}
    cold = {**BASE, "cell_id": "cold", "state": "cold", "reference": False}
    assert names_by_reference([BASE, INT16, lonely, cold]) == {
        "base": "plain fp32, 2 threads",
        "int16": "kernels-int16",
        "lonely": "cpu, 2 threads, lonely",
        "cold": "plain fp32, 2 threads, cold start",
    }
