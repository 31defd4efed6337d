"""Options of benchmarks: lists of numbers and shares are read whole or refused, and a run's name says what it is."""

from __future__ import annotations

import re

import pytest

from kokoro_lab.commands.benchmarking.bench_options import new_run, numbers, processors, shares
from kokoro_lab.errors import InputError


def test_lists_of_numbers_and_shares_are_read_with_their_blanks() -> None:
    assert numbers(" 16, 50,") == (16, 50)
    assert shares("0.01, 0.3,") == [0.01, 0.3]
    assert shares("") == []


@pytest.mark.parametrize("text", ["", "a", "1.5", "-1", "1;2", "9999999999"])
def test_what_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="not a list of numbers"):
        numbers(text)


@pytest.mark.parametrize("text", ["a", "-0.1", "11", "nan", "0.1,inf"])
def test_what_is_no_share_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="not a list of shares"):
        shares(text)


def test_a_new_run_is_named_after_its_benchmark_and_the_time() -> None:
    assert re.fullmatch(r"bench-kernels-\d{8}-\d{6}", new_run("kernels"))
    assert new_run("peers").startswith("peers-")


def test_a_process_may_use_at_least_one_processor() -> None:
    assert processors() >= 1
