"""What holds for every request before a route sees it: HEAD, and the length of the body."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi.responses import JSONResponse
from starlette.datastructures import Headers

from raddle.workloads.classify.service.guard import OPEN
from raddle.workloads.classify.service.inputs import TooMany

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["Edge"]


class Edge:
    """Answers HEAD as GET without the body, where a GET costs nothing; takes no more bytes than may be.

    The framework's own limit says so in plain text, and all other refusals are JSON.
    """

    def __init__(self, app: ASGIApp, *, max_body: int) -> None:
        self.app = app
        self._max_body = max_body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        told = Headers(scope=scope).get("content-length", "")
        if told.isascii() and told.isdigit() and int(told[:20]) > self._max_body:
            await JSONResponse({"detail": str(self._too_long())}, 413)(scope, receive, send)
            return
        size = 0

        async def counted() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > self._max_body:
                raise self._too_long()
            return message

        async def bare(message: Message) -> None:
            await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

        if scope["method"] == "HEAD" and scope["path"] in OPEN:
            await self.app({**scope, "method": "GET"}, counted, bare)
        else:
            await self.app(scope, counted, send)

    def _too_long(self) -> TooMany:
        return TooMany(f"more than max_body={self._max_body:,} bytes; send the items in several requests")
