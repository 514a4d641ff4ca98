"""Who may ask: the right `Host`, a token or its cookie, and for what changes something the page's own requests only."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import socket
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit

from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser

from raddle.web.settings import Settings, is_loopback

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["CSRF_HEADER", "Guard", "csrf_token"]

CSRF_HEADER: Final = "x-raddle-csrf"
#: what a browser must keep to: nothing inline that runs, nothing from elsewhere. Styles on elements are the charts'.
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS: Final = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_SAFE: Final = frozenset({"GET", "HEAD"})
_YEAR: Final = 365 * 24 * 3600


class Guard:
    """Refuses requests before anything is read, and puts the headers on every answer.

    A page of any website can send requests to the loopback address from a visitor's browser. To read the answers it
    has to bear our name by DNS rebinding, which `Host` gives away; to change something it would have to know the
    proof that only our own page holds.

    Args:
        app: answers what is let through
        settings: host, token, secret
        denied: the page for people who come without a token
    """

    def __init__(self, app: ASGIApp, *, settings: Settings, denied: Callable[[], str]) -> None:
        self.app = app
        self._settings = settings
        self._denied = denied
        self._proof = _proof(settings, "cookie")
        self._csrf = csrf_token(settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through or answer it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        send = partial(_with_headers, send)
        refusal = self._refusal(scope, Headers(scope=scope))
        await (refusal or self.app)(scope, receive, send)

    def _refusal(self, scope: Scope, headers: Headers) -> Any:
        host = headers.get("host", "")
        if not self._known(_name(host)):
            return _answer(421, f"Host {host[:200]!r} is not this page; ask for {self._settings.host}")
        if self._settings.token is not None and (refusal := self._unproved(scope, headers)) is not None:
            return refusal
        if scope["method"] in _SAFE:
            return None
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != host:
            return _answer(403, f"pages of {origin[:200]!r} may not ask for this")
        if not _same(headers.get(CSRF_HEADER, ""), self._csrf):
            return _answer(403, f"send the page's own token in {CSRF_HEADER}; reload the page if it is an old one")
        return None

    def _known(self, name: str) -> bool:
        """Whether `name` cannot be one that a stranger's DNS server has just pointed here."""
        settings = self._settings
        if is_loopback(name) or name == settings.host.strip("[]").lower():
            return True
        if settings.token is None:
            return False
        own = socket.gethostname().lower()
        return name in {own, f"{own}.local"} or _is_address(name)

    def _unproved(self, scope: Scope, headers: Headers) -> Any:
        kind, _, given = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer" and _same(given.strip(), self._settings.token or ""):
            return None
        port = (scope.get("server") or ("", 0))[1]
        name = f"raddle_ui_{port}"  # cookies are for all ports of a host
        query = scope["query_string"].decode("latin-1")
        pairs = parse_qsl(query, keep_blank_values=True)
        if scope["method"] in _SAFE and any(key == "token" and self._is_token(value) for key, value in pairs):
            rest = urlencode([pair for pair in pairs if pair[0] != "token"])
            # A path of two slashes would be another host.
            path = "/" + scope["path"].lstrip("/").replace("\\", "/")
            answer = RedirectResponse(f"{path}?{rest}" if rest else path, 303, {"Cache-Control": "no-store"})
            answer.set_cookie(name, self._proof, max_age=_YEAR, httponly=True, samesite="strict")
            return answer
        if _same(cookie_parser(headers.get("cookie", "")).get(name, ""), self._proof):
            return None
        if "text/html" in headers.get("accept", ""):
            return HTMLResponse(self._denied(), 401, {"WWW-Authenticate": "Bearer"})
        detail = "send the token: Authorization: Bearer TOKEN, or visit the page once with ?token=TOKEN"
        return _answer(401, detail, {"WWW-Authenticate": "Bearer"})

    def _is_token(self, given: str) -> bool:
        return _same(given, self._settings.token or "")


def csrf_token(settings: Settings) -> str:
    """Return what a request that changes something must bring along."""
    return _proof(settings, "csrf")


def _proof(settings: Settings, use: str) -> str:
    return hmac.new(settings.secret, use.encode(), hashlib.sha256).hexdigest()


def _same(given: str, right: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "replace"), right.encode())


async def _with_headers(send: Send, message: Message) -> None:
    if message["type"] == "http.response.start":
        headers = MutableHeaders(scope=message)
        for name, value in _HEADERS.items():
            headers[name] = value
        headers.setdefault("Cache-Control", "no-store")
    await send(message)


def _name(host: str) -> str:
    """Return the name of a host without its port."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _answer(status: int, detail: str, headers: dict[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"detail": detail}, status, headers)
