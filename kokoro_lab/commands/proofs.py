"""`make proofs`: that the instrument can be believed, shown on this machine with the tiny model and real processes.

    python -m kokoro_lab.commands.proofs [own-cost | slow-down | placebo | wrong-audio | hog | ranking | aa ...]

Each proof does something on purpose whose truth is known, and looks at what the instrument says of it. A proof that was
decided is kept, and a run that is named again goes on with the others. 0 when all are shown, 1 when one fails, 3 when
the machine was too busy or the budget too short to tell.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from kokoro_lab.errors import KokoroLabError

if TYPE_CHECKING:
    from kokoro_lab.commands.proving import Outcome, Stage

__all__ = ["BLOCK_S", "main", "outcomes"]

BLOCK_S = 0.9
"""Seconds of a block of the tiny model on two quiet cores, for the estimate alone."""

MACHINE_NOISE = Path("tests/measure/machine_noise.json")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the proofs and print the table; with --json one document."""
    from kokoro_lab.commands.console import json_text, notice, print_json, print_table, sentence
    from kokoro_lab.commands.proving import PROOFS
    from kokoro_lab.store.places import results

    parser = argparse.ArgumentParser(prog="proofs", description=(__doc__ or "").split("\n\n")[2])
    parser.add_argument("proof", nargs="*", help=f"{', '.join(PROOFS)} (default: all of them)")
    parser.add_argument("--trials", type=int, default=100, help="A/A pairs (default: %(default)s)")
    parser.add_argument("--replicas", type=int, default=5, help="in a ring; 2: no block serves two pairs (default: 5)")
    parser.add_argument("--noise-out", type=Path, help=f"write the block noise, as to {MACHINE_NOISE}")
    parser.add_argument("--budget-s", type=float, default=1800.0, help="seconds for all of them (default: 1800)")
    parser.add_argument("--run-id", default="", help="name of the run; one that exists is continued")
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")
    options = parser.parse_args(arguments)
    if unknown := sorted(set(options.proof) - set(PROOFS)):
        parser.error(f"there is no proof called {', '.join(unknown)}: there are {', '.join(PROOFS)}")
    chosen = [name for name in PROOFS if not options.proof or name in options.proof]
    run_id = options.run_id or f"proofs-{datetime.datetime.now(datetime.UTC):%Y%m%d-%H%M%S}"
    folder = results().runs / run_id
    try:
        rows = [dataclasses.asdict(found) for found in outcomes(chosen, options, folder)]
    except KokoroLabError as error:
        notice(sentence(error.message))
        return error.exit_code
    document = {"run_id": run_id, "folder": str(folder), "proofs": rows}
    (folder / "proofs.json").write_text(json_text(document) + "\n")
    if options.json:
        print_json(document)
    else:
        print_table(rows, ("proof", "verdict", "found", "blocks", "seconds"), title=f"Proofs, run {run_id}")
    verdicts = {row["verdict"] for row in rows}
    return 1 if "failed" in verdicts else 3 if "undecided" in verdicts else 0


def outcomes(chosen: Sequence[str], options: argparse.Namespace, folder: Path) -> list[Outcome]:
    """The chosen proofs, one after the other, those of an earlier call that were decided from their files."""
    from kokoro_lab.commands.console import notice
    from kokoro_lab.commands.proving import PROOFS, Outcome, Stage

    began = time.monotonic()
    found = {}
    for name in chosen:
        file = folder / name / "outcome.json"
        # The noise is not in what was kept; its blocks are, and are not measured again.
        if file.exists() and not (name == "aa" and options.noise_out):
            found[name] = Outcome(**json.loads(file.read_text()))
    missing = [name for name in chosen if name not in found]
    shares = {"aa": options.trials / 100 * (10 if options.replicas == 2 else 5)}
    blocks = sum(PROOFS[name].blocks * shares.get(name, 5) // 5 for name in missing)
    notice(f"{len(missing)} proofs, about {blocks:.0f} blocks, {blocks * BLOCK_S / 60:.0f} minutes when it is quiet")
    for name in missing:
        notice(f"{name}: {PROOFS[name].claim}")
        stage = Stage(
            folder / name,
            budget_s=max(0.1, options.budget_s - (time.monotonic() - began)),
            trials=options.trials,
            replicas=options.replicas,
            noise_out=options.noise_out,
            tell=_Line(name),
        )
        found[name] = _shown(name, stage)
        notice(f"{name}: {found[name].verdict}. {found[name].found}")
        if found[name].verdict != "undecided":
            (folder / name / "outcome.json").write_text(json.dumps(dataclasses.asdict(found[name])) + "\n")
    return [found[name] for name in chosen]


def _shown(name: str, stage: Stage) -> Outcome:
    from kokoro_lab.commands.proving import PROOFS

    began = time.monotonic()
    stage.folder.mkdir(parents=True, exist_ok=True)
    outcome = PROOFS[name].show(stage)
    return dataclasses.replace(outcome, proof=name, seconds=round(time.monotonic() - began, 1))


class _Line:
    """Blocks behind us, on one line of a terminal, and every fiftieth in a file."""

    def __init__(self, name: str) -> None:
        self._name, self._seen, self._began = name, 0, time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        self._seen += 1
        words = f"{self._name}: block {done} of at most {total}, {time.monotonic() - self._began:.0f} s"
        if sys.stderr.isatty():
            print(f"\r{words} ", end="\n" if done == total else "", file=sys.stderr, flush=True)
        elif self._seen % 50 == 0:
            print(words, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
