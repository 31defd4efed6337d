"""The page: self-contained, the same for the same rows, and plain about what it rests on."""

from __future__ import annotations

import base64
import itertools
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from report_blocks import RUN, as_reference, block, cell, quick_run, repeated, stored

from kokoro_lab.errors import KokoroLabError, NothingMeasuredError
from kokoro_lab.reports.claims.claims import load_claims
from kokoro_lab.reports.findings.listen import CLIP_S, clips
from kokoro_lab.reports.page import notebook_export
from kokoro_lab.reports.page.publish import with_fewer_clips
from kokoro_lab.reports.page.render import MOST_PAGE_BYTES, page, render
from kokoro_lab.reports.page.report import Report, open_report
from kokoro_lab.reports.rows.evidence import Evidence

LOADS = {"src", "href", "srcset", "data", "poster", "action", "formaction", "xlink:href", "background"}
VOID = {"meta", "link", "br", "hr", "img", "input", "source", "path", "line", "rect"}


class Page(HTMLParser):
    """Attributes that load something, ids, and whether tags are balanced."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loads: list[tuple[str, str]] = []
        self.ids: list[str] = []
        self.tags: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.loads += [(name, value or "") for name, value in attrs if name in LOADS]
        self.ids += [value or "" for name, value in attrs if name == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag


@pytest.fixture(scope="module")
def rendered(quick: Path) -> Path:
    return render(quick.parent)


@pytest.fixture(scope="module")
def text(rendered: Path) -> str:
    return rendered.read_text(encoding="utf-8")


def test_it_stands_under_its_run_and_as_the_latest(rendered: Path, text: str, quick: Path) -> None:
    assert rendered == quick.parent / "reports" / RUN / "index.html"
    assert (quick.parent / "reports" / "latest" / "index.html").read_text(encoding="utf-8") == text
    assert (quick.parent / "runs" / RUN / "gap_report.ipynb").is_file(), "the executed notebook is kept"


def test_it_needs_no_network_and_its_one_script_is_in_it(text: str) -> None:
    loads = Page(text).loads
    assert loads and all(value.startswith(("#", "data:audio/ogg;base64,")) for _, value in loads)
    style = text[text.index("<style>") : text.index("</style>")]
    assert "@import" not in style and "url(" not in style
    assert text.count("<script") == 1 and "<script>" in text and "<link" not in text and "http-equiv" not in text
    script = text[text.index("<script>") : text.index("</script>")]
    assert script.count("\n") < 150 and not re.search(r"fetch|XMLHttp|import|//\w", script)
    assert not re.search(r"""(?:src|href)\s*=\s*["']?(?:https?:)?//""", text)


def test_it_is_sound_html_with_ids_of_its_own(text: str) -> None:
    read = Page(text)
    assert read.open == [] and len(read.ids) == len(set(read.ids))
    anchors = {value[1:] for name, value in read.loads if value.startswith("#")}
    assert anchors <= set(read.ids)
    assert read.tags.count("h1") == read.tags.count("main") == 1


def test_the_answer_comes_before_the_evidence(text: str) -> None:
    first = text.index('"kl-headline"')
    assert "starts playing after" in text[first : first + 300]
    order = ["<h1>Kokoro-82M", "Test CPU", "kl-banner", "kl-action", "kl-headline", "<h2>What each optimisation buys"]
    order += ["kl-tiles", "<h2>Claims against", "<audio", "<h2>How far", "<h2>Every cell", "kl-claims", "kl-figure"]
    places = [text.index(word, text.index("<body>")) for word in order]
    assert places == sorted(places)


def test_it_says_machine_weights_architecture_versions_commit_and_fingerprint(text: str) -> None:
    for words in (
        "Test CPU: 1 core, 2 threads, 8 GiB",
        "Stand-in weights.",
        "full architecture",
        "0123456789abcdef",
        "c0ffeec0ffee",
        "onnxruntime 1.31.1",
    ):
        assert words in text, words
    assert re.search(r"samples \d+", text), "the table versions"


def test_every_chart_is_described_and_every_player_is_labelled(text: str) -> None:
    assert text.count("<svg") == 8 and text.count('role="img" aria-label="') == 8
    players = re.findall(r"<audio [^>]*>", text)
    assert len(players) == 8
    assert all("controls" in player and re.search(r'aria-label="[^"]{20,}"', player) for player in players)


def test_what_did_not_run_is_said_and_has_no_figure(text: str) -> None:
    assert "CoreML is not part of this onnxruntime." in text
    assert "coreml" in text
    row = text[text.index('data-label="Cell" class="kl-first">coreml, 2 threads') :].partition("</tr>")[0]
    assert row.count(">–<") == 8 and "data-sort" not in row.partition("Status")[2]


def test_a_disturbed_block_is_told(text: str) -> None:
    assert "Other processes disturbed 1 of" in text


def test_every_claim_stands_in_the_page_once(text: str) -> None:
    assert sorted(re.findall(r'id="claim-([^"]+)"', text)) == sorted(claim.id for claim in load_claims().claims)


def test_only_the_evidence_is_folded_and_headings_descend_in_order(text: str) -> None:
    folded = re.findall(r'class="kl-section kl-folded"><summary><h2>([^<]+)', text)
    assert folded[0] == "Every cell" and "What each optimisation buys" not in folded
    levels = [int(level) for level in re.findall(r"<h([1-6])", text)]
    assert levels[0] == 1 and all(here - before <= 1 for before, here in itertools.pairwise(levels))


def test_every_table_has_a_caption_and_every_heading_cell_a_scope(text: str) -> None:
    tables = re.findall(r"<table.*?</table>", text, re.S)
    assert tables and all("<caption>" in table for table in tables)
    assert all(re.search(r"scope=", cell) for cell in re.findall(r"<th\b[^>]*>", text))


def test_the_page_keeps_within_its_size_by_leaving_recordings_out(text: str) -> None:
    assert len(text.encode()) <= MOST_PAGE_BYTES
    fewer = with_fewer_clips(text, len(text.encode()) - 5_000)
    assert fewer.count("<audio") < text.count("<audio") and "the recording was left out" in fewer


def test_the_same_rows_give_the_same_words_and_numbers(quick: Path) -> None:
    def told() -> str:
        report = Report(Evidence.load(quick), load_claims())
        tables = [report.answer(), report.measured(), report.noise(), report.claims_tested()]
        parts = [*tables, report.ttfa(), report.rtf()]
        return "".join(part._repr_html_() for part in parts)

    assert told() == told()


def test_a_tiny_run_is_bannered_and_states_no_verdict(tmp_path: Path) -> None:
    evidence = Evidence.load(quick_run(tmp_path, architecture="tiny"))
    report = Report(evidence, load_claims())
    assert "No claim could be compared" in str(report.claims_tested())
    answer = str(report.answer())
    assert "Speed was not measured" in answer and "missed" not in answer and " met" not in answer
    made = page(evidence, notebook_export.ExportedNotebook("T", report.answer(), ()))
    assert 'data-kind="tiny"' in made and "Tiny architecture." in made


def test_a_run_in_which_all_was_disturbed_ranks_nothing_and_says_so(tmp_path: Path) -> None:
    blocks = repeated(as_reference(cell()), (100.0, 101.0), contaminated=True)
    blocks += repeated(cell(delivery="stream"), (100.0, 101.0), contaminated=True)
    tables = stored(tmp_path, blocks)
    report = Report(Evidence.load(tables), load_claims())
    assert "Nothing can be ranked: other processes disturbed every block." in str(report.answer())
    assert "not ranked: disturbed" in str(report.key_figures())
    assert "there is no noise floor" in str(report.noise())


def test_a_run_without_rows_has_no_page(tmp_path: Path) -> None:
    tables = stored(tmp_path, [block(cell(), status="error", error="It broke.")])
    with pytest.raises(NothingMeasuredError, match="It broke"):
        render(tables.parent)
    assert not (tables.parent / "reports").exists()


def test_clips_are_short_ogg_and_keep_their_level(tmp_path: Path, evidence: Evidence) -> None:
    found = clips(evidence)
    assert len(found) == 8 and all(clip.reference for clip in found[::2])
    data = base64.b64decode(found[0].data.partition(",")[2])
    assert data.startswith(b"OggS") and found[0].seconds == pytest.approx(1.5) and not found[0].cut
    assert len(data) < 4_000 * CLIP_S


def test_a_recording_that_is_gone_is_said_and_breaks_nothing(tmp_path: Path) -> None:
    of = as_reference(cell())
    report = Report(Evidence.load(stored(tmp_path, [block(of, audio_path="audio/gone.npy")])), load_claims())
    assert "the recording is no longer available" in str(report.listen())


def test_text_from_the_tables_cannot_become_markup(tmp_path: Path) -> None:
    bad = block(cell(provider="cuda"), status="unavailable", error="<script>alert(1)</script>", share=0.0)
    tables = stored(tmp_path, [*repeated(as_reference(cell()), (100.0, 101.0)), bad])
    shown = str(Report(Evidence.load(tables), load_claims()).providers())
    assert "<script>" not in shown and "&lt;script&gt;" in shown


def test_a_notebook_that_fails_says_what_failed_and_where(tmp_path: Path) -> None:
    here = Path(__file__).parents[3] / "notebooks" / "gap_report.ipynb"
    executed = tmp_path / "executed.ipynb"
    with pytest.raises(
        KokoroLabError, match=r"gap_report failed; see .*NothingMeasuredError.*start one with `kokoro-lab sweep quick`"
    ):
        notebook_export.execute(here, executed, {"tables": str(tmp_path / "none")})
    assert executed.is_file(), "the half-executed copy is kept"


def test_a_job_file_names_the_run_and_its_tables(tmp_path: Path, quick: Path) -> None:
    from kokoro_lab.sweeps.job import Job

    job = Job(run_id=RUN, notebook="gap_report", groups=[{"text": "short"}], budget_s=1.0, results=quick.parent)
    path = tmp_path / "job.json"
    path.write_text(job.model_dump_json(), encoding="utf-8")
    assert open_report(str(path)).evidence.run_id == RUN
