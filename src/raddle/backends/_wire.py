"""What parent and workers agree on: the memory a worker shares, the frames on its socket, how objects are pickled.

The shared memory of a worker is its black box. A result is written there the moment its item ends, and the store of
`OFFSET` both commits it and says which item is under way. What was not yet sent when a worker dies is read from it, so
that nothing finished is lost or run again. The order of the stores is the protocol: see `_worker.run_chunk`.
"""

from __future__ import annotations

import mmap
import os
import pickle
import socket
import struct
import sys
import tempfile
from typing import TYPE_CHECKING, Any, Final

from raddle._model import ErrorInfo

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import ModuleType

__all__ = [
    "BETWEEN",
    "BROKEN",
    "CHUNK",
    "DATA_SIZE",
    "FINAL",
    "LOADING",
    "LOAD_ERRORS",
    "MAX_CHUNK",
    "NO_SIGNAL",
    "PROTOCOL",
    "REGION",
    "RESULT",
    "RESULTS",
    "RUNNING",
    "STARTING",
    "STOP",
    "UNLOADABLE",
    "Box",
    "FrameReader",
    "by_value",
    "dumps",
    "hide",
    "pack_error",
    "shared_memory",
    "unpack_error",
]

PROTOCOL: Final = 5
MAX_CHUNK: Final = 8192
DATA_SIZE: Final = 1 << 20

# The region of one worker: results, then two tables with a row for each of them, then single cells.
_CLOCK = DATA_SIZE
_ENDS = _CLOCK + 8 * (MAX_CHUNK + 1)
_CELLS = _ENDS + 8 * (MAX_CHUNK + 1)
_CELL_COUNT = 5
#: a multiple of every page size in use, so that a worker can map its own region alone
REGION: Final = (_CELLS // 65536 + 1) * 65536
#: byte of the region, looked at before each item: when it differs from the one in the chunk's frame, the rest of the
#: chunk is given back
STOP: Final = _CELLS + 8 * 4

# States of a worker. A negative one, ~offset: the item there has ended and its result waits for room or is being sent.
BETWEEN, RUNNING, LOADING, STARTING = range(4)

#: parent to worker: chunk number, the STOP byte it runs under, whether its items are pickled one by one, sizes of the
#: two pickles that follow
CHUNK: Final = struct.Struct("@qqqqq")
#: worker to parent: kind, chunk number, number of results, size of what follows
RESULT: Final = struct.Struct("@qqqq")
# Kinds: some results of a chunk, its last ones, its items cannot be unpickled, the worker cannot start.
RESULTS, FINAL, UNLOADABLE, BROKEN = range(4)

#: flag of a send to somebody who may be dead: the user's program may have set SIGPIPE to its deadly default
NO_SIGNAL: Final = getattr(socket, "MSG_NOSIGNAL", 0)
#: what unpickling somebody's object may raise; KeyboardInterrupt is left to mean the user's Ctrl-C
LOAD_ERRORS: Final = (Exception, SystemExit, GeneratorExit)


class Box:
    """The shared memory of one worker, mapped.

    `cells` are: number of the chunk under way (-1: none), offset of the first item in the tables, offset of the item
    under way (all before it are finished), state. `clock[i]` is when row i started, `clock[i + 1]` when it ended;
    `ends[i + 1]` is where its pickle ends in the data, inverted (~) if that is an error.
    """

    __slots__ = ("cells", "clock", "ends", "memory")

    NUMBER, BASE, OFFSET, STATE = range(4)

    def __init__(self, fd: int, worker: int) -> None:
        self.memory = mmap.mmap(fd, REGION, offset=worker * REGION)
        view = memoryview(self.memory)
        self.clock: memoryview[float] = view[_CLOCK:_ENDS].cast("d")
        self.ends: memoryview[int] = view[_ENDS:_CELLS].cast("q")
        self.cells: memoryview[int] = view[_CELLS : _CELLS + 8 * _CELL_COUNT].cast("q")
        view.release()

    def reset(self) -> None:
        """Prepare for a new worker."""
        self.cells[self.NUMBER] = -1
        self.cells[self.STATE] = STARTING

    def rows(self, count: int) -> tuple[list[float], list[int], bytes]:
        """Return the clock, the ends and the data of the first rows."""
        clock, ends = list(self.clock[: count + 1]), list(self.ends[1 : count + 1])
        size = 0 if not ends else max(ends[-1], ~ends[-1])
        return clock, ends, self.memory[:size]

    def close(self) -> None:
        """Unmap."""
        for view in (self.clock, self.ends, self.cells):
            view.release()
        self.memory.close()


def shared_memory(workers: int) -> int:
    """Return a descriptor of memory without a name, with a region for each worker."""
    if hasattr(os, "memfd_create"):
        fd = os.memfd_create("raddle", os.MFD_CLOEXEC)
    else:
        with tempfile.TemporaryFile() as file:
            fd = os.dup(file.fileno())
    os.ftruncate(fd, workers * REGION)
    return fd


class FrameReader:
    """Frames from a socket that does not block, put together piece by piece."""

    __slots__ = ("_body", "_got", "_head", "_view", "ended")

    def __init__(self) -> None:
        self.ended = False
        self._expect(RESULT.size)
        self._head: tuple[int, ...] | None = None

    def _expect(self, size: int) -> None:
        self._body = bytearray(size)
        self._view = memoryview(self._body)
        self._got = 0

    def read(self, sock: socket.socket) -> Iterator[tuple[int, int, int, memoryview]]:
        """Yield (kind, chunk, count, body) until nothing more is there. A half frame before the end is dropped."""
        while not self.ended:
            if self._got < len(self._body):
                try:
                    size = sock.recv_into(self._view[self._got :])
                except BlockingIOError:
                    return
                except OSError:
                    size = 0
                self.ended = size == 0
                self._got += size
            elif self._head is None:
                self._head = RESULT.unpack(self._body)
                self._expect(self._head[3])
            else:
                kind, chunk, count, _ = self._head
                body = self._view
                self._head = None
                self._expect(RESULT.size)
                yield kind, chunk, count, body


def dumps(value: Any) -> bytes:
    """Pickle; what plain pickle refuses goes by cloudpickle, if that is installed."""
    try:
        return pickle.dumps(value, PROTOCOL)
    except Exception:
        cloudpickle = _cloudpickle()
        if cloudpickle is None:
            raise
    data: bytes = cloudpickle.dumps(value, PROTOCOL)
    return data


def by_value(value: Any, hidden: Sequence[bytes] = ()) -> bytes:
    """Pickle for a fresh interpreter, which has another `__main__`: what is defined there goes as code.

    So does what is defined in a module of `hidden`, which `hide` must have seen.
    """
    data = dumps(value)
    if (b"__main__" in data or any(name in data for name in hidden)) and (cloudpickle := _cloudpickle()):
        data = cloudpickle.dumps(value, PROTOCOL)
    return data


def hide(func: Any) -> list[bytes]:
    """Return the name of the module that `func` comes from, if a fresh interpreter could not import it.

    Such are test modules in pytest's importlib mode, and whatever a program made or loaded by hand.
    """
    func = getattr(func, "func", func)  # a functools.partial
    name = getattr(func, "__module__", None) or "__main__"
    module, cloudpickle = sys.modules.get(name), _cloudpickle()
    if module is None or name == "__main__" or cloudpickle is None or _importable(name):
        return []
    cloudpickle.register_pickle_by_value(module)
    return [name.encode()]


def _importable(name: str) -> bool:
    # Not importlib.util.find_spec: that answers from sys.modules.
    path: Any = None
    parts = name.split(".")
    for depth in range(1, len(parts) + 1):
        whole = ".".join(parts[:depth])
        specs = (finder.find_spec(whole, path) for finder in sys.meta_path)
        spec = next((spec for spec in specs if spec is not None), None)
        if spec is None:
            return False
        path = spec.submodule_search_locations
    return True


def _cloudpickle() -> ModuleType | None:
    try:
        import cloudpickle  # 25 ms that a run of plain functions does not need
    except ImportError:
        return None
    module: ModuleType = cloudpickle
    return module


def pack_error(error: ErrorInfo) -> bytes:
    """Pickle an error as text, with the exception beside it if it survives the round trip here."""
    packed = None
    if error.exception is not None:
        try:
            packed = dumps(error.exception)
            if type(pickle.loads(packed)) is not type(error.exception):  # noqa: S301 - made in the line before
                packed = None
        except BaseException:  # noqa: BLE001 - somebody's __reduce__ or __init__ ran; the text is enough
            packed = None
    return pickle.dumps((error.type, error.message, error.traceback, error.lineage, packed), PROTOCOL)


def unpack_error(data: bytes) -> ErrorInfo:
    """Undo `pack_error`; an exception that does not load here is left out."""
    kind, message, traceback, lineage, packed = pickle.loads(data)  # noqa: S301 - from our own worker
    exception = None
    if packed is not None:
        try:
            exception = pickle.loads(packed)  # noqa: S301 - from our own worker
        except LOAD_ERRORS:
            exception = None
    return ErrorInfo(kind, message, traceback, lineage, exception)
