"""The bill of materials of `make sbom`: valid by CycloneDX's schema, and complete."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("cyclonedx", reason="the extra `audit` is not installed: run make env")
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_the_bill_of_materials_has_every_locked_package_with_its_hashes(tmp_path: Path) -> None:
    file = tmp_path / "sbom.json"
    recipe = (ROOT / "Makefile").read_text().replace("\\\n", " ")
    (command,) = re.findall(r"^\t\$\(BIN\)/cyclonedx-py (.*)$", recipe, re.MULTILINE)
    arguments = shlex.split(command.replace("build/sbom.json", str(file)))
    subprocess.run([sys.executable, "-m", "cyclonedx_py", *arguments], cwd=ROOT, check=True, timeout=300)
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(file.read_text()) is None
    document = json.loads(file.read_text())
    assert (document["bomFormat"], document["metadata"]["component"]["name"]) == ("CycloneDX", "kokoro-lab")
    components = {f"{component['name']}=={component['version']}": component for component in document["components"]}
    pins = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and line[0] != "#"]
    assert set(pins) <= set(components)
    for pin in pins:
        assert any(reference.get("hashes") for reference in components[pin]["externalReferences"]), pin
        assert components[pin]["purl"].startswith("pkg:pypi/")


def test_the_validator_finds_a_mistake() -> None:
    wrong = {"bomFormat": "CycloneDX", "specVersion": "1.6", "components": [{"name": "no type"}]}
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(wrong)) is not None
