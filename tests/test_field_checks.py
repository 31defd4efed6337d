"""What a hint takes, what it refuses, and the words for it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest

from kokoro_lab.errors import InputError, SettingError
from kokoro_lab.field_checks import Mistake, Range, UnfitError, as_record, check_of, describe, refuse, take_fields

HINTS: list[tuple[Any, str]] = [
    (bool, "true or false"),
    (Literal["", "ramp"], "one of '', ramp"),
    (Path | None, "a path or None"),
    (tuple[str, ...], "a list of names"),
    (tuple[tuple[str, str], ...], "pairs of name and value"),
    (Annotated[int, Range(0, 64, "MiB", zero="no limit")], "a whole number of MiB from 0 (no limit) to 64"),
    (Annotated[float, Range(0, above=True)], "a number above 0"),
    (Annotated[float, Range(1)] | None, "a number from 1 or None"),
    (Annotated[int, Range()], "a whole number"),
]


@pytest.mark.parametrize(("hint", "words"), HINTS, ids=[words for _, words in HINTS])
def test_a_hint_is_described_by_what_to_use(hint: Any, words: str) -> None:
    assert describe(hint) == words


def test_the_ends_of_a_range_are_in_it_unless_it_lies_above_its_least() -> None:
    assert Range(0, 1).holds(0) and Range(0, 1).holds(1)
    assert not Range(0, 1, above=True).holds(0) and not Range(0, 1).holds(1.5)
    assert not any(Range().holds(value) for value in (math.nan, math.inf, -math.inf))


def test_a_number_too_large_for_a_float_is_refused() -> None:
    with pytest.raises(UnfitError):
        check_of(float)(10**400)


@dataclass(frozen=True)
class Player:
    """Two settings that depend on each other."""

    rate: Annotated[float, Range(0, 10)] = 1.0
    folder: Path | None = None

    def __post_init__(self) -> None:
        wrong = take_fields(self)
        mistakes = [Mistake(("rate", "folder"), "a folder has no rate", "use 0")] if self.folder and self.rate else []
        refuse(mistakes, wrong)


def test_values_take_the_form_of_their_hint() -> None:
    player = Player(rate=0, folder="/x")  # type: ignore[arg-type]
    assert player.folder == Path("/x")
    assert type(player.rate) is float


def test_one_mistake_and_several_have_the_house_s_form() -> None:
    with pytest.raises(SettingError, match=r"^rate is 11; use a number from 0 to 10$"):
        Player(rate=11, folder=Path("/x"))  # that a folder has no rate cannot be said of an unknown rate
    with pytest.raises(SettingError, match=r"^a folder has no rate; use 0$"):
        Player(folder=Path("/x"))
    with pytest.raises(
        SettingError, match=r"^2 settings cannot be used: rate is 'x', use a .* 10; folder is 1, use a p"
    ):
        Player(rate="x", folder=1)  # type: ignore[arg-type]


def test_a_long_value_is_cut() -> None:
    with pytest.raises(SettingError) as caught:
        Player(rate="x" * 1000)  # type: ignore[arg-type]
    assert len(caught.value.message) < 150


@dataclass(frozen=True)
class Song:
    """A record within a record."""

    title: str
    seconds: Annotated[float, Range(0)] = 0.0


@dataclass(frozen=True)
class Album:
    """A record with every kind of member."""

    songs: tuple[Song, ...]
    sizes: dict[str, int]
    best: Song | None = None
    notes: dict[str, Any] = field(default_factory=dict)


def test_a_record_is_made_of_plain_values() -> None:
    values = {
        "songs": [{"title": "a", "seconds": 3}],
        "sizes": {"x": 1},
        "best": {"title": "b"},
        "notes": {"y": [None]},
    }
    album = as_record(Album, values, what="album")
    assert album == Album((Song("a", 3.0),), {"x": 1}, Song("b"), {"y": [None]})


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([], "an object with named values is needed"),
        (None, "an object with named values is needed"),
        ({"sizes": {}}, "songs is missing"),
        ({"songs": [], "sizes": {}, "colour": 1}, "unknown name 'colour'"),
        ({"songs": [{"title": 3}], "sizes": {}}, "songs: title is 3"),
        ({"songs": [{"title": "a", "seconds": math.nan}], "sizes": {}}, "songs: seconds is nan"),
        ({"songs": [], "sizes": {"a": True}}, "sizes is {'a': True}"),
        ({"songs": [], "sizes": {}, "best": 3}, "best is 3"),
        ({"songs": [], "sizes": {"a": "x" * 500}}, r"sizes is \{'a': 'x+\.\.\."),
        ({"songs": [], "sizes": 10**5_000}, "sizes is a huge int"),
    ],
)
def test_a_value_that_does_not_fit_a_record_is_named(values: object, words: str) -> None:
    with pytest.raises(InputError, match=rf"album a is damaged or of another kind \(.*{words}.*\); get the file again"):
        as_record(Album, values, what="album a")
