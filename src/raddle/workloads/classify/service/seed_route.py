"""`POST /classify-category`, as the clients of the seed's service know it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, HTTPException, Query, Request
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from raddle.workloads.classify.seed import CategoryClassificationRequest
from raddle.workloads.classify.service import models
from raddle.workloads.classify.service.inputs import BadInput, TooMany, items_of, parse_json
from raddle.workloads.classify.service.job import Job
from raddle.workloads.classify.service.jobs import Jobs
from raddle.workloads.classify.service.queries import Item
from raddle.workloads.classify.service.settings import ServiceSettings
from raddle.workloads.classify.service.streams import EventStream, seed_events

__all__ = ["check_request", "seed_route"]

#: columns of a picture's address besides `product_column`, spelled without case, spaces, dashes and underscores
_PICTURES = frozenset({"producturl", "imageurl", "image", "picture"})

_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": CategoryClassificationRequest.model_json_schema(),
                "example": {
                    "data": [{"product_name": "Corner sofa", "type": "Seating", "tags": ["couch", "seat"]}],
                    "toggle": 1,
                },
            }
        },
    }
}


def seed_route(jobs: Jobs, settings: ServiceSettings) -> APIRouter:
    """Return the route."""
    router = APIRouter()

    @router.post(
        "/classify-category",
        status_code=200,
        response_class=EventStream,
        responses={**models.STREAM, **models.refusals(400, 401, 403, 413, 422, 429, 503)},
        openapi_extra=_BODY,
    )
    async def classify_category(
        request: Request,
        detach: Annotated[bool, Query(description="go on when the client goes away")] = False,  # noqa: FBT002
        order: Annotated[
            Literal["ready", "input"],
            Query(description="batches as soon as each is complete, or strictly one after another"),
        ] = "ready",
    ) -> EventStream:
        """Label items; batches of the input come as `data:` lines, each when all its items are there."""
        body = await request.body()
        asked, items = await jobs.aside(_read, body, settings.max_items)
        if jobs.figures.streams >= settings.max_streams:
            raise HTTPException(503, "as many event streams are open as may be", {"Retry-After": "5"})
        return await start(jobs, asked, items, detach=detach, in_order=order == "input")

    return router


async def start(
    jobs: Jobs, asked: CategoryClassificationRequest, items: list[Item], *, detach: bool = False, in_order: bool = False
) -> EventStream:
    """Begin a job for a request and return the stream of its batches.

    Raises:
        Full: too many jobs are unfinished
    """
    mode = "text" if asked.toggle else "image"
    columns = {"image": _image_column(asked)} if mode == "image" else {}
    size = jobs.settings.batch_size(mode)
    job = await jobs.submit(items, mode=mode, columns=columns, attached=not detach, batch=size)
    jobs.figures.streams += 1

    def ended() -> None:
        jobs.figures.streams -= 1
        if not detach:
            jobs.cancel(job)

    return EventStream(seed_events(jobs, job, size, in_order=in_order), ended=ended, headers=_headers(job))


def check_request(asked: CategoryClassificationRequest) -> None:
    """Refuse what the seed's service refuses.

    Raises:
        BadInput: nothing to do, or a toggle that means nothing, or an item without a picture
    """
    if not asked.data:
        raise BadInput("data is empty: send at least one item")
    if asked.toggle not in (0, 1):
        raise BadInput(f"toggle={asked.toggle}: give 1 for text or 0 for images")
    if asked.toggle == 0:
        known = _PICTURES | {_plain(asked.product_column)}
        for position, row in enumerate(asked.data):
            if known.isdisjoint(map(_plain, row)):
                raise BadInput(f"item {position}: no column {asked.product_column!r} with the address of a picture")


def _read(body: bytes, most: int) -> tuple[CategoryClassificationRequest, list[Item]]:
    try:
        asked = CategoryClassificationRequest.model_validate(parse_json(body))
    except ValidationError as error:
        told = error.errors(include_url=False, include_input=False, include_context=False)
        raise RequestValidationError([{**one, "loc": ("body", *one["loc"])} for one in told]) from error
    if len(asked.data) > most:
        raise TooMany(f"{len(asked.data)} items are more than {most}; send them in several requests")
    check_request(asked)
    return asked, items_of(asked.data)


def _image_column(asked: CategoryClassificationRequest) -> str | None:
    """Return the column that was named, if all items have it.

    Not the default one: an item that has a picture's address beside that of its page is better looked at by that.
    """
    plain = _plain(asked.product_column)
    named = plain != "producturl" and all(plain in map(_plain, row) for row in asked.data)
    return asked.product_column if named else None


def _plain(column: str) -> str:
    return column.replace(" ", "").replace("_", "").replace("-", "").casefold()


def _headers(job: Job) -> dict[str, str]:
    return {"X-Job-Id": job.row.id, "Content-Location": f"/jobs/{job.row.id}"}
