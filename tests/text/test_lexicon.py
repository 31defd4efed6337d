"""Lexicon files of other people: bounded, in UTF-8, unambiguous, and never more than pronunciations."""

from __future__ import annotations

import random
import re
import time
from pathlib import Path

import pytest

from kokoro_lab.errors import InputError
from kokoro_lab.text import lexicon as lexicon_module
from kokoro_lab.text.lexicon import Lexicon, load_lexicon

LINK = re.compile(r"\[([^\[\]]+)\]\(/[^/()\[\]\n]+/\)")
PIECES = (
    *("kokoro", "Siobhan", "kˈɔkɔɹO", "é", "e\u0301", "a" * 101, "ʃɪvˈɔn", "[a](/b/)", "(a+)+$", ".*", "\\d", "{2,}"),
    *(
        "\0",
        "\x1b[31m",
        "\u202e",
        "\u200b",
        "\ufeff",
        "\u2028",
        "\t",
        " ",
        "  ",
        "#",
        "/",
        "//",
        "'s",
        "-",
        "&",
        "１２",
        "𝔞",
    ),
    *("１２", "𝔞", "中文", "\r", "\x0b", "a" * 5_000, "<b>", "𐏿", "_"),
)


def read(folder: Path, text: str | bytes) -> Lexicon:
    file = folder / "mine.txt"
    file.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8"))
    return load_lexicon(file)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a".encode("utf-16"), "is not UTF-8 text; convert it first"),
        ("Zoë zoi".encode("latin-1"), "is not UTF-8 text; convert it first"),
        ("ok ˈoʊkˈeɪ\nab\tʃ\x1b", "line 2 .* is malformed"),
        ("ab ʃ\u202eb", "line 1 .* is malformed"),
        ("[a](/b/) ʃ", "line 1 .* is malformed"),
        ("w" * 101 + " w", "line 1 .* is malformed: '(w+)\\.\\.\\.; write"),
        ("w " + "w" * 201, "line 1 .* is malformed"),
        ("w a\nv b\nw c", "line 3 .* gives 'w' other phonemes than an earlier line; remove one"),
    ],
)
def test_what_is_no_entry_is_refused_with_its_line(tmp_path: Path, text: str | bytes, words: str) -> None:
    with pytest.raises(InputError, match=words):
        read(tmp_path, text)


def test_a_word_may_be_given_twice_alike_and_in_either_spelling_of_its_accents(tmp_path: Path) -> None:
    assert read(tmp_path, "\ufeffw a\nw  /a/\ncafe\u0301 kæfeɪ").entries == {"w": "a", "café": "kæfeɪ"}


def test_a_lexicon_has_a_largest_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lexicon_module, "MOST_ENTRIES", 3)
    with pytest.raises(InputError, match="more than 3 words; remove some"):
        read(tmp_path, "".join(f"w{at} a\n" for at in range(4)))
    monkeypatch.setattr(lexicon_module, "MOST_BYTES", 30)
    with pytest.raises(InputError, match="more than any lexicon has"):
        read(tmp_path, "w a\n" * 10)


def test_any_lines_are_refused_or_give_links_around_words_that_stay_as_they_were(tmp_path: Path) -> None:
    chance = random.Random(12)
    taken = 0
    for _ in range(300):
        lines = ["".join(chance.choices(PIECES, k=chance.randint(1, 4))) for _ in range(chance.randint(1, 3))]
        try:
            lexicon = read(tmp_path, "\n".join(f"{line} {chance.choice(PIECES)}" for line in lines))
        except InputError as error:
            assert len(error.message) < 300
            continue
        taken += 1
        text = f"Kokoro's {' '.join(lines)}, and so on."
        assert LINK.sub(r"\1", lexicon.link(text)) == LINK.sub(r"\1", text)
    assert 5 < taken < 295


def test_a_large_lexicon_over_a_long_text_takes_linear_time(tmp_path: Path) -> None:
    def seconds(size: int) -> float:
        lines = "".join(f"word{at} wˈɜːd\n" for at in range(size // 10))
        text = "word1 word2's a-a-a-a " * (size // 20) + "a-" * (size // 4)
        began = time.process_time()
        read(tmp_path, lines).link(text)
        return time.process_time() - began

    small, large = (min(seconds(size) for _ in range(3)) for size in (20_000, 80_000))
    assert large < 10 * small + 0.05
