"""What the first chunks are like, measured in the worker that runs them: how `backend="auto"` knows where to go on."""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING, Any

from raddle.backends._wire import MEASUREMENT

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Trial"]

_NAP = 0.001
_LET = 0.0002
#: seconds after which a thread that wants the interpreter lock may have it, and the shortest wait that says something
_SWITCH, _SHORTEST = 0.005, 0.0005
#: a trial ends with so many chunks that took so many seconds with as many probes, or with the greater number of chunks
_LEAST, _WALL, _MOST = 5, 0.25, 50


class Trial:
    """Measures chunk after chunk.

    CPU time is that of all threads of this process, so that work in BLAS threads counts, and not that of child
    processes: for this process, running `ffmpeg` is waiting. Whether other threads could run meanwhile is found out by
    one that tries: it sleeps a millisecond at a time and looks how much later than planned it gets the interpreter
    lock. That is the switch interval (5 ms) beside pure Python, and about 0.1 ms beside code that lets go of the lock.
    """

    def __init__(self) -> None:
        self.sent = self.probes = 0
        self.wall = 0.0
        self._running = threading.Event()
        self._over = False
        self._began = self._ended = 0.0
        self._cpu = self._load = self._pack = 0.0
        self._own = self._own_before = 0.0
        self._late: list[float] = []
        self._queue = _RunQueue()
        self._queued = 0.0
        threading.Thread(target=self._probe, name="raddle-trial", daemon=True).start()

    def begin(self, load: float) -> None:
        """Begin with the items of a chunk, which took `load` seconds to unpickle."""
        self._load, self._pack = load, 0.0
        self._late = []
        self._own_before = self._own
        self._queued = self._queue.waited()
        self._cpu = time.process_time()
        self._began = time.monotonic()
        self._running.set()

    def watch(self, pack: Callable[[Any, int], bytes | memoryview]) -> Callable[[Any, int], bytes | memoryview]:
        """Return `pack`, timed."""

        def timed(value: Any, protocol: int) -> bytes | memoryview:
            began = time.monotonic()
            try:
                return pack(value, protocol)
            finally:
                self._pack += time.monotonic() - began

        return timed

    def end(self, items: int) -> bytes:
        """Say what the chunk was like."""
        self._ended = time.monotonic()
        cpu = time.process_time() - self._cpu - self._pack - (self._own - self._own_before)
        self._running.clear()
        time.sleep(_LET)  # a probe that has waited for the lock until now shall count it
        late = self._late.copy()
        self.sent += 1
        wall = max(self._ended - self._began - self._pack, 0.0)
        # Who stands in line for a CPU is not waiting for anything else: on a busy machine both look alike by the clock.
        cpu = max(cpu, min(wall, cpu + self._queue.waited() - self._queued))
        self.wall += wall
        self.probes += len(late)
        # The mean, for a function may hold the lock for a part of its time; of what is no more than the switch
        # interval, for more than that says that others use the machine, or that it is held for good.
        lag = sum(min(each, _SWITCH) for each in late) / len(late) if late else 0.0
        return MEASUREMENT.pack(items, wall, max(cpu, 0.0), lag, len(late), self._load + self._pack)

    @property
    def enough(self) -> bool:
        """Whether more of the same would say nothing new."""
        return self.sent >= _MOST or (self.sent >= _LEAST and self.wall >= _WALL and self.probes >= _LEAST)

    def close(self) -> None:
        """End the thread."""
        self._over = True
        self._running.set()
        self._queue.close()

    def _probe(self) -> None:
        queue = _RunQueue()
        while True:
            self._running.wait()
            if self._over:
                queue.close()
                return
            # The first probe of a chunk is this wake-up itself: short chunks would end before another.
            self._note(self._began, 0.0)
            while self._running.is_set() and not self._over:
                planned, before = time.monotonic() + _NAP, queue.waited()
                time.sleep(_NAP)
                self._note(planned, queue.waited() - before)

    def _note(self, planned: float, queued: float) -> None:
        began, ended, now = self._began, self._ended, time.monotonic()
        if ended < began:
            self._late.append(max(now - planned - queued, 0.0))
        elif began <= planned < ended:
            # The chunk ended meanwhile. One that is shorter than the switch interval cannot keep the lock for longer
            # than it lasts: what counts is for which part of the time that was left.
            left = ended - planned
            if left >= _SHORTEST:
                self._late.append(max(min(now, ended) - planned - queued, 0.0) * max(1.0, _SWITCH / left))
        self._own = time.thread_time()


class _RunQueue:
    """For how long this thread has waited for a CPU, which is not the function's doing. Linux; elsewhere always 0."""

    def __init__(self) -> None:
        try:
            self._fd = os.open("/proc/thread-self/schedstat", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            self._fd = -1

    def waited(self) -> float:
        """Return seconds so far."""
        return int(os.pread(self._fd, 64, 0).split()[1]) / 1e9 if self._fd >= 0 else 0.0

    def close(self) -> None:
        """Close the file."""
        if self._fd >= 0:
            os.close(self._fd)
