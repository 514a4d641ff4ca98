"""Numbered frames of many threads, given to one thread at a time, in the order of their numbers.

There is no thread in here. A thread that comes with a frame and finds nobody at work becomes the owner, does all work
whose turn has come, and leaves. Who finds an owner leaves the frame to it and goes. Why this is right:

1. At most one owner: `_owner` changes under the lock only, from None to a thread and back by that thread.
2. No frame is forgotten: the owner leaves in the same hold of the lock in which it found no work, and every thread that
   adds work looks for an owner afterwards. An owner that is interrupted (Ctrl-C) leaves too, and wakes those who wait.
3. No deadlock by ourselves: the lock is never held while work is done; the number whose turn it is always has room; the
   owner never waits for room. Those who wait are woken whenever the owner takes a frame or leaves, or when a gap has
   been waited for long enough.
4. Nobody works for ever: an owner whose own next number is missing soon finds nothing ready.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Final, Generic, Literal, TypeVar

from raddle.workloads.encrypt.live.order import FrameOrder

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Turns"]

T = TypeVar("T")

_SHED: Final = 65_536  # frames that were given up and are still told of


class Turns(Generic[T]):
    """Calls `draw(number, frame, shed)` for every frame, as the owner; `shed` are frames given up since the last."""

    def __init__(
        self,
        draw: Callable[[int, T, list[T]], None],
        *,
        capacity: int,
        drop: bool,
        gap_wait: float,
        first: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._draw, self._drop, self._gap_wait, self._clock = draw, drop, gap_wait, clock
        # all of this is guarded by the lock
        self._lock = threading.Condition(threading.Lock())
        self._order: FrameOrder[T] = FrameOrder(capacity, first)
        self._owner: int | None = None  # ident of the thread at work
        self._at: int | None = None  # the number it is at
        self._gap_since: float | None = None  # when the owner left frames behind for want of a lower number
        self._blocked = 0  # threads that wait for room, whose frames close() lets in
        self._epoch = 0  # counts restarts
        self._errands: deque[Callable[[], None]] = deque()
        self._shed: deque[T] = deque(maxlen=_SHED)
        self._last_errand: Callable[[], None] | None = None
        self._closing = self._closed = False
        self.dropped = self.passed = 0

    def put(self, number: int, frame: T) -> Literal["late", "twice", ""]:
        """Hand in a frame, and work if nobody does. Returns why it was not taken.

        Waits for room; not from within work.
        """
        with self._lock:
            verdict = "late" if self._closing else self._wait_for_room(number)
            if not verdict:
                self._add(number, frame)
        self.work()
        return verdict

    def run(self, errand: Callable[[], None]) -> None:
        """Have something done by the owner, before the next frame."""
        with self._lock:
            self._errands.append(errand)
        self.work()

    def restart(self, errand: Callable[[], None]) -> None:
        """Forget what waits, count from the first number again, and have something done before."""
        with self._lock:
            self._epoch += 1
            self._order.restart()
            self._gap_since = None
            self._shed.clear()
            self._errands.append(errand)
            self._lock.notify_all()
        self.work()

    def flush(self, timeout: float | None = None) -> bool:
        """Work off all that waits now, passing over missing numbers. False if time ran out, or from within work."""
        limit = math.inf if timeout is None else self._clock() + timeout
        with self._lock:
            epoch = self._epoch
            self._order.pass_gaps()
            target = max([*self._order.waiting, -1 if self._at is None else self._at]) + 1
            if self._owner == threading.get_ident():
                return False
        while True:
            self.work()
            with self._lock:
                if epoch != self._epoch or self._is_past(target):
                    return True
                left = limit - self._clock()
                if left <= 0:
                    return False
                if self._owner is not None or not self._is_work():
                    self._lock.wait(None if left == math.inf else left)

    def close(self, errand: Callable[[], None]) -> None:
        """Take no more, work off what waits and those who wait for room, then do one last thing.

        Returns when that is done; from within work at once, and it is done when the work in hand is.
        """
        with self._lock:
            if not self._closing:
                self._closing, self._last_errand = True, errand
                self._lock.notify_all()
            if self._owner == threading.get_ident():
                return
        while True:
            self.work()
            with self._lock:
                if self._closed:
                    return
                if self._owner is not None or not self._is_work():
                    self._lock.wait()

    @property
    def closing(self) -> bool:
        """Whether close() was called."""
        with self._lock:
            return self._closing

    def work(self) -> None:
        """Become the owner if there is none, and do all there is to do now."""
        me = threading.get_ident()
        with self._lock:
            if self._owner is not None:
                return
            self._owner = me
        try:
            while (job := self._next()) is not None:
                job()
        finally:
            with self._lock:
                if self._owner == me:  # a job raised; else _next has left already, and another may have come
                    self._leave()

    # -------------------------------------------------------------------- from here on the caller holds the lock

    def _wait_for_room(self, number: int) -> Literal["late", "twice", ""]:
        epoch = self._epoch
        while True:
            refusal = "late" if epoch != self._epoch else self._order.refusal(number)
            if refusal:
                return refusal
            own = self._owner == threading.get_ident()
            if self._drop or self._closing or own or self._order.has_room(number):
                return ""
            self._blocked += 1
            try:
                if self._owner is None and self._is_work():
                    self._work_unlocked()
                else:
                    self._lock.wait(self._gap_left())
            finally:
                self._blocked -= 1
                self._tell_closer()

    def _tell_closer(self) -> None:
        """Who was interrupted while waiting for room may be the last that close() waits for."""
        if self._closing:
            self._lock.notify_all()

    def _work_unlocked(self) -> None:
        self._lock.release()
        try:
            self.work()
        finally:
            self._lock.acquire()

    def _add(self, number: int, frame: T) -> None:
        self._order.waiting[number] = frame
        while self._drop and len(self._order.waiting) > self._order.capacity:
            self._shed.append(self._order.shed())
            self.dropped += 1

    def _gap_left(self) -> float | None:
        """How long to wait for somebody else to change something; None: for as long as it takes."""
        if self._owner is not None or self._gap_since is None or self._gap_wait == math.inf:
            return None
        return max(0.0, self._gap_since + self._gap_wait - self._clock())

    def _is_overdue(self) -> bool:
        return self._gap_since is not None and self._clock() - self._gap_since >= self._gap_wait

    def _is_last_call(self) -> bool:
        """Whether nothing more can come: those who waited for room are in, so that gaps are known to be gaps."""
        return self._closing and not self._blocked

    def _is_over(self) -> bool:
        """Whether only the last errand is left."""
        return self._last_errand is not None and not self._order.waiting and self._is_last_call()

    def _is_work(self) -> bool:
        gap_is_over = bool(self._order.waiting) and (self._is_overdue() or self._is_last_call())
        return bool(self._errands) or self._order.ready() is not None or gap_is_over or self._is_over()

    def _is_past(self, target: int) -> bool:
        at_work = self._at is not None and self._at < target
        return not at_work and min(self._order.waiting, default=target) >= target

    def _leave(self) -> None:
        self._owner = self._at = None
        self._lock.notify_all()

    # --------------------------------------------------------------------------------- of the owner; takes the lock

    def _next(self) -> Callable[[], None] | None:
        with self._lock:
            self._at = None
            if self._errands:
                return self._errands.popleft()
            if self._order.ready() is None and self._order.waiting:
                if self._gap_since is None:
                    self._gap_since = self._clock()
                if self._is_overdue() or self._is_last_call():
                    self._order.pass_gaps()
            taken = self._order.take()
            if taken is not None:
                self._at, frame, passed = taken
                self._gap_since = None
                self.passed += passed
                shed = list(self._shed)
                self._shed.clear()
                self._lock.notify_all()
                return partial(self._draw, self._at, frame, shed)
            if self._is_over():
                last, self._last_errand = self._last_errand, None
                return partial(self._finish, last)
            self._leave()
            return None

    def _finish(self, errand: Callable[[], None] | None) -> None:
        try:
            if errand is not None:
                errand()
        finally:
            with self._lock:
                self._closed = True
                self._lock.notify_all()
