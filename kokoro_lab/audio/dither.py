"""Float samples to 16-bit samples, with TPDF dither.

Triangular noise of two quantisation steps, peak to peak, makes the rounding error independent of the signal in mean and
variance (Lipshitz, Wannamaker and Vanderkooy, "Quantization and Dither: A Theoretical Survey", JAES 40(5), 1992).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["FULL_SCALE", "to_pcm16"]

FULL_SCALE = 32_768  # steps from 0 to 1.0; +1.0 is one step above the largest value and is clipped


def to_pcm16(samples: npt.NDArray[np.floating], *, dither: bool = True, seed: int = 0) -> npt.NDArray[np.int16]:
    """float[S] in [-1, 1] to int16[S]; values beyond full scale are clipped.

    The noise is seeded, so that equal samples give equal files. A signal that is exactly silent stays silent: it has no
    rounding error to hide.
    """
    scaled = np.asarray(samples, dtype=np.float64) * FULL_SCALE
    if dither:
        random = np.random.default_rng(seed)
        noise = random.random(len(scaled)) - random.random(len(scaled))
        scaled = np.where(scaled == 0.0, 0.0, scaled + noise)
    limits = np.iinfo(np.int16)
    return np.clip(np.rint(scaled), limits.min, limits.max).astype(np.int16)
