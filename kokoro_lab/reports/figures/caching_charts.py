"""Caching: the cost of a hit, the benefit of memory, and the hit rate of a workload."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kokoro_lab.errors import NothingMeasuredError
from kokoro_lab.reports.drawing.curves import Curve, curves
from kokoro_lab.reports.drawing.fragments import Html, table
from kokoro_lab.reports.drawing.plots import Quantity, dots
from kokoro_lab.reports.drawing.theme import ChartFigure
from kokoro_lab.reports.figures.cache_replay import Workload, hit_rate
from kokoro_lab.reports.rows.cell_summary import number, span, spread, stated
from kokoro_lab.reports.rows.evidence import Evidence, matching
from kokoro_lab.reports.rows.workbook import ArrangedFigures, NotebookAnswer, arrange, joined, setting, speed, whole
from kokoro_lab.units import MB, SAMPLE_BYTES, SAMPLE_RATE

__all__ = [
    "cache_memory_figure",
    "caches_table",
    "caching_answer",
    "hit_cost",
    "hit_cost_figure",
    "hit_rate_figure",
    "workload_figure",
]

CACHES = {"phoneme_cache": "phonemes", "audio_cache_mb": "speech", "primer_cache": "first segments"}
NO_CACHE = "no cache"


def hit_cost(evidence: Evidence) -> ArrangedFigures:
    """Time to first audio with each cache; in a warm block every timed call is a hit."""
    return arrange(evidence, "ttfa_ms", label=_label, heading=_heading)


def hit_cost_figure(evidence: Evidence) -> ChartFigure:
    """Time to first audio of a hit, compared with a call without the cache."""
    arranged = hit_cost(evidence)
    best = min(arranged.figures, key=lambda figure: figure.measured.center)
    title = f"Fastest: {best.label}, first audio after {stated(best.measured, 'ms')}"
    panels = {name: name for name in arranged.headings}
    axis = "time to first audio when every call is a hit, ms (logarithmic)"
    return dots(arranged.figures, arranged.points, title, Quantity(axis, "ms", log=True), panels=panels)


def cache_memory_figure(evidence: Evidence) -> ChartFigure:
    """Resident memory of the process with each cache holding a single text."""
    arranged = arrange(evidence, "rss_mb", label=_label, heading=_heading)
    title = f"The process takes {span([figure.measured for figure in arranged.figures], 'MB')} of memory"
    panels = {name: name for name in arranged.headings}
    return dots(arranged.figures, arranged.points, title, Quantity("resident memory, MB", "MB"), panels=panels)


def hit_rate_figure(workload: Workload, exponents: Sequence[float], sizes: Sequence[int]) -> ChartFigure:
    """Hit rate by cache size, computed by replaying the requests through the engine's cache."""
    lines = []
    for exponent in exponents:
        requests = workload.draw(exponent)
        lines.append(Curve(f"exponent {exponent:g}", [(size, 100 * hit_rate(requests, size)) for size in sizes]))
    middle = sizes[len(sizes) // 2]
    shares = [dict(line.points)[middle] for line in lines]
    answered = f"{min(shares):.0f} to {max(shares):.0f} % of requests"
    title = f"A cache for {whole(middle)} of {whole(workload.texts)} texts answers {answered}"
    return curves(
        lines,
        title=title,
        x="capacity, texts (logarithmic)",
        y="hit rate, %",
        log_x=True,
        note=f"Computed, not timed: {whole(workload.requests)} requests drawn from Zipf's law; the cache starts empty.",
    )


def workload_figure(
    evidence: Evidence, workload: Workload, exponents: Sequence[float], sizes: Sequence[int]
) -> ChartFigure:
    """Mean time to first audio of each workload by the memory limit of the speech cache."""
    miss, hit, entry_mb = _costs(evidence)
    lines = []
    for exponent in exponents:
        requests = workload.draw(exponent)
        shares = [(size * entry_mb, hit_rate(requests, size)) for size in sizes]
        lines.append(Curve(f"exponent {exponent:g}", [(mb, share * hit + (1 - share) * miss) for mb, share in shares]))
    memory, least = min((line.points[-1] for line in lines), key=lambda point: point[1])
    title = f"A {number(memory)} MB speech cache lowers the mean from {number(miss)} to {number(least)} ms at best"
    return curves(
        lines,
        title=title,
        x="speech cache, MB (logarithmic)",
        y="mean time to first audio, ms",
        log_x=True,
        note="Hit and miss times as measured above, hit rates as computed; all texts are as long as the measured text.",
    )


def caches_table(evidence: Evidence, workload: Workload, exponents: Sequence[float]) -> Html:
    """Hit rate of each cache at its measured capacity, and the mean time that it saves per request."""
    arranged = hit_cost(evidence)
    drawn = {exponent: workload.draw(exponent) for exponent in exponents}
    rows = []
    for heading in arranged.headings:
        plain = arranged.find(heading, NO_CACHE)
        for name, words in CACHES.items():
            cached = arranged.find(heading, words)
            settings = _settings(evidence, heading, words)
            if plain is None or cached is None or name not in settings:
                continue
            capacity, memory = _capacity(evidence, heading, name, settings[name])
            shares = {exponent: hit_rate(requests, capacity) for exponent, requests in drawn.items()}
            saved = {
                exponent: share * (plain.measured.center - cached.measured.center) for exponent, share in shares.items()
            }
            rows.append(
                {
                    "cache": f"{words} ({heading})",
                    "room": f"{whole(capacity)} texts",
                    "memory": memory,
                    **{
                        f"at {exponent:g}": f"{100 * shares[exponent]:.0f} %, {number(max(saved[exponent], 0.0))} ms"
                        for exponent in exponents
                    },
                }
            )
    if not rows:
        raise NothingMeasuredError("no text was measured both with and without a cache; add both to the job")
    columns = {"cache": "Cache", "room": "Capacity", "memory": "Memory when full"}
    return table(
        {
            **columns,
            **{f"at {exponent:g}": f"Hit rate and time saved, exponent {exponent:g}" for exponent in exponents},
        },
        rows,
    )


def caching_answer(
    evidence: Evidence, workload: Workload, exponents: Sequence[float], sizes: Sequence[int]
) -> NotebookAnswer:
    """Which cache pays off, in words."""
    arranged = hit_cost(evidence)
    lines = []
    for heading in arranged.headings:
        plain = arranged.find(heading, NO_CACHE)
        if plain is None:
            continue
        words = [f"without a cache the time to first audio is {spread(plain.measured, 'ms')}"]
        for figure in arranged.under(heading):
            if figure.label != NO_CACHE:
                ratio = arranged.ratio(heading, figure.label, NO_CACHE)
                words.append(f"a hit in the {figure.label} cache is {speed(ratio, NO_CACHE)}")
        lines.append(f"**{heading}**: {'; '.join(words)}.")
    try:
        miss, hit, entry_mb = _costs(evidence)
    except NothingMeasuredError:
        return NotebookAnswer.of(evidence, lines)
    lines.append(
        f"One text of this length takes {number(entry_mb)} MB of the speech cache; a hit saves {number(miss - hit)} ms."
    )
    usual = workload.draw(1.0)
    half = next((size for size in sizes if hit_rate(usual, size) >= 0.5), None)
    if half is not None:
        size = f"a cache for {whole(half)} texts ({number(half * entry_mb)} MB)"
        lines.append(f"With a Zipf exponent of 1, {size} answers every second request.")
    rates = [
        f"{100 * hit_rate(workload.draw(exponent), sizes[-1]):.0f} % at exponent {exponent:g}" for exponent in exponents
    ]
    lines.append(
        f"A cache for {whole(sizes[-1])} texts has a hit rate of {joined(rates)}: its benefit depends on the workload."
    )
    return NotebookAnswer.of(evidence, lines)


def _label(row: Mapping[str, Any]) -> str:
    used = [words for name, words in CACHES.items() if setting(row, name, 0)]
    return " and ".join(used) or NO_CACHE


def _heading(row: Mapping[str, Any]) -> str:
    return f"{row['text_preset']}, {'streamed' if row['delivery'] == 'stream' else 'not streamed'}"


def _costs(evidence: Evidence) -> tuple[float, float, float]:
    """Time to first audio (ms) of a miss and of a hit in the speech cache, and the size of an entry in MB."""
    arranged = hit_cost(evidence)
    speech = CACHES["audio_cache_mb"]
    for heading in arranged.headings:
        plain, cached = arranged.find(heading, NO_CACHE), arranged.find(heading, speech)
        if plain is not None and cached is not None:
            headings = [_heading(row) for row in _dicts(evidence)]
            rows = matching(evidence.samples.assign(heading=headings), {"heading": heading})
            entry = float(rows["audio_s"].median()) * SAMPLE_RATE * SAMPLE_BYTES / MB
            return plain.measured.center, cached.measured.center, entry
    raise NothingMeasuredError("no text was measured both with and without the speech cache; add both to the job")


def _settings(evidence: Evidence, heading: str, label: str) -> Mapping[str, Any]:
    """The engine settings of the cell under this heading and label."""
    rows = (row for row in _dicts(evidence) if _heading(row) == heading and _label(row) == label)
    return next((row["engine_settings"] for row in rows), {})


def _capacity(evidence: Evidence, heading: str, name: str, size: float) -> tuple[int, str]:
    """How many texts of this length a cache of that size holds, and its memory when full."""
    if name != "audio_cache_mb":
        return int(size), "not measured"
    seconds = [row["audio_s"] for row in _dicts(evidence) if _heading(row) == heading]
    entry = float(np.median(seconds)) * SAMPLE_RATE * SAMPLE_BYTES / MB
    return int(size / entry), f"{number(size)} MB"


def _dicts(evidence: Evidence) -> list[Any]:
    return evidence.samples.to_dict("records")
