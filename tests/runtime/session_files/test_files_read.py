"""The files that a session reads: those that the process of a session has really opened."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import onnx
import pytest

from kokoro_lab.models.catalog import resolve
from kokoro_lab.models.files.onnxfile import read_onnx
from kokoro_lab.runtime.session_files.files_read import files_read
from kokoro_lab.runtime.session_files.native_libraries import native_libraries
from kokoro_lab.runtime.settings import SessionSettings
from kokoro_lab.variants.make import make
from kokoro_lab.variants.make_preoptimized import preoptimized

OPENED = """
import sys
opened = []
sys.addaudithook(lambda event, args: opened.append(str(args[0])) if event == "open" else None)
from kokoro_lab.models.catalog import resolve
from kokoro_lab.runtime.session import Session
from kokoro_lab.runtime.settings import SessionSettings
Session.open(resolve(sys.argv[1]), SessionSettings(preoptimized=True))
print(open("/proc/self/maps").read())
"""


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KOKORO_LAB_HOME", str(tmp_path / "home"))


def test_external_data_are_read_wherever_they_are(tmp_path: Path) -> None:
    path = tmp_path / "apart.onnx"
    model = read_onnx(resolve("tiny").path)
    onnx.save(model, path, save_as_external_data=True, location="weights.bin", size_threshold=1024)
    read = files_read(resolve(str(path)), SessionSettings())
    assert read.model == (path, tmp_path / "weights.bin")
    assert read.kernels == () and read.runtime == native_libraries()


def test_both_halves_of_a_split_model_are_read() -> None:
    make("tiny", "split")
    read = files_read(resolve("tiny-split"), SessionSettings())
    assert [path.name for path in read.model] == ["tiny-split-front.onnx", "tiny-split-back.onnx"]


def test_the_pre_optimised_form_and_its_weights_are_read_where_they_are_asked_for() -> None:
    file = resolve("tiny")
    quick = preoptimized(file)
    assert files_read(file, SessionSettings(preoptimized=False)).model == (file.path,)
    assert files_read(file, SessionSettings(graph_level="basic", preoptimized=True)).model == (file.path,)
    expected = [file.path, quick, *(each for each in (quick.with_suffix(".bin"),) if each.is_file())]
    assert list(files_read(file, SessionSettings(preoptimized=True)).model) == expected


@pytest.mark.skipif(sys.platform != "linux", reason="/proc/self/maps is of Linux")
def test_the_native_libraries_are_those_that_a_session_has_mapped() -> None:
    done = subprocess.run([sys.executable, "-c", OPENED, "tiny"], capture_output=True, text=True, check=True)
    mapped = {line.split(maxsplit=5)[5] for line in done.stdout.splitlines() if line.count(" ") >= 5 and "/" in line}
    loaded = {path for path in mapped if "onnxruntime" in Path(path).name and ".so" in path}
    assert loaded and loaded <= {str(path.resolve()) for path in native_libraries()}
