"""What a block measured, by its bytes: which parts differ."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kokoro_lab.measure.records.cell import BlockResult
from kokoro_lab.measure.records.identity import PARTS, BlockIdentity

SUMS = BlockIdentity(model="aa", text="bb", voice="cc", code="dd", packages="ee")


@pytest.mark.parametrize("part", PARTS)
def test_another_part_is_another_identity_and_is_named(part: str) -> None:
    other = replace(SUMS, **{part: "00"})
    assert other.differences(SUMS) == SUMS.differences(other) == (part,)


def test_the_same_parts_are_the_same_identity() -> None:
    assert SUMS.differences(replace(SUMS)) == ()


def test_it_crosses_the_process_boundary_within_a_result() -> None:
    result = BlockResult("ok", identity=SUMS)
    assert BlockResult.from_dict(result.as_dict()).identity == SUMS
    assert BlockResult.from_dict(BlockResult("ok").as_dict()).identity is None
