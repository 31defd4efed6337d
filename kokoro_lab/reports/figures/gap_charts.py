"""The charts of the report: what each optimisation buys, measured values over targets, and times over bounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kokoro_lab.measure.statistics.intervals import Interval
from kokoro_lab.reports.claims.resolution import Resolution
from kokoro_lab.reports.drawing.fragments import Html, note
from kokoro_lab.reports.drawing.interval_chart import ChartRow, Tone, interval_chart
from kokoro_lab.reports.findings.bound import Bound
from kokoro_lab.reports.findings.ladder import Ladder, Rung
from kokoro_lab.reports.rows.cell_summary import NARROW_SPACE, number, reach, stated

__all__ = ["bound_chart", "claims_chart", "claims_rows", "ladder_chart", "ladder_rows"]

SIGNS = {
    "faster": "▲",
    "slower": "▼",
    "equivalent": "=",
    "inconclusive": "?",
    "invalid": "×",
    "placebo": "∅",
    "met": "✓",
    "missed": "✕",
}
TONES: dict[str, Tone] = {"faster": "good", "slower": "bad", "inconclusive": "unsure", "met": "good", "missed": "bad"}
NO_LADDER = "no two settings of this run were compared; measure some with `kokoro-lab sweep decide`"
NO_CLAIMS = "no claim could be compared with the rows of this run"
OBVIOUS = ("plain", "default", "not streamed")
"""Beginnings of bases that need no mention."""


def ladder_rows(ladder: Ladder) -> list[ChartRow]:
    """One row per rung, in the ladder's order: largest factor first, placebos last."""
    return [_rung_row(rung, ladder) for rung in ladder.rungs if rung.cited is not None or rung.verdict == "placebo"]


def ladder_chart(ladder: Ladder) -> Html:
    """The ladder; a note where nothing was compared."""
    rows = ladder_rows(ladder)
    if not rows:
        return note(NO_LADDER)
    bases = {rung.base for rung in ladder.rungs if rung.cited is not None and rung.base.startswith("plain")}
    against = f" against {bases.pop()}" if len(bases) == 1 else " against its base"
    return interval_chart(
        rows,
        caption=f"Each setting{against}, {ladder.text_preset} text of {ladder.characters} characters",
        first="Setting",
        axis="times as fast",
        mark="1x, no effect",
        value="Effect",
    )


def _rung_row(rung: Rung, ladder: Ladder) -> ChartRow:
    name = rung.name + ("" if rung.text_preset in ("", ladder.text_preset) else f" ({rung.text_preset} text)")
    href = f"#cell-{rung.candidate_cell}"
    if rung.cited is None:
        words = "changes nothing that runs"
        return ChartRow(name, None, "no effect", "", "placebo", SIGNS["placebo"], "quiet", words, href)
    verdict = "not ranked" if rung.verdict == "invalid" else rung.verdict.replace("inconclusive", "undecided")
    return ChartRow(
        name=name,
        value=rung.cited.speedup,
        words=rung.cited.factor,
        interval=rung.cited.interval,
        verdict=verdict,
        sign=SIGNS.get(rung.verdict, "?"),
        tone="quiet" if rung.cached or rung.verdict in ("invalid", "equivalent") else TONES[rung.verdict],
        note=_rung_note(rung),
        href=href,
        outside=rung.cached,
    )


def _rung_note(rung: Rung) -> str:
    """What limits the use of a rung, in a few words; its base where that is not a plain model."""
    notes = [] if rung.base.startswith(OBVIOUS) else [f"than {rung.base}"]
    if rung.cached:
        notes.append("a repeated text, from memory")
    elif rung.cited is not None and rung.cited.metric == "ttfa_ms":
        notes.append("audio not ranked")
    elif rung.gate == "close":
        notes.append("close audio")
    elif rung.gate == "different":
        notes.append("audio differs")
    return "; ".join(notes)


def claims_rows(resolutions: Sequence[Resolution]) -> list[ChartRow]:
    """The claims with a gap, the farthest from their target first: measured over target, above 1 misses."""
    with_gap = [item for item in resolutions if item.gap is not None and item.gap.center > 0]
    ordered = sorted(with_gap, key=lambda item: (-item.gap.center if item.gap else 0.0, item.claim.id))
    return [_claim_row(item) for item in ordered]


def _claim_row(item: Resolution) -> ChartRow:
    gap, claim = item.gap, item.claim
    assert gap is not None
    unit = "" if claim.unit == "s/s" else claim.unit
    measured = "" if item.measured is None else stated(item.measured, unit)
    return ChartRow(
        name=claim.words.rstrip("."),
        value=gap,
        words=_factor(gap),
        interval=_ends(gap),
        verdict=item.verdict.replace("inconclusive", "undecided"),
        sign=SIGNS.get(item.verdict, "?"),
        tone=TONES.get(item.verdict, "quiet"),
        note=f"{measured}, target {claim.claimed}" if measured else f"target {claim.claimed}",
        href=f"#claim-{claim.id}",
        outside=item.verdict == "inconclusive",
    )


def _factor(gap: Interval) -> str:
    """The middle of a gap; a row has its ends beside it."""
    middle = gap.center
    return f"{number(middle)}x"


def _ends(gap: Interval) -> str:
    """The ends of a gap, or why it has none."""
    if gap.known and gap.low and gap.high:
        return f"[{number(gap.low)}, {number(gap.high)}]"
    return f"({reach(gap)})"


def claims_chart(rows: Sequence[ChartRow], caption: str) -> Html:
    """Rows of `claims_rows`; a note where there are none."""
    if not rows:
        return note(NO_CLAIMS)
    axis = "measured over target"
    return interval_chart(rows, caption=caption, first="Claim", axis=axis, mark="1x, exactly on target")


def bound_chart(cell_bounds: Sequence[Bound], names: Mapping[str, str], most: int) -> Html:
    """Total time over bound of the cells of the longest text, the nearest to the bound first.

    `names`: short name of each cell by its id; `most`: rows.
    """
    longest = max((bound.characters for bound in cell_bounds), default=0)
    shown = sorted((bound for bound in cell_bounds if bound.characters == longest), key=lambda each: each.gap.center)
    rows = [
        ChartRow(
            name=names.get(bound.cell_id, bound.label),
            value=bound.gap,
            words=_factor(bound.gap),
            interval=_ends(bound.gap),
            verdict="measure again" if bound.below_bound else f"{_share(bound)} unattributed",
            sign="?" if bound.below_bound else "",
            tone="unsure" if bound.below_bound else "quiet",
            note=f"bound {number(bound.bound_ms)} ms",
            href=f"#cell-{bound.cell_id}",
        )
        for bound in shown[:most]
    ]
    where = f"{shown[0].text_preset} text of {longest} characters" if shown else ""
    caption = f"Total time over the time of the model's multiplications at this machine's peak rate, {where}"
    return interval_chart(rows, caption=caption, first="Cell", axis="total over bound", mark="1x, the bound")


def _share(bound: Bound) -> str:
    return f"{100 * bound.unattributed_ms / bound.measured.center:.0f}{NARROW_SPACE}%"
