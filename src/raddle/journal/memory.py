"""The journal in memory: for tests, and to see what a journal does."""

from __future__ import annotations

import pickle
import uuid
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from raddle._events import Event, Recorded, RunFailed
from raddle._model import ErrorInfo, Outcome, Status, Summary
from raddle._ports import Known
from raddle.errors import ConfigError, JournalError
from raddle.journal._apply import Positions, same_id_twice
from raddle.journal._rows import short
from raddle.journal._session import refuse_other_function

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from raddle._ports import Record, RunHeader

__all__ = ["MemoryJournal", "MemoryRun"]


@dataclass(slots=True)
class MemoryRun:
    """What a `MemoryJournal` keeps of a run."""

    uid: str
    header: RunHeader
    #: (outcome, pickled value) by id, in the order of recording; None where one was replaced in this session
    outcomes: dict[bytes, list[tuple[Outcome, bytes] | None]] = field(default_factory=dict)
    retried: list[Outcome] = field(default_factory=list)
    interruptions: Counter[bytes] = field(default_factory=Counter)
    leases: dict[int, list[bytes]] = field(default_factory=dict)
    #: as in SQLite: running, ended, stopped or interrupted
    state: str = "running"
    summary: Summary | None = None


class MemoryJournal:
    """Keeps what it is told for as long as it lives, over any number of `begin`; `Recorded` comes at once.

    A `begin` without a `close` before it means that the program died: leases that are open become interruptions.
    """

    def __init__(self) -> None:
        #: all runs, the latest last
        self.runs: list[MemoryRun] = []
        self._run: MemoryRun | None = None
        self._put: Callable[[Event], None] = _nowhere
        self._failed = False
        self._earlier: dict[bytes, int] = {}
        self._given: Counter[bytes] = Counter()
        self._replaceable: dict[bytes, list[int]] = {}
        self._retry_failed = False
        self._retried: set[bytes] = set()
        self._positions = Positions()

    def begin(
        self, header: RunHeader, *, resume: bool, put: Callable[[Event], None], retry_failed: bool = False
    ) -> str:
        """See `raddle._ports.Journal`."""
        for dead in self.runs:
            # Each item once: it is the program that died, however many equal items were under way.
            dead.interruptions.update({item_id for ids in dead.leases.values() for item_id in ids})
            dead.leases.clear()
            if dead.state == "running":
                dead.state = "interrupted"
        run = next((run for run in reversed(self.runs) if run.header.name == header.name), None) if resume else None
        if run is None:
            run = MemoryRun(uuid.uuid4().hex, header)
            self.runs.append(run)
        else:
            refuse_other_function(header, run.header.function, run.header.version)
            run.header, run.state = replace(header, command=header.command or run.header.command), "running"
        self._run, self._put, self._failed = run, put, False
        for rows in run.outcomes.values():
            rows[:] = [row for row in rows if row is not None]
        self._earlier = {item_id: len(rows) for item_id, rows in run.outcomes.items()}
        self._retry_failed = retry_failed
        self._given.clear()
        self._retried.clear()
        self._positions = Positions()
        self._replaceable.clear()
        return run.uid

    def known(self, ids: Sequence[bytes]) -> Mapping[int, Known]:
        """See `raddle._ports.Journal`."""
        if self._run is None:
            return {}
        result: dict[int, Known] = {}
        for offset, item_id in enumerate(ids):
            outcome = self._next_outcome(self._run, item_id)
            if outcome is not None:
                result[offset] = Known(outcome)
            elif item_id not in self._retried and (count := self._run.interruptions.get(item_id)):
                result[offset] = Known(None, count)
        return result

    def append(self, record: Record) -> None:
        """See `raddle._ports.Journal`."""
        run = self._run
        if run is None:
            raise JournalError("this MemoryJournal has no run under way: call begin() first")
        if self._failed:
            return
        if record.lease is not None:
            run.leases[record.lease.chunk] = list(record.lease.ids)
        try:
            self._positions.add(record.outcomes)
            for outcome, stored in record.outcomes:
                self._add(run, outcome, stored)
        except (ConfigError, JournalError) as error:
            self._failed = True
            self._put(RunFailed(error))
            return
        run.retried += record.retried
        for chunk in record.ended:
            run.leases.pop(chunk, None)
        self._put(Recorded(record.ticket))

    def close(self, summary: Summary | None) -> None:
        """See `raddle._ports.Journal`."""
        run, self._run = self._run, None
        if run is None:
            return
        if summary is None:
            run.state = "interrupted"
            return
        run.state = "ended" if summary.source_ended and not summary.stopped else "stopped"
        run.summary = summary
        run.leases.clear()

    def _next_outcome(self, run: MemoryRun, item_id: bytes) -> Outcome | None:
        place = self._given[item_id]
        if place >= self._earlier.get(item_id, 0):
            return None
        self._given[item_id] += 1
        row = run.outcomes[item_id][place]
        if row is None:
            return None
        outcome, stored = row
        if self._retry_failed and not outcome.ok:
            self._retried.add(item_id)
            self._replaceable.setdefault(item_id, []).append(place)
            return None
        try:
            value = pickle.loads(stored) if outcome.ok else None  # noqa: S301 - made by this process
        except Exception:  # noqa: BLE001 - unpickling runs anybody's code: the item is run again, its row replaced
            self._replaceable.setdefault(item_id, []).append(place)
            return None
        return outcome._replace(position=-1, item=None, value=value)

    def _add(self, run: MemoryRun, outcome: Outcome, stored: bytes) -> None:
        if outcome.status is Status.CANCELLED or outcome.resumed or outcome.id is None:
            return
        rows = run.outcomes.setdefault(outcome.id, [])
        # Kept as SQLite would give it back: no live objects.
        error = outcome.error
        error = error and ErrorInfo(error.type, error.message, error.traceback)
        kept = outcome._replace(value=None, error=error, key=None, resumed=True)
        if places := self._replaceable.get(outcome.id):
            self._replace(run, rows, places.pop(0))
            rows.append((kept, stored))
        elif run.header.unique_ids and (there := [row for row in rows if row is not None]):
            first = (there[0][0].position, short(there[0][0].item))
            raise same_id_twice(outcome.id, first, (outcome.position, short(outcome.item)))
        else:
            rows.append((kept, stored))

    @staticmethod
    def _replace(run: MemoryRun, rows: list[tuple[Outcome, bytes] | None], place: int) -> None:
        old, rows[place] = rows[place], None
        if old is not None and not old[0].ok:
            run.retried.append(old[0])


def _nowhere(_: Event) -> None:
    """Take events before there is a run."""
