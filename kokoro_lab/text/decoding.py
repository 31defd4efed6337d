"""Bytes to text: by their byte order mark, else by the encoding that an XML declaration names, else as UTF-8."""

from __future__ import annotations

import codecs
import re

from kokoro_lab.errors import InputError

__all__ = ["decoded"]

_BYTE_ORDER_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_BEGINNINGS = (("<?".encode("utf-16-le"), "utf-16-le"), ("<?".encode("utf-16-be"), "utf-16-be"))
"""How an XML document in UTF-16 begins where it has no byte order mark."""
_DECLARED = re.compile(r"""\s*<\?xml\s[^>]{0,200}?encoding\s*=\s*["']([^"']{1,100})["']""")
_SUPPORTED = re.compile(
    r"utf-?(?:8|16(?:-?[lb]e)?)|(?:us-)?ascii|latin-?1|iso-8859-\d{1,2}|windows-125\d", re.IGNORECASE
)
"""Of Python's codecs, those that documents are in; others (rot13, zlib, idna) are no encodings of text."""
_UTF_16 = re.compile(r"utf-?16", re.IGNORECASE)


def decoded(data: bytes, *, what: str) -> str:
    """The text in `data`, an XML document or plain text in UTF-8.

    Raises InputError, with `what` as its subject, for an encoding that is unknown, or that is not the one of the bytes.
    """
    mark, encoding = _recognized(data)
    body = data[len(mark) :]
    declared = _DECLARED.match(body[:1_000].decode(encoding or "latin-1", "replace"))
    if declared:
        encoding = _agreed(declared[1], encoding, what)
    encoding = encoding or "utf-8"
    try:
        return body.decode(encoding)
    except UnicodeDecodeError as problem:
        name = declared[1] if declared else encoding.upper()[: len("UTF-16")]
        raise InputError(f"{what} is not {name} text; convert it to UTF-8 first") from problem


def _recognized(data: bytes) -> tuple[bytes, str]:
    """(byte order mark, encoding) of bytes that tell it themselves; empty where they do not."""
    for mark, encoding in _BYTE_ORDER_MARKS:
        if data.startswith(mark):
            return mark, encoding
    for beginning, encoding in _BEGINNINGS:
        if data.startswith(beginning):
            return b"", encoding
    return b"", ""


def _agreed(declared: str, recognized: str, what: str) -> str:
    """The Python codec for a declared encoding, checked against the encoding that the bytes tell of themselves."""
    if not _SUPPORTED.fullmatch(declared):
        raise InputError(f"{what} declares the encoding {declared[:40]!r}, which is not supported; convert it to UTF-8")
    try:
        codec = codecs.lookup(declared).name
    except LookupError as problem:  # a number that no code page has, as in ISO-8859-99
        raise InputError(
            f"{what} declares the encoding {declared[:40]!r}, which does not exist; convert it to UTF-8"
        ) from problem
    wide, declared_wide = recognized.startswith("utf-16"), _UTF_16.match(declared) is not None
    fits = codec in {"utf-16", recognized} if recognized else not declared_wide
    if not fits or wide != declared_wide:
        found = {"utf-8": "UTF-8", "": "an encoding of single bytes"}.get(recognized, "UTF-16")
        raise InputError(f"{what} declares the encoding {declared!r} but is in {found}; correct its XML declaration")
    return recognized or codec
