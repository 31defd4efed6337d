"""Error messages have one form: lower-case first word, no full stop at the end, what to do after a semicolon."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from kokoro_lab import errors
from kokoro_lab.errors import KokoroLabError

PACKAGE = Path(__file__).parents[1] / "kokoro_lab"
DONE = {
    *(
        "audio",
        "benchmarks",
        "commands",
        "engine",
        "errors.py",
        "field_checks.py",
        "files",
        "kernels",
        "measure",
        "models",
    ),
    *("process", "reports", "runtime", "store", "sweeps", "text", "variants"),
}
"""Top-level folders and modules whose messages have the form."""
NAMES = {"English", "Japanese"}
"""First words that keep their capitals."""
QUOTING = {
    "line {}, column {}: {}",
    "the engine's settings do not work: {}",
    "the environment's settings cannot be read: {}",
    "{} settings cannot be used: {}",
    "notebook {} cannot be planned: {}",
}
"""Messages that end with other messages, which say what to do."""
TREE = {name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, KokoroLabError)}


def messages(source: str) -> Iterator[tuple[int, str]]:
    """(line, text) of every error of the tree that is raised with a literal message; expressions in it become {}."""
    for node in ast.walk(ast.parse(source)):
        if not (isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and node.exc.args):
            continue
        name, text = node.exc.func, node.exc.args[0]
        if not (isinstance(name, ast.Name) and name.id in {*TREE, "error"}):
            continue
        parts = text.values if isinstance(text, ast.JoinedStr) else [text]
        if isinstance(text, ast.JoinedStr) or (isinstance(text, ast.Constant) and isinstance(text.value, str)):
            yield node.lineno, "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in parts)


def mistakes(text: str) -> list[str]:
    """What a message has against the form."""
    problem, _, advice = text.partition(";")
    complete = bool(problem.strip() and advice.strip()) or text in QUOTING
    first = text.split()[0].rstrip(",:;")
    return [
        mistake
        for mistake, present in {
            "begins with a capital": first[0].isupper() and first not in NAMES,
            "ends with a full stop": text.rstrip().endswith((".", "!")),
            "does not say what to do after a semicolon": not complete,
            "begins the advice with a capital": advice.strip()[:1].isupper(),
        }.items()
        if present
    ]


def modules() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py") if path.relative_to(PACKAGE).parts[0] in DONE)


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_error_messages_have_one_form(path: Path) -> None:
    faults = {
        f"{path.name}:{line}: {text}": wrong
        for line, text in messages(path.read_text(encoding="utf-8"))
        if (wrong := mistakes(text))
    }
    assert not faults


def test_every_folder_of_the_list_has_messages_to_check() -> None:
    folders = {path.relative_to(PACKAGE).parts[0] for path in modules() if [*messages(path.read_text("utf-8"))]}
    assert folders == DONE - {"errors.py"}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("raise VoiceError(f\"unknown voice {name!r}; choose one of {', '.join(known)}\")", []),
        ("raise ModelError('English needs misaki; install it')", []),
        ("raise ModelError('The file is empty; get it again')", ["begins with a capital"]),
        ("raise ModelError('the file is empty; get it again.')", ["ends with a full stop"]),
        ("raise ModelError(f'cannot read {path}')", ["does not say what to do after a semicolon"]),
        ("raise ModelError('the file is empty; Get it again')", ["begins the advice with a capital"]),
    ],
)
def test_a_message_of_another_form_is_detected(source: str, expected: list[str]) -> None:
    assert [mistakes(text) for _, text in messages(source)] == [expected]
