"""The composition root: the only module that knows concrete adapters."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Sized
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from raddle import _config, _host
from raddle._engine.driver import Driver
from raddle._engine.machine import Machine
from raddle._engine.rules import Rules
from raddle._engine.run import Run
from raddle._engine.source import Intake, Source
from raddle._events import RunStarted
from raddle._policy.identity import function_name, function_version, given_id, item_id
from raddle._policy.retry import NO_RETRY, Retry
from raddle._ports import RunHeader
from raddle.errors import ConfigError
from raddle.progress import Stats, observer_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from raddle._events import Observed
    from raddle._model import OnError
    from raddle._ports import Backend, Journal, Observer

__all__ = ["run"]

BackendName = Literal["auto", "serial", "threads", "processes"]


class _Clock:
    """The real one."""

    now = staticmethod(time.monotonic)
    wall = staticmethod(time.time)


def run(
    func: Callable[[Any], Any],
    items: Iterable[Any],
    *,
    backend: BackendName | Backend = "auto",
    workers: int = 0,
    timeout: float | None = None,
    retry: int | Retry | None = None,
    on_error: OnError = "skip",
    ordered: bool = True,
    key: Callable[[Any], Any] | None = None,
    id: Callable[[Any], str | bytes | int | os.PathLike[str]] | None = None,  # noqa: A002 - the field's word
    priority: Callable[[Any], Any] | None = None,
    window: int | None = None,
    journal: str | os.PathLike[str] | Journal | None = None,
    name: str | None = None,
    resume: bool = False,
    progress: str | Observer | Sequence[str | Observer] | None = None,
    initializer: Callable[[], Any] | None = None,
    grace: float = 5.0,
) -> Run:
    """Run one function over many items, in parallel, and give an outcome for each, whatever happens to it.

    Nothing is collected first: items are pulled as workers need them, so the source may be endless or lazy. It is
    read in a thread of its own (in the consumer's with `backend="serial"`).

    Args:
        func: called with one item. With processes it may be a lambda, a closure or a function of `__main__`.
        items: any iterable
        backend: "processes", "threads", "serial" (in this thread, for debugging), a `Backend`, or "auto": processes,
            or threads where the function cannot be sent to another process
        workers: 0 means as many as the CPUs that this process is really granted
        timeout: seconds for one attempt. A process is killed with all that it started; a thread is abandoned, since
            nothing can stop it, and replaced.
        retry: how many more tries a failed item gets, or a `Retry`
        on_error: "skip" records and goes on; "fail" starts nothing more after the first item that did not end ok
        ordered: outcomes come in input order; False: as completed
        key: items of one key run one at a time, in input order
        id: what resume recognises an item by; default: a digest of its content. Two items of one id are an error.
        priority: of the items that wait, higher ones start first; anything that compares
        window: most items between source and consumer; default: some chunks, at least 1024
        journal: file that remembers every outcome; it is committed before it is yielded
        name: of the run in the journal; default: the function's name
        resume: continue the latest run of this name: items it has an outcome for are not run again
        progress: "live", "line", "jsonl", "logging", an observer, or a list of them; on standard error
        initializer: called once in each worker before its first item
        grace: seconds that running attempts have to end when the run is stopped early

    Raises:
        ConfigError: an option or a combination that cannot work; nothing has started
        JournalError: the journal cannot be used
    """
    _config.validate(
        backend=backend,
        workers=workers,
        timeout=timeout,
        retry=retry,
        on_error=on_error,
        ordered=ordered,
        window=window,
        journal=journal,
        name=name,
        resume=resume,
        progress=progress,
        grace=grace,
    )
    if not callable(func):
        raise ConfigError(f"func={func!r}: must be callable with one item")
    total = len(items) if isinstance(items, Sized) else None
    if journal is not None and id is not None and total is not None:
        _refuse_duplicates(items, id)
    with ExitStack() as undo:
        # The order matters. The lock comes before the workers, which keep it open; the workers come before any
        # thread of the run, so that they can be forked.
        store = _open_journal(journal)
        if store is not None:
            undo.callback(store.close, None)
        place = _make_backend(
            func,
            backend,
            workers=workers or _host.cpus().value,
            timeout=timeout,
            initializer=initializer,
            stored=store is not None,
            keep_fds=[fd for fd in (getattr(store, "lock_fd", None),) if fd is not None],
        )
        undo.callback(place.close)
        able = place.capabilities
        if timeout is not None and not able.enforces_timeout:
            raise ConfigError(
                f"timeout={timeout}: backend={able.name!r} cannot enforce it; use 'threads' or 'processes'"
            )
        rules = Rules(
            name=name or function_name(func),
            backend=able.name,
            worker_name=able.worker_name,
            workers=able.workers,
            max_chunk=able.max_chunk,
            depth=able.depth,
            timeout=timeout,
            retry=_retry(retry),
            on_error=on_error,
            ordered=ordered,
            keyed=key is not None,
            prioritized=priority is not None,
            window=window,
            grace=grace,
            journaled=store is not None,
            report_unread=total is not None,
        )
        if store is not None:
            header = _header(func, rules, total, unique_ids=id is not None)
            rules = replace(rules, run_id=store.begin(header, resume=resume, put=place.inbox.put))
        else:
            rules = replace(rules, run_id=os.urandom(16).hex())
        intake = Intake(
            Source(items, place.inbox.put, threaded=able.name != "serial"),
            key=key,
            priority=priority,
            identify=None if store is None else item_id if id is None else _identify(id),
            known=None if store is None else store.known,
        )
        started = _start(rules, place, intake, store, progress=progress, total=total)
        undo.pop_all()
    return started


def _start(
    rules: Rules,
    place: Backend,
    intake: Intake,
    store: Journal | None,
    *,
    progress: str | Observer | Sequence[str | Observer] | None,
    total: int | None,
) -> Run:
    clock = _Clock()
    stats = Stats()
    observers: list[Observer] = [_timed(stats, clock), *observer_for(progress, clock=clock)]
    machine = Machine(rules, chance=random.random)
    driver = Driver(machine, place, intake, clock=clock, journal=store, observers=observers)
    driver.begin(RunStarted(rules.name, rules.backend, rules.workers, total))
    return Run(driver, place.inbox, lambda: stats.snapshot(clock.now()), threaded=intake.source.threaded)


def _header(func: Callable[[Any], Any], rules: Rules, total: int | None, *, unique_ids: bool) -> RunHeader:
    return RunHeader(
        name=rules.name,
        function=function_name(func),
        version=function_version(func),
        total=total,
        backend=rules.backend,
        workers=rules.workers,
        unique_ids=unique_ids,
    )


def _timed(stats: Stats, clock: _Clock) -> Callable[[Observed], None]:
    def observe(event: Observed) -> None:
        stats.add(event, clock.now())

    return observe


def _retry(retry: int | Retry | None) -> Retry:
    if retry is None:
        return NO_RETRY
    return retry if isinstance(retry, Retry) else Retry(attempts=retry + 1)


def _identify(id_of: Callable[[Any], Any]) -> Callable[[Any], bytes]:
    def identify(item: Any) -> bytes:
        return given_id(id_of(item))

    return identify


def _refuse_duplicates(items: Iterable[Any], id_of: Callable[[Any], Any]) -> None:
    """Find out before anything starts, where that costs no more than a pass over a list that is there anyway."""
    seen: dict[bytes, int] = {}
    for position, item in enumerate(items):
        given = id_of(item)
        first = seen.setdefault(given_id(given), position)
        if first != position:
            raise ConfigError(f"id={given!r}: given to items {first} and {position}; an id must name one item")


def _open_journal(journal: str | os.PathLike[str] | Journal | None) -> Journal | None:
    if journal is None or not isinstance(journal, (str, os.PathLike)):
        return journal
    from raddle.journal.sqlite import SqliteJournal

    return SqliteJournal(Path(journal))


def _make_backend(
    func: Callable[[Any], Any],
    backend: BackendName | Backend,
    *,
    workers: int,
    timeout: float | None,
    initializer: Callable[[], Any] | None,
    stored: bool,
    keep_fds: list[int],
) -> Backend:
    if backend == "serial":
        from raddle.backends.serial import SerialBackend

        return SerialBackend(func, initializer=initializer, timeout=timeout, stored=stored)
    if backend in ("processes", "auto"):
        from raddle.backends.processes import ProcessBackend

        try:
            return ProcessBackend(
                func,
                workers=workers,
                initializer=initializer,
                timeout=timeout,
                stored=stored,
                keep_fds=keep_fds,
            )
        except ConfigError:
            if backend == "processes":
                raise
    if backend in ("threads", "auto"):
        from raddle.backends.threads import ThreadBackend

        return ThreadBackend(func, workers=workers, initializer=initializer, timeout=timeout, stored=stored)
    return backend  # type: ignore[return-value] # validated: an object that is a Backend
