"""What is looked at before a run starts on a dask cluster, so that what cannot work there is refused at once."""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import importlib
import inspect
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from raddle import errors
from raddle._model import qualified_name
from raddle.backends._dask_link import Rpc, workers_of
from raddle.backends._dask_worker import open_session
from raddle.backends._wire import by_value

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from raddle.backends._dask_worker import Spec

__all__ = [
    "OPENING",
    "check_function",
    "check_versions",
    "connect",
    "first_workers",
    "modules_of",
    "open_session_on",
    "pack_functions",
    "spread",
    "usable",
    "way_to",
]

#: seconds in which a dask worker must begin a session, the import of raddle there included
OPENING: Final = 60.0
_REACH = 3.0


def connect(cluster: Any, patience: float) -> tuple[Any, bool]:
    """Return a client, and whether it is ours to close."""
    try:
        distributed: Any = importlib.import_module("distributed")
    except ImportError as error:
        raise errors.MissingExtra("distributed", "dask") from error
    if isinstance(cluster, distributed.Client):
        if cluster.status != "running" or cluster.asynchronous:
            state = "asynchronous" if cluster.status == "running" else cluster.status
            raise errors.ConfigError(
                f"backend={cluster!r}: the client is {state}: give a running, synchronous one, or the scheduler's "
                "address"
            )
        return cluster, False
    if not isinstance(cluster, str):
        raise errors.ConfigError(f"backend={cluster!r}: give the address of a dask scheduler or a distributed.Client")
    try:
        return distributed.Client(cluster, timeout=patience, set_as_default=False, name="raddle"), True
    except (OSError, ValueError) as error:
        raise errors.ConfigError(
            f"backend={cluster!r}: no dask scheduler answered within {patience:g} s ({error}): "
            "start one with `dask scheduler`, or correct the address"
        ) from error


async def open_session_on(client: Any, address: str, spec: Spec) -> None:
    """Begin a session on a dask worker.

    Raises:
        ConfigError: the function cannot be imported there
        BackendError: anything else that is wrong there
    """
    try:
        answer = await asyncio.wait_for(client.run(open_session, spec, workers=[address]), OPENING)
    except Exception as error:
        raise errors.BackendError(
            f"dask worker {address} cannot begin a session ({type(error).__name__}: {error}): "
            "look at its log; raddle must be installed there"
        ) from error
    said = answer[address]
    if said.get("missing"):
        raise errors.ConfigError(
            f"dask worker {address} cannot import {', '.join(said['missing'])}, where the function or the "
            "initializer comes from: install it there, or send it with Client.upload_file"
        )
    if said["error"]:
        raise errors.BackendError(f"dask worker {address} cannot start processes: {said['error']}")


async def way_to(client: Any, address: str, token: str, *, direct: bool | None) -> Rpc:
    """Return how to talk to a session; `direct` None: by a connection of our own if that reaches it."""
    if direct is None:
        try:
            # A private address may be another host's here, which then does not know the session.
            answer = await Rpc(client, address, direct=True)(_REACH, token=token)
        except Exception:  # noqa: BLE001 - whatever dask raises: it is not reached
            direct = False
        else:
            direct = not answer["gone"]
    return Rpc(client, address, direct=direct)


def usable(workers: Mapping[str, dict[str, Any]]) -> dict[str, int]:
    """Return the threads of each worker that takes work."""
    return {
        address: worker["nthreads"]
        for address, worker in sorted(workers.items())
        if worker["nthreads"] > 0 and worker.get("status", "running") in ("running", "paused")
    }


def first_workers(client: Any, patience: float) -> dict[str, int]:
    """Return the threads of each dask worker, once there is one."""
    deadline = monotonic() + patience
    while not (threads := usable(client.sync(workers_of, client))):
        left = deadline - monotonic()
        if left <= 0:
            raise errors.ConfigError(
                f"backend={client.scheduler.address!r}: the cluster has no workers, and none came within "
                f"{patience:g} s: start some with `dask worker ADDRESS`, or scale the cluster up"
            )
        with contextlib.suppress(TimeoutError):
            client.wait_for_workers(1, timeout=min(left, 1.0))
    return threads


def check_versions(found: Mapping[str, Any]) -> None:
    """Refuse dask workers that could not understand what is sent; `found` is what `Client.get_versions` says."""
    ours = found["client"]
    for address, theirs in found["workers"].items():
        for name in ("Python", "raddle", "cloudpickle"):
            here, there = (_version(side, name) for side in (ours, theirs))
            if here != there:
                raise errors.ConfigError(
                    f"dask worker {address} has {name} {there}, but here is {here}: install the same on both"
                )


def _version(side: Mapping[str, Any], name: str) -> str:
    if name == "Python":  # code by value needs the same minor version
        return ".".join(str(side["host"]["python"]).split(".")[:2])
    return side["packages"].get(name) or "(not installed)"


def spread(threads: Mapping[str, int], wanted: int, taken: Mapping[str, int] | None = None) -> dict[str, int]:
    """Share slots out in proportion to threads, some of which are taken."""
    before = taken or {}
    shares = dict.fromkeys(threads, 0)
    heap = [((before.get(address, 0) + 1) / count, address) for address, count in threads.items()]
    heapq.heapify(heap)
    for _ in range(wanted):
        _, least = heap[0]
        shares[least] += 1
        heapq.heapreplace(heap, ((before.get(least, 0) + shares[least] + 1) / threads[least], least))
    return {address: count for address, count in shares.items() if count}


def check_function(func: Any) -> None:
    """Refuse what only runs here."""
    if inspect.iscoroutinefunction(func):
        raise errors.ConfigError(
            f"function={name_of(func)} is a coroutine function, which dask workers do not run: "
            'give a plain function, or use backend="asyncio"'
        )


def name_of(func: Any) -> str:
    return getattr(func, "__qualname__", None) or qualified_name(type(func))


def pack_functions(func: Any, initializer: Any, hidden: Sequence[bytes]) -> bytes:
    """Pickle what the workers are to run."""
    try:
        return by_value((func, initializer), hidden)
    except Exception as error:
        raise errors.ConfigError(
            f"function={name_of(func)} cannot be sent to a dask worker ({type(error).__name__}: {error}): "
            'use a function at the top level of a module, or backend="threads"'
        ) from error


def modules_of(functions: Sequence[Any], packed: bytes, hidden: Sequence[bytes]) -> tuple[str, ...]:
    """Return the modules that a worker must be able to import for these functions."""
    names = {getattr(getattr(func, "func", func), "__module__", None) for func in functions if func is not None}
    by_name = (name for name in names if name and name != "__main__" and name.encode() not in hidden)
    return tuple(sorted(name for name in by_name if name.encode() in packed))
