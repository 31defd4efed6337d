"""Speaking by hand: what a notebook is asked to say, checked as a whole, and a panel with a Speak button.

The panel works where a kernel listens to it, as in JupyterLab. Everywhere else (papermill, a rendered report, a page on
a forge) the same outputs stand in its place, without controls.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from kokoro_lab.engine.config import SPEED_RANGE
from kokoro_lab.engine.engine import Engine
from kokoro_lab.engine.speech import Speech
from kokoro_lab.errors import KokoroLabError, PlanError
from kokoro_lab.measure.calls import engine_config
from kokoro_lab.measure.cell import Cell
from kokoro_lab.models.catalog import resolve
from kokoro_lab.models.voices import voice_names
from kokoro_lab.reports.speech_charts import player, sound_figure, timing_figure
from kokoro_lab.sweeps.job import mistakes
from kokoro_lab.text.languages import LANGUAGES, language_of_voice

if TYPE_CHECKING:
    import ipywidgets

__all__ = ["SpeakingPanel", "wished"]

SLOWEST, FASTEST = SPEED_RANGE
LONGEST = 5_000  # characters; minutes of work on two cores
WIDTH = "46em"


class _Wish(BaseModel):
    """What the parameters of a notebook ask for; what is empty or 0 is left to the job."""

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
            raise ValueError(f"there is no voice {name!r}: `kokoro-lab voices` lists them")
        return name

    @field_validator("speed")
    @classmethod
    def _possible(cls, speed: float) -> float:
        if speed and not SLOWEST <= speed <= FASTEST:
            raise ValueError(f"a speed lies between {SLOWEST:g} and {FASTEST:g}, or is 0 for that of the job")
        return speed

    @field_validator("lang")
    @classmethod
    def _known(cls, name: str) -> str:
        if name and name not in LANGUAGES.values():
            raise ValueError(f"there is no language {name!r}: there are {', '.join(LANGUAGES.values())}")
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


def wished(cell: Cell, **given: Any) -> Cell:
    """The cell with what was asked for in its place: text, voice, speed, lang, model.

    Without a language of its own, a voice speaks the one it was made for.

    Raises:
        PlanError: mistakes; all of them are listed.
    """
    try:
        wish = _Wish.model_validate(given)
    except ValidationError as error:
        raise PlanError(f"The parameters have mistakes: {'; '.join(mistakes(error))}.") from error
    asked = {name: value for name, value in wish.model_dump().items() if value}
    if "voice" in asked and "lang" not in asked:
        asked["lang"] = language_of_voice(wish.voice) or cell.lang
    return replace(cell, **asked)


class SpeakingPanel:
    """An engine that speaks what it is given, and shows it: controls above, player, picture and times below.

    Args:
        cell: how the engine is set up, and what it says first.
    """

    def __init__(self, cell: Cell) -> None:
        self.cell = cell
        self.engine = Engine.load(engine_config(cell))
        self.speech = self.speak(cell.text, cell.voice, cell.speed, cell.lang)
        self._controls: ipywidgets.VBox | None = None

    def speak(self, text: str, voice: str, speed: float, lang: str) -> Speech:
        """Say something else; what is shown by `outputs` follows."""
        self.speech = self.engine.synthesize(text, voice=voice, speed=speed, lang=lang, seed=self.cell.seed)
        return self.speech

    def outputs(self) -> list[Any]:
        """Player, sound and times of the last thing that was said."""
        return [player(self.speech), sound_figure(self.speech), timing_figure(self.speech)]

    @property
    def controls(self) -> ipywidgets.VBox:
        """The panel as widgets, made on first use."""
        if self._controls is None:
            self._controls = self._made()
        return self._controls

    def _made(self) -> ipywidgets.VBox:
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
        said, shown = widgets.Label(), widgets.Output()

        def own_language(change: Any) -> None:
            lang.value = language_of_voice(change["new"]) or lang.value

        def pressed(_: object) -> None:
            button.disabled, said.value = True, "Speaking ..."
            try:
                self.speak(text.value, voice.value, speed.value, lang.value)
            except KokoroLabError as error:
                said.value = f"{error.message[:1].upper()}{error.message[1:].rstrip('.')}."
            else:
                said.value = ""
                shown.outputs = _displayed(self.outputs())
            finally:
                button.disabled = False

        voice.observe(own_language, names="value")
        button.on_click(pressed)
        shown.outputs = _displayed(self.outputs())
        return widgets.VBox([text, widgets.HBox([voice, lang]), speed, widgets.HBox([button, said]), shown])

    def _repr_mimebundle_(self, **_: object) -> dict[str, Any]:
        plain = "".join(one._repr_html_() for one in self.outputs())
        bundle: dict[str, Any] = self.controls._repr_mimebundle_()
        return {**bundle, "text/html": plain, "text/plain": f"{self.speech.voice}: {self.speech.text}"}


def _displayed(shown: list[Any]) -> tuple[dict[str, Any], ...]:
    """What an Output widget takes: one display a thing."""
    return tuple(
        {"output_type": "display_data", "metadata": {}, "data": {"text/html": one._repr_html_(), "text/plain": ""}}
        for one in shown
    )
