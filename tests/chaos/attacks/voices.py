"""Damaged voice packs of every form."""

from __future__ import annotations

import io
import random
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch_archive import save_tensor

from chaos.attack import Attack, Outcome
from chaos.fuzzing import fuzz
from chaos.mutation import mutate, mutate_zip
from kokoro_lab.models.voices import load_voice

__all__ = ["ATTACK", "attempt", "prepare"]

SUFFIXES = (".bin", ".npz", ".npy", ".pt")


@dataclass(frozen=True)
class Packs:
    """Whole packs, and where damaged ones are written."""

    folder: Path
    samples: tuple[tuple[str, bytes], ...]
    """(suffix, bytes)."""


def prepare(folder: Path) -> Packs:
    """A pack of each form: of noise, and of zeros, which compress so well that damage hits what describes them."""
    samples: list[tuple[str, bytes]] = []
    noise = np.random.default_rng(0).standard_normal((510, 1, 256), dtype=np.float32)
    for styles in (noise, np.zeros_like(noise)):
        stream = io.BytesIO()
        np.savez_compressed(stream, af_heart=styles)
        samples.append((".npz", stream.getvalue()))
        stream = io.BytesIO()
        np.savez_compressed(stream, **{f"af_{n}": styles[: 510 if n < 2 else n] for n in range(5)})
        samples.append((".bin", stream.getvalue()))
        stream = io.BytesIO()
        np.savez(stream, af_heart=styles)
        samples.append((".npz", stream.getvalue()))
        stream = io.BytesIO()
        np.save(stream, styles.astype(np.float64))
        samples.append((".npy", stream.getvalue()))
        save_tensor(folder / "whole.pt", styles)
        samples.append((".pt", (folder / "whole.pt").read_bytes()))
        samples.append((".bin", styles.tobytes()))
    return Packs(folder, tuple(samples))


def attempt(packs: Packs, chance: random.Random) -> None:
    """Damage one pack and read a voice from it."""
    suffix, data = chance.choice(packs.samples)
    damaged = mutate_zip(data, chance) if data[:2] == b"PK" and chance.random() < 0.6 else mutate(data, chance)
    if chance.random() < 0.1:
        suffix = chance.choice(SUFFIXES)
    path = packs.folder / f"pack{suffix}"
    path.write_bytes(damaged)
    member = chance.choice(["", "#af_heart", "#af_1", "#af_4"]) if suffix in {".npz", ".bin"} else ""
    load_voice(f"{path}{member}")


def _run(tries: int, seed: int, folder: Path) -> Outcome:
    return fuzz("chaos.attacks.voices", tries, seed, folder)


ATTACK = Attack(
    name="voices",
    what="Damaged voice packs (.bin, .npz, .npy, .pt) are read or refused by name, each in 2 s and 1 GB.",
    full=5000,
    short=300,
    run=_run,
)
