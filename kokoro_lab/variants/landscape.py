"""Every variant of one model side by side: how fast, how much memory, how near to the graph it was made of."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from kokoro_lab.errors import ModelNotFoundError
from kokoro_lab.models.catalog import ModelFile, resolve
from kokoro_lab.models.files.model_record import read_record
from kokoro_lab.models.files.onnxfile import read_onnx
from kokoro_lab.models.graph.architecture import architecture_named
from kokoro_lab.sweeps.progress import Listener
from kokoro_lab.variants.make import make
from kokoro_lab.variants.probes import Probe, check_probes
from kokoro_lab.variants.timing import Timing, bench
from kokoro_lab.variants.verify import verify

__all__ = ["Place", "front", "landscape", "variant"]

LIMIT_DB = 130.0  # signal over noise where a chart ends: float32 rounding alone gives about 125

Notice = Callable[[str], None]


@dataclass(frozen=True)
class Place:
    """One variant among the others."""

    recipe: str
    precision: str
    megabytes: float
    """Of the file, 10^6 bytes."""
    speed: float
    """How many times as fast as the plain graph; 1 for that."""
    peak_mb: float
    """Peak memory of the process, 10^6 bytes."""
    snr_db: float
    """Of the waveform after the source, everything before it fed; at most LIMIT_DB."""
    verdict: str
    """Of `variants.verify`: equivalent, close or different."""

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)

    def beats(self, other: Place) -> bool:
        """Whether it is at least as good in speed, memory and quality, and better in one."""
        ours = (self.speed, -self.peak_mb, self.snr_db)
        theirs = (other.speed, -other.peak_mb, other.snr_db)
        return ours != theirs and all(mine >= their for mine, their in zip(ours, theirs, strict=True))


def variant(source: ModelFile, recipe: str, notice: Notice | None = None) -> ModelFile:
    """The installed variant of `source` by `recipe`; it is made when it is not there or was made of other bytes."""
    name = f"{source.name}-{recipe}"
    try:
        file = resolve(name)
    except ModelNotFoundError:
        return make(source.name, recipe, notice=notice)[0]
    record = read_record(file.path) or {}
    same = record.get("source", {}).get("sha256") == source.sha256
    return file if same else make(source.name, recipe, notice=notice)[0]


def landscape(
    source: str,
    recipes: Sequence[str],
    timing: Timing,
    *,
    probes: Sequence[Probe] | None = None,
    notice: Notice | None = None,
    listener: Listener | None = None,
) -> list[Place]:
    """The plain model `source`, then a variant of it for each recipe: made, measured at one length, and verified.

    Args:
        source: an installed plain model.
        recipes: of data/recipes.
        timing: where the blocks are stored, and their number; of one length.
        probes: what is compared; the shortest check sentence if None.
        notice: told what is made.
        listener: told of each block.
    """
    plain = resolve(source, notice=notice)
    files = {recipe: variant(plain, recipe, notice) for recipe in recipes}
    names = [plain.name, *(file.name for file in files.values())]
    rows = bench(plain.name, names, timing, base_settings=(), listener=listener)
    measured = {row.model: row for row in rows}
    checked = [min(check_probes(), key=lambda probe: len(probe.tokens))] if probes is None else probes
    reference, arch = read_onnx(plain.path), architecture_named(plain.architecture)
    places = []
    for recipe, file in {"reference": plain, **files}.items():
        found = verify(reference, read_onnx(file.path), checked, arch=arch)
        row = measured[file.name]
        places.append(
            Place(
                recipe,
                file.precision,
                file.bytes / 1e6,
                row.speed or math.nan,
                row.peak_mb or math.nan,
                min([LIMIT_DB, *(reading.snr_db for reading in found.readings)]),
                found.verdict,
            )
        )
    return places


def front(places: Sequence[Place]) -> list[Place]:
    """The variants that no other one beats; those that are different are none of them."""
    fit = [place for place in places if place.verdict != "different"]
    return [place for place in fit if not any(other.beats(place) for other in fit)]
