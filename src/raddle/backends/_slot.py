"""One worker as the parent sees it: what it was given, what came back, and what is left when it dies."""

from __future__ import annotations

import contextlib
import pickle
import socket
import time
from collections import deque
from dataclasses import dataclass, field
from itertools import islice
from selectors import EVENT_READ, EVENT_WRITE, BaseSelector
from typing import TYPE_CHECKING, Any

from raddle import errors
from raddle._events import ChunkEnded, Measured, Reported, RunFailed, WorkerLost
from raddle._model import Chunk, ErrorInfo, Running
from raddle.backends._box import DATA_SIZE, LOADING, RUNNING, SHARED_FROM, STARTING, STOP, Box, Sink
from raddle.backends._held import Held, travel_error
from raddle.backends._outlet import REPORT
from raddle.backends._shell import exit_text
from raddle.backends._wire import (
    AS_LIST,
    BROKEN,
    CHUNK,
    FINAL,
    IN_FRAME,
    LOGGED,
    MAX_CHUNK,
    MEASURED,
    MEASUREMENT,
    NO_SIGNAL,
    PROTOCOL,
    REPORTED,
    UNLOADABLE,
    FrameReader,
    by_value,
    dumps,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from raddle._events import Event
    from raddle.backends._launch import Zygote

__all__ = ["Shared", "Slot"]

#: frames that are taken from a worker in one go: one that writes without end must not keep the driver from the others
_PORTION = 256
#: bytes of a result, on average
_SMALL = 4096
_NEWS = frozenset({BROKEN, REPORTED, LOGGED, MEASURED})


@dataclass(slots=True)
class Shared:
    """What all slots of a backend use."""

    zygote: Zygote
    selector: BaseSelector
    emit: Callable[[Event], None]
    #: workers are forks of a fresh interpreter
    fresh: bool
    #: results are wanted pickled too
    stored: bool
    #: positions of items in chunks that could not be unpickled: they travel apart from each other from now on
    suspects: set[int] = field(default_factory=set)


class Slot:
    """A slot of the backend; its worker comes with the first chunk, and again after a death."""

    def __init__(self, number: int, box: Box, shared: Shared) -> None:
        self.number = number
        self.held: deque[Held] = deque()
        self._box = box
        self._shared = shared
        self._sock: socket.socket | None = None
        self._reader = FrameReader()
        self._out: deque[memoryview] = deque()
        self._mask = 0
        self._doomed = False
        self._epoch = 0
        #: the items of the last chunk were
        self._large = False

    # ------------------------------------------------------------------------------------------------- to the worker

    def start(self, chunk: Chunk) -> None:
        """Send a chunk, or as much of it as can be pickled."""
        count, where, buffers, error = self._pack(chunk)
        held = Held(chunk, count, where, [] if self._shared.stored else None)
        if error is not None:
            now = time.monotonic()
            held.values, held.clock, held.errors = [None], [now, now], {0: error}
            if held.stored is not None:
                held.stored.append(b"")
            self._shared.emit(held.ended(self.number))
            return
        if self._sock is None:
            try:
                self._spawn()
            except errors.BackendError as failure:
                self._shared.emit(RunFailed(failure))
                self._shared.emit(held.ended(self.number))
                return
        self.held.append(held)
        self._out.extend(map(memoryview, buffers))
        self._write()

    def _pack(self, chunk: Chunk) -> tuple[int, int, list[bytes], ErrorInfo | None]:
        suspects, items = self._shared.suspects, chunk.items
        apart = bool(suspects) and not suspects.isdisjoint(chunk.positions)
        count, where, size, data, error = len(items), IN_FRAME, 0, b"", None
        if not apart:
            try:
                where, size, data = self._pack_items(items)
            except BaseException:  # noqa: BLE001 - somebody's __reduce__; whose is found below
                apart = True
        if apart:
            pieces = []
            for item in items:
                try:
                    pieces.append(self._pack_plainly(item))
                except BaseException as broken:  # noqa: BLE001 - this one's: it costs this item only
                    count, error = len(pieces), travel_error(broken, "the item cannot be pickled for its worker")
                    break
            data = pickle.dumps(pieces, PROTOCOL)
            size = len(data)
        meta = pickle.dumps((chunk.positions, chunk.attempt, chunk.ids, chunk.budget, chunk.run), PROTOCOL)
        head = CHUNK.pack(chunk.number, self._epoch, apart, where, len(meta), size)
        return count, where, [head, meta, data] if data else [head, meta], None if count else error

    def _pack_plainly(self, value: Any) -> bytes:
        return by_value(value, self._shared.zygote.hidden) if self._shared.fresh else dumps(value)

    def _pack_items(self, items: list[Any]) -> tuple[int, int, bytes]:
        """Pickle the items, into a half of the box that no chunk uses if they are large; say which, and the size."""
        half = next(iter({0, 1}.difference(held.where for held in self.held)), None) if self._large else None
        if half is not None:
            with contextlib.suppress(BaseException):  # what plain pickle refuses is looked at below
                view = Sink(self._box.items[half]).dump(items)
                if view is not None and not (self._shared.fresh and self._goes_by_value(half, len(view))):
                    self._large = len(view) >= SHARED_FROM
                    return half, len(view), b""
        data = self._pack_plainly(items)
        self._large = SHARED_FROM <= len(data) <= DATA_SIZE
        return IN_FRAME, len(data), data

    def _goes_by_value(self, half: int, size: int) -> bool:
        start = Box.ITEMS + half * DATA_SIZE
        names = (b"__main__", *self._shared.zygote.hidden)
        return any(self._box.memory.find(name, start, start + size) >= 0 for name in names)

    def _spawn(self) -> None:
        try:
            ours, theirs = socket.socketpair()
        except OSError as error:
            what = f"no socket for worker {self.number}: {error.strerror}"
            raise errors.BackendError(f"{what}; lower workers=, or raise the limit (ulimit -n)") from error
        with theirs:
            ours.settimeout(0)
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
            theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
            self._box.reset()
            self._doomed = False
            self._sock, self._reader, self._mask = ours, FrameReader(), EVENT_READ
            self._shared.selector.register(ours, EVENT_READ, self.ready)
            self._shared.zygote.fork(self.number, theirs)

    def _write(self) -> None:
        sock, out = self._sock, self._out
        if sock is None:
            return
        while out:
            try:
                sent = sock.sendmsg(list(islice(out, 16)), [], NO_SIGNAL)
            except BlockingIOError:
                break
            except OSError:
                out.clear()  # it died; the zygote will say so
                break
            while out and sent >= len(out[0]):
                sent -= len(out.popleft())
            if sent:
                out[0] = out[0][sent:]
        self._listen(EVENT_READ | (EVENT_WRITE if out else 0))

    def _listen(self, mask: int) -> None:
        if self._sock is not None and mask != self._mask and self._mask:
            self._mask = mask
            self._shared.selector.modify(self._sock, mask, self.ready)

    def stop(self) -> None:
        """Let nothing more be started of what was sent so far."""
        self._epoch = (self._epoch + 1) % 256
        self._box.memory[STOP] = self._epoch

    def kill(self) -> None:
        """End the worker and all that it started; one that has nothing to do is left alone, and said to be lost."""
        if not self.held:
            self._shared.emit(WorkerLost(self.number, (), None, None, "it had ended all it was given"))
        elif not self._doomed:
            self._doomed = True
            self._shared.zygote.kill(self.number)

    # ----------------------------------------------------------------------------------------------- from the worker

    def ready(self, mask: int) -> None:
        """Go on with what the socket allows."""
        if mask & EVENT_WRITE:
            self._write()
        if mask & EVENT_READ:
            self._read(_PORTION)
            if self._reader.ended and self._sock is not None and self._mask:
                # Dead, or it closed its socket: dead soon. Its end is complete when the zygote has reaped it.
                self._shared.selector.unregister(self._sock)
                self._mask = 0
                self._shared.zygote.kill(self.number)

    def _read(self, most: int | None = None) -> None:
        if self._sock is None:
            return
        for kind, number, count, where, body in islice(self._reader.read(self._sock), most):
            if kind in _NEWS:
                self._hear(kind, number, count, body)
                continue
            held = self.held[0]
            assert held.chunk.number == number, (held.chunk.number, number)  # noqa: S101 - a worker keeps the order
            if kind == UNLOADABLE:
                self._shared.suspects.update(held.chunk.positions)
            else:
                self._take(held, count, where, body)
            if kind in (FINAL, UNLOADABLE):
                self._shared.emit(self._ended(self.held.popleft()))

    def _take(self, held: Held, count: int, where: int, body: memoryview) -> None:
        split = 8 * (count + 1)
        clock: list[float] = list(body[:split].cast("d"))
        if where == AS_LIST:
            held.add_plain(clock, body[split:])
            return
        ends = body[split : split + 8 * count].cast("q").tolist()
        data = body[split + 8 * count :] if where == IN_FRAME else self._box.results[where]
        size = max(ends[-1], ~ends[-1]) if ends else 0
        # Small pieces are cut out of bytes in half the time, large ones are better not copied.
        held.add(clock, ends, bytes(data[:size]) if size < _SMALL * count else data[:size])
        if where != IN_FRAME:
            self._box.cells[Box.TAKEN] += 1

    def _hear(self, kind: int, number: int, count: int, body: memoryview) -> None:
        """Pass on what is not a result."""
        if kind == LOGGED:
            from raddle.backends import _logs  # costs a run that logs nothing 3 ms if it stands above

            _logs.replay(body)
        elif kind == REPORTED:
            (percent,) = REPORT.unpack_from(body)
            note = str(body[REPORT.size :], "utf-8", "replace")
            self._shared.emit(Reported(self.number, number, count, percent, note))
        elif kind == MEASURED:
            self._shared.emit(Measured(*MEASUREMENT.unpack(body)))
        else:
            text = str(body, "utf-8", "replace")
            self._doomed = True
            self._shared.emit(RunFailed(errors.BackendError(f"process-{self.number} cannot start: {text}")))

    def _ended(self, held: Held) -> ChunkEnded:
        if self._shared.suspects:
            self._shared.suspects.difference_update(held.chunk.positions[: len(held.values)])
        return held.ended(self.number)

    def running(self) -> Running | None:
        """Return the item under way. Read while the worker writes: what does not fit together is read again."""
        if not self.held:
            return None
        cells = self._box.cells
        for _ in range(3):
            number, base, state, offset = cells[Box.NUMBER], cells[Box.BASE], cells[Box.STATE], cells[Box.OFFSET]
            if state not in (RUNNING, LOADING):
                return None
            if not 0 <= offset - base <= MAX_CHUNK:
                continue
            started = self._box.clock[offset - base]
            if (number, base) == (cells[Box.NUMBER], cells[Box.BASE]):
                counts = [held.count for held in self.held if held.chunk.number == number]
                if not counts or offset >= counts[0]:
                    return None
                return Running(self.number, number, offset, started, cells[Box.PID])
        return None

    def bury(self, code: int) -> None:
        """Take the death of the worker in, which wrote its last."""
        self._read()
        if self._sock is not None:
            if self._mask:
                self._shared.selector.unregister(self._sock)
            self._sock.close()
        self._sock, self._mask = None, 0
        self._out.clear()
        if not self.held and not self._doomed:
            return
        ended, offset, started = self._remains() if self.held else (None, None, 0.0)
        chunks = tuple(held.chunk.number for held in self.held)
        self.held.clear()
        reason = exit_text(code)
        if self._box.cells[Box.STATE] == STARTING and not self._doomed:
            reason += " while it started"
        self._shared.emit(WorkerLost(self.number, chunks, ended, offset, reason, started))

    def _remains(self) -> tuple[ChunkEnded | None, int | None, float]:
        """Read the black box: the chunk that was run, the offset of the item under way, and when that started."""
        held, box = self.held[0], self._box
        number, base, offset, state = box.cells[:4].tolist()
        if number != held.chunk.number:
            return None, None, 0.0
        if state == LOADING:
            self._shared.suspects.update(held.chunk.positions)
            return None, None, 0.0
        if len(held.values) == base < offset:
            held.add(*box.rows(offset - base))
        under_way = state in (RUNNING, ~offset) and offset == len(held.values) < held.count
        started = box.clock[offset - base] if under_way else 0.0
        return self._ended(held), offset if under_way else None, started

    def close(self) -> None:
        """Let go of everything."""
        if self._sock is not None:
            if self._mask:
                self._shared.selector.unregister(self._sock)
            self._sock.close()
            self._sock = None
        self.held.clear()
        self._box.close()
