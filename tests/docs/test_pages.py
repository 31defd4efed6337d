"""What the hand-written pages refer to exists."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
RULES = (DOCS / "measurement-rules.md").read_text(encoding="utf-8")
GENERATED = {"reference/settings.md", "reference/tables.md"}


def test_the_rules_are_numbered_one_to_ten_and_each_names_tests() -> None:
    sections = re.split(r"^## ", RULES, flags=re.MULTILINE)[1:]
    for number in range(1, 11):
        (section,) = (section for section in sections if section.startswith(f"{number}. "))
        assert f"{{ #rule-{number} }}" in section
        assert "::test_" in section


@pytest.mark.parametrize("cited", re.findall(r"`(tests/[\w/]+\.py::\w+)`", RULES))
def test_the_tests_that_hold_a_rule_exist(cited: str) -> None:
    file, _, name = cited.partition("::")
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    assert name in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def test_every_source_of_a_claim_is_described() -> None:
    page = (DOCS / "claims.md").read_text(encoding="utf-8")
    for key, source in yaml.safe_load((ROOT / "data" / "claims.yaml").read_text(encoding="utf-8"))["sources"].items():
        (row,) = (line for line in page.splitlines() if line.startswith(f"| `{key}` |"))
        assert source["title"] in row and source["machine"] in row and source.get("date", "not stated") in row


def test_every_page_is_in_the_navigation() -> None:
    named = set(re.findall(r"[\w/-]+\.md", (ROOT / "mkdocs.yml").read_text(encoding="utf-8")))
    assert named == {page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md")} | GENERATED


@pytest.mark.parametrize("page", ["index.md", "architecture.md", "measurement-rules.md", "../CONTRIBUTING.md"])
def test_the_files_that_a_page_names_exist(page: str) -> None:
    text = (DOCS / page).read_text(encoding="utf-8")
    paths = re.findall(r"`((?:kokoro_lab|data|tests|docs|examples)/[\w./-]*)`", text)
    assert paths
    for path in paths:
        assert (ROOT / path).exists() or path in {f"docs/{name}" for name in GENERATED}, path


def test_the_architecture_draws_the_floors_of_the_readme() -> None:
    """The README's table is the one that tests/test_floors.py checks; the page includes it."""
    assert '--8<-- "README.md:floors"' in (DOCS / "architecture.md").read_text(encoding="utf-8")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "| floor |" in readme.partition("[start:floors]")[2].partition("[end:floors]")[0]
