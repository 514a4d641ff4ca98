"""What all routes share: the journals, what was read of them lately, answers."""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from fastapi import HTTPException, Response

from raddle.errors import JournalError
from raddle.journal.history import Happening, History, RunRow
from raddle.web.actions import Retries
from raddle.web.settings import Settings
from raddle.web.watch import Hub, Look

__all__ = ["Json", "Reader", "Site"]

T = TypeVar("T")

#: reads of one journal at once
_AT_ONCE = 4
#: answers kept, for all who ask for the same; seconds for which they are true enough; and times what they cost
_KEPT, _AGE, _COSTLY = 64, 0.5, 25.0
#: happenings shown of a run, the latest; and read at once
_HAPPENINGS, _BATCH = 5000, 1000


class Json(Response):
    """Any JSON: what is no number becomes null, and unpaired surrogates of file names stay escaped."""

    media_type: str | None = "application/json"

    def render(self, content: Any) -> bytes:
        """Return the body."""
        try:
            return json.dumps(content, allow_nan=False).encode()
        except ValueError:
            return json.dumps(_finite(content), allow_nan=False).encode()


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


class Reader:
    """One journal: reads in threads, a few at once, and answers that several pages ask for are made once."""

    def __init__(self, history: History) -> None:
        self.history = history
        self._gate = asyncio.Semaphore(_AT_ONCE)
        self._answers: OrderedDict[tuple[Any, ...], tuple[float, Any]] = OrderedDict()
        self._locks: dict[tuple[Any, ...], asyncio.Lock] = {}
        self._happened: OrderedDict[str, deque[Happening]] = OrderedDict()

    async def run(self, uid: str) -> RunRow:
        """Return the run.

        Raises:
            HTTPException: 404 it is not there, 503 the journal cannot be read
        """
        found = await self.read(self.history.run, uid)
        if found is None or found.uid != uid:
            raise HTTPException(404, f"run={uid}: not in {self.history.path.name}: was the journal replaced?")
        return found

    async def read(self, call: Callable[..., T], *arguments: Any, **options: Any) -> T:
        """Call in a thread.

        Raises:
            HTTPException: 503 the journal cannot be read
        """
        async with self._gate:
            try:
                return await asyncio.to_thread(call, *arguments, **options)
            except JournalError as error:
                raise HTTPException(503, str(error)) from error

    async def shared(self, key: tuple[Any, ...], make: Callable[[], T]) -> T:
        """Return what `make` returns, or returned for this key a moment ago: the dearer, the longer ago."""
        lock = self._locks.setdefault(key, asyncio.Lock())
        async with lock:
            until, answer = self._answers.get(key, (0.0, None))
            if time.monotonic() < until:
                return cast("T", answer)  # of this key, so of this type
            began = time.monotonic()
            fresh = await self.read(make)
            now = time.monotonic()
            self._answers[key] = now + max(_AGE, (now - began) * _COSTLY), fresh
            self._answers.move_to_end(key)
            while len(self._answers) > _KEPT:
                oldest, _ = self._answers.popitem(last=False)
                self._locks.pop(oldest, None)
            return fresh

    def happened(self, run: RunRow) -> list[Happening]:
        """Return the latest happenings of a run; those read before are not read again. Within `shared` only."""
        known = self._happened.setdefault(run.uid, deque(maxlen=_HAPPENINGS))
        self._happened.move_to_end(run.uid)
        while len(self._happened) > _KEPT:
            self._happened.popitem(last=False)
        while fresh := self.history.happenings(run.id, after=known[-1].id if known else 0, limit=_BATCH):
            known.extend(fresh)
            if len(fresh) < _BATCH:
                break
        return list(known)


@dataclass(frozen=True, slots=True)
class Site:
    """What the application is made of."""

    settings: Settings
    readers: list[Reader]
    looks: list[Look]
    hub: Hub
    retries: Retries

    def reader(self, journal: int) -> Reader:
        """Return the journal of that number.

        Raises:
            HTTPException: 404
        """
        if journal >= len(self.readers):
            raise HTTPException(404, f"journal={journal}: there are {len(self.readers)}, counted from 0")
        return self.readers[journal]
