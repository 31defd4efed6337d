"""JSON and YAML documents of other people: bounded, plain, and every mistake an error that names the document."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import pytest
from pydantic import BaseModel, ConfigDict, Field, field_validator

from kokoro_lab.errors import InputError, PlanError
from kokoro_lab.files.documents import listed, parse_json, parse_yaml, read_json, read_model, read_yaml, validated


def test_documents_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"a": [1, null]}')
    (tmp_path / "a.yaml").write_text("base: &base {x: 1}\nmore:\n  <<: *base\n  y: [2, 3]\n")
    assert read_json(tmp_path / "a.json", what="record") == {"a": [1, None]}
    assert read_yaml(tmp_path / "a.yaml", what="plan") == {"base": {"x": 1}, "more": {"x": 1, "y": [2, 3]}}


@pytest.mark.parametrize("text", ["{not", "[" * 100_000, "1" * 5_000, "", '"\ud800'])
def test_a_damaged_json_document_is_one_error(text: str) -> None:
    with pytest.raises(InputError, match="record r is damaged"):
        parse_json(text.encode("utf-8", "surrogatepass"), what="record r")


@pytest.mark.parametrize(
    "text",
    ["a: 2024-13-45", "[" * 20_000, "a: !!python/object:os.system x", "a: *missing", "\x07", "{a: b", "? [a]\n: b"],
)
def test_a_damaged_yaml_document_is_one_error(text: str) -> None:
    with pytest.raises(PlanError, match=r"plan p is .*; correct the file"):
        parse_yaml(text, what="plan p", error=PlanError)


def test_a_json_document_is_as_deep_as_the_limit_and_no_deeper() -> None:
    assert parse_json("[" * 101 + "]" * 101, what="record r")
    with pytest.raises(InputError, match="record r is nested more than 100 levels deep; get"):
        parse_json('{"a":' * 51 + "[" * 51 + "]" * 51 + "}" * 51, what="record r")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "latin-1"])
def test_a_document_in_another_encoding_is_refused(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "a.yaml").write_bytes("name: café".encode(encoding))
    with pytest.raises(InputError, match="is not UTF-8 text; convert it first"):
        read_yaml(tmp_path / "a.yaml", what="plan")


class Part(BaseModel):
    """A part of a recipe."""

    model_config = ConfigDict(extra="forbid")
    name: str
    weight: Annotated[float, Field(gt=0)] | None = None

    @field_validator("name")
    @classmethod
    def _short(cls, name: str) -> str:
        if name == "crash":
            raise KeyError(name)
        return name


class Whole(BaseModel):
    """A recipe."""

    parts: list[Part]
    tags: dict[str, int | bool] = {}


def test_every_mistake_of_a_document_is_named_with_its_place_and_in_our_words(tmp_path: Path) -> None:
    path = tmp_path / "w.yaml"
    path.write_text("parts:\n- {name: oats, weight: -1, colour: red}\n- {weight: 2}\n- oil\ntags: {a: [1]}\n")
    with pytest.raises(PlanError) as caught:
        read_model(path, Whole, what="recipe", error=PlanError)
    assert caught.value.message == (
        f"recipe {path} has 6 mistakes; correct parts.oats.weight: should be greater than 0; "
        "parts.oats.colour: unknown name; parts.1.name: is missing; parts.2: should be a mapping; "
        "tags.a.int: should be a valid integer; tags.a.bool: should be a valid boolean"
    )


def test_only_the_first_of_very_many_mistakes_are_listed() -> None:
    with pytest.raises(InputError) as caught:
        validated(Whole, {"parts": [{"name": "x" * 1000, "weight": 0}] * 3000}, what="recipe")
    assert len(caught.value.message) < 12_000
    assert listed([f"p{at}" for at in range(25)]).endswith("p19; and 5 more")


def test_a_check_that_fails_itself_is_a_mistake_of_the_document() -> None:
    with pytest.raises(InputError, match=r"recipe r is damaged or of another kind .*crash.*; correct the file"):
        validated(Whole, {"parts": [{"name": "crash"}]}, what="recipe r")


def test_a_document_that_is_too_large_is_refused_unread(tmp_path: Path) -> None:
    (tmp_path / "big.yaml").write_text("a" * 300_000)
    with pytest.raises(InputError, match="more than any plan has"):
        read_yaml(tmp_path / "big.yaml", what="plan")
