"""The API that seed 003 prints, over `raddle.run`.

A batch is one run. Batches of one object go one after another, in the order they were handed in, so that max_workers
holds for all of them together. Nothing of the caller's is called while a lock is held: results are stored by whoever
consumes the run, and the progress callback is called by a thread of its own for each batch (see `Teller`).
"""

from __future__ import annotations

import logging
import threading
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, Self

import raddle
from raddle.errors import ConfigError
from raddle.plugin import granted_cpus
from raddle.workloads.encrypt.seed_values import EncryptionResult, EncryptionTask, failed, result_of
from raddle.workloads.encrypt.seed_work import default, plan
from raddle.workloads.encrypt.telling import Teller

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from types import TracebackType

    from raddle.workloads.encrypt.seed_work import EncryptsImages

__all__ = ["ConcurrentEncryptionOrchestrator", "EncryptionResult", "EncryptionTask"]

_log = logging.getLogger(__name__)


class ConcurrentEncryptionOrchestrator:
    """Encrypts batches of pictures, in parallel. Every method may be called from any thread.

    Args:
        orchestrator: what encrypts one picture; None: `SketchSealer()`, which sketches it and seals the sketch
        max_workers: pictures at once; None: as many as CPUs this process may use
        progress_callback: called with (task_id, percent): 0 when a task starts, steps between, 100 when its result is
            there, -1 if it failed; in a thread of its own, never two at a time. What it raises is logged
        backend: "threads"; "processes" for hard timeouts, or an orchestrator that holds the interpreter lock
        timeout: seconds for one attempt; a thread is then abandoned and goes on unheard, a process is killed
        retry: how many more tries a failed task gets, or a `raddle.Retry`

    Raises:
        ConfigError: an option that cannot work
        MissingExtra: the default is wanted and not installed
    """

    def __init__(
        self,
        orchestrator: EncryptsImages | None = None,
        max_workers: int | None = None,
        progress_callback: Callable[[str, float], object] | None = None,
        *,
        backend: Literal["threads", "processes"] = "threads",
        timeout: float | None = None,
        retry: int | raddle.Retry | None = None,
    ) -> None:
        self._options = _checked(max_workers, backend, timeout, retry)
        self._orchestrator = default() if orchestrator is None else orchestrator
        self._callback = progress_callback
        #: `.yes` in threads in which this object calls others: there, waiting for a batch would wait for itself
        self._inside = threading.local()
        # guarded by the lock
        self._lock = threading.Lock()
        self._results: dict[str, EncryptionResult] = {}
        self._count = 0
        self._open: list[_Batch] = []
        self._closed = False

    def encrypt_batch(
        self,
        tasks: Iterable[EncryptionTask],
        wait: bool = True,  # noqa: FBT001, FBT002 - as the seed prints it
        *,
        ordered: bool = False,
    ) -> list[EncryptionResult]:
        """Encrypt pictures; a task that fails harms no other.

        Args:
            tasks: not changed, and free to be used again
            wait: False: return [] at once; results come to `get_result`, and `close` waits for them
            ordered: results in the order of the tasks; False: as they were completed

        Raises:
            ConfigError: two tasks of one id, or an id that is in use already (a failed one may be tried again under
                its id); nothing has started
        """
        if wait:
            self._refuse_inside("encrypt_batch(wait=True)", "give wait=False")
        batch = self._admit(list(tasks))
        if not wait:
            threading.Thread(target=self._run, args=(batch,), name="raddle-encrypt-batch", daemon=True).start()
            return []
        self._run(batch)
        ids = [task_id for task_id, _ in batch.tasks] if ordered else list(batch.ended)
        return [batch.ended[task_id] for task_id in ids]

    def get_result(self, task_id: str) -> EncryptionResult | None:
        """Return the result of a task; None while there is none."""
        with self._lock:
            return self._results.get(task_id)

    def get_all_results(self) -> dict[str, EncryptionResult]:
        """Return all results by id, those of earlier batches too: a copy."""
        with self._lock:
            return dict(self._results)

    def clear_results(self) -> None:
        """Forget the results so far, so that their memory and their ids are free; what is under way goes on."""
        with self._lock:
            self._results.clear()

    def cancel(self) -> None:
        """Start nothing more of the batches handed in so far: their other tasks end as cancelled. Returns at once."""
        with self._lock:
            batches = list(self._open)
        for batch in batches:
            batch.cancel()

    def close(self) -> None:
        """Take no more batches, and wait for those under way. The results stay.

        Raises:
            ConfigError: called from the progress callback, or from within `encrypt_image`
        """
        self._refuse_inside("close()", "call it elsewhere")
        with self._lock:
            self._closed = True
            batches = list(self._open)
        for batch in batches:
            batch.done.wait()

    def __enter__(self) -> Self:
        """Return the object itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close; after an exception without starting what has not started."""
        if kind is not None:
            self.cancel()
        self.close()

    # ------------------------------------------------------------------------------------------------------- within

    def _refuse_inside(self, what: str, remedy: str) -> None:
        if getattr(self._inside, "yes", False):
            raise ConfigError(f"{what} within a batch would wait for itself: {remedy}")

    def _admit(self, tasks: list[EncryptionTask]) -> _Batch:
        """Give every task its id, and the batch its turn."""
        with self._lock:
            if self._closed:
                raise ConfigError("this orchestrator is closed: make another one")
            given = [task.task_id for task in tasks if task.task_id is not None]
            self._refuse_duplicates(given)
            count, named, taken = self._count, [], self._taken().union(given, self._results)
            for task in tasks:
                task_id = task.task_id
                while task_id is None or (task.task_id is None and task_id in taken):
                    count += 1
                    task_id = f"task_{count}"
                named.append((task_id, task))
            batch = _Batch(named, [other.done for other in self._open])
            self._count = count
            self._open.append(batch)
            return batch

    def _refuse_duplicates(self, given: list[str]) -> None:
        under_way, seen = self._taken(), set[str]()
        for task_id in given:
            known = self._results.get(task_id)
            if task_id in seen:
                raise ConfigError(f"task_id={task_id!r}: given to two tasks of the batch; an id must name one task")
            if task_id in under_way:
                raise ConfigError(f"task_id={task_id!r}: a task of this id is under way; give another id")
            if known is not None and known.success:
                raise ConfigError(f"task_id={task_id!r}: has a result already; give another id, or clear_results()")
            seen.add(task_id)

    def _taken(self) -> set[str]:
        return {task_id for batch in self._open for task_id, _ in batch.tasks}

    def _run(self, batch: _Batch) -> None:
        """Run a batch when it is its turn. Whatever happens, each task has a result at the end."""
        teller = Teller(self._callback, self._inside)
        trouble = raddle.ErrorInfo("raddle.errors.ItemCancelled", "the batch was cancelled")
        status = "cancelled"
        try:
            for other in batch.before:
                other.wait()
            if not batch.cancelled:
                self._consume(batch, teller)
        except Exception as error:  # noqa: BLE001 - the boundary of the run: what ended it is each remaining task's error
            _log.error("the batch ended early: %s", error)
            trouble, status = raddle.ErrorInfo(type(error).__qualname__, str(error), exception=error), "failed"
        finally:
            for task_id, task in batch.tasks:
                if task_id not in batch.ended:
                    self._end(batch, teller, failed(task_id, task.image_path, status, trouble))
            teller.close()
            with self._lock:
                self._open.remove(batch)
            batch.done.set()

    def _consume(self, batch: _Batch, teller: Teller) -> None:
        with ExitStack() as stack:
            func, items = plan(
                batch.tasks,
                self._orchestrator,
                workers=self._options["workers"],
                processes=self._options["backend"] == "processes",
                tell=teller.step,
                inside=self._inside,
                stack=stack,
            )
            heard = partial(_heard, teller) if teller.listening else None
            run = raddle.run(func, items, ordered=False, name="encrypt", progress=heard, **self._options)
            stack.enter_context(run)
            batch.begin(run)
            for outcome in run:
                self._end(batch, teller, result_of(outcome))

    def _end(self, batch: _Batch, teller: Teller, result: EncryptionResult) -> None:
        batch.ended[result.task_id] = result
        with self._lock:
            self._results[result.task_id] = result
        teller.ended(result.task_id, success=result.success)


class _Batch:
    """Tasks with their ids, and what has become of them. `ended` is the business of the one thread that runs it."""

    def __init__(self, tasks: Sequence[tuple[str, EncryptionTask]], before: Sequence[threading.Event]) -> None:
        self.tasks = tasks
        self.before = before
        self.done = threading.Event()
        #: in order of completion
        self.ended: dict[str, EncryptionResult] = {}
        # guarded by the lock
        self._lock = threading.Lock()
        self._run: raddle.Run | None = None
        self._cancelled = False

    @property
    def cancelled(self) -> bool:
        with self._lock:
            return self._cancelled

    def begin(self, run: raddle.Run) -> None:
        with self._lock:
            self._run = run
            late = self._cancelled
        if late:
            run.cancel()

    def cancel(self) -> None:
        with self._lock:
            self._cancelled = True
            run = self._run
        if run is not None:
            run.cancel()


def _heard(teller: Teller, event: Any) -> None:
    """Be the run's observer: pass on what an item says of itself (`AttemptReported`)."""
    percent = getattr(event, "percent", None)
    if percent is not None:
        teller.step(event.item.task_id, percent)


def _checked(max_workers: int | None, backend: str, timeout: float | None, retry: Any) -> dict[str, Any]:
    """Return options of `raddle.run`; what cannot work is refused here and not in a thread that nobody watches."""
    if max_workers is None:
        max_workers = granted_cpus()
    if isinstance(max_workers, bool) or not isinstance(max_workers, int) or max_workers < 1:
        raise ConfigError(f"max_workers={max_workers!r}: must be a whole number from 1, or None")
    if backend not in {"threads", "processes"}:
        raise ConfigError(f"backend={backend!r}: must be 'threads' or 'processes'")
    if timeout is not None and (not isinstance(timeout, int | float) or not timeout > 0):
        raise ConfigError(f"timeout={timeout!r}: must be seconds over 0, or None")
    if not (retry is None or isinstance(retry, raddle.Retry) or (isinstance(retry, int) and retry >= 0)):
        raise ConfigError(f"retry={retry!r}: must be a whole number from 0, a raddle.Retry or None")
    return {"backend": backend, "workers": max_workers, "timeout": timeout, "retry": retry}
