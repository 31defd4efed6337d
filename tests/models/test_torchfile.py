"""PyTorch files are read without PyTorch, and without running what they hold."""

from __future__ import annotations

import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
from torch_archive import save_object, save_tensor

from kokoro_lab.errors import ModelError
from kokoro_lab.models.torchfile import read_torch_file


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
    with pytest.raises(ModelError, match="2 GiB"):
        read_torch_file(tmp_path / "bomb.pt")


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04 broken"])
def test_a_foreign_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "foreign.pt"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"foreign\.pt"):
        read_torch_file(path)
