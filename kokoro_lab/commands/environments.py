"""`kokoro-lab environments`: list, install and remove isolated environments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from kokoro_lab.commands.console import Json, notice, print_json, print_table
from kokoro_lab.measure.peers.environments import add as install
from kokoro_lab.measure.peers.environments import environments
from kokoro_lab.measure.peers.environments import remove as delete

if TYPE_CHECKING:
    from kokoro_lab.measure.peers.environments import Environment

__all__ = ["app"]

app = typer.Typer(rich_markup_mode=None)

Name = Annotated[str, typer.Argument(help="Name of an environment in `environments list`.")]
COLUMNS = ("name", "status", "about", "packages", "installed_at")


@app.command("list")
def list_environments(as_json: Json = False) -> None:
    """List the environments and whether they are installed."""
    rows = [_row(entry) for entry in environments()]
    if as_json:
        print_json({"environments": rows})
    else:
        print_table(rows, COLUMNS)


@app.command()
def add(name: Name, as_json: Json = False) -> None:
    """Install an environment from its recipe.

    It takes 15 seconds to three minutes, and needs a package index.
    """
    entry = install(name, notice=notice)
    if as_json:
        print_json({"environments": [_row(entry)]})


@app.command()
def remove(name: Name, as_json: Json = False) -> None:
    """Delete an installed environment."""
    folder = delete(name)
    notice(f"removed environment {name} from {folder}")
    if as_json:
        print_json({"removed": [{"name": name, "folder": str(folder)}]})


def _row(entry: Environment) -> dict[str, Any]:
    known = entry.recipe
    return {
        "name": entry.name,
        "status": entry.status,
        "about": known.about if known else "Its recipe no longer exists.",
        "packages": len(known.pins) if known else None,
        "recipe_sha256": known.sha256 if known else None,
        "installed_from_sha256": entry.recipe_sha256 or None,
        "installed_at": entry.installed_at or None,
        "folder": str(entry.folder),
    }
