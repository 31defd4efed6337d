"""URLs, e-mail addresses and file names written out as people read them aloud."""

from __future__ import annotations

import re

from kokoro_lab.text.rules import Rule, rule

__all__ = ["ADDRESSES"]

_DOMAINS = "com|org|net|io|dev|edu|gov|co|ai|uk|de|fr|jp|app|info|eu|us|ca|au|me|tv"
_MARKS = {
    ".": "dot", "/": "slash", "-": "dash", "_": "underscore", "@": "at", "+": "plus", ":": "colon", "=": "equals",
    "?": "question mark", "&": "and", "#": "hash", "%": "percent", "~": "tilde",
}  # fmt: skip
_PARTS = re.compile(r"[^\W\d_]+|\d+|[^\w\s]|_")


def _url(match: re.Match[str], british: bool) -> str:
    address = match[0].rstrip(".,;:!?'\")")
    return _read(re.sub(r"^https?://", "", address, flags=re.IGNORECASE).rstrip("/")) + match[0][len(address) :]


def _email(match: re.Match[str], british: bool) -> str:
    return _read(match[0])


def _file(match: re.Match[str], british: bool) -> str:
    return f"{match['name']} dot {match['suffix']}"


def _read(address: str) -> str:
    words = (_MARKS.get(part, part) for part in _PARTS.findall(address))
    return " ".join("w w w" if word.lower() == "www" else word for word in words)


ADDRESSES: tuple[Rule, ...] = (
    rule(r"[\w.+-]{1,64}@[\w-]{1,64}(?:\.[\w-]{1,64})+", _email),
    rule(r"(?:https?://|www\.)[^\s<>\"“”]+", _url, re.IGNORECASE),
    rule(rf"(?<![\w@.-])(?:[A-Za-z0-9-]{{1,64}}\.)+(?:{_DOMAINS})(?:[/?#][^\s<>\"“”]*)?(?![\w-]|\.\w)", _url),
    rule(r"(?<![\w.])(?P<name>[A-Za-z_][\w-]+)\.(?P<suffix>[a-z][a-z0-9]{1,4})(?![\w-]|\.\w)", _file),
)
"""Ordered from the longest form to the shortest."""
