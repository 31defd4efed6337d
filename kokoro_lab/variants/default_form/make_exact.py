"""Makes the exact form of a model: the form on compiled kernels that `Engine.load` takes in place of the default model.

A published file is imported first, because recipes start from our own graph. The variant is written, pre-optimised for
this machine and verified, in this order: an engine uses it only once the record of its verification is there, so that a
process that is killed meanwhile leaves nothing that is used. The next one removes its temporary files and goes on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from kokoro_lab.errors import BusyError, KokoroLabError, ModelError
from kokoro_lab.files.locking import locked
from kokoro_lab.files.reading import reason
from kokoro_lab.files.scratch import remove_abandoned
from kokoro_lab.kernels.library import choose
from kokoro_lab.models.catalog import ModelFile, models_folder, resolve
from kokoro_lab.models.files.model_record import ADVICE, read_record
from kokoro_lab.models.graph.architecture import architecture_named
from kokoro_lab.models.verification_records import vouched
from kokoro_lab.runtime.exact.exact_form import (
    RECIPE,
    exact_form,
    forget_failure,
    is_exact,
    made_forms,
    plain_source,
    preparation_lock,
    record_failure,
)
from kokoro_lab.runtime.exact.form_preparation import no_room
from kokoro_lab.variants.make import adopt, make
from kokoro_lab.variants.make_preoptimized import preoptimized
from kokoro_lab.variants.model_verification import verify_model

__all__ = ["PreparedForm", "prepare_form"]

Notice = Callable[[str], None]


@dataclass(frozen=True)
class PreparedForm:
    """What a model is spoken with from now on, where it is the default."""

    source: ModelFile
    model: ModelFile
    """The exact form, or the source itself."""
    reason: str
    """Why it is not the exact form; empty where it is."""


def prepare_form(name: str = "default", *, wait: bool = True, notice: Notice | None = None) -> PreparedForm:
    """Make the exact form of the model `name` with its pre-optimised file, unless they exist.

    Without compiled kernels, the model itself is pre-optimised. Raises what `resolve` raises; BusyError when another
    process makes it and `wait` is off; ModelError where it cannot be made, which is remembered until the next call.
    """
    say = notice or (lambda _: None)
    source = resolve(name, notice=notice)

    def busy() -> KokoroLabError:
        return BusyError(f"another process prepares {source.name}; wait until it has ended")

    lock = preparation_lock(source)
    with locked(lock, timeout_s=-1 if wait else 0, busy=busy, error=ModelError, advice=ADVICE):
        forget_failure(source)
        form = exact_form(source)
        if form.model is not None and not form.preparable:
            return PreparedForm(source, form.model, "")
        if obstacle := no_room(source):
            raise ModelError(f"the exact form of {source.name} cannot be made: {obstacle}; make room, and repeat this")
        try:
            if choose().path is None:
                preoptimized(source)
                return PreparedForm(source, source, form.reason)
            return PreparedForm(source, _made(source, say), "")
        except OSError as error:
            failure = ModelError(f"cannot write the exact form of {source.name}: {reason(error)}; {ADVICE}")
            _remember(source, failure)
            raise failure from error
        except KokoroLabError as error:
            _remember(source, error)
            raise


def _remember(source: ModelFile, failure: KokoroLabError) -> None:
    """Keep later processes from trying by themselves what fails for another reason than a lack of room."""
    if not no_room(source):
        record_failure(source, failure.message.partition(";")[0])


def _made(source: ModelFile, say: Notice) -> ModelFile:
    """The exact form, made, pre-optimised and verified as far as it is not yet."""
    plain = _plain(source, say)
    if vouched(plain) != "equivalent":
        raise ModelError(f"nothing says that {plain.name} is right; verify it with `kokoro-lab models verify` first")
    existing = next(made_forms(plain), None)
    if existing is None:
        say(f"making the exact form of {plain.name} on compiled kernels, once")
        _refuse_to_replace(f"{plain.name}-{RECIPE}")
        remove_abandoned(models_folder(), f".{plain.name}-{RECIPE}.onnx.")
        (existing,) = make(plain.name, RECIPE, notice=say)
    preoptimized(existing)
    if not is_exact(existing):
        say(f"comparing {existing.name} with {plain.name}")
        found = verify_model(existing, plain.name, notice=say)
        say(f"{existing.name} compared with {plain.name}: {found.result.verdict}")
    if not is_exact(existing):
        raise ModelError(f"{existing.name} is not exact; compare it with `kokoro-lab models verify {existing.name}`")
    return existing


def _plain(source: ModelFile, say: Notice) -> ModelFile:
    """The graph of ours with the weights of `source`: itself, or what is imported from it."""
    plain = plain_source(source)
    if plain is not source or source.weights != "published":
        return plain
    name = f"{source.name}-imported"
    if (models_folder() / f"{name}.onnx").exists():
        raise ModelError(
            f"{name} was not imported from {source.name}; remove it with `kokoro-lab models remove {name}`"
        )
    say(f"importing {source.name} as {name}: variants start from a graph of this program")
    return adopt(source.path, name, arch=architecture_named(source.architecture), notice=say)[0]


def _refuse_to_replace(name: str) -> None:
    """Raise ModelError where a model of another recipe has the name of the exact form."""
    path = models_folder() / f"{name}.onnx"
    recipe = (read_record(path) or {}).get("recipe") or {}
    if path.exists() and read_record(path) is not None and recipe.get("name") != RECIPE:
        raise ModelError(f"{name} is a model of its own; remove it with `kokoro-lab models remove {name}`")
