"""The application put together."""

from __future__ import annotations

from importlib.metadata import version

from fastapi import FastAPI

from raddle.journal.history import History
from raddle.web.actions import Retries
from raddle.web.api import api_routes
from raddle.web.guard import Guard
from raddle.web.live import action_routes, event_routes
from raddle.web.pages import denied, page_routes
from raddle.web.reading import Reader, Site
from raddle.web.settings import Settings
from raddle.web.watch import Hub, Look

__all__ = ["make_app"]

#: seconds that a read waits for a journal that is locked; then the page says so, and asks again
_PATIENCE = 1.0


def make_app(settings: Settings) -> FastAPI:
    """Return the application. Its `state.hub` must be stopped before a server can end."""
    histories = [History(path, patience=_PATIENCE) for path in settings.journals]
    looks = [Look(number, history) for number, history in enumerate(histories)]
    hub = Hub(settings, looks)
    site = Site(settings, [Reader(history) for history in histories], looks, hub, Retries())
    # FastAPI's own pages of documentation load scripts from elsewhere.
    app = FastAPI(title="raddle ui", version=version("raddle"), docs_url=None, redoc_url=None)
    app.state.hub = hub
    app.add_middleware(Guard, settings=settings, denied=denied)
    for routes in (api_routes(site), event_routes(site), action_routes(site), page_routes(site)):
        app.include_router(routes)
    return app
