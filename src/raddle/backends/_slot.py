"""One worker as the parent sees it: what it was given, what came back, and what is left when it dies."""

from __future__ import annotations

import pickle
import socket
import time
from collections import deque
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from selectors import EVENT_READ, EVENT_WRITE, BaseSelector
from typing import TYPE_CHECKING, Any

from raddle import errors
from raddle._events import ChunkEnded, RunFailed, WorkerLost
from raddle._model import Chunk, ErrorInfo, Running
from raddle.backends._shell import describe, exit_text
from raddle.backends._wire import (
    BROKEN,
    CHUNK,
    FINAL,
    LOAD_ERRORS,
    LOADING,
    MAX_CHUNK,
    NO_SIGNAL,
    PROTOCOL,
    RUNNING,
    STARTING,
    STOP,
    UNLOADABLE,
    Box,
    FrameReader,
    by_value,
    dumps,
    unpack_error,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from raddle._events import Event
    from raddle.backends._launch import Zygote

__all__ = ["Shared", "Slot"]


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


@dataclass(slots=True)
class Held:
    """A chunk that a worker has, and its results so far."""

    chunk: Chunk
    #: how many of its items were sent
    count: int
    stored: list[bytes] | None
    values: list[Any] = field(default_factory=list)
    clock: list[float] = field(default_factory=list)
    errors: dict[int, ErrorInfo] = field(default_factory=dict)

    def add(self, clock: Sequence[float], ends: list[int], data: bytes) -> None:
        """Take results in: `ends` are where each one's pickle ends in the data, inverted (~) for an error."""
        self.clock += clock[1:] if self.clock else clock
        if ends and min(ends) > 0:
            pieces = [data[start:end] for start, end in zip([0, *ends], ends, strict=False)]
            try:
                values = list(map(pickle.loads, pieces))
            except LOAD_ERRORS:
                pass  # one of them: look at each
            else:
                self.values += values
                if self.stored is not None:
                    self.stored += pieces
                return
        start = 0
        for end in ends:
            stop = max(end, ~end)
            self._add_one(data[start:stop], failed=end < 0)
            start = stop

    def _add_one(self, piece: bytes, *, failed: bool) -> None:
        value, error = None, None
        try:
            if failed:
                error = unpack_error(piece)
            else:
                value = pickle.loads(piece)  # noqa: S301 - from our own worker
        except LOAD_ERRORS as broken:
            error = _travel_error(broken, "its result came back, but cannot be unpickled")
        if error is not None:
            self.errors[len(self.values)] = error
            piece = b""
        self.values.append(value)
        if self.stored is not None:
            self.stored.append(piece)

    def ended(self, worker: int) -> ChunkEnded:
        """Return the event that ends this chunk."""
        clock = self.clock or [time.monotonic()]
        return ChunkEnded(worker, self.chunk.number, self.values, clock, self.errors, self.stored)


def _travel_error(error: BaseException, what: str) -> ErrorInfo:
    info = describe(error, keep=False)
    return replace(info, message=f'{what} ({info.message}): use plain data, or backend="threads"')


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

    # ------------------------------------------------------------------------------------------------- to the worker

    def start(self, chunk: Chunk) -> None:
        """Send a chunk, or as much of it as can be pickled."""
        count, buffers, error = self._pack(chunk)
        held = Held(chunk, count, [] if self._shared.stored else None)
        if error is not None:
            now = time.monotonic()
            held.values, held.clock, held.errors = [None], [now, now], {0: error}
            if held.stored is not None:
                held.stored.append(b"")
            self._shared.emit(held.ended(self.number))
            return
        if self._sock is None:
            self._spawn()
        self.held.append(held)
        self._out.extend(map(memoryview, buffers))
        self._write()

    def _pack(self, chunk: Chunk) -> tuple[int, list[bytes], ErrorInfo | None]:
        pack = partial(by_value, hidden=self._shared.zygote.hidden) if self._shared.fresh else dumps
        suspects, items = self._shared.suspects, chunk.items
        apart = bool(suspects) and not suspects.isdisjoint(chunk.positions)
        data, error = b"", None
        if not apart:
            try:
                data = pack(items)
            except Exception:  # noqa: BLE001 - somebody's __reduce__; whose is found below
                apart = True
        count = len(items)
        if apart:
            pieces = []
            for item in items:
                try:
                    pieces.append(pack(item))
                except Exception as broken:  # noqa: BLE001 - this one's: it costs this item only
                    count, error = len(pieces), _travel_error(broken, "the item cannot be pickled for its worker")
                    break
            data = pickle.dumps(pieces, PROTOCOL)
        meta = pickle.dumps((chunk.positions, chunk.attempt, chunk.ids, chunk.budget, chunk.run), PROTOCOL)
        head = CHUNK.pack(chunk.number, self._epoch, apart, len(meta), len(data))
        return count, [head, meta, data], None if count else error

    def _spawn(self) -> None:
        ours, theirs = socket.socketpair()
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
            self._read()
            if self._reader.ended and self._sock is not None and self._mask:
                # Dead, or it closed its socket: dead soon. Its end is complete when the zygote has reaped it.
                self._shared.selector.unregister(self._sock)
                self._mask = 0
                self._shared.zygote.kill(self.number)

    def _read(self) -> None:
        if self._sock is None:
            return
        for kind, number, count, body in self._reader.read(self._sock):
            if kind == BROKEN:
                text = str(body, "utf-8", "replace")
                self._doomed = True
                self._shared.emit(RunFailed(errors.BackendError(f"process-{self.number} cannot start: {text}")))
                continue
            held = self.held[0]
            assert held.chunk.number == number, (held.chunk.number, number)  # noqa: S101 - a worker keeps the order
            if kind == UNLOADABLE:
                self._shared.suspects.update(held.chunk.positions)
            else:
                split = 8 * (count + 1)
                clock: memoryview[float] = body[:split].cast("d")
                ends = body[split : split + 8 * count].cast("q")
                held.add(clock.tolist(), ends.tolist(), bytes(body[split + 8 * count :]))
            if kind in (FINAL, UNLOADABLE):
                self._shared.emit(self._ended(self.held.popleft()))

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
                return Running(self.number, number, offset, started) if counts and offset < counts[0] else None
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
