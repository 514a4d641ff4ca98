from __future__ import annotations

import threading
from queue import SimpleQueue
from typing import Any

import pytest

from raddle._engine.sorter import Sorter
from raddle._engine.source import Intake, Source
from raddle._events import Pulled, SourceEnded


def refuse_three(item: int) -> int:
    if item == 3:
        raise LookupError("three")
    return item


@pytest.mark.parametrize("what", ["key", "priority", "cost"])
def test_after_an_error_of_the_callers_code_nothing_more_comes(what: str) -> None:
    """What came behind would be given the positions of the items that are missing."""
    options: dict[str, Any] = {what: refuse_three}
    intake = Intake(Source(range(10), lambda event: None, threaded=False), **options)
    intake.source.let(2)
    (first,) = intake.collect()
    assert isinstance(first, Pulled)
    intake.source.let(3)
    (ended,) = intake.collect()
    assert isinstance(ended, SourceEnded)
    assert isinstance(ended.error, LookupError)
    for _ in range(3):
        intake.source.let(3)
        assert intake.collect() == []


def test_what_waits_for_its_class_comes_after_such_an_error() -> None:
    told: SimpleQueue[Any] = SimpleQueue()
    gate = threading.Event()

    def permit(item: int) -> str:
        gate.wait(60)
        return "a"

    sorter = Sorter(permit, ["a"], told.put, give_up=1, threaded=True)
    intake = Intake(Source(range(10), lambda event: None, threaded=False), key=refuse_three, sorter=sorter)
    intake.source.let(2)
    assert intake.collect() == []
    intake.source.let(3)
    assert intake.collect() == []
    gate.set()
    heard: list[Any] = []
    while not heard or not isinstance(heard[-1], SourceEnded):
        told.get(timeout=60)
        heard += intake.collect()
    intake.close()
    assert [item for pulled in heard[:-1] for item in pulled.items] == [0, 1]
    assert isinstance(heard[-1].error, LookupError)
