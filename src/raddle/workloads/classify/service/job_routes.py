"""Jobs: made, looked at, followed, fetched, cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from typing import Annotated, Literal

from fastapi import APIRouter, Header, HTTPException, Query, Request, Response
from fastapi.responses import StreamingResponse
from starlette.datastructures import UploadFile

from raddle.workloads.classify.service import models, queries
from raddle.workloads.classify.service.inputs import (
    BadInput,
    Upload,
    check_columns,
    form_of,
    from_pictures,
    items_of,
    rows_of,
)
from raddle.workloads.classify.service.job import describe
from raddle.workloads.classify.service.jobs import Full, Jobs
from raddle.workloads.classify.service.queries import Item, JobRow, Stored
from raddle.workloads.classify.service.rows import csv_lines
from raddle.workloads.classify.service.settings import ServiceSettings
from raddle.workloads.classify.service.streams import EventStream, job_events

__all__ = ["job_routes"]

_PAGE = 256
_LARGEST = 2**31
_LISTED = 100

Answer = Callable[[JobRow], models.JobAnswer]
Column = Annotated[str | None, Query(max_length=200)]


def job_routes(jobs: Jobs, settings: ServiceSettings, now: Callable[[], float]) -> APIRouter:
    """Return the routes below /jobs."""
    router = APIRouter(prefix="/jobs")

    def answer(row: JobRow) -> models.JobAnswer:
        return models.JobAnswer(**describe(row, jobs.live.get(row.id), now()))

    _entrance(router, jobs, settings, answer)
    _looks(router, jobs, answer)
    _streams(router, jobs, settings, now)
    return router


async def _known(jobs: Jobs, job_id: str) -> JobRow:
    live = jobs.live.get(job_id)
    row = live.row if live else await jobs.row(job_id)
    if row is None:
        raise HTTPException(404, f"job={job_id!r}: there is no such job, or it ended long ago")
    return row


def _entrance(router: APIRouter, jobs: Jobs, settings: ServiceSettings, answer: Answer) -> None:
    @router.post(
        "",
        status_code=202,
        responses=models.refusals(400, 401, 403, 413, 415, 422, 429, 503),
        openapi_extra=models.JOB_BODY,
    )
    async def submit(  # noqa: PLR0917 - parameters of a route, by name
        request: Request,
        response: Response,
        mode: Annotated[Literal["text", "image"], Query(description="what is looked at; uploads are images")] = "text",
        id_column: Column = None,
        name_column: Column = None,
        image_column: Column = None,
    ) -> models.JobAnswer:
        """Store items as a job, which then goes on by itself, whoever is connected."""
        if len(jobs.live) >= settings.max_jobs:
            raise Full  # before the body is read
        uploaded, items = await _items(jobs, request, id_column)
        columns = {"name": name_column, "image": image_column}
        if not uploaded:
            await jobs.aside(check_columns, items, mode=mode, columns=columns)
        job = await jobs.submit(items, mode="image" if uploaded else mode, columns=columns)
        response.headers["Location"] = f"/jobs/{job.row.id}"
        return answer(job.row)


def _looks(router: APIRouter, jobs: Jobs, answer: Answer) -> None:
    @router.get("", responses=models.refusals(401))
    async def all_jobs() -> models.Jobs:
        """List the newest hundred jobs."""
        return models.Jobs(jobs=[answer(row) for row in await jobs.store.read(queries.latest_jobs, _LISTED)])

    @router.get("/{job_id}", responses=models.refusals(401, 404))
    async def one(job_id: str) -> models.JobAnswer:
        """Say how far a job is."""
        return answer(await _known(jobs, job_id))

    @router.delete("/{job_id}", responses=models.refusals(401, 403, 404))
    async def cancel(job_id: str) -> models.JobAnswer:
        """Cancel a job; one that has ended stays as it is."""
        row = await _known(jobs, job_id)
        if (live := jobs.live.get(job_id)) is not None:
            jobs.cancel(live)
            with suppress(TimeoutError):  # a disk that is full: it is cancelled nevertheless
                async with asyncio.timeout(5):
                    while job_id in jobs.live:
                        await live.bell.wait()
        return answer(await jobs.row(job_id) or row)


def _streams(router: APIRouter, jobs: Jobs, settings: ServiceSettings, now: Callable[[], float]) -> None:
    @router.get(
        "/{job_id}/events",
        status_code=200,
        response_class=EventStream,
        responses={**models.STREAM, **models.refusals(400, 401, 404, 422, 503)},
    )
    async def events(
        job_id: str,
        start: Annotated[int, Query(alias="from", ge=0, le=_LARGEST, description="events after this id")] = 0,
        last_event_id: Annotated[str | None, Header(description="as `from`, and before it")] = None,
    ) -> EventStream:
        """Tell of each item: events `item`, `error` (of an item), `progress` and `done`, with ids to go on from."""
        after = _event_id(last_event_id) if last_event_id else start
        await _known(jobs, job_id)
        if jobs.figures.streams >= settings.max_streams:
            raise HTTPException(503, "as many event streams are open as may be", {"Retry-After": "5"})
        jobs.figures.streams += 1

        def ended() -> None:
            jobs.figures.streams -= 1

        return EventStream(job_events(jobs, job_id, after, now), ended=ended)

    @router.get(
        "/{job_id}/results",
        response_class=StreamingResponse,
        responses={
            200: {
                "description": "outcomes so far, in input order",
                "content": {kind: {"schema": {"type": "string"}} for kind in ("application/x-ndjson", "text/csv")},
            },
            **models.refusals(401, 404, 422),
        },
    )
    async def results(
        job_id: str, form: Annotated[Literal["ndjson", "csv"], Query(alias="format")] = "ndjson"
    ) -> StreamingResponse:
        """Return the outcomes there are, in input order."""
        await _known(jobs, job_id)
        headers = {"Content-Disposition": f'attachment; filename="{job_id}.{form}"'}
        media = "text/csv" if form == "csv" else "application/x-ndjson"
        return StreamingResponse(_results(jobs, job_id, csv=form == "csv"), media_type=media, headers=headers)


async def _items(jobs: Jobs, request: Request, id_column: str | None) -> tuple[bool, list[Item]]:
    """Return the items of a request, and whether they are pictures."""
    kind = request.headers.get("content-type", "")
    if kind.lower().startswith("multipart/form-data"):
        async with request.form(max_files=jobs.settings.max_items, max_fields=100) as form:
            files = [value for _, value in form.multi_items() if isinstance(value, UploadFile)]
            return await _from_files(jobs, files, id_column)
    if (form_name := form_of(kind)) is None:
        raise HTTPException(415, "send application/json, application/x-ndjson, text/csv or multipart/form-data")
    body = await request.body()
    return False, await jobs.aside(_parse, body, form_name, jobs.settings.max_items, id_column)


async def _from_files(jobs: Jobs, files: list[UploadFile], id_column: str | None) -> tuple[bool, list[Item]]:
    if not files:
        raise BadInput("no files: send one CSV, JSON Lines or JSON file, or pictures")
    forms = [form_of(file.content_type or "", file.filename or "") for file in files]
    if len(files) == 1 and forms[0] is not None:
        return False, await jobs.aside(_parse, await files[0].read(), forms[0], jobs.settings.max_items, id_column)
    if any(form is not None for form in forms):
        raise BadInput("several files, not all of them pictures: send one table, or pictures only")
    uploads = [Upload(file.filename or "", await file.read()) for file in files]
    return True, await jobs.aside(from_pictures, uploads)


def _parse(body: bytes, form: str, most: int, id_column: str | None) -> list[Item]:
    return items_of(rows_of(body, form, most=most), id_column=id_column)


async def _results(jobs: Jobs, name: str, *, csv: bool) -> AsyncGenerator[str, None]:
    if csv:
        yield csv_lines(None)
    position = -1
    while page := await jobs.store.read(queries.results, name, position, _PAGE):
        position = page[-1].position
        yield csv_lines(one.body for one in page) if csv else _ndjson(page)


def _ndjson(page: list[Stored]) -> str:
    return "".join(f"{one.body}\n" for one in page)


def _event_id(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or int(text[:20]) > _LARGEST:
        raise HTTPException(400, "Last-Event-ID: give the id of an event of this job")
    return int(text)
