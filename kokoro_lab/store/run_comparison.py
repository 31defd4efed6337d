"""Comparison of two kinds of cells of one run by pairs of blocks, and the outcome of any comparison.

A base and a candidate cell are compared when they agree in every factor that neither selector names. Their texts are
strata of one comparison. `cross_run_comparison` compares different runs.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from kokoro_lab.errors import InputError, NothingMeasuredError
from kokoro_lab.measure.records.cell import Block, Cell
from kokoro_lab.measure.records.readings import GateVerdict, Repeat, worst_verdict
from kokoro_lab.measure.statistics.comparison import Comparison, compare_all, pair_up
from kokoro_lab.measure.statistics.same_bytes import poolable, values_by_cell
from kokoro_lab.measure.statistics.verdicts import counterparts, why_invalid, worst_gate
from kokoro_lab.store.cell_selectors import SCHEDULE, Selector, cell_words

__all__ = ["FIGURES", "ComparisonLine", "ComparisonReport", "Outcome", "compare_within", "model_notes"]

NEVER_COMPARED = frozenset({"process"})
"""Factors in which two compared cells agree, whatever a selector names."""

FIGURES = tuple(
    item.name
    for item in dataclasses.fields(Repeat)
    if item.name not in ("repeat", "steady", "outlier", "audio_s", "speech_s")
)
"""Figures that can be compared; lower is better for all of them."""

Outcome = Literal["regressed", "inconclusive", "nothing measured", "no regression"]


@dataclass(frozen=True)
class ComparisonLine:
    """One comparison: candidate over base, so a ratio below 1 is faster."""

    base: str
    candidate: str
    texts: tuple[str, ...]
    gate: GateVerdict
    comparison: Comparison
    runs: tuple[int, int] = (1, 1)
    """Runs behind the base and behind the candidate."""
    differing: tuple[str, ...] = ()
    """The parts of their identity in which two runs of this cell are known to differ, such as ("code",)."""

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready: a row of a table."""
        return {
            "base": self.base,
            "candidate": self.candidate,
            "gate": self.gate,
            **dataclasses.asdict(self.comparison),
            "texts": list(self.texts),
            "runs": list(self.runs),
            "differing": list(self.differing),
        }


@dataclass(frozen=True)
class ComparisonReport:
    """All lines of a comparison, with notes on all of them."""

    figure: str
    lines: tuple[ComparisonLine, ...]
    interleaved: bool
    """Whether the two sides were interleaved; otherwise the machine may have changed in between."""
    base: str
    candidate: str
    notes: tuple[str, ...] = field(default_factory=tuple)

    @property
    def outcome(self) -> Outcome:
        """The worst of the lines: slower or different audio; then inconclusive or invalid; otherwise no regression."""
        if not any(line.comparison.ratio is not None for line in self.lines):
            return "nothing measured"
        if any(line.comparison.verdict == "slower" or line.gate == "different" for line in self.lines):
            return "regressed"
        if any(line.comparison.verdict in ("inconclusive", "invalid") for line in self.lines):
            return "inconclusive"
        return "no regression"


def compare_within(
    blocks: Sequence[Block],
    base: Selector,
    candidate: Selector,
    *,
    figure: str = "total_ms",
    use_contaminated: bool = False,
    run_id: str = "",
) -> ComparisonReport:
    """Compare cells of one run by pairs of blocks from one round and one text.

    Raises:
        InputError: a selector matches no cell, the sides share no text, or one of them is ambiguous.
        NothingMeasuredError: there are no blocks at all.
    """
    if not blocks:
        raise NothingMeasuredError(f"run {run_id!r} has no blocks to compare; see `kokoro-lab results list`")
    by_cell: dict[Cell, list[Block]] = {}
    for block in blocks:
        by_cell.setdefault(block.cell, []).append(block)
    groups = _groups(list(by_cell), base, candidate)
    values = values_by_cell(blocks, figure)
    pairings, invalid = {}, {}
    for name, pairs in groups.items():
        sides = [[value for cell in side for value in values[cell]] for side in zip(*pairs, strict=True)]
        pairings[name] = pair_up(sides[0], sides[1], use_contaminated=use_contaminated)
        reasons = [why for pair in pairs for cell in reversed(pair) if (why := why_invalid(by_cell[cell]))]
        if reasons:
            invalid[name] = reasons[0]
    judged = compare_all(pairings, invalid=invalid)
    lines = [_line(pairs, judged[name], by_cell, base, candidate) for name, pairs in groups.items()]
    notes = ["contaminated blocks are included"] if use_contaminated else []
    others = len(blocks) - len(poolable(blocks))
    notes += [
        f"{others} of {len(blocks)} blocks measured other bytes than the blocks before them; they are left out"
    ] * (others > 0)
    return ComparisonReport(figure, tuple(lines), True, base.text, candidate.text, (*notes, *model_notes(blocks)))


def model_notes(blocks: Iterable[Block]) -> list[str]:
    """Notes on the models behind the figures, and on blocks that do not say which bytes they measured."""
    known = list(blocks)
    models = [block.result.model for block in known if block.result.model]
    notes = []
    if "tiny" in {model.architecture for model in models}:
        notes.append("the tiny architecture was measured; its figures are not those of Kokoro")
    if "unknown" in {model.architecture for model in models}:
        notes.append("a model of unknown architecture was measured; its figures are not those of Kokoro")
    if len({model.weights for model in models} - {""}) > 1:
        notes.append(f"the weights differ: {', '.join(sorted({model.weights for model in models} - {''}))}")
    if any(block.result.repeats and block.result.identity is None for block in known):
        notes.append("unverified: some blocks are from before blocks recorded which bytes they measured")
    return notes


def _groups(cells: Sequence[Cell], base: Selector, candidate: Selector) -> dict[str, list[tuple[Cell, Cell]]]:
    """Name of each comparison -> its (base, candidate) cells, one pair per text."""
    if candidate.reference:
        raise InputError("`reference` cannot be the candidate; give it as the base")
    candidates = [cell for cell in cells if candidate.matches(cell)]
    bases = [] if base.reference else [cell for cell in cells if base.matches(cell)]
    for selector, selected in ((base, bases), (candidate, candidates)):
        if not selected and not selector.reference:
            known = "; ".join(sorted({f"{cell.id} ({cell_words(cell, ['text_preset'])})" for cell in cells})[:6])
            raise InputError(f"no cell of the run matches {selector.text!r}; choose from {known}")
    groups: dict[str, list[tuple[Cell, Cell]]] = {}
    if base.reference:
        partners = counterparts(cells)
        for cell in candidates:
            if cell in partners:
                groups.setdefault(_name(_key(cell, frozenset())), []).append((partners[cell], cell))
    else:
        varied = base.factors | candidate.factors
        if base.cell_id and candidate.cell_id:
            varied = frozenset(item.name for item in dataclasses.fields(Cell))
        offered: dict[str, list[Cell]] = {}
        for cell in bases:
            offered.setdefault(_name(_key(cell, varied)) + cell.text, []).append(cell)
        for cell in candidates:
            name = _name(_key(cell, varied))
            partners_here = [other for other in offered.get(name + cell.text, []) if other != cell]
            if len(partners_here) > 1:
                raise InputError(
                    f"{base.text!r} matches several cells for {cell.id}: {', '.join(c.id for c in partners_here)}; "
                    "name the factor in which they differ on both sides, or a cell's id"
                )
            groups.setdefault(name, []).extend((other, cell) for other in partners_here)
    groups = {name: pairs for name, pairs in groups.items() if pairs}
    if not groups and base.reference:
        raise InputError(f"{candidate.text!r} is the reference itself, or has none; name another candidate")
    if not groups:
        raise InputError(
            f"{base.text!r} and {candidate.text!r} share no text at which they differ only in the named factors; "
            "name more factors, or two cells' ids"
        )
    for pairs in groups.values():
        texts = [cell.text for _, cell in pairs]
        if len(set(texts)) < len(texts):
            raise InputError(
                f"{candidate.text!r} matches several cells of one text; name their factors, or a cell's id"
            )
    return groups


def _key(cell: Cell, varied: frozenset[str]) -> dict[str, Any]:
    """The fields that two cells must have in common; the text is a stratum and matched separately."""
    key: dict[str, Any] = {}
    for item in dataclasses.fields(Cell):
        if item.name in (*SCHEDULE, "text", "text_preset") or item.name in varied - NEVER_COMPARED:
            continue
        value = getattr(cell, item.name)
        if item.name in ("provider_options", "engine_settings"):
            value = [pair for pair in value if f"{item.name}.{pair[0]}" not in varied]
        key[item.name] = value
    return key


def _name(key: Mapping[str, Any]) -> str:
    return repr(sorted(key.items()))


def _line(
    pairs: Sequence[tuple[Cell, Cell]],
    comparison: Comparison,
    by_cell: Mapping[Cell, Sequence[Block]],
    base: Selector,
    candidate: Selector,
) -> ComparisonLine:
    named = [name for name in (*sorted(base.factors | candidate.factors),) if name != "text"]
    return ComparisonLine(
        base=cell_words(pairs[0][0], named),
        candidate=cell_words(pairs[0][1], named),
        texts=tuple(cell.text_preset or cell.text for _, cell in sorted(pairs, key=lambda pair: len(pair[1].text))),
        gate=worst_verdict(worst_gate(by_cell[cell]) for pair in pairs for cell in pair),
        comparison=comparison,
    )
