"""Every how-to works as it is written: its blocks are executed in order, in a lab that `kokoro-lab init` lays out.

A block of bash or Python runs as it stands. A block with a title is a file of that name, which the reader writes.
A block of any other language shows something and is not run.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from sybil import Document, Region, Sybil
from sybil.example import Example
from sybil.parsers.markdown.lexers import RawFencedCodeBlockLexer

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs" / "how-to").glob("*.md"))
SLOW = {"ci-gate", "first-report", "new-notebook", "own-model", "own-text"}
"""Pages that run a plan, render a report or build the whole model."""
BLOCKS = RawFencedCodeBlockLexer(re.compile(r'(?P<language>\w+)(?: title="(?P<title>[^"\n]+)")?$\n', re.MULTILINE))


def run_block(example: Example) -> str | None:
    """Do what a reader does with one block; returns what went wrong."""
    language, source, folder = example.region.lexemes["language"], str(example.parsed), example.namespace["folder"]
    if title := example.region.lexemes["title"]:
        (folder / title).parent.mkdir(parents=True, exist_ok=True)
        (folder / title).write_text(source, encoding="utf-8")
        return None
    command = {"bash": ["bash", "-euo", "pipefail", "-c", source], "python": [sys.executable, "-c", source]}[language]
    done = subprocess.run(command, cwd=folder, env=example.namespace["environ"], capture_output=True, text=True)
    example.namespace["output"].append(done.stdout)
    return None if done.returncode == 0 else f"{done.stdout[-1500:]}\n{done.stderr[-3000:]}"


def parse_blocks(document: Document) -> list[Region]:
    regions = []
    for region in BLOCKS(document):
        if region.lexemes["title"] or region.lexemes["language"] in ("bash", "python"):
            region.parsed, region.evaluator = str(region.lexemes["source"]), run_block
            regions.append(region)
    return regions


def parsed(page: Path) -> Document:
    return Sybil(parsers=[parse_blocks]).parse(page)


@pytest.fixture(scope="module")
def models_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture
def environ(tmp_path: Path, models_home: Path) -> dict[str, str]:
    """The reader's shell: the commands of this environment, the tiny model, a lock of its own."""
    cleared = {name: value for name, value in os.environ.items() if not name.startswith("KOKORO_")}
    return {
        **cleared,
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path[1:]]),
        "KOKORO_MODEL": "tiny",
        "KOKORO_LAB_HOME": str(models_home),
        "KOKORO_LAB_LOCK": str(tmp_path / "measuring.lock"),
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    }


@pytest.fixture
def lab(tmp_path: Path, environ: dict[str, str]) -> Path:
    """A lab of the reader's own, with the exported run that a page imports."""
    subprocess.run(["kokoro-lab", "init", "lab"], cwd=tmp_path, env=environ, check=True, capture_output=True)
    shutil.copytree(ROOT / "tests" / "store" / "versions", tmp_path / "lab" / "tests" / "store" / "versions")
    return tmp_path / "lab"


@pytest.mark.parametrize(
    "page", [pytest.param(page, id=page.stem, marks=[pytest.mark.slow] * (page.stem in SLOW)) for page in PAGES]
)
def test_a_how_to_works_as_it_is_written(page: Path, lab: Path, environ: dict[str, str]) -> None:
    document = parsed(page)
    document.namespace.update(folder=lab, environ=environ, output=[])
    examples = list(document.examples())
    assert any(example.region.lexemes["title"] is None for example in examples), "nothing in it is executed"
    for example in examples:
        example.evaluate()


def test_a_block_that_fails_fails_the_how_to(tmp_path: Path, environ: dict[str, str]) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        '```yaml title="a/b.yaml"\nkey: 1\n```\n\n```bash\ncat a/b.yaml\n```\n\n```python\nraise OSError\n```\n'
    )
    document = parsed(page)
    document.namespace.update(folder=tmp_path, environ=environ, output=[])
    first, second, third = document.examples()
    first.evaluate()
    second.evaluate()
    assert document.namespace["output"] == ["key: 1\n"]
    with pytest.raises(Exception, match="OSError"):
        third.evaluate()
