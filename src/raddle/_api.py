"""The composition root: what `raddle.run` and `raddle.arun` put together."""

from __future__ import annotations

import os
import random
from collections.abc import Collection, Sized
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from raddle import _config, _host
from raddle._choose import BackendName, Wish, choose
from raddle._engine.driver import Driver
from raddle._engine.machine import Machine
from raddle._engine.rules import Rules
from raddle._engine.run import Run
from raddle._engine.sorter import Sorter
from raddle._engine.source import Intake, Source
from raddle._events import RunStarted
from raddle._policy.identity import function_name, function_version, given_ids, item_ids, refuse_duplicates
from raddle._policy.rate import Rate
from raddle._policy.retry import NO_RETRY, Retry
from raddle._ports import RunHeader
from raddle.errors import ConfigError
from raddle.progress import Stats, observer_for
from raddle.progress._clock import RealClock

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterable, Callable, Iterable, Mapping, Sequence

    from raddle._choose import Chosen
    from raddle._engine.arun import AsyncRun
    from raddle._events import Observed
    from raddle._model import OnError, OnInterrupted
    from raddle._ports import Backend, Gauge, Inbox, Journal, Observer

__all__ = ["arun", "run", "run_command"]

Resume = bool | Literal["failed"]


def run(
    func: Callable[[Any], Any],
    items: Iterable[Any],
    *,
    backend: BackendName | Backend | str = "auto",
    workers: int = 0,
    timeout: float | None = None,
    retry: int | Retry | None = None,
    on_error: OnError = "skip",
    on_interrupted: OnInterrupted = "run",
    ordered: bool = True,
    key: Callable[[Any], Any] | None = None,
    permits: Mapping[str, int] | None = None,
    permit: Callable[[Any], str | None] | None = None,
    id: Callable[[Any], str | bytes | int | os.PathLike[str]] | None = None,  # noqa: A002 - the field's word
    priority: Callable[[Any], Any] | None = None,
    window: int | None = None,
    memory: str | int | None = "auto",
    rate: float | Rate | None = None,
    journal: str | os.PathLike[str] | Journal | None = None,
    name: str | None = None,
    resume: Resume = False,
    progress: str | Observer | Sequence[str | Observer] | None = None,
    initializer: Callable[[], Any] | None = None,
    grace: float = 5.0,
) -> Run:
    """Run one function over many items, in parallel, and give an outcome for each, whatever happens to it.

    Nothing is collected first: items are pulled as workers need them, so the source may be endless or lazy. It is
    read in a thread of its own (in the consumer's with `backend="serial"`).

    Args:
        func: called with one item. With processes it may be a lambda, a closure or a function of `__main__`. A
            coroutine function runs on an event loop of its own.
        items: any iterable
        backend: "processes", "threads", "asyncio", "serial" (in this thread, for debugging), the address of a Dask
            scheduler ("tcp://host:8786") or a `distributed.Client`, a `Backend`, or "auto": a coroutine function runs
            on asyncio; others begin on processes and go on with threads if what the first items did says that those
            end more of them (the figures are in `summary.decision`)
        workers: 0 means as many as the CPUs that this process is really granted, and for items that wait as many as
            throughput shows to be of use
        timeout: seconds for one attempt. A process is killed with all that it started; a thread is abandoned, since
            nothing can stop it, and replaced; a coroutine is cancelled.
        retry: how many more tries a failed item gets, or a `Retry`
        on_error: "skip" records and goes on; "fail" starts nothing more after the first item that did not end ok
        on_interrupted: with a journal, what becomes of items that were under way when the whole program died: "run"
            runs them again on resume (at least once), "fail" gives them up (at most once)
        ordered: outcomes come in input order; False: as completed
        key: items of one key run one at a time, in input order
        permits: most items of each class that are under way at once, such as `{"encode": 2}`; those of other classes
            overtake the ones that wait
        permit: with it, the class of an item, or None: only `workers` limits it. It may be slow: it is called in a
            thread of its own (in the consumer's with `backend="serial"`), once for each item that will run
        id: what resume recognises an item by; default: a digest of its content. Two items of one id are an error.
        priority: of the items that wait, higher ones start first; anything that compares
        window: most items between source and consumer; default: some chunks, at least 1024
        memory: what may be in use before items are held back, and processes killed at worst: "auto" (all that is
            granted to this process), a size for this process and its workers together ("4GiB", bytes), None (nobody
            looks)
        rate: most items to start per second, or a `Rate`
        journal: file that remembers every outcome; it is committed before it is yielded
        name: of the run in the journal; default: the function's name
        resume: continue the latest run of this name: items it has an outcome for are not run again; "failed": those
            that did not end ok are
        progress: "live", "line", "jsonl", "logging", an observer, or a list of them; on standard error
        initializer: called once in each worker before its first item
        grace: seconds that running attempts have to end when the run is stopped early

    Raises:
        ConfigError: an option or a combination that cannot work; nothing has started
        JournalError: the journal cannot be used
    """
    given = locals()  # exactly the parameters
    call = _begin(given.pop("func"), given.pop("items"), given)
    return Run(call.driver, call.inbox, call.snapshot, threaded=call.threaded)


def arun(
    func: Callable[[Any], Any],
    items: Iterable[Any] | AsyncIterable[Any],
    *,
    backend: BackendName | Backend | str = "auto",
    workers: int = 0,
    timeout: float | None = None,
    retry: int | Retry | None = None,
    on_error: OnError = "skip",
    on_interrupted: OnInterrupted = "run",
    ordered: bool = True,
    key: Callable[[Any], Any] | None = None,
    permits: Mapping[str, int] | None = None,
    permit: Callable[[Any], str | None] | None = None,
    id: Callable[[Any], str | bytes | int | os.PathLike[str]] | None = None,  # noqa: A002 - the field's word
    priority: Callable[[Any], Any] | None = None,
    window: int | None = None,
    memory: str | int | None = "auto",
    rate: float | Rate | None = None,
    journal: str | os.PathLike[str] | Journal | None = None,
    name: str | None = None,
    resume: Resume = False,
    progress: str | Observer | Sequence[str | Observer] | None = None,
    initializer: Callable[[], Any] | None = None,
    grace: float = 5.0,
) -> AsyncRun:
    """Do what `run` does, for `async with` and `async for`; all options are the same.

    A coroutine function runs in the loop of the caller, any other one where `run` would run it. Once the run has
    started, the event loop never waits for workers, source or journal. `items` may be an async iterable too; it is
    read in the caller's loop.

    Raises:
        ConfigError: an option or a combination that cannot work; nothing has started
        JournalError: the journal cannot be used
        RuntimeError: no event loop is running
    """
    given = locals()  # exactly the parameters
    import asyncio

    from raddle._engine.arun import AsyncRun

    loop = asyncio.get_running_loop()
    call = _begin(given.pop("func"), given.pop("items"), given, loop=loop)
    return AsyncRun(call.driver, call.inbox, call.snapshot, loop=loop)


def run_command(command: str, func: Callable[[Any], Any], items: Iterable[Any], **options: Any) -> Run:
    """Do what `run` does, and note in the journal the command line that started it (see `RunHeader.command`)."""
    call = _begin(func, items, {**_DEFAULTS, **options}, command=command)
    return Run(call.driver, call.inbox, call.snapshot, threaded=call.threaded)


class _Call(NamedTuple):
    """A run that has begun, and that nobody consumes yet."""

    driver: Driver
    inbox: Inbox
    snapshot: Callable[[], Any]
    threaded: bool


def _begin(
    func: Callable[[Any], Any],
    items: Any,
    o: dict[str, Any],
    *,
    loop: asyncio.AbstractEventLoop | None = None,
    command: str = "",
) -> _Call:
    """Check the options, make the parts, and let the run begin. `o` has the options of `run`, by name."""
    id_of = o["id"]
    _config.validate(**{name: o[name] for name in _CHECKED})
    _config.validate_permits(o["permits"], o["permit"])
    if not callable(func):
        raise ConfigError(f"func={func!r}: must be callable with one item")
    total = _length(items)
    # what merely knows its length may be lazy, and may be read once only
    if o["journal"] is not None and id_of is not None and isinstance(items, Collection):
        refuse_duplicates(items, id_of)  # before anything starts, for a pass over what is there anyway
    with ExitStack() as undo:
        # The order matters. The lock comes before the workers, which keep it open; the workers come before any
        # thread of the run, so that they can be forked.
        store = _open_journal(o["journal"])
        if store is not None:
            undo.callback(store.close, None)
        wish = Wish(
            func=func,
            workers=o["workers"],
            timeout=o["timeout"],
            initializer=o["initializer"],
            stored=store is not None,
            keep_fds=[fd for fd in (getattr(store, "lock_fd", None),) if fd is not None],
            loop=loop,
        )
        chosen = choose(wish, o["backend"])
        place = chosen.backend
        undo.callback(place.close)
        gauge = _gauge(o["memory"], place)
        if gauge is not None:
            undo.callback(gauge.close)
        rules = _rules(func, o, chosen, total=total, store=store, guarded=gauge is not None)
        if store is not None:
            header = _header(func, rules, total, unique_ids=id_of is not None, command=command)
            failed = o["resume"] == "failed"
            uid = store.begin(header, resume=bool(o["resume"]), put=place.inbox.put, retry_failed=failed)
            rules = replace(rules, run_id=uid)
        intake = _intake(items, o, rules, place.inbox, store=store, loop=loop)
        call = _start(rules, place, intake, store, gauge=gauge, progress=o["progress"], total=total)
        undo.pop_all()
    return call


def _length(items: Any) -> int | None:
    """Return the number of items; None also where `len` is there and has no answer, as of a bar over a generator."""
    try:
        return len(items) if isinstance(items, Sized) else None
    except TypeError:
        return None


def _rules(
    func: Callable[[Any], Any],
    o: dict[str, Any],
    chosen: Chosen,
    *,
    total: int | None,
    store: Journal | None,
    guarded: bool,
) -> Rules:
    able = chosen.backend.capabilities
    if o["timeout"] is not None and not able.enforces_timeout:
        raise ConfigError(
            f"timeout={o['timeout']}: backend={able.name!r} cannot enforce it; use 'threads' or 'processes'"
        )
    at_most_once = o["on_interrupted"] == "fail"
    if at_most_once and store is None:
        raise ConfigError('on_interrupted="fail": needs journal=, which knows what was under way')
    return Rules(
        name=o["name"] or function_name(func),
        run_id=os.urandom(16).hex(),
        backend=able.name,
        workers=able.workers,
        names=able.names or tuple(f"{able.worker_name}-{number}" for number in range(able.workers)),
        limit=chosen.limit,
        trial=chosen.trial,
        cpus=_host.cpus().value,
        note=chosen.note,
        rate=Rate(o["rate"]) if isinstance(o["rate"], (int, float)) else o["rate"],
        guarded=guarded,
        # All items of a chunk that was cut off count as interrupted: so, one by one.
        max_chunk=1 if at_most_once else able.max_chunk,
        # What waits behind a busy worker holds a permit that a free one could use, and may wait for something long.
        depth=1 if at_most_once or o["permits"] is not None else able.depth,
        prefetch_below=able.prefetch_below,
        timeout=o["timeout"],
        retry=_retry(o["retry"]),
        on_error=o["on_error"],
        ordered=o["ordered"],
        keyed=o["key"] is not None,
        permits=None if o["permits"] is None else dict(o["permits"]),
        prioritized=o["priority"] is not None,
        window=o["window"],
        grace=o["grace"],
        journaled=store is not None,
        report_unread=total is not None,
        **({"max_interruptions": 1} if at_most_once else {}),
    )


def _start(
    rules: Rules,
    place: Backend,
    intake: Intake,
    store: Journal | None,
    *,
    gauge: Gauge | None,
    progress: str | Observer | Sequence[str | Observer] | None,
    total: int | None,
) -> _Call:
    clock = RealClock()
    stats = Stats()
    observers: list[Observer] = [_timed(stats, clock), *observer_for(progress, clock=clock)]
    watch = getattr(store, "watch", None)  # no journal needs it: it is for people who look in from outside
    if watch is not None:
        observer, gauge = watch(gauge, note=rules.note)
        observers.append(observer)
    machine = Machine(rules, chance=random.random)
    driver = Driver(machine, place, intake, clock=clock, journal=store, gauge=gauge, observers=observers)
    driver.begin(RunStarted(rules.name, rules.backend, machine.summary.workers, total))
    return _Call(driver, place.inbox, lambda: stats.snapshot(clock.now()), intake.source.threaded)


def _intake(
    items: Any,
    o: dict[str, Any],
    rules: Rules,
    inbox: Inbox,
    *,
    store: Journal | None,
    loop: asyncio.AbstractEventLoop | None,
) -> Intake:
    id_of, rate, permits = o["id"], rules.rate, rules.permits
    # The consumer of an async run is the event loop, which must not wait for a source.
    threaded = rules.backend != "serial" or loop is not None
    return Intake(
        _source(items, inbox, threaded=threaded, loop=loop),
        key=o["key"],
        priority=o["priority"],
        cost=None if rate is None or rate.cost is None else rate.cost_of,
        identify=None if store is None else item_ids if id_of is None else partial(given_ids, id_of),
        known=None if store is None else store.known,
        sorter=None
        if permits is None
        else Sorter(o["permit"], tuple(permits), inbox.put, give_up=rules.max_interruptions, threaded=threaded),
    )


def _source(items: Any, inbox: Inbox, *, threaded: bool, loop: asyncio.AbstractEventLoop | None) -> Any:
    if loop is not None and hasattr(items, "__aiter__"):
        from raddle._engine.asource import AsyncSource

        return AsyncSource(items, inbox.put, loop=loop)
    return Source(items, inbox.put, threaded=threaded)


def _gauge(memory: str | int | None, place: Backend) -> Gauge | None:
    if memory in (None, "none") or place.capabilities.name in ("serial", "dask"):
        return None
    return _host.gauge(None if memory == "auto" else _host.parse_bytes(memory))


def _header(
    func: Callable[[Any], Any], rules: Rules, total: int | None, *, unique_ids: bool, command: str
) -> RunHeader:
    return RunHeader(
        name=rules.name,
        function=function_name(func),
        version=function_version(func),
        total=total,
        backend=rules.backend,
        workers=rules.workers,
        unique_ids=unique_ids,
        command=command,
    )


def _timed(stats: Stats, clock: RealClock) -> Callable[[Observed], None]:
    def observe(event: Observed) -> None:
        stats.add(event, clock.now())

    return observe


def _retry(retry: int | Retry | None) -> Retry:
    if retry is None:
        return NO_RETRY
    return retry if isinstance(retry, Retry) else Retry(attempts=retry + 1)


def _open_journal(journal: str | os.PathLike[str] | Journal | None) -> Journal | None:
    if journal is None or not isinstance(journal, (str, os.PathLike)):
        return journal
    from raddle.journal.sqlite import SqliteJournal

    return SqliteJournal(Path(journal))


#: the options of `run` and what they are if not given
_DEFAULTS: dict[str, Any] = dict(run.__kwdefaults__ or {})
#: of these, the ones that `_config` knows how to check
_CHECKED = sorted(_DEFAULTS.keys() - {"key", "permits", "permit", "id", "priority", "initializer"})
