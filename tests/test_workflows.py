"""The workflows are valid by the published schema, and do what they promise."""

from __future__ import annotations

import functools
import json
import re
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import typer.main
import yaml

from kokoro_lab.cli import app
from kokoro_lab.sweeps.plan import load_plan

ROOT = Path(__file__).parents[1]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.y*ml"))


def read(name: str) -> dict[str, Any]:
    return yaml.safe_load((ROOT / ".github" / "workflows" / name).read_text())


def commands(job: dict[str, Any]) -> str:
    return "\n".join(step.get("run", "") for step in job["steps"])


@functools.cache
def schema() -> dict[str, Any]:
    """GitHub's workflows by SchemaStore (Apache-2.0), as the package check-jsonschema carries them: no network."""
    file = files("check_jsonschema") / "builtin_schemas" / "vendor" / "github-workflows.json"
    return json.loads(file.read_text(encoding="utf-8"))


def mistakes(path: Path) -> list[str]:
    workflow = yaml.safe_load(path.read_text())
    workflow["on"] = workflow.pop(True)  # YAML 1.1 reads the key as true, GitHub does not
    return [error.message for error in jsonschema.Draft7Validator(schema()).iter_errors(workflow)]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_keeps_to_the_published_schema(path: Path) -> None:
    assert mistakes(path) == []


def test_the_schema_finds_a_mistake(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yml"
    wrong.write_text("name: wrong\non: push\njobs:\n  one:\n    runs-on: ubuntu-latest\n    step: []\n")
    assert mistakes(wrong)


def test_the_ci_plan_runs_on_linux_and_macos() -> None:
    job = read("sweep.yml")["jobs"]["sweep"]
    assert set(job["strategy"]["matrix"]["os"]) == {"ubuntu-latest", "macos-latest"}
    assert "sweep data/sweeps/ci.yaml" in commands(job)
    assert load_plan("ci").model == "tiny"


def test_only_correctness_is_gated() -> None:
    assert re.findall(r"gate .*--only (\S+)", commands(read("sweep.yml")["jobs"]["sweep"])) == ["correct"]


def test_reports_and_tables_are_kept_even_of_a_run_that_failed() -> None:
    steps = read("sweep.yml")["jobs"]["sweep"]["steps"]
    (upload,) = (step for step in steps if step.get("uses", "").startswith("actions/upload-artifact"))
    assert "always()" in upload["if"]
    assert {"results/gate.md", "results/reports", "results/exported"} <= set(upload["with"]["path"].split())


def test_the_gates_markdown_is_commented_with_no_more_rights_than_that_takes() -> None:
    workflow = read("sweep.yml")
    assert workflow["permissions"] == {"contents": "read"}
    job = workflow["jobs"]["comment"]
    assert job["permissions"] == {"pull-requests": "write"} and job["needs"] == "sweep"
    assert "gate.md" in commands(job) and "gh pr comment" in commands(job)
    assert "pull_request_target" not in workflow[True]  # YAML 1.1 reads the key `on` as true


def test_the_commands_have_the_options_that_are_used() -> None:
    lines = [line for line in commands(read("sweep.yml")["jobs"]["sweep"]).splitlines() if "kokoro-lab " in line]
    assert len(lines) == 4
    for line in lines:
        command: Any = typer.main.get_command(app)
        for word in line.partition("kokoro-lab ")[2].split():
            if hasattr(command, "get_command"):
                command = command.get_command(command.make_context("kokoro-lab", [], resilient_parsing=True), word)
        known = {option for parameter in command.params for option in parameter.opts}
        assert set(re.findall(r"(?<= )--[a-z-]+", line)) <= known, line


def test_every_action_is_pinned_by_its_commit_with_the_version_beside_it() -> None:
    uses = [line.strip(" -") for path in WORKFLOWS for line in path.read_text().splitlines() if "uses:" in line]
    assert len(uses) >= 8
    for line in uses:
        assert re.fullmatch(r"uses: [\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line), line
    commits = {re.sub(r"\s.*", "", line.removeprefix("uses: ")) for line in uses}
    assert len({name.partition("@")[0] for name in commits}) == len(commits), "one version of each action"


def test_the_lock_is_audited_every_week_and_on_demand() -> None:
    workflow = read("audit.yml")
    assert workflow[True]["schedule"] and "workflow_dispatch" in workflow[True]  # YAML 1.1 reads the key `on` as true
    assert workflow["permissions"] == {"contents": "read"}
    assert {"make audit", "make sbom"} <= set(re.findall(r"make \w+", commands(workflow["jobs"]["audit"])))
    assert "pip-audit --require-hashes --disable-pip" in (ROOT / "Makefile").read_text()
