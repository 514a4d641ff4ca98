"""Items run in threads of this process: for functions that wait, or that let go of the interpreter lock.

A thread cannot be killed. An item that passes its deadline is *abandoned*: its thread goes on, nobody listens to it any
more, and the slot gets a new thread. Abandoned threads are daemons that nothing joins, so they never keep the program
from ending; they do keep their memory, locks and files, hence the cap on how many may be alive.
"""

from __future__ import annotations

import threading
from collections import deque
from contextvars import copy_context
from functools import partial
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from raddle._attempt import Place, enter
from raddle._events import Reported, RunFailed, WorkerLost
from raddle._model import Running
from raddle._ports import Capabilities, Inbox
from raddle.backends._inbox import QueueInbox
from raddle.backends._job import Job, initialize, run_items
from raddle.errors import BackendError, ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from raddle._model import Chunk, StopHow

__all__ = ["ThreadBackend"]


class _Worker:
    """One thread, its queue and what it was given. An abandoned one takes all of this with it."""

    __slots__ = ("answering", "asked_to_stop", "held", "job", "jobs", "place", "ready", "thread")

    def __init__(self) -> None:
        self.jobs: SimpleQueue[Job | None] = SimpleQueue()
        #: the driver's own list; answered jobs are dropped when it looks
        self.held: deque[Job] = deque()
        #: what the thread is at; its own
        self.job: Job | None = None
        #: who answers is decided, and an answer is put, under this lock: so what was answered before a kill is heard
        #: before it
        self.answering = threading.Lock()
        self.asked_to_stop = False
        self.ready = False
        self.place: Place
        self.thread: threading.Thread

    def oldest(self) -> Job | None:
        held = self.held
        while held and held[0].answered:
            held.popleft()
        return held[0] if held else None

    def take_over(self) -> list[Job]:
        """Withdraw all that is not started and take the answers that the thread has not given; for the driver.

        All is withdrawn before the first answer is taken. So, if the thread is in the middle of an item, it is an
        item of the first job returned: it could only have gone on to the next job by answering this one.
        """
        for job in self.held:
            job.withdraw()
        with self.answering:
            jobs = [job for job in self.held if job.claim_answer()]
        self.held.clear()
        return jobs


class ThreadBackend:
    """Slots of daemon threads, started when they are first needed.

    `func` and `initializer` run in a copy of the context (contextvars) in which the backend was made, one per thread.
    `attempt().cancelled` turns true when an item is abandoned, so that a function that looks can still end its thread.

    Args:
        func: called with one item
        workers: number of slots
        initializer: called in each thread before its first item
        timeout: seconds for one attempt; told to `attempt()`, kept by whoever calls `stop`
        stored: also pickle each value, for a journal
        inbox: where events go, if it is shared with somebody; default: one of its own
        max_abandoned: with more abandoned threads alive than this, none takes the place of another and the run is ended

    Raises:
        ConfigError: workers < 1
    """

    capabilities: Capabilities
    inbox: Inbox
    #: threads given up so far, the ones that have ended since included
    abandoned: int

    def __init__(
        self,
        func: Callable[[Any], Any],
        *,
        workers: int,
        initializer: Callable[[], object] | None = None,
        timeout: float | None = None,
        stored: bool = False,
        inbox: Inbox | None = None,
        max_abandoned: int = 64,
    ) -> None:
        if workers < 1:
            raise ConfigError(f"workers={workers} is too few: give at least 1")
        self.capabilities = Capabilities("threads", "thread", workers, enforces_timeout=True)
        self.inbox = QueueInbox() if inbox is None else inbox
        self.abandoned = 0
        self._func = func
        self._initializer = initializer
        self._timeout = timeout
        self._stored = stored
        self._max_abandoned = max_abandoned
        self._context = copy_context()
        self._workers: list[_Worker | None] = [None] * workers
        self._left_behind: list[threading.Thread] = []

    def start(self, worker: int, chunk: Chunk) -> None:
        """Hand a chunk to a slot, without waiting."""
        job = Job(worker, chunk, stored=self._stored)
        mine = self._workers[worker]
        if mine is None:
            try:
                mine = self._workers[worker] = self._new_worker(worker)
            except BackendError as failure:
                self.inbox.put(RunFailed(failure))
                self.inbox.put(job.finished())
                return
        mine.oldest()
        mine.held.append(job)
        mine.jobs.put(job)

    def stop(self, worker: int, how: StopHow) -> None:
        """Stop a slot: "close" gives back all it has not started, "kill" abandons the item under way too."""
        mine = self._workers[worker]
        if how == "close":
            if mine is not None:
                mine.asked_to_stop = True
                for job in mine.held:
                    job.withdraw()
            return  # the thread answers, chunk by chunk, as soon as the item under way has ended
        jobs = mine.take_over() if mine else []
        # The race: the item may end at this very moment. From here on the thread can start nothing (all is withdrawn)
        # and say nothing (its answers are taken), so one look at the length of the clock decides. Ended by now: it is
        # reported as ended, and the thread lives on. Not ended: it is reported as lost, and what the thread adds later
        # is read by nobody. There is no third case, and whichever it is is reported here, once.
        ended = jobs[0].finished() if jobs else None
        if mine is None or ended is None or len(ended.values) == jobs[0].claimed:
            for job in jobs:
                self.inbox.put(job.finished())
            self.inbox.put(WorkerLost(worker, (), None, None, "not needed: nothing was under way"))
            return
        self._abandon(worker, mine)
        chunks = tuple(job.chunk.number for job in jobs)
        reason = "abandoned: the thread is still running its item"
        self.inbox.put(WorkerLost(worker, chunks, ended, len(ended.values), reason, ended.clock[-1]))

    def running(self) -> list[Running]:
        """Return the item under way in each busy slot."""
        found = []
        for number, worker in enumerate(self._workers):
            job = worker.oldest() if worker is not None else None
            place = job.under_way() if job is not None else None
            if job is not None and place is not None:
                found.append(Running(number, job.chunk.number, *place))
        return found

    def close(self) -> None:
        """End all threads that can be ended, and wait for these; one that is in an item is abandoned."""
        leaving = []
        for number, worker in enumerate(self._workers):
            if worker is None:
                continue
            jobs = worker.take_over()
            if jobs and len(jobs[0].finished().values) < jobs[0].claimed:
                self._abandon(number, worker)
            else:
                self._workers[number] = None
                worker.asked_to_stop = True
                worker.jobs.put(None)
                leaving.append(worker)
        for worker in leaving:
            # One that is not ready may hang in the initializer; it holds nothing, and ends by itself if it can.
            if worker.ready:
                worker.thread.join()

    def _new_worker(self, number: int) -> _Worker:
        # Here, and not where a thread is abandoned: a run that is killed abandons as many as it has, and needs no more.
        alive = sum(thread.is_alive() for thread in self._left_behind)
        if alive > self._max_abandoned:
            raise BackendError(
                f"abandoned={alive} threads are still running items that passed their deadline "
                f"(max_abandoned={self._max_abandoned}): use backend='processes', whose workers can be killed"
            )
        worker = _Worker()
        place = Place(self._timeout, lambda: worker.asked_to_stop, partial(_report, self.inbox, number, worker))
        worker.place = place
        worker.thread = threading.Thread(
            target=self._context.copy().run,
            args=(_serve, worker, self._func, self._initializer, place, self.inbox),
            name=f"raddle-thread-{number}",
            daemon=True,
        )
        try:
            worker.thread.start()
        except RuntimeError as error:
            raise BackendError(f"no thread for worker={number}: {error}; use fewer workers") from error
        return worker

    def _abandon(self, number: int, worker: _Worker) -> None:
        self._workers[number] = None
        worker.asked_to_stop = worker.place.given_up = True
        worker.jobs.put(None)  # should the item end after all, the thread ends too
        self.abandoned += 1
        self._left_behind = [thread for thread in self._left_behind if thread.is_alive()]
        self._left_behind.append(worker.thread)


def _report(inbox: Inbox, number: int, worker: _Worker, chunk: int, offset: int, percent: float, note: str) -> None:  # noqa: PLR0917
    """Say how far an item is; of an abandoned thread nobody wants to know."""
    with worker.answering:
        if worker.job is not None and not worker.job.answered:
            inbox.put(Reported(number, chunk, offset, percent, note))


def _serve(
    worker: _Worker,
    func: Callable[[Any], Any],
    initializer: Callable[[], object] | None,
    place: Place,
    inbox: Inbox,
) -> None:
    """Be a worker thread."""
    enter(place)
    failure = initialize(initializer)
    if failure is not None:
        inbox.put(failure)
    worker.ready = True
    try:
        while (job := worker.jobs.get()) is not None:
            worker.job = job
            if failure is None:
                run_items(job, func, place)
            ended = job.finished()
            with worker.answering:
                if job.claim_answer():
                    inbox.put(ended)
            place.chunk = worker.job = None
            del job, ended  # or an idle thread would keep the items of its last chunk alive
    except BaseException as error:  # noqa: BLE001 - raised into the thread from outside: nobody would answer any more
        name, what = threading.current_thread().name, type(error).__name__
        broken = BackendError(
            f"{name} was ended by {what} between two items: raise into a thread only while its item runs"
        )
        broken.__cause__ = error
        inbox.put(RunFailed(broken))
