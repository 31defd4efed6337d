"""The command line: options and exit codes. What a command does is in `kokoro_lab.commands`, imported when called.

Exit codes: 0 done, 1 a gate failed or something regressed, 2 wrong usage or input, 3 inconclusive, 4 nothing was
measured, 5 any other error, 130 after Ctrl-C.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from kokoro_lab import __version__
from kokoro_lab.commands import bench_peers, environments, models
from kokoro_lab.commands.console import ReaderGoneError, sentence
from kokoro_lab.errors import KokoroLabError

__all__ = ["app", "main", "run"]

app = typer.Typer(
    name="kokoro-lab",
    help="Speak with Kokoro-82M on ONNX Runtime, and measure what each optimisation really buys.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
results_app = typer.Typer(help="What the tables hold.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(models.app, name="models")
app.add_typer(results_app, name="results")
app.add_typer(environments.app, name="environments")
app.command("bench-peers")(bench_peers.bench_peers)

Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]
Markdown = Annotated[bool, typer.Option("--markdown", help="A Markdown table on standard output.")]
RunId = Annotated[str | None, typer.Option("--run-id", help="Name of the run (default: plan and time).")]


def _print_version(asked: bool) -> None:
    if asked:
        print(__version__)
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and end.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Add the traceback to an error; works anywhere.")] = False,
) -> None:
    """Options of every command; `run` takes --debug out before they are read."""


@app.command()
def say(
    text: Annotated[str, typer.Argument(help="What to say; - reads standard input.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Audio file: .wav, .flac, .ogg or .mp3.")],
    voice: Annotated[str, typer.Option(help="Name or file of a voice.")] = "af_heart",
    speed: Annotated[float, typer.Option(help="0.5 to 2.")] = 1.0,
    lang: Annotated[str | None, typer.Option(help="Language, as en-us (default: the voice's).")] = None,
    model: Annotated[str | None, typer.Option(help="Name or path of a model.")] = None,
    provider: Annotated[str | None, typer.Option(help="Execution provider, as cpu.")] = None,
    stream: Annotated[bool, typer.Option("--stream", help="Make it in chunks, and tell when each arrived.")] = False,
    as_json: Json = False,
) -> None:
    """Speak a text into a file."""
    from kokoro_lab.commands import speak

    settings = {"model": model, "provider": provider}
    speak.say(text, output, voice=voice, speed=speed, lang=lang, settings=settings, stream=stream, as_json=as_json)


@app.command()
def voices(as_json: Json = False) -> None:
    """List the voices."""
    from kokoro_lab.commands import machine

    machine.voices(as_json=as_json)


@app.command()
def providers(as_json: Json = False) -> None:
    """List the execution providers, and which of them this installation has."""
    from kokoro_lab.commands import machine

    machine.providers(as_json=as_json)


@app.command()
def doctor(as_json: Json = False) -> None:
    """Say what is there and what is not."""
    from kokoro_lab.commands.doctor import doctor as look

    if not look(as_json=as_json):
        raise typer.Exit(KokoroLabError.exit_code)


@app.command()
def sweep(
    plan: Annotated[str, typer.Argument(help="A plan: a YAML file, or the name of one in data/sweeps/.")],
    run_id: RunId = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue a run: only what is missing.")] = False,
    model: Annotated[str | None, typer.Option(help="Measure this model instead of the plan's.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would run and how long it should take.")] = False,
    as_json: Json = False,
) -> None:
    """Run a plan: its notebooks measure, and every block is kept at once."""
    from kokoro_lab.commands.sweep import sweep as run_plan

    run_plan(plan, run_id=run_id, resume=resume, model=model, as_json=as_json, dry_run=dry_run)


@results_app.command("list")
def results_list(as_json: Json = False) -> None:
    """List the runs."""
    from kokoro_lab.commands import results

    results.list_runs(as_json=as_json)


@results_app.command("show")
def results_show(
    table: Annotated[str, typer.Argument(help="samples, cells, machines, verdicts or notebooks.")],
    run_id: Annotated[str | None, typer.Option("--run", help="Rows of this run only.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="The newest rows only.")] = None,
    version: Annotated[int | None, typer.Option(min=0, help="The table as it was at this version.")] = None,
    as_json: Json = False,
) -> None:
    """Show the rows of a table."""
    from kokoro_lab.commands import results

    results.show(table, run_id=run_id, limit=limit, version=version, as_json=as_json)


@results_app.command("history")
def results_history(
    table: Annotated[str, typer.Argument(help="samples, cells, machines, verdicts or notebooks.")],
    as_json: Json = False,
) -> None:
    """List the commits of a table."""
    from kokoro_lab.commands import results

    results.history(table, as_json=as_json)


@results_app.command("export")
def results_export(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder of its own.")],
    form: Annotated[str, typer.Option("--format", help="csv or parquet.")] = "csv",
    run_id: Annotated[str | None, typer.Option("--run", help="Rows of this run only.")] = None,
    as_json: Json = False,
) -> None:
    """Write the tables as plain files, with a manifest of their sums."""
    from kokoro_lab.commands import results

    results.export(folder, form=form, run_id=run_id, as_json=as_json)


@results_app.command("import")
def results_import(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="What `results export` wrote.")], as_json: Json = False
) -> None:
    """Add exported tables to those that are here; rows that are here already stay as they are."""
    from kokoro_lab.commands import results

    results.import_(folder, as_json=as_json)


@app.command()
def compare(
    base: Annotated[str, typer.Argument(help="Cells, or a run, version, commit or folder; see below.")],
    candidate: Annotated[str, typer.Argument(help="What is held against it, of the same kind.")],
    run_id: Annotated[str | None, typer.Option("--run", help="Run of the cells (default: the newest).")] = None,
    figure: Annotated[str, typer.Option(help="As total_ms, ttfa_ms, rtf or infer_ms.")] = "total_ms",
    only: Annotated[str | None, typer.Option("--cell", help="Across runs: these cells only.")] = None,
    use_contaminated: Annotated[
        bool, typer.Option("--use-contaminated", help="Blocks of a machine that was not quiet count, too.")
    ] = False,
    as_json: Json = False,
    as_markdown: Markdown = False,
) -> None:
    """Compare cells of one run by pairs, or two runs by ratios to the reference cell that they share.

    Cells: an id, factor=value,... or `reference`. Across: run:ID[@VERSION], version:N, commit:SHA, or a folder of
    exported tables; nothing is measured. Exit 1: slower or other audio, 3: not decided, 4: nothing was measured.
    """
    from kokoro_lab.commands.compare import compare as show

    show(
        base,
        candidate,
        run_id=run_id,
        figure=figure,
        only=only,
        use_contaminated=use_contaminated,
        as_json=as_json,
        as_markdown=as_markdown,
    )


@app.command()
def gate(
    run_id: Annotated[str | None, typer.Option("--run", help="Which run (default: the newest).")] = None,
    budgets: Annotated[Path | None, typer.Option(help="A YAML file (default: data/budgets.yaml).")] = None,
    only: Annotated[list[str] | None, typer.Option("--only", help="A budget; repeat for several.")] = None,
    use_contaminated: Annotated[
        bool, typer.Option("--use-contaminated", help="Blocks of a machine that was not quiet count, too.")
    ] = False,
    as_json: Json = False,
    as_markdown: Markdown = False,
) -> None:
    """Hold a run against its budgets. Exit 1: one failed, 4: one has no trials, 3: one cannot be told."""
    from kokoro_lab.commands.gate import gate as hold

    hold(
        run_id=run_id,
        path=budgets,
        only=only or [],
        use_contaminated=use_contaminated,
        as_json=as_json,
        as_markdown=as_markdown,
    )


@app.command()
def report(
    run_id: Annotated[str | None, typer.Option("--run", help="Which run (default: the newest).")] = None,
    publish: Annotated[bool, typer.Option("--publish", help="Keep it under results/published/ too.")] = False,
    against: Annotated[
        str | None, typer.Option("--against", metavar="NUMBER|FOLDER", help="Compare with a published report.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Render the report of a run; keep it, or compare it with one that was kept."""
    from kokoro_lab.commands.report import report as render

    render(run_id=run_id, published=publish, compared=against, as_json=as_json)


def run(arguments: Sequence[str]) -> int:
    """Run one command; returns its exit code. Errors are one sentence on standard error."""
    given = list(arguments)
    debug = "--debug" in given[: given.index("--")] if "--" in given else "--debug" in given
    if debug:
        given.remove("--debug")
    try:
        code = app(given, standalone_mode=False)
        return code if isinstance(code, int) else 0
    except ReaderGoneError:
        # Whoever read our output has enough; keep the interpreter from flushing into the closed pipe at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (KeyboardInterrupt, typer.Abort):
        _complain("Interrupted", debug)
        return 130
    except Exception as error:
        return _code_of(error, debug)


def _code_of(error: Exception, debug: bool) -> int:
    if isinstance(error, KokoroLabError):
        _complain(error.message, debug)
        return error.exit_code
    # Usage errors are click's, which newer versions of typer carry inside: they are known by what they can do.
    describe = getattr(error, "format_message", None)
    if callable(describe) and type(error).__name__ == "NoArgsIsHelpError":
        print(describe(), file=sys.stderr)
        return 2
    if callable(describe):
        _complain(f"{str(describe()).rstrip('.')}; --help tells what there is", debug)
        return 2
    _complain(f"Unexpected {type(error).__name__}: {error} (--debug shows where)", debug)
    return KokoroLabError.exit_code


def _complain(message: str, debug: bool) -> None:
    if debug:
        import traceback

        traceback.print_exc()
    print(f"kokoro-lab: {sentence(message)}", file=sys.stderr)


def main() -> None:
    """Entry point of the `kokoro-lab` script."""
    sys.exit(run(sys.argv[1:]))
