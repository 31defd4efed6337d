from __future__ import annotations

import codecs
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kokoro_lab.errors import InputError
from kokoro_lab.text.decoding import decoded
from kokoro_lab.text.markup import passages

BODY = "<speak>café</speak>"
NAMES = [
    "UTF-8",
    "utf8",
    "UTF-16",
    "utf-16le",
    "ISO-8859-1",
    "latin-1",
    "windows-1252",
    "us-ascii",
    "nosuch",
    "rot13",
    "zlib",
]


def document(encoding: str, body: str = BODY) -> str:
    return f'<?xml version="1.0" encoding="{encoding}"?>{body}'


def text(document: str | bytes) -> str:
    written = decoded(document, what="the file") if isinstance(document, bytes) else document
    return "".join(passage.text for passage in passages(written))


@pytest.mark.parametrize("encoding", NAMES)
def test_a_string_is_read_whatever_encoding_it_declares(encoding: str) -> None:
    assert text(document(encoding)) == "café"


@pytest.mark.parametrize("data", [
    BODY.encode(),
    codecs.BOM_UTF8 + BODY.encode(),
    document("UTF-8").encode(),
    codecs.BOM_UTF8 + document("UTF-8").encode(),
    document("ISO-8859-1").encode("latin-1"),
    document("latin-1").encode("latin-1"),
    document("windows-1252").encode("cp1252"),
    document("UTF-16").encode("utf-16"),
    codecs.BOM_UTF16_BE + document("UTF-16").encode("utf-16-be"),
    codecs.BOM_UTF16_LE + BODY.encode("utf-16-le"),
    document("UTF-16").encode("utf-16-le"),
    document("UTF-16LE").encode("utf-16-le"),
    document("UTF-16BE").encode("utf-16-be"),
])  # fmt: skip
def test_bytes_are_read_by_their_mark_or_their_declaration(data: bytes) -> None:
    assert text(data) == "café"


@pytest.mark.parametrize(("data", "says"), [
    (document("nosuch").encode(), "'nosuch', which is not supported; convert it to UTF-8"),
    (document("rot13").encode(), "not supported"),
    (document("zlib").encode(), "not supported"),
    (document("iso-8859-99").encode(), "does not exist"),
    (document("x" * 90).encode(), "not supported"),
    (document("UTF-16").encode(), "but is in an encoding of single bytes"),
    (document("UTF-8").encode("utf-16"), "but is in UTF-16"),
    (document("latin-1").encode("utf-16"), "but is in UTF-16"),
    (codecs.BOM_UTF8 + document("latin-1").encode(), "but is in UTF-8"),
    (document("UTF-16BE").encode("utf-16-le"), "but is in UTF-16"),
    (document("UTF-8").encode("latin-1"), "is not UTF-8 text"),
    (document("us-ascii").encode(), "is not us-ascii text"),
    (BODY.encode("latin-1"), "is not UTF-8 text"),
    (codecs.BOM_UTF16_LE + b"<", "is not UTF-16 text"),
])  # fmt: skip
def test_an_encoding_that_is_unknown_or_not_that_of_the_bytes_is_named(data: bytes, says: str) -> None:
    with pytest.raises(InputError, match=re.escape(says)) as caught:
        decoded(data, what="the file")
    assert len(caught.value.message) < 200


@settings(max_examples=300)
@given(
    st.sampled_from([b"", codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE]),
    st.one_of(st.sampled_from(NAMES), st.text(max_size=30)),
    st.sampled_from(["utf-8", "utf-16-le", "utf-16-be", "cp037"]),
    st.binary(max_size=20),
)
def test_any_bytes_are_text_or_refused(mark: bytes, declared: str, encoding: str, tail: bytes) -> None:
    data = mark + document(declared, "").encode(encoding, "ignore") + tail
    try:
        assert isinstance(decoded(data, what="the file"), str)
    except InputError as error:
        assert error.message.startswith("the file ")


@settings(max_examples=200)
@given(st.text().filter(lambda text: not text.startswith("\ufeff")))
def test_plain_text_in_utf_8_stays_as_it_is(plain: str) -> None:
    data = plain.encode("utf-8", "ignore")
    if not data.startswith((b"<", b"\x00")) and "<?xml" not in plain:
        assert decoded(data, what="the file").encode() == data
