"""An earlier spelling of a command passes on options, help and exit code."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Annotated

import pytest
import typer

from kokoro_lab.commands.console import FORWARDED, forward


@pytest.fixture
def moved(monkeypatch: pytest.MonkeyPatch) -> typer.Typer:
    """The new command, in a module of its own, and an app with its older spelling."""
    new = typer.Typer()

    @new.command()
    def work(name: str, count: Annotated[int, typer.Option("--count")] = 1) -> None:
        print(name * count)
        if name == "fail":
            raise typer.Exit(3)

    @new.command()
    def other() -> None:
        pass

    module = ModuleType("kokoro_lab_moved")
    module.app = new  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "kokoro_lab_moved", module)
    old = typer.Typer()

    @old.command("older", **FORWARDED)
    def older(context: typer.Context) -> None:
        forward("kokoro_lab_moved", "work", context)

    @old.command("another")
    def another() -> None:
        pass

    return old


def called(app: typer.Typer, *words: str) -> int:
    code = typer.main.get_command(app).main([*words], prog_name="old", standalone_mode=False)
    return int(code or 0)


def test_arguments_and_options_reach_the_new_command(moved: typer.Typer, capsys: pytest.CaptureFixture[str]) -> None:
    assert called(moved, "older", "ab", "--count", "2") == 0
    assert capsys.readouterr().out == "abab\n"


def test_its_exit_code_is_the_older_spellings_too(moved: typer.Typer) -> None:
    assert called(moved, "older", "fail") == 3


def test_help_is_that_of_the_new_command(moved: typer.Typer, capsys: pytest.CaptureFixture[str]) -> None:
    called(moved, "older", "--help")
    out = capsys.readouterr().out
    assert "--count" in out


def test_what_the_new_command_does_not_know_is_refused(moved: typer.Typer) -> None:
    with pytest.raises(Exception, match="--nonsense"):
        called(moved, "older", "ab", "--nonsense")
