"""The peers' table: which cells it takes, and what may be said of each peer against our own engine.

What is compared: the cold start (start of the process to the first audible sample, nothing of the model in the file
cache), time to first audio of a stream, RTF at four lengths, and memory. Every ratio is the peer's figure over ours,
from pairs of blocks of one round: above 1 the peer takes longer, or more. Our figures hold our phonemiser's time, the
peers' none, for they are given the phonemes.
"""

from __future__ import annotations

import statistics
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from kokoro_lab.measure.adapters import ADAPTERS
from kokoro_lab.measure.cell import Block, Cell
from kokoro_lab.measure.statistics import BlockValue, Comparison, block_value, compare_all, pair_up

__all__ = ["ENGINES", "OURS", "TEXTS", "PeerRow", "engine_of", "peer_cells", "peer_rows"]

OURS = "kokoro-lab"
ENGINES = (*ADAPTERS, "openvino")
"""What is compared with ours; openvino is our engine on the OpenVINO provider of another onnxruntime build."""

TEXTS = ("hello", "short", "medium", "long")
"""Presets, from 1 to 18 s of speech; the shortest is for the cold start, the longest for the stream and for memory."""

ALL = "all lengths"


@dataclass(frozen=True)
class PeerRow:
    """One figure of one engine."""

    engine: str
    figure: str
    """cold start, first audio, RTF, memory steady or memory peak."""
    text: str
    unit: str
    value: float | None
    """Median of the blocks; None where nothing was measured."""
    ratio: float | None = None
    """Over ours; None for ours, and without a pair."""
    low: float | None = None
    high: float | None = None
    verdict: str = ""
    """That of `statistics`; of memory, faster reads less."""
    pairs: int = 0
    contaminated: int = 0
    """Blocks of this figure that were not measured in quiet."""
    gate: str = "none"
    """What the audio gate said of it: equivalent, close, different."""
    status: str = "ok"
    """The worst of its blocks; partial: the figure is not the provider's alone."""
    note: str = ""
    """Why there is no figure, what share of the work was the provider's, or what the verdict rests on."""


@dataclass(frozen=True)
class _Figure:
    name: str
    unit: str
    state: str
    delivery: str
    texts: tuple[str, ...]
    column: str
    """A field of Repeat, or of BlockResult when it starts with rss_."""


def _figures(texts: Sequence[str]) -> list[_Figure]:
    return [
        _Figure("cold start", "ms", "cold", "whole", (texts[0],), "ttfa_ms"),
        _Figure("first audio", "ms", "warm", "stream", (texts[-1],), "ttfa_ms"),
        *[_Figure("RTF", "", "warm", "whole", (text,), "rtf") for text in texts],
        _Figure("RTF", "", "warm", "whole", tuple(texts), "rtf"),
        _Figure("memory steady", "MB", "warm", "whole", (texts[-1],), "rss_steady_mb"),
        _Figure("memory peak", "MB", "warm", "whole", (texts[-1],), "rss_peak_mb"),
    ]


def peer_cells(
    model: str,
    texts: Mapping[str, str],
    engines: Iterable[str],
    *,
    threads: int,
    voice: str = "af_heart",
    repeats: int = 2,
    warmup_cap: int = 2,
) -> list[Cell]:
    """The cells of the table: `texts`, name -> text, from the shortest to the longest; ours are the references.

    Few repeats do: the pair of blocks is what counts. A cap of two warm-up calls settles the memory arena; what is not
    steady by then is labelled.
    """
    names = list(texts)
    cells = []
    for engine in ("", *engines):
        provider = "openvino" if engine == "openvino" else "cpu"

        def cell(text: str, engine: str = engine, provider: str = provider, **factors: object) -> Cell:
            return Cell.from_dict(
                {
                    "model": model,
                    "text": texts[text],
                    "text_preset": text,
                    "voice": voice,
                    "provider": provider,
                    "environment": engine,
                    "intra_op_threads": threads,
                    "repeats": repeats,
                    "warmup_cap": warmup_cap,
                    **factors,
                }
            )

        cells += [cell(name, reference=not engine) for name in names]
        cells.append(cell(names[0], state="cold"))
        cells.append(cell(names[-1], delivery="stream"))
    return cells


def engine_of(cell: Cell) -> str:
    """The name of the engine that a cell runs."""
    return cell.environment or OURS


def peer_rows(blocks: Iterable[Block], *, use_contaminated: bool = False) -> list[PeerRow]:
    """The table, ours first in each figure. The verdicts of one figure are corrected for the number of peers.

    Raises ValueError without a block of ours.
    """
    measured = _Measured()
    for block in blocks:
        measured.add(block)
    rows = []
    for figure in _figures(measured.texts()):
        rows += measured.rows(figure, use_contaminated)
    return rows


@dataclass
class _Measured:
    """Blocks by engine."""

    engines: dict[str, list[Block]] = field(default_factory=dict)

    def add(self, block: Block) -> None:
        self.engines.setdefault(engine_of(block.cell), []).append(block)

    def texts(self) -> list[str]:
        if OURS not in self.engines:
            raise ValueError("without blocks of our own engine there is nothing to compare with")
        found = {block.cell.text_preset: len(block.cell.text) for block in self.engines[OURS]}
        return sorted(found, key=found.__getitem__)

    def rows(self, figure: _Figure, use_contaminated: bool) -> list[PeerRow]:
        chosen = {engine: _blocks(figure, found) for engine, found in self.engines.items()}
        values = {
            engine: [value for block in found if (value := _value(figure, block)) is not None]
            for engine, found in chosen.items()
        }
        others = [engine for engine in chosen if engine != OURS]
        pairings = {
            engine: pair_up(values[OURS], values[engine], use_contaminated=use_contaminated) for engine in others
        }
        invalid = {engine: "its audio is different" for engine in others if _other_speech(chosen[engine])}
        judged = compare_all(pairings, invalid=invalid)
        return [
            _row(engine, figure, chosen[engine], values[engine], judged.get(engine))
            for engine in (OURS, *sorted(others))
        ]


def _other_speech(blocks: Sequence[Block]) -> bool:
    return any(block.gate is not None and block.gate.verdict == "different" for block in blocks)


def _blocks(figure: _Figure, blocks: Sequence[Block]) -> list[Block]:
    return [
        block
        for block in blocks
        if block.cell.text_preset in figure.texts
        and block.cell.state == figure.state
        and block.cell.delivery == figure.delivery
    ]


def _value(figure: _Figure, block: Block) -> BlockValue | None:
    if not figure.column.startswith("rss_"):
        return block_value(block, figure.column)
    value = getattr(block.result, figure.column)
    if value is None or not block.result.repeats:
        return None
    return BlockValue(block.cell.text_preset, block.round, value, block.attempt, block.quiet.contaminated)


def _row(
    engine: str, figure: _Figure, blocks: Sequence[Block], values: Sequence[BlockValue], judged: Comparison | None
) -> PeerRow:
    errors = [block.result.error for block in blocks if block.result.error]
    row = PeerRow(
        engine,
        figure.name,
        figure.texts[0] if len(figure.texts) == 1 else ALL,
        figure.unit,
        statistics.median(one.value for one in values) if values else None,
        contaminated=sum(block.quiet.contaminated for block in blocks),
        gate=_worst(("different", "close", "equivalent"), [block.gate.verdict for block in blocks if block.gate]),
        status=_worst(("error", "unavailable", "partial", "ok"), [block.result.status for block in blocks]),
        note=errors[-1] if errors else judged.reason if judged else "",
    )
    if judged is None or not values:
        return row
    return replace(
        row, ratio=judged.ratio, low=judged.low, high=judged.high, verdict=judged.verdict, pairs=judged.pairs
    )


def _worst(order: Sequence[str], found: Collection[str]) -> str:
    return next((word for word in order if word in found), "none")
