"""The bound: what is counted, at which peak, and that a cell which beats it is told."""

from __future__ import annotations

import csv
import dataclasses
from pathlib import Path

import pytest
from patience import in_some_attempt
from report_blocks import RUN, as_reference, cell, repeated, stored

from kokoro_lab.measure.ceiling.operation_count import OperationCount, count, node_multiplications, products_an_output
from kokoro_lab.measure.ceiling.peak import peaks
from kokoro_lab.models.catalog import resolve
from kokoro_lab.paths import ROOT
from kokoro_lab.reports.findings.bound import Bound, bounds
from kokoro_lab.reports.rows.evidence import Evidence
from kokoro_lab.store import Store
from kokoro_lab.sweeps.machine_ceiling import ceiling_rows, store_ceiling

DURATIONS = (3, 3, 4)  # frames of three tokens
WORK = {"fp32": OperationCount(1e6, 2e6, 5.0, 3e6), "int8": OperationCount(0.0, 0.0, 0.0, 40e6)}
RATES = {"1": {"fp32": 1e9, "int8": 4e9}, "2": {"fp32": 2e9, "int8": 8e9}}
PRODUCTS = {"fp32": 1e6 + 3 * 2e6 + 10 * 3e6, "int8": 10 * 40e6}


def measured(folder: Path, ms: float, *, architecture: str = "full") -> list[Bound]:
    blocks = repeated(as_reference(cell()), (ms, ms, ms), architecture=architecture)
    blocks = [dataclasses.replace(one, result=dataclasses.replace(one.result, durations=DURATIONS)) for one in blocks]
    tables = stored(folder, blocks)
    work = {kind: terms.as_dict() for kind, terms in WORK.items()}
    rows = ceiling_rows(RUN, {"peaks": RATES, "work": {"ab" * 32: {"model": "stand-in", "work": work}}})
    Store(tables).store_verdicts(RUN, list(rows))
    return bounds(Evidence.load(tables))


def test_the_bound_is_the_products_of_each_precision_at_its_peak_for_the_cells_threads(tmp_path: Path) -> None:
    (found,) = measured(tmp_path, 100.0)
    assert found.products == PRODUCTS
    assert found.bound_ms == pytest.approx(1e3 * (PRODUCTS["fp32"] / 2e9 + PRODUCTS["int8"] / 8e9))
    assert found.zero_overhead_ms == pytest.approx(found.bound_ms + sum(found.stages_ms.values()))
    assert found.unattributed_ms == pytest.approx(100.0 - found.zero_overhead_ms) and not found.below_bound


def test_a_cell_that_beats_its_bound_is_told(tmp_path: Path) -> None:
    (found,) = measured(tmp_path, 60.0)
    assert found.bound_ms > 60 and found.below_bound


def test_tiny_rows_have_no_bound(tmp_path: Path) -> None:
    assert measured(tmp_path, 100.0, architecture="tiny") == []


def test_no_cell_of_a_published_report_beats_its_bound() -> None:
    for path in sorted((ROOT / "results" / "published").glob("*/bounds.csv")):
        for row in csv.DictReader(path.read_text(encoding="utf-8").splitlines()):
            assert row["beaten"] == "False", f"{path.parent.name}: {row['text']}, {row['label']}"


def test_a_run_measures_its_ceiling_once_and_none_for_tiny_models(tmp_path: Path) -> None:
    store = Store(stored(tmp_path, repeated(as_reference(cell()), (100.0,), architecture="tiny")))
    assert store_ceiling(store, RUN) == 0 and store.verdicts(RUN).empty


@pytest.mark.parametrize(
    ("operator", "inputs", "outputs", "expected"),
    [
        ("Conv", [{"float": [1, 8, 50]}, {"float": [16, 8, 3]}], [{"float": [1, 16, 50]}], ("fp32", 50 * 16 * 8 * 3)),
        ("ConvTranspose", [{"float": [1, 8, 50]}, {"float": [8, 4, 6]}], [{"float": [1, 4, 100]}], ("fp32", 9600)),
        ("FusedMatMul", [{"float": [5, 7]}, {"float": [7, 9]}], [{"float": [5, 9]}], ("fp32", 5 * 7 * 9)),
        ("MatMulInteger", [{"uint8": [5, 7]}, {"int8": [7, 9]}], [{"int32": [5, 9]}], ("int8", 5 * 7 * 9)),
        ("Sin", [{"float": [5, 7]}], [{"float": [5, 7]}], ("fp32", 0)),
        (
            "Convolution",
            [{"float": [1, 50, 8]}, {"float": [16, 8, 7]}],
            [{"float": [1, 50, 16]}],
            ("kernels", 50 * 16 * 8 * 2),
        ),
    ],
)
def test_products_of_an_operator(
    operator: str, inputs: list[object], outputs: list[object], expected: tuple[str, float]
) -> None:
    event = {"op_name": operator, "input_type_shape": inputs, "output_type_shape": outputs}
    assert node_multiplications(event) == (expected[0], pytest.approx(expected[1]))


def test_fast_forms_make_fewer_products_than_taps() -> None:
    assert all(products_an_output(taps) < taps for taps in (2, 3, 7, 11)) and products_an_output(5) == 5


@pytest.mark.slow
def test_no_call_of_the_whole_size_model_beats_its_bound() -> None:
    import numpy as np

    from kokoro_lab.runtime.session import Session
    from kokoro_lab.runtime.settings import SessionSettings

    model = resolve("stand-in")
    (work,) = count(model).values()
    session = Session.open(model, SessionSettings(intra_op_threads=1))
    random = np.random.default_rng(0)
    tokens, style = [int(token) for token in random.integers(1, 170, 30)], np.zeros((1, 256), np.float32)

    def at_the_bound() -> bool:
        made = [session.run(tokens, style, 1.0) for _ in range(3)]
        products = work.of(len(tokens) + 2, len(made[0].audio) // 600)
        return min(one.seconds for one in made) > 0.97 * products / peaks(1)["fp32"]

    # Another process may hold down the peak, but a bound with too many products is beaten in every attempt.
    assert in_some_attempt(at_the_bound, attempts=3)
