"""Writes the file that upstream's exporter makes with the stand-in's weights, and prints its path.

`make bench-models` measures our variants against it. It is kept in the models' home by the sum of its weights, so that
it is made once (about a minute): `PYTHONPATH=. .venv-reference/bin/python tests/reference/export_base.py`.
"""

from __future__ import annotations

import contextlib
import hashlib
import sys
import tempfile
import warnings
from pathlib import Path

from kokoro_lab.models.catalog import STAND_IN_SEED
from kokoro_lab.models.graph.architecture import FULL
from kokoro_lab.models.graph.weights import seeded_state
from kokoro_lab.paths import home


def main() -> Path:
    """The export's path; it is made when it is not there."""
    state = seeded_state(FULL, STAND_IN_SEED)
    digest = hashlib.sha256()
    for name in sorted(state):
        digest.update(name.encode())
        digest.update(state[name].tobytes())
    path = home() / "upstream" / f"stand-in-{digest.hexdigest()[:12]}.onnx"
    if path.is_file():
        return path
    import upstream
    from exports import export

    path.parent.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(dir=path.parent) as folder,
        contextlib.redirect_stdout(sys.stderr),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        made = Path(folder) / path.name
        export(upstream.load(state, Path(folder)), made)
        made.replace(path)
    return path


if __name__ == "__main__":
    print(main())
