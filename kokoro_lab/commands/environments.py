"""`kokoro-lab environments`: isolated installations, listed, added and removed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from kokoro_lab.measure.environments import Environment

__all__ = ["app"]

app = typer.Typer(
    help="Isolated installations: another onnxruntime build, and peer engines.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]
Name = Annotated[str, typer.Argument(help="Name of a recipe, as `environments list` shows them.")]
COLUMNS = ("name", "status", "about", "packages", "installed_at")


@app.command("list")
def list_environments(as_json: Json = False) -> None:
    """List the recipes, and what is installed of them."""
    from kokoro_lab.commands.console import print_json, print_table
    from kokoro_lab.measure.environments import environments

    rows = [_row(entry) for entry in environments()]
    if as_json:
        print_json({"environments": rows})
    else:
        print_table(rows, COLUMNS)


@app.command()
def add(name: Name, as_json: Json = False) -> None:
    """Install an environment from its recipe: a quarter of a minute to three minutes, over the network."""
    from kokoro_lab.commands.console import notice, print_json
    from kokoro_lab.measure.environments import add as install

    entry = install(name, notice=notice)
    if as_json:
        print_json({"environments": [_row(entry)]})


@app.command()
def remove(name: Name, as_json: Json = False) -> None:
    """Delete an installed environment."""
    from kokoro_lab.commands.console import notice, print_json
    from kokoro_lab.measure.environments import remove as delete

    folder = delete(name)
    notice(f"removed environment {name} from {folder}")
    if as_json:
        print_json({"removed": [{"name": name, "folder": str(folder)}]})


def _row(entry: Environment) -> dict[str, Any]:
    known = entry.recipe
    return {
        "name": entry.name,
        "status": entry.status,
        "about": known.about if known else "Its recipe is gone.",
        "packages": len(known.pins) if known else None,
        "recipe_sha256": known.sha256 if known else None,
        "installed_from_sha256": entry.recipe_sha256 or None,
        "installed_at": entry.installed_at or None,
        "folder": str(entry.folder),
    }
