"""What a page has to know, told to any number of readers, each at its own pace."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any, Final

__all__ = ["Cursor", "Feed"]

_BATCH: Final = 2000  # strokes in one message

Line = list[float]  # x, y, x, y, ..


@dataclass(slots=True)
class Cursor:
    """How far a reader is."""

    version: int = 0
    wipes: int = 0
    sent: int = 0  # strokes since the last wipe


class Feed:
    """The last frame, and all ink since the last wipe; of more than `most` strokes the older half is forgotten.

    A slow reader misses frames, never ink. One condition guards all; it is not held while anything is sent.
    """

    def __init__(self, most: int = 100_000) -> None:
        self._most = most
        self._news = threading.Condition()
        self._ink: list[Line] = []
        self._forgotten = 0
        self._wipes = self._version = 0
        self._frame: dict[str, Any] = {}
        self._closed = False

    def show(self, frame: dict[str, Any], strokes: list[Line]) -> None:
        """The next frame."""
        with self._news:
            self._ink.extend(strokes)
            if len(self._ink) > self._most:
                self._forgotten += len(self._ink) - self._most // 2
                del self._ink[: -(self._most // 2)]
            self._frame = frame
            self._version += 1
            self._news.notify_all()

    def wipe(self) -> None:
        """All ink is gone."""
        with self._news:
            self._ink, self._forgotten = [], 0
            self._wipes += 1
            self._version += 1
            self._news.notify_all()

    def close(self) -> None:
        """Nothing will come any more."""
        with self._news:
            self._closed = True
            self._news.notify_all()

    def next(self, cursor: Cursor, timeout: float) -> dict[str, Any] | None:
        """What a reader does not know yet: empty if nothing came in time, None when there will be no more."""
        with self._news:
            self._news.wait_for(lambda: self._closed or self._version != cursor.version, timeout)
            if self._version == cursor.version:
                return None if self._closed else {}
            message = dict(self._frame)
            if cursor.wipes != self._wipes:
                cursor.wipes, cursor.sent, message["wipe"] = self._wipes, 0, 1
            start = max(cursor.sent - self._forgotten, 0)
            message["ink"] = self._ink[start : start + _BATCH]
            cursor.sent = self._forgotten + start + len(message["ink"])
            if cursor.sent == self._forgotten + len(self._ink):  # else there is more to send at once
                cursor.version = self._version
            return message
