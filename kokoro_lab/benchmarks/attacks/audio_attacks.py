"""Attacks on the audio gate: damages that a mean hides, a wrong repeat among right ones, and a model that is its own
reference.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import onnx

from kokoro_lab.audio.compare import gate
from kokoro_lab.benchmarks import altered_worker
from kokoro_lab.benchmarks.damages import DAMAGES
from kokoro_lab.benchmarks.ear_calibration import DROPPED, Case, renderings, without_convolutions
from kokoro_lab.benchmarks.self_test_parts import CheckOutcome, CheckSetup, SelfTestCheck
from kokoro_lab.measure.statistics.verdicts import judge_run, worst_gate
from kokoro_lab.models.catalog import resolve
from kokoro_lab.models.files.onnxfile import read_onnx

__all__ = ["CHECKS"]

SPOKEN = (Case("hello", "af_heart", 1.0),)
GRAPH = "one resblock dropped (a third)"


def _damages(setup: CheckSetup) -> CheckOutcome:
    (plain,) = renderings("tiny", SPOKEN)
    verdicts = {
        damage.name: gate(plain.samples, damage.apply(plain.samples, damage.high)).verdict for damage in DAMAGES
    }
    (damaged,) = renderings(str(damaged_model(setup.folder / "dropped.onnx")), SPOKEN)
    verdicts[GRAPH] = gate(plain.samples, damaged.samples, plain.durations, damaged.durations).verdict
    passed = [name for name, verdict in verdicts.items() if verdict == "equivalent"]
    words = f"Of {len(verdicts)} damages to one rendering, {len(passed)} were called equivalent"
    words += f": {', '.join(passed)}." if passed else "."
    return CheckOutcome("failed" if passed else "shown", words, 0, details={"verdicts": verdicts})


def damaged_model(path: Path) -> Path:
    """Write the tiny model without a third of the last stage's convolutions to `path`."""
    if not path.exists():
        part = path.with_suffix(".part")
        onnx.save(without_convolutions(read_onnx(resolve("tiny").path), DROPPED[GRAPH]), part)
        part.replace(path)
    return path


def _wrong_repeat(setup: CheckSetup) -> CheckOutcome:
    groups = [{"text": "hello", "intra_op_threads": [1, 2]}]
    planned = setup.job("wrong-repeat", groups, blocks=1, retries=0).planned()
    victim = next(item.cell for item in planned if not item.cell.reference and item.cell.replica == 0)
    command = altered_worker.silent_repeat([victim.id])
    run = setup.measure("wrong-repeat", groups, blocks=1, retries=0, worker_command=command)
    gates = [block.gate for block in run.blocks if block.cell.id == victim.id and block.gate is not None]
    if not gates:
        return CheckOutcome("undecided", "The block with the silent repeat was not judged.", len(run.blocks))
    noticed = gates[0].verdict == "different" and any("in repeat 3:" in reason for reason in gates[0].reasons)
    words = (
        f"A block of which the last repeat but one is silent is called {gates[0].verdict}"
        f" ({'; '.join(gates[0].reasons) or 'no reason'})."
    )
    return CheckOutcome("shown" if noticed else "failed", words, len(run.blocks))


def _own_reference(setup: CheckSetup) -> CheckOutcome:
    model = str(damaged_model(setup.folder / "unverified.onnx"))
    run = setup.measure("own-reference", [{"text": "hello", "model": [model]}], blocks=1, retries=0)
    alone = [block for block in run.blocks if block.cell.reference]
    if not any(block.result.repeats for block in alone):
        return CheckOutcome("undecided", "The damaged model was not measured.", len(run.blocks))
    verdict, judged = worst_gate(alone), judge_run(run.blocks)
    ranked = [*judged.ranked("equivalent"), *judged.ranked("close")]
    reasons = "; ".join(dict.fromkeys(reason for block in alone if block.gate for reason in block.gate.reasons))
    words = (
        f"The only cell of a text, of a damaged model that nobody verified, gets the gate {verdict} "
        f"({reasons or 'no reason'}); {len(ranked)} of its cells are ranked."
    )
    return CheckOutcome("shown" if verdict == "none" and not ranked else "failed", words, len(run.blocks))


CHECKS: Mapping[str, SelfTestCheck] = {
    "audio-damages": SelfTestCheck("no known damage to the audio is called equivalent", 0, _damages),
    "wrong-repeat": SelfTestCheck("a single wrong repeat makes its block's audio different", 4, _wrong_repeat),
    "own-reference": SelfTestCheck("a model that nobody verified is not equivalent to itself", 2, _own_reference),
}
