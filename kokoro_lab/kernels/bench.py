"""How much faster a rewritten graph is: against the plain fp32 graph, and against kokoro-onnx with upstream's export.

`python -m kokoro_lab.kernels.bench [--export FILE]`. Every contestant has a process of its own and default session
options; in a round each speaks once, in turn, with the same tokens, style and number of threads, so that what else the
machine does falls on all. A ratio is taken within a round. Peak memory is that of fresh processes that spoke one length
twice. What the products lose is heard end to end: nothing before the harmonic source is rewritten, so the waveforms of
one graph and its rewritten form can be subtracted.

The plain graph uses whatever onnxruntime finds in the processor, whichever of our libraries is measured against it:
on a processor with AVX-512, `--instruction-set v3` compares our AVX2 with its AVX-512.

`--clock cpu` compares processor time instead of wall time, for a machine that is busy; use one thread then. Readings
are kept in `--folder`: called again, only what is missing is measured.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import onnx

from kokoro_lab.kernels.bars import BARS, LEAST_DB, MOST_MEMORY, NEVER_SLOWER, TOKENS, interval, judged
from kokoro_lab.kernels.contest import Readings, Row, Speaker, peak, speaking
from kokoro_lab.kernels.contestant import Contestant, decibels, feeds, open_graph
from kokoro_lab.kernels.library import KERNELS_VARIABLE, choose
from kokoro_lab.models.architecture import FULL
from kokoro_lab.models.catalog import resolve
from kokoro_lab.models.graph import build
from kokoro_lab.models.importer import recover
from kokoro_lab.models.kernel_rewrite import PRECISIONS, rewrite_for_kernels, save_apart
from kokoro_lab.models.weights import seeded_state
from kokoro_lab.paths import home

__all__ = ["loss"]

THREADS = (1, 2)
ROUNDS = 8
SEEDS = (2, 3, 4)
HEARD = 50  # tokens at which the loss is heard
REST_S = 0.05  # between two contestants: a pool of threads looks for work a while before it sleeps
PLAIN, PEER = "plain", "kokoro-onnx"
PEER_PYTHON = Path("environments", "kokoro-onnx", "bin", "python")  # in the lab's home


def loss(state: Callable[[], Mapping[str, Any]], folder: Path) -> dict[str, Row]:
    """Precision -> dB after the source, and whether the durations are the same."""
    inputs = feeds(HEARD)
    path = folder / "heard.onnx"
    onnx.save(build(FULL, state(), metadata={}), path)
    expected, frames = open_graph(str(path), 2, kernels=False).run(None, inputs)
    found: dict[str, Row] = {}
    for precision in PRECISIONS:
        save_apart(rewrite_for_kernels(onnx.load(path), precision), folder / "fast.onnx")
        audio, fast_frames = open_graph(str(folder / "fast.onnx"), 2, kernels=True).run(None, inputs)
        found[precision] = {"db": decibels(expected, audio), "durations": bool(np.array_equal(frames, fast_frames))}
    return found


def _loss_rows(asked: argparse.Namespace, readings: Readings, folder: Path) -> Iterator[Row]:
    states: dict[str, Callable[[], Mapping[str, Any]]] = {
        f"seed {seed}": partial(seeded_state, FULL, seed) for seed in SEEDS
    }
    if asked.export:
        states["imported"] = lambda: recover(asked.export, FULL).state
    for name, make in states.items():
        found = readings.get(partial(loss, make, folder), "loss", name)
        for precision in asked.precision:
            row = (found or {}).get(precision, {"db": None, "durations": None})
            state = judged(row["db"], LEAST_DB[precision]) if row["durations"] is not False else "missed"
            yield {"figure": "loss", "precision": precision, "model": name, **row, "bar": LEAST_DB[precision]} | {
                "state": state
            }


def _memory_rows(asked: argparse.Namespace, readings: Readings, paths: Mapping[str, Path]) -> Iterator[Row]:
    python = Path(sys.executable)
    for tokens in asked.tokens:
        peaks: dict[str, float | None] = {}
        for name in (PLAIN, *asked.precision):
            side = Contestant(str(paths[name]), max(asked.threads), kernels=name != PLAIN)
            peaks[name] = readings.get(partial(peak, side, python, tokens), "peak", side.threads, name, tokens)
        plain = peaks.pop(PLAIN)
        for name, found in peaks.items():
            ratio = found / plain if found and plain else None
            row = {"figure": "memory", "precision": name, "tokens": tokens, "peak_mb": found, "plain_mb": plain}
            yield {**row, "ratio": ratio, "bar": MOST_MEMORY, "state": judged(ratio, MOST_MEMORY, most=True)}


def _speed_rows(asked: argparse.Namespace, readings: Readings, paths: Mapping[str, Path]) -> Iterator[Row]:
    chosen = choose().instruction_set or ""
    clock = f"{asked.clock}_ms"
    found: dict[tuple[int, int], list[Row]] = {(n, t): [] for n in asked.threads for t in asked.tokens}
    with ExitStack() as stack:
        speakers: dict[int, dict[str, Speaker]] = {}

        def turn(threads: int, tokens: int, number: int) -> Row:
            """One round; the first opens the processes and lets each speak every length once."""
            if threads not in speakers:
                speakers[threads] = {
                    name: stack.enter_context(
                        speaking(
                            Contestant(str(path), threads, kernels=name in PRECISIONS, peer=name == PEER),
                            asked.peer_python if name == PEER else Path(sys.executable),
                        )
                    )
                    for name, path in paths.items()
                }
                for speaker, length in itertools.product(speakers[threads].values(), asked.tokens):
                    speaker.speak(length)
            names = list(paths)
            times = {}
            for name in names[number % len(names) :] + names[: number % len(names)]:
                time.sleep(REST_S)
                times[name] = speakers[threads][name].speak(tokens)[clock]
            return times

        for number, (threads, tokens) in itertools.product(range(asked.rounds), found):
            key = (clock, "-".join(paths), threads, tokens, number)
            if times := readings.get(partial(turn, threads, tokens, number), *key):
                found[threads, tokens].append(times)
    for (threads, tokens), rounds in found.items():
        for base, precision in itertools.product((PLAIN, PEER), asked.precision):
            if base not in paths:
                continue
            ratios = [times[base] / times[precision] for times in rounds]
            speed, ends = median(ratios) if ratios else None, interval(ratios)
            bar = BARS.get((chosen, precision), NEVER_SLOWER).get(tokens, 1.0)
            low, high = ends or (None, None)
            yield {
                "figure": "speed",
                "precision": precision,
                "instruction_set": chosen,
                "base": base,
                "threads": threads,
                "tokens": tokens,
                "rounds": len(rounds),
                "base_ms": median(times[base] for times in rounds) if rounds else None,
                "ms": median(times[precision] for times in rounds) if rounds else None,
                "speed": speed,
                "low": low,
                "high": high,
                "bar": bar,
                "state": judged(speed, bar, low=low) if ends else "undecided",
            }


def _told(row: Row) -> str:
    """A row as a line."""
    if row["figure"] == "loss":
        what = "not measured" if row["db"] is None else f"{row['db']:.1f} dB after the source"
        return f"{row['precision']:6} {row['model']:9} {what} (at least {row['bar']:.0f}): {row['state']}"
    if row["figure"] == "memory":
        what = "not measured" if row["ratio"] is None else f"{row['peak_mb']:.0f} MB, {row['ratio']:.3f} of the plain"
        return f"{row['precision']:6} {row['tokens']:4d} tokens {what} (at most {row['bar']}): {row['state']}"
    what = "not measured"
    if row["speed"] is not None:
        ends = "too few rounds for an interval" if row["low"] is None else f"{row['low']:.2f} to {row['high']:.2f}"
        what = f"{row['base_ms']:6.0f} -> {row['ms']:5.0f} ms, {row['speed']:.2f} times ({ends})"
    return (
        f"{row['precision']:6} {row['instruction_set']:5} against {row['base']:11} {row['threads']} threads "
        f"{row['tokens']:4d} tokens {what} (at least {row['bar']}): {row['state']}"
    )


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="the compiled kernels against the plain graph and kokoro-onnx")
    parser.add_argument("--model", default="stand-in")
    parser.add_argument("--export", type=Path, help="upstream's export of the same weights, for kokoro-onnx to read")
    parser.add_argument("--peer-python", type=Path, default=home() / PEER_PYTHON)
    parser.add_argument("--precision", choices=PRECISIONS, nargs="*", default=list(PRECISIONS))
    parser.add_argument("--instruction-set", default="", help="force one, as KOKORO_KERNELS does")
    parser.add_argument("--tokens", type=int, nargs="*", default=list(TOKENS))
    parser.add_argument("--threads", type=int, nargs="*", default=list(THREADS))
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall")
    parser.add_argument(
        "--figures", choices=("loss", "memory", "speed"), nargs="*", default=["loss", "memory", "speed"]
    )
    parser.add_argument("--budget-s", type=float, default=3600.0, help="seconds after which nothing new is begun")
    parser.add_argument("--folder", type=Path, default=home() / "bench-kernels", help="where readings are kept")
    parser.add_argument("--again", action="store_true", help="forget the readings that are kept")
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; 0 when no bar is missed, 1 when one is, 3 when some are undecided."""
    asked = _arguments(arguments)
    if asked.instruction_set:
        os.environ[KERNELS_VARIABLE] = asked.instruction_set
    choice = choose()
    if choice.path is None:
        print(f"no kernels: {choice.reason}", file=sys.stderr)
        return 4
    model = resolve(asked.model)
    asked.folder.mkdir(parents=True, exist_ok=True)
    # readings belong to one model and one library
    library = f"{choice.path.stat().st_mtime_ns:x}"
    kept = asked.folder / f"{model.sha256[:12]}-{choice.instruction_set}-{library}.jsonl"
    if asked.again:
        kept.unlink(missing_ok=True)
    readings = Readings(kept, asked.budget_s)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="kokoro-lab-kernels-") as scratch:
        paths = {PLAIN: model.path}
        for precision in asked.precision:
            paths[precision] = Path(scratch) / f"{precision}.onnx"
            save_apart(rewrite_for_kernels(onnx.load(model.path), precision), paths[precision])
        if asked.export and asked.peer_python.is_file():
            paths[PEER] = asked.export
        elif asked.export:
            print(f"{asked.peer_python} is not there: run `kokoro-lab environments add kokoro-onnx`", file=sys.stderr)
        parts: dict[str, Callable[[], Iterator[Row]]] = {
            "loss": lambda: _loss_rows(asked, readings, Path(scratch)),
            "memory": lambda: _memory_rows(asked, readings, paths),
            "speed": lambda: _speed_rows(asked, readings, paths),
        }
        for figure in asked.figures:
            began = time.monotonic()
            for row in parts[figure]():
                rows.append(row)
                print(_told(row), file=sys.stderr, flush=True)
            print(f"({figure}: {time.monotonic() - began:.0f} s)", file=sys.stderr, flush=True)
    if readings.incomplete:
        print("the budget is spent; the same command measures what is missing", file=sys.stderr)
    if asked.json:
        print(json.dumps({"instruction_set": choice.instruction_set, "clock": asked.clock, "rows": rows}, indent=1))
    states = {row["state"] for row in rows}
    return 1 if "missed" in states else 3 if states - {"met"} or not rows else 0


if __name__ == "__main__":
    raise SystemExit(main())
