"""The claims file: every stated number, where it comes from, and how it is tested; all mistakes told at once."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from report_claims import CLAIM

from kokoro_lab.errors import PlanError
from kokoro_lab.reports.claims.claims import NOT_MEASURABLE, Claim, claims_file, load_claims
from kokoro_lab.sweeps.preset_texts import preset_names


def written(folder: Path, *claims: dict[str, object]) -> Path:
    path = folder / "claims.yaml"
    document = {"sources": {"a": {"title": "A", "machine": "M1"}}, "claims": list(claims)}
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    return path


def test_the_committed_file_states_more_than_sixty_numbers_from_all_five_documents() -> None:
    claims = load_claims()
    assert sum(not isinstance(claim.value, str) for claim in claims.claims) >= 60
    documents = {name for name in claims.sources if name.endswith(".txt")}
    assert len(documents) == 5
    assert documents <= {name for claim in claims.claims for name in claim.sources}


def test_the_reasons_for_not_measurable_are_a_closed_list_and_all_are_used() -> None:
    used = {claim.resolve.not_measurable for claim in load_claims().claims} - {None}
    assert used == set(NOT_MEASURABLE) and len(NOT_MEASURABLE) == 6


def test_claims_about_rows_ask_for_texts_that_there_are() -> None:
    for claim in load_claims().claims:
        asked = (claim.resolve.rows or {}).get("text_preset", "short")
        assert set([asked] if isinstance(asked, str) else asked) <= set(preset_names()), claim.id


def test_every_claim_has_a_machine_and_says_what_it_claims() -> None:
    claims = load_claims()
    for claim in claims.claims:
        assert claims.machine(claim) and claim.words.endswith(".") and claim.claimed, claim.id


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"metric": "speed"}, "unknown metric 'speed'"),
        ({"value": [2, 1]}, "the lower value first"),
        ({"direction": "at least"}, "better when it is smaller"),
        ({"metric": "audio_cache_hit_share"}, "better when it is larger"),
        (
            {"statistic": "p95", "resolve": {"rows": {"text_preset": ["short", "long"]}, "notebook": "p"}},
            "no interval for the best of several",
        ),
        ({"resolve": {"rows": {"cores": 2}, "notebook": "p"}}, "unknown factors cores"),
        ({"resolve": {"rows": {}}}, "name the notebook"),
        ({"resolve": {"not_measurable": "too hard"}}, "apple-or-gpu-hardware"),
        ({"resolve": {"fact": "colour"}}, "unknown fact 'colour'"),
        ({"kind": "state", "value": "implemented"}, "use compare or fact"),
        ({"resolve": {"not_measurable": "training", "fact": "warmer_texts"}}, "exactly one"),
        ({"sources": ["b"]}, "unknown source 'b'"),
        ({"surplus": 1}, "surplus: unknown name"),
    ],
)
def test_a_mistake_is_told_with_the_claim_it_is_in(tmp_path: Path, change: dict[str, object], told: str) -> None:
    with pytest.raises(PlanError, match=told) as caught:
        load_claims(written(tmp_path, {**CLAIM, **change}))
    assert "one" in caught.value.message


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    wrong = [{**CLAIM, "id": f"c{at}", "metric": "speed"} for at in range(3)]
    with pytest.raises(PlanError, match="has 3 mistakes") as caught:
        load_claims(written(tmp_path, *wrong))
    assert all(f"c{at}" in caught.value.message for at in range(3))


def test_an_id_is_used_once(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="one: used twice"):
        load_claims(written(tmp_path, CLAIM, CLAIM))


def test_a_file_that_is_not_there_or_no_yaml_is_told(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="no file"):
        load_claims(tmp_path / "none.yaml")
    (tmp_path / "bad.yaml").write_text("claims: [", encoding="utf-8")
    with pytest.raises(PlanError, match=r"claims file .* is malformed"):
        load_claims(tmp_path / "bad.yaml")


def test_the_easier_end_of_a_range_is_the_target() -> None:
    faster = Claim.model_validate({**CLAIM, "value": [23, 62]})
    gain = {"not_measurable": "training"}
    saved = Claim.model_validate(
        {**CLAIM, "value": [10, 20], "direction": "at least", "resolve": gain, "unit": "% less"}
    )
    assert (faster.target, saved.target) == (62, 10)
    assert (faster.claimed, saved.claimed) == ("≤ 23 to 62 ms", "≥ 10 to 20 % less")


def test_the_file_names_no_person_in_its_words() -> None:
    assert "@" not in claims_file().read_text(encoding="utf-8")
