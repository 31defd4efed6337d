"""Speaking by hand: mistakes are told at once, and a panel shows the same things with and without controls."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterator

import numpy as np
import pytest
import soundfile
from report_blocks import cell

from kokoro_lab.errors import PlanError
from kokoro_lab.reports.drawing.theme import WIDE, styled
from kokoro_lab.reports.figures.speaking_panel import SpeakingPanel, requested_cell
from kokoro_lab.reports.figures.speech_charts import spectrogram

NOTHING = {"text": "", "voice": "", "speed": 0.0, "lang": "", "model": ""}


@pytest.fixture(scope="module")
def panel() -> Iterator[SpeakingPanel]:
    made = SpeakingPanel(cell("ultra-short", threads=1, model="tiny"))
    yield made
    made.engine.close()


def test_what_is_left_empty_is_that_of_the_job() -> None:
    assert requested_cell(cell(), **NOTHING) == cell()


def test_a_voice_brings_its_language_along() -> None:
    assert requested_cell(cell(), **{**NOTHING, "voice": "ff_siwis"}).lang == "fr-fr"
    assert requested_cell(cell(), **{**NOTHING, "voice": "ff_siwis", "lang": "en-gb"}).lang == "en-gb"


def test_all_mistakes_are_told_at_once() -> None:
    wrong = {"text": 7, "voice": "nobody", "speed": 9.0, "lang": "tlh", "model": "no-such-model"}
    with pytest.raises(PlanError) as told:
        requested_cell(cell(), **wrong)
    for name in wrong:
        assert f"{name}: " in told.value.message


def test_a_tone_is_a_line_at_its_frequency() -> None:
    tone = np.sin(2 * np.pi * 2_000 * np.arange(24_000) / 24_000).astype(np.float32)
    levels = spectrogram(tone)
    hz = np.arange(levels.shape[0]) * 24_000 / 512
    assert np.all(np.abs(hz[levels[:, 5:-5].argmax(axis=0)] - 2_000) < 24_000 / 512)
    assert levels.max() == 0 and levels.min() >= -70
    assert np.all(spectrogram(np.zeros(24_000, dtype=np.float32)) == -70)


def test_the_pictures_show_the_speech_and_its_time(panel: SpeakingPanel) -> None:
    _, sound, time = panel.outputs()
    assert panel.speech.text in sound.alt and panel.speech.phonemes in sound.alt
    assert len(sound.rows) == len(panel.speech.word_times)
    *parts, whole = (float(text.replace("\u202f", "")) for text in time.rows[0][1:])
    assert sum(parts) == pytest.approx(whole, rel=0.02)
    for figure in (sound, time):
        assert styled(figure.chart(WIDE))


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


def test_the_player_has_the_whole_speech_in_the_page(panel: SpeakingPanel) -> None:
    page = panel.outputs()[0]._repr_html_()
    (data,) = re.findall(r'<audio controls src="data:audio/ogg;base64,([^"]+)">', page)
    samples, rate = soundfile.read(io.BytesIO(base64.b64decode(data)))
    assert rate == panel.speech.sample_rate
    assert len(samples) / rate == pytest.approx(panel.speech.duration_s, abs=0.05)
