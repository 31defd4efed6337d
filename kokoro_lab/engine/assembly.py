"""From segments and what the model gave for each to the speech that is handed back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from kokoro_lab.audio.finish import Finish, Finished, finish
from kokoro_lab.audio.join import join, silence
from kokoro_lab.audio.wav import SAMPLE_RATE
from kokoro_lab.engine.request import Request
from kokoro_lab.engine.speech import Speech, SpokenSegment, Timings
from kokoro_lab.runtime.session import Inference
from kokoro_lab.text.segment import Segment

if TYPE_CHECKING:
    from kokoro_lab.engine.choosing import Spoken

__all__ = ["Made", "assembled"]

Made = tuple[Segment, Inference]


def assembled(
    request: Request, made: Sequence[Made], spoken: Spoken, *, policy: Finish | None = None, cached: bool = False
) -> Speech:
    """The segments joined, with their pauses and each one's place; trimmed, levelled and resampled by the policy.

    The timings are left for the caller to fill in.
    """
    segments = []
    position = 0
    for segment, inference in made:
        position += round(segment.lead_s * SAMPLE_RATE)
        length = len(inference.audio)
        segments.append(SpokenSegment(segment, position, length, inference.durations, inference.seconds))
        position += length + round(segment.pause_s * SAMPLE_RATE)
    samples = join([inference.audio for _, inference in made], [segment.pause_s for segment, _ in made[:-1]])
    if made[0][0].lead_s:
        samples = np.concatenate([silence(made[0][0].lead_s), samples])
    finished: Finished | None = None
    if policy is not None:
        finished = finish(samples, policy)
        samples = finished.samples
        cut = round(finished.trimmed_start_s * SAMPLE_RATE)
        segments = [replace(one, start=one.start - cut) for one in segments]
    samples.setflags(write=False)
    durations = [inference.durations for _, inference in made if inference.durations is not None]
    return Speech(
        samples=samples,
        sample_rate=SAMPLE_RATE if finished is None else finished.sample_rate,
        text=request.text,
        phonemes=" ".join(segment.phonemes for segment, _ in made),
        tokens=tuple(token for segment, _ in made for token in segment.tokens),
        durations=np.concatenate(durations) if durations else None,
        segments=tuple(segments),
        voice=request.voice.name,
        speed=request.speed,
        lang=request.lang,
        seed=request.seed,
        timings=Timings(),
        spoken=spoken,
        cached=cached,
        finished=finished,
    )
