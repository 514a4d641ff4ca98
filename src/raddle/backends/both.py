"""Two backends side by side, so that a run can begin on processes and go on with threads: `backend="auto"`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from raddle._events import ChunkEnded, Event, Reported, WorkerLost
from raddle._ports import Capabilities

if TYPE_CHECKING:
    from collections.abc import Callable

    from raddle._model import Chunk, Running, StopHow
    from raddle._ports import Backend, Inbox

__all__ = ["BothBackend"]


class BothBackend:
    """The slots of `first`, then those of `second`.

    Workers of either start with their first chunk, so that what is not used costs next to nothing.

    Args:
        first: its inbox serves both
        make_second: gets an inbox that it must put its events into
    """

    capabilities: Capabilities
    inbox: Inbox

    def __init__(self, first: Backend, make_second: Callable[[Inbox], Backend]) -> None:
        one = first.capabilities
        self.inbox = first.inbox
        self._split = one.workers
        self._first = first
        self._second = make_second(_Shifted(first.inbox, one.workers))
        two = self._second.capabilities
        self.capabilities = Capabilities(
            "auto",
            "worker",
            one.workers + two.workers,
            enforces_timeout=one.enforces_timeout and two.enforces_timeout,
            max_chunk=min(one.max_chunk, two.max_chunk),
            depth=min(one.depth, two.depth),
            names=(*_names(one), *_names(two)),
        )

    def start(self, worker: int, chunk: Chunk) -> None:
        """Hand a chunk to a slot, without waiting."""
        if worker < self._split:
            self._first.start(worker, chunk)
        else:
            self._second.start(worker - self._split, chunk)

    def stop(self, worker: int, how: StopHow) -> None:
        """Stop a slot."""
        if worker < self._split:
            self._first.stop(worker, how)
        else:
            self._second.stop(worker - self._split, how)

    def running(self) -> list[Running]:
        """Return the item under way in each busy slot."""
        shifted = [one._replace(worker=one.worker + self._split) for one in self._second.running()]
        return self._first.running() + shifted

    def close(self) -> None:
        """End all workers of both."""
        try:
            self._second.close()
        finally:
            self._first.close()


def _names(able: Capabilities) -> tuple[str, ...]:
    return able.names or tuple(f"{able.worker_name}-{number}" for number in range(able.workers))


class _Shifted:
    """An inbox for a backend whose slot 0 is another number for everybody else."""

    def __init__(self, inbox: Inbox, by: int) -> None:
        self._inbox = inbox
        self._by = by

    def put(self, event: Event) -> None:
        """Add an event, with the number of its worker as the machine knows it."""
        if isinstance(event, ChunkEnded):
            ended = event
            event = ended._replace(worker=ended.worker + self._by)
        elif isinstance(event, WorkerLost):
            part = event.ended and event.ended._replace(worker=event.ended.worker + self._by)
            event = event._replace(worker=event.worker + self._by, ended=part)
        elif isinstance(event, Reported):
            event = event._replace(worker=event.worker + self._by)
        self._inbox.put(event)

    def take(self, timeout: float | None) -> list[Event]:
        """Not for the second backend: the driver takes from the first one's inbox."""
        raise NotImplementedError
