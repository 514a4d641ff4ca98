"""The journal in a SQLite file: what `journal="runs.db"` means."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from raddle.errors import ConfigError, JournalError
from raddle.journal import _lock, _sql
from raddle.journal._happenings import Tap
from raddle.journal._lookup import WINDOW, Lookup
from raddle.journal._session import Job, Options
from raddle.journal._writer import Stop, Writer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from raddle._events import Event
    from raddle._model import Summary
    from raddle._ports import Gauge, Known, Observer, Record, RunHeader

__all__ = ["SqliteJournal"]


class SqliteJournal:
    """Durable memory of runs, in one file that any number of runs, one after another, may share.

    Args:
        path: the file; made if it is not there, its folder must be
        group_rows: a group commit takes no further record once it has this many rows
        group_seconds: nor once it has been open this long; a lone record never waits
        synchronous: SQLite's word; with less than "FULL" a power cut loses outcomes that were already given out
        inline_bytes: a pickled value longer than this gets a file of its own in `<path>.values/`
        checkpoint_pages: the log is folded into the file when it has this many pages of 4 KB
        resume_window: so many outcomes of earlier sessions are kept in memory at most, waiting for their items; an
            input in quite another order is served from a temporary file instead

    Values are pickles: as with any pickle, open only journals you trust.

    The constructor takes the run lock but starts no thread and opens no connection, so that the process may fork
    after it; both come with `begin`.

    Raises:
        JournalLocked: another run has it; the message names the process
        JournalError: a journal cannot be kept there
        ConfigError: an option is out of range
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        group_rows: int = 16384,
        group_seconds: float = 0.05,
        synchronous: str = "FULL",
        inline_bytes: int = 256 << 20,
        checkpoint_pages: int = _sql.CHECKPOINT_PAGES,
        resume_window: int = WINDOW,
    ) -> None:
        if group_rows < 1:
            raise ConfigError(f"group_rows={group_rows} is too small: give 1 or more")
        for name, value in (("checkpoint_pages", checkpoint_pages), ("resume_window", resume_window)):
            if value < 1:
                raise ConfigError(f"{name}={value} is too small: give 1 or more")
        if group_seconds < 0:
            raise ConfigError(f"group_seconds={group_seconds} is negative: give 0 or more")
        if synchronous not in _sql.SYNCHRONOUS:
            raise ConfigError(f"synchronous={synchronous!r} is unknown: give one of {', '.join(_sql.SYNCHRONOUS)}")
        #: without symbolic links, because SQLite names its log after the real file
        self.path = Path(path).resolve()
        _lock.check_place(self.path)
        self._options = Options(self.path, group_rows, group_seconds, inline_bytes, synchronous, checkpoint_pages)
        #: what holds the run lock; a forked worker that keeps it open keeps the journal locked while it lives
        self.lock_fd = _lock.take(self.path)
        self._window = resume_window
        self._pid = os.getpid()
        self._closed = False
        self._writer: Writer | None = None
        self._lookup: Lookup | None = None

    def begin(
        self, header: RunHeader, *, resume: bool, put: Callable[[Event], None], retry_failed: bool = False
    ) -> str:
        """See `raddle._ports.Journal`."""
        self._refuse_fork()
        if self._closed or self._writer is not None:
            state = "is closed" if self._closed else "has a run under way"
            raise JournalError(f"journal={self.path} {state}: make a new SqliteJournal for each run")
        witness = _lock.Witness(self.path, self.lock_fd)
        writer = Writer(self._options, header, resume=resume, put=put, witness=witness)
        session = writer.begin()
        self._writer = writer
        if session.continued:
            self._lookup = Lookup(self.path, session, retry_failed=retry_failed, window=self._window)
        return session.uid

    def watch(self, gauge: Gauge | None, *, note: str = "") -> tuple[Observer, Gauge | None]:
        """Return what hears of the run, to write down what a viewer in another process wants to know; after `begin`.

        Args:
            gauge: how memory is looked at, if it is; the one that is returned instead lets the journal know too
            note: what was chosen before the run began, and why; "" if nothing was
        """
        if self._writer is None:
            raise JournalError(f"journal={self.path} has no run under way: call begin() first")
        happenings = self._writer.happenings
        happenings.chosen_before(note)
        return happenings.observe, None if gauge is None else Tap(gauge, happenings.saw)

    def known(self, ids: Sequence[bytes]) -> Mapping[int, Known]:
        """See `raddle._ports.Journal`."""
        if self._lookup is None or self._closed:
            return {}
        self._refuse_fork()
        return self._lookup.known(ids)

    def append(self, record: Record) -> None:
        """See `raddle._ports.Journal`."""
        self._refuse_fork()
        if self._writer is None or self._closed:
            raise JournalError(f"journal={self.path} has no run under way: call begin() first")
        self._writer.queue.put(Job(record, self._lookup.replaced(record) if self._lookup else {}))

    def close(self, summary: Summary | None) -> None:
        """See `raddle._ports.Journal`. Without a summary, leases that are open count as interruptions later."""
        # In a forked child nothing is ours: not the connections, and not the lock.
        if self._closed or os.getpid() != self._pid:
            return
        self._closed = True
        if self._lookup is not None:
            # Before the writer: the last one to close the file should be able to fold the log into it.
            self._lookup.close()
        if self._writer is not None:
            self._writer.queue.put(Stop(summary))
            self._writer.join()
        # With a summary the run vouches that all its workers have ended. Without, whoever still lives keeps the lock.
        _lock.release(self.lock_fd, for_all=summary is not None)

    def _refuse_fork(self) -> None:
        if os.getpid() != self._pid:
            raise JournalError(f"journal={self.path} belongs to pid {self._pid}: a forked process must not use it")
