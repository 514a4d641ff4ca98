"""The offline provider: models on a few threads of its own, fed with as many products as wait."""

from __future__ import annotations

import asyncio
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

from raddle.errors import ConfigError
from raddle.plugin import granted_cpus
from raddle.workloads.classify.offline.models import Models

if TYPE_CHECKING:
    from collections.abc import Callable

    from raddle.workloads.classify.errors import PictureError
    from raddle.workloads.classify.taxonomy import Taxonomy
    from raddle.workloads.classify.values import Label, Picture, Product

__all__ = ["Offline"]

#: products that a thread takes at once
_TEXTS, _PICTURES = 16, 4
_Waiting = tuple["Product", "asyncio.Future[Label]"]
_CLOSED: Final = "the offline provider was closed"


class Offline:
    """Labels products without any key or network. It belongs to the event loop that it is first used in.

    Args:
        taxonomy: what to sort into
        workers: threads, each with one CPU's worth of work at a time; 0: the CPUs granted to this process
        load: how to get a picture's bytes, called on these threads; default: uploads and files

    Raises:
        ConfigError: `workers` is less than 0
    """

    def __init__(self, taxonomy: Taxonomy, *, workers: int = 0, load: Callable[[Picture], bytes] | None = None) -> None:
        if workers < 0:
            raise ConfigError(f"workers={workers}: must be 0 (the CPUs granted) or more")
        self._models = Models(taxonomy, load)
        self._workers = workers or granted_cpus()
        self._threads = ThreadPoolExecutor(self._workers, thread_name_prefix="raddle-offline")
        self._waiting: deque[_Waiting] = deque()
        self._busy: set[asyncio.Future[None]] = set()
        self._closed = False

    async def label(self, product: Product) -> Label:
        """Return the label of one product.

        Raises:
            PictureError: its picture cannot be had or read
            ConfigError: a model is not installed, or the provider was closed
        """
        if self._closed:
            raise ConfigError(f"{_CLOSED}: make another")
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Label] = loop.create_future()
        self._waiting.append((product, answer))
        # Not at once: what others ask for in this turn of the loop goes along.
        loop.call_soon(self._start)
        return await answer

    async def aclose(self) -> None:
        """Let running calls end, cancel what waits, and let the threads go."""
        self._closed = True
        while self._waiting:
            self._waiting.popleft()[1].cancel()
        if self._busy:
            await asyncio.wait(self._busy)
        self._threads.shutdown()

    def _start(self) -> None:
        while self._waiting and len(self._busy) < self._workers:
            batch = self._next()
            if not batch:
                return
            work = asyncio.get_running_loop().create_task(self._run(batch))
            self._busy.add(work)
            work.add_done_callback(self._done)

    def _done(self, work: asyncio.Future[None]) -> None:
        self._busy.discard(work)
        self._start()

    def _next(self) -> list[_Waiting]:
        """Take what a free thread is to do: all of one mode, and a fair part of what waits."""
        while self._waiting and self._waiting[0][1].done():
            self._waiting.popleft()  # its caller has gone
        if not self._waiting:
            return []
        mode = self._waiting[0][0].mode
        most = _TEXTS if mode == "text" else _PICTURES
        fair = -(-len(self._waiting) // (self._workers - len(self._busy)))
        batch: list[_Waiting] = []
        while self._waiting and len(batch) < min(most, fair) and self._waiting[0][0].mode == mode:
            batch.append(self._waiting.popleft())
        return batch

    async def _run(self, batch: list[_Waiting]) -> None:
        products = [product for product, _ in batch]
        outcomes: list[Label | PictureError] | list[Exception]
        try:
            outcomes = await asyncio.get_running_loop().run_in_executor(self._threads, self._models.outcomes, products)
        except Exception as error:  # noqa: BLE001 - it is handed to those who wait, as it is
            outcomes = [error] * len(batch)
        for (_, answer), outcome in zip(batch, outcomes, strict=True):
            if answer.done():
                continue
            if isinstance(outcome, Exception):
                answer.set_exception(outcome)
            else:
                answer.set_result(outcome)
