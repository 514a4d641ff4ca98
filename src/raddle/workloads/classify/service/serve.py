"""The service on a socket."""

from __future__ import annotations

import gc
import resource
import sys
from typing import TYPE_CHECKING

import uvicorn

from raddle.workloads.classify.service.app import make_app

if TYPE_CHECKING:
    import socket

    from raddle.workloads.classify.service.settings import ServiceSettings
    from raddle.workloads.classify.values import Provider

__all__ = ["Server", "make_server", "serve"]

#: seconds that answers under way have when the server is stopped
_GRACE = 5
#: seconds after which a thread that reads an upload has to let the event loop on; Python's own is five times that
_SWITCH = 0.001


class Server(uvicorn.Server):
    """Ends event streams when it is asked to stop; it would wait for them for ever."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop listening, let answers end, close the application."""
        self.config.app.state.jobs.stop_streams()  # type: ignore[union-attr]
        await super().shutdown(sockets)


def make_server(settings: ServiceSettings, provider: Provider) -> Server:
    """Return a server for an event loop that is there already: `await server.serve()`, end it by `should_exit`."""
    config = uvicorn.Config(
        make_app(settings, provider),
        host=settings.host,
        port=settings.port,
        access_log=False,
        server_header=False,
        backlog=4096,
        timeout_graceful_shutdown=_GRACE,
        log_config=None,
    )
    return Server(config)


def serve(settings: ServiceSettings, provider: Provider) -> None:
    """Serve until SIGINT or SIGTERM. Unfinished jobs go on when it is started again.

    Each stream is a file: as many as the system grants are allowed to this process.

    Raises:
        SystemExit: the address cannot be had (uvicorn has said why)
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    server = make_server(settings, provider)
    server.config.load()
    _smooth()
    server.run()


def _smooth() -> None:
    """See to it that neither the collector nor another thread holds up the event loop for long.

    A full collection goes through a quarter of a million objects that modules are made of, 60 ms at a time; they are
    set aside. For the whole process, so only where it is the server's own.
    """
    gc.collect()
    gc.freeze()
    sys.setswitchinterval(_SWITCH)
