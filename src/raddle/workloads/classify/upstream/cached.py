"""A label is asked for once: what is known comes from a file, what is under way is shared."""

from __future__ import annotations

import asyncio
import contextvars
import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from raddle.workloads.classify.upstream.answers import OUTSIDE
from raddle.workloads.classify.upstream.cascade import UPSTREAM_FAILED
from raddle.workloads.classify.upstream.store import Store
from raddle.workloads.classify.values import Picture, Usage

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from pathlib import Path

    from raddle.workloads.classify.values import Label, Product, Provider

__all__ = ["Cached"]


@dataclass(slots=True)
class _Call:
    """An item under way, and how many wait for it."""

    task: asyncio.Task[Label]
    waiting: int = 0


@dataclass(slots=True)
class _Traffic:
    """What the store is to be asked and told next."""

    wanted: dict[str, asyncio.Future[Label | None]] = field(default_factory=dict)
    found: dict[str, Label] = field(default_factory=dict)


class Cached:
    """Asks `provider` only for what nobody asked before; implements `Provider`.

    Two products are the same if mode, name, text (but for white space) and the bytes of the picture are. Identical
    products under way share one call; it goes on while anybody waits for it. A label with a flag that says that the
    answer was not usable is not kept.

    Args:
        provider: gives the labels
        store: file; None shares calls under way only
        key_parts: what a label depends on beside the product, such as `OpenAI.key_parts`: model, prompt, taxonomy
        load: gives the picture of a product as JPEG; it is then handed on as `Picture.data`, loaded once.
            None: pictures are told apart by url, path or their own bytes
        most_bytes: of the store
    """

    def __init__(
        self,
        provider: Provider,
        store: Path | None,
        *,
        key_parts: Sequence[str],
        load: Callable[[Picture], Awaitable[bytes]] | None = None,
        most_bytes: int = 1 << 30,
    ) -> None:
        self._provider, self._load = provider, load
        self._parts = tuple(key_parts)
        self._store = None if store is None else Store(store, most=most_bytes)
        self._thread: ThreadPoolExecutor | None = None
        self._traffic = _Traffic()
        self._driver: asyncio.Task[None] | None = None
        self._calls: dict[str, _Call] = {}
        #: labels from the file, from an identical item under way, and asked for
        self.hits = self.shared = self.misses = 0

    async def label(self, product: Product) -> Label:
        """Return the label of one product; `cached` says whether another's call gave it.

        Raises:
            UpstreamError: what the provider raises, to all who wait for the call
            PictureError: its picture cannot be had or read
            ConfigError: the store is a database of something else
        """
        product, key = await self._known_as(product)
        call = self._calls.get(key)
        first = call is None
        if call is None:
            # An empty context: the call belongs to all who wait for it, not to the attempt that came first.
            task = asyncio.get_running_loop().create_task(self._ask(key, product), context=contextvars.Context())
            task.add_done_callback(lambda done: self._forget(key, done))
            call = self._calls[key] = _Call(task)
        call.waiting += 1
        try:
            label = await asyncio.shield(call.task)
        finally:
            call.waiting -= 1
            if not call.waiting and not call.task.done():
                # Nobody waits any more. Whoever comes while it is being cancelled begins anew.
                self._calls.pop(key, None)
                call.task.cancel()
        if first or label.cached:
            return label
        self.shared += 1
        return replace(label, cached=True, usage=Usage())

    async def aclose(self) -> None:
        """Write what is not written yet, and close the file and the provider."""
        try:
            while self._driver is not None:
                await asyncio.shield(self._driver)
        finally:
            if self._thread is not None and self._store is not None:
                await asyncio.get_running_loop().run_in_executor(self._thread, self._store.close)
                self._thread.shutdown(wait=False)
                self._thread = None
            await self._provider.aclose()

    def _forget(self, key: str, task: asyncio.Task[Label]) -> None:
        call = self._calls.get(key)
        if call is not None and call.task is task:
            del self._calls[key]
        if not task.cancelled():
            task.exception()  # looked at: those who waited may all have gone

    async def _known_as(self, product: Product) -> tuple[Product, str]:
        """Return the product, its picture loaded, and its key."""
        shown = b""
        if product.mode == "image" and product.picture is not None:
            picture = product.picture
            if self._load is not None:
                picture = Picture(data=await self._load(picture))
                product = replace(product, picture=picture)
            shown = picture.data if picture.data is not None else f"{picture.url}\n{picture.path}".encode()
        digest = hashlib.sha256()
        for part in (*self._parts, product.mode, _words(product.name), _words(product.text)):
            content = part.encode("utf-8", "surrogatepass")
            digest.update(b"%d:%b" % (len(content), content))
        digest.update(hashlib.sha256(shown).digest())
        return product, digest.hexdigest()

    async def _ask(self, key: str, product: Product) -> Label:
        if self._store is not None:
            known = await self._look_up(key)
            if known is not None:
                self.hits += 1
                return known
        self.misses += 1
        label = await self._provider.label(product)
        if self._store is not None and not {OUTSIDE, UPSTREAM_FAILED} & set(label.flags):
            self._traffic.found[key] = label
            self._drive()
        return label

    # --------------------------------------------------------------------------------------------------- the file

    async def _look_up(self, key: str) -> Label | None:
        future: asyncio.Future[Label | None] = asyncio.get_running_loop().create_future()
        # Calls of one key are one, unless the first is being cancelled: its future is done then, or nobody's.
        self._traffic.wanted[key] = future
        self._drive()
        return await future

    def _drive(self) -> None:
        """See that somebody carries the traffic: one exchange at a time, with all that has gathered meanwhile."""
        if self._driver is None:
            self._driver = asyncio.get_running_loop().create_task(self._carry(), context=contextvars.Context())

    async def _carry(self) -> None:
        try:
            while self._traffic.wanted or self._traffic.found:
                traffic, self._traffic = self._traffic, _Traffic()
                await self._exchange(traffic)
        finally:
            self._driver = None

    async def _exchange(self, traffic: _Traffic) -> None:
        if self._store is None:
            return
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="raddle-labels")
        loop = asyncio.get_running_loop()
        try:
            known = await loop.run_in_executor(self._thread, self._store.exchange, tuple(traffic.wanted), traffic.found)
        except BaseException as error:
            for future in traffic.wanted.values():
                if not future.done():
                    future.set_exception(error if isinstance(error, Exception) else asyncio.CancelledError())
            if not isinstance(error, Exception):
                raise
            return
        for key, future in traffic.wanted.items():
            if not future.done():
                future.set_result(known.get(key))


def _words(text: str) -> str:
    return " ".join(text.split())
