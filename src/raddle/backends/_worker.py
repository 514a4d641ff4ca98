"""The inside of a worker process: forked by the zygote, it runs chunks until its socket ends or it is killed."""

from __future__ import annotations

import gc
import os
import pickle
import signal
import socket
import struct
import sys
import time
import traceback
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NoReturn

from raddle._attempt import Place, enter
from raddle._model import Chunk
from raddle.backends._shell import describe, qualified_name
from raddle.backends._wire import (
    BETWEEN,
    BROKEN,
    CHUNK,
    DATA_SIZE,
    FINAL,
    LOADING,
    PROTOCOL,
    RESULT,
    RESULTS,
    RUNNING,
    STOP,
    UNLOADABLE,
    Box,
    dumps,
    pack_error,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from _typeshed import ReadableBuffer as Buffer

__all__ = ["Plan", "main", "run_chunk"]


@dataclass(frozen=True, slots=True)
class Plan:
    """What workers are to do. The callables themselves if the worker inherits them, else `packed`: both pickled."""

    timeout: float | None
    func: Callable[[Any], Any] | None = None
    initializer: Callable[[], Any] | None = None
    packed: bytes = b""


@dataclass(slots=True)
class Post:
    """What a worker works with."""

    sock: socket.socket
    box: Box
    place: Place
    #: the STOP byte under which the chunk at hand was sent
    epoch: int = 0


def main(sock: socket.socket, box: Box, plan: Plan) -> NoReturn:
    """Run chunks from `sock` for ever; the process ends here."""
    code = 1
    try:
        signal.signal(signal.SIGINT, _ignore)
        sys.stdin = open(os.devnull)  # noqa: PTH123, SIM115 - for as long as the process lives
        func = _ready(sock, plan)
        memory = box.memory
        post = Post(sock, box, Place(plan.timeout, lambda: memory[STOP] != post.epoch))
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


def _ready(sock: socket.socket, plan: Plan) -> Callable[[Any], Any]:
    stage = "loading the function in the worker"
    try:
        func, initializer = plan.func, plan.initializer
        if plan.packed:
            func, initializer = pickle.loads(plan.packed)  # noqa: S301 - made by our parent
        assert func is not None  # noqa: S101 - for the type checker: a plan has one or the other
        stage = "the initializer"
        if initializer is not None:
            initializer()
    except BaseException as error:  # noqa: BLE001 - the user's code: the parent hears of it and ends the run
        text = f"{stage} raised {describe(error).traceback}"
        _send(sock, BROKEN, -1, 0, [text.encode("utf-8", "backslashreplace")])
        _flush_streams()
        os._exit(1)
    gc.freeze()
    return func


def _serve(post: Post, func: Callable[[Any], Any]) -> None:
    sock, box, cells = post.sock, post.box, post.box.cells

    def one_by_one(piece: bytes) -> Any:
        try:
            item = pickle.loads(piece)  # noqa: S301 - from our parent
        except BaseException as error:
            error.add_note("raddle: the item itself could not be unpickled in the worker; its function did not run")
            raise
        return func(item)

    while head := _receive(sock, CHUNK.size):
        number, post.epoch, apart, meta_size, items_size = CHUNK.unpack(head)
        meta, data = _receive(sock, meta_size), _receive(sock, items_size)
        cells[Box.BASE] = cells[Box.OFFSET] = 0
        box.clock[0] = time.monotonic()
        cells[Box.NUMBER] = number
        cells[Box.STATE] = LOADING
        try:
            items = [] if box.memory[STOP] != post.epoch else pickle.loads(data)  # noqa: S301 - from our parent
        except BaseException:  # noqa: BLE001 - one of the items; the parent sends them one by one next time
            _send(sock, UNLOADABLE, number, 0, [])
        else:
            positions, attempt, ids, budget, run = pickle.loads(meta)  # noqa: S301 - from our parent
            chunk = Chunk(number, items, positions, attempt, ids, budget, run)
            run_chunk(post, chunk, one_by_one if apart else func)
        _flush_streams()
        cells[Box.STATE] = BETWEEN
        cells[Box.NUMBER] = -1


def run_chunk(post: Post, chunk: Chunk, func: Callable[[Any], Any]) -> None:
    """Run the items and send the results.

    Each store below may be the last one of this process. A result is in the data before its row is in the tables,
    and its row is there before OFFSET moves; BASE moves only after the rows before it were sent. So a reader who knows
    how many results arrived finds exactly the others.
    """
    place, box = post.place, post.box
    memory, clock, ends, cells = box.memory, box.clock, box.ends, box.cells
    monotonic, pack, at_offset = time.monotonic, pickle.dumps, Box.OFFSET
    place.chunk = chunk
    row = at = 0
    failed = False
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
            piece, failed = pack_error(describe(error)), True
        else:
            try:
                piece = pack(value, PROTOCOL)
            except BaseException:  # noqa: BLE001 - somebody's __reduce__
                piece, failed = _pack_stubborn(value)
            value = None
        end = at + len(piece)
        if end > DATA_SIZE:
            row, at, now = _make_room(post, chunk.number, (row, at, now), piece, failed=failed)
            failed = False
            continue
        memory[at:end] = piece
        at = end
        now = monotonic()
        row += 1
        clock[row] = now
        if failed:
            end, failed = ~end, False
        ends[row] = end
        cells[at_offset] = offset + 1
    cells[Box.STATE] = BETWEEN
    place.chunk = None
    _send_rows(post, FINAL, chunk.number, row, at)


def _make_room(
    post: Post, number: int, filled: tuple[int, int, float], piece: bytes, *, failed: bool
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
        _send(post.sock, RESULTS, number, 1, [table, piece])
        cells[Box.BASE] = offset + 1
        now = box.clock[0] = time.monotonic()
    else:
        row, at = 1, size
        box.memory[:size] = piece
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
    box = post.box
    with memoryview(box.memory) as view, view[:at] as data:
        _send(post.sock, kind, number, row, [box.clock[: row + 1], box.ends[1 : row + 1], data])


def _send(sock: socket.socket, kind: int, number: int, count: int, buffers: Sequence[Buffer]) -> None:
    views: list[memoryview] = [memoryview(buffer).cast("B") for buffer in buffers]
    size = sum(map(len, views))
    parts: list[bytes | memoryview] = [RESULT.pack(kind, number, count, size), *views]
    sent = sock.sendmsg(parts)
    if sent < RESULT.size + size:  # a signal of the user's own came between
        sock.sendall(b"".join(parts)[sent:])


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
