"""The client's side of a session on one dask worker: orders go there, news come back, and its end is noticed.

Everything here runs in the event loop of the dask client. Orders are numbered and sent until confirmed; messages are
numbered and confirmed by the next question. So a connection that breaks and comes back loses and doubles nothing.

When is a session lost? At once if the worker says that it does not know it, or if the scheduler does not know the
worker any more. Else, when nothing has been heard for so long that the session must have ended itself: an item must not
be started elsewhere while it may still run there. Each question brings back the instant of the last answer that came,
by the session's own clock, and the session ends `LEASE` seconds after that, however late a question may reach it. So
`LEASE` seconds after that answer came it has ended, and no clock need be set by another.
"""

from __future__ import annotations

import asyncio
import contextlib
import pickle
from collections import deque
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol

from raddle.backends._dask_worker import HOLD, LEASE, Anchor
from raddle.backends._wire import PROTOCOL

if TYPE_CHECKING:
    from raddle.backends._dask_slot import Slot

__all__ = ["Link", "Listener", "RemoteClock", "Rpc", "workers_of"]

#: seconds that a question may take beyond `HOLD`, its answer's way included
_PATIENCE = 30.0
_MARGIN = 5.0
_BATCH = 16 << 20
#: seconds that an order waits for others, if its slot has something to do meanwhile
_GATHER = 0.002


class Listener(Protocol):
    """Who is told of news."""

    def heard(self, link: Link, message: tuple[Any, ...]) -> None: ...
    def saw(self, link: Link, running: list[tuple[int, int, int, float]]) -> None: ...
    def lost(self, link: Link, reason: str, *, died: bool) -> None: ...


class RemoteClock:
    """Translates instants of another host's monotonic clock.

    A reading that was made between the sending of a question and the coming of its answer bounds the difference. It is
    left as it is for as long as nothing contradicts it, so 0 on the same host, and follows a drift elsewhere.
    """

    def __init__(self) -> None:
        self.ahead = 0.0

    def learn(self, sent: float, there: float, received: float) -> None:
        """Take a reading in."""
        self.ahead = min(max(self.ahead, sent - there), received - there)

    def here(self, instant: float) -> float:
        """Say when that was on our own clock; 0 means "never" on both."""
        return instant + self.ahead if instant else 0.0


class Rpc:
    """Calls a dask worker, by a connection of our own or through the scheduler where that does not reach it."""

    def __init__(self, client: Any, address: str, *, direct: bool) -> None:
        self._client = client
        self._address = address
        self._direct = direct

    async def __call__(self, within: float, **message: Any) -> dict[str, Any]:
        """Return the answer; whatever can go wrong on the way raises."""
        if self._direct:
            answer = await asyncio.wait_for(self._client.rpc(self._address).raddle(**message), within)
        else:
            way = self._client.scheduler.proxy(worker=self._address, msg={"op": "raddle", **message})
            answer = await asyncio.wait_for(way, within)
        # None: no such handler, so it is another process than it was.
        return answer if isinstance(answer, dict) else {"gone": True}


async def workers_of(client: Any) -> dict[str, dict[str, Any]]:
    """Return the dask workers that the scheduler knows, by address."""
    identity = await asyncio.wait_for(client.scheduler.identity(), _PATIENCE)
    workers: dict[str, dict[str, Any]] = identity["workers"]
    return workers


class Link:
    """One session. `slots` are the backend's slots that it serves, in the session's own order."""

    def __init__(self, client: Any, address: str, worker: dict[str, Any], slots: list[Slot], token: str) -> None:
        self.address = address
        self.slots = slots
        self.token = token
        self.clock = RemoteClock()
        self.ended = False
        self._client = client
        self._name = worker["id"]
        self._orders: deque[tuple[int, tuple[Any, ...]]] = deque()
        self._ordered = asyncio.Event()
        self._urgent = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._anchor: Any = None
        self._rpc: Rpc
        self._listener: Listener

    def begin(self, listener: Listener, rpc: Rpc) -> None:
        """Start to talk; the session is open."""
        self._listener = listener
        self._rpc = rpc
        self._anchor = self._client.submit(
            Anchor,
            self.token,
            key=f"raddle-{self.token}",
            workers=[self.address],
            allow_other_workers=False,
            actor=True,
            pure=False,
            retries=0,
        )
        self._tasks = [asyncio.create_task(self._send()), asyncio.create_task(self._ask())]

    def order(self, command: tuple[Any, ...], *, size: int = 0, urgent: bool = True) -> None:
        """Send a command; `size` is about how many bytes it has. One that is not urgent waits a moment for others."""
        self._orders.append((size, command))
        self._ordered.set()
        if urgent:
            self._urgent.set()

    async def end(self, within: float) -> None:
        """Have everything killed there, if it can still be reached."""
        self._leave()
        # Whatever goes wrong: the session notices by itself that nobody asks any more.
        with contextlib.suppress(Exception):
            await self._rpc(within, token=self.token, end=True)

    def _leave(self) -> None:
        self.ended = True
        for task in self._tasks:
            if task is not asyncio.current_task():
                task.cancel()
        if self._anchor is not None:
            self._anchor.release()
            self._anchor = None

    async def _send(self) -> None:
        number = 0
        while True:
            while not self._orders:
                self._ordered.clear()
                await self._ordered.wait()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._urgent.wait(), _GATHER)
            self._urgent.clear()
            batch: list[tuple[Any, ...]] = []
            size = 0
            for command_size, command in self._orders:
                size += command_size
                if batch and size > _BATCH:
                    break
                batch.append(command)
            data = pickle.dumps(batch, PROTOCOL)
            try:
                answer = await self._rpc(4 * _PATIENCE, token=self.token, first=number, commands=data)
            except Exception:  # noqa: BLE001 - whatever dask raises; `_ask` finds out what it means
                await asyncio.sleep(0.2)
                continue
            if answer["gone"]:
                return  # `_ask` hears it too
            number += len(batch)
            for _ in batch:
                self._orders.popleft()

    async def _ask(self) -> None:
        ack, seen, echo = 0, -1, 0.0
        limit = HOLD + _PATIENCE
        answered = monotonic()
        while True:
            sent = monotonic()
            try:
                answer = await self._rpc(limit, token=self.token, ack=ack, seen=seen, echo=echo, wait=True)
            except Exception as error:  # noqa: BLE001 - whatever dask raises: it is not reachable just now
                limit = 2 * HOLD
                if await self._is_lost(answered + LEASE + _MARGIN, error):
                    return
                continue
            if answer["gone"]:
                self._lose(f"the session on the dask worker {self.address} ended: it had no news of this program")
                return
            limit = HOLD + _PATIENCE
            answered, echo = monotonic(), answer["now"]
            self.clock.learn(sent, echo, answered)
            mail, first = answer["mail"], answer["first"]
            for message in mail[ack - first :]:
                ack += 1
                self._listener.heard(self, pickle.loads(message))  # noqa: S301 - from our own session
            seen = answer["version"]
            self._listener.saw(self, [tuple(at) for at in answer["running"]])

    async def _is_lost(self, expired: float, error: Exception) -> bool:
        """Find out what a failed question means. Takes a moment: the scheduler may not have noticed yet."""
        text = f"{type(error).__name__}: {error}"
        for _ in range(5):
            await asyncio.sleep(0.1)
            if await self._is_removed():
                # It may be on its way out and still run items: that must end before they are started elsewhere.
                with contextlib.suppress(Exception):
                    await self._rpc(1.0, token=self.token, end=True)
                self._lose(f"the dask worker {self.address} is gone ({text})", died=True)
                return True
        if monotonic() < expired:
            return False
        self._lose(f"the dask worker {self.address} does not answer ({text})", died=True)
        return True

    async def _is_removed(self) -> bool:
        try:
            worker = (await workers_of(self._client)).get(self.address)
        except Exception:  # noqa: BLE001 - no answer is no evidence
            return False
        return worker is None or worker["id"] != self._name

    def _lose(self, reason: str, *, died: bool = False) -> None:
        self._leave()
        self._listener.lost(self, reason, died=died)
