"""The seed's own names: what it was called with before there was a command line."""

from __future__ import annotations

import tempfile
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, Field

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from fastapi.responses import StreamingResponse

    from raddle.workloads.classify.service.queries import Item
    from raddle.workloads.classify.service.settings import ServiceSettings
    from raddle.workloads.classify.values import Provider

__all__ = ["CategoryClassificationRequest", "classify_furniture_category"]


class CategoryClassificationRequest(BaseModel):
    """Items to label, and how: `toggle` 1 by their text, 0 by their pictures."""

    data: list[dict[str, Any]] = Field(description="one object for each item, with whatever columns there are")
    toggle: int = Field(description="1: text, 0: image")
    product_column: str = Field("Product URL", description="column with the address of the picture", max_length=200)


async def classify_furniture_category(
    request: CategoryClassificationRequest,
    *,
    provider: Provider | None = None,
    settings: ServiceSettings | None = None,
) -> StreamingResponse:
    """Return the stream of batches that `POST /classify-category` answers with, without a server.

    Iterate its `body_iterator`; nothing begins before, and what is left early is cancelled.

    Args:
        request: the items
        provider: what labels them; stays open. None: as the settings of `raddle classify` say, offline unless a key is
            configured
        settings: limits and sizes of batches; the folder is not used

    Raises:
        fastapi.HTTPException: 400: no items, an unknown toggle, an item without a picture
    """
    from fastapi import HTTPException
    from fastapi.responses import StreamingResponse

    from raddle.workloads.classify.service.inputs import BadInput, items_of
    from raddle.workloads.classify.service.seed_route import check_request

    try:
        check_request(request)
        items = items_of(request.data)
    except BadInput as error:
        raise HTTPException(400, str(error)) from error
    return StreamingResponse(_batches(request, items, provider, settings), media_type="text/event-stream")


async def _batches(
    request: CategoryClassificationRequest,
    items: list[Item],
    provider: Provider | None,
    settings: ServiceSettings | None,
) -> AsyncGenerator[str | bytes | memoryview, None]:
    from raddle.workloads.classify.service.jobs import Jobs
    from raddle.workloads.classify.service.seed_route import start
    from raddle.workloads.classify.service.settings import ServiceSettings

    own = None
    if provider is None:
        from raddle.workloads.classify.settings import load_settings, make_provider

        provider = own = make_provider(load_settings())
    try:
        with tempfile.TemporaryDirectory(prefix="raddle-classify-", ignore_cleanup_errors=True) as folder:
            jobs = Jobs(replace(settings or ServiceSettings(), jobs=Path(folder)), provider)
            await jobs.open()
            try:
                stream = await start(jobs, request, items)
                async with aclosing(stream.body_iterator) as chunks:  # type: ignore[type-var]
                    async for chunk in chunks:
                        yield chunk
            finally:
                await jobs.close()
    finally:
        if own is not None:
            await own.aclose()
