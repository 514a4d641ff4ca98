"""Reading ahead changes nothing but the time."""

from __future__ import annotations

import threading
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("numpy")

from raddle.workloads.weights.ingest.ahead import ahead

if TYPE_CHECKING:
    from collections.abc import Iterator


def threads() -> int:
    return sum(thread.name == "weights-ahead" for thread in threading.enumerate())


@given(st.lists(st.integers()), st.integers(1, 3))
def test_items_come_in_order(items: list[int], depth: int) -> None:
    assert list(ahead(iter(items), depth=depth)) == items
    assert threads() == 0


def test_an_error_comes_in_its_place() -> None:
    def broken() -> Iterator[int]:
        yield 1
        raise ValueError("line 2")

    seen = []
    with pytest.raises(ValueError, match="line 2"):
        seen.extend(ahead(broken()))
    assert threads() == 0


def test_no_more_than_the_depth_is_made_early_and_closing_ends_the_thread() -> None:
    made = []
    reached = threading.Event()

    def endless() -> Iterator[int]:
        number = 0
        while True:
            made.append(number)
            if number == 2:
                reached.set()
            yield number
            number += 1

    with closing(ahead(endless(), depth=2)) as near:
        assert next(near) == 0
        assert reached.wait(60)
    assert threads() == 0
    assert made == [0, 1, 2]
