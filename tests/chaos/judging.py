"""What a finished command must look like, whatever was done to it."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

__all__ = ["DOCUMENTED", "Ended", "complaints"]

DOCUMENTED = frozenset({0, 1, 2, 3, 4, 5, 129, 130, 143})
"""Every exit code that the command line documents."""

CRASHES = (
    "Traceback (most recent call last)",
    "Unexpected ",
    "unexpected ",
    "panicked",
    "Fatal Python error",
    "core dumped",
    "Exception ignored",
    "terminate called",
)
"""Words that only a failure that nobody expected prints."""

SENTENCE = re.compile(r"^kokoro-lab: (.*)$", re.MULTILINE)
ADVICE_LIMIT = 800
"""Characters of a sentence; a longer one repeats the text of a library."""


@dataclass(frozen=True)
class Ended:
    """A command that has ended."""

    code: int
    """As a shell shows it: 128 and the signal's number where a signal ended it."""
    stdout: str
    stderr: str

    @classmethod
    def of(cls, returncode: int, stdout: bytes, stderr: bytes) -> Ended:
        """The command with the return code that `subprocess` gives, which is negative after a signal."""
        code = 128 - returncode if returncode < 0 else returncode
        return cls(code, stdout.decode(errors="replace"), stderr.decode(errors="replace"))

    @property
    def sentences(self) -> list[str]:
        """The errors that it printed."""
        return SENTENCE.findall(self.stderr)

    @property
    def tail(self) -> str:
        """The end of its standard error, for a failure's description."""
        return " / ".join(self.stderr.strip().splitlines()[-3:])[-400:] or "nothing on standard error"


def complaints(ended: Ended, codes: Collection[int]) -> list[str]:
    """Everything that is wrong with the end of a command that may end with these codes; empty when nothing is.

    A command that failed prints exactly one sentence beside its notices, one that did not prints none.
    """
    wrong = []
    if ended.code not in codes:
        wrong.append(f"exit code {ended.code}, not {' or '.join(map(str, sorted(codes)))} ({ended.tail})")
    elif ended.code not in DOCUMENTED:
        wrong.append(f"exit code {ended.code} is not documented")
    wrong += [f"{word.strip()!r} on standard error ({ended.tail})" for word in CRASHES if word in ended.stderr]
    expected = 0 if ended.code == 0 else 1
    if len(ended.sentences) != expected:
        wrong.append(f"{len(ended.sentences)} error sentences after exit code {ended.code} ({ended.tail})")
    wrong += [f"a sentence of {len(words)} characters" for words in ended.sentences if len(words) > ADVICE_LIMIT]
    return wrong
