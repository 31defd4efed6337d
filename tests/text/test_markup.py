"""SSML documents of any shape are read, or refused with a place and a short sentence."""

from __future__ import annotations

import random
import re

import pytest
from chaos.attacks.texts import failure, hostile_document, hostile_text

from kokoro_lab.errors import InputError
from kokoro_lab.text.decoding import decoded
from kokoro_lab.text.markup import MOST_DEPTH, MOST_ELEMENTS, passages
from kokoro_lab.text.segment import segments


@pytest.mark.parametrize("depth", [MOST_DEPTH, 10_000, 50_000])
@pytest.mark.parametrize("element", ["emphasis", "s", "p", "prosody"])
def test_a_document_is_nested_up_to_a_limit(element: str, depth: int) -> None:
    with pytest.raises(
        InputError, match=rf"^line 1, column \d+: elements are nested more than {MOST_DEPTH} levels deep"
    ):
        passages(f"<speak>{f'<{element}>' * depth}a{f'</{element}>' * depth}</speak>")
    shallow = MOST_DEPTH - 1
    (passage,) = passages(f"<speak>{f'<{element}>' * shallow}word{f'</{element}>' * shallow}</speak>")
    assert "word" in passage.text


def test_a_document_has_elements_up_to_a_limit() -> None:
    assert passages(f"<speak>a{'<p/>' * (MOST_ELEMENTS - 1)}</speak>")
    with pytest.raises(InputError, match="more than 100,000 elements; split it"):
        passages(f"<speak>a{'<p/>' * MOST_ELEMENTS}</speak>")


@pytest.mark.parametrize(
    "document",
    [
        '<speak><prosody rate="{}"/></speak>', '<speak><break time="{}"/></speak>', "<speak><{}/></speak>", "<{}/>",
        '<speak><break strength="{}"/></speak>', '<speak><emphasis level="{}"/></speak>', '<speak {}="1"/>',
        '<speak><phoneme ph="{}">a</phoneme></speak>', '<speak><phoneme alphabet="{}" ph="a">a</phoneme></speak>',
        '<speak><say-as interpret-as="{}">1</say-as></speak>',
        '<speak><say-as interpret-as="year">{}</say-as></speak>',
    ],
)  # fmt: skip
def test_a_message_quotes_only_the_beginning_of_a_long_value(document: str) -> None:
    with pytest.raises(InputError) as caught:
        passages(document.format("x" * 100_000))
    assert len(caught.value.message) < 400


def test_emphasis_leaves_a_run_of_letters_alone_that_no_link_has_room_for() -> None:
    (segment,) = segments(f"<speak><emphasis>go {'a-' * 150}</emphasis></speak>")
    assert "]" not in segment.text
    assert passages("<speak><emphasis>go</emphasis></speak>")[0].text == "[go](1)"


@pytest.mark.parametrize("block", range(10))
def test_mutated_documents_are_spoken_or_refused(block: int) -> None:
    for index in range(30 * block, 30 * (block + 1)):
        data = hostile_document(random.Random(f"fast {index}"))
        assert not failure(lambda data=data: list(passages(decoded(data, what="it"))), len(data)), (index, data)


def test_a_document_type_is_refused_before_anything_in_it_is_read() -> None:
    bomb = "".join(f"<!ENTITY a{index} '&a{index - 1};&a{index - 1};'>" for index in range(1, 40))
    for internal in (bomb, "<!ENTITY a SYSTEM 'file:///etc/passwd'>", "<!ENTITY % a SYSTEM 'http://1.1.1.1/'> %a;"):
        with pytest.raises(InputError, match=re.escape("document types are not supported; remove <!DOCTYPE>")):
            passages(f"<?xml version='1.0'?><!DOCTYPE speak [{internal}]><speak>&a39;</speak>")


@pytest.mark.parametrize("block", range(3))
def test_hostile_texts_become_tokens_or_one_error(block: int) -> None:
    for index in range(10 * block, 10 * (block + 1)):
        text = hostile_text(random.Random(f"fast {index}"))
        assert not failure(lambda text=text: list(segments(text, markup="none")), len(text)), (index, text)


def test_a_failure_is_told() -> None:
    assert failure(lambda: 1 / 0, 1).startswith("ZeroDivisionError")
    assert "more than 5.0 s" in failure(lambda: None, 0, clock=iter([0.0, 6.0]).__next__)
