"""Coroutines run as tasks of one event loop: for functions that wait for a network.

Each slot is one long-lived task that runs the items of its chunks one after another, so an item costs no task, no timer
and no message of its own. The driver stays in its thread, and the loop never waits for it:

    driver ──chunk, stop──▶ orders ──one wake-up──▶ loop: the slot's task ──answer──▶ inbox ──▶ driver

A task can be cancelled where it awaits, and there alone. What does not end within a second of that (it swallows the
cancellation, or it computes and blocks the whole loop) is *abandoned*, as a thread would be: it goes on, nobody listens
to it any more, and its slot gets a new task. When a loop of our own is blocked, new tasks get a new loop; the tasks of
the blocked one go on there should it come back.
"""

from __future__ import annotations

import asyncio
import inspect
import os
import threading
from contextvars import copy_context
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any

from raddle._attempt import Place, enter_task
from raddle._events import Reported, RunFailed, StopAsked, WorkerLost
from raddle._model import Running
from raddle._ports import Capabilities, Inbox
from raddle.backends._inbox import QueueInbox
from raddle.backends._job import Job, pickled
from raddle.backends._loop import Guard, LoopHost, TaskSlot
from raddle.backends._shell import describe, leave
from raddle.errors import BackendError, ConfigError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from raddle._model import Chunk, StopHow

__all__ = ["AsyncioBackend"]


class AsyncioBackend:
    """Slots of tasks, started when they are first needed.

    `func` and `initializer` run in a copy of the context (contextvars) in which the backend was made, one per slot.

    Args:
        func: called with one item; what it returns is awaited
        workers: number of slots
        loop: where to run them; None: an event loop in a thread of its own. On the caller's loop a KeyboardInterrupt
            is the user's, and ends the run; on an own one it is the error of the item that raised it.
        initializer: called, and awaited if that is what it returns, in each slot before its first item
        timeout: seconds for one attempt; told to `attempt()`, kept by whoever calls `stop`
        stored: also pickle each value, for a journal
        inbox: where the news go; None: one of its own
        max_abandoned: with more abandoned tasks alive than this, none takes the place of another and the run is ended

    Raises:
        ConfigError: workers < 1
    """

    capabilities: Capabilities
    inbox: Inbox
    #: tasks given up so far, the ones that have ended since included
    abandoned: int

    def __init__(
        self,
        func: Callable[[Any], Awaitable[Any]],
        *,
        workers: int,
        loop: asyncio.AbstractEventLoop | None = None,
        initializer: Callable[[], object] | None = None,
        timeout: float | None = None,
        stored: bool = False,
        inbox: Inbox | None = None,
        max_abandoned: int = 64,
    ) -> None:
        if workers < 1:
            raise ConfigError(f"workers={workers} is too few: give at least 1")
        self.capabilities = Capabilities("asyncio", "task", workers, enforces_timeout=True)
        self.inbox = QueueInbox() if inbox is None else inbox
        self.abandoned = 0
        self._func = func
        self._initializer = initializer
        self._timeout = timeout
        self._stored = stored
        self._max_abandoned = max_abandoned
        self._context = copy_context()
        self._host = LoopHost(loop)
        self._hosts = [self._host]
        self._slots: list[TaskSlot | None] = [None] * workers
        self._left_behind: list[TaskSlot] = []
        self._counting = threading.Lock()
        self._closed = False
        self._guard = Guard(self._is_overdue)

    def start(self, worker: int, chunk: Chunk) -> None:
        """Hand a chunk to a slot, without waiting."""
        job = Job(worker, chunk, stored=self._stored)
        while True:
            slot = self._slots[worker]
            if slot is None or slot.gone:
                failure = self._too_many()
                if failure is not None:
                    self.inbox.put(RunFailed(failure))
                    self.inbox.put(job.finished())
                    return
                slot = self._slots[worker] = self._new_slot(worker)
            with slot.lock:
                if slot.gone:
                    continue  # its task was cancelled from outside at this very moment
                # A task that owes an answer looks for the next job by itself once it has given it.
                idle = not slot.unanswered()
                slot.held.append(job)
                slot.jobs.append(job)
            break
        if idle:
            try:
                slot.host.tell(partial(self._wake, slot))
            except RuntimeError as error:
                failure = BackendError(f"the event loop cannot run worker={worker}: {error}; keep it open for the run")
                failure.__cause__ = error
                self.inbox.put(RunFailed(failure))
                with slot.lock:
                    self._answer(slot, slot.withdraw(), "")

    def stop(self, worker: int, how: StopHow) -> None:
        """Stop a slot: "close" gives back all it has not started, "kill" cancels the item under way too."""
        slot = self._slots[worker]
        if how == "close":
            if slot is not None:
                slot.asked_to_stop = True
                with slot.lock:
                    slot.withdraw()
            return  # the task answers, chunk by chunk, as soon as the item under way has ended
        if slot is None:
            self.inbox.put(_nothing_lost(worker))
            return
        with slot.lock:
            slot.killing = slot.withdraw()
            if not slot.killing:
                self._answer(slot, [], "")
                return
            slot.asked_to_stop = True
        self._guard.watch(slot)
        try:
            slot.host.tell(partial(self._cut, slot))
        except RuntimeError:
            self._abandon(slot, "the event loop was closed under it")

    def running(self) -> list[Running]:
        """Return the item under way in each busy slot."""
        found = []
        for slot in self._slots:
            if slot is None:
                continue
            with slot.lock:
                held = slot.unanswered()
                place = held[0].under_way() if held else None
                if place is not None:
                    found.append(Running(slot.number, held[0].chunk.number, *place))
        return found

    def close(self) -> None:
        """Cancel everything and wait for it, a second at most; what has not ended then is abandoned."""
        self._closed = True
        self._guard.forget(None)
        for slot in self._slots:
            if slot is not None:
                slot.asked_to_stop = True
                with slot.lock:
                    slot.killing = None
                    for job in slot.withdraw():
                        job.claim_answer()
        for host in self._hosts:
            host.close()

    # ------------------------------------------------------------------------------------- in the driver's thread

    def _new_slot(self, worker: int) -> TaskSlot:
        if self._host.own and self._host.stuck:
            self._host = LoopHost(None)
            self._hosts.append(self._host)
        slot = TaskSlot(worker, self._host)

        def tell(chunk: int, offset: int, percent: float, note: str) -> None:
            self.inbox.put(Reported(worker, chunk, offset, percent, note))

        slot.place = Place(self._timeout, lambda: slot.asked_to_stop, tell)
        return slot

    def _too_many(self) -> BackendError | None:
        """Look before a task takes the place of another, as `ThreadBackend` does."""
        with self._counting:
            alive = sum(slot.lives for slot in self._left_behind)
        if alive <= self._max_abandoned:
            return None
        return BackendError(
            f"abandoned={alive} tasks are still running items that passed their deadline "
            f"(max_abandoned={self._max_abandoned}): let CancelledError pass, and compute in threads or processes"
        )

    def _is_overdue(self, slot: TaskSlot) -> None:
        self._abandon(slot, "it did not end when it was cancelled" if slot.cut else "the event loop is blocked")

    def _abandon(self, slot: TaskSlot, why: str) -> None:
        with slot.lock:
            if slot.killing is None:
                return  # answered at the last moment
            slot.gone = True
            if slot.cut is None:
                slot.host.stuck = True
            with self._counting:
                self._left_behind = [*(left for left in self._left_behind if left.lives), slot]
                self.abandoned += 1
            self._answer(slot, slot.killing, f"abandoned: {why}", gone=True)

    def _answer(self, slot: TaskSlot, jobs: list[Job], reason: str, *, gone: bool = False) -> None:
        """Answer for all that a slot holds, and for a kill if one is open; under its lock."""
        jobs = [job for job in jobs if job.claim_answer()]
        asked, slot.killing = slot.killing is not None, None
        ended = (slot.cut or jobs[0].finished()) if jobs else None
        if ended is not None and len(ended.values) < jobs[0].claimed:
            chunks = tuple(job.chunk.number for job in jobs)
            started = ended.clock[-1]
            self.inbox.put(WorkerLost(slot.number, chunks, ended, len(ended.values), reason, started, gone))
        else:
            for job in jobs:
                self.inbox.put(job.finished())
            if asked:
                self.inbox.put(_nothing_lost(slot.number))
        if asked:
            self._guard.forget(slot)

    # --------------------------------------------------------------------------------------- in the loop's thread

    def _wake(self, slot: TaskSlot) -> None:
        if slot.task is None:
            work = self._serve(slot)
            slot.task = slot.host.spawn(work, f"raddle-task-{slot.number}", self._context.copy())
        elif slot.waiter is not None and not slot.waiter.done():
            slot.waiter.set_result(None)

    def _cut(self, slot: TaskSlot) -> None:
        """Cancel the item under way. Nothing can be started here any more, so it is the one that was meant, or none."""
        with slot.lock:
            head = next((job for job in slot.killing or () if not job.answered), None)
            ended = head.finished() if head is not None else None
            if head is not None and ended is not None and len(ended.values) < head.claimed:
                # From here on it is lost, whatever it still does; it is answered for when it has ended.
                slot.cut = ended
            elif slot.killing is not None:
                self._answer(slot, slot.killing, "")
                return
        if slot.task is not None and (slot.cut is not None or slot.gone):
            slot.task.cancel()

    async def _serve(self, slot: TaskSlot) -> None:
        """Be the task of a slot."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - for the type checker: this is its code
        enter_task(slot.place)
        try:
            failure = await _initialize(self._initializer)
            if failure is not None:
                self.inbox.put(failure)
            while not slot.gone and not self._closed:
                while not slot.jobs:
                    slot.waiter = slot.host.loop.create_future()
                    await slot.waiter
                if not slot.host.may_begin():
                    await slot.host.turn()
                job = slot.jobs.popleft()
                if failure is None:
                    slot.host.busy += 1
                    try:
                        await self._run_items(slot, job, task)
                    finally:
                        slot.host.busy -= 1
                with slot.lock:
                    if slot.killing is not None and slot.cut is not None:
                        self._answer(slot, slot.killing, "cancelled where it awaited")
                        slot.asked_to_stop = False
                    elif job.claim_answer():
                        self.inbox.put(job.finished())
                    slot.cut = None
                _uncancel(task)
                slot.place.chunk = None
                del job  # or an idle task would keep the items of its last chunk alive
        finally:
            self._leave(slot)

    def _leave(self, slot: TaskSlot) -> None:
        """End a task. Unless we ended it ourselves, its loop is being shut down, and the run ends too."""
        if slot.gone or self._closed:
            return
        self.inbox.put(StopAsked("kill", "the event loop is shutting down: a task of the run was cancelled"))
        with slot.lock:
            slot.gone = True
            self._answer(slot, slot.withdraw(), "its task was cancelled from outside of the run")

    async def _run_items(self, slot: TaskSlot, job: Job, task: asyncio.Task[None]) -> None:
        """Run items of `job` until none is left or its budget is used up.

        As `run_items` of the threads: the body of the loop is the cost of an item.
        """
        func, place, host = self._func, slot.place, slot.host
        errors, stored = job.errors, job.stored
        todo = job.todo
        claim, add_value, add_time = todo.popleft, job.values.append, job.clock.append
        place.chunk = job.chunk
        now = monotonic()
        add_time(now)
        deadline = now + job.chunk.budget
        pause = min(deadline, now + host.stretch())
        offset = 0
        try:
            while True:
                try:
                    item = claim()
                except IndexError:
                    return
                place.offset = offset
                place.started = now
                try:
                    value = await func(item)
                    if stored is not None:
                        stored.append(pickled(value))
                except BaseException as error:
                    if self._ends_the_task(error, slot, task):
                        raise
                    if os.getpid() != job.pid:
                        leave(error)
                    _uncancel(task)
                    value = None
                    errors[offset] = describe(error, passing=() if host.own else (KeyboardInterrupt,))
                    if stored is not None:
                        stored.append(b"")
                add_value(value)
                now = monotonic()
                add_time(now)
                if now >= pause:
                    if now >= deadline or not todo:
                        return
                    await asyncio.sleep(0)
                    pause = min(deadline, monotonic() + host.stretch())
                offset += 1
        finally:
            # See the end of run_items: a traceback that somebody keeps must not keep the items alive.
            del job, todo, errors, stored, claim, add_value, add_time
            item = value = None

    def _ends_the_task(self, error: BaseException, slot: TaskSlot, task: asyncio.Task[None]) -> bool:
        """Tell what is not the item's own: a Ctrl-C of the caller, and the end of the loop."""
        if isinstance(error, asyncio.CancelledError):
            if slot.cut is not None or slot.gone:
                return False
            return self._closed or (task.cancelling() > 0 and not slot.host.own)
        return isinstance(error, GeneratorExit) or (isinstance(error, KeyboardInterrupt) and not slot.host.own)


def _uncancel(task: asyncio.Task[None]) -> None:
    """Take back what a kill, or an item that did not tidy up, has left of a cancellation."""
    while task.cancelling():
        task.uncancel()


def _nothing_lost(worker: int) -> WorkerLost:
    return WorkerLost(worker, (), None, None, "not needed: nothing was under way")


async def _initialize(initializer: Callable[[], object] | None) -> RunFailed | None:
    """Call the initializer; return the failure, if it raised."""
    if initializer is None:
        return None
    try:
        made = initializer()
        if inspect.isawaitable(made):
            await made
    except (asyncio.CancelledError, GeneratorExit):
        raise
    except BaseException as error:  # noqa: BLE001 - not ours; a slot that is not ready must end the run, not itself
        text = describe(error).traceback
        failure = BackendError(f"initializer={initializer!r} raised, so no item can be run: make it succeed\n{text}")
        failure.__cause__ = error
        return RunFailed(failure)
    return None
