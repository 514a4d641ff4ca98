"""Attempts on the workers of a dask cluster (dask.distributed): for runs that outgrow one machine.

How it holds together: in each dask worker a session (`_dask_worker`) drives worker processes, as on one machine; a link
(`_dask_link`) brings it orders and fetches news; a slot (`_dask_slot`) knows what it was given. What is here connects
them, and finds another dask worker for the slots of one that is gone. No item is ever a dask task.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any

from raddle import errors
from raddle._events import ChunkEnded, Event, Reported, RunFailed
from raddle._ports import Capabilities
from raddle.backends._context import snapshot
from raddle.backends._dask_connect import (
    OPENING,
    check_function,
    check_versions,
    connect,
    first_workers,
    modules_of,
    open_session_on,
    pack_functions,
    spread,
    usable,
    way_to,
)
from raddle.backends._dask_link import Link, workers_of
from raddle.backends._dask_slot import Lost, Results, Slot, Strikes, pack
from raddle.backends._dask_worker import Spec, end_others
from raddle.backends._inbox import QueueInbox
from raddle.backends._wire import hide

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from raddle._model import Chunk, ErrorInfo, Running, StopHow

__all__ = ["DaskBackend"]

#: what a `ProcessBackend` takes
#: seconds; a round trip is some milliseconds
_PREFETCH_BELOW = 1.0
_MAX_CHUNK = 8192
#: chunks that a slot holds: the way there and back is longer than a chunk of small items
_DEPTH = 6
_FENCING = 15.0
#: seconds without any dask worker after which the run is given up
_DESERTED = 120.0


class _Inbox(QueueInbox):
    """Opens results in the thread that takes them: unpickling runs code of the user's."""

    __slots__ = ()

    def take(self, timeout: float | None) -> list[Event]:
        """Return what has come."""
        came: list[Any] = super().take(timeout)
        return [event.opened() if isinstance(event, (Results, Lost)) else event for event in came]


class DaskBackend:
    """Slots in worker processes below the workers of a dask cluster. The number of slots is fixed at the start.

    Args:
        func: what is to be run; importable on the dask workers, or sent by value (`__main__`, lambdas, closures)
        cluster: address of a scheduler, such as "tcp://10.0.0.1:8786", or a `distributed.Client`
        workers: how many slots; 0: one for each thread of each dask worker that is there now
        initializer: called once in each worker process before its first item; if it raises, the run fails
        timeout: seconds, only to tell `raddle.attempt()`; who ends the attempt is the engine, by `stop`
        stored: give each value pickled too
        patience: seconds to wait for the scheduler, and for a first dask worker
        allowed_losses: an item that was under way at so many deaths of dask workers counts as crashed
        hesitate: seconds that the slots of a dask worker that is gone wait for another with free threads, before they
            share one that has none; they move when there is one later
        direct: talk to dask workers by connections of our own; None: if they can be reached; False: only through the
            scheduler

    Raises:
        MissingExtra: distributed is not installed
        ConfigError: the cluster cannot be reached, has no workers, or has other versions of Python or raddle; the
            function cannot be sent there; an option is out of range
    """

    def __init__(
        self,
        func: Callable[[Any], Any],
        cluster: Any,
        *,
        workers: int = 0,
        initializer: Callable[[], Any] | None = None,
        timeout: float | None = None,
        stored: bool = False,
        patience: float = 10.0,
        allowed_losses: int = 3,
        hesitate: float = 10.0,
        direct: bool | None = None,
    ) -> None:
        if workers < 0:
            raise errors.ConfigError(f"workers={workers}: a number of slots from 1 on, or 0 for all threads there are")
        check_function(func)
        self._hidden = [*hide(func), *hide(initializer)]
        self._packed = pack_functions(func, initializer, self._hidden)
        self._modules = modules_of([func, initializer], self._packed, self._hidden)
        self._context = tuple(snapshot())
        self._timeout = timeout
        self._hesitate = hesitate
        self._direct = direct
        self._closed = self._failed = False
        self._pid = os.getpid()
        self._links: list[Link] = []
        self._placing: asyncio.Task[None] | None = None
        self._easing: asyncio.Task[None] | None = None
        #: run whose other sessions have been ended, and what waits for that
        self._fenced = ""
        self._fencing: asyncio.Task[None] | None = None
        self._waiting: list[Callable[[], None]] = []
        self._client, self._is_ours = connect(cluster, patience)
        try:
            threads = first_workers(self._client, patience)
            check_versions(self._client.get_versions(packages=["raddle", "cloudpickle"]))
            shares = spread(threads, workers or sum(threads.values()))
            total = sum(shares.values())
            #: slots on each thread of a dask worker
            self._density = -(-total // sum(threads.values()))
            self.capabilities = Capabilities(
                "dask",
                "dask",
                total,
                enforces_timeout=True,
                max_chunk=_MAX_CHUNK,
                depth=_DEPTH,
                prefetch_below=_PREFETCH_BELOW,
            )
            self.inbox = _Inbox()
            strikes = Strikes(allowed_losses)
            self._slots = [Slot(number, self._emit, strikes, stored) for number in range(total)]
            self._client.sync(self._open_all, shares, callback_timeout=2 * OPENING)
        except BaseException:
            self.close()
            raise
        atexit.register(self.close)

    def start(self, worker: int, chunk: Chunk) -> None:
        """Hand a chunk to a slot, without waiting."""
        if not 0 < len(chunk.items) <= _MAX_CHUNK:
            raise ValueError(f"len(chunk.items)={len(chunk.items)}: from 1 to {_MAX_CHUNK}")
        pieces, error = pack(chunk, self._hidden)
        if error is not None and not pieces:
            self._emit(self._refused(worker, chunk, error))
            return
        self._client.loop.add_callback(self._start, self._slots[worker], chunk, pieces)

    def stop(self, worker: int, how: StopHow) -> None:
        """Stop a slot; after "close" nothing that it holds is started any more."""
        slot = self._slots[worker]
        self._client.loop.add_callback(self._do, slot.kill if how == "kill" else slot.close)

    def running(self) -> list[Running]:
        """Return the item under way in each busy slot, as last heard: some hundredths of a second ago, and the way."""
        slots = () if self._closed else self._slots
        return [running for slot in slots if (running := slot.running) is not None]

    def close(self) -> None:
        """Kill all worker processes, and wait for their end where they can be reached."""
        if self._closed or os.getpid() != self._pid:
            return
        self._closed = True
        atexit.unregister(self.close)
        # Best effort: what cannot be reached ends by itself, since nobody asks it for news any more.
        with contextlib.suppress(Exception):
            self._client.sync(self._end_all, callback_timeout=15.0)
        if self._is_ours:
            self._client.close()

    def _refused(self, worker: int, chunk: Chunk, error: ErrorInfo) -> ChunkEnded:
        now = monotonic()
        stored = [b""] if self._slots[worker].stored else None
        return ChunkEnded(worker, chunk.number, [None], [now, now], {0: error}, stored)

    def _emit(self, event: Event | Results | Lost) -> None:
        if not self._closed:
            self.inbox.put(event)  # type: ignore[arg-type] # `take` opens what is no event yet

    def _fail(self, message: str) -> None:
        if not self._failed:
            self._failed = True
            self._emit(RunFailed(errors.BackendError(message)))

    # ------------------------------------------------------------------------------- in the dask client's event loop

    def _start(self, slot: Slot, chunk: Chunk, pieces: list[bytes]) -> None:
        if chunk.run != self._fenced and not self._closed:
            self._fenced = chunk.run
            self._fencing = asyncio.create_task(self._fence_off(chunk.run))
        self._do(partial(slot.start, chunk, pieces))

    def _do(self, action: Callable[[], None]) -> None:
        if self._fencing is not None:
            self._waiting.append(action)
            return
        action()
        self._find_places()

    async def _fence_off(self, run: str) -> None:
        """End what a killed program left of this run: it is being resumed, and no item may run twice at once."""
        # Best effort: what cannot be reached has nobody who asks for news, and ends by itself.
        with contextlib.suppress(Exception):
            tokens = [link.token for link in self._links]
            await asyncio.wait_for(self._client.run(end_others, run, tokens, on_error="ignore"), _FENCING)
        self._fencing = None
        waiting, self._waiting = self._waiting, []
        for action in waiting:
            self._do(action)

    def heard(self, link: Link, message: tuple[Any, ...]) -> None:
        """Take a message in."""
        what, *given = message
        if what == "failed":
            self._fail(f"dask worker {link.address}: {given[0]}")
            return
        slot = link.slots[given[0]]
        if what == "ended":
            slot.ended(link, tuple(given[1:]))
        elif what == "lost":
            slot.lost(link, tuple(given[1:]))
        else:
            self._emit(Reported(slot.number, *given[1:]))
        self._find_places()

    def saw(self, link: Link, running: list[tuple[int, int, int, float]]) -> None:
        """Take in what is under way."""
        seen = {local: (chunk, offset, link.clock.here(started)) for local, chunk, offset, started in running}
        for local, slot in enumerate(link.slots):
            if slot.link is link:
                slot.see(seen.get(local))

    def lost(self, link: Link, reason: str, *, died: bool) -> None:
        """Take the loss of a session in."""
        if self._closed:
            return
        self._links.remove(link)
        for slot in link.slots:
            if slot.link is link:
                slot.cut_off(reason, died=died)
        self._find_places()

    def _find_places(self) -> None:
        waiting = any(slot.link is None and slot.held for slot in self._slots)
        if waiting and self._placing is None and not self._closed:
            self._placing = asyncio.create_task(self._place())

    async def _place(self) -> None:
        """Find dask workers for slots that have work and none: with free threads, or after a while any."""
        try:
            began, failures = monotonic(), 0
            while homeless := [slot for slot in self._slots if slot.link is None and slot.held]:
                waited = monotonic() - began
                try:
                    workers = await workers_of(self._client)
                except Exception as error:  # noqa: BLE001 - whatever dask raises: perhaps it comes back
                    workers, reason = {}, f"{type(error).__name__}: {error}"
                else:
                    reason = "the scheduler knows of none"
                threads = self._threads(workers)
                if not threads and waited > _DESERTED:
                    self._fail(f"no dask worker for {waited:.0f} s ({reason}): start some, then resume the run")
                    return
                shares = self._shares(threads, len(homeless), crowd=waited > self._hesitate)
                if shares:
                    failures += await self._open_some(workers, shares, homeless)
                    began = monotonic()
                    if waited > self._hesitate and self._easing is None:
                        self._easing = asyncio.create_task(self._ease())
                if not shares or failures:
                    await asyncio.sleep(0.5)
        except errors.RaddleError as error:
            self._fail(str(error))
        finally:
            self._placing = None

    def _shares(self, threads: Mapping[str, int], wanted: int, *, crowd: bool) -> dict[str, int]:
        taken = self._taken(threads)
        free = sum(max(0, count - taken[address]) for address, count in threads.items())
        return spread(threads, wanted if crowd and threads else min(wanted, free), taken)

    def _taken(self, threads: Mapping[str, int]) -> dict[str, int]:
        taken = dict.fromkeys(threads, 0)
        for slot in self._slots:
            if slot.link is not None and slot.link.address in taken:
                taken[slot.link.address] += 1
        return taken

    async def _ease(self) -> None:
        """Let slots that share threads move to dask workers that have come since."""
        try:
            while True:
                await asyncio.sleep(self._hesitate)
                with contextlib.suppress(Exception):  # no answer: look again later
                    threads = self._threads(await workers_of(self._client))
                    taken = self._taken(threads)
                    free = sum(max(0, count - taken[address]) for address, count in threads.items())
                    over = {address: max(0, taken[address] - count) for address, count in threads.items()}
                    for slot in self._slots:
                        if slot.link is not None and over.get(slot.link.address, 0) > 0 and free > 0:
                            over[slot.link.address] -= 1
                            free -= 1
                            slot.move()
                    self._find_places()
                    if not any(over.values()):
                        return
        finally:
            self._easing = None

    def _threads(self, workers: Mapping[str, dict[str, Any]]) -> dict[str, int]:
        return {address: count * self._density for address, count in usable(workers).items()}

    async def _open_all(self, shares: Mapping[str, int]) -> None:
        await self._open_some(await workers_of(self._client), shares, self._slots)

    async def _open_some(
        self, workers: Mapping[str, dict[str, Any]], shares: Mapping[str, int], slots: Sequence[Slot]
    ) -> int:
        """Begin sessions; return how many could not. Raises when that is no matter of one dask worker alone."""
        opening = []
        rest = list(slots)
        for address, count in shares.items():
            mine, rest = rest[:count], rest[count:]
            if address in workers:
                opening.append(self._open(address, workers[address], mine))
        results = await asyncio.gather(*opening, return_exceptions=True)
        failures = [result for result in results if isinstance(result, BaseException)]
        for failure in failures:
            if isinstance(failure, errors.ConfigError) or not self._links:
                raise failure
        return len(failures)

    async def _open(self, address: str, worker: dict[str, Any], slots: list[Slot]) -> None:
        spec = Spec(
            token=os.urandom(16).hex(),
            packed=self._packed,
            slots=len(slots),
            timeout=self._timeout,
            modules=self._modules,
            context=self._context,
        )
        await open_session_on(self._client, address, spec)
        link = Link(self._client, address, worker, slots, spec.token)
        self._links.append(link)
        link.begin(self, await way_to(self._client, address, spec.token, direct=self._direct))
        for local, slot in enumerate(slots):
            slot.link, slot.local = link, local
            slot.pump()

    async def _end_all(self) -> None:
        for task in (self._placing, self._easing, self._fencing):
            if task is not None:
                task.cancel()
        links, self._links = self._links, []
        await asyncio.gather(*(link.end(5.0) for link in links))
