"""What the asyncio backend is made of: an event loop and the way into it, a slot, and a guard over kills."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from time import monotonic
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from contextvars import Context

    from raddle._attempt import Place
    from raddle._events import ChunkEnded
    from raddle.backends._job import Job

__all__ = ["PATIENCE", "Guard", "LoopHost", "TaskSlot"]

#: seconds that a coroutine has to end in once it is cancelled, and an event loop to say that it does so
PATIENCE = 1.0
#: seconds that one turn of the loop may take when all its tasks always have work
_TURN = 0.005
#: seconds that a task goes on at least before it lets others go on: a pause costs some microseconds
_STRETCH = 0.00005


class LoopHost:
    """The caller's event loop, or one in a daemon thread of its own.

    Methods are for the driver's thread, except those that say otherwise.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop | None) -> None:
        self.own = loop is None
        #: it did not obey in time; written once, by whoever waited
        self.stuck = False
        #: tasks that have items to run; for the loop's thread
        self.busy = 0
        self._orders: deque[Callable[[], None]] = deque()
        self._awake = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._queue: deque[asyncio.Future[None]] = deque()
        self._turning = False
        self._turn_end = 0.0
        self._admitted = 1
        self._over = asyncio.Event()
        self._ended = threading.Event()
        self.thread: threading.Thread | None = None
        self.loop: asyncio.AbstractEventLoop
        if loop is not None:
            self.loop = loop
            return
        # Made here, where an error can be raised. With a factory, it does not become the current loop of this thread.
        runner = asyncio.Runner(loop_factory=asyncio.new_event_loop)
        self.loop = runner.get_loop()
        self.thread = threading.Thread(target=self._live, args=(runner,), name="raddle-loop", daemon=True)
        try:
            self.thread.start()
        except RuntimeError:
            self.loop.close()
            raise

    def tell(self, order: Callable[[], None]) -> None:
        """Have something done in the loop. Orders that come while it is busy share one wake-up, which is what costs.

        Raises:
            RuntimeError: the loop is closed
        """
        self._orders.append(order)
        if not self._awake:
            self._awake = True
            try:
                self.loop.call_soon_threadsafe(self._obey)
            except RuntimeError:
                self._awake = False
                raise

    def close(self) -> None:
        """Cancel all that runs here and wait for it, a second at most. An own loop goes away when it has all ended."""
        try:
            self.tell(self._end)
        except RuntimeError:
            return
        if self.thread is not None:
            self.thread.join(PATIENCE)
        elif self.loop.is_running() and not self._is_here():
            self._ended.wait(PATIENCE)

    def spawn(self, work: Coroutine[Any, Any, None], name: str, context: Context) -> asyncio.Task[None]:
        """Start a task; in the loop's thread."""
        # Not by loop.create_task: a task factory of the caller may know no context, or run the task at once.
        task = asyncio.Task(work, loop=self.loop, name=name, context=context)
        self._tasks.add(task)
        task.add_done_callback(self._forget)
        return task

    def stretch(self) -> float:
        """Return the seconds a task may go on before it must let others go on; in the loop's thread.

        Each gets a share of the turn. Rejected: the whole turn for each, which keeps the caller's own tasks waiting
        for as many turns as there are workers.
        """
        return max(_STRETCH, _TURN / max(1, self.busy))

    def may_begin(self) -> bool:
        """Tell whether a chunk may begin now, or `turn` must be awaited first; in the loop's thread."""
        now = monotonic()
        if not self._turning:
            self._turning = True
            self._turn_end = now + _TURN
            self.loop.call_soon(self._next_turn)
        return now < self._turn_end and not self._queue

    async def turn(self) -> None:
        """Wait for a turn of the loop in which a chunk may begin: first come, first served.

        So chunks that never wait run one after another. Rejected: all at once, each pausing all the time. Their
        clocks would show the time of all others, and chunks would become as small as workers are many.
        """
        waiter = self.loop.create_future()
        self._queue.append(waiter)
        await waiter

    def _next_turn(self) -> None:
        self._turning = bool(self._queue)
        if not self._queue:
            return
        now = monotonic()
        # One at a time while each uses up its turn; else they wait for something, and more and more may begin.
        self._admitted = 1 if now >= self._turn_end else 2 * self._admitted
        for _ in range(min(self._admitted, len(self._queue))):
            waiter = self._queue.popleft()
            if not waiter.done():
                waiter.set_result(None)
        self._turn_end = now + _TURN
        self.loop.call_soon(self._next_turn)

    def _is_here(self) -> bool:
        try:
            return asyncio.get_running_loop() is self.loop
        except RuntimeError:
            return False

    def _obey(self) -> None:
        # The order matters: an order that comes after the last look finds `_awake` false and wakes the loop again.
        self._awake = False
        orders = self._orders
        while orders:
            orders.popleft()()

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # a Ctrl-C has been raised where it belongs; it is not "never retrieved"
        if self._over.is_set() and not self._tasks:
            self._ended.set()

    def _end(self) -> None:
        self._over.set()
        for task in self._tasks:
            task.cancel()
        if not self._tasks:
            self._ended.set()

    def _live(self, runner: asyncio.Runner) -> None:
        """Be the thread of an own loop. It outlives `close` if an item does not let itself be cancelled."""
        with runner:
            runner.run(self._until_over())

    async def _until_over(self) -> None:
        await self._over.wait()


class TaskSlot:
    """One task, its queue and what it was given. An abandoned one takes all of this with it."""

    __slots__ = (
        "asked_to_stop",
        "cut",
        "gone",
        "held",
        "host",
        "jobs",
        "killing",
        "lock",
        "number",
        "place",
        "task",
        "waiter",
    )

    def __init__(self, number: int, host: LoopHost) -> None:
        self.number = number
        self.host = host
        self.jobs: deque[Job] = deque()
        #: who answers is decided, and an answer is put, under this lock: so what was answered before a kill is heard
        #: before it. It also guards the four below.
        self.lock = threading.Lock()
        self.held: deque[Job] = deque()
        #: what was held when a kill was asked for; None when there is none to answer
        self.killing: list[Job] | None = None
        #: what had ended when the task was cancelled for that
        self.cut: ChunkEnded | None = None
        #: nothing is started here any more
        self.gone = False
        self.asked_to_stop = False
        self.place: Place
        self.task: asyncio.Task[None] | None = None
        self.waiter: asyncio.Future[None] | None = None

    @property
    def lives(self) -> bool:
        """Whether its task is still about."""
        return self.task is not None and not self.task.done()

    def unanswered(self) -> deque[Job]:
        """Return what is held; under the lock."""
        held = self.held
        while held and held[0].answered:
            held.popleft()
        return held

    def withdraw(self) -> list[Job]:
        """Take back all that is not started, and return what is held; under the lock."""
        held = list(self.unanswered())
        for job in held:
            job.withdraw()
        return held


class Guard:
    """Says when a kill has not been answered in time.

    It is a thread while kills are open, and none otherwise: the loop may be what hangs, and the driver must not wait.
    """

    def __init__(self, tell: Callable[[TaskSlot], None]) -> None:
        self._tell = tell
        #: when each is overdue, the earliest first
        self._due: dict[TaskSlot, float] = {}
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def watch(self, slot: TaskSlot) -> None:
        """Call `tell` with this slot after `PATIENCE` seconds, unless it is forgotten before."""
        with self._changed:
            self._due[slot] = monotonic() + PATIENCE
            if self._thread is None:
                self._thread = threading.Thread(target=self._look, name="raddle-guard", daemon=True)
                self._thread.start()

    def forget(self, slot: TaskSlot | None) -> None:
        """Watch this slot no more; None: none of them."""
        with self._changed:
            if slot is None:
                self._due.clear()
            else:
                self._due.pop(slot, None)
            self._changed.notify_all()

    def _look(self) -> None:
        while True:
            with self._changed:
                slot, due = next(iter(self._due.items()), (None, 0.0))
                if slot is None:
                    self._thread = None
                    return
                left = due - monotonic()
                if left > 0:
                    self._changed.wait(left)
                    continue
                del self._due[slot]
            self._tell(slot)
