"""Texts and SSML documents that took long or failed in programs that read them, in any length."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["DOCUMENTS", "TEXTS", "Maker"]

Maker = Callable[[int], str]
"""Makes a text of about as many characters as it is told."""


def _run(piece: str) -> Maker:
    return lambda size: (piece * (size // len(piece) + 1))[:size]


def _between(start: str, piece: str, end: str) -> Maker:
    return lambda size: start + _run(piece)(max(0, size - len(start) - len(end))) + end


def _nested(start: str, end: str) -> Maker:
    def text(size: int) -> str:
        depth = size // len(start + end)
        return f"<speak>{start * depth}a{end * depth}</speak>"

    return text


def _spoken(start: str, piece: str, end: str) -> Maker:
    def text(size: int) -> str:
        return f"<speak>{start}{piece * (size // len(piece))}{end}</speak>"

    return text


TEXTS: dict[str, Maker] = {
    **{
        repr(piece): _run(piece)
        for piece in (
            *("a", "word ", " ", "\n", "\r\n", "\t", "Word. ", "aB", "HELLO ", "don't ", "a'", "'s", "s' ", "a b c d"),
            *("7", "0", "1,", "111,", ".", "1.", "1.2.3.", "v1.", "123456789 ", "1e5", "-1 ", "1-", "1 - ", "1/", "½"),
            *("1½", "⅞", "²", "1st ", "1km ", "1%", "#1", "$1", "$1,", "-$", "1€", "1 ", "1:", "99:99 ", "12:30 a.m. "),
            *(
                "2024-13-45 ",
                "1/2/",
                "1/2/2024 ",
                "January ",
                "Jan. ",
                "January 1",
                "1 of ",
                "the 1",
                "1990s ",
                "'90s ",
            ),
            *("555-1234 ", "555-", "+1 555-", "a@", "a.b@", "a@b.", "a.", "http://", "http://a.b/?q=", "www.", "a.com"),
            *("a-a.co-", "aa.com.", "a.b_", "a-", "_", "_a", "/", "a/", "\\", "|", "*", "**a** ", "&", "@", "<", "<a>"),
            *("IVXLC", "No. ", "No. I ", "A.", "A. ", "Mr. ", "St. ", "etc. ", "etc.", "e.g.", "a.b.c. ", "w/", "vs "),
            *("[", "[a", "[a](/b/)", "[a](/b", "[a](", "[a](2)", "](", "(", ")", "{}", '"', "“", "'", "!", "?!", "! "),
            *('!"', ".)", ". ", "…", "—", " -", ",", ", ", ";)", ":", "\u0301", "\u0301\u0327", "a\u0301\u0316\u0327"),
            *(
                "\u1100\u1161",
                "\u200b",
                "\u200d",
                "\u00a0",
                "\ufeff",
                "\u202e",
                "\x00",
                "\x01a",
                "\ud800",
                "\ufdfa",
                "ﬀ",
            ),
            *(
                "👨\u200d👩\u200d👧",
                "🏳\ufe0f",
                "🇩🇪",
                "שלום ",
                "مرحبا",
                "日本語",
                "日。",
                "नमस्ते ",
                "क्",
                "aя日1é ",
                "aя",
                "é",
            ),
            *("１２", "٣", "used to ", "ninety-nine-", "jack-of-all-", "supercalifragilistic"),
        )
    },
    "a mark on a thousand others": _between("a", "\u0301\u0316", "b"),
    "one ordinal": _between("the ", "1", "st"),
    "one ordinal with commas": _between("the 1", ",111", "th"),
    "one fraction": lambda size: "1" * (size // 2) + "/" + "1" * (size // 2),
    "one price": _between("$", "9", ".99"),
    "one link": _between("[", "a", "](/a/)"),
    "one pronunciation": _between("[a](/", "a", "/)"),
    "one address": _between("http://", "a", ".com"),
    "one mail address": _between("a@", "b.", "com"),
    "one file name": _between("A", "_", ".txt"),
    "one quotation": _between('"', "no. ", '"'),
}
"""Name -> text in which something is repeated."""

DOCUMENTS: dict[str, Maker] = {
    "emphasis on dashes": _spoken("<emphasis>", "a-", "</emphasis>"),
    "emphasis on numbers": _spoken("<emphasis>", "1,", "</emphasis>"),
    "emphasis on words": _spoken("<emphasis level='strong'>", "word ", "</emphasis>"),
    "emphases": _spoken("", "<emphasis>a</emphasis>", ""),
    "emphases within each other": _nested("<emphasis>", "</emphasis>"),
    "emphases with text within each other": _nested("<emphasis>a ", "</emphasis>"),
    "sentences within each other": _nested("<s>a", "</s>"),
    "prosodies within each other": _nested("<prosody>", "</prosody>"),
    "sentences": _spoken("", "<s>a</s>", ""),
    "empty paragraphs": _spoken("", "<p/>", ""),
    "breaks": _spoken("", "<break/>", ""),
    "breaks between letters": _spoken("", "a<break/>", ""),
    "substitutions": _spoken("", '<sub alias="a">b</sub>', ""),
    "one substitution": _spoken('<sub alias="', "word ", '">b</sub>'),
    "attributes": lambda size: f"<speak {' '.join(f'a{index}={chr(34)}1{chr(34)}' for index in range(size // 8))}/>",
    "one rate": _spoken('<prosody rate="', "1", '">a</prosody>'),
    "one time": _spoken('<break time="', " ", '1s"/>'),
    "one pronunciation": _spoken('<phoneme ph="', "a", '">a</phoneme>'),
    "one word that is pronounced": _spoken('<phoneme ph="a">', "a", "</phoneme>"),
    "entities": _spoken("", "&amp;", ""),
    "characters by number": _spoken("", "&#65;", ""),
    "comments": _spoken("a", "<!-- -->", ""),
    "one comment": _spoken("<!--", "a ", "-->"),
    "character data": _spoken("", "<![CDATA[a]]>", ""),
    "tags in character data": _spoken("<![CDATA[", "<a>", "]]>"),
    "processing instructions": _spoken("", "<?a b?>", ""),
    "one processing instruction": _spoken("<?a ", "b", "?>"),
    "digits": _spoken('<say-as interpret-as="digits">', "1", "</say-as>"),
    "a cardinal": _spoken('<say-as interpret-as="cardinal">', "1", "</say-as>"),
    "an ordinal": _spoken('<say-as interpret-as="ordinal">', "9", "</say-as>"),
    "a year": _spoken('<say-as interpret-as="year">', "9", "</say-as>"),
    "a telephone number": _spoken('<say-as interpret-as="telephone">', "1 ", "</say-as>"),
    "a date": _spoken('<say-as interpret-as="date">', "1/2/", "</say-as>"),
    "a price": _spoken('<say-as interpret-as="currency">$1', ",111", "</say-as>"),
    "characters": _spoken('<say-as interpret-as="characters">', "é", "</say-as>"),
    "line breaks": _spoken("", "\n", ""),
    "elements that stay open": lambda size: "<speak>" + "<s>" * (size // 3),
    "spaces in a tag": lambda size: f"<speak{' ' * size}>a</speak>",
    "a name": lambda size: f"<speak><{'a' * size}>a</speak>",
    "a document type": lambda size: f"<?xml version='1.0'?><!DOCTYPE speak [{'<!-- -->' * (size // 8)}]><speak/>",
}
"""Name -> SSML document in which something is repeated; some are refused."""
