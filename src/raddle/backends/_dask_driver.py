"""The thread of a session in a dask worker: carries out the client's commands and tells what came of them."""

from __future__ import annotations

import pickle
from collections import Counter
from time import monotonic
from typing import TYPE_CHECKING, Any

from raddle._events import ChunkEnded, Reported, RunFailed, WorkerLost
from raddle._model import Chunk
from raddle.backends._wire import PROTOCOL, pack_error

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Callable

    from raddle._events import Event
    from raddle.backends.processes import ProcessBackend

__all__ = ["At", "Driver"]

#: slot, chunk, offset, start of an item under way
At = tuple[int, int, int, float]
#: seconds from one look at what is under way to the next, while anything is
_LOOK = 0.05
_IDLE = 1.0


class Driver:
    """Carries out commands and turns events into messages."""

    def __init__(
        self,
        backend: ProcessBackend,
        commands: deque[tuple[Any, ...]],
        post: Callable[[list[bytes], list[At], bool], None],
    ) -> None:
        self._backend = backend
        self._commands = commands
        self._post = post
        #: slot -> chunks it holds; none: not there
        self._chunks: Counter[int] = Counter()
        #: slots told to kill, until their WorkerLost
        self._killing: set[int] = set()
        #: a slot has run out of work since the last news
        self._idle = False

    def run(self, is_over: Callable[[], bool]) -> None:
        """Go on until it is over."""
        backend = self._backend
        look_at = 0.0
        said: list[At] = []
        while not is_over():
            messages = []
            for event in backend.inbox.take(_LOOK if self._chunks else _IDLE):
                message = self._message(event)
                if message is not None:
                    messages.append(pickle.dumps(message, PROTOCOL))
            while self._commands:
                self._obey(*self._commands.popleft())
            now = monotonic()
            if messages or now >= look_at:
                look_at = now + _LOOK
                running = [(at.worker, at.chunk, at.offset, at.started) for at in backend.running()]
                if messages or running != said:
                    said = running
                    self._post(messages, running, self._idle)
                    self._idle = False

    def _obey(self, what: str, slot: int, *given: Any) -> None:
        if what == "start":
            number, pieces, positions, attempt, ids, budget, run = given
            self._chunks[slot] += 1
            self._backend.start(slot, Chunk(number, pieces, positions, attempt, ids, budget, run))
            return
        if what == "kill":
            self._killing.add(slot)
        self._backend.stop(slot, "kill" if what == "kill" else "close")

    def _ended(self, slot: int, chunks: int) -> None:
        self._chunks[slot] -= chunks
        if self._chunks[slot] <= 0:
            del self._chunks[slot]
            self._idle = True

    def _message(self, event: Event) -> tuple[Any, ...] | None:
        if isinstance(event, ChunkEnded):
            self._ended(event.worker, 1)
            return ("ended", event.worker, *_packed(event))
        if isinstance(event, WorkerLost):
            self._ended(event.worker, len(event.chunks))
            asked = event.worker in self._killing
            self._killing.discard(event.worker)
            ended = None if event.ended is None else _packed(event.ended)
            return ("lost", event.worker, event.chunks, ended, event.offset, event.reason, event.started, asked)
        if isinstance(event, Reported):
            return ("reported", event.worker, event.chunk, event.offset, event.percent, event.note)
        if isinstance(event, RunFailed):
            return ("failed", str(event.error))
        return None


def _packed(ended: ChunkEnded) -> tuple[Any, ...]:
    broken = {offset: pack_error(error) for offset, error in ended.errors.items()}
    return (ended.chunk, ended.clock, ended.values, broken)
