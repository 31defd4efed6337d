"""YAML within bounds: what is refused is refused with its line, and what is not is what PyYAML reads."""

from __future__ import annotations

import time
from typing import Any

import pytest
import yaml

from kokoro_lab.files import yaml_loader
from kokoro_lab.files.yaml_loader import MalformedError, load
from kokoro_lab.paths import data_folder

BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 12)
)
MERGES = "b0: &b0 {x: 1}\n" + "".join(f"b{i}: &b{i} {{<<: [*b{i - 1}, *b{i - 1}], k{i}: 1}}\n" for i in range(1, 60))


@pytest.fixture(params=["libyaml", "python"])
def reader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "libyaml":
        if not yaml.__with_libyaml__:
            pytest.skip("PyYAML was built without libyaml")
        return
    parts = (yaml.reader.Reader, yaml.scanner.Scanner, yaml.parser.Parser)
    monkeypatch.setattr(yaml_loader, "_READERS", parts)
    slower = type("Slower", (yaml_loader._Bounded, *parts), {"__init__": yaml_loader._Loader.__init__})
    monkeypatch.setattr(yaml_loader, "_Loader", slower)


@pytest.mark.usefixtures("reader")
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: 1\nb: 2024-13-45", "'2024-13-45' is refused: month must be in 1..12, line 2"),
        ("a:\n  b: 0x" + "f" * 99, "a number has 101 characters, line 2"),
        ("a: " + ":".join(["1"] * 60), "a number has 119 characters, line 1"),
        ("a: 1\nb: 2\na: 3", "'a' is given twice, line 3"),
        ("- {x: 1, 'x': 2}", "'x' is given twice, line 1"),
        ("? [1]\n: 2", "a name is not text, line 1"),
        ("- " * 20_000, "nested more than 60 levels deep, line 1"),
        ("[" * 20_000, "nested more than 60 levels deep, line 1"),
        ("\n".join(" " * i + "a:" for i in range(80)), "nested more than 60 levels deep, line 60"),
        (BOMB, "more than 20,000 values, or contains itself"),
        ("a: &a [*a]", "values, or contains itself"),
        (MERGES, "more than 20,000 values are merged, line"),
        ("[" + "a," * 20_001 + "]", "more than 20,000 values"),
        ("a: !!python/object/apply:os.system [x]", "could not determine a constructor .*, line 1"),
        ("a:\n\t- b", "cannot start any token, line 2"),
        ("---\na\n---\nb", "another document, line 3"),
        ("a: [", ", line 1"),
    ],
)
def test_what_is_refused_is_refused_with_its_line(text: str, words: str) -> None:
    began = time.process_time()
    with pytest.raises(MalformedError, match=words):
        load(text)
    assert time.process_time() - began < 5.0


@pytest.mark.usefixtures("reader")
@pytest.mark.parametrize(
    "text",
    [
        "",
        "a: [1, 2.5, .inf, null, yes, 2024-01-02]",
        "a: &b {c: 1}\nd: *b\ne: {<<: *b, c: 2, f: 3}",
        "'" + "x" * 9_000 + "'",
    ],
)
def test_what_is_not_refused_is_what_pyyaml_reads(text: str) -> None:
    assert load(text) == yaml.safe_load(text)


def test_the_committed_documents_are_what_pyyaml_reads() -> None:
    for path in sorted(data_folder().rglob("*.yaml")):
        text = path.read_text(encoding="utf-8")
        assert load(text) == yaml.safe_load(text), path.name


@pytest.mark.parametrize("text", ["a: \0", "\ud800", "a: &a {<<: *a}"])
def test_what_only_libraries_refuse_is_an_exception_and_no_crash(text: str) -> None:
    problem: Any
    with pytest.raises(Exception) as problem:
        load(text)
    assert not isinstance(problem.value, AssertionError)
