"""Who may ask: a token, and for a service without one, this machine's own programs and pages only."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from fastapi.responses import JSONResponse
from starlette.datastructures import Headers

from raddle.workloads.classify.service.settings import is_loopback

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from raddle.workloads.classify.service.settings import ServiceSettings

__all__ = ["OPEN", "Guard"]

#: what says nothing about anybody's products
OPEN: Final = frozenset({"/", "/health", "/ready", "/ui", "/openapi.json"})


class Guard:
    """Refuses requests before their body is read.

    Without a token a page of any website could send requests to the loopback address from a visitor's browser. Such
    a request names the page in `Origin`, or after DNS rebinding another host in `Host`; both are refused.
    """

    def __init__(self, app: ASGIApp, settings: ServiceSettings) -> None:
        self.app = app
        self._settings = settings
        self._token = None if settings.token is None else settings.token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through or answer it."""
        if scope["type"] == "http" and (refusal := self._refusal(scope, Headers(scope=scope))) is not None:
            await refusal(scope, receive, send)
            return
        await self.app(scope, receive, send)

    def _refusal(self, scope: Scope, headers: Headers) -> JSONResponse | None:
        host, origin = headers.get("host", ""), headers.get("origin")
        if self._token is None:
            name = _name(host)
            if not is_loopback(name) and name != self._settings.host.lower():
                return _answer(400, f"Host {host!r} is not this service; ask for {self._settings.host}")
            if origin is not None and origin not in self._settings.cors_origins and urlsplit(origin).netloc != host:
                return _answer(403, f"pages of {origin!r} may not ask; name it in cors_origins")
            return None
        if scope["path"] in OPEN:
            return None
        kind, _, given = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer" and hmac.compare_digest(given.strip().encode("utf-8", "replace"), self._token):
            return None
        return _answer(401, "send the token: Authorization: Bearer TOKEN", {"WWW-Authenticate": "Bearer"})


def _name(host: str) -> str:
    """Return the name of a host without its port."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _answer(status: int, detail: str, headers: dict[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"detail": detail}, status, headers)
