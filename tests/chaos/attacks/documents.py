"""Documents of other people, mutated in their text and in their structure, given to what reads them."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any
from unittest import mock

import yaml

from chaos.attack import Attack, Outcome
from chaos.document_mutation import structures, texts
from kokoro_lab.benchmarks.simulation import read_noise
from kokoro_lab.engine.audio_cache import RenderedFolder, RenderedKey
from kokoro_lab.errors import KokoroLabError, ModelError
from kokoro_lab.measure.machine import lock
from kokoro_lab.measure.peers import environments
from kokoro_lab.measure.peers.adapters import PeerFiles
from kokoro_lab.measure.peers.adapters.own_engine import Manifest, PeerSentence
from kokoro_lab.measure.peers.environment_recipes import read_recipe
from kokoro_lab.measure.records.readings import ModelReading
from kokoro_lab.models import catalog
from kokoro_lab.models.files import published
from kokoro_lab.models.files.model_record import ModelFile, file_sha256, read_record, write_record
from kokoro_lab.models.rewrite.variant_recipes import load_recipe
from kokoro_lab.paths import data_folder, notebooks_folder
from kokoro_lab.reports.claims.claims import load_claims
from kokoro_lab.runtime import tuning_record
from kokoro_lab.store.budgets import load_budgets
from kokoro_lab.sweeps.job import Job
from kokoro_lab.sweeps.notebook.notebook_reading import read_notebook
from kokoro_lab.sweeps.plan import load_plan

__all__ = ["ATTACKS", "Reader", "json_readers", "notebook_readers", "yaml_readers"]

LONGEST_S = 2.0  # of processor time for one document
HANG_S = 240.0  # of wall time after which a document counts as hanging
LIBRARY_WORDS = (
    "For further information",
    "validation error for",
    "pydantic",
    "unexpected",
    "Traceback",
    "<unicode string>",
)
LONGEST_MESSAGE = 8_000  # characters


@dataclass(frozen=True)
class Reader:
    """What reads a kind of document, and sound documents of that kind."""

    kind: str
    sources: tuple[Any, ...]
    """Plain values, to be written as JSON or YAML."""
    read: Callable[[bytes], object]
    """Reads the document; a KokoroLabError is an answer, anything else is a failure."""


class HangError(BaseException):
    """A document is still being read after HANG_S; no handler of exceptions may take it."""


def _file(folder: Path, name: str, read: Callable[[Path], object]) -> Callable[[bytes], object]:
    """A reader of a file of that name, to which each document is written."""

    def written(data: bytes) -> object:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return read(path)

    return written


def _documents(pattern: str) -> tuple[Any, ...]:
    return tuple(yaml.safe_load(path.read_text(encoding="utf-8")) for path in sorted(data_folder().glob(pattern)))


def _few_claims() -> Any:
    """The first claims of data/claims.yaml with all its sources: the whole file takes ten times as long to write."""
    (whole,) = _documents("claims.yaml")
    return {**whole, "claims": whole["claims"][:6], **({"tables": []} if "tables" in whole else {})}


def yaml_readers(folder: Path) -> list[Reader]:
    """Everything that reads YAML: plans, budgets, claims, recipes of variants and of environments."""
    return [
        Reader("plan", _documents("sweeps/*.yaml"), _file(folder, "p.yaml", partial(_planned, folder=folder))),
        Reader("budgets", _documents("budgets.yaml"), _file(folder, "b.yaml", load_budgets)),
        Reader("claims", (_few_claims(),), _file(folder, "c.yaml", load_claims)),
        Reader("variant", _documents("recipes/*.yaml"), _file(folder, "v.yaml", lambda path: load_recipe(str(path)))),
        Reader("environment", _documents("environments/*.yaml"), _file(folder, "e.yaml", read_recipe)),
    ]


def _planned(path: Path, *, folder: Path) -> object:
    return load_plan(path).jobs("r1", folder)


def json_readers(folder: Path) -> list[Reader]:
    """Everything outside the results that reads a JSON record."""
    tiny = _tiny_model(folder)
    record = json.loads(tiny.path.with_suffix(".json").read_text(encoding="utf-8"))
    job = load_plan("quick").jobs("r1", folder)[0]
    reading = ModelReading("m", "0" * 64, "imported", "full", "fp32")
    manifest = Manifest(PeerFiles("m", "v", "w", "af"), reading, {"Hi.": (PeerSentence("haɪ", 0.1),)})
    marker = {"name": "e", "recipe_sha256": "0" * 64, "pins": ["a==1"], "python": "3.11.7", "installed_at": "now"}
    noise = {"about": "", "block_sd": 0.02, "degrees": 9, "block_s": 1.5, "model": "tiny", "machine": "x"}
    with mock.patch.dict("os.environ", {"KOKORO_LAB_HOME": str(folder)}):
        tuned = _tuned(tiny)
    return [
        Reader("model record", (record,), _file(folder, "models/m.json", partial(_resolved, folder))),
        Reader("tuning record", (tuned,), _file(folder, "tuned.json", partial(_tuning, tiny, folder))),
        Reader(
            "environment marker", (marker,), _file(folder, "environments/e/environment.json", partial(_look, folder))
        ),
        Reader("lock's holder", ({"pid": 1, "purpose": "x"},), _file(folder, "m.holder.json", _holder)),
        Reader("job", (job.model_dump(mode="json"),), _file(folder, "job.json", lambda path: Job.read(path).planned())),
        Reader("noise file", (noise,), _file(folder, "noise.json", read_noise)),
        Reader("manifest", (dataclasses.asdict(manifest),), _file(folder, "manifest.json", Manifest.read)),
        Reader("catalogue", (_catalogue(),), _file(folder, "models.json", partial(_known, folder))),
        Reader("cached speech", (_HEAD,), partial(_cached, folder / "cache")),
    ]


def _holder(path: Path) -> object:
    return lock._described(path.with_name("m.lock"))


def _tiny_model(folder: Path) -> ModelFile:
    """A file that stands for a model, with its record; a reader of records does not open it."""
    path = folder / "models" / "m.onnx"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"model")
    file = ModelFile("m", path, file_sha256(path), 5, "imported", "tiny", "fp32")
    write_record(
        file, revision=1, recipe={"name": "int8"}, source={"name": "x", "sha256": "0" * 64, "precision": "fp32"}
    )
    return file


def _resolved(folder: Path, path: Path) -> object:
    model = path.with_suffix(".onnx")
    record = read_record(model)
    home = mock.patch.dict("os.environ", {"KOKORO_LAB_HOME": str(folder)})
    with home, suppress(ModelError):  # another size or sum than the record's, or, without a record, no model
        catalog.imported_from("0" * 64)
        catalog.resolve("m")
    return record


def _tuned(tiny: ModelFile) -> dict[str, Any]:
    best = tuning_record.Best("m-int8", "1" * 64, "close", 1.5, 1.25)
    tuned = tuning_record.Tuned("m", tiny.sha256, "2026-01-01T00:00:00", "x", None, best, ("m", "m-int8"))
    return {tuning_record.tuned_key(tiny): dataclasses.asdict(tuned)}


def _tuning(tiny: ModelFile, folder: Path, _: Path) -> object:
    with mock.patch.dict("os.environ", {"KOKORO_LAB_HOME": str(folder)}):
        return tuning_record.read_tuned(tiny)


def _look(folder: Path, _: Path) -> object:
    with mock.patch.dict("os.environ", {"KOKORO_LAB_HOME": str(folder)}):
        return environments._look("e", None)


@cache
def _catalogue() -> Any:
    return json.loads((data_folder() / "models.json").read_text(encoding="utf-8"))


def _known(folder: Path, _: Path) -> object:
    with (
        mock.patch.object(published, "data_folder", lambda: folder),
        mock.patch.object(published, "_catalogue", published._catalogue.__wrapped__),
    ):
        return published.published_files.__wrapped__("models"), published.published_name("0" * 64)


_WORD = {"text": "Hi", "phonemes": "haɪ", "start": 0, "path": "lexicon"}
_SEGMENT = {
    "index": 0,
    "text": "Hi.",
    "phonemes": "haɪ",
    "tokens": [1, 2, 3],
    "pause_s": 0.0,
    "words": [_WORD],
    "seconds": {"normalise": 0.1},
    "dropped": "",
    "rate": 1.0,
    "lead_s": 0.0,
}
_HEAD = [{"segment": _SEGMENT, "samples": 4, "durations": 5, "seconds": 0.5}]


def _cached(folder: Path, data: bytes) -> object:
    """A cached file with the right sum, which only another program could have written."""
    cache_folder = RenderedFolder(folder, 1 << 24, "context")
    key = RenderedKey(("Hi.",), "v", 1.0, "en-us", 0)
    body = data.replace(b"\n", b" ") + b"\n" + bytes(16 + 40)
    cache_folder._path(key).write_bytes(body + hashlib.sha256(body).digest())
    return cache_folder.get(key)


def notebook_readers(folder: Path) -> list[Reader]:
    """Our notebooks; what our reader accepts is given to papermill's loader, as its own process does before it runs."""
    sources = tuple(json.loads(path.read_text(encoding="utf-8")) for path in sorted(notebooks_folder().glob("*.ipynb")))
    return [Reader("notebook", sources, _file(folder, "n.ipynb", _loaded))]


def _loaded(path: Path) -> object:
    from papermill.iorw import load_notebook_node
    from papermill.parameterize import parameterize_notebook

    notebook = read_notebook(path)
    with suppress(Exception):  # the child makes every exception of papermill's the notebook's error
        return parameterize_notebook(load_notebook_node(str(path)), {"job_file": "job.json"})
    return notebook


def _attack(
    readers: Callable[[Path], list[Reader]], write: Callable[[Any], str], n: int, seed: int, folder: Path
) -> Outcome:
    every = readers(folder)
    for reader in every:
        for source in reader.sources:
            if (words := _complaint(reader, write(source).encode("utf-8"))) or _refused(reader, write(source).encode()):
                return Outcome(0, (f"a sound {reader.kind} is refused: {words or 'by its reader'}",))
    failures = []
    for at in range(n):
        chance = random.Random(f"{seed} {at}")
        reader = every[at % len(every)]
        source = chance.choice(reader.sources)
        data = _mutated(source, write, chance)
        if words := _complaint(reader, data):
            failures.append(f"{reader.kind} {at} of seed {seed}: {words}")
    return Outcome(n, tuple(failures))


def _mutated(source: Any, write: Callable[[Any], str], chance: random.Random) -> bytes:
    """A document changed in its structure, or (a third of them) in its text."""
    if chance.randrange(3) == 0:
        return texts(write(source).encode("utf-8"), chance)
    changed = structures(source, chance)
    try:
        return write(changed).encode("utf-8", "surrogatepass")
    except (yaml.YAMLError, RecursionError, ValueError):  # a value that this writer cannot write
        return str(changed)[:100_000].encode("utf-8", "surrogatepass")


def _refused(reader: Reader, data: bytes) -> bool:
    try:
        return reader.read(data) is None
    except KokoroLabError:
        return True


def _complaint(reader: Reader, data: bytes) -> str:
    """What is wrong with how a document was taken; empty when it was read, or refused as it should be."""
    words = ""
    began = time.process_time()
    try:
        with _no_hang():
            reader.read(data)
    except KokoroLabError as error:
        words = _about(error)
    except HangError:
        words = f"it is still being read after {HANG_S:.0f} s"
    except Exception as error:
        words = f"{type(error).__name__}: {str(error)[:200]}"
    took = time.process_time() - began
    return words or (f"it took {took:.1f} s" if took > LONGEST_S else "")


def _about(error: KokoroLabError) -> str:
    wrong = [f"the message has {word!r}" for word in LIBRARY_WORDS if word in error.message]
    if len(error.message) > LONGEST_MESSAGE:
        wrong.append(f"the message has {len(error.message):,} characters")
    if error.exit_code != 2:
        wrong.append(f"{type(error).__name__} has exit code {error.exit_code}")
    return "; ".join(wrong) + (f" ({error.message[:200]})" if wrong else "")


@contextmanager
def _no_hang() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def give_up(*_: object) -> None:
        raise HangError

    before = signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, HANG_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)


def _as_yaml(document: Any) -> str:
    return yaml.safe_dump(document, allow_unicode=True, sort_keys=False)


ATTACKS = (
    Attack(
        "YAML documents",
        "mutated plans, budgets, claims and recipes are read, or refused in one sentence with exit code 2, in 2 s",
        2_000,
        150,
        partial(_attack, yaml_readers, _as_yaml),
    ),
    Attack(
        "JSON records",
        "mutated records of models, tuning, environments, jobs and caches are read, refused, or taken for none, in 2 s",
        2_000,
        150,
        partial(_attack, json_readers, json.dumps),
    ),
    Attack(
        "notebooks",
        "mutated notebooks are read, or refused before anything is executed, in 2 s",
        300,
        30,
        partial(_attack, notebook_readers, json.dumps),
    ),
)
