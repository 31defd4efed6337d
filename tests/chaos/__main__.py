"""`make chaos`: run every attack, print the table of tries and failures, and keep it.

    PYTHONPATH=tests python -m chaos [--short] [--only NAME ...] [--tries N] [--seed N] [--jobs N] [--json FILE]
                                     [--write PAGE]

Each attack runs in a process and a temporary folder of its own. The exit code is 0 only when every attack ran and no
try failed; 2 for wrong usage.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from types import ModuleType

import chaos.attacks
from chaos.harness import CHILD, Form, child, found, option, run_all
from chaos.robustness_page import page

DEFAULT_JSON = Path("build") / "chaos.json"


def main(arguments: list[str], package: ModuleType = chaos.attacks) -> int:
    """Run the attacks that the arguments name, or all those of the package."""
    if arguments[:1] == [CHILD]:
        return child(arguments[1:])
    parser = argparse.ArgumentParser(prog="chaos", description="Attack the program and count what it does not stand.")
    parser.add_argument("--short", action="store_true", help="a few tries of each attack, in two minutes")
    parser.add_argument("--only", nargs="+", metavar="NAME", default=[], help="only these attacks")
    parser.add_argument("--tries", type=int, metavar="N", help="of each attack, instead of its own number")
    parser.add_argument("--seed", type=int, default=20, help="of every random choice (default: 20)")
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1), help="attacks at a time (default: 2)")
    parser.add_argument("--json", type=Path, default=DEFAULT_JSON, help=f"where the table is kept ({DEFAULT_JSON})")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="write the table as a page of the documentation")
    options = parser.parse_args(arguments)
    attacks = found(package)
    names = {option(name): name for name in attacks}
    wanted = [option(name) for name in options.only]
    if unknown := sorted(set(wanted) - names.keys()):
        parser.error(f"unknown attack {', '.join(unknown)}; choose from {', '.join(names)}")
    chosen = [name for given, name in names.items() if given in wanted or not wanted]
    form = Form(options.short, options.tries)
    report = run_all(chosen, form, seed=options.seed, kept=options.json, jobs=options.jobs, package=package)
    print(report.table())
    if options.write is not None:
        options.write.write_text(page(report), encoding="utf-8")
    return 0 if report.stood else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
