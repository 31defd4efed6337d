"""Exports of upstream's model, made with weights nobody else has, come back parameter by parameter and are proved."""

# ruff: noqa: E402
from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="run `make reference`")

import upstream
from exports import Style, export, halved

from kokoro_lab.models.files.onnxfile import read_onnx
from kokoro_lab.models.graph.architecture import FULL
from kokoro_lab.models.graph.model_graph import build
from kokoro_lab.models.graph.state_dict import fold
from kokoro_lab.models.graph.weights import seeded_state
from kokoro_lab.models.importing.importer import recover
from kokoro_lab.variants.import_proof import prove
from kokoro_lab.variants.probes import check_probes

pytestmark = [
    pytest.mark.reference,
    pytest.mark.filterwarnings("ignore"),  # PyTorch's exporters warn about upstream's code
]

STYLES = {
    "hexgrad": (11, Style()),
    "kokoro-onnx": (12, Style("tokens", whole_speed=False, duration=False)),
    "unfolded": (13, Style(whole_speed=False, folding=False)),
    "dynamo": (14, Style(whole_speed=False, dynamo=True)),
    "dynamo-unfolded": (15, Style(dynamo=True, folding=False)),
}


@pytest.fixture(scope="module", params=STYLES, ids=str)
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int, Style]:
    seed, style = STYLES[request.param]
    folder = tmp_path_factory.mktemp(request.param)
    path = folder / "export.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        export(upstream.load(seeded_state(FULL, seed), folder), path, style)
    return path, seed, style


def test_every_parameter_of_an_export_comes_back(exported: tuple[Path, int, Style]) -> None:
    path, seed, style = exported
    recovered = recover(path)
    for name, array in fold(seeded_state(FULL, seed)).items():
        np.testing.assert_allclose(recovered.state[name], array, rtol=1e-4, atol=1e-6, err_msg=name)
    assert recovered.contract is not None
    assert recovered.contract.tokens == style.token_input
    assert (recovered.contract.speed_type is np.int32) == style.whole_speed
    assert (recovered.contract.duration is not None) == style.duration


def test_the_rebuilt_graph_is_proved_against_the_export(exported: tuple[Path, int, Style]) -> None:
    path, _, style = exported
    if style.dynamo:
        pytest.skip("an export by dynamo speaks one length only")
    proof = prove(read_onnx(path), build(FULL, recover(path).state), check_probes()[:1])
    print(proof)
    assert proof.holds, proof.faults
    assert proof.noiseless_db < 0.1


def test_a_float16_file_is_proved_against_its_own_rounded_weights(exported: tuple[Path, int, Style]) -> None:
    path, _, style = exported
    if style != STYLES["hexgrad"][1]:
        pytest.skip("one style is enough")
    half = path.with_name("half.onnx")
    halved(path, half)
    recovered = recover(half)
    assert recovered.precision == "fp16"
    proof = prove(read_onnx(half), build(FULL, recovered.state), check_probes()[:1], half=True)
    assert proof.holds, proof.faults


def test_a_checkpoint_saved_by_torch_gives_the_same_parameters(tmp_path: Path) -> None:
    state = seeded_state(FULL, 16)
    parts: dict[str, dict[str, torch.Tensor]] = {}
    for name, array in state.items():
        part, _, rest = name.partition(".")
        parts.setdefault(part, {})[f"module.{rest}"] = torch.from_numpy(array)
    torch.save(parts, tmp_path / "kokoro.pth")
    recovered = recover(tmp_path / "kokoro.pth")
    for name, array in fold(state).items():
        np.testing.assert_array_equal(recovered.state[name], array, err_msg=name)
