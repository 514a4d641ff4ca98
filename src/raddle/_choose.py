"""Which backend an option means: the only module, beside `_api`, that knows concrete adapters."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from raddle import _host
from raddle._attempt import inside
from raddle.errors import ConfigError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from raddle._ports import Backend

__all__ = ["BackendName", "Chosen", "choose", "is_coroutine_function"]

BackendName = Literal["auto", "serial", "threads", "processes", "asyncio"]

#: most workers with `workers=0`, where items may be waiting; how many there are is found out while the run goes on
_MOST_THREADS = 64
_PROCESSES_PER_CPU = 4
_MOST_TASKS = 512
#: and how many there are at first
_FIRST_TASKS = 16
_CO_COROUTINE = 0x80


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """A backend that is ready, and what the machine should know of it."""

    backend: Backend
    #: how many workers may be busy at once: at first, at least, at most; None: all
    limit: tuple[int, int, int] | None = None
    #: the first so many slots are processes, the others threads, and the machine is to choose
    trial: int = 0
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What every backend is made with."""

    func: Callable[[Any], Any]
    #: 0: found out
    workers: int
    timeout: float | None
    initializer: Callable[[], Any] | None
    stored: bool
    keep_fds: list[int]
    loop: asyncio.AbstractEventLoop | None = None

    @property
    def common(self) -> dict[str, Any]:
        """Options that all backends take."""
        return {"initializer": self.initializer, "timeout": self.timeout, "stored": self.stored}


def choose(wish: Wish, backend: Any) -> Chosen:  # noqa: PLR0911 - one case, one return
    """Return the backend that was asked for.

    Raises:
        ConfigError: it cannot run this function, or a combination of options cannot work
    """
    if is_coroutine_function(wish.func):
        if backend not in ("auto", "asyncio"):
            raise ConfigError(f'backend={backend!r}: func={_name(wish.func)} is a coroutine function, use "asyncio"')
        return _asyncio(wish)
    if inside() and backend in ("auto", "threads", "processes") and not wish.workers:
        return _nested(wish)
    match backend:
        case "auto":
            return _auto(wish)
        case "serial":
            return Chosen(backend=_serial(wish))
        case "processes":
            return Chosen(backend=_processes(wish, wish.workers or _host.cpus().value))
        case "threads":
            return _threads(wish)
        case "asyncio":
            raise ConfigError(f'backend="asyncio": func={_name(wish.func)} is no coroutine function (async def)')
        case _ if isinstance(backend, str) or type(backend).__module__.startswith("distributed."):
            from raddle.backends.dask import DaskBackend

            return Chosen(backend=DaskBackend(wish.func, backend, workers=wish.workers, **wish.common))
    return Chosen(backend=backend)


def _nested(wish: Wish) -> Chosen:
    """All CPUs are busy with the run around this one, so that more workers would only get in its way."""
    note = "because the run is inside a worker of another run; give backend= and workers= for anything else"
    if wish.timeout is None:
        return Chosen(backend=_serial(wish), note=f"serial, {note}")
    return Chosen(backend=_thread_backend(wish, 1), note=f"one thread, {note}")


def _auto(wish: Wish) -> Chosen:
    from raddle.backends.both import BothBackend

    # More processes than CPUs are for items that wait for half of their time; they start when they are needed.
    count = wish.workers or _PROCESSES_PER_CPU * _host.cpus().value
    try:
        processes = _processes(wish, count, trial=True)
    except ConfigError as error:
        chosen = _threads(wish)
        return Chosen(backend=chosen.backend, limit=chosen.limit, note=f"threads, because processes cannot: {error}")
    threads = wish.workers or _MOST_THREADS
    limit = (threads, threads, threads) if wish.workers else None
    return Chosen(backend=BothBackend(processes, partial(_thread_backend, wish, threads)), limit=limit, trial=count)


def _serial(wish: Wish) -> Backend:
    from raddle.backends.serial import SerialBackend

    return SerialBackend(wish.func, **wish.common)


def _processes(wish: Wish, count: int, *, trial: bool = False) -> Backend:
    from raddle.backends.processes import ProcessBackend

    return ProcessBackend(wish.func, workers=count, keep_fds=wish.keep_fds, trial=trial, **wish.common)


def _threads(wish: Wish) -> Chosen:
    if wish.workers:
        return Chosen(backend=_thread_backend(wish, wish.workers))
    first = min(_MOST_THREADS, max(4, 2 * _host.cpus().value))
    return Chosen(backend=_thread_backend(wish, _MOST_THREADS), limit=(first, 1, _MOST_THREADS))


def _thread_backend(wish: Wish, count: int, inbox: Any = None) -> Backend:
    from raddle.backends.threads import ThreadBackend

    return ThreadBackend(wish.func, workers=count, inbox=inbox, **wish.common)


def _asyncio(wish: Wish) -> Chosen:
    from raddle.backends.asyncio import AsyncioBackend

    if wish.workers:
        return Chosen(backend=AsyncioBackend(wish.func, workers=wish.workers, loop=wish.loop, **wish.common))
    backend = AsyncioBackend(wish.func, workers=_MOST_TASKS, loop=wish.loop, **wish.common)
    return Chosen(backend=backend, limit=(_FIRST_TASKS, 1, _MOST_TASKS))


def is_coroutine_function(func: Any) -> bool:
    """Whether a call gives something to await; as `inspect.iscoroutinefunction`, without the 8 ms to import that."""
    while isinstance(func, functools.partial):
        func = func.func
    for candidate in (func, getattr(type(func), "__call__", None)):  # noqa: B004 - its code is wanted, not whether
        code = getattr(getattr(candidate, "__func__", candidate), "__code__", None)
        if code is not None and code.co_flags & _CO_COROUTINE:
            return True
    return False


def _name(func: Any) -> str:
    return getattr(func, "__qualname__", None) or type(func).__qualname__
