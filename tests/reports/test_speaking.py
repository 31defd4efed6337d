"""Speaking by hand: mistakes are told at once, and a panel shows the same things with and without controls."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from report_blocks import cell

from kokoro_lab.errors import PlanError
from kokoro_lab.reports.speaking import SpeakingPanel, wished

NOTHING = {"text": "", "voice": "", "speed": 0.0, "lang": "", "model": ""}


@pytest.fixture(scope="module")
def panel() -> Iterator[SpeakingPanel]:
    made = SpeakingPanel(cell("ultra-short", threads=1, model="tiny"))
    yield made
    made.engine.close()


def test_what_is_left_empty_is_that_of_the_job() -> None:
    assert wished(cell(), **NOTHING) == cell()


def test_a_voice_brings_its_language_along() -> None:
    assert wished(cell(), **{**NOTHING, "voice": "ff_siwis"}).lang == "fr-fr"
    assert wished(cell(), **{**NOTHING, "voice": "ff_siwis", "lang": "en-gb"}).lang == "en-gb"


def test_all_mistakes_are_told_at_once() -> None:
    wrong = {"text": 7, "voice": "nobody", "speed": 9.0, "lang": "tlh", "model": "no-such-model"}
    with pytest.raises(PlanError) as told:
        wished(cell(), **wrong)
    for name in wrong:
        assert f"{name}: " in told.value.message


def test_without_widgets_the_same_outputs_stand_there(panel: SpeakingPanel) -> None:
    bundle = panel._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in bundle
    assert "<audio" in bundle["text/html"] and bundle["text/html"].count("<figure") == 3


def test_pressing_speak_shows_what_was_typed(panel: SpeakingPanel) -> None:
    text, voices, speed, (button, said), shown = _parts(panel)
    text.value, speed.value = "Another text.", 1.5
    before = shown.outputs
    button.click()
    assert panel.speech.text == "Another text." and not said.value and not button.disabled
    assert shown.outputs != before and "Another" in shown.outputs[0]["data"]["text/html"]
    voices[0].value = "bf_emma"
    assert voices[1].value == "en-gb"


def test_a_text_that_cannot_be_spoken_is_answered_in_a_sentence(panel: SpeakingPanel) -> None:
    text, _, _, (button, said), _ = _parts(panel)
    text.value = ""
    button.click()
    assert said.value.endswith(".") and not button.disabled


def _parts(panel: SpeakingPanel) -> list:
    text, voices, speed, pressed, shown = panel.controls.children
    return [text, voices.children, speed, pressed.children, shown]
