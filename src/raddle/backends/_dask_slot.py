"""A slot of the dask backend as the client sees it: what it was given, and what becomes of that.

Everything here runs in the event loop of the dask client, but for `Parcel` and `Results`, which are made and opened by
the driver's thread: that is where the user's own pickling code may run.
"""

from __future__ import annotations

import pickle
from collections import deque
from dataclasses import dataclass, field, replace
from time import monotonic
from typing import TYPE_CHECKING, Any

from raddle._events import ChunkEnded, WorkerLost
from raddle._model import Running
from raddle.backends._dask_worker import LARGEST
from raddle.backends._shell import describe
from raddle.backends._wire import LOAD_ERRORS, by_value, unpack_error

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from raddle._events import Event
    from raddle._model import Chunk, ErrorInfo
    from raddle.backends._dask_link import Link

__all__ = ["Lost", "Parcel", "Results", "Slot", "Strikes", "pack", "travel_error"]


@dataclass(slots=True)
class Parcel:
    """A chunk on its way."""

    chunk: Chunk
    pieces: list[bytes]
    #: how many of its items were sent; 0: none yet
    sent: int = 0
    #: it may not share its slot: to know whose fault it is should the dask worker die once more
    alone: bool = False
    #: to be given back without having been sent
    withdrawn: bool = False
    #: to be answered by the `WorkerLost` of a kill
    doomed: bool = False


@dataclass(frozen=True, slots=True)
class Results:
    """A `ChunkEnded` whose values are still pickled."""

    worker: int
    chunk: int
    clock: list[float]
    pieces: list[Any]
    broken: dict[int, bytes]
    stored: bool

    def opened(self) -> ChunkEnded:
        """Unpickle; a value that refuses costs its own item."""
        values: list[Any] = []
        errors: dict[int, ErrorInfo] = {}
        stored: list[bytes] = []
        for offset, piece in enumerate(self.pieces):
            value, error = None, None
            try:
                if offset in self.broken:
                    error = unpack_error(self.broken[offset])
                elif isinstance(piece, tuple):
                    error = unpack_error(piece[0])
                else:
                    value = pickle.loads(piece)  # noqa: S301 - from our own session
            except LOAD_ERRORS as refused:
                error = travel_error(refused, "its result came back, but cannot be unpickled")
            if error is not None:
                errors[offset] = error
            values.append(value)
            stored.append(b"" if error is not None else piece)
        return ChunkEnded(self.worker, self.chunk, values, self.clock, errors, stored if self.stored else None)


@dataclass(frozen=True, slots=True)
class Lost:
    """A `WorkerLost` whose values are still pickled."""

    event: WorkerLost
    ended: Results | None

    def opened(self) -> WorkerLost:
        """Unpickle."""
        return self.event if self.ended is None else self.event._replace(ended=self.ended.opened())


def travel_error(error: BaseException, what: str) -> ErrorInfo:
    """Say that something could not travel."""
    info = describe(error, keep=False)
    return replace(info, message=f"{what} ({info.message}): use plain data, or a path on shared storage")


def pack(chunk: Chunk, hidden: Sequence[bytes]) -> tuple[list[bytes], ErrorInfo | None]:
    """Pickle each item by itself, up to the first that refuses; say what is wrong with that."""
    pieces: list[bytes] = []
    for item in chunk.items:
        try:
            piece = by_value(item, hidden)
            if len(piece) > LARGEST:
                raise ValueError(f"{len(piece)} bytes, limit={LARGEST}")
        except Exception as broken:  # noqa: BLE001 - somebody's __reduce__: it costs this item only
            return pieces, travel_error(broken, "the item cannot be sent to a dask worker")
        pieces.append(piece)
    return pieces, None


class Strikes:
    """How often an item was with a dask worker that died, by position.

    Who killed it cannot be known: it tells of an item only after that has run for a while. So nobody is blamed at
    first. What was there at two deaths runs alone in its slot, and after the third it is blamed, since then nothing
    else can have been under way. Innocents end in between and are forgotten.
    """

    def __init__(self, allowed: int) -> None:
        self.allowed = allowed
        self._counts: dict[int, int] = {}

    def portion(self, positions: Sequence[int]) -> tuple[int, bool]:
        """Return how many of these items may be sent together, and whether that is one that must be alone."""
        if self._counts:
            for offset, position in enumerate(positions):
                if self._counts.get(position, 0) >= self.allowed - 1:
                    return (1, True) if offset == 0 else (offset, False)
        return len(positions), False

    def died(self, sent: list[Parcel]) -> bool:
        """Count a death for all that a slot had; True if the one item it had is to blame."""
        positions = [position for parcel in sent for position in parcel.chunk.positions[: parcel.sent]]
        for position in positions:
            self._counts[position] = self._counts.get(position, 0) + 1
        if len(positions) == 1 and self._counts[positions[0]] >= self.allowed:
            del self._counts[positions[0]]
            return True
        return False

    def ended(self, positions: Sequence[int]) -> None:
        """Forget items that have ended."""
        if self._counts:
            for position in positions:
                self._counts.pop(position, None)


@dataclass(slots=True)
class Slot:
    """What one slot holds. `link` is None while it has no dask worker."""

    number: int
    emit: Callable[[Event | Results | Lost], None]
    strikes: Strikes
    stored: bool
    link: Link | None = None
    #: its number within the session
    local: int = 0
    held: deque[Parcel] = field(default_factory=deque)
    #: as last heard
    running: Running | None = None
    #: told to kill, and not answered
    killing: bool = False
    #: a death that came before the answer to a kill: one `WorkerLost` will tell of both
    kept: Lost | None = None
    #: to leave its link as soon as that owes nothing
    moving: bool = False

    def start(self, chunk: Chunk, pieces: list[bytes]) -> None:
        """Take a chunk on."""
        self.held.append(Parcel(chunk, pieces))
        self.pump()

    def pump(self) -> None:
        """Send what can be sent, give back what need not be."""
        while self.held and self.held[0].withdrawn:
            self._give_back(self.held.popleft())
        if self.moving and not (self.held and self.held[0].sent):
            self.link, self.moving = None, False
        if self.link is None or self.moving:
            return
        for place, parcel in enumerate(self.held):
            if not parcel.sent and not parcel.withdrawn:
                count, alone = self.strikes.portion(parcel.chunk.positions[: len(parcel.pieces)])
                if alone and place > 0:
                    return
                self._send(self.link, parcel, count, alone=alone, urgent=place == 0)
            if parcel.alone:
                return

    def _send(self, link: Link, parcel: Parcel, count: int, *, alone: bool, urgent: bool) -> None:
        chunk, pieces = parcel.chunk, parcel.pieces[:count]
        parcel.sent, parcel.alone, parcel.pieces = count, alone, []
        ids = None if chunk.ids is None else chunk.ids[:count]
        rest = (chunk.positions[:count], chunk.attempt, ids, chunk.budget, chunk.run)
        link.order(("start", self.local, chunk.number, pieces, *rest), size=sum(map(len, pieces)), urgent=urgent)

    def move(self) -> None:
        """Leave this dask worker once it has ended what it was sent."""
        self.moving = True
        self.pump()

    def close(self) -> None:
        """Let nothing more be started of what it holds."""
        for parcel in self.held:
            parcel.withdrawn = not parcel.sent
        if self.link is not None and any(parcel.sent for parcel in self.held):
            self.link.order(("close", self.local))
        self.pump()

    def kill(self) -> None:
        """End the item under way too."""
        if not self.held:
            self.emit(WorkerLost(self.number, (), None, None, "it had ended all it was given"))
        elif self.killing:
            return
        elif self.link is None or not self.held[0].sent:
            chunks = tuple(parcel.chunk.number for parcel in self.held)
            self.held.clear()
            self.emit(WorkerLost(self.number, chunks, None, None, "it had not started", gone=False))
        else:
            self.killing = True
            for parcel in self.held:
                parcel.doomed = True
            self.link.order(("kill", self.local))

    # ------------------------------------------------------------------------------------------------- what came back

    def ended(self, link: Link, message: tuple[Any, ...]) -> None:
        """Take the end of a chunk in."""
        number, *rest = message
        parcel = self.held.popleft()
        assert parcel.chunk.number == number, (parcel.chunk.number, number)  # noqa: S101 - sessions keep the order
        if self.running is not None and self.running.chunk == number:
            self.running = None
        self.emit(self._results(link, parcel, rest))
        self.pump()

    def _results(self, link: Link, parcel: Parcel, given: Sequence[Any]) -> Results:
        clock, pieces, broken = given
        self.strikes.ended(parcel.chunk.positions[: len(pieces)])
        times = [link.clock.here(instant) for instant in clock]
        return Results(self.number, parcel.chunk.number, times, pieces, broken, self.stored)

    def lost(self, link: Link, message: tuple[Any, ...]) -> None:
        """Take in that the process of this slot died in its session, which knows what it was doing."""
        numbers, ended, offset, reason, started, asked = message
        self.running = None
        parcels = [self.held.popleft() for _ in numbers]
        assert tuple(parcel.chunk.number for parcel in parcels) == numbers  # noqa: S101 - sessions keep the order
        results = None if ended is None else self._results(link, parcels[0], ended[1:])
        if offset is not None:
            self.strikes.ended([parcels[0].chunk.positions[offset]])
        event = WorkerLost(self.number, numbers, None, offset, reason, link.clock.here(started))
        if self.killing and not asked:
            self.kept = Lost(event, results)
            return
        self._emit_lost(Lost(event, results))

    def _emit_lost(self, lost: Lost) -> None:
        """Say it, together with what else the answer to a kill must name."""
        kept, killing = self.kept, self.killing
        self.kept, self.killing = None, False
        doomed: list[int] = []
        while killing and self.held and self.held[0].doomed:
            doomed.append(self.held.popleft().chunk.number)
        if kept is not None:
            # What the second death had finished is run again: one event names one item.
            lost, doomed = kept, [*lost.event.chunks, *doomed]
        self.emit(Lost(lost.event._replace(chunks=(*lost.event.chunks, *doomed)), lost.ended))
        self.pump()

    def cut_off(self, reason: str, *, died: bool) -> None:
        """Take in that the session is lost, with all that it had."""
        self.link, self.moving = None, False
        running, self.running = self.running, None
        sent = []
        while self.held and self.held[0].sent:
            sent.append(self.held.popleft())
        if not sent and not self.killing:
            self.pump()
            return
        offset, started = None, 0.0
        if sent and died and self.strikes.died(sent):
            offset, started = 0, running.started if running is not None else monotonic()
            reason += f", for the {self.strikes.allowed}. time while it ran this item"
        elif self.killing and running is not None and (running.chunk, running.offset) == (sent[0].chunk.number, 0):
            offset, started = 0, running.started
        numbers = tuple(parcel.chunk.number for parcel in sent)
        self._emit_lost(Lost(WorkerLost(self.number, numbers, None, offset, reason, started), None))

    def see(self, at: tuple[int, int, float] | None) -> None:
        """Take in what is under way; what is not first in line any more is old news."""
        if at is None or not self.held or self.held[0].chunk.number != at[0]:
            self.running = None
        else:
            self.running = Running(self.number, *at)

    def _give_back(self, parcel: Parcel) -> None:
        self.emit(ChunkEnded(self.number, parcel.chunk.number, [], [monotonic()], {}, [] if self.stored else None))
