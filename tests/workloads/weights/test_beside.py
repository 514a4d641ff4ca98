"""Work beside the main pass: everything put reaches it, failures reach the one who waits, nobody waits for ever."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from raddle.workloads.weights.beside import Beside

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.mark.parametrize("most", [None, 1, 4])
def test_items_reach_the_function_in_order(most: int | None) -> None:
    beside: Beside[int, list[int]] = Beside(list, most=most)
    for number in range(100):
        beside.put(number)
    assert beside.finish() == list(range(100))


def test_without_a_bound_putting_never_waits() -> None:
    go = threading.Event()

    def slow(items: Iterator[int]) -> int:
        go.wait(60)
        return sum(items)

    beside = Beside(slow)
    for number in range(1000):
        beside.put(number)
    go.set()
    assert beside.finish() == 499_500


@pytest.mark.parametrize("most", [None, 1])
def test_a_failure_reaches_the_one_who_waits_and_holds_nobody_up(most: int | None) -> None:
    def broken(items: Iterator[int]) -> None:
        next(items)
        raise ValueError("no")

    beside = Beside(broken, most=most)
    for number in range(50):
        beside.put(number)
    with pytest.raises(ValueError, match="no"):
        beside.finish()


def test_cancelling_stops_it_before_it_has_made_anything_of_what_came() -> None:
    made = []

    def collect(items: Iterator[int]) -> None:
        made.append(list(items))

    beside = Beside(collect)
    beside.put(1)
    beside.cancel()
    assert made == []
    assert not [thread for thread in threading.enumerate() if thread.name == "weights-beside"]
