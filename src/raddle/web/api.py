"""The journals as JSON."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Annotated, Any, Literal

from fastapi import APIRouter, HTTPException, Path, Query

from raddle.journal.history import Order, RunRow
from raddle.web import actions, views
from raddle.web.reading import Json, Reader, Site

__all__ = ["api_routes", "refusals"]

_HIGHEST = (1 << 63) - 1
#: attempts that the timeline draws
_SPANS = 1500

Journal = Annotated[int, Path(ge=0, le=1_000_000, description="Number of the journal, counted from 0.")]
Uid = Annotated[str, Path(pattern="^[0-9a-f]{32}$", description="The run's own id.")]
Number = Annotated[int, Path(ge=0, le=_HIGHEST)]
StatusName = Literal["ok", "failed", "timed_out", "crashed"]

_SAYS = {
    400: "the cursor is of another question",
    401: "no token",
    403: "not one of the page's own requests, or without --allow-actions",
    404: "no such journal, run or item",
    409: "it cannot be done; detail says why",
    421: "another Host",
    503: "the journal cannot be read at the moment; detail says why",
}


def refusals(*codes: int) -> dict[int | str, dict[str, Any]]:
    """Describe answers that are none."""
    return {code: {"description": _SAYS[code]} for code in (*codes, 401, 421)}


def api_routes(site: Site) -> APIRouter:
    """Return the routes that read."""
    router = APIRouter(prefix="/api", default_response_class=Json)
    _journals(router, site)
    _run(router, site)
    _items(router, site)
    return router


def _journals(router: APIRouter, site: Site) -> None:
    @router.get("/journals", responses=refusals())
    async def journals() -> Json:
        """List the journals and what may be done."""
        told = [
            {"journal": number, "path": str(reader.history.path), "name": reader.history.path.name}
            for number, reader in enumerate(site.readers)
        ]
        return Json({"journals": told, "allow_actions": site.settings.allow_actions})

    @router.get("/runs", responses=refusals())
    async def runs() -> Json:
        """List the runs of all journals; "problem" says why a journal cannot be read."""
        return Json([await reader.read(look.again) for reader, look in zip(site.readers, site.looks, strict=True)])


def _run(router: APIRouter, site: Site) -> None:
    @router.get("/journals/{journal}/runs/{uid}", responses=refusals(404, 503))
    async def run(journal: Journal, uid: Uid) -> Json:
        """Return what does not change often: where it ran, what started it, what may be done."""
        reader = site.reader(journal)
        return Json(await reader.shared(("facts", uid), _facts(site, reader, await reader.run(uid))))

    @router.get("/journals/{journal}/runs/{uid}/activity", responses=refusals(404, 503))
    async def activity(journal: Journal, uid: Uid) -> Json:
        """Return throughput, what ran where and when, what is under way, and what the run decided."""
        reader = site.reader(journal)
        found, history = await reader.run(uid), reader.history

        def make() -> dict[str, Any]:
            return views.activity(
                history.throughput(found.id),
                history.spans(found.id, limit=_SPANS),
                history.under_way(found.id),
                reader.happened(found),
            )

        return Json(await reader.shared(("activity", uid), make))

    @router.get("/journals/{journal}/runs/{uid}/problems", responses=refusals(404, 503))
    async def problems(journal: Journal, uid: Uid) -> Json:
        """Return failures in groups, retries, and the slowest items."""
        reader = site.reader(journal)
        number, history = (await reader.run(uid)).id, reader.history

        def make() -> dict[str, Any]:
            return {
                "failures": [views.failure(group) for group in history.failures(number)],
                "retried": history.earlier_attempts(number),
                "slowest": [views.item(row) for row in history.slowest(number, limit=10)],
            }

        return Json(await reader.shared(("problems", uid), make))


def _items(router: APIRouter, site: Site) -> None:
    @router.get("/journals/{journal}/runs/{uid}/items", responses=refusals(400, 404, 503))
    async def items(  # noqa: PLR0917 - FastAPI makes a query of them
        journal: Journal,
        uid: Uid,
        status: StatusName | None = None,
        error_type: Annotated[str | None, Query(max_length=500)] = None,
        search: Annotated[str, Query(max_length=200, description="Part of the label, key or error.")] = "",
        order: Order = "recorded",
        cursor: Annotated[str | None, Query(max_length=500, description="Of the page before.")] = None,
        limit: Annotated[int, Query(ge=1, le=500)] = 100,
    ) -> Json:
        """Return a page of items; "cursor" leads to the next one, null: there is none."""
        reader = site.reader(journal)
        found = await reader.run(uid)
        asked = {"status": status, "error_type": error_type, "search": search, "order": order}
        try:
            page = await reader.read(reader.history.page, found.id, **asked, cursor=cursor, limit=limit)
        except ValueError as error:
            raise HTTPException(400, str(error)) from error
        return Json({"rows": [views.item(row) for row in page.rows], "cursor": page.cursor})

    @router.get("/journals/{journal}/runs/{uid}/items/{number}", responses=refusals(404, 503))
    async def item(journal: Journal, uid: Uid, number: Number) -> Json:
        """Return one item with its whole error and traceback."""
        reader = site.reader(journal)
        found = await reader.run(uid)

        def get() -> Any:
            return next(reader.history.outcomes(found.id, after=number - 1, limit=1), None)

        row = await reader.read(get)
        if row is None or row.id != number:
            raise HTTPException(404, f"item={number}: is not there (any more): it was run again")
        return Json(views.item(row, whole=True))


def _facts(site: Site, reader: Reader, run: RunRow) -> Callable[[], dict[str, Any]]:
    history = reader.history

    def make() -> dict[str, Any]:
        command = views.command_of(run)
        told = asdict(run)
        allowed = site.settings.allow_actions
        why_no_retry: str | None = "needs --allow-actions"
        if allowed:
            why_no_retry = actions.why_no_retry(run, history.run(run.name), all_ok=actions.all_ok(history, run))
        return {name: told[name] for name in ("uid", "name", "function", "version", "python", "host", "pid")} | {
            "number": run.id,
            "state": run.state,
            "journal": str(history.path),
            "summary": run.summary,
            "command": None if command is None else command.text,
            "folder": None if command is None else command.cwd,
            "output": None if command is None else command.output,
            "retry": site.retries.told(run) if allowed else None,
            "why_no_retry": why_no_retry,
            "why_no_cancel": actions.why_no_cancel(history, run) if allowed else "needs --allow-actions",
        }

    return make
