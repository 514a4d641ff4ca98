"""What parent and workers say to each other: the frames on a worker's socket, and how objects are pickled."""

from __future__ import annotations

import marshal
import pickle
import socket
import struct
import sys
from typing import TYPE_CHECKING, Any, Final

from raddle._model import ErrorInfo

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import ModuleType

__all__ = [
    "AS_LIST",
    "BROKEN",
    "CHUNK",
    "FINAL",
    "IN_FRAME",
    "LOAD_ERRORS",
    "LOGGED",
    "MAX_CHUNK",
    "MEASURED",
    "MEASUREMENT",
    "NO_SIGNAL",
    "PICKLE",
    "PLAIN",
    "PROTOCOL",
    "REPORTED",
    "RESULT",
    "RESULTS",
    "UNLOADABLE",
    "FrameReader",
    "by_value",
    "dumps",
    "hide",
    "load",
    "pack_error",
    "unpack_error",
]

PROTOCOL: Final = 5
MAX_CHUNK: Final = 8192

#: parent to worker: chunk number, the STOP byte it runs under, whether its items are pickled one by one, where the
#: items are, sizes of the two pickles that follow
CHUNK: Final = struct.Struct("@qqqqqq")
#: worker to parent: kind, chunk number, number of results, where their pickles are, size of what follows
RESULT: Final = struct.Struct("@qqqqq")
# Kinds: some results of a chunk, its last ones, its items cannot be unpickled, the worker cannot start. The others may
# come at any time: an item says how far it is (its offset in place of a number of results), a log record, what a chunk
# was like.
RESULTS, FINAL, UNLOADABLE, BROKEN, REPORTED, LOGGED, MEASURED = range(7)
# Where data is: in the frame, in the frame as one list, or (0, 1) in a half of the box.
IN_FRAME: Final = -1
AS_LIST: Final = -2
#: items, wall, cpu, lag, probes, transfer
MEASUREMENT: Final = struct.Struct("@qdddqd")

#: flag of a send to somebody who may be dead: the user's program may have set SIGPIPE to its deadly default
NO_SIGNAL: Final = getattr(socket, "MSG_NOSIGNAL", 0)
#: what unpickling somebody's object may raise. KeyboardInterrupt too: the user's Ctrl-C comes in the main thread, and
#: this is done in the driver's
LOAD_ERRORS: Final = (BaseException,)

#: types whose values can be neither changed nor shared, and run no code when they travel. They go by `marshal`: it is
#: three times as fast for a single one, and takes a whole list in one go.
PLAIN: Final = frozenset({type(None), bool, int, float, str})
#: the first byte of every pickle; no marshalled value begins with it
PICKLE: Final = 0x80
#: a buffer of up to this size is kept for the next frame
_KEEP: Final = 1 << 22


def load(data: bytes | memoryview) -> Any:
    """Return the value of one result."""
    return pickle.loads(data) if data[0] == PICKLE else marshal.loads(data)  # noqa: S301, S302 - from our own worker


class FrameReader:
    """Frames from a socket that does not block, put together piece by piece."""

    __slots__ = ("_buffer", "_got", "_head", "_size", "_view", "ended")

    def __init__(self) -> None:
        self.ended = False
        self._buffer = bytearray(1 << 16)
        self._head: tuple[int, ...] | None = None
        self._expect(RESULT.size)

    def _expect(self, size: int) -> None:
        if size > len(self._buffer) or len(self._buffer) > _KEEP >= size:
            # Kept from frame to frame: new memory costs more than what is read into it.
            self._buffer = bytearray(max(size, 1 << 16))
        self._view = memoryview(self._buffer)[:size]
        self._size = size
        self._got = 0

    def read(self, sock: socket.socket) -> Iterator[tuple[int, int, int, int, memoryview]]:
        """Yield (kind, chunk, count, where, body) until nothing more is there. A half frame before the end is dropped.

        A body is valid until the next one is asked for.
        """
        while not self.ended:
            if self._got < self._size:
                try:
                    size = sock.recv_into(self._view[self._got :])
                except BlockingIOError:
                    return
                except OSError:
                    size = 0
                self.ended = size == 0
                self._got += size
            elif self._head is None:
                self._head = RESULT.unpack(self._view)
                self._expect(self._head[4])
            else:
                kind, chunk, count, where, _ = self._head
                body = self._view
                self._head = None
                self._expect(RESULT.size)
                yield kind, chunk, count, where, body


def dumps(value: Any) -> bytes:
    """Pickle; what plain pickle refuses goes by cloudpickle, if that is installed."""
    try:
        return pickle.dumps(value, PROTOCOL)
    except BaseException:
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
    """Say whether a fresh interpreter could import a module."""
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
    fields = (error.type, error.message, error.traceback, error.lineage, error.retry_after, packed)
    return pickle.dumps(fields, PROTOCOL)


def unpack_error(data: bytes | memoryview) -> ErrorInfo:
    """Undo `pack_error`; an exception that does not load here is left out."""
    kind, message, traceback, lineage, after, packed = pickle.loads(data)  # noqa: S301 - from our own worker
    exception = None
    if packed is not None:
        try:
            exception = pickle.loads(packed)  # noqa: S301 - from our own worker
        except LOAD_ERRORS:
            exception = None
    return ErrorInfo(kind, message, traceback, lineage, exception, after)
