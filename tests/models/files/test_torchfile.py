"""PyTorch files are read without PyTorch, and without running what they hold."""

from __future__ import annotations

import os
import pickle
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from torch_archive import save_object, save_tensor

from kokoro_lab.errors import ModelError
from kokoro_lab.files.zip_archives import Archive
from kokoro_lab.models.files.torchfile import read_torch_file


def test_nested_state_dicts_come_back_as_arrays(tmp_path: Path) -> None:
    content = {
        "bert": {"module.w": np.arange(6, dtype=np.float32).reshape(2, 3)},
        "decoder": {"module.b": np.ones(4, "f4")},
    }
    save_object(tmp_path / "state.pth", content)
    read = read_torch_file(tmp_path / "state.pth")
    np.testing.assert_array_equal(read["bert"]["module.w"], content["bert"]["module.w"])
    np.testing.assert_array_equal(read["decoder"]["module.b"], content["decoder"]["module.b"])


def test_a_transposed_tensor_keeps_its_order(tmp_path: Path) -> None:
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    save_tensor(tmp_path / "t.pt", array.T)
    # the archive stores the bytes of the view in its own order, so strides and bytes belong together
    assert read_torch_file(tmp_path / "t.pt").shape == (3, 2)


class _Caller:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch harmed",)


def test_a_pickle_that_calls_something_is_refused_and_calls_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with zipfile.ZipFile("evil.pt", "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(_Caller(), protocol=2))
    with pytest.raises(ModelError, match="system"):
        read_torch_file(Path("evil.pt"))
    assert not Path("harmed").exists()


def test_a_tensor_that_reaches_beyond_its_storage_is_refused(tmp_path: Path) -> None:
    save_tensor(tmp_path / "whole.pt", np.ones(100, np.float32))
    with zipfile.ZipFile(tmp_path / "whole.pt") as whole, zipfile.ZipFile(tmp_path / "cut.pt", "w") as cut:
        cut.writestr("archive/data.pkl", whole.read("archive/data.pkl"))
        cut.writestr("archive/data/0", whole.read("archive/data/0")[:40])
    with pytest.raises(ModelError, match="truncated"):
        read_torch_file(tmp_path / "cut.pt")


def test_a_small_storage_shown_as_a_huge_tensor_is_refused(tmp_path: Path) -> None:
    save_tensor(tmp_path / "bomb.pt", np.ones(4, np.float32), shown=(1 << 20, 1 << 12))
    assert (tmp_path / "bomb.pt").stat().st_size < 2_000
    with pytest.raises(ModelError, match="take more than"):
        read_torch_file(tmp_path / "bomb.pt")


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04 broken"])
def test_a_foreign_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "foreign.pt"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"foreign\.pt"):
        read_torch_file(path)


def program(path: Path, instructions: bytes, **storages: bytes) -> Path:
    """An archive with that pickle."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", instructions)
        for name, data in storages.items():
            archive.writestr(f"archive/data/{name}", data)
    return path


@pytest.mark.parametrize(
    ("instructions", "problem"),
    [
        (b"\x80\x02}K\x01" + b"q\x01h\x01\x86" * 200 + b"K\x01s.", "keys are no names"),  # for ever to hash
        (b"\x80\x02]" + b"2" * 100_000 + b".", "instruction DUP"),
        (b"\x80\x02" + b"N0" * 10, "instruction POP"),
        (b"\x80\x02" + b"N" * 300_000 + b".", "more instructions"),
        (b"\x80\x02" + b"N" * 2_000_000 + b".", "description of more than"),
        (b"\x80\x02ctorch\nFloatStorage\n}X\x01\0\0\0aK\x01sb.", "attributes of what is no dict"),
        (b"\x80\x02ctorch._utils\n_rebuild_parameter\nN}X\x01\0\0\0aK\x01s\x86b.", "attributes of what is no dict"),
        (
            b"\x80\x02(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpu\x8b\xff\xff\xff\x7ftQ.",
            "damaged or of another kind",
        ),
        (b"\x80\x02\x96\xff\xff\xff\xff\xff\0\0\0.", "damaged or of another kind"),
        (b"\x80\x02X\xff\xff\xff\x7fa.", "damaged or of another kind"),
        (b"\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\x7f.", "damaged or of another kind"),
        (b"\x80\x02cos\nsystem\nX\x02\0\0\0ls\x85R.", "os.system"),
        (b"\x80\x02.", "damaged or of another kind"),
        (b"", "damaged or of another kind"),
    ],
)
def test_a_program_of_another_kind_is_refused_at_once(tmp_path: Path, instructions: bytes, problem: str) -> None:
    began = time.process_time()
    path = program(tmp_path / "odd.pt", instructions)
    with pytest.raises(ModelError, match=problem) as caught:
        read_torch_file(path)
    assert ";" in caught.value.message
    assert time.process_time() - began < 2.0


def test_a_memo_of_two_billion_places_of_which_one_is_used_takes_no_memory(tmp_path: Path) -> None:
    assert read_torch_file(program(tmp_path / "memo.pt", b"\x80\x02]r\xff\xff\xff\x7f.")) == []


def test_a_storage_is_inflated_once_for_all_its_tensors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reference = b"(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpuJ\0\0\0\x01tQ"
    view = b"ctorch._utils\n_rebuild_tensor_v2\n(" + reference + b"K\0J\0\0\0\x01\x85K\x01\x85\x89}tR"
    path = program(tmp_path / "shared.pt", b"\x80\x02](" + view * 5 + b"e.", **{"0": bytes(4 << 24)})
    reads: list[str] = []
    read = Archive.read
    monkeypatch.setattr(Archive, "read", lambda self, name: reads.append(name) or read(self, name))
    tensors = read_torch_file(path)
    assert [tensor.shape for tensor in tensors] == [(1 << 24,)] * 5
    assert reads == ["archive/data.pkl", "archive/data/0"]
    assert all(np.shares_memory(tensor, tensors[0]) for tensor in tensors)
    many = program(tmp_path / "many.pt", b"\x80\x02](" + view * 20 + b"e.", **{"0": bytes(4 << 24)})
    with pytest.raises(ModelError, match="tensors take more than 419,430,400 bytes"):
        read_torch_file(many)


@pytest.mark.parametrize("name", ["/dev/zero", "pipe", "folder", "sparse", "loop"])
def test_what_is_no_file_of_a_checkpoints_size_is_refused_at_once(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name == "pipe":
        os.mkfifo(path)
    elif name == "folder":
        path.mkdir()
    elif name == "loop":
        path.symlink_to(path)
    elif name == "sparse":
        with path.open("wb") as stream:
            stream.truncate(1 << 42)
    with pytest.raises(ModelError, match=r"not a regular file|cannot be opened|has 4,398,046,511,104 bytes"):
        read_torch_file(path)
