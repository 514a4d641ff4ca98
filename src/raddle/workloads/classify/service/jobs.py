"""All jobs: taken, run in one window, remembered, followed.

    jobs in turn ──window──▶ outcomes ──commit──▶ database, then tail and bell ──▶ streams

An outcome is stored before anybody hears of it. A stream has no queue: it is a number, and reads what comes after it.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
import uuid
from typing import TYPE_CHECKING, Any, Final, NamedTuple, ParamSpec, TypeVar

from raddle.workloads.classify.service import queries
from raddle.workloads.classify.service.figures import Figures
from raddle.workloads.classify.service.job import Job
from raddle.workloads.classify.service.queries import Item, JobRow, NewOutcome, Stored
from raddle.workloads.classify.service.rows import dumps
from raddle.workloads.classify.service.store import Store
from raddle.workloads.classify.service.window import Window

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from raddle.workloads.classify.service.settings import ServiceSettings
    from raddle.workloads.classify.values import Provider

__all__ = ["Full", "Jobs"]

P = ParamSpec("P")
T = TypeVar("T")

log = logging.getLogger("raddle.classify")

_PAGE: Final = 256
#: outcomes that may wait for the disk before no more are taken
_UNSTORED: Final = 4096
#: seconds after which old jobs are looked for again
_TIDY: Final = 3600.0
#: seconds between tries when the disk fails
_PAUSE: Final = 1.0
#: seconds that the last outcomes have to reach the disk
_PATIENCE: Final = 10.0


class Full(Exception):
    """There are as many unfinished jobs as may be."""


class _Open(NamedTuple):
    """What exists from `open` to `close`."""

    store: Store
    window: Window
    commit: asyncio.Task[None]
    pump: asyncio.Task[None]


class Jobs:
    """Takes jobs, runs them, remembers them. Lives in one event loop, from `open` to `close`.

    Args:
        settings: how much of everything
        provider: what labels an item; stays open
        now: seconds that never go back
        wall: Unix time
    """

    def __init__(
        self,
        settings: ServiceSettings,
        provider: Provider,
        *,
        now: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.settings = settings
        self.figures = Figures()
        #: streams end, and clients come back when there is a server again
        self.stopping = False
        #: why nothing can be stored at the moment, "" if it can
        self.fault = ""
        self._provider = provider
        self._now, self._wall = now, wall
        self._state: _Open | None = None
        self._closing = False
        self._live: dict[str, Job] = {}
        self._reserved = 0
        self._tidied = 0.0
        self._unstored: list[NewOutcome] = []
        self._ended: list[Job] = []
        self._dirty = asyncio.Event()
        self._room = asyncio.Event()
        self._reading = asyncio.Lock()

    @property
    def store(self) -> Store:
        """The database; only while open."""
        return self._opened.store

    @property
    def running(self) -> bool:
        """Whether items are taken and stored."""
        state = self._state
        return state is not None and not (state.commit.done() or state.pump.done())

    @property
    def _opened(self) -> _Open:
        if self._state is None:
            raise RuntimeError("the jobs are not open: call open() first")
        return self._state

    @property
    def live(self) -> dict[str, Job]:
        """Unfinished jobs by id; not to be changed."""
        return self._live

    async def open(self) -> None:
        """Go on with what an earlier process left.

        Raises:
            ConfigError: the folder cannot be used, or another server uses it
        """
        store, settings = await asyncio.to_thread(Store, self.settings.jobs), self.settings
        window = Window(
            store,
            self._provider,
            self.figures,
            self._keep,
            workers=settings.workers,
            timeout=settings.timeout,
            now=self._now,
        )
        await self._tidy(store)
        for row in await store.read(queries.unfinished):
            if row.attached:  # whoever wanted it is gone
                await store.write(queries.end_job, row.id, "cancelled", self._wall())
            else:
                job = Job(row, queries.columns_of(row), done=row.done, failed=row.failed, done_before=row.done)
                self._live[row.id] = job
                window.admit(job)
        pump = asyncio.create_task(window.run(lambda: list(self._live.values())))
        self._state = _Open(store, window, asyncio.create_task(self._commit(store)), pump)

    async def close(self) -> None:
        """Stop. What is in flight has no outcome and runs again next time."""
        self.stop_streams()
        opened = self._opened
        opened.pump.cancel()
        await asyncio.wait([opened.pump])
        self._closing = True
        self._dirty.set()
        await asyncio.wait([opened.commit], timeout=_PATIENCE)
        opened.commit.cancel()
        await asyncio.wait([opened.commit])
        for task in (opened.commit, opened.pump):
            if not task.cancelled() and (error := task.exception()):
                log.error("stopped by %s", type(error).__name__)
        await asyncio.to_thread(opened.store.close)

    def stop_streams(self) -> None:
        """End all streams; the jobs go on until `close`."""
        self.stopping = True
        for job in self._live.values():
            job.ring()

    async def aside(self, work: Callable[P, T], *args: P.args, **named: P.kwargs) -> T:
        """Call what takes long, such as the reading of a body, in a thread; one at a time.

        Each such thread has as large a share of the interpreter as the event loop, which has to answer all others.
        """
        async with self._reading:
            return await asyncio.to_thread(work, *args, **named)

    # ------------------------------------------------------------------------------------------------- jobs

    async def submit(
        self, items: Sequence[Item], *, mode: str, columns: dict[str, Any], attached: bool = False, batch: int = 0
    ) -> Job:
        """Store a job, then let it run.

        Raises:
            Full: too many are unfinished
        """
        if len(self._live) + self._reserved >= self.settings.max_jobs:
            raise Full
        if self._wall() - self._tidied >= _TIDY:
            await self._tidy(self.store)
        self._reserved += 1  # another request may come while this one is being stored
        try:
            row = JobRow(
                uuid.uuid4().hex, self._wall(), None, "running", mode, dumps(columns), int(attached), len(items), 0, 0
            )
            await self.store.write(queries.add_job, row, items)
        finally:
            self._reserved -= 1
        job = Job(row, columns, batch=batch)
        self._admit(job)
        return job

    def cancel(self, job: Job) -> None:
        """End a job: nothing of it starts any more, what is in flight is cancelled. Stored a moment later."""
        if job.over:
            return
        job.state = "cancelled"
        for call in job.calls:
            call.cancel()
        self._ended.append(job)
        self._dirty.set()

    async def row(self, name: str) -> JobRow | None:
        """Return a job as it is stored."""
        return await self.store.read(queries.job, name)

    async def follow(self, name: str, after: int) -> AsyncIterator[list[Stored]]:
        """Yield outcomes in pages, those after a number first; an empty page when nothing came for `ping` seconds.

        Ends with the job, or with the server.
        """
        while not self.stopping:
            job = self._live.get(name)
            # The order matters: what is stored after this look rings this bell.
            bell = None if job is None else job.bell
            page = None if job is None else job.recent(after)
            if page is None:
                page = await self.store.read(queries.outcomes, name, after, _PAGE)
            if page:
                after = page[-1].seq
                yield page
            elif bell is None:
                return
            else:
                try:
                    async with asyncio.timeout(self.settings.ping):
                        await bell.wait()
                except TimeoutError:
                    yield []

    # ---------------------------------------------------------------------------------------------- outcomes

    async def _tidy(self, store: Store) -> None:
        self._tidied = self._wall()
        await store.write(queries.forget, self._tidied - self.settings.keep_days * 86_400)

    def _admit(self, job: Job) -> None:
        self._live[job.row.id] = job
        self._opened.window.admit(job)

    async def _keep(self, outcome: NewOutcome) -> None:
        self._unstored.append(outcome)
        self._dirty.set()
        while len(self._unstored) >= _UNSTORED:
            self._room.clear()
            await self._room.wait()

    async def _commit(self, store: Store) -> None:
        while not self._closing or self._unstored or self._ended:
            await self._dirty.wait()
            self._dirty.clear()
            new, ended = self._unstored[:], self._ended[:]
            try:
                stored = await store.write(queries.add_outcomes, new, self._wall()) if new else {}
                for job in ended:
                    await store.write(queries.end_job, job.row.id, "cancelled", self._wall())
            except sqlite3.Error as error:
                self.fault = f"jobs cannot be stored: {error}"
                log.error("%s; trying again", self.fault)  # noqa: TRY400 - the message says it all
                await asyncio.sleep(_PAUSE)
                self._dirty.set()
                continue
            self.fault = ""
            del self._unstored[: len(new)], self._ended[: len(ended)]
            self._room.set()
            self._publish(new, stored, ended)

    def _publish(self, new: list[NewOutcome], stored: dict[str, list[Stored]], ended: list[Job]) -> None:
        for name, outcomes in stored.items():
            job = self._live[name]
            job.add(outcomes)
            if job.done == job.row.total and not job.over:
                job.state = "done"
                ended.append(job)
            job.ring()
        for one in new:
            if one.job in self._live:
                self._live[one.job].waiting.discard(one.position)
        for job in ended:
            # Streams find its end in the database from now on.
            self._live.pop(job.row.id, None)
            self._opened.window.dismiss(job)
            self.figures.jobs[job.state] += 1
            job.ring()
