"""Functions are short and take few parameters; an import inside a function has a reason, which a test holds."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import kokoro_lab

PACKAGE = Path(kokoro_lab.__file__).parent
SOURCES = {str(path.relative_to(PACKAGE)): path for path in sorted(PACKAGE.rglob("*.py"))}

MOST_LINES = 60
MOST_PARAMETERS = 7
COMMANDS = ("cli.py", "commands/")
"""Where a parameter is an option of the command line; there may be as many as the command has."""

ENGINE = "an engine starts, and a block's load stages are timed, without what the call does not need"
OPTIONAL = "an optional package, or one language's, which speech in another must neither load nor need"
QUICK = "a command that calculates nothing starts without SciPy, onnxruntime or its quantiser"
LAZY = {
    "__init__.py": "import kokoro_lab is instant: names are handed on when they are asked for",
    "cli.py": "--help and --version load no command",
    "commands/console.py": "--help loads no rich tables",
    "commands/model_choice/tuning.py": "models are listed, built and made without the tables that tuning measures into",
    "commands/doctor.py": "doctor reports an onnxruntime that cannot be imported",
    "audio/finish.py": OPTIONAL,
    "audio/loudness.py": OPTIONAL,
    "audio/wav.py": ENGINE,
    "benchmarks/simulation.py": QUICK,
    "benchmarks/altered_worker.py": "it stands in for the worker, which times its own imports",
    "engine/loading.py": ENGINE,
    "files/documents.py": "a JSON record is read without loading a YAML parser",
    "files/locking.py": ENGINE,
    "kernels/library.py": ENGINE,
    "measure/block/calls.py": "a peer's process starts without our engine",
    "measure/machine/fingerprint.py": "a fingerprint is taken where there is no onnxruntime, too",
    "measure/machine/peak_memory.py": ENGINE,
    "measure/peers/adapters/upstream.py": "runs in an environment of its own, which may have only upstream's packages",
    "measure/peers/peer_files.py": "the process that waits for a block loads onnx for the one peer that needs it",
    "measure/statistics/between_runs.py": QUICK,
    "measure/statistics/counts.py": QUICK,
    "measure/statistics/drift.py": QUICK,
    "measure/statistics/noise.py": QUICK,
    "measure/statistics/percentiles.py": QUICK,
    "measure/worker.py": "the worker times its own imports, and a peer's worker loads none of our engine",
    "models/catalog.py": ENGINE,
    "models/files/protobuf_scan.py": ENGINE,
    "models/rewrite/quantize_dynamic.py": QUICK,
    "reports/figures/speaking_panel.py": "only a notebook that is used by hand has widgets",
    "runtime/arena.py": ENGINE,
    "runtime/exact/form_preparation.py": ENGINE,
    "runtime/memory.py": ENGINE,
    "runtime/opening.py": ENGINE,
    "runtime/preoptimized.py": ENGINE,
    "runtime/provider_probe.py": "the probe's process reports an onnxruntime that cannot be imported",
    "runtime/providers.py": ENGINE,
    "runtime/session.py": ENGINE,
    "runtime/trial/first_opening.py": ENGINE,
    "runtime/trial/trial_process.py": "onnxruntime is loaded once its output is turned away, before memory is limited",
    "runtime/settings.py": ENGINE,
    "measure/block/counted_calls.py": "the counter of instructions is opened before the engine's threads start",
    "measure/statistics/change_points.py": "ruptures comes with the extra `lab`; a worker loads neither it nor scipy",
    "store/gauges.py": QUICK,
    "sweeps/notebook/notebook_bar.py": "only a notebook's kernel has IPython",
    "sweeps/notebooks.py": "the process that waits for a notebook loads no papermill",
    "text/cjk.py": OPTIONAL,
    "text/english.py": OPTIONAL,
    "text/espeak.py": OPTIONAL,
    "text/markup.py": OPTIONAL,
    "variants/operator_profile.py": QUICK,
    "variants/probes.py": QUICK,
}
"""Files that import our own modules or installed packages inside functions, and why."""

TABLES = frozenset({"pandas", "pyarrow", "deltalake"})
DRAWING = frozenset({"altair", "papermill", "IPython", "ipywidgets", "jupyterlab"})
SPEECH = frozenset({"onnxruntime", "onnx", "misaki", "spacy", "soundfile", "soxr", "pyloudnorm"})
LIGHT = {
    "kokoro_lab": {"numpy", "kokoro_lab.engine.engine"} | TABLES | DRAWING | SPEECH,
    "kokoro_lab.cli": {"numpy", "rich.console", "kokoro_lab.commands.models"} | TABLES | DRAWING | SPEECH,
    "kokoro_lab.engine.engine": {"scipy", "psutil", "num2words", "filelock"} | TABLES | DRAWING | SPEECH,
    "kokoro_lab.commands.machine": {"scipy"} | TABLES | DRAWING | SPEECH,
    "kokoro_lab.commands.doctor": {"scipy"} | TABLES | DRAWING | SPEECH,
    "kokoro_lab.commands.models": {"scipy", "onnxruntime"} | TABLES | DRAWING,
    "kokoro_lab.commands.sweep": {"scipy", "onnxruntime", "onnx"} | DRAWING,
    "kokoro_lab.measure.worker": {"numpy", "kokoro_lab.engine.engine"} | TABLES | DRAWING | SPEECH,
    "kokoro_lab.measure.block.block_runner": {"psutil", "kokoro_lab.engine.engine"} | TABLES | DRAWING | SPEECH,
}
"""What a module must not load when it is imported: what the reasons above promise."""

WRITING = frozenset(
    {
        *("write_text", "write_bytes", "mkdir", "makedirs"),
        *("mkstemp", "mkdtemp", "NamedTemporaryFile", "TemporaryDirectory", "FileLock"),
    }
)
"""Calls of the standard library and of packages that write a file or create a folder in place."""
WRITERS = {
    "benchmarks/attacks/identity_attacks.py": "the attack is to overwrite a file in place",
    "commands/doctor.py": "the file is a test of the disk, deleted when it is closed",
    "kernels/build.py": "setup.py runs it, without the package",
    "kernels/toomcook.py": "a tool of the source tree: writes a C++ header that is committed",
    "measure/sampling/launch.py": "the worker's output goes to a file without a name, by the system's own call",
    "models/fetch.py": "a download is resumed: its part file stays, and is renamed when its checksum is right",
    "runtime/provider_probe.py": "writes to its parent, which waits, in the parent's scratch folder",
    "store/store.py": "the writer's lock is taken again by the same thread; every failure is a StoreError",
    "store/table.py": "within the try that makes every failure of a table a StoreError",
    "sweeps/notebooks.py": "the log of a process is written while it runs; a failure is a StoreError",
    "sweeps/progress.py": "a line is appended to a file that others read; a failure is a StoreError",
    "variants/provider_process.py": "feeds for the process beside, in a scratch folder that it reads at once",
    "runtime/trial/limited_process.py": "what the process says last is in a file without a name",
}
"""Files outside files/ that write in place, and why."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


def _functions(path: Path) -> Iterator[Function]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, Function):
            yield node


def _lines(function: Function) -> int:
    return (function.end_lineno or function.lineno) - function.lineno + 1


def _parameters(function: Function) -> int:
    """All that a caller may give: not self and not cls."""
    given = function.args
    names = [argument.arg for argument in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
    return len([name for name in names if name not in ("self", "cls")]) + sum(map(bool, (given.vararg, given.kwarg)))


def _oversized(name: str, path: Path) -> list[str]:
    is_command = name.startswith(COMMANDS)
    return [
        f"{function.name}: {_lines(function)} lines, {_parameters(function)} parameters"
        for function in _functions(path)
        if _lines(function) > MOST_LINES or (_parameters(function) > MOST_PARAMETERS and not is_command)
    ]


def _inner_imports(path: Path) -> set[str]:
    """Modules that are imported inside functions, those of the standard library left out."""
    modules = set()
    for function in _functions(path):
        for node in ast.walk(function):
            if isinstance(node, ast.Import):
                modules |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                modules.add(str(node.module))
    return {module for module in modules if module.split(".")[0] not in sys.stdlib_module_names}


def _writes(path: Path) -> set[str]:
    """Names of the calls that write a file in place or create a folder, other than the functions of files/."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    ours = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("kokoro_lab.")
        for alias in node.names
    }
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            mine = isinstance(node.func, ast.Name) and name in ours
            if (name in WRITING and not mine) or (name in ("open", "TemporaryFile") and _opens_for_writing(node)):
                found.add(name)
    return found


def _opens_for_writing(call: ast.Call) -> bool:
    """Whether a call of `open` or `TemporaryFile` has a mode that writes, or that is not written out."""
    if getattr(call.func, "id", getattr(call.func, "attr", "")) == "TemporaryFile":
        return True
    modes = [each.value for each in call.keywords if each.arg == "mode"]
    method = isinstance(call.func, ast.Attribute)
    place = modes or call.args[0 if method else 1 :][:1]
    texts = [each.value for each in ast.walk(ast.Tuple(place)) if isinstance(each, ast.Constant)]
    letters = [str(each) for each in texts if isinstance(each, str) and set(each) <= set("rwaxbt+")]
    return any(set(each) & set("wax+") for each in letters)


@pytest.mark.parametrize("name", SOURCES)
def test_a_file_is_written_whole_or_not_at_all(name: str) -> None:
    if not name.startswith("files/") and name not in WRITERS:
        assert _writes(SOURCES[name]) == set(), "use kokoro_lab.files.writing"


def test_no_writer_is_listed_that_writes_nothing() -> None:
    assert {name for name in WRITERS if name not in SOURCES or not _writes(SOURCES[name])} == set()


@pytest.mark.parametrize("name", SOURCES)
def test_a_function_fits_on_a_screen_and_takes_few_parameters(name: str) -> None:
    assert _oversized(name, SOURCES[name]) == []


@pytest.mark.parametrize("name", SOURCES)
def test_imports_are_at_the_top_where_nothing_forbids_it(name: str) -> None:
    if name not in LAZY:
        assert _inner_imports(SOURCES[name]) == set()


def test_no_exception_is_listed_that_is_not_needed() -> None:
    assert {name for name in LAZY if name not in SOURCES or not _inner_imports(SOURCES[name])} == set()


@pytest.mark.parametrize("module", LIGHT)
def test_a_module_loads_nothing_that_it_may_not_need(module: str) -> None:
    code = f"import sys, {module}; print(*(name for name in {sorted(LIGHT[module])} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_the_rules_see_what_they_are_to_find(tmp_path: Path) -> None:
    source = tmp_path / "room.py"
    names = ", ".join(f"p{number}" for number in range(MOST_PARAMETERS + 1))
    body = "    import json\n    import numpy\n    from kokoro_lab.paths import home\n" + "    pass\n" * MOST_LINES
    source.write_text(f"class Room:\n    def wide(self, {names}): ...\n\ndef long():\n{body}")
    assert [line.split(":")[0] for line in _oversized("room.py", source)] == ["long", "wide"]
    assert [line.split(":")[0] for line in _oversized("commands/room.py", source)] == ["long"]
    assert _inner_imports(source) == {"numpy", "kokoro_lab.paths"}


def test_the_rule_of_writing_sees_every_way_to_write(tmp_path: Path) -> None:
    source = tmp_path / "room.py"
    calls = {
        "path.write_text('x')": {"write_text"},
        "open(path, 'w')": {"open"},
        "open(path, mode='ab')": {"open"},
        "path.open('r+b' if part else 'wb')": {"open"},
        "tempfile.mkstemp()": {"mkstemp"},
        "path.parent.mkdir(parents=True)": {"mkdir"},
        "open(path)": set(),
        "path.open('rb')": set(),
        "Session.open(model, settings)": set(),
        "from kokoro_lab.files.writing import write_text\nwrite_text(path, 'x')": set(),
    }
    for code, names in calls.items():
        source.write_text(code + "\n")
        assert _writes(source) == names, code
