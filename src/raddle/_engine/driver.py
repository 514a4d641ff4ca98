"""The driver: the only place with a loop, a wait or a `try/finally`.

items ──▶ Intake ──event──▶ machine ──commands──▶ driver ──▶ backend (runs the attempt)
             ▲                                       │            │
             └────────────── inbox ◀─────────────────┼── attempt ended, committed, consumed, stop asked
                                                     ├──▶ journal   first
                                                     ├──▶ observers second
                                                     └──▶ Outbox ──▶ for outcome in run: ...
"""

from __future__ import annotations

import threading
from functools import partial
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, ClassVar

from raddle._engine import commands
from raddle._events import Consumed, Event, Memory, Observed, SourceReady, StopAsked, Ticked

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from raddle._engine.machine import Machine
    from raddle._engine.source import Intake
    from raddle._model import Outcome, Running, Summary
    from raddle._ports import Backend, Clock, Gauge, Journal, Observer

__all__ = ["PATIENCE", "Driver", "Outbox"]

#: seconds after which the driver looks whether a source that is being read in a burst has stalled half-way
_LOOK_IN = 0.02
#: seconds that the caller's thread waits without looking for signals
PATIENCE = 0.25


def _is_patient(event: Event) -> bool:
    """Whether an event may wait for those that came before it. A stop may not: they would start more work."""
    return not isinstance(event, StopAsked)


class Outbox:
    """Outcomes on their way to the consumer, in lists; the end is a `None`."""

    def __init__(self) -> None:
        self._lists: SimpleQueue[Sequence[Outcome] | None] = SimpleQueue()
        self.summary: Summary | None = None
        self.error: BaseException | None = None
        #: how many the consumer took, written by it alone; and whether the driver waits to hear of it
        self._taken = 0
        self._wanted = False
        #: called after each `put` and after `end`, in the driver's thread: for a consumer that cannot wait in `get`
        self.on_put: Callable[[], None] | None = None

    def put(self, outcomes: Sequence[Outcome]) -> None:
        """Add some."""
        self._lists.put(outcomes)
        if self.on_put is not None:
            self.on_put()

    def end(self, summary: Summary, error: BaseException | None) -> None:
        """Say that there will be no more."""
        self.summary, self.error = summary, error
        self._lists.put(None)
        if self.on_put is not None:
            self.on_put()

    def get(self) -> Sequence[Outcome] | None:
        """Wait for some.

        Not for ever in one go: a signal that comes in the instant before the wait is seen only after it.
        """
        while True:
            try:
                return self._lists.get(timeout=PATIENCE)
            except Empty:
                continue

    def acknowledge(self, count: int) -> bool:
        """Say that the consumer is through with so many; True if the driver must be woken for that."""
        self._taken += count
        if not self._wanted:
            return False  # and left alone: it may be set at this very moment, by a driver that has not seen this count
        self._wanted = False
        return True

    def acknowledged(self, *, wake: bool) -> int:
        """Return how many were acknowledged so far; with `wake`, the next `acknowledge` says that it matters."""
        # Before the look: what comes after the look finds it set.
        self._wanted = wake
        return self._taken

    @property
    def empty(self) -> bool:
        """Whether `get` would wait."""
        return self._lists.empty()


class Driver:
    """Feeds the machine and does what it says, until it says that all is over."""

    def __init__(
        self,
        machine: Machine,
        backend: Backend,
        intake: Intake,
        *,
        clock: Clock,
        journal: Journal | None = None,
        gauge: Gauge | None = None,
        observers: list[Observer] | None = None,
    ) -> None:
        self.machine = machine
        self.outbox = Outbox()
        self.finished = False
        self._acknowledged = 0
        self._backend = backend
        self._intake = intake
        self._clock = clock
        self._journal = journal
        self._gauge = gauge
        self._observers = list(observers or ())

    def begin(self, first: Observed) -> None:
        """Tell the observers of the start, and do the first commands."""
        self._tell(first)
        self._do_all(self.machine.begin(self._clock.now(), self._look([])))

    def start(self) -> threading.Thread:
        """Go on to the end in a thread, and return that.

        Raises:
            RuntimeError: the system has no thread to give; all that was opened is closed again
        """
        thread = threading.Thread(target=self.run, name="raddle-driver", daemon=True)
        try:
            thread.start()
        except BaseException as error:
            self.give_up(error)
            raise
        return thread

    def run(self) -> None:
        """Go on to the end. Whatever goes wrong reaches the consumer."""
        try:
            while not self.finished:
                self.step()
        except BaseException as error:  # noqa: BLE001 - a fault of the engine must not leave the consumer waiting
            self.give_up(error)

    def step(self) -> None:
        """Wait for news (or the time that the machine wants to be woken), and act on all of it."""
        wake_at = self.machine.wake_at
        timeout = None if wake_at is None else max(0.0, wake_at - self._clock.now())
        source = self._intake.source
        if source.reading:
            timeout = _LOOK_IN if timeout is None else min(timeout, _LOOK_IN)
        came = self._backend.inbox.take(timeout)
        if len(came) > 1:
            came.sort(key=_is_patient)
        for event in came:
            self._hear(event)
        if source.reading:
            self._hear(SourceReady())
        # The consumer wakes the driver only where the window is full: else it would do so for every few items.
        while self.machine.window_is_full and (taken := self.outbox.acknowledged(wake=True) - self._acknowledged):
            self._acknowledged += taken
            self._hear(Consumed(taken))
        now = self._clock.now()
        wake_at = self.machine.wake_at
        if wake_at is not None and now >= wake_at:
            running = self._backend.running()
            memory = self._look(running) if self.machine.wants_memory(now) else None
            self._do_all(self.machine.handle(Ticked(running, memory), now))

    def _look(self, running: list[Running]) -> Memory | None:
        return None if self._gauge is None else self._gauge.sample({one.worker: one.pid for one in running if one.pid})

    def stop_now(self, event: StopAsked) -> None:
        """Let the machine hear of a stop before all that waits in the inbox. For the thread that steps."""
        self._hear(event)

    def cut_short(self, error: BaseException) -> None:
        """End after a step that was cut off in the middle, by a Ctrl-C in the caller's own thread.

        What has come is still taken in and recorded. What was about to be done is not known any more, so nothing is
        waited for.
        """
        try:
            self.stop_now(StopAsked("kill", f"cut short by {type(error).__name__}", discard=True))
            while not self.finished and (came := self._backend.inbox.take(0)):
                for event in came:
                    self._hear(event)
        finally:
            self.give_up(error)

    def give_up(self, error: BaseException) -> None:
        """End without the machine: it, or something it relies on, is broken."""
        if not self.finished:
            self._finish(self.machine.summary, error)

    def _hear(self, event: Event) -> None:
        if isinstance(event, SourceReady):
            for heard in self._intake.collect(stopping=self.machine.stopping):
                self._do_all(self.machine.handle(heard, self._clock.now()))
        else:
            self._do_all(self.machine.handle(event, self._clock.now()))

    def _do_all(self, todo: list[commands.Command]) -> None:
        for command in todo:
            self._DO[type(command)](self, command)

    def _pull(self, command: commands.Pull) -> None:
        self._intake.source.let(command.items)

    def _start(self, command: commands.Start) -> None:
        self._backend.start(command.worker, command.chunk)

    def _stop(self, command: commands.Stop) -> None:
        self._backend.stop(command.worker, command.how)

    def _commit(self, command: commands.Commit) -> None:
        if self._journal is not None:
            self._journal.append(command.record)

    def _deliver(self, command: commands.Deliver) -> None:
        self.outbox.put(command.outcomes)

    def _emit(self, command: commands.Emit) -> None:
        self._tell(command.event)

    def _end(self, command: commands.Finish) -> None:
        self._finish(command.summary, command.error)

    def _tell(self, event: Observed) -> None:
        for observer in list(self._observers):
            try:
                observer(event)
            except BaseException as error:
                if isinstance(error, KeyboardInterrupt):
                    raise  # a Ctrl-C in the caller's own thread is the caller's
                # It must never harm a run. It is told nothing more: what failed once fails a million times.
                import logging  # costs every `import raddle` 3 ms if it stands above

                log = logging.getLogger("raddle")
                log.exception("observer=%r raised on %s and is not called again", observer, type(event).__name__)
                self._observers.remove(observer)

    def _finish(self, summary: Summary, error: BaseException | None) -> None:
        self.finished = True
        # Each of these even if one before fails; the journal last: its lock may only go when no worker is left.
        closing: list[Callable[[], object]] = [self._backend.close, self._intake.close]
        if self._gauge is not None:
            closing.append(self._gauge.close)
        if self._journal is not None:
            closing.append(partial(self._journal.close, summary))
        for close in closing:
            try:
                close()
            except BaseException as late:  # noqa: BLE001 - the consumer is told, and must not be left waiting
                error = error or late
        self.outbox.end(summary, error)

    _DO: ClassVar[dict[type, Any]] = {
        commands.Pull: _pull,
        commands.Start: _start,
        commands.Stop: _stop,
        commands.Commit: _commit,
        commands.Deliver: _deliver,
        commands.Emit: _emit,
        commands.Finish: _end,
    }
