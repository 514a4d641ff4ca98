"""The application: routes put together, limits, errors, start and end."""

from __future__ import annotations

import logging
import sqlite3
import time
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import anyio
import anyio.lowlevel
from fastapi import FastAPI, Response
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import HTMLResponse, JSONResponse

from raddle.workloads.classify.service import models, queries
from raddle.workloads.classify.service.edge import Edge
from raddle.workloads.classify.service.figures import CONTENT_TYPE
from raddle.workloads.classify.service.guard import Guard
from raddle.workloads.classify.service.inputs import BadInput, TooMany
from raddle.workloads.classify.service.job_routes import job_routes
from raddle.workloads.classify.service.jobs import Full, Jobs
from raddle.workloads.classify.service.page import page, page_headers
from raddle.workloads.classify.service.seed_route import seed_route

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from starlette.requests import Request

    from raddle.workloads.classify.service.settings import ServiceSettings
    from raddle.workloads.classify.values import Provider

__all__ = ["make_app"]

log = logging.getLogger("raddle.classify")

_DESCRIPTION = """Labels a catalogue by text or by picture.

`POST /classify-category` answers with batches as its first clients know them. `POST /jobs` takes more kinds of input,
outlives connections and the server itself, and tells of each item as soon as it is labelled.
"""


def make_app(
    settings: ServiceSettings,
    provider: Provider,
    *,
    now: Callable[[], float] = time.monotonic,
    wall: Callable[[], float] = time.time,
) -> FastAPI:
    """Return the service. Its jobs go on when it starts; when it ends, the provider is closed.

    Args:
        settings: limits, folder, token
        provider: what labels a product
        now: seconds that never go back
        wall: Unix time
    """
    jobs = Jobs(settings, provider, now=now, wall=wall)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        # It imports what streams need when it is first used: not while a client waits.
        await anyio.lowlevel.checkpoint()
        await jobs.open()
        try:
            yield
        finally:
            await jobs.close()
            await provider.aclose()

    app = FastAPI(
        title="raddle classify",
        version=version("raddle"),
        description=_DESCRIPTION,
        lifespan=lifespan,
        # their pages load scripts from elsewhere
        docs_url=None,
        redoc_url=None,
    )
    app.state.jobs = jobs
    app.add_middleware(Edge, max_body=settings.max_body)
    app.add_middleware(Guard, settings=settings)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["Authorization", "Content-Type", "Last-Event-ID"],
            expose_headers=["Location", "Retry-After", "X-Job-Id"],
        )
    _errors(app)
    _about(app, jobs, settings)
    app.include_router(seed_route(jobs, settings))
    app.include_router(job_routes(jobs, settings, now))
    return app


def _errors(app: FastAPI) -> None:
    def answer(status: int, headers: dict[str, str] | None = None) -> Any:
        async def respond(_: Request, error: Exception) -> JSONResponse:
            return JSONResponse({"detail": str(error)}, status, headers)

        return respond

    async def full(_: Request, __: Exception) -> JSONResponse:
        return JSONResponse({"detail": "too many unfinished jobs; try again later"}, 429, {"Retry-After": "5"})

    async def disk(_: Request, error: Exception) -> JSONResponse:
        log.error("the job database failed: %s", error)
        return JSONResponse({"detail": "jobs cannot be stored at the moment"}, 503, {"Retry-After": "5"})

    app.add_exception_handler(BadInput, answer(400))
    app.add_exception_handler(TooMany, answer(413))
    app.add_exception_handler(Full, full)
    app.add_exception_handler(sqlite3.Error, disk)


def _about(app: FastAPI, jobs: Jobs, settings: ServiceSettings) -> None:
    @app.get("/")
    async def root() -> models.Root:
        """Say what there is."""
        return models.Root(
            message="Furniture Category Classification API",
            version=app.version,
            endpoints={
                "classify": "/classify-category",
                "jobs": "/jobs",
                "health": "/health",
                "ready": "/ready",
                "metrics": "/metrics",
                "page": "/ui",
                "openapi": "/openapi.json",
            },
            supported_categories=list(_categories(settings)),
        )

    @app.get("/health")
    async def health() -> models.Health:
        """Say that the process answers; whether it can work is what /ready says."""
        return models.Health(
            status="healthy",
            timestamp=datetime.now(UTC).replace(tzinfo=None).isoformat(),
            openai_configured=settings.openai_configured,
            service="Furniture Category Classification API",
        )

    @app.get("/ready", responses={503: {"model": models.Ready, "description": "the reasons"}})
    async def ready(response: Response) -> models.Ready:
        """Say whether items are labelled and outcomes stored."""
        reasons = [jobs.fault] if jobs.fault else []
        if not jobs.running:
            reasons.append("no items are taken: the server is starting or ending")
        if jobs.figures.provider_fails:
            reasons.append(f"the provider failed at the last {jobs.figures.streak} items")
        try:
            await jobs.store.write(queries.pulse, time.time())
        except sqlite3.Error as error:
            reasons.append(f"the folder of the jobs cannot be written: {error}")
        response.status_code = 503 if reasons else 200
        return models.Ready(ready=not reasons, reasons=reasons)

    @app.get("/metrics", response_class=Response, responses=models.refusals(401))
    async def metrics() -> Response:
        """Return the figures in the text format of Prometheus."""
        waiting = sum(job.row.total - job.done for job in jobs.live.values())
        text = jobs.figures.text(unfinished=len(jobs.live), waiting=waiting)
        return Response(text, media_type=CONTENT_TYPE)

    @app.get("/ui", response_class=HTMLResponse)
    async def ui() -> HTMLResponse:
        """Return the page."""
        return HTMLResponse(page(), headers=page_headers())


def _categories(settings: ServiceSettings) -> tuple[str, ...]:
    if settings.categories:
        return settings.categories
    from raddle.workloads.classify.taxonomy import load_taxonomy

    return load_taxonomy(None).names
