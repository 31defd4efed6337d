"""An upstream export with weights nobody has seen: imported, optimised, quantised and verified by the command line.

Its seed comes from the operating system, so that no run repeats another. It takes about three minutes of two cores and
the environment that `make reference` builds, which writes the export:

    .venv/bin/python -m pytest tests/reference/test_unseen.py -m unseen -s

`KOKORO_REFERENCE_PYTHON` names another interpreter with PyTorch; `KOKORO_UNSEEN_SEED` repeats a run that failed.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PYTHON = Path(os.environ.get("KOKORO_REFERENCE_PYTHON", ROOT / ".venv-reference/bin/python"))
VARIANTS = {  # recipe -> the worst verdict that it may have
    "optimized": "equivalent",
    "int8": "close",
    "fp16-weights": "close",
}
ORDER = ("equivalent", "close", "different")

pytestmark = pytest.mark.unseen


def _said(home: Path, *words: str) -> dict[str, Any]:
    """What `kokoro-lab` prints as JSON; a failure is the test's."""
    start = time.perf_counter()
    command = [str(Path(sys.executable).with_name("kokoro-lab")), *words, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "KOKORO_LAB_HOME": str(home)})
    assert done.returncode == 0, done.stderr
    print(f"{time.perf_counter() - start:6.1f} s  {' '.join(words)}")
    document: dict[str, Any] = json.loads(done.stdout)
    return document


@pytest.mark.parametrize("style", ["hexgrad", "kokoro-onnx"])
def test_weights_nobody_has_seen_are_imported_and_every_variant_is_verified(
    style: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if "unseen" not in request.config.getoption("markexpr"):
        pytest.skip("takes minutes: ask for it with `-m unseen`")
    if not PYTHON.is_file():
        pytest.skip(f"{PYTHON} is not there: run `make reference`, or set KOKORO_REFERENCE_PYTHON")
    seed = os.environ.get("KOKORO_UNSEEN_SEED") or str(secrets.randbits(31))
    export = tmp_path / "export.onnx"
    support = ROOT / "tests" / "support"
    paths = os.pathsep.join((str(ROOT), str(support)))
    script = [str(PYTHON), str(support / "export_seed.py"), seed, style, str(export)]
    subprocess.run(script, check=True, capture_output=True, env={**os.environ, "PYTHONPATH": paths})
    print(f"\n{style}, seed {seed}: {export.stat().st_size / 1e6:.0f} MB")

    home = tmp_path / "home"
    (imported,) = _said(home, "models", "import", str(export), "--name", "unseen")["models"]
    proof = imported["proof"]
    print(f"          proof: {proof}")
    assert (imported["weights"], imported["architecture"]) == ("imported", "full")
    assert (proof["moved_tokens"], proof["faults"]) == (0, [])
    assert proof["noisy_db"] <= 4.0
    assert proof["noiseless_db"] <= 0.1

    against_export = _said(home, "models", "verify", str(export))
    print(f"          the export against our graph of it: {against_export['verdict']}")
    assert against_export["verdict"] == "equivalent", against_export["reasons"]

    for recipe, worst in VARIANTS.items():
        if recipe == "optimized":
            _said(home, "models", "optimize", "unseen")
        else:
            _said(home, "models", "quantize", "unseen", "--recipe", recipe)
        found = _said(home, "models", "verify", f"unseen-{recipe}")
        snr = [each["snr_db"] for each in found["readings"]]
        whole = [each["whole_log_mel_db"] for each in found["readings"]]
        print(f"          {recipe}: {found['verdict']}, SNR {snr} dB, end to end {whole} dB; {found['reasons']}")
        assert ORDER.index(found["verdict"]) <= ORDER.index(worst), found["reasons"]
        assert all(each["moved_tokens"] == 0 for each in found["readings"])
        if recipe == "int8":
            assert all(value >= 22.0 for value in snr), "what an int8 variant has to reach to count"

    import soundfile  # the environment of PyTorch, which collects this file too, does not have it

    output = tmp_path / "speech.wav"
    spoken = _said(home, "say", "Nobody has heard this voice.", "--model", "unseen-int8", "-o", str(output))
    assert spoken["model"]["weights"] == "imported"
    samples, rate = soundfile.read(output, dtype="float32")
    assert (rate, len(samples) > rate) == (24_000, True)
