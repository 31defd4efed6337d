"""Notebooks that somebody edited: read whole, or refused in one sentence before anything runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kokoro_lab.errors import PlanError
from kokoro_lab.paths import notebooks_folder
from kokoro_lab.sweeps.notebook.notebook_reading import read_notebook

NOTEBOOKS = sorted(notebooks_folder().glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_our_own_notebooks_are_read(path: Path) -> None:
    assert read_notebook(path).cells[0].source.startswith("# ")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"cells": []}, "cells: .*at least 1 item"),
        ({"cells": {"a": 1}}, "cells: should be a valid list"),
        ({"cells": [7]}, "cells.0: should be a mapping"),
        ({"cells": [{"cell_type": "code", "source": 3}]}, "cells.0.source"),
        ({"cells": [{"cell_type": "code", "source": ["a", 3]}]}, "cells.0.source"),
        ({"metadata": {}}, "metadata.kernelspec: is missing"),
        ({"metadata": []}, "metadata: should be a mapping"),
        ({"nbformat": 3}, "nbformat: should be greater than or equal to 4"),
        ({"nbformat": 10**30}, "nbformat: should be less than or equal to 4"),
    ],
)
def test_a_notebook_that_papermill_could_not_execute_is_refused(
    tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    path = tmp_path / "n.ipynb"
    path.write_text(json.dumps({**json.loads(NOTEBOOKS[0].read_text(encoding="utf-8")), **change}))
    with pytest.raises(PlanError, match=words) as caught:
        read_notebook(path)
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"null", b"[" * 100_000, b"\xff\xfe{", b"\0"])
def test_what_is_no_notebook_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "n.ipynb").write_bytes(data)
    with pytest.raises(PlanError, match=r"notebook .*n\.ipynb"):
        read_notebook(tmp_path / "n.ipynb")
