"""Hostile files given to the command line: one sentence, the documented exit code, and nothing unexpected."""

from __future__ import annotations

import json
import os
import shutil
import zipfile
from pathlib import Path

import hostile_models
import numpy as np
import onnx
import pytest

from kokoro_lab.cli import run
from kokoro_lab.models.catalog import models_folder, resolve
from kokoro_lab.models.voices import voices_folder


@pytest.fixture(scope="module")
def tiny() -> Path:
    return resolve("tiny").path


@pytest.fixture(autouse=True)
def home(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KOKORO_LAB_HOME", str(tmp_path / "home"))
    models_folder().mkdir(parents=True)
    for suffix in (".onnx", ".json"):
        shutil.copy2(tiny.with_suffix(suffix), models_folder())
    monkeypatch.chdir(tmp_path)


def hostile_files(folder: Path) -> dict[str, str]:
    """Name -> path of a file that is no model or voice."""
    folder.mkdir(exist_ok=True)
    paths = {name: folder / name for name in ("empty", "text", "zip", "pipe", "folder", "loop", "sparse", "cut")}
    paths["empty"].touch()
    paths["text"].write_text("<html>not found</html>")
    with zipfile.ZipFile(paths["zip"], "w", zipfile.ZIP_DEFLATED) as entries:
        entries.writestr("a/data.pkl", bytes(1 << 22))
    os.mkfifo(paths["pipe"])
    paths["folder"].mkdir()
    paths["loop"].symlink_to(paths["loop"])
    with paths["sparse"].open("wb") as stream:
        stream.truncate(1 << 40)
    paths["cut"].write_bytes(hostile_models.plain().SerializeToString()[:-40])
    return {
        **{name: str(path) for name, path in paths.items()},
        "device": "/dev/zero",
        "missing": str(folder / "missing"),
        "long": "x" * 5000 + "/y",
        "user": "~nosuchuser/x",
    }


NAMES = (
    "empty", "text", "zip", "pipe", "folder", "loop", "sparse", "cut", "device", "missing", "long", "user",
)  # fmt: skip


def one_sentence(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> str:
    """The sentence of a command that must fail."""
    assert run(arguments) in {2, 5}
    words = capsys.readouterr().err
    assert "unexpected" not in words.lower() and "Traceback" not in words
    last = words.strip().splitlines()[-1]
    assert last.startswith("kokoro-lab: ") and ";" in last
    return last


@pytest.mark.parametrize("name", NAMES)
def test_models_and_voices_that_are_none_are_refused(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = hostile_files(tmp_path / "files")[name]
    one_sentence(capsys, ["say", "Hello.", "-o", "x.wav", "--model", file])
    one_sentence(capsys, ["models", "import", file, "--name", "mine"])
    one_sentence(capsys, ["models", "verify", file])
    for suffix in ("", "#af_heart"):
        one_sentence(capsys, ["say", "Hello.", "-o", "x.wav", "--model", "tiny", "--voice", f"{file}{suffix}"])
    if name in {"empty", "text", "zip", "sparse", "cut"}:
        for suffix in (".pth", ".pt", ".npz", ".npy", ".bin"):
            Path(file).rename(f"{file}{suffix}")
            one_sentence(capsys, ["models", "import", f"{file}{suffix}", "--name", "mine"])
            if suffix != ".pth":
                one_sentence(capsys, ["say", "Hello.", "-o", "x.wav", "--model", "tiny", "--voice", f"{file}{suffix}"])
            Path(f"{file}{suffix}").rename(file)


@pytest.mark.parametrize("name", ["function_bomb", "nested_if", "giant_constant", "cyclic_graph", "unknown_operator"])
def test_a_hostile_graph_is_refused_in_one_sentence(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "hostile.onnx"
    path.write_bytes(hostile_models.HOSTILE[name]().SerializeToString())
    one_sentence(capsys, ["say", "Hello.", "-o", "x.wav", "--model", str(path)])
    one_sentence(capsys, ["models", "import", str(path), "--name", "mine"])
    one_sentence(capsys, ["models", "verify", str(path)])


def test_folders_of_junk_are_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = {name: Path(file) for name, file in hostile_files(tmp_path / "files").items()}
    for folder, suffixes in ((models_folder(), (".onnx",)), (voices_folder(), (".bin", ".pt"))):
        folder.mkdir(parents=True, exist_ok=True)
        for name, file in files.items():
            for suffix in suffixes:
                if len(str(file)) < 4000:
                    (folder / f"{name}{suffix}").symlink_to(file)
        (folder / f"escape\x1b[2J{suffixes[0]}").write_bytes(b"x")
        (folder / os.fsdecode(b"raw\xff" + suffixes[0].encode())).write_bytes(b"x")
    np.savez(voices_folder() / "good", af_good=np.zeros((510, 1, 256), np.float32))
    (voices_folder() / "good.npz").rename(voices_folder() / "good.bin")
    for command in (["voices"], ["models", "list"], ["voices", "--json"], ["models", "list", "--json"]):
        assert run(command) == 0
        text = capsys.readouterr()
        assert "\x1b[2J" not in text.out and "unexpected" not in text.err.lower()
        if command == ["voices", "--json"]:
            rows = {row["name"]: row for row in json.loads(text.out)["voices"]}
            assert rows["good"]["weights"] == "imported" and rows["good"]["error"] is None
            assert "files/zip" in rows["zip"]["error"] or "zip.bin" in rows["zip"]["error"]
            assert len(rows) == 54 + 6  # what is no regular file is no voice


@pytest.mark.parametrize(
    "command",
    [
        ["models", "verify", "forged.onnx", "--against", "tiny"],
        ["models", "verify", "tiny", "--against", "forged.onnx"],
        ["models", "quantize", "forged.onnx", "--name", "mine"],
        ["models", "optimize", "forged.onnx", "--name", "mine"],
        ["models", "optimize", "forged.onnx", "--kernels", "--name", "mine"],
    ],
)
def test_a_file_that_pretends_to_be_ours_is_refused(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    model = hostile_models.plain()
    onnx.helper.set_model_props(model, {"kokoro_lab.architecture": "tiny", "kokoro_lab.weights": "stand-in"})
    Path("forged.onnx").write_bytes(model.SerializeToString())
    one_sentence(capsys, command)
    assert [path.stem for path in models_folder().glob("*.onnx")] == ["tiny"]
