"""The command line: options and exit codes. What a command does is in `kokoro_lab.commands`, imported when called.

Exit codes: 0 done, 1 a gate failed or something regressed, 2 wrong usage or input, 3 inconclusive, 4 nothing was
measured, 5 any other error, 130 after Ctrl-C, 143 after SIGTERM, 129 after SIGHUP.
"""

from __future__ import annotations

import importlib
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from kokoro_lab._version import __version__
from kokoro_lab.commands.console import DEFAULT_WAIT_S, FORWARDED, Json, ReaderGoneError, Wait, forward, sentence
from kokoro_lab.errors import InputError, KokoroLabError
from kokoro_lab.files.failures import is_panic, machine_failure, spare_address_space
from kokoro_lab.process.signals import Interruption, command, interruption_of
from kokoro_lab.process.streams import silence, tell

__all__ = ["LAB_MODULES", "app", "main", "run"]

LAB_MODULES = frozenset(
    {
        "IPython",
        "altair",
        "deltalake",
        "ipykernel",
        "ipywidgets",
        "jinja2",
        "jupyterlab",
        "markupsafe",
        "mistune",
        "nbclient",
        "nbconvert",
        "nbformat",
        "pandas",
        "papermill",
        "pyarrow",
        "ruptures",
        "vl_convert",
    }
)
"""Import names of the packages in the extra `lab`, which the engine and its models do not need."""


LEAST_MEMORY = 300 << 20
"""Bytes of address space without which NumPy's library ends the process by itself, measured with two processors."""


class LazyGroup(TyperGroup):
    """A group of commands whose module is imported when the group is used, so that `--help` stays quick."""

    module = ""
    """Name of the module whose `app` is the group."""

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


def _lazy_group(module: str, about: str) -> typer.Typer:
    kind = type("LazyGroup", (LazyGroup,), {"module": module})
    return typer.Typer(cls=kind, help=about, no_args_is_help=True, rich_markup_mode=None)


class StoppedError(Exception):
    """A command was interrupted; its cause is the interruption, which typer would turn into an exit code alone."""


class RootGroup(TyperGroup):
    """All commands: an interruption of any leaves them with what it says."""

    def make_context(self, *args: Any, **options: Any) -> Any:
        """Parse the arguments, which imports the command's module."""
        with _interruption_kept():
            return super().make_context(*args, **options)

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        with _interruption_kept():
            return super().invoke(ctx)


@contextmanager
def _interruption_kept() -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt as error:
        raise StoppedError from error


app = typer.Typer(
    cls=RootGroup,
    name="kokoro-lab",
    help="Speak with Kokoro-82M on ONNX Runtime, and measure how much each optimization gains.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(_lazy_group("kokoro_lab.commands.models", "Manage model files and their variants."), name="models")
app.add_typer(_lazy_group("kokoro_lab.commands.results", "Inspect stored results."), name="results")
app.add_typer(
    _lazy_group("kokoro_lab.commands.environments", "Manage isolated environments: OpenVINO and other engines."),
    name="environments",
)
app.add_typer(
    _lazy_group("kokoro_lab.commands.bench", "Run benchmarks and compare them with their targets."), name="bench"
)

Markdown = Annotated[bool, typer.Option("--markdown", help="Print a Markdown table to standard output.")]
RunId = Annotated[str | None, typer.Option("--run-id", help="Name of the new run (default: plan and time).")]

Run = Annotated[str | None, typer.Option("--run", help="Run: id, name or tag (default: the newest complete run).")]


def _print_version(requested: bool) -> None:
    if requested:
        print(__version__)
        raise typer.Exit


@app.command("bench-peers", **FORWARDED)
def bench_peers(context: typer.Context) -> None:
    """Earlier spelling of `bench peers`."""
    forward("kokoro_lab.commands.bench", "peers", context)


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an error; accepted at any position.")
    ] = False,
) -> None:
    """Options of every command; `run` removes --debug before the arguments are parsed."""


@app.command()
def say(
    text: Annotated[str, typer.Argument(help="Text to speak; - reads standard input.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Audio file: .wav, .flac, .ogg or .mp3.")],
    voice: Annotated[str, typer.Option(help="Name of a voice, or path of a voice file.")] = "af_heart",
    speed: Annotated[float, typer.Option(help="Speaking rate, from 0.5 to 2.")] = 1.0,
    lang: Annotated[str | None, typer.Option(help="Language, such as en-us (default: the voice's).")] = None,
    model: Annotated[str | None, typer.Option(help="Name or path of a model.")] = None,
    provider: Annotated[str | None, typer.Option(help="Execution provider, such as cpu.")] = None,
    stream: Annotated[bool, typer.Option("--stream", help="Synthesize in chunks; --json has their times.")] = False,
    as_json: Json = False,
) -> None:
    """Synthesize a text into an audio file."""
    from kokoro_lab.commands import speak

    settings = {"model": model, "provider": provider}
    speak.say(text, output, voice=voice, speed=speed, lang=lang, settings=settings, stream=stream, as_json=as_json)


@app.command()
def voices(as_json: Json = False) -> None:
    """List the available voices."""
    from kokoro_lab.commands import machine

    machine.voices(as_json=as_json)


@app.command()
def providers(as_json: Json = False) -> None:
    """List the execution providers and their availability."""
    from kokoro_lab.commands import machine

    machine.providers(as_json=as_json)


@app.command()
def doctor(as_json: Json = False) -> None:
    """Check the installation and report missing components."""
    from kokoro_lab.commands.doctor import doctor as check_installation

    if not check_installation(as_json=as_json):
        raise typer.Exit(KokoroLabError.exit_code)


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(help="Folder to create.")],
    force: Annotated[
        bool, typer.Option("--force", help="Accept a folder that is not empty: add missing files, change no others.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Create a lab: a folder for experiments of your own.

    It contains copies of the notebooks, sweep plans, texts, claims, budgets and the lexicon.
    """
    from kokoro_lab.commands.init import init as create_lab

    create_lab(folder, force=force, as_json=as_json)


@app.command()
def sweep(
    plan: Annotated[
        str | None,
        typer.Argument(
            help="Sweep plan: a YAML file, or the name of a plan in data/sweeps/; --resume with --run-id needs none."
        ),
    ] = None,
    run_id: RunId = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue a run: measure only its missing blocks.")] = False,
    model: Annotated[str | None, typer.Option(help="Model to measure instead of the plan's.")] = None,
    text: Annotated[
        list[str] | None, typer.Option("--text", help="Text to measure instead of the plan's; repeat for several.")
    ] = None,
    text_file: Annotated[
        list[Path] | None, typer.Option("--text-file", help="File with such a text, UTF-8; repeat for several.")
    ] = None,
    tag: Annotated[list[str] | None, typer.Option("--tag", help="Tag of the run; repeat for several.")] = None,
    note: Annotated[str | None, typer.Option(help="Note on the run, for yourself.")] = None,
    wait_s: Wait = DEFAULT_WAIT_S,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Check everything that can be checked, estimate the time, and measure nothing."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Run a sweep plan and store its measurements.

    The plan's notebooks are executed in turn, and each measured block is stored at once. Nothing else measures on this
    machine from the first to the last.

    Exit code 2 of a dry run: the plan would not run as it is here; all reasons are listed.
    """
    from kokoro_lab.commands.sweep import SweepOptions
    from kokoro_lab.commands.sweep import sweep as run_plan

    run_plan(
        SweepOptions(
            plan,
            run_id=run_id,
            resume=resume,
            model=model,
            texts=tuple(text or ()),
            text_files=tuple(text_file or ()),
            tags=tuple(tag or ()),
            note=note,
            wait_s=wait_s,
            dry_run=dry_run,
            as_json=as_json,
        )
    )


@app.command()
def compare(
    base: Annotated[str, typer.Argument(help="Baseline: cells, a run, a version, a commit or a folder.")],
    candidate: Annotated[str, typer.Argument(help="Candidate, of the same kind as the baseline.")],
    run_id: Run = None,
    figure: Annotated[
        str, typer.Option(help="Metric to compare, such as total_ms, ttfa_ms, rtf or infer_ms.")
    ] = "total_ms",
    only: Annotated[str | None, typer.Option("--cell", help="Across runs: compare only these cells.")] = None,
    use_contaminated: Annotated[
        bool, typer.Option("--use-contaminated", help="Include blocks that other processes disturbed.")
    ] = False,
    as_json: Json = False,
    as_markdown: Markdown = False,
) -> None:
    """Compare stored cells, runs, versions or commits.

    Cells of one run are compared by pairs of blocks, two runs by their ratios to a shared reference cell. Cells are
    given as an id, as factor=value,... or as `reference`; runs as run:ID[@VERSION], version:N, commit:SHA or a folder
    of exported tables; the name or a tag of a run may stand for its id. Nothing is measured.

    Exit code 1: slower, or different audio; 3: undecided; 4: nothing was measured.
    """
    from kokoro_lab.commands.compare import compare as compare_stored

    compare_stored(
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
    run_id: Annotated[
        str | None, typer.Option("--run", help="Run: id, name or tag (default: the newest complete run).")
    ] = None,
    budgets: Annotated[Path | None, typer.Option(help="Budget file, YAML (default: data/budgets.yaml).")] = None,
    only: Annotated[
        list[str] | None, typer.Option("--only", help="Name of a budget to check; repeat for several.")
    ] = None,
    use_contaminated: Annotated[
        bool, typer.Option("--use-contaminated", help="Include blocks that other processes disturbed.")
    ] = False,
    witness: Annotated[
        str | None,
        typer.Option(help="Instead of a run: `instructions` of a call of the tiny model, against their baseline."),
    ] = None,
    accept: Annotated[bool, typer.Option("--accept", help="With --witness: make this count the baseline.")] = False,
    wait_s: Wait = DEFAULT_WAIT_S,
    as_json: Json = False,
    as_markdown: Markdown = False,
) -> None:
    """Check a run against its performance budgets, or a count of instructions against its baseline.

    Exit code 1: a budget failed; 3: a budget is undecided; 4: a budget has no trials.
    """
    from kokoro_lab.commands.gate import gate as check_budgets
    from kokoro_lab.commands.gate import witness_gate

    if witness is not None:
        if run_id or budgets or only or as_markdown:
            raise InputError("--witness excludes --run, --budgets, --only and --markdown; choose one kind of gate")
        witness_gate(witness, accept=accept, as_json=as_json, wait_s=wait_s)
        return
    if accept:
        raise InputError("--accept needs --witness; write `kokoro-lab gate --witness instructions --accept`")
    check_budgets(
        run_id=run_id,
        path=budgets,
        only=only or [],
        use_contaminated=use_contaminated,
        as_json=as_json,
        as_markdown=as_markdown,
    )


@app.command()
def report(
    run_id: Annotated[
        str | None, typer.Option("--run", help="Run: id, name or tag (default: the newest complete run).")
    ] = None,
    publish: Annotated[bool, typer.Option("--publish", help="Store a copy under results/published/ too.")] = False,
    against: Annotated[
        str | None, typer.Option("--against", metavar="NUMBER|FOLDER", help="Compare with a published report.")
    ] = None,
    verify: Annotated[
        str | None,
        typer.Option("--verify", metavar="NUMBER|FOLDER", help="Compute every figure again from the report's tables."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Render, publish, compare or verify the report of a run."""
    from kokoro_lab.commands.report import report as render
    from kokoro_lab.commands.report import verify_report

    if verify is not None:
        verify_report(verify, as_json=as_json)
        return
    render(run_id=run_id, published=publish, compared=against, as_json=as_json)


def run(arguments: Sequence[str]) -> int:
    """Run one command; returns its exit code. Errors are one sentence on standard error."""
    remaining = list(arguments)
    debug = "--debug" in remaining[: remaining.index("--")] if "--" in remaining else "--debug" in remaining
    if debug:
        remaining.remove("--debug")
    try:
        if spare_address_space() < LEAST_MEMORY:
            raise MemoryError
        code = app(remaining, standalone_mode=False)
        return code if isinstance(code, int) else 0
    except ReaderGoneError:
        # The reader has closed the pipe; keep the interpreter from flushing into it at exit.
        silence(sys.stdout)
        return 0
    except (KeyboardInterrupt, typer.Abort) as error:
        return _stopped(interruption_of(error) or Interruption(), debug)
    except Exception as error:
        if (interruption := interruption_of(error)) is not None:
            return _stopped(interruption, debug)
        return _code_of(error, debug)
    except SystemExit:  # only typer's answer to a closed pipe
        silence(getattr(sys, "__stdout__", sys.stdout))
        return 0
    except BaseException as error:
        if not is_panic(error):
            raise
        return _code_of(error, debug)


def _stopped(interruption: Interruption, debug: bool) -> int:
    _print_error(interruption.message, debug)
    return interruption.exit_code


def _code_of(error: BaseException, debug: bool) -> int:
    if isinstance(error, KokoroLabError):
        _print_error(error.message, debug)
        return error.exit_code
    # Whether a command imports at the top of its module or inside a function, a missing package of the lab shows here.
    if isinstance(error, ModuleNotFoundError) and (error.name or "").partition(".")[0] in LAB_MODULES:
        _print_error("this command needs the extra `lab`; install it with pip install 'kokoro-lab[lab]'", debug)
        return InputError.exit_code
    # Usage errors are click's; newer versions of typer bundle click, so they are recognized by their methods.
    describe = getattr(error, "format_message", None)
    if callable(describe) and type(error).__name__ == "NoArgsIsHelpError":
        tell(describe())
        return 2
    if callable(describe):
        _print_error(f"{str(describe()).rstrip('.')}; see --help", debug)
        return 2
    if (failure := machine_failure(error)) is not None:
        _print_error(failure.message, debug)
        return failure.exit_code
    _print_error(f"unexpected {type(error).__name__}: {error}; repeat the command with --debug to see where", debug)
    return KokoroLabError.exit_code


def _print_error(message: str, debug: bool) -> None:
    if debug:
        traceback.print_exc()
    tell(f"kokoro-lab: {sentence(message)}")


def main() -> None:
    """Run the command of the process's arguments; `kokoro_lab.__main__` does it before this module is imported."""
    command(lambda: run(sys.argv[1:]))
