"""Joins segments and their inferences into the returned speech."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from kokoro_lab.audio.finish import Finish, Finished, finish
from kokoro_lab.audio.join import join, silence
from kokoro_lab.engine.request import SpeechRequest
from kokoro_lab.engine.speech import Speech, SpokenSegment, Timings
from kokoro_lab.runtime.session import Inference
from kokoro_lab.text.segment import Segment
from kokoro_lab.units import SAMPLE_RATE

if TYPE_CHECKING:
    from kokoro_lab.engine.model_selection import LoadedModel

__all__ = ["SegmentInference", "assembled"]

SegmentInference = tuple[Segment, Inference]


def assembled(
    request: SpeechRequest,
    inferred: Sequence[SegmentInference],
    spoken: LoadedModel,
    *,
    policy: Finish | None = None,
    cached: bool = False,
) -> Speech:
    """The joined segments with their pauses and positions; trimmed, levelled and resampled by the policy.

    The caller fills in the timings.
    """
    segments = []
    position = 0
    for segment, inference in inferred:
        position += round(segment.lead_s * SAMPLE_RATE)
        length = len(inference.audio)
        segments.append(SpokenSegment(segment, position, length, inference.durations, inference.seconds))
        position += length + round(segment.pause_s * SAMPLE_RATE)
    samples = join([inference.audio for _, inference in inferred], [segment.pause_s for segment, _ in inferred[:-1]])
    if inferred[0][0].lead_s:
        samples = np.concatenate([silence(inferred[0][0].lead_s), samples])
    finished: Finished | None = None
    if policy is not None:
        finished = finish(samples, policy)
        samples = finished.samples
        cut = round(finished.trimmed_start_s * SAMPLE_RATE)
        segments = [replace(one, start=one.start - cut) for one in segments]
    samples.setflags(write=False)
    durations = [inference.durations for _, inference in inferred if inference.durations is not None]
    return Speech(
        samples=samples,
        sample_rate=SAMPLE_RATE if finished is None else finished.sample_rate,
        text=request.text,
        phonemes=" ".join(segment.phonemes for segment, _ in inferred),
        tokens=tuple(token for segment, _ in inferred for token in segment.tokens),
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
