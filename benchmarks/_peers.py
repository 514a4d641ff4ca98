"""The contestants, all with one face: `with open_(func, items, chunk) as results: for result in results`.

Entering makes the pool, leaving ends it. raddle yields its `Outcome`s, the peers their bare values. `chunk=0` is a
peer's default. Everybody gets the same number of workers.
"""

from __future__ import annotations

import asyncio
import importlib
import multiprocessing
import multiprocessing.pool
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from itertools import islice
from typing import TYPE_CHECKING, Any

import raddle
from _common import WORKERS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Iterator

Func = Any
ASYNC_LIMIT = 64


def package(name: str) -> Any:
    """Import a peer when its turn comes. Not all are installed, and few are typed."""
    return importlib.import_module(name)


# --------------------------------------------------------------------------------------------------------- raddle


def _raddle(backend: str, **more: Any) -> Callable[..., Any]:
    @contextmanager
    def open_(func: Func, items: Iterable[Any], chunk: int = 0, **options: Any) -> Iterator[Iterable[Any]]:
        del chunk  # there is nothing to choose
        with raddle.run(func, items, backend=backend, **more, **options) as run:
            yield run

    return open_


@contextmanager
def raddle_dask(func: Func, items: Iterable[Any], chunk: int = 0, **options: Any) -> Iterator[Iterable[Any]]:
    del chunk
    with raddle.run(func, items, backend=dask_client(), **options) as run:
        yield run


# --------------------------------------------------------------------------------------------------- standard library


@contextmanager
def thread_executor(func: Func, items: Iterable[Any], chunk: int = 0) -> Iterator[Iterable[Any]]:
    del chunk  # ignored for threads
    with ThreadPoolExecutor(WORKERS) as pool:
        yield pool.map(func, items)


@contextmanager
def thread_pool(func: Func, items: Iterable[Any], chunk: int = 0) -> Iterator[Iterable[Any]]:
    with multiprocessing.pool.ThreadPool(WORKERS) as pool:
        yield pool.imap_unordered(func, items, chunk or 1)


@contextmanager
def process_executor(func: Func, items: Iterable[Any], chunk: int = 0) -> Iterator[Iterable[Any]]:
    with ProcessPoolExecutor(WORKERS) as pool:
        yield pool.map(func, items, chunksize=chunk or 1)


@contextmanager
def pool_imap(func: Func, items: Iterable[Any], chunk: int = 0) -> Iterator[Iterable[Any]]:
    with multiprocessing.Pool(WORKERS) as pool:
        yield pool.imap_unordered(func, items, chunk or 1)


@contextmanager
def pool_map(func: Func, items: Iterable[Any], chunk: int = 0) -> Iterator[Iterable[Any]]:
    with multiprocessing.Pool(WORKERS) as pool:
        yield pool.map(func, items, chunk or None)


# ------------------------------------------------------------------------------------------------------ other packages


def _joblib(prefer: str) -> Callable[..., Any]:
    @contextmanager
    def open_(func: Func, items: Iterable[Any], chunk: int = 0, **options: Any) -> Iterator[Iterable[Any]]:
        joblib = package("joblib")

        parallel = joblib.Parallel(n_jobs=WORKERS, prefer=prefer, batch_size=chunk or "auto", **options)
        yield parallel(joblib.delayed(func)(item) for item in items)

    return open_


def _mpire(start_method: str, method: str) -> Callable[..., Any]:
    @contextmanager
    def open_(func: Func, items: Iterable[Any], chunk: int = 0, **options: Any) -> Iterator[Iterable[Any]]:
        mpire = package("mpire")

        with mpire.WorkerPool(n_jobs=WORKERS, start_method=start_method) as pool:
            yield getattr(pool, method)(func, items, chunk_size=chunk or None, **options)

    return open_


def _pebble(kind: str) -> Callable[..., Any]:
    @contextmanager
    def open_(func: Func, items: Iterable[Any], chunk: int = 0, **options: Any) -> Iterator[Iterable[Any]]:
        pebble = package("pebble")

        with getattr(pebble, kind)(max_workers=WORKERS) as pool:
            try:
                yield pool.map(func, items, chunksize=chunk or 1, **options).result()
            except BaseException:
                pool.stop()  # as its documentation advises; left alone, the pool runs all that waits
                raise

    return open_


@cache
def dask_client() -> Any:
    """Return a client of a cluster of our own, started at the first use: worker processes of one thread each."""
    package("dask").config.set({"distributed.logging.distributed": "error"})
    distributed = package("distributed")
    cluster = distributed.LocalCluster(n_workers=WORKERS, threads_per_worker=1, dashboard_address=None)
    return distributed.Client(cluster)


@contextmanager
def dask_map(func: Func, items: Iterable[Any], chunk: int = 0) -> Iterator[Iterable[Any]]:
    del chunk
    client = dask_client()
    yield client.gather(client.map(func, list(items), pure=False))


@cache
def ray_remote(func: Func) -> Any:
    ray = package("ray")

    if not ray.is_initialized():
        ray.init(num_cpus=WORKERS, include_dashboard=False, log_to_driver=False, logging_level="error")
    return ray.remote(func)


def _all_of(func: Func, items: tuple[Any, ...]) -> list[Any]:
    return [func(item) for item in items]


@contextmanager
def ray_tasks(func: Func, items: Iterable[Any], chunk: int = 0) -> Iterator[Iterable[Any]]:
    """One task per item; with a chunk, batched by hand as Ray's pages on patterns advise."""
    if chunk:
        remote = ray_remote(_all_of)
        ray = package("ray")

        reference = ray.put(func)
        yield _flat(ray.get([remote.remote(reference, part) for part in batched_(items, chunk)]))
        return
    remote = ray_remote(func)
    ray = package("ray")

    yield ray.get([remote.remote(item) for item in items])


def _flat(lists: Iterable[list[Any]]) -> Iterator[Any]:
    for part in lists:
        yield from part


def batched_(items: Iterable[Any], size: int) -> Iterator[tuple[Any, ...]]:
    source = iter(items)
    while part := tuple(islice(source, size)):
        yield part


# --------------------------------------------------------------------------------------------------------- coroutines


async def gather(func: Func, items: Iterable[Any], limit: int = ASYNC_LIMIT) -> AsyncIterator[Any]:
    """What most programs do: a task per item, held back by a semaphore."""
    semaphore = asyncio.Semaphore(limit)

    async def one(item: Any) -> Any:
        async with semaphore:
            return await func(item)

    for value in await asyncio.gather(*(one(item) for item in items)):
        yield value


async def aiometer(func: Func, items: Iterable[Any], limit: int = ASYNC_LIMIT) -> AsyncIterator[Any]:
    async with package("aiometer").amap(func, list(items), max_at_once=limit) as results:
        async for value in results:
            yield value


async def raddle_arun(func: Func, items: Iterable[Any], limit: int = 0) -> AsyncIterator[Any]:
    async with raddle.arun(func, items, backend="asyncio", workers=limit) as run:
        async for outcome in run:
            yield outcome


# -------------------------------------------------------------------------------------------------------------- names

OPEN: dict[str, Callable[..., Any]] = {
    "raddle": _raddle("auto"),
    "raddle serial": _raddle("serial"),
    "raddle threads": _raddle("threads"),
    "raddle processes": _raddle("processes"),
    "raddle asyncio": _raddle("asyncio"),
    "raddle dask": raddle_dask,
    "ThreadPoolExecutor.map": thread_executor,
    "ThreadPool.imap_unordered": thread_pool,
    "ProcessPoolExecutor.map": process_executor,
    "Pool.imap_unordered": pool_imap,
    "Pool.map": pool_map,
    "joblib threading": _joblib("threads"),
    "joblib loky": _joblib("processes"),
    "mpire threads map": _mpire("threading", "map"),
    "mpire map": _mpire("fork", "map"),
    "mpire imap": _mpire("fork", "imap"),
    "pebble ThreadPool.map": _pebble("ThreadPool"),
    "pebble ProcessPool.map": _pebble("ProcessPool"),
    "dask client.map": dask_map,
    "ray": ray_tasks,
}

NEEDS = {
    "raddle dask": "distributed",
    "joblib threading": "joblib",
    "joblib loky": "joblib",
    "mpire threads map": "mpire",
    "mpire map": "mpire",
    "mpire imap": "mpire",
    "pebble ThreadPool.map": "pebble",
    "pebble ProcessPool.map": "pebble",
    "dask client.map": "distributed",
    "ray": "ray",
}

OPEN_ASYNC: dict[str, Callable[..., AsyncIterator[Any]]] = {
    "raddle arun": raddle_arun,
    "asyncio.gather + Semaphore(64)": gather,
    "aiometer.amap(64)": aiometer,
}


def exhaust(results: Iterable[Any]) -> int:
    """Consume all, one by one."""
    count = 0
    for _ in results:
        count += 1
    return count


def value_of(result: Any) -> Any:
    return result.value if isinstance(result, raddle.Outcome) else result
