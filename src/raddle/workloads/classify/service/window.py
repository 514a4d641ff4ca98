"""The one window of items in flight, over all jobs.

One long-lived `raddle.arun` over an async source, and not one run per job: so the limit that adapts to the endpoint,
the gate that a rejection closes and the number in flight are one for the whole server, and fairness is a matter of the
source, which takes from the jobs in turn. Its `window` is small, so that a new job does not wait behind what was read
ahead of an old one.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import raddle
from raddle.workloads.classify.errors import NothingSaid
from raddle.workloads.classify.service import queries
from raddle.workloads.classify.service.job import Job, Work
from raddle.workloads.classify.service.queries import NewOutcome
from raddle.workloads.classify.service.rows import late, outcome_body, product_of, public_error

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from raddle.workloads.classify.service.figures import Figures
    from raddle.workloads.classify.service.queries import Item
    from raddle.workloads.classify.service.store import Store
    from raddle.workloads.classify.values import Label, Product, Provider

__all__ = ["Window"]

log = logging.getLogger("raddle.classify")

#: items of a job that are read at once
_AHEAD: Final = 64
#: seconds until a run that broke begins anew
_PAUSE: Final = 1.0


class Window:
    """Takes items from the jobs in turn and hands on how each ended.

    Args:
        store: where items are
        provider: what labels them
        figures: where they are counted
        keep: takes an outcome; may make the window wait
        workers: most in flight
        timeout: seconds for one item
        now: seconds that never go back
    """

    def __init__(
        self,
        store: Store,
        provider: Provider,
        figures: Figures,
        keep: Callable[[NewOutcome], Awaitable[None]],
        *,
        workers: int,
        timeout: float | None,
        now: Callable[[], float],
    ) -> None:
        self._store = store
        self._provider = provider
        self._figures = figures
        self._keep = keep
        self._workers, self._timeout, self._now = workers, timeout, now
        self._rotation: deque[Job] = deque()
        self._more = asyncio.Event()

    def admit(self, job: Job) -> None:
        """Let a job have its turns."""
        self._rotation.append(job)
        self._more.set()

    def dismiss(self, job: Job) -> None:
        """Forget a job."""
        with suppress(ValueError):
            self._rotation.remove(job)

    async def run(self, unfinished: Callable[[], list[Job]]) -> None:
        """Label items until cancelled; should the run break, what had no outcome is taken again.

        Args:
            unfinished: jobs to go on with after that
        """
        while True:
            try:
                async with raddle.arun(
                    self._label,
                    self._source(),
                    backend="asyncio",
                    workers=self._workers,
                    window=2 * self._workers,
                    timeout=self._timeout,
                    ordered=False,
                    memory=None,
                    grace=0.5,
                ) as run:
                    async for outcome in run:
                        await self._ended(outcome)
            except (raddle.RaddleError, sqlite3.Error) as error:
                # such as too many calls that cannot be cancelled, or a database that cannot be read
                log.error("the run over the items broke and begins anew: %s", type(error).__name__)  # noqa: TRY400
            await asyncio.sleep(_PAUSE)
            self._rotation.clear()
            for job in unfinished():
                job.rewind()
                self.admit(job)

    async def _source(self) -> AsyncIterator[Work]:
        while True:
            while not self._rotation:
                self._more.clear()
                await self._more.wait()
            job = self._rotation.popleft()
            if not job.over and not job.ahead:
                found = await self._store.read(queries.pending, job.row.id, job.cursor, _AHEAD)
                job.ahead.extend(item for item in found if item.position not in job.waiting)
                job.cursor = found[-1].position if found else job.row.total
            if job.over or (not job.ahead and job.cursor >= job.row.total):
                continue  # all of it is handed out
            self._rotation.append(job)
            if job.ahead:
                yield Work(job, job.ahead.popleft())

    async def _label(self, work: Work) -> tuple[Product, Label] | None:
        """Return the label of an item; None: its job was cancelled."""
        job = work.job
        if job.over:
            return None
        if job.started is None:
            job.started = self._now()
        _tell_batch(job, work.item)
        product = product_of(work.item, mode=job.row.mode, columns=job.columns)
        if product.mode == "text" and not product.text:
            raise NothingSaid("nothing to classify: no name, type, category, style, tags or description")
        # A task of its own, so that cancelling the job ends this call and not the worker that waits for it.
        call = asyncio.ensure_future(self._provider.label(product))
        job.calls.add(call)
        self._figures.in_flight += 1
        try:
            return product, await call
        except asyncio.CancelledError:
            here = asyncio.current_task()
            if job.cancelled() and here is not None and not here.cancelling():
                return None
            raise
        finally:
            self._figures.in_flight -= 1
            job.calls.discard(call)

    async def _ended(self, outcome: raddle.Outcome) -> None:
        job, item = outcome.item.job, outcome.item.item
        if job.over:
            return
        if outcome.ok:
            product, label = outcome.value
            outcome = outcome._replace(value=label)
        else:
            if late(outcome):
                outcome = outcome._replace(status=raddle.Status.TIMED_OUT)
            product = product_of(item, mode=job.row.mode, columns=job.columns)
            _tell_failure(job, item, outcome)
        self._figures.add(outcome)
        job.waiting.add(item.position)
        body = outcome_body(product, outcome, item.position)
        await self._keep(NewOutcome(job.row.id, item.position, outcome.status.value, body))


def _tell_batch(job: Job, item: Item) -> None:
    if job.batch and item.position % job.batch == 0:
        number, size = item.position // job.batch + 1, min(job.batch, job.row.total - item.position)
        text = "Processing %s batch %d with %d items using multithreading"
        log.info(text, job.row.mode, number, size, extra={"job": job.row.id, "batch": number, "items": size})


def _tell_failure(job: Job, item: Item, outcome: raddle.Outcome) -> None:
    extra = {"job": job.row.id, "item": item.position, "status": outcome.status.value}
    if outcome.status is raddle.Status.TIMED_OUT:
        log.error("Threading error: item %d: timeout after %g seconds", item.position, outcome.seconds, extra=extra)
    else:
        log.error("Error in thread for item %d: %s", item.position, public_error(outcome), extra=extra)
