from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import report_blocks
import report_run

from kokoro_lab.measure.records.cell import Block
from kokoro_lab.reports.rows.evidence import Evidence


@pytest.fixture(scope="session")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tables of one whole small sweep, made up."""
    return report_blocks.quick_run(tmp_path_factory.mktemp("quick"))


@pytest.fixture(scope="session")
def evidence(quick: Path) -> Evidence:
    return Evidence.load(quick)


@pytest.fixture(scope="session")
def varied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tables of a run of variants, threads, streams, caches and cold starts, with verdicts; made up."""
    return report_run.varied_run(tmp_path_factory.mktemp("varied"))


@pytest.fixture(scope="session")
def varied_evidence(varied: Path) -> Evidence:
    return Evidence.load(varied)


@pytest.fixture
def of_blocks(tmp_path: Path) -> Callable[[Sequence[Block]], Evidence]:
    return lambda blocks: Evidence.load(report_blocks.stored(tmp_path, blocks))
