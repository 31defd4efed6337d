"""Signals at any moment of a command: one sentence, the documented exit code, and nothing half made."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import time
import wave
from pathlib import Path

import pytest
from patience import PATIENCE_S

from kokoro_lab.process.signals import ENDING, Interruption, interruptible, interruption_of

COMMAND = (sys.executable, "-m", "kokoro_lab")
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
PROGRAM = (
    "import sys, time\n"
    "from kokoro_lab.process.signals import command\n"
    "def run():\n"
    "    try:\n"
    "        print('ready', flush=True)\n"
    "        time.sleep(600)\n"
    "    finally:\n"
    "        print('cleaned', flush=True)\n"
    "        time.sleep(float(sys.argv[1]))\n"
    "command(run)\n"
)


def start(*words: str, **variables: str) -> subprocess.Popen[str]:
    """A process that does not ignore interrupts, as those that a shell starts in the background do."""
    return subprocess.Popen(
        words,
        env={**os.environ, **variables},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: [signal.signal(number, signal.SIG_DFL) for number in SIGNALS] and None,
    )


@pytest.mark.parametrize("number", SIGNALS)
def test_each_signal_cleans_up_and_ends_with_its_code_and_a_sentence(number: signal.Signals) -> None:
    with start(sys.executable, "-c", PROGRAM, "0") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        out, err = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, out) == (128 + number, "cleaned\n")
    assert (
        err == f"kokoro-lab: {ENDING[number].capitalize() if number == signal.SIGINT else 'E' + ENDING[number][1:]}.\n"
    )


def test_a_second_signal_ends_at_once() -> None:
    with start(sys.executable, "-c", PROGRAM, "600") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == "cleaned\n"
        process.send_signal(signal.SIGTERM)  # another one: a service manager sends several
        time.sleep(0.2)
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE_S) == 130


def test_what_is_ignored_stays_ignored() -> None:
    code = (
        "import os, signal\n"
        "signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        "from kokoro_lab.process.signals import command\n"
        "command(lambda: os.kill(os.getpid(), signal.SIGHUP) or 3)\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=PATIENCE_S).returncode == 3


def test_an_interruption_is_known_in_every_disguise() -> None:
    def disguised(error: BaseException) -> Exception:
        try:
            try:
                raise error
            except BaseException as cause:
                raise ImportError("cannot import") from cause
        except ImportError as disguise:
            return disguise

    known = interruption_of(disguised(Interruption(signal.SIGTERM, "do this")))
    assert known is not None
    assert (known.exit_code, known.message) == (143, "ended by SIGTERM; do this")
    plain = interruption_of(disguised(KeyboardInterrupt()))
    assert plain is not None
    assert (plain.exit_code, plain.message) == (130, "interrupted")
    assert interruption_of(disguised(ValueError())) is None


def test_inside_another_program_only_default_handlers_are_replaced_and_put_back() -> None:
    before = {number: signal.getsignal(number) for number in SIGNALS}
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        with pytest.raises(Interruption) as caught, interruptible():
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(5)
        assert caught.value.number == signal.SIGTERM
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
        assert signal.getsignal(signal.SIGINT) is before[signal.SIGINT]
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def trial(chance: random.Random, folder: Path, words: tuple[str, ...], usual: int, longest_s: float) -> list[str]:
    """Send a random signal at a random moment of a command; what is wrong with how it ended.

    `usual`: the exit code without a signal, which may come too late.
    """
    number, after_s = chance.choice(SIGNALS), chance.random() * longest_s
    with start(*COMMAND, *words) as process:
        time.sleep(after_s)
        process.send_signal(number)
        try:
            err = process.communicate(timeout=PATIENCE_S)[1]
        except subprocess.TimeoutExpired:
            process.kill()
            return [f"{words} hangs {after_s:.2f} s after its start and signal {number}"]
    wrong = []
    if process.returncode not in (usual, 128 + number, -number):  # the last: before Python had begun to run our code
        wrong.append(f"exit code {process.returncode}")
    if "Traceback" in err and "site" not in err and "runpy" not in err:
        wrong.append("a traceback")
    if process.returncode == 128 + number and not re.search(r"kokoro-lab: [^\n]*\.\n\Z", err):
        wrong.append("no sentence at the end")
    wrong += [f"{path} is left" for path in folder.rglob("*.part")]
    for path in folder.rglob("*.wav"):
        with wave.open(str(path)) as audio:  # it is whole, or not there
            wrong += [f"{path} is cut off"] if audio.getnframes() * 2 + 44 > path.stat().st_size else []
    return [f"{words}, signal {number} after {after_s:.3f} s: {', '.join(wrong)}; {err[-300:]}"] if wrong else []


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["say", "stream", "build", "list", "import"])
def test_signals_at_random_moments(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if kind == "build":
        monkeypatch.setenv("KOKORO_LAB_HOME", str(tmp_path))
    audio, text = str(tmp_path / "a.wav"), "This is a sentence. " * 20
    junk = tmp_path / "junk.onnx"
    junk.write_bytes(b"\x08\x07" + bytes(range(256)) * 50)
    words = {
        "say": ("say", text, "-o", audio, "--model", "tiny"),
        "stream": ("say", text, "-o", audio, "--model", "tiny", "--stream"),
        "build": ("models", "build", "tiny"),
        "list": ("models", "list"),
        "import": ("models", "import", str(junk), "--name", "junk"),
    }[kind]
    chance = random.Random(kind)
    began = time.monotonic()
    usual = subprocess.run([*COMMAND, *words], capture_output=True, check=False).returncode
    whole = time.monotonic() - began
    (tmp_path / "a.wav").unlink(missing_ok=True)
    failures = [problem for _ in range(8) for problem in trial(chance, tmp_path, words, usual, whole)]
    assert failures == []


def test_an_interruption_inside_a_destructor_prints_nothing() -> None:
    code = (
        "import os, signal\n"
        "from kokoro_lab.process.signals import command\n"
        "class Ends:\n"
        "    def __del__(self):\n"
        "        os.kill(os.getpid(), signal.SIGTERM)\n"
        "        sum(range(1000))\n"
        "def run():\n"
        "    ends = Ends()\n"
        "    del ends\n"
        "    return 0\n"
        "command(run)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert (done.returncode, done.stderr) == (0, "")
