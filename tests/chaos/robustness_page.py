"""docs/robustness.md: what was done to the program, how often, and how often it failed."""

from __future__ import annotations

from chaos.harness import Report, Result
from kokoro_lab.commands.console import sentence

__all__ = ["page"]

INTRODUCTION = """\
<!-- Written by `make chaos WRITE=docs/robustness.md`; do not edit. -->

# What was done to the program

The program reads files that other people made, and runs on machines that are interrupted, full or locked. `make chaos`
attacks it on purpose: it damages files, kills and interrupts processes, and fills disks. Each attempt is counted, and
the number of failures must be 0. A failure is a crash, a traceback, a hang, an undocumented exit code, a lost or
doubled measurement, or something half-made that stays behind.

Damaged input may be refused; the program then says in one sentence what is wrong and what to do.
`.ci/run` repeats a few attempts of each attack (`make chaos SHORT=1`) for every change, and `make chaos ONLY="kills
full-disks"` runs some attacks alone. All choices follow from a seed, so that a failed attempt can be
repeated, apart from the exact moment of a kill or a signal.
"""


def page(report: Report) -> str:
    """The report as a page of the documentation."""
    tries = sum(result.tries for result in report.results)
    failures = sum(len(result.failures) for result in report.results)
    machine = report.machine
    form = "the short form" if report.short else "the full form"
    changed = ", with changes that were not committed" if report.changed else ""
    minutes = f"{report.seconds / 60:.0f} minutes"
    lines = [
        INTRODUCTION,
        f"**{tries:,} attempts, {failures:,} failures**, in {minutes}: {form} on {report.date}, "
        f"commit `{report.commit}`{changed}, seed {report.seed}, on {machine.get('cores')} cores of "
        f"{machine.get('processor')}, {machine.get('system')}, Python {machine.get('python')}.",
        "",
        "| Attack | What is done, and what must hold | Attempts | Failures | Seconds |",
        "| --- | --- | ---: | ---: | ---: |",
        *(_row(result) for result in report.results),
    ]
    details = [result for result in report.results if result.hits]
    if details:
        lines += ["", "## What the attempts met", "", "| Attack | Attempts of each kind |", "| --- | --- |"]
        lines += [f"| {result.name} | {_hits(result)} |" for result in details]
    return "\n".join(lines) + "\n"


def _row(result: Result) -> str:
    what = sentence(result.what) + (f" **Not run: {result.skipped}.**" if result.skipped else "")
    cells = (result.name, what, f"{result.tries:,}", f"{len(result.failures):,}", f"{result.seconds:.0f}")
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def _hits(result: Result) -> str:
    return ", ".join(f"{name}: {count:,}" for name, count in sorted(result.hits.items(), key=lambda hit: -hit[1]))
