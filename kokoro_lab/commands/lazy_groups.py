"""The groups of commands, each in a module that is imported when the group is used, so that `--help` stays quick."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

import typer
from typer.core import TyperGroup

__all__ = ["GROUPS", "CommandGroup"]


class LazyGroup(TyperGroup):
    """A group whose commands are those of a module's `app`."""

    module = ""
    """Name of the module."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Names of the commands in the order of their definition."""
        self._load()
        return super().list_commands(ctx)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of that name, None when there is none."""
        self._load()
        return super().get_command(ctx, cmd_name)

    def _load(self) -> None:
        if not self.commands:
            group = typer.main.get_group(importlib.import_module(self.module).app)
            self.commands.update(group.commands)


@dataclass(frozen=True)
class CommandGroup:
    """The word in front of a group's commands, and the sentence that `--help` says of them."""

    name: str
    about: str

    @property
    def module(self) -> str:
        """Name of the module whose `app` is the group."""
        return f"kokoro_lab.commands.{self.name}"

    def typer(self) -> typer.Typer:
        """The group for a command line, without importing its module."""
        kind = type("LazyGroup", (LazyGroup,), {"module": self.module})
        return typer.Typer(cls=kind, help=self.about, no_args_is_help=True, rich_markup_mode=None)


GROUPS = (
    CommandGroup("models", "Manage model files and their variants."),
    CommandGroup("results", "Inspect stored results."),
    CommandGroup("environments", "Manage isolated environments: OpenVINO and other engines."),
    CommandGroup("bench", "Run benchmarks and compare them with their targets."),
)
