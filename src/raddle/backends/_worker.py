"""The inside of a worker process: forked by the zygote, it runs chunks until its socket ends or it is killed."""

from __future__ import annotations

import gc
import marshal
import os
import pickle
import signal
import socket
import struct
import sys
import time
import traceback
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NoReturn

from raddle._attempt import Place, be_worker_process, enter
from raddle._model import Chunk
from raddle.backends._box import BETWEEN, DATA_SIZE, LOADING, RUNNING, SHARED_FROM, STOP, Box, Sink
from raddle.backends._outlet import Outlet
from raddle.backends._shell import describe, leave, qualified_name
from raddle.backends._wire import (
    AS_LIST,
    BROKEN,
    CHUNK,
    FINAL,
    IN_FRAME,
    MEASURED,
    PLAIN,
    PROTOCOL,
    RESULTS,
    UNLOADABLE,
    dumps,
    pack_error,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from _typeshed import ReadableBuffer as Buffer

    from raddle.backends._context import Variable
    from raddle.backends._trial import Trial

#: bytes; where results are longer on average, what it takes to load each by itself does not matter
_SHORT = 256
#: bytes; where results are as long as this, they are pickled into memory that is there already
_LARGE = 1 << 15

__all__ = ["Plan", "main", "run_chunk"]


@dataclass(frozen=True, slots=True)
class Plan:
    """What workers are to do. The callables themselves if the worker inherits them, else `packed`: both pickled."""

    timeout: float | None
    func: Callable[[Any], Any] | None = None
    initializer: Callable[[], Any] | None = None
    packed: bytes = b""
    #: results are wanted as pickles that can be kept
    stored: bool = False
    #: what a fresh interpreter must be told, and a fork inherits
    context: list[Variable] = field(default_factory=list)
    logging: dict[str, Any] | None = None


@dataclass(slots=True)
class Post:
    """What a worker works with."""

    sock: socket.socket
    outlet: Outlet
    box: Box
    place: Place
    stored: bool = False
    #: the STOP byte under which the chunk at hand was sent
    epoch: int = 0
    #: how many halves full of results were left for the parent
    left: int = 0
    #: results are large: pickle them here
    scratch: Sink | None = None
    large: bool = False
    #: measures the chunk at hand
    trial: Trial | None = None

    def packer(self) -> Callable[[Any, int], bytes | memoryview]:
        """Return what pickles the results of the next chunk."""
        pack: Callable[[Any, int], bytes | memoryview] = self.dumps if self.large else pickle.dumps
        return self.trial.watch(pack) if self.trial else pack

    def dumps(self, value: Any, _protocol: int) -> bytes | memoryview:
        """Pickle what may be large."""
        if self.scratch is None:
            self.scratch = Sink(memoryview(bytearray(DATA_SIZE)))
        packed = self.scratch.dump(value)
        return pickle.dumps(value, PROTOCOL) if packed is None else packed


def main(sock: socket.socket, box: Box, plan: Plan, slot: int) -> NoReturn:
    """Run chunks from `sock` for ever; the process ends here."""
    code = 1
    try:
        signal.signal(signal.SIGINT, _ignore)
        sys.stdin = open(os.devnull)  # noqa: PTH123, SIM115 - for as long as the process lives
        box.cells[Box.PID] = os.getpid()
        be_worker_process()
        outlet = Outlet(sock)
        func = _ready(outlet, plan, f"process-{slot}")
        memory = box.memory
        post = Post(sock, outlet, box, Place(plan.timeout, lambda: memory[STOP] != post.epoch, outlet.report))
        post.stored = plan.stored
        enter(post.place)
        box.cells[Box.STATE] = BETWEEN
        _serve(post, func)
        code = 0
    except (BrokenPipeError, ConnectionResetError):
        pass  # the parent is gone, and so is whoever could want a message
    except BaseException:  # noqa: BLE001 - last stop before the process ends: say it, whatever it is
        traceback.print_exc()
    finally:
        _flush_streams()
        os._exit(code)


def _ignore(*_: object) -> None:
    """Do nothing. Not SIG_IGN, which the item's own child processes would inherit."""


def _ready(outlet: Outlet, plan: Plan, name: str) -> Callable[[Any], Any]:
    from raddle.backends import _logs  # imports `logging`: in the zygote, which has time for it

    stage = "loading the function in the worker"
    try:
        _logs.install(outlet, name, plan.logging)
        func, initializer = plan.func, plan.initializer
        if plan.packed:
            func, initializer = pickle.loads(plan.packed)  # noqa: S301 - made by our parent
            _logs.install(outlet, name, plan.logging)
        if plan.context:
            from raddle.backends import _context

            _context.restore(plan.context)
        assert func is not None  # noqa: S101 - for the type checker: a plan has one or the other
        stage = "the initializer"
        if initializer is not None:
            initializer()
    except BaseException as error:  # noqa: BLE001 - the user's code: the parent hears of it and ends the run
        text = f"{stage} raised {describe(error).traceback}"
        outlet.send(BROKEN, -1, 0, [text.encode("utf-8", "backslashreplace")])
        _flush_streams()
        os._exit(1)
    gc.freeze()
    return func


def _serve(post: Post, func: Callable[[Any], Any]) -> None:
    sock, box, cells = post.sock, post.box, post.box.cells
    trial: Trial | None = None

    def one_by_one(piece: bytes) -> Any:
        try:
            item = pickle.loads(piece)  # noqa: S301 - from our parent
        except BaseException as error:
            error.add_note("raddle: the item itself could not be unpickled in the worker; its function did not run")
            raise
        return func(item)

    while head := _receive(sock, CHUNK.size):
        number, post.epoch, apart, where, meta_size, items_size = CHUNK.unpack(head)
        meta = _receive(sock, meta_size)
        data = _receive(sock, items_size) if where == IN_FRAME else box.items[where][:items_size]
        cells[Box.BASE] = cells[Box.OFFSET] = 0
        began = box.clock[0] = time.monotonic()
        cells[Box.NUMBER] = number
        cells[Box.STATE] = LOADING
        try:
            items = [] if box.memory[STOP] != post.epoch else pickle.loads(data)  # noqa: S301 - from our parent
        except BaseException:  # noqa: BLE001 - one of the items; the parent sends them one by one next time
            post.outlet.send(UNLOADABLE, number, 0, [])
        else:
            del data
            positions, attempt, ids, budget, run = pickle.loads(meta)  # noqa: S301 - from our parent
            if cells[Box.TRIAL]:
                loading = time.monotonic() - began
                trial = post.trial = trial or _new_trial()
                trial.begin(loading)
            run_chunk(post, Chunk(number, items, positions, attempt, ids, budget, run), one_by_one if apart else func)
            if trial and not cells[Box.TRIAL]:
                trial.close()
                trial = post.trial = None
        _flush_streams()
        cells[Box.STATE] = BETWEEN
        cells[Box.NUMBER] = -1


def _new_trial() -> Trial:
    from raddle.backends._trial import Trial

    return Trial()


def run_chunk(post: Post, chunk: Chunk, func: Callable[[Any], Any]) -> None:
    """Run the items and send the results.

    Each store below may be the last one of this process. A result is in the data before its row is in the tables,
    and its row is there before OFFSET moves; BASE moves only after the rows before it were sent. So a reader who knows
    how many results arrived finds exactly the others.
    """
    place, box = post.place, post.box
    memory, clock, ends, cells, data = box.memory, box.clock, box.ends, box.cells, box.results[box.cells[Box.HALF]]
    monotonic, at_offset, pack_plain, type_of = time.monotonic, Box.OFFSET, marshal.dumps, type
    pack = post.packer()
    plain_types = frozenset[type]() if post.stored else PLAIN
    plain: list[Any] = []
    keep = plain.append
    place.chunk = chunk
    piece: bytes | memoryview
    row, at, failed = 0, 0, False
    now = clock[0] = monotonic()
    limit, epoch = now + chunk.budget, post.epoch
    cells[Box.STATE] = RUNNING
    for offset, item in enumerate(chunk.items):
        if now > limit or memory[STOP] != epoch:
            break
        place.offset = offset
        place.started = now
        try:
            value = func(item)
        except BaseException as error:  # noqa: BLE001 - whatever the function raises is how its item ended
            piece, failed = _failed(post, error), True
        else:
            try:
                if type_of(value) in plain_types:
                    piece = pack_plain(value)
                    keep(value)
                else:
                    piece = pack(value, PROTOCOL)
            except BaseException:  # noqa: BLE001 - somebody's __reduce__
                piece, failed = _pack_stubborn(value)
            value = None
        end = at + len(piece)
        if end > DATA_SIZE:
            row, at, now = _make_room(post, chunk.number, (row, at, now), piece, failed=failed)
            data = box.results[cells[Box.HALF]]
            failed = False
            plain.clear()
            continue
        data[at:end] = piece
        at = end
        now = monotonic()
        row += 1
        clock[row] = now
        if failed:
            end, failed = ~end, False
        ends[row] = end
        cells[at_offset] = offset + 1
    _end_chunk(post, row, at, plain)


def _failed(post: Post, error: BaseException) -> bytes:
    if not post.outlet.mine:
        leave(error)
    return pack_error(describe(error))


def _end_chunk(post: Post, row: int, at: int, plain: list[Any]) -> None:
    box, cells = post.box, post.box.cells
    cells[Box.STATE] = BETWEEN
    post.place.chunk = None
    number = cells[Box.NUMBER]
    # of the last chunk's results that are still here, or went because they were too many
    post.large = at >= row * _LARGE > 0 or (not row and cells[Box.BASE] > 0)
    if post.trial:
        items = cells[Box.OFFSET]
        measured = post.trial.end(items)
        if items:
            post.outlet.send(MEASURED, -1, 0, [measured])
            cells[Box.TRIAL] = not post.trial.enough
    if row == len(plain) and at < max(SHARED_FROM, _SHORT * row):
        # Of nothing but plain values one pickle is made once more: a tenth of the work for the parent.
        post.outlet.send(FINAL, number, row, [box.clock[: row + 1], marshal.dumps(plain)], AS_LIST)
    else:
        _send_rows(post, FINAL, number, row, at)


def _make_room(
    post: Post, number: int, filled: tuple[int, int, float], piece: bytes | memoryview, *, failed: bool
) -> tuple[int, int, float]:
    """Send what is in the box and put `piece` there, or send it too if the box is too small for it.

    Returns the box's new filling: rows, bytes, and when the next item starts.
    """
    row, at, started = filled
    box, cells = post.box, post.box.cells
    size, offset = len(piece), cells[Box.OFFSET]
    # Waiting for a slow parent is no part of the item's time; dying meanwhile is blamed on it all the same.
    cells[Box.STATE] = ~offset
    if row:
        _send_rows(post, RESULTS, number, row, at)
        box.clock[0] = started
        cells[Box.BASE] = offset
    if size > DATA_SIZE:
        row = at = 0
        table = struct.pack("@ddq", started, time.monotonic(), ~size if failed else size)
        post.outlet.send(RESULTS, number, 1, [table, piece])
        cells[Box.BASE] = offset + 1
        now = box.clock[0] = time.monotonic()
    else:
        row, at = 1, size
        box.results[cells[Box.HALF]][:size] = piece
        now = box.clock[1] = time.monotonic()
        box.ends[1] = ~size if failed else size
    cells[Box.OFFSET] = offset + 1
    cells[Box.STATE] = RUNNING
    return row, at, now


def _pack_stubborn(value: Any) -> tuple[bytes, bool]:
    """Pickle what plain pickle refused, or say why it cannot be; whether that failed."""
    try:
        return dumps(value), False
    except BaseException as error:  # noqa: BLE001 - somebody's __reduce__
        info = describe(error, keep=False)
        message = (
            f"the function returned a {qualified_name(type(value))}, which cannot be pickled ({info.message}): "
            'return plain data, or use backend="threads"'
        )
        return pack_error(replace(info, message=message)), True


def _send_rows(post: Post, kind: int, number: int, row: int, at: int) -> None:
    box, cells = post.box, post.box.cells
    half = cells[Box.HALF]
    tables: list[Buffer] = [box.clock[: row + 1], box.ends[1 : row + 1]]
    if at < SHARED_FROM or cells[Box.TAKEN] != post.left:
        with box.results[half][:at] as data:
            post.outlet.send(kind, number, row, [*tables, data])
        return
    # The other half is free: leave the data where it is. A reader of the black box looks at HALF only if this frame
    # has not arrived, and then it has not moved.
    post.outlet.send(kind, number, row, tables, half)
    post.left += 1
    cells[Box.HALF] = 1 - half


def _receive(sock: socket.socket, size: int) -> bytes:
    """Return `size` bytes, or b"" if the parent closed its end."""
    data = sock.recv(size, socket.MSG_WAITALL)
    while 0 < len(data) < size:
        more = sock.recv(size - len(data), socket.MSG_WAITALL)
        if not more:
            return b""
        data += more
    return data


def _flush_streams() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError):
            continue  # closed by somebody: what the function printed is not ours to save
