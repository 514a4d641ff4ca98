"""What a journal tells about its runs. Reads only, also while a run writes, and on a disk that cannot be written."""

from __future__ import annotations

import json
import os
import socket
import sqlite3
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raddle._model import Status
from raddle.errors import JournalError
from raddle.journal import _explain, _rows, _sql

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["FailureGroup", "History", "OutcomeRow", "RunRow"]

_PAGE = 1000
_BIGGEST = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class RunRow:
    """A run. Times are seconds since 1970."""

    id: int
    #: 32 hex digits, the same wherever the run is named
    uid: str
    name: str
    #: "module:qualname"
    function: str
    version: str
    python: str
    total: int | None
    backend: str
    workers: int
    created: float
    ended: float | None
    #: "running", "ended" (source read to its end), "stopped" (as asked), "interrupted" (nobody said how it ended)
    state: str
    #: JSON of {"argv": [...], "cwd": "..."} if a command line started it; "" if none did
    command: str
    #: totals of the last session, with the names of `raddle.Summary`; None if it did not say
    summary: dict[str, Any] | None
    sessions: int
    #: process and host of the last session
    pid: int
    host: str


@dataclass(frozen=True, slots=True)
class OutcomeRow:
    """How an item ended. `id` is its place in the order of recording."""

    id: int
    run_id: int
    item_id: bytes
    position: int
    #: short text of the item
    label: str
    key: str | None
    status: Status
    attempts: int
    #: seconds since 1970
    started: float
    seconds: float
    worker: str
    error_type: str | None
    error_message: str | None
    traceback: str | None
    #: length of the pickled value
    value_size: int
    _path: Path = field(repr=False, compare=False)

    def load(self) -> Any:
        """Return the value, read and unpickled now; None if the item did not end ok.

        Raises:
            JournalError: it cannot be read
            Exception: whatever unpickling raises, such as AttributeError when its class has moved
        """
        if self.status is not Status.OK:
            return None
        with closing(_sql.connect_reader(self._path)) as conn:
            row = conn.execute(_sql.query("value_of"), (self.id,)).fetchone()
        if row is None:
            raise JournalError(f"journal={self._path}: row {self.id} is gone: its item was run again")
        item_id, position, seal, value, file, size = row
        if seal is not None and seal != next(_rows.seals([item_id], [position], [value or b""])):
            raise _explain.damaged(self._path, f"row {self.id} of outcome is not what was written")
        return _rows.load_value(self._path, value, file, size)


@dataclass(frozen=True, slots=True)
class FailureGroup:
    """Items that ended in the same way."""

    status: Status
    #: qualified class name; "" if there was no exception
    error_type: str
    count: int
    #: the item recorded first, and what was said of it
    example_position: int
    example_label: str
    example_message: str


class History:
    """The runs in a journal. Every call opens its own connection, and holds none while you look at the answer.

    Raises (each call):
        JournalError: the journal is not there, or cannot be read
        JournalDamaged: it is not a journal, or it is broken
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path).resolve()

    def runs(self) -> list[RunRow]:
        """Return all runs, the oldest first."""
        return self._runs(None, None)

    def run(self, name_or_id: str | int) -> RunRow | None:
        """Return the run of that uid, else the latest of that name, else the one of that number, else None."""
        text = _rows.safe_text(str(name_or_id))
        number = int(text) if text.isascii() and text.isdigit() and len(text) < len(str(_BIGGEST)) else None
        rows = self._runs(text, number)
        by_uid = [row for row in rows if row.uid == text]
        by_name = [row for row in rows if row.name == text]
        found = by_uid or by_name or rows
        return found[-1] if found else None

    def outcomes(
        self, run_id: int, *, status: Status | str | None = None, limit: int | None = None, after: int = 0
    ) -> Iterator[OutcomeRow]:
        """Yield outcomes in the order of recording, those recorded during the iteration included.

        Args:
            run_id: `RunRow.id`
            status: only these
            limit: so many at most
            after: only those with a greater `OutcomeRow.id`

        Raises:
            ValueError: there is no such status
        """
        wanted = None if status is None else Status(status)
        left = _BIGGEST if limit is None else limit
        while left > 0:
            # A page at a time: a reader that sits in a transaction keeps the writer's log from being folded in.
            with self._reading() as conn:
                rows = _outcome_page(conn, run_id, wanted, after, min(left, _PAGE))
            for row in rows:
                yield _outcome_row(row, self.path)
            if len(rows) < min(left, _PAGE):
                return
            left -= len(rows)
            after = rows[-1]["id"]

    def counts(self, run_id: int) -> dict[Status, int]:
        """Return how many items ended in which way."""
        with self._reading() as conn:
            total = conn.execute(_sql.query("count_all"), (*_bounds(conn, run_id), run_id)).fetchone()["total"]
            rows = conn.execute(_sql.query("count_not_ok"), (run_id,)).fetchall()
        found = {Status(row["status"]): row["count"] for row in rows}
        ok = total - sum(found.values())
        return ({Status.OK: ok} if ok else {}) | found

    def earlier_attempts(self, run_id: int) -> dict[str, int]:
        """Return how many attempts were not the last of their item: tried again, or "interrupted"."""
        with self._reading() as conn:
            rows = conn.execute(_sql.query("count_attempts"), (run_id,)).fetchall()
        return {row["status"]: row["count"] for row in rows}

    def failures(self, run_id: int) -> list[FailureGroup]:
        """Return what went wrong, grouped by status and error type, the most frequent first."""
        with self._reading() as conn:
            rows = conn.execute(_sql.query("failures"), (run_id,)).fetchall()
        return [FailureGroup(**_pick(row, "first", status=Status(row["status"]))) for row in rows]

    def _runs(self, text: str | None, number: int | None) -> list[RunRow]:
        with self._reading() as conn:
            rows = conn.execute(_sql.query("runs"), (text, text, text, number)).fetchall()
        return [_run_row(row) for row in rows]

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with closing(_sql.connect_reader(self.path)) as conn:
            conn.row_factory = sqlite3.Row
            try:
                conn.execute("BEGIN")  # several statements of one call see one state
                yield conn
            except sqlite3.Error as error:
                raise _explain.explain(self.path, error) from error


def _pick(row: sqlite3.Row, *without: str, **instead: Any) -> dict[str, Any]:
    """Return the columns of a row, which are named like the fields of what is made of them."""
    return {name: row[name] for name in row.keys() if name not in without} | instead  # noqa: SIM118 - Row is no dict


def _bounds(conn: sqlite3.Connection, run_id: int) -> tuple[int, int]:
    """Return between which numbers the outcomes of a run are; other runs may have some there too."""
    first, last = conn.execute(_sql.query("bounds"), (run_id,)).fetchone()
    return (1, 0) if first is None else (first, last)


def _outcome_page(
    conn: sqlite3.Connection, run_id: int, status: Status | None, after: int, count: int
) -> list[sqlite3.Row]:
    first, last = _bounds(conn, run_id)
    among = (max(after, first - 1), last, run_id)
    if status is None or status is Status.OK:
        name = None if status is None else status.value
        return conn.execute(_sql.query("outcomes"), (*among, name, count)).fetchall()
    return conn.execute(_sql.query("outcomes_not_ok"), (*among, status.value, count)).fetchall()


def _outcome_row(row: sqlite3.Row, path: Path) -> OutcomeRow:
    times = {"started": row["started"] or 0.0, "seconds": row["seconds"] or 0.0}
    return OutcomeRow(**_pick(row, status=Status(row["status"]), **times), _path=path)


def _run_row(row: sqlite3.Row) -> RunRow:
    state, summary = row["state"], row["summary"]
    if state == "running" and not _alive(row["pid"], row["host"]):
        state = "interrupted"  # killed; the next session with this journal will note the same
    return RunRow(**_pick(row, "latest", state=state, summary=json.loads(summary) if summary else None))


def _alive(pid: int, host: str) -> bool:
    if host != _rows.safe_text(socket.gethostname()):
        return True  # cannot be told from here
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # somebody else's, and alive
    return True
