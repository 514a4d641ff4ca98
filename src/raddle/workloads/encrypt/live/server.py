"""The canvas of a browser: a page on this machine, that draws what it is told by server-sent events.

The server listens on 127.0.0.1 only, on a port that the system chooses. Who does not know the token in the URL gets
nothing, and a request by another name than 127.0.0.1 or localhost is refused (a foreign page could send such: DNS
rebinding).
"""

from __future__ import annotations

import http.server
import json
import secrets
import threading
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from raddle.workloads.encrypt.draw.page import LIVE_POLICY, live_page
from raddle.workloads.encrypt.live.feed import Cursor, Feed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from raddle.workloads.encrypt.draw.epicycles import EpicycleState
    from raddle.workloads.encrypt.draw.paint import Complexes, Picture, Theme, View
    from raddle.workloads.encrypt.live.feed import Line

__all__ = ["PageCanvas"]

_ALIVE: Final = 5.0  # seconds between signs of life, by which a browser that has gone is noticed
_STUCK: Final = 5.0  # seconds after which a browser that takes nothing is let go


class PageCanvas:
    """Frames as events for a page. Serves until it is closed; closing waits for its threads."""

    def __init__(self, theme: Theme) -> None:
        self._feed = Feed()
        self._token = secrets.token_urlsafe(24)
        self._server = _Server(self._feed, self._token, live_page(theme=theme.name).encode())
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name="raddle-page", daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/{self._token}/"

    def draw(self, state: EpicycleState, strokes: Sequence[Complexes], view: View) -> None:
        circles = np.stack((state.centres.real, state.centres.imag, state.radii), axis=1)
        frame = {
            "size": [int(state.width), int(state.height)],
            "circles": np.round(circles, 2).tolist(),
            "pen": state.pen.tolist(),
            "tips": _pairs(state.tips),
            "done": round(float(state.done), 4),
            "scale": view.scale,
            "centre": view.centre,
            "shift": view.shift,
        }
        self._feed.show(frame, [_pairs(stroke) for stroke in strokes])

    def wipe(self) -> None:
        self._feed.wipe()

    def close(self) -> None:
        self._feed.close()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()  # waits for the threads of all connections; each ends by itself

    @property
    def picture(self) -> Picture | None:
        """None: what is seen is drawn by the browser."""
        return None


def _pairs(line: Complexes) -> Line:
    pairs: Line = np.round(np.stack((line.real, line.imag), axis=1), 2).ravel().tolist()
    return pairs


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = False  # so that server_close() waits for them
    block_on_close = True

    def __init__(self, feed: Feed, token: str, page: bytes) -> None:
        self.feed, self.token, self.page = feed, token, page
        super().__init__(("127.0.0.1", 0), _Request)
        port = self.server_address[1]
        self.names = {f"127.0.0.1:{port}", f"localhost:{port}"}

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that goes away in the middle is no error of ours."""


class _Request(http.server.BaseHTTPRequestHandler):
    server: _Server  # type: ignore[mutable-override]
    timeout = _STUCK  # type: ignore[mutable-override]
    protocol_version = "HTTP/1.0"  # one request a connection: none is left open without a reader

    def do_GET(self) -> None:
        parts = self.path.split("?")[0].split("/")
        allowed = self.headers.get("Host", "") in self.server.names
        known = len(parts) == 3 and secrets.compare_digest(parts[1].encode(), self.server.token.encode())  # noqa: PLR2004
        if not allowed or not known or parts[2] not in {"", "events"}:
            self._answer(404, "text/plain; charset=utf-8", b"not found\n")
        elif parts[2]:
            self._events()
        else:
            self._answer(200, "text/html; charset=utf-8", self.server.page)

    def _answer(self, status: int, kind: str, body: bytes) -> None:
        self._head(status, kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _head(self, status: int, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Cache-Control", "no-store")
        self.send_header("Content-Security-Policy", LIVE_POLICY)
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("X-Content-Type-Options", "nosniff")

    def _events(self) -> None:
        self._head(200, "text/event-stream; charset=utf-8")
        self.end_headers()
        cursor = Cursor()
        while (message := self.server.feed.next(cursor, _ALIVE)) is not None:
            text = f"data: {json.dumps(message, separators=(',', ':'))}\n\n" if message else ": still here\n\n"
            self.wfile.write(text.encode())
        self.wfile.write(b"event: end\ndata: {}\n\n")

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as in the base class
        """Nothing: the path holds the token."""
