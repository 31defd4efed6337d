"""ONNX files are measured before they are parsed."""

from __future__ import annotations

import io
import time
from pathlib import Path

import hostile_models
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kokoro_lab.errors import ModelError
from kokoro_lab.models.catalog import resolve
from kokoro_lab.models.files.onnxfile import read_onnx
from kokoro_lab.models.files.protobuf_scan import MOST_FIELDS, read_header, scan

PLAIN = hostile_models.plain().SerializeToString()


def test_a_model_passes_and_its_metadata_are_read_without_parsing_it(tmp_path: Path) -> None:
    path = resolve("tiny").path
    scan(path.read_bytes(), "tiny")
    with path.open("rb") as stream:
        header = read_header(stream, "tiny")
    assert header == {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    assert header["kokoro_lab.architecture"] == "tiny"


@given(data=st.data())
def test_what_protobuf_reads_passes_and_what_is_cut_does_not(data: st.DataObject) -> None:
    """Protobuf agrees: whatever the scan lets through is parsed or refused, and nothing that it parses is cut."""
    place = data.draw(st.integers(0, len(PLAIN) - 1))
    mutated = PLAIN[:place] + data.draw(st.binary(max_size=4)) + PLAIN[place + data.draw(st.integers(0, 4)) :]
    try:
        onnx.load_model_from_string(mutated)
    except Exception:
        return  # the scan may pass it: it only measures
    try:
        scan(mutated, "x")
    except ModelError as error:
        assert "truncated or not an ONNX model" in error.message  # groups, which ONNX does not use
        assert any(byte & 7 in {3, 4} for byte in mutated)


def test_two_bytes_that_stand_for_a_message_are_counted(tmp_path: Path) -> None:
    hostile_models.empty_nodes(tmp_path / "bomb.onnx", MOST_FIELDS + 1)
    began = time.process_time()
    with pytest.raises(ModelError, match=r"bomb\.onnx has more than 1,000,000 fields"):
        read_onnx(tmp_path / "bomb.onnx")
    assert time.process_time() - began < 5.0


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "is empty"),
        (b"\x08\x08", "is empty"),
        (b"\x3a\x7f\x0a", "is truncated"),
        (b"\x3a" + b"\xff" * 11, "is truncated"),
        (b"\x0b", "is truncated"),
        (b"\x00\x00", "is truncated"),
        (b"\x72\xff\xff\xff\xff\x07", "is truncated"),
    ],
)
def test_a_damaged_head_is_refused(tmp_path: Path, data: bytes, problem: str) -> None:
    path = tmp_path / "head.onnx"
    path.write_bytes(data)
    with path.open("rb") as stream, pytest.raises(ModelError, match=problem):
        read_header(stream, "head.onnx")


def test_nesting_without_end_is_refused() -> None:
    inner = b""
    for _ in range(60):  # graph, node, attribute, graph: fields 7 or 6, 1 and 5
        for tag in (b"\x32", b"\x2a", b"\x0a"):
            inner = tag + _size(len(inner)) + inner
    with pytest.raises(ModelError, match="nested too deeply"):
        scan(b"\x3a" + _size(len(inner)) + inner, "deep")


def _size(number: int) -> bytes:
    out = io.BytesIO()
    while number > 127:
        out.write(bytes([number & 127 | 128]))
        number >>= 7
    out.write(bytes([number]))
    return out.getvalue()
