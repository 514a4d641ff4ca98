"""News for open pages, and what they may ask for."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, HTTPException, Query
from fastapi.responses import StreamingResponse

from raddle.web import actions
from raddle.web.api import Journal, Uid, refusals
from raddle.web.reading import Json, Site
from raddle.web.watch import Listener

__all__ = ["action_routes", "event_routes"]


def event_routes(site: Site) -> APIRouter:
    """Return the route of the stream."""
    router = APIRouter(prefix="/api")

    @router.get("/events", response_class=StreamingResponse, responses=refusals(404, 503))
    async def events(
        journal: Annotated[int, Query(ge=0, le=1_000_000)] = 0,
        run: Annotated[str | None, Query(pattern="^[0-9a-f]{32}$", description="Only this run.")] = None,
    ) -> StreamingResponse:
        """Stream what the journals say, as often as it changes: server-sent events, each a JSON object.

        Without `run`: all runs of all journals.
        """
        site.reader(journal)
        listener = site.hub.listen(None if run is None else (journal, run))
        if listener is None:
            raise HTTPException(503, f"{site.settings.clients} pages are open already: close one")
        return StreamingResponse(_stream(site, listener), media_type="text/event-stream")

    return router


async def _stream(site: Site, listener: Listener) -> AsyncIterator[str]:
    try:
        yield "retry: 2000\n\n"
        while (states := await listener.next(site.settings.ping)) is not None:
            if not states:
                yield ": still here\n\n"
            for state in states:
                yield f"data: {json.dumps(state, separators=(',', ':'))}\n\n"
    finally:
        site.hub.leave(listener)


def action_routes(site: Site) -> APIRouter:
    """Return the routes that do something."""
    router = APIRouter(prefix="/api", default_response_class=Json)

    def refuse() -> None:
        if not site.settings.allow_actions:
            raise HTTPException(403, "this page only reads: start it with raddle ui --allow-actions")

    @router.post("/journals/{journal}/runs/{uid}/retry", status_code=202, responses=refusals(403, 404, 409, 503))
    async def retry(journal: Journal, uid: Uid) -> Json:
        """Start what failed, crashed or never ran again: `raddle runs retry`, in a process of its own."""
        refuse()
        reader = site.reader(journal)
        run = await reader.run(uid)
        try:
            pid = await reader.read(site.retries.start, reader.history, run)
        except actions.Refused as error:
            raise HTTPException(409, str(error)) from error
        return Json({"detail": f"started raddle runs retry {run.name}, process {pid}"}, 202)

    @router.post("/journals/{journal}/runs/{uid}/cancel", status_code=202, responses=refusals(403, 404, 409, 503))
    async def cancel(journal: Journal, uid: Uid) -> Json:
        """Ask a run to stop, as Ctrl-C does: what runs may end, nothing more starts."""
        refuse()
        reader = site.reader(journal)
        run = await reader.run(uid)
        try:
            pid = await asyncio.to_thread(actions.cancel, reader.history, run)
        except actions.Refused as error:
            raise HTTPException(409, str(error)) from error
        return Json({"detail": f"asked process {pid} to stop"}, 202)

    return router
