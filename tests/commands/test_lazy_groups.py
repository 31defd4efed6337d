"""Groups of commands: each is the `app` of its module, which is not imported before the group is used."""

from __future__ import annotations

import importlib
import sys
from typing import Any

import pytest
import typer

from kokoro_lab.commands.lazy_groups import GROUPS, CommandGroup


def shown(group: CommandGroup) -> Any:
    """The group as a command line has it."""
    root = typer.Typer()
    root.add_typer(group.typer(), name=group.name)
    return typer.main.get_group(root).commands[group.name]


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group.name)
def test_a_group_has_the_commands_of_its_module(group: CommandGroup) -> None:
    commands = typer.main.get_group(importlib.import_module(group.module).app).commands
    assert commands and shown(group).list_commands(None) == list(commands)


def test_naming_a_group_imports_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for group in GROUPS:
        monkeypatch.delitem(sys.modules, group.module, raising=False)
        assert shown(group).help == group.about
        assert group.module not in sys.modules
