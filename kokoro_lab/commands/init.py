"""`kokoro-lab init`: create a lab, a folder with copies of the inputs and notebooks of this version."""

from __future__ import annotations

from pathlib import Path

from kokoro_lab._version import __version__
from kokoro_lab.commands.console import notice, print_json
from kokoro_lab.errors import InputError
from kokoro_lab.files.reading import reason
from kokoro_lab.files.writing import make_folder, write_bytes
from kokoro_lab.paths import MARKER, original_inputs

__all__ = ["init"]

MARK = f"""\
# Marks this folder as a lab: commands run in it or below it read its data/ and notebooks/ and write to its results/.
laid_out_by = "kokoro-lab {__version__}"
"""

ADVICE = "name another folder"
README = """\
# A lab for Kokoro-82M on ONNX Runtime

    kokoro-lab sweep quick --dry-run    # show what the plan data/sweeps/quick.yaml would run, and for how long
    kokoro-lab sweep quick              # measure; add --model tiny for a quick try whose figures mean nothing
    kokoro-lab report                   # write results/reports/latest/index.html
    jupyter lab notebooks/index.ipynb   # work with the same notebooks by hand

data/ contains the sweep plans and their texts, the claims that the report tests, the budgets of `kokoro-lab gate` and
the lexicon: change them as you like. results/ contains the measurements.

Sweeps and reports need `pip install 'kokoro-lab[lab]'`.
"""


def init(folder: Path, *, force: bool, as_json: bool) -> None:
    """Create a lab in `folder`, which may not exist yet.

    Args:
        folder: the lab's folder.
        force: accept a folder that is not empty; existing files stay unchanged.
        as_json: print the folder and the written files as one document.

    Raises:
        InputError: the folder is not empty, or cannot be written to.
    """
    try:
        if not force and folder.is_dir() and any(folder.iterdir()):
            raise InputError(f"{folder} is not empty; name a new folder, or add what is missing with --force")
        make_folder(folder, error=InputError, advice=ADVICE)
        written = _write_missing(folder)
    except OSError as error:
        raise InputError(f"cannot create a lab in {folder}: {reason(error)}; {ADVICE}") from error
    if as_json:
        print_json({"folder": str(folder.resolve()), "written": written})
    notice(f"created a lab in {folder} ({len(written)} files); next: cd {folder} && kokoro-lab sweep quick --dry-run")


def _write_missing(folder: Path) -> list[str]:
    """Write the missing files; returns their paths, relative to the folder."""
    originals = original_inputs()
    files = {
        path.relative_to(originals): path.read_bytes()
        for name in ("data", "notebooks")
        for path in sorted((originals / name).rglob("*"))
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(originals).parts)
    }
    # The marker comes last: a folder without it is not a lab yet.
    files |= {Path("README.md"): README.encode(), Path(MARKER): MARK.encode()}
    written = []
    for name, content in files.items():
        if not (folder / name).exists():
            write_bytes(folder / name, content, error=InputError, advice=ADVICE)
            written.append(name.as_posix())
    make_folder(folder / "results", error=InputError, advice=ADVICE)
    return written
