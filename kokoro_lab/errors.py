"""The tree of errors that the package raises on purpose.

KokoroLabError                  exit 5   something failed
├── InputError                  exit 2   the caller's input cannot be used
│   ├── EmptyTextError                   the text has nothing to speak
│   ├── LanguageError                    unknown language, or its package is missing
│   ├── VoiceError                       unknown or unreadable voice
│   ├── SettingError                     a setting is out of range or of the wrong kind
│   ├── ModelNotFoundError               no model has that name or path
│   └── PlanError                        a sweep plan or job file is malformed
├── PhonemizeError              exit 5   grapheme-to-phoneme conversion failed
├── ModelError                  exit 5   a model file is truncated, corrupted or foreign
├── AudioError                  exit 5   audio could not be written, read or encoded
├── ProviderError               exit 5   the runtime refused a provider or a session
├── InferenceError              exit 5   the model ran and failed
├── WorkerError                 exit 5   a measured process failed
├── StoreError                  exit 5   a results table could not be read or written
├── BusyError                   exit 5   another run is measuring on this machine
├── RegressedError              exit 1   a gate failed, or something regressed
├── InconclusiveError           exit 3   the evidence allows no verdict
└── NothingMeasuredError        exit 4   no rows to judge

A message has one form, "what is wrong; what to do": the first word in lower case (names and code keep their spelling),
no full stop at the end, and what to do after a semicolon, as in "unknown voice 'x'; choose one of a, b". Errors survive
pickling, so that they can cross a process boundary.
"""

from __future__ import annotations

from typing import ClassVar


class KokoroLabError(Exception):
    """Base of the tree; `exit_code` is the exit code of the command line."""

    exit_code: ClassVar[int] = 5

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class InputError(KokoroLabError):
    """The caller's input cannot be used as it is."""

    exit_code = 2


class EmptyTextError(InputError):
    """The text has nothing to speak."""


class LanguageError(InputError):
    """The language is unknown, or its phonemization package is not installed."""


class VoiceError(InputError):
    """The voice is unknown, or its file is not a voice pack."""


class SettingError(InputError):
    """A setting is out of range or of the wrong kind."""


class ModelNotFoundError(InputError):
    """No model has that name, and no file has that path."""


class PlanError(InputError):
    """A sweep plan or a job file is malformed; the message lists every mistake."""


class PhonemizeError(KokoroLabError):
    """Grapheme-to-phoneme conversion failed."""


class ModelError(KokoroLabError):
    """A model file is truncated, corrupted or not a Kokoro model."""


class AudioError(KokoroLabError):
    """Audio could not be written, read or encoded."""


class ProviderError(KokoroLabError):
    """onnxruntime refused a provider or could not create the session."""


class InferenceError(KokoroLabError):
    """The model ran and failed."""


class WorkerError(KokoroLabError):
    """A measured process failed; the message contains its cause."""


class StoreError(KokoroLabError):
    """A results table could not be read or written."""


class BusyError(KokoroLabError):
    """Another run is measuring on this machine."""


class RegressedError(KokoroLabError):
    """A gate failed, or something regressed."""

    exit_code = 1


class InconclusiveError(KokoroLabError):
    """The evidence allows no verdict."""

    exit_code = 3


class NothingMeasuredError(KokoroLabError):
    """There are no rows to judge."""

    exit_code = 4
