"""The page on a socket."""

from __future__ import annotations

import socket
from urllib.parse import quote

import uvicorn

from raddle.errors import ConfigError
from raddle.web.app import make_app
from raddle.web.settings import Settings

__all__ = ["Server", "listen", "make_server", "url_of"]

#: seconds that answers under way have when the server is stopped
_GRACE = 3


class Server(uvicorn.Server):
    """Ends event streams when it is asked to stop; it would wait for them for ever."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop listening, let answers end."""
        self.config.app.state.hub.stop()  # type: ignore[union-attr]
        await super().shutdown(sockets)


def make_server(settings: Settings) -> Server:
    """Return a server; run it with `server.run(sockets=[listen(settings)])`, end it by `should_exit`."""
    config = uvicorn.Config(
        make_app(settings),
        access_log=False,
        server_header=False,
        log_level="warning",
        timeout_graceful_shutdown=_GRACE,
        limit_concurrency=None,
    )
    return Server(config)


def listen(settings: Settings) -> socket.socket:
    """Return a socket that listens where the settings say.

    Raises:
        ConfigError: the address cannot be had
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family, backlog=256)
    except OSError as error:
        where = f"--host={settings.host} --port={settings.port}"
        raise ConfigError(f"{where}: {error.strerror or error}: give another, or --port 0 for a free one") from error


def url_of(settings: Settings, listening: socket.socket, *, with_token: bool = False) -> str:
    """Return the address to visit, for a browser on this machine if all addresses are served."""
    host, port = listening.getsockname()[:2]
    name = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound
    query = f"?token={quote(settings.token, safe='')}" if with_token and settings.token else ""
    return f"http://{f'[{name}]' if ':' in name else name}:{port}/{query}"
