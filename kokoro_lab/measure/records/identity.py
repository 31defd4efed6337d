"""What a block measured, by its bytes: blocks of one cell are pooled only where every part is the same (measurement
rule 8, docs/measurement-rules.md)."""

from __future__ import annotations

from dataclasses import dataclass, fields

from kokoro_lab.measure.records.record import Record

__all__ = ["CONTENT", "MEASURED_PACKAGES", "PARTS", "BlockIdentity"]

MEASURED_PACKAGES = (
    "espeakng-loader",
    "kokoro-lab",
    "kokoro-onnx",
    "misaki",
    "num2words",
    "numpy",
    "onnxruntime",
    "onnxruntime-openvino",
    "phonemizer",
    "psutil",
    "soundfile",
    "soxr",
    "spacy",
)
"""Distributions that the measured process loads, and that can therefore change a figure."""


@dataclass(frozen=True)
class BlockIdentity(Record):
    """SHA-256 sums (hex) of everything that a block's figures come from; empty: there is no such part."""

    model: str
    """Of the bytes of the files that the session read, external data too."""
    text: str
    voice: str
    """Of the voice packs that spoke."""
    code: str
    """Of this package: the modules of the measured process and the compiled kernels."""
    packages: str
    """Of the installed packages that the measured process loads."""

    def differences(self, other: BlockIdentity) -> tuple[str, ...]:
        """The parts that are not the same, by name: ("model", "code").

        Examples:
            >>> first = BlockIdentity(model="aa", text="bb", voice="cc", code="dd", packages="ee")
            >>> first.differences(first), first.differences(BlockIdentity("a0", "bb", "cc", "d0", "ee"))
            ((), ('model', 'code'))
        """
        return tuple(name for name in PARTS if getattr(self, name) != getattr(other, name))


PARTS = tuple(item.name for item in fields(BlockIdentity))
"""The names of the parts, in order."""

CONTENT = frozenset({"model", "text", "voice"})
"""The parts that are never pooled; code and packages may be what two runs are compared for."""
