"""What tests of a journal are made of: an inbox to wait at, outcomes to record, values that break naive ones."""

from __future__ import annotations

import contextlib
import pickle
import queue
import time
from typing import TYPE_CHECKING, Any

from raddle._events import Recorded, RunFailed
from raddle._model import ErrorInfo, Outcome, Status
from raddle._ports import RunHeader

if TYPE_CHECKING:
    from collections.abc import Sequence

    from raddle._events import Event

__all__ = ["NASTY_IDS", "NASTY_ITEMS", "NASTY_VALUES", "Heard", "Moved", "entry", "failed", "header", "raises"]

_PATIENCE = 30.0

NASTY_IDS: Sequence[bytes] = (
    *(b"", b"\0", b"\0\0", b"a", b"a\0", b"a\0b", b"\xff\xfe", b"%s", b"'; DROP TABLE outcome; --", b"A"),
    *("é".encode(), "e\u0301".encode(), b"\xed\xb2\x80", b"1", b"01", b"x" * 1_000_000),
)
NASTY_VALUES: Sequence[object] = (
    *(None, True, 1, -1, 2**63, -(2**200), 0.0, -0.0, float("inf"), float("-inf"), float("nan")),
    *("", "\0", "a\0b", "\udc80", b"", b"\0", (), [], {"k": [None]}, {1, 2}, 10**5000, "x" * 100_000),
)


class _Hostile:
    def __repr__(self) -> str:
        raise RuntimeError("no repr")


class _Odd:
    def __repr__(self) -> str:
        return "odd\0\udc80" * 500


NASTY_ITEMS: Sequence[object] = (*NASTY_VALUES, [10**5000], _Hostile(), _Odd(), object())


class Moved:
    """Pickles as what cannot be found again."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _vanish, ()


def _vanish() -> None:
    raise AttributeError("its class has moved")


class Heard:
    """An inbox that a test can wait at."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._queue: queue.SimpleQueue[Event] = queue.SimpleQueue()

    def put(self, event: Event) -> None:
        """Take an event, from any thread."""
        self._queue.put(event)

    def wait(self, ticket: int) -> None:
        """Wait until this ticket is recorded; a failure of the journal is raised."""
        while not self.events or self._last() < ticket:
            event = self._queue.get(timeout=_PATIENCE)
            self.events.append(event)
            if isinstance(event, RunFailed):
                raise event.error

    def _last(self) -> int:
        last = self.events[-1]
        return last.ticket if isinstance(last, Recorded) else -1

    @property
    def tickets(self) -> list[int]:
        """What was recorded, in the order heard."""
        return [event.ticket for event in self.events if isinstance(event, Recorded)]


def header(name: str = "run", **changes: Any) -> RunHeader:
    """Make a run's header."""
    settings: dict[str, Any] = {"function": "module:func", "version": "1", "backend": "threads", "workers": 2} | changes
    return RunHeader(name, **settings)


def entry(position: int, item_id: bytes, value: object = None, *, item: object = None) -> tuple[Outcome, bytes]:
    """Make what is recorded of an item that ended ok."""
    item = position if item is None else item
    outcome = Outcome(position, item, Status.OK, value, None, 1, time.monotonic(), 0.25, "thread-0", None, item_id)
    return outcome, pickle.dumps(value)


def failed(
    position: int, item_id: bytes, status: Status = Status.FAILED, *, attempts: int = 1, text: str = "broken"
) -> Outcome:
    """Make the outcome of an item that did not end ok."""
    error = ErrorInfo("ValueError", text, f"Traceback ...\nValueError: {text}", ("ValueError", "Exception"))
    return Outcome(
        position, f"item {position}", status, None, error, attempts, time.monotonic(), 0.5, "thread-1", "key", item_id
    )


@contextlib.contextmanager
def raises(kind: type[Exception], *parts: str) -> Any:
    """Demand an exception whose message holds all the parts."""
    text: str | None = None
    try:
        yield
    except kind as error:
        text = str(error)
    assert text is not None, f"{kind.__name__} was not raised"
    missing = [part for part in parts if part not in text]
    assert not missing, f"{missing} not in: {text}"
