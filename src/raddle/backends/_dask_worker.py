"""The inside of a dask worker: a session drives a `ProcessBackend` there for one run of one client.

So an item runs in a process of its own below the dask worker, where it can be killed at its deadline, and blamed for
its own death. The client asks for news (`talk`, held back until there are some) and is told of every end exactly once:
what it has not confirmed is sent again. Items and results pass through the dask worker as bytes; only the client and
the process that runs the function look into them.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import pickle
import threading
import weakref
from collections import deque
from dataclasses import dataclass
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from raddle._events import Ticked
from raddle._model import qualified_name
from raddle.backends._context import Variable, restore
from raddle.backends._dask_driver import At, Driver
from raddle.backends._shell import describe
from raddle.backends._wire import PROTOCOL, dumps, pack_error
from raddle.backends.processes import ProcessBackend

if TYPE_CHECKING:
    from collections.abc import Callable


__all__ = ["HOLD", "LARGEST", "LEASE", "Anchor", "Call", "Spec", "end_others", "open_session"]

#: seconds that a question for news is held back when there are none
HOLD: Final = 1.0
#: seconds from the last answer that the client is known to have after which a session ends itself
LEASE: Final = 45.0
#: the same, if the scheduler has noticed too that the client is gone
_ORPHANED = 3.0
#: bytes of one item or result; what is larger belongs into a file
LARGEST: Final = 1 << 30
_BATCH = 16 << 20
#: seconds that an answer waits for more, while every slot has something to do
_GATHER = 0.01


@dataclass(frozen=True, slots=True)
class Spec:
    """What a session is to do."""

    token: str
    #: (func, initializer), pickled
    packed: bytes
    slots: int
    timeout: float | None
    #: that `packed` refers to by name
    modules: tuple[str, ...]
    #: context variables
    context: tuple[Variable, ...] = ()


class Call:
    """What a worker process runs: the user's function on pickled items. Returns the pickled result, or (error,)."""

    def __init__(self, spec: Spec) -> None:
        self._spec = spec
        self._func: Callable[[Any], Any] | None = None

    def prepare(self) -> None:
        """Load the function and run the initializer, once in each process."""
        restore(list(self._spec.context))
        self._func, initializer = pickle.loads(self._spec.packed)  # noqa: S301 - from the client
        if initializer is not None:
            initializer()

    def __call__(self, piece: bytes) -> bytes | tuple[bytes]:
        assert self._func is not None  # noqa: S101 - `prepare` is the initializer of the process
        try:
            item = pickle.loads(piece)  # noqa: S301 - from the client
        except BaseException as error:  # noqa: BLE001 - somebody's __setstate__: it costs this item only
            error.add_note("raddle: the item itself could not be unpickled in the worker; its function did not run")
            return (pack_error(describe(error)),)
        try:
            value = self._func(item)
        except BaseException as error:  # noqa: BLE001 - whatever the function raises is how its item ended
            return (pack_error(describe(error)),)
        try:
            result = dumps(value)
            if len(result) > LARGEST:
                raise ValueError(f"{len(result)} bytes, limit={LARGEST}")
        except BaseException as error:  # noqa: BLE001 - somebody's __reduce__
            message = f"the function returned a {qualified_name(type(value))}, which cannot be pickled or is too large"
            refused = pickle.PicklingError(f"{message} ({error}): return plain data, or a path on shared storage")
            return (pack_error(describe(refused)),)
        return result


_sessions: dict[str, Session] = {}


class Anchor:
    """A dask actor with nothing to do but to go: the scheduler drops it when it loses the client."""

    def __init__(self, token: str) -> None:
        session = _sessions.get(token)
        if session is not None:
            session.anchor = weakref.ref(self)


async def open_session(spec: Spec, dask_worker: Any = None) -> dict[str, Any]:
    """Begin; `Client.run` calls this in the event loop of a dask worker. Returns what is wrong, if anything is."""
    missing = [name for name in spec.modules if not _is_there(name)]
    if missing:
        return {"missing": missing}
    session = Session(spec, dask_worker)
    _sessions[spec.token] = session
    dask_worker.handlers["raddle"] = talk
    session.thread.start()
    return {"error": await session.ready}


async def end_others(run: str, tokens: list[str]) -> None:
    """End the sessions of a run that are not among `tokens`: their program was killed, and the run is resumed."""
    await asyncio.gather(*(each.end() for token, each in _sessions.items() if each.run == run and token not in tokens))


def _is_there(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


async def talk(
    *,
    token: str,
    first: int = 0,
    commands: bytes = b"",
    ack: int = 0,
    seen: int = 0,
    echo: float = 0.0,
    wait: bool = False,
    end: bool = False,
) -> dict[str, Any]:
    """Take orders and give news: what the client calls, by its connection to this worker.

    Args:
        token: which session
        first: number of the first command
        commands: list of them, pickled; those that were carried out before are left out
        ack: how many messages the client has
        seen: version of `running` that the client has
        echo: `now` of the last answer that the client has
        wait: give news, up to `HOLD` seconds later if there are none now
        end: kill everything, and answer when that is done
    """
    session = _sessions.get(token)
    if session is None:
        return {"gone": True}
    if end:
        await session.end()
    elif wait:
        return await session.news(ack, seen, echo)
    else:
        session.obey(first, commands)
    return {"gone": False, "now": monotonic()}


class Session:
    """One client's worker processes in this dask worker.

    The thread drives the backend and nothing else; what is said here with "in the loop" runs in the event loop of the
    dask worker.
    """

    def __init__(self, spec: Spec, dask_worker: Any) -> None:
        #: what its chunks belong to
        self.run = ""
        self.anchor: weakref.ref[Anchor] | None = None
        self._spec = spec
        self._dask_worker = dask_worker
        self._loop = asyncio.get_running_loop()
        #: text of what is wrong, or ""
        self.ready: asyncio.Future[str] = self._loop.create_future()
        self.thread = threading.Thread(target=self._serve, name=f"raddle-{spec.token[:8]}", daemon=True)
        self._heard = monotonic()
        self._ending = False
        self._over_soon = threading.Event()
        self._over = asyncio.Event()
        self._news = asyncio.Event()
        self._urgent = asyncio.Event()
        self._backend: ProcessBackend | None = None
        self._commands: deque[tuple[Any, ...]] = deque()
        self._obeyed = 0
        #: messages that the client has not confirmed, and the number of the first
        self._mail: deque[bytes] = deque()
        self._first = 0
        self._running: list[At] = []
        self._version = 0

    # ------------------------------------------------------------------------------------------------- in the loop

    def obey(self, first: int, commands: bytes) -> None:
        """Queue commands; those that came before (the client did not hear the answer) are left out."""
        sent = pickle.loads(commands) if commands else []  # noqa: S301 - from the client
        fresh = sent[max(0, self._obeyed - first) :]
        for what, *given in fresh:
            if what == "start":
                self.run = given[-1]
        self._obeyed += len(fresh)
        self._commands.extend(fresh)
        self._wake()

    async def news(self, ack: int, seen: int, echo: float) -> dict[str, Any]:
        """Return what the client does not know."""
        # Not the present: the question may be an old one that the network kept back, of a client that has given us up.
        self._heard = max(self._heard, echo)
        while self._first < ack:
            self._mail.popleft()
            self._first += 1
        if not self._mail and seen == self._version:
            self._news.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), HOLD)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._urgent.wait(), _GATHER)
        self._urgent.clear()
        batch: list[bytes] = []
        size = 0
        for message in self._mail:
            size += len(message)
            if batch and size > _BATCH:
                break
            batch.append(message)
        return {
            "gone": self._over.is_set(),
            "first": self._first,
            "mail": batch,
            "running": self._running,
            "version": self._version,
            "now": monotonic(),
        }

    async def end(self) -> None:
        """Kill everything and wait for it."""
        self._ending = True
        self._over_soon.set()
        self._wake()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._over.wait(), 5)

    def _wake(self) -> None:
        if self._backend is not None:
            self._backend.inbox.put(Ticked([]))

    def _post(self, messages: list[bytes], running: list[At], urgent: bool) -> None:  # noqa: FBT001 - the loop calls it
        self._mail.extend(messages)
        if running != self._running:
            self._running = running
            self._version += 1
        self._news.set()
        if urgent:
            self._urgent.set()

    def _ended(self) -> None:
        _sessions.pop(self._spec.token, None)
        self._over.set()
        self._news.set()
        self._urgent.set()

    # ----------------------------------------------------------------------------------------------- in the thread

    def _serve(self) -> None:
        spec = self._spec
        call = Call(spec)
        try:
            backend = ProcessBackend(call, workers=spec.slots, initializer=call.prepare, timeout=spec.timeout)
        except Exception as error:  # noqa: BLE001 - whatever it is, the client must hear of it
            self._call(self.ready.set_result, f"{type(error).__name__}: {error}")
            self._call(self._ended)
            return
        self._backend = backend
        self._call(self.ready.set_result, "")
        post = partial(self._call, self._post)
        try:
            Driver(backend, self._commands, post).run(self._is_over)
        except Exception as error:  # noqa: BLE001 - as above
            backend.close()
            text = f"the session broke: {type(error).__name__}: {error}"
            post([pickle.dumps(("failed", text), PROTOCOL)], [], True)  # noqa: FBT003 - as the driver calls it
            while not self._is_over():
                self._over_soon.wait(1.0)
        finally:
            backend.close()
            self._call(self._ended)

    def _is_over(self) -> bool:
        silence = monotonic() - self._heard
        orphaned = self.anchor is not None and self.anchor() is None
        closing = self._dask_worker.status.name in {"closing", "closed", "failed"}
        return self._ending or closing or silence > (_ORPHANED if orphaned else LEASE)

    def _call(self, function: Callable[..., object], *args: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is left to be told
            self._loop.call_soon_threadsafe(function, *args)
