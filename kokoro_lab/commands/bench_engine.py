"""`make bench-engine`: our engine beside kokoro-onnx on the same model file and voice, what a listener feels.

A round is one fresh process a side, in turn, the next round in the opposite order; the parent sleeps meanwhile. A
process tells its time from its own start to the first sound, speaks "Hello world!" warm, streams a paragraph, and holds
memory after mixed requests. The peer is fed the phonemes that our engine speaks, so that it pays for no G2P; ours reads
text, and pays. Ratios are ours over the peer's, paired by round, lower is better; their interval is the range of the
rounds, which holds the true median with the confidence printed beside it, 1 - 2^(1 - rounds): six take it over 95 %,
and with fewer no bar is judged. `--best` adds a variant of ours, with its own bars, as long as its speech is equivalent
or close. Each process's figures are stored as they come, and the next call goes on from there. Six rounds take about a
quarter of an hour on two quiet cores.

`python -m kokoro_lab.commands.bench_engine --help` tells its options.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

__all__ = ["main", "paragraph", "ratio_row"]

PEER = "kokoro-onnx"
VOICE = "af_heart"
HELLO = "Hello world!"
PARAGRAPH_CHARS = 827
MIXED = (*("ultra-short",) * 9, *("hello",) * 3, "short", *("ultra-short",) * 8, *("hello",) * 3, "medium")
"""A cycle of requests: four to a hundred, as many short ones as keep six rounds under a quarter of an hour."""
SILENCE_S = 5.0  # longer than an engine waits before it gives memory back
HITS = 100  # a p95 takes 59 samples; what those of one process share is judged by the range of the processes
ENOUGH = 0.95  # confidence below which no bar is called met or missed
ALLOWANCE = 0.97  # of a bar, that the far end of an interval must reach
TIMEOUT_S = 3600.0

BARS = {
    "first sound of the paragraph": 0.1,
    "whole paragraph": 1.0,
    "hello, warm": 1.0,
    "process to first sound": 0.9,
    "memory after mixed requests": 0.6,
    "memory in the silence after them": 0.6,
}
"""Ratio of ours over the peer's, with the same variant, that each figure is to reach."""

BEST_BARS = {
    "first sound of the paragraph": 0.1,
    "whole paragraph": 1.0,
    "hello, warm": 0.6,
    "process to first sound": 0.75,
}
"""The same for the best variant."""

OWN_BARS = {"underruns": 0.0, "cache hit p95 ms": 10.0, "primer hit p95 ms": 25.0, "memory growth": 0.02}
"""At most; in every process."""
OWN_LEAST = {"words of the first segment": 3.0}
"""At least; in every process."""

Measured = dict[str, list[dict[str, Any]]]
"""Side -> what each of its processes measured."""


def paragraph() -> str:
    """What is streamed: the sentences of the article that 827 characters hold."""
    from kokoro_lab.sweeps.texts import preset_text

    text = " ".join(preset_text("article").split())[:PARAGRAPH_CHARS]
    return text[: text.rindex(".") + 1]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the rounds and print the table; with --json one document.

    0 when every bar is met, 1 when one is missed, 3 when one cannot be judged. Raises NothingMeasuredError.
    """
    parser = argparse.ArgumentParser(prog="bench-engine", description=(__doc__ or "").split("\n\n")[1])
    parser.add_argument("--model", default="stand-in", help="model file that both speak with (default: %(default)s)")
    parser.add_argument("--best", default="", help="another model of ours, compared too")
    parser.add_argument("--rounds", type=int, default=6, help="fresh processes a side; 6 give 97 %% (default: 6)")
    parser.add_argument("--warm", type=int, default=10, help="timed warm calls a process (default: %(default)s)")
    parser.add_argument("--requests", type=int, default=200, help="mixed requests a process (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=0, help="of each side, 0 for one a processor")
    parser.add_argument("--budget-s", type=float, default=3600.0, help="seconds after which no round begins")
    parser.add_argument("--fresh", action="store_true", help="forget what was measured before")
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")
    parser.add_argument("--side", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.side is not None:
        return _side(options.side)
    from kokoro_lab.commands.console import notice, print_json, print_table
    from kokoro_lab.errors import NothingMeasuredError

    state = _measured(options, notice)
    rounds = min(len(processes) for processes in state["measured"].values())
    if not rounds:
        raise NothingMeasuredError("no round was finished within the budget; give it more seconds with --budget-s")
    measured = {side: processes[:rounds] for side, processes in state["measured"].items()}
    rows = _rows(measured, state["class"])
    document = {
        "model": options.model,
        "best": options.best or None,
        "class": state["class"],
        "rounds": rounds,
        "threads": options.threads or os.cpu_count(),
        "rows": rows,
        "measured": measured,
    }
    if options.json:
        print_json(document)
    else:
        columns = ("side", "figure", "ours", "theirs", "ratio", "low", "high", "confidence", "bar", "met")
        best = f"; best is {options.best}, {state['class']}" if options.best else ""
        print_table(rows, columns, title=f"Ours over {PEER}, {rounds} rounds, {options.model}{best}")
    judged = [row["met"] for row in rows]
    return 1 if False in judged else 3 if None in judged else 0


def ratio_row(
    side: str, figure: str, ours: Sequence[float], theirs: Sequence[float], bar: float | None
) -> dict[str, Any]:
    """One line of the table: medians, the median ratio of the pairs and its range."""
    ratios = [mine / other for mine, other in zip(ours, theirs, strict=True)]
    median = statistics.median(ratios)
    confidence = 1 - 2.0 ** (1 - len(ratios))
    judged = bar is not None and confidence >= ENOUGH
    return {
        "side": side,
        "figure": figure,
        "ours": statistics.median(ours),
        "theirs": statistics.median(theirs),
        "ratio": median,
        "low": min(ratios),
        "high": max(ratios),
        "confidence": confidence,
        "bar": bar,
        "met": median <= bar and max(ratios) <= bar / ALLOWANCE if judged and bar is not None else None,
    }


def _rows(measured: Measured, best_class: str | None) -> list[dict[str, Any]]:
    theirs = measured[PEER]
    rows = []
    for side, mine in measured.items():
        if side == PEER:
            continue
        for figure, bar in (BEST_BARS if side == "best" else BARS).items():
            row = ratio_row(side, figure, [one[figure] for one in mine], [one[figure] for one in theirs], bar)
            if side == "best" and best_class == "different":
                row["met"] = None
            rows.append(row)
        for figure, bar in {**OWN_BARS, **OWN_LEAST}.items():
            if figure not in mine[0]:
                continue
            value = _own(figure, mine)
            met = None if value is None else value >= bar if figure in OWN_LEAST else value <= bar
            rows.append(
                {
                    "side": side,
                    "figure": figure,
                    "ours": value if value is not None else "too few rounds",
                    "theirs": statistics.median(one[figure] for one in theirs) if figure in theirs[0] else None,
                    "bar": bar,
                    "met": met,
                }
            )
    return rows


def _own(figure: str, mine: Sequence[dict[str, Any]]) -> float | None:
    """The worst process's value; None for a p95 of too few processes to be judged."""
    if figure in OWN_LEAST:
        return float(min(one[figure] for one in mine))
    if figure.endswith("p95 ms"):
        return max(_p95(one[figure]) for one in mine) if 1 - 2.0 ** (1 - len(mine)) >= ENOUGH else None
    return float(max(one[figure] for one in mine))


def _p95(values: Sequence[float]) -> float:
    """The smallest value that 95 % of a process's values do not exceed."""
    return sorted(values)[math.ceil(0.95 * len(values)) - 1]


def _measured(options: argparse.Namespace, notice: Callable[[str], None]) -> dict[str, Any]:
    """What the processes measured, and the class of the best variant; stored after every process, and read first."""
    from kokoro_lab.measure.cell import Cell
    from kokoro_lab.measure.peers import prepare
    from kokoro_lab.models.catalog import resolve
    from kokoro_lab.paths import results_folder
    from kokoro_lab.sweeps.texts import preset_text
    from kokoro_lab.text.segment import segments

    began = time.monotonic()
    texts = {name: preset_text(name) for name in sorted(set(MIXED))} | {"paragraph": paragraph(), "hello": HELLO}
    models = {"ours": options.model, PEER: options.model} | ({"best": options.best} if options.best else {})
    files = {side: resolve(name, notice=notice) for side, name in models.items()}
    asked = [
        {side: file.sha256 for side, file in files.items()},
        options.warm,
        options.requests,
        options.threads,
        texts,
    ]
    key = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:12]
    stored = results_folder() / "bench-engine" / f"{key}.json"
    state: dict[str, Any] = {"class": None, "measured": {side: [] for side in models}}
    if stored.is_file() and not options.fresh:
        state = json.loads(stored.read_text(encoding="utf-8"))
    measured: Measured = state["measured"]
    peer_files, _ = prepare(Cell(text=HELLO, model=options.model, environment=PEER, voice=VOICE))
    job = {
        "texts": texts,
        "phonemes": {name: [one.phonemes for one in segments(text, "en-us")] for name, text in texts.items()},
        "files": vars(peer_files),
        "warm": options.warm,
        "requests": options.requests,
        "threads": options.threads,
    }
    if options.best and state["class"] is None:
        state["class"] = _class(options.model, options.best)
    for file in files.values():
        file.path.read_bytes()  # into the page cache
    for number in range(options.rounds):
        if time.monotonic() - began > options.budget_s:
            notice(f"the budget of {options.budget_s:g} s is spent; the same command goes on with round {number + 1}")
            break
        for side in list(models) if number % 2 == 0 else reversed(models):
            if len(measured[side]) > number:
                continue
            notice(f"round {number + 1} of {options.rounds}: {side}")
            measured[side].append(_process({**job, "side": side, "model": models[side]}))
            stored.parent.mkdir(parents=True, exist_ok=True)
            partial = stored.with_suffix(".part")
            partial.write_text(json.dumps(state), encoding="utf-8")
            partial.replace(stored)
    return state


def _class(base: str, best: str) -> str:
    """How near the best variant's speech is to the base's: equivalent, close or different."""
    from kokoro_lab.audio.compare import gate
    from kokoro_lab.engine.config import EngineConfig
    from kokoro_lab.engine.engine import Engine

    spoken = []
    for model in (base, best):
        with Engine.load(EngineConfig(model=model, voices=(VOICE,))) as engine:
            spoken.append(engine.synthesize(HELLO, VOICE))
    durations = [None if one.durations is None else one.durations for one in spoken]
    return gate(spoken[0].samples, spoken[1].samples, *durations).verdict


def _process(job: dict[str, Any]) -> dict[str, Any]:
    """One fresh process that does a job, and what it measured. Raises KokoroLabError when it fails."""
    from kokoro_lab.errors import KokoroLabError
    from kokoro_lab.measure.environments import inside

    with tempfile.TemporaryDirectory(prefix="kokoro-lab-bench-") as folder:
        path = Path(folder) / "job.json"
        command = [sys.executable, "-m", "kokoro_lab.commands.bench_engine", "--side", str(path)]
        variables: dict[str, str] = {}
        if job["side"] == PEER:
            command, variables = inside(PEER, command, Path(folder))
        path.write_text(json.dumps({**job, "started": time.time()}), encoding="utf-8")
        done = subprocess.run(
            command, env={**os.environ, **variables}, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )
        if done.returncode:
            raise KokoroLabError(f"{job['side']} failed: {(done.stderr.strip() or 'no word').splitlines()[-1]}")
        measured: dict[str, Any] = json.loads(path.with_suffix(".out").read_text(encoding="utf-8"))
        return measured


def _side(path: Path) -> int:
    """In the fresh process: do the job, and write what was measured beside it."""
    job = json.loads(path.read_text(encoding="utf-8"))
    measured = _peer(job) if job["side"] == PEER else _ours(job)
    path.with_suffix(".out").write_text(json.dumps(measured), encoding="utf-8")
    return 0


Speak = Callable[[str, Callable[[Any], None], bool], None]
"""Speaks a text by its name, handing over samples; streaming or not."""


def _peer(job: dict[str, Any]) -> dict[str, Any]:
    from kokoro_lab.measure.adapters import Files, adapter_for

    peer = adapter_for(PEER).load(Files(**job["files"]), job["threads"])

    def speak(name: str, hear: Callable[[Any], None], stream: bool) -> None:
        peer.speak(job["phonemes"][name], 1.0, hear, stream=stream)

    return _figures(job, speak)


def _ours(job: dict[str, Any]) -> dict[str, Any]:
    from kokoro_lab.engine.config import EngineConfig
    from kokoro_lab.engine.engine import Engine

    config = {"model": job["model"], "voices": (VOICE,), "intra_op_threads": job["threads"]}
    with Engine.load(EngineConfig(**config)) as engine:

        def speak(name: str, hear: Callable[[Any], None], stream: bool) -> None:
            text = job["texts"][name]
            if not stream:
                hear(engine.synthesize(text, VOICE).samples)
                return
            for chunk in engine.stream(text, VOICE):
                hear(chunk.samples)

        measured = _figures({**job, "requests": 0} if job["side"] == "best" else job, speak)
        with contextlib.closing(engine.stream(job["texts"]["paragraph"], VOICE)) as stream:
            measured["words of the first segment"] = len(next(chunk.text for chunk in stream if chunk.text).split())
    if job["side"] == "best":
        return measured
    with Engine.load(EngineConfig(**config, audio_cache_mb=50, primer_cache=64)) as engine:
        engine.synthesize(HELLO, VOICE)
        measured["cache hit p95 ms"] = [_milliseconds(lambda: engine.synthesize(HELLO, VOICE)) for _ in range(HITS)]
        measured["primer hit p95 ms"] = list(_primer_hits(engine, job["texts"]["paragraph"]))
    return measured


def _primer_hits(engine: Any, text: str) -> Iterator[float]:
    """Milliseconds to the first audible chunk of a stream whose first segment is kept, and nothing else of it."""
    from kokoro_lab.measure.listener import first_audible

    for number in range(HITS + 1):
        start = time.perf_counter()
        with contextlib.closing(engine.stream(text, VOICE)) as stream:
            next(chunk for chunk in stream if first_audible(chunk.samples) is not None)
            if number:
                yield 1000 * (time.perf_counter() - start)


def _figures(job: dict[str, Any], speak: Speak) -> dict[str, Any]:
    from kokoro_lab.measure.listener import arrival, first_audible, listen

    cold: list[float] = []

    def hear_first(samples: Any) -> None:
        if not cold and first_audible(samples) is not None:
            cold.append(time.time() - job["started"])

    speak("hello", hear_first, True)
    for _ in range(2):
        speak("hello", _ignore, False)
    warm = [_milliseconds(lambda: speak("hello", _ignore, False)) for _ in range(job["warm"])]
    start = time.perf_counter()
    arrivals: list[Any] = []
    speak("paragraph", lambda samples: arrivals.append(arrival(time.perf_counter() - start, samples)), True)
    whole_s = time.perf_counter() - start
    heard = listen(arrivals, prebuffer=1)
    memory = []
    for number in range(job["requests"]):
        speak(MIXED[number % len(MIXED)], _ignore, False)
        if number + 1 in {job["requests"] // 2, job["requests"]}:
            memory.append(_resident_mb())
    held: dict[str, Any] = {}
    if memory:
        time.sleep(SILENCE_S)
        held = {
            "memory after mixed requests": memory[-1],
            "memory in the silence after them": _resident_mb(),
            "memory growth": memory[-1] / memory[0] - 1,
        }
    return {
        "process to first sound": cold[0],
        "hello, warm": statistics.median(warm),
        "first sound of the paragraph": heard.ttfa_s,
        "whole paragraph": whole_s,
        "underruns": heard.underruns,
        "load average": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        **held,
    }


def _ignore(samples: Any) -> None:
    """Samples that nobody needs."""


def _milliseconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return 1000 * (time.perf_counter() - start)


def _resident_mb() -> float:
    from kokoro_lab.measure.memory import rss_mb

    return rss_mb()


if __name__ == "__main__":
    sys.exit(main())
