"""Reading ahead: one thread makes the next pieces while another works on this one."""

from __future__ import annotations

import threading
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["ahead"]

T = TypeVar("T")


def ahead(items: Iterable[T], *, depth: int = 2) -> Iterator[T]:
    """Yield the items of an iterable that a thread of its own runs, at most `depth` of them early.

    It gains what the iterable does without the interpreter lock. What it raises is raised here, in its place. Close
    it (`contextlib.closing`) before what the iterable reads from is closed: the thread has ended then.
    """
    made: SimpleQueue[tuple[str, Any]] = SimpleQueue()
    permits = threading.Semaphore(depth)
    closed = threading.Event()

    def make() -> None:
        try:
            for item in items:
                made.put(("item", item))
                permits.acquire()
                if closed.is_set():
                    return
            made.put(("end", None))
        except BaseException as error:  # noqa: BLE001 - raised where the items are wanted, whatever it is
            made.put(("error", error))

    thread = threading.Thread(target=make, name="weights-ahead", daemon=True)
    thread.start()
    try:
        while True:
            kind, value = made.get()
            if kind == "end":
                return
            if kind == "error":
                raise value
            yield value
            permits.release()
    finally:
        closed.set()
        permits.release()
        thread.join()
