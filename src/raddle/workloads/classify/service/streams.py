"""Event streams: of a job, and of the seed's batches."""

from __future__ import annotations

import json
import logging
from collections import defaultdict
from contextlib import aclosing
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from fastapi.responses import StreamingResponse

from raddle.workloads.classify.service.job import describe
from raddle.workloads.classify.service.rows import dumps, seed_result

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from starlette.types import Receive, Scope, Send

    from raddle.workloads.classify.service.job import Job
    from raddle.workloads.classify.service.jobs import Jobs

__all__ = ["EventStream", "job_events", "seed_events"]

log = logging.getLogger("raddle.classify")

_HEADERS: Final = {"Cache-Control": "no-cache, no-transform", "X-Accel-Buffering": "no"}
_PING: Final = b": ping\n\n"


class EventStream(StreamingResponse):
    """A stream that closes what it reads from, whatever ends it, and says so once."""

    def __init__(
        self, content: AsyncGenerator[bytes, None], *, ended: Callable[[], None], headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(content, media_type="text/event-stream", headers={**_HEADERS, **(headers or {})})
        self._content = content
        self._ended = ended

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        try:
            async with aclosing(self._content):
                await super().__call__(scope, receive, send)
        finally:
            self._ended()


async def job_events(jobs: Jobs, name: str, after: int, now: Callable[[], float]) -> AsyncGenerator[bytes, None]:
    """Yield what happened in a job since outcome `after`, then what happens, until it ends."""
    yield b"retry: 2000\n\n" + await _progress(jobs, name, "progress", now)
    async with aclosing(jobs.follow(name, after)) as pages:  # type: ignore[type-var]
        async for page in pages:
            if not page:
                yield _PING
                continue
            events = [
                f"id: {one.seq}\nevent: {'item' if one.status == 'ok' else 'error'}\ndata: {one.body}\n\n"
                for one in page
            ]
            yield "".join(events).encode() + await _progress(jobs, name, "progress", now)
    if not jobs.stopping:
        yield await _progress(jobs, name, "done", now)


async def _progress(jobs: Jobs, name: str, event: str, now: Callable[[], float]) -> bytes:
    job = jobs.live.get(name)
    row = await jobs.row(name) if job is None else job.row
    if row is None:  # forgotten while somebody read it
        return b'event: done\ndata: {"state":"forgotten"}\n\n'
    return f"event: {event}\ndata: {dumps(describe(row, job, now()))}\n\n".encode()


async def seed_events(jobs: Jobs, job: Job, size: int, *, in_order: bool) -> AsyncGenerator[bytes, None]:
    """Yield the batches of a job as the seed's clients know them, each as soon as all its items are there.

    Batches are those of the input, results inside of one are in input order. A slow item holds up its own batch only,
    unless `in_order`: then all behind it.
    """
    name, total = job.row.id, job.row.total
    kind = f"{job.row.mode}_multithreaded"
    partial: defaultdict[int, dict[int, str]] = defaultdict(dict)
    turn = 1
    async with aclosing(jobs.follow(name, 0)) as pages:  # type: ignore[type-var]
        async for page in pages:
            if not page:
                yield _PING
            for one in page:
                batch = one.position // size + 1
                partial[batch][one.position] = one.body
                ready = [batch]
                if in_order:
                    ready = []
                    while _complete(partial[turn], turn, size, total):
                        ready.append(turn)
                        turn += 1
                for number in ready:
                    if _complete(partial[number], number, size, total):
                        yield _batch(number, partial.pop(number), kind)
                        extra = {"job": name, "batch": number}
                        log.info("Successfully processed batch with concurrent execution", extra=extra)
    if job.done == total:
        yield _data({"batch_id": -1, "results": [], "processing_type": "complete", "total_processed": total})
    else:
        why = "the server is being stopped" if jobs.stopping else "the job was cancelled"
        yield _data({"batch_id": -1, "results": [], "processing_type": "error", "error": why})


def _complete(batch: dict[int, str], number: int, size: int, total: int) -> bool:
    return len(batch) == max(0, min(size, total - (number - 1) * size)) > 0


def _batch(number: int, bodies: dict[int, str], kind: str) -> bytes:
    results = [seed_result(json.loads(bodies[position])) for position in sorted(bodies)]
    return _data({"batch_id": number, "results": results, "processing_type": kind})


def _data(event: dict[str, Any]) -> bytes:
    event["timestamp"] = datetime.now(UTC).replace(tzinfo=None).isoformat()  # without a zone, as the seed has it
    return f"data: {dumps(event)}\n\n".encode()
