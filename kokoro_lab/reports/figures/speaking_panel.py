"""Interactive synthesis: the parameters of a notebook, checked together, and a panel with a Speak button.

The panel works where a kernel is connected to it, as in JupyterLab. Everywhere else (papermill, a rendered report, a
file view on the web) the same outputs are shown without controls.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from kokoro_lab.engine.config import SPEED_RANGE
from kokoro_lab.engine.engine import Engine
from kokoro_lab.engine.speech import Speech
from kokoro_lab.errors import KokoroLabError, PlanError
from kokoro_lab.files.documents import validated
from kokoro_lab.measure.block.calls import engine_config
from kokoro_lab.measure.records.cell import Cell
from kokoro_lab.models.catalog import resolve
from kokoro_lab.models.voices import voice_names
from kokoro_lab.reports.figures.speech_charts import player, sound_figure, timing_figure
from kokoro_lab.reports.rows.cell_summary import sentence
from kokoro_lab.text.languages import LANGUAGES, language_of_voice

if TYPE_CHECKING:
    import ipywidgets

__all__ = ["SpeakingPanel", "requested_cell"]

SLOWEST, FASTEST = SPEED_RANGE
LONGEST = 5_000  # characters; minutes of synthesis on two cores
WIDTH = "46em"


class _Parameters(BaseModel):
    """The parameters of a notebook; an empty value or 0 means that of the job."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    text: str = Field("", max_length=LONGEST)
    voice: str = ""
    speed: float = 0.0
    lang: str = ""
    model: str = ""

    @field_validator("voice")
    @classmethod
    def _spoken(cls, name: str) -> str:
        if name and name not in voice_names():
            raise ValueError(f"unknown voice {name!r}; `kokoro-lab voices` lists the voices")
        return name

    @field_validator("speed")
    @classmethod
    def _possible(cls, speed: float) -> float:
        if speed and not SLOWEST <= speed <= FASTEST:
            raise ValueError(
                f"speed {speed:g} is out of range; choose {SLOWEST:g} to {FASTEST:g}, or 0 for that of the job"
            )
        return speed

    @field_validator("lang")
    @classmethod
    def _known(cls, name: str) -> str:
        if name and name not in LANGUAGES.values():
            raise ValueError(f"unknown language {name!r}; choose one of {', '.join(LANGUAGES.values())}")
        return name

    @field_validator("model")
    @classmethod
    def _installed(cls, name: str) -> str:
        if name:
            try:
                resolve(name)
            except KokoroLabError as error:
                raise ValueError(str(error).rstrip(".")) from error
        return name


def requested_cell(cell: Cell, **given: Any) -> Cell:
    """The cell with the given values in place of its own: text, voice, speed, lang, model.

    Without a given language, a given voice speaks its own language.

    Raises:
        PlanError: the values have mistakes; all of them are listed.
    """
    parameters = validated(_Parameters, given, what="the notebook's parameters", error=PlanError)
    given_values = {name: value for name, value in parameters.model_dump().items() if value}
    if "voice" in given_values and "lang" not in given_values:
        given_values["lang"] = language_of_voice(parameters.voice) or cell.lang
    return replace(cell, **given_values)


class SpeakingPanel:
    """An engine that speaks the given text: controls above; player, charts and times below.

    Args:
        cell: the setup of the engine, and the first text.
    """

    def __init__(self, cell: Cell) -> None:
        self.cell = cell
        self.engine = Engine.load(engine_config(cell))
        self.speech = self.speak(cell.text, cell.voice, cell.speed, cell.lang)
        self._controls: ipywidgets.VBox | None = None

    def speak(self, text: str, voice: str, speed: float, lang: str) -> Speech:
        """Synthesise another text, which `outputs` then shows."""
        self.speech = self.engine.synthesize(text, voice=voice, speed=speed, lang=lang, seed=self.cell.seed)
        return self.speech

    def outputs(self) -> list[Any]:
        """Player, waveform and times of the last speech."""
        return [player(self.speech), sound_figure(self.speech), timing_figure(self.speech)]

    @property
    def controls(self) -> ipywidgets.VBox:
        """The panel as widgets, created on first use."""
        if self._controls is None:
            self._controls = self._created()
        return self._controls

    def _created(self) -> ipywidgets.VBox:
        import ipywidgets as widgets

        cell, style, wide = self.cell, {"description_width": "5em"}, widgets.Layout(width=WIDTH)
        text = widgets.Textarea(cell.text, description="Text", rows=3, layout=wide, style=style)
        voices = sorted({*voice_names(), cell.voice})
        voice = widgets.Dropdown(options=voices, value=cell.voice, description="Voice", style=style)
        lang = widgets.Dropdown(options=list(LANGUAGES.values()), value=cell.lang, description="Language", style=style)
        speed = widgets.FloatSlider(
            cell.speed, min=SLOWEST, max=FASTEST, step=0.05, description="Speed", readout_format=".2f", style=style,
            continuous_update=False,
        )  # fmt: skip
        button = widgets.Button(description="Speak", button_style="primary", icon="play")
        status, shown = widgets.Label(), widgets.Output()

        def own_language(change: Any) -> None:
            lang.value = language_of_voice(change["new"]) or lang.value

        def pressed(_: object) -> None:
            button.disabled, status.value = True, "Speaking ..."
            try:
                self.speak(text.value, voice.value, speed.value, lang.value)
            except KokoroLabError as error:
                status.value = sentence(error.message)
            else:
                status.value = ""
                shown.outputs = _displayed(self.outputs())
            finally:
                button.disabled = False

        voice.observe(own_language, names="value")
        button.on_click(pressed)
        shown.outputs = _displayed(self.outputs())
        return widgets.VBox([text, widgets.HBox([voice, lang]), speed, widgets.HBox([button, status]), shown])

    def _repr_mimebundle_(self, **_: object) -> dict[str, Any]:
        plain = "".join(output._repr_html_() for output in self.outputs())
        bundle: dict[str, Any] = self.controls._repr_mimebundle_()
        return {**bundle, "text/html": plain, "text/plain": f"{self.speech.voice}: {self.speech.text}"}


def _displayed(shown: list[Any]) -> tuple[dict[str, Any], ...]:
    """The outputs of an Output widget: one display per object."""
    return tuple(
        {"output_type": "display_data", "metadata": {}, "data": {"text/html": output._repr_html_(), "text/plain": ""}}
        for output in shown
    )
