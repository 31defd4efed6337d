"""Caching: what a hit costs, what the memory for it buys, and how often a workload hits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kokoro_lab.audio.wav import SAMPLE_RATE
from kokoro_lab.engine.caches import Cache
from kokoro_lab.errors import NothingMeasuredError
from kokoro_lab.reports.curves import Line, curves
from kokoro_lab.reports.evidence import Evidence, matching
from kokoro_lab.reports.fragments import Html, table
from kokoro_lab.reports.plots import dots
from kokoro_lab.reports.summary import number, spread
from kokoro_lab.reports.theme import Figure
from kokoro_lab.reports.workbook import Answer, Arranged, arrange, joined, setting, times, whole

__all__ = [
    "Workload",
    "cache_memory_figure",
    "caches_table",
    "caching_answer",
    "hit_cost",
    "hit_cost_figure",
    "hit_rate",
    "hit_rate_figure",
    "workload_figure",
]

CACHES = {"phoneme_cache": "phonemes", "audio_cache_mb": "speech", "primer_cache": "first segments"}
NO_CACHE = "no cache"
SAMPLE_BYTES = 4  # float32
MB = 10**6


@dataclass(frozen=True)
class Workload:
    """Requests for `texts` different texts; the r-th most wanted is asked for in proportion to r ** -exponent."""

    texts: int = 1000
    requests: int = 5000
    seed: int = 20

    def draw(self, exponent: float) -> np.ndarray[Any, np.dtype[np.int64]]:
        """int64 [requests]: which text each request is for, 0 the most wanted (Zipf 1949)."""
        weights = np.arange(1, self.texts + 1, dtype=np.float64) ** -exponent
        return np.random.default_rng(self.seed).choice(self.texts, self.requests, p=weights / weights.sum())


def hit_rate(requests: Sequence[int] | np.ndarray[Any, np.dtype[np.int64]], entries: int) -> float:
    """Share of requests that the engine's own cache, with room for so many entries, answers; it starts empty."""
    if entries < 1:
        return 0.0
    cache: Cache[int, bool] = Cache(entries, now=lambda: 0.0)
    for wanted in requests:
        if cache.get(int(wanted)) is None:
            cache.put(int(wanted), True)
    return cache.status().hit_rate or 0.0


def hit_cost(evidence: Evidence) -> Arranged:
    """Time to first audio with each cache: in a warm block every timed call is a hit."""
    return arrange(evidence, "ttfa_ms", label=_label, heading=_heading)


def hit_cost_figure(evidence: Evidence) -> Figure:
    """What a hit costs, against a call without the cache."""
    found = hit_cost(evidence)
    best = min(found.figures, key=lambda figure: figure.measured.median)
    title = f"Soonest: {best.label}, first audio after {number(best.measured.median)} ms"
    panels = {name: name for name in found.headings}
    axis = "first audio when every call is a hit, ms (logarithmic)"
    return dots(found.figures, found.points, title, axis, "ms", log=True, panels=panels)


def cache_memory_figure(evidence: Evidence) -> Figure:
    """Resident memory of the process with each cache holding this one text."""
    found = arrange(evidence, "rss_mb", label=_label, heading=_heading)
    medians = [figure.measured.median for figure in found.figures]
    title = f"The process takes {number(min(medians))} to {number(max(medians))} MB"
    panels = {name: name for name in found.headings}
    return dots(found.figures, found.points, title, "resident memory, MB", "MB", panels=panels)


def hit_rate_figure(workload: Workload, exponents: Sequence[float], sizes: Sequence[int]) -> Figure:
    """How often a cache of each size answers; computed by replaying the drawn requests through the engine's cache."""
    lines = []
    for exponent in exponents:
        requests = workload.draw(exponent)
        lines.append(Line(f"exponent {exponent:g}", [(size, 100 * hit_rate(requests, size)) for size in sizes]))
    middle = sizes[len(sizes) // 2]
    shares = [dict(line.points)[middle] for line in lines]
    answered = f"{min(shares):.0f} to {max(shares):.0f} % of requests"
    title = f"Room for {whole(middle)} of {whole(workload.texts)} texts answers {answered}"
    return curves(
        lines,
        title=title,
        x="texts kept (logarithmic)",
        y="requests answered, %",
        log_x=True,
        note=f"Computed, not timed: {whole(workload.requests)} requests from Zipf laws; the cache is empty at first.",
    )


def workload_figure(evidence: Evidence, workload: Workload, exponents: Sequence[float], sizes: Sequence[int]) -> Figure:
    """The mean first audio of each workload by the memory that the cache of speech may take."""
    miss, hit, entry_mb = _costs(evidence)
    lines = []
    for exponent in exponents:
        requests = workload.draw(exponent)
        shares = [(size * entry_mb, hit_rate(requests, size)) for size in sizes]
        lines.append(Line(f"exponent {exponent:g}", [(mb, share * hit + (1 - share) * miss) for mb, share in shares]))
    memory, least = min((line.points[-1] for line in lines), key=lambda point: point[1])
    title = f"{number(memory)} MB of speech bring the mean from {number(miss)} to {number(least)} ms at best"
    return curves(
        lines,
        title=title,
        x="memory for speech, MB (logarithmic)",
        y="mean first audio, ms",
        log_x=True,
        note="Hit and miss as measured above, shares as drawn; every text as long as the one that was measured.",
    )


def caches_table(evidence: Evidence, workload: Workload, exponents: Sequence[float]) -> Html:
    """Cache by cache, with the room that it was measured with: how often it answers, and what that saves a request."""
    found = hit_cost(evidence)
    drawn = {exponent: workload.draw(exponent) for exponent in exponents}
    rows = []
    for heading in found.headings:
        plain = found.find(heading, NO_CACHE)
        for name, words in CACHES.items():
            kept = found.find(heading, words)
            settings = _settings(evidence, heading, words)
            if plain is None or kept is None or name not in settings:
                continue
            room, memory = _room(evidence, heading, name, settings[name])
            shares = {exponent: hit_rate(requests, room) for exponent, requests in drawn.items()}
            saved = {one: share * (plain.measured.median - kept.measured.median) for one, share in shares.items()}
            rows.append(
                {
                    "cache": f"{words} ({heading})",
                    "room": f"{whole(room)} texts",
                    "memory": memory,
                    **{
                        f"at {one:g}": f"{100 * shares[one]:.0f} %, {number(max(saved[one], 0.0))} ms"
                        for one in exponents
                    },
                }
            )
    if not rows:
        raise NothingMeasuredError("No text was measured with a cache and without it.")
    columns = {"cache": "Cache", "room": "Room", "memory": "Memory when full"}
    return table({**columns, **{f"at {one:g}": f"Hits and saving, exponent {one:g}" for one in exponents}}, rows)


def caching_answer(evidence: Evidence, workload: Workload, exponents: Sequence[float], sizes: Sequence[int]) -> Answer:
    """Which cache pays, in words."""
    found = hit_cost(evidence)
    lines = []
    for heading in found.headings:
        plain = found.find(heading, NO_CACHE)
        if plain is None:
            continue
        words = [f"without a cache first audio takes {spread(plain.measured, 'ms')}"]
        for figure in found.under(heading):
            if figure.label != NO_CACHE:
                share = times(found.ratio(heading, figure.label, NO_CACHE), "as long")
                words.append(f"a hit in the cache of {figure.label} takes {share}")
        lines.append(f"**{heading}**: {'; '.join(words)}.")
    try:
        miss, hit, entry_mb = _costs(evidence)
    except NothingMeasuredError:
        return Answer.of(evidence, lines)
    lines.append(
        f"One such text takes {number(entry_mb)} MB of the cache of speech; a hit saves {number(miss - hit)} ms."
    )
    usual = workload.draw(1.0)
    half = next((size for size in sizes if hit_rate(usual, size) >= 0.5), None)
    if half is not None:
        room = f"room for {whole(half)} texts ({number(half * entry_mb)} MB)"
        lines.append(f"Under an exponent of 1, {room} answers every second request.")
    rates = [f"{100 * hit_rate(workload.draw(one), sizes[-1]):.0f} % at exponent {one:g}" for one in exponents]
    lines.append(f"Room for {whole(sizes[-1])} texts answers {joined(rates)}: what a cache buys is up to the workload.")
    return Answer.of(evidence, lines)


def _label(row: Mapping[str, Any]) -> str:
    used = [words for name, words in CACHES.items() if setting(row, name, 0)]
    return " and ".join(used) or NO_CACHE


def _heading(row: Mapping[str, Any]) -> str:
    return f"{row['text_preset']}, {'streamed' if row['delivery'] == 'stream' else 'in one piece'}"


def _costs(evidence: Evidence) -> tuple[float, float, float]:
    """First audio (ms) of a miss and of a hit in the cache of speech, and megabytes of one entry."""
    found = hit_cost(evidence)
    speech = CACHES["audio_cache_mb"]
    for heading in found.headings:
        plain, kept = found.find(heading, NO_CACHE), found.find(heading, speech)
        if plain is not None and kept is not None:
            headings = [_heading(row) for row in _dicts(evidence)]
            rows = matching(evidence.samples.assign(heading=headings), {"heading": heading})
            entry = float(rows["audio_s"].median()) * SAMPLE_RATE * SAMPLE_BYTES / MB
            return plain.measured.median, kept.measured.median, entry
    raise NothingMeasuredError("No text was measured with the cache of speech and without it.")


def _settings(evidence: Evidence, heading: str, label: str) -> Mapping[str, Any]:
    """The engine settings that the cell under this heading and label had."""
    rows = (row for row in _dicts(evidence) if _heading(row) == heading and _label(row) == label)
    return next((row["engine_settings"] for row in rows), {})


def _room(evidence: Evidence, heading: str, name: str, size: float) -> tuple[int, str]:
    """How many texts like this one a cache of that size holds, and the memory that it takes when it is full."""
    if name != "audio_cache_mb":
        return int(size), "not measured"
    seconds = [row["audio_s"] for row in _dicts(evidence) if _heading(row) == heading]
    entry = float(np.median(seconds)) * SAMPLE_RATE * SAMPLE_BYTES / MB
    return int(size / entry), f"{number(size)} MB"


def _dicts(evidence: Evidence) -> list[Any]:
    return evidence.samples.to_dict("records")
