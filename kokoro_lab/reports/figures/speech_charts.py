"""One call in pictures and sound: waveform, spectrogram and phonemes over time, a player, and the stage times."""

from __future__ import annotations

import base64
import html
import struct
import zlib
from dataclasses import replace
from typing import Any

import altair as alt
import numpy as np
import numpy.typing as npt
import pandas as pd

from kokoro_lab.audio.wav import encode_audio
from kokoro_lab.engine.speech import Speech
from kokoro_lab.errors import InferenceError
from kokoro_lab.reports.drawing.fragments import Html
from kokoro_lab.reports.drawing.plots import WIDE_FROM, stack
from kokoro_lab.reports.drawing.theme import LIGHT, ChartFigure, Picture, colour
from kokoro_lab.reports.rows.cell_summary import number
from kokoro_lab.reports.rows.evidence import Evidence
from kokoro_lab.reports.rows.workbook import NotebookAnswer
from kokoro_lab.units import SAMPLE_RATE

__all__ = ["listen_answer", "player", "sound_figure", "spectrogram", "timing_figure"]

SHOWN_S = 8.0  # s, from the beginning; phonemes of a longer clip would be unreadable
LEFT = 84  # px, reserved for the axis
WAVE_HEIGHT, PICTURE_HEIGHT, STRIP_HEIGHT = 110, 130, 22  # px
WINDOW, HOP = 512, 360  # samples: 21 ms, and a column every 15 ms
TOP_HZ = 8_000.0  # Hz; speech of this model has almost no energy above
SHADES = 15  # steps from white to full; more steps make the file larger and the picture no clearer
SILENT = 1e-6  # level of a spectrum below which it counts as silence and is drawn white
RANGE_DB = 70.0  # dB below the loudest level, where the picture turns white
CHARACTER = 7.5  # px
STAGES = {
    "normalise_s": "normalise",
    "phonemise_s": "phonemise",
    "tokenise_s": "tokenise",
    "infer_s": "model",
    "post_process_s": "post-process",
    "other_s": "other",
}


def sound_figure(speech: Speech) -> ChartFigure:
    """The beginning of the speech: waveform, words, phonemes and spectrogram, one below the other."""
    length = min(speech.duration_s, SHOWN_S)
    samples = speech.samples[: round(length * SAMPLE_RATE)]
    words, phonemes = _spoken(speech, length)
    picture = _data_uri(_png(spectrogram(samples)))
    title = f"{number(speech.duration_s)} s of speech, {len(speech.tokens)} tokens"

    def chart(width: int) -> Picture:
        plot = width - LEFT
        scale = alt.Scale(domain=[0.0, length], nice=False)
        time = alt.X("start:Q", scale=scale, axis=None)
        wave = _wave(samples, plot).mark_area(color=colour("s1"), opacity=0.9)
        ticks = alt.Axis(title="time, s", tickCount=6 if width < WIDE_FROM else 12)
        panels: list[Any] = [
            wave.encode(
                alt.X("start:Q", scale=scale, axis=None),
                alt.Y("low:Q", title="sample", scale=alt.Scale(domain=[-1, 1]), axis=alt.Axis(tickCount=3)),
                alt.Y2("high:Q"),
            ).properties(width=plot, height=WAVE_HEIGHT),
            _strip(words, plot, length, time, "words", "ink"),
            _strip(phonemes, plot, length, time, "phonemes", "s2"),
            alt.layer(
                alt.Chart(pd.DataFrame([{"url": picture}]))
                .mark_image(width=plot, height=PICTURE_HEIGHT, aspect=False)
                .encode(x=alt.value(plot / 2), y=alt.value(PICTURE_HEIGHT / 2), url="url:N"),
                alt.Chart(pd.DataFrame([{"start": 0.0, "hz": 0.0}, {"start": length, "hz": TOP_HZ / 1000}]))
                .mark_point(opacity=0)
                .encode(alt.X("start:Q", scale=scale, axis=ticks), alt.Y("hz:Q", title="kHz")),
            ).properties(width=plot, height=PICTURE_HEIGHT),
        ]
        return alt.vconcat(*[panel for panel in panels if panel is not None], spacing=4)

    cut = "" if length == speech.duration_s else f" The first {number(length)} s."
    return ChartFigure(
        title=title,
        alt=f"{title}. Spoken: {speech.text} As phonemes: {speech.phonemes}",
        chart=chart,
        columns=("Word", "Phonemes", "Starts, s", "Ends, s"),
        rows=_word_rows(speech),
        note=f"Waveform, words, phonemes, spectrogram over one time axis.{cut}",
    )


def spectrogram(samples: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Level in dB below the loudest, float64 [frequencies up to 8 kHz, columns], 0 at most and -70 at least."""
    padded = np.pad(samples.astype(np.float64), (WINDOW // 2, WINDOW // 2))
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP]
    levels = np.abs(np.fft.rfft(frames * np.hanning(WINDOW), axis=1)).T[: round(TOP_HZ / SAMPLE_RATE * WINDOW) + 1]
    loudest = max(float(levels.max(initial=0.0)), SILENT)
    return np.maximum(20.0 * np.log10(np.maximum(levels, 1e-12) / loudest), -RANGE_DB)


def player(speech: Speech) -> Html:
    """A player with the words as buttons that play from there, at the level that the model produced."""
    encoded = encode_audio(np.clip(speech.samples, -1.0, 1.0), "ogg", sample_rate=speech.sample_rate)
    data = base64.b64encode(encoded).decode("ascii")
    seek = "const a=this.closest('figure').querySelector('audio');a.currentTime={at:.3f};a.play()"
    buttons = "".join(
        f'<button type="button" title="{html.escape(word.phonemes)}" onclick="{seek.format(at=word.start_s)}">'
        f"{html.escape(word.text)}</button> "
        for word in (_words(speech) or ())
    )
    return Html(
        f'<figure class="kl-player"><audio controls src="data:audio/ogg;base64,{data}"></audio>'
        f"<figcaption>{buttons or html.escape(speech.text)}</figcaption></figure>"
    )


def timing_figure(speech: Speech) -> ChartFigure:
    """The stage times of this call, by the engine's own clock."""
    parts = {name: 1000.0 * float(getattr(speech.timings, key)) for key, name in STAGES.items()}
    title = f"{number(1000 * speech.timings.total_s)} ms for {number(speech.speech_s)} s of speech"
    figure = stack([("this call", parts)], list(parts), title, "time of the call, ms", "stage")
    return replace(figure, note="Measured by the engine's own clock.")


def listen_answer(speech: Speech, evidence: Evidence) -> NotebookAnswer:
    """The speech in words, and how the call in this kernel compares with those in separate processes."""
    peak = float(np.abs(speech.samples).max(initial=0.0))
    timings = speech.timings
    kind = f"{speech.model.name}, weights: {speech.model.weights}, architecture: {speech.model.architecture}"
    lines = [
        f"{speech.voice} says {len(speech.text)} characters in {number(speech.duration_s)} s ({kind}).",
        f"The model took {100 * timings.infer_s / timings.total_s:.0f} % of {number(1000 * timings.total_s)} ms; "
        f"RTF {number(speech.rtf)} for this one call, the first of its engine.",
        f"The loudest sample is at {number(peak)} of full scale and is played unchanged.",
    ]
    if peak > 1.0:
        lines.append("Players clip samples above full scale.")
    warm = evidence.samples[(evidence.samples["state"] == "warm")]
    if not warm.empty:
        words = f"{number(float(warm['total_ms'].median()))} ms, RTF {number(float(warm['rtf'].median()))}"
        lines.append(f"A warm call in a separate process takes {words} for the job's text.")
    if "stand-in" in speech.model.weights:
        lines.append("The stand-in weights are random: the output has the right length but is not intelligible speech.")
    return NotebookAnswer.of(evidence, lines)


def _spoken(speech: Speech, length: float) -> tuple[list[tuple[str, float, float]], list[tuple[str, float, float]]]:
    """(text, start, end) of words and phonemes that begin within `length` seconds; none without durations."""
    words = [(word.text, word.start_s, word.end_s) for word in _words(speech) or () if word.start_s < length]
    if not words:
        return [], []
    shown = [phoneme for phoneme in speech.phoneme_times if phoneme.start_s < length and phoneme.phoneme.strip()]
    return words, [(phoneme.phoneme, phoneme.start_s, phoneme.end_s) for phoneme in shown]


def _words(speech: Speech) -> Any:
    try:
        return speech.word_times
    except InferenceError:
        return None


def _word_rows(speech: Speech) -> list[tuple[str, ...]]:
    return [(word.text, word.phonemes, f"{word.start_s:.2f}", f"{word.end_s:.2f}") for word in (_words(speech) or ())]


def _wave(samples: npt.NDArray[np.float32], plot: int) -> alt.Chart:
    """Lowest and highest sample of each pixel column."""
    columns = np.array_split(samples, max(1, min(plot, len(samples))))
    edges = np.cumsum([0, *[len(column) for column in columns]]) / SAMPLE_RATE
    return alt.Chart(
        pd.DataFrame(
            {
                "start": edges[:-1],
                "low": [float(column.min(initial=0.0)) for column in columns],
                "high": [float(column.max(initial=0.0)) for column in columns],
            }
        )
    )


def _strip(
    items: list[tuple[str, float, float]], plot: int, length: float, time: alt.X, name: str, ink: str
) -> alt.Chart | None:
    """Texts at the times when they are spoken; texts without enough space are left out."""
    if not items:
        return None
    rows, free = [], 0.0
    for text, start, _ in items:
        at = start / length * plot
        needs = CHARACTER * len(text)
        if at >= free and at + needs <= plot:
            rows.append({"start": start, "text": text, "row": name})
            free = at + needs
    strip: alt.Chart = (
        alt.Chart(pd.DataFrame(rows, columns=["start", "text", "row"]))
        .mark_text(align="left", color=colour(ink), fontSize=12)
        .encode(time, alt.Y("row:N", title=None, axis=alt.Axis(grid=False)), alt.Text("text:N"))
        .properties(width=plot, height=STRIP_HEIGHT)
    )
    return strip


def _png(levels: npt.NDArray[np.float64]) -> bytes:
    """A picture of the levels, low frequencies at the bottom, in one colour, more opaque where it is louder."""
    opacity = (np.round(SHADES * (levels[::-1] + RANGE_DB) / RANGE_DB) * (255 // SHADES)).astype(np.uint8)
    hue = bytes.fromhex(LIGHT["s1"].removeprefix("#"))
    pixels = np.empty((*opacity.shape, 4), dtype=np.uint8)
    pixels[..., :3] = np.frombuffer(hue, dtype=np.uint8)
    pixels[..., 3] = opacity
    lines = b"".join(b"\0" + row.tobytes() for row in pixels)
    size = struct.pack(">IIBBBBB", opacity.shape[1], opacity.shape[0], 8, 6, 0, 0, 0)
    parts = ((b"IHDR", size), (b"IDAT", zlib.compress(lines, 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in parts
    )


def _data_uri(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode('ascii')}"
