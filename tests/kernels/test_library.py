from __future__ import annotations

import ctypes
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from operator_models import SNAKE, Shape, random_tensors, run_operator, snr

from kokoro_lab.errors import ProviderError, SettingError
from kokoro_lab.kernels import choose, facts, library, register
from kokoro_lab.kernels.build import INSTRUCTION_SETS, build, host_machine, library_name
from kokoro_lab.kernels.library import KERNELS_VARIABLE, compiled_sets, supported_sets


def usable() -> list[str]:
    return [name for name in compiled_sets() if name in supported_sets()]


def test_the_best_usable_library_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(KERNELS_VARIABLE, raising=False)
    choice = choose()
    assert (choice.instruction_set, choice.reason) == (usable()[0], "")
    assert facts()["kernels"] == choice.instruction_set


def test_every_library_says_what_it_was_built_for() -> None:
    for name in usable():
        loaded = ctypes.CDLL(str(library.COMPILED / library_name(name)))
        loaded.KokoroInstructionSet.restype = ctypes.c_char_p
        assert loaded.KokoroInstructionSet() == name.encode()


def test_every_library_computes_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    shape = Shape(333, 32, 48, 11, 3)
    tensors = random_tensors(shape, np.random.default_rng(3))
    results = []
    for name in usable():
        monkeypatch.setenv(KERNELS_VARIABLE, name)
        results.append(run_operator("Convolution", tensors, activation=SNAKE, **shape.attributes)[0])
    assert all(snr(results[0], other) > 100 for other in results[1:])


def test_a_library_slower_than_the_plain_graph_is_used_only_when_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    if "base" not in usable():
        pytest.skip("no base library")
    monkeypatch.delenv(KERNELS_VARIABLE, raising=False)
    monkeypatch.setattr(library, "supported_sets", lambda: ("base",))
    assert choose().path is None
    assert "slower than the plain graph" in choose().reason
    monkeypatch.setenv(KERNELS_VARIABLE, "base")
    assert choose().instruction_set == "base"


def test_libraries_from_v3_on_multiply_shorts(monkeypatch: pytest.MonkeyPatch) -> None:
    shape = Shape(100, 32, 32, 7)
    tensors = random_tensors(shape, np.random.default_rng(5), styled=False)
    for name in usable():
        monkeypatch.setenv(KERNELS_VARIABLE, name)
        exact, rounded = (
            run_operator("Convolution", tensors, shorts=shorts, **shape.attributes)[0] for shorts in (0, 1)
        )
        assert np.array_equal(exact, rounded) == (name in ("base", "neon"))


def test_off_gives_a_reason_and_no_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KERNELS_VARIABLE, "off")
    assert choose().path is None
    with pytest.raises(ProviderError, match=r"\(KOKORO_KERNELS=off\); use the plain model"):
        register(onnxruntime.SessionOptions())


def test_an_unknown_instruction_set_is_a_setting_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KERNELS_VARIABLE, "v9")
    with pytest.raises(SettingError, match=r"v9.*v3"):
        choose()
    assert "v9" in facts()["reason"]


def test_an_instruction_set_of_another_processor_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    other = "neon" if host_machine() == "x86_64" else "v3"
    monkeypatch.setenv(KERNELS_VARIABLE, other)
    assert "lacks the instructions" in choose().reason


def test_without_libraries_the_reason_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(KERNELS_VARIABLE, raising=False)
    monkeypatch.setattr(library, "COMPILED", tmp_path)
    assert "compiler" in choose().reason


def test_an_old_runtime_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(KERNELS_VARIABLE, raising=False)
    monkeypatch.setattr(onnxruntime, "__version__", "1.16.3")
    assert choose().reason == "onnxruntime 1.16.3 is older than 1.17"


def test_a_library_that_onnxruntime_refuses_is_a_provider_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = usable()[0]
    (tmp_path / library_name(name)).write_bytes(b"no library at all")
    monkeypatch.setenv(KERNELS_VARIABLE, name)
    monkeypatch.setattr(library, "COMPILED", tmp_path)
    with pytest.raises(ProviderError, match="use the plain model"):
        register(onnxruntime.SessionOptions())


def test_building_without_a_compiler_gives_reasons(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    reasons = build(tmp_path)
    assert set(reasons) == set(INSTRUCTION_SETS[host_machine()])
    assert all("no C++ compiler" in reason for reason in reasons.values())


def test_a_compiler_that_fails_gives_its_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "false")
    assert all("compiler failed" in reason for reason in build(tmp_path).values())
    monkeypatch.setenv("CXX", "/nowhere/c++")
    assert all("could not run" in reason for reason in build(tmp_path).values())


def test_denormals_are_left_alone() -> None:
    for name in usable():
        ctypes.CDLL(str(library.COMPILED / library_name(name)))
    tiny = np.float32(1e-40)
    assert tiny * np.float32(0.5) > 0
